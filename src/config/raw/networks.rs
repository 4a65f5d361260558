//! `[networks.NAME]` as written.

use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};

use super::read::table;
use super::settable::{Settable, When};
use super::text::Rate;
use super::values::List;
use crate::config::branch::Mac;
use crate::config::model::{LinkName, Name};

table! {
    /// A LAN, and a zone of the firewall.
    Network: "a table", "{ ports = [\"lan0\"], net = \"192.168.10.0/24\" }" {
        /// Devices of this LAN, each in one network only; 1 to 16. Required unless a trunk carries its `vlan`.
        ports: optional List<LinkName>,
        /// Its VLAN, 1 to 4094, each once: `ports` become untagged members of the bridge br-lan. Default: none, and `ports` are used as they are.
        vlan: optional Settable<i64>,
        /// Devices that carry this network untagged and every other network that has a `vlan` tagged; at most 16. Default: none.
        trunks: optional List<LinkName>,
        /// Its IPv4 prefix, /8 to /30; the gateway has the first address. Default: none.
        net: optional Settable<Ipv4Net>,
        /// Its IPv6 prefix, /16 to /126; the gateway has the first address. Default: none.
        net6: optional Settable<Ipv6Net>,
        /// Addresses for clients that ask. Default: nobody is answered.
        dhcp: optional Dhcp,
        /// Hosts that always get the same address. At most 1,024. Default: none.
        fixed: optional List<FixedHost>,
        /// Most that all its clients together may download, 64kbit to 100gbit. Default: no limit.
        limit_down: optional Settable<Rate>,
        /// true: its clients reach neither other networks nor SSH on the gateway. Default: false.
        isolate: optional bool,
    }
}

table! {
    /// Addresses for clients that ask.
    Dhcp: "a table", "{ from = 100, to = 199, lease = \"12h\" }" {
        /// First address, counted from the network's own: 100 is 192.168.10.100 in 192.168.10.0/24.
        from: required Settable<i64>,
        /// Last address, counted in the same way; not below `from`.
        to: required Settable<i64>,
        /// How long an address is lent, 2m to 7d. Default: 12h.
        lease: optional Settable<Duration>,
    }
}

table! {
    /// A host that always gets the same address.
    FixedHost: "a host", "{ name = \"camera\", mac = \"52:54:00:12:34:56\", host = 40 }" {
        /// 1 to 32 of a-z, 0-9 and "-"; each once in its network. Forwards lead to NETWORK/NAME.
        name: required Name,
        /// Its hardware address, each once in its network.
        mac: required Settable<Mac>,
        /// Its address, counted from the network's own, outside of the range of `dhcp`.
        host: required Settable<i64>,
        /// Only where this variable is true.
        when: optional When,
    }
    conditional when
}
