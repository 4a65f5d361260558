//! What is on its way: replies on the wire, messages of the kernel. First come first served among those of one instant.

use crate::config::model::{Family, PathId, UplinkId};
use crate::probe::{Answer, Cookie, ProbeId};
use crate::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    /// An echo reply reaches the near end.
    Echo {
        probe: ProbeId,
        cookie: Cookie,
        from: u8,
        received: Instant,
    },
    Answer {
        probe: ProbeId,
        answer: Answer,
        received: Instant,
    },
    /// The kernel tells what it has of this uplink now.
    Told {
        uplink: UplinkId,
    },
    /// The kernel carries out the oldest switch it was asked for.
    Apply,
    /// … and says so.
    Applied {
        life: u32,
        path: PathId,
        family: Family,
        serial: u64,
        asked: Instant,
    },
    Refused {
        life: u32,
        path: PathId,
        family: Family,
        serial: u64,
    },
    /// A minute of the wall clock is over.
    Minute,
    /// Our process starts again.
    Start,
}

#[derive(Debug)]
struct Waiting {
    at: Instant,
    item: Item,
}

/// The next one last.
#[derive(Debug, Default)]
pub(super) struct Queue(Vec<Waiting>);

impl Queue {
    pub(super) fn push(&mut self, at: Instant, item: Item) {
        // Few wait, and most of them for as long as the new one.
        let later = self.0.iter().take_while(|waiting| waiting.at > at).count();
        self.0.insert(later, Waiting { at, item });
    }

    pub(super) fn next_at(&self) -> Instant {
        self.0.last().map_or(Instant::NEVER, |next| next.at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Item> {
        self.0.pop_if(|next| next.at <= now).map(|next| next.item)
    }
}
