//! What a page says, decided from the status: which face, since when, and whether the evidence is fresh enough to say
//! anything at all.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::timeline::Timeline;
use crate::control::status::{FamilyStatus, InternetState, Moment, Status};
use crate::health::{State, Verdict};
use crate::telemetry::events::EventLine;

/// Evidence older than this many probe intervals of the line in use says nothing any more …
const STALE_INTERVALS: u64 = 3;
/// … and never less than this: a busy second is no reason to frighten people.
const STALE_LEAST_MS: u64 = 30_000;

/// What the big sentence says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Face {
    Primary,
    Backup,
    Down,
    /// The internet works, a named service does not. Nothing checks services yet, so nothing makes this face.
    Service {
        name: String,
    },
    /// No evidence, old evidence, or no daemon.
    CannotTell,
}

/// The last state that was sure, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub state: InternetState,
    pub wall_ms: u64,
}

#[derive(Clone, Debug)]
pub struct Facts {
    /// `None`: the daemon did not answer.
    pub status: Option<Status>,
    pub events: Vec<EventLine>,
    pub face: Face,
    /// Before now; shown if `face` cannot tell.
    pub last: Option<Known>,
    /// When head office acknowledged that it knows of this. There are no receipts yet, so nothing sets it.
    pub told: Option<Moment>,
    pub timeline: Option<Timeline>,
    /// Of the branch.
    pub zone: TimeZone,
}

impl Facts {
    /// `last`: what the page before this one knew.
    pub fn of(status: Option<Status>, mut events: Vec<EventLine>, last: Option<Known>, zone: TimeZone) -> Self {
        // They were asked for after the status: what happened in between is for the next page.
        let now = status.as_ref().and_then(|status| status.wall_ms).unwrap_or(u64::MAX);
        events.retain(|event| event.wall_ms.is_none_or(|at| at <= now));
        let face = status.as_ref().map_or(Face::CannotTell, face);
        // Its newest part is the status of now, which says nothing then.
        let sure = status.as_ref().filter(|_| face != Face::CannotTell);
        let timeline = sure.and_then(|status| Timeline::of(status, &events, &zone));
        Self { status, events, face, last, told: None, timeline, zone }
    }

    /// For the next page, which may have to say what was known last.
    pub fn known(&self) -> Option<Known> {
        let sure = self.status.as_ref().filter(|_| self.face != Face::CannotTell);
        let now = sure.and_then(|status| Some(Known { state: status.internet.state, wall_ms: status.wall_ms? }));
        now.or(self.last)
    }

    /// `10:42`, with the date if it was another day; `None` while the clock is not trusted.
    pub fn clock(&self, moment: Moment) -> Option<String> {
        self.local(moment.wall_ms?)
    }

    pub fn local(&self, wall_ms: u64) -> Option<String> {
        let at = zoned(wall_ms, &self.zone)?;
        let now = self.status.as_ref().and_then(|status| zoned(status.wall_ms?, &self.zone));
        let today = now.is_none_or(|now| now.date() == at.date());
        Some(at.strftime(if today { "%H:%M" } else { "%Y-%m-%d %H:%M" }).to_string())
    }
}

pub fn zoned(wall_ms: u64, zone: &TimeZone) -> Option<jiff::Zoned> {
    let stamp = Timestamp::from_millisecond(i64::try_from(wall_ms).ok()?).ok()?;
    Some(stamp.to_zoned(zone.clone()))
}

fn face(status: &Status) -> Face {
    let face = match status.internet.state {
        InternetState::Primary => Face::Primary,
        InternetState::Backup => Face::Backup,
        InternetState::Down => Face::Down,
        InternetState::Unknown => return Face::CannotTell,
    };
    if is_fresh(status) { face } else { Face::CannotTell }
}

/// Does one of the lines that the verdict stands on still say so?
fn is_fresh(status: &Status) -> bool {
    carrying(status).any(|line| {
        let stands = match status.internet.state {
            InternetState::Primary | InternetState::Backup => works(line.state),
            InternetState::Down => line.state == State::Down,
            InternetState::Unknown => false,
        };
        let most = STALE_LEAST_MS.max(line.interval_ms.saturating_mul(STALE_INTERVALS));
        stands && evidence_age(line).is_some_and(|age| age <= most)
    })
}

/// The lines to which path `default` sends new flows.
pub fn carrying(status: &Status) -> impl Iterator<Item = &FamilyStatus> {
    let families = status.paths.first().into_iter().flat_map(|path| &path.families);
    let shares = families.flat_map(|family| family.uplinks.iter().map(|share| (family.family, &share.uplink)));
    shares.filter_map(|(family, name)| {
        let uplink = status.uplinks.iter().find(|uplink| uplink.name == *name)?;
        uplink.families.iter().find(|line| line.family == family)
    })
}

/// A suspicion is no verdict.
pub fn works(state: State) -> bool {
    match state {
        State::Up | State::Degraded | State::Suspect | State::Probation => true,
        State::Down | State::Unknown | State::Disabled => false,
    }
}

/// How old what we know of a line is. A line that works is known by its last sign of life; one that is down by the last
/// question that stayed unanswered, or at once if the fault is in our own plug.
fn evidence_age(line: &FamilyStatus) -> Option<u64> {
    if works(line.state) {
        return line.last_life_ago_ms;
    }
    if line.evidence.verdict == Some(Verdict::Local) {
        return Some(0);
    }
    line.targets.iter().filter_map(|target| target.settled_ago_ms).chain(line.last_life_ago_ms).min()
}
