//! From what the kernel has to what the engine is told: link, address, gateway and neighbour of each uplink. Pure, and
//! says everything each time; the daemon drops what is not new.

use std::net::IpAddr;

use super::numbers::{MAIN_TABLE, PROTOCOL};
use super::state::{Hop, Link, RouteKind, Standing, State};
use crate::config::model::{Family, Gateway, Uplink, UplinkId};
use crate::engine::event::{self, Event};

pub fn observe(config: &Gateway, state: &State) -> Vec<Event> {
    config.uplink_ids().flat_map(|id| observe_uplink(id, config.uplink(id), state)).collect()
}

fn observe_uplink(uplink: UplinkId, config: &Uplink, state: &State) -> Vec<Event> {
    let link = state.link(&config.device).map(|(_, link)| link);
    let mut events = vec![Event::Link { uplink, link: link_state(link) }];
    for family in Family::BOTH.into_iter().filter(|family| config.has(*family)) {
        let gateway = gateway(config, state, family);
        events.push(Event::Address { uplink, family, address: source_address(config, state, family) });
        events.push(Event::Gateway { uplink, family, gateway });
        let reachable = gateway.and_then(|gateway| neighbour(config, state, gateway));
        events.push(Event::Neighbour { uplink, family, reachable });
    }
    events
}

pub fn link_state(link: Option<&Link>) -> event::Link {
    match link {
        None => event::Link::Missing,
        Some(Link { up: true, carrier: true, .. }) => event::Link::Up,
        Some(_) => event::Link::NoCarrier,
    }
}

/// The address from which the uplink would send: the best standing wins, an IPv6 address that the internet routes
/// before a unique local one (RFC 4193), then the kernel's order.
pub fn source_address(config: &Uplink, state: &State, family: Family) -> Option<IpAddr> {
    let (index, _) = state.link(&config.device)?;
    state
        .addresses
        .iter()
        .filter(|address| address.link == index && Family::of(address.net.addr()) == family)
        .filter(|address| address.standing != Standing::Unusable)
        .min_by_key(|address| (address.standing, is_unique_local(address.net.addr())))
        .map(|address| address.net.addr())
}

/// The uplink's gateway: the config's, else that of the best default route through its device in `main`.
fn gateway(config: &Uplink, state: &State, family: Family) -> Option<event::Gateway> {
    if let Some(address) = config.static_gateway(family) {
        return Some(event::Gateway::Via(address));
    }
    let hop = learnt_hop(config, state, family)?;
    Some(hop.via.map_or(event::Gateway::OnLink, event::Gateway::Via))
}

/// How a packet leaves through this uplink at the moment; `None` while that is impossible (no device, set down, no
/// gateway, or no address from which a static gateway could be reached).
pub fn next_hop(config: &Uplink, state: &State, family: Family) -> Option<Hop> {
    let (link, _) = state.link(&config.device).filter(|(_, link)| link.up)?;
    let Some(gateway) = config.static_gateway(family) else {
        return learnt_hop(config, state, family);
    };
    let mut nets = state
        .addresses
        .iter()
        .filter(|address| address.link == link && address.standing != Standing::Unusable)
        .map(|address| address.net)
        .filter(|net| Family::of(net.addr()) == family)
        .peekable();
    let link_local = matches!(gateway, IpAddr::V6(address) if address.is_unicast_link_local());
    if !link_local && nets.peek().is_none() {
        return None;
    }
    let onlink = !link_local && !nets.any(|net| net.contains(&gateway));
    Some(Hop { link, via: Some(gateway), onlink, weight: 1 })
}

/// networkd writes what DHCP (protocol 16), router advertisements (9) or a static file (4) gave; which of them does not
/// matter here, the metric decides as it would in the kernel.
fn learnt_hop(config: &Uplink, state: &State, family: Family) -> Option<Hop> {
    let (index, _) = state.link(&config.device)?;
    let (_, hop) = state
        .routes_in(family, MAIN_TABLE)
        .filter(|route| route.kind == RouteKind::Unicast && route.protocol != PROTOCOL && route.tos == 0)
        .flat_map(|route| route.hops.iter().map(|hop| (route.metric, hop)))
        .filter(|(_, hop)| hop.link == index)
        .min_by_key(|(metric, _)| *metric)?;
    Some(Hop { weight: 1, ..*hop })
}

fn neighbour(config: &Uplink, state: &State, gateway: event::Gateway) -> Option<bool> {
    let event::Gateway::Via(address) = gateway else { return None };
    let (index, _) = state.link(&config.device)?;
    state.neighbours.iter().find(|entry| entry.link == index && entry.address == address)?.reachable
}

fn is_unique_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unique_local())
}
