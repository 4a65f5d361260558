//! A classic histogram that can be sent: counts per bucket, not cumulative.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Upper bounds in seconds; what is above the last falls into `+Inf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// .15 is the limit for calls, .6 a satellite.
    Rtt,
    /// From a blink to a day.
    Outage,
    /// Detection and switch: the promises of the design stand on bounds.
    Switching,
    /// One turn of the engine.
    Turn,
}

impl Scale {
    pub fn bounds(self) -> &'static [f64] {
        match self {
            Self::Rtt => &[0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5],
            Self::Outage => &[1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0],
            Self::Switching => &[0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 2.5, 5.0, 10.0, 30.0],
            Self::Turn => &[1e-5, 1e-4, 1e-3, 5e-3, 0.02, 0.1],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    scale: Scale,
    /// One more than there are bounds.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    pub fn new(scale: Scale) -> Self {
        Self { scale, counts: vec![0; scale.bounds().len() + 1], sum: 0.0 }
    }

    pub fn observe(&mut self, value: Duration) {
        let seconds = value.as_secs_f64();
        let bounds = self.scale.bounds();
        let bucket = bounds.iter().position(|bound| seconds <= *bound).unwrap_or(bounds.len());
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += seconds;
    }

    pub fn sum(&self) -> f64 {
        self.sum
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Bound and count of each bucket, not cumulative, `+Inf` (as `f64::INFINITY`) last.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        self.scale.bounds().iter().copied().chain([f64::INFINITY]).zip(self.counts.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_belongs_to_it_and_one_above_the_last_to_infinity() {
        let mut histogram = Histogram::new(Scale::Rtt);
        histogram.observe(Duration::from_millis(5));
        histogram.observe(Duration::from_millis(6));
        histogram.observe(Duration::from_secs(9));
        let buckets = histogram.buckets();
        assert_eq!(buckets[0], (0.005, 1));
        assert_eq!(buckets[1], (0.01, 1));
        assert_eq!(buckets[10], (f64::INFINITY, 1));
        assert_eq!(histogram.count(), 3);
        assert!((histogram.sum() - 9.011).abs() < 1e-9);
    }

    #[test]
    fn bounds_rise() {
        for scale in [Scale::Rtt, Scale::Outage, Scale::Switching, Scale::Turn] {
            assert!(scale.bounds().is_sorted_by(|a, b| a < b), "{scale:?}");
        }
    }
}
