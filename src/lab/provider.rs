//! What a provider does to its customer beyond losing packets: nothing past the first router, DNS only, a captive
//! portal. The link itself stays up and its router answers, which is why pings to the gateway prove nothing.

use std::net::IpAddr;

use serde::Deserialize;

use super::error::LabError;
use super::netns::Namespace;
use super::servers::{Servers, http, ok};
use super::{addresses as plan, dns};
use crate::config::model::Family;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All passes.
    Open,
    /// The provider's router answers, nothing beyond it does.
    NothingBeyond,
    /// A plan that ran out: names resolve, nothing else passes.
    DnsOnly,
    /// Pings pass, names do not resolve.
    DnsDead,
    /// Pings and DNS pass, no connection is made.
    TcpDead,
    /// Pings pass, names resolve to the portal, pages are the portal's, all else is dropped.
    Portal,
}

impl Mode {
    /// Rules of the forward chain, and of prerouting, for what comes in on `line`.
    fn rules(self) -> (&'static str, &'static str) {
        match self {
            Self::Open => ("", ""),
            Self::NothingBeyond => ("drop", ""),
            Self::DnsOnly => ("meta l4proto { tcp, udp } th dport 53 accept; drop", ""),
            Self::DnsDead => ("meta l4proto { tcp, udp } th dport 53 drop", ""),
            Self::TcpDead => ("meta l4proto tcp drop", ""),
            Self::Portal => (
                "meta l4proto { icmp, icmpv6 } accept; drop",
                "tcp dport 80 redirect to :8081; udp dport 53 redirect to :5353",
            ),
        }
    }
}

/// Starts the portal's servers; they are asked only in [`Mode::Portal`].
pub fn prepare(provider: &Namespace, servers: &Servers) -> Result<(), LabError> {
    servers.tcp(provider, PORTAL_HTTP, |stream, _| http(stream, &|_| ok("Welcome! Please accept our terms.\n")))?;
    servers.udp(provider, PORTAL_DNS, |question| dns::answer(question, |_, family| Some(portal(family))))
}

const PORTAL_HTTP: u16 = 8081;
const PORTAL_DNS: u16 = 5353;

fn portal(family: Family) -> IpAddr {
    plan::wan(family, 0, plan::PROVIDER)
}

/// One transaction, so there is no moment in between.
pub fn set(provider: &Namespace, mode: Mode) -> Result<(), LabError> {
    let (forward, prerouting) = mode.rules();
    let (forward, prerouting) = (lines(forward), lines(prerouting));
    provider.nft(&format!(
        "table inet provider
delete table inet provider
table inet provider {{
  chain forward {{
    type filter hook forward priority 0
{forward}  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat
{prerouting}  }}
}}
"
    ))
}

fn lines(rules: &str) -> String {
    let rules = rules.split("; ").filter(|rule| !rule.is_empty());
    rules.map(|rule| format!("    iif line {rule}\n")).collect()
}
