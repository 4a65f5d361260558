//! Addresses. IPv4 is masqueraded on every uplink. IPv6 by mode:
//!
//! - `nat66`, `static`: masqueraded.
//! - `npt`: masqueraded as well. The 1:1 mapping of RFC 6296 needs the delegated prefix to be as long as ours; what that
//!   gains over masquerading (inbound flows without a forward) is nothing this filter would let in.
//! - `native`: sources are kept, but for addresses that cannot work on this line: unique local ones, and those out of
//!   another uplink's prefix (stragglers after a failover).
//!
//! Masquerading, not a fixed source: when a flow's device changes after all, the kernel drops the flow by itself.

use std::borrow::Cow;

use ipnet::IpNet;
use nftables::expr::{Expression, MetaKey, NamedExpression, SetItem};
use nftables::stmt::{NAT, NATFamily, Statement};
use nftables::types::{NfChainPolicy, NfChainType, NfHook};

use super::expression::{
    Expr, Stmt, device, equal, family, field, header, meta, network, not_equal, ports, protocol, to_this_machine,
};
use super::selector::{Reach, networks};
use super::{Learnt, TableBuilder, devices, priority};
use crate::config::model::{Family, Forward, Gateway, Ipv6Mode, PortRange, Service, UplinkId};

pub(super) fn build(table: &mut TableBuilder, gateway: &Gateway, learnt: &Learnt) {
    forwards(table, gateway);
    masquerades(table, gateway, learnt);
}

fn masquerades(table: &mut TableBuilder, gateway: &Gateway, learnt: &Learnt) {
    const CHAIN: &str = "srcnat";
    table.base_chain(CHAIN, NfChainType::NAT, NfHook::Postrouting, priority::SRCNAT, NfChainPolicy::Accept);
    for id in gateway.uplink_ids() {
        let uplink = gateway.uplink(id);
        let by = || equal(meta(MetaKey::Oifname), device(&uplink.device));
        let comment = || format!("uplink {}", uplink.name);
        table.rule(CHAIN, comment(), vec![by(), family(Family::V4), masquerade()]);
        match uplink.ipv6 {
            Ipv6Mode::Off => {}
            Ipv6Mode::Nat66 | Ipv6Mode::Npt | Ipv6Mode::Static { .. } => {
                // Link-local addresses stay: they are how the line itself is spoken to (leases, neighbours).
                let local = network("fe80::/10".parse().expect("a literal network"));
                table.rule(CHAIN, comment(), vec![by(), not_equal(field("ip6", "saddr"), local), masquerade()]);
            }
            Ipv6Mode::Native => {
                if let Reach::These(foreign) = networks(&foreign_prefixes(learnt, id), Family::V6) {
                    table.rule(CHAIN, comment(), vec![by(), equal(field("ip6", "saddr"), foreign), masquerade()]);
                }
            }
        }
    }
}

fn foreign_prefixes(learnt: &Learnt, own: UplinkId) -> Vec<IpNet> {
    let others = learnt.prefixes.iter().filter(|(id, _)| **id != own).flat_map(|(_, prefixes)| prefixes);
    let unique_local = "fc00::/7".parse().expect("a literal network");
    others.copied().map(IpNet::V6).chain([unique_local]).collect()
}

fn masquerade() -> Stmt {
    Statement::Masquerade(None)
}

fn forwards(table: &mut TableBuilder, gateway: &Gateway) {
    const CHAIN: &str = "dstnat";
    table.base_chain(CHAIN, NfChainType::NAT, NfHook::Prerouting, priority::DSTNAT, NfChainPolicy::Accept);
    for forward in &gateway.firewall.forwards {
        let Some(on) = devices(gateway, forward.on.iter().map(|id| &gateway.uplink(*id).device)) else { continue };
        let one = Family::of(forward.to);
        let mut statements = vec![equal(meta(MetaKey::Iifname), on), family(one), to_this_machine()];
        if !forward.source.is_empty() {
            match networks(&forward.source, one) {
                Reach::None => continue,
                Reach::All => {}
                Reach::These(source) => statements.push(equal(field(header(one), "saddr"), source)),
            }
        }
        statements.extend(service(forward.service, one));
        statements.push(destination(forward, one));
        table.rule(CHAIN, format!("forward {}", forward.name), statements);
    }
}

fn service(service: Service, one: Family) -> Option<Stmt> {
    match (service, one) {
        (Service::Any, _) => None,
        (Service::Icmp, Family::V4) => Some(protocol("icmp")),
        (Service::Icmp, Family::V6) => Some(protocol("ipv6-icmp")),
        (Service::Tcp(range), _) => Some(equal(field("tcp", "dport"), ports(range))),
        (Service::Udp(range), _) => Some(equal(field("udp", "dport"), ports(range))),
    }
}

fn destination(forward: &Forward, one: Family) -> Stmt {
    let (protocol, range) = match forward.service {
        Service::Any | Service::Icmp => ("th", None),
        Service::Tcp(range) => ("tcp", Some(range)),
        Service::Udp(range) => ("udp", Some(range)),
    };
    Statement::DNAT(Some(NAT {
        addr: Some(Expression::String(Cow::Owned(forward.to.to_string()))),
        family: Some(match one {
            Family::V4 => NATFamily::IP,
            Family::V6 => NATFamily::IP6,
        }),
        port: range.and_then(|range| shifted(protocol, range, forward.to_port)),
        flags: None,
    }))
}

/// Port by port: a plain range as the target would let the kernel pick any of it. `None`: ports stay as they are.
fn shifted(protocol: &'static str, range: PortRange, to: u16) -> Option<Expr> {
    if range.first == to {
        return None;
    }
    if range.first == range.last {
        return Some(Expression::Number(u32::from(to)));
    }
    let number = |port: u16| Expression::Number(u32::from(port));
    let pairs = (range.first..=range.last)
        .zip(to..=u16::MAX)
        .map(|(from, to)| SetItem::Mapping(number(from), number(to)))
        .collect();
    let data = Expression::Named(NamedExpression::Set(pairs));
    let key = field(protocol, "dport");
    Some(Expression::Named(NamedExpression::Map(Box::new(nftables::expr::Map { key, data }))))
}
