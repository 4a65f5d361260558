//! Lists, texts and bytes that are bounded while they are decoded: a length that is too long is refused before anything
//! is allocated for it.

use std::fmt::{self, Debug, Display};
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The value is longer than `most`, or holds what its type does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    #[error("longer than {most}")]
    TooLong { most: usize },
    #[error("a control character")]
    Control,
}

/// At most `MOST` items.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct List<T, const MOST: usize>(Vec<T>);

impl<T, const MOST: usize> List<T, MOST> {
    pub const EMPTY: Self = Self(Vec::new());

    pub fn new(items: Vec<T>) -> Result<Self, OutOfBounds> {
        if items.len() > MOST { Err(OutOfBounds::TooLong { most: MOST }) } else { Ok(Self(items)) }
    }

    /// What is above the bound is left out; for what we measured ourselves, where a part is better than nothing.
    pub fn truncated(items: impl IntoIterator<Item = T>) -> Self {
        Self(items.into_iter().take(MOST).collect())
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }
}

impl<T, const MOST: usize> Default for List<T, MOST> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<T, const MOST: usize> Deref for List<T, MOST> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for List<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor::<T, MOST>(PhantomData)).map(Self)
    }
}

struct ListVisitor<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for ListVisitor<T, MOST> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MOST} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        if items.size_hint().is_some_and(|length| length > MOST) {
            return Err(A::Error::custom(OutOfBounds::TooLong { most: MOST }));
        }
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == MOST {
                return Err(A::Error::custom(OutOfBounds::TooLong { most: MOST }));
            }
            list.push(item);
        }
        Ok(list)
    }
}

/// At most `MOST` bytes of UTF-8 without control characters, so that it can be shown and logged as it is.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Text<const MOST: usize>(String);

impl<const MOST: usize> Text<MOST> {
    pub fn new(text: &str) -> Result<Self, OutOfBounds> {
        if text.len() > MOST {
            Err(OutOfBounds::TooLong { most: MOST })
        } else if text.chars().any(char::is_control) {
            Err(OutOfBounds::Control)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl<const MOST: usize> Deref for Text<MOST> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MOST: usize> Display for Text<MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MOST: usize> Debug for Text<MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.0, f)
    }
}

impl<'de, const MOST: usize> Deserialize<'de> for Text<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor<const MOST: usize>;

impl<const MOST: usize> Visitor<'_> for TextVisitor<MOST> {
    type Value = Text<MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MOST} bytes of text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<MOST>, E> {
        Text::new(text).map_err(E::custom)
    }
}

/// At most `MOST` bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bytes<const MOST: usize>(Vec<u8>);

impl<const MOST: usize> Bytes<MOST> {
    pub fn new(bytes: &[u8]) -> Result<Self, OutOfBounds> {
        if bytes.len() > MOST { Err(OutOfBounds::TooLong { most: MOST }) } else { Ok(Self(bytes.to_vec())) }
    }
}

impl<const MOST: usize> Deref for Bytes<MOST> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MOST: usize> Serialize for Bytes<MOST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const MOST: usize> Deserialize<'de> for Bytes<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

struct BytesVisitor<const MOST: usize>;

impl<const MOST: usize> Visitor<'_> for BytesVisitor<MOST> {
    type Value = Bytes<MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MOST} bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes<MOST>, E> {
        Bytes::new(bytes).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_refused_while_decoding() {
        let four = postcard::to_allocvec(&[1_u8, 2, 3, 4].as_slice()).expect("a list");
        assert!(postcard::from_bytes::<List<u8, 4>>(&four).is_ok());
        assert!(postcard::from_bytes::<List<u8, 3>>(&four).is_err());
        assert!(postcard::from_bytes::<Bytes<4>>(&four).is_ok());
        assert!(postcard::from_bytes::<Bytes<3>>(&four).is_err());
        assert!(postcard::from_bytes::<Text<4>>(&four).is_err(), "control characters");
        let text = postcard::to_allocvec("lyon").expect("a text");
        assert!(postcard::from_bytes::<Text<4>>(&text).is_ok());
        assert!(postcard::from_bytes::<Text<3>>(&text).is_err());
    }

    #[test]
    fn a_length_of_all_memory_allocates_nothing() {
        let length = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert!(postcard::from_bytes::<List<u64, 64>>(&length).is_err());
        assert!(postcard::from_bytes::<Text<64>>(&length).is_err());
        assert!(postcard::from_bytes::<Bytes<64>>(&length).is_err());
    }
}
