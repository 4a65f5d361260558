//! The rows of the table of attacks: what somebody can do who has this key, or that place in between.

use causeway::trust::bounded::{Bytes, List};
use causeway::trust::digest::Digest;
use causeway::trust::document::{
    DecodeError, Document as _, EnrolReceipt, Firmware, Freshness, Invalid, SectionId, TransitionReceipt, Turn,
};
use causeway::trust::envelope::{EnvelopeError, HEADER, Kind, SIGNATURE};
use causeway::trust::keys::PublicKey;
use causeway::trust::refusal::Refusal;
use causeway::trust::root::Root;
use causeway::trust::verify;

use super::super::fixture::{
    OLD_NONCE, Set, freshness, label, receipt, reference, role, root, section, signed, signer,
};
use super::{Maker, ONLINE, RELEASES, ROOTS, framed, good, payload, raw, transition, unchecked};

/// One bit of the payload, of a signature; in each kind of document.
pub(super) fn altered(maker: &mut Maker) {
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

pub(super) fn rollback(maker: &mut Maker) {
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
pub(super) fn fast_forward(maker: &mut Maker) {
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

pub(super) fn freeze(maker: &mut Maker) {
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

pub(super) fn mix_and_match(maker: &mut Maker) {
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
pub(super) fn partial(maker: &mut Maker) {
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
pub(super) fn endless(maker: &mut Maker) {
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

pub(super) fn wrong_target(maker: &mut Maker) {
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
pub(super) fn replayed_wipe(maker: &mut Maker) {
    for signers in [&RELEASES[..], &["release a", "release b", "online a"], &ROOTS[..]] {
        for (tag, kind) in [(b'o', Kind::Order), (b'l', Kind::LedgerReceipt), (b'w', Kind::WipeReceipt)] {
            let bytes = raw(kind, b"wipe", signers);
            maker.add("replayed_wipe", framed(EnvelopeError::NotSupportedYet), &[(tag, &bytes)]);
        }
        let order = raw(Kind::Order, b"wipe", signers);
        maker.add("replayed_wipe", framed(EnvelopeError::Kind), &[(b'a', &order)]);
    }
}

pub(super) fn one_release_key_stolen(maker: &mut Maker) {
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
pub(super) fn server_stolen(maker: &mut Maker) {
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

pub(super) fn root_below_threshold(maker: &mut Maker) {
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
pub(super) fn lock_out(maker: &mut Maker) {
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
