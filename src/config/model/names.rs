//! How things are called: by their place in the config, by family, by names with a closed alphabet.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Index of an uplink in [`super::Gateway::uplinks`]: 0…63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UplinkId(pub u8);

/// Index of a path in [`super::Gateway::paths`]; path 0 is always `default`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PathId(pub u8);

/// Index of a target in [`super::Uplink::targets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetId(pub u8);

impl UplinkId {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl PathId {
    pub const DEFAULT: Self = Self(0);

    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl TargetId {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    pub fn index(self) -> usize {
        match self {
            Self::V4 => 0,
            Self::V6 => 1,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that a person gave: uplink, path, network, forward. `[a-z0-9-]`, 1…32 characters, so that it can stand in a
/// metric label, a file name, an nft comment and a sentence without escaping.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// A network device: 1…15 of `[A-Za-z0-9._-]` (the kernel's `IFNAMSIZ`, without what would be syntax anywhere).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinkName(String);

/// Why a string is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("it is empty")]
    Empty,
    #[error("it has {length} characters, at most {most} are allowed")]
    TooLong { length: usize, most: usize },
    #[error("character {character:?} is not allowed")]
    Character { character: char },
}

impl Name {
    pub const MOST: usize = 32;

    pub fn new(text: &str) -> Result<Self, NameError> {
        checked(text, Self::MOST, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-').map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl LinkName {
    pub const MOST: usize = 15;

    pub fn new(text: &str) -> Result<Self, NameError> {
        checked(text, Self::MOST, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')).map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl TryFrom<String> for LinkName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<LinkName> for String {
    fn from(name: LinkName) -> Self {
        name.0
    }
}

pub(in crate::config) fn checked(text: &str, most: usize, allowed: impl Fn(char) -> bool) -> Result<String, NameError> {
    let length = text.chars().count();
    if length == 0 {
        return Err(NameError::Empty);
    }
    if length > most {
        return Err(NameError::TooLong { length, most });
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(character) => Err(NameError::Character { character }),
        None => Ok(text.to_owned()),
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
