//! What the keeper counts for `/metrics`. The driver answers for all of the daemon, so it is told what changed.

use super::{Ask, Keeper};
use crate::control::snapshot::ConfigFigures;
use crate::trust::machine::{Class, StateName, Target, Transition};

/// What became of one exchange with head office about the config, in the order of
/// [`FETCHES`](crate::control::snapshot::FETCHES).
#[derive(Clone, Copy, Debug)]
pub(super) enum Fetch {
    /// A new config, whole, believed and stored.
    Ok,
    Unchanged,
    /// Not believed.
    Refused,
    /// No answer, no use, or no room for it.
    Failed,
}

impl Keeper {
    pub(super) fn count_fetch(&mut self, fetch: Fetch) {
        self.figures.fetches[fetch as usize] += 1;
    }

    /// A change that was in force, or on its way, is undone.
    pub(super) fn count_rollback(&mut self, transition: &Transition) {
        if let Some(class) = undone(transition) {
            self.figures.rollbacks[class] += 1;
        }
    }

    /// Cheap, and said only when something changed.
    pub(super) async fn tell(&mut self) {
        let figures = ConfigFigures {
            standard: match self.force {
                Target::Config(config) if !config.is_local() => Some(config.released.seq),
                Target::Config(_) | Target::Safe => None,
            },
            in_trial: is_trial(self.machine.state().name()),
            drift: u64::try_from(self.drift.reported().len()).unwrap_or(u64::MAX),
            ..self.figures.clone()
        };
        if self.figures_told.as_ref() != Some(&figures)
            && self.parts.driver.send(Ask::Kept(figures.clone())).await.is_ok()
        {
            self.figures_told = Some(figures);
        }
    }
}

/// The place in [`Class::ROLLBACKS`] of why a change is undone; only its beginning counts.
fn undone(transition: &Transition) -> Option<usize> {
    let Transition { from, to, .. } = *transition;
    let class = if to == StateName::RollingBack && from != to {
        transition.reason?.class()
    } else if is_unconfirmed(from) && (to == StateName::Fetched || to == StateName::Quarantine) {
        // A power cut has undone it before anybody could; it is tried again, or was too often.
        Class::Reboot
    } else {
        return None;
    };
    Class::ROLLBACKS.iter().position(|it| *it == class)
}

/// What a boot takes back.
fn is_unconfirmed(state: StateName) -> bool {
    state != StateName::RollingBack && is_trial(state)
}

/// Something runs, or is about to, that a power cut would take back.
fn is_trial(state: StateName) -> bool {
    match state {
        StateName::Applying | StateName::Trial | StateName::RollingBack => true,
        StateName::Idle
        | StateName::Fetched
        | StateName::Ready
        | StateName::Soak
        | StateName::Quarantine
        | StateName::Override => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::snapshot::FETCHES;
    use crate::trust::machine::Reason;
    use crate::trust::refusal::Refusal;

    fn transition(from: StateName, to: StateName, reason: Option<Reason>) -> Transition {
        Transition { from, to, candidate: None, reason, verdict: None, attempt: 1 }
    }

    #[test]
    fn each_rollback_is_counted_once_and_by_its_reason() {
        let counted =
            |from, to, reason| undone(&transition(from, to, reason)).map(|class| Class::ROLLBACKS[class].label());
        let begun = |reason| counted(StateName::Trial, StateName::RollingBack, Some(reason));
        for (reason, label) in [
            (Reason::StepFailed, "apply"),
            (Reason::ReadbackDiffers, "readback"),
            (Reason::OfficeSilent, "no_confirm"),
            (Reason::RebootInTrial, "reboot"),
            (Reason::BaselineLost, "health"),
            (Reason::OperatorRollback, "operator"),
        ] {
            assert_eq!(begun(reason), Some(label));
        }
        let again = counted(StateName::RollingBack, StateName::RollingBack, Some(Reason::StepFailed));
        assert_eq!(again, None, "a second attempt to undo it is no second rollback");
        assert_eq!(counted(StateName::RollingBack, StateName::Quarantine, Some(Reason::StepFailed)), None);
        assert_eq!(counted(StateName::Trial, StateName::Soak, None), None);
    }

    #[test]
    fn a_power_cut_in_a_trial_is_a_rollback() {
        let counted =
            |from, to, reason| undone(&transition(from, to, reason)).map(|class| Class::ROLLBACKS[class].label());
        for from in [StateName::Applying, StateName::Trial] {
            assert_eq!(counted(from, StateName::Fetched, None), Some("reboot"));
            assert_eq!(counted(from, StateName::Quarantine, Some(Reason::RebootInTrial)), Some("reboot"));
        }
        assert_eq!(counted(StateName::Idle, StateName::Fetched, None), None);
    }

    #[test]
    fn what_was_refused_before_it_ran_was_not_undone() {
        let refused = Some(Reason::Refused(Refusal::TooLarge));
        assert_eq!(undone(&transition(StateName::Fetched, StateName::RollingBack, refused)), None);
    }

    #[test]
    fn fetches_are_in_the_order_of_their_names() {
        let names = [Fetch::Ok, Fetch::Unchanged, Fetch::Refused, Fetch::Failed].map(|fetch| FETCHES[fetch as usize]);
        assert_eq!(names, ["ok", "unchanged", "refused", "failed"]);
    }

    #[test]
    fn a_trial_is_what_a_power_cut_would_take_back() {
        use StateName::{Applying, Fetched, Idle, Override, Quarantine, Ready, RollingBack, Soak, Trial};
        assert!([Applying, Trial, RollingBack].into_iter().all(is_trial));
        assert!(![Idle, Fetched, Ready, Soak, Quarantine, Override].into_iter().any(is_trial));
    }
}
