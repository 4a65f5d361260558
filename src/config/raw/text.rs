//! The grammars of strings: durations, amounts of data, times of day, names (addresses are in [`super::net`]). A string from outside
//! becomes a typed value here or is refused; nothing later sees the text again.

use std::time::Duration;

use super::values::Text;
use crate::config::fault::{Kind, listed, quoted};
use crate::config::model::{LinkName, Name, NameError};
use crate::config::words;

pub(super) type Parsed<T> = Result<T, (Kind, String)>;

pub(super) fn format<T>(cause: impl Into<String>) -> Parsed<T> {
    Err((Kind::Format, cause.into()))
}

/// An amount of data, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

/// A rate of data, in bits a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) u64);

/// A share of one, 0…1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percent(pub(crate) f32);

/// Minutes after midnight, both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: u16,
    pub(crate) to: u16,
}

/// A line of text for people: printable, no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line(pub(crate) String);

/// A telephone number for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phone(pub(crate) String);

/// A Unix group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group(pub(crate) String);

impl Text for Duration {
    const WHAT: &'static str = "a duration";
    const EXAMPLE: &'static str = "\"250ms\", \"90s\", \"10m\" or \"1h30m\"";

    fn parse(text: &str) -> Parsed<Self> {
        /// Largest first; each at most once, in this order.
        const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
        let (mut rest, mut total, mut next) = (text, 0_u64, 0);
        while !rest.is_empty() {
            let (amount, after) = number(rest, text)?;
            let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
                return format(match unit {
                    "" => format!("{} has no unit after {amount}", quoted(text)),
                    _ => format!("{} has the unit {}; known are d, h, m, s and ms", quoted(text), quoted(unit)),
                });
            };
            if index < next {
                return format(format!("in {} the units do not go from large to small", quoted(text)));
            }
            next = index + 1;
            total = amount
                .checked_mul(UNITS[index].1)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(|| (Kind::Range, format!("{} is too long", quoted(text))))?;
            rest = after;
        }
        if next == 0 { format("it is empty") } else { Ok(Self::from_millis(total)) }
    }

    fn text(&self) -> String {
        words::duration(*self)
    }
}

impl Text for Bytes {
    const WHAT: &'static str = "an amount of data";
    const EXAMPLE: &'static str = "\"500MB\", \"10GB\" or \"2GiB\"";

    fn parse(text: &str) -> Parsed<Self> {
        const UNITS: [(&str, u64); 9] = [
            ("B", 1),
            ("kB", 1_000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
            ("TB", 1_000_000_000_000),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("TiB", 1 << 40),
        ];
        let (amount, unit) = number(text, text)?;
        let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            let known = listed(UNITS.iter().map(|(name, _)| *name), "and");
            return format(format!("{} has the unit {}; known are {known}", quoted(text), quoted(unit)));
        };
        amount.checked_mul(*size).map(Self).ok_or_else(|| (Kind::Range, format!("{} is too much", quoted(text))))
    }

    fn text(&self) -> String {
        words::bytes(self.0)
    }
}

impl Text for Rate {
    const WHAT: &'static str = "a rate";
    const EXAMPLE: &'static str = "\"500kbit\", \"40mbit\" or \"1gbit\" (a second)";

    fn parse(text: &str) -> Parsed<Self> {
        const UNITS: [(&str, u64); 3] = [("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)];
        let (amount, unit) = number(text, text)?;
        let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            let known = listed(UNITS.iter().map(|(name, _)| *name), "and");
            return format(format!("{} has the unit {}; known are {known}", quoted(text), quoted(unit)));
        };
        amount.checked_mul(*size).map(Self).ok_or_else(|| (Kind::Range, format!("{} is too much", quoted(text))))
    }

    fn text(&self) -> String {
        words::rate(self.0)
    }
}

impl Text for Percent {
    const WHAT: &'static str = "a percentage";
    const EXAMPLE: &'static str = "\"20%\" or \"2.5%\"";

    fn parse(text: &str) -> Parsed<Self> {
        let digits = text.strip_suffix('%').unwrap_or("");
        let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.') && digits.len() <= 6;
        match digits.parse::<f32>() {
            Ok(value) if plain && value <= 100.0 => Ok(Self(value / 100.0)),
            Ok(value) if plain => Err((Kind::Range, format!("{value}% is more than 100%"))),
            _ => format(format!("{} is not a number with %", quoted(text))),
        }
    }

    fn text(&self) -> String {
        words::percent(self.0)
    }
}

impl Text for Window {
    const WHAT: &'static str = "a window of the day";
    const EXAMPLE: &'static str = "\"02:00-04:30\", local time, 00:00 to 23:59";

    fn parse(text: &str) -> Parsed<Self> {
        fn minutes(text: &str) -> Option<u16> {
            let (hours, minutes) = text.split_once(':')?;
            let plain = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            if !plain(hours) || !plain(minutes) {
                return None;
            }
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        }
        let ends = text.split_once('-').and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
        match ends {
            None => format(format!("{} is not two times of day", quoted(text))),
            Some((from, to)) if from == to => format(format!("{} begins when it ends", quoted(text))),
            Some((from, to)) => Ok(Self { from, to }),
        }
    }

