//! One path of one family: what it uses, and when that may change.

use std::time::Duration;

use super::choice::{self, Rank};
use super::{Reason, Selection, Suppressed};
use crate::config::model::{FailbackWhen, Otherwise, Path, UplinkId};
use crate::health::Verdict;
use crate::time::Instant;

/// A start settles within this: until then a better line is taken at once, without hold.
const BOOT: Duration = Duration::from_secs(3);
/// Lines come up one after the other; until then the first choice that a start made is no reason to wait for a failback.
pub const FIRST_CHOICE: Duration = Duration::from_secs(15);

/// A line as policy sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct LineView {
    pub rank: Rank,
    pub weight: u8,
    /// Since when it has this rank.
    pub since: Instant,
    /// `degraded` only by latency: it must have lasted so long before anybody is moved.
    pub patience: Duration,
    pub verdict: Option<Verdict>,
    pub last_life: Option<Instant>,
    pub local_ok: bool,
    pub flapping: bool,
    /// Longer stable time asked of a line that flaps, on top of the path's own.
    pub back_off: Duration,
}

/// What binds all paths.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Orders {
    pub preferred: Option<UplinkId>,
    /// `preferred` comes from a drill.
    pub drill: bool,
    pub locked: bool,
    /// What is known is older than our own stall.
    pub stale: bool,
    /// Minutes after local midnight, if the clock is trusted.
    pub minute: Option<u16>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PathState {
    pub selection: Selection,
    pub switched: Option<Instant>,
    pub suppressed: Option<Suppressed>,
    pub failback_earliest: Option<Instant>,
    pub reason: Option<Reason>,
    /// Serial of the newest switch that the kernel has not confirmed.
    pub unconfirmed: Option<u64>,
    started: Instant,
    /// Found in the kernel at the start: not left before its lines are known.
    adopted: bool,
    /// The uplink that a person or a drill chose, while it is in use.
    by_order: Option<(UplinkId, bool)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Keep { suppressed: Option<Suppressed>, recheck: Instant },
    Switch { to: Selection, reason: Reason },
}

impl PathState {
    pub fn new(selection: Selection, now: Instant) -> Self {
        Self {
            adopted: !selection.is_empty(),
            selection,
            switched: None,
            suppressed: None,
            failback_earliest: None,
            reason: None,
            unconfirmed: None,
            started: now,
            by_order: None,
        }
    }

    /// The decision was carried out (or is being carried out).
    pub fn handle_switch(&mut self, to: Selection, reason: Reason, orders: &Orders, now: Instant) {
        self.by_order = orders.preferred.filter(|uplink| to.contains(*uplink)).map(|uplink| (uplink, orders.drill));
        self.selection = to;
        self.switched = Some(now);
        self.reason = Some(reason);
        self.suppressed = None;
        self.failback_earliest = None;
        self.adopted = false;
    }

