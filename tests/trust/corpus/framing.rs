//! Documents in wrong frames: signed in part, too long, in other words, by other roles.

use causeway::trust::digest::Digest;
use causeway::trust::document::{self, Assignment, DecodeError};
use causeway::trust::envelope::{self, Draft, EnvelopeError, HEADER, Kind, SIGNATURE};
use causeway::trust::refusal::Refusal;

use super::super::fixture::{Set, signed, signer};
use super::{Maker, ONLINE, RELEASES, ROOTS, framed, good, payload, payloads, raw, request, transition};

/// The signature is right, for less than what is there.
pub(super) fn prefix_signed(maker: &mut Maker) {
    for (tag, kind, who, body) in payloads() {
        for cut in [0, 1, body.len() / 2, body.len() - 1] {
            let mut bytes = raw(kind, &body[..cut], &who);
            bytes.extend(&body[cut..]);
            maker.add("prefix_signed", framed(EnvelopeError::Trailing), &[(tag, &bytes)]);
            let length = u32::try_from(body.len()).expect("small");
            bytes[8..12].copy_from_slice(&length.to_le_bytes());
            maker.add("prefix_signed", Refusal::BadSignature, &[(tag, &bytes)]);
        }
        // Without the domain string and what follows it, in parts, or for another format.
        let whole = envelope::message(kind, 1, &body);
        for message in [body.clone(), whole[8..].to_vec(), envelope::message(kind, 2, &body)] {
            let unframed = who.iter().fold(Draft::new(kind, 1, body.clone()), |draft, name| {
                draft.add(&signer(name).public(), signer(name).sign(&message))
            });
            let bytes = unframed.encode().expect("it fits");
            maker.add("prefix_signed", Refusal::BadSignature, &[(tag, &bytes)]);
        }
    }
}

pub(super) fn trailing_bytes(maker: &mut Maker) {
    for (tag, kind, who, body) in payloads() {
        for extra in [&[0][..], &[0; 16], b"CWY1"] {
            let mut bytes = raw(kind, &body, &who);
            bytes.extend(extra);
            maker.add("trailing_bytes", framed(EnvelopeError::Trailing), &[(tag, &bytes)]);
            // Inside the payload, signed by the right key: postcard itself would not mind.
            let longer = raw(kind, &[&body[..], extra].concat(), &who);
            maker.add("trailing_bytes", payload(DecodeError::Trailing), &[(tag, &longer)]);
        }
    }
}

/// The first field is the tenant with one byte of length: here the same length takes two bytes, or more.
pub(super) fn over_long_varints(maker: &mut Maker) {
    let refusal = payload(DecodeError::NotCanonical);
    for (tag, kind, who, body) in payloads() {
        for padding in [&[0x00][..], &[0x80, 0x00], &[0x80, 0x80, 0x00]] {
            let longer = [&[body[0] | 0x80][..], padding, &body[1..]].concat();
            maker.add("over_long_varints", refusal, &[(tag, &raw(kind, &longer, &who))]);
        }
    }
    let set = Set::new();
    let body = postcard::to_allocvec(&set.standard).expect("it is written");
    let standard = raw(Kind::Standard, &[&[body[0] | 0x80, 0][..], &body[1..]].concat(), &RELEASES);
    let site = set.site_bytes();
    maker.set("over_long_varints", refusal, &set.naming(&standard, &site), &standard, &site);
}

/// One key that signs twice is one key.
pub(super) fn duplicate_key(maker: &mut Maker) {
    for (tag, _, bytes) in good() {
        let first = &bytes[HEADER..HEADER + SIGNATURE];
        let mut doubled = [&bytes[..HEADER], first, &bytes[HEADER..]].concat();
        doubled[12] += 1;
        maker.add("duplicate_key", framed(EnvelopeError::Order), &[(tag, &doubled)]);
        for count in [0, 9, 255] {
            let mut bytes = bytes.clone();
            bytes[12] = count;
            maker.add("duplicate_key", framed(EnvelopeError::Count), &[(tag, &bytes)]);
        }
    }
    let set = Set::new();
    let site = set.site_bytes();
    let one = signed(&set.standard, &["release a"]);
    let mut twice = [&one[..HEADER + SIGNATURE], &one[HEADER..]].concat();
    twice[12] = 2;
    maker.set("duplicate_key", framed(EnvelopeError::Order), &set.naming(&twice, &site), &twice, &site);
    let right = set.standard_bytes();
    let (header, rest) = right.split_at(HEADER);
    let (block, body) = rest.split_at(2 * SIGNATURE);
    let swapped = [header, &block[SIGNATURE..], &block[..SIGNATURE], body].concat();
    maker.set("duplicate_key", framed(EnvelopeError::Order), &set.naming(&swapped, &site), &swapped, &site);
    // The signature with the group's order added to S: the same point, another spelling.
    for (tag, kind, mut bytes) in good() {
        if kind != Kind::Root {
            add_order(&mut bytes[HEADER + 9 + 32..HEADER + 9 + 64]);
            maker.add("duplicate_key", Refusal::BadSignature, &[(tag, &bytes)]);
        }
    }
}

