//! What is wrong with a config, in words for the person who wrote it: what, why, what to do, and where. All faults of a
//! file are collected and shown in the order of its lines. Start reading at [`Faults`].

use std::fmt;

/// Which rule was broken.
macro_rules! kinds {
    ($($(#[$meta:meta])* $variant:ident = $name:literal,)*) => {
        /// Which rule was broken. Each has a file `NAME.toml` or `NAME--WHAT.toml` in `configs/invalid/`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$meta])* $variant,)* }

        impl Kind {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Stable: it stands in `--json` and in file names.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    /// Not TOML.
    Syntax = "syntax",
    /// Larger than [`super::model::limits::FILE_BYTES`]; the one rule whose bad file is made by its test.
    FileTooLarge = "file-too-large",
    UnknownKey = "unknown-key",
    /// A key of the full standard that this release does not know how to do.
    NotYet = "not-yet",
    /// Only head office's standard has it: variables, sealed secrets.
    OfficeOnly = "office-only",
    Missing = "missing",
    Type = "type",
    /// A string that does not read as what it must be.
    Format = "format",
    /// A string with a character or a length that is not allowed.
    Alphabet = "alphabet",
    /// Not one of the words that are known there.
    Choice = "choice",
    Range = "range",
    Empty = "empty",
    TooMany = "too-many",
    /// The same entry or name stands twice.
    Twice = "twice",
    UnknownName = "unknown-name",
    ReservedName = "reserved-name",
    /// Two keys that exclude each other, or a key without the one that gives it a meaning.
    Conflict = "conflict",
    DeviceTwice = "device-twice",
    NetOverlap = "net-overlap",
    /// An address or prefix that cannot stand there: host bits, an unusable length, loopback, multicast.
    BadAddress = "bad-address",
    /// A static uplink whose address and gateway cannot work together.
    BadGateway = "bad-gateway",
    NoFamily = "no-family",
    NoneEnabled = "none-enabled",
    ReserveAbovePlan = "reserve-above-plan",
    ProfileOrder = "profile-order",
    Quorum = "quorum",
    TargetOwn = "target-own",
    TargetIsGateway = "target-is-gateway",
    TargetFamily = "target-family",
    TargetsOneNetwork = "targets-one-network",
    DefaultMissing = "default-missing",
    DefaultBound = "default-bound",
    PathNeverReached = "path-never-reached",
    TierUnused = "tier-unused",
    Floor = "floor",
    FloorSsh = "floor-ssh",
    Isolated = "isolated",
    RuleUseless = "rule-useless",
    RuleNeverReached = "rule-never-reached",
    ForwardCollides = "forward-collides",
    ForwardOwnPort = "forward-own-port",
    ForwardTarget = "forward-target",
    ForwardService = "forward-service",
    ForwardFamily = "forward-family",
    MetricsAddress = "metrics-address",
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// What is wrong, with the key.
    pub error: String,
    /// What was found, against what was expected.
    pub caused_by: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Fault {
    pub(super) fn new(kind: Kind, error: impl Into<String>) -> Self {
        Self { kind, error: error.into(), caused_by: None, hint: None, line: 1, column: 1 }
    }

    pub(super) fn because(mut self, cause: impl Into<String>) -> Self {
        self.caused_by = Some(cause.into());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything that is wrong with one file; never empty when it is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    pub file: String,
    pub faults: Vec<Fault>,
    /// Faults beyond [`Collector::MOST`], counted and not kept.
    pub left_out: usize,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "error: {} ({}:{}:{})", fault.error, self.file, fault.line, fault.column)?;
            if let Some(cause) = &fault.caused_by {
                writeln!(f, "  caused by: {cause}")?;
            }
            if let Some(hint) = &fault.hint {
                writeln!(f, "  hint: {hint}")?;
            }
        }
        if self.left_out > 0 {
            writeln!(f, "\n… and {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A byte offset in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) usize);

/// Gathers faults while the file is read and checked.
pub(super) struct Collector<'t> {
    text: &'t str,
    faults: Vec<(Place, Fault)>,
    left_out: usize,
}

impl<'t> Collector<'t> {
    /// Nobody reads more; a file of nothing but faults must not fill the memory.
    pub(super) const MOST: usize = 1_000;

    pub(super) fn new(text: &'t str) -> Self {
        Self { text, faults: Vec::new(), left_out: 0 }
    }

    pub(super) fn add(&mut self, place: Place, fault: Fault) {
        if self.faults.len() < Self::MOST {
            self.faults.push((place, fault));
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn line(&self, place: Place) -> usize {
        position(self.text, place).0
    }

    /// So far; to find out whether reading something added any.
    pub(super) fn count(&self) -> usize {
        self.faults.len() + self.left_out
    }

    pub(super) fn into_faults(mut self, file: &str) -> Faults {
        self.faults.sort_by_key(|(place, _)| *place);
        let text = self.text;
        let located = |(place, mut fault): (Place, Fault)| {
            (fault.line, fault.column) = position(text, place);
            fault
        };
        Faults {
            file: file.to_owned(),
            faults: self.faults.into_iter().map(located).collect(),
            left_out: self.left_out,
        }
    }
}

/// What a person wrote, fit to be shown: in quotes, escaped (a terminal obeys control characters), not too long.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text, |c| matches!(c, '"' | '\\')))
}

/// As [`quoted`], without the quotes.
pub(super) fn shown(text: &str) -> String {
    escaped(text, |_| false)
}

fn escaped(text: &str, also: impl Fn(char) -> bool) -> String {
    const MOST: usize = 80;
    let escape = |c: char| {
        // Only what could disturb a terminal or turn the text around; letters of any language stay readable.
        let hidden =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        let hidden = hidden || c.is_control() || also(c);
        if hidden { c.escape_debug().collect::<String>() } else { c.to_string() }
    };
    let mut out: String = text.chars().take(MOST).map(escape).collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

/// `a, b and c`
pub(super) fn listed<T: fmt::Display>(items: impl IntoIterator<Item = T>, last: &str) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., end] => format!("{} {last} {end}", init.join(", ")),
    }
}

/// The known word that was probably meant.
pub(super) fn nearest<'w>(written: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    /// A longer word is no typing mistake, and the comparison is quadratic in its length.
    const LONGEST: usize = 64;
    if written.chars().count() > LONGEST {
        return None;
    }
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&written.to_lowercase(), word), word))
        .filter(|(distance, word)| *distance <= 1.max(word.len() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn position(text: &str, place: Place) -> (usize, usize) {
    let mut end = place.0.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "a\nbé = 1\n";
        assert_eq!(position(text, Place(0)), (1, 1));
        assert_eq!(position(text, Place(2)), (2, 1));
        assert_eq!(position(text, Place(5)), (2, 3));
        assert_eq!(position(text, Place(4)), (2, 2), "inside a character counts as its beginning");
        assert_eq!(position(text, Place(999)), (3, 1));
    }

    #[test]
    fn what_is_shown_cannot_speak_to_a_terminal() {
        assert_eq!(quoted("a\u{1b}[2J\"é"), "\"a\\u{1b}[2J\\\"é\"");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 81);
    }

    #[test]
    fn nearest_finds_typing_mistakes_and_nothing_else() {
        assert_eq!(nearest("devise", ["device", "medium"]), Some("device"));
        assert_eq!(nearest("metred", ["metered", "medium"]), Some("metered"));
        assert_eq!(nearest("colour", ["device", "medium"]), None);
    }

    #[test]
    fn names_of_kinds_are_unique() {
        let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }

    #[test]
    fn too_many_faults_are_counted() {
        let mut faults = Collector::new("");
        for _ in 0..Collector::MOST + 3 {
            faults.add(Place(0), Fault::new(Kind::Type, "x"));
        }
        let faults = faults.into_faults("f");
        assert_eq!((faults.faults.len(), faults.left_out), (Collector::MOST, 3));
        assert!(faults.to_string().ends_with("… and 3 more\n"));
    }
}
