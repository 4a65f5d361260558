//! Edge: the ledger's files. Lines are only ever appended; what a power cut left half written is cut off at the next
//! start, anything else that is wrong is kept under another name and said.
//!
//! `ledger/NNNNNNNNNNNN.log` begins with the hash before it; the number is the `seq` of its first record. `ledger/sums` has
//! the two slots of [`checkpoint`].

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::account::Account;
use super::chain::{Bad, Fault, Head, Lines, Segment};
use super::checkpoint::{self, Checkpoint, SLOT};
use super::hours::Zones;
use super::record::{GENESIS, HASH, Id, Kind, LINE_MOST, Record, Stamp};
use super::scribe::Before;

/// With [`SEGMENTS`]: 4 MiB, about 10,000 records, years of a usual branch.
pub const SEGMENT_MOST: usize = 256 << 10;
pub const SEGMENTS: usize = 16;
/// Broken files that are kept to be looked at; the oldest goes first.
const BROKEN: usize = 4;
const SUMS: &str = "sums";
const LOG: &str = ".log";
const BROKEN_END: &str = ".broken";

/// What the store needs of a disk, in steps after each of which the power may fail. Names are of one folder.
pub trait Disk {
    /// `None` when there is no such file; at most `most` bytes.
    fn read(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>>;
    fn list(&self) -> io::Result<Vec<String>>;
    /// A new file with these bytes, it and its name on disk before this returns.
    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Bytes at the end, perhaps not yet on disk.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// All that was appended is on disk when this returns.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Shorter, on disk before this returns.
    fn truncate(&mut self, name: &str, length: usize) -> io::Result<()>;
    /// Bytes inside a file that need not exist, on disk before this returns.
    fn write_at(&mut self, name: &str, offset: usize, bytes: &[u8]) -> io::Result<()>;
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {name} of the ledger")]
pub struct StoreError {
    what: &'static str,
    name: String,
    #[source]
    source: io::Error,
}

/// Since the daemon started; as in `causeway_ledger_errors_total{kind}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    pub write: u64,
    pub torn: u64,
    pub broken: u64,
    pub pruned: u64,
}

/// What was found at the start.
#[derive(Debug, Default)]
pub struct Found {
    pub account: Account,
    pub before: Before,
    /// For the first record: what had to be repaired, and that the sums began anew.
    pub told: Map<String, Value>,
    pub remarks: Vec<String>,
}

#[derive(Debug)]
pub struct Store<D> {
    disk: D,
    ledger: Id,
    /// `seq` of the first record of each file, oldest first.
    segments: Vec<u64>,
    /// Bytes of the last file that are on disk.
    size: usize,
    head: Head,
    /// Of the newest slot.
    number: u64,
    /// An append failed: what stands behind `size` is nobody's.
    doubtful: bool,
    errors: Errors,
}

impl<D: Disk> Store<D> {
    /// `fresh` names the ledger if there is none yet. Reading is all that must succeed.
    pub fn open(disk: D, fresh: Id, zones: Zones<'_>) -> Result<(Self, Found), StoreError> {
        let names = disk.list().map_err(fault("list", "the files"))?;
        let mut segments: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
        segments.sort_unstable();
        let sums = disk.read(SUMS, 2 * SLOT).ok().flatten().and_then(|bytes| checkpoint::newest(&bytes));
        let (number, sums) = sums.map_or((0, None), |(number, sums)| (number, Some(sums)));
        let ledger = sums.as_ref().map_or(fresh, |sums| sums.ledger);
        let head = Head { ledger: None, seq: 0, hash: GENESIS };
        let mut store =
            Self { disk, ledger, segments, size: 0, head, number, doubtful: false, errors: Errors::default() };
        let mut found = Found::default();
        store.find_head(sums.as_ref(), &mut found)?;
        store.fold(sums, zones, &mut found)?;
        Ok((store, found))
    }

    pub fn errors(&self) -> Errors {
        self.errors
    }

    /// Of the newest record; 0: none.
    pub fn seq(&self) -> u64 {
        self.head.seq
    }

