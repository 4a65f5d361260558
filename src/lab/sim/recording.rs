//! What the engine of a run was told, for `causeway replay`. A replay needs it from the start on, so what does not fit is the
//! end, and a recording that lacks it says so.

use crate::engine::record::Entry;
use crate::time::Instant;

/// Some 300 MB on disk: ten times what a run of the usual hours has, a sixth of a steady day.
const ENTRIES: usize = 1_000_000;

#[derive(Debug, Default)]
pub struct Recording {
    pub entries: Vec<Entry>,
    /// It was full then.
    pub ends: Option<Instant>,
}

impl Recording {
    pub(super) fn push(&mut self, now: Instant, entry: impl FnOnce() -> Entry) {
        if self.entries.len() < ENTRIES {
            self.entries.push(entry());
        } else {
            self.ends.get_or_insert(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_beginning_and_says_where_it_ends() {
        let mut recording = Recording::default();
        let at = |n: usize| Instant::from_nanos(n as u64);
        for n in 0..ENTRIES + 3 {
            recording.push(at(n), || Entry::Poll { now: at(n) });
        }
        assert_eq!(recording.entries.len(), ENTRIES);
        assert!(matches!(recording.entries[0], Entry::Poll { now } if now == at(0)));
        assert_eq!(recording.ends, Some(at(ENTRIES)));
    }
}
