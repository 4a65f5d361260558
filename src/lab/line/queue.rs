//! One direction of a line as a pure queue: frames go in with their time of arrival, come out when they are due, or
//! never. Randomness is a seed, so a run can be repeated.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::{Impairment, Loss};
use crate::time::Instant;

/// What a lane carried and what it did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames offered, whatever became of them.
    pub frames: u64,
    pub bytes: u64,
    pub lost: u64,
    /// Dropped at the tail of a full queue.
    pub overflow: u64,
    pub too_large: u64,
    /// Dropped because the line is cut.
    pub cut: u64,
    pub delivered: u64,
}

#[derive(Debug)]
pub struct Lane {
    pub impairment: Impairment,
    pub counters: Counters,
    random: ChaCha8Rng,
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// Breaks ties, so that frames due at the same time keep their order.
    sequence: u64,
    /// When the last frame has left the sender, under a rate.
    busy_until: Instant,
    last_due: Instant,
    in_bad_spell: bool,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due: Instant,
    sequence: u64,
    frame: Vec<u8>,
}

impl Lane {
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            impairment,
            counters: Counters::default(),
            random: ChaCha8Rng::seed_from_u64(seed),
            waiting: BinaryHeap::new(),
            sequence: 0,
            busy_until: Instant::ORIGIN,
            last_due: Instant::ORIGIN,
            in_bad_spell: false,
        }
    }

    /// When [`Self::pop`] has something next.
    pub fn next_due(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse(first)| first.due)
    }

    pub fn push(&mut self, frame: &[u8], now: Instant) {
        let length = frame.len() as u64;
        self.counters.frames += 1;
        self.counters.bytes += length;
        if self.impairment.cut {
            self.counters.cut += 1;
        } else if self.impairment.largest.is_some_and(|largest| frame.len() > largest) {
            self.counters.too_large += 1;
        } else if self.loses_one() {
            self.counters.lost += 1;
        } else if let Some(departure) = self.departure(length, now) {
            let due = self.due(departure);
            if self.chance(self.impairment.duplicate) {
                self.enqueue(frame.to_vec(), due);
            }
            self.enqueue(frame.to_vec(), due);
        } else {
            self.counters.overflow += 1;
        }
    }

    /// The next frame that is due; what is due while the line is cut is gone.
    pub fn pop(&mut self, now: Instant) -> Option<Vec<u8>> {
        while self.next_due().is_some_and(|due| due <= now) {
            let Reverse(first) = self.waiting.pop()?;
            if !self.impairment.cut {
                self.counters.delivered += 1;
                return Some(first.frame);
            }
            self.counters.cut += 1;
        }
        None
    }

    /// When the last bit has left the sender; `None` when the queue is full.
    fn departure(&mut self, length: u64, now: Instant) -> Option<Instant> {
        let Some(rate) = self.impairment.rate else { return Some(now) };
        let backlog = transmission_bytes(self.busy_until.since(now), rate);
        if backlog + length > self.impairment.queue {
            return None;
        }
        self.busy_until = self.busy_until.max(now) + transmission_time(length, rate);
        Some(self.busy_until)
    }

    fn due(&mut self, departure: Instant) -> Instant {
        if self.chance(self.impairment.reorder) {
            return departure;
        }
        let jitter = self.impairment.jitter;
        let delay = self.impairment.delay + (jitter * 2).mul_f64(self.uniform());
        let due = (departure + delay - jitter).max(departure).max(self.last_due);
        self.last_due = due;
        due
    }

    fn enqueue(&mut self, frame: Vec<u8>, due: Instant) {
        self.sequence += 1;
        self.waiting.push(Reverse(Waiting { due, sequence: self.sequence, frame }));
    }

    fn loses_one(&mut self) -> bool {
        match self.impairment.loss {
            Loss::Random(share) => self.chance(share),
            Loss::Bursts { share, length } => {
                let turn = if self.in_bad_spell { 1.0 / length } else { share / (length * (1.0 - share)) };
                if self.chance(turn) {
                    self.in_bad_spell = !self.in_bad_spell;
                }
                self.in_bad_spell
            }
        }
    }

    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.uniform() < probability
    }

    /// In [0, 1), with the 53 bits a double holds.
    fn uniform(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn transmission_time(bytes: u64, rate: u64) -> Duration {
    Duration::from_nanos(bytes.saturating_mul(8_000_000_000) / rate.max(1))
}

fn transmission_bytes(time: Duration, rate: u64) -> u64 {
    let bits = time.as_nanos() * u128::from(rate) / 1_000_000_000;
    u64::try_from(bits / 8).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn lane(change: impl FnOnce(&mut Impairment)) -> Lane {
        let mut impairment = Impairment { delay: Duration::ZERO, ..Impairment::default() };
        change(&mut impairment);
        Lane::new(impairment, 7)
    }

    fn at(milliseconds: u64) -> Instant {
        Instant::ORIGIN + MILLISECOND * u32::try_from(milliseconds).expect("tests are short")
    }

    fn drain(lane: &mut Lane) -> Vec<(Instant, Vec<u8>)> {
        let mut out = Vec::new();
        while let Some(due) = lane.next_due() {
            out.extend(lane.pop(due).map(|frame| (due, frame)));
        }
        out
    }

    #[test]
    fn delay_is_exact_and_order_is_kept_under_jitter() {
        let mut plain = lane(|i| i.delay = MILLISECOND * 20);
        plain.push(&[1], at(100));
        assert_eq!(plain.pop(at(119)), None);
        assert_eq!(plain.pop(at(120)), Some(vec![1]));

        let mut shaky = lane(|i| {
            i.delay = MILLISECOND * 20;
            i.jitter = MILLISECOND * 15;
        });
        (0..200).for_each(|n| shaky.push(&[n], at(u64::from(n))));
        let out = drain(&mut shaky);
        assert!(out.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 < pair[1].1));
        assert!(out[0].0 >= at(5) && out[0].0 <= at(35));
    }

    #[test]
    fn loss_is_within_a_percent_in_both_models() {
        for loss in [Loss::Random(0.3), Loss::Bursts { share: 0.3, length: 8.0 }] {
            let mut lossy = lane(|i| i.loss = loss);
            (0..200_000).for_each(|n| lossy.push(&[0], at(n)));
            let share = lossy.counters.lost as f64 / lossy.counters.frames as f64;
            assert!((share - 0.3).abs() < 0.01, "{loss:?} lost {share}");
        }
    }

    #[test]
    fn bursts_are_as_long_as_asked() {
        let mut lossy = lane(|i| i.loss = Loss::Bursts { share: 0.1, length: 10.0 });
        let (mut spells, mut before) = (0u32, false);
        for _ in 0..200_000 {
            let lost = lossy.loses_one();
            spells += u32::from(lost && !before);
            lossy.counters.lost += u64::from(lost);
            before = lost;
        }
        let mean = lossy.counters.lost as f64 / f64::from(spells);
        assert!((mean - 10.0).abs() < 1.0, "mean burst {mean}");
    }

    #[test]
    fn a_slow_line_queues_then_drops_the_tail() {
        let mut slow = lane(|i| {
            i.rate = Some(8_000_000); // 1,000 bytes a millisecond
            i.queue = 3_000;
        });
        (0..5).for_each(|n| slow.push(&[n; 1000], at(0)));
        assert_eq!(slow.counters.overflow, 2);
        let due: Vec<_> = drain(&mut slow).into_iter().map(|(due, _)| due).collect();
        assert_eq!(due, [at(1), at(2), at(3)]);
        slow.push(&[9; 1000], at(10));
        assert_eq!(slow.next_due(), Some(at(11)), "an idle line starts afresh");
    }

    #[test]
    fn a_cut_takes_what_is_under_way_and_ends_when_lifted() {
        let mut line = lane(|i| i.delay = MILLISECOND * 10);
        line.push(&[1], at(0));
        line.impairment.cut = true;
        line.push(&[2], at(5));
        assert_eq!(line.pop(at(50)), None);
        assert_eq!(line.counters.cut, 2);
        line.impairment.cut = false;
        line.push(&[3], at(60));
        assert_eq!(line.pop(at(70)), Some(vec![3]));
    }

    #[test]
    fn size_limit_duplicates_and_overtaking() {
        let mut small = lane(|i| i.largest = Some(100));
        small.push(&[0; 101], at(0));
        small.push(&[0; 100], at(0));
        assert_eq!((small.counters.too_large, drain(&mut small).len()), (1, 1));

        let mut twice = lane(|i| i.duplicate = 1.0);
        twice.push(&[1], at(0));
        assert_eq!(drain(&mut twice).len(), 2);

        let mut overtaking = lane(|i| i.delay = MILLISECOND * 10);
        overtaking.push(&[1], at(0));
        overtaking.impairment.reorder = 1.0;
        overtaking.push(&[2], at(1));
        let order: Vec<_> = drain(&mut overtaking).into_iter().map(|(_, frame)| frame[0]).collect();
        assert_eq!(order, [2, 1]);
    }

    #[test]
    fn the_same_seed_does_the_same() {
        let run = || {
            let mut lossy = lane(|i| i.loss = Loss::Random(0.5));
            (0..100).for_each(|n| lossy.push(&[n], at(u64::from(n))));
            drain(&mut lossy)
        };
        assert_eq!(run(), run());
    }
}
