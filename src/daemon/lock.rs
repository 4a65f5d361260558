//! May we, and are we alone?

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::RunError;

/// Bits of `CapEff` in `/proc/self/status`, capabilities(7).
const NEEDED: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW")];

pub(super) fn permitted() -> Result<(), RunError> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    match NEEDED.iter().find(|(bit, _)| bits & (1 << bit) == 0) {
        Some((_, missing)) => Err(RunError::NotPermitted { missing }),
        None => Ok(()),
    }
}

/// Held by the handle: the kernel lets go of it whatever becomes of the process, so nothing stale stays behind.
pub(super) fn take(state: &Path) -> Result<Flock<File>, RunError> {
    let failed = |source| RunError::State { path: state.to_owned(), source };
    fs::create_dir_all(state).map_err(failed)?;
    let path = state.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => Err(RunError::SecondInstance { path }),
        Err((_, error)) => Err(failed(error.into())),
    }
}
