//! The raw types as bytes, in postcard's format, so that what head office wrote is what the gateway checks: with the same
//! grammar, the same ranges and the same floor. Strings with a grammar travel as their one canonical text and are parsed
//! again; required keys are there; lists are counted while they are read.

use serde::{Deserialize, Serialize};

use super::read::{At, Value, join};
use crate::config::fault::Place;

/// Entries of all lists of one section. The largest allowed firewall needs about half; more would only fill the memory.
const ENTRIES: usize = 65_536;

/// Bytes that are no section of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub(crate) struct Bad {
    pub(crate) key: String,
    pub(crate) why: String,
}

impl Bad {
    pub(crate) fn new(key: &str, why: impl Into<String>) -> Self {
        Self { key: key.to_owned(), why: why.into() }
    }
}

/// What is left of the bytes of a section.
pub(crate) struct Input<'b> {
    rest: &'b [u8],
    entries: usize,
}

impl<'b> Input<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, entries: ENTRIES }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn leaf<T: Deserialize<'b>>(&mut self, key: &str) -> Result<T, Bad> {
        let (value, rest) = postcard::take_from_bytes(self.rest).map_err(|error| Bad::new(key, error.to_string()))?;
        self.rest = rest;
        Ok(value)
    }

    /// Of a list. Nothing is reserved for what a number only claims.
    pub(crate) fn count(&mut self, key: &str) -> Result<usize, Bad> {
        let count = usize::try_from(self.leaf::<u64>(key)?).unwrap_or(usize::MAX);
        match self.entries.checked_sub(count) {
            Some(left) => self.entries = left,
            None => return Err(Bad::new(key, "it has more entries than a section may have")),
        }
        Ok(count)
    }

    pub(crate) fn optional<T: Value>(&mut self, table: &str, name: &str) -> Result<Option<At<T>>, Bad> {
        let key = join(table, name);
        if !self.leaf::<bool>(&key)? {
            return Ok(None);
        }
        let value = T::take(self, &key)?;
        Ok(Some(At { value, key, place: Place(0) }))
    }

    pub(crate) fn required<T: Value>(&mut self, table: &str, name: &str) -> Result<Option<At<T>>, Bad> {
        match self.optional(table, name)? {
            None => Err(Bad::new(&join(table, name), "it is required")),
            found => Ok(found),
        }
    }
}

pub(crate) fn put_leaf<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    out.extend(postcard::to_stdvec(value).expect("strings and numbers always serialise"));
}

pub(crate) fn put_count(count: usize, out: &mut Vec<u8>) {
    put_leaf(&u64::try_from(count).unwrap_or(u64::MAX), out);
}

pub(crate) fn put_option<T: Value>(value: Option<&At<T>>, out: &mut Vec<u8>) {
    put_leaf(&value.is_some(), out);
    if let Some(at) = value {
        at.value.put(out);
    }
}
