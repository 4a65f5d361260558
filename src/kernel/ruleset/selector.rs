//! What traffic a path or a firewall rule means, as nft matches. A header field belongs to one family, a port to one
//! protocol, so one selector becomes several rules.

use ipnet::IpNet;
use nftables::expr::{Expression, MetaKey};

use super::expression::{Expr, Stmt, equal, family, field, header, meta, network, one_of, ports, text, words};
use crate::config::model::{Family, PortRange, Service};

/// Up to so many ports of one rule get a rule each. nft takes time in the square of the number of sets; a few more rules
/// are only looked at by the first packet of a flow.
const PORTS_WITHOUT_SET: usize = 8;

/// Empty lists match anything.
pub(super) struct Selector<'a> {
    pub(super) source: &'a [IpNet],
    pub(super) destination: &'a [IpNet],
    pub(super) dscp: &'a [u8],
    pub(super) services: &'a [Service],
}

impl Selector<'_> {
    /// One list of matches for each rule that is needed.
    pub(super) fn rules(&self) -> Vec<Vec<Stmt>> {
        let mut rules = Vec::new();
        for (one, layer3) in self.layer3() {
            for layer4 in self.layer4(one) {
                rules.push(layer3.iter().cloned().chain(layer4).collect());
            }
        }
        rules
    }

    /// `None` in place of the family: both.
    fn layer3(&self) -> Vec<(Option<Family>, Vec<Stmt>)> {
        if self.source.is_empty() && self.destination.is_empty() && self.dscp.is_empty() {
            return vec![(None, Vec::new())];
        }
        Family::BOTH.into_iter().filter_map(|one| Some((Some(one), self.layer3_of(one)?))).collect()
    }

    /// `None`: nothing of this family is meant.
    fn layer3_of(&self, one: Family) -> Option<Vec<Stmt>> {
        let mut matches = Vec::new();
        for (nets, name) in [(self.source, "saddr"), (self.destination, "daddr")] {
            if !nets.is_empty() {
                matches.push(match networks(nets, one) {
                    Reach::None => return None,
                    Reach::All => family(one),
                    Reach::These(right) => equal(field(header(one), name), right),
                });
            }
        }
        if let Some(points) = one_of(self.dscp.iter().map(|point| Expression::Number(u32::from(*point))).collect()) {
            matches.push(equal(field(header(one), "dscp"), points));
        }
        Some(matches)
    }

    fn layer4(&self, one: Option<Family>) -> Vec<Vec<Stmt>> {
        if self.services.is_empty() || self.services.contains(&Service::Any) {
            return vec![Vec::new()];
        }
        let mut rules = Vec::new();
        let tcp = self.services.iter().filter_map(|service| match service {
            Service::Tcp(range) => Some(*range),
            Service::Any | Service::Icmp | Service::Udp(_) => None,
        });
        let udp = self.services.iter().filter_map(|service| match service {
            Service::Udp(range) => Some(*range),
            Service::Any | Service::Icmp | Service::Tcp(_) => None,
        });
        for (name, ranges) in [("tcp", merged(tcp.collect())), ("udp", merged(udp.collect()))] {
            let matching = |right| vec![equal(field(name, "dport"), right)];
            if ranges.len() <= PORTS_WITHOUT_SET {
                rules.extend(ranges.into_iter().map(ports).map(matching));
            } else {
                rules.extend(one_of(ranges.into_iter().map(ports).collect()).map(matching));
            }
        }
        if self.services.contains(&Service::Icmp) {
            let right = match one {
                Some(Family::V4) => text("icmp"),
                Some(Family::V6) => text("ipv6-icmp"),
                None => words(&["icmp", "ipv6-icmp"]),
            };
            rules.push(vec![equal(meta(MetaKey::L4proto), right)]);
        }
        rules
    }
}

/// What a list of networks means within one family.
pub(super) enum Reach {
    None,
    /// A prefix of length 0 is among them.
    All,
    These(Expr),
}

/// Overlapping networks are reduced to the widest: nft refuses a set whose intervals overlap.
pub(super) fn networks(nets: &[IpNet], one: Family) -> Reach {
    let mut own: Vec<IpNet> = nets.iter().map(IpNet::trunc).filter(|net| Family::of(net.addr()) == one).collect();
    own.sort_by_key(|net| (net.prefix_len(), net.addr()));
    let mut widest: Vec<IpNet> = Vec::new();
    for net in own {
        if !widest.iter().any(|wide| wide.contains(&net)) {
            widest.push(net);
        }
    }
    if widest.first().is_some_and(|net| net.prefix_len() == 0) {
        return Reach::All;
    }
    one_of(widest.into_iter().map(network).collect()).map_or(Reach::None, Reach::These)
}

/// Sorted, and without overlaps for the same reason.
fn merged(mut ranges: Vec<PortRange>) -> Vec<PortRange> {
    ranges.sort_by_key(|range| (range.first, range.last));
    let mut merged: Vec<PortRange> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.first <= last.last => last.last = last.last.max(range.last),
            Some(_) | None => merged.push(range),
        }
    }
    merged
}
