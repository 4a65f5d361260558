//! `[uplinks.NAME]` as written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::probes::Target;
use super::read::{Node, Value, choice, table, words};
use super::settable::Settable;
use super::text::{Bytes, Line, Percent, Rate};
use super::values::List;
use super::wire::{Bad, Input, put_leaf};
use crate::config::fault::Collector;
use crate::config::model::{LinkName, Medium};

table! {
    /// One internet line.
    Uplink: "a table", "{ device = \"wan0\", medium = \"fibre\" }" {
        /// The network device of the line, used by this uplink alone. 1 to 15 of A-Z, a-z, 0-9, ".", "_" and "-".
        device: required LinkName,
        /// What the line is made of; it chooses the profile: fibre and leased are fast, cable and dsl standard, lte, 5g and satellite radio.
        medium: required Settable<Medium>,
        /// Timings of probing and detection, if not those of the medium: fast, standard or radio.
        profile: optional ProfileName,
        /// Single values that differ from the profile.
        probe: optional Probe,
        /// How the line gets IPv4: "dhcp", "off", or a table for a static address. Default: dhcp.
        ipv4: optional Ipv4,
        /// How the line carries the LAN's IPv6: "off", "native" (delegated prefixes), "nat66", "npt", or a table for a static address. Default: off.
        ipv6: optional Ipv6,
        /// A plan that counts bytes. Default: not metered.
        metered: optional Metered,
        /// Who sells the line, as in the contract. 1 to 64 printable characters. Default: not shown.
        provider: optional Line,
        /// The provider's number of the line. 1 to 64 printable characters. Default: not shown.
        circuit: optional Line,
        /// Preference, 1 (first) to 64, when no path `default` is written; uplinks of one tier share the traffic. Default: the place in the file.
        tier: optional i64,
        /// Share of new flows beside the other uplinks of its tier, 1 to 100. Default: 1.
        weight: optional Settable<i64>,
        /// false: configured, but out of use. Default: true.
        enabled: optional Settable<bool>,
        /// What the contract promises towards the branch, 64kbit to 100gbit. Default: not known.
        down: optional Settable<Rate>,
        /// The same towards the internet. Default: not known.
        up: optional Settable<Rate>,
        /// What is probed through this uplink instead of the site's targets, per family. At most 16.
        targets: optional List<Target>,
    }
    standalone { "provider", "circuit", }
}

/// A profile by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProfileName {
    Fast,
    Standard,
    Radio,
}

words!(ProfileName: "a profile", "\"fast\", \"standard\" or \"radio\"" {
    "fast" => Self::Fast,
    "standard" => Self::Standard,
    "radio" => Self::Radio,
});

words!(Medium: "a medium", "\"fibre\", \"leased\", \"cable\", \"dsl\", \"lte\", \"5g\" or \"satellite\"" {
    "fibre" => Self::Fibre,
    "leased" => Self::Leased,
    "cable" => Self::Cable,
    "dsl" => Self::Dsl,
    "lte" => Self::Lte,
    "5g" => Self::FiveG,
    "satellite" => Self::Satellite,
});

table! {
    /// Single values that differ from the profile.
    Probe: "a table", "{ dead_after = \"500ms\" }" {
        /// Time between probes while the uplink carries traffic, 20ms to 1m. Default: 100ms (fast), 1s (standard, radio).
        interval: optional Duration,
        /// The same on standby, 100ms to 10m, not below interval. Default: 1s (fast, standard), 30s (radio).
        interval_standby: optional Duration,
        /// A reply is never overdue before this, 1ms to 10s, at most half of dead_after. Default: 15ms, 50ms, 300ms.
        overdue_floor: optional Duration,
        /// Time between probes of one target in a burst, 5ms to 5s. Default: 10ms, 30ms, 150ms.
        burst_spacing: optional Duration,
        /// Down after this long without proof of life, 50ms to 5m, and above quiet_after. Default: 80ms, 350ms, 2s.
        dead_after: optional Duration,
        /// Probes that must have gone unanswered in that silence, 2 to 50; they must fit into dead_after. Default: 5, 5, 6.
        min_probes: optional i64,
        /// A burst starts when packets leave and none comes in for this long, 10ms to 1m. Default: 40ms, 150ms, 600ms.
        quiet_after: optional Duration,
        /// How often counters are read while the line carries traffic, 10ms to 10s, at most quiet_after. Default: 20ms, 50ms, 250ms.
        counters_every: optional Duration,
        /// Replies without a gap for this long before up again, 1s to 1h. Default: 10s, 30s, 60s.
        recover_after: optional Duration,
        /// Window over which loss, round trip and jitter are judged, 5s to 10m, at most 1,024 probes. Default: 10s, 30s, 60s.
        quality_window: optional Duration,
        /// Degraded above `enter`, good again below `leave`. Default: 20% and 5% (fast, standard), 30% and 10% (radio).
        loss: optional Loss,
        /// The same for the 95th percentile of the round trip, 1ms to 1m. Default: 150ms and 100ms, 300ms and 200ms, 800ms and 500ms.
        rtt: optional Delay,
        /// The same for jitter, or "off". Default: 30ms and 15ms, 50ms and 30ms, off.
        jitter: optional Jitter,
        /// Targets that must be silent before the uplink is, 1 to their number. Default: all but one.
        quorum: optional i64,
    }
}

table! {
    /// Above `enter` degraded, below `leave` good again.
    Loss: "a table", "{ enter = \"20%\", leave = \"5%\" }" {
        /// Percent, above leave.
        enter: required Percent,
        /// Percent, below enter.
        leave: required Percent,
    }
}

