//! What the kernel has that concerns us, as plain data: links, addresses, the default routes of `main`, everything in
//! our tables and our range of rules, the neighbour entries of gateways. Pure; filled by `netlink`, compared by
//! `apply::plan`. Sources: rtnetlink(7), ip-route(8), ip-rule(8).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::numbers::{MAIN_TABLE, is_our_table};
use crate::config::model::{Family, LinkName};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// By interface index.
    pub links: BTreeMap<u32, Link>,
    /// Of global scope, in the kernel's order.
    pub addresses: Vec<Address>,
    /// Default routes of `main` and all routes of our tables, in the kernel's order: a replacement takes the first.
    pub routes: Vec<Route>,
    /// All rules in our range of preferences, in the kernel's order.
    pub rules: Vec<Rule>,
    /// Of the gateways of default routes; LAN neighbours are never asked for.
    pub neighbours: Vec<Neighbour>,
}

impl State {
    pub fn link(&self, name: &LinkName) -> Option<(u32, &Link)> {
        self.links.iter().find(|(_, link)| link.name == name.as_str()).map(|(index, link)| (*index, link))
    }

    /// The link's name, or its number when the kernel no longer has it.
    pub fn link_name(&self, index: u32) -> String {
        self.links.get(&index).map_or_else(|| format!("#{index}"), |link| link.name.clone())
    }

    pub fn routes_in(&self, family: Family, table: u32) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(move |route| route.family == family && route.table == table)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub name: String,
    /// Set up by an administrator (`IFF_UP`).
    pub up: bool,
    /// There is a signal (`IFF_LOWER_UP`, and the operational state does not say otherwise).
    pub carrier: bool,
    #[serde(default)]
    pub mac: Option<[u8; 6]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub link: u32,
    pub net: IpNet,
    #[serde(default)]
    pub standing: Standing,
}

/// May the address be used as a source? RFC 4862.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    #[default]
    Preferred,
    /// Second of its subnet, or temporary (RFC 8981).
    Secondary,
    /// Still valid, no longer for new flows.
    Deprecated,
    /// Not yet known to be unique, or known not to be.
    Unusable,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    pub family: Family,
    pub table: u32,
    /// `None`: default.
    #[serde(default)]
    pub destination: Option<IpNet>,
    #[serde(default)]
    pub tos: u8,
    pub metric: u32,
    pub protocol: u8,
    #[serde(default)]
    pub kind: RouteKind,
    /// Sorted, so that two routes with the same hops are equal. Empty unless `unicast`.
    #[serde(default)]
    pub hops: Vec<Hop>,
}

impl Route {
    /// Is this one of the routes a [`State`] keeps?
    pub fn concerns_us(&self) -> bool {
        is_our_table(self.table) || (self.table == MAIN_TABLE && self.destination.is_none())
    }

    /// Routes that agree in this replace each other (`NLM_F_REPLACE`).
    pub fn slot(&self) -> (Family, u32, Option<IpNet>, u8, u32) {
        (self.family, self.table, self.destination, self.tos, self.metric)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteKind {
    #[default]
    Unicast,
    Unreachable,
    /// `rtm_type` of what we never make.
    Other(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hop {
    pub link: u32,
    /// `None`: a point-to-point line, the device is enough.
    #[serde(default)]
    pub via: Option<IpAddr>,
    /// The gateway is outside the networks of the device (`onlink`).
    #[serde(default)]
    pub onlink: bool,
    /// Share of new flows beside the other hops, 1…256 in the kernel, at most 100 in ours.
    #[serde(default = "one")]
    pub weight: u16,
}

fn one() -> u16 {
    1
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    pub family: Family,
    pub preference: u32,
    pub table: u32,
    /// Value and mask (`fwmark`).
    #[serde(default)]
    pub mark: Option<(u32, u32)>,
    /// Output device (`oif`).
    #[serde(default)]
    pub device: Option<String>,
    /// Ignore answers with a prefix of at most this length (`suppress_prefixlength`).
    #[serde(default)]
    pub suppress: Option<u32>,
    pub protocol: u8,
    /// Has a selector or an action that we never use.
    #[serde(default)]
    pub foreign: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    pub link: u32,
    pub address: IpAddr,
    /// `None`: the kernel has not asked lately (`NUD_STALE`, `NUD_DELAY`, `NUD_PROBE`).
    pub reachable: Option<bool>,
}
