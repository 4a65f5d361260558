//! The nudge: one packet that makes an idle TCP client notice that its connection is lost.
//!
//! After a failover the gateway has forgotten the flow, and the next packet of the client draws a reset. A client that only
//! listens sends none. So we send it one bare ACK in the far server's name, far outside its window. It must answer such a
//! segment with an ACK of its own (RFC 9293, 3.10.7.4), and *that* draws the reset, with the right sequence number.
//! Building packets is pure; [`io`] sends them.

pub mod io;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet::packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::{self, Ipv4Packet, MutableIpv4Packet};
use pnet::packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet::packet::tcp::{self, MutableTcpPacket, TcpFlags, TcpPacket};
use pnet::util::MacAddr;

use super::flow::Flow;
use crate::config::model::LinkName;

/// Packets a second, over all networks: a failover of a busy branch is done in a second or two, and no switch or
/// access point in the branch sees a burst worth mentioning.
pub const PER_SECOND: u32 = 2_000;

/// Where a client of a network is, from the kernel's neighbour table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    pub index: u32,
    pub device: LinkName,
    pub mac: [u8; 6],
}

/// Neighbours on networks only, never those on uplinks: who is in here may be spoken to.
pub type Neighbours = BTreeMap<IpAddr, Neighbour>;

/// One segment to be sent: whom it seems to come from, and to whom it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nudge {
    pub client: Neighbour,
    ends: Ends,
    far_port: u16,
    near_port: u16,
    sequence: u32,
    acknowledgement: u32,
}

/// The server's and the client's address; of one family by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    V4 { far: Ipv4Addr, near: Ipv4Addr },
    V6 { far: Ipv6Addr, near: Ipv6Addr },
}

/// The nudges for those flows that need one: established TCP with one end in a network. `seed` makes the sequence
/// numbers; all but a thousandth of all numbers lie outside a client's window, and one inside it does no harm.
pub fn plan(flows: &[Flow], neighbours: &Neighbours, seed: u64) -> Vec<Nudge> {
    let mut random = seed;
    flows
        .iter()
        .filter(|flow| flow.is_established_tcp())
        .filter_map(|flow| nudge(flow, neighbours, &mut random))
        .collect()
}

fn nudge(flow: &Flow, neighbours: &Neighbours, random: &mut u64) -> Option<Nudge> {
    let (original, reply) = (&flow.original, &flow.reply);
    // Either the client began the flow, or it serves a forwarded one. Both ends as the client sees them.
    let opened = ((original.source, original.source_port), (original.destination, original.destination_port));
    let served = ((reply.source, reply.source_port), (reply.destination, reply.destination_port));
    let (near, far) = [opened, served].into_iter().find(|(near, _)| neighbours.contains_key(&near.0))?;
    let ends = match (far.0, near.0) {
        (IpAddr::V4(far), IpAddr::V4(near)) => Ends::V4 { far, near },
        (IpAddr::V6(far), IpAddr::V6(near)) => Ends::V6 { far, near },
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    let numbers = split_mix(random);
    Some(Nudge {
        client: neighbours.get(&near.0)?.clone(),
        ends,
        far_port: far.1,
        near_port: near.1,
        sequence: u32::try_from(numbers >> 32).unwrap_or(0),
        acknowledgement: u32::try_from(numbers & u64::from(u32::MAX)).unwrap_or(0),
    })
}

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const ETHERNET: usize = EthernetPacket::minimum_packet_size();
const IPV4: usize = Ipv4Packet::minimum_packet_size();
const IPV6: usize = Ipv6Packet::minimum_packet_size();
const TCP: usize = TcpPacket::minimum_packet_size();
/// As from a server a few hops away.
const TTL: u8 = 56;

impl Nudge {
    /// The whole Ethernet frame, sent from `gateway`, the device's own address.
    pub fn frame(&self, gateway: [u8; 6]) -> Vec<u8> {
        let (kind, packet) = match self.ends {
            Ends::V4 { far, near } => {
                let mut bytes = vec![0; IPV4 + TCP];
                self.write_tcp(&mut bytes[IPV4..], |segment| tcp::ipv4_checksum(segment, &far, &near));
                let mut header = MutableIpv4Packet::new(&mut bytes).expect("sized for the header");
                header.set_version(4);
                header.set_header_length(5);
                header.set_total_length(length(IPV4 + TCP));
                header.set_flags(ipv4::Ipv4Flags::DontFragment);
                header.set_ttl(TTL);
                header.set_next_level_protocol(IpNextHeaderProtocols::Tcp);
                header.set_source(far);
                header.set_destination(near);
                let checksum = ipv4::checksum(&header.to_immutable());
                header.set_checksum(checksum);
                (EtherTypes::Ipv4, bytes)
            }
            Ends::V6 { far, near } => {
                let mut bytes = vec![0; IPV6 + TCP];
                self.write_tcp(&mut bytes[IPV6..], |segment| tcp::ipv6_checksum(segment, &far, &near));
                let mut header = MutableIpv6Packet::new(&mut bytes).expect("sized for the header");
                header.set_version(6);
                header.set_payload_length(length(TCP));
                header.set_next_header(IpNextHeaderProtocols::Tcp);
                header.set_hop_limit(TTL);
                header.set_source(far);
                header.set_destination(near);
                (EtherTypes::Ipv6, bytes)
            }
        };
        let mut frame = vec![0; ETHERNET];
        let mut header = MutableEthernetPacket::new(&mut frame).expect("sized for the header");
        header.set_source(MacAddr::from(gateway));
        header.set_destination(MacAddr::from(self.client.mac));
        header.set_ethertype(kind);
        frame.extend(packet);
        frame
    }

    fn write_tcp(&self, bytes: &mut [u8], checksum: impl Fn(&TcpPacket<'_>) -> u16) {
        let mut segment = MutableTcpPacket::new(bytes).expect("sized for the header");
        segment.set_source(self.far_port);
        segment.set_destination(self.near_port);
        segment.set_sequence(self.sequence);
        segment.set_acknowledgement(self.acknowledgement);
        segment.set_data_offset(5);
        segment.set_flags(TcpFlags::ACK);
        segment.set_window(u16::MAX);
        let sum = checksum(&segment.to_immutable());
        segment.set_checksum(sum);
    }
}

fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).expect("two headers are shorter than 64 KiB")
}

