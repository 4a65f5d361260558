//! Variables: what a site may set, and within which bounds. Values are the texts that people write, in their one
//! canonical form; a place parses them with the same grammar as a literal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::branch::Mac;
use super::fault::{listed, quoted};
use super::model::{Name, NameError, checked};
use super::raw::calendar::{Timezone, Week};
use super::raw::settable::cut;
use super::raw::text::{Bytes, Line, Percent, Rate};
use super::raw::values::Text;

/// The name of a variable: `[a-z0-9_]`, 1…32.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VarName(String);

impl VarName {
    pub fn new(text: &str) -> Result<Self, NameError> {
        checked(text, Name::MOST, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_').map(Self)
    }
}

impl TryFrom<String> for VarName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<VarName> for String {
    fn from(name: VarName) -> Self {
        name.0
    }
}

impl fmt::Display for VarName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VarType {
    Bool,
    Int,
    Rate,
    Bytes,
    Duration,
    Percent,
    Word,
    Text,
    Addr4,
    Prefix4,
    Prefix6,
    Mac,
    Vlan,
    Timezone,
    Week,
    OneOf,
    List,
}

impl VarType {
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Rate => "rate",
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::Percent => "percent",
            Self::Word => "word",
            Self::Text => "text",
            Self::Addr4 => "addr4",
            Self::Prefix4 => "prefix4",
            Self::Prefix6 => "prefix6",
            Self::Mac => "mac",
            Self::Vlan => "vlan",
            Self::Timezone => "timezone",
            Self::Week => "week",
            Self::OneOf => "one_of",
            Self::List => "list",
        }
    }

    /// Has `min` and `max`.
    pub fn is_number(self) -> bool {
        match self {
            Self::Int | Self::Rate | Self::Bytes | Self::Duration | Self::Percent | Self::Vlan => true,
            Self::Bool
            | Self::Word
            | Self::Text
            | Self::Addr4
            | Self::Prefix4
            | Self::Prefix6
            | Self::Mac
            | Self::Timezone
            | Self::Week
            | Self::OneOf
            | Self::List => false,
        }
    }

    /// Bounds that need not be written.
    pub(super) fn usual_bounds(self) -> Option<(i64, i64)> {
        match self {
            Self::Percent => Some((0, 10_000)),
            Self::Vlan => Some((1, 4_094)),
            Self::Bool
            | Self::Int
            | Self::Rate
            | Self::Bytes
            | Self::Duration
            | Self::Word
            | Self::Text
            | Self::Addr4
            | Self::Prefix4
            | Self::Prefix6
            | Self::Mac
            | Self::Timezone
            | Self::Week
            | Self::OneOf
            | Self::List => None,
        }
    }

    /// The one text of what is written, or why it is not of this type.
    pub(super) fn canonical(self, text: &str) -> Result<String, String> {
        fn of<T: Text>(text: &str) -> Result<String, String> {
            T::parse(text).map(|value| value.text()).map_err(|(_, cause)| format!("it is not {}: {cause}", T::WHAT))
        }
        match self {
            Self::Bool => match text {
                "true" | "false" => Ok(text.to_owned()),
                _ => Err(format!("{} is neither true nor false", quoted(text))),
            },
            Self::Int | Self::Vlan => match text.parse::<i64>() {
                Ok(number) => Ok(number.to_string()),
                Err(_) => Err(format!("{} is no whole number", quoted(text))),
            },
            Self::Rate => of::<Rate>(text),
            Self::Bytes => of::<Bytes>(text),
            Self::Duration => of::<Duration>(text),
            Self::Percent => of::<Percent>(text),
            Self::Word => of::<Name>(text),
            Self::Text | Self::OneOf => of::<Line>(text),
            Self::Addr4 => of::<Ipv4Addr>(text),
            Self::Prefix4 | Self::Prefix6 => {
                let net: IpNet = text.parse().map_err(|_| format!("{} does not read as a prefix", quoted(text)))?;
                match (self == Self::Prefix4) == net.addr().is_ipv4() {
                    true if net == net.trunc() => Ok(net.to_string()),
                    true => Err(format!("bits behind the prefix length are set; the network is {}", net.trunc())),
                    false => Err(format!("{net} is of the other family")),
                }
            }
            Self::Mac => of::<Mac>(text),
            Self::Timezone => of::<Timezone>(text),
            Self::Week => of::<Week>(text),
            Self::List => Err("it is a single value, not a list".to_owned()),
        }
    }

    /// Of a canonical text, for comparing; `None`: it is no number, or too large for any place.
    pub(super) fn number(self, text: &str) -> Option<i64> {
        match self {
            Self::Int | Self::Vlan => text.parse().ok(),
            Self::Rate => i64::try_from(Rate::parse(text).ok()?.0).ok(),
            Self::Bytes => i64::try_from(Bytes::parse(text).ok()?.0).ok(),
            Self::Duration => i64::try_from(Duration::parse(text).ok()?.as_millis()).ok(),
            // Hundredths of a percent.
            Self::Percent => {
                let digits = text.strip_suffix('%')?;
                let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
                format!("{whole}{part:0<2}").parse().ok()
            }
            Self::Bool
            | Self::Word
            | Self::Text
            | Self::Addr4
            | Self::Prefix4
            | Self::Prefix6
            | Self::Mac
            | Self::Timezone
            | Self::Week
            | Self::OneOf
            | Self::List => None,
        }
    }
}

