//! The order of verification: each step refuses with its own reason, and nothing of a later step has run then.

use std::cell::RefCell;

use causeway::trust::digest::Digest;
use causeway::trust::document::{Document, SealedKey, Section, SectionId, Site, Standard, Turn};
use causeway::trust::envelope::Kind;
use causeway::trust::refusal::{Refusal, Step};
use causeway::trust::verify::{self, Blobs, Content};

use super::fixture::{self, FakeContent, FakeOpener, Judge, Set, asked, now, signed};

/// Writes down which of its steps ran.
#[derive(Default)]
struct Watched(RefCell<Vec<Step>>);

impl Content for Watched {
    type Resolved = Vec<u8>;
    type Plan = ();

    fn supports(&self, section: SectionId, version: u16) -> bool {
        self.0.borrow_mut().push(Step::Sections);
        FakeContent.supports(section, version)
    }

    fn resolve(&self, standard: &Standard, sections: &[&Section], site: &Site) -> Option<(Vec<u8>, Digest)> {
        self.0.borrow_mut().push(Step::Resolve);
        FakeContent.resolve(standard, sections, site)
    }

    fn validate(&self, resolved: &Vec<u8>) -> Result<(), Refusal> {
        self.0.borrow_mut().push(Step::Validate);
        FakeContent.validate(resolved)
    }

    fn plan(&self, resolved: &Vec<u8>) -> Option<()> {
        self.0.borrow_mut().push(Step::Plan);
        FakeContent.plan(resolved)
    }
}

fn run(set: &Set) -> (Result<(), Refusal>, Option<Step>) {
    run_bytes(&set.standard_bytes(), &set.site_bytes(), set)
}

fn run_bytes(standard: &[u8], site: &[u8], set: &Set) -> (Result<(), Refusal>, Option<Step>) {
    let judge = Judge::new();
    let content = Watched::default();
    let assignment = signed(&set.naming(standard, site), &["online a"]);
    let result = judge.verifier().assignment(&assignment).and_then(|assignment| {
        let blobs = Blobs { standard, site };
        let complete = judge.verifier().complete(assignment, blobs, &FakeOpener, &content)?;
        verify::prepare(&complete, &content).map(|_| ())
    });
    let last = content.0.borrow().iter().max().copied();
    (result, last)
}

#[test]
fn a_right_set_passes_every_step() {
    assert_eq!(run(&Set::new()), (Ok(()), Some(Step::Plan)));
}

#[test]
fn each_step_stops_before_the_next() {
    let spoilt = |spoil: fn(&mut Set)| {
        let mut set = Set::new();
        spoil(&mut set);
        set
    };
    let firewall = |set: &mut Set, text: &[u8]| {
        let mut sections = set.standard.sections.to_vec();
        sections[2] = fixture::section(SectionId::FIREWALL, text);
        set.standard.sections = causeway::trust::bounded::List::new(sections).expect("three");
    };
    let with_firewall = |text: &[u8]| {
        let mut set = Set::new();
        firewall(&mut set, text);
        set
    };
    let unknown = |critical| {
        let mut set = Set::new();
        let mut sections = set.standard.sections.to_vec();
        sections.push(Section { critical, ..fixture::section(SectionId(99), b"?") });
        set.standard.sections = causeway::trust::bounded::List::new(sections).expect("four");
        set
    };
    let cases = [
        (spoilt(|set| set.standard.tenant = fixture::label("other")), Refusal::OtherTenant, None),
        (spoilt(|set| set.standard.models = Default::default()), Refusal::OtherModel, None),
        (spoilt(|set| set.standard.min_firmware.minor = 5), Refusal::FirmwareTooOld, None),
        (spoilt(|set| set.site.tenant = fixture::label("other")), Refusal::OtherTenant, None),
        (spoilt(|set| set.standard.turn = Turn::new(2, 42)), Refusal::OtherEpoch, None),
        (spoilt(|set| set.standard.turn = Turn::new(1, 40)), Refusal::StandardRollback, None),
        (spoilt(|set| set.turn = Turn::new(1, 99)), Refusal::AssignmentRollback, None),
        (spoilt(|set| set.turn = Turn::new(1, 100)), Refusal::AssignmentReused, None),
        (spoilt(|set| set.root_version = 3), Refusal::RootAhead, None),
        (unknown(true), Refusal::UnsupportedSection(SectionId(99)), Some(Step::Sections)),
        (
            spoilt(|set| set.site.values.iter_mut().for_each(|v| v.variable += 50)),
            Refusal::Unresolvable,
            Some(Step::Resolve),
        ),
        (with_firewall(b"contradiction"), Refusal::InvalidConfig, Some(Step::Validate)),
        (with_firewall(b"open to wan"), Refusal::FloorRule, Some(Step::Validate)),
        (with_firewall(b"no way"), Refusal::NoPlan, Some(Step::Plan)),
    ];
    for (set, refusal, last) in cases {
        assert_eq!(run(&set), (Err(refusal), last), "{refusal:?}");
    }
    let (result, last) = run(&unknown(false));
    assert_eq!(last, Some(Step::Resolve), "the rest was resolved without it");
    assert_eq!(result, Err(Refusal::ResolvedMismatch), "head office had counted it in");
}