    /// What to do now, and if nothing: why, and when to look again.
    pub fn decide(&mut self, path: &Path, views: &[Option<LineView>], orders: &Orders, now: Instant) -> Decision {
        self.failback_earliest = None;
        let keep = |suppressed, recheck| Decision::Keep { suppressed, recheck };
        let Some((rank, best)) = choice::best(path, views, orders.preferred) else {
            return self.nothing_usable(path, views, now);
        };
        if best == self.selection {
            // Ordered while it was in use anyway: later changes are still the order's.
            return keep(None, Instant::NEVER);
        }
        if self.selection.is_empty() {
            let reason = if self.switched.is_none() { Reason::Start } else { Reason::Better };
            return Decision::Switch { to: best, reason };
        }
        let view = |uplink: UplinkId| views.get(uplink.index()).and_then(Option::as_ref);
        let current = self.selection.uplinks().map(|uplink| view(uplink).map_or(Rank::Dead, |view| view.rank));
        let (current_best, current_worst) = current.fold((Rank::Dead, Rank::Up), |(b, w), r| (b.min(r), w.max(r)));

        // Away from what is dead, whatever else is said.
        if current_worst >= Rank::Loss && rank < current_worst {
            let dead = self.selection.uplinks().filter_map(view).find(|view| view.rank == current_worst);
            let verdict = dead.and_then(|view| view.verdict).unwrap_or(Verdict::Local);
            // A tier of which one died goes on with the rest.
            return Decision::Switch { to: best, reason: Reason::Down(verdict) };
        }
        let booting = now.since(self.started) < BOOT;
        if booting && self.adopted && current_worst == Rank::Unknown {
            // Not heard of yet is no reason to leave what the kernel has.
            return keep(Some(Suppressed::Boot), self.started + BOOT);
        }
        if let Some(uplink) = orders.preferred.filter(|uplink| best.contains(*uplink)) {
            let reason = if orders.drill { Reason::Drill } else { Reason::Manual };
            debug_assert!(!self.selection.contains(uplink) || self.selection != best);
            return Decision::Switch { to: best, reason };
        }
        if orders.locked {
            return keep(Some(Suppressed::Lock), Instant::NEVER);
        }
        if let Some((_, drill)) = self.by_order {
            let reason = if drill { Reason::DrillEnd } else { Reason::Manual };
            return Decision::Switch { to: best, reason };
        }
        if orders.stale {
            return keep(Some(Suppressed::Stale), now + Duration::from_secs(1));
        }
        let held_until = self.switched.map_or(Instant::ORIGIN, |at| at + path.min_hold);
        let hold = |until: Instant| keep(Some(Suppressed::Hold), until);
        if rank < current_best {
            // Better than what is in use.
            let reason = match current_best {
                Rank::Degraded => Reason::Degraded,
                Rank::OverBudget => Reason::Budget,
                Rank::Up | Rank::Probation | Rank::Unknown | Rank::Loss | Rank::Dead => Reason::Better,
            };
            if booting && (current_best == Rank::Unknown || rank == Rank::Unknown) {
                // Its first probes are out; it will be up or down in a moment.
                return keep(Some(Suppressed::Boot), self.started + BOOT);
            }
            if self.adopted && now.since(self.started) < FIRST_CHOICE && current_best == Rank::OverBudget {
                // Its choice was made with what is being learnt again.
                return keep(Some(Suppressed::Boot), self.started + FIRST_CHOICE);
            }
            if booting && current_best == Rank::Probation {
                return Decision::Switch { to: best, reason };
            }
            let patient = self.selection.uplinks().filter_map(view).map(|view| view.since + view.patience).max();
            let until = held_until.max(patient.filter(|_| current_best == Rank::Degraded).unwrap_or(Instant::ORIGIN));
            if current_best == Rank::Probation || now >= until {
                return if now >= held_until { Decision::Switch { to: best, reason } } else { hold(held_until) };
            }
            return hold(until);
        }
        // As good as what is in use, but of a better tier, or with more uplinks.
        let settling = now.since(self.started) < FIRST_CHOICE;
        if settling && !self.adopted && rank == Rank::Up && matches!(self.reason, None | Some(Reason::Start)) {
            return Decision::Switch { to: best, reason: Reason::Better };
        }
        if self.selection.uplinks().any(|uplink| best.contains(uplink)) {
            // One of several that is slow for a moment keeps its share for as long as it would keep all of it alone.
            let dropped = self.selection.uplinks().filter(|uplink| !best.contains(*uplink)).filter_map(view);
            let slow = dropped.filter(|view| view.rank == Rank::Degraded).map(|view| view.since + view.patience).max();
            let held_until = held_until.max(slow.unwrap_or(Instant::ORIGIN));
            return if now >= held_until {
                Decision::Switch { to: best, reason: Reason::Share }
            } else {
                hold(held_until)
            };
        }
        self.failback(path, views, &best, orders, held_until, now)
    }

    fn failback(
        &mut self,
        path: &Path,
        views: &[Option<LineView>],
        best: &Selection,
        orders: &Orders,
        held_until: Instant,
        now: Instant,
    ) -> Decision {
        let lines = || best.uplinks().filter_map(|uplink| views.get(uplink.index()).and_then(Option::as_ref));
        let flapping = lines().any(|view| view.flapping);
        let reason = if flapping { Suppressed::Flap } else { Suppressed::Hold };
        let wait = |until| Decision::Keep { suppressed: Some(reason), recheck: until };
        let stable = |for_time: Duration| {
            let stable = lines().map(|view| view.since + for_time + view.back_off).max().unwrap_or(now);
            stable.max(held_until)
        };
        let earliest = match &path.failback.when {
            FailbackWhen::Never => return wait(Instant::NEVER),
            FailbackWhen::After(after) => stable(*after),
            FailbackWhen::Window { from, to } => {
                let open = orders.minute.is_some_and(|minute| {
                    if from <= to { (*from..*to).contains(&minute) } else { minute >= *from || minute < *to }
                });
                let stable = stable(Duration::ZERO);
                if !open {
                    // Looked at again with each `LocalTime`.
                    return wait(Instant::NEVER);
                }
                stable
            }
        };
        self.failback_earliest = Some(earliest);
        if now >= earliest {
            return Decision::Switch { to: best.clone(), reason: Reason::Failback };
        }
        wait(earliest)
    }

    /// All are dead: keep the order, keep the last one installed.
    fn nothing_usable(&self, path: &Path, views: &[Option<LineView>], now: Instant) -> Decision {
        let booting = now.since(self.started) < BOOT;
        let (why, recheck) =
            if booting { (Suppressed::Boot, self.started + BOOT) } else { (Suppressed::NoTarget, Instant::NEVER) };
        let keep = Decision::Keep { suppressed: Some(why), recheck };
        match path.otherwise {
            Otherwise::Keep if self.selection.is_empty() => {
                let to = choice::first(path, views);
                if to.is_empty() { keep } else { Decision::Switch { to, reason: Reason::Start } }
            }
            Otherwise::Keep => keep,
            Otherwise::Reject if self.selection.is_empty() => keep,
            Otherwise::Reject => {
                let verdict = self.selection.uplinks().find_map(|uplink| views.get(uplink.index())?.as_ref()?.verdict);
                Decision::Switch { to: Selection::default(), reason: Reason::Down(verdict.unwrap_or(Verdict::Silent)) }
            }
        }
    }
}
