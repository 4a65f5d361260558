//! The last events, for `causeway events`. Bounded; time as an argument.

use std::collections::VecDeque;

use super::events::{EventLine, Line};
use crate::time::Instant;

/// About a day of a branch with a bad line. At 200 to 600 bytes each they also fit one reply.
pub const KEPT: usize = 1_000;

#[derive(Debug, Default)]
pub struct Recent {
    lines: VecDeque<EventLine>,
    seq: u64,
}

impl Recent {
    /// Keeps the line and gives it back in the form in which it is sent to those who follow.
    pub fn push(&mut self, line: &Line, now: Instant, wall_ms: Option<u64>) -> EventLine {
        self.seq += 1;
        let kept = EventLine {
            seq: self.seq,
            wall_ms,
            boot_ms: now.millis(),
            kind: line.kind.name().to_owned(),
            level: line.kind.level(),
            message: line.message.clone(),
            fields: line.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(kept.clone());
        kept
    }

    /// Oldest first; all that is kept if `since_ms` is `None`.
    pub fn since(&self, since_ms: Option<u64>, now: Instant) -> Vec<EventLine> {
        let from = since_ms.map_or(0, |since| now.millis().saturating_sub(since));
        let first = self.lines.partition_point(|line| line.boot_ms < from);
        self.lines.iter().skip(first).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::events::Kind;

    #[test]
    fn the_oldest_go_first_and_since_counts_from_now() {
        let mut recent = Recent::default();
        let at = |second: u64| Instant::from_nanos(second * 1_000_000_000);
        for second in 0..1_500 {
            recent.push(&Line::new(Kind::LogHeld, "x"), at(second), None);
        }
        assert_eq!(recent.since(None, at(1_500)).first().map(|line| line.seq), Some(501));
        let last = recent.since(Some(10_000), at(1_500));
        assert_eq!((last.len(), last[0].boot_ms), (10, 1_490_000));
    }
}
