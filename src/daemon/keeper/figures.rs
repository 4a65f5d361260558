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
        if transition.from == transition.to || transition.to != StateName::RollingBack {
            return;
        }
        let class = transition.reason.and_then(|reason| Class::ROLLBACKS.iter().position(|it| *it == reason.class()));
        if let Some(class) = class {
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
