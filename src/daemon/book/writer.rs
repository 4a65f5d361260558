//! The thread that writes: takes what came within [`BATCH`], appends it, and makes it last with one sync.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::control::io::Answer;
use crate::control::protocol::{LedgerPart, Refusal, RefusalKind, Reply};
use crate::daemon::clock;
use crate::daemon::hands::chain;
use crate::ledger::account::Account;
use crate::ledger::record::{Id, Record, Stamp};
use crate::ledger::store::{Folder, Store};

/// Of the thread: its deepest call is a record's JSON.
pub(super) const STACK: usize = 256 << 10;
/// A record is on disk so long after it was told, at most: one outage is half a dozen of them and one sync.
const BATCH: Duration = Duration::from_millis(50);
/// Until a disk that refused is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// Of one answer: four megabytes are read in 64 of them.
const PART: usize = 64 << 10;

pub(super) enum Job {
    Write(Box<Record>),
    Checkpoint(Box<Account>, Stamp),
    Read {
        segment: u64,
        offset: u64,
        boot: Id,
        mono: u64,
        reply: oneshot::Sender<Answer>,
    },
    /// Told when all before it is done.
    End(SyncSender<()>),
}

/// What the driver may see without asking.
#[derive(Debug, Default)]
pub(super) struct Shared {
    written: AtomicU64,
    failing: AtomicBool,
    seq: AtomicU64,
    kept: AtomicU64,
    errors: [AtomicU64; 4],
}

impl Shared {
    pub(super) fn note(&self, store: &Store<Folder>) {
        let errors = store.errors();
        let counts = [errors.write, errors.torn, errors.broken, errors.pruned];
        for (shared, count) in self.errors.iter().zip(counts) {
            shared.store(count, Ordering::Relaxed);
        }
        self.seq.store(store.seq(), Ordering::Relaxed);
        self.kept.store(store.kept(), Ordering::Relaxed);
    }

    /// Records of this run that are on disk.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn seq(&self) -> u64 {
        self.seq.load(Ordering::Relaxed)
    }

    pub(super) fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Write, torn, broken, pruned.
    pub(super) fn errors(&self) -> [u64; 4] {
        [0, 1, 2, 3].map(|index: usize| self.errors[index].load(Ordering::Relaxed))
    }
}

/// Until the other end is gone and all is written that can be.
pub(super) fn run(mut store: Store<Folder>, jobs: &Receiver<Job>, shared: &Shared) {
    let mut queue = VecDeque::new();
    while let Some(more) = gather(&mut queue, jobs) {
        let before = queue.len();
        let result = store.append(&mut queue);
        let written = u64::try_from(before - queue.len()).unwrap_or(0);
        shared.written.fetch_add(written, Ordering::Relaxed);
        shared.note(&store);
        let failed = result.is_err();
        if let Err(error) = result
            && !shared.failing.swap(true, Ordering::Relaxed)
        {
            tracing::error!("the ledger cannot be written, records wait in memory: {}", chain(&error));
        }
        if !failed && shared.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the ledger is written again");
        }
        let ended = other(more, &mut store, failed, shared);
        if failed {
            // What comes meanwhile stays with the driver, which has more room.
            std::thread::park_timeout(AGAIN);
        }
        if ended {
            return;
        }
    }
}

/// What came within a batch; `None`: nothing comes any more. Anything but a record ends the batch.
fn gather(queue: &mut VecDeque<Record>, jobs: &Receiver<Job>) -> Option<Option<Job>> {
    if queue.is_empty() {
        match jobs.recv() {
            Ok(Job::Write(record)) => queue.push_back(*record),
            Ok(other) => return Some(Some(other)),
            Err(_) => return None,
        }
    }
    let until = clock::now() + BATCH;
    while queue.len() < super::LEDGER_QUEUE {
        match jobs.recv_timeout(until.since(clock::now())) {
            Ok(Job::Write(record)) => queue.push_back(*record),
            Ok(other) => return Some(Some(other)),
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) if queue.is_empty() => return None,
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(None)
}

/// Returns whether that was all.
fn other(job: Option<Job>, store: &mut Store<Folder>, failed: bool, shared: &Shared) -> bool {
    match job {
        None | Some(Job::Write(_)) => false,
        Some(Job::Checkpoint(account, stamp)) => {
            // Sums of records that are not on disk would be counted twice.
            if !failed && let Err(error) = store.checkpoint(&account, stamp) {
                shared.note(store);
                tracing::warn!("the sums of the ledger were not kept: {}", chain(&error));
            }
            false
        }
        Some(Job::Read { segment, offset, boot, mono, reply }) => {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            let answer = match store.part(segment, offset, PART) {
                Ok(part) => Reply::Ledger(part.map(|part| {
                    let next = part.next.map(|(segment, offset)| (segment, u64::try_from(offset).unwrap_or(u64::MAX)));
                    Box::new(LedgerPart { boot: boot.0, mono, segment: part.segment, bytes: part.bytes, next })
                })),
                Err(error) => Reply::Refused(Refusal::new(RefusalKind::Failed, chain(&error))),
            };
            // The client has gone: nobody is told.
            reply.send(answer.into()).ok();
            false
        }
        Some(Job::End(told)) => {
            told.send(()).ok();
            true
        }
    }
}