    /// Records that are kept.
    pub fn kept(&self) -> u64 {
        self.segments.first().map_or(0, |first| (self.head.seq + 1).saturating_sub(*first))
    }

    /// Writes what it can, in order, and takes it out of the queue; what it took is on disk when this returns.
    pub fn append(&mut self, queue: &mut VecDeque<Record>) -> Result<(), StoreError> {
        while let Some(next) = queue.front() {
            if self.segments.is_empty() || self.size + LINE_MOST > SEGMENT_MOST {
                let stamp = Stamp { boot: next.boot, mono: next.mono, wall: next.dated() };
                self.rotate().inspect_err(|_| self.errors.write += 1)?;
                if self.segments.len() > SEGMENTS {
                    self.prune(stamp).inspect_err(|_| self.errors.write += 1)?;
                }
            }
            let room = SEGMENT_MOST - self.size;
            let taken = self.append_some(queue.iter(), room).inspect_err(|_| self.errors.write += 1)?;
            queue.drain(..taken);
        }
        Ok(())
    }

    /// The sums as of the newest record, which must be in them, and the heartbeat.
    pub fn checkpoint(&mut self, account: &Account, stamp: Stamp) -> Result<(), StoreError> {
        let checkpoint = Checkpoint {
            ledger: self.ledger,
            seq: self.head.seq,
            boot: stamp.boot,
            mono: stamp.mono,
            wall: stamp.wall,
            account: account.clone(),
        };
        let number = self.number + 1;
        let too_long = || fault("write", SUMS)(io::Error::other("the sums of so many lines do not fit"));
        let slot = checkpoint::encode(number, &checkpoint).ok_or_else(too_long)?;
        let offset = checkpoint::slot_of(number) * SLOT;
        // A slot whose write failed is not used again at once: the number goes up all the same.
        self.number = number;
        self.disk.write_at(SUMS, offset, &slot).map_err(fault("write", SUMS)).inspect_err(|_| self.errors.write += 1)
    }

    /// Part of the file that begins at or behind `segment`: its number, the bytes from `offset`, and where more is.
    pub fn part(&self, segment: u64, offset: usize, most: usize) -> Result<Option<Part>, StoreError> {
        let Some(index) = self.segments.iter().position(|first| *first >= segment) else { return Ok(None) };
        let first = self.segments[index];
        let offset = if first == segment { offset } else { 0 };
        let name = name_of(first);
        let bytes = self.disk.read(&name, SEGMENT_MOST + LINE_MOST).map_err(fault("read", &name))?.unwrap_or_default();
        let whole = if index + 1 == self.segments.len() { self.size.min(bytes.len()) } else { bytes.len() };
        let end = offset.saturating_add(most).min(whole);
        let next = if end < whole { Some((first, end)) } else { self.segments.get(index + 1).map(|next| (*next, 0)) };
        Ok(Some(Part { segment: first, bytes: bytes[offset.min(end)..end].to_vec(), next }))
    }

    /// Gives the disk back.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// Reads the last file, cuts what is torn, puts aside what is broken.
    fn find_head(&mut self, sums: Option<&Checkpoint>, found: &mut Found) -> Result<(), StoreError> {
        while let Some(first) = self.segments.last().copied() {
            let name = name_of(first);
            let bytes = self.disk.read(&name, SEGMENT_MOST + LINE_MOST).map_err(fault("read", &name))?;
            let bytes = bytes.unwrap_or_default();
            if bytes.len() <= HASH {
                // The power failed while it was made.
                self.disk.remove(&name).map_err(fault("remove", &name))?;
                self.segments.pop();
                continue;
            }
            let (head, bad) = walk(&bytes, first);
            if let Some(ledger) = head.ledger {
                self.ledger = ledger;
            }
            self.head = head;
            self.size = bytes.len();
            let known = sums.filter(|sums| sums.ledger == self.ledger).map_or(0, |sums| sums.seq);
            match bad {
                None => {}
                Some(bad) if bad.fault != Fault::Header && is_tail(&bytes[bad.offset..]) && head.seq >= known => {
                    self.size = bad.offset;
                    self.disk.truncate(&name, bad.offset).map_err(fault("cut", &name))?;
                    self.errors.torn += 1;
                    found.told.insert("torn".to_owned(), (bytes.len() - bad.offset).into());
                    found
                        .remarks
                        .push(format!("the last line of the ledger was not whole: record {} is lost", bad.seq));
                }
                Some(bad) => self.put_aside(&name, &bytes, bad, head, known, found)?,
            }
            return Ok(());
        }
        if let Some(sums) = sums {
            // The sums outlived their ledger: its numbers are not used again.
            self.head.seq = sums.seq;
            found.told.insert("ledger_lost".to_owned(), true.into());
            found.remarks.push("the ledger is lost; the sums of before were kept".to_owned());
        }
        Ok(())
    }

