//! The journal: two slots of 4 KiB, written in turn, so that one of them is always whole. The valid one with the higher
//! number counts.
//!
//! ```text
//! 0     4  magic "CWJ1"       4     8  number, little-endian      12    4  length of the payload
//! 16    …  payload (postcard of a Record), then zeros to 4064
//! 4064 32  SHA-256 of all that stands before it
//! ```

use super::digest::Digest;
use super::machine::Record;

pub const SLOT: usize = 4 << 10;
const MAGIC: [u8; 4] = *b"CWJ1";
const HEADER: usize = 16;
const SUM: usize = SLOT - 32;
/// The longest record: 64 uplinks with names of 32 bytes stay below it, a test counts.
pub const PAYLOAD_MOST: usize = SUM - HEADER;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From 1, one more with each write; also says which slot it is in.
    pub number: u64,
    pub record: Record,
}

/// Why a slot does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SlotError {
    #[error("the slot is not {SLOT} bytes long")]
    Length,
    #[error("the slot was never written")]
    Empty,
    #[error("the slot's checksum does not fit")]
    Checksum,
    #[error("the slot was written by firmware of another kind")]
    Unreadable,
}

/// Which slot an entry of this number stands in: 0 or 1.
pub fn slot_of(number: u64) -> usize {
    usize::from(number % 2 == 1)
}

/// `None` when the record does not fit, which its bounds rule out.
pub fn encode(entry: &Entry) -> Option<[u8; SLOT]> {
    let payload = postcard::to_allocvec(&entry.record).ok()?;
    let length = u32::try_from(payload.len()).ok()?;
    let mut slot = [0; SLOT];
    slot[..4].copy_from_slice(&MAGIC);
    slot[4..12].copy_from_slice(&entry.number.to_le_bytes());
    slot[12..HEADER].copy_from_slice(&length.to_le_bytes());
    slot[HEADER..SUM].get_mut(..payload.len())?.copy_from_slice(&payload);
    let sum = Digest::of(&slot[..SUM]);
    slot[SUM..].copy_from_slice(sum.bytes());
    Some(slot)
}

pub fn decode(slot: &[u8]) -> Result<Entry, SlotError> {
    if slot.len() != SLOT {
        return Err(SlotError::Length);
    }
    let (content, sum) = slot.split_at(SUM);
    if Digest::of(content).bytes() != sum {
        return Err(if slot.iter().all(|byte| *byte == 0) { SlotError::Empty } else { SlotError::Checksum });
    }
    let (header, rest) = content.split_at(HEADER);
    let number = header[4..12].try_into().map(u64::from_le_bytes).map_err(|_| SlotError::Unreadable)?;
    let length = header[12..].try_into().map(u32::from_le_bytes).map_err(|_| SlotError::Unreadable)?;
    let length = usize::try_from(length).map_err(|_| SlotError::Unreadable)?;
    let payload = rest.get(..length).ok_or(SlotError::Unreadable)?;
    let (record, left) = postcard::take_from_bytes(payload).map_err(|_| SlotError::Unreadable)?;
    if header[..4] != MAGIC || !left.is_empty() {
        return Err(SlotError::Unreadable);
    }
    Ok(Entry { number, record })
}

/// The entry that counts, and the one before it, of both slots one after the other.
pub fn entries(journal: &[u8]) -> (Option<Entry>, Option<Entry>) {
    let mut slots = journal.chunks(SLOT).map(|slot| decode(slot).ok());
    let (first, second) = (slots.next().flatten(), slots.next().flatten());
    let number = |entry: &Option<Entry>| entry.as_ref().map(|entry| entry.number);
    if number(&first) > number(&second) { (first, second) } else { (second, first) }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
