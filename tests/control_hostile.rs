//! G33: what a `front` that was taken over can do at the control socket. Random, mutated, replayed and disordered frames, as
//! a user without rights: nothing that changes anything gets past the socket, nobody else waits, memory stays in bounds.
//!
//! `HOSTILE_FRAMES` and `HOSTILE_SEED` make the run longer or another one; the clock is paused, so the rate at which the
//! server takes frames costs no time.

mod support;

use std::collections::VecDeque;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway::control::errand::{Errand, HOLD_MS, Lane, Method, PIECE, Part};
use causeway::control::frame::{self, Frame, PREFIX, REPLY_BYTES, REQUEST_BYTES};
use causeway::control::io::{Answer, Incoming, Server, Session};
use causeway::control::protocol::{RefusalKind, Reply, Request};
use support::Folder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// In `make test`. The goal's 10⁷ take some hours.
const FRAMES: u64 = 20_000;
/// Nobody's user id, as far as the daemon is concerned.
const STRANGER: u32 = 65_534;
/// Connections that one user may hold.
const PLACES: usize = 16;
/// Whatever the others do, an honest client is answered within this time.
const HONEST: Duration = Duration::from_secs(1);
/// All places with the longest frame in each, twice over.
const MOST_KIB: u64 = 4 << 10;

#[tokio::test(start_paused = true)]
async fn g33_f37_a_hostile_front_gains_nothing_and_hinders_nobody() {
    let seed = from_environment("HOSTILE_SEED").unwrap_or(1);
    let frames = from_environment("HOSTILE_FRAMES").unwrap_or(FRAMES);
    println!("{frames} frames, seed {seed}");
    let folder = Folder::new();
    let socket = folder.socket();
    let server = Server::bind(&socket, None).expect("a free path");
    // As if the stranger were in the group that may open it.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("our own socket");
    let (engine, requests) = mpsc::channel(8);
    tokio::spawn(server.run(engine));
    let told = tokio::spawn(daemon(requests));
    let honest = tokio::spawn(ask_honestly(socket.clone()));

    // So that the figure begins after what every run needs once.
    throw(&socket, Chance(seed | 1), frames / 10).await;
    fs::write("/proc/self/clear_refs", "5").expect("our own process");
    let before = figure("VmRSS:");
    let mut hands = tokio::task::JoinSet::new();
    for hand in 0..4 {
        let chance = Chance(seed.wrapping_mul(31).wrapping_add(hand) | 1);
        let socket = socket.clone();
        hands.spawn(async move { throw(&socket, chance, frames / 4).await });
    }
    while let Some(done) = hands.join_next().await {
        done.expect("it only throws");
    }
    let more = figure("VmHWM:").saturating_sub(before);
    assert!(more <= MOST_KIB, "{more} KiB more than before");

    honest.abort();
    let asked = Session::connect(&socket).expect("it listens").call(&Request::Version, HONEST).await;
    assert!(matches!(asked, Ok(Reply::Version(_))), "{asked:?}");
    assert!(!told.is_finished(), "somebody ended it");
    let ended = Session::connect(&socket).expect("it listens").call(&Request::Lock, HONEST).await;
    assert!(ended.is_ok(), "who has the right may: {ended:?}");
    let Told { whole, held_most } = told.await.expect("no stranger got through");
    assert!(whole > frames / 10, "{whole} requests were whole: the harness throws nothing but rubbish");
    assert!(held_most <= PLACES, "{held_most} questions held");
}

/// What the engine's side saw.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    whole: u64,
    held_most: usize,
}

/// Holds each question for an errand, hands one out now and then, and checks who asks for what.
async fn daemon(mut requests: mpsc::Receiver<Incoming>) -> Told {
    let mut told = Told::default();
    let mut held: VecDeque<oneshot::Sender<Answer>> = VecDeque::new();
    while let Some(Incoming { request, peer, reply }) = requests.recv().await {
        let stranger = peer.uid == STRANGER;
        assert!(!(stranger && request.changes()), "{request:?} of a stranger");
        told.whole += u64::from(stranger);
        let answer = match request {
            Request::Errand { lane } => {
                held.retain(|reply| !reply.is_closed());
                held.push_back(reply);
                told.held_most = told.held_most.max(held.len());
                if told.whole % 3 == 0
                    && let Some(first) = held.pop_front()
                {
                    let _ = first.send(Reply::Errand(Some(Box::new(errand(lane)))).into());
                }
                continue;
            }
            Request::Deliver { part, .. } => {
                if let Part::Body(bytes) = part {
                    assert!(bytes.len() <= REQUEST_BYTES);
                }
                Reply::Done(String::new())
            }
            // Only who has the right gets so far, and asks for it at the end.
            Request::Lock => {
                let _ = reply.send(Reply::Done(String::new()).into());
                return told;
            }
            Request::Events { .. } => Reply::Events(Vec::new()),
            Request::Status
            | Request::Snapshot
            | Request::ConfigInfo
            | Request::Version
            | Request::Use { .. }
            | Request::UseAutomatic
            | Request::Unlock
            | Request::Ledger { .. }
            | Request::ConfigState
            | Request::ConfigShow
            | Request::ConfigConfirm
            | Request::ConfigRollBack
            | Request::ConfigApply { .. }
            | Request::ConfigRetry
            | Request::Drill { .. } => Reply::Version("0.1.0".to_owned()),
        };
        let _ = reply.send(answer.into());
    }
    told
}

/// Another user, all the while.
async fn ask_honestly(socket: PathBuf) {
    loop {
        let began = Instant::now();
        let asked = Session::connect(&socket).expect("it listens").call(&Request::Version, HONEST).await;
        assert!(matches!(asked, Ok(Reply::Version(_))), "{asked:?}");
        assert!(began.elapsed() < HONEST);
        sleep(Duration::from_millis(500)).await;
    }
}

