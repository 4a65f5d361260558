//! What worked before, in the trial and after the return: the confirm rules and the verdict are read from it, and
//! `config why` shows it.

use serde::{Deserialize, Serialize};

use super::reason::{Reason, Verdict};
use crate::trust::bounded::{List, Text};

pub const UPLINKS_MOST: usize = 64;

pub type UplinkName = Text<32>;

/// When something was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// Right before applying: the baseline.
    Before,
    /// While the candidate is in force, Soak included.
    Trial,
    /// A minute after the return.
    After,
}

/// Taken on all uplinks at once, in the same way each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measurement {
    /// Each uplink of the config that is in force, also one whose device is missing.
    pub uplinks: Vec<(UplinkName, Signs)>,
    pub around: Surroundings,
}

/// One uplink at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signs(u8);

impl Signs {
    /// The config has such an uplink.
    pub const PRESENT: Self = Self(1);
    /// An authenticated answer of head office's responders, through a new socket bound to this uplink.
    pub const PROOF: Self = Self(2);
    /// Its targets answer.
    pub const TARGETS: Self = Self(4);
    /// Its gateway answers as a neighbour.
    pub const NEIGHBOUR: Self = Self(8);
    pub const DNS: Self = Self(16);

    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The rest of the branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Surroundings {
    /// Bit n: entry n of the candidate's `must_work` works. Entries above 16 are not asked.
    pub checks: u16,
    /// Some LAN port has carrier.
    pub lan: bool,
    pub office: Office,
}

/// Head office's answer to a nonce, through `front`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Office {
    #[default]
    Silent,
    Answers,
    /// Answers, and says not to confirm.
    Hold,
}

/// One uplink at the three moments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    pub name: UplinkName,
    signs: [Signs; 3],
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    uplinks: List<Witness, UPLINKS_MOST>,
    around: [Option<Surroundings>; 3],
    /// How long the candidate had been in force when it was undone, in seconds.
    pub tried_for: u32,
}

/// What the confirm rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    Confirmed,
    /// The most telling thing that is missing; `worse`: targets that answered before are lost, so it is not just head
    /// office that is silent.
    Missing {
        reason: Reason,
        worse: bool,
    },
}

impl Witness {
    pub fn signs(&self, moment: Moment) -> Signs {
        self.signs[index(moment)]
    }

    /// It is in both configs, had `sign` at `Before` and has not at `moment`.
    fn lost(&self, sign: Signs, moment: Moment) -> bool {
        let (before, then) = (self.signs(Moment::Before), self.signs(moment));
        then.has(Signs::PRESENT) && before.has(sign) && !then.has(sign)
    }

    /// Any of what carries traffic was lost in the trial.
    fn suffered(&self) -> bool {
        self.lost(Signs::PROOF, Moment::Trial) || self.lost(Signs::TARGETS, Moment::Trial)
    }

    /// Something that was lost in the trial is there again.
    fn recovered(&self) -> bool {
        [Signs::PROOF, Signs::TARGETS]
            .into_iter()
            .any(|sign| self.lost(sign, Moment::Trial) && self.signs(Moment::After).has(sign))
    }
}

impl Evidence {
    /// A new baseline; what was known is forgotten.
    pub fn begin(measurement: &Measurement) -> Self {
        let mut evidence = Self::default();
        evidence.set(Moment::Before, measurement);
        evidence
    }

    pub fn set(&mut self, moment: Moment, measurement: &Measurement) {
        let at = index(moment);
        self.around[at] = Some(measurement.around);
        let mut all: Vec<Witness> = self.uplinks.to_vec();
        for witness in &mut all {
            witness.signs[at] = Signs::default();
        }
        for (name, signs) in &measurement.uplinks {
            match all.iter_mut().find(|witness| witness.name == *name) {
                Some(witness) => witness.signs[at] = *signs,
                None => {
                    let mut witness = Witness { name: name.clone(), signs: [Signs::default(); 3] };
                    witness.signs[at] = *signs;
                    all.push(witness);
                }
            }
        }
        self.uplinks = List::truncated(all);
    }

    pub fn uplinks(&self) -> &[Witness] {
        &self.uplinks
    }

    pub fn around(&self, moment: Moment) -> Option<&Surroundings> {
        self.around[index(moment)].as_ref()
    }

