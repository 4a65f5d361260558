//! The daemon's end. Nothing a client does reaches the engine but whole, permitted requests, one per connection at a
//! time, at a bounded rate per user; a client that hangs holds its own connection and no more.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::unistd::{Group, Uid, User};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::connect;
use crate::control::frame::{self, Frame, FrameError, PREFIX, REPLY_BYTES, REQUEST_BYTES};
use crate::control::protocol::{Refusal, RefusalKind, Reply, Request};
use crate::control::rate::Bucket;
use crate::telemetry::events::EventLine;
use crate::time::Instant;

/// `front`, two people and a script need four.
const CONNECTIONS: usize = 32;
/// So that no user can take the place of another.
const CONNECTIONS_PER_USER: usize = 16;
/// A scrape, a `watch` and a script ask a few times a second.
const BURST: u32 = 40;
const ONE_EVERY: Duration = Duration::from_millis(50);
/// A connection on which nothing is asked.
const IDLE: Duration = Duration::from_secs(60);
/// For the rest of a frame once it began.
const READ: Duration = Duration::from_secs(5);
/// For one answer to be taken.
const WRITE: Duration = Duration::from_secs(5);
/// For the engine's queue to have room: it turns in microseconds.
const QUEUE: Duration = Duration::from_secs(1);
/// For the engine to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two clients sent away: bounds what a flood of connections costs.
const TURN_AWAY: Duration = Duration::from_millis(5);
/// Events in one frame to one who follows.
const BATCH: usize = 64;

/// Who is at the other end, as the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    pub gid: u32,
    pub pid: Option<i32>,
    /// The user's name; looked up for requests that change something.
    pub name: Option<String>,
}

impl Peer {
    /// For `by` in facts and sentences.
    pub fn by(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("uid {}", self.uid))
    }
}

/// A whole request that its sender may make. Dropping `reply` closes the connection.
#[derive(Debug)]
pub struct Incoming {
    pub request: Request,
    pub peer: Peer,
    pub reply: oneshot::Sender<Answer>,
}

#[derive(Debug)]
pub enum Answer {
    One(Reply),
    /// For [`Request::Events`] with `follow`: who reads too slowly misses some, and is told how many.
    Follow {
        kept: Vec<EventLine>,
        live: broadcast::Receiver<EventLine>,
    },
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::One(reply)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("another daemon answers on {}", path.display())]
    Live { path: PathBuf },
    #[error("cannot make the control socket {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The socket works all the same, for root and the daemon's own group.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    #[error("there is no group {group} (control.group), so nobody but root may change things")]
    NoGroup { group: String },
    #[error("members of group {group} (control.group) cannot open the control socket")]
    Acl { group: String, source: io::Error },
}

#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    inode: Option<u64>,
    shared: Arc<Shared>,
    trouble: Option<AdmitError>,
}

#[derive(Debug)]
struct Shared {
    group: Option<String>,
    buckets: Mutex<BTreeMap<u32, Bucket>>,
    dropped: Arc<AtomicU64>,
    started: tokio::time::Instant,
}

impl Server {
    /// Must be called inside a tokio runtime. The socket appears whole: mode 0660 before it has its name, in place of one
    /// that a crash left behind. Besides root, the group of the process may open it (`front` is in it), and `group`, the
    /// config's `control.group`, which may change things as well.
    pub fn bind(path: &Path, group: Option<&str>) -> Result<Self, BindError> {
        let failed = |source| BindError::Io { path: path.to_owned(), source };
        match connect(path) {
            Ok(_) => return Err(BindError::Live { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(BindError::Live { path: path.to_owned() });
            }
            // None there, or nobody listens: both are ours to replace.
            Err(_) => {}
        }
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&fresh).map_err(failed)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
        let trouble = group.and_then(|group| admit(&fresh, group).err());
        std::fs::rename(&fresh, path).map_err(failed)?;
        let shared = Shared {
            group: group.map(str::to_owned),
            buckets: Mutex::default(),
            dropped: Arc::default(),
            started: tokio::time::Instant::now(),
        };
        Ok(Self { listener, path: path.to_owned(), inode: inode(path), shared: Arc::new(shared), trouble })
    }

    /// Why the members of `group` cannot open the socket, if so.
    pub fn trouble(&self) -> Option<&AdmitError> {
        self.trouble.as_ref()
    }

