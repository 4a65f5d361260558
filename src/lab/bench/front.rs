//! What may become of `front` while a line fails: killed, hung, or taken over by somebody who throws frames at the daemon's
//! control socket as fast as it takes them.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::scrape::Flood;
use crate::control::errand::{Lane, Part};
use crate::control::frame::{self, Frame, REQUEST_BYTES};
use crate::control::protocol::Request;
use crate::lab::LabError;
use crate::lab::error::Doing as _;
use crate::lab::gateway::Gateway;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// It runs and does what it should: what the others are compared with.
    Calm,
    Killed,
    Hung,
    Hostile,
    /// 1,000 slow clients hold on to it.
    Flooded,
}

impl Mood {
    pub(super) const ALL: [Self; 5] = [Self::Calm, Self::Killed, Self::Hung, Self::Hostile, Self::Flooded];

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Killed => "killed",
            Self::Hung => "hung",
            Self::Hostile => "hostile",
            Self::Flooded => "flooded",
        }
    }
}

/// `front` in one of its moods; dropping it ends what it does.
#[derive(Debug)]
pub(super) struct Front {
    mood: Mood,
    process: Option<Pid>,
    _thrower: Option<Thrower>,
    _flood: Option<Flood>,
}

impl Front {
    pub(super) fn start(gateway: &mut Gateway, mood: Mood) -> Result<Self, LabError> {
        let before = gateway.processes();
        gateway.start_front()?;
        let own = gateway.processes().into_iter().find(|id| !before.contains(id));
        let process = own.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let thrower = (mood == Mood::Hostile).then(|| Thrower::start(Path::new(&gateway.socket()))).transpose()?;
        let flood = (mood == Mood::Flooded).then(|| Flood::start(gateway.host())).transpose()?;
        Ok(Self { mood, process, _thrower: thrower, _flood: flood })
    }

    /// Right before the line fails.
    pub(super) fn strike(&self) -> Result<(), LabError> {
        let signal = match self.mood {
            Mood::Calm | Mood::Hostile | Mood::Flooded => return Ok(()),
            Mood::Killed => Signal::SIGKILL,
            Mood::Hung => Signal::SIGSTOP,
        };
        let process = self.process.ok_or_else(|| LabError::Other("front does not run".to_owned()))?;
        kill(process, signal).doing(|| format!("send {signal} to front"))
    }
}

/// Garbage, replayed and disordered frames, each on a connection of its own.
#[derive(Debug)]
struct Thrower {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Thrower {
    fn start(socket: &Path) -> Result<Self, LabError> {
        let (stop, thrown) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted, socket) = (Arc::clone(&stop), Arc::clone(&thrown), socket.to_owned());
        let thread = std::thread::Builder::new().name("hostile front".to_owned());
        let thread = thread.spawn(move || throw(&socket, &stopped, &counted));
        let thrower = Self { stop, thread: Some(thread.doing(|| "start a thread".to_owned())?) };
        let begun = || (thrown.load(Ordering::Relaxed) > 0).then_some(());
        crate::lab::clock::wait_for(BEGINS_WITHIN, Duration::from_millis(5), begun)
            .ok_or_else(|| LabError::Other("the daemon takes no frame at all".to_owned()))?;
        Ok(thrower)
    }
}

const BEGINS_WITHIN: Duration = Duration::from_secs(10);
/// A connection that nobody reads any more is given up.
const PATIENCE: Duration = Duration::from_millis(50);

fn throw(socket: &PathBuf, stop: &AtomicBool, thrown: &AtomicU64) {
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    while !stop.load(Ordering::Relaxed) {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let Ok(mut stream) = UnixStream::connect(socket) else { continue };
        // Its own limits; without them a full buffer would hold us for ever.
        if stream.set_write_timeout(Some(PATIENCE)).is_err() {
            continue;
        }
        for bytes in frames(chance) {
            if stop.load(Ordering::Relaxed) || stream.write_all(&bytes).is_err() {
                break;
            }
            thrown.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Nothing that asks for a change: this process is root, and would be obeyed.
fn frames(chance: u64) -> Vec<Vec<u8>> {
    let id = u32::try_from(chance >> 32).unwrap_or(0);
    let frame = |body| frame::encode(&Frame { id, body }, REQUEST_BYTES).unwrap_or_default();
    let deliver = |part| frame(Request::Deliver { id: chance % 8, part });
    let errand = frame(Request::Errand { lane: if chance & 1 == 0 { Lane::News } else { Lane::Work } });
    // A version that no release has, so that chance makes no request of it.
    let garbage: Vec<u8> = [0, 0, 0, 32, 0xff].into_iter().chain(chance.to_le_bytes().repeat(4)).collect();
    match chance % 4 {
        0 => vec![garbage],
        1 => vec![errand.clone(), errand.clone(), errand],
        2 => vec![deliver(Part::End), deliver(Part::Body(vec![7; 1_000])), deliver(Part::Failed("no".to_owned()))],
        _ => vec![chance.to_be_bytes().to_vec()],
    }
}

impl Drop for Thrower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic of its own was printed
        }
    }
}
