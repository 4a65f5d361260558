//! One record: what it says and how it stands in its line. A line is `HASH JSON\n`; the hash is over the bytes as written,
//! so nothing is encoded again to check it.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::trust::digest::Digest;

/// A line with its hash and its end. Long evidence is cut.
pub const LINE_MOST: usize = 1 << 10;
/// Hexadecimal digits of a hash.
pub const HASH: usize = 64;
/// The hash before the first record of a chain.
pub const GENESIS: Hash = [b'0'; HASH];
const DOMAIN: &[u8] = b"causeway-ledger-v1\n";
/// Characters of a name from outside (who asked), which would otherwise be what makes a line too long.
const NAME_MOST: usize = 64;

/// As written: 64 lower-case hexadecimal digits.
pub type Hash = [u8; HASH];

/// SHA-256 over the format's name, the previous line's hash as text, and the JSON as written.
pub fn hash(previous: &Hash, json: &[u8]) -> Hash {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Digest::of_parts(&[DOMAIN, previous, json]);
    let mut text = [0; HASH];
    for (pair, byte) in text.chunks_exact_mut(2).zip(digest.bytes()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

/// 16 bytes that name a ledger or a boot: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u128);

impl Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Id {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let plain = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u128::from_str_radix(text, 16).ok().filter(|_| plain).map(Self).ok_or(())
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u128::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom("an id is 32 hexadecimal digits"))
    }
}

/// Whether the wall clock could be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    Trusted,
    #[default]
    Untrusted,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The daemon began to look. What was last known before stands in the evidence.
    #[default]
    Start,
    /// The daemon ended in order.
    Stop,
    /// The box was off before this start.
    Off,
    /// A line, one family of it, or the branch's internet changed its state.
    State,
    /// The kernel carried out a switch.
    Switch,
    /// Why a path stays; written when the reason changes.
    NotSwitched,
    OutageOpen,
    OutageClose,
    Drill,
    /// What the config says that a report needs: of the branch, or of one line.
    Config,
    Update,
    /// The wall clock can be believed from here on, or jumped.
    Clock,
    /// An operator locked, unlocked or chose.
    Lock,
    /// A line changed too often for a record each.
    Flaps,
    /// The oldest records were given up.
    Pruned,
    /// Head office's mark in time; reserved until ledgers are uploaded.
    Receipt,
    /// Of newer firmware.
    #[serde(other)]
    Other,
}

impl Kind {
    pub const ALL: [Self; 16] = [
        Self::Start,
        Self::Stop,
        Self::Off,
        Self::State,
        Self::Switch,
        Self::NotSwitched,
        Self::OutageOpen,
        Self::OutageClose,
        Self::Drill,
        Self::Config,
        Self::Update,
        Self::Clock,
        Self::Lock,
        Self::Flaps,
        Self::Pruned,
        Self::Receipt,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Off => "off",
            Self::State => "state",
            Self::Switch => "switch",
            Self::NotSwitched => "not_switched",
            Self::OutageOpen => "outage_open",
            Self::OutageClose => "outage_close",
            Self::Drill => "drill",
            Self::Config => "config",
            Self::Update => "update",
            Self::Clock => "clock",
            Self::Lock => "lock",
            Self::Flaps => "flaps",
            Self::Pruned => "pruned",
            Self::Receipt => "receipt",
            Self::Other => "other",
        }
    }
}

/// Times are milliseconds: `mono`, `since` and `until` of `CLOCK_BOOTTIME` in this boot, `wall` UTC.
///
/// Keys that are not known are passed over: after a way back to older firmware the ledger goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Made once for each ledger; filled in when it is written.
    pub ledger: Id,
    /// From 1, never used again; filled in when it is written.
    pub seq: u64,
    pub boot: Id,
    pub mono: u64,
    pub wall: Option<u64>,
    pub clock: Clock,
    pub kind: Kind,
    /// Absent in a `state`: the branch's internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<String>,
    /// Absent: the whole line, that is the best of its families.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// From when it holds, where that is earlier than the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub evidence: Map<String, Value>,
    /// Digest of the config in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The evidence was longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// When something is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub boot: Id,
    pub mono: u64,
    /// `None`: the clock cannot be believed.
    pub wall: Option<u64>,
}

impl Record {
    pub fn new(stamp: Stamp, kind: Kind) -> Self {
        let clock = if stamp.wall.is_some() { Clock::Trusted } else { Clock::Untrusted };
        Self { boot: stamp.boot, mono: stamp.mono, wall: stamp.wall, clock, kind, ..Self::default() }
    }

    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.evidence.insert(key.to_owned(), value.into());
        self
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.evidence.get(key)?.as_u64()
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.evidence.get(key)?.as_str()
    }

    /// The wall clock, if it could be believed.
    pub fn dated(&self) -> Option<u64> {
        self.wall.filter(|_| self.clock == Clock::Trusted)
    }

    /// The line with its end, and its hash. Evidence that makes it too long is left out, longest first.
    pub fn line(&self, previous: &Hash) -> (Vec<u8>, Hash) {
        let mut json = self.json();
        if json.len() + HASH + 2 > LINE_MOST {
            let mut short = self.clone();
            short.cut = true;
            for name in [&mut short.by, &mut short.from, &mut short.to, &mut short.config].into_iter().flatten() {
                *name = name.chars().take(NAME_MOST).collect();
            }
            json = short.json();
            while json.len() + HASH + 2 > LINE_MOST
                && let Some(longest) = longest(&short.evidence)
            {
                short.evidence.remove(&longest);
                json = short.json();
            }
        }
        let hash = hash(previous, &json);
        let line = [&hash[..], b" ", &json, b"\n"].concat();
        (line, hash)
    }

    fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data with text for keys")
    }
}

fn longest(evidence: &Map<String, Value>) -> Option<String> {
    evidence.iter().max_by_key(|(_, value)| value.to_string().len()).map(|(key, _)| key.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_its_hash_and_its_json_and_never_too_long() {
        let stamp = Stamp { boot: Id(7), mono: 1_234, wall: Some(1_793_356_929_382) };
        let mut record = Record::new(stamp, Kind::State).with("silent_targets", vec!["9.9.9.9 icmp"; 400]);
        record.to = Some("down".to_owned());
        record.by = Some("x".repeat(5_000));
        let (line, hash) = record.with("unanswered", 7).line(&GENESIS);
        assert!(line.len() <= LINE_MOST && line.starts_with(&hash) && line.ends_with(b"}\n"), "{}", line.len());
        let read: Record = serde_json::from_slice(&line[HASH + 1..]).expect("JSON");
        assert!(read.cut && read.number("unanswered") == Some(7) && read.evidence.len() == 1);
    }

    #[test]
    fn what_newer_firmware_wrote_is_read_and_left_alone() {
        let json = r#"{"ledger":"00000000000000000000000000000001","seq":1,"boot":"00000000000000000000000000000002","mono":3,
            "wall":null,"clock":"untrusted","kind":"eclipse","moon":true}"#;
        let record: Record = serde_json::from_str(json).expect("a record");
        assert_eq!((record.kind, record.mono), (Kind::Other, 3));
    }

    /// What a script of twenty lines does: `printf 'causeway-ledger-v1\n%s%s' PREVIOUS JSON | sha256sum`.
    #[test]
    fn the_hash_is_the_one_that_sha256sum_makes() {
        let known = b"8d56b574f338f822eb4cac098fa54b0d293aeffa0060412de78b9fcfacb168bf";
        assert_eq!(&hash(&GENESIS, b"{}"), known);
    }
}
