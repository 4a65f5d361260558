//! Another config takes over while everything runs: kernel first, then the engine, and both between two turns, so that no
//! switch is ever decided by one config and carried out by the other.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Driver;
use super::start::{random_seed, unmet_switches};
use crate::config::branch::Place;
use crate::config::model::{Gateway, UplinkId};
use crate::control::snapshot::ConfigFigures;
use crate::control::status::{ConfigStatus, Status};
use crate::daemon::clock;
use crate::daemon::hands::Job;
use crate::daemon::report;
use crate::engine::action::{Action, Switch};
use crate::engine::event::Event;
use crate::kernel::state::State;
use crate::probe::io::{Prober, Roots};
use crate::time::Instant;

/// Routes, rules and decisions by another config. Filter and addresses are not among it.
#[derive(Debug)]
pub(in crate::daemon) struct Change {
    pub(in crate::daemon) config: Arc<Gateway>,
    /// What people are shown of it.
    pub(in crate::daemon) place: Place,
    /// For people: what the config is.
    pub(in crate::daemon) digest: String,
    /// In words why not, if not: then the config from before is in force.
    pub(in crate::daemon) reply: oneshot::Sender<Result<(), String>>,
}

/// From the task that keeps the config.
#[derive(Debug)]
pub(in crate::daemon) enum Ask {
    Change(Change),
    Status(oneshot::Sender<Box<Status>>),
    /// Where head office is now: `front` may connect to nothing else.
    OfficePorts(Vec<u16>),
    /// What became of changes so far, for `/metrics`.
    Kept(ConfigFigures),
}

impl Driver {
    pub(super) fn ask(&mut self, ask: Ask, now: Instant) {
        match ask {
            Ask::Change(change) => self.change(change, now),
            Ask::OfficePorts(ports) => self.config.office_ports = ports,
            Ask::Kept(figures) => self.kept = figures,
            // Whoever has gone is not told.
            Ask::Status(reply) => drop(reply.send(Box::new(self.status(now)))),
        }
    }

    /// The kernel's part. Until it is done the engine's wishes wait: they name uplinks of the old config.
    fn change(&mut self, change: Change, now: Instant) {
        self.drain(now);
        let selections = self.engine().selections_under(&change.config);
        let selections = selections.into_iter().map(|(path, family, selection)| ((path, family), selection)).collect();
        let job = Job::Configure { config: Arc::clone(&change.config), selections };
        if self.changing.is_some() || self.jobs.try_send(job).is_err() {
            change.reply.send(Err("too much is under way".to_owned())).ok();
            return;
        }
        self.moved = true;
        self.changing = Some(change);
    }

    /// The engine's part.
    pub(super) fn configured(&mut self, result: Result<Box<State>, String>, now: Instant) {
        let Some(Change { config, place, digest, reply }) = self.changing.take() else { return };
        let state = match result {
            Ok(state) => state,
            Err(error) => {
                self.look_at.push(now);
                reply.send(Err(error)).ok();
                return;
            }
        };
        self.give_back(now);
        let old = Arc::clone(&self.world.config);
        let carried: Vec<Option<UplinkId>> = config
            .uplinks
            .iter()
            .map(|uplink| old.uplink_ids().find(|id| old.uplink(*id).name == uplink.name))
            .collect();
        self.usage.reconfigure(&carried);
        self.chronicle.reconfigure(&config, &carried);
        self.chronicle.book.configure(&config, &place, &digest, &carried, now);
        self.core.reconfigure(&config, random_seed(), now);
        self.world.config = Arc::clone(&config);
        self.prober = Prober::new(Arc::clone(&config), clock::now, Roots::System);
        for (id, uplink) in config.uplink_ids().zip(&config.uplinks) {
            self.prober.set_resolvers(id, uplink.resolvers());
        }
        self.probes_dropped = 0;
        self.meter.restart(config.uplinks.len(), now);
        self.seen.clear();
        self.indices = vec![None; config.uplinks.len()];
        self.gateways = Default::default();
        self.rescans.clear();
        let ConfigStatus { file, office_ports, .. } = std::mem::take(&mut self.config);
        self.config = ConfigStatus { file, digest, office_ports, ..report::shown(&config, &place) };
        self.switches = unmet_switches(&config, &state);
        self.observed(&state, now);
        self.look_at.push(now);
        reply.send(Ok(())).ok();
    }

    /// What the old engine decided meanwhile was not carried out: the new one decides anew.
    fn give_back(&mut self, now: Instant) {
        while let Some(action) = self.core.engine_mut().next_action() {
            match action {
                Action::Switch(switch) => {
                    let Switch { path, family, serial, .. } = *switch;
                    self.core.handle(Event::SwitchFailed { path, family, serial }, now);
                }
                Action::Probe(_) | Action::EndFlows { .. } | Action::WatchCounters { .. } => {}
            }
        }
        while let Some((at, fact)) = self.core.engine_mut().next_fact() {
            self.fact(fact, at);
        }
    }
}
