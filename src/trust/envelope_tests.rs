use proptest::prelude::*;

use super::*;

const KIND: Kind = Kind::Assignment;

fn document(payload: &[u8]) -> Vec<u8> {
    let draft = Draft::new(KIND, 1, payload.to_vec());
    draft.sign(&Signer::from_seed(&[1; 32])).sign(&Signer::from_seed(&[2; 32])).encode().expect("it is short")
}

#[test]
fn numbers_are_those_of_the_specification() {
    let numbers = Kind::ALL.map(Kind::number);
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 32, 33, 34]);
    for kind in Kind::ALL {
        assert_eq!(Kind::from_number(kind.number()), Some(kind));
    }
    assert_eq!(Kind::from_number(9), None);
}

#[test]
fn each_fault_of_a_frame_has_its_own_answer() {
    use EnvelopeError::{
        Algorithm, Count, Format, Magic, NotSupportedYet, Order, Reserved, TooLong, Trailing, Truncated,
    };
    let good = document(b"payload");
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    let swapped = {
        let mut bytes = good.clone();
        let (first, second) = bytes[HEADER..HEADER + 2 * SIGNATURE].split_at_mut(SIGNATURE);
        first.swap_with_slice(second);
        bytes
    };
    let doubled = [&good[..HEADER + SIGNATURE], &good[HEADER..HEADER + SIGNATURE], b"payload"].concat();
    for (bytes, error) in [
        (vec![0; KIND.cap() + 1], TooLong),
        (good[..10].to_vec(), Truncated),
        (good[..good.len() - 1].to_vec(), Truncated),
        (with(0, b'X'), Magic),
        (with(4, 2), EnvelopeError::Kind),
        (with(6, 2), Format),
        (with(12, 0), Count),
        (with(12, 9), Count),
        (with(13, 1), Reserved),
        (with(HEADER + 8, 2), Algorithm),
        (swapped, Order),
        (doubled, Order),
        ([good.clone(), vec![0]].concat(), Trailing),
    ] {
        assert_eq!(decode(&bytes, KIND, 1), Err(error));
    }
    let order = Draft::new(Kind::Order, 1, vec![]).sign(&Signer::from_seed(&[1; 32])).encode().expect("short");
    assert_eq!(decode(&order, Kind::Order, 1), Err(NotSupportedYet));
}

#[test]
fn a_draft_that_is_taken_up_again_keeps_its_signatures() {
    let whole = document(b"payload");
    let half = Draft::new(KIND, 1, b"payload".to_vec()).sign(&Signer::from_seed(&[2; 32])).encode().expect("short");
    let rest = Draft::resume(&half, KIND, 1).expect("a right frame").sign(&Signer::from_seed(&[1; 32]));
    assert_eq!(rest.encode(), Ok(whole));
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(payload in proptest::collection::vec(any::<u8>(), 0..700), format: u16) {
        let signer = Signer::from_seed(&[3; 32]);
        let bytes = Draft::new(KIND, format, payload.clone()).sign(&signer).encode().expect("it is short");
        let envelope = decode(&bytes, KIND, format).expect("it is right");
        prop_assert_eq!(envelope.payload, &payload[..]);
        prop_assert!(signer.public().verifies(&envelope.message(), &envelope.signatures[0].bytes));
    }

    /// No single byte can change without either the frame or the signature failing.
    #[test]
    fn a_changed_byte_is_noticed(payload in proptest::collection::vec(any::<u8>(), 0..64), at: prop::sample::Index, by in 1_u8..) {
        let signer = Signer::from_seed(&[3; 32]);
        let mut bytes = Draft::new(KIND, 1, payload).sign(&signer).encode().expect("it is short");
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        let holds = decode(&bytes, KIND, 1).is_ok_and(|envelope| {
            let by_signer = envelope.signatures.iter().find(|signature| signature.key == signer.public().id());
            by_signer.is_some_and(|signature| signer.public().verifies(&envelope.message(), &signature.bytes))
        });
        prop_assert!(!holds, "byte {at}");
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), right in 0_usize..16) {
        let good = document(b"x");
        let right = right.min(bytes.len());
        bytes[..right].copy_from_slice(&good[..right]);
        let _ = decode(&bytes, KIND, 1);
    }
}
