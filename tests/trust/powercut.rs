//! The store on a disk that loses what was not synced: after a power cut at any step it holds the old entry or the new
//! one, never a mix, and never less than what was acknowledged. `POWER_CUTS` says how many
//! samples stand for what is too much to enumerate, and makes the run a long one.

use causeway::trust::digest::Digest;
use causeway::trust::floors::Floors;
use causeway::trust::machine::{Keep, Record, Saved};
use causeway::trust::store::{Found, Store};

use super::disk::FaultDisk;
use super::world::{Chance, boot, build, candidate};

/// Entry n runs the config of content n.
fn record(number: u64) -> Record {
    let mut keep = Keep::new(Floors::new(build()), boot(1));
    keep.good = Some(config(number));
    Record { state: Saved::Idle { retry: None }, keep }
}

/// With blobs whose digests are those that the record names.
fn config(number: u64) -> causeway::trust::machine::Config {
    let [assignment, standard, site] = blobs(number).map(|bytes| Digest::of(&bytes));
    causeway::trust::machine::Config { assignment, standard, site, ..candidate(number, number).config }
}

fn blobs(number: u64) -> [Vec<u8>; 3] {
    [
        format!("assignment {number}").into_bytes(),
        format!("standard {number} ").repeat(100).into_bytes(),
        b"site".to_vec(),
    ]
}

/// How many unsynced pieces are played in every combination, how many samples stand for more, and how many changes.
fn extent() -> (u32, usize, u64) {
    match std::env::var("POWER_CUTS").ok().and_then(|text| text.parse().ok()) {
        Some(samples) => (12, samples, 5),
        None => (8, 100, 3),
    }
}

/// What the daemon does for one change: blobs, the entry that names them, then what is not needed any more goes.
/// Says which entries were acknowledged.
fn change(store: &mut Store<FaultDisk>, number: u64) -> bool {
    let blobs = blobs(number);
    let parts: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
    if store.put(&parts).is_err() || store.save(&record(number)).is_err() {
        return false;
    }
    store.sweep();
    true
}

/// Opens what a power cut left: an entry between the bounds, with all its blobs.
fn check(disk: FaultDisk, least: u64, most: u64) -> Store<FaultDisk> {
    let (store, found) = Store::open(disk).expect("it can be read");
    let number = match found {
        Found::Nothing => 0,
        Found::Damaged => panic!("damaged, at least {least} was acknowledged"),
        Found::Record(found) => {
            let number = found.keep.good.map_or(0, |good| good.released.seq);
            assert_eq!(*found, record(number), "a mix");
            for bytes in blobs(number) {
                let there = store.get(&Digest::of(&bytes)).expect("whole");
                assert_eq!(there.as_deref(), Some(&bytes[..]), "a blob of entry {number}");
            }
            number
        }
    };
    assert!((least..=most).contains(&number), "entry {number}, acknowledged {least}, begun {most}");
    store
}

#[test]
fn f1_g9_a_power_cut_at_any_step_leaves_the_old_or_the_new() {
    let mut chance = Chance(1);
    let mut states = 0_u64;
    let mut disk = FaultDisk::default();
    let mut acknowledged = Vec::new();
    let (all, samples, changes) = extent();
    for number in 1..=changes {
        let before = disk.steps();
        let (mut store, _) = Store::open(disk).expect("it opens");
        assert!(change(&mut store, number));
        disk = store.into_disk();
        acknowledged.push((number, before, disk.steps()));
    }
    for prefix in 0..=disk.steps() {
        let least = acknowledged.iter().filter(|(_, _, end)| *end <= prefix).map(|(number, ..)| *number).max();
        let most = acknowledged.iter().filter(|(_, begin, _)| *begin < prefix).map(|(number, ..)| *number).max();
        let (least, most) = (least.unwrap_or(0), most.unwrap_or(0));
        for cut in disk.cuts(prefix, &mut chance, all, samples) {
            let store = check(cut, least, most.max(least));
            states += 1;
            // Recovery is cut as well, and so is the first change after it.
            if states.is_multiple_of(7) {
                states += recover(store, least, most.max(least), &mut chance);
            }
        }
    }
    assert!(states >= 10_000, "{states} states");
}

fn recover(mut store: Store<FaultDisk>, least: u64, most: u64, chance: &mut Chance) -> u64 {
    assert!(change(&mut store, 9));
    let disk = store.into_disk();
    let mut states = 0;
    for prefix in 0..=disk.steps() {
        for cut in disk.cuts(prefix, chance, 1, 2).into_iter().take(4) {
            let (store, found) = Store::open(cut).expect("it can be read");
            let number = found.record().and_then(|record| record.keep.good).map_or(0, |good| good.released.seq);
            assert!(number == 9 || (least..=most).contains(&number), "{number}");
            if prefix == disk.steps() {
                assert_eq!(number, 9, "it was acknowledged");
            }
            drop(store);
            states += 1;
        }
    }
    states
}

/// EIO, ENOSPC or EROFS at each step, for once or for good, with and without half of the write on disk.
#[test]
fn f3_f4_f5_g12_a_refusing_disk_keeps_what_was_acknowledged() {
    let mut steps = 0;
    for refused in 0..1_000 {
        for (once, half) in [(true, false), (true, true), (false, false), (false, true)] {
            let disk = FaultDisk::refusing(refused, once, half);
            let (mut store, _) = Store::open(disk).expect("it opens");
            let mut acknowledged = 0;
            for number in 1..=12 {
                if change(&mut store, number) {
                    acknowledged = number;
                }
            }
            let mut disk = store.into_disk();
            steps = steps.max(disk.asked());
            disk.budget = None;
            // At once, as after a crash of the daemon, and after a power cut.
            let mut chance = Chance(u64::try_from(refused).expect("small"));
            for cut in disk.cuts(disk.steps(), &mut chance, 1, 2).into_iter().take(4) {
                check(cut, acknowledged, 12);
            }
            let mut store = check(disk, acknowledged, 12);
            assert!(change(&mut store, 13), "the disk works again");
            check(store.into_disk(), 13, 13);
        }
        if refused > steps {
            break;
        }
    }
    assert!(steps > 100, "{steps} steps");
}

/// The model itself: what is not synced can be lost, what is synced cannot.
#[test]
fn the_disk_loses_what_was_not_synced_and_only_that() {
    use causeway::trust::store::Disk as _;
    let mut disk = FaultDisk::default();
    disk.write("a.new", b"1").expect("written");
    disk.rename("a.new", "a").expect("renamed");
    let mut chance = Chance(3);
    let seen = |disk: &FaultDisk, chance: &mut Chance| -> Vec<Option<Vec<u8>>> {
        let cuts = disk.cuts(disk.steps(), chance, 12, 8);
        let mut seen: Vec<_> = cuts.iter().map(|cut| cut.read("a", 9).expect("read")).collect();
        seen.sort();
        seen.dedup();
        seen
    };
    assert_eq!(seen(&disk, &mut chance), [None, Some(b"1".to_vec())]);
    disk.sync_folder("").expect("synced");
    assert_eq!(seen(&disk, &mut chance), [Some(b"1".to_vec())]);
}
