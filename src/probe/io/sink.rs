//! Where the tasks of the edge put what they saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::Clock;
use crate::engine::event::Event;
use crate::probe::{Answer, ProbeId};

/// One second of the most that a gateway may probe (64 uplinks × 8 targets × 10 a second): an engine that is further
/// behind has stalled, and what it then finds is void anyhow.
pub const EVENTS: usize = 5_120;

/// What the edge refused or dropped since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events for which the queue had no room.
    pub dropped: u64,
    /// Packets that reached a socket of ours and were none of ours: wrong mark, length, address, question.
    pub foreign: u64,
    /// Probes not begun because too many were under way.
    pub crowded: u64,
}

#[derive(Clone)]
pub(super) struct Sink {
    sender: mpsc::Sender<Event>,
    counters: Arc<Counters>,
    pub(super) clock: Clock,
}

#[derive(Default)]
struct Counters {
    dropped: AtomicU64,
    foreign: AtomicU64,
    crowded: AtomicU64,
}

impl Sink {
    pub(super) fn new(clock: Clock) -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(EVENTS);
        (Self { sender, counters: Arc::default(), clock }, receiver)
    }

    pub(super) fn put(&self, event: Event) {
        if self.sender.try_send(event).is_err() {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn answered(&self, probe: ProbeId, answer: Answer) {
        self.put(Event::ProbeAnswered { probe, answer, received: (self.clock)() });
    }

    pub(super) fn count_foreign(&self) {
        self.counters.foreign.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_crowded(&self) {
        self.counters.crowded.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            dropped: read(&self.counters.dropped),
            foreign: read(&self.counters.foreign),
            crowded: read(&self.counters.crowded),
        }
    }
}