    fn text(&self) -> String {
        format!("{}-{}", words::time_of_day(self.from), words::time_of_day(self.to))
    }
}

impl Text for Line {
    const WHAT: &'static str = "a line of text";
    const EXAMPLE: &'static str = "\"a few words\" (1 to 64 printable characters)";

    fn parse(text: &str) -> Parsed<Self> {
        const MOST: usize = 64;
        let length = text.chars().count();
        if text.trim().is_empty() {
            return Err((Kind::Alphabet, "it is empty".to_owned()));
        }
        if length > MOST {
            return Err((Kind::Alphabet, format!("it has {length} characters, at most {MOST} are allowed")));
        }
        // Beside control characters: line separators, and what turns the direction of the text that follows.
        let hidden = |c: &char| {
            c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        match text.chars().find(hidden) {
            Some(character) => Err((Kind::Alphabet, format!("character {character:?} is not allowed"))),
            None => Ok(Self(text.to_owned())),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

impl Text for Phone {
    const WHAT: &'static str = "a telephone number";
    const EXAMPLE: &'static str = "\"+33 4 00 00 00 00\"";

    fn parse(text: &str) -> Parsed<Self> {
        let plain = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '(' | ')' | '.'));
        let digits = text.chars().filter(char::is_ascii_digit).count();
        if plain && (3..=20).contains(&digits) && text.len() <= 32 {
            Ok(Self(text.to_owned()))
        } else {
            Err((Kind::Alphabet, format!("{} does not read as one", quoted(text))))
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

impl Text for Group {
    const WHAT: &'static str = "a group";
    const EXAMPLE: &'static str = "\"causeway-admin\" (a-z first, then a-z, 0-9, \"_\" and \"-\", at most 32)";

    fn parse(text: &str) -> Parsed<Self> {
        let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let rest = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'));
        if first && rest && text.len() <= 32 {
            Ok(Self(text.to_owned()))
        } else {
            Err((Kind::Alphabet, format!("{} is not a group's name", quoted(text))))
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

impl Text for Name {
    const WHAT: &'static str = "a name";
    const EXAMPLE: &'static str = "\"fibre\" or \"lte-2\" (1 to 32 of a-z, 0-9 and \"-\")";

    fn parse(text: &str) -> Parsed<Self> {
        Self::new(text).map_err(|error| alphabet(text, &error))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for LinkName {
    const WHAT: &'static str = "a network device";
    const EXAMPLE: &'static str = "\"wan0\" (1 to 15 of A-Z, a-z, 0-9, \".\", \"_\" and \"-\")";

    fn parse(text: &str) -> Parsed<Self> {
        match text {
            // The kernel refuses the first two; the others stand for all devices in its settings, or are its own.
            "." | ".." | "all" | "default" | "lo" => {
                Err((Kind::Alphabet, format!("{} is not a device that can be used", quoted(text))))
            }
            _ => Self::new(text).map_err(|error| alphabet(text, &error)),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

fn alphabet(text: &str, error: &NameError) -> (Kind, String) {
    (Kind::Alphabet, format!("{}: {error}", quoted(text)))
}

/// Digits, then the rest.
fn number<'t>(rest: &'t str, whole: &str) -> Parsed<(u64, &'t str)> {
    let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    if digits.is_empty() {
        return format(format!("{} has no number where one is expected", quoted(whole)));
    }
    let number = digits.parse().map_err(|_| (Kind::Range, format!("{} is too much", quoted(whole))))?;
    Ok((number, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let good =
            [("250ms", 250), ("90s", 90_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("0s", 0), ("1s500ms", 1_500)];
        for (text, millis) in good {
            assert_eq!(Duration::parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "5 s", "5s5", "1m1h", "1s1s", "-1s", "1.5s", "5min", "99999999999999999999s", "5é"]
        {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_of_data() {
        assert_eq!(Bytes::parse("10GB"), Ok(Bytes(10_000_000_000)));
        assert_eq!(Bytes::parse("2GiB"), Ok(Bytes(2 << 30)));
        for text in ["10", "GB", "10 GB", "10gb", "99999999999TB", "-1GB"] {
            assert!(Bytes::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(Rate::parse("40mbit"), Ok(Rate(40_000_000)));
        for text in ["40", "40Mbit", "40 mbit", "-1mbit", "99999999999gbit", "40mbps"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn windows_may_wrap_and_are_never_empty() {
        assert_eq!(Window::parse("22:00-04:30"), Ok(Window { from: 1_320, to: 270 }));
        for text in ["02:00", "2:00-4:00", "02:00-24:00", "02:60-03:00", "02:00-02:00", "02:00 - 04:00", "+2:00-03:00"]
        {
            assert!(Window::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percentages() {
        assert_eq!(Percent::parse("2.5%"), Ok(Percent(0.025)));
        for text in ["20", "%", "101%", "-1%", "nan%", "1e1%", ".%"] {
            assert!(Percent::parse(text).is_err(), "{text}");
        }
    }
}
