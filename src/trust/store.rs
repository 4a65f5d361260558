//! Edge: blobs and the journal on disk. Nothing here is ever changed in place but a journal slot, and the other slot is
//! whole meanwhile; so a power cut leaves the old state or the new one.
//!
//! A write error is believed once and for all: the file is left alone, because the kernel may have dropped the pages, and
//! a fresh copy is written. A disk that is full or read-only costs the new state, never the old one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::digest::Digest;
use super::envelope::Kind;
use super::journal::{self, Entry, SLOT};
use super::machine::Record;
use super::verify::SEAL_OVERHEAD;

const JOURNAL: &str = "journal";
const BLOBS: &str = "blobs";
/// What is not yet under its name; removed at the start.
const TEMPORARY: &str = ".new";
/// Nothing larger is ever put here.
pub const BLOB_MOST: usize = Kind::Standard.cap() + SEAL_OVERHEAD;

/// What the store needs of a disk, in steps after each of which the power may fail. Names are relative, with `/`.
pub trait Disk {
    /// At most `most` bytes; `None` when there is no such file. A longer one is an error.
    fn read(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>>;
    /// Names in a folder; none when there is no such folder.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;
    /// There is a folder of that name, on disk, when this returns.
    fn make_folder(&mut self, folder: &str) -> io::Result<()>;
    /// A new or emptied file with these bytes, on disk before this returns.
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Bytes inside a file, on disk before this returns.
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Makes a file last that may be on its way to the disk still.
    fn sync_file(&mut self, name: &str) -> io::Result<()>;
    /// Makes the names in a folder last.
    fn sync_folder(&mut self, folder: &str) -> io::Result<()>;
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {what} {name}")]
    Disk {
        what: &'static str,
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("blob {0} is damaged")]
    Damaged(Digest),
    #[error("the record does not fit its slot")]
    TooLong,
    #[error("a blob of {length} bytes is longer than any may be")]
    BlobTooLong { length: usize },
}

/// What the journal held at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No journal: a box that was never enrolled.
    Nothing,
    Record(Box<Record>),
    /// There is a journal, but neither slot is valid: the image's safe config, and an alarm.
    Damaged,
}

impl Found {
    pub fn record(self) -> Option<Record> {
        match self {
            Self::Record(record) => Some(*record),
            Self::Nothing | Self::Damaged => None,
        }
    }
}

#[derive(Debug)]
pub struct Store<D> {
    disk: D,
    /// The newest entry that is known to be on disk.
    last: Option<Entry>,
    /// The one before: if the newest should ever be damaged, this one counts, so its blobs are kept.
    before: Option<Entry>,
    /// Given to no two entries, also not to one whose write failed.
    number: u64,
    /// The journal's file must not be written to: it is missing, or a write to it failed.
    spoilt: bool,
    /// The folder for blobs is known to be there.
    ready: bool,
}

impl<D: Disk> Store<D> {
    /// Reads the journal and clears away what a power cut left half done. Works on a disk that cannot be written, too.
    pub fn open(disk: D) -> Result<(Self, Found), StoreError> {
        let bytes = match disk.read(JOURNAL, 2 * SLOT) {
            // Longer than a journal is: as good as none of its slots.
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Some(Vec::new()),
            read => read.map_err(fault("read", JOURNAL))?,
        };
        let (last, before) = bytes.as_deref().map_or((None, None), journal::entries);
        let found = match (&bytes, &last) {
            (None, _) => Found::Nothing,
            (Some(_), Some(entry)) => Found::Record(Box::new(entry.record.clone())),
            (Some(_), None) => Found::Damaged,
        };
        let whole = bytes.is_some_and(|bytes| bytes.len() == 2 * SLOT);
        let number = last.as_ref().map_or(0, |entry| entry.number);
        let mut store = Self { disk, spoilt: !whole || last.is_none(), last, before, number, ready: false };
        // Who wrote it may have died before it was on disk.
        let lasts = store.disk.sync_file(JOURNAL).and_then(|()| store.disk.sync_folder(""));
        store.spoilt |= lasts.is_err();
        store.tidy();
        Ok((store, found))
    }

    /// The record is on disk when this returns.
    pub fn save(&mut self, record: &Record) -> Result<(), StoreError> {
        self.number += 1;
        let entry = Entry { number: self.number, record: record.clone() };
        let slot = journal::encode(&entry).ok_or(StoreError::TooLong)?;
        if !self.spoilt {
            let offset = if journal::slot_of(entry.number) == 0 { 0 } else { SLOT };
            match self.disk.write_at(JOURNAL, u64::try_from(offset).unwrap_or(0), &slot) {
                Ok(()) => {
                    self.before = self.last.replace(entry);
                    return Ok(());
                }
                Err(_) => self.spoilt = true,
            }
        }
        self.save_fresh(&slot, entry.number)?;
        self.before = self.last.replace(entry);
        self.spoilt = false;
        Ok(())
    }

