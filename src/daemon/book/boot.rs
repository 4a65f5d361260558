//! Which boot this is, and why the one before ended.

use std::fs;
use std::path::Path;

use crate::ledger::record::Id;
use crate::ledger::scribe::Before;

/// Set by a watchdog that reset the box (`WDIOF_CARDRESET`, linux/watchdog.h).
const CARD_RESET: u32 = 0x20;

#[derive(Clone, Copy, Debug)]
pub(in crate::daemon) struct Boot {
    pub(in crate::daemon) id: Id,
    watchdog: bool,
    panic: bool,
}

impl Boot {
    /// Before the fence closes: it has no use for these files later.
    pub(in crate::daemon) fn read() -> Self {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let status = fs::read_to_string("/sys/class/watchdog/watchdog0/bootstatus").unwrap_or_default();
        let watchdog = status.trim().parse::<u32>().is_ok_and(|bits| bits & CARD_RESET != 0);
        // What the kernel said when it died, kept by the firmware until somebody takes it away.
        let mut kept = fs::read_dir(Path::new("/sys/fs/pstore")).into_iter().flatten().flatten();
        let panic = kept.any(|entry| entry.file_name().to_string_lossy().starts_with("dmesg-"));
        Self { id: Id(u128::from_str_radix(&digits, 16).unwrap_or(0)), watchdog, panic }
    }

    /// As in `causeway_boots_total{reason}`.
    pub(in crate::daemon) fn reason(&self, before: &Before) -> &'static str {
        match before {
            Before { last: None, .. } => "unknown",
            Before { stopped: true, .. } => "reboot",
            Before { .. } if self.panic => "panic",
            Before { .. } if self.watchdog => "watchdog",
            Before { .. } => "power",
        }
    }
}
