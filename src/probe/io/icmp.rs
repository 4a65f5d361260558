//! Echo requests of one uplink and family: one ping socket, sent to straight from the engine's task, read by a task of
//! its own.
//!
//! A socket lives as long as its device keeps its number. When a send fails, the number is looked at again, so a device
//! that was removed and came back costs one probe at most, whether or not anybody told us.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use super::receive::{Buffer, Received};
use super::sink::Sink;
use super::socket::{self, OpenError};
use crate::config::model::{Family, LinkName, UplinkId};
use crate::engine::event::{Event, Unsent};
use crate::probe::packet::echo;
use crate::probe::{Answer, Cookie, ProbeId};

/// Requests whose ICMP errors can still be told apart: three seconds (the kernel gives up a neighbour after that) at
/// the densest schedule of 80 a second.
const REMEMBERED: usize = 256;
/// Messages read in one go; then the engine gets its turn, however fast they come.
const BATCH: usize = 64;
/// An ICMP error of an earlier probe makes the next send fail once; more in a row come from somebody who floods us.
const SEND_TRIES: usize = 3;

pub(super) struct Line {
    uplink: UplinkId,
    family: Family,
    device: LinkName,
    sink: Sink,
    open: Option<Open>,
    trouble: Option<OpenError>,
}

struct Open {
    socket: Arc<AsyncFd<Socket>>,
    reader: AbortHandle,
    index: u32,
    sent: Arc<Mutex<Sent>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// An echo request that is about to leave.
#[derive(Clone, Copy)]
pub(super) struct Echo {
    pub(super) probe: ProbeId,
    pub(super) cookie: Cookie,
    pub(super) to: IpAddr,
    /// The engine knows the target by name only, so the edge must check who answers.
    pub(super) named: bool,
}

impl Line {
    pub(super) fn new(uplink: UplinkId, family: Family, device: LinkName, sink: Sink) -> Self {
        Self { uplink, family, device, sink, open: None, trouble: None }
    }

    /// Forgets the socket; the next probe makes a new one, with the identifier and source address of today.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    pub(super) fn trouble(&self) -> Option<&OpenError> {
        self.trouble.as_ref()
    }

    /// One system call when all is well.
    pub(super) fn send(&mut self, request: Echo) -> Event {
        let unsent = |reason| Event::ProbeUnsent { probe: request.probe, reason };
        if Family::of(request.to) != self.family {
            return unsent(Unsent::Unresolved);
        }
        let packet = echo::request(self.family, request.probe.wire_sequence(), request.cookie);
        let to = socket::address(request.to);
        for _ in 0..SEND_TRIES {
            self.ensure_open();
            let Some(open) = &self.open else { return unsent(Unsent::Socket) };
            open.remember(request);
            let at = (self.sink.clock)();
            match open.socket.get_ref().send_to(&packet, &to) {
                Ok(_) => return Event::ProbeSent { probe: request.probe, at, bytes: echo::wire_bytes(self.family) },
                // The queue of our own device is full.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return unsent(Unsent::Send),
                Err(_) => {
                    if socket::device_index(&self.device) != Some(open.index) {
                        self.open = None;
                    }
                }
            }
        }
        unsent(Unsent::Send)
    }

    fn ensure_open(&mut self) {
        if self.open.is_some() {
            return;
        }
        match Open::new(self.uplink, self.family, &self.device, &self.sink) {
            Ok(open) => {
                self.open = Some(open);
                self.trouble = None;
            }
            Err(error) => {
                if !self.trouble.as_ref().is_some_and(|known| known.is_like(&error)) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(device = %self.device, family = %self.family, %error, cause, "cannot probe");
                }
                self.trouble = Some(error);
            }
        }
    }
}

