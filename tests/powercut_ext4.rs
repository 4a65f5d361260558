//! G10: the store of configs on a real ext4 that loses its power. The file system is shut down without its log
//! (`FS_IOC_SHUTDOWN`), before a step of the store or at any moment in one, and mounted again, which replays its journal:
//! what is there then is one whole entry with all its blobs, the one that was acknowledged last or the one on its way.
//!
//! `CUTS` says how many; `make powercut` makes a thousand. Where not even root has loop devices, the test says so and passes.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use causeway::trust::bounded::Text;
use causeway::trust::digest::Digest;
use causeway::trust::document::{Seconds, Turn};
use causeway::trust::floors::{BootId, Floors};
use causeway::trust::machine::{
    Candidate, Config, Evidence, Keep, Measurement, Reason, Record, Saved, Signs, Surroundings, Timers, Verdict,
};
use causeway::trust::store::{Disk, Folder, Found, Store};

const CUTS: usize = 25;
/// Of one boot; most cuts come earlier.
const CHANGES: u64 = 4;
/// Steps of the store in so many changes, and a few more: a boot that is not cut at all is among them.
const STEPS: usize = 60;

nix::ioctl_read!(
    /// `linux/ext4.h`: `_IOR('X', 125, __u32)`; the kernel reads the flags, whatever the name says.
    shut_down,
    b'X',
    125,
    u32
);
/// Nothing of what is not on the disk goes there any more, its own log included.
const WITHOUT_LOG: u32 = 2;

/// An ext4 in a file, mounted.
struct Mounted {
    folder: PathBuf,
}