/// What a variable is set to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum VarValue {
    One(String),
    Many(Vec<String>),
}

impl fmt::Display for VarValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(text) => f.write_str(&super::fault::shown(text)),
            Self::Many(texts) => write!(f, "[{}]", super::fault::shown(&texts.join(", "))),
        }
    }
}

/// A declared variable. Its number is its place in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    pub name: VarName,
    pub kind: VarType,
    /// Of the entries of a list.
    pub of: Option<VarType>,
    /// In whole numbers, bits a second, bytes, milliseconds or hundredths of a percent.
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub within: Option<IpNet>,
    pub len: Option<u8>,
    /// Characters, or entries of a list.
    pub max_len: usize,
    pub one_of: Vec<String>,
    pub unique: bool,
    pub default: Option<VarValue>,
    pub needed_if: Option<VarName>,
}

/// Why a value is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) cause: String,
    /// It is of the right type, but out of bounds.
    pub(super) bounds: bool,
}

impl Variable {
    pub(super) const WORD: usize = Name::MOST;
    pub(super) const TEXT: usize = 64;
    pub(super) const ENTRIES: usize = 64;

    /// The canonical form of what is written, if it is of the type and within the bounds.
    pub(super) fn take(&self, given: &VarValue) -> Result<VarValue, Refused> {
        let wrong = |cause: String| Refused { cause, bounds: false };
        match (self.kind, given) {
            (VarType::List, VarValue::Many(texts)) => {
                if texts.len() > self.max_len {
                    let cause = format!("it has {} entries, at most {} are allowed", texts.len(), self.max_len);
                    return Err(Refused { cause, bounds: true });
                }
                let entry = |text: &String| self.single(self.of.unwrap_or(VarType::Word), text);
                let texts = texts.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
                match texts.iter().enumerate().find(|(index, text)| texts[..*index].contains(text)) {
                    Some((_, twice)) => Err(wrong(format!("{} stands twice", quoted(twice)))),
                    None => Ok(VarValue::Many(texts)),
                }
            }
            (VarType::List, VarValue::One(_)) => Err(wrong("it is a single value, not a list".to_owned())),
            (_, VarValue::Many(_)) => Err(wrong("it is a list".to_owned())),
            (kind, VarValue::One(text)) => self.single(kind, text).map(VarValue::One),
        }
    }