/// A fault of an earlier step hides one of a later step, in this order for both blobs together.
#[test]
fn an_earlier_step_speaks_first() {
    let set = Set::new();
    let judge = Judge::new();
    let (standard, site) = (set.standard_bytes(), set.site_bytes());
    let assignment = set.naming(&standard, &site);
    let complete = |assignment: &causeway::trust::document::Assignment, standard: &[u8], site: &[u8]| {
        let verified = judge.verifier().assignment(&signed(assignment, &["online a"])).expect("it is right");
        judge.verifier().complete(verified, Blobs { standard, site }, &FakeOpener, &FakeContent).map(|_| ())
    };
    assert_eq!(complete(&assignment, &standard, &site), Ok(()));
    let flipped = |bytes: &[u8]| bytes.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>();
    assert_eq!(complete(&assignment, &flipped(&standard), &site[1..]), Err(Refusal::SizeDiffers));
    assert_eq!(complete(&assignment, &flipped(&standard), &site), Err(Refusal::DigestDiffers));
    let mut sealed = assignment.clone();
    sealed.standard_key = SealedKey::new(&[3, 0]).expect("short");
    assert_eq!(complete(&sealed, &standard, &site), Err(Refusal::Undecryptable));
    let one = signed(&set.standard, &["release a"]);
    let garbage = b"garbage".to_vec();
    let both = set.naming(&one, &garbage);
    let refused = complete(&both, &one, &garbage).expect_err("garbage");
    assert_eq!(refused.step(), Step::Envelope, "the site's envelope before the standard's signatures");
}

#[test]
fn encrypted_blobs_are_opened_after_their_digest() {
    let set = Set::new();
    let hidden: Vec<u8> = set.standard_bytes().iter().map(|byte| byte ^ 3).collect();
    let mut assignment = set.naming(&hidden, &set.site_bytes());
    assignment.standard_key = SealedKey::new(&[3, 1]).expect("short");
    let judge = Judge::new();
    let verified = judge.verifier().assignment(&signed(&assignment, &["online b"])).expect("it is right");
    let blobs = Blobs { standard: &hidden, site: &set.site_bytes() };
    let complete = judge.verifier().complete(verified, blobs, &FakeOpener, &FakeContent).expect("it opens");
    assert_eq!(complete.standard, set.standard);
}

#[test]
fn what_was_kept_is_read_again_by_digest_only() {
    let set = Set::new();
    let (standard, site) = (set.standard_bytes(), set.site_bytes());
    let assignment = signed(&set.assignment(), &["online a"]);
    let blobs = Blobs { standard: &standard, site: &site };
    let digest = Digest::of(&assignment);
    let stored = verify::stored(&assignment, &digest, blobs, &FakeOpener, &FakeContent).expect("it is whole");
    assert_eq!(stored.standard, set.standard);
    let other = verify::stored(&assignment, &Digest::of(b"other"), blobs, &FakeOpener, &FakeContent);
    assert_eq!(other, Err(Refusal::DigestDiffers));
}

