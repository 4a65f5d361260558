use proptest::prelude::*;

use super::*;
use crate::time::Instant;
use crate::trust::bounded::Text;
use crate::trust::document::{Seconds, Turn};
use crate::trust::envelope::EnvelopeError;
use crate::trust::floors::{BootId, Floors};
use crate::trust::machine::{
    Candidate, Config, Evidence, Keep, LastReturn, Measurement, Moment, Reason, Saved, Signs, Surroundings, Timers,
    UPLINKS_MOST, Verdict,
};
use crate::trust::refusal::Refusal;

/// Every number as long, every list as full as it can be.
fn fullest() -> Record {
    let turn = Turn::new(u32::MAX, u64::MAX);
    let digest = Digest::new([0xff; 32]);
    let config = Config {
        assignment: digest,
        standard: digest,
        site: digest,
        resolved: digest,
        assigned: turn,
        released: turn,
        created_at: Seconds::MOST,
    };
    let timers = Timers { soft: u32::MAX, hard: u32::MAX, soak: u32::MAX };
    let candidate = Candidate { config, expedite: true, operator: true, timers };
    let reason = Reason::Refused(Refusal::Envelope(EnvelopeError::Trailing));
    let around = Surroundings { checks: u16::MAX, lan: true, office: Default::default() };
    let name = |number| Text::new(&format!("{number:a>32}")).expect("32 letters");
    let signs = Signs::PRESENT.with(Signs::DNS);
    let measurement = Measurement { uplinks: (0..UPLINKS_MOST).map(|n| (name(n), signs)).collect(), around };
    let mut evidence = Evidence::begin(&measurement);
    evidence.set(Moment::Trial, &measurement);
    evidence.set(Moment::After, &measurement);
    evidence.tried_for = u32::MAX;
    let mut floors = Floors::new(Seconds::default());
    floors.raise_time_online(Seconds::MOST, BootId([255; 16]), Instant::NEVER);
    floors.raise_assignment(turn, digest);
    floors.raise_standard(turn, Seconds::MOST);
    (floors.root_version, floors.epoch) = (u32::MAX, u32::MAX);
    let mut keep = Keep::new(floors, BootId([255; 16]));
    (keep.good, keep.previous, keep.next) = (Some(config), Some(config), Some(candidate));
    (keep.attempts, keep.retries) = (u8::MAX, u8::MAX);
    keep.last = Some(LastReturn { resolved: digest, released: turn, reason, verdict: Some(Verdict::Withdrawn) });
    (keep.evidence, keep.root, keep.order_nonce) = (evidence, Some(digest), [255; 16]);
    Record { state: Saved::Quarantine { candidate, reason, verdict: Some(Verdict::Withdrawn) }, keep }
}

#[test]
fn the_fullest_record_fits_and_comes_back() {
    let entry = Entry { number: u64::MAX, record: fullest() };
    let length = postcard::to_allocvec(&entry.record).expect("it is written").len();
    assert!(length <= PAYLOAD_MOST, "{length} bytes, at most {PAYLOAD_MOST}");
    let slot = encode(&entry).expect("it fits");
    assert_eq!(decode(&slot), Ok(entry));
}

#[test]
fn the_higher_number_counts_whichever_slot_it_is_in() {
    let slot = |number| encode(&Entry { number, record: fullest() }).expect("it fits").to_vec();
    let numbers = |journal: &[u8]| {
        let (last, before) = entries(journal);
        (last.map(|entry| entry.number), before.map(|entry| entry.number))
    };
    assert_eq!(numbers(&[slot(4), slot(5)].concat()), (Some(5), Some(4)));
    assert_eq!(numbers(&[slot(6), slot(5)].concat()), (Some(6), Some(5)));
    assert_eq!(numbers(&[slot(6), vec![0; SLOT]].concat()), (Some(6), None));
    assert_eq!(numbers(&vec![0; 2 * SLOT]), (None, None));
    assert_eq!(numbers(&slot(6)[..100]), (None, None));
}

#[test]
fn g12_every_flipped_bit_and_every_tear_is_detected() {
    let old = encode(&Entry { number: 1, record: fullest() }).expect("it fits");
    let new = encode(&Entry { number: 3, record: fullest() }).expect("it fits");
    for bit in (0..SLOT * 8).step_by(3) {
        let mut slot = old;
        slot[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode(&slot), Err(SlotError::Checksum), "bit {bit}");
    }
    for sectors in 0_u32..256 {
        let mut slot = old;
        for sector in (0..8).filter(|sector| sectors & (1 << sector) != 0) {
            let range = sector * 512..(sector + 1) * 512;
            slot[range.clone()].copy_from_slice(&new[range]);
        }
        let whole = slot == old || slot == new;
        assert_eq!(decode(&slot).is_ok(), whole, "sectors {sectors:b}");
    }
}

#[test]
fn an_entry_that_says_more_than_it_holds_is_unreadable() {
    let good = encode(&Entry { number: 1, record: fullest() }).expect("it fits");
    for (at, value) in [(0, b'X'), (12, good[12].wrapping_add(1)), (14, 255), (HEADER, 250)] {
        let mut slot = good;
        slot[at] = value;
        let sum = Digest::of(&slot[..SUM]);
        slot[SUM..].copy_from_slice(sum.bytes());
        assert_eq!(decode(&slot), Err(SlotError::Unreadable), "byte {at}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(number: u64, attempts: u8, boot: [u8; 16], nonce: [u8; 16], seq: u64, waited: u32) {
        let mut record = fullest();
        (record.keep.attempts, record.keep.boot, record.keep.order_nonce) = (attempts, BootId(boot), nonce);
        let mut candidate = *record.state.candidate().expect("it has one");
        candidate.config.released.seq = seq;
        record.state = Saved::Fetched { candidate, waited };
        let entry = Entry { number, record };
        prop_assert_eq!(decode(&encode(&entry).expect("it fits")), Ok(entry));
    }

    #[test]
    fn random_slots_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut slot = [0; SLOT];
        slot[..bytes.len()].copy_from_slice(&bytes);
        let sum = Digest::of(&slot[..SUM]);
        slot[SUM..].copy_from_slice(sum.bytes());
        let _ = decode(&slot);
        let _ = decode(&bytes);
    }
}
