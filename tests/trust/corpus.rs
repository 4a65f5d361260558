//! Makes the attack corpus. Each attack takes what is right and does to it what an attacker can do with what he has.

use causeway::trust::bounded::{Bytes, List};
use causeway::trust::digest::Digest;
use causeway::trust::document::{
    self, Assignment, DecodeError, Document, EnrolReceipt, EnrolRequest, Firmware, Freshness, Invalid, SectionId,
    Token, TransitionKind, TransitionReceipt, Turn,
};
use causeway::trust::envelope::{self, Draft, EnvelopeError, HEADER, Kind, SIGNATURE};
use causeway::trust::keys::PublicKey;
use causeway::trust::machine::StateName;
use causeway::trust::refusal::Refusal;
use causeway::trust::root::Root;
use causeway::trust::verify;

use super::attacks::Corpus;
use super::fixture::{
    FakeContent, NONCE, OLD_NONCE, Set, device, freshness, label, receipt, reference, role, root, section, signed,
    signer,
};

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
    altered(&mut maker);
    rollback(&mut maker);
    fast_forward(&mut maker);
    freeze(&mut maker);
    mix_and_match(&mut maker);
    partial(&mut maker);
    endless(&mut maker);
    wrong_target(&mut maker);
    replayed_wipe(&mut maker);
    one_release_key_stolen(&mut maker);
    server_stolen(&mut maker);
    root_below_threshold(&mut maker);
    lock_out(&mut maker);
    prefix_signed(&mut maker);
    trailing_bytes(&mut maker);
    over_long_varints(&mut maker);
    duplicate_key(&mut maker);
    wrong_role(&mut maker);
    other_kind(&mut maker);
    random(&mut maker);
    maker.corpus
}

/// One bit of the payload, of a signature; in each kind of document.
fn altered(maker: &mut Maker) {
    for (tag, kind, bytes) in good() {
        let count = usize::from(bytes[12]);
        let start = HEADER + count * SIGNATURE;
        for step in 0..12 {
            let mut changed = bytes.clone();
            let at = start + step * (bytes.len() - start) / 12;
            changed[at] ^= 1 << (step % 8);
            maker.add("altered", changed_refusal(kind, &changed), &[(tag, &changed)]);
        }
        for step in 0..4 {
            let mut changed = bytes.clone();
            changed[HEADER + 9 + step * 16] ^= 0x10;
            maker.add("altered", Refusal::BadSignature, &[(tag, &changed)]);
        }
    }
    let set = Set::new();
    let (mut standard, site) = (set.standard_bytes(), set.site_bytes());
    let middle = standard.len() - 20;
    standard[middle] ^= 1;
    maker.set("altered", Refusal::BadSignature, &set.naming(&standard, &site), &standard, &site);
    maker.set("altered", Refusal::DigestDiffers, &set.assignment(), &standard, &site);
    let mut site = set.site_bytes();
    let middle = site.len() - 20;
    site[middle] ^= 1;
    let standard = set.standard_bytes();
    maker.set("altered", Refusal::BadSignature, &set.naming(&standard, &site), &standard, &site);
}

/// A request carries its own key, so a changed one may name another key, or none: what it answers depends on the byte,
/// and stands in the file's name.
fn changed_refusal(kind: Kind, bytes: &[u8]) -> Refusal {
    match kind == Kind::EnrolRequest {
        true => verify::enrol_request(bytes).expect_err("it was changed"),
        false => Refusal::BadSignature,
    }
}