impl Open {
    fn new(uplink: UplinkId, family: Family, device: &LinkName, sink: &Sink) -> Result<Self, OpenError> {
        let index = socket::device_index(device).ok_or_else(|| OpenError::NoDevice { device: device.clone() })?;
        let socket = socket::ping(device, family)?;
        #[expect(deprecated, reason = "its successor is unsafe for handles that change under it; a `Socket` cannot")]
        let watched = AsyncFd::with_interest(socket, Interest::READABLE | Interest::ERROR);
        let socket = watched.map_err(|source| {
            let device = device.clone();
            OpenError::System { operation: "watch a ping socket", device, source }
        })?;
        let socket = Arc::new(socket);
        let sent = Arc::new(Mutex::new(Sent::default()));
        let reader =
            Reader { uplink, family, socket: Arc::clone(&socket), sent: Arc::clone(&sent), sink: sink.clone() };
        let reader = tokio::spawn(reader.run()).abort_handle();
        Ok(Self { socket, reader, index, sent })
    }

    fn remember(&self, request: Echo) {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).put(request);
    }
}

/// The last requests, by sequence number.
struct Sent(Box<[Option<Echo>]>);

impl Default for Sent {
    fn default() -> Self {
        Self(vec![None; REMEMBERED].into_boxed_slice())
    }
}

impl Sent {
    fn put(&mut self, request: Echo) {
        let at = usize::from(request.probe.wire_sequence()) % REMEMBERED;
        self.0[at] = Some(request);
    }

    fn with(&self, sequence: u16) -> Option<Echo> {
        self.0[usize::from(sequence) % REMEMBERED].filter(|request| request.probe.wire_sequence() == sequence)
    }
}

struct Reader {
    uplink: UplinkId,
    family: Family,
    socket: Arc<AsyncFd<Socket>>,
    sent: Arc<Mutex<Sent>>,
    sink: Sink,
}

impl Reader {
    async fn run(self) {
        let mut buffer = Buffer::new();
        loop {
            // Fails only when the runtime is going away.
            let Ok(mut ready) = self.socket.ready(Interest::READABLE | Interest::ERROR).await else { return };
            if self.drain(&mut buffer, ready.ready().is_error()) {
                // A packet that comes in from here on makes the socket ready again: the watch is edge-triggered.
                ready.clear_ready();
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Reads what is there, [`BATCH`] messages at most; was that all?
    fn drain(&self, buffer: &mut Buffer, errors: bool) -> bool {
        for _ in 0..BATCH {
            match buffer.receive(self.socket.get_ref(), self.family, errors, self.sink.clock) {
                Received::Packet { from, length, at } => self.packet(from, buffer.bytes(length), at),
                Received::IcmpError { to, length } => self.icmp_error(to, buffer.bytes(length)),
                Received::Other => self.sink.count_foreign(),
                Received::Nothing => return true,
            }
        }
        false
    }

    fn packet(&self, from: IpAddr, bytes: &[u8], received: crate::time::Instant) {
        let Some(reply) = echo::reply(self.family, bytes) else { return self.sink.count_foreign() };
        let asked = self.sent.lock().unwrap_or_else(PoisonError::into_inner).with(reply.sequence);
        if asked.is_some_and(|asked| asked.named && asked.to != from) {
            return self.sink.count_foreign();
        }
        let (uplink, family) = (self.uplink, self.family);
        let echo::Reply { sequence, cookie } = reply;
        self.sink.put(Event::EchoReply { uplink, family, from, sequence, cookie, received });
    }

    /// Told only if it quotes a request of ours, to the address it went to. Anybody who guesses both can forge it: it is
    /// evidence of the cause and no more.
    fn icmp_error(&self, to: IpAddr, quoted: &[u8]) {
        let asked = echo::quoted_sequence(self.family, quoted)
            .and_then(|sequence| self.sent.lock().unwrap_or_else(PoisonError::into_inner).with(sequence))
            .filter(|asked| asked.to == to);
        match asked {
            Some(asked) => self.sink.answered(asked.probe, Answer::Unreachable),
            None => self.sink.count_foreign(),
        }
    }
}