pub(super) fn wrong_role(maker: &mut Maker) {
    for who in ["root a", "release a", "device", "stranger", "people"] {
        for (tag, kind, signers, body) in payloads() {
            if signers == ONLINE {
                maker.add("wrong_role", Refusal::WrongKey, &[(tag, &raw(kind, &body, &[who]))]);
            }
        }
    }
    let set = Set::new();
    let standard = set.standard_bytes();
    for who in [&RELEASES[..], &ROOTS[..], &["device"]] {
        let site = signed(&set.site, who);
        maker.set("wrong_role", Refusal::WrongKey, &set.naming(&standard, &site), &standard, &site);
    }
    for who in ["device 2", "online a"] {
        maker.add("wrong_role", Refusal::WrongKey, &[(b't', &signed(&transition(), &[who]))]);
        maker.add("wrong_role", Refusal::WrongKey, &[(b'q', &signed(&request(), &[who]))]);
        let both = signed(&transition(), &["device", who]);
        maker.add("wrong_role", Refusal::WrongKey, &[(b't', &both)]);
    }
    // A key id that is on the list, over a signature by another key.
    for (tag, kind, who, body) in payloads() {
        let draft = who.iter().fold(Draft::new(kind, 1, body.clone()), |draft, name| {
            draft.add(&signer(name).public(), signer("stranger").sign(&envelope::message(kind, 1, &body)))
        });
        maker.add("wrong_role", Refusal::BadSignature, &[(tag, &draft.encode().expect("it fits"))]);
    }
}

/// A right document of one kind where another one is asked for, and frames of other versions.
pub(super) fn other_kind(maker: &mut Maker) {
    for (tag, kind, bytes) in good() {
        for (_, other, wrong) in good() {
            if other != kind && wrong.len() <= kind.cap() {
                maker.add("other_kind", framed(EnvelopeError::Kind), &[(tag, &wrong)]);
            }
        }
        let mut with = |at: usize, value: u8, error| {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            maker.add("other_kind", framed(error), &[(tag, &bytes)]);
        };
        with(0, b'c', EnvelopeError::Magic);
        with(3, b'2', EnvelopeError::Magic);
        with(5, 1, EnvelopeError::Kind);
        with(6, 2, EnvelopeError::Format);
        with(7, 1, EnvelopeError::Format);
        with(13, 1, EnvelopeError::Reserved);
        with(15, 0x80, EnvelopeError::Reserved);
        with(HEADER + 8, 0, EnvelopeError::Algorithm);
        with(HEADER + 8, 2, EnvelopeError::Algorithm);
    }
}

/// Bytes that are nothing, from a fixed seed; half of them framed and signed by the right key.
pub(super) fn random(maker: &mut Maker) {
    for step in 0..24_u8 {
        let noise: Vec<u8> = (0..8).flat_map(|part| *Digest::of(&[step, part]).bytes()).collect();
        let tag = b"rafe"[usize::from(step % 4)];
        maker.add("random", framed(EnvelopeError::Magic), &[(tag, &noise)]);
        let signed = raw(Kind::Assignment, &noise, &ONLINE);
        let refusal = document::decode::<Assignment>(&noise).expect_err("random bytes are no assignment");
        maker.add("random", payload(refusal), &[(b'a', &signed)]);
    }
}

/// Little-endian S + L, L = 2²⁵² + 27742317777372353535851937790883648493 (RFC 8032, §5.1).
fn add_order(s: &mut [u8]) {
    const LOW: [u8; 16] =
        [0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14];
    let mut order = [0; 32];
    order[..16].copy_from_slice(&LOW);
    order[31] = 0x10;
    let mut carry = 0_u16;
    for (byte, add) in s.iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
}
