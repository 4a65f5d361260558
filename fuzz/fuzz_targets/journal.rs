//! A slot of the journal as it comes from the disk: as it is, and with a right header and checksum around it.

#![no_main]

use causeway::trust::digest::Digest;
use causeway::trust::journal::{self, PAYLOAD_MOST, SLOT};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    journal::entries(bytes);
    let payload = &bytes[..bytes.len().min(PAYLOAD_MOST)];
    let mut slot = [0; SLOT];
    slot[..4].copy_from_slice(b"CWJ1");
    slot[4] = 1;
    slot[12..16].copy_from_slice(&u32::try_from(payload.len()).expect("it is short").to_le_bytes());
    slot[16..16 + payload.len()].copy_from_slice(payload);
    let sum = Digest::of(&slot[..SLOT - 32]);
    slot[SLOT - 32..].copy_from_slice(sum.bytes());
    if let Ok(entry) = journal::decode(&slot) {
        let again = journal::encode(&entry).expect("it fitted");
        assert_eq!(journal::decode(&again), Ok(entry));
    }
});
