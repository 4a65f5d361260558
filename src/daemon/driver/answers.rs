//! What clients of the control socket ask, and the one status that all of them read.

use std::sync::Arc;
use std::time::Duration;

use super::Driver;
use super::start::waits;
use crate::config::model::{Family, UplinkId};
use crate::control::io::{Answer, Incoming};
use crate::control::protocol::{Refusal, RefusalKind, Reply, Request};
use crate::control::snapshot::{Process, Snapshot};
use crate::control::status::{ConfigStatus, Status};
use crate::daemon::clock;
use crate::daemon::hands::chain;
use crate::daemon::report::{self, Around};
use crate::engine::action::DrillRefusal;
use crate::engine::event::{Command, Event};
use crate::telemetry::io::{hardware, process};
use crate::time::Instant;

impl Driver {
    pub(super) fn asked(&mut self, Incoming { request, peer, reply }: Incoming, now: Instant) {
        if let Some(action) = request.action() {
            self.chronicle.counts.asked(action);
        }
        let answer: Answer = match request {
            Request::Status => Reply::Status(Box::new(self.status(now))).into(),
            Request::Snapshot => {
                let snapshot = Snapshot {
                    status: self.status(now),
                    counts: self.chronicle.counts.clone(),
                    process: Process { sandboxed: self.sandboxed, ..process(clock::wall_ms().is_some()) },
                    ledger: self.chronicle.book.figures(&Arc::clone(&self.world.config), now),
                    hardware: hardware(),
                    config: self.kept.clone(),
                };
                Reply::Snapshot(Box::new(snapshot)).into()
            }
            Request::Events { since_ms, follow: false } => Reply::Events(self.chronicle.kept(since_ms, now)).into(),
            Request::Events { since_ms, follow: true } => {
                Answer::Follow { kept: self.chronicle.kept(since_ms, now), live: self.chronicle.follow() }
            }
            Request::ConfigInfo => Reply::Config(self.config_status(now)).into(),
            Request::Version => Reply::Version(crate::VERSION.to_owned()).into(),
            Request::Use { uplink, for_ms } => self.prefer(&uplink, for_ms, peer.by(), now).into(),
            Request::UseAutomatic => {
                self.command(Command::UseAutomatic, peer.by(), now);
                Reply::Done("the choice is automatic again".to_owned()).into()
            }
            Request::Lock => {
                self.command(Command::Lock, peer.by(), now);
                Reply::Done("locked: no switch but away from a dead line, until `causeway unlock`".to_owned()).into()
            }
            Request::Unlock => {
                self.command(Command::Unlock, peer.by(), now);
                Reply::Done("unlocked: the choice is automatic again".to_owned()).into()
            }
            Request::Drill { uplink } => self.drill(&uplink, peer.by(), now).into(),
            Request::Ledger { segment, offset } => return self.chronicle.book.read(segment, offset, now, reply),
            Request::Errand { .. }
            | Request::Deliver { .. }
            | Request::ConfigState
            | Request::ConfigShow
            | Request::ConfigApply { .. }
            | Request::ConfigConfirm
            | Request::ConfigRollBack
            | Request::ConfigRetry => {
                // Its answer takes as long as it takes; the keeper of the config gives it.
                if let Err(full) = self.keeper.try_send(Incoming { request, peer, reply }) {
                    let refusal = Refusal::new(RefusalKind::NotNow, "too much is asked at once");
                    full.into_inner().reply.send(Reply::Refused(refusal).into()).ok();
                }
                return;
            }
        };
        // The client has gone: nobody is told.
        reply.send(answer).ok();
    }

    fn command(&mut self, command: Command, by: String, now: Instant) {
        self.core.handle(Event::Command { command, by }, now);
    }

    fn find(&self, name: &str) -> Result<UplinkId, Refusal> {
        let config = &self.world.config;
        let found = config.uplink_ids().find(|id| config.uplink(*id).name.as_str() == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = config.uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
            let refusal = Refusal::new(RefusalKind::NotFound, format!("there is no uplink `{name}`"));
            refusal.hint(format!("the config has {}", names.join(", ")))
        })
    }

    fn prefer(&mut self, name: &str, for_ms: Option<u64>, by: String, now: Instant) -> Reply {
        let uplink = match self.find(name) {
            Ok(uplink) => uplink,
            Err(refused) => return Reply::Refused(refused),
        };
        if !self.world.config.paths.iter().any(|path| path.uplinks().any(|id| id == uplink)) {
            return Reply::Refused(
                Refusal::new(RefusalKind::Failed, format!("no path lists uplink {name}"))
                    .hint("add it to `prefer` of a path in the config"),
            );
        }
        self.command(Command::Use { uplink, for_time: for_ms.map(Duration::from_millis) }, by, now);
        let until = for_ms.map_or_else(
            || "until told otherwise".to_owned(),
            |ms| format!("for {} min, then automatic again", ms.div_ceil(60_000)),
        );
        Reply::Done(format!(
            "{name} is preferred {until}; if it fails before that, another line takes over all the same"
        ))
    }

    fn drill(&mut self, name: &str, by: String, now: Instant) -> Reply {
        let uplink = match self.find(name) {
            Ok(uplink) => uplink,
            Err(refused) => return Reply::Refused(refused),
        };
        let refusal = self.engine().refuse_drill(uplink);
        self.command(Command::Drill { uplink }, by, now);
        let why = match refusal {
            None => {
                let lasts = crate::engine::drill::LASTS.as_secs();
                return Reply::Done(format!(
                    "{name} carries new sessions for {lasts} s, running ones stay; `causeway events` tells how it went"
                ));
            }
            Some(DrillRefusal::NotUp) => format!("{name} is not up"),
            Some(DrillRefusal::AlreadyRunning) => "a drill is running".to_owned(),
            Some(DrillRefusal::Locked) => "the choice is locked".to_owned(),
            Some(DrillRefusal::InUse) => format!("{name} carries the traffic already"),
            Some(DrillRefusal::NoPath) => format!("no path lists uplink {name}"),
        };
        Reply::Refused(Refusal::new(RefusalKind::NotNow, format!("no drill now: {why}")))
    }

    fn config_status(&self, now: Instant) -> ConfigStatus {
        ConfigStatus { applied: report::moment(self.started, now), ..self.config.clone() }
    }

    pub(super) fn status(&mut self, now: Instant) -> Status {
        let state = self.internet();
        let internet_since = self.chronicle.internet(state, now);
        let config = self.config_status(now);
        let mut warnings = self.warnings.clone();
        warnings.extend_from_slice(&self.switches);
        if self.chronicle.book.is_stalled(now) {
            warnings.push(
                "the ledger is not written: its disk is full, read-only or slow; records wait in memory".to_owned(),
            );
        }
        for (id, uplink) in self.world.config.uplink_ids().zip(&self.world.config.uplinks) {
            if self.indices[id.index()].is_none() {
                warnings.push(waits(uplink));
            }
            for family in Family::BOTH.into_iter().filter(|family| uplink.has(*family)) {
                if let Some(error) = self.prober.trouble(id, family) {
                    warnings.push(format!("uplink {} cannot be probed over {family}: {}", uplink.name, chain(error)));
                }
            }
        }
        let around = Around {
            chronicle: &self.chronicle,
            usage: &self.usage,
            config: &config,
            warnings: &warnings,
            gateways: &self.gateways,
            started: self.started,
            internet_since,
        };
        report::status(self.core.engine(), &around, now)
    }
}