fn rollback(maker: &mut Maker) {
    for seq in [1, 50, 98, 99] {
        maker.spoilt("rollback", Refusal::AssignmentRollback, |set| set.turn = Turn::new(1, seq));
    }
    maker.spoilt("rollback", Refusal::AssignmentReused, |set| set.turn = Turn::new(1, 100));
    for seq in [1, 20, 39, 40] {
        maker.spoilt("rollback", Refusal::StandardRollback, |set| set.standard.turn = Turn::new(1, seq));
    }
    maker.spoilt("rollback", Refusal::StandardRollback, |set| {
        set.standard.turn = Turn::new(1, 40);
        set.standard.way_back_of = Some(39);
    });
    maker.add("rollback", Refusal::RootRollback, &[(b'r', &signed(&root(2), &ROOTS))]);
    maker.add("rollback", Refusal::RootRollback, &[(b'r', &signed(&root(1), &ROOTS))]);
    let mut old = root(1);
    old.release = role(1, &["release a"]);
    maker.add("rollback", Refusal::RootRollback, &[(b'r', &signed(&old, &ROOTS))]);
    for seq in [1, 99] {
        let stale = Freshness { turn: Turn::new(1, seq), ..freshness() };
        maker.add("rollback", Refusal::AssignmentRollback, &[(b'f', &signed(&stale, &ONLINE))]);
    }
}

/// Numbers that would leave no room, epochs that nobody began, times at the end of days.
fn fast_forward(maker: &mut Maker) {
    let exhausted = payload(DecodeError::Invalid(Invalid::Exhausted));
    let mut assignment = Set::new().assignment();
    assignment.turn = Turn::new(1, u64::MAX);
    maker.add("fast_forward", exhausted, &[(b'a', &unchecked(&assignment, &ONLINE))]);
    let set = Set::new();
    let mut standard = set.standard.clone();
    standard.turn = Turn::new(1, u64::MAX);
    let (standard, site) = (unchecked(&standard, &RELEASES), set.site_bytes());
    let mut assignment = set.naming(&standard, &site);
    assignment.standard.seq = u64::MAX;
    maker.set("fast_forward", exhausted, &assignment, &standard, &site);
    let mut site = set.site.clone();
    site.seq = u64::MAX;
    let (standard, site) = (set.standard_bytes(), unchecked(&site, &ONLINE));
    maker.set("fast_forward", exhausted, &set.naming(&standard, &site), &standard, &site);
    let mut stale = freshness();
    stale.turn = Turn::new(1, u64::MAX);
    maker.add("fast_forward", exhausted, &[(b'f', &unchecked(&stale, &ONLINE))]);
    for epoch in [2, 3, u32::MAX] {
        maker.spoilt("fast_forward", Refusal::OtherEpoch, |set| set.turn = Turn::new(epoch, 1));
        maker.spoilt("fast_forward", Refusal::OtherEpoch, |set| set.standard.turn = Turn::new(epoch, 1));
    }
    for version in [4, 5, u32::MAX] {
        maker.add("fast_forward", Refusal::RootNotNext, &[(b'r', &signed(&root(version), &ROOTS))]);
        maker.spoilt("fast_forward", Refusal::RootAhead, |set| set.root_version = version);
    }
    for epoch in [3, u32::MAX] {
        let next = Root { epoch, ..root(3) };
        maker.add("fast_forward", Refusal::OtherEpoch, &[(b'r', &signed(&next, &ROOTS))]);
    }
    // The last field of a freshness is its time: five bytes of a number become more.
    let body = postcard::to_allocvec(&freshness()).expect("it is written");
    for time in [u64::MAX, 253_402_300_800] {
        let mut body = body[..body.len() - 5].to_vec();
        body.extend(postcard::to_allocvec(&time).expect("a number"));
        let bytes = raw(Kind::Freshness, &body, &ONLINE);
        maker.add("fast_forward", payload(DecodeError::Parse), &[(b'f', &bytes)]);
    }
}

