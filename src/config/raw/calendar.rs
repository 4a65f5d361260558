//! Opening hours, time zones, languages, dates.

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::read::{Node, Value};
use super::text::{Parsed, format};
use super::values::Text;
use super::wire::{Bad, Input, put_leaf};
pub(crate) use crate::config::branch::{Opening, Week};
use crate::config::fault::{Collector, quoted};

/// A name of the time zone database. Whether this system knows it is for the edge to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timezone(pub(crate) String);

/// ISO 639-1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Language(pub(crate) String);

/// A day, written as TOML's own date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Date(pub(crate) String);

pub(crate) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Text for Week {
    const WHAT: &'static str = "opening hours";
    const EXAMPLE: &'static str =
        "\"mon-sat 08:00-20:00\" or \"mon-fri 08:00-12:00, mon-fri 14:00-18:00, closed 12-25\"";

    fn parse(text: &str) -> Parsed<Self> {
        /// Two for each day and a year's holidays fit; what people can check.
        const PARTS: usize = 32;
        let mut week = Self { open: Vec::new(), closed: Vec::new() };
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.len() > PARTS {
            return format(format!("it has {} parts, at most {PARTS} are allowed", parts.len()));
        }
        for part in parts {
            let Some((what, when)) = part.split_once(' ') else {
                return format(format!("{} is neither days with hours nor a closed day", quoted(part)));
            };
            if what == "closed" {
                let Some(day) = day_of_year(when) else {
                    return format(format!("{} is not a day of the year such as 12-25", quoted(when)));
                };
                week.closed.push(day);
                continue;
            }
            let (first, last) = what.split_once('-').unwrap_or((what, what));
            let day = |name: &str| (0_u8..).zip(DAYS).find(|(_, known)| *known == name).map(|(day, _)| day);
            let (Some(first), Some(last)) = (day(first), day(last)) else {
                return format(format!("{} does not name days such as mon-sat", quoted(what)));
            };
            let ends = when.split_once('-').and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
            let Some((from, to)) = ends.filter(|(from, to)| first <= last && from < to) else {
                return format(format!("{} does not go from earlier to later", quoted(part)));
            };
            week.open.extend((first..=last).map(|day| Opening { day, from, to }));
        }
        week.open.sort_unstable();
        week.closed.sort_unstable();
        week.closed.dedup();
        if week.open.windows(2).any(|pair| pair[0].day == pair[1].day && pair[1].from < pair[0].to) {
            return format(format!("in {} two openings of a day overlap", quoted(text)));
        }
        Ok(week)
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Week {
    /// As [`fmt::Display`](std::fmt::Display) writes it.
    pub fn read(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let plain = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !plain(hours) || !plain(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60 && hours * 60 + minutes <= 1_440).then_some(hours * 60 + minutes)
}

fn day_of_year(text: &str) -> Option<(u8, u8)> {
    const LENGTHS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (month, day) = text.split_once('-')?;
    let plain = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    let (month, day): (u8, u8) = (plain(month).then(|| month.parse().ok())??, plain(day).then(|| day.parse().ok())??);
    let length = LENGTHS.get(usize::from(month.checked_sub(1)?))?;
    (1..=*length).contains(&day).then_some((month, day))
}

impl Text for Timezone {
    const WHAT: &'static str = "a time zone";
    const EXAMPLE: &'static str = "\"Europe/Paris\" or \"UTC\"";

    fn parse(text: &str) -> Parsed<Self> {
        const MOST: usize = 48;
        // It becomes part of a path in some programs: no dots, no empty parts.
        let part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+'))
        };
        let good = text.len() <= MOST && text.split('/').count() <= 3 && text.split('/').all(part);
        if good { Ok(Self(text.to_owned())) } else { format(format!("{} is not such a name", quoted(text))) }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

impl Text for Language {
    const WHAT: &'static str = "a language";
    const EXAMPLE: &'static str = "\"en\" or \"fr\" (two letters)";

    fn parse(text: &str) -> Parsed<Self> {
        let good = text.len() == 2 && text.bytes().all(|b| b.is_ascii_lowercase());
        if good { Ok(Self(text.to_owned())) } else { format(format!("{} is not one", quoted(text))) }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

impl Value for Date {
    const WHAT: &'static str = "a date";
    const EXAMPLE: &'static str = "2031-12-31, without quotes";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        match node.value {
            DeValue::Datetime(date) if date.time.is_none() && date.offset.is_none() => Some(Self(date.to_string())),
            DeValue::Datetime(_)
            | DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                node.not_a::<Self>(faults);
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": "string", "format": "date" })
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_leaf(&self.0, out);
    }

    fn take(_: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        Err(Bad::new(key, "no section has a date"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_hours_read_as_they_are_written() {
        for text in [
            "mon-sat 08:00-20:00",
            "mon-fri 08:00-12:00, mon-fri 14:00-18:00, sat 09:00-24:00, closed 12-25, closed 02-29",
        ] {
            let week = Week::parse(text).unwrap_or_else(|(_, cause)| panic!("{text}: {cause}"));
            assert_eq!(Week::parse(&week.text()), Ok(week.clone()), "{}", week.text());
        }
        assert_eq!(Week::parse("tue 09:00-17:00,mon 09:00-17:00").expect("good").text(), "mon-tue 09:00-17:00");
        for text in [
            "",
            "mon",
            "mon 8:00-20:00",
            "sat-mon 08:00-20:00",
            "mon 20:00-08:00",
            "mon 08:00-24:01",
            "closed 13-01",
            "closed 02-30",
            "mon 08:00-12:00, mon 11:00-13:00",
            "monday 08:00-20:00",
            "mon 08:00-20:00,",
            "closed",
        ] {
            assert!(Week::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn time_zones_are_no_paths() {
        for text in ["UTC", "Europe/Paris", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert!(Timezone::parse(text).is_ok(), "{text}");
        }
        for text in ["", "/UTC", "Europe/", "../etc/passwd", "Europe//Paris", "a/b/c/d", "Europe/Par is"] {
            assert!(Timezone::parse(text).is_err(), "{text}");
        }
    }
}
