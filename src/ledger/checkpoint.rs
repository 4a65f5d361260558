//! The sums with their place in the ledger, written each minute into one of two slots in turn: what a start need not fold
//! again, and the heartbeat that says until when the box lived.
//!
//! ```text
//! 0   4  magic "CWL1"   4   8  number, little-endian   12  4  length of the payload
//! 16  …  payload (postcard of a Checkpoint)            then 4: CRC-32 of all before it
//! ```

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::record::{Id, Stamp};

/// How much of an outage of the mains is not known, at most.
pub const CHECKPOINT_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
/// From slot to slot. A box with two lines needs a tenth of the first 4 KiB, which is all that is written then; 64 lines
/// that have seen every state need it all.
pub const SLOT: usize = 16 << 10;
const MAGIC: [u8; 4] = *b"CWL1";
const HEADER: usize = 16;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    pub ledger: Id,
    /// Records up to this one are in the sums.
    pub seq: u64,
    pub boot: Id,
    pub mono: u64,
    pub wall: Option<u64>,
    pub account: Account,
}

impl Checkpoint {
    /// When the box was last known to live.
    pub fn stamp(&self) -> Stamp {
        Stamp { boot: self.boot, mono: self.mono, wall: self.wall }
    }
}

/// Which slot an entry of this number stands in: 0 or 1.
pub fn slot_of(number: u64) -> usize {
    usize::from(number % 2 == 1)
}

/// `None`: more lines than any config has.
pub fn encode(number: u64, checkpoint: &Checkpoint) -> Option<Vec<u8>> {
    let payload = postcard::to_allocvec(checkpoint).ok()?;
    let length = u32::try_from(payload.len()).ok()?;
    let mut slot = [&MAGIC[..], &number.to_le_bytes(), &length.to_le_bytes(), &payload].concat();
    slot.extend(crc32(&slot).to_le_bytes());
    (slot.len() <= SLOT).then_some(slot)
}

/// The number and what was written; `None` for anything that is not whole.
pub fn decode(slot: &[u8]) -> Option<(u64, Checkpoint)> {
    let number = u64::from_le_bytes(slot.get(4..12)?.try_into().ok()?);
    let length = usize::try_from(u32::from_le_bytes(slot.get(12..HEADER)?.try_into().ok()?)).ok()?;
    let end = HEADER.checked_add(length).filter(|end| *end <= SLOT - 4)?;
    let sum = u32::from_le_bytes(slot.get(end..end + 4)?.try_into().ok()?);
    if slot[..4] != MAGIC || crc32(&slot[..end]) != sum {
        return None;
    }
    Some((number, postcard::from_bytes(&slot[HEADER..end]).ok()?))
}

/// The newer of two slots.
pub fn newest(file: &[u8]) -> Option<(u64, Checkpoint)> {
    let first = decode(file);
    let second = file.get(SLOT..).and_then(decode);
    [first, second].into_iter().flatten().max_by_key(|(number, _)| *number)
}

/// IEEE 802.3, bit by bit: a few KiB a minute need no table.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(seq: u64) -> Checkpoint {
        let account = Account::default();
        Checkpoint { ledger: Id(1), seq, boot: Id(2), mono: 3, wall: Some(4), account }
    }

    #[test]
    fn the_newer_whole_slot_counts() {
        let mut file = vec![0; 2 * SLOT];
        let mut put = |number: u64| {
            let slot = encode(number, &checkpoint(number)).expect("it fits");
            let at = slot_of(number) * SLOT;
            file[at..at + slot.len()].copy_from_slice(&slot);
            file.clone()
        };
        assert_eq!(newest(&put(4)).map(|(_, it)| it.seq), Some(4));
        let both = put(5);
        assert_eq!(newest(&both).map(|(_, it)| it.seq), Some(5));
        for at in SLOT..SLOT + 40 {
            let mut torn = both.clone();
            torn[at] ^= 1;
            assert_eq!(newest(&torn).map(|(_, it)| it.seq), Some(4), "byte {at}");
        }
        assert!(newest(&[]).is_none());
    }

    /// RFC 3720, B.4 uses another polynomial; this is the check value of the one in Ethernet.
    #[test]
    fn the_sum_is_the_one_of_ethernet() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
