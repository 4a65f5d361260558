//! A disk that remembers every step, and can lose at a power cut whatever was not synced: sectors of 512 bytes of file
//! data, names in folders. It can also refuse any step.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;

use causeway::trust::store::Disk;

use super::world::Chance;

pub(super) const SECTOR: usize = 512;

type File = usize;

/// What a disk does in one go, or not at all.
#[derive(Clone, Debug)]
enum Piece {
    Name(String, File),
    Rename(String, String),
    Remove(String),
    /// One sector, or the part of it that was written; the length of the file grows with it.
    Data(File, usize, Vec<u8>),
}

#[derive(Clone, Debug)]
enum Step {
    Do(Piece),
    Cut(File),
    SyncFile(File),
    SyncFolder(String),
}

#[derive(Clone, Debug, Default)]
struct Tree {
    names: BTreeMap<String, File>,
    files: BTreeMap<File, Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct FaultDisk {
    tree: Tree,
    /// Before the first step.
    begin: Tree,
    steps: Vec<Step>,
    next: File,
    /// Steps that are allowed still; then every one is refused.
    pub(super) budget: Option<usize>,
    /// Only the step after the budget is refused, the next ones work again.
    pub(super) once: bool,
    /// What a refused write has done all the same: nothing, or half of it.
    pub(super) half: bool,
    asked: Cell<usize>,
}

impl Tree {
    fn apply(&mut self, piece: &Piece) {
        match piece {
            Piece::Name(name, file) => {
                self.names.insert(name.clone(), *file);
            }
            Piece::Rename(from, to) => {
                // Without its source a rename has not happened.
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Piece::Remove(name) => {
                self.names.remove(name);
            }
            Piece::Data(file, at, bytes) => {
                let content = self.files.entry(*file).or_default();
                if content.len() < at + bytes.len() {
                    content.resize(at + bytes.len(), 0);
                }
                content[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.names.get(name)?;
        Some(self.files.get(file).cloned().unwrap_or_default())
    }
}

impl FaultDisk {
    /// Refuses step number `budget`, and all later ones too unless `once`.
    pub(super) fn refusing(budget: usize, once: bool, half: bool) -> Self {
        Self { budget: Some(budget), once, half, ..Self::default() }
    }

    pub(super) fn steps(&self) -> usize {
        self.steps.len()
    }

    /// How many steps were asked for, refused ones included.
    pub(super) fn asked(&self) -> usize {
        self.asked.get()
    }

    /// Disks that a power cut after `prefix` steps can leave: every one if at most `all` pieces are not synced, else so
    /// many samples, with the ones that lost all and nothing.
    pub(super) fn cuts(&self, prefix: usize, chance: &mut Chance, all: u32, samples: usize) -> Vec<FaultDisk> {
        let (safe, loose) = self.split(prefix);
        let count = u32::try_from(loose.len()).expect("few");
        let subsets: Vec<u64> = if count <= all {
            (0..1_u64 << count).collect()
        } else {
            let sampled = (0..samples).map(|_| chance.next());
            sampled.chain([0, u64::MAX]).collect()
        };
        subsets.into_iter().map(|subset| after(&safe, &loose, subset)).collect()
    }

    /// What is surely there, and the pieces that may be, in their order.
    fn split(&self, prefix: usize) -> (Tree, Vec<Piece>) {
        let mut safe = self.begin.clone();
        let mut loose: Vec<Piece> = Vec::new();
        for step in &self.steps[..prefix] {
            match step {
                Step::Do(piece) => loose.push(piece.clone()),
                // Emptying is only ever done to files of ours that nobody reads yet.
                Step::Cut(file) => {
                    safe.files.remove(file);
                }
                Step::SyncFile(file) => settle(&mut safe, &mut loose, |piece| of_file(piece, *file)),
                Step::SyncFolder(folder) => settle(&mut safe, &mut loose, |piece| in_folder(piece, folder)),
            }
        }
        (safe, loose)
    }

    fn allowed(&mut self) -> io::Result<()> {
        let asked = self.asked.get();
        self.asked.set(asked + 1);
        match self.budget {
            Some(budget) if asked == budget || (asked > budget && !self.once) => Err(io::Error::other("refused")),
            Some(_) | None => Ok(()),
        }
    }

    fn run(&mut self, step: Step) {
        if let Step::Do(piece) = &step {
            self.tree.apply(piece);
        }
        if let Step::Cut(file) = &step {
            self.tree.files.remove(file);
        }
        self.steps.push(step);
    }

    fn data(&mut self, file: File, offset: usize, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let end = ((offset + at) / SECTOR + 1) * SECTOR - offset;
            let end = end.min(bytes.len());
            self.run(Step::Do(Piece::Data(file, offset + at, bytes[at..end].to_vec())));
            at = end;
        }
    }

    /// A refused write may have put a part of it down.
    fn refused_write(&mut self, file: File, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let refused = self.allowed();
        if refused.is_err() && self.half {
            self.data(file, offset, &bytes[..bytes.len() / 2]);
        }
        refused
    }
}

fn after(safe: &Tree, loose: &[Piece], subset: u64) -> FaultDisk {
    let mut tree = safe.clone();
    for (bit, piece) in loose.iter().enumerate() {
        if subset >> (bit % 64) & 1 == 1 {
            tree.apply(piece);
        }
    }
    let next = tree.files.keys().chain(tree.names.values()).max().map_or(0, |last| last + 1);
    FaultDisk { begin: tree.clone(), tree, next, ..FaultDisk::default() }
}

fn settle(safe: &mut Tree, loose: &mut Vec<Piece>, settled: impl Fn(&Piece) -> bool) {
    loose.retain(|piece| {
        if settled(piece) {
            safe.apply(piece);
        }
        !settled(piece)
    });
}

fn of_file(piece: &Piece, file: File) -> bool {
    matches!(piece, Piece::Data(of, ..) if *of == file)
}

fn in_folder(piece: &Piece, folder: &str) -> bool {
    let within = |name: &str| name.rsplit_once('/').map_or("", |(folder, _)| folder) == folder;
    match piece {
        Piece::Name(name, _) | Piece::Remove(name) | Piece::Rename(_, name) => within(name),
        Piece::Data(..) => false,
    }
}

impl Disk for FaultDisk {
    fn read(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        match self.tree.read(name) {
            Some(bytes) if bytes.len() > most => Err(io::ErrorKind::FileTooLarge.into()),
            found => Ok(found),
        }
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let names = self.tree.names.keys().filter_map(|name| name.strip_prefix(&prefix));
        Ok(names.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }

    fn make_folder(&mut self, _: &str) -> io::Result<()> {
        self.allowed()
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = match self.tree.names.get(name) {
            Some(file) => *file,
            None => {
                self.allowed()?;
                let file = self.next;
                self.next += 1;
                self.run(Step::Do(Piece::Name(name.to_owned(), file)));
                file
            }
        };
        self.run(Step::Cut(file));
        self.refused_write(file, 0, bytes)?;
        self.data(file, 0, bytes);
        self.allowed()?;
        self.run(Step::SyncFile(file));
        Ok(())
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = *self.tree.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let offset = usize::try_from(offset).expect("small");
        self.refused_write(file, offset, bytes)?;
        self.data(file, offset, bytes);
        self.allowed()?;
        self.run(Step::SyncFile(file));
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.allowed()?;
        self.run(Step::Do(Piece::Rename(from.to_owned(), to.to_owned())));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.allowed()?;
        self.run(Step::Do(Piece::Remove(name.to_owned())));
        Ok(())
    }

    fn sync_file(&mut self, name: &str) -> io::Result<()> {
        self.allowed()?;
        let file = *self.tree.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        self.run(Step::SyncFile(file));
        Ok(())
    }

    fn sync_folder(&mut self, folder: &str) -> io::Result<()> {
        self.allowed()?;
        self.run(Step::SyncFolder(folder.to_owned()));
        Ok(())
    }
}
