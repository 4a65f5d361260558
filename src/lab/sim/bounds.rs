//! How long each fault may go unnoticed: the figures behind I1. They follow from the profile and from how detection works
//! (`docs/failover.md`), not from what the engine happened to do.

use std::time::Duration;

use super::wire::Kind;
use crate::config::model::{Check, Family, Profile, Uplink};

/// From a decision to new flows on the other line, kernel included.
pub(super) const SWITCH: Duration = Duration::from_millis(100);
/// The kernel's word about carrier, address or gateway, until it is acted on.
const LOCAL: Duration = Duration::from_millis(100);
/// A line without any answer is believed to live by its traffic for at most this (one-way outages, broadcasts).
const FOOLED_LEAST: Duration = Duration::from_secs(10);
/// A sequential test errs once in some twenty bursts and is then begun again: enough for ten in a row.
const LOSS_RETRIES: u32 = 10;
/// A metered line that carries answered traffic skips up to ten probes in a row.
const SKIPS: u32 = 11;
/// Pages are asked this often while all is well.
const PAGE: Duration = Duration::from_secs(10);
/// The scheduler's jitter, 5 %, and a little.
const JITTER: f64 = 1.06;

/// What else is going on that a bound must allow for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Circumstances {
    /// A target is dead or limited, so its silence raises no suspicion any more.
    pub bad_target: bool,
    /// Packets come in although nothing is answered.
    pub fooled: bool,
}

/// From the fault (or from the moment the line came into use) to the decision.
pub(super) fn detection(uplink: &Uplink, family: Family, kind: Kind, circumstances: Circumstances) -> Duration {
    let profile = &uplink.profile;
    let targets = turns(uplink, family);
    let skips = if uplink.metered.is_some() { SKIPS } else { 1 };
    // To the next probe that raises suspicion: the next one, but a suspicion may just have been
    // cleared and a page may come before; with a bad target a whole round.
    let pages = uplink.targets.iter().any(|target| is_page(&target.check));
    let rounds = if circumstances.bad_target { targets + 1 } else { 3 + u32::from(pages) };
    let quiet = |turns: u32| (profile.interval * turns).mul_f64(JITTER);
    let suspicion = quiet(rounds) + (profile.dead_after / 2).max(profile.overdue_floor);
    // Enough probes of a quorum have waited as long as a tenfold RTT would have taken, at most twice `dead_after`.
    let verdict = profile.burst_spacing * 7 + profile.dead_after * 2;
    let settle = (profile.dead_after * 3).max(Duration::from_secs(2));
    match kind {
        Kind::Local => LOCAL,
        Kind::Silent if circumstances.fooled => {
            suspicion + verdict + FOOLED_LEAST.max(profile.dead_after * 5) + quiet(skips * 2)
        }
        Kind::Silent => suspicion + verdict + quiet(skips - 1),
        Kind::Loss => {
            let burst = profile.burst_spacing * 60 + profile.dead_after * 4;
            (suspicion + burst) * LOSS_RETRIES + quiet(skips)
        }
        // Two wrong pages, an answer elsewhere, one more wrong page, one more answer.
        Kind::Portal => PAGE + (quiet(targets * skips) + Duration::from_secs(1)) * 4 + settle,
        // Eight silent checks in a row, each settled, and one more after another line was asked.
        Kind::Dns | Kind::Tcp => quiet(targets * skips) * 2 + quiet(targets) * 10 + settle + Duration::from_secs(1),
    }
}

/// From the end of a fault to the first moment at which the line is a choice again.
pub(super) fn return_of(uplink: &Uplink, family: Family, last: Option<Kind>, fault: Kind) -> Duration {
    let profile = &uplink.profile;
    let asked = if uplink.metered.is_some() { profile.interval.max(Duration::from_secs(5)) } else { profile.interval };
    let rounds = match last {
        // Any answer will do, but the first may still get lost.
        Some(Kind::Silent | Kind::Local | Kind::Loss) | None => 5,
        // The service that failed must be asked again, and may have been asked just before.
        Some(Kind::Portal | Kind::Dns | Kind::Tcp) => turns(uplink, family) * 3,
    };
    // One brown-out is no better than another: the line must be seen to lose no more, over a third of its window.
    if fault == Kind::Loss {
        return profile.quality_window + (asked * 30).mul_f64(JITTER) + profile.dead_after * 6;
    }
    (asked * rounds).mul_f64(JITTER) + Duration::from_secs(1)
}

/// What an alternative must have been asked before it can tell a broken service from a broken server: once, on demand;
/// if that is lost on the way, when its own turn comes. If the service failed here, too, the server is thought broken, and
/// asked again once a minute.
pub(super) fn comparison(uplink: &Uplink, family: Family, lossy: bool, failed_too: bool) -> Duration {
    if !lossy {
        let settle = (uplink.profile.dead_after * 3).max(Duration::from_secs(2));
        let again = if failed_too { Duration::from_secs(65) } else { Duration::ZERO };
        return settle + again + (uplink.profile.interval * turns(uplink, family) * 2).mul_f64(JITTER);
    }
    let interval = uplink.profile.interval_standby.max(uplink.profile.interval);
    (interval * turns(uplink, family) * 4).mul_f64(JITTER) + PAGE * 2
}

/// A verdict may come so long after its fault ended: what was lost is still being settled.
pub(super) fn afterglow(profile: &Profile) -> Duration {
    profile.dead_after * 25 + Duration::from_secs(5)
}

/// From the end of all faults to the first tier in use: probation at its longest, then the path's own patience.
pub(super) fn healing(uplink: &Uplink) -> Duration {
    let probation = uplink.profile.recover_after * 32;
    probation * 2 + uplink.profile.quality_window * 4 + Duration::from_secs(120)
}

fn turns(uplink: &Uplink, family: Family) -> u32 {
    let targets = uplink.targets.iter().filter(|target| target.family == family);
    u32::try_from(targets.count()).unwrap_or(1).max(1)
}

/// Pages never raise suspicion; all else does.
pub(super) fn is_page(check: &Check) -> bool {
    matches!(check, Check::Http { .. })
}
