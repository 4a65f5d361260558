//! The attack corpus: each file of `tests/trust/attacks/<attack>/` is refused for the reason in its name, and no floor
//! moves. The files are made by [`corpus`] from fixed keys; `UPDATE_CORPUS=1` writes them anew.
//!
//! A file is a list of parts, each with a tag, four bytes of length (little-endian) and the bytes; they are handed over
//! one after the other, as `front` would. `z` is a size that somebody announces: the kind's number and eight bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use causeway::trust::envelope::{self, Kind};
use causeway::trust::refusal::Refusal;
use causeway::trust::verify::{self, Blobs};

use super::corpus;
use super::fixture::{FakeContent, FakeOpener, Judge, asked, now};

/// By attack, the files under it: name and bytes.
pub(super) type Corpus = BTreeMap<&'static str, Vec<(String, Vec<u8>)>>;

/// The rows of the table of attacks that the config's specification has, and what else was asked for.
const ATTACKS: [&str; 20] = [
    "altered",
    "rollback",
    "fast_forward",
    "freeze",
    "mix_and_match",
    "partial",
    "endless",
    "wrong_target",
    "replayed_wipe",
    "one_release_key_stolen",
    "server_stolen",
    "root_below_threshold",
    "lock_out",
    "prefix_signed",
    "trailing_bytes",
    "over_long_varints",
    "duplicate_key",
    "wrong_role",
    "other_kind",
    "random",
];

#[test]
fn f30_the_files_are_those_that_the_generator_makes() {
    let corpus = corpus::corpus();
    let named: BTreeSet<&str> = corpus.keys().copied().collect();
    assert_eq!(named, BTreeSet::from(ATTACKS));
    let mut wanted = BTreeMap::new();
    for (attack, files) in &corpus {
        assert!(files.len() >= 3, "{attack} has {} files", files.len());
        for (name, bytes) in files {
            assert!(wanted.insert(folder().join(attack).join(name), bytes).is_none(), "{attack}/{name} twice");
        }
    }
    assert!(wanted.len() >= 500, "{} files", wanted.len());
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        files().for_each(|path| fs::remove_file(path).expect("it is removed"));
        for (path, bytes) in &wanted {
            fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
            fs::write(path, bytes).expect("it is written");
        }
    }
    let there: BTreeSet<PathBuf> = files().collect();
    assert_eq!(there, wanted.keys().cloned().collect(), "UPDATE_CORPUS=1 writes them anew");
    for (path, bytes) in wanted {
        assert_eq!(&fs::read(&path).expect("it is read"), bytes, "{}", path.display());
    }
}

#[test]
fn f30_every_file_is_refused_for_its_reason_and_no_floor_moves() {
    let mut count = 0;
    let mut faults = Vec::new();
    for path in files() {
        let expected =
            path.file_stem().and_then(|stem| stem.to_str()?.split_once('.')).expect("NN.reason").1.to_owned();
        let mut judge = Judge::new();
        let (floors, root) = (judge.floors, judge.root.clone());
        let answer = hand_over(&mut judge, &fs::read(&path).expect("it is read"));
        match answer {
            Ok(()) => faults.push(format!("{}: accepted", path.display())),
            Err(refusal) if refusal.code() != expected => faults.push(format!("{}: {refusal:?}", path.display())),
            Err(_) => {}
        }
        assert_eq!((judge.floors, &judge.root), (floors, &root), "{}", path.display());
        count += 1;
    }
    assert!(count >= 500, "{count} files: is the corpus there?");
    assert!(faults.is_empty(), "{count} files\n{}", faults.join("\n"));
}

/// Without an attack the same way of handing over accepts: otherwise the corpus would prove nothing.
#[test]
fn what_is_right_is_accepted_in_the_same_way() {
    for bytes in corpus::right() {
        assert_eq!(hand_over(&mut Judge::new(), &bytes), Ok(()));
    }
}

/// As the daemon does it. A next root counts only once all of it was accepted.
fn hand_over(judge: &mut Judge, case: &[u8]) -> Result<(), Refusal> {
    let mut nonces = asked();
    let mut verified = None;
    let mut standard: &[u8] = &[];
    let mut root = judge.root.clone();
    let floors = judge.floors;
    for (tag, bytes) in parts(case) {
        match tag {
            b'z' => check_announced(bytes)?,
            b'r' => root = root.next(bytes)?,
            b'p' => {
                let digest = *root.digest().bytes();
                causeway::trust::root::TrustedRoot::pinned(bytes, &causeway::trust::digest::Digest::new(digest))?;
            }
            b'a' => verified = Some(judge.verifier_under(&root, &floors).assignment(bytes)?),
            b's' => standard = bytes,
            b'v' => {
                let assignment = verified.take().expect("an assignment comes first");
                let blobs = Blobs { standard, site: bytes };
                let verifier = judge.verifier_under(&root, &floors);
                let complete = verifier.complete(assignment, blobs, &FakeOpener, &FakeContent)?;
                verify::prepare(&complete, &FakeContent)?;
            }
            b'f' => {
                judge.verifier_under(&root, &floors).freshness(bytes, &mut nonces, now())?;
            }
            b'e' => {
                judge.verifier_under(&root, &floors).enrol_receipt(bytes, &mut nonces, now())?;
            }
            b'o' => {
                envelope::decode(bytes, Kind::Order, 1)?;
            }
            b'l' => {
                envelope::decode(bytes, Kind::LedgerReceipt, 1)?;
            }
            b'w' => {
                envelope::decode(bytes, Kind::WipeReceipt, 1)?;
            }
            b'q' => {
                verify::enrol_request(bytes)?;
            }
            b't' => {
                verify::transition_receipt(bytes, &super::fixture::signer("device").public())?;
            }
            other => panic!("no such part: {other}"),
        }
    }
    Ok(())
}

fn check_announced(bytes: &[u8]) -> Result<(), Refusal> {
    let kind = u16::from_le_bytes([bytes[0], bytes[1]]);
    let size = u64::from_le_bytes(bytes[2..10].try_into().expect("eight bytes"));
    verify::check_size(Kind::from_number(kind).expect("a kind"), size, None)
}

fn parts(mut case: &[u8]) -> Vec<(u8, &[u8])> {
    let mut parts = Vec::new();
    while let Some((head, rest)) = case.split_at_checked(5) {
        let length = u32::from_le_bytes(head[1..].try_into().expect("four bytes")) as usize;
        let (bytes, after) = rest.split_at(length);
        parts.push((head[0], bytes));
        case = after;
    }
    parts
}

fn files() -> impl Iterator<Item = PathBuf> {
    let folders = fs::read_dir(folder()).into_iter().flatten().map(|entry| entry.expect("it is read").path());
    folders
        .filter(|path| path.is_dir())
        .flat_map(|folder| fs::read_dir(folder).expect("it is read").map(|entry| entry.expect("it is read").path()))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trust/attacks")
}
