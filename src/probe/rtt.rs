//! Smoothed round-trip time of one target, as TCP keeps it (RFC 6298 §2), and what follows from it: when a reply is
//! overdue, and when it must be called lost even if latency grew tenfold.

use std::time::Duration;

use crate::time::nanos;

/// A queue that fills (bufferbloat) multiplies the RTT by up to ten without losing anything. A probe is not evidence of
/// loss before it has waited a little longer than that.
const SPIKE: u64 = 11;
/// No probe is remembered for so long; what follows from it cannot overflow.
const LONGEST: u64 = 3_600_000_000_000;

/// Nanoseconds: each reply and each probe is reckoned with, and a `Duration` divides by 10⁹ at every step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rtt {
    smoothed: Option<u64>,
    variation: u64,
}

impl Rtt {
    pub fn smoothed(&self) -> Option<Duration> {
        self.smoothed.map(Duration::from_nanos)
    }

    pub fn handle_sample(&mut self, sample: Duration) {
        let sample = nanos(sample).min(LONGEST);
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variation = sample / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(sample)) / 4;
                self.smoothed = Some((smoothed * 7 + sample) / 8);
            }
        }
    }

    /// How long after its sending a reply is overdue: `srtt + 4·rttvar` between `floor` and `ceiling`.
    pub fn overdue_after(&self, floor: Duration, ceiling: Duration) -> Duration {
        match self.smoothed {
            None => ceiling,
            Some(smoothed) => Duration::from_nanos(smoothed + self.variation * 4).max(floor).min(ceiling.max(floor)),
        }
    }

    /// How long a probe must have waited before its silence counts: a tenfold RTT would have answered by then.
    pub fn patience(&self, at_least: Duration) -> Duration {
        self.smoothed.map_or(at_least, |smoothed| Duration::from_nanos(smoothed * SPIKE).max(at_least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn first_sample_sets_smoothed_and_half_of_it_as_variation() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.overdue_after(MS(50), MS(175)), MS(175), "nothing known: as late as allowed");
        rtt.handle_sample(MS(20));
        assert_eq!(rtt.smoothed(), Some(MS(20)));
        assert_eq!(rtt.overdue_after(MS(50), MS(175)), MS(60));
    }

    #[test]
    fn steady_samples_bring_overdue_to_the_floor_and_wild_ones_to_the_ceiling() {
        let mut rtt = Rtt::default();
        for _ in 0..100 {
            rtt.handle_sample(MS(20));
        }
        assert_eq!(rtt.overdue_after(MS(50), MS(175)), MS(50));
        for n in 0..20 {
            rtt.handle_sample(MS(if n % 2 == 0 { 20 } else { 400 }));
        }
        assert_eq!(rtt.overdue_after(MS(50), MS(175)), MS(175));
    }

    #[test]
    fn patience_outlasts_a_tenfold_rtt() {
        let mut rtt = Rtt::default();
        rtt.handle_sample(MS(30));
        assert!(rtt.patience(MS(200)) > MS(300));
        assert_eq!(rtt.patience(MS(900)), MS(900));
    }
}
