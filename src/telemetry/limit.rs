//! At most [`LINES`] lines a second of one kind; what was held back is counted, to be said in one line afterwards.
//! Pure, time as an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use super::events::{Kind, Line};
use crate::time::Instant;

/// A person reads fewer, and the journal of a flash disk shall live for years.
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Limiter {
    windows: BTreeMap<Kind, Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u32,
    held: u64,
}

impl Limiter {
    /// May this line be written?
    pub fn admit(&mut self, kind: Kind, now: Instant) -> bool {
        let window = self.windows.entry(kind).or_insert(Window { began: now, lines: 0, held: 0 });
        if now.since(window.began) >= WINDOW && window.held == 0 {
            (window.began, window.lines) = (now, 0);
        }
        if window.lines < LINES {
            window.lines += 1;
            return true;
        }
        window.held += 1;
        false
    }

    /// The lines that say what was held back in windows that are over. Call it before each line and about once a second.
    pub fn settle(&mut self, now: Instant) -> Vec<Line> {
        let over = self.windows.iter_mut().filter(|(_, window)| window.held > 0 && now.since(window.began) >= WINDOW);
        over.map(|(kind, window)| {
            let held = window.held;
            *window = Window { began: now, lines: 0, held: 0 };
            Line::new(Kind::LogHeld, format!("{held} more lines of {} were not written", kind.name()))
                .with("KIND", kind.name())
                .with("COUNT", held)
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn what_is_held_back_is_said_once_when_the_second_is_over() {
        let mut limiter = Limiter::default();
        let written = (0..100).filter(|_| limiter.admit(Kind::UplinkState, at(0))).count();
        assert_eq!(written, 20);
        assert!(limiter.admit(Kind::PathSwitch, at(0)), "another kind has its own bound");
        assert!(limiter.settle(at(999)).is_empty());
        let said = limiter.settle(at(1_000));
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].message, "80 more lines of uplink.state were not written");
        assert!(limiter.settle(at(1_001)).is_empty());
        assert!(limiter.admit(Kind::UplinkState, at(1_001)));
    }
}
