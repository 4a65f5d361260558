//! Edge: the kernel's connection table over netlink. Dumps and deletes by mark, each in one request that the kernel
//! filters itself; never the command-line tool.

use std::io;

use std::time::Duration;

use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoInfo, ProtoInfoTCP, ProtoTuple, Protocol, Tuple as TupleNla,
};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};
use nix::libc;
use rtnetlink::packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla,
};
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use super::flow::{self, Flow, Snapshot, Tuple};
use super::marks::Selector;
use crate::config::model::Family;

/// `CTA_MARK_MASK` and `CTA_STATS_GLOBAL_ENTRIES` of `linux/netfilter/nfnetlink_conntrack.h`, and the request for the
/// latter.
const MARK_MASK: u16 = 21;
const STATS_GLOBAL_ENTRIES: u16 = 1;
const GET_STATS: u8 = 5;
/// A delete without a tuple looks at the header's family only if the version is not 0 (the kernel's own kludge for old
/// callers). Without it a failover of IPv4 would take the IPv6 flows with it.
const VERSION_WITH_FAMILY: u8 = 1;
/// The kernel sends a dump in pieces of up to 32 KiB.
const RECEIVE_BYTES: usize = 65_536;
/// The kernel answers at once; this is for a machine that is starved.
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    #[error("could not open the connection tracking socket")]
    Open {
        #[source]
        source: io::Error,
    },
    #[error("connection tracking: could not {what}")]
    Request {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("connection tracking did not answer within {after:?}")]
    Deadline { after: Duration },
}

pub struct Conntrack {
    socket: TokioSocket,
    sequence: u32,
}

impl Conntrack {
    /// Must run inside a tokio runtime; the socket belongs to the network namespace of the calling thread.
    pub fn open() -> Result<Self, ConntrackError> {
        let open = || {
            let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
            socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
            socket.socket_ref().connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        };
        Ok(Self { socket: open().map_err(|source| ConntrackError::Open { source })?, sequence: 0 })
    }

    /// The flows with that mark, filtered by the kernel.
    pub async fn dump(&mut self, selector: Selector, family: Family) -> Result<Snapshot, ConntrackError> {
        let message = ConntrackMessage::Get(by_mark(selector));
        let mut snapshot = Snapshot::default();
        self.ask("list flows", message, header(family, 0), NLM_F_DUMP, |message| {
            if let ConntrackMessage::New(attributes) = message
                && let Some(flow) = parse_flow(family, &attributes)
            {
                snapshot.push(flow);
            }
        })
        .await?;
        Ok(snapshot)
    }

    /// Forgets all flows with that mark, in one request.
    pub async fn delete(&mut self, selector: Selector, family: Family) -> Result<(), ConntrackError> {
        let message = ConntrackMessage::Delete(by_mark(selector));
        self.ask("delete flows", message, header(family, VERSION_WITH_FAMILY), NLM_F_ACK, |_| ()).await
    }