table! {
    /// Above `enter` degraded, below `leave` good again.
    Delay: "a table", "{ enter = \"300ms\", leave = \"200ms\" }" {
        /// 1ms to 1m, above leave.
        enter: required Duration,
        /// 1ms to 1m, below enter.
        leave: required Duration,
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Jitter {
    Off,
    Judged(Delay),
}

impl Value for Jitter {
    const WHAT: &'static str = "a threshold";
    const EXAMPLE: &'static str = "{ enter = \"50ms\", leave = \"30ms\" } or \"off\"";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        if let DeValue::Table(_) = node.value {
            return Delay::read(node, faults).map(Self::Judged);
        }
        choice::<Self>(node, &["off"], faults).map(|_| Self::Off)
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "enum": ["off"] }, Delay::schema()] })
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Off => put_leaf(&0_u8, out),
            Self::Judged(delay) => {
                put_leaf(&1_u8, out);
                delay.put(out);
            }
        }
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        match input.leaf::<u8>(key)? {
            0 => Ok(Self::Off),
            1 => Delay::take(input, key).map(Self::Judged),
            _ => Err(Bad::new(key, "it is no threshold")),
        }
    }
}

table! {
    /// A plan that counts bytes.
    Metered: "a table", "{ plan = \"10GB\" }" {
        /// Bytes of the plan in a month, 1MB to 100TB.
        plan: required Settable<Bytes>,
        /// Day of the month on which the plan starts again, 1 to 28. Default: 1.
        resets_on: optional Settable<i64>,
        /// Kept back for what may always pass, below the plan. Default: 0B.
        reserve: optional Settable<Bytes>,
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Ipv4 {
    Dhcp,
    Off,
    Static(Static4),
}

table! {
    /// A static IPv4 address.
    Static4: "a table", "{ address = \"203.0.113.2/30\", gateway = \"203.0.113.1\" }" {
        /// The gateway's own address on the line, with its prefix length.
        address: required Ipv4Net,
        /// The provider's router, in the same prefix.
        gateway: required Ipv4Addr,
        /// The provider's resolvers. At most 8. Default: none.
        dns: optional List<IpAddr>,
    }
    not_yet { "pppoe": "let the modem dial and take \"dhcp\" from it", }
}

impl Value for Ipv4 {
    const WHAT: &'static str = "a way to get IPv4";
    const EXAMPLE: &'static str = "\"dhcp\", \"off\" or { address = \"203.0.113.2/30\", gateway = \"203.0.113.1\" }";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        if let DeValue::Table(table) = node.value {
            if table.contains_key("var") {
                node.not_a::<Self>(faults);
                return None;
            }
            return Static4::read(node, faults).map(Self::Static);
        }
        choice::<Self>(node, &["dhcp", "off"], faults).map(|word| if word == "off" { Self::Off } else { Self::Dhcp })
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "enum": ["dhcp", "off"] }, Static4::schema()] })
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Off => put_leaf(&0_u8, out),
            Self::Dhcp => put_leaf(&1_u8, out),
            Self::Static(fixed) => {
                put_leaf(&2_u8, out);
                fixed.put(out);
            }
        }
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        match input.leaf::<u8>(key)? {
            0 => Ok(Self::Off),
            1 => Ok(Self::Dhcp),
            2 => Static4::take(input, key).map(Self::Static),
            _ => Err(Bad::new(key, "it is no way to get IPv4")),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Ipv6 {
    Off,
    Native,
    Nat66,
    Npt,
    Static(Static6),
}

table! {
    /// A static IPv6 address.
    Static6: "a table", "{ address = \"2001:db8::2/64\", gateway = \"2001:db8::1\" }" {
        /// The gateway's own address on the line, with its prefix length.
        address: required Ipv6Net,
        /// The provider's router: in the same prefix, or link-local.
        gateway: required Ipv6Addr,
        /// The provider's resolvers. At most 8. Default: none.
        dns: optional List<IpAddr>,
    }
}

impl Value for Ipv6 {
    const WHAT: &'static str = "a way to carry IPv6";
    const EXAMPLE: &'static str =
        "\"native\", \"nat66\", \"npt\", \"off\" or { address = \"2001:db8::2/64\", gateway = \"2001:db8::1\" }";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        if let DeValue::Table(table) = node.value {
            if table.contains_key("var") {
                node.not_a::<Self>(faults);
                return None;
            }
            return Static6::read(node, faults).map(Self::Static);
        }
        Some(match choice::<Self>(node, &["native", "nat66", "npt", "off"], faults)? {
            "native" => Self::Native,
            "nat66" => Self::Nat66,
            "npt" => Self::Npt,
            _ => Self::Off,
        })
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "enum": ["native", "nat66", "npt", "off"] }, Static6::schema()] })
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Off => put_leaf(&0_u8, out),
            Self::Native => put_leaf(&1_u8, out),
            Self::Nat66 => put_leaf(&2_u8, out),
            Self::Npt => put_leaf(&3_u8, out),
            Self::Static(fixed) => {
                put_leaf(&4_u8, out);
                fixed.put(out);
            }
        }
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        match input.leaf::<u8>(key)? {
            0 => Ok(Self::Off),
            1 => Ok(Self::Native),
            2 => Ok(Self::Nat66),
            3 => Ok(Self::Npt),
            4 => Static6::take(input, key).map(Self::Static),
            _ => Err(Bad::new(key, "it is no way to carry IPv6")),
        }
    }
}