/// Throws so many frames, over as many connections as that takes.
async fn throw(socket: &Path, mut chance: Chance, frames: u64) {
    let mut thrown = 0;
    let mut old = Vec::new();
    while thrown < frames {
        let Some(mut stream) = connect(socket).await else { return };
        for _ in 0..=chance.below(40) {
            let bytes = chance.frame(&old);
            if chance.below(4) == 0 {
                old = bytes.clone();
            }
            thrown += 1;
            if timeout(Duration::from_secs(1), stream.write_all(&bytes)).await.is_err() {
                break;
            }
            if chance.below(3) > 0 && !read(&mut stream).await {
                break;
            }
        }
        if chance.below(10) == 0 {
            // Half a frame, and then nothing: the place is taken for as long as the server allows.
            let _ = stream.write_all(&[0, 0]).await;
            sleep(Duration::from_secs(chance.below(8))).await;
        }
    }
}

/// Takes an answer if there is one soon; false: the server has hung up. No answer may be a change that was made.
async fn read(stream: &mut UnixStream) -> bool {
    let mut prefix = [0; PREFIX];
    let patience = Duration::from_millis(200);
    match timeout(patience, stream.read_exact(&mut prefix)).await {
        Err(_) => return true,
        Ok(Err(_)) => return false,
        Ok(Ok(_)) => {}
    }
    let mut bytes = vec![0; frame::length(prefix, REPLY_BYTES).expect("the daemon keeps to the bound")];
    if stream.read_exact(&mut bytes).await.is_err() {
        return false;
    }
    let answer = frame::decode::<Reply>(&bytes).expect("the daemon keeps to the format");
    if let Reply::Refused(refusal) = answer.body {
        let known = [RefusalKind::NotPermitted, RefusalKind::NotNow, RefusalKind::Version];
        assert!(known.contains(&refusal.kind), "{refusal:?}");
    }
    true
}

/// As a user without rights. The kernel notes who connects, so a thread of its own that gives up its rights is enough.
/// `None`: the runtime ends.
async fn connect(socket: &Path) -> Option<UnixStream> {
    let socket = socket.to_owned();
    let stream = std::thread::spawn(move || {
        become_stranger();
        std::os::unix::net::UnixStream::connect(socket).expect("it listens")
    });
    let stream = stream.join().expect("it connects");
    stream.set_nonblocking(true).ok()?;
    UnixStream::from_std(OwnedFd::from(stream).into()).ok()
}

#[expect(unsafe_code, reason = "the C library would change all threads")]
fn become_stranger() {
    // SAFETY: plain numbers; only the calling thread is changed, and it ends soon.
    let done = unsafe { libc::syscall(libc::SYS_setresuid, STRANGER, STRANGER, STRANGER) };
    assert_eq!(done, 0, "this test needs to be root, to be able to be somebody else");
}

/// A seed and what follows from it.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        // xorshift64: any will do, as long as it is the same again.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = self.below(most);
        (0..length).map(|_| self.next().to_le_bytes()[3]).collect()
    }

    fn frame(&mut self, old: &[u8]) -> Vec<u8> {
        match self.below(10) {
            0 => self.bytes(300),
            1 => framed(&self.bytes(300)),
            2 => old.to_vec(),
            3 => [&u32::MAX.to_be_bytes()[..], &self.bytes(64)].concat(),
            4 => framed(&[&[9, 1][..], &self.bytes(20)].concat()),
            5 | 6 => {
                let mut bytes = self.whole();
                for _ in 0..=self.below(4) {
                    let at = usize::try_from(self.next()).unwrap_or(0) % bytes.len();
                    bytes[at] ^= 1 << self.below(8);
                }
                bytes
            }
            _ => self.whole(),
        }
    }

    /// A right frame with any request, in no order.
    fn whole(&mut self) -> Vec<u8> {
        let lane = if self.below(2) == 0 { Lane::News } else { Lane::Work };
        let name = "wan1".to_owned();
        let body = match self.below(14) {
            0 | 1 => Request::Errand { lane },
            2..=6 => Request::Deliver { id: self.below(8), part: self.part() },
            7 => Request::Use { uplink: name, for_ms: Some(self.next()) },
            8 => Request::Lock,
            9 => Request::Unlock,
            10 => Request::UseAutomatic,
            11 => Request::Drill { uplink: name },
            12 => Request::Status,
            _ => Request::Version,
        };
        let id = u32::try_from(self.below(1 << 32)).unwrap_or(0);
        frame::encode(&Frame { id, body }, REQUEST_BYTES).expect("it fits")
    }

    fn part(&mut self) -> Part {
        match self.below(4) {
            0 => Part::Answer {
                status: u16::try_from(self.below(1 << 16)).unwrap_or(0),
                headers: vec![("etag".to_owned(), "x".repeat(usize::try_from(self.below(9_000)).unwrap_or(0)))],
            },
            1 => Part::Body(self.bytes(u64::try_from(PIECE).unwrap_or(0) + 1_000)),
            2 => Part::End,
            _ => Part::Failed("no".repeat(usize::try_from(self.below(2_000)).unwrap_or(0))),
        }
    }
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("it is short");
    [&length.to_be_bytes()[..], bytes].concat()
}

fn errand(lane: Lane) -> Errand {
    Errand {
        id: 1,
        offices: Vec::new(),
        method: Method::Get,
        target: format!("/{lane:?}"),
        headers: Vec::new(),
        body: Vec::new(),
        wanted: Vec::new(),
        most: 1,
        hold_ms: HOLD_MS,
        deadline_ms: 1,
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn figure(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("our own process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux has it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