    fn single(&self, kind: VarType, text: &str) -> Result<String, Refused> {
        let text = kind.canonical(text).map_err(|cause| Refused { cause, bounds: false })?;
        let out = |cause: String| Err(Refused { cause, bounds: true });
        if kind.is_number() {
            let Some(number) = kind.number(&text) else { return out(format!("{text} is too much")) };
            if let Some(min) = self.min.filter(|min| number < *min) {
                return out(format!("{text} is less than the minimum {}", self.show(min)));
            }
            if let Some(max) = self.max.filter(|max| number > *max) {
                return out(format!("{text} is more than the maximum {}", self.show(max)));
            }
        }
        if matches!(kind, VarType::Word | VarType::Text) && self.kind != VarType::List {
            let length = text.chars().count();
            if length > self.max_len {
                return out(format!("it has {length} characters, at most {} are allowed", self.max_len));
            }
        }
        if !self.one_of.is_empty() && !self.one_of.contains(&text) {
            return out(format!(
                "{} is none of {}",
                quoted(&text),
                listed(self.one_of.iter().map(|it| quoted(it)), "and")
            ));
        }
        if let Some(within) = self.within {
            let net = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
            if !net.is_ok_and(|net| within.contains(&net)) {
                return out(format!("{text} is not within {within}"));
            }
        }
        if let (Some(len), Ok(net)) = (self.len, text.parse::<IpNet>())
            && net.prefix_len() != len
        {
            return out(format!("its length is /{}, not /{len}", net.prefix_len()));
        }
        Ok(text)
    }

    /// A bound as it is written.
    pub(super) fn show(&self, number: i64) -> String {
        let positive = u64::try_from(number).unwrap_or(0);
        match self.kind {
            VarType::Rate => super::words::rate(positive),
            VarType::Bytes => super::words::bytes(positive),
            VarType::Duration => super::words::duration(Duration::from_millis(positive)),
            VarType::Percent => {
                let (whole, part) = (positive / 100, positive % 100);
                if part == 0 { format!("{whole}%") } else { format!("{whole}.{part:02}%").replace("0%", "%") }
            }
            VarType::Bool
            | VarType::Int
            | VarType::Word
            | VarType::Text
            | VarType::Addr4
            | VarType::Prefix4
            | VarType::Prefix6
            | VarType::Mac
            | VarType::Vlan
            | VarType::Timezone
            | VarType::Week
            | VarType::OneOf
            | VarType::List => number.to_string(),
        }
    }

    /// The least and the greatest value, or whatever comes closest to the ends of what is allowed.
    pub(super) fn ends(&self) -> Vec<VarValue> {
        let one = |texts: &[&str]| texts.iter().map(|text| VarValue::One((*text).to_owned())).collect();
        match self.kind {
            VarType::Bool => one(&["false", "true"]),
            VarType::Int | VarType::Rate | VarType::Bytes | VarType::Duration | VarType::Percent | VarType::Vlan => {
                [self.min, self.max].into_iter().flatten().map(|number| VarValue::One(self.show(number))).collect()
            }
            VarType::Word => one(&["a", &"z".repeat(self.max_len)]),
            VarType::Text => one(&["A", &"W".repeat(self.max_len)]),
            VarType::Mac => {
                let own = self.digits();
                one(&[&format!("02:{own}"), &format!("fe:{own}")])
            }
            VarType::Timezone => one(&["UTC", "America/Argentina/ComodRivadavia"]),
            VarType::Week => one(&["mon 00:00-00:01", "mon-sun 00:00-24:00, closed 02-29"]),
            VarType::OneOf => self.one_of.iter().cloned().map(VarValue::One).collect(),
            VarType::List => {
                let mut ends: Vec<VarValue> = vec![VarValue::Many(Vec::new())];
                ends.extend(self.one_of.iter().map(|entry| VarValue::Many(vec![entry.clone()])));
                ends.push(VarValue::Many(self.one_of.iter().take(self.max_len).cloned().collect()));
                ends
            }
            VarType::Addr4 => {
                let Some(IpNet::V4(within)) = self.within else { return Vec::new() };
                let hosts = [within.hosts().next(), within.hosts().next_back()];
                hosts.into_iter().flatten().map(|host| VarValue::One(host.to_string())).collect()
            }
            VarType::Prefix4 | VarType::Prefix6 => {
                let (Some(within), Some(len)) = (self.within, self.len) else { return Vec::new() };
                let bits = u32::from(len.saturating_sub(within.prefix_len())).min(31);
                let last = (1_u32 << bits) - 1;
                let nets = [cut(within, len, 0), cut(within, len, last)];
                nets.into_iter().flatten().map(|net| VarValue::One(net.to_string())).collect()
            }
        }
    }