    /// Requests and connections that were turned away, for `causeway_queue_dropped_total{queue="control"}`.
    pub fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.dropped)
    }

    /// Serves until it is dropped or the engine's end of the channel is; the socket file goes with it.
    pub async fn run(self, engine: mpsc::Sender<Incoming>) {
        let mut tasks = JoinSet::new();
        let mut held: Vec<(u32, AbortHandle)> = Vec::new();
        while !engine.is_closed() {
            // Both are safe to cancel: a connection not accepted stays in the backlog, a task not joined stays in the set.
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = tasks.join_next() => continue,
                () = engine.closed() => return,
            };
            let Ok((mut stream, _)) = accepted else {
                // Out of descriptors, most likely. There will be some.
                sleep(TURN_AWAY).await;
                continue;
            };
            let Ok(peer) = peer(&stream) else { continue };
            held.retain(|(_, task)| !task.is_finished());
            let of_user = held.iter().filter(|(uid, _)| *uid == peer.uid).count();
            if held.len() >= CONNECTIONS || of_user >= CONNECTIONS_PER_USER {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                turn_away(&mut stream);
                sleep(TURN_AWAY).await;
                continue;
            }
            let uid = peer.uid;
            let connection =
                Connection { stream, peer, shared: Arc::clone(&self.shared), engine: engine.clone(), idle: IDLE };
            held.push((uid, tasks.spawn(connection.serve())));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A file that is no longer ours belongs to the daemon that came after us.
        if self.inode.is_some() && inode(&self.path) == self.inode {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Why a connection came to its end. None of these matters to anybody but the client.
#[derive(Debug)]
enum End {
    Closed,
    Late,
    Broken,
}

struct Connection {
    stream: UnixStream,
    peer: Peer,
    shared: Arc<Shared>,
    engine: mpsc::Sender<Incoming>,
    /// How long the client may be silent now: longer with an errand in its hands.
    idle: Duration,
}

impl Connection {
    async fn serve(mut self) {
        while let Ok(()) = self.turn().await {}
    }

    async fn turn(&mut self) -> Result<(), End> {
        self.wait_for_token().await;
        let bytes = self.read().await?;
        let frame = match frame::decode::<Request>(&bytes) {
            Ok(frame) => frame,
            Err(error) => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                if let FrameError::Version { id, .. } = error {
                    let refusal = Refusal::new(RefusalKind::Version, error.to_string())
                        .hint("the command and the daemon are of different releases: restart causeway.service");
                    self.write(id, &Reply::Refused(refusal)).await?;
                }
                return Err(End::Broken);
            }
        };
        match self.ask(frame.body).await? {
            Answer::One(reply) => {
                if let Reply::Errand(errand) = &reply {
                    self.idle = errand.as_ref().map_or(IDLE, |errand| IDLE.max(errand.lasts()));
                }
                self.write(frame.id, &reply).await
            }
            Answer::Follow { kept, live } => self.follow(frame.id, kept, live).await,
        }
    }

    async fn wait_for_token(&self) {
        loop {
            let wait = {
                let now = Instant::ORIGIN + self.shared.started.elapsed();
                let mut buckets = self.shared.buckets.lock().unwrap_or_else(PoisonError::into_inner);
                // Users are few; a forged crowd of them would need root. The bound is for that.
                if buckets.len() > CONNECTIONS * 8 {
                    buckets.clear();
                }
                let bucket = buckets.entry(self.peer.uid).or_insert_with(|| Bucket::new(BURST, ONE_EVERY, now));
                bucket.take(now)
            };
            match wait {
                Ok(()) => return,
                Err(wait) => sleep(wait).await,
            }
        }
    }

    async fn read(&mut self) -> Result<Vec<u8>, End> {
        let mut prefix = [0; PREFIX];
        let began = timeout(self.idle, self.stream.read(&mut prefix[..1])).await.map_err(|_| End::Late)?;
        if began.map_err(|_| End::Broken)? == 0 {
            return Err(End::Closed);
        }
        let rest = async {
            self.stream.read_exact(&mut prefix[1..]).await.map_err(|_| End::Broken)?;
            let length = frame::length(prefix, REQUEST_BYTES).map_err(|_| End::Broken)?;
            let mut bytes = vec![0; length];
            self.stream.read_exact(&mut bytes).await.map_err(|_| End::Broken)?;
            Ok(bytes)
        };
        let read = timeout(READ, rest).await.map_err(|_| End::Late).and_then(|read| read);
        if read.is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        read
    }

    async fn ask(&mut self, request: Request) -> Result<Answer, End> {
        if request.changes() && !self.may_change().await {
            let group = self.shared.group.as_deref();
            let hint = group.map_or_else(
                || "run it as root, or name a group in control.group".to_owned(),
                |group| format!("run it as root, or as a member of group {group}"),
            );
            let refusal = Refusal::new(RefusalKind::NotPermitted, format!("{} may not change this", self.peer.by()));
            return Ok(Reply::Refused(refusal.hint(hint)).into());
        }
        let (reply, answer) = oneshot::channel();
        let held = request.held_for();
        let incoming = Incoming { request, peer: self.peer.clone(), reply };
        if self.engine.send_timeout(incoming, QUEUE).await.is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return Ok(Reply::Refused(Refusal::new(RefusalKind::NotNow, "the daemon is too busy to answer")).into());
        }
        let answer = timeout(ANSWER + held, answer);
        let mut byte = [0];
        let answered = if held.is_zero() {
            answer.await
        } else {
            // Both are safe to cancel: who leaves is not waited for, who sends a byte meanwhile is closed.
            tokio::select! {
                answered = answer => answered,
                _ = self.stream.read(&mut byte) => return Err(End::Closed),
            }
        };
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(End::Closed),
            Err(_) => Ok(Reply::Refused(Refusal::new(RefusalKind::NotNow, "the daemon did not answer in time")).into()),
        }
    }

    /// Asks the user database each time: who was taken out of the group may not change things from then on. It reads
    /// files, so not on the thread of the engine.
    async fn may_change(&mut self) -> bool {
        let (peer, group) = (self.peer.clone(), self.shared.group.clone());
        let looked_up = tokio::task::spawn_blocking(move || {
            let user = User::from_uid(Uid::from_raw(peer.uid)).ok().flatten();
            let name = user.as_ref().map(|user| user.name.clone());
            let group = group.and_then(|group| Group::from_name(&group).ok().flatten());
            let member = group.is_some_and(|group| {
                group.gid.as_raw() == peer.gid
                    || user.as_ref().is_some_and(|user| user.gid == group.gid || group.mem.contains(&user.name))
            });
            (name, peer.uid == 0 || member)
        });
        let (name, may) = looked_up.await.unwrap_or((None, false));
        self.peer.name = name;
        may
    }

    async fn write(&mut self, id: u32, reply: &Reply) -> Result<(), End> {
        let bytes = frame::encode(&Frame { id, body: reply }, REPLY_BYTES).or_else(|error| {
            let refusal = Refusal::new(RefusalKind::Failed, format!("the answer cannot be sent: {error}"));
            frame::encode(&Frame { id, body: &Reply::Refused(refusal) }, REPLY_BYTES)
        });
        let bytes = bytes.map_err(|_| End::Broken)?;
        let written = timeout(WRITE, self.stream.write_all(&bytes)).await.map_err(|_| End::Late)?;
        written.map_err(|_| End::Broken)
    }

    async fn follow(
        &mut self,
        id: u32,
        kept: Vec<EventLine>,
        mut live: broadcast::Receiver<EventLine>,
    ) -> Result<(), End> {
        self.write(id, &Reply::Events(kept)).await?;
        let mut byte = [0];
        loop {
            // Both are safe to cancel: a line not received stays in the channel; whoever sends a byte now is closed.
            let first = tokio::select! {
                first = live.recv() => first,
                _ = self.stream.read(&mut byte) => return Err(End::Closed),
            };
            let mut lines = match first {
                Ok(line) => vec![line],
                // The gap in `seq` tells the reader how many are missing.
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    self.shared.dropped.fetch_add(missed, Ordering::Relaxed);
                    continue;
                }
                Err(broadcast::error::RecvError::Closed) => return Err(End::Closed),
            };
            while lines.len() < BATCH
                && let Ok(line) = live.try_recv()
            {
                lines.push(line);
            }
            self.write(id, &Reply::Events(lines)).await?;
        }
    }
}

