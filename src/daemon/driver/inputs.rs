//! What came in: from the tasks that look at the kernel and change it, and from the kernel itself.

use std::sync::Arc;

use super::start::{unmet_switches, waits};
use super::{COALESCE, Driver, OVERRUN_EVERY};
use crate::apply::switch::{Ended, Rescan};
use crate::config::model::UplinkId;
use crate::daemon::clock;
use crate::daemon::filter::Filtered;
use crate::daemon::hands::{Done, chain};
use crate::daemon::meter::Reading;
use crate::engine::action::Switch;
use crate::engine::event::{Event, Link};
use crate::kernel::netlink::monitor::Hint;
use crate::kernel::observe::observe;
use crate::kernel::state::State;
use crate::telemetry::counts::{Flows, Repair};
use crate::telemetry::events::{self, Kind};
use crate::time::Instant;

impl Driver {
    pub(super) fn done(&mut self, done: Done, now: Instant) {
        match done {
            Done::Switched { switch, report } => {
                let Switch { serial, path, family, decided, .. } = *switch;
                let flows = Flows { reset: report.flows_reset, nudged: report.nudged, stragglers: 0 };
                self.chronicle.flows(serial, flows);
                self.ended(&report.ended);
                if let Some(rescan) = report.rescan {
                    self.rescans.extend(Rescan::AFTER.map(|after| (now + after, rescan.clone())));
                }
                // Counted from the decision, so that waiting for the task is part of it.
                let took = now.since(decided);
                self.core.handle(Event::Switched { path, family, serial, took }, now);
            }
            Done::SwitchFailed { switch, error } => {
                tracing::error!("switch refused: {error}");
                self.chronicle.counts.apply_failed(Repair::Route);
                let Switch { serial, path, family, .. } = *switch;
                self.core.handle(Event::SwitchFailed { path, family, serial }, now);
                self.look_at.push(now);
            }
            Done::Ended { ended, rescan } => {
                if let Some(rescan) = rescan {
                    self.rescans.extend(Rescan::AFTER.map(|after| (now + after, rescan.clone())));
                }
                self.ended(&ended);
            }
            Done::Stragglers { flows } => {
                for (uplink, stragglers) in flows {
                    self.chronicle.counts.flows(uplink, Flows { stragglers, ..Flows::default() });
                }
            }
            Done::FlowsFailed { error } => {
                tracing::error!("flows not ended: {error}");
                self.chronicle.counts.apply_failed(Repair::Conntrack);
            }
            Done::Configured(result) => self.configured(result, now),
            Done::Looked { state, repaired } => {
                let changed = self.observed(&state, now);
                if !changed && !self.moved && !repaired.is_empty() {
                    self.repaired(&repaired, now);
                }
                self.moved = changed;
                self.become_ready();
            }
            Done::LookFailed { error, state } => {
                tracing::error!("{}", chain(&error));
                self.chronicle.counts.apply_failed(Repair::Route);
                if let Some(state) = state {
                    self.observed(&state, now);
                }
                self.look_at.push(now + OVERRUN_EVERY);
                self.become_ready();
            }
            Done::Alive => {
                sd_notify::notify(&[sd_notify::NotifyState::Watchdog]).ok();
            }
            Done::Gateway { uplink, family, heard } => self.heard(uplink, family, heard, now),
        }
    }

    /// Each uplink is charged with its own.
    fn ended(&mut self, ended: &[Ended]) {
        for Ended { uplink, reset, nudged } in ended {
            self.chronicle.counts.flows(*uplink, Flows { reset: *reset, nudged: *nudged, stragglers: 0 });
        }
    }

    /// The first look is over: what the engine wants is what the kernel has.
    fn become_ready(&mut self) {
        if !std::mem::replace(&mut self.ready, true) {
            sd_notify::notify(&[sd_notify::NotifyState::Ready]).ok();
        }
    }

    fn repaired(&mut self, steps: &[String], now: Instant) {
        for step in steps {
            let kind = if step.contains(" rule") { Repair::Rule } else { Repair::Route };
            self.chronicle.counts.repaired(kind, 1);
            let line =
                events::Line::new(Kind::KernelRepaired, format!("somebody changed what is ours; put right: {step}"));
            self.chronicle.write(&line, now);
        }
    }

