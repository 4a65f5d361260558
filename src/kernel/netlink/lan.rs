//! Links, addresses and static default routes of the branch: reading them, and changing them where no systemd-networkd
//! does. Addresses carry our protocol number (`IFA_PROTO`, Linux 5.18), so that we never take away somebody else's.

use std::net::IpAddr;

use ipnet::IpNet;
use nix::libc;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol};
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
};

use super::{Netlink, decode, encode};
use crate::apply::exec::KernelError;
use crate::apply::services::links::{Default as DefaultRoute, Device, Found, Kind, LinkStep, UPLINK_METRIC};
use crate::config::model::{Family, limits};
use crate::kernel::numbers::{MAIN_TABLE, PROTOCOL};
use crate::kernel::state::{Hop, Route, RouteKind};

/// `RTPROT_STATIC` of `linux/rtnetlink.h`: what administrators' tools write, and what networkd says of static routes.
const STATIC: u8 = 4;

impl Netlink {
    /// What the kernel has of links, addresses and static defaults.
    pub async fn lan(&self) -> Result<Found, KernelError> {
        let mut found = Found::default();
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        for answer in self.dump_of(RouteNetlinkMessage::GetLink(message), "list the links").await? {
            if let RouteNetlinkMessage::NewLink(message) = answer {
                found.devices.extend(device(&message));
            }
        }
        let name = |found: &Found, index: u32| {
            found.devices.iter().find(|device| device.index == index).map(|device| device.name.clone())
        };
        let message = AddressMessage::default();
        for answer in self.dump_of(RouteNetlinkMessage::GetAddress(message), "list the addresses").await? {
            if let RouteNetlinkMessage::NewAddress(message) = answer
                && let Some(address) = decode::address(&message)
                && let Some(device) = name(&found, address.link)
            {
                found.addresses.push((device, address.net, is_ours(&message)));
            }
        }
        let ours = UPLINK_METRIC..UPLINK_METRIC + u32::try_from(limits::UPLINKS).unwrap_or(u32::MAX);
        for family in Family::BOTH {
            for route in self.routes(family, None).await? {
                if route.table == MAIN_TABLE && route.protocol == STATIC && ours.contains(&route.metric) {
                    for hop in &route.hops {
                        let device = name(&found, hop.link);
                        found.defaults.extend(device.zip(hop.via).map(|(device, via)| (device, via, route.metric)));
                    }
                }
            }
        }
        Ok(found)
    }

    pub async fn change(&self, step: &LinkStep) -> Result<(), KernelError> {
        let operation = || step.describe();
        let index = async |name: &str| self.index_of(name, operation()).await;
        let (message, flags) = match step {
            LinkStep::AddBridge { device } => {
                let mut message = LinkMessage::default();
                message.attributes.push(LinkAttribute::IfName(device.to_string()));
                message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
                (RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            }
            LinkStep::Join { port, bridge } => {
                let bridge = index(bridge.as_str()).await?;
                (link_with(index(port.as_str()).await?, Some(LinkAttribute::Controller(bridge))), 0)
            }
            LinkStep::Leave { port } => (link_with(index(port).await?, Some(LinkAttribute::Controller(0))), 0),
            LinkStep::Up { device } => {
                let mut message = LinkMessage::default();
                message.header.index = index(device.as_str()).await?;
                message.header.flags = LinkFlags::Up;
                message.header.change_mask = LinkFlags::Up;
                (RouteNetlinkMessage::SetLink(message), 0)
            }
            LinkStep::RemoveDevice { device } => {
                let mut message = LinkMessage::default();
                message.header.index = index(device).await?;
                (RouteNetlinkMessage::DelLink(message), 0)
            }
            LinkStep::AddAddress { device, net } => {
                let message = address(index(device.as_str()).await?, *net);
                (RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
            }
            LinkStep::RemoveAddress { device, net } => {
                (RouteNetlinkMessage::DelAddress(address(index(device).await?, *net)), 0)
            }
            LinkStep::AddDefault(DefaultRoute { device, via, metric }) => {
                let route = default_route(index(device.as_str()).await?, *via, *metric);
                (RouteNetlinkMessage::NewRoute(encode::route(&route)), NLM_F_CREATE | NLM_F_REPLACE)
            }
            LinkStep::RemoveDefault { device, via, metric } => {
                let route = default_route(index(device).await?, *via, *metric);
                (RouteNetlinkMessage::DelRoute(encode::route_to_delete(&route)), 0)
            }
        };
        match self.ask(message, NLM_F_REQUEST | NLM_F_ACK | flags, operation).await {
            // Gone already, with its device or with the address that it was reached by.
            Err(KernelError::Refused { source, .. })
                if matches!(step, LinkStep::RemoveDefault { .. } | LinkStep::RemoveAddress { .. })
                    && matches!(source.raw_os_error(), Some(libc::ESRCH | libc::EADDRNOTAVAIL)) =>
            {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    async fn index_of(&self, name: &str, operation: String) -> Result<u32, KernelError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let request = RouteNetlinkMessage::GetLink(message);
        let answers = self.ask(request, NLM_F_REQUEST, || operation.clone()).await?;
        let index = answers.messages.iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(message) => Some(message.header.index),
            _ => None,
        });
        index.ok_or(KernelError::Closed { operation })
    }
}

fn link_with(index: u32, attribute: Option<LinkAttribute>) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.extend(attribute);
    RouteNetlinkMessage::SetLink(message)
}

fn device(message: &LinkMessage) -> Option<Device> {
    let (index, link) = decode::link(message)?;
    let (mut kind, mut member_of) = (Kind::Other, None);
    for attribute in &message.attributes {
        if let LinkAttribute::Controller(master) = attribute {
            member_of = Some(*master);
        } else if let LinkAttribute::LinkInfo(infos) = attribute {
            kind = kind_of(infos);
        }
    }
    Some(Device { index, name: link.name, kind, member_of, up: link.up })
}

fn kind_of(infos: &[LinkInfo]) -> Kind {
    if infos.contains(&LinkInfo::Kind(InfoKind::Bridge)) {
        return Kind::Bridge;
    }
    let numbers = infos.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vlan(data)) => data.iter().find_map(|entry| match entry {
            InfoVlan::Id(number) => Some(*number),
            _ => None,
        }),
        _ => None,
    });
    numbers.map_or(Kind::Other, Kind::Vlan)
}

fn is_ours(message: &AddressMessage) -> bool {
    let ours = |attribute: &AddressAttribute| matches!(attribute, AddressAttribute::Protocol(protocol) if u8::from(*protocol) == PROTOCOL);
    message.attributes.iter().any(ours)
}

fn address(link: u32, net: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = encode::address_family(Family::of(net.addr()));
    message.header.prefix_len = net.prefix_len();
    message.header.index = link;
    message.attributes.push(AddressAttribute::Local(net.addr()));
    message.attributes.push(AddressAttribute::Address(net.addr()));
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::from(PROTOCOL)));
    match net {
        IpNet::V4(net) => message.attributes.push(AddressAttribute::Broadcast(net.broadcast())),
        // The address is the gateway's by config. Looking for a duplicate would let anybody on the LAN take it away.
        IpNet::V6(_) => message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad)),
    }
    message
}

fn default_route(link: u32, via: IpAddr, metric: u32) -> Route {
    Route {
        family: Family::of(via),
        table: MAIN_TABLE,
        destination: None,
        tos: 0,
        metric,
        protocol: STATIC,
        kind: RouteKind::Unicast,
        hops: vec![Hop { link, via: Some(via), onlink: false, weight: 1 }],
    }
}