#[cfg(test)]
mod tests {
    use pnet::packet::Packet;

    use super::*;
    use crate::config::model::Family;
    use crate::kernel::flow::{self, Tuple};

    const CLIENT: &str = "192.168.1.10";
    const CLIENT6: &str = "fd00:1::10";

    fn neighbours() -> Neighbours {
        let neighbour =
            Neighbour { index: 3, device: LinkName::new("lan0").expect("a device name"), mac: [2, 0, 0, 0, 0, 10] };
        Neighbours::from([(address(CLIENT), neighbour.clone()), (address(CLIENT6), neighbour)])
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("a literal address")
    }

    fn established(source: &str, destination: &str, reply_source: &str, reply_destination: &str) -> Flow {
        let tuple = |source, destination, source_port, destination_port| Tuple {
            source: address(source),
            destination: address(destination),
            source_port,
            destination_port,
        };
        Flow {
            family: Family::of(address(source)),
            protocol: flow::TCP,
            original: tuple(source, destination, 40_000, 443),
            reply: tuple(reply_source, reply_destination, 443, 40_000),
            mark: 0x100,
            status: 0,
            tcp_state: Some(flow::TCP_ESTABLISHED),
        }
    }

    #[test]
    fn the_segment_comes_in_the_servers_name_with_right_checksums() {
        let flow = established(CLIENT, "198.51.100.7", "198.51.100.7", "203.0.113.2");
        let nudges = plan(&[flow], &neighbours(), 1);
        let frame = nudges[0].frame([2, 0, 0, 0, 0, 1]);
        let ethernet = EthernetPacket::new(&frame).expect("a frame");
        assert_eq!(ethernet.get_destination(), MacAddr::new(2, 0, 0, 0, 0, 10));
        let ip = Ipv4Packet::new(ethernet.payload()).expect("a packet");
        assert_eq!(
            (ip.get_source(), ip.get_destination()),
            ("198.51.100.7".parse().expect("v4"), "192.168.1.10".parse().expect("v4"))
        );
        assert_eq!(ip.get_checksum(), ipv4::checksum(&ip));
        let segment = TcpPacket::new(ip.payload()).expect("a segment");
        assert_eq!((segment.get_source(), segment.get_destination()), (443, 40_000));
        assert_eq!(segment.get_flags(), TcpFlags::ACK);
        assert_eq!(segment.get_checksum(), tcp::ipv4_checksum(&segment, &ip.get_source(), &ip.get_destination()));
    }

    #[test]
    fn ipv6_likewise() {
        let flow = established(CLIENT6, "2001:db8::7", "2001:db8::7", "2001:db8:1::2");
        let frame = plan(&[flow], &neighbours(), 1)[0].frame([2, 0, 0, 0, 0, 1]);
        let ip = Ipv6Packet::new(&frame[ETHERNET..]).expect("a packet");
        let segment = TcpPacket::new(ip.payload()).expect("a segment");
        assert_eq!(segment.get_checksum(), tcp::ipv6_checksum(&segment, &ip.get_source(), &ip.get_destination()));
    }

    #[test]
    fn a_server_behind_a_forward_is_nudged_as_it_sees_the_flow() {
        let flow = established("198.51.100.9", "203.0.113.2", CLIENT, "198.51.100.9");
        let nudge = &plan(&[flow], &neighbours(), 1)[0];
        let ends = Ends::V4 { far: "198.51.100.9".parse().expect("v4"), near: CLIENT.parse().expect("v4") };
        assert_eq!((nudge.ends, nudge.far_port, nudge.near_port), (ends, 40_000, 443));
    }

    #[test]
    fn strangers_other_protocols_and_closing_flows_are_left_alone() {
        let mut udp = established(CLIENT, "198.51.100.7", "198.51.100.7", "203.0.113.2");
        udp.protocol = flow::UDP;
        let mut closing = udp;
        (closing.protocol, closing.tcp_state) = (flow::TCP, Some(7));
        let own = established("203.0.113.2", "198.51.100.7", "198.51.100.7", "203.0.113.2");
        assert!(plan(&[udp, closing, own], &neighbours(), 1).is_empty());
    }

    #[test]
    fn every_nudge_has_numbers_of_its_own() {
        let flow = established(CLIENT, "198.51.100.7", "198.51.100.7", "203.0.113.2");
        let nudges = plan(&[flow; 3], &neighbours(), 7);
        assert_ne!(nudges[0].sequence, nudges[1].sequence);
        assert_ne!(nudges[1].sequence, nudges[2].sequence);
        assert_eq!(nudges, plan(&[flow; 3], &neighbours(), 7), "a seed is all the randomness there is");
    }
}