    /// Tells the engine what changed since it was last told. Returns whether anything did.
    pub(super) fn observed(&mut self, state: &State, now: Instant) -> bool {
        let config = Arc::clone(&self.world.config);
        let mut come = false;
        for (id, uplink) in config.uplink_ids().zip(&config.uplinks) {
            let index = state.link(&uplink.device).map(|(index, _)| index);
            let before = std::mem::replace(&mut self.indices[id.index()], index);
            if before != index {
                if index.is_none() {
                    tracing::warn!("{}, which is gone", waits(uplink));
                } else if before.is_none() && self.ready {
                    tracing::info!("uplink {}: device {} is there", uplink.name, uplink.device);
                }
                come |= index.is_some() && self.ready;
                self.meter.set_link(id, index);
                self.prober.link_changed(id);
            }
        }
        let mut changed = false;
        for mut event in observe(&config, state) {
            if let Event::Neighbour { uplink, family, reachable } = &mut event
                && !self.gateways.is_asked(*uplink, *family)
            {
                *reachable = None;
            }
            changed |= self.observe_one(event, now);
        }
        if come {
            // A device comes with switches of its own.
            self.switches = unmet_switches(&config, state);
            for unmet in &self.switches {
                tracing::warn!("{unmet}");
            }
        }
        changed
    }

    pub(super) fn observe_one(&mut self, event: Event, now: Instant) -> bool {
        let key = match &event {
            Event::Link { uplink, .. } => (*uplink, 0, None),
            Event::Address { uplink, family, .. } => (*uplink, 1, Some(*family)),
            Event::Gateway { uplink, family, .. } => (*uplink, 2, Some(*family)),
            Event::Neighbour { uplink, family, .. } => (*uplink, 3, Some(*family)),
            Event::Counters { .. }
            | Event::ProbeSent { .. }
            | Event::ProbeUnsent { .. }
            | Event::EchoReply { .. }
            | Event::ProbeAnswered { .. }
            | Event::Switched { .. }
            | Event::SwitchFailed { .. }
            | Event::Usage { .. }
            | Event::LocalTime { .. }
            | Event::Command { .. } => return false,
        };
        if self.seen.get(&key) == Some(&event) {
            return false;
        }
        if let Event::Link { uplink, .. } = &event {
            self.prober.link_changed(*uplink);
        } else if let Event::Address { uplink, family, .. } = &event {
            self.prober.source_changed(*uplink, *family);
        }
        self.seen.insert(key, event.clone());
        self.chronicle.counts.fold_event(&event);
        self.core.handle(event, now);
        // Whether a neighbour answers is nothing that a plan follows from.
        key.1 != 3
    }

    pub(super) fn hint(&mut self, hint: Hint, now: Instant) {
        let mut look = now + COALESCE;
        if !matches!(hint, Hint::Routes { .. } | Hint::Rules) {
            self.stirred.notify_one();
        }
        match hint {
            Hint::Link { name, link, .. } => {
                let uplinks = self.world.config.uplinks.iter();
                let found = (0u8..).zip(uplinks).find(|(_, uplink)| uplink.device.as_str() == name);
                if let Some((index, _)) = found {
                    // A cable that was plugged in is believed after a look: addresses and routes come with it.
                    if link != Link::Up {
                        self.observe_one(Event::Link { uplink: UplinkId(index), link }, now);
                    }
                } else if !self.is_ours(&name) {
                    return;
                }
            }
            Hint::Overrun => {
                self.chronicle.counts.netlink_overrun();
                look = now.max(self.overrun + OVERRUN_EVERY);
                self.overrun = look;
            }
            Hint::Addresses { .. } | Hint::Routes { .. } | Hint::Rules => {}
        }
        if !self.look_at.iter().any(|at| *at <= look) {
            self.look_at.push(look);
        }
    }

    fn is_ours(&self, device: &str) -> bool {
        self.world.config.networks.iter().flat_map(|network| &network.ports).any(|port| port.as_str() == device)
    }

    pub(super) fn reading(&mut self, reading: Reading, now: Instant) {
        let Reading { uplink, counters, watched } = reading;
        let event = Event::Counters {
            uplink,
            received: counters.received,
            sent: counters.sent,
            received_bytes: counters.received_bytes,
            sent_bytes: counters.sent_bytes,
        };
        self.chronicle.counts.fold_event(&event);
        if watched {
            self.core.handle(event, now);
        }
        if self.world.config.uplink(uplink).metered.is_some() {
            let today = clock::wall_ms().map(|_| jiff::Zoned::now().date());
            let bytes = self.usage.handle_counters(&self.world.config, uplink, counters, today);
            if let Some(bytes) = bytes.filter(|bytes| *bytes != self.engine().usage(uplink)) {
                self.core.handle(Event::Usage { uplink, bytes }, now);
            }
        }
    }

    pub(super) fn filtered(&mut self, filtered: Filtered, now: Instant) {
        match filtered {
            Filtered::Repaired(found) => {
                self.chronicle.counts.repaired(Repair::Nft, 1);
                let line =
                    events::Line::new(Kind::KernelRepaired, format!("the packet filter was {found:?}; loaded again"));
                self.chronicle.write(&line, now);
            }
            Filtered::Failed(error) => {
                self.chronicle.counts.apply_failed(Repair::Nft);
                let line = events::Line::new(
                    Kind::ApplyFailed,
                    format!("the packet filter cannot be kept: {}", chain(&error)),
                );
                self.chronicle.write(&line, now);
            }
        }
    }
}
