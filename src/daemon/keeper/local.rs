//! A file that somebody applies on a gateway that stands alone: tried like a signed config, and kept in the same store.
//! From the first one on, that copy is what the gateway starts with; the file of `--config` is not read for it again.

use super::identity::Admission;
use super::{Keeper, chain};
use crate::config::{self, Branch};
use crate::control::protocol::{CONFIG_BYTES, Refusal, RefusalKind, Reply};
use crate::trust::digest::Digest;
use crate::trust::machine::{Candidate, Config, Event, StateName, Target, Timers};
use crate::trust::refusal;

/// Messages of faults name it so: the daemon does not know where it came from.
const NAME: &str = "the file";

/// What was stored of a file that was valid once. A later release may refuse it.
pub(super) fn parse(bytes: &[u8]) -> Result<Branch, refusal::Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| refusal::Refusal::InvalidConfig)?;
    config::parse_branch(NAME, text).map_err(|faults| {
        tracing::error!("the file that was applied is refused: {faults}");
        refusal::Refusal::InvalidConfig
    })
}

impl Keeper {
    pub(super) async fn apply_file(&mut self, text: String, unattended: bool, by: &str) -> Reply {
        match self.offer_file(text, unattended, by).await {
            Ok(said) => Reply::Done(said),
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    async fn offer_file(&mut self, text: String, unattended: bool, by: &str) -> Result<String, Refusal> {
        self.may_apply()?;
        let failed = |what: String| Refusal::new(RefusalKind::Failed, what);
        if text.len() > CONFIG_BYTES {
            return Err(failed(format!("the file is longer than {CONFIG_BYTES} bytes")));
        }
        if let Err(faults) = config::parse_branch(NAME, &text) {
            return Err(failed(faults.to_string()).hint("`causeway config check FILE` shows every fault"));
        }
        self.adopt().await?;
        let config = Config::local(Digest::of(text.as_bytes()), self.files() + 1);
        if self.machine.keep().good.is_some_and(|good| good.resolved == config.resolved) && self.is_free() {
            return Ok("this file is in force and kept already".to_owned());
        }
        self.on_disk(move |store| store.put(&[text.as_bytes()])).await.map_err(unkept)?;
        // Somebody is waiting: no better moment is waited for.
        let candidate = Candidate { config, expedite: true, operator: true, timers: Timers::default() };
        self.unattended = unattended.then_some(config.resolved);
        self.step(Event::Fetched(candidate)).await;
        if self.is_free() && self.is_candidate(&config) {
            // It was undone before. Who applies it again wants it to be tried again.
            self.step(Event::Retry).await;
        }
        self.sweep().await;
        let number = config.released.seq;
        let is_it = |candidate: &Candidate| candidate.config == config;
        if self.machine.keep().next.as_ref().is_some_and(is_it) {
            tracing::info!("file {number} by {by} waits for the end of the watch");
            return Ok(format!(
                "file {number} is tried when the watch over the last change ends; `causeway config rollback` ends it now"
            ));
        }
        if self.is_free() || !self.is_candidate(&config) {
            return Err(failed("it cannot be tried, because the disk refuses to note that it is on trial".to_owned()));
        }
        tracing::info!("file {number} is applied by {by}");
        Ok(if unattended {
            format!(
                "file {number} is tried; it is kept when every line that worked before works again, otherwise undone by \
                 itself"
            )
        } else {
            format!(
                "file {number} is tried; type `causeway config confirm` within 10 min to keep it, otherwise it is undone \
                 by itself"
            )
        })
    }

    fn may_apply(&self) -> Result<(), Refusal> {
        if let Some(enrolment) = self.enrolment.as_ref().filter(|it| it.admission == Admission::Accepted) {
            let said = format!("head office of {} decides what this gateway runs", enrolment.tenant);
            return Err(
                Refusal::new(RefusalKind::Failed, said).hint("change the standard there: causeway office release")
            );
        }
        match self.machine.state().name() {
            StateName::Idle | StateName::Fetched | StateName::Ready | StateName::Soak | StateName::Quarantine => Ok(()),
            state @ (StateName::Applying | StateName::Trial | StateName::RollingBack | StateName::Override) => {
                let said = format!("another change is under way: the state is {}", state.name());
                Err(Refusal::new(RefusalKind::NotNow, said)
                    .hint("causeway config why tells more; causeway config rollback ends a trial"))
            }
        }
    }

    /// Before the first file is tried, the one that runs becomes the way back: somebody may have changed it in its place.
    async fn adopt(&mut self) -> Result<(), Refusal> {
        if self.machine.keep().good.is_some() || self.force != Target::Safe {
            return Ok(());
        }
        let text = self.safe_text.clone().into_bytes();
        let config = Config::local(Digest::of(&text), 1);
        self.on_disk(move |store| store.put(&[&text])).await.map_err(unkept)?;
        let advance = self.machine.clone().adopt(config);
        if !self.follow(advance).await {
            return Err(Refusal::new(RefusalKind::Failed, "the disk refuses to keep the config that runs now"));
        }
        self.force = Target::Config(config);
        Ok(())
    }

    fn is_candidate(&self, config: &Config) -> bool {
        self.machine.state().candidate().is_some_and(|candidate| candidate.config.resolved == config.resolved)
    }

    fn is_free(&self) -> bool {
        matches!(self.machine.state().name(), StateName::Idle | StateName::Quarantine)
    }

    /// Files that were applied here so far, as far as it is known.
    fn files(&self) -> u64 {
        let keep = self.machine.keep();
        let candidates = [self.machine.state().candidate(), keep.next.as_ref()].into_iter().flatten();
        let configs = candidates.map(|candidate| &candidate.config).chain(&keep.good).chain(&keep.previous);
        configs.filter(|config| config.is_local()).map(|config| config.released.seq).max().unwrap_or(0)
    }

    /// In the place of the person who is not there.
    pub(super) async fn confirm_unattended(&mut self) {
        let on_trial = self.machine.confirm_until().and(self.machine.state().candidate());
        let resolved = on_trial.map(|candidate| candidate.config.resolved);
        if resolved.is_some() && resolved == self.unattended {
            self.step(Event::Confirm).await;
        }
    }
}

fn unkept(error: crate::trust::store::StoreError) -> Refusal {
    Refusal::new(RefusalKind::Failed, format!("the file cannot be kept: {}", chain(&error)))
}
