//! Somebody else changes addresses, names or keys that the config decides: put right, or only told, as `apply.drift` says.
//! Routes and the packet filter have watches of their own and are always put right.

use std::collections::VecDeque;
use std::time::Duration;

use super::deeds::Deed;
use super::{Keeper, chain};
use crate::apply::services::Section;
use crate::config::branch::{Drift, DriftMode};
use crate::time::Instant;
use crate::trust::machine::StateName;

/// Without being told: not every change is heard of, a file's for example.
const EVERY: Duration = Duration::from_mins(1);
/// Changes come in a rush; and a device that flaps must not keep us looking.
const COALESCE: Duration = Duration::from_secs(1);
const LEAST: Duration = Duration::from_secs(5);
/// Who changes it back more often than that means it: then it is only told.
const REPAIRS_MOST: usize = 3;
const REPAIRS_WITHIN: Duration = Duration::from_hours(1);

#[derive(Debug)]
pub(super) struct Watch {
    due: Instant,
    looked: Instant,
    under_way: bool,
    repairs: VecDeque<Instant>,
    reported: Vec<String>,
}

/// What a look came to.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Found {
    repaired: Vec<String>,
    reported: Vec<String>,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now + EVERY, looked: now, under_way: false, repairs: VecDeque::new(), reported: Vec::new() }
    }

    /// Something moved.
    pub(super) fn stir(&mut self, now: Instant) {
        self.due = self.due.min((now + COALESCE).max(self.looked + LEAST));
    }

    pub(super) fn reported(&self) -> &[String] {
        &self.reported
    }

    fn may_repair(&mut self, now: Instant) -> bool {
        while self.repairs.front().is_some_and(|at| now.since(*at) >= REPAIRS_WITHIN) {
            self.repairs.pop_front();
        }
        self.repairs.len() < REPAIRS_MOST
    }
}

impl Keeper {
    pub(super) fn drift_deadline(&self) -> Instant {
        if self.drift.under_way || self.parts.services.is_none() { Instant::NEVER } else { self.drift.due }
    }

    pub(super) fn look_for_drift(&mut self, now: Instant) {
        if self.drift_deadline() > now {
            return;
        }
        self.drift.looked = now;
        self.drift.due = now + EVERY;
        let Some(services) = self.parts.services.clone() else { return };
        // What is on its way into force, as at a boot, is not there yet: that is nobody's doing.
        if !is_settled(self.machine.state().name()) || self.turns.is_under_way() {
            return;
        }
        self.drift.under_way = true;
        let may_repair = self.drift.may_repair(now);
        let (branch, netlink, deeds) =
            (std::sync::Arc::clone(&self.branch), self.parts.changes.clone(), self.deeds.clone());
        tokio::spawn(async move {
            let mut found = Found::default();
            // Whoever holds it is changing things; there is another look.
            if let Ok(mut services) = services.try_lock() {
                match services.drift(&netlink, &branch).await {
                    Ok(differences) => {
                        let mode = |section| mode(&branch.apply.drift, section);
                        let mut enforced = Vec::new();
                        for (section, words) in differences {
                            match mode(section) {
                                DriftMode::Enforce if may_repair => enforced.push(section),
                                DriftMode::Enforce | DriftMode::Report => found.reported.push(words),
                                DriftMode::Ignore => {}
                            }
                        }
                        if !enforced.is_empty() {
                            match services.repair(&netlink, &branch, &enforced).await {
                                Ok(report) => found.repaired = report.done,
                                Err(error) => found.reported.push(chain(&error)),
                            }
                        }
                    }
                    Err(error) => found.reported.push(chain(&error)),
                }
            }
            deeds.send(Deed::Drifted(found)).await.ok();
        });
    }

    pub(super) fn drifted(&mut self, Found { repaired, reported }: Found) {
        self.drift.under_way = false;
        for step in &repaired {
            tracing::warn!("somebody changed what the config decides; put right: {step}");
        }
        if !repaired.is_empty() {
            self.drift.repairs.push_back(self.drift.looked);
        }
        for step in reported.iter().filter(|step| !self.drift.reported.contains(step)) {
            tracing::warn!("somebody changed what the config decides; left as it is: {step}");
        }
        self.drift.reported = reported;
    }
}

/// Nothing of ours is on its way into the kernel, and what is in force is what should be.
fn is_settled(state: StateName) -> bool {
    match state {
        StateName::Idle | StateName::Fetched | StateName::Ready | StateName::Soak | StateName::Quarantine => true,
        StateName::Applying | StateName::Trial | StateName::RollingBack | StateName::Override => false,
    }
}

fn mode(drift: &Drift, section: Section) -> DriftMode {
    match section {
        Section::Uplinks => drift.uplinks,
        Section::Networks => drift.networks,
        Section::Dns => drift.dns,
        Section::Access => drift.access,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Instant = |seconds| Instant::ORIGIN + Duration::from_secs(seconds);

    #[test]
    fn the_fourth_time_within_an_hour_it_is_only_told() {
        let mut watch = Watch::new(S(0));
        for at in [10, 20, 30] {
            assert!(watch.may_repair(S(at)));
            watch.repairs.push_back(S(at));
        }
        assert!(!watch.may_repair(S(40)) && !watch.may_repair(S(3_609)));
        assert!(watch.may_repair(S(3_610)));
    }

    #[test]
    fn a_rush_of_changes_is_one_look_and_looks_keep_their_distance() {
        let mut watch = Watch::new(S(0));
        watch.stir(S(10));
        watch.stir(S(10));
        assert_eq!(watch.due, S(11));
        (watch.looked, watch.due) = (S(11), S(71));
        watch.stir(S(12));
        assert_eq!(watch.due, S(16));
    }
}
