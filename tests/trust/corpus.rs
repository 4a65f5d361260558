//! Makes the attack corpus. Each attack takes what is right and does to it what an attacker can do with what he has: the
//! rows of the specification's table in [`table`], wrong frames in [`framing`].

mod framing;
mod table;

use causeway::trust::digest::Digest;
use causeway::trust::document::{
    Assignment, DecodeError, Document, EnrolRequest, Firmware, Token, TransitionKind, TransitionReceipt, Turn,
};
use causeway::trust::envelope::{Draft, EnvelopeError, Kind};
use causeway::trust::machine::StateName;
use causeway::trust::refusal::Refusal;

use super::attacks::Corpus;
use super::fixture::{FakeContent, NONCE, Set, device, freshness, label, receipt, root, signed, signer};

const ROOTS: [&str; 2] = ["root a", "root b"];
const RELEASES: [&str; 2] = ["release a", "release b"];
const ONLINE: [&str; 1] = ["online a"];

/// One part of a file.
type Part<'a> = (u8, &'a [u8]);

#[derive(Default)]
struct Maker {
    corpus: Corpus,
}

impl Maker {
    fn add(&mut self, attack: &'static str, refusal: Refusal, parts: &[Part<'_>]) {
        let files = self.corpus.entry(attack).or_default();
        files.push((format!("{:02}.{}.bin", files.len(), refusal.code()), file(parts)));
    }

    /// An assignment with both its blobs.
    fn set(&mut self, attack: &'static str, refusal: Refusal, assignment: &Assignment, standard: &[u8], site: &[u8]) {
        let assignment = signed(assignment, &ONLINE);
        self.add(attack, refusal, &[(b'a', &assignment), (b's', standard), (b'v', site)]);
    }

    /// A whole set that somebody made wrong.
    fn spoilt(&mut self, attack: &'static str, refusal: Refusal, spoil: impl FnOnce(&mut Set)) {
        let mut set = Set::new();
        spoil(&mut set);
        self.set(attack, refusal, &set.assignment(), &set.standard_bytes(), &set.site_bytes());
    }
}

fn file(parts: &[Part<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, part) in parts {
        bytes.push(*tag);
        bytes.extend(u32::try_from(part.len()).expect("small").to_le_bytes());
        bytes.extend(*part);
    }
    bytes
}

fn framed(error: EnvelopeError) -> Refusal {
    Refusal::Envelope(error)
}

fn payload(error: DecodeError) -> Refusal {
    Refusal::Payload(error)
}

/// All that is right, by tag.
fn good() -> Vec<(u8, Kind, Vec<u8>)> {
    vec![
        (b'r', Kind::Root, signed(&root(3), &ROOTS)),
        (b'a', Kind::Assignment, signed(&Set::new().assignment(), &ONLINE)),
        (b'f', Kind::Freshness, signed(&freshness(), &ONLINE)),
        (b'e', Kind::EnrolReceipt, signed(&receipt(), &ONLINE)),
        (b'q', Kind::EnrolRequest, signed(&request(), &["device"])),
        (b't', Kind::TransitionReceipt, signed(&transition(), &["device"])),
    ]
}

pub(super) fn right() -> Vec<Vec<u8>> {
    let set = Set::new();
    let assignment = signed(&set.assignment(), &ONLINE);
    let mut right: Vec<Vec<u8>> = good().iter().map(|(tag, _, bytes)| file(&[(*tag, bytes)])).collect();
    right.push(file(&[(b'a', &assignment), (b's', &set.standard_bytes()), (b'v', &set.site_bytes())]));
    right
}

pub(super) fn corpus() -> Corpus {
    let mut maker = Maker::default();
    table::altered(&mut maker);
    table::rollback(&mut maker);
    table::fast_forward(&mut maker);
    table::freeze(&mut maker);
    table::mix_and_match(&mut maker);
    table::partial(&mut maker);
    table::endless(&mut maker);
    table::wrong_target(&mut maker);
    table::replayed_wipe(&mut maker);
    table::one_release_key_stolen(&mut maker);
    table::server_stolen(&mut maker);
    table::root_below_threshold(&mut maker);
    table::lock_out(&mut maker);
    framing::prefix_signed(&mut maker);
    framing::trailing_bytes(&mut maker);
    framing::over_long_varints(&mut maker);
    framing::duplicate_key(&mut maker);
    framing::wrong_role(&mut maker);
    framing::other_kind(&mut maker);
    framing::random(&mut maker);
    maker.corpus
}

/// What is signed, by whom.
fn payloads() -> Vec<(u8, Kind, Vec<&'static str>, Vec<u8>)> {
    fn body<D: Document>(document: &D) -> Vec<u8> {
        postcard::to_allocvec(document).expect("it is written")
    }
    vec![
        (b'r', Kind::Root, ROOTS.to_vec(), body(&root(3))),
        (b'a', Kind::Assignment, ONLINE.to_vec(), body(&Set::new().assignment())),
        (b'f', Kind::Freshness, ONLINE.to_vec(), body(&freshness())),
        (b'e', Kind::EnrolReceipt, ONLINE.to_vec(), body(&receipt())),
        (b't', Kind::TransitionReceipt, vec!["device"], body(&transition())),
    ]
}

fn raw(kind: Kind, body: &[u8], who: &[&str]) -> Vec<u8> {
    let draft = Draft::new(kind, 1, body.to_vec());
    who.iter().fold(draft, |draft, name| draft.sign(&signer(name))).encode().expect("it fits")
}

/// Signed although it contradicts itself.
fn unchecked<D: Document>(document: &D, who: &[&str]) -> Vec<u8> {
    raw(D::KIND, &postcard::to_allocvec(document).expect("it is written"), who)
}

pub(super) fn request() -> EnrolRequest {
    EnrolRequest {
        tenant: label("petit"),
        device: device(),
        counter: 1,
        signing: signer("device").public(),
        sealing: *Digest::of(b"sealing").bytes(),
        serial: label("CWX1-0042"),
        model: label("cw-x1"),
        firmware: Firmware::new(1, 4, 2),
        nonce: NONCE,
        order_nonce: [0x44; 16],
        token: Token([0x55; 16]).id(),
        mac: [0; 32],
    }
    .proved(&Token([0x55; 16]))
}

pub(super) fn transition() -> TransitionReceipt {
    TransitionReceipt {
        tenant: label("petit"),
        device: device(),
        counter: 5,
        assignment: Turn::new(1, 101),
        resolved: FakeContent.resolved(&Set::new().standard, &Set::new().site),
        from: StateName::Trial,
        to: StateName::Soak,
        kind: TransitionKind::Forward,
        attempt: 1,
    }
}
