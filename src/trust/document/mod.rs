//! What stands inside an envelope: postcard (its wire format 1), read strictly. `docs/protocol.md` has each field.
//!
//! A struct that is published never changes: what changes is a new struct under a new format number, beside the old one.

mod assignment;
mod enrol;
mod freshness;
mod section;
mod site;
mod standard;
mod transition;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::bounded::Text;
use super::envelope::{Draft, EnvelopeError, Kind};

pub use assignment::{Assignment, Flags, Reference, SealedKey};
pub use enrol::{Admission, EnrolReceipt, EnrolRequest, Token, TokenId};
pub use freshness::Freshness;
pub use section::{SECTION_BYTES, SECTIONS_MOST, Section, SectionId, Sections};
pub use site::{CONTRACTS_MOST, Contract, SECRETS_MOST, SealedSecret, Site, VALUES_MOST, Value};
pub use standard::Standard;
pub use transition::{TransitionKind, TransitionReceipt};

/// 16 random bytes that the device chose; whoever signs them answers this very question.
pub type Nonce = [u8; 16];
/// Whose fleet it is.
pub type Tenant = Text<64>;
/// Names of people, sites, models, tickets.
pub type Label = Text<64>;

/// A document's payload.
pub trait Document: Serialize + DeserializeOwned {
    const KIND: Kind;
    /// The envelope's `format`.
    const FORMAT: u16;

    /// What the types of the fields cannot say.
    fn check(&self) -> Result<(), Invalid>;

    /// A document without signatures yet.
    fn draft(&self) -> Result<Draft, Unfit> {
        self.check()?;
        let payload = postcard::to_allocvec(self).map_err(|_| Unfit::Payload)?;
        Ok(Draft::new(Self::KIND, Self::FORMAT, payload))
    }
}

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum DecodeError {
    #[error("the payload does not parse")]
    Parse,
    #[error("something follows the document inside the payload")]
    Trailing,
    #[error("a value is not written in its one shortest form")]
    NotCanonical,
    #[error("the document contradicts itself")]
    Invalid(#[from] Invalid),
}

/// What a document says that no document may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Invalid {
    #[error("a threshold of zero, or above the number of keys")]
    Threshold,
    #[error("a key that is none, or one key twice")]
    Key,
    #[error("a list out of order, or one entry twice")]
    Order,
    #[error("a section that must be critical is not")]
    NotCritical,
    #[error("a flag that this version does not know")]
    Flag,
    #[error("a version or number of zero")]
    Zero,
    #[error("a way back that does not follow what it undoes")]
    WayBack,
    #[error("a number from which nothing could follow")]
    Exhausted,
}

/// Why a document cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("the document contradicts itself")]
    Invalid(#[from] Invalid),
    #[error("the document cannot be written")]
    Payload,
    #[error("the document does not fit its envelope")]
    Envelope(#[from] EnvelopeError),
}

/// Reads a payload to its last byte. Values that are not in their shortest form are refused: postcard would take
/// over-long numbers, and then two files would be one document.
pub fn decode<D: Document>(payload: &[u8]) -> Result<D, DecodeError> {
    let (document, rest) = postcard::take_from_bytes::<D>(payload).map_err(|_| DecodeError::Parse)?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing);
    }
    if !is_canonical(&document, payload) {
        return Err(DecodeError::NotCanonical);
    }
    document.check()?;
    Ok(document)
}

/// Whether writing `value` gives just these bytes. Compares while writing, without a second copy.
fn is_canonical<T: Serialize>(value: &T, bytes: &[u8]) -> bool {
    postcard::serialize_with_flavor(value, Same { rest: bytes }).unwrap_or(false)
}

struct Same<'a> {
    rest: &'a [u8],
}

impl postcard::ser_flavors::Flavor for Same<'_> {
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.rest = self.rest.strip_prefix(bytes).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.rest.is_empty())
    }
}

/// Seconds since 1970 in UTC, up to the end of the year 9999: a larger number is refused, not taken for a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Seconds(u64);

impl Seconds {
    pub const MOST: Self = Self(253_402_300_799);

    pub fn new(seconds: u64) -> Option<Self> {
        (seconds <= Self::MOST.0).then_some(Self(seconds))
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds)).min(Self::MOST)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = u64::deserialize(deserializer)?;
        Self::new(seconds).ok_or_else(|| serde::de::Error::custom("a time after the year 9999"))
    }
}

/// A number in an epoch: a higher epoch, which only a root can begin, starts the numbers anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Turn {
    pub epoch: u32,
    pub seq: u64,
}

impl Turn {
    pub const fn new(epoch: u32, seq: u64) -> Self {
        Self { epoch, seq }
    }

    /// 2⁶⁴−1 would leave no number for what comes next.
    pub(super) fn check(self) -> Result<(), Invalid> {
        match self.seq {
            0 => Err(Invalid::Zero),
            u64::MAX => Err(Invalid::Exhausted),
            _ => Ok(()),
        }
    }
}

/// A firmware's version, compared number by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Firmware {
    pub major: u16,
    pub minor: u16,
    pub patch: u16,
}

impl Firmware {
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }
}

/// `keys` in ascending order, each once.
fn is_sorted_once<K: Ord>(keys: impl IntoIterator<Item = K>) -> bool {
    let mut last: Option<K> = None;
    keys.into_iter().all(|key| {
        let rises = last.as_ref().is_none_or(|last| *last < key);
        last = Some(key);
        rises
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