    /// Five bytes that another variable hardly has: two hosts of one site never have one hardware address.
    fn digits(&self) -> String {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = self.name.0.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        hash.to_be_bytes()[3..].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
    }

    /// Values between the ends that meet something else: every one is allowed, so none may do harm.
    pub(super) fn tempting(&self, taken: &[IpNet], numbers: &BTreeSet<i64>) -> Vec<VarValue> {
        if let (VarType::Int | VarType::Vlan, Some(min), Some(max)) = (self.kind, self.min, self.max) {
            return if min > max {
                Vec::new()
            } else {
                numbers.range(min..=max).map(|it| VarValue::One(it.to_string())).collect()
            };
        }
        let (Some(within), Some(len)) = (self.within, self.len) else { return Vec::new() };
        let meets = |net: &IpNet| {
            let inside = within.contains(&net.network());
            let address = if inside { net.network() } else { within.network() };
            let candidate = IpNet::new(address, len).ok()?.trunc();
            let meets = candidate.contains(net) || net.contains(&candidate);
            (meets && within.contains(&candidate)).then(|| VarValue::One(candidate.to_string()))
        };
        let mut found: Vec<VarValue> = taken.iter().filter_map(meets).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Values of a site by number of the variable, as they travel in the site document; sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values(pub Vec<(u16, VarValue)>);

/// Why values do not go with variables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValuesError {
    #[error("values are not in the order of their numbers")]
    Order,
    #[error("there is no variable number {number}")]
    Unknown { number: u16 },
    #[error("variable {name} cannot have this value: {cause}")]
    Refused { name: VarName, cause: String },
    #[error("variable {name} has no value")]
    NotSet { name: VarName },
}

impl Values {
    /// Of what a site sets; what is not of these variables is left out.
    pub(super) fn of(variables: &[Variable], set: &BTreeMap<VarName, VarValue>) -> Self {
        let numbered = (0_u16..).zip(variables);
        Self(numbered.filter_map(|(number, variable)| Some((number, set.get(&variable.name)?.clone()))).collect())
    }