    fn put_aside(
        &mut self,
        name: &str,
        bytes: &[u8],
        bad: Bad,
        head: Head,
        known: u64,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let aside = format!("{}{BROKEN_END}", name.trim_end_matches(LOG));
        self.disk.rename(name, &aside).map_err(fault("put aside", name))?;
        self.segments.pop();
        self.errors.broken += 1;
        let lines = bytes[bad.offset..].iter().filter(|byte| **byte == b'\n').count();
        // What stood behind the break had numbers, too.
        let seq = head.seq.max(known).saturating_add(u64::try_from(lines).unwrap_or(0)).saturating_add(1);
        let hash = std::str::from_utf8(&head.hash).unwrap_or_default();
        let why = bad.fault.to_string();
        found.remarks.push(format!("the ledger is broken at record {}: {why}; kept as {aside}", bad.seq));
        let broken = json!({ "seq": bad.seq, "head": hash, "head_seq": head.seq, "why": why, "file": aside });
        found.told.insert("broken".to_owned(), broken);
        (self.head, self.size) = (Head { ledger: Some(self.ledger), seq, hash: GENESIS }, SEGMENT_MOST);
        let mut old: Vec<String> =
            self.disk.list().unwrap_or_default().into_iter().filter(|name| name.ends_with(BROKEN_END)).collect();
        old.sort_unstable();
        for name in old.iter().rev().skip(BROKEN) {
            self.disk.remove(name).map_err(fault("remove", name))?;
        }
        Ok(())
    }

    /// The sums, and what came after them.
    fn fold(&mut self, sums: Option<Checkpoint>, zones: Zones<'_>, found: &mut Found) -> Result<(), StoreError> {
        let sums = sums.filter(|sums| sums.ledger == self.ledger);
        let mut from = 0;
        // Of the newest sign of life with a date: which record it came after, and the date.
        let mut dated = None;
        if let Some(sums) = sums {
            (from, found.before.last) = (sums.seq, Some(sums.stamp()));
            dated = sums.wall.map(|wall| (sums.seq, wall));
            found.account = sums.account;
            found.account.resolve(zones);
        } else if !self.segments.is_empty() {
            found.told.insert("sums_lost".to_owned(), true.into());
        } else {
            found.told.insert("counters".to_owned(), "begin at 0".into());
        }
        let after = self.segments.iter().skip(1).chain([&u64::MAX]);
        let wanted: Vec<u64> =
            self.segments.iter().zip(after).filter(|(_, next)| **next > from + 1).map(|(first, _)| *first).collect();
        let mut stopped = None;
        for first in wanted {
            let name = name_of(first);
            let bytes = self.disk.read(&name, SEGMENT_MOST + LINE_MOST).map_err(fault("read", &name))?;
            let bytes = bytes.unwrap_or_default();
            let Ok(lines) = Lines::open(&bytes, first) else {
                found.remarks.push(format!("{name} of the ledger cannot be read"));
                continue;
            };
            for record in lines {
                let record = match record {
                    Ok(record) => record,
                    Err(bad) => {
                        found.remarks.push(format!("the ledger is broken at record {}: {}", bad.seq, bad.fault));
                        break;
                    }
                };
                stopped = Some(record.kind == Kind::Stop);
                if let Some(wall) = record.dated()
                    && dated.is_none_or(|(seq, _)| seq < record.seq)
                {
                    dated = Some((record.seq, wall));
                }
                if record.seq > from {
                    found.account.fold(&record, zones);
                    let stamp = Stamp { boot: record.boot, mono: record.mono, wall: record.dated() };
                    let last = found.before.last;
                    if last.is_none_or(|last| last.boot != stamp.boot || last.mono <= stamp.mono) {
                        found.before.last = Some(stamp);
                    }
                }
            }
        }
        found.before.stopped = stopped.unwrap_or(false);
        found.before.dated = dated.map(|(_, wall)| wall).or_else(|| self.last_date());
        Ok(())
    }