fn freeze(maker: &mut Maker) {
    for byte in 0..6 {
        let other = Freshness { nonce: [byte; 16], ..freshness() };
        maker.add("freeze", Refusal::UnknownNonce, &[(b'f', &signed(&other, &ONLINE))]);
    }
    let old = Freshness { nonce: OLD_NONCE, ..freshness() };
    maker.add("freeze", Refusal::ExpiredNonce, &[(b'f', &signed(&old, &ONLINE))]);
    let good = signed(&freshness(), &ONLINE);
    maker.add("freeze", Refusal::UnknownNonce, &[(b'f', &good), (b'f', &good)]);
    let late = EnrolReceipt { nonce: OLD_NONCE, ..receipt() };
    maker.add("freeze", Refusal::ExpiredNonce, &[(b'e', &signed(&late, &ONLINE))]);
    let good = signed(&receipt(), &ONLINE);
    maker.add("freeze", Refusal::UnknownNonce, &[(b'e', &good), (b'e', &good)]);
    let reused = Freshness { turn: Turn::new(1, 100), ..freshness() };
    maker.add("freeze", Refusal::AssignmentReused, &[(b'f', &signed(&reused, &ONLINE))]);
}

fn mix_and_match(maker: &mut Maker) {
    let set = Set::new();
    let (standard, site) = (set.standard_bytes(), set.site_bytes());
    let mut newer = set.standard.clone();
    newer.turn = Turn::new(1, 43);
    let other = signed(&newer, &RELEASES);
    maker.set("mix_and_match", Refusal::DigestDiffers, &set.assignment(), &other, &site);
    let mut assignment = set.naming(&other, &site);
    maker.set("mix_and_match", Refusal::SeqDiffers, &assignment, &other, &site);
    assignment.standard = reference(&standard, 43);
    maker.set("mix_and_match", Refusal::SeqDiffers, &assignment, &standard, &site);
    let mut other_site = set.site.clone();
    other_site.values.iter_mut().for_each(|value| value.bytes = Bytes::new(&[9]).expect("one"));
    let other_site = signed(&other_site, &ONLINE);
    maker.set("mix_and_match", Refusal::SizeDiffers, &set.assignment(), &standard, &other_site);
    let mut assignment = set.naming(&standard, &other_site);
    maker.set("mix_and_match", Refusal::ResolvedMismatch, &assignment, &standard, &other_site);
    assignment.site.seq = 8;
    maker.set("mix_and_match", Refusal::SeqDiffers, &assignment, &standard, &other_site);
    for byte in 0..4 {
        let mut assignment = set.assignment();
        assignment.resolved = Digest::new([byte; 32]);
        maker.set("mix_and_match", Refusal::ResolvedMismatch, &assignment, &standard, &site);
    }
    // The site in the standard's place, and the other way round.
    let assignment = set.naming(&site, &standard);
    maker.set("mix_and_match", framed(EnvelopeError::Kind), &assignment, &site, &standard);
    let assignment = set.naming(&standard, &standard);
    maker.set("mix_and_match", framed(EnvelopeError::Kind), &assignment, &standard, &standard);
}

/// What ends early: each prefix says so itself, or the size that was signed does.
fn partial(maker: &mut Maker) {
    for (tag, _, bytes) in good() {
        for step in 0..8 {
            let length = step * bytes.len() / 8;
            maker.add("partial", framed(EnvelopeError::Truncated), &[(tag, &bytes[..length])]);
        }
        maker.add("partial", framed(EnvelopeError::Truncated), &[(tag, &bytes[..bytes.len() - 1])]);
    }
    let set = Set::new();
    let (standard, site) = (set.standard_bytes(), set.site_bytes());
    let short = &standard[..standard.len() - 1];
    maker.set("partial", Refusal::SizeDiffers, &set.assignment(), short, &site);
    maker.set("partial", Refusal::SizeDiffers, &set.assignment(), &standard, &[]);
    maker.set("partial", framed(EnvelopeError::Truncated), &set.naming(short, &site), short, &site);
}

