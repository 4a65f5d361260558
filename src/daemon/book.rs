//! The ledger's place in the daemon: facts become records, records go to a thread of their own that writes them, and their
//! sums are kept here for `/metrics`. Nothing here waits for a disk: what cannot be written now waits in memory, bounded.

mod boot;
mod writer;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::clock;
use super::hands::chain;
use crate::config::branch::Place;
use crate::config::model::{Family, Gateway, UplinkId};
use crate::control::io::Answer;
use crate::control::protocol::{Refusal, RefusalKind, Reply};
use crate::control::snapshot::LedgerFigures;
use crate::control::status::InternetState;
use crate::engine::action::Fact;
use crate::health::Cause;
use crate::ledger::account::Account;
use crate::ledger::checkpoint::CHECKPOINT_EVERY;
use crate::ledger::record::{Id, Kind, Record, Stamp};
use crate::ledger::scribe::Scribe;
use crate::ledger::store::{Folder, Store, zone};
use crate::ledger::words;
use crate::telemetry::narrator::Told;
use crate::time::Instant;
pub(super) use boot::Boot;
use writer::{Job, Shared};

/// Records on their way to the writer: a total outage of 64 lines is told at once.
const LEDGER_QUEUE: usize = 256;
/// And in memory, while the disk is full, read-only or slow: days of a usual branch. Then the newest are lost, counted.
const HELD: usize = 1_024;
/// A write that takes longer is a disk that does not write.
const SLOW: Duration = Duration::from_secs(5);
/// For the last records, at the end.
const FAREWELL: Duration = Duration::from_secs(3);

pub(super) struct Book {
    boot: Id,
    scribe: Scribe,
    account: Account,
    /// `None`: the ledger cannot be read, so nothing is written to it.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    held: VecDeque<Record>,
    lost: u64,
    /// Records given to the writer, and since when it owes us some.
    sent: u64,
    owed: Option<Instant>,
    checked: Instant,
    pub remarks: Vec<String>,
    /// How long the box was off before this start, and why, in words.
    pub off: Option<String>,
}

impl Book {
    /// The first records of this run are on their way when this returns.
    pub(super) fn open(state: &Path, boot: &Boot, now: Instant) -> Self {
        let mut book = Self {
            boot: boot.id,
            scribe: Scribe::default(),
            account: Account::default(),
            jobs: None,
            thread: None,
            shared: Arc::default(),
            held: VecDeque::new(),
            lost: 0,
            sent: 0,
            owed: None,
            checked: now,
            remarks: Vec::new(),
            off: None,
        };
        let fresh = Id(u128::from_ne_bytes(random()));
        let opened = Folder::new(&state.join("ledger"))
            .map_err(|error| chain(&error))
            .and_then(|folder| Store::open(folder, fresh, &zone).map_err(|error| chain(&error)));
        match opened {
            Ok((store, found)) => {
                book.account = found.account;
                book.remarks = found.remarks;
                book.shared.note(&store);
                if let Some(dated) = found.before.dated {
                    clock::lived(dated);
                }
                let (jobs, inbox) = sync_channel(LEDGER_QUEUE);
                let shared = Arc::clone(&book.shared);
                let thread = std::thread::Builder::new()
                    .name("ledger".to_owned())
                    .stack_size(writer::STACK)
                    .spawn(move || writer::run(store, &inbox, &shared));
                match thread {
                    Ok(thread) => (book.jobs, book.thread) = (Some(jobs), Some(thread)),
                    Err(error) => book.remarks.push(format!("nothing is written to the ledger: {error}")),
                }
                let reason = boot.reason(&found.before);
                book.scribe.start(found.before, reason, crate::VERSION, found.told, book.stamp(now));
                book.note_off();
            }
            Err(error) => {
                book.remarks.push(format!("the ledger cannot be used, nothing is kept: {error}"));
                book.scribe.start(Default::default(), "unknown", crate::VERSION, Default::default(), book.stamp(now));
            }
        }
        book
    }

    pub(super) fn configure(
        &mut self,
        config: &Gateway,
        place: &Place,
        digest: &str,
        carried: &[Option<UplinkId>],
        now: Instant,
    ) {
        let known: Vec<String> = self.account.sums().lines.keys().cloned().collect();
        self.scribe.config(config, place, digest, carried, &known, self.stamp(now));
        self.flush();
    }

    /// `open`: where an outage broke is being asked.
    pub(super) fn tell(&mut self, fact: &Fact, open: bool, told: Option<&Told>, config: &Gateway, at: Instant) {
        // Most facts are probes; what day it is matters to none of these.
        if matches!(fact, Fact::ProbeSettled { .. } | Fact::Suspicion { .. } | Fact::Switch(_)) {
            return;
        }
        self.scribe.tell(fact, open, told, config, self.stamp(at));
        self.flush();
    }

