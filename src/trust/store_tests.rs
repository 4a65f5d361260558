use super::*;
use crate::trust::document::Seconds;
use crate::trust::floors::{BootId, Floors};
use crate::trust::machine::{Keep, Saved};

fn record(attempts: u8) -> Record {
    let mut keep = Keep::new(Floors::new(Seconds::default()), BootId::default());
    keep.attempts = attempts;
    Record { state: Saved::Idle { retry: None }, keep }
}

/// A folder of our own that goes away afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("causeway-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder");
        Self(path)
    }

    fn store(&self) -> (Store<Folder>, Found) {
        Store::open(Folder::new(&self.0)).expect("it opens")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_saved_is_found_and_slots_take_turns() {
    let scratch = Scratch::new("turns");
    let (mut store, found) = scratch.store();
    assert_eq!(found, Found::Nothing);
    for attempts in 1..=5 {
        store.save(&record(attempts)).expect("it is written");
        assert_eq!(fs::metadata(scratch.0.join(JOURNAL)).expect("it is there").len(), 2 * 4096);
        assert_eq!(scratch.store().1.record(), Some(record(attempts)));
    }
}

#[test]
fn f2_a_damaged_slot_costs_one_entry_and_two_cost_all() {
    let scratch = Scratch::new("damaged");
    let (mut store, _) = scratch.store();
    for attempts in 1..=4 {
        store.save(&record(attempts)).expect("it is written");
    }
    let mut bytes = fs::read(scratch.0.join(JOURNAL)).expect("it is there");
    bytes[100] ^= 1;
    fs::write(scratch.0.join(JOURNAL), &bytes).expect("it is written");
    assert_eq!(scratch.store().1.record(), Some(record(3)));
    bytes[SLOT + 100] ^= 1;
    fs::write(scratch.0.join(JOURNAL), &bytes).expect("it is written");
    let (mut store, found) = scratch.store();
    assert_eq!(found, Found::Damaged);
    store.save(&record(9)).expect("a fresh file is written");
    assert_eq!(scratch.store().1.record(), Some(record(9)));
}

#[test]
fn a_journal_of_another_length_is_damaged() {
    let scratch = Scratch::new("length");
    for length in [0, 1, SLOT, 3 * SLOT] {
        fs::write(scratch.0.join(JOURNAL), vec![0; length]).expect("it is written");
        assert_eq!(scratch.store().1, Found::Damaged, "{length} bytes");
    }
}

#[test]
fn blobs_are_checked_and_swept() {
    let scratch = Scratch::new("blobs");
    let (mut store, _) = scratch.store();
    store.put(&[b"standard", b"site", b"standard"]).expect("they are written");
    let digest = Digest::of(b"standard");
    assert_eq!(store.get(&digest).expect("it is read").as_deref(), Some(&b"standard"[..]));
    assert_eq!(store.get(&Digest::of(b"other")).expect("no fault"), None);
    let path = scratch.0.join(BLOBS).join(digest.to_string());
    fs::write(&path, b"Standard").expect("it is written");
    assert!(matches!(store.get(&digest), Err(StoreError::Damaged(_))));
    store.put(&[b"standard"]).expect("it is written anew");
    assert!(store.get(&digest).expect("it is read").is_some());
    let mut wants = record(1);
    wants.keep.root = Some(digest);
    store.save(&wants).expect("it is written");
    assert_eq!(store.sweep(), 1);
    assert!(store.get(&digest).expect("it is read").is_some());
    assert!(store.put(&[&vec![0; BLOB_MOST + 1]]).is_err());
}

#[test]
fn leftovers_of_a_power_cut_are_cleared_away() {
    let scratch = Scratch::new("leftovers");
    let (mut store, _) = scratch.store();
    store.put(&[b"x"]).expect("it is written");
    fs::write(scratch.0.join("journal.new"), b"half").expect("it is written");
    fs::write(scratch.0.join(BLOBS).join("abc.new"), b"half").expect("it is written");
    scratch.store();
    assert!(!scratch.0.join("journal.new").exists() && !scratch.0.join(BLOBS).join("abc.new").exists());
}