/// Sizes that are announced, files that are too long, lists that say they have no end.
fn endless(maker: &mut Maker) {
    for kind in Kind::ALL {
        let cap = u64::try_from(kind.cap()).expect("small");
        for size in [cap + 1, cap * 1_000, 10_000_000_000, u64::MAX] {
            let announced = [&kind.number().to_le_bytes()[..], &size.to_le_bytes()].concat();
            maker.add("endless", Refusal::TooLarge, &[(b'z', &announced)]);
        }
    }
    for (tag, kind, mut bytes) in good() {
        if kind.cap() > 4 << 10 {
            continue;
        }
        bytes.resize(kind.cap() + 1, 0);
        maker.add("endless", framed(EnvelopeError::TooLong), &[(tag, &bytes)]);
    }
    let (standard, site) = (Set::new().standard_bytes(), vec![0; (64 << 10) + 17]);
    maker.set("endless", Refusal::TooLarge, &Set::new().naming(&standard, &site), &standard, &site);
    // A length in the header that is not there, up to 4 GiB.
    for length in [21_000_u32, 1 << 20, u32::MAX] {
        for (tag, _, mut bytes) in good() {
            bytes[8..12].copy_from_slice(&length.to_le_bytes());
            maker.add("endless", framed(EnvelopeError::Truncated), &[(tag, &bytes)]);
        }
    }
    // A tenant of 2⁶² bytes; a tenant of 65 bytes.
    for body in [vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], [vec![65], vec![b'x'; 200]].concat()] {
        for (tag, kind) in [(b'a', Kind::Assignment), (b'f', Kind::Freshness)] {
            maker.add("endless", payload(DecodeError::Parse), &[(tag, &raw(kind, &body, &ONLINE))]);
        }
        let bytes = raw(Kind::Root, &body, &ROOTS);
        maker.add("endless", payload(DecodeError::Parse), &[(b'r', &bytes)]);
    }
}

fn wrong_target(maker: &mut Maker) {
    for name in ["device 2", "device 3", "online a"] {
        let other = signer(name).public().device();
        let mut assignment = Set::new().assignment();
        assignment.device = other;
        maker.add("wrong_target", Refusal::OtherDevice, &[(b'a', &signed(&assignment, &ONLINE))]);
        maker.spoilt("wrong_target", Refusal::OtherDevice, |set| set.site.device = other);
        let live = Freshness { device: other, ..freshness() };
        maker.add("wrong_target", Refusal::OtherDevice, &[(b'f', &signed(&live, &ONLINE))]);
        let receipt = EnrolReceipt { device: other, ..receipt() };
        maker.add("wrong_target", Refusal::OtherDevice, &[(b'e', &signed(&receipt, &ONLINE))]);
        let transition = TransitionReceipt { device: other, ..transition() };
        maker.add("wrong_target", Refusal::OtherDevice, &[(b't', &signed(&transition, &["device"]))]);
    }
    for tenant in ["Petit", "petit ", ""] {
        let tenant = label(tenant);
        let mut assignment = Set::new().assignment();
        assignment.tenant = tenant.clone();
        maker.add("wrong_target", Refusal::OtherTenant, &[(b'a', &signed(&assignment, &ONLINE))]);
        maker.spoilt("wrong_target", Refusal::OtherTenant, |set| set.standard.tenant = tenant.clone());
        maker.spoilt("wrong_target", Refusal::OtherTenant, |set| set.site.tenant = tenant.clone());
        let next = Root { tenant: tenant.clone(), ..root(3) };
        maker.add("wrong_target", Refusal::OtherTenant, &[(b'r', &signed(&next, &ROOTS))]);
    }
    for models in [vec![], vec!["cw-a1"], vec!["cw-x", "cw-x11"]] {
        maker.spoilt("wrong_target", Refusal::OtherModel, |set| {
            set.standard.models = List::new(models.into_iter().map(label).collect()).expect("few");
        });
    }
    for firmware in [Firmware::new(1, 4, 3), Firmware::new(1, 5, 0), Firmware::new(2, 0, 0)] {
        maker.spoilt("wrong_target", Refusal::FirmwareTooOld, |set| set.standard.min_firmware = firmware);
    }
}

