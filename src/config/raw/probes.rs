//! `[probes]` and targets as written.

use super::net::{DomainName, Expect, HostPort, Resolver};
use super::read::table;
use super::services::Responder;
use super::text::Line;
use super::values::List;
use crate::config::model::{Host, HttpUrl};

table! {
    /// What is probed through every uplink.
    Probes: "a table", "{ targets = [{ icmp = \"9.9.9.9\" }, { dns = \"1.1.1.1\" }] }" {
        /// Asked through every uplink that has their family and names none of its own. Two in different networks at least, 16 at most. Default: three well-known resolvers of different operators.
        targets: optional List<Target>,
        /// Head office's responders, which prove an uplink; in two different networks at least, 4 at most. Default: none, so that targets decide.
        responders: optional List<Responder>,
    }
}

table! {
    /// Exactly one of `icmp`, `dns`, `tcp`, `http` and `https`, with the keys that belong to it.
    Target: "a target", "{ icmp = \"9.9.9.9\" }" {
        /// A host that answers echo requests.
        icmp: optional Host,
        /// A resolver that is asked `name`; an address, with a port if it is not 53.
        dns: optional Resolver,
        /// HOST:PORT that accepts connections.
        tcp: optional HostPort,
        /// A page that answers with `status`.
        http: optional HttpUrl,
        /// The same over TLS.
        https: optional HttpUrl,
        /// With dns: what is asked. Default: example.com.
        name: optional DomainName,
        /// With dns: "address" (at least one), "no-such-name", or the address that must be among the answers. Default: address.
        expect: optional Expect,
        /// With http and https: the expected status, 100 to 599. Default: 200.
        status: optional i64,
        /// With http and https: text that the page must contain, 1 to 64 printable characters. Default: any.
        contains: optional Line,
    }
}