impl Mounted {
    /// An error: this machine has no loop devices for us.
    fn make() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("causeway-ext4-{}", std::process::id()));
        fs::create_dir_all(folder.join("disk")).expect("a folder");
        let image = File::create(folder.join("image")).expect("an image");
        image.set_len(16 << 20).expect("room for it");
        let made = Self { folder };
        let image = made.folder.join("image");
        said(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image)).expect("e2fsprogs makes it");
        made.mount()?;
        Ok(made)
    }

    fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    fn mount(&self) -> Result<(), String> {
        said(Command::new("mount").args(["-o", "loop"]).arg(self.folder.join("image")).arg(self.disk()))
    }

    fn power_returns(&self) {
        said(Command::new("umount").arg(self.disk())).expect("nobody holds it");
        self.mount().expect("it mounts without repair");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-q").arg(self.disk()).status(); // it may not be mounted
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn said(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {why}")) }
}

fn cut(folder: &File) {
    let mut flags = WITHOUT_LOG;
    #[expect(unsafe_code, reason = "an ioctl of a handle that is open, with a number that outlives the call")]
    let result = unsafe { shut_down(folder.as_raw_fd(), &raw mut flags) };
    result.expect("ext4 can be shut down");
}

/// Cuts the power before one of the steps.
struct Cutting {
    disk: Folder,
    handle: File,
    steps: usize,
    at: usize,
    gone: Arc<AtomicBool>,
}

impl Cutting {
    fn step(&mut self) {
        if self.steps == self.at && !self.gone.swap(true, Ordering::SeqCst) {
            cut(&self.handle);
        }
        self.steps += 1;
    }
}

impl Disk for Cutting {
    fn read(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(name, most)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }

    fn make_folder(&mut self, folder: &str) -> io::Result<()> {
        self.step();
        self.disk.make_folder(folder)
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step();
        self.disk.write(name, bytes)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.step();
        self.disk.write_at(name, offset, bytes)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.step();
        self.disk.rename(from, to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.step();
        self.disk.remove(name)
    }

    fn sync_file(&mut self, name: &str) -> io::Result<()> {
        self.step();
        self.disk.sync_file(name)
    }

    fn sync_folder(&mut self, folder: &str) -> io::Result<()> {
        self.step();
        self.disk.sync_folder(folder)
    }
}

fn blobs(number: u64) -> [Vec<u8>; 3] {
    [
        format!("assignment {number}").into_bytes(),
        format!("standard {number} ").repeat(700).into_bytes(),
        format!("site {}", number / 3).into_bytes(),
    ]
}

fn config(number: u64) -> Config {
    let [assignment, standard, site] = blobs(number).map(|bytes| Digest::of(&bytes));
    let resolved = Digest::of(&number.to_le_bytes());
    let turn = Turn::new(1, number);
    Config { assignment, standard, site, resolved, assigned: turn, released: turn, created_at: Seconds::default() }
}

/// What runs is the config before, or already this one, in every state that is written.
fn record(number: u64) -> Record {
    let candidate = Candidate { config: config(number), expedite: false, operator: false, timers: Timers::default() };
    let mut keep = Keep::new(Floors::new(Seconds::default()), BootId([1; 16]));
    (keep.good, keep.previous) = (Some(config(number - 1)), number.checked_sub(2).map(config));
    let uplinks = ["fibre", "lte"].map(|name| (Text::new(name).expect("a name"), Signs::PRESENT)).to_vec();
    keep.evidence = Evidence::begin(&Measurement { uplinks, around: Surroundings::default() });
    let state = match number % 7 {
        0 => Saved::Idle { retry: Some(candidate) },
        1 => Saved::Fetched { candidate, waited: 7 },
        2 => Saved::Applying { candidate },
        3 => Saved::Trial { candidate },
        4 => Saved::Soak { candidate, boots: 1 },
        5 => Saved::RollingBack { candidate, reason: Reason::LanLost },
        _ => Saved::Quarantine { candidate, reason: Reason::TargetsLost, verdict: Some(Verdict::Config) },
    };
    Record { state, keep }
}

fn number_of(record: &Record) -> u64 {
    record.state.candidate().expect("each of ours has one").config.released.seq
}

/// One whole entry, and everything that it names.
fn check<D: Disk>(store: &Store<D>, found: &Found, acknowledged: u64, begun: u64) -> u64 {
    let found = match found {
        Found::Nothing => {
            assert_eq!(acknowledged, 0, "everything is gone");
            return 0;
        }
        Found::Damaged => panic!("damaged; {acknowledged} was acknowledged"),
        Found::Record(found) => found,
    };
    let number = number_of(found);
    assert!(
        (acknowledged..=begun).contains(&number),
        "{number} is there; {acknowledged} was acknowledged, {begun} begun"
    );
    assert_eq!(**found, record(number), "a mix");
    for wanted in [number, number - 1] {
        for bytes in blobs(wanted) {
            let there = store.get(&Digest::of(&bytes)).expect("readable and whole");
            assert!(there.as_ref() == Some(&bytes) || wanted < number && number == 1, "a blob of {wanted} is missing");
        }
    }
    number
}

/// Changes until the power is cut. What was acknowledged last, and what was begun.
fn changes(folder: &Path, from: u64, at: usize, gone: &Arc<AtomicBool>) -> (u64, u64) {
    let handle = File::open(folder).expect("a folder");
    let disk = Cutting { disk: Folder::new(folder), handle, steps: 0, at, gone: Arc::clone(gone) };
    let (mut acknowledged, mut begun) = (from, from);
    let Ok((mut store, found)) = Store::open(disk) else { return (acknowledged, begun) };
    if !gone.load(Ordering::SeqCst) {
        check(&store, &found, from, from);
    }
    for number in from + 1..=from + CHANGES {
        let parts = blobs(number);
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        if store.put(&parts).is_err() {
            break;
        }
        begun = number;
        if store.save(&record(number)).is_err() {
            break;
        }
        acknowledged = number;
        store.sweep();
    }
    (acknowledged, begun)
}

/// Cuts the power after so many turns of a loop, in the middle of whatever is going on.
fn cut_at_some_moment(folder: &Path, turns: u64, gone: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let (handle, gone) = (File::open(folder).expect("a folder"), Arc::clone(gone));
    std::thread::spawn(move || {
        let counted = AtomicU64::new(0);
        while counted.fetch_add(1, Ordering::SeqCst) < turns {
            std::hint::spin_loop();
        }
        if !gone.swap(true, Ordering::SeqCst) {
            cut(&handle);
        }
    })
}

#[test]
fn g10_f1_after_a_power_cut_on_ext4_there_is_one_whole_config() {
    let cuts = std::env::var("CUTS").map_or(CUTS, |text| text.parse().expect("CUTS is a number"));
    let ext4 = match Mounted::make() {
        Ok(ext4) => ext4,
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |most: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % most
    };
    let (mut last, mut lost, mut kept_unacknowledged) = (0, 0, 0);
    for number in 0..cuts {
        let gone = Arc::new(AtomicBool::new(false));
        let step = usize::try_from(below(STEPS as u64)).expect("small");
        let (acknowledged, begun) = if number % 2 == 0 {
            changes(&ext4.disk(), last, step, &gone)
        } else {
            let cutter = cut_at_some_moment(&ext4.disk(), below(4_000_000), &gone);
            let result = changes(&ext4.disk(), last, usize::MAX, &gone);
            cutter.join().expect("it only waits");
            result
        };
        if !gone.swap(true, Ordering::SeqCst) {
            cut(&File::open(ext4.disk()).expect("a folder"));
        }
        ext4.power_returns();
        let (store, found) = Store::open(Folder::new(&ext4.disk())).expect("it can be read");
        let there = check(&store, &found, acknowledged, begun);
        lost += usize::from(begun > there);
        kept_unacknowledged += usize::from(there > acknowledged);
        last = there;
    }
    println!("{cuts} cuts, {last} changes kept; on its way when it was cut: {lost} gone, {kept_unacknowledged} there");
    assert!(cuts < 10 || last > 0, "no change was ever finished");
}
