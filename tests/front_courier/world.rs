//! A daemon that hands out errands over the real server end of the control socket, and the courier under test, all in one
//! runtime, so that a paused clock holds for them together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use causeway::control::errand::{Errand, HOLD_MS, Lane, Method, Office, PIECE, Part};
use causeway::control::io::{Answer, Incoming, Server};
use causeway::control::protocol::{Refusal, RefusalKind, Reply, Request};
use causeway::front::client::Courier;
use causeway::telemetry::events::EventLine;
use rustls::RootCertStore;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::office::{Identity, Wire};
use crate::support::{Folder, event};

/// What came of one errand.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) failed: Option<String>,
    pub(crate) took: Duration,
}

pub(crate) struct World {
    pub(crate) wire: Wire,
    pub(crate) identity: Identity,
    give: mpsc::Sender<(Lane, Errand)>,
    parts: mpsc::Receiver<(u64, Part)>,
    live: broadcast::Sender<EventLine>,
    socket: PathBuf,
    daemon: JoinHandle<()>,
    courier: JoinHandle<()>,
    asked: Arc<AtomicU64>,
    next: u64,
    _folder: Folder,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::build(None, true)
    }

    pub(crate) fn trusting(roots: RootCertStore) -> Self {
        Self::build(Some(roots), true)
    }

    /// Its daemon belongs to no head office.
    pub(crate) fn alone() -> Self {
        Self::build(None, false)
    }

    fn build(roots: Option<RootCertStore>, enrolled: bool) -> Self {
        let (folder, wire) = (Folder::new(), Wire::default());
        let socket = folder.socket();
        let courier = Courier::new(socket.clone(), wire.clone());
        let courier = match roots {
            Some(roots) => courier.trusting(Arc::new(roots)),
            None => courier,
        };
        let (live, _) = broadcast::channel(16);
        let asked = Arc::default();
        let (daemon, give, parts) = daemon(&socket, enrolled, live.clone(), Arc::clone(&asked));
        let courier = tokio::spawn(courier.run());
        Self {
            wire,
            identity: Identity::new(),
            give,
            parts,
            live,
            socket,
            daemon,
            courier,
            asked,
            next: 1,
            _folder: folder,
        }
    }

    /// The daemon dies, and another one takes its place at once.
    pub(crate) async fn restart_daemon(&mut self) {
        self.daemon.abort();
        let _ = (&mut self.daemon).await;
        let _ = std::fs::remove_file(&self.socket);
        (self.daemon, self.give, self.parts) = daemon(&self.socket, true, self.live.clone(), Arc::clone(&self.asked));
    }

    /// Questions for errands so far.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Another uplink carries the traffic.
    pub(crate) fn switch(&self) {
        let line = EventLine { kind: "path.switch".to_owned(), ..event(1, "default: wan1 → lte0") };
        let _ = self.live.send(line);
    }

    /// A `GET` of the one office at port 443.
    pub(crate) fn errand(&mut self) -> Errand {
        let address = "https://office.example".to_owned();
        self.errand_to(vec![Office { address, pins: vec![self.identity.pin] }])
    }

    pub(crate) fn errand_to(&mut self, offices: Vec<Office>) -> Errand {
        self.next += 1;
        Errand {
            id: self.next,
            offices,
            method: Method::Get,
            target: "/v1/root/2".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            wanted: Vec::new(),
            most: 1 << 20,
            hold_ms: 0,
            deadline_ms: 120_000,
        }
    }

    pub(crate) async fn give(&self, lane: Lane, errand: Errand) {
        self.give.send((lane, errand)).await.expect("the daemon runs");
    }

    /// Hands out an errand and waits for its end.
    pub(crate) async fn fetch(&mut self, errand: Errand) -> Outcome {
        let id = errand.id;
        self.give(Lane::Work, errand).await;
        self.outcome(id).await
    }

    /// From now until the end of this errand.
    pub(crate) async fn outcome(&mut self, id: u64) -> Outcome {
        let began = Instant::now();
        let mut outcome = Outcome::default();
        loop {
            let next = timeout(Duration::from_hours(2), self.parts.recv()).await;
            let (of, part) = next.expect("an end within two hours").expect("the daemon runs");
            if of != id {
                continue;
            }
            outcome.took = began.elapsed();
            match part {
                Part::Answer { status, headers } => {
                    assert!(outcome.status.is_none(), "one answer");
                    (outcome.status, outcome.headers) = (Some(status), headers);
                }
                Part::Body(piece) => {
                    assert!(outcome.status.is_some() && !piece.is_empty() && piece.len() <= PIECE);
                    outcome.body.extend(piece);
                }
                Part::End => {
                    assert!(outcome.status.is_some(), "an answer before its end");
                    return outcome;
                }
                Part::Failed(words) => {
                    outcome.failed = Some(words);
                    return outcome;
                }
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.courier.abort();
        self.daemon.abort();
    }
}

/// Its task, what to hand out, and what came of it.
type Started = (JoinHandle<()>, mpsc::Sender<(Lane, Errand)>, mpsc::Receiver<(u64, Part)>);
type Held = (Instant, oneshot::Sender<Answer>);

fn daemon(
    socket: &std::path::Path,
    enrolled: bool,
    live: broadcast::Sender<EventLine>,
    asked: Arc<AtomicU64>,
) -> Started {
    let server = Server::bind(socket, None).expect("a free path");
    let (give, mut given) = mpsc::channel::<(Lane, Errand)>(16);
    let (deliver, parts) = mpsc::channel(64);
    let (engine, mut requests) = mpsc::channel::<Incoming>(8);
    let task = async move {
        let mut errands: BTreeMap<Lane, Vec<Errand>> = BTreeMap::new();
        let mut held: BTreeMap<Lane, Held> = BTreeMap::new();
        loop {
            let until = held.values().map(|(until, _)| *until).min();
            let until = until.unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
            tokio::select! {
                incoming = requests.recv() => {
                    let Some(Incoming { request, reply, .. }) = incoming else { return };
                    let answer: Answer = match request {
                        Request::Errand { .. } if !enrolled => {
                            asked.fetch_add(1, Ordering::Relaxed);
                            Reply::Refused(Refusal::new(RefusalKind::NotNow, "there is no head office")).into()
                        }
                        Request::Errand { lane } => {
                            asked.fetch_add(1, Ordering::Relaxed);
                            held.insert(lane, (Instant::now() + Duration::from_millis(u64::from(HOLD_MS)), reply));
                            hand_out(lane, &mut errands, &mut held);
                            continue;
                        }
                        Request::Deliver { id, part } => {
                            deliver.send((id, part)).await.expect("the test waits");
                            Reply::Done(String::new()).into()
                        }
                        Request::Events { .. } => Answer::Follow { kept: Vec::new(), live: live.subscribe() },
                        other @ (Request::Status
                        | Request::Snapshot
                        | Request::ConfigInfo
                        | Request::Version
                        | Request::Use { .. }
                        | Request::UseAutomatic
                        | Request::Lock
                        | Request::Unlock
                        | Request::ConfigState
                        | Request::ConfigShow
                        | Request::ConfigConfirm
                        | Request::ConfigRollBack
                        | Request::ConfigApply { .. }
                        | Request::ConfigRetry
                        | Request::Ledger { .. }
                        | Request::Drill { .. }) => panic!("the courier asks for {other:?}"),
                    };
                    let _ = reply.send(answer);
                }
                errand = given.recv() => {
                    let Some((lane, errand)) = errand else { return };
                    errands.entry(lane).or_default().push(errand);
                    hand_out(lane, &mut errands, &mut held);
                }
                () = sleep_until(until) => {
                    for lane in [Lane::News, Lane::Work] {
                        if held.get(&lane).is_some_and(|(until, _)| *until <= Instant::now()) {
                            let (_, reply) = held.remove(&lane).expect("it is there");
                            let _ = reply.send(Reply::Errand(None).into());
                        }
                    }
                }
            }
        }
    };
    let both = tokio::spawn(async move {
        tokio::join!(server.run(engine), task);
    });
    (both, give, parts)
}

fn hand_out(lane: Lane, errands: &mut BTreeMap<Lane, Vec<Errand>>, held: &mut BTreeMap<Lane, Held>) {
    let Some(waiting) = errands.get_mut(&lane).filter(|waiting| !waiting.is_empty()) else { return };
    if let Some((_, reply)) = held.remove(&lane) {
        if reply.is_closed() {
            return;
        }
        let _ = reply.send(Reply::Errand(Some(Box::new(waiting.remove(0)))).into());
    }
}