#[test]
fn sizes_are_checked_before_a_byte_is_read() {
    let reference = fixture::reference(b"1234", 1);
    assert_eq!(verify::check_size(Kind::Standard, 4, Some(&reference)), Ok(()));
    assert_eq!(verify::check_size(Kind::Standard, 5, Some(&reference)), Err(Refusal::SizeDiffers));
    assert_eq!(verify::check_size(Kind::Standard, u64::MAX, Some(&reference)), Err(Refusal::TooLarge));
    assert_eq!(verify::check_size(Kind::Assignment, 1024, None), Ok(()));
    assert_eq!(verify::check_size(Kind::Assignment, 1025, None), Err(Refusal::TooLarge));
}

#[test]
fn a_live_answer_uses_its_question_up_and_a_forged_one_does_not() {
    let judge = Judge::new();
    let mut nonces = asked();
    let good = signed(&fixture::freshness(), &["online a"]);
    let forged = signed(&fixture::freshness(), &["release a"]);
    assert_eq!(judge.verifier().freshness(&forged, &mut nonces, now()), Err(Refusal::WrongKey));
    assert_eq!(judge.verifier().freshness(&good, &mut nonces, now()), Ok(fixture::freshness()));
    assert_eq!(judge.verifier().freshness(&good, &mut nonces, now()), Err(Refusal::UnknownNonce));
    let mut nonces = asked();
    let receipt = signed(&fixture::receipt(), &["online b"]);
    assert_eq!(judge.verifier().enrol_receipt(&receipt, &mut nonces, now()), Ok(fixture::receipt()));
    assert_eq!(judge.verifier().enrol_receipt(&receipt, &mut nonces, now()), Err(Refusal::UnknownNonce));
}

#[test]
fn a_root_with_a_higher_epoch_starts_the_numbers_anew() {
    let judge = Judge::new();
    let mut next = fixture::root(3);
    next.epoch = 2;
    next.created_at = fixture::seconds(1_700_000_000);
    let next = judge.root.next(&signed(&next, &["root a", "root b"])).expect("it is the next");
    let mut floors = judge.floors;
    let build = fixture::seconds(1_780_000_000);
    floors.accept_root(next.root(), build);
    assert_eq!((floors.standard, floors.assignment), (Turn::new(2, 0), Turn::new(2, 0)));
    assert_eq!((floors.time, floors.root_version), (build, 3));
    let mut set = Set::new();
    (set.turn, set.standard.turn, set.root_version) = (Turn::new(2, 1), Turn::new(2, 1), 3);
    let judge = Judge { root: next, floors, ..judge };
    assert!(judge.verifier().assignment(&signed(&set.assignment(), &["online a"])).is_ok());
    let old = Set::new();
    let refused = judge.verifier().assignment(&signed(&old.assignment(), &["online a"])).expect_err("old epoch");
    assert_eq!(refused, Refusal::OtherEpoch);
}

/// 1 MiB of standard, verified in a moment and without a second copy that stays.
#[test]
fn the_largest_standard_is_taken() {
    let mut set = Set::new();
    let mut sections = set.standard.sections.to_vec();
    sections[2] = fixture::section(SectionId::FIREWALL, &vec![b'x'; (1 << 20) - 2_000]);
    set.standard.sections = causeway::trust::bounded::List::new(sections).expect("three");
    assert!(set.standard_bytes().len() <= Kind::Standard.cap());
    assert_eq!(run(&set), (Ok(()), Some(Step::Plan)));
    let mut sections = set.standard.sections.to_vec();
    sections[2] = fixture::section(SectionId::FIREWALL, &vec![b'x'; 1 << 20]);
    set.standard.sections = causeway::trust::bounded::List::new(sections).expect("three");
    assert!(set.standard.draft().expect("a draft").sign(&fixture::signer("release a")).encode().is_err());
}
