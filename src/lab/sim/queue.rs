//! What is on its way: replies on the wire, messages of the kernel. A heap of small items, first come first served among
//! those of one instant.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

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
    order: u64,
    item: Item,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Waiting>>,
    order: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Instant, item: Item) {
        self.order += 1;
        self.heap.push(Reverse(Waiting { at, order: self.order, item }));
    }

    pub(super) fn next_at(&self) -> Instant {
        self.heap.peek().map_or(Instant::NEVER, |next| next.0.at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Item> {
        if self.next_at() > now {
            return None;
        }
        self.heap.pop().map(|next| next.0.item)
    }
}
