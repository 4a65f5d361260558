//! May we, and are we alone?

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::RunError;

/// Bits of `CapEff` in `/proc/self/status`, capabilities(7).
const NEEDED: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW")];

#[derive(Debug, thiserror::Error)]
#[error("capability {missing} is missing")]
pub struct Lacking {
    missing: &'static str,
}

pub(super) fn permitted() -> Result<(), RunError> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    match NEEDED.iter().find(|(bit, _)| bits & (1 << bit) == 0) {
        Some((_, missing)) => Err(RunError::NotPermitted { source: Lacking { missing } }),
        None => Ok(()),
    }
}

/// Held by the handle: the kernel lets go of it whatever becomes of the process, so nothing stale stays behind.
pub(super) fn take(state: &Path) -> Result<File, RunError> {
    let failed = |source| RunError::State { path: state.to_owned(), source };
    fs::create_dir_all(state).map_err(failed)?;
    let path = state.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::SecondInstance { path }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
