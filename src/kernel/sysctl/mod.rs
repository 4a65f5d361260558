//! Kernel switches that forwarding and probing need, and what to say when one is not as needed. Pure; reading and
//! writing is [`store`]'s. Sources: ip-sysctl and nf_conntrack-sysctl of the kernel's documentation.

pub mod store;

use std::fmt;

use crate::config::model::{Family, Gateway, LinkName};

/// One switch: a path below `/proc/sys`, what it must be, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Below `/proc/sys`, with slashes (device names may have dots).
    pub key: String,
    pub wanted: Wanted,
    pub why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    Exactly(&'static str),
    /// Any of these is fine; the first is what we would write.
    OneOf(&'static [&'static str]),
    /// Two numbers with a gap between them: first ≤ second.
    Range,
}

impl Need {
    /// White space between numbers differs (tabs from the kernel).
    pub fn is_met(&self, value: &str) -> bool {
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        match self.wanted {
            Wanted::Exactly(wanted) => words == [wanted],
            Wanted::OneOf(wanted) => words.len() == 1 && wanted.contains(&words[0]),
            Wanted::Range => {
                let numbers: Vec<u32> = words.iter().filter_map(|word| word.parse().ok()).collect();
                numbers.len() == 2 && numbers[0] <= numbers[1]
            }
        }
    }

    /// What to write to meet the need.
    pub fn value(&self) -> &'static str {
        match self.wanted {
            Wanted::Exactly(wanted) => wanted,
            Wanted::OneOf(wanted) => wanted[0],
            Wanted::Range => "0 2147483647",
        }
    }
}

/// What was found where something else is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    pub need: Need,
    pub found: Found,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Value(String),
    /// No such switch: the module is not loaded, or the family is off.
    Missing,
    Unreadable(String),
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Need { key, why, .. } = &self.need;
        match &self.found {
            Found::Value(value) => write!(f, "{key} is {value}, needs {}: {why}", self.need.value()),
            Found::Missing => write!(f, "{key} is missing, needs {}: {why}", self.need.value()),
            Found::Unreadable(error) => write!(f, "{key} cannot be read ({error}), needs {}: {why}", self.need.value()),
        }
    }
}

/// All that this config needs, of devices only those that are there. `all` and the device's own `rp_filter` count: the
/// kernel takes the stricter of the two.
pub fn needs(config: &Gateway, is_there: impl Fn(&LinkName) -> bool) -> Vec<Need> {
    let uses = |family| config.uplinks.iter().any(|uplink| uplink.has(family));
    let present = || config.uplinks.iter().filter(|uplink| is_there(&uplink.device));
    let mut needs = Vec::new();
    let mut need = |key: String, wanted, why| needs.push(Need { key, wanted, why });
    if uses(Family::V4) {
        need("net/ipv4/ip_forward".into(), Wanted::Exactly("1"), "the gateway forwards IPv4");
        need("net/ipv4/conf/all/rp_filter".into(), LOOSE, RP_FILTER);
        for uplink in present() {
            need(format!("net/ipv4/conf/{}/rp_filter", uplink.device), LOOSE, RP_FILTER);
        }
    }
    if uses(Family::V6) {
        need("net/ipv6/conf/all/forwarding".into(), Wanted::Exactly("1"), "the gateway forwards IPv6");
        for uplink in present() {
            let key = format!("net/ipv6/conf/{}/forwarding", uplink.device);
            need(key, Wanted::Exactly("1"), "the gateway forwards IPv6");
        }
    }
    need("net/ipv4/ping_group_range".into(), Wanted::Range, "echo probes use unprivileged ICMP sockets");
    need(
        "net/netfilter/nf_conntrack_tcp_loose".into(),
        Wanted::Exactly("0"),
        "TCP without state is reset after a switch, not adopted",
    );
    need(
        "net/netfilter/nf_conntrack_tcp_be_liberal".into(),
        Wanted::Exactly("1"),
        "a segment outside the window of a healthy flow is no reason to reset it",
    );
    needs
}

const LOOSE: Wanted = Wanted::OneOf(&["2", "0"]);
const RP_FILTER: &str = "replies of an uplink that is not the active one must not be dropped";

#[cfg(test)]
mod tests {
    use super::*;

    fn need(wanted: Wanted) -> Need {
        Need { key: "net/ipv4/x".into(), wanted, why: "because" }
    }

    #[test]
    fn values_are_compared_as_the_kernel_writes_them() {
        assert!(need(Wanted::Exactly("1")).is_met("1\n"));
        assert!(!need(Wanted::Exactly("1")).is_met("0\n"));
        assert!(need(LOOSE).is_met("0\n") && need(LOOSE).is_met("2\n") && !need(LOOSE).is_met("1\n"));
        assert!(need(Wanted::Range).is_met("0\t2147483647\n"));
        assert!(!need(Wanted::Range).is_met("1\t0\n"));
    }

    #[test]
    fn an_unmet_need_says_what_it_found_and_why_it_matters() {
        let unmet = Unmet { need: need(Wanted::Exactly("1")), found: Found::Value("0".into()) };
        assert_eq!(unmet.to_string(), "net/ipv4/x is 0, needs 1: because");
        let unmet = Unmet { need: need(LOOSE), found: Found::Missing };
        assert_eq!(unmet.to_string(), "net/ipv4/x is missing, needs 2: because");
    }
}
