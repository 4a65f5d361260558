//! Whether the gateway of a silent line answers: the difference between a dead modem and a fault beyond it. The kernel's
//! entry alone does not tell, since it stays reachable for half a minute after the last answer. So the kernel is made to
//! ask as soon as a line is suspected, and only what it learns from then on counts.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::model::{Family, UplinkId};
use crate::time::Instant;

/// After the question: an answer takes a round trip to the modem, and the kernel gives up after three tries, a second
/// apart. Whoever is neither known to answer nor to be silent by the last look stays unknown.
const LOOK_AFTER: [Duration; 6] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_millis(3_500),
    Duration::from_secs(10),
];
/// The question could not be asked: the task that asks was busy, or the entry changed under it.
const AGAIN: Duration = Duration::from_millis(20);
const TRIES: usize = 10;

/// What came of a question or a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The kernel is asking from now on.
    Asked,
    /// The kernel never asks this one.
    Never,
    /// Not known yet.
    Nothing,
    Answers(bool),
}

#[derive(Clone, Copy, Debug)]
struct Asking {
    due: Instant,
    asked: Option<Instant>,
    looks: usize,
    settled: bool,
}

/// Of the lines that are suspected or silent.
#[derive(Debug, Default)]
pub(super) struct Gateways {
    lines: BTreeMap<(UplinkId, Family), Asking>,
}

impl Gateways {
    /// The line may have fallen silent.
    pub(super) fn ask(&mut self, uplink: UplinkId, family: Family, now: Instant) {
        let new = Asking { due: now, asked: None, looks: 0, settled: false };
        self.lines.entry((uplink, family)).or_insert(new);
    }

    /// The line works, or its fault is another. Returns whether it was asked about.
    pub(super) fn forget(&mut self, uplink: UplinkId, family: Family) -> bool {
        self.lines.remove(&(uplink, family)).is_some()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.lines.values().map(|asking| asking.due).min().unwrap_or(Instant::NEVER)
    }

    /// Lines to ask about (`true`) or to look at again.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(UplinkId, Family, bool)> {
        let mut due = Vec::new();
        for ((uplink, family), asking) in self.lines.iter_mut().filter(|(_, asking)| asking.due <= now) {
            asking.looks += 1;
            asking.due = match asking.asked {
                None if asking.looks < TRIES => now + AGAIN,
                None => Instant::NEVER,
                Some(asked) => LOOK_AFTER.get(asking.looks).map_or(Instant::NEVER, |after| asked + *after),
            };
            due.push((*uplink, *family, asking.asked.is_none()));
        }
        due
    }

    /// Returns what to tell the engine, if anything.
    pub(super) fn handle(&mut self, uplink: UplinkId, family: Family, heard: Heard, now: Instant) -> Option<bool> {
        let asking = self.lines.get_mut(&(uplink, family))?;
        match heard {
            Heard::Asked if asking.asked.is_none() => {
                asking.asked = Some(now);
                asking.looks = 0;
                asking.due = now + LOOK_AFTER[0];
                None
            }
            // An answer to a look from before the question.
            Heard::Answers(_) if asking.asked.is_none() => None,
            Heard::Asked => None,
            Heard::Nothing => {
                asking.settled |= asking.due == Instant::NEVER;
                None
            }
            Heard::Never => {
                asking.settled = true;
                asking.due = Instant::NEVER;
                None
            }
            Heard::Answers(answers) => {
                asking.settled = true;
                asking.due = Instant::NEVER;
                Some(answers)
            }
        }
    }

    /// What the kernel says of this gateway is no older than the silence.
    pub(super) fn is_asked(&self, uplink: UplinkId, family: Family) -> bool {
        self.lines.get(&(uplink, family)).is_some_and(|asking| asking.asked.is_some())
    }

    /// Nobody can say yet where it broke.
    pub(super) fn is_open(&self, uplink: UplinkId, family: Family) -> bool {
        self.lines.get(&(uplink, family)).is_some_and(|asking| !asking.settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: (UplinkId, Family) = (UplinkId(0), Family::V4);

    fn at(ms: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(ms)
    }

    fn asked() -> Gateways {
        let mut gateways = Gateways::default();
        gateways.ask(LINE.0, LINE.1, at(0));
        assert_eq!(gateways.due(at(0)), [(LINE.0, LINE.1, true)]);
        assert_eq!(gateways.handle(LINE.0, LINE.1, Heard::Asked, at(1)), None);
        gateways
    }

    #[test]
    fn what_the_kernel_knew_before_the_question_does_not_count() {
        let mut gateways = Gateways::default();
        gateways.ask(LINE.0, LINE.1, at(0));
        assert!(!gateways.is_asked(LINE.0, LINE.1));
        assert_eq!(gateways.handle(LINE.0, LINE.1, Heard::Answers(true), at(1)), None);
        assert!(gateways.is_open(LINE.0, LINE.1));
    }

    #[test]
    fn a_question_that_was_not_asked_is_asked_again() {
        let mut gateways = Gateways::default();
        gateways.ask(LINE.0, LINE.1, at(0));
        assert_eq!(gateways.due(at(0)).len(), 1);
        assert_eq!(gateways.due(at(1)).len(), 0);
        for tried in 1..TRIES {
            assert!(gateways.is_open(LINE.0, LINE.1));
            assert_eq!(gateways.due(at(1_000)), [(LINE.0, LINE.1, true)], "{tried}");
            gateways.handle(LINE.0, LINE.1, Heard::Nothing, at(1_000));
            if let Some(asking) = gateways.lines.get_mut(&LINE).filter(|asking| asking.due != Instant::NEVER) {
                asking.due = at(1_000);
            }
        }
        assert_eq!((gateways.is_open(LINE.0, LINE.1), gateways.deadline()), (false, Instant::NEVER), "it gave up");
    }

    #[test]
    fn looks_end_with_an_answer() {
        let mut gateways = asked();
        assert_eq!(gateways.deadline(), at(21));
        assert_eq!(gateways.due(at(21)), [(LINE.0, LINE.1, false)]);
        assert_eq!(gateways.handle(LINE.0, LINE.1, Heard::Nothing, at(22)), None);
        assert!(gateways.is_open(LINE.0, LINE.1));
        assert_eq!(gateways.due(at(101)), [(LINE.0, LINE.1, false)]);
        assert_eq!(gateways.handle(LINE.0, LINE.1, Heard::Answers(false), at(102)), Some(false));
        assert!(!gateways.is_open(LINE.0, LINE.1) && gateways.is_asked(LINE.0, LINE.1));
        assert_eq!(gateways.deadline(), Instant::NEVER);
    }

    #[test]
    fn who_never_says_anything_stays_unknown_after_the_last_look() {
        let mut gateways = asked();
        for after in LOOK_AFTER {
            assert!(gateways.is_open(LINE.0, LINE.1));
            assert_eq!(gateways.due(at(1) + after).len(), 1, "{after:?}");
            assert_eq!(gateways.handle(LINE.0, LINE.1, Heard::Nothing, at(1) + after), None);
        }
        assert!(!gateways.is_open(LINE.0, LINE.1));
        assert_eq!(gateways.deadline(), Instant::NEVER);
    }

    #[test]
    fn a_line_that_works_is_forgotten_with_all_that_is_on_its_way() {
        let mut gateways = asked();
        assert!(gateways.forget(LINE.0, LINE.1) && !gateways.forget(LINE.0, LINE.1));
        assert_eq!(gateways.handle(LINE.0, LINE.1, Heard::Answers(false), at(5)), None);
        assert_eq!(gateways.deadline(), Instant::NEVER);
    }
}
