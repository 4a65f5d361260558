//! What our own process costs, as the kernel counts it.

use std::fs;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

use crate::control::snapshot::Process;

/// `wall_trusted`: is the wall clock good enough to say when the process started? What cannot be read is 0.
pub fn process(wall_trusted: bool) -> Process {
    Process {
        cpu_seconds: cpu_seconds(),
        resident_bytes: resident_bytes().unwrap_or(0),
        start_timestamp_seconds: if wall_trusted { start_seconds().unwrap_or(0.0) } else { 0.0 },
        sandboxed: false,
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of processor time fit a float for 285 years")]
fn cpu_seconds() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0.0 };
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    micros as f64 / 1e6
}

/// Second field of `statm`, in pages.
fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    Some(pages * u64::try_from(page).ok()?)
}

/// Field 22 of `stat` is the start in ticks since boot; the command in brackets before it may hold anything.
#[expect(clippy::cast_precision_loss, reason = "ticks since boot and seconds since 1970 fit a float")]
fn start_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?.num_milliseconds();
    let wall = clock_gettime(ClockId::CLOCK_REALTIME).ok()?.num_milliseconds();
    Some((wall - since_boot) as f64 / 1e3 + ticks as f64 / per_second as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_memory_and_started_in_the_past() {
        let now = clock_gettime(ClockId::CLOCK_REALTIME).expect("there is a clock").num_seconds();
        let process = process(true);
        assert!(process.resident_bytes > 100_000, "{process:?}");
        assert!(process.start_timestamp_seconds > 0.0, "{process:?}");
        assert!(process.start_timestamp_seconds < now as f64 + 2.0, "{process:?}");
    }
}
