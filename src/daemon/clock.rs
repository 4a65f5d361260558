//! The daemon's clocks. Decisions use the monotonic one only; the wall clock dates what is shown.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ledger::clock::Judge;
pub(super) use crate::probe::io::clock::now;

/// 2026-01-01, in seconds since 1970: nothing of ours was built before.
const BEGINNING: u64 = 1_767_225_600;

/// When this was built, in seconds since 1970, if the build says it ([`SOURCE_DATE_EPOCH`]).
///
/// [`SOURCE_DATE_EPOCH`]: https://reproducible-builds.org/specs/source-date-epoch/
pub(super) const BUILT: u64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => match u64::from_str_radix(text, 10) {
        Ok(seconds) if seconds > BEGINNING => seconds,
        Ok(_) | Err(_) => BEGINNING,
    },
    None => BEGINNING,
};

/// One for all who ask, so that the ledger, the status and the config cannot disagree.
static JUDGE: Mutex<Judge> = Mutex::new(Judge::new(BUILT * 1_000));

/// UTC in milliseconds, if the clock was ever set.
#[expect(clippy::disallowed_methods, reason = "the one place where the daemon asks what day it is")]
pub(super) fn wall_ms() -> Option<u64> {
    let (wall, mono) = (SystemTime::now().duration_since(UNIX_EPOCH).ok()?, now().millis());
    JUDGE.lock().unwrap_or_else(PoisonError::into_inner).believed(u64::try_from(wall.as_millis()).ok()?, mono)
}

/// The box was alive then, UTC ms: a clock that says less waits until somebody sets it.
pub(super) fn lived(wall: u64) {
    JUDGE.lock().unwrap_or_else(PoisonError::into_inner).lived(wall);
}

/// Minutes after local midnight.
pub(super) fn local_minute() -> Option<u16> {
    wall_ms()?;
    let now = jiff::Zoned::now();
    u16::try_from(i32::from(now.hour()) * 60 + i32::from(now.minute())).ok()
}