    /// With defaults filled in; every value is checked again.
    pub(super) fn complete(&self, variables: &[Variable]) -> Result<BTreeMap<VarName, VarValue>, ValuesError> {
        if !self.0.is_sorted_by(|(one, _), (next, _)| one < next) {
            return Err(ValuesError::Order);
        }
        let mut all = BTreeMap::new();
        for (number, value) in &self.0 {
            let variable = variables.get(usize::from(*number)).ok_or(ValuesError::Unknown { number: *number })?;
            let taken = variable.take(value);
            let taken =
                taken.map_err(|refused| ValuesError::Refused { name: variable.name.clone(), cause: refused.cause })?;
            all.insert(variable.name.clone(), taken);
        }
        with_defaults(variables, &mut all);
        match variables.iter().find(|variable| is_missing(variable, &all)) {
            Some(variable) => Err(ValuesError::NotSet { name: variable.name.clone() }),
            None => Ok(all),
        }
    }
}

pub(super) fn with_defaults(variables: &[Variable], values: &mut BTreeMap<VarName, VarValue>) {
    for variable in variables {
        if let Some(default) = &variable.default {
            values.entry(variable.name.clone()).or_insert_with(|| default.clone());
        }
    }
}

/// It has no value, and it needs one. Defaults must have been filled in.
pub(super) fn is_missing(variable: &Variable, values: &BTreeMap<VarName, VarValue>) -> bool {
    let needed = match &variable.needed_if {
        Some(condition) => values.get(condition) == Some(&VarValue::One("true".to_owned())),
        None => true,
    };
    needed && !values.contains_key(&variable.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(kind: VarType) -> Variable {
        Variable {
            name: VarName::new("x").expect("a name"),
            kind,
            of: None,
            min: None,
            max: None,
            within: None,
            len: None,
            max_len: 8,
            one_of: Vec::new(),
            unique: false,
            default: None,
            needed_if: None,
        }
    }

    fn one(text: &str) -> VarValue {
        VarValue::One(text.to_owned())
    }

    #[test]
    fn values_have_one_canonical_form() {
        for (kind, written, canonical) in [
            (VarType::Rate, "1000mbit", "1gbit"),
            (VarType::Duration, "90m", "1h30m"),
            (VarType::Bytes, "1000MB", "1GB"),
            (VarType::Percent, "2.50%", "2.5%"),
            (VarType::Mac, "52:54:00:AB:CD:EF", "52:54:00:ab:cd:ef"),
            (VarType::Int, "+07", "7"),
        ] {
            assert_eq!(variable(kind).take(&one(written)), Ok(one(canonical)));
        }
    }

    #[test]
    fn bounds_hold_at_both_ends() {
        let rate = Variable { min: Some(2_000_000), max: Some(1_000_000_000), ..variable(VarType::Rate) };
        assert_eq!(rate.ends(), [one("2mbit"), one("1gbit")]);
        assert!(rate.ends().iter().all(|end| rate.take(end).is_ok()));
        let refused = rate.take(&one("1500kbit")).expect_err("too little");
        assert_eq!(refused.cause, "1500kbit is less than the minimum 2mbit");
        assert!(rate.take(&one("1001mbit")).is_err_and(|refused| refused.bounds));
        let percent = Variable { min: Some(250), max: Some(9_990), ..variable(VarType::Percent) };
        assert_eq!(percent.ends(), [one("2.5%"), one("99.9%")]);
        assert!(percent.ends().iter().all(|end| percent.take(end).is_ok()));
    }

    #[test]
    fn prefixes_stay_within_and_meet_what_is_taken() {
        let net = |text: &str| text.parse::<IpNet>().expect("a prefix");
        let site = Variable { within: Some(net("10.0.0.0/9")), len: Some(20), ..variable(VarType::Prefix4) };
        assert_eq!(site.ends(), [one("10.0.0.0/20"), one("10.127.240.0/20")]);
        for text in ["10.128.0.0/20", "10.0.0.0/21", "10.0.0.1/20", "192.168.0.0/20"] {
            assert!(site.take(&one(text)).is_err(), "{text}");
        }
        let taken = [net("10.5.6.0/24"), net("172.16.0.0/12"), net("10.0.0.0/8")];
        assert_eq!(site.tempting(&taken, &BTreeSet::new()), [one("10.0.0.0/20"), one("10.5.0.0/20")]);
    }

    #[test]
    fn numbers_meet_what_is_taken_within_their_bounds() {
        let host = Variable { min: Some(2), max: Some(150), ..variable(VarType::Int) };
        assert_eq!(host.tempting(&[], &BTreeSet::from([1, 100, 199])), [one("100")]);
    }

    #[test]
    fn what_is_needed_is_asked_for() {
        let camera = Variable {
            name: VarName::new("has_camera").expect("a name"),
            default: Some(one("false")),
            ..variable(VarType::Bool)
        };
        let mac = Variable { needed_if: Some(camera.name.clone()), ..variable(VarType::Mac) };
        let both = [camera, mac.clone()];
        assert!(Values(Vec::new()).complete(&both).is_ok());
        let on = Values(vec![(0, one("true"))]);
        assert_eq!(on.complete(&both), Err(ValuesError::NotSet { name: mac.name }));
        assert_eq!(Values(vec![(2, one("true"))]).complete(&both), Err(ValuesError::Unknown { number: 2 }));
        assert_eq!(Values(vec![(0, one("true")), (0, one("true"))]).complete(&both), Err(ValuesError::Order));
    }
}
