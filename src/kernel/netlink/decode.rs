//! Netlink messages as our plain data. What we do not model is either left out (routes that do not concern us) or
//! marked as foreign; a message never makes us fail. Source: rtnetlink(7).

use std::net::IpAddr;

use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, State as OperState};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteNextHopFlags, RouteType, RouteVia,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};

use crate::config::model::Family;
use crate::kernel::numbers::RULES;
use crate::kernel::state::{Address, Hop, Link, Route, RouteKind, Rule, Standing};

/// Index and link. `None` for what is not about a link as such: a bridge tells of its ports in the same messages, and
/// "port removed" must not look like "device gone".
pub(super) fn link(message: &LinkMessage) -> Option<(u32, Link)> {
    if message.header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let flags = message.header.flags;
    let mut name = None;
    let mut mac = None;
    let mut operational = true;
    for attribute in &message.attributes {
        if let LinkAttribute::IfName(text) = attribute {
            name = Some(text.clone());
        } else if let LinkAttribute::Address(bytes) = attribute {
            mac = <[u8; 6]>::try_from(bytes.as_slice()).ok();
        } else if let LinkAttribute::OperState(state) = attribute {
            // `Unknown` is what drivers without operational states say. The flag below is set at once, this one may
            // lag behind, so both must agree that there is a signal.
            operational = matches!(state, OperState::Up | OperState::Unknown);
        }
    }
    let carrier = flags.contains(LinkFlags::LowerUp) && operational;
    Some((message.header.index, Link { name: name?, up: flags.contains(LinkFlags::Up), carrier, mac }))
}

/// Addresses of global scope.
pub(super) fn address(message: &AddressMessage) -> Option<Address> {
    if message.header.scope != AddressScope::Universe {
        return None;
    }
    let mut flags = AddressFlags::empty();
    if let Some(short) = Some(message.header.flags).filter(|short| *short != AddressHeaderFlags::empty()) {
        flags = AddressFlags::from_bits_retain(u32::from(short.bits()));
    }
    let (mut own, mut subnet) = (None, None);
    for attribute in &message.attributes {
        if let AddressAttribute::Local(address) = attribute {
            own = Some(*address);
        } else if let AddressAttribute::Address(address) = attribute {
            // On a point-to-point line this is the other side's address.
            subnet = Some(*address);
        } else if let AddressAttribute::Flags(all) = attribute {
            flags = *all;
        }
    }
    let net = IpNet::new(own.or(subnet)?, message.header.prefix_len).ok()?;
    Some(Address { link: message.header.index, net, standing: standing(flags) })
}

fn standing(flags: AddressFlags) -> Standing {
    let unproven = flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic);
    if unproven || flags.contains(AddressFlags::Dadfailed) {
        Standing::Unusable
    } else if flags.contains(AddressFlags::Deprecated) {
        Standing::Deprecated
    } else if flags.contains(AddressFlags::Secondary) {
        Standing::Secondary
    } else {
        Standing::Preferred
    }
}

/// Any route of IPv4 or IPv6 that is in a table (not a cached one).
pub(super) fn route(message: &RouteMessage) -> Option<Route> {
    let family = family(message.header.address_family)?;
    if message.header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let mut table = u32::from(message.header.table);
    let (mut destination, mut metric, mut several) = (None, 0, None);
    let mut hop = Hop { link: 0, via: None, onlink: message.header.flags.contains(RouteFlags::Onlink), weight: 1 };
    for attribute in &message.attributes {
        if let RouteAttribute::Table(number) = attribute {
            table = *number;
        } else if let RouteAttribute::Priority(number) = attribute {
            metric = *number;
        } else if let RouteAttribute::Destination(address) = attribute {
            destination = Some(route_address(address)?);
        } else if let RouteAttribute::Oif(index) = attribute {
            hop.link = *index;
        } else if let RouteAttribute::MultiPath(hops) = attribute {
            several = Some(hops);
        } else {
            hop.via = hop.via.or_else(|| gateway(attribute));
        }
    }
    let kind = match message.header.kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Unreachable => RouteKind::Unreachable,
        other => RouteKind::Other(u8::from(other)),
    };
    let mut hops = match several {
        // IPv6 shows `unreachable` on the loopback device.
        _ if kind != RouteKind::Unicast => Vec::new(),
        Some(several) => several.iter().map(next_hop).collect(),
        None => vec![hop],
    };
    hops.sort_unstable();
    let destination = match (destination, message.header.destination_prefix_length) {
        (Some(address), length) => Some(IpNet::new(address, length).ok()?),
        (None, 0) => None,
        // `0.0.0.0/1` and the like come without an address from some kernels.
        (None, length) => Some(IpNet::new(unspecified(family), length).ok()?),
    };
    let protocol = u8::from(message.header.protocol);
    Some(Route { family, table, destination, tos: message.header.tos, metric, protocol, kind, hops })
}

