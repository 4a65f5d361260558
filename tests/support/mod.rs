//! A daemon that answers from a canned status, over the real server end of the control socket.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use causeway::control::io::{Answer, Incoming, Server};
use causeway::control::protocol::{Refusal, RefusalKind, Reply, Request};
use causeway::control::snapshot::{ConfigFigures, Hardware, LedgerFigures, Process, Snapshot};
use causeway::control::status::Status;
use causeway::telemetry::counts::Counts;
use causeway::telemetry::events::{EventLine, Level};
use tokio::sync::{broadcast, mpsc};

/// A folder of its own for each test; gone with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("causeway-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn canned() -> Status {
    serde_json::from_str(include_str!("../canned/backup.json")).expect("it fits the types")
}

/// With counters at 0.
pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        status: canned(),
        counts: Counts::sized([3, 3]),
        process: Process::default(),
        ledger: LedgerFigures::default(),
        hardware: Hardware::default(),
        config: ConfigFigures::default(),
    }
}

pub(crate) fn event(seq: u64, message: &str) -> EventLine {
    EventLine {
        seq,
        wall_ms: Some(1_793_356_929_382),
        boot_ms: 1_000 * seq,
        kind: "uplink.state".to_owned(),
        level: Level::Notice,
        message: message.to_owned(),
        fields: Vec::new(),
    }
}

/// The fake daemon on a thread of its own; ends with the process.
pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    pub(crate) live: broadcast::Sender<EventLine>,
    _folder: Folder,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        Self::with(answer)
    }

    /// `answer` gets each request; `None` leaves it without an answer for ever.
    pub(crate) fn with(
        answer: impl Fn(&Incoming, &broadcast::Sender<EventLine>) -> Option<Answer> + Send + 'static,
    ) -> Self {
        let folder = Folder::new();
        let socket = folder.socket();
        let (live, _) = broadcast::channel(16);
        let (bound, ready) = std::sync::mpsc::channel();
        let (path, events) = (socket.clone(), live.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let server = Server::bind(&path, None).expect("a free path");
                bound.send(()).expect("the test waits");
                let (engine, requests) = mpsc::channel(8);
                tokio::join!(server.run(engine), serve(requests, answer, events));
            });
        });
        ready.recv().expect("the fake daemon binds its socket");
        Self { socket, live, _folder: folder }
    }
}

async fn serve(
    mut requests: mpsc::Receiver<Incoming>,
    answer: impl Fn(&Incoming, &broadcast::Sender<EventLine>) -> Option<Answer>,
    live: broadcast::Sender<EventLine>,
) {
    let mut unanswered = Vec::new();
    while let Some(incoming) = requests.recv().await {
        match answer(&incoming, &live) {
            Some(answer) => drop(incoming.reply.send(answer)),
            None => unanswered.push(incoming),
        }
    }
}

/// What a daemon on the canned status says.
pub(crate) fn answer(incoming: &Incoming, live: &broadcast::Sender<EventLine>) -> Option<Answer> {
    let refused = |kind, message: &str| Reply::Refused(Refusal::new(kind, message));
    let kept = vec![event(1, "wan1 (ipv4) up → down: 3 of 3 targets silent 0.38 s")];
    Some(Answer::One(match &incoming.request {
        Request::Status => Reply::Status(Box::new(canned())),
        Request::Snapshot => Reply::Snapshot(Box::new(snapshot())),
        Request::Events { follow: true, .. } => return Some(Answer::Follow { kept, live: live.subscribe() }),
        Request::Events { follow: false, .. } => Reply::Events(kept),
        Request::ConfigInfo => Reply::Config(canned().config),
        Request::Version => Reply::Version("0.1.0".to_owned()),
        Request::Use { uplink, .. } if uplink == "lte0" => Reply::Done("lte0 is preferred.".to_owned()),
        Request::Use { .. } => refused(RefusalKind::NotFound, "there is no such uplink"),
        Request::UseAutomatic => Reply::Done("Uplinks are chosen automatically.".to_owned()),
        Request::Lock => Reply::Done("Locked.".to_owned()),
        Request::Unlock => Reply::Done("Unlocked.".to_owned()),
        Request::Drill { .. } => refused(RefusalKind::NotNow, "lte0 is not up"),
        Request::ConfigState
        | Request::ConfigShow
        | Request::ConfigApply { .. }
        | Request::ConfigConfirm
        | Request::ConfigRollBack
        | Request::ConfigRetry => refused(RefusalKind::NotNow, "nothing is tried"),
        Request::Ledger { .. } => Reply::Ledger(None),
        Request::Errand { .. } | Request::Deliver { .. } => refused(RefusalKind::NotNow, "not enrolled"),
    }))
}

pub(crate) fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
