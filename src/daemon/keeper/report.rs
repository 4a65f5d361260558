//! What the keeper says about itself, for `config why` and the journal.

use super::identity::Admission;
use super::{Keeper, Past as Passed, clock};
use crate::control::keeping::{ChecksState, ConfigState, OfficeState, Past, Released, Returned, Seen, WitnessState};
use crate::control::status::Moment as At;
use crate::time::Instant;
use crate::trust::machine::{Config, Evidence, Moment, Signs, Target, Transition, Witness};

impl Keeper {
    pub(super) fn state(&self, now: Instant) -> ConfigState {
        let keep = self.machine.keep();
        let running = match self.force {
            Target::Config(config) => Some(released(&config)),
            Target::Safe => None,
        };
        let waiting = keep.next.as_ref().or(self.machine.state().candidate());
        let evidence = &keep.evidence;
        ConfigState {
            office: self.office_state(now),
            state: self.machine.state().name().name().to_owned(),
            confirm_within_s: self.machine.confirm_until().map(|until| until.since(now).as_secs()),
            wanted: waiting.map(|candidate| released(&candidate.config)).or_else(|| running.clone()),
            running,
            previous: keep.previous.as_ref().map(released),
            last: keep.last.map(|last| Returned {
                epoch: last.released.epoch,
                seq: last.released.seq,
                reason: last.reason.code().to_owned(),
                verdict: last.verdict.map(|verdict| verdict.name().to_owned()),
                tried_seconds: evidence.tried_for,
            }),
            evidence: evidence.uplinks().iter().map(witness).collect(),
            checks: checks(evidence),
            drift: self.drift.reported().to_vec(),
            refused: self.refused.clone(),
            history: self.history.iter().map(|past| told(past, now)).collect(),
        }
    }

    fn office_state(&self, now: Instant) -> Option<OfficeState> {
        let enrolment = self.enrolment.as_ref()?;
        let admission = match enrolment.admission {
            Admission::Asking => "asking",
            Admission::Waiting => "waiting",
            Admission::Accepted => "accepted",
        };
        Some(OfficeState {
            tenant: enrolment.tenant.clone(),
            site: enrolment.site.clone(),
            admission: admission.to_owned(),
            addresses: self.offices().into_iter().map(|office| office.address).collect(),
            root_version: self.root.as_ref().map(|root| root.root().version),
            proved_ago_ms: u64::try_from(self.nonces.age(now).as_millis()).unwrap_or(u64::MAX),
            stale: self.nonces.is_stale(now),
        })
    }
}

fn released(config: &Config) -> Released {
    Released { epoch: config.released.epoch, seq: config.released.seq, digest: config.resolved.short() }
}

fn checks(evidence: &Evidence) -> ChecksState {
    let worked = |moment| evidence.around(moment).map(|around| around.checks.count_ones());
    ChecksState { before: worked(Moment::Before), trial: worked(Moment::Trial), after: worked(Moment::After) }
}

fn witness(witness: &Witness) -> WitnessState {
    let seen = |moment| {
        let signs = witness.signs(moment);
        Seen { present: signs.has(Signs::PRESENT), proved: signs.has(Signs::PROOF), targets: signs.has(Signs::TARGETS) }
    };
    WitnessState {
        uplink: witness.name.to_string(),
        before: seen(Moment::Before),
        trial: seen(Moment::Trial),
        after: seen(Moment::After),
    }
}

fn told(past: &Passed, now: Instant) -> Past {
    let Transition { from, to, candidate, reason, verdict, .. } = past.transition;
    Past {
        at: At::of(past.at, now, clock::wall_ms()),
        from: from.name().to_owned(),
        to: to.name().to_owned(),
        epoch: candidate.map(|candidate| candidate.config.released.epoch),
        seq: candidate.map(|candidate| candidate.config.released.seq),
        reason: reason.map(|reason| reason.code().to_owned()),
        verdict: verdict.map(|verdict| verdict.name().to_owned()),
    }
}

/// For the journal.
pub(super) fn sentence(transition: &Transition) -> String {
    let Transition { from, to, candidate, reason, verdict, attempt: _ } = transition;
    let what = candidate.map_or_else(
        || "config".to_owned(),
        |it| {
            let kind = if it.config.is_local() { "file" } else { "standard" };
            format!("{kind} {}", it.config.released.seq)
        },
    );
    let mut text = format!("{what}: {} → {}", from.name(), to.name());
    if let Some(reason) = reason {
        text.push_str(&format!(", {}", reason.code()));
    }
    if let Some(verdict) = verdict {
        text.push_str(&format!(", verdict {}", verdict.name()));
    }
    text
}
