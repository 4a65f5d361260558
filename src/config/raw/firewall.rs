//! `[firewall]` as written.

use std::net::IpAddr;

use ipnet::IpNet;

use super::read::table;
use super::settable::When;
use super::values::{List, Text};
use crate::config::fault::{Kind, quoted};
use crate::config::model::{Name, Service};

table! {
    /// What may pass; what no rule allows is dropped.
    Firewall: "a table", "{ rules = [{ from = [\"office\"], to = [\"wan\"], allow = [\"any\"] }] }" {
        /// At most 4,096. Default: none, so that nothing passes.
        rules: optional List<Rule>,
        /// Ports of uplinks that lead to hosts in the LAN. At most 256. Default: none.
        forwards: optional List<Forward>,
    }
}

table! {
    /// New flows that may pass. Zones: every network, `wan` (all uplinks), `self` (the gateway).
    Rule: "a rule", "{ from = [\"office\"], to = [\"wan\"], allow = [\"tcp/443\"] }" {
        /// Zones the flow comes from; never `self`, which may always send.
        from: required List<Name>,
        /// Zones it goes to.
        to: required List<Name>,
        /// Addresses it goes to. Default: any.
        dest: optional List<IpNet>,
        /// Services: "tcp/443", "udp/5060-5061", "icmp", "any".
        allow: required List<Service>,
        /// true: each new flow is logged, with a limit. Default: false.
        log: optional bool,
        /// Only where this variable is true.
        when: optional When,
    }
    conditional when
}

table! {
    /// A port of uplinks that leads to a host in the LAN.
    Forward: "a forward", "{ name = \"camera\", port = \"tcp/8443\", to = \"192.168.10.40\" }" {
        /// 1 to 32 of a-z, 0-9 and "-"; each once.
        name: required Name,
        /// Uplinks on which the port is open. Default: all that have the family of `to`.
        on: optional List<Name>,
        /// Who may use it. Default: anybody.
        source: optional List<IpNet>,
        /// "tcp/8443", or a range "udp/10000-10020".
        port: required Service,
        /// Address of a host in a network of the LAN, or NETWORK/NAME of a fixed host.
        to: required ForwardTo,
        /// Its port, 1 to 65535; with a range the range's first. Default: the same as `port`.
        to_port: optional i64,
        /// Only where this variable is true.
        when: optional When,
    }
    conditional when
}

/// A host in the LAN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ForwardTo {
    Address(IpAddr),
    Fixed { network: Name, host: Name },
}

impl Text for ForwardTo {
    const WHAT: &'static str = "a host in the LAN";
    const EXAMPLE: &'static str = "\"192.168.10.40\", or \"office/camera\" for a fixed host";

    fn parse(text: &str) -> Result<Self, (Kind, String)> {
        if let Some((network, host)) = text.split_once('/') {
            return Ok(Self::Fixed { network: Name::parse(network)?, host: Name::parse(host)? });
        }
        text.parse().map(Self::Address).map_err(|_| {
            (Kind::Format, format!("{} is neither an IPv4 or IPv6 address nor NETWORK/NAME", quoted(text)))
        })
    }

    fn text(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Fixed { network, host } => format!("{network}/{host}"),
        }
    }
}
