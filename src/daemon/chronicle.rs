//! What is worth keeping of the engine's facts: counters, the journal, the last events, and who follows them.

use tokio::sync::broadcast;

use super::book::Book;
use super::clock;
use crate::config::model::{Family, Gateway, UplinkId};
use crate::control::status::{DrillDone, DrillResult, InternetState, OutageStatus};
use crate::engine::action::{DrillStep, Fact};
use crate::health::Cause;
use crate::telemetry::counts::{Counts, Flows};
use crate::telemetry::events::{EventLine, Kind, Line};
use crate::telemetry::io::Journal;
use crate::telemetry::narrator::{self, Narrator, Told};
use crate::telemetry::recent::Recent;
use crate::time::Instant;

/// Events that a slow follower may be behind; then it is told how many it missed.
const FOLLOW: usize = 256;

/// The last outage of an uplink, open or closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    family: Family,
    since: Instant,
    until: Option<Instant>,
    cause: Cause,
    place: Place,
}

/// Where a silent line broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Known,
    /// Its gateway is being asked.
    Open,
}

pub(super) struct Chronicle {
    pub counts: Counts,
    pub book: Book,
    journal: Journal,
    narrator: Narrator,
    recent: Recent,
    live: broadcast::Sender<EventLine>,
    stalled: bool,
    outages: Vec<Option<Outage>>,
    drills: Vec<Option<(Instant, DrillResult)>>,
    pub lock: Option<(String, Instant)>,
    pub preferred_by: String,
    pub drill_since: Option<Instant>,
    internet: (InternetState, Instant),
}

impl Chronicle {
    pub(super) fn new(config: &Gateway, journal: Journal, book: Book, now: Instant) -> Self {
        Self {
            counts: Counts::new(config),
            book,
            journal,
            narrator: Narrator::default(),
            recent: Recent::default(),
            live: broadcast::Sender::new(FOLLOW),
            stalled: false,
            outages: vec![None; config.uplinks.len()],
            drills: vec![None; config.uplinks.len()],
            lock: None,
            preferred_by: String::new(),
            drill_since: None,
            internet: (InternetState::Unknown, now),
        }
    }

    /// Another config: `carried` says for each uplink which it was before.
    pub(super) fn reconfigure(&mut self, config: &Gateway, carried: &[Option<UplinkId>]) {
        self.counts.reconfigure(config, carried);
        self.narrator.reconfigure(carried);
        self.outages = carried.iter().map(|old| old.and_then(|old| self.outages[old.index()])).collect();
        self.drills = carried.iter().map(|old| old.and_then(|old| self.drills[old.index()])).collect();
        self.drill_since = None;
    }

    /// `place`: of the outage that opens.
    pub(super) fn tell(&mut self, fact: &Fact, place: Place, config: &Gateway, now: Instant) {
        self.remember(fact, place, now);
        let line = if let (Fact::OutageOpened { uplink, family, since, .. }, Place::Open) = (fact, place) {
            self.counts.outage_opened_somewhere(*uplink, *family, *since);
            Some(narrator::outage_somewhere(*uplink, *family, config))
        } else {
            self.counts.fold(fact, clock::wall_ms().map(|ms| ms / 1_000));
            self.narrator.tell(fact, config, now)
        };
        self.book.tell(fact, place == Place::Open, self.narrator.last_switch(), config, now);
        if let Some(line) = line {
            self.write(&line, now);
        }
    }

    /// Now it is known where the outage is, or that it cannot be known better.
    pub(super) fn placed(&mut self, uplink: UplinkId, family: Family, cause: Cause, config: &Gateway, now: Instant) {
        let Some(outage) = self.outages.get_mut(uplink.index()).and_then(Option::as_mut) else { return };
        if outage.family != family || outage.place == Place::Known {
            return;
        }
        (outage.place, outage.cause) = (Place::Known, cause);
        self.counts.outage_placed(uplink, family, cause);
        self.book.placed(uplink, family, cause, now);
        self.write(&narrator::outage_placed(uplink, family, cause, config), now);
    }

    pub(super) fn write(&mut self, line: &Line, now: Instant) {
        self.journal.write(line, now);
        let kept = self.recent.push(line, now, clock::wall_ms());
        // Nobody follows: nobody is told.
        self.live.send(kept).ok();
    }

