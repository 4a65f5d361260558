//! The thread that moves frames between the two ports of each line, through its lanes, at the right time. Lines can be
//! changed from any thread while it runs.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};

use super::port::{FRAME, Port};
use super::queue::{Counters, Lane};
use super::{Direction, Impairment};
use crate::lab::clock;
use crate::lab::error::{Doing as _, LabError};
use crate::time::Instant;

/// One internet line. The ports: the gateway's first, the provider's second.
#[derive(Debug)]
pub struct Line {
    pub name: String,
    ports: [Port; 2],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lanes: [Lane; 2],
    plugged: bool,
}

impl Line {
    pub fn new(name: &str, gateway: Port, provider: Port, up: Impairment, down: Impairment, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            ports: [gateway, provider],
            state: Mutex::new(State {
                lanes: [Lane::new(up, seed.wrapping_mul(2)), Lane::new(down, seed.wrapping_mul(2) + 1)],
                plugged: true,
            }),
        })
    }

    /// Changes what the line does from now on; returns when that was.
    pub fn set(&self, direction: Direction, change: impl FnOnce(&mut Impairment)) -> Instant {
        let mut state = self.state();
        change(&mut state.lanes[direction.index()].impairment);
        clock::now()
    }

    pub fn impairment(&self, direction: Direction) -> Impairment {
        self.state().lanes[direction.index()].impairment.clone()
    }

    pub fn counters(&self, direction: Direction) -> Counters {
        self.state().lanes[direction.index()].counters
    }

    /// Pulls the gateway's cable, or plugs it in again; returns the instant before the kernel was told.
    pub fn set_carrier(&self, on: bool) -> Result<Instant, LabError> {
        let mut state = self.state();
        state.plugged = on;
        let at = clock::now();
        self.ports[0].set_carrier(on)?;
        Ok(at)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Reads what waits at the port where `direction` begins.
    fn read(&self, direction: Direction, buffer: &mut [u8]) -> std::io::Result<()> {
        for _ in 0..BATCH {
            let Some(length) = self.ports[direction.index()].receive(buffer)? else { break };
            let mut state = self.state();
            if state.plugged {
                state.lanes[direction.index()].push(&buffer[..length], clock::now());
            }
        }
        Ok(())
    }

    /// Sends what is due.
    fn write(&self, now: Instant) -> std::io::Result<()> {
        for direction in Direction::BOTH {
            loop {
                let mut state = self.state();
                let plugged = state.plugged;
                let Some(frame) = state.lanes[direction.index()].pop(now) else { break };
                drop(state);
                if plugged {
                    self.ports[1 - direction.index()].send(&frame)?;
                }
            }
        }
        Ok(())
    }

    fn next_due(&self) -> Option<Instant> {
        let state = self.state();
        state.lanes.iter().filter_map(Lane::next_due).min()
    }
}

/// Frames read from one port before the others get their turn.
const BATCH: usize = 32;
/// How soon the thread sees that it shall end.
const STOP_WITHIN: Duration = Duration::from_millis(50);

/// All lines of a branch on one thread: two cores are shared with everything that is measured.
#[derive(Debug)]
pub struct Wire {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    pub fn start(lines: Vec<Arc<Line>>) -> Result<Self, LabError> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("wire".to_owned())
            .spawn(move || {
                // The kernel may round wake-ups by 50 µs for a usual thread; less only makes the delay more exact.
                let _ = nix::sys::prctl::set_timerslack(1_000);
                carry(&lines, &seen);
            })
            .doing(|| "start the thread of the lines".to_owned())?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there has already been printed
        }
    }
}

fn carry(lines: &[Arc<Line>], stop: &AtomicBool) {
    let mut buffer = [0; FRAME];
    let mut polled: Vec<PollFd<'_>> =
        lines.iter().flat_map(|line| &line.ports).map(|port| PollFd::new(port.as_fd(), PollFlags::POLLIN)).collect();
    while !stop.load(Ordering::Relaxed) {
        let due = lines.iter().filter_map(|line| line.next_due()).min();
        let wait = due.map_or(STOP_WITHIN, |due| due.since(clock::now()).min(STOP_WITHIN));
        if ppoll(&mut polled, Some(wait.into()), None).is_err() {
            continue; // EINTR; anything else shows as a line that carries nothing
        }
        for (index, line) in lines.iter().enumerate() {
            for direction in Direction::BOTH {
                let ready = polled[2 * index + direction.index()].any().unwrap_or(false);
                if ready && line.read(direction, &mut buffer).is_err() {
                    return; // the device is gone: the branch is being taken down
                }
            }
        }
        let now = clock::now();
        if lines.iter().any(|line| line.write(now).is_err()) {
            return;
        }
    }
}
