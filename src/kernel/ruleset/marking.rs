//! A flow belongs to the uplink on which it left (or came in): the connection mark says so, and each later packet carries
//! it, so that routing rules send it the same way whatever the path's route has become meanwhile.
//!
//! The first packet of a flow carries only the mark of its path. Routing chooses the uplink; the mark follows in
//! `postrouting`, once the device is known. So changing the uplink of new flows needs no change here.

use nftables::expr::{Expression, MetaKey, NamedExpression, RT, RTKey, TcpOption};
use nftables::types::{NfChainPolicy, NfChainType, NfHook};

use super::expression::{
    Expr, Stmt, accept, any_bit, ct, device, equal, field, masked, meta, not_equal, original_direction, set, state,
    text, with_bits,
};
use super::selector::Selector;
use super::{TableBuilder, devices, network_devices, priority};
use crate::config::model::{Gateway, LinkName, Match, Network, Path};
use crate::kernel::marks;

pub(super) fn build(table: &mut TableBuilder, gateway: &Gateway) {
    incoming(table, gateway);
    outgoing(table, gateway);
    leaving(table, gateway);
}

/// The mark has an uplink already.
fn decided() -> Stmt {
    not_equal(masked(ct("mark"), marks::UPLINK_MASK), Expression::Number(0))
}

fn undecided() -> Stmt {
    equal(masked(ct("mark"), marks::UPLINK_MASK), Expression::Number(0))
}

fn restore() -> Stmt {
    set(meta(MetaKey::Mark), ct("mark"))
}

fn incoming(table: &mut TableBuilder, gateway: &Gateway) {
    const CHAIN: &str = "mark_in";
    table.base_chain(CHAIN, NfChainType::Filter, NfHook::Prerouting, priority::MANGLE, NfChainPolicy::Accept);
    table.rule(CHAIN, "known flow", vec![decided(), restore(), accept()]);
    // A flow that came in through an uplink is answered through it, also when another one is in use.
    for id in gateway.uplink_ids() {
        let uplink = gateway.uplink(id);
        table.rule(
            CHAIN,
            format!("from uplink {}", uplink.name),
            vec![
                equal(meta(MetaKey::Iifname), device(&uplink.device)),
                original_direction(),
                set(ct("mark"), Expression::Number(marks::uplink(gateway.slot(id)))),
                restore(),
                accept(),
            ],
        );
    }
    for id in gateway.path_ids().skip(1) {
        let path = &gateway.paths[id.index()];
        for one in &path.matches {
            for matches in path_matches(gateway, one) {
                let mut statements = matches;
                statements.extend([set(meta(MetaKey::Mark), Expression::Number(marks::path(id))), accept()]);
                table.rule(CHAIN, path_comment(path), statements);
            }
        }
    }
}

fn path_comment(path: &Path) -> String {
    format!("path {}", path.name)
}

fn path_matches(gateway: &Gateway, one: &Match) -> Vec<Vec<Stmt>> {
    let from: Vec<&LinkName> = if one.from.is_empty() {
        network_devices(gateway).collect()
    } else {
        let named = |network: &&Network| one.from.contains(&network.name);
        gateway.networks.iter().filter(named).flat_map(|network| &network.ports).collect()
    };
    let Some(from) = devices(gateway, from) else { return Vec::new() };
    let selector =
        Selector { source: &one.source, destination: &one.destination, dscp: &one.dscp, services: &one.services };
    let start = [equal(meta(MetaKey::Iifname), from), state(&["new"])];
    selector.rules().into_iter().map(|matches| start.iter().cloned().chain(matches).collect()).collect()
}

/// Our own packets. A route hook: the kernel routes again when the packet's mark changes.
fn outgoing(table: &mut TableBuilder, gateway: &Gateway) {
    const CHAIN: &str = "mark_out";
    table.base_chain(CHAIN, NfChainType::Route, NfHook::Output, priority::MANGLE, NfChainPolicy::Accept);
    table.rule(CHAIN, "known flow", vec![decided(), restore(), accept()]);
    table.rule(CHAIN, "socket bound to its uplink", vec![any_mark_bit(marks::BOUND_SOCKET), accept()]);
    // Also pings of other programs: an echo needs no pinning, and one that outlives its uplink is only evidence.
    table.rule(CHAIN, "echo", vec![equal(field("icmp", "type"), text("echo-request")), accept()]);
    table.rule(CHAIN, "echo", vec![equal(field("icmpv6", "type"), text("echo-request")), accept()]);
    for id in gateway.uplink_ids() {
        let uplink = gateway.uplink(id);
        table.rule(
            CHAIN,
            format!("own flow by uplink {}", uplink.name),
            vec![
                equal(meta(MetaKey::Oifname), device(&uplink.device)),
                original_direction(),
                set(ct("mark"), Expression::Number(marks::uplink(gateway.slot(id)))),
                accept(),
            ],
        );
    }
}

fn any_mark_bit(bit: u32) -> Stmt {
    not_equal(masked(meta(MetaKey::Mark), bit), Expression::Number(0))
}

fn leaving(table: &mut TableBuilder, gateway: &Gateway) {
    const CHAIN: &str = "mark_flow";
    table.base_chain(CHAIN, NfChainType::Filter, NfHook::Postrouting, priority::MANGLE, NfChainPolicy::Accept);
    for id in gateway.uplink_ids() {
        let uplink = gateway.uplink(id);
        // A line with a smaller MTU (PPPoE, LTE) and a provider that drops "packet too big" would swallow large segments.
        table.rule(
            CHAIN,
            format!("segments fit uplink {}", uplink.name),
            vec![
                equal(meta(MetaKey::Oifname), device(&uplink.device)),
                any_bit(field("tcp", "flags"), &["syn"]),
                set(maximum_segment(), route_mtu()),
            ],
        );
        let Some(from) = devices(gateway, network_devices(gateway)) else { continue };
        table.rule(
            CHAIN,
            format!("new flow by uplink {}", uplink.name),
            vec![
                equal(meta(MetaKey::Iifname), from),
                equal(meta(MetaKey::Oifname), device(&uplink.device)),
                original_direction(),
                undecided(),
                set(
                    ct("mark"),
                    with_bits(masked(meta(MetaKey::Mark), marks::PATH_MASK), marks::uplink(gateway.slot(id))),
                ),
            ],
        );
    }
}

fn maximum_segment() -> Expr {
    Expression::Named(NamedExpression::TcpOption(TcpOption { name: "maxseg".into(), field: Some("size".into()) }))
}

fn route_mtu() -> Expr {
    Expression::Named(NamedExpression::RT(RT { key: RTKey::MTU, family: None }))
}
