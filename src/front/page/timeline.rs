//! Today as the branch felt it, told backwards: the status of now, and each event undone in turn. So the newest part of the
//! line cannot differ from the status, and where the events end or do not fit it says "not measured".

use jiff::tz::TimeZone;

use super::facts::{works, zoned};
use crate::config::model::Family;
use crate::control::status::Status;
use crate::control::status::{InternetState, PathStatus, Share, UplinkStatus};
use crate::health::State;
use crate::telemetry::events::{EventLine, Kind};
use crate::telemetry::recent::KEPT;

/// Ten minutes each: what a finger's width of a phone can show; the worst of them is shown, so that a short outage is seen.
pub const BUCKETS: usize = 144;

/// `None`: not measured. The order is that of how bad it is to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Felt {
    Works,
    Unknown,
    Backup,
    Down,
}

impl Felt {
    pub const ALL: [Self; 4] = [Self::Works, Self::Backup, Self::Down, Self::Unknown];

    fn of(state: InternetState) -> Self {
        match state {
            InternetState::Primary => Self::Works,
            InternetState::Backup => Self::Backup,
            InternetState::Down => Self::Down,
            InternetState::Unknown => Self::Unknown,
        }
    }
}

/// From one moment to the next, UTC in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: u64,
    pub to: u64,
    pub felt: Felt,
}

/// From midnight to now, without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Oldest first.
    pub spans: Vec<Span>,
    /// The end of the day, which may be 23 or 25 hours long.
    pub midnight: u64,
}

impl Timeline {
    /// `events`: oldest first. `None` while the clock is not trusted.
    pub fn of(status: &Status, events: &[EventLine], zone: &TimeZone) -> Option<Self> {
        let now = status.wall_ms?;
        let day = zoned(now, zone)?.start_of_day().ok()?;
        let millis = |zoned: &jiff::Zoned| u64::try_from(zoned.timestamp().as_millisecond()).ok();
        let (begin, midnight) = (millis(&day)?, millis(&day.tomorrow().ok()?.start_of_day().ok()?)?);
        // Before this nobody looked, or nobody remembers.
        let mut known_from = now.saturating_sub(status.uptime_ms).max(begin);
        if events.len() >= KEPT {
            known_from = known_from.max(events.first()?.wall_ms.unwrap_or(now));
        }
        let mut past = Past { uplinks: status.uplinks.clone(), default: status.paths.first()?.clone() };
        let mut spans = Vec::new();
        let mut to = now;
        let mut push = |from: u64, to: u64, felt: Felt| {
            if from < to {
                spans.push(Span { from, to, felt });
            }
        };
        let mut felt = Felt::of(status.internet.state);
        for event in events.iter().rev() {
            let Some(at) = event.wall_ms else {
                known_from = known_from.max(to);
                break;
            };
            let at = at.min(to);
            if at <= known_from {
                break;
            }
            match past.undo(event) {
                Undone::Nothing => continue,
                Undone::Changed => {}
                Undone::Contradiction => {
                    known_from = at;
                    break;
                }
            }
            let before = Felt::of(InternetState::of(&past.uplinks, &past.default));
            if before != felt {
                push(at, to, felt);
                (to, felt) = (at, before);
            }
        }
        push(known_from, to, felt);
        push(begin, known_from.min(to), Felt::Unknown);
        spans.reverse();
        Some(Self { spans: noticed(spans), midnight })
    }

    pub fn begin(&self) -> u64 {
        self.spans.first().map_or(self.midnight, |span| span.from)
    }

    /// The worst of each tenth of an hour, as far as the day has come: first and last bucket, and what was felt.
    pub fn bars(&self) -> Vec<(usize, usize, Felt)> {
        let length = self.midnight.saturating_sub(self.begin()).max(1);
        let bucket = |at: u64| {
            let share = u128::from(at.saturating_sub(self.begin())) * BUCKETS as u128 / u128::from(length);
            usize::try_from(share).unwrap_or(BUCKETS).min(BUCKETS)
        };
        let mut buckets: [Option<Felt>; BUCKETS] = [None; BUCKETS];
        for span in &self.spans {
            let first = bucket(span.from).min(BUCKETS - 1);
            let last = bucket(span.to.saturating_sub(1)).min(BUCKETS - 1);
            for slot in &mut buckets[first..=last] {
                *slot = (*slot).max(Some(span.felt));
            }
        }
        let mut bars: Vec<(usize, usize, Felt)> = Vec::new();
        for (index, felt) in buckets.into_iter().enumerate() {
            let Some(felt) = felt else { continue };
            match bars.last_mut() {
                Some((_, end, last)) if *last == felt && *end == index => *end = index + 1,
                _ => bars.push((index, index + 1, felt)),
            }
        }
        bars
    }
}

/// Shorter than this nobody notices; it is the switch itself, and in `causeway events`.
const NOTICED_MS: u64 = 1_000;

/// What was too short to notice belongs to what came after it.
fn noticed(spans: Vec<Span>) -> Vec<Span> {
    let mut noticed: Vec<Span> = Vec::new();
    let mut from = None;
    let last = spans.len();
    for (index, span) in spans.into_iter().enumerate() {
        let span = Span { from: from.take().unwrap_or(span.from), ..span };
        match noticed.last_mut() {
            _ if span.to - span.from < NOTICED_MS && index + 1 < last => from = Some(span.from),
            Some(before) if before.felt == span.felt => before.to = span.to,
            _ => noticed.push(span),
        }
    }
    noticed
}

/// The status as it was.
struct Past {
    uplinks: Vec<UplinkStatus>,
    default: PathStatus,
}

enum Undone {
    Nothing,
    Changed,
    /// The event does not lead to what came after it.
    Contradiction,
}

impl Past {
    fn undo(&mut self, event: &EventLine) -> Undone {
        let field = |name: &str| event.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let family = field("FAMILY").and_then(|name| Family::BOTH.into_iter().find(|family| family.name() == name));
        let (Some(family), Some(from), Some(to)) = (family, field("FROM"), field("TO")) else { return Undone::Nothing };
        if event.kind == Kind::UplinkState.name() {
            let state = |name: &str| State::ALL.into_iter().find(|state| state.name() == name);
            let uplink = self.uplinks.iter_mut().find(|uplink| field("UPLINK") == Some(uplink.name.as_str()));
            let line = uplink.and_then(|uplink| uplink.families.iter_mut().find(|line| line.family == family));
            let (Some(line), Some(from), Some(to)) = (line, state(from), state(to)) else {
                return Undone::Contradiction;
            };
            // A suspicion has no event, so `up` may be followed by `suspect`.
            if line.state != to && !(works(line.state) && works(to)) {
                return Undone::Contradiction;
            }
            line.state = from;
            return Undone::Changed;
        }
        if event.kind == Kind::PathSwitch.name() && field("PATH") == Some(self.default.name.as_str()) {
            let Some(path) = self.default.families.iter_mut().find(|path| path.family == family) else {
                return Undone::Contradiction;
            };
            let carried: Vec<&str> = path.uplinks.iter().map(|share| share.uplink.as_str()).collect();
            if carried != selection(to) {
                return Undone::Contradiction;
            }
            path.uplinks =
                selection(from).into_iter().map(|uplink| Share { uplink: uplink.to_owned(), weight: 1 }).collect();
            return Undone::Changed;
        }
        Undone::Nothing
    }
}

/// As the narrator writes it.
fn selection(text: &str) -> Vec<&str> {
    if text == "nothing" { Vec::new() } else { text.split(" + ").collect() }
}