    /// Of a ledger whose last files were written without knowing the time.
    fn last_date(&self) -> Option<u64> {
        self.segments.iter().rev().find_map(|first| {
            let bytes = self.disk.read(&name_of(*first), SEGMENT_MOST + LINE_MOST).ok()??;
            Lines::open(&bytes, *first).ok()?.filter_map(|record| record.ok()?.dated()).last()
        })
    }

    fn rotate(&mut self) -> Result<(), StoreError> {
        let first = self.head.seq + 1;
        let name = name_of(first);
        let header = [&self.head.hash[..], b"\n"].concat();
        self.disk.create(&name, &header).map_err(fault("make", &name))?;
        if self.segments.last() != Some(&first) {
            self.segments.push(first);
        }
        (self.size, self.doubtful) = (header.len(), false);
        Ok(())
    }

    /// Says which records go, then lets them go.
    fn prune(&mut self, stamp: Stamp) -> Result<(), StoreError> {
        let gone = self.segments[..self.segments.len() - SEGMENTS].to_vec();
        let until = self.segments[gone.len()] - 1;
        let record = Record::new(stamp, Kind::Pruned)
            .with("from_seq", gone[0])
            .with("to_seq", until)
            // Nothing is sent to head office yet.
            .with("received", false);
        self.append_some([record].iter(), SEGMENT_MOST)?;
        for first in gone {
            let name = name_of(first);
            self.disk.remove(&name).map_err(fault("remove", &name))?;
            self.segments.retain(|known| *known != first);
            self.errors.pruned += 1;
        }
        Ok(())
    }

    /// As many as fit, in one write and one sync.
    fn append_some<'a>(&mut self, records: impl Iterator<Item = &'a Record>, room: usize) -> Result<usize, StoreError> {
        let Some(first) = self.segments.last().copied() else { return Ok(0) };
        let name = name_of(first);
        if self.doubtful {
            self.disk.truncate(&name, self.size).map_err(fault("cut", &name))?;
            self.doubtful = false;
        }
        let (mut bytes, mut head, mut taken) = (Vec::new(), self.head, 0);
        for record in records {
            let mut record = record.clone();
            (record.ledger, record.seq) = (self.ledger, head.seq + 1);
            let (line, hash) = record.line(&head.hash);
            if bytes.len() + line.len() > room {
                break;
            }
            head = Head { ledger: Some(self.ledger), seq: record.seq, hash };
            bytes.extend(line);
            taken += 1;
        }
        self.doubtful = true;
        self.disk.append(&name, &bytes).map_err(fault("write", &name))?;
        self.disk.sync(&name).map_err(fault("write", &name))?;
        self.doubtful = false;
        (self.head, self.size) = (head, self.size + bytes.len());
        Ok(taken)
    }
}

/// What [`Store::part`] gives out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub segment: u64,
    pub bytes: Vec<u8>,
    /// Segment and offset.
    pub next: Option<(u64, usize)>,
}

