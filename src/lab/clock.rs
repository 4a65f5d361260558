//! The lab's clock: the same `CLOCK_BOOTTIME` the daemon stamps its events with, so both can stand on one timeline.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::time::Instant;

pub fn now() -> Instant {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has had CLOCK_BOOTTIME since 2.6.39");
    Instant::ORIGIN + Duration::from(time)
}

/// Returns at once when `at` has passed.
pub fn sleep_until(at: Instant) {
    let left = at.since(now());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

/// Polls `condition` until it holds; `None` when it did not within `at_most`.
pub fn wait_for<T>(at_most: Duration, every: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = now() + at_most;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if now() >= deadline {
            return None;
        }
        std::thread::sleep(every);
    }
}
