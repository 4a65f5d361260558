//! What is never accepted again: numbers and times below which everything is refused. They never fall; only a root with
//! a higher epoch starts them anew.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::document::{Seconds, Turn};
use super::refusal::Refusal;
use super::root::Root;
use crate::time::Instant;

/// How far a time signed online can push the floor at once: a stolen online key must not make every certificate look
/// expired, while 30 days a day catch up with years of storage in weeks.
pub const ONLINE_RAISE: Duration = Duration::from_hours(30 * 24);
/// How often it can.
pub const ONLINE_EVERY: Duration = Duration::from_hours(24);

/// The kernel's random id of this boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BootId(pub [u8; 16]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Floors {
    pub root_version: u32,
    pub epoch: u32,
    /// Raised when a standard is kept for good.
    pub standard: Turn,
    /// Raised when an assignment is accepted.
    pub assignment: Turn,
    /// The assignment that has that number; a second one with it is refused.
    pub assignment_digest: Option<Digest>,
    pub time: Seconds,
    /// When a time signed online last raised [`Self::time`].
    online: Option<(BootId, Instant)>,
}

impl Floors {
    /// Before the first root. `build` is when the image was built: time never was before it.
    pub fn new(build: Seconds) -> Self {
        Self {
            root_version: 0,
            epoch: 0,
            standard: Turn::default(),
            assignment: Turn::default(),
            assignment_digest: None,
            time: build,
            online: None,
        }
    }

    pub fn check_root(&self, root: &Root) -> Result<(), Refusal> {
        if root.version < self.root_version || root.epoch < self.epoch { Err(Refusal::RootRollback) } else { Ok(()) }
    }

    pub fn check_standard(&self, standard: Turn) -> Result<(), Refusal> {
        if standard < self.standard { Err(Refusal::StandardRollback) } else { Ok(()) }
    }

    /// The same document again is no rollback: head office answers every question with it.
    pub fn check_assignment(&self, assignment: Turn, digest: &Digest) -> Result<(), Refusal> {
        if assignment < self.assignment {
            return Err(Refusal::AssignmentRollback);
        }
        if assignment == self.assignment && self.assignment_digest.is_some_and(|known| known != *digest) {
            return Err(Refusal::AssignmentReused);
        }
        Ok(())
    }

    /// After a root was verified. A higher epoch clears what was fast-forwarded: the numbers, and a time too far ahead.
    pub fn accept_root(&mut self, root: &Root, build: Seconds) {
        if root.epoch > self.epoch {
            self.epoch = root.epoch;
            self.standard = Turn::new(root.epoch, 0);
            self.assignment = Turn::new(root.epoch, 0);
            self.assignment_digest = None;
            self.time = root.created_at.max(build);
            self.online = None;
        }
        self.root_version = self.root_version.max(root.version);
        self.raise_time(root.created_at);
    }

    pub fn raise_standard(&mut self, standard: Turn, created_at: Seconds) {
        self.standard = self.standard.max(standard);
        self.raise_time(created_at);
    }

    pub fn raise_assignment(&mut self, assignment: Turn, digest: Digest) {
        if assignment > self.assignment || self.assignment_digest.is_none() {
            self.assignment_digest = Some(digest);
        }
        self.assignment = self.assignment.max(assignment);
    }

    /// From a document signed offline, or from our own build: without limit.
    pub fn raise_time(&mut self, time: Seconds) {
        self.time = self.time.max(time);
    }

    /// From a document signed online: rationed. Says whether anything was raised. A day of uptime counts from the boot
    /// when the last raise was in another one, so that switching the box off and on earns nothing.
    pub fn raise_time_online(&mut self, time: Seconds, boot: BootId, now: Instant) -> bool {
        let waited = match self.online {
            None => true,
            Some((raised_in, at)) => {
                let since = if raised_in == boot { at } else { Instant::ORIGIN };
                now.since(since) >= ONLINE_EVERY
            }
        };
        if time <= self.time || !waited {
            return false;
        }
        self.time = time.min(self.time.plus(ONLINE_RAISE.as_secs()));
        self.online = Some((boot, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOOT: BootId = BootId([1; 16]);
    const DAY: Duration = Duration::from_hours(24);

    fn seconds(days: u64) -> Seconds {
        Seconds::new(days * 86_400).expect("before the year 9999")
    }

    #[test]
    fn an_online_time_raises_the_floor_by_30_days_once_a_day_of_uptime() {
        let mut floors = Floors::new(seconds(1_000));
        let noon = Instant::ORIGIN + DAY / 2;
        assert!(floors.raise_time_online(seconds(90_000), BOOT, noon));
        assert_eq!(floors.time, seconds(1_030));
        assert!(!floors.raise_time_online(seconds(90_000), BOOT, noon + DAY - Duration::from_secs(1)));
        assert!(!floors.raise_time_online(seconds(90_000), BootId([2; 16]), noon), "a reboot earns nothing");
        assert!(floors.raise_time_online(seconds(90_000), BOOT, noon + DAY));
        assert_eq!(floors.time, seconds(1_060));
        assert!(!floors.raise_time_online(seconds(1_059), BOOT, noon + DAY * 3), "it never falls");
    }

    #[test]
    fn the_same_assignment_again_is_accepted_and_another_under_its_number_is_not() {
        let mut floors = Floors::new(seconds(1));
        let (first, second) = (Digest::of(b"1"), Digest::of(b"2"));
        floors.raise_assignment(Turn::new(1, 5), first);
        assert_eq!(floors.check_assignment(Turn::new(1, 5), &first), Ok(()));
        assert_eq!(floors.check_assignment(Turn::new(1, 5), &second), Err(Refusal::AssignmentReused));
        assert_eq!(floors.check_assignment(Turn::new(1, 4), &first), Err(Refusal::AssignmentRollback));
        assert_eq!(floors.check_assignment(Turn::new(2, 1), &second), Ok(()));
    }

    proptest! {
        #[test]
        fn no_order_of_raises_lowers_a_floor(raises in proptest::collection::vec((0_u8..4, 1_u64..50), 0..40)) {
            let mut floors = Floors::new(seconds(10));
            let mut now = Instant::ORIGIN;
            for (what, value) in raises {
                let before = floors;
                match what {
                    0 => floors.raise_standard(Turn::new(1, value), seconds(value)),
                    1 => floors.raise_assignment(Turn::new(1, value), Digest::of(&[1])),
                    2 => floors.raise_time(seconds(value)),
                    _ => { floors.raise_time_online(seconds(value * 100), BOOT, now); }
                }
                now = now + DAY / 3;
                prop_assert!(floors.standard >= before.standard && floors.assignment >= before.assignment);
                prop_assert!(floors.time >= before.time);
            }
        }
    }
}