/// Until the first line that cannot be believed.
fn walk(bytes: &[u8], first: u64) -> (Head, Option<Bad>) {
    let mut lines = match Lines::open(bytes, first) {
        Ok(lines) => lines,
        Err(bad) => return (Head { ledger: None, seq: first.saturating_sub(1), hash: GENESIS }, Some(bad)),
    };
    let bad = lines.by_ref().find_map(Result::err);
    (lines.head(), bad)
}

/// One line at most, and perhaps room that was never written: what a power cut leaves.
fn is_tail(rest: &[u8]) -> bool {
    let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
    rest[line..].iter().all(|byte| *byte == 0)
}

fn name_of(first: u64) -> String {
    format!("{first:012}{LOG}")
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(LOG).filter(|digits| digits.len() == 12)?.parse().ok()
}

fn fault(what: &'static str, name: &str) -> impl FnOnce(io::Error) -> StoreError {
    let name = name.to_owned();
    move |source| StoreError { what, name, source }
}

/// A real folder, for us alone: files are 0600.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// The file that is appended to.
    open: Option<(String, File)>,
}

impl Folder {
    /// Makes the folder if there is none.
    pub fn new(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Ok(Self { root: root.to_owned(), open: None })
    }

    fn handle(&mut self, name: &str) -> io::Result<&mut File> {
        if self.open.as_ref().is_none_or(|(known, _)| known != name) {
            let file = OpenOptions::new().append(true).open(self.root.join(name))?;
            self.open = Some((name.to_owned(), file));
        }
        match &mut self.open {
            Some((_, file)) => Ok(file),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.root)?.sync_all()
    }
}

impl Disk for Folder {
    fn read(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        read_some(&self.root.join(name), most)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(fs::read_dir(&self.root)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(self.root.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        self.open = None;
        self.sync_names()
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.handle(name)?.write_all(bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let synced = self.handle(name)?.sync_data();
        if synced.is_err() {
            // The kernel tells an error once; another handle must not take silence for success.
            self.open = None;
        }
        synced
    }

    fn truncate(&mut self, name: &str, length: usize) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.root.join(name))?;
        file.set_len(u64::try_from(length).unwrap_or(u64::MAX))?;
        file.sync_all()
    }

    fn write_at(&mut self, name: &str, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(false).mode(0o600).open(self.root.join(name))?;
        // Not `pwrite`: the fence has no such call.
        file.seek(SeekFrom::Start(u64::try_from(offset).unwrap_or(u64::MAX)))?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.open = None;
        fs::rename(self.root.join(from), self.root.join(to))?;
        self.sync_names()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.root.join(name))
    }
}

fn read_some(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(Some(bytes)) }
}

/// A ledger in its folder as it is, for commands: nothing is repaired. With it, when the box was last known to live.
pub fn read(root: &Path) -> io::Result<(Vec<Segment>, Option<Stamp>)> {
    let mut firsts: Vec<u64> = Vec::new();
    for entry in fs::read_dir(root)? {
        firsts.extend(entry?.file_name().to_str().and_then(number_of));
    }
    firsts.sort_unstable();
    let mut segments = Vec::new();
    for first in firsts {
        if let Some(bytes) = read_some(&root.join(name_of(first)), SEGMENT_MOST + LINE_MOST)? {
            segments.push(Segment { first, bytes });
        }
    }
    let sums = read_some(&root.join(SUMS), 2 * SLOT).ok().flatten().and_then(|bytes| checkpoint::newest(&bytes));
    Ok((segments, sums.map(|(_, sums)| sums.stamp())))
}

/// A zone of the system's database; the system's own for `None`, UTC where that says nothing.
pub fn zone(name: Option<&str>) -> TimeZone {
    /// The largest there is has 4 KiB.
    const MOST: usize = 64 << 10;
    let Some(name) = name else { return TimeZone::system() };
    // The config's grammar has checked it; a ledger may come from anywhere.
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
    };
    if !name.split('/').all(plain) {
        return TimeZone::UTC;
    }
    let file = Path::new("/usr/share/zoneinfo").join(name);
    let bytes = read_some(&file, MOST).ok().flatten().unwrap_or_default();
    TimeZone::tzif(name, &bytes).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