fn next_hop(message: &RouteNextHop) -> Hop {
    Hop {
        link: message.interface_index,
        via: message.attributes.iter().find_map(gateway),
        onlink: message.flags.contains(RouteNextHopFlags::Onlink),
        weight: u16::from(message.hops) + 1,
    }
}

fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    if let RouteAttribute::Gateway(address) = attribute {
        route_address(address)
    } else if let RouteAttribute::Via(RouteVia::Inet6(address)) = attribute {
        Some(IpAddr::V6(*address))
    } else {
        None
    }
}

fn route_address(address: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(address) = address {
        Some(IpAddr::V4(*address))
    } else if let RouteAddress::Inet6(address) = address {
        Some(IpAddr::V6(*address))
    } else {
        None
    }
}

/// Rules in our range of preferences.
pub(super) fn rule(message: &RuleMessage) -> Option<Rule> {
    let mut rule = Rule {
        family: family(message.header.family)?,
        preference: 0,
        table: u32::from(message.header.table),
        mark: None,
        device: None,
        suppress: None,
        protocol: 0,
        foreign: message.header.action != RuleAction::ToTable
            || message.header.flags.contains(RuleFlags::Invert)
            || (message.header.src_len, message.header.dst_len, message.header.tos) != (0, 0, 0),
    };
    let (mut value, mut mask) = (None, None);
    for attribute in &message.attributes {
        if let RuleAttribute::Priority(number) = attribute {
            rule.preference = *number;
        } else if let RuleAttribute::Table(number) = attribute {
            rule.table = *number;
        } else if let RuleAttribute::FwMark(number) = attribute {
            value = Some(*number);
        } else if let RuleAttribute::FwMask(number) = attribute {
            mask = Some(*number);
        } else if let RuleAttribute::Oifname(name) = attribute {
            rule.device = Some(name.clone());
        } else if let RuleAttribute::SuppressPrefixLen(length) = attribute {
            rule.suppress = Some(*length).filter(|length| *length != u32::MAX);
        } else if let RuleAttribute::Protocol(protocol) = attribute {
            rule.protocol = u8::from(*protocol);
        } else {
            rule.foreign |= narrows(attribute);
        }
    }
    rule.mark = match (value.unwrap_or(0), mask.unwrap_or(0)) {
        (0, 0) => None,
        both => Some(both),
    };
    RULES.contains(&rule.preference).then_some(rule)
}

/// Is this a selector? The kernel also sends attributes that say nothing (an interface group of all ones).
fn narrows(attribute: &RuleAttribute) -> bool {
    match attribute {
        RuleAttribute::SuppressIfGroup(group) => *group != u32::MAX,
        RuleAttribute::L3MDev(on) => *on,
        RuleAttribute::Other(_) => false,
        _ => true,
    }
}

/// Does the entry say that the neighbour answers? RFC 4861 names the states; the kernel has the same for ARP. What an
/// administrator wrote down says nothing of the kind.
pub(super) fn reachable(message: &NeighbourMessage) -> Option<bool> {
    match message.header.state {
        NeighbourState::Reachable => Some(true),
        NeighbourState::Failed | NeighbourState::Incomplete => Some(false),
        _ => None,
    }
}

/// Can the kernel be made to ask again? Not for what an administrator wrote down, and it is asking already or starts over
/// with the next packet where it knows no address.
pub(super) fn may_ask(message: &NeighbourMessage) -> bool {
    matches!(message.header.state, NeighbourState::Reachable | NeighbourState::Stale | NeighbourState::Delay)
}

pub(super) fn is_fixed(message: &NeighbourMessage) -> bool {
    matches!(message.header.state, NeighbourState::Permanent | NeighbourState::Noarp)
}

/// Device, address and hardware address of an entry that has all three.
pub(super) fn link_address(message: &NeighbourMessage) -> Option<(u32, IpAddr, [u8; 6])> {
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        if let NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) = attribute {
            address = Some(IpAddr::V4(*found));
        } else if let NeighbourAttribute::Destination(NeighbourAddress::Inet6(found)) = attribute {
            address = Some(IpAddr::V6(*found));
        } else if let NeighbourAttribute::LinkLayerAddress(bytes) = attribute {
            mac = <[u8; 6]>::try_from(bytes.as_slice()).ok();
        }
    }
    Some((message.header.ifindex, address?, mac?))
}

fn family(family: AddressFamily) -> Option<Family> {
    match family {
        AddressFamily::Inet => Some(Family::V4),
        AddressFamily::Inet6 => Some(Family::V6),
        _ => None,
    }
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}
