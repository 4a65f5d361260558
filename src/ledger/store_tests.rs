use std::cell::Cell;
use std::collections::BTreeMap;

use super::*;
use crate::ledger::chain::verify;
use crate::ledger::fixture::{LEDGER, at, month_of_records, zones};

/// A disk in memory. What was not synced is lost with the power, wholly or in part; steps fail as the test says.
#[derive(Clone, Debug, Default)]
struct Memory {
    files: BTreeMap<String, (Vec<u8>, usize)>,
    /// The power fails at this step.
    cut: Option<usize>,
    step: Cell<usize>,
    /// Appends and syncs fail for this many steps.
    full: usize,
}

impl Memory {
    fn step(&self) -> io::Result<()> {
        let step = self.step.replace(self.step.get() + 1);
        if self.cut.is_some_and(|cut| step >= cut) { Err(io::Error::other("the power failed")) } else { Ok(()) }
    }

    fn refuse(&mut self) -> io::Result<()> {
        if self.full > 0 {
            self.full -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// `kept`: of what was not synced, so many thousandths are there.
    fn after_power_cut(&self, kept: usize) -> Self {
        let files = self.files.iter().map(|(name, (bytes, synced))| {
            let length = synced + (bytes.len() - synced) * kept / 1_000;
            (name.clone(), (bytes[..length].to_vec(), length))
        });
        Self { files: files.collect(), ..Self::default() }
    }

    fn segments(&self) -> Vec<Segment> {
        let logs = self.files.iter().filter_map(|(name, (bytes, _))| Some((number_of(name)?, bytes)));
        logs.map(|(first, bytes)| Segment { first, bytes: bytes.clone() }).collect()
    }
}

impl Disk for Memory {
    fn read(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        let bytes = self.files.get(name).map(|(bytes, _)| bytes.clone());
        assert!(bytes.as_ref().is_none_or(|bytes| bytes.len() <= most), "{name} is bounded");
        Ok(bytes)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.refuse()?;
        // The name may be there without its bytes.
        self.files.insert(name.to_owned(), (bytes.to_vec(), 0));
        self.step()?;
        self.files.insert(name.to_owned(), (bytes.to_vec(), bytes.len()));
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.files.get_mut(name).expect("it was made");
        if self.full > 0 {
            // A disk that fills up takes a part.
            file.0.extend_from_slice(&bytes[..bytes.len() / 2]);
        } else {
            file.0.extend_from_slice(bytes);
        }
        self.refuse()?;
        self.step()
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.refuse()?;
        self.step()?;
        let file = self.files.get_mut(name).expect("it was made");
        file.1 = file.0.len();
        Ok(())
    }

    fn truncate(&mut self, name: &str, length: usize) -> io::Result<()> {
        self.step()?;
        let file = self.files.get_mut(name).expect("it is there");
        file.0.truncate(length);
        file.1 = file.0.len();
        Ok(())
    }

    fn write_at(&mut self, name: &str, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let file = self.files.entry(name.to_owned()).or_default();
        file.0.resize(file.0.len().max(offset + bytes.len()), 0);
        // Half of it may be there.
        file.0[offset..offset + bytes.len() / 2].copy_from_slice(&bytes[..bytes.len() / 2]);
        file.1 = file.0.len();
        self.step()?;
        if let Some(file) = self.files.get_mut(name) {
            file.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.step()?;
        let file = self.files.remove(from).expect("it is there");
        self.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.step()?;
        self.files.remove(name);
        Ok(())
    }
}

fn open(disk: Memory) -> (Store<Memory>, Found) {
    Store::open(disk, LEDGER, &zones).expect("it can be read")
}

fn queue(from: usize, to: usize) -> VecDeque<Record> {
    month_of_records(to).split_off(from).into()
}

fn written(count: usize) -> Memory {
    let (mut store, _) = open(Memory::default());
    store.append(&mut queue(0, count)).expect("the disk is well");
    store.into_disk()
}

#[test]
fn what_was_written_is_read_back_and_goes_on() {
    let disk = written(10);
    let (mut store, found) = open(disk);
    assert_eq!((store.seq(), store.kept(), found.before.last.map(|last| last.mono)), (10, 10, Some(540_000)));
    store.append(&mut queue(10, 13)).expect("the disk is well");
    let checked = verify(&store.into_disk().segments()).expect("one chain");
    assert_eq!((checked.records.len(), checked.records[12].seq), (13, 13));
}

#[test]
fn sums_are_the_same_with_a_checkpoint_and_without() {
    let (mut store, mut found) = open(Memory::default());
    let mut records = queue(0, 400);
    records.iter().for_each(|record| found.account.fold(record, &zones));
    store.append(&mut records).expect("the disk is well");
    found.account.advance(24_000_000, &|_| None);
    store.checkpoint(&found.account, at(24_000_000, None)).expect("the disk is well");
    let mut more = queue(400, 450);
    more.iter().for_each(|record| found.account.fold(record, &zones));
    store.append(&mut more).expect("the disk is well");
    let wanted = found.account.advance(30_000_000, &|_| None).clone();

    let disk = store.into_disk();
    let (_, mut with) = open(disk.clone());
    assert_eq!(*with.account.advance(30_000_000, &|_| None), wanted);
    assert_eq!(with.before.last.map(|last| last.mono), Some(449 * 60_000));
    let mut lost = disk;
    lost.files.remove(SUMS);
    let (_, mut without) = open(lost);
    assert_eq!(*without.account.advance(30_000_000, &|_| None), wanted);
    assert!(without.told.contains_key("sums_lost"));
}

#[test]
fn the_oldest_file_goes_when_there_are_too_many_and_it_is_said() {
    let (mut store, _) = open(Memory::default());
    let mut records = queue(0, 20_000);
    store.append(&mut records).expect("the disk is well");
    assert!(records.is_empty() && store.errors().pruned > 0);
    let seq = store.seq();
    let disk = store.into_disk();
    assert!(disk.files.len() <= SEGMENTS && disk.files.values().all(|(bytes, _)| bytes.len() <= SEGMENT_MOST));
    let checked = verify(&disk.segments()).expect("one chain");
    assert_eq!(checked.records.last().map(|record| record.seq), Some(seq));
    let pruned: Vec<_> = checked.records.iter().filter(|record| record.kind == Kind::Pruned).collect();
    assert!(pruned.len() > 1);
    assert!(pruned.iter().all(|record| record.number("to_seq") < Some(record.seq)));
    assert_eq!(pruned.last().and_then(|record| record.number("to_seq")), Some(checked.records[0].seq - 1));
}

#[test]
fn a_torn_last_line_is_cut_and_counted() {
    for cut in 1..200 {
        let mut disk = written(10);
        let (bytes, synced) = disk.files.values_mut().next().expect("a file");
        bytes.truncate(bytes.len() - cut);
        *synced = bytes.len();
        let (mut store, found) = open(disk);
        assert_eq!((store.errors().torn, store.errors().broken, store.seq()), (1, 0, 9), "{cut}: {:?}", found.remarks);
        store.append(&mut queue(9, 12)).expect("the disk is well");
        assert_eq!(verify(&store.into_disk().segments()).expect("one chain").records.len(), 12);
    }
}

#[test]
fn a_broken_chain_is_kept_and_the_new_one_names_it() {
    let disk = written(10);
    let name = disk.files.keys().next().expect("a file").clone();
    let length = disk.files[&name].0.len();
    for at_byte in (70..length - 400).step_by(37) {
        let mut broken = disk.clone();
        broken.files.get_mut(&name).expect("it is there").0[at_byte] ^= 1;
        let (mut store, found) = open(broken);
        assert_eq!((store.errors().broken, store.errors().torn), (1, 0), "byte {at_byte}");
        let mut first = Record::new(at(700_000, None), Kind::Start);
        first.evidence = found.told.clone();
        store.append(&mut [first].into()).expect("the disk is well");
        let disk = store.into_disk();
        assert!(disk.files.keys().any(|name| name.ends_with(BROKEN_END)), "the old one is kept");
        let checked = verify(&disk.segments()).expect("a new chain");
        assert!(checked.records[0].evidence["broken"]["head"].is_string());
        assert!(checked.records[0].seq > 10, "no number is used again");
    }
}

#[test]
fn a_last_line_that_was_known_to_be_whole_is_no_torn_one() {
    let (mut store, found) = open(Memory::default());
    store.append(&mut queue(0, 10)).expect("the disk is well");
    store.checkpoint(&found.account, at(600_000, None)).expect("the disk is well");
    let mut disk = store.into_disk();
    let bytes = &mut disk.files.iter_mut().find(|(name, _)| name.ends_with(LOG)).expect("a file").1.0;
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    let (store, found) = open(disk);
    assert_eq!((store.errors().broken, store.errors().torn), (1, 0), "{:?}", found.remarks);
}

/// A life with rotations and checkpoints, until the power fails at this step; then the next start.
fn live_until(cut: usize, kept: usize, records: &[Record], batch: usize) -> usize {
    let (mut store, mut found) = open(Memory { cut: Some(cut), ..Memory::default() });
    for some in records.chunks(batch) {
        some.iter().for_each(|record| found.account.fold(record, &zones));
        let appended = store.append(&mut some.to_vec().into());
        if appended.is_err() || store.checkpoint(&found.account, at(store.seq() * 60_000, None)).is_err() {
            break;
        }
    }
    let (safe, steps) = (store.seq(), store.disk.step.get());
    let (mut store, found) = open(store.into_disk().after_power_cut(kept));
    assert!(store.seq() >= safe, "cut {cut}, kept {kept}: {} of {safe}: {:?}", store.seq(), found.remarks);
    assert_eq!(store.errors().broken, 0, "cut {cut}, kept {kept}: {:?}", found.remarks);
    store.append(&mut queue(5, 9)).expect("the disk is well again");
    verify(&store.into_disk().segments()).unwrap_or_else(|bad| panic!("cut {cut}, kept {kept}: {bad}"));
    steps
}

/// Nothing that was told to be on disk is lost.
#[test]
fn a_power_cut_at_any_step_loses_nothing_that_was_synced() {
    let records = month_of_records(2_000);
    let steps = live_until(usize::MAX, 0, &records, 50);
    assert!(steps > 100, "{steps}");
    for cut in 0..=steps {
        for kept in [0, 500, 1_000] {
            live_until(cut, kept, &records, 50);
        }
    }
}

/// The same where the oldest files go.
#[test]
fn a_power_cut_while_old_files_go_loses_nothing_either() {
    let records = month_of_records(20_000);
    let steps = live_until(usize::MAX, 0, &records, 4_000);
    for cut in steps - 12..=steps {
        live_until(cut, 500, &records, 4_000);
    }
}

#[test]
fn a_full_disk_keeps_the_queue_and_what_is_half_written_does_not_count() {
    for full in 1..9 {
        let (mut store, _) = open(written(5));
        store.disk.full = full;
        let mut records = queue(5, 20);
        let mut tries = 0;
        while store.append(&mut records).is_err() {
            tries += 1;
            assert!(tries < 20 && !records.is_empty());
        }
        assert!(records.is_empty() && store.errors().write == tries && tries > 0);
        assert_eq!(verify(&store.into_disk().segments()).expect("one chain").records.len(), 20);
    }
}

#[test]
fn the_last_date_is_known_however_long_nobody_knew_the_time() {
    let (mut store, found) = open(Memory::default());
    store.append(&mut queue(0, 5)).expect("the disk is well");
    let wall = month_of_records(5)[4].dated().expect("it has one");
    let mut known = |count: u64, checkpoint: Stamp| {
        let undated = (0..count).map(|mono| Record::new(at(mono, None), Kind::State).with("text", "x".repeat(400)));
        store.append(&mut undated.collect()).expect("the disk is well");
        store.checkpoint(&found.account, checkpoint).expect("the disk is well");
        Store::open(store.disk.clone(), LEDGER, &zones).expect("it can be read").1.before.dated
    };
    assert_eq!(known(0, at(240_000, Some(wall + 60_000))), Some(wall + 60_000));
    // In the next boot nobody tells it, for more than a file.
    assert_eq!(known(3, at(3_000, None)), Some(wall));
    assert_eq!(known(1_000, at(4_000, None)), Some(wall));
    assert_eq!(known(0, at(5_000, Some(wall + 90_000))), Some(wall + 90_000));
}

#[test]
fn parts_put_together_are_the_files() {
    let (store, _) = open(written(2_000));
    let (mut segment, mut offset, mut found) = (0, 0, Vec::<Segment>::new());
    while let Some(part) = store.part(segment, offset, 10_000).expect("it can be read") {
        match found.last_mut().filter(|last| last.first == part.segment) {
            Some(last) => last.bytes.extend(part.bytes),
            None => found.push(Segment { first: part.segment, bytes: part.bytes }),
        }
        match part.next {
            Some(next) => (segment, offset) = next,
            None => break,
        }
    }
    assert_eq!(found, store.into_disk().segments());
}

#[test]
fn a_real_folder_does_the_same() {
    let folder = std::env::temp_dir().join(format!("causeway-ledger-{}", std::process::id()));
    let open = || Store::open(Folder::new(&folder).expect("a folder"), LEDGER, &zones).expect("it can be read");
    let (mut store, found) = open();
    store.append(&mut queue(0, 700)).expect("the disk is well");
    store.checkpoint(&found.account, at(42_000_000, Some(9))).expect("the disk is well");
    drop(store);
    let (store, found) = open();
    assert_eq!((store.seq(), found.before.last), (700, Some(at(42_000_000, Some(9)))));
    let (segments, last) = read(&folder).expect("it can be read");
    assert_eq!((verify(&segments).expect("one chain").records.len(), last), (700, Some(at(42_000_000, Some(9)))));
    fs::remove_dir_all(&folder).expect("removed");
}
