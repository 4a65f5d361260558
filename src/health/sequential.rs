//! Wald's sequential probability ratio test on lost and answered probes (A. Wald, Sequential Tests of Statistical
//! Hypotheses, 1945). A burst goes on until it is certain enough either way, so a line that merely loses 5 % is cleared
//! after a few probes and a brown-out is convicted after some thirty.

use crate::config::model::TargetId;

/// Two hypotheses about the loss of a line.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    lost: f32,
    answered: f32,
    /// Convicted at or above this.
    upper: f32,
    /// So much of it must be left when the worst target is left out.
    others: f32,
}

/// Cleared when the ratio is `e³` (20) to one for the better hypothesis; the next overdue reply asks again.
const LOWER: f32 = -3.0;

impl Test {
    /// 15 % against 60 % loss. At 5 % in each direction it errs once in about 10⁹ bursts (exponent 1.39 · 16), and once in
    /// 10⁷ of those in which one target fails by itself (1.39 · 12); at 60 % it decides after some 30 probes.
    pub const BROWN_OUT: Self = Self { lost: 1.386_294, answered: -0.753_772, upper: 16.0, others: 12.0 };
    /// 12 % against 30 % loss: the two are equally likely at 20 %, the `degraded` limit of the wired profiles. At 5 % in
    /// each direction it errs once in about 10¹² bursts.
    pub const LOSSY: Self = Self { lost: 0.916_291, answered: -0.228_842, upper: 20.7, others: 13.0 };
}

/// The evidence of one burst, kept per target, so that one bad target cannot convict the line.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    per_target: Vec<(u32, u32)>,
    /// Of all targets: answered and lost.
    all: (u32, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    Convicted,
    Cleared,
    Open,
}

impl Tally {
    pub fn new(targets: usize) -> Self {
        Self { per_target: vec![(0, 0); targets], all: (0, 0) }
    }

    pub fn handle_answered(&mut self, target: TargetId) {
        if let Some((answered, _)) = self.per_target.get_mut(target.index()) {
            *answered += 1;
            self.all.0 += 1;
        }
    }

    pub fn handle_lost(&mut self, target: TargetId) {
        if let Some((_, lost)) = self.per_target.get_mut(target.index()) {
            *lost += 1;
            self.all.1 += 1;
        }
    }

    /// Answered and settled probes.
    pub fn totals(&self) -> (u32, u32) {
        let (answered, lost) = self.all;
        (answered, answered + lost)
    }

    /// `overdue` probes are neither answered nor lost yet. They do not convict, but nobody is cleared by the answers alone:
    /// those come at once, while a loss takes its patience.
    pub fn ruling(&self, test: Test, overdue: u32) -> Ruling {
        #[expect(clippy::cast_precision_loss, reason = "a burst has at most some thousand probes")]
        let ratio = |(answered, lost): &(u32, u32)| *lost as f32 * test.lost + *answered as f32 * test.answered;
        let sum = ratio(&self.all);
        if sum >= test.upper {
            let worst = self.per_target.iter().map(ratio).fold(0.0, f32::max);
            let asked = self.per_target.iter().filter(|(answered, lost)| answered + lost > 0).count();
            let without_worst = if asked > 1 { sum - worst } else { sum };
            return if without_worst >= test.others { Ruling::Convicted } else { Ruling::Open };
        }
        if ratio(&(0, overdue)) + sum <= LOWER { Ruling::Cleared } else { Ruling::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    /// Bursts over three targets, each losing with its own probability: how many end convicted, and the mean length.
    fn bursts(test: Test, loss: [f64; 3], runs: u32) -> (u32, f64) {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let (mut convicted, mut probes) = (0, 0u64);
        for _ in 0..runs {
            let mut tally = Tally::new(3);
            tally.handle_lost(TargetId(0));
            for n in 0..2_000u32 {
                let target = TargetId((n % 3) as u8);
                let draw = f64::from(random.next_u32()) / f64::from(u32::MAX);
                if draw < loss[target.index()] {
                    tally.handle_lost(target)
                } else {
                    tally.handle_answered(target)
                }
                probes += 1;
                match tally.ruling(test, 0) {
                    Ruling::Open => {}
                    Ruling::Cleared => break,
                    Ruling::Convicted => {
                        convicted += 1;
                        break;
                    }
                }
            }
        }
        (convicted, probes as f64 / f64::from(runs))
    }

    #[test]
    fn sixty_percent_is_convicted_fast() {
        let (convicted, probes) = bursts(Test::BROWN_OUT, [0.6; 3], 1_000);
        assert!(convicted > 900, "{convicted} of 1000");
        assert!(probes < 60.0, "{probes} probes");
    }

    #[test]
    fn five_percent_each_way_is_cleared_soon_and_never_convicted() {
        for test in [Test::BROWN_OUT, Test::LOSSY] {
            let (convicted, probes) = bursts(test, [0.0975; 3], 20_000);
            assert_eq!(convicted, 0);
            assert!(probes < 45.0, "{probes} probes");
        }
    }

    #[test]
    fn thirty_percent_is_lossy_but_no_brown_out() {
        assert!(bursts(Test::LOSSY, [0.35; 3], 300).0 > 240);
        assert!(bursts(Test::BROWN_OUT, [0.30; 3], 2_000).0 < 20);
    }

    #[test]
    fn early_answers_do_not_clear_while_the_rest_is_overdue() {
        let mut tally = Tally::new(3);
        tally.handle_lost(TargetId(0));
        for n in 0..8u8 {
            tally.handle_answered(TargetId(n % 3));
        }
        assert_eq!(tally.ruling(Test::BROWN_OUT, 0), Ruling::Cleared);
        assert_eq!(tally.ruling(Test::BROWN_OUT, 20), Ruling::Open, "the first 28 of a line that loses 70 %");
    }

    #[test]
    fn one_dead_target_of_three_convicts_nobody() {
        assert_eq!(bursts(Test::BROWN_OUT, [1.0, 0.02, 0.02], 2_000).0, 0);
        assert_eq!(bursts(Test::LOSSY, [1.0, 0.02, 0.02], 2_000).0, 0);
    }
}
