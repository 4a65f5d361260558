//! What to do: a page per alert of `configs/prometheus/alerts.yml` and per everyday task. Pure. They are part of the program, so
//! that they can be read where nothing else works; together they are 30 kB.

use crate::control::status::{InternetState, Status};
use crate::health::State;

/// Name and text.
pub type Runbook = (&'static str, &'static str);

macro_rules! runbooks {
    ($($name:ident)+) => {
        &[$((stringify!($name), include_str!(concat!("../../docs/runbooks/", stringify!($name), ".md")))),+]
    };
}

/// By name.
pub const RUNBOOKS: &[Runbook] = runbooks! {
    AssetSupportEnds
    BackupDataBudget
    BranchBackupDead
    BranchDown
    BranchNoRedundancy
    BranchOnBackup
    BranchUnreachable
    ClockUntrusted
    ConfigDrift
    ConfigFetchStale
    ConfigRolledBack
    ContractEnds
    DaemonDown
    DrillFailed
    DrillStale
    FailoverSlow
    FailoverSuppressed
    FlashWorn
    KernelRepairs
    LedgerStalled
    NewDevice
    PowerTrouble
    ProviderOutage
    ReadThePage
    ReplacePrinter
    RestoreAccess
    RetireDevice
    ScrapeFailing
    SeriesCapHit
    StorageFilling
    StragglersSeen
    SuspicionsHigh
    SwapRouter
    TargetSuspect
    UplinkBudgetBurnFast
    UplinkBudgetBurnSlow
    UplinkDegraded
    UplinkFamilyDown
    UplinkFlapping
    Watchdog
};

/// Upper and lower case do not matter: it may be typed from a telephone call.
pub fn find(name: &str) -> Option<&'static str> {
    RUNBOOKS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, text)| *text)
}

/// The page for what a branch has now, by the name of the alert that says it at head office; the worst of several.
pub fn fitting(status: &Status) -> Option<&'static str> {
    let any = |state| status.uplinks.iter().any(|uplink| uplink.line().is_some_and(|line| line.state == state));
    match status.internet.state {
        InternetState::Down => Some("BranchDown"),
        InternetState::Backup => Some("BranchOnBackup"),
        InternetState::Primary if any(State::Down) => Some("BranchBackupDead"),
        InternetState::Primary if any(State::Degraded) => Some("UplinkDegraded"),
        InternetState::Primary | InternetState::Unknown => None,
    }
}

/// Where the daemon does not answer.
pub const NO_DAEMON: &str = "DaemonDown";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What fits on a printed page.
    const LINES: usize = 60;
    const HEADINGS: [&str; 6] =
        ["What staff see", "Do this", "Do not", "Who to call", "How to know it is over", "Afterwards"];

    #[test]
    fn every_file_is_in_the_program() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/runbooks");
        let files = std::fs::read_dir(folder).expect("the folder").map(|entry| {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            name.strip_suffix(".md").expect("pages only").to_owned()
        });
        let known: BTreeSet<_> = RUNBOOKS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files.collect::<BTreeSet<_>>(), known);
    }

    #[test]
    fn every_page_has_its_headings_in_order_and_fits_on_paper() {
        for (name, text) in RUNBOOKS {
            assert!(text.starts_with(&format!("# {name}\n\n")), "{name}");
            let headings: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
            assert_eq!(headings, HEADINGS, "{name}");
            assert!(text.lines().count() <= LINES, "{name}: {} lines", text.lines().count());
            assert!(text.lines().any(|line| line.starts_with("1. ")), "{name}: nothing to do");
        }
    }

    #[test]
    fn what_a_branch_has_names_a_page() {
        let mut status: Status =
            serde_json::from_str(include_str!("../../tests/canned/backup.json")).expect("it fits the types");
        let states = |status: &mut Status, states: [State; 2]| {
            for (uplink, state) in status.uplinks.iter_mut().zip(states) {
                uplink.families.iter_mut().for_each(|line| line.state = state);
            }
        };
        let (up, down, degraded) = (State::Up, State::Down, State::Degraded);
        for (internet, lines, wanted) in [
            (InternetState::Backup, [down, up], Some("BranchOnBackup")),
            (InternetState::Down, [down, down], Some("BranchDown")),
            (InternetState::Primary, [degraded, down], Some("BranchBackupDead")),
            (InternetState::Primary, [degraded, up], Some("UplinkDegraded")),
            (InternetState::Primary, [up, up], None),
            (InternetState::Unknown, [State::Unknown, State::Unknown], None),
        ] {
            status.internet.state = internet;
            states(&mut status, lines);
            assert_eq!(fitting(&status), wanted, "{internet:?} {lines:?}");
            assert!(wanted.is_none_or(|name| find(name).is_some()), "{wanted:?}");
        }
        assert!(find(NO_DAEMON).is_some());
    }

    #[test]
    fn a_name_may_be_written_as_one_likes() {
        assert!(find("branchonbackup").is_some_and(|text| text.starts_with("# BranchOnBackup\n")));
        assert_eq!(find("Nonsense"), None);
    }
}
