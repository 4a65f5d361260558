//! What the last settled probes of a line say about loss, RTT and jitter. Outcomes are kept, not averages, so that a
//! figure can be computed when it is asked for.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::model::TargetId;
use crate::time::Instant;

/// A line on standby is asked so seldom that the window would be empty: the last few samples stay, whatever their age.
pub const LEAST: usize = 10;
/// The longest window (60 s) at 16 probes a second; denser probing shortens the window, not the truth.
pub const WINDOW: usize = 1_024;

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    target: TargetId,
    /// `None`: lost.
    rtt: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct Quality {
    length: Duration,
    samples: VecDeque<Sample>,
    lost: u32,
    /// No sample is slower, none faster; narrowed only when all are looked at.
    range: (Duration, Duration),
}

/// Of no sample at all.
const NOTHING: (Duration, Duration) = (Duration::MAX, Duration::ZERO);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    pub settled: u32,
    pub loss: Option<f32>,
    pub rtt_median: Option<Duration>,
    pub rtt_p95: Option<Duration>,
    /// Mean difference of consecutive RTTs of the same target (RFC 3550 §6.4.1 takes the same difference).
    pub jitter: Option<Duration>,
}

impl Quality {
    pub fn new(length: Duration) -> Self {
        Self { length, samples: VecDeque::new(), lost: 0, range: NOTHING }
    }

    pub fn handle_settled(&mut self, target: TargetId, rtt: Option<Duration>, now: Instant) {
        while let Some(oldest) = self.samples.front() {
            let recent = now <= oldest.at + self.length || self.samples.len() < LEAST;
            if recent && self.samples.len() < WINDOW {
                break;
            }
            self.lost -= u32::from(oldest.rtt.is_none());
            self.samples.pop_front();
        }
        self.lost += u32::from(rtt.is_none());
        if let Some(rtt) = rtt {
            self.range = (self.range.0.min(rtt), self.range.1.max(rtt));
        }
        self.samples.push_back(Sample { at: now, target, rtt });
    }

    pub fn clear(&mut self) {
        self.samples.clear();
        self.lost = 0;
        self.range = NOTHING;
    }

    pub fn settled(&self) -> u32 {
        u32::try_from(self.samples.len()).unwrap_or(u32::MAX)
    }

    pub fn loss(&self) -> Option<f32> {
        #[expect(clippy::cast_precision_loss, reason = "at most 1,024 samples")]
        (!self.samples.is_empty()).then(|| self.lost as f32 / self.samples.len() as f32)
    }

    /// How many probes settled since `since`, and how many of them were lost; only of targets that count.
    pub fn recent(&self, since: Instant, counts: impl Fn(TargetId) -> bool) -> (u32, u32) {
        let recent = self.samples.iter().rev().take_while(|sample| sample.at >= since);
        recent
            .filter(|sample| counts(sample.target))
            .fold((0, 0), |(settled, lost), sample| (settled + 1, lost + u32::from(sample.rtt.is_none())))
    }

    /// Is the 95th percentile of the RTT above `limit`? Counted, not sorted, and only if any is.
    pub fn is_slow(&mut self, limit: Duration) -> bool {
        if self.range.1 <= limit {
            return false;
        }
        let rtts = || self.samples.iter().filter_map(|sample| sample.rtt);
        let (count, above, range) = rtts().fold((0usize, 0usize, NOTHING), |(count, above, range), rtt| {
            (count + 1, above + usize::from(rtt > limit), (range.0.min(rtt), range.1.max(rtt)))
        });
        self.range = range;
        above >= count - count * 95 / 100 && count > 0
    }

    /// Is the jitter above `limit`? Not if no two RTTs are so far apart.
    pub fn is_unsteady(&mut self, limit: Duration) -> bool {
        if self.range.1.saturating_sub(self.range.0) <= limit {
            return false;
        }
        let rtts = self.samples.iter().filter_map(|sample| sample.rtt);
        self.range = rtts.fold(NOTHING, |range, rtt| (range.0.min(rtt), range.1.max(rtt)));
        self.jitter().is_some_and(|jitter| jitter > limit)
    }

