//! `[networks.NAME]` as written.

use ipnet::{Ipv4Net, Ipv6Net};

use super::read::table;
use super::values::List;
use crate::config::model::LinkName;

table! {
    /// A LAN, and a zone of the firewall.
    Network: "a table", "{ ports = [\"lan0\"], net = \"192.168.10.0/24\" }" {
        /// Devices of this LAN, each in one network only; 1 to 16.
        ports: required List<LinkName>,
        /// Its IPv4 prefix, /8 to /30; the gateway has the first address. Default: none.
        net: optional Ipv4Net,
        /// Its IPv6 prefix, /16 to /126; the gateway has the first address. Default: none.
        net6: optional Ipv6Net,
        /// true: its clients reach neither other networks nor SSH on the gateway. Default: false.
        isolate: optional bool,
    }
    not_yet {
        "vlan": "give the network a port of its own: ports = [\"lan1\"]",
        "trunks": "give each network ports of its own: ports = [\"lan1\"]",
        "dhcp": "take it out; addresses of the LAN are served outside of this file",
        "fixed": "take it out; name the host by its address where it is needed",
        "limit_down": "take it out; shaping comes with `qos`",
    }
}
