//! Places for connections: so many in all, and so many for strangers, of which no address has more than its share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::connection::block;

/// 20,000 branches on one machine, and those that come back before their old connection is found dead.
const CONNECTIONS: usize = 32_000;
/// Connections on which no device of ours has asked yet. A whole fleet that comes back at once takes turns.
const STRANGERS: usize = 4_096;
/// Branches behind one provider's address share these.
pub const STRANGERS_PER_ADDRESS: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Room(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    strangers: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    room: Arc<Room>,
    from: IpAddr,
    stranger: AtomicBool,
}

impl Room {
    /// `None`: all are taken.
    pub(super) fn seat(self: &Arc<Self>, from: IpAddr) -> Option<Seat> {
        let from = block(from);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = taken.by_address.get(&from).copied().unwrap_or(0);
        if taken.all >= CONNECTIONS || taken.strangers >= STRANGERS || of_address >= STRANGERS_PER_ADDRESS {
            return None;
        }
        taken.all += 1;
        taken.strangers += 1;
        taken.by_address.insert(from, of_address + 1);
        Some(Seat { room: Arc::clone(self), from, stranger: AtomicBool::new(true) })
    }
}

impl Taken {
    fn known(&mut self, from: IpAddr) {
        self.strangers = self.strangers.saturating_sub(1);
        let left = self.by_address.get(&from).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            self.by_address.remove(&from);
        } else {
            self.by_address.insert(from, left);
        }
    }
}

impl Seat {
    /// A device of ours sits here: it counts as a stranger no longer.
    pub(super) fn keep(&self) {
        if self.stranger.swap(false, Ordering::Relaxed) {
            self.room.0.lock().unwrap_or_else(PoisonError::into_inner).known(self.from);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.keep();
        let mut taken = self.room.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_until_it_is_known() {
        let room = Arc::new(Room::default());
        let here: IpAddr = "192.0.2.1".parse().expect("an address");
        let seats: Vec<Seat> = (0..STRANGERS_PER_ADDRESS).map(|_| room.seat(here).expect("a place")).collect();
        assert!(room.seat(here).is_none());
        let other = room.seat("192.0.2.2".parse().expect("an address")).expect("others have theirs");
        seats[0].keep();
        assert!(room.seat(here).is_some());
        drop((seats, other));
        let taken = room.0.lock().expect("nobody panicked");
        assert_eq!((taken.all, taken.strangers, taken.by_address.len()), (0, 0, 0));
    }
}
