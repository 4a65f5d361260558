//! The path proof: an answer that only head office's responder can give, to a question asked through one uplink. One
//! datagram each way, of one length, so that nobody is amplified; `docs/protocol.md` has the format. No dates, no state.

use super::document::Nonce;
use super::keys::{PublicKey, Signer};

/// Of a request, and of an answer.
pub const BYTES: usize = 4 + 16 + SIGNATURE;

const MAGIC: [u8; 4] = *b"CWP1";
const DOMAIN: &[u8] = b"causeway path proof v1\0";
const SIGNATURE: usize = 64;

/// Why a datagram is not counted. It says what to look at, nothing more: whoever is on the path can send any of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofRefusal {
    #[error("it is not {BYTES} bytes long")]
    Length,
    #[error("it is no path proof")]
    Magic,
    #[error("it answers another question")]
    Nonce,
    #[error("its signature is not the responder's")]
    Signature,
}

/// The gateway's datagram. `nonce` is fresh and random for each proof, and the same for each copy of its datagram.
pub fn request(nonce: &Nonce) -> [u8; BYTES] {
    datagram(nonce, &[0; SIGNATURE])
}

/// The responder's end: the answer to this datagram. `None`: it is no request, and gets none. What is not zero behind the
/// nonce is no request, so two responders cannot be made to answer each other for ever.
pub fn answer(bytes: &[u8], key: &Signer) -> Option<[u8; BYTES]> {
    let (nonce, signature) = parts(bytes).ok()?;
    if *signature != [0; SIGNATURE] {
        return None;
    }
    Some(datagram(nonce, &key.sign(&message(nonce))))
}

/// The gateway's end: `datagram` proves that the holder of `key` heard the question with this nonce.
pub fn verify(bytes: &[u8], nonce: &Nonce, key: &PublicKey) -> Result<(), ProofRefusal> {
    let (answered, signature) = parts(bytes)?;
    if answered != nonce {
        return Err(ProofRefusal::Nonce);
    }
    if key.verifies(&message(nonce), signature) { Ok(()) } else { Err(ProofRefusal::Signature) }
}

fn parts(bytes: &[u8]) -> Result<(&Nonce, &[u8; SIGNATURE]), ProofRefusal> {
    let whole: &[u8; BYTES] = bytes.try_into().map_err(|_| ProofRefusal::Length)?;
    let (magic, rest) = whole.split_first_chunk::<4>().ok_or(ProofRefusal::Length)?;
    if *magic != MAGIC {
        return Err(ProofRefusal::Magic);
    }
    let (nonce, rest) = rest.split_first_chunk().ok_or(ProofRefusal::Length)?;
    let signature = rest.try_into().map_err(|_| ProofRefusal::Length)?;
    Ok((nonce, signature))
}

fn datagram(nonce: &Nonce, signature: &[u8; SIGNATURE]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..20].copy_from_slice(nonce);
    bytes[20..].copy_from_slice(signature);
    bytes
}

fn message(nonce: &Nonce) -> Vec<u8> {
    [DOMAIN, nonce].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE: Nonce = [5; 16];

    fn key() -> Signer {
        Signer::from_seed(&[1; 32])
    }

    #[test]
    fn the_responder_answers_in_as_many_bytes_and_its_key_alone_proves() {
        let request = request(&NONCE);
        assert_eq!((&request[..4], &request[4..20], &request[20..]), (b"CWP1".as_slice(), &NONCE[..], &[0; 64][..]));
        let answer = answer(&request, &key()).expect("a request");
        assert_eq!((answer.len(), &answer[..20]), (request.len(), &request[..20]));
        assert_eq!(verify(&answer, &NONCE, &key().public()), Ok(()));
        let other = Signer::from_seed(&[2; 32]);
        assert_eq!(verify(&answer, &NONCE, &other.public()), Err(ProofRefusal::Signature));
        assert_eq!(verify(&answer, &[6; 16], &key().public()), Err(ProofRefusal::Nonce));
    }

    #[test]
    fn an_echo_of_the_question_proves_nothing() {
        assert_eq!(verify(&request(&NONCE), &NONCE, &key().public()), Err(ProofRefusal::Signature));
    }

    #[test]
    fn no_answer_is_a_request() {
        let signed = answer(&request(&NONCE), &key()).expect("a request");
        assert_eq!(answer(&signed, &Signer::from_seed(&[2; 32])), None);
    }

    #[test]
    fn every_changed_bit_and_every_other_length_is_refused() {
        let good = answer(&request(&NONCE), &key()).expect("a request");
        for bit in 0..BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&bad, &NONCE, &key().public()).is_err(), "bit {bit}");
        }
        for length in 0..BYTES {
            assert_eq!(verify(&good[..length], &NONCE, &key().public()), Err(ProofRefusal::Length));
            assert_eq!(answer(&request(&NONCE)[..length], &key()), None);
        }
        let longer = [&good[..], &[0]].concat();
        assert_eq!(verify(&longer, &NONCE, &key().public()), Err(ProofRefusal::Length));
        assert_eq!(answer(&[&request(&NONCE)[..], &[0]].concat(), &key()), None);
    }

    #[test]
    fn a_signature_for_something_else_of_the_same_key_is_refused() {
        let mut bytes = request(&NONCE);
        bytes[20..].copy_from_slice(&key().sign(&NONCE));
        assert_eq!(verify(&bytes, &NONCE, &key().public()), Err(ProofRefusal::Signature));
    }

    proptest! {
        #[test]
        fn random_bytes_prove_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            prop_assert!(verify(&bytes, &NONCE, &key().public()).is_err());
            prop_assert_eq!(answer(&bytes, &key()), None);
        }
    }
}
