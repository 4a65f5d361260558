//! The daemon's clocks. Decisions use the monotonic one only; the wall clock dates what is shown.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) use crate::probe::io::clock::now;

/// 2026-01-01: a clock that says less was never set.
const BUILT_AFTER: Duration = Duration::from_secs(1_767_225_600);

/// UTC in milliseconds, if the clock was ever set.
#[expect(clippy::disallowed_methods, reason = "the one place where the daemon asks what day it is")]
pub(super) fn wall_ms() -> Option<u64> {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok().filter(|wall| *wall >= BUILT_AFTER)?;
    u64::try_from(wall.as_millis()).ok()
}

/// Minutes after local midnight.
pub(super) fn local_minute() -> Option<u16> {
    wall_ms()?;
    let now = jiff::Zoned::now();
    u16::try_from(i32::from(now.hour()) * 60 + i32::from(now.minute())).ok()
}