/// No order is carried out by this version, whoever signed it: there is none to replay.
fn replayed_wipe(maker: &mut Maker) {
    for signers in [&RELEASES[..], &["release a", "release b", "online a"], &ROOTS[..]] {
        for (tag, kind) in [(b'o', Kind::Order), (b'l', Kind::LedgerReceipt), (b'w', Kind::WipeReceipt)] {
            let bytes = raw(kind, b"wipe", signers);
            maker.add("replayed_wipe", framed(EnvelopeError::NotSupportedYet), &[(tag, &bytes)]);
        }
        let order = raw(Kind::Order, b"wipe", signers);
        maker.add("replayed_wipe", framed(EnvelopeError::Kind), &[(b'a', &order)]);
    }
}

fn one_release_key_stolen(maker: &mut Maker) {
    let attack = "one_release_key_stolen";
    let set = Set::new();
    let site = set.site_bytes();
    for signers in [&["release a"][..], &["release b"], &["release a", "online a"], &["release b", "root a", "root b"]]
    {
        let standard = signed(&set.standard, signers);
        maker.set(attack, Refusal::TooFewSignatures, &set.naming(&standard, &site), &standard, &site);
    }
    // The second signature is made up.
    let forged = set.standard.draft().expect("a draft").sign(&signer("release a"));
    let forged = forged.add(&signer("release b").public(), [7; 64]).encode().expect("it fits");
    maker.set(attack, Refusal::BadSignature, &set.naming(&forged, &site), &forged, &site);
    // The root has dropped the key.
    for (kept, new) in [("release b", "release c"), ("release a", "release d")] {
        let next = Root { release: role(2, &[kept, new]), ..root(3) };
        let standard = set.standard_bytes();
        let assignment = signed(&set.naming(&standard, &site), &ONLINE);
        let parts = [(b'r', &signed(&next, &ROOTS)[..]), (b'a', &assignment), (b's', &standard), (b'v', &site)];
        maker.add(attack, Refusal::TooFewSignatures, &parts);
    }
}

/// All that the online key can sign. Values outside what the standard declares do not resolve.
fn server_stolen(maker: &mut Maker) {
    let set = Set::new();
    let site = set.site_bytes();
    for signers in [&["online a"][..], &["online b"], &["online a", "online b"]] {
        let standard = signed(&set.standard, signers);
        maker.set("server_stolen", Refusal::WrongKey, &set.naming(&standard, &site), &standard, &site);
        maker.add("server_stolen", Refusal::WrongKey, &[(b'r', &signed(&root(3), signers))]);
    }
    for variable in [3, 8, 250, 300] {
        maker.spoilt("server_stolen", Refusal::Unresolvable, |set| {
            set.site.values = List::new(set.site.values[..1].to_vec()).expect("one");
            set.site.values.iter_mut().for_each(|value| value.variable = variable);
        });
    }
    maker.spoilt("server_stolen", Refusal::Unresolvable, |set| {
        let long = Bytes::new(&[1; 9]).expect("nine");
        set.site.values.iter_mut().for_each(|value| value.bytes = long.clone());
    });
    let mut changed = set.standard.clone();
    changed.sections = List::new(vec![section(SectionId::FIREWALL, b"open")]).expect("one");
    let changed = signed(&changed, &ONLINE);
    maker.set("server_stolen", Refusal::WrongKey, &set.naming(&changed, &site), &changed, &site);
}

