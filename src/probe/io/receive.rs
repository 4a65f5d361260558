//! Reading one message from a ping socket, with the kernel's receive time, or one ICMP error from its error queue.

use std::io::IoSliceMut;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6, sock_extended_err, sockaddr_in6};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use nix::sys::time::TimeSpec;
use socket2::Socket;

use super::{Clock, clock};
use crate::config::model::Family;
use crate::time::Instant;

/// Our replies have 64 bytes; what does not fit is longer and so none of ours, and the kernel cuts it off.
const MESSAGE_BYTES: usize = 128;
/// A packet that lay in the socket for longer was read by a process that had stalled, or the wall clock jumped between
/// receive and read. Either way, more than this must not be taken off a round-trip time.
const OLDEST: Duration = Duration::from_secs(1);

/// Allocated once per socket, used for every message.
pub(super) struct Buffer {
    message: [u8; MESSAGE_BYTES],
    control: Vec<u8>,
}

/// `length` bytes are in [`Buffer::bytes`].
pub(super) enum Received {
    Packet { from: IpAddr, length: usize, at: Instant },
    IcmpError { to: IpAddr, length: usize },
    Other,
    Nothing,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self { message: [0; MESSAGE_BYTES], control: cmsg_space!(TimeSpec, sock_extended_err, sockaddr_in6, u64) }
    }

    pub(super) fn bytes(&self, length: usize) -> &[u8] {
        &self.message[..length]
    }

    /// `errors`: the socket is known to have some, so the error queue is looked at when no packet is left.
    pub(super) fn receive(&mut self, socket: &Socket, family: Family, errors: bool, now: Clock) -> Received {
        match self.message(socket, now) {
            Ok(received) => received,
            Err(Errno::EAGAIN) if !errors => Received::Nothing,
            // An ICMP error also shows here, once.
            Err(_) => self.error(socket, family),
        }
    }

    fn message(&mut self, socket: &Socket, now: Clock) -> nix::Result<Received> {
        let mut parts = [IoSliceMut::new(&mut self.message)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(self.control.as_mut_slice()), flags)?;
        let Some(from) = message.address.as_ref().and_then(ip) else { return Ok(Received::Other) };
        if message.flags.contains(MsgFlags::MSG_TRUNC) {
            return Ok(Received::Other);
        }
        let stamped = message.cmsgs()?.find_map(|part| {
            if let ControlMessageOwned::ScmTimestampns(time) = part { Some(Duration::from(time)) } else { None }
        });
        // The stamp is of the wall clock. Only its distance from the wall clock now is used, so that a jump at any other
        // moment has no effect.
        let age = stamped.map_or(Duration::ZERO, |time| clock::wall().saturating_sub(time).min(OLDEST));
        Ok(Received::Packet { from, length: message.bytes, at: now() - age })
    }

    fn error(&mut self, socket: &Socket, family: Family) -> Received {
        let mut parts = [IoSliceMut::new(&mut self.message)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_ERRQUEUE;
        let message = match recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut parts,
            Some(self.control.as_mut_slice()),
            flags,
        ) {
            Ok(message) => message,
            Err(Errno::EINTR) => return Received::Other,
            Err(_) => return Received::Nothing,
        };
        let Ok(mut parts) = message.cmsgs() else { return Received::Other };
        let from_outside = parts.any(|part| match family {
            Family::V4 => {
                matches!(part, ControlMessageOwned::Ipv4RecvErr(error, _) if error.ee_origin == SO_EE_ORIGIN_ICMP)
            }
            Family::V6 => {
                matches!(part, ControlMessageOwned::Ipv6RecvErr(error, _) if error.ee_origin == SO_EE_ORIGIN_ICMP6)
            }
        });
        match message.address.as_ref().and_then(ip) {
            Some(to) if from_outside => Received::IcmpError { to, length: message.bytes },
            Some(_) | None => Received::Other,
        }
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}
