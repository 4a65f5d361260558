//! Opening hours: how much of a stretch of time the branch was open. A moment is inside when the clock on the branch's
//! wall says so; an hour that comes twice counts twice, one that is left out does not count.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::config::branch::Week;

const DAY_S: i64 = 86_400;

/// How a name of the time zone database becomes a zone; an edge reads the file. `None` asks for the system's.
pub type Zones<'a> = &'a dyn Fn(Option<&str>) -> TimeZone;

#[derive(Clone)]
pub struct Hours {
    zone: TimeZone,
    /// `None`: always open.
    week: Option<Week>,
}

/// Names as in `causeway_uplink_state_seconds_total{hours}`.
pub const NAMES: [&str; 3] = ["open", "closed", "unknown"];
pub const OPEN: usize = 0;
pub const CLOSED: usize = 1;
pub const UNKNOWN: usize = 2;

impl fmt::Debug for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hours({:?}, {:?})", self.zone.iana_name(), self.week)
    }
}

impl Default for Hours {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, week: None }
    }
}

impl Hours {
    pub fn new(zone: TimeZone, week: Option<Week>) -> Self {
        Self { zone, week }
    }

    pub fn is_always(&self) -> bool {
        self.week.is_none()
    }

    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Milliseconds of `from..to` (UTC ms) that the branch was open; the rest it was closed.
    pub fn open_ms(&self, from: u64, to: u64) -> u64 {
        let Some(week) = &self.week else { return to.saturating_sub(from) };
        let (Ok(mut at), Ok(to)) = (i64::try_from(from), i64::try_from(to)) else { return 0 };
        let mut open = 0;
        while at < to {
            let Ok(moment) = Timestamp::from_millisecond(at) else { return open };
            // Until the clocks change, local time is UTC and a fixed offset.
            let offset = i64::from(self.zone.to_offset(moment).seconds()) * 1_000;
            let change = self.zone.following(moment).next().map(|change| change.timestamp().as_millisecond());
            let end = change.filter(|change| *change > at).unwrap_or(i64::MAX).min(to);
            open += open_local(week, at + offset, end + offset);
            at = end;
        }
        open
    }

    /// Open, closed.
    pub fn split(&self, from: u64, to: u64) -> (u64, u64) {
        let open = self.open_ms(from, to);
        (open, to.saturating_sub(from).saturating_sub(open))
    }
}

/// Of local milliseconds since 1970, within which no clock changes.
fn open_local(week: &Week, from: i64, to: i64) -> u64 {
    let mut open = 0;
    let mut day = from.div_euclid(DAY_S * 1_000);
    while day * DAY_S * 1_000 < to {
        let midnight = day * DAY_S * 1_000;
        if let Some((weekday, date)) = calendar(day)
            && !week.closed.contains(&date)
        {
            for opening in week.open.iter().filter(|opening| opening.day == weekday) {
                let begins = (midnight + i64::from(opening.from) * 60_000).max(from);
                let ends = (midnight + i64::from(opening.to) * 60_000).min(to);
                open += u64::try_from(ends - begins).unwrap_or(0);
            }
        }
        day += 1;
    }
    open
}

/// Weekday (0: Monday), month and day of a day counted from 1970.
fn calendar(day: i64) -> Option<(u8, (u8, u8))> {
    let date = Timestamp::from_second(day * DAY_S).ok()?.to_zoned(TimeZone::UTC).date();
    let weekday = match date.weekday() {
        Weekday::Monday => 0,
        Weekday::Tuesday => 1,
        Weekday::Wednesday => 2,
        Weekday::Thursday => 3,
        Weekday::Friday => 4,
        Weekday::Saturday => 5,
        Weekday::Sunday => 6,
    };
    Some((weekday, (u8::try_from(date.month()).ok()?, u8::try_from(date.day()).ok()?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::fixture::{paris, utc_ms, week};

    /// Asks the clock on the wall each minute.
    fn naive(hours: &Hours, from: u64, to: u64) -> u64 {
        let week = hours.week.as_ref().expect("it has hours");
        let open = |ms: u64| {
            let local = Timestamp::from_millisecond(i64::try_from(ms).expect("small"))
                .expect("in range")
                .to_zoned(hours.zone.clone());
            let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).expect("small");
            let weekday = u8::try_from(local.weekday().to_monday_zero_offset()).expect("small");
            let date = (u8::try_from(local.month()).expect("small"), u8::try_from(local.day()).expect("small"));
            !week.closed.contains(&date)
                && week.open.iter().any(|it| it.day == weekday && it.from <= minute && minute < it.to)
        };
        (from..to).step_by(60_000).filter(|ms| open(*ms)).count() as u64 * 60_000
    }

    #[test]
    fn both_clock_changes_and_closed_days() {
        let hours = Hours::new(paris(), Some(week("mon-sun 01:30-04:00, closed 12-25")));
        let night = |text| utc_ms(text)..utc_ms(text) + 12 * 3_600_000;
        let open = |range: std::ops::Range<u64>| hours.open_ms(range.start, range.end) / 60_000;
        // An ordinary night; 02:00 becomes 03:00; 03:00 becomes 02:00.
        assert_eq!(open(night("2026-10-20T20:00:00Z")), 150);
        assert_eq!(open(night("2026-03-28T20:00:00Z")), 90);
        assert_eq!(open(night("2026-10-24T20:00:00Z")), 210);
        assert_eq!(open(night("2026-12-24T20:00:00Z")), 0);
    }

    #[test]
    fn without_hours_the_branch_is_always_open() {
        assert_eq!(Hours::default().split(5, 1_005), (1_000, 0));
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_clock_on_the_wall(
            start in 0_u64..366 * 24 * 60, minutes in 0_u64..3 * 24 * 60, which in 0_usize..3,
        ) {
            let text = ["mon-fri 08:00-12:00, mon-fri 14:00-18:00, closed 03-30", "mon-sun 00:00-24:00", "sun 02:15-02:45"];
            let hours = Hours::new(paris(), Some(week(text[which])));
            let from = utc_ms("2026-01-01T00:00:00Z") + start * 60_000;
            let to = from + minutes * 60_000;
            prop_assert_eq!(hours.open_ms(from, to), naive(&hours, from, to));
        }
    }
}
