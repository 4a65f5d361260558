//! The edge of the probes: sends what the engine asks for through the uplink it names, and tells what came back. It
//! judges an answer's form (is it an answer to our question, is it the expected one) and nothing about the uplink.
//!
//! [`Prober`] is the whole of it. [`Prober::send`] belongs to the engine's task and never waits: echo requests leave in
//! the call itself, and so does the first packet of each other kind, whose rest is a bounded task. What comes back
//! queues for [`Prober::next`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use self::http::Get;
use self::icmp::{Echo, Line};
use self::resolve::Names;
use self::sink::Sink;
use self::tls::Tls;
use super::packet::dns::{Question, question_family};
use super::{Answer, ProbeId, ProbeRequest, Wrong};
use crate::config::model::{Check, DnsAnswer, Family, Gateway, Host, LinkName, UplinkId};
use crate::engine::event::{Event, Unsent};
use crate::time::Instant;

pub mod clock;
mod dns;
mod http;
#[cfg(fuzzing)]
pub use http::fuzz as fuzz_http;
mod icmp;
pub mod proof;
mod receive;
pub mod resolve;
mod sink;
pub mod site;
mod socket;
mod tcp;
mod tls;

pub use self::http::{BODY_BYTES, HEAD_BYTES, HEADERS};
pub use self::sink::{Counts, EVENTS};
pub use self::socket::OpenError;
pub use self::tls::Roots;

/// What the edge takes for the time. An edge may read a clock; tests give it another one.
pub type Clock = fn() -> Instant;

/// TCP, DNS and HTTP probes of one uplink under way: all sixteen targets in a burst, with a patience of four spacings.
/// Each holds a file handle.
pub const IN_FLIGHT: usize = 64;
/// The same of all uplinks: half of the 1,024 file handles that a service has unless told otherwise.
pub const IN_FLIGHT_IN_ALL: usize = 512;
/// HTTP probes of one uplink under way. They ask for usability, which takes no bursts, and a TLS session has some 50 KiB.
pub const HTTP_IN_FLIGHT: usize = 4;
/// No probe holds its handle for longer, whatever patience it was given.
pub const PATIENCE_MOST: Duration = Duration::from_secs(30);
/// Events handed over in one turn of the engine.
pub const BATCH: usize = 256;

/// Sends probes and hears their answers. Must live inside a tokio runtime.
pub struct Prober {
    config: Arc<Gateway>,
    clock: Clock,
    uplinks: Vec<Sockets>,
    in_flight: Arc<Semaphore>,
    names: Names,
    tls: Arc<Tls>,
    tasks: JoinSet<()>,
    sink: Sink,
    events: mpsc::Receiver<Event>,
}

/// What one uplink has open.
struct Sockets {
    device: LinkName,
    lines: [Line; 2],
    in_flight: Arc<Semaphore>,
    http: Arc<Semaphore>,
    resolvers: Vec<IpAddr>,
}

/// Why a probe does not leave.
struct Refused(Unsent);

impl From<Unsent> for Refused {
    fn from(reason: Unsent) -> Self {
        Self(reason)
    }
}

impl From<OpenError> for Refused {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::System { operation: "connect", .. } => Self(Unsent::Send),
            OpenError::System { .. } | OpenError::NoDevice { .. } | OpenError::PingGroupRange { .. } => {
                Self(Unsent::Socket)
            }
        }
    }
}

