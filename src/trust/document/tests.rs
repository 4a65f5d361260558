use proptest::prelude::*;

use super::*;
use crate::trust::bounded::{Bytes, List};
use crate::trust::digest::Digest;
use crate::trust::keys::{DeviceId, Signer};

fn assignment() -> Assignment {
    let reference = Reference { digest: Digest::of(b"blob"), size: 1_000, seq: 3 };
    Assignment {
        tenant: Text::new("petit").expect("short"),
        device: DeviceId(Digest::of(b"device")),
        turn: Turn::new(1, 300),
        root_version: 1,
        standard: reference,
        site: reference,
        resolved: Digest::of(b"resolved"),
        standard_key: Bytes::default(),
        site_key: Bytes::default(),
        rollout: 1,
        wave: 2,
        flags: Flags::EXPEDITE,
        issued_at: Seconds::new(1_800_000_000).expect("a time"),
    }
}

fn standard() -> Standard {
    let section = |id, critical| Section { id: SectionId(id), version: 1, critical, bytes: Bytes::default() };
    Standard {
        tenant: Text::new("petit").expect("short"),
        name: Text::new("retail").expect("short"),
        turn: Turn::new(1, 42),
        way_back_of: None,
        created_at: Seconds::default(),
        author: Text::default(),
        approvers: List::EMPTY,
        ticket: Text::default(),
        models: List::EMPTY,
        min_firmware: Firmware::new(1, 4, 0),
        sections: List::new(vec![section(3, true), section(9, false)]).expect("two"),
    }
}

fn written<D: Document>(document: &D) -> Vec<u8> {
    postcard::to_allocvec(document).expect("it is written")
}

#[test]
fn an_assignment_stays_below_its_budget_of_600_bytes() {
    let mut largest = assignment();
    largest.standard_key = Bytes::new(&[0; 80]).expect("80 bytes");
    largest.site_key = largest.standard_key.clone();
    largest.tenant = Text::new(&"x".repeat(64)).expect("64 bytes");
    largest.turn = Turn::new(u32::MAX, u64::MAX - 1);
    let bytes = largest.draft().expect("it is right").sign(&Signer::from_seed(&[1; 32])).encode().expect("it fits");
    assert!(bytes.len() <= 600, "{} bytes", bytes.len());
}

#[test]
fn a_second_way_to_write_a_value_is_refused() {
    let good = written(&assignment());
    assert!(decode::<Assignment>(&good).is_ok());
    let at = good.windows(2).position(|pair| pair == [0xac, 0x02]).expect("300 as a varint");
    let longer = [&good[..at], &[0xac, 0x82, 0x00], &good[at + 2..]].concat();
    assert!(postcard::take_from_bytes::<Assignment>(&longer).is_ok(), "postcard itself would take it");
    assert_eq!(decode::<Assignment>(&longer), Err(DecodeError::NotCanonical));
    assert_eq!(decode::<Assignment>(&[&good[..], &[0]].concat()), Err(DecodeError::Trailing));
    assert_eq!(decode::<Assignment>(&good[..good.len() - 1]), Err(DecodeError::Parse));
}

#[test]
fn what_contradicts_itself_is_refused() {
    type Spoil = fn(&mut Standard);
    let faults: [(Spoil, Invalid); 8] = [
        (|standard| standard.turn.seq = 0, Invalid::Zero),
        (|standard| standard.turn.seq = u64::MAX, Invalid::Exhausted),
        (|standard| standard.way_back_of = Some(40), Invalid::WayBack),
        (|standard| standard.way_back_of = Some(u64::MAX), Invalid::WayBack),
        (|standard| standard.sections.iter_mut().for_each(|section| section.id = SectionId(3)), Invalid::Order),
        (|standard| standard.sections.iter_mut().for_each(|section| section.id.0 = 12 - section.id.0), Invalid::Order),
        (|standard| standard.sections.iter_mut().for_each(|section| section.critical = false), Invalid::NotCritical),
        (|standard| standard.sections.iter_mut().for_each(|section| section.version = 0), Invalid::Zero),
    ];
    assert_eq!(standard().check(), Ok(()));
    let back = Standard { way_back_of: Some(41), ..standard() };
    assert_eq!(back.check(), Ok(()));
    for (spoil, invalid) in faults {
        let mut standard = standard();
        spoil(&mut standard);
        assert_eq!(decode::<Standard>(&written(&standard)), Err(DecodeError::Invalid(invalid)));
    }
}

#[test]
fn a_flag_that_is_not_known_is_refused() {
    let mut bytes = written(&assignment());
    let issued = 5;
    let flags = bytes.len() - issued - 1;
    assert_eq!(bytes[flags], 1);
    bytes[flags] = 2;
    assert_eq!(decode::<Assignment>(&bytes), Err(DecodeError::Invalid(Invalid::Flag)));
}

#[test]
fn a_time_after_the_year_9999_is_none() {
    let seconds = postcard::to_allocvec(&(Seconds::MOST.get() + 1)).expect("a number");
    assert!(postcard::from_bytes::<Seconds>(&seconds).is_err());
    assert_eq!(Seconds::MOST.plus(u64::MAX), Seconds::MOST);
}

#[test]
fn the_token_is_proved_without_being_sent() {
    let signer = Signer::from_seed(&[5; 32]);
    let token = Token([9; 16]);
    let request = EnrolRequest {
        tenant: Text::new("petit").expect("short"),
        device: signer.public().device(),
        counter: 1,
        signing: signer.public(),
        sealing: [6; 32],
        serial: Text::new("CWX1-0042").expect("short"),
        model: Text::new("cw-x1").expect("short"),
        firmware: Firmware::new(1, 4, 0),
        nonce: [1; 16],
        order_nonce: [2; 16],
        token: Token([0; 16]).id(),
        mac: [0; 32],
    }
    .proved(&token);
    assert!(request.is_proved(&token.secret()));
    assert!(!request.is_proved(&Token([8; 16]).secret()));
    let other = EnrolRequest { serial: Text::new("CWX1-0043").expect("short"), ..request.clone() };
    assert!(!other.is_proved(&token.secret()));
    let bytes = written(&request);
    assert!(!bytes.windows(16).any(|window| window == [9; 16]));
    assert_eq!(decode::<EnrolRequest>(&bytes), Ok(request));
}

proptest! {
    #[test]
    fn random_payloads_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode::<Standard>(&bytes);
        let _ = decode::<Site>(&bytes);
        let _ = decode::<Assignment>(&bytes);
        let _ = decode::<Freshness>(&bytes);
        let _ = decode::<EnrolReceipt>(&bytes);
        let _ = decode::<EnrolRequest>(&bytes);
        let _ = decode::<TransitionReceipt>(&bytes);
    }

    /// Whatever decodes is the one way to write it.
    #[test]
    fn what_decodes_encodes_to_the_same(at: prop::sample::Index, by in 1_u8..) {
        let mut bytes = written(&assignment());
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        if let Ok(document) = decode::<Assignment>(&bytes) {
            prop_assert_eq!(written(&document), bytes);
        }
    }
}
