//! ICMP echo of both families (RFC 792, RFC 4443), as ping sockets see it: no IP header, identifier and checksum are the
//! kernel's.

use pnet::packet::Packet;
use pnet::packet::icmp::echo_reply::EchoReplyPacket;
use pnet::packet::icmp::echo_request::MutableEchoRequestPacket;
use pnet::packet::icmp::{IcmpTypes, echo_reply, echo_request};
use pnet::packet::icmpv6::echo_reply::EchoReplyPacket as EchoReplyV6;
use pnet::packet::icmpv6::echo_request::MutableEchoRequestPacket as MutableEchoRequestV6;
use pnet::packet::icmpv6::{Icmpv6Code, Icmpv6Types};

use crate::config::model::Family;
use crate::probe::Cookie;

/// Header and data of an echo request: what `ping` sends, so nobody on the way treats it as odd.
pub const BYTES: usize = HEADER + DATA;

/// The same with the IP header: 52 bytes of IPv4, 72 of IPv6.
pub fn wire_bytes(family: Family) -> u32 {
    match family {
        Family::V4 => 20 + 32,
        Family::V6 => 40 + 32,
    }
}

/// An echo reply that carries our mark. Whether it counts is not decided here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub sequence: u16,
    pub cookie: Cookie,
}

/// Builds an echo request; identifier and checksum stay zero because the kernel fills them in.
pub fn request(family: Family, sequence: u16, cookie: Cookie) -> [u8; BYTES] {
    let mut data = [0; DATA];
    data[..MAGIC.len()].copy_from_slice(&MAGIC);
    data[MAGIC.len()..MAGIC.len() + cookie.0.len()].copy_from_slice(&cookie.0);
    let mut bytes = [0; BYTES];
    match family {
        Family::V4 => {
            let mut packet = MutableEchoRequestPacket::new(&mut bytes).expect("the buffer holds the header");
            packet.set_icmp_type(IcmpTypes::EchoRequest);
            packet.set_icmp_code(echo_request::IcmpCodes::NoCode);
            packet.set_sequence_number(sequence);
            packet.set_payload(&data);
        }
        Family::V6 => {
            let mut packet = MutableEchoRequestV6::new(&mut bytes).expect("the buffer holds the header");
            packet.set_icmpv6_type(Icmpv6Types::EchoRequest);
            packet.set_icmpv6_code(Icmpv6Code(0));
            packet.set_sequence_number(sequence);
            packet.set_payload(&data);
        }
    }
    bytes
}

/// Reads an echo reply, `None` for anything that is none of ours. A reply that was cut or lengthened is none.
pub fn reply(family: Family, bytes: &[u8]) -> Option<Reply> {
    // One comparison of the whole length: whatever the views below index is there.
    if bytes.len() != BYTES {
        return None;
    }
    match family {
        Family::V4 => {
            let packet = EchoReplyPacket::new(bytes)?;
            let right = packet.get_icmp_type() == IcmpTypes::EchoReply
                && packet.get_icmp_code() == echo_reply::IcmpCodes::NoCode;
            right.then(|| data(packet.get_sequence_number(), packet.payload())).flatten()
        }
        Family::V6 => {
            let packet = EchoReplyV6::new(bytes)?;
            let right = packet.get_icmpv6_type() == Icmpv6Types::EchoReply && packet.get_icmpv6_code() == Icmpv6Code(0);
            right.then(|| data(packet.get_sequence_number(), packet.payload())).flatten()
        }
    }
}

/// The sequence number of the request that an ICMP error quotes. Routers must quote no more than the first eight bytes,
/// so neither mark nor cookie can be asked for.
pub fn quoted_sequence(family: Family, quoted: &[u8]) -> Option<u16> {
    let header = quoted.first_chunk::<HEADER>()?;
    let echo_request = match family {
        Family::V4 => IcmpTypes::EchoRequest.0,
        Family::V6 => Icmpv6Types::EchoRequest.0,
    };
    (header[0] == echo_request && header[1] == 0).then(|| u16::from_be_bytes([header[6], header[7]]))
}

/// Type, code, checksum, identifier, sequence.
const HEADER: usize = 8;
/// The cookie and what tells our echoes apart: each byte more costs a metered line 170 kB a month.
const DATA: usize = 24;
/// First in the data: tells our replies from whatever else may reach the socket before anything is looked up.
const MAGIC: [u8; 4] = *b"CSWY";

fn data(sequence: u16, data: &[u8]) -> Option<Reply> {
    let cookie = data.strip_prefix(&MAGIC)?.first_chunk::<16>()?;
    Some(Reply { sequence, cookie: Cookie(*cookie) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an honest host makes of our request.
    fn answered(family: Family, mut request: [u8; BYTES]) -> [u8; BYTES] {
        request[0] = match family {
            Family::V4 => 0,
            Family::V6 => 129,
        };
        request
    }

    fn families() -> impl Strategy<Value = Family> {
        prop::sample::select(Family::BOTH.to_vec())
    }

    #[test]
    fn a_request_is_no_reply() {
        for family in Family::BOTH {
            assert_eq!(reply(family, &request(family, 7, Cookie([9; 16]))), None);
        }
    }

    #[test]
    fn the_packet_is_as_large_as_it_is_told_to_be() {
        assert_eq!(wire_bytes(Family::V4), 52);
        assert_eq!(u32::try_from(BYTES).ok(), Some(wire_bytes(Family::V4) - 20));
        assert_eq!(u32::try_from(BYTES).ok(), Some(wire_bytes(Family::V6) - 40));
    }

    #[test]
    fn an_error_needs_only_quote_eight_bytes() {
        for family in Family::BOTH {
            let request = request(family, 0xabcd, Cookie([1; 16]));
            assert_eq!(quoted_sequence(family, &request[..8]), Some(0xabcd));
            assert_eq!(quoted_sequence(family, &request[..7]), None);
            assert_eq!(quoted_sequence(family, &answered(family, request)), None);
        }
    }

    proptest! {
        #[test]
        fn what_was_asked_comes_back(family in families(), sequence: u16, cookie: [u8; 16]) {
            let echoed = answered(family, request(family, sequence, Cookie(cookie)));
            prop_assert_eq!(reply(family, &echoed), Some(Reply { sequence, cookie: Cookie(cookie) }));
        }

        #[test]
        fn no_bytes_make_it_panic(family in families(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = reply(family, &bytes);
            let _ = quoted_sequence(family, &bytes);
        }

        /// Whatever one byte a forger changes, the reply is not taken for the honest one; identifier and checksum
        /// (bytes 2…5) are the kernel's to check, the zeroes after the cookie nobody's.
        #[test]
        fn f25_a_changed_byte_shows(family in families(), cookie: [u8; 16], at in 0_usize..28, flip in 1_u8..) {
            prop_assume!(!(2..6).contains(&at));
            let honest = answered(family, request(family, 5, Cookie(cookie)));
            let mut forged = honest;
            forged[at] ^= flip;
            prop_assert_ne!(reply(family, &forged), reply(family, &honest));
        }
    }
}