/// Lets one more group open the socket. By an access list, since a process without rights may not give a file to a group
/// that it is not in. Linux writes the list as `posix_acl_xattr.h` says: a version, then tag, permissions and id of each.
fn admit(socket: &Path, group: &str) -> Result<(), AdmitError> {
    const VERSION: u32 = 2;
    const READ_WRITE: u16 = 6;
    const NOBODY: u32 = u32::MAX;
    let group_id = Group::from_name(group).ok().flatten().map(|group| group.gid.as_raw());
    let group_id = group_id.ok_or_else(|| AdmitError::NoGroup { group: group.to_owned() })?;
    let (user, own_group, other_group, mask, others) = (0x01, 0x04, 0x08, 0x10, 0x20);
    let mut list = VERSION.to_le_bytes().to_vec();
    for (tag, permissions, id) in [
        (user, READ_WRITE, NOBODY),
        (own_group, READ_WRITE, NOBODY),
        (other_group, READ_WRITE, group_id),
        (mask, READ_WRITE, NOBODY),
        (others, 0_u16, NOBODY),
    ] {
        list.extend_from_slice(&u16::to_le_bytes(tag));
        list.extend_from_slice(&permissions.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
    }
    rustix::fs::setxattr(socket, "system.posix_acl_access", &list, rustix::fs::XattrFlags::empty())
        .map_err(|error| AdmitError::Acl { group: group.to_owned(), source: error.into() })
}

fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let credentials = stream.peer_cred()?;
    Ok(Peer { uid: credentials.uid(), gid: credentials.gid(), pid: credentials.pid(), name: None })
}

/// One attempt, no waiting: it is a courtesy.
fn turn_away(stream: &mut UnixStream) {
    let refusal = Refusal::new(RefusalKind::NotNow, "the daemon has too many connections");
    if let Ok(bytes) = frame::encode(&Frame { id: 0, body: Reply::Refused(refusal) }, REPLY_BYTES) {
        let _ = stream.try_write(&bytes);
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|file| file.ino())
}
