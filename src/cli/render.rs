//! The status as text. Pure: the same status and view give the same letters.

pub mod events;
pub mod keeping;
pub mod status;
pub mod why;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::control::status::Moment;
use crate::health::State;
use crate::telemetry::words;

/// How the reader wants it.
#[derive(Clone, Debug)]
pub struct View {
    pub color: bool,
    pub zone: TimeZone,
    /// Times of another day carry their date.
    pub today: Option<Date>,
}

/// Bold for what matters, green, yellow and red for states; words say it all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Bold,
    Good,
    Doubtful,
    Bad,
}

impl View {
    pub fn of_terminal(color: bool) -> Self {
        let zone = TimeZone::system();
        let today = Some(Timestamp::now().to_zoned(zone.clone()).date());
        Self { color, zone, today }
    }

    pub(crate) fn paint(&self, text: &str, paint: Paint) -> String {
        let code = match paint {
            Paint::Bold => "1",
            Paint::Good => "32",
            Paint::Doubtful => "33",
            Paint::Bad => "1;31",
            Paint::Plain => return text.to_owned(),
        };
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// `10:42`, or `2 d` where the hour says little or is not known.
    fn since(&self, moment: Moment) -> String {
        self.clock(moment, "%H:%M").unwrap_or_else(|| words::long(moment.ago_ms))
    }

    /// `since 10:42 (33 min)`, or `for 2 d`.
    fn since_and_age(&self, moment: Moment) -> String {
        let age = words::long(moment.ago_ms);
        self.clock(moment, "%H:%M").map_or_else(|| format!("for {age}"), |at| format!("since {at} ({age})"))
    }

    /// `10:42:09`, `2 d ago`.
    fn at(&self, moment: Moment) -> String {
        self.clock(moment, "%H:%M:%S").unwrap_or_else(|| format!("{} ago", words::long(moment.ago_ms)))
    }

    /// Local time of less than a day ago, if the wall clock was trusted.
    fn clock(&self, moment: Moment, format: &str) -> Option<String> {
        let wall = moment.wall_ms.filter(|_| moment.ago_ms < 86_400_000)?;
        self.local(wall).map(|local| local.strftime(format).to_string())
    }

    fn local(&self, wall_ms: u64) -> Option<jiff::Zoned> {
        let stamp = Timestamp::from_millisecond(i64::try_from(wall_ms).ok()?).ok()?;
        Some(stamp.to_zoned(self.zone.clone()))
    }
}

pub(crate) fn paint_of(state: State) -> Paint {
    match state {
        State::Up => Paint::Good,
        State::Degraded | State::Suspect | State::Probation => Paint::Doubtful,
        State::Down => Paint::Bad,
        State::Unknown | State::Disabled => Paint::Plain,
    }
}

/// What came from a config or over the socket is shown, never obeyed.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `wan1 → lte0`; an empty selection is `nothing`.
pub(crate) fn names(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(" + ") }
}

#[cfg(test)]
pub(crate) mod tests;
