//! What branches report: kept in memory, written to the store every half minute, and at once when a branch's state changes.
//! Replicas write to the same shards, so each write keeps whatever of another replica is newer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::desk::{Desk, Entry};
use crate::office::error::OfficeError;
use crate::office::layout;
use crate::office::publish::now;
use crate::office::records::{Seen, Shard};
use crate::office::store::json;
use crate::trust::document::TransitionReceipt;
use crate::trust::request::Status;

/// Status that changed nothing may be this old in the store.
const EVERY: Duration = Duration::from_secs(30);
/// Transitions of a roll-out come in crowds: one write takes those of this long.
const CROWD: Duration = Duration::from_millis(200);
/// Another replica wins a put now and then, not this often.
const TRIES: usize = 8;

/// Shards with something that is not in the store yet.
#[derive(Debug, Default)]
pub(super) struct Dirty(Mutex<BTreeSet<u8>>);

impl Dirty {
    fn mark(&self, entry: &Entry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(shard(entry));
    }

    fn take(&self) -> BTreeSet<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A report counts if its counter has risen; an old one, sent again by somebody, changes nothing.
pub(super) fn report(desk: &Desk, entry: &Entry, counter: u64, status: Option<Status>) {
    let mut seen = entry.seen();
    if counter <= seen.counter {
        drop(seen);
        desk.counts.stale();
        return;
    }
    seen.counter = counter;
    seen.at = now();
    let Some(status) = status else {
        drop(seen);
        desk.dirty.mark(entry);
        return;
    };
    let moved = seen.status.as_ref().is_none_or(|before| is_transition(before, &status));
    seen.status = Some(status);
    drop(seen);
    desk.dirty.mark(entry);
    if moved {
        desk.urgent.notify_one();
    }
}

/// A signed transition, once. The status of the same request says the rest.
pub(super) fn receipt(desk: &Desk, entry: &Entry, receipt: &TransitionReceipt) {
    let mut seen = entry.seen();
    if receipt.counter <= seen.receipt {
        drop(seen);
        desk.counts.stale();
        return;
    }
    seen.receipt = receipt.counter;
    seen.transition = Some(receipt.into());
    drop(seen);
    desk.dirty.mark(entry);
    desk.urgent.notify_one();
}

fn is_transition(before: &Status, after: &Status) -> bool {
    let what = |status: &Status| {
        (status.state, status.reason, status.verdict, status.wanted, status.committed, status.firmware)
    };
    what(before) != what(after)
}

/// Never returns.
pub(super) async fn keep(desk: Arc<Desk>) {
    loop {
        let until = Instant::now() + EVERY;
        // Safe to cancel: a notice that nobody waited for is kept.
        if timeout_at(until, desk.urgent.notified()).await.is_ok() {
            sleep(CROWD).await;
        }
        flush(&desk).await;
    }
}

/// Writes what is not in the store yet; what could not be written stays for the next time.
pub(super) async fn flush(desk: &Desk) {
    let dirty = desk.dirty.take();
    if dirty.is_empty() {
        return;
    }
    let mut shards: BTreeMap<u8, BTreeMap<String, Seen>> = BTreeMap::new();
    for entry in desk.devices() {
        let number = shard(&entry);
        let seen = entry.seen().clone();
        if dirty.contains(&number) && seen.at > 0 {
            shards.entry(number).or_default().insert(entry.record().id().0.to_string(), seen);
        }
    }
    for (number, mine) in shards {
        if let Err(error) = write(desk, number, &mine).await {
            desk.counts.failed();
            tracing::warn!("{error}");
            desk.dirty.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        }
    }
}

async fn write(desk: &Desk, number: u8, mine: &BTreeMap<String, Seen>) -> Result<(), OfficeError> {
    let key = layout::status(number);
    for _ in 0..TRIES {
        let (mut shard, was) = match desk.store.record::<Shard>(&key).await? {
            Some((shard, found)) => (shard, Some(found)),
            None => (Shard::default(), None),
        };
        for (device, seen) in mine {
            let newer = shard.0.get(device).is_none_or(|there| there.is_before(seen));
            if newer {
                shard.0.insert(device.clone(), seen.clone());
            }
        }
        if desk.store.replace(&key, &json(&shard), was.as_ref()).await? {
            return Ok(());
        }
    }
    desk.dirty.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
    Ok(())
}

fn shard(entry: &Entry) -> u8 {
    entry.record().id().0.bytes()[0]
}
