//! When the wall clock can be believed. A box without a battery begins in 1970, or on the day on which its system was built,
//! and is told the time once a line works. Pure.

/// Milliseconds that two clocks may drift apart without one of them having been set.
pub const STEP: u64 = 1_000;

/// Of one run. All times are milliseconds.
#[derive(Clone, Debug)]
pub struct Judge {
    built: u64,
    lived: u64,
    /// Wall clock less monotonic clock, when it was asked first.
    first: Option<i64>,
}

impl Judge {
    /// A clock that says less than when this was built was never set.
    pub const fn new(built: u64) -> Self {
        Self { built, lived: 0, first: None }
    }

    /// The box was alive then, by a clock that was believed: one that says less is not set yet.
    pub fn lived(&mut self, wall: u64) {
        self.lived = wall;
    }

    /// What the clock says, if it can be believed.
    pub fn believed(&mut self, wall: u64, mono: u64) -> Option<u64> {
        let ahead = wall.cast_signed().wrapping_sub(mono.cast_signed());
        let first = *self.first.get_or_insert(ahead);
        // Somebody set it in front of our eyes: it was the clock before that ran ahead.
        let was_set = ahead.abs_diff(first) > STEP;
        (wall >= self.built && (wall >= self.lived || was_set)).then_some(wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT: u64 = 1_000_000_000;
    const LIVED: u64 = BUILT + 90_000_000;

    /// The clock is right later; `shows` when the box boots.
    fn boots(shows: u64) -> Judge {
        let mut judge = Judge::new(BUILT);
        judge.lived(LIVED);
        assert_eq!(judge.believed(shows + 20_000, 20_000), None);
        assert_eq!(judge.believed(shows + 9_000_000, 9_000_000), None, "it is none the wiser for waiting");
        judge
    }

    #[test]
    fn a_clock_is_believed_once_somebody_has_set_it() {
        for shows in [0, BUILT - 1, BUILT + 5] {
            let told = LIVED + 500_000;
            assert_eq!(boots(shows).believed(told, 9_100_000), Some(told));
            // The clock that was believed last had run ahead by more than the box was off.
            let told = LIVED - 30_000_000;
            let mut judge = boots(shows);
            assert_eq!(judge.believed(told, 9_100_000), Some(told));
            assert_eq!(judge.believed(told + 60_000, 9_160_000), Some(told + 60_000), "and it stays so");
        }
    }

    #[test]
    fn one_that_is_not_behind_is_believed_at_once() {
        let mut judge = Judge::new(BUILT);
        assert_eq!(judge.believed(BUILT, 20_000), Some(BUILT));
        judge.lived(LIVED);
        assert_eq!(judge.believed(LIVED, 30_000), Some(LIVED));
    }
}
