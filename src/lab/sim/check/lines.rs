//! Verdicts against the truth of the wires.

use super::super::bounds;
use super::super::wire::{Kind, Truth};
use super::{Check, Rule, Scene};
use crate::config::model::{Family, UplinkId};
use crate::engine::action::Fact;
use crate::health::{Cause, Evidence, State, Verdict};
use crate::time::Instant;
use std::time::Duration;

/// The kernel's word about the near end may be so old.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

impl Check {
    pub(crate) fn fact(&mut self, fact: &Fact, scene: &Scene<'_>) {
        match fact {
            Fact::Transition { uplink, family, from, to, evidence } => {
                self.transition(*uplink, *family, (*from, *to), evidence, scene);
            }
            Fact::OutageOpened { uplink, family, since, .. } => self.outage_opened(*uplink, *family, *since, scene),
            Fact::OutageClosed { uplink, family, since, until, .. } => {
                self.outage_closed(*uplink, *family, (*since, *until), scene);
            }
            Fact::Preferred { uplink: None, .. } => self.preferred_ended(scene),
            Fact::Drill { step, .. } => self.drill_step(step, scene),
            Fact::ProbeSettled { .. }
            | Fact::Suspicion { .. }
            | Fact::Switch(_)
            | Fact::Switched { .. }
            | Fact::SwitchFailed { .. }
            | Fact::NotSwitched { .. }
            | Fact::TargetSuspect { .. }
            | Fact::Locked { .. }
            | Fact::Preferred { uplink: Some(_), .. }
            | Fact::Stalled { .. }
            | Fact::Budget { .. } => {}
        }
    }

    fn transition(
        &mut self,
        uplink: UplinkId,
        family: Family,
        (from, to): (State, State),
        evidence: &Evidence,
        scene: &Scene<'_>,
    ) {
        let profile = &scene.config.uplink(uplink).profile;
        let now = scene.now;
        let line = &mut self.lines[uplink.index()][family.index()];
        if matches!(to, State::Up | State::Down | State::Probation) {
            line.degraded = false;
        }
        match to {
            State::Up => {
                if from != State::Suspect {
                    line.up_since = Some(now);
                }
                let entered = line.probation_since.take();
                let undisturbed = entered.is_some_and(|entered| entered > scene.process.calm_since);
                let proved = entered.is_none_or(|entered| now.since(entered) + TOLD_WITHIN >= profile.recover_after);
                if from == State::Probation && undisturbed && !proved {
                    self.broken(Rule::Holds, now, || {
                        let lasted = now.since(entered.unwrap_or(now));
                        format!("{} was up after {lasted:?} of probation", scene.name(uplink))
                    });
                }
                if from == State::Down {
                    self.broken(Rule::Holds, now, || format!("{} went from down to up at once", scene.name(uplink)));
                }
            }
            State::Probation => {
                line.probation_since = Some(now);
                line.up_since = None;
            }
            State::Down => {
                line.probation_since = None;
                line.up_since = None;
                self.verdicts += 1;
                self.called_down(uplink, family, evidence, scene);
            }
            State::Degraded => {
                line.up_since = None;
                // After a suspicion it is again what it was before.
                let known = std::mem::replace(&mut line.degraded, true) && from == State::Suspect;
                let lossy = scene.engine.line(uplink, family).is_some_and(|line| line.is_lossy());
                let glow = bounds::afterglow(profile) + profile.quality_window;
                if lossy && !known && scene.wire(uplink, family).is_good_for(glow, now) {
                    self.broken(Rule::Blame, now, || {
                        format!("{} ({family}) is called lossy; {evidence:?}", scene.name(uplink))
                    });
                }
            }
            State::Suspect | State::Unknown | State::Disabled => {}
        }
    }

    fn called_down(&mut self, uplink: UplinkId, family: Family, evidence: &Evidence, scene: &Scene<'_>) {
        let wire = scene.wire(uplink, family);
        let profile = &scene.config.uplink(uplink).profile;
        let (now, glow) = (scene.now, bounds::afterglow(profile));
        if wire.is_good_for(glow, now) && now.since(wire.faulty_until) >= glow {
            self.broken(Rule::Blame, now, || {
                format!(
                    "{} ({family}) works since {:?} (loss {}, latency ×{}) and is called down; {evidence:?}",
                    scene.name(uplink),
                    now.since(wire.since),
                    wire.loss,
                    wire.slow
                )
            });
        }
        let now_or_lately = |kinds: &[Kind], within: Duration| {
            let lately = wire.last_fault.is_some_and(|(kind, end)| {
                kinds.contains(&kind) && now.since(end.max(scene.process.calm_since)) <= within
            });
            lately || matches!(wire.truth(), Truth::Bad(kind) if kinds.contains(&kind))
        };
        let told = match (evidence.verdict, evidence.cause) {
            (Some(Verdict::Local), _) => !now_or_lately(&[Kind::Local], TOLD_WITHIN),
            (Some(Verdict::Wrong), Some(Cause::Portal)) => !now_or_lately(&[Kind::Portal], glow * 4),
            (Some(Verdict::Silent | Verdict::Loss), Some(Cause::Cable | Cause::Address | Cause::Portal)) => true,
            (_, _) => false,
        };
        // While a first dump comes in, what is missing is only not told yet.
        let dumped = now > scene.process.calm_since && now.since(self.began) > TOLD_WITHIN;
        if told && dumped && wire.truth() != Truth::Grey {
            self.broken(Rule::Cause, now, || {
                format!("{} ({family}) is {:?}, told is {evidence:?}", scene.name(uplink), wire.condition)
            });
        }
    }

    fn outage_opened(&mut self, uplink: UplinkId, family: Family, since: Instant, scene: &Scene<'_>) {
        let open = self.lines[uplink.index()][family.index()].outage.replace(since);
        if open.is_some() || since > scene.now {
            self.broken(Rule::Ledger, scene.now, || format!("{}: opened while one is open", scene.name(uplink)));
        }
    }

    fn outage_closed(
        &mut self,
        uplink: UplinkId,
        family: Family,
        (since, until): (Instant, Instant),
        scene: &Scene<'_>,
    ) {
        let open = self.lines[uplink.index()][family.index()].outage.take();
        if open != Some(since) || until < since || until > scene.now {
            self.broken(Rule::Ledger, scene.now, || {
                format!("{}: closed {since:?} to {until:?}, open was {open:?}", scene.name(uplink))
            });
        }
    }
}