    /// Uplinks that lost their path proof in the trial, by name; for people.
    pub fn unproved(&self) -> impl Iterator<Item = &UplinkName> {
        self.uplinks.iter().filter(|witness| witness.lost(Signs::PROOF, Moment::Trial)).map(|witness| &witness.name)
    }

    /// The confirm rules: (a) every uplink that passed before and still exists passes again, at least one of all;
    /// (b) every site check, and the LAN; (c) head office, if it answered before, answers and does not say hold.
    /// Without any path proof in the baseline the targets decide.
    pub fn judge(&self) -> Judgement {
        let Some((before, trial)) = self.around(Moment::Before).zip(self.around(Moment::Trial)) else {
            return Judgement::Missing { reason: Reason::NothingMeasured, worse: false };
        };
        let missing = |reason| Judgement::Missing { reason, worse: self.is_lost(Signs::TARGETS) };
        if trial.office == Office::Hold {
            missing(Reason::HeldByOffice)
        } else if self.had(Signs::PROOF) && self.is_lost(Signs::PROOF) {
            missing(Reason::NoPathProofOnUplink)
        } else if !self.had(Signs::PROOF) && self.is_lost(Signs::TARGETS) {
            missing(Reason::TargetsLost)
        } else if before.checks & !trial.checks != 0 {
            missing(Reason::SiteCheckLost)
        } else if before.lan && !trial.lan {
            missing(Reason::LanLost)
        } else if before.office != Office::Silent && trial.office == Office::Silent {
            missing(Reason::OfficeSilent)
        } else {
            Judgement::Confirmed
        }
    }

    /// What was lost is back: the config did it. Still lost: somebody else did. Uplinks are asked first, because checks
    /// and head office hang on them: a provider that fails must not be counted against a config.
    pub fn verdict(&self) -> Verdict {
        let Some(after) = self.around(Moment::After) else { return Verdict::External };
        if self.uplinks.iter().any(Witness::suffered) {
            let back = self.uplinks.iter().any(Witness::recovered);
            return if back { Verdict::Config } else { Verdict::External };
        }
        let (Some(before), Some(trial)) = (self.around(Moment::Before), self.around(Moment::Trial)) else {
            return self.unmeasured(after);
        };
        let checks = before.checks & !trial.checks & after.checks != 0;
        let lan = before.lan && !trial.lan && after.lan;
        let answers = |around: &Surroundings| around.office != Office::Silent;
        let office = answers(before) && !answers(trial) && answers(after);
        // All uplinks of the old config may be gone from the new one: then nothing could be compared in the trial.
        let none_left = self.had(Signs::PROOF) && !self.any(Signs::PROOF, Moment::Trial);
        let returned = none_left && self.any(Signs::PROOF, Moment::After);
        if checks || lan || office || returned { Verdict::Config } else { Verdict::External }
    }

    /// In the trial nothing could be measured: what works again afterwards tells.
    fn unmeasured(&self, after: &Surroundings) -> Verdict {
        let uplinks = self.any(Signs::TARGETS, Moment::After) || self.any(Signs::PROOF, Moment::After);
        if uplinks || after.office != Office::Silent { Verdict::Config } else { Verdict::External }
    }

    fn had(&self, sign: Signs) -> bool {
        self.any(sign, Moment::Before)
    }

    fn any(&self, sign: Signs, moment: Moment) -> bool {
        self.uplinks.iter().any(|witness| witness.signs(moment).has(sign))
    }

    /// Some uplink lost it in the trial, or none has it any more.
    fn is_lost(&self, sign: Signs) -> bool {
        let none_left = self.had(sign) && !self.any(sign, Moment::Trial);
        none_left || self.uplinks.iter().any(|witness| witness.lost(sign, Moment::Trial))
    }
}

