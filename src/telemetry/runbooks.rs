//! What to do: a page per alert of `configs/prometheus/alerts.yml` and per everyday task. Pure. They are part of the program, so
//! that they can be read where nothing else works; together they are 30 kB.

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
    RetiredDeviceAlive
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
    fn a_name_may_be_written_as_one_likes() {
        assert!(find("branchonbackup").is_some_and(|text| text.starts_with("# BranchOnBackup\n")));
        assert_eq!(find("Nonsense"), None);
    }
}
