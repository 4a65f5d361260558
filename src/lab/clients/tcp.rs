//! Long TCP sessions. What matters after a switch is when the application *learns* that its session is over: an error
//! or an end of file on its socket. Then it connects again, as applications do.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Workers, lock};
use crate::lab::clock;
use crate::lab::error::LabError;
use crate::lab::netns::Namespace;
use crate::time::Instant;

/// What the application does with its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Writes ten times a second and waits for each echo (a card terminal, a remote desktop).
    Streaming,
    /// Says one thing, then only waits (a till that waits for the next order).
    Idle,
    /// Reads without end and sends nothing.
    Download,
}

impl Habit {
    pub fn name(self) -> &'static str {
        match self {
            Self::Streaming => "streaming tcp",
            Self::Idle => "idle tcp",
            Self::Download => "download",
        }
    }

    fn silence(self) -> Duration {
        match self {
            Self::Streaming => Duration::from_millis(100),
            Self::Idle | Self::Download => Duration::from_millis(20),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Record {
    /// When a session was established.
    pub connected: Vec<Instant>,
    /// When bytes came in, and how many.
    pub received: Vec<(Instant, usize)>,
    /// When an established session ended by error or end of file, and how.
    pub told: Vec<(Instant, String)>,
}

impl Record {
    /// How long after `fault` the application was told that its session is over.
    pub fn told_after(&self, fault: Instant) -> Option<Duration> {
        self.told.iter().find(|(at, _)| *at >= fault).map(|(at, _)| at.since(fault))
    }

    /// How long after `fault` bytes came in again on a session that was made after it.
    pub fn back_after(&self, fault: Instant) -> Option<Duration> {
        let again = self.connected.iter().find(|at| **at >= fault)?;
        self.received.iter().find(|(at, _)| at >= again).map(|(at, _)| at.since(fault))
    }

    /// Sessions ended between the two instants.
    pub fn ended(&self, from: Instant, until: Instant) -> usize {
        self.told.iter().filter(|(at, _)| *at >= from && *at < until).count()
    }

    pub fn bytes(&self, from: Instant, until: Instant) -> usize {
        self.received.iter().filter(|(at, _)| *at >= from && *at < until).map(|(_, length)| length).sum()
    }

    /// The longest time in which nothing came in.
    pub fn longest_gap(&self, from: Instant, until: Instant) -> Duration {
        let mut longest = Duration::ZERO;
        let mut last = from;
        for (at, _) in self.received.iter().filter(|(at, _)| *at >= from && *at < until) {
            longest = longest.max(at.since(last));
            last = *at;
        }
        longest.max(until.since(last))
    }
}

#[derive(Debug)]
pub struct Session {
    pub habit: Habit,
    record: Arc<Mutex<Record>>,
    _workers: Workers,
}

impl Session {
    /// Returns at once; [`Self::wait_connected`] tells when it works.
    pub fn start(host: &Namespace, server: SocketAddr, habit: Habit) -> Result<Self, LabError> {
        let record = Arc::new(Mutex::new(Record::default()));
        let mut workers = Workers::default();
        let (stop, facts) = (Arc::clone(&workers.stop), Arc::clone(&record));
        workers.threads.push(host.spawn("tcp", move || {
            while !Workers::stopped(&stop) {
                let Ok(stream) = TcpStream::connect_timeout(&server, CONNECT_WITHIN) else {
                    std::thread::sleep(RETRY_AFTER);
                    continue;
                };
                lock(&facts).connected.push(clock::now());
                let end = live(stream, habit, &facts, &stop);
                if !Workers::stopped(&stop) {
                    lock(&facts).told.push(end);
                }
            }
        })?);
        Ok(Self { habit, record, _workers: workers })
    }

    pub fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// Whether the session has been made and, where it expects bytes, has got some.
    pub fn works(&self) -> bool {
        let record = lock(&self.record);
        record.connected.last().is_some_and(|made| record.received.iter().any(|(at, _)| at >= made))
    }
}

/// A SYN that got lost is tried again after a second anyway; do not sit out the longer ones.
const CONNECT_WITHIN: Duration = Duration::from_millis(1500);
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// One session to its end; returns when and how the application was told.
fn live(stream: TcpStream, habit: Habit, facts: &Arc<Mutex<Record>>, stop: &AtomicBool) -> (Instant, String) {
    let _ = stream.set_nodelay(true);
    let Ok(mut reader) = stream.try_clone() else { return (clock::now(), "no file handles left".to_owned()) };
    let incoming = Arc::clone(facts);
    // The reader blocks without a time-out, as a waiting application does.
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return (clock::now(), "end of file".to_owned()),
                Ok(length) => lock(&incoming).received.push((clock::now(), length)),
                Err(error) => return (clock::now(), error.to_string()),
            }
        }
    });
    let mut due = clock::now();
    let mut first = true;
    while !Workers::stopped(stop) && !reading.is_finished() {
        let speaks = match habit {
            Habit::Streaming => true,
            Habit::Idle => first,
            Habit::Download => false,
        };
        first = false;
        if speaks && (&stream).write_all(b"one more line of a long session\n").is_err() {
            break; // the reader has the same error to tell
        }
        due = due + habit.silence();
        // In short steps, so that an end seen by the reader is noted soon.
        while clock::now() < due && !reading.is_finished() && !Workers::stopped(stop) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let _ = stream.shutdown(Shutdown::Both); // wakes the reader, if it still waits
    reading.join().unwrap_or_else(|_| (clock::now(), "the reader failed".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_record() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let record = Record {
            connected: vec![at(0), at(350)],
            received: vec![(at(100), 10), (at(200), 10), (at(400), 5)],
            told: vec![(at(300), "reset".to_owned())],
        };
        assert_eq!(record.told_after(at(250)), Some(Duration::from_millis(50)));
        assert_eq!(record.told_after(at(301)), None);
        assert_eq!(record.back_after(at(250)), Some(Duration::from_millis(150)));
        assert_eq!(record.longest_gap(at(100), at(500)), Duration::from_millis(200));
        assert_eq!((record.bytes(at(0), at(250)), record.ended(at(0), at(500))), (20, 1));
    }
}
