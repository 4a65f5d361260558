//! An internet line: what lies between the gateway's `wanN` and its provider. [`queue`] decides what happens to each
//! frame (pure, virtual time), [`port`] reads and writes frames, [`wire`] joins both on a thread with precise timing.

pub mod port;
pub mod queue;
pub mod wire;

use std::time::Duration;

/// The way frames go, as seen from the branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the gateway to the provider.
    Up,
    /// From the provider to the gateway.
    Down,
}

impl Direction {
    pub const BOTH: [Self; 2] = [Self::Up, Self::Down];

    pub fn index(self) -> usize {
        match self {
            Self::Up => 0,
            Self::Down => 1,
        }
    }
}

/// How frames get lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Each frame with the same probability.
    Random(f64),
    /// Gilbert–Elliott with a clean good state and a bad one that loses all: the share that is lost on average, and how
    /// many frames in a row a bad spell takes on average.
    Bursts { share: f64, length: f64 },
}

impl Loss {
    pub const NONE: Self = Self::Random(0.0);
}

/// What one direction of a line does to frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Impairment {
    pub delay: Duration,
    /// Added to the delay, uniform in ±jitter; order is kept.
    pub jitter: Duration,
    pub loss: Loss,
    /// Share of frames that overtake those before them (they skip the delay).
    pub reorder: f64,
    pub duplicate: f64,
    /// Bits a second; without it there is no queue.
    pub rate: Option<u64>,
    /// Bytes that wait for a busy line; what does not fit is dropped (a deep queue is bufferbloat).
    pub queue: u64,
    /// Longer frames vanish (a black hole by size).
    pub largest: Option<usize>,
    /// Nothing passes, and nobody is told.
    pub cut: bool,
}

impl Default for Impairment {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(5),
            jitter: Duration::ZERO,
            loss: Loss::NONE,
            reorder: 0.0,
            duplicate: 0.0,
            rate: None,
            queue: Self::QUEUE,
            largest: None,
            cut: false,
        }
    }
}

impl Impairment {
    /// 100 ms at 20 Mbit/s, about what a modem holds.
    pub const QUEUE: u64 = 256 * 1024;
}
