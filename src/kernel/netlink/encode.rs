//! Our routes and rules as netlink messages. Source: rtnetlink(7); attribute names as in `linux/rtnetlink.h` and
//! `linux/fib_rules.h`.

use std::net::IpAddr;

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteNextHopFlags, RouteProtocol, RouteScope,
    RouteType, RouteVia,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use crate::config::model::Family;
use crate::kernel::state::{Hop, Route, RouteKind, Rule};

pub(super) fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// For `RTM_NEWROUTE`.
pub(super) fn route(route: &Route) -> RouteMessage {
    let mut message = route_without_hops(route);
    message.header.scope = match (route.family, route.kind) {
        // A default without a gateway reaches its neighbours directly.
        (Family::V4, RouteKind::Unicast) if route.hops.iter().all(|hop| hop.via.is_none()) => RouteScope::Link,
        (Family::V4 | Family::V6, _) => RouteScope::Universe,
    };
    hops(&mut message, route);
    message
}

/// For `RTM_DELROUTE`. The kernel takes the first route that agrees in all that is said, so all is said.
pub(super) fn route_to_delete(route: &Route) -> RouteMessage {
    let mut message = route_without_hops(route);
    message.header.scope = RouteScope::NoWhere;
    // Of an IPv6 route with several hops each hop would be deleted by itself; said without hops, all go at once.
    if route.family == Family::V4 || route.hops.len() == 1 {
        hops(&mut message, route);
    }
    message
}

fn route_without_hops(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(route.family);
    message.header.protocol = RouteProtocol::from(route.protocol);
    message.header.tos = route.tos;
    message.header.kind = match route.kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Other(number) => RouteType::from(number),
    };
    message.header.table = u8::try_from(route.table).unwrap_or(0);
    message.attributes.push(RouteAttribute::Table(route.table));
    message.attributes.push(RouteAttribute::Priority(route.metric));
    if let Some(net) = route.destination {
        message.header.destination_prefix_length = net.prefix_len();
        message.attributes.push(RouteAttribute::Destination(RouteAddress::from(net.addr())));
    }
    message
}

fn hops(message: &mut RouteMessage, route: &Route) {
    match route.hops.as_slice() {
        [] => {}
        [only] => {
            message.attributes.push(RouteAttribute::Oif(only.link));
            message.attributes.extend(gateway(only, route.family));
            if only.onlink {
                message.header.flags |= RouteFlags::Onlink;
            }
        }
        several => {
            let hops = several.iter().map(|hop| next_hop(hop, route.family)).collect();
            message.attributes.push(RouteAttribute::MultiPath(hops));
        }
    }
}

fn next_hop(hop: &Hop, family: Family) -> RouteNextHop {
    let mut next = RouteNextHop::default();
    next.interface_index = hop.link;
    // `rtnh_hops` is the weight less one.
    next.hops = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
    next.attributes.extend(gateway(hop, family));
    if hop.onlink {
        next.flags |= RouteNextHopFlags::Onlink;
    }
    next
}

fn gateway(hop: &Hop, family: Family) -> Option<RouteAttribute> {
    match (family, hop.via?) {
        // IPv4 by way of an IPv6 neighbour, RFC 9229.
        (Family::V4, IpAddr::V6(via)) => Some(RouteAttribute::Via(RouteVia::Inet6(via))),
        (Family::V4 | Family::V6, via) => Some(RouteAttribute::Gateway(RouteAddress::from(via))),
    }
}

/// For `RTM_NEWRULE` and `RTM_DELRULE`.
pub(super) fn rule(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(rule.family);
    // A foreign one may have any action; the kernel compares it only if it is given.
    message.header.action = if rule.foreign { RuleAction::Unspec } else { RuleAction::ToTable };
    message.header.table = u8::try_from(rule.table).unwrap_or(0);
    message.attributes.push(RuleAttribute::Priority(rule.preference));
    message.attributes.push(RuleAttribute::Protocol(RouteProtocol::from(rule.protocol)));
    if rule.table != 0 {
        message.attributes.push(RuleAttribute::Table(rule.table));
    }
    if let Some((value, mask)) = rule.mark {
        message.attributes.push(RuleAttribute::FwMark(value));
        message.attributes.push(RuleAttribute::FwMask(mask));
    }
    if let Some(device) = &rule.device {
        message.attributes.push(RuleAttribute::Oifname(device.clone()));
    }
    if let Some(length) = rule.suppress {
        message.attributes.push(RuleAttribute::SuppressPrefixLen(length));
    }
    message
}