    /// A whole new journal: the new entry and, as far as we have it, the one before.
    fn save_fresh(&mut self, slot: &[u8; SLOT], number: u64) -> Result<(), StoreError> {
        let mut file = vec![0; 2 * SLOT];
        let (first, second) = file.split_at_mut(SLOT);
        let (own, other) = if journal::slot_of(number) == 0 { (first, second) } else { (second, first) };
        own.copy_from_slice(slot);
        if let Some(before) = &self.last {
            // The other slot may not hold its own number's parity; only the number inside counts when it is read.
            other.copy_from_slice(&journal::encode(before).ok_or(StoreError::TooLong)?);
        }
        self.replace("", JOURNAL, &file)
    }

    /// Stores what assignment and blobs are made of, all before this returns. What is there already is not written again.
    pub fn put(&mut self, blobs: &[&[u8]]) -> Result<(), StoreError> {
        if !self.ready {
            self.disk.make_folder(BLOBS).map_err(fault("make", BLOBS))?;
            self.ready = true;
        }
        for bytes in blobs {
            if bytes.len() > BLOB_MOST {
                return Err(StoreError::BlobTooLong { length: bytes.len() });
            }
            let digest = Digest::of(bytes);
            if self.get(&digest).is_ok_and(|found| found.is_some()) {
                continue;
            }
            let name = format!("{BLOBS}/{digest}");
            let temporary = format!("{name}{TEMPORARY}");
            self.disk.write(&temporary, bytes).map_err(fault("write", &temporary))?;
            self.disk.rename(&temporary, &name).map_err(fault("rename", &temporary))?;
        }
        // Also when all were there: whoever put them may have died before this.
        self.disk.sync_folder(BLOBS).map_err(fault("sync", BLOBS))
    }

    /// The bytes of this digest, checked; `None` when there are none.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let name = format!("{BLOBS}/{digest}");
        match self.disk.read(&name, BLOB_MOST).map_err(fault("read", &name))? {
            Some(bytes) if Digest::of(&bytes) != *digest => Err(StoreError::Damaged(*digest)),
            found => Ok(found),
        }
    }

    /// Removes every blob that no valid entry of the journal needs. Says how many went. What cannot be removed stays
    /// until next time. Not to be called between `put` and the `save` that names what was put.
    pub fn sweep(&mut self) -> usize {
        let entries = self.last.iter().chain(&self.before);
        let needed: Vec<Digest> = entries.flat_map(|entry| entry.record.blobs()).collect();
        let mut gone = 0;
        for name in self.disk.list(BLOBS).unwrap_or_default() {
            let wanted = Digest::from_hex(&name).is_some_and(|digest| needed.contains(&digest));
            if !wanted && self.disk.remove(&format!("{BLOBS}/{name}")).is_ok() {
                gone += 1;
            }
        }
        gone
    }

    /// Gives the disk back.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// Temporary files and nothing else: a failure only costs space.
    fn tidy(&mut self) {
        for folder in ["", BLOBS] {
            for name in self.disk.list(folder).unwrap_or_default() {
                if name.ends_with(TEMPORARY) {
                    let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                    let _ = self.disk.remove(&path);
                }
            }
        }
    }

    /// Temp, fsync, rename, fsync of the folder.
    fn replace(&mut self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let temporary = format!("{name}{TEMPORARY}");
        self.disk.write(&temporary, bytes).map_err(fault("write", &temporary))?;
        self.disk.rename(&temporary, name).map_err(fault("rename", &temporary))?;
        self.disk.sync_folder(folder).map_err(fault("sync", name))
    }
}

fn fault(what: &'static str, name: &str) -> impl FnOnce(io::Error) -> StoreError {
    let name = name.to_owned();
    move |source| StoreError::Disk { what, name, source }
}

/// A real folder, for us alone: files are 0600.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// `root` must exist.
    pub fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.0.clone() } else { self.0.join(name) }
    }
}

impl Disk for Folder {
    fn read(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(Some(bytes)) }
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }

    fn make_folder(&mut self, folder: &str) -> io::Result<()> {
        match fs::create_dir(self.path(folder)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            // Also where it was there: whoever made it may have died before this.
            Ok(()) | Err(_) => self.sync_folder(""),
        }
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(self.path(name))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.path(name))?;
        // Not `pwrite`: the fence has no such call.
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_file(&mut self, name: &str) -> io::Result<()> {
        File::open(self.path(name))?.sync_all()
    }

    fn sync_folder(&mut self, folder: &str) -> io::Result<()> {
        File::open(self.path(folder))?.sync_all()
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
