//! The machine's clocks, read here and nowhere else below the daemon.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::time::Instant;

/// `CLOCK_BOOTTIME`: goes on while the machine is suspended and knows nothing of wall-clock jumps.
pub fn now() -> Instant {
    Instant::from_nanos(nanos(ClockId::CLOCK_BOOTTIME))
}

/// The wall clock, only ever compared with the kernel's receive timestamps, which are of the same clock.
pub(super) fn wall() -> Duration {
    Duration::from_nanos(nanos(ClockId::CLOCK_REALTIME))
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("Linux has had this clock since 2.6.39");
    u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX)
}
