//! The packet counters of devices, asked for so often that the way matters: on a socket of its own, whose answer lies there
//! when the question has been sent. No task, no wake-up. Source: rtnetlink(7), `IFLA_STATS_LINK_64` of `RTM_GETSTATS`.

use std::io;

use nix::libc::MSG_DONTWAIT;
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::stats::{StatsAttribute, StatsFilterMask, StatsMessage};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};

use super::refused;
use crate::apply::exec::KernelError;

/// An answer has 232 bytes, an error with its text fewer than this.
const MESSAGE_BYTES: usize = 1 << 10;

/// Counters of one device since it came into being.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub received: u64,
    pub sent: u64,
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

/// In the network namespace of the thread that opened it.
pub struct Counting {
    socket: Socket,
    message: Vec<u8>,
    sequence: u32,
}

impl Counting {
    pub fn open() -> Result<Self, KernelError> {
        let socket = Socket::new(NETLINK_ROUTE).and_then(|socket| {
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        });
        let socket = socket.map_err(|source| KernelError::Open { source })?;
        Ok(Self { socket, message: Vec::with_capacity(MESSAGE_BYTES), sequence: 0 })
    }

    /// Two system calls. Waits for nothing but the kernel's routing lock, as any netlink request does.
    pub fn read(&mut self, link: u32) -> Result<Counters, KernelError> {
        let operation = || format!("read the counters of link {link}");
        let failed = |source: io::Error| {
            if source.kind() == io::ErrorKind::WouldBlock {
                KernelError::Late { operation: operation() }
            } else {
                KernelError::Refused { operation: operation(), said: String::new(), source }
            }
        };
        let mut request = StatsMessage::default();
        request.header.ifindex = link;
        request.header.filter_mask = StatsFilterMask::Link64;
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetStats(request));
        self.sequence = self.sequence.wrapping_add(1);
        request.header.sequence_number = self.sequence;
        request.header.flags = NLM_F_REQUEST;
        request.finalize();
        self.message.resize(request.buffer_len(), 0);
        request.serialize(&mut self.message);
        self.socket.send(&self.message, 0).map_err(failed)?;
        loop {
            self.message.clear();
            self.socket.recv(&mut self.message, MSG_DONTWAIT).map_err(failed)?;
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&self.message);
            let answer = answer.map_err(|error| failed(io::Error::other(error)))?;
            // Of a question that was given up.
            if answer.header.sequence_number != self.sequence {
                continue;
            }
            return match answer.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewStats(stats)) => {
                    let found = stats.attributes.iter().find_map(counters);
                    found.ok_or_else(|| KernelError::Closed { operation: operation() })
                }
                NetlinkPayload::Error(error) => Err(refused(operation(), error.raw_code(), &[])),
                _ => Err(KernelError::Closed { operation: operation() }),
            };
        }
    }
}

fn counters(attribute: &StatsAttribute) -> Option<Counters> {
    let StatsAttribute::Link64(stats) = attribute else { return None };
    Some(Counters {
        received: stats.rx_packets,
        sent: stats.tx_packets,
        received_bytes: stats.rx_bytes,
        sent_bytes: stats.tx_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_has_its_own_answer() {
        let loopback = nix::net::if_::if_nametoindex("lo").expect("each namespace has one");
        let mut counting = Counting::open().expect("anybody may ask");
        assert!(counting.read(i32::MAX.unsigned_abs()).is_err(), "there is no such link");
        let before = counting.read(loopback).expect("it is there");
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let sent = socket.local_addr().and_then(|to| socket.send_to(b"counted", to));
        // A namespace whose loopback is down counts nothing.
        let least = u64::from(sent.is_ok());
        let after = counting.read(loopback).expect("it is there");
        assert!(after.sent >= before.sent + least && after.received >= before.received);
    }
}