    /// What a switch did to flows becomes part of its sentence.
    pub(super) fn flows(&mut self, serial: u64, flows: Flows) {
        self.narrator.flows(serial, flows);
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.journal.tick(now);
        let dropped = self.journal.take_dropped();
        self.counts.dropped(crate::telemetry::counts::Queue::Log, dropped);
        self.book.tick(now);
        self.told_stalled(now);
        let lost = self.book.take_lost();
        self.counts.dropped(crate::telemetry::counts::Queue::Ledger, lost);
    }

    /// What was found in the ledger at the start.
    pub(super) fn tell_past(&mut self, now: Instant) {
        for remark in std::mem::take(&mut self.book.remarks) {
            self.write(&Line::new(Kind::LedgerBroken, remark), now);
        }
        if let Some(off) = self.book.off.take() {
            self.write(&Line::new(Kind::PowerLost, off), now);
        }
    }

    fn told_stalled(&mut self, now: Instant) {
        let stalled = self.book.is_stalled(now);
        if std::mem::replace(&mut self.stalled, stalled) == stalled {
            return;
        }
        let said = if stalled {
            "the ledger is not written: its disk is full, read-only or slow; records wait in memory"
        } else {
            "the ledger is written again"
        };
        self.write(&Line::new(Kind::LedgerStalled, said), now);
    }

    pub(super) fn kept(&self, since_ms: Option<u64>, now: Instant) -> Vec<EventLine> {
        self.recent.since(since_ms, now)
    }

    pub(super) fn follow(&self) -> broadcast::Receiver<EventLine> {
        self.live.subscribe()
    }

    pub(super) fn last_switch(&self) -> Option<&Told> {
        self.narrator.last_switch()
    }

    pub(super) fn outage(&self, uplink: UplinkId, now: Instant) -> Option<OutageStatus> {
        let outage = self.outages[uplink.index()]?;
        Some(OutageStatus {
            began: super::report::moment(outage.since, now),
            lasted_ms: crate::control::status::whole_ms(outage.until.unwrap_or(now).since(outage.since)),
            cause: Some(outage.cause).filter(|_| outage.place == Place::Known),
            open: outage.until.is_none(),
        })
    }

    pub(super) fn drill(&self, uplink: UplinkId, now: Instant) -> Option<DrillDone> {
        let (at, result) = self.drills[uplink.index()]?;
        Some(DrillDone { ended: super::report::moment(at, now), result })
    }

    /// Notes the branch's state and says since when it has it.
    pub(super) fn internet(&mut self, state: InternetState, now: Instant) -> Instant {
        if self.internet.0 != state {
            self.internet = (state, now);
        }
        self.book.internet(state, now);
        self.internet.1
    }

    fn remember(&mut self, fact: &Fact, place: Place, now: Instant) {
        match fact {
            Fact::OutageOpened { uplink, family, since, cause } => {
                let slot = &mut self.outages[uplink.index()];
                // One family's outage within the other's is the same outage to a person.
                if slot.is_none_or(|outage| outage.until.is_some()) {
                    *slot = Some(Outage { family: *family, since: *since, until: None, cause: *cause, place });
                }
            }
            Fact::OutageClosed { uplink, family, until, cause, .. } => {
                if let Some(outage) = self.outages[uplink.index()].as_mut().filter(|open| open.family == *family) {
                    (outage.until, outage.cause, outage.place) = (Some(*until), *cause, Place::Known);
                }
            }
            Fact::Locked { locked, by } => self.lock = locked.then(|| (by.clone(), now)),
            Fact::Preferred { by, .. } => self.preferred_by.clone_from(by),
            Fact::Drill { uplink, step } => {
                let result = match step {
                    DrillStep::Started => {
                        self.drill_since = Some(now);
                        return;
                    }
                    DrillStep::Moved => return,
                    DrillStep::Refused { .. } => DrillResult::Refused,
                    DrillStep::Passed { .. } => DrillResult::Passed,
                    DrillStep::Failed { .. } => DrillResult::Failed,
                    DrillStep::Aborted => DrillResult::Aborted,
                };
                self.drill_since = None;
                self.drills[uplink.index()] = Some((now, result));
            }
            Fact::Transition { .. }
            | Fact::ProbeSettled { .. }
            | Fact::Suspicion { .. }
            | Fact::Switch(_)
            | Fact::Switched { .. }
            | Fact::SwitchFailed { .. }
            | Fact::NotSwitched { .. }
            | Fact::TargetSuspect { .. }
            | Fact::Stalled { .. }
            | Fact::Budget { .. } => {}
        }
    }
}