    pub fn figures(&self) -> Figures {
        let mut rtts: Vec<Duration> = self.samples.iter().filter_map(|sample| sample.rtt).collect();
        rtts.sort_unstable();
        let at = |share: usize| rtts.get((rtts.len() * share / 100).min(rtts.len().saturating_sub(1))).copied();
        Figures {
            settled: self.settled(),
            loss: self.loss(),
            rtt_median: at(50),
            rtt_p95: at(95),
            jitter: self.jitter(),
        }
    }

    pub fn jitter(&self) -> Option<Duration> {
        let mut last: [Option<Duration>; crate::config::model::limits::TARGETS] = Default::default();
        let (mut sum, mut count) = (Duration::ZERO, 0u32);
        for sample in &self.samples {
            let (Some(rtt), Some(slot)) = (sample.rtt, last.get_mut(sample.target.index())) else { continue };
            if let Some(before) = slot.replace(rtt) {
                sum += before.abs_diff(rtt);
                count += 1;
            }
        }
        (count > 0).then(|| sum / count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn loss_is_of_the_window_only() {
        let mut quality = Quality::new(Duration::from_secs(10));
        for second in 0..30u64 {
            let rtt = (second >= 15).then_some(MS(20));
            quality.handle_settled(TargetId(0), rtt, Instant::ORIGIN + Duration::from_secs(second));
        }
        assert_eq!(quality.loss(), Some(0.0));
        assert_eq!(quality.settled(), 11);
        assert_eq!(Quality::new(MS(1)).loss(), None, "nothing settled: no figure");
    }

    #[test]
    fn jitter_compares_replies_of_the_same_target() {
        let mut quality = Quality::new(Duration::from_secs(10));
        for n in 0..10u64 {
            let rtt = if n % 2 == 0 { MS(10) } else { MS(90) };
            quality.handle_settled(TargetId((n % 2) as u8), Some(rtt), Instant::ORIGIN + MS(n));
        }
        assert_eq!(quality.figures().jitter, Some(Duration::ZERO));
        assert_eq!(quality.figures().rtt_p95, Some(MS(90)));
        assert_eq!(quality.figures().rtt_median, Some(MS(90)));
    }

    #[test]
    fn slow_is_what_the_percentile_says() {
        let mut quality = Quality::new(Duration::from_secs(1_000));
        for n in 0..100u64 {
            quality.handle_settled(TargetId(0), Some(MS(n)), Instant::ORIGIN + MS(n));
            let p95 = quality.figures().rtt_p95.expect("samples");
            assert!(
                !quality.is_slow(p95) && quality.is_slow(p95.saturating_sub(Duration::from_nanos(1))) || p95.is_zero(),
                "{n}"
            );
        }
    }

    #[test]
    fn unsteady_is_what_the_jitter_says() {
        let mut quality = Quality::new(Duration::from_secs(1));
        for n in 0..1_000u64 {
            let rtt = if n % 40 < 4 { MS(10 + n % 7 * 9) } else { MS(10 + n % 3) };
            quality.handle_settled(TargetId((n % 2) as u8), Some(rtt), Instant::ORIGIN + MS(n * 50));
            for limit in [MS(1), MS(3), MS(10), MS(60)] {
                let unsteady = quality.jitter().is_some_and(|jitter| jitter > limit);
                assert_eq!(quality.is_unsteady(limit), unsteady, "{n} {limit:?}");
            }
        }
    }

    #[test]
    fn the_window_is_bounded_in_number() {
        let mut quality = Quality::new(Duration::from_secs(1_000));
        for n in 0..3_000u64 {
            quality.handle_settled(TargetId(0), (n % 4 != 0).then_some(MS(1)), Instant::ORIGIN + MS(n));
        }
        assert_eq!(quality.settled() as usize, WINDOW);
        assert_eq!(quality.loss(), Some(0.25));
        assert_eq!(quality.recent(Instant::ORIGIN + MS(2_996), |_| true), (4, 1));
    }
}