const fn index(moment: Moment) -> usize {
    match moment {
        Moment::Before => 0,
        Moment::Trial => 1,
        Moment::After => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Signs = Signs::PRESENT.with(Signs::PROOF).with(Signs::TARGETS);
    const SILENT: Signs = Signs::PRESENT.with(Signs::TARGETS);
    const DEAD: Signs = Signs::PRESENT;

    fn measured(uplinks: &[(&str, Signs)], office: Office) -> Measurement {
        Measurement {
            uplinks: uplinks.iter().map(|(name, signs)| (Text::new(name).expect("a name"), *signs)).collect(),
            around: Surroundings { checks: 1, lan: true, office },
        }
    }

    fn evidence(before: &Measurement, trial: &Measurement) -> Evidence {
        let mut evidence = Evidence::begin(before);
        evidence.set(Moment::Trial, trial);
        evidence
    }

    fn missing(reason: Reason, worse: bool) -> Judgement {
        Judgement::Missing { reason, worse }
    }

    #[test]
    fn confirm_rules() {
        use Office::{Answers, Hold, Silent};
        let both = measured(&[("fibre", ALL), ("lte", ALL)], Answers);
        let judged = |before: &Measurement, uplinks: &[(&str, Signs)], office| {
            evidence(before, &measured(uplinks, office)).judge()
        };
        assert_eq!(judged(&both, &[("fibre", ALL), ("lte", ALL)], Answers), Judgement::Confirmed);
        assert_eq!(judged(&both, &[("fibre", ALL)], Answers), Judgement::Confirmed, "a removed uplink is not missed");
        assert_eq!(judged(&both, &[], Answers), missing(Reason::NoPathProofOnUplink, true), "at least one of all");
        let new = [("fibre", ALL), ("lte", ALL), ("dsl", DEAD)];
        assert_eq!(judged(&both, &new, Answers), Judgement::Confirmed, "a new one need not work");
        let lte = [("fibre", ALL), ("lte", DEAD)];
        assert_eq!(judged(&both, &lte, Answers), missing(Reason::NoPathProofOnUplink, true));
        let unproved = [("fibre", SILENT), ("lte", SILENT)];
        assert_eq!(judged(&both, &unproved, Answers), missing(Reason::NoPathProofOnUplink, false));
        assert_eq!(judged(&both, &[("fibre", ALL), ("lte", ALL)], Hold), missing(Reason::HeldByOffice, false));
        assert_eq!(judged(&both, &[("fibre", ALL), ("lte", ALL)], Silent), missing(Reason::OfficeSilent, false));
        let offline = measured(&[("fibre", SILENT), ("lte", DEAD)], Silent);
        assert_eq!(judged(&offline, &[("fibre", SILENT), ("lte", DEAD)], Silent), Judgement::Confirmed);
        assert_eq!(judged(&offline, &[("fibre", DEAD), ("lte", SILENT)], Silent), missing(Reason::TargetsLost, true));
        assert_eq!(Evidence::begin(&both).judge(), missing(Reason::NothingMeasured, false));
    }

    #[test]
    fn site_checks_and_the_lan_are_missed_too() {
        let before = measured(&[("fibre", ALL)], Office::Silent);
        let mut trial = before.clone();
        trial.around.checks = 2;
        assert_eq!(evidence(&before, &trial).judge(), missing(Reason::SiteCheckLost, false));
        trial.around = Surroundings { lan: false, ..before.around };
        assert_eq!(evidence(&before, &trial).judge(), missing(Reason::LanLost, false));
    }

    #[test]
    fn what_comes_back_was_the_configs_fault_and_what_stays_away_was_not() {
        let both = measured(&[("fibre", ALL), ("lte", ALL)], Office::Answers);
        let lte_dead = measured(&[("fibre", ALL), ("lte", DEAD)], Office::Answers);
        let verdict = |trial: &Measurement, after: &Measurement| {
            let mut evidence = evidence(&both, trial);
            evidence.set(Moment::After, after);
            evidence.verdict()
        };
        assert_eq!(verdict(&lte_dead, &both), Verdict::Config);
        assert_eq!(verdict(&lte_dead, &lte_dead), Verdict::External);
        let mut shaken = lte_dead.clone();
        shaken.around.office = Office::Silent;
        assert_eq!(verdict(&shaken, &lte_dead), Verdict::External, "the office hung on the provider");
        let mut no_lan = both.clone();
        no_lan.around.lan = false;
        assert_eq!(verdict(&no_lan, &both), Verdict::Config);
        assert_eq!(verdict(&no_lan, &no_lan), Verdict::External);
        assert_eq!(verdict(&measured(&[], Office::Answers), &both), Verdict::Config, "it had removed all uplinks");
        assert_eq!(evidence(&both, &lte_dead).verdict(), Verdict::External, "nothing measured afterwards");
    }
}
