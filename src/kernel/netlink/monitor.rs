//! Hears what changes in the kernel by itself: links, addresses, the routes and rules that concern us. Pulled, not
//! pushed: nothing is queued here, the socket's buffer is the bound, and when it was too small the kernel says so
//! (`ENOBUFS`, netlink(7)) and so do we ([`Hint::Overrun`]): what was missed is found by a dump. `NETLINK_NO_ENOBUFS`
//! would hide it and is never set. Neighbours are not subscribed to.

use std::collections::VecDeque;
use std::io;

use nix::libc;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use super::decode;
use crate::apply::exec::KernelError;
use crate::engine::event;
use crate::kernel::observe::link_state;

const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// Room for some 1,000 messages: a burst while we are busy with a switch does not cost a dump. The kernel doubles it and
/// cuts it to `net.core.rmem_max` (212,992 by default).
pub const RECEIVE_BUFFER: usize = 1 << 20;
/// One netlink datagram is at most 32 KiB (16 KiB before Linux 4.9).
const DATAGRAM: usize = 64 << 10;

/// Something changed. All but [`Hint::Link`] only say that it is time to look (coalesced).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Enough to act at once, without a dump: the carrier of an uplink. `Missing` when the device is gone.
    Link {
        index: u32,
        name: String,
        link: event::Link,
    },
    Addresses {
        link: u32,
    },
    /// A default route of `main`, or anything in one of our tables.
    Routes {
        table: u32,
    },
    Rules,
    /// Messages were lost: dump at once.
    Overrun,
}

/// A socket that hears; in the network namespace of the thread that opened it.
pub struct Monitor {
    socket: TokioSocket,
    datagram: Vec<u8>,
    pending: VecDeque<Hint>,
}

impl Monitor {
    pub fn open(receive_buffer: usize) -> Result<Self, KernelError> {
        Self::try_open(receive_buffer).map_err(|source| KernelError::Open { source })
    }

    fn try_open(receive_buffer: usize) -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        let bytes = i32::try_from(receive_buffer).unwrap_or(i32::MAX);
        socket.socket_ref().set_rx_buf_sz(bytes)?;
        let groups = GROUPS.iter().fold(0, |all, group| all | 1 << (*group as u32 - 1));
        socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
        Ok(Self { socket, datagram: Vec::with_capacity(DATAGRAM), pending: VecDeque::new() })
    }

    /// Waits for the next thing that concerns us. Safe to cancel: a datagram is taken from the socket only when it can
    /// be handed out or kept.
    pub async fn next(&mut self) -> Result<Hint, KernelError> {
        loop {
            if let Some(hint) = self.pending.pop_front() {
                return Ok(hint);
            }
            self.datagram.clear();
            match self.socket.recv_from(&mut self.datagram).await {
                Ok(sender) if sender.port_number() != 0 => {} // Not the kernel.
                Ok(_) => self.pending.extend(hints(&self.datagram)),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Hint::Overrun),
                Err(source) => {
                    return Err(KernelError::Refused {
                        operation: "tell what changes".to_owned(),
                        said: String::new(),
                        source,
                    });
                }
            }
        }
    }
}

/// A datagram may hold several messages. One that we cannot read may be about anything: look.
pub(super) fn hints(mut datagram: &[u8]) -> Vec<Hint> {
    let mut hints = Vec::new();
    while let Ok(frame) = NetlinkBuffer::new_checked(datagram) {
        let length = (frame.length() as usize).next_multiple_of(4).min(datagram.len());
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(datagram) {
            Ok(message) => {
                if let NetlinkPayload::InnerMessage(message) = message.payload {
                    hints.extend(hint(&message));
                }
            }
            Err(_) => hints.push(Hint::Overrun),
        }
        datagram = &datagram[length..];
    }
    hints
}

fn hint(message: &RouteNetlinkMessage) -> Option<Hint> {
    match message {
        RouteNetlinkMessage::NewLink(message) => {
            let (index, link) = decode::link(message)?;
            Some(Hint::Link { index, link: link_state(Some(&link)), name: link.name })
        }
        RouteNetlinkMessage::DelLink(message) => {
            let (index, link) = decode::link(message)?;
            Some(Hint::Link { index, name: link.name, link: event::Link::Missing })
        }
        RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message) => {
            Some(Hint::Addresses { link: message.header.index })
        }
        RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => {
            let route = decode::route(message)?;
            route.concerns_us().then_some(Hint::Routes { table: route.table })
        }
        RouteNetlinkMessage::NewRule(message) | RouteNetlinkMessage::DelRule(message) => {
            decode::rule(message).map(|_| Hint::Rules)
        }
        _ => None,
    }
}
