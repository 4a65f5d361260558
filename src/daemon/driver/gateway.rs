//! The questions to gateways of silent lines: when they are asked, and who is told what came of it.

use std::sync::Arc;

use super::Driver;
use crate::config::model::{Family, UplinkId};
use crate::daemon::gateways::Heard;
use crate::daemon::hands::Look;
use crate::engine::action::Fact;
use crate::engine::event::Event;
use crate::health::line::Line;
use crate::health::local::Gateway as Hop;
use crate::health::{Cause, State as Health, Verdict};
use crate::time::Instant;

impl Driver {
    /// Asks the gateways of lines that may have fallen silent, and forgets those of the others.
    pub(super) fn follow_gateway(&mut self, fact: &Fact, now: Instant) {
        let (uplink, family) = match fact {
            Fact::Transition { uplink, family, .. } | Fact::OutageOpened { uplink, family, .. } => (*uplink, *family),
            Fact::ProbeSettled { .. }
            | Fact::Suspicion { .. }
            | Fact::Switch(_)
            | Fact::Switched { .. }
            | Fact::SwitchFailed { .. }
            | Fact::NotSwitched { .. }
            | Fact::OutageClosed { .. }
            | Fact::TargetSuspect { .. }
            | Fact::Locked { .. }
            | Fact::Preferred { .. }
            | Fact::Drill { .. }
            | Fact::Stalled { .. }
            | Fact::Budget { .. } => return,
        };
        let Some(line) = self.engine().line(uplink, family) else { return };
        if line.state() == Health::Suspect || line.verdict() == Some(Verdict::Silent) {
            self.gateways.ask(uplink, family, now);
        } else if self.gateways.forget(uplink, family) {
            self.observe_one(Event::Neighbour { uplink, family, reachable: None }, now);
            // It works again before anybody could tell.
            self.placed(uplink, family, now);
        }
    }

    /// A silence whose place nobody can tell yet.
    pub(super) fn is_place_open(&self, uplink: UplinkId, family: Family) -> bool {
        let silent = |line: &Line| line.verdict() == Some(Verdict::Silent);
        self.gateways.is_open(uplink, family) && self.engine().line(uplink, family).is_some_and(silent)
    }

    pub(super) fn look_at_gateway(&mut self, uplink: UplinkId, family: Family, ask: bool, now: Instant) {
        let gateway = self.engine().line(uplink, family).and_then(Line::gateway);
        if let (Some(Hop::Via(address)), Some(link)) = (gateway, self.indices[uplink.index()]) {
            self.looks.try_send(Look::Gateway { uplink, family, link, address, ask }).ok();
        } else {
            self.heard(uplink, family, Heard::Never, now);
        }
    }

    pub(super) fn heard(&mut self, uplink: UplinkId, family: Family, heard: Heard, now: Instant) {
        if let Some(answers) = self.gateways.handle(uplink, family, heard, now) {
            self.observe_one(Event::Neighbour { uplink, family, reachable: Some(answers) }, now);
        }
        if !self.gateways.is_open(uplink, family) {
            self.placed(uplink, family, now);
        }
    }

    fn placed(&mut self, uplink: UplinkId, family: Family, now: Instant) {
        let cause = self.engine().line(uplink, family).and_then(Line::cause);
        let config = Arc::clone(&self.world.config);
        self.chronicle.placed(uplink, family, cause.unwrap_or(Cause::Path), &config, now);
    }
}