impl Prober {
    pub fn new(config: Arc<Gateway>, clock: Clock, roots: Roots) -> Self {
        let (sink, events) = Sink::new(clock);
        let mut prober = Self {
            config: Arc::clone(&config),
            clock,
            uplinks: Vec::new(),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_IN_ALL)),
            names: Names::default(),
            tls: Arc::new(Tls::new(roots)),
            tasks: JoinSet::new(),
            sink,
            events,
        };
        prober.reconfigure(config);
        prober
    }

    /// Takes another config. What did not change keeps its sockets, so no reply under way is lost.
    pub fn reconfigure(&mut self, config: Arc<Gateway>) {
        let mut old = std::mem::take(&mut self.uplinks).into_iter();
        for (id, uplink) in config.uplink_ids().zip(&config.uplinks) {
            let kept = old.next().filter(|kept| kept.device == uplink.device);
            self.uplinks.push(kept.unwrap_or_else(|| Sockets::new(id, uplink.device.clone(), &self.sink)));
        }
        let before = std::mem::replace(&mut self.config, config);
        let target = |config: &Gateway, (uplink, target): resolve::Key| {
            config.uplinks.get(uplink.index()).and_then(|uplink| uplink.targets.get(target.index())).cloned()
        };
        self.names.retain(|key| target(&before, key) == target(&self.config, key));
    }

    /// Sends a probe, or begins it. Returns [`Event::ProbeSent`] or [`Event::ProbeUnsent`], always of this probe; the
    /// engine takes it at once, so that no queue delays it.
    pub fn send(&mut self, request: ProbeRequest) -> Event {
        self.begin(request).unwrap_or_else(|Refused(reason)| Event::ProbeUnsent { probe: request.probe, reason })
    }

    /// Waits for events and appends them to `out`, [`BATCH`] at most. Cancelling it loses nothing: an event is either
    /// in `out` or still in the queue.
    pub async fn next(&mut self, out: &mut Vec<Event>) {
        self.events.recv_many(out, BATCH).await;
    }

    /// The source address of the uplink changed, came or went: what is bound to the old one goes.
    pub fn source_changed(&mut self, uplink: UplinkId, family: Family) {
        if let Some(sockets) = self.uplinks.get_mut(uplink.index()) {
            sockets.lines[family.index()].close();
        }
        self.names.doubt(uplink);
    }

    /// The device of the uplink came, went or was replaced.
    pub fn link_changed(&mut self, uplink: UplinkId) {
        for family in Family::BOTH {
            self.source_changed(uplink, family);
        }
    }

    /// The provider's resolvers, asked for names in targets of this uplink; none: [`resolve::WELL_KNOWN`].
    pub fn set_resolvers(&mut self, uplink: UplinkId, resolvers: Vec<IpAddr>) {
        if let Some(sockets) = self.uplinks.get_mut(uplink.index())
            && sockets.resolvers != resolvers
        {
            sockets.resolvers = resolvers;
            self.names.doubt(uplink);
        }
    }

    /// Whether the dates of certificates are judged: only while the wall clock is known to be right. Not at first.
    pub fn judge_certificate_dates(&self, judge: bool) {
        self.tls.judge_dates(judge);
    }

    /// Why the uplink has no ping socket, if it has none.
    pub fn trouble(&self, uplink: UplinkId, family: Family) -> Option<&OpenError> {
        self.uplinks.get(uplink.index()).and_then(|sockets| sockets.lines[family.index()].trouble())
    }

    pub fn counts(&self) -> Counts {
        self.sink.counts()
    }

    fn begin(&mut self, request: ProbeRequest) -> Result<Event, Refused> {
        let ProbeId { uplink, target: target_id, .. } = request.probe;
        let config = Arc::clone(&self.config);
        // The engine may ask with yesterday's config; there is no such target any more.
        let target = config.uplinks.get(uplink.index()).and_then(|uplink| uplink.targets.get(target_id.index()));
        let target = target.ok_or(Unsent::Unresolved)?;
        match &target.check {
            Check::Icmp { host } => {
                let to = self.address(request.probe, host)?;
                let named = matches!(host, Host::Name(_));
                let echo = Echo { probe: request.probe, cookie: request.cookie, to, named };
                let line = &mut self.uplinks[uplink.index()].lines[target.family.index()];
                Ok(line.send(echo))
            }
            Check::Tcp { host, port } => {
                let to = SocketAddr::new(self.address(request.probe, host)?, *port);
                self.begin_tcp(request, to)
            }
            Check::Dns { server, name, expect } => {
                let question = Question::new(name, question_family(expect, target.family), request.cookie);
                // A name that cannot be asked for has no address either; the config's reader refuses it first.
                let question = question.map_err(|_| Unsent::Unresolved)?;
                self.begin_dns(request, *server, question, expect.clone(), target.family)
            }
            Check::Http { url, status, contains } => {
                let to = SocketAddr::new(self.address(request.probe, &url.host)?, url.port);
                let get = Get::new(url, *status, contains.as_deref()).ok_or(Unsent::Send)?;
                self.begin_http(request, to, get, url.tls)
            }
        }
    }

    fn begin_tcp(&mut self, request: ProbeRequest, to: SocketAddr) -> Result<Event, Refused> {
        let permits = self.permits(request.probe.uplink)?;
        let at = (self.clock)();
        let stream = socket::tcp(&self.uplinks[request.probe.uplink.index()].device, to)?;
        let sink = self.sink.clone();
        self.spawn(request.patience, async move {
            let _permits = permits;
            match tcp::established(&stream).await {
                Ok(()) => sink.answered(request.probe, Answer::Reply),
                Err(Some(answer)) => sink.answered(request.probe, answer),
                Err(None) => {}
            }
        });
        Ok(Event::ProbeSent { probe: request.probe, at, bytes: tcp::WIRE_BYTES })
    }

    fn begin_dns(
        &mut self,
        request: ProbeRequest,
        server: SocketAddr,
        question: Question,
        expect: DnsAnswer,
        family: Family,
    ) -> Result<Event, Refused> {
        let permits = self.permits(request.probe.uplink)?;
        let socket = socket::udp(&self.uplinks[request.probe.uplink.index()].device, server)?;
        let at = (self.clock)();
        // Not ready for writing as far as tokio knows, so asked directly; a fresh socket has room.
        let sent = socket2::SockRef::from(&socket).send(question.bytes());
        sent.map_err(|_| Unsent::Send)?;
        let bytes = u32::try_from(dns::HEADER_BYTES + question.bytes().len()).unwrap_or(u32::MAX);
        let sink = self.sink.clone();
        self.spawn(request.patience, async move {
            let _permits = permits;
            let mut unreachable = false;
            while let Ok(heard) = dns::heard(&socket, &question, &sink).await {
                match heard {
                    dns::Heard::Answer(answer) => {
                        let right = answer.is_as_expected(&expect, family);
                        let answer = if right { Answer::Reply } else { Answer::Wrong(Wrong::Dns) };
                        return sink.answered(request.probe, answer);
                    }
                    dns::Heard::Unreachable if !unreachable => {
                        unreachable = true;
                        sink.answered(request.probe, Answer::Unreachable);
                    }
                    dns::Heard::Unreachable => {}
                }
            }
        });
        Ok(Event::ProbeSent { probe: request.probe, at, bytes })
    }

    fn begin_http(&mut self, request: ProbeRequest, to: SocketAddr, get: Get, tls: bool) -> Result<Event, Refused> {
        let sockets = &self.uplinks[request.probe.uplink.index()];
        let http = Arc::clone(&sockets.http).try_acquire_owned().map_err(|_| {
            self.sink.count_crowded();
            Unsent::Socket
        })?;
        let permits = self.permits(request.probe.uplink)?;
        let at = (self.clock)();
        let stream = socket::tcp(&self.uplinks[request.probe.uplink.index()].device, to)?;
        let bytes = http::WIRE_BYTES + if tls { http::TLS_WIRE_BYTES } else { 0 };
        let (sink, names, tls) = (self.sink.clone(), self.names.clone(), Arc::clone(&self.tls));
        self.spawn(request.patience, async move {
            let _permits = (permits, http);
            let Some(answer) = get.ask(stream, &tls).await else { return };
            if matches!(answer, Answer::Wrong(_)) {
                names.doubt_target((request.probe.uplink, request.probe.target), (sink.clock)());
            }
            sink.answered(request.probe, answer);
        });
        Ok(Event::ProbeSent { probe: request.probe, at, bytes })
    }

    /// The target's address now; a name that is due for a refresh gets it in the background.
    fn address(&mut self, probe: ProbeId, host: &Host) -> Result<IpAddr, Refused> {
        let name = match host {
            Host::Address(address) => return Ok(*address),
            Host::Name(name) => name,
        };
        let key = (probe.uplink, probe.target);
        let known = self.names.look_up(key, (self.clock)());
        if known.due {
            let (names, sink, name) = (self.names.clone(), self.sink.clone(), name.clone());
            let sockets = &self.uplinks[probe.uplink.index()];
            let (device, resolvers) = (sockets.device.clone(), sockets.resolvers.clone());
            self.reap();
            self.tasks.spawn(async move {
                let asked = if resolvers.is_empty() { &resolve::WELL_KNOWN[..] } else { &resolvers[..] };
                let found = resolve::resolve(&device, &name, probe.family, asked, &sink).await;
                names.settle(key, found, (sink.clock)());
            });
        }
        known.address.ok_or(Refused(Unsent::Unresolved))
    }

    fn permits(&self, uplink: UplinkId) -> Result<[OwnedSemaphorePermit; 2], Refused> {
        let take = |semaphore: &Arc<Semaphore>| {
            Arc::clone(semaphore).try_acquire_owned().map_err(|_| {
                self.sink.count_crowded();
                Refused(Unsent::Socket)
            })
        };
        Ok([take(&self.uplinks[uplink.index()].in_flight)?, take(&self.in_flight)?])
    }

    fn spawn(&mut self, patience: Duration, rest: impl Future<Output = ()> + Send + 'static) {
        self.reap();
        // Out of patience: nothing is told, the engine has settled the probe by then.
        let limited = tokio::time::timeout(patience.min(PATIENCE_MOST), rest);
        self.tasks.spawn(async move {
            let _ = limited.await;
        });
    }

    /// Forgets ended tasks, which the set would keep.
    fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }
}

impl Sockets {
    fn new(uplink: UplinkId, device: LinkName, sink: &Sink) -> Self {
        let lines = Family::BOTH.map(|family| Line::new(uplink, family, device.clone(), sink.clone()));
        Self {
            device,
            lines,
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            http: Arc::new(Semaphore::new(HTTP_IN_FLIGHT)),
            resolvers: Vec::new(),
        }
    }
}