    /// Forgets one flow. `false`: it was gone already.
    pub async fn delete_flow(&mut self, flow: &Flow) -> Result<bool, ConntrackError> {
        let message = ConntrackMessage::Delete(vec![original_tuple(flow)]);
        match self.ask("delete a flow", message, header(flow.family, 0), NLM_F_ACK, |_| ()).await {
            Ok(()) => Ok(true),
            Err(ConntrackError::Request { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Entries in the whole table.
    pub async fn count(&mut self) -> Result<u32, ConntrackError> {
        let message = ConntrackMessage::Other { message_type: GET_STATS, attributes: Vec::new() };
        let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
        let mut count = 0;
        self.ask("count flows", message, header, NLM_F_ACK, |message| {
            if let ConntrackMessage::Other { attributes, .. } = message {
                count = attributes.iter().find_map(global_entries).unwrap_or(count);
            }
        })
        .await?;
        Ok(count)
    }

    async fn ask(
        &mut self,
        what: &'static str,
        message: ConntrackMessage,
        header: NetfilterHeader,
        flags: u16,
        each: impl FnMut(ConntrackMessage),
    ) -> Result<(), ConntrackError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut netlink_header = NetlinkHeader::default();
        netlink_header.flags = NLM_F_REQUEST | flags;
        netlink_header.sequence_number = self.sequence;
        let payload = NetlinkPayload::from(NetfilterMessage::new(header, message));
        let mut packet = NetlinkMessage::new(netlink_header, payload);
        packet.finalize();
        let mut request = vec![0; packet.buffer_len()];
        packet.serialize(&mut request);
        match tokio::time::timeout(DEADLINE, self.converse(&request, each)).await {
            Ok(result) => result.map_err(|source| ConntrackError::Request { what, source }),
            Err(_) => Err(ConntrackError::Deadline { after: DEADLINE }),
        }
    }

    /// Answers to earlier requests (cancelled, or past their deadline) are skipped by their number.
    async fn converse(&mut self, request: &[u8], mut each: impl FnMut(ConntrackMessage)) -> io::Result<()> {
        self.socket.send(request).await?;
        loop {
            let mut buffer = Vec::with_capacity(RECEIVE_BYTES);
            self.socket.recv(&mut buffer).await?;
            let mut rest = buffer.as_slice();
            while let Some((one, after)) = split(rest) {
                rest = after;
                let Some(message) = decode(one) else { continue };
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                if let NetlinkPayload::InnerMessage(inner) = message.payload {
                    if let NetfilterMessageInner::Conntrack(inner) = inner.inner {
                        each(inner);
                    }
                } else if let NetlinkPayload::Error(error) = message.payload {
                    return if error.code.is_none() { Ok(()) } else { Err(error.to_io()) };
                } else if let NetlinkPayload::Done(_) = message.payload {
                    return Ok(());
                } else if let NetlinkPayload::Overrun(_) = message.payload {
                    return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
                }
            }
        }
    }
}

/// For fuzz/: reads a received buffer as [`Conntrack::dump`] does.
#[cfg(fuzzing)]
pub fn fuzz(mut buffer: &[u8]) {
    while let Some((one, after)) = split(buffer) {
        assert!(after.len() < buffer.len(), "it comes to an end");
        buffer = after;
        let Some(message) = decode(one) else { continue };
        let NetlinkPayload::InnerMessage(inner) = message.payload else { continue };
        let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = inner.inner else { continue };
        for family in Family::BOTH {
            parse_flow(family, &attributes);
        }
    }
}

/// The first message of a received buffer and what follows it.
fn split(buffer: &[u8]) -> Option<(&[u8], &[u8])> {
    const HEADER: usize = 16;
    let length = usize::try_from(u32::from_ne_bytes(buffer.get(..4)?.try_into().ok()?)).ok()?;
    if length < HEADER {
        return None;
    }
    let one = buffer.get(..length)?;
    Some((one, buffer.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// `None`: not for us, or broken. Other subsystems share the socket's protocol and the crate's parser, which panics on some
/// messages of theirs: an attribute of the packet filter that is shorter than its own header.
fn decode(one: &[u8]) -> Option<NetlinkMessage<NetfilterMessage>> {
    const SUBSYSTEM: u16 = 1;
    /// Below it: errors, ends of dumps, overruns (`NLMSG_MIN_TYPE`).
    const FIRST: u16 = 0x10;
    let kind = u16::from_ne_bytes(one.get(4..6)?.try_into().ok()?);
    (kind < FIRST || kind >> 8 == SUBSYSTEM).then(|| NetlinkMessage::deserialize(one).ok()).flatten()
}

fn header(family: Family, version: u8) -> NetfilterHeader {
    let family = match family {
        Family::V4 => NetfilterProtoFamily::IPv4,
        Family::V6 => NetfilterProtoFamily::IPv6,
    };
    NetfilterHeader::new(family, version, 0)
}

fn by_mark(selector: Selector) -> Vec<ConntrackAttribute> {
    vec![
        ConntrackAttribute::CtaMark(selector.value),
        ConntrackAttribute::Other(DefaultNla::new(MARK_MASK, selector.mask.to_be_bytes().to_vec())),
    ]
}

fn original_tuple(flow: &Flow) -> ConntrackAttribute {
    let Tuple { source, destination, source_port, destination_port } = flow.original;
    let mut numbers = vec![ProtoTuple::Protocol(Protocol::from(flow.protocol))];
    if let Some((identifier, kind, code)) = icmp_attributes(flow.protocol) {
        let [kind_value, code_value] = destination_port.to_be_bytes();
        numbers.extend([
            ProtoTuple::Other(DefaultNla::new(identifier, source_port.to_be_bytes().to_vec())),
            ProtoTuple::Other(DefaultNla::new(kind, vec![kind_value])),
            ProtoTuple::Other(DefaultNla::new(code, vec![code_value])),
        ]);
    } else {
        numbers.extend([ProtoTuple::SourcePort(source_port), ProtoTuple::DestinationPort(destination_port)]);
    }
    ConntrackAttribute::CtaTupleOrig(vec![
        TupleNla::Ip(vec![IPTuple::SourceAddress(source), IPTuple::DestinationAddress(destination)]),
        TupleNla::Proto(numbers),
    ])
}

/// `CTA_PROTO_ICMP_ID`, `…_TYPE`, `…_CODE` and the same of `ICMPV6`.
fn icmp_attributes(protocol: u8) -> Option<(u16, u16, u16)> {
    match protocol {
        flow::ICMP => Some((4, 5, 6)),
        flow::ICMPV6 => Some((7, 8, 9)),
        _ => None,
    }
}

/// `None` for an entry without both tuples, or of another family than asked.
fn parse_flow(family: Family, attributes: &[ConntrackAttribute]) -> Option<Flow> {
    let (mut original, mut reply, mut mark, mut status, mut tcp_state) = (None, None, 0, 0, None);
    for attribute in attributes {
        if let ConntrackAttribute::CtaTupleOrig(parts) = attribute {
            original = parse_tuple(parts);
        } else if let ConntrackAttribute::CtaTupleReply(parts) = attribute {
            reply = parse_tuple(parts);
        } else if let ConntrackAttribute::CtaMark(value) = attribute {
            mark = *value;
        } else if let ConntrackAttribute::CtaStatus(value) = attribute {
            status = value.bits();
        } else if let ConntrackAttribute::CtaProtoInfo(parts) = attribute {
            tcp_state = parts.iter().find_map(parse_tcp_state);
        }
    }
    let ((original, protocol), (reply, _)) = (original?, reply?);
    (Family::of(original.source) == family).then_some(Flow {
        family,
        protocol,
        original,
        reply,
        mark,
        status,
        tcp_state,
    })
}

fn parse_tuple(parts: &[TupleNla]) -> Option<(Tuple, u8)> {
    let (mut source, mut destination) = (None, None);
    let (mut protocol, mut source_port, mut destination_port) = (0, 0, 0);
    for part in parts {
        if let TupleNla::Ip(addresses) = part {
            for address in addresses {
                if let IPTuple::SourceAddress(address) = address {
                    source = Some(*address);
                } else if let IPTuple::DestinationAddress(address) = address {
                    destination = Some(*address);
                }
            }
        } else if let TupleNla::Proto(numbers) = part {
            for number in numbers {
                if let ProtoTuple::Protocol(number) = number {
                    protocol = u8::from(*number);
                } else if let ProtoTuple::SourcePort(port) = number {
                    source_port = *port;
                } else if let ProtoTuple::DestinationPort(port) = number {
                    destination_port = *port;
                } else if let ProtoTuple::Other(attribute) = number {
                    match (icmp_attributes(protocol), bytes(attribute).as_slice()) {
                        (Some((kind, _, _)), [high, low]) if attribute.kind() == kind => {
                            source_port = u16::from_be_bytes([*high, *low]);
                        }
                        (Some((_, kind, _)), [value]) if attribute.kind() == kind => {
                            destination_port |= u16::from(*value) << 8;
                        }
                        (Some((_, _, kind)), [value]) if attribute.kind() == kind => {
                            destination_port |= u16::from(*value);
                        }
                        (Some(_) | None, _) => {}
                    }
                }
            }
        }
    }
    let tuple = Tuple { source: source?, destination: destination?, source_port, destination_port };
    Some((tuple, protocol))
}

fn parse_tcp_state(part: &ProtoInfo) -> Option<u8> {
    let ProtoInfo::TCP(parts) = part else { return None };
    parts.iter().find_map(|part| if let ProtoInfoTCP::State(state) = part { Some(*state) } else { None })
}

fn global_entries(attribute: &DefaultNla) -> Option<u32> {
    let value = bytes(attribute).try_into().ok()?;
    (attribute.kind() == STATS_GLOBAL_ENTRIES).then(|| u32::from_be_bytes(value))
}

fn bytes(attribute: &DefaultNla) -> Vec<u8> {
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Found by fuzzing: the crate's parser of sets subtracts past zero.
    #[test]
    fn a_message_of_another_subsystem_is_not_read() {
        let found = include_bytes!("../../fuzz/seeds/conntrack/other-subsystem");
        let mut rest = found.as_slice();
        while let Some((one, after)) = split(rest) {
            rest = after;
            let subsystem = one[5];
            assert!(subsystem == 1 || decode(one).is_none(), "subsystem {subsystem}");
        }
    }

    /// An entry as the kernel writes it: IPv6 ping from fd00::1 to 2001:db8::7, identifier 0x1234.
    fn ping() -> Vec<ConntrackAttribute> {
        let flow = Flow {
            family: Family::V6,
            protocol: flow::ICMPV6,
            original: Tuple {
                source: "fd00::1".parse().expect("an address"),
                destination: "2001:db8::7".parse().expect("an address"),
                source_port: 0x1234,
                destination_port: 0x8000,
            },
            reply: Tuple {
                source: "2001:db8::7".parse().expect("an address"),
                destination: "2001:db8::2".parse().expect("an address"),
                source_port: 0x1234,
                destination_port: 0x8100,
            },
            mark: 0x100,
            status: 0,
            tcp_state: None,
        };
        let ConntrackAttribute::CtaTupleOrig(reply) = original_tuple(&Flow { original: flow.reply, ..flow }) else {
            unreachable!("that is what it makes")
        };
        vec![original_tuple(&flow), ConntrackAttribute::CtaTupleReply(reply), ConntrackAttribute::CtaMark(0x100)]
    }

    #[test]
    fn what_is_written_is_read_back() {
        let flow = parse_flow(Family::V6, &ping()).expect("both tuples are there");
        assert_eq!((flow.protocol, flow.mark), (flow::ICMPV6, 0x100));
        assert_eq!((flow.original.source_port, flow.original.destination_port), (0x1234, 0x8000));
        assert_eq!(original_tuple(&flow), ping()[0]);
        assert_eq!(parse_flow(Family::V4, &ping()), None, "of another family than asked");
        assert_eq!(parse_flow(Family::V6, &ping()[1..]), None, "half an entry");
    }

    proptest! {
        #[test]
        fn any_bytes_end_and_none_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let mut rest = bytes.as_slice();
            while let Some((one, after)) = split(rest) {
                prop_assert!(after.len() < rest.len());
                rest = after;
                NetlinkMessage::<NetfilterMessage>::deserialize(one).ok();
            }
        }

        #[test]
        fn any_attributes_of_an_entry_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let mut message = Vec::new();
            let length = u32::try_from(bytes.len() + 20).expect("short");
            message.extend(length.to_ne_bytes());
            message.extend(0x0100_u16.to_ne_bytes());
            message.extend([0; 10]);
            message.extend([10, 0, 0, 0]);
            message.extend(bytes);
            let parsed = NetlinkMessage::<NetfilterMessage>::deserialize(&message);
            if let Ok(NetlinkPayload::InnerMessage(inner)) = parsed.map(|message| message.payload)
                && let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = inner.inner
            {
                parse_flow(Family::V6, &attributes);
            }
        }
    }
}
