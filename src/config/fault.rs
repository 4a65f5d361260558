//! What is wrong with a config, in words for the person who wrote it: what, why, what to do, and where. All faults of a
//! file are collected and shown in the order of its lines. Start reading at [`Faults`].

use std::fmt;
use std::rc::Rc;

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
    /// A folder without what makes it a fleet.
    NotAFleet = "not-a-fleet",
    /// Larger than [`super::model::limits::FILE_BYTES`]; the one rule whose bad file is made by its test.
    FileTooLarge = "file-too-large",
    UnknownKey = "unknown-key",
    /// A key of the full standard that this release does not know how to do.
    NotYet = "not-yet",
    /// Only head office's standard has it: variables, sealed secrets.
    OfficeOnly = "office-only",
    /// Only a gateway that stands alone has it; in a fleet the inventory knows it.
    StandaloneOnly = "standalone-only",
    /// A variable or a condition where only a literal may stand.
    NotSettable = "not-settable",
    /// A variable of a type that does not fit its place.
    VariableType = "variable-type",
    /// The declaration of a variable contradicts itself or leaves its bounds open.
    Bounds = "bounds",
    /// `len` and `index` cut nothing out of the variable's prefix.
    Slice = "slice",
    /// A value outside the bounds of its variable.
    OutOfBounds = "out-of-bounds",
    /// A value that is unique in the fleet stands at two sites.
    NotUnique = "not-unique",
    /// A variable without a value.
    NotSet = "not-set",
    /// A variable that no place uses.
    Unused = "unused",
    /// A schema that this release does not know.
    SchemaVersion = "schema-version",
    /// A gateway of a model that the standard does not name.
    UnsupportedModel = "unsupported-model",
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
    VlanTwice = "vlan-twice",
    /// A DHCP range outside its network, or over the gateway.
    DhcpRange = "dhcp-range",
    /// A fixed host that cannot have its address, or shares it or its MAC address with another.
    FixedHost = "fixed-host",
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
    RespondersOneNetwork = "responders-one-network",
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
    /// Timers of a trial that contradict each other.
    TimerOrder = "timer-order",
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
    /// As the caller named it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Fault {
    pub(super) fn new(kind: Kind, error: impl Into<String>) -> Self {
        Self { kind, error: error.into(), caused_by: None, hint: None, file: String::new(), line: 1, column: 1 }
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

/// Everything that is wrong with one file or one fleet; never empty when it is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The file or folder that was asked for.
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
            writeln!(f, "error: {} ({}:{}:{})", fault.error, fault.file, fault.line, fault.column)?;
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

/// A byte offset in the texts that are read together, one behind the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) usize);

/// One text of those that are read together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'t> {
    pub(super) name: &'t str,
    pub(super) text: &'t str,
    /// Where it begins.
    pub(super) base: usize,
}

/// Who wrote what is read: a gateway that stands alone takes literals only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    Gateway,
    Office,
}

/// Gathers faults while the files are read and checked.
pub(super) struct Collector<'t> {
    /// Shared with every trial: a fleet has as many files as branches.
    sources: Rc<[Source<'t>]>,
    pub(super) author: Author,
    faults: Vec<(Place, Fault)>,
    left_out: usize,
}

impl<'t> Collector<'t> {
    /// Nobody reads more; a file of nothing but faults must not fill the memory.
    pub(super) const MOST: usize = 1_000;

    pub(super) fn new(name: &'t str, text: &'t str) -> Self {
        Self::of(Author::Gateway, [(name, text)])
    }

    pub(super) fn of(author: Author, texts: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let mut base = 0;
        let mut sources = Vec::new();
        for (name, text) in texts {
            sources.push(Source { name, text, base });
            base += text.len() + 1;
        }
        Self { sources: sources.into(), author, faults: Vec::new(), left_out: 0 }
    }

    pub(super) fn sources(&self) -> Rc<[Source<'t>]> {
        Rc::clone(&self.sources)
    }

    pub(super) fn add(&mut self, place: Place, fault: Fault) {
        if self.faults.len() < Self::MOST {
            self.faults.push((place, fault));
        } else {
            self.left_out += 1;
        }
    }

    /// An empty collector of the same texts, for a check that is only a trial.
    pub(super) fn trial(&self) -> Self {
        Self { sources: Rc::clone(&self.sources), author: self.author, faults: Vec::new(), left_out: 0 }
    }

    /// Takes over what a trial found and nobody has found before; `with` says what was tried.
    pub(super) fn learn(&mut self, trial: Self, with: &str) {
        for (place, mut fault) in trial.faults {
            if self.faults.iter().any(|(known, other)| *known == place && other.kind == fault.kind) {
                continue;
            }
            if !with.is_empty() {
                let cause = fault.caused_by.unwrap_or_default();
                fault.caused_by = Some(format!("{with}: {cause}"));
            }
            self.add(place, fault);
        }
        self.left_out += trial.left_out;
    }

    /// What this trial and another one say alike does not depend on what was tried; it comes first.
    pub(super) fn split(self, other: &Self) -> (Self, Self) {
        let (mut alike, mut own) = (self.trial(), self.trial());
        own.left_out = self.left_out;
        for found in self.faults {
            if other.faults.contains(&found) {
                alike.faults.push(found);
            } else {
                own.faults.push(found);
            }
        }
        (alike, own)
    }

    /// For messages: `26`, or `26 of standard.toml` where several files are read.
    pub(super) fn line(&self, place: Place) -> String {
        let (name, line, _) = self.position(place);
        if self.sources.len() == 1 { line.to_string() } else { format!("{line} of {name}") }
    }

    /// So far; to find out whether reading something added any.
    pub(super) fn count(&self) -> usize {
        self.faults.len() + self.left_out
    }

    pub(super) fn into_faults(mut self, file: &str) -> Faults {
        self.faults.sort_by_key(|(place, _)| *place);
        let located = |(place, fault): &(Place, Fault)| {
            let (name, line, column) = self.position(*place);
            Fault { file: name.to_owned(), line, column, ..fault.clone() }
        };
        Faults { file: file.to_owned(), faults: self.faults.iter().map(located).collect(), left_out: self.left_out }
    }

    fn position(&self, place: Place) -> (&'t str, usize, usize) {
        let Some(source) = self.sources.iter().rev().find(|source| source.base <= place.0) else { return ("", 1, 1) };
        let (line, column) = position(source.text, Place(place.0 - source.base));
        (source.name, line, column)
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
        let mut faults = Collector::new("f", "");
        for _ in 0..Collector::MOST + 3 {
            faults.add(Place(0), Fault::new(Kind::Type, "x"));
        }
        let faults = faults.into_faults("f");
        assert_eq!((faults.faults.len(), faults.left_out), (Collector::MOST, 3));
        assert!(faults.to_string().ends_with("… and 3 more\n"));
    }
}