    pub(super) fn placed(&mut self, uplink: UplinkId, family: Family, cause: Cause, at: Instant) {
        self.scribe.placed(uplink, family, cause, self.stamp(at));
        self.flush();
    }

    pub(super) fn internet(&mut self, state: InternetState, at: Instant) {
        self.scribe.internet(state, self.stamp(at));
        self.flush();
    }

    /// Once a second.
    pub(super) fn tick(&mut self, now: Instant) {
        self.scribe.tick(self.stamp(now));
        self.flush();
        let written = self.shared.written();
        self.owed = if written >= self.sent { None } else { self.owed.or(Some(now)) };
        if now.since(self.checked) >= CHECKPOINT_EVERY {
            self.checkpoint(now);
        }
    }

    /// What a full queue lost since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        let slow = self.owed.is_some_and(|since| now.since(since) > SLOW);
        self.jobs.is_none() || self.shared.is_failing() || !self.held.is_empty() || slow
    }

    /// For `/metrics`: lines in the order of the config.
    pub(super) fn figures(&mut self, config: &Gateway, now: Instant) -> LedgerFigures {
        let stalled = self.is_stalled(now);
        let scribe = &self.scribe;
        let sums = self.account.advance(now.millis(), &|line| scribe.limit(line));
        let of = |name: &str| sums.lines.get(name).copied().unwrap_or_default();
        LedgerFigures {
            lines: config.uplinks.iter().map(|uplink| of(uplink.name.as_str())).collect(),
            internet: sums.internet,
            boots: sums.boots,
            seq: self.shared.seq(),
            unsent: self.shared.kept(),
            stalled,
            errors: self.shared.errors(),
        }
    }

    /// Answered by the writer, which may have to read.
    pub(super) fn read(&self, segment: u64, offset: u64, now: Instant, reply: oneshot::Sender<Answer>) {
        let job = Job::Read { segment, offset, boot: self.boot, mono: now.millis(), reply };
        let refused = match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            None => return,
            Some(Ok(())) => return,
            Some(Err(TrySendError::Full(job) | TrySendError::Disconnected(job))) => job,
        };
        if let Job::Read { reply, .. } = refused {
            let refusal = Refusal::new(RefusalKind::NotNow, "the ledger is busy: its disk is slow, or it has none");
            reply.send(Reply::Refused(refusal).into()).ok();
        }
    }

    /// The last record of this run, on disk if the disk is well.
    pub(super) fn stop(&mut self, now: Instant) {
        self.scribe.stop(self.stamp(now));
        self.flush();
        self.checkpoint(now);
        let Some(jobs) = self.jobs.take() else { return };
        let (told, ended) = sync_channel(1);
        if jobs.try_send(Job::End(told)).is_ok() {
            ended.recv_timeout(FAREWELL).ok();
        }
        // A thread that hangs in its disk ends with the process.
        self.thread = None;
    }

    fn checkpoint(&mut self, now: Instant) {
        self.checked = now;
        let scribe = &self.scribe;
        self.account.advance(now.millis(), &|line| scribe.limit(line));
        // The sums must not be ahead of the records that they are made of.
        if let Some(jobs) = self.jobs.as_ref().filter(|_| self.held.is_empty()) {
            jobs.try_send(Job::Checkpoint(Box::new(self.account.clone()), self.stamp(now))).ok();
        }
    }

    /// Sums first, so that they can be asked at once; then to the writer, in order.
    fn flush(&mut self) {
        if self.scribe.is_empty() && self.held.is_empty() {
            return;
        }
        for record in self.scribe.take() {
            self.account.fold(&record, &zone);
            if self.held.len() == HELD {
                self.lost += 1;
            } else {
                self.held.push_back(record);
            }
        }
        let Some(jobs) = &self.jobs else { return };
        while let Some(record) = self.held.pop_front() {
            match jobs.try_send(Job::Write(Box::new(record))) {
                Ok(()) => self.sent += 1,
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                    if let Job::Write(record) = job {
                        self.held.push_front(*record);
                    }
                    return;
                }
            }
        }
    }

    /// Of the records of a start.
    fn note_off(&mut self) {
        let off = self.scribe.peek().iter().find(|record| record.kind == Kind::Off);
        self.off = off.and_then(words::sentence).map(|(_, said)| said);
    }

    fn stamp(&self, at: Instant) -> Stamp {
        let ago = clock::now().millis().saturating_sub(at.millis());
        Stamp { boot: self.boot, mono: at.millis(), wall: clock::wall_ms().map(|wall| wall.saturating_sub(ago)) }
    }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // Without the kernel's generator two ledgers could have one name; the time tells them apart well enough.
    if getrandom::fill(&mut bytes).is_err() {
        bytes[..8].copy_from_slice(&clock::now().nanos().to_ne_bytes());
    }
    bytes
}