fn root_below_threshold(maker: &mut Maker) {
    let attack = "root_below_threshold";
    let next = root(3);
    for signers in [&["root a"][..], &["root b"], &["root c"], &["root a", "release a", "release b"]] {
        maker.add(attack, Refusal::TooFewSignatures, &[(b'r', &signed(&next, signers))]);
    }
    for signers in [&["release a", "release b"][..], &["root d", "root e"], &["device"]] {
        maker.add(attack, Refusal::WrongKey, &[(b'r', &signed(&next, signers))]);
    }
    // A new root for the thief's keys, signed by what he has.
    let own = Root { root: role(1, &["root d"]), ..root(3) };
    maker.add(attack, Refusal::WrongKey, &[(b'r', &signed(&own, &["root d"]))]);
    maker.add(attack, Refusal::TooFewSignatures, &[(b'r', &signed(&own, &["root a", "root d"]))]);
    // The old threshold without the new one.
    maker.add(attack, Refusal::WrongKey, &[(b'r', &signed(&own, &ROOTS))]);
    let two = Root { root: role(2, &["root a", "root d"]), ..root(3) };
    maker.add(attack, Refusal::TooFewSignatures, &[(b'r', &signed(&two, &ROOTS))]);
    let invalid = |invalid| payload(DecodeError::Invalid(invalid));
    let spoilt: [(Root, Invalid); 6] = [
        (Root { release: role(0, &["release a"]), ..root(3) }, Invalid::Threshold),
        (Root { online: role(2, &["online a"]), ..root(3) }, Invalid::Threshold),
        (Root { root: role(2, &[]), ..root(3) }, Invalid::Threshold),
        (Root { release: role(2, &["release a", "release a"]), ..root(3) }, Invalid::Key),
        (Root { online: role(1, &["release a"]), ..root(3) }, Invalid::Key),
        (Root { epoch: 0, ..root(3) }, Invalid::Zero),
    ];
    for (root, fault) in spoilt {
        maker.add(attack, invalid(fault), &[(b'r', &unchecked(&root, &ROOTS))]);
    }
    // The identity point verifies anything by the plain equation.
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut weak = root(3);
    weak.online.keys = List::new(vec![PublicKey::new(identity)]).expect("one");
    maker.add(attack, invalid(Invalid::Key), &[(b'r', &unchecked(&weak, &ROOTS))]);
    // Another first root than the claim names.
    maker.add(attack, Refusal::DigestDiffers, &[(b'p', &signed(&own, &["root d"]))]);
}

/// Signed by everybody, and still not to be applied. What is valid and cuts the branch off is for the trial.
fn lock_out(maker: &mut Maker) {
    for text in ["open to wan", "first closed, then open to wan"] {
        with_firewall(maker, Refusal::FloorRule, text);
    }
    for text in ["a contradiction", "contradiction and open to wan"] {
        with_firewall(maker, Refusal::InvalidConfig, text);
    }
    with_firewall(maker, Refusal::NoPlan, "no way");
    for id in [17, 99, u16::MAX] {
        maker.spoilt("lock_out", Refusal::UnsupportedSection(SectionId(id)), |set| {
            let mut sections = set.standard.sections.to_vec();
            sections.push(section(SectionId(id), b""));
            set.standard.sections = List::new(sections).expect("four");
        });
    }
    maker.spoilt("lock_out", Refusal::UnsupportedSection(SectionId::UPLINKS), |set| {
        set.standard.sections.iter_mut().for_each(|section| section.version = 1 + u16::from(section.id.0 == 3));
    });
}

fn with_firewall(maker: &mut Maker, refusal: Refusal, text: &str) {
    maker.spoilt("lock_out", refusal, |set| {
        let mut sections = set.standard.sections.to_vec();
        sections[2] = section(SectionId::FIREWALL, text.as_bytes());
        set.standard.sections = List::new(sections).expect("three");
    });
}

/// The signature is right, for less than what is there.
fn prefix_signed(maker: &mut Maker) {
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

fn trailing_bytes(maker: &mut Maker) {
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
fn over_long_varints(maker: &mut Maker) {
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
fn duplicate_key(maker: &mut Maker) {
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

fn wrong_role(maker: &mut Maker) {
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
fn other_kind(maker: &mut Maker) {
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
fn random(maker: &mut Maker) {
    for step in 0..24_u8 {
        let noise: Vec<u8> = (0..8).flat_map(|part| *Digest::of(&[step, part]).bytes()).collect();
        let tag = b"rafe"[usize::from(step % 4)];
        maker.add("random", framed(EnvelopeError::Magic), &[(tag, &noise)]);
        let signed = raw(Kind::Assignment, &noise, &ONLINE);
        let refusal = document::decode::<Assignment>(&noise).expect_err("random bytes are no assignment");
        maker.add("random", payload(refusal), &[(b'a', &signed)]);
    }
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
