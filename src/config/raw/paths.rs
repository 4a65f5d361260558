//! `paths = [...]` as written.

use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::read::{Node, Value, not_a_choice, table, words};
use super::text::Window;
use super::values::{List, OneOrMore};
use super::wire::{Bad, Input, put_leaf};
use crate::config::fault::{Collector, Kind};
use crate::config::model::{Name, Otherwise, Service};

table! {
    /// Which uplinks a class of traffic takes, in order.
    Path: "a path", "{ name = \"default\", prefer = [\"fibre\", \"lte\"] }" {
        /// 1 to 32 of a-z, 0-9 and "-". `default` takes what no other path takes.
        name: required Name,
        /// The traffic; a list of tables if there are several kinds. Not for `default`, required for every other path.
        r#match = "match": optional OneOrMore<Match>,
        /// Uplinks, best first; a list inside the list shares one tier.
        prefer: required List<Tier>,
        /// When and how to return to a better uplink.
        failback: optional Failback,
        /// When none of `prefer` is usable: "keep" the last one, or "reject" new flows (not for `default`). Default: keep.
        otherwise: optional Otherwise,
        /// At least this long between two switches unless the uplink in use is down, 0s to 10m. Default: 2s.
        min_hold: optional Duration,
    }
}

table! {
    /// All that is named must hold; what is not named may be anything.
    Match: "a table", "{ from = [\"office\"], dscp = [\"ef\"] }" {
        /// Networks the traffic comes from.
        from: optional List<Name>,
        /// Addresses it comes from.
        source: optional List<IpNet>,
        /// Addresses it goes to.
        dest: optional List<IpNet>,
        /// Its DSCP: a name (ef, va, le, cs0 to cs7, af11 to af43) or a number, 0 to 63.
        dscp: optional List<Dscp>,
        /// Services: "tcp/443", "udp/5060-5061", "icmp".
        ports: optional List<Service>,
    }
}

table! {
    /// When and how to return to a better uplink. One of `after`, `never` and `window`.
    Failback: "a table", "{ after = \"5m\", flows = \"drain\" }" {
        /// The better uplink was up this long, 0s to 1d. Default: 60s.
        after: optional Duration,
        /// true: only when somebody says so.
        never: optional bool,
        /// Only in this window of the day, local time: "02:00-04:30".
        window: optional Window,
        /// Running flows: "drain" (stay until they end), "cut" (are moved after `grace`) or "together" (all of a client at once). Default: drain, or cut if an uplink of the path is metered.
        flows: optional Flows,
        /// With drain: at most this long, 1s to 7d. Default: until they end.
        drain_for: optional Duration,
        /// With cut: this long after the switch, 0s to 1h. Default: 60s.
        grace: optional Duration,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flows {
    Drain,
    Cut,
    Together,
}

words!(Flows: "a way to treat running flows", "\"drain\", \"cut\" or \"together\"" {
    "drain" => Self::Drain,
    "cut" => Self::Cut,
    "together" => Self::Together,
});

words!(Otherwise: "a last resort", "\"keep\" or \"reject\"" {
    "keep" => Self::Keep,
    "reject" => Self::Reject,
});

/// One uplink, or several that share.
#[derive(Clone, Debug)]
pub(crate) struct Tier(pub(crate) List<Name>);

impl Value for Tier {
    const WHAT: &'static str = "an uplink or a list of uplinks";
    const EXAMPLE: &'static str = "[\"fibre\", \"lte\"], or [[\"fibre\", \"cable\"], \"lte\"] to share a tier";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        match node.value {
            DeValue::String(_) | DeValue::Array(_) => OneOrMore::read(node, faults).map(|names| Self(names.0)),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => {
                node.not_a::<Self>(faults);
                None
            }
        }
    }

    fn schema() -> Json {
        OneOrMore::<Name>::schema()
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        List::take(input, key).map(Self)
    }
}

/// A code point, 0…63.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dscp(pub(crate) u8);

impl Dscp {
    /// RFC 2474, 2597, 3246, 5865, 8622.
    pub(crate) const NAMES: [(&'static str, u8); 23] = [
        ("cs0", 0),
        ("cs1", 8),
        ("cs2", 16),
        ("cs3", 24),
        ("cs4", 32),
        ("cs5", 40),
        ("cs6", 48),
        ("cs7", 56),
        ("af11", 10),
        ("af12", 12),
        ("af13", 14),
        ("af21", 18),
        ("af22", 20),
        ("af23", 22),
        ("af31", 26),
        ("af32", 28),
        ("af33", 30),
        ("af41", 34),
        ("af42", 36),
        ("af43", 38),
        ("ef", 46),
        ("va", 44),
        ("le", 1),
    ];
}

impl Value for Dscp {
    const WHAT: &'static str = "a DSCP";
    const EXAMPLE: &'static str = "\"ef\", \"af41\", \"cs1\" or a number, 0 to 63";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        match node.value {
            DeValue::String(text) => {
                let found = Self::NAMES.iter().find(|(name, _)| *name == text.as_ref());
                if found.is_none() {
                    faults.add(node.place, not_a_choice::<Self>(&node.key, text, &Self::NAMES.map(|(name, _)| name)));
                }
                found.map(|(_, code)| Self(*code))
            }
            DeValue::Integer(number) => {
                let code = u8::from_str_radix(number.as_str(), number.radix()).ok().filter(|code| *code < 64);
                if code.is_none() {
                    node.wrong::<Self>(Kind::Range, "the number is not from 0 to 63".to_owned(), faults);
                }
                code.map(Self)
            }
            DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                node.not_a::<Self>(faults);
                None
            }
        }
    }

    fn schema() -> Json {
        let names = Self::NAMES.map(|(name, _)| name);
        json!({ "anyOf": [{ "enum": names }, { "type": "integer", "minimum": 0, "maximum": 63 }] })
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_leaf(&self.0, out);
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        match input.leaf::<u8>(key)? {
            code @ 0..64 => Ok(Self(code)),
            code => Err(Bad::new(key, format!("{code} is no DSCP"))),
        }
    }
}
