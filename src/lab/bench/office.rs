//! Head office under its whole fleet: how soon news reach a thousand branches, and what twenty thousand held connections
//! cost. The server is the real program, on a core of its own; the branches live in this process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use tokio::sync::{Semaphore, mpsc};

use super::{Row, Unit};
use crate::lab::LabError;
use crate::lab::branch::{Branch, Line, calm, pinned};
use crate::lab::clock;
use crate::lab::error::Doing as _;
use crate::office::assign::{Intent, assign};
use crate::office::folder::Folder;
use crate::office::init::{Made, Plan, init};
use crate::office::keyfile::Cost;
use crate::office::layout;
use crate::office::publish::now;
use crate::office::records::{DeviceRecord, Members, Standing};
use crate::office::release::{Words, prepare};
use crate::office::store::Store;
use crate::time::Instant;
use crate::trust::bounded::List;
use crate::trust::digest::Digest;
use crate::trust::document::{self, Document as _, Firmware, Freshness, Tenant, Turn};
use crate::trust::envelope;
use crate::trust::keys::{PublicKey, Role};
use crate::trust::root::{RoleKeys, TrustedRoot};

/// Branches that get the news.
const BRANCHES: u32 = 1_000;
/// Sites in all: the others share the rest of the connections.
const SITES: u32 = 2 * BRANCHES;
/// Connections that are held.
const HELD: u32 = 20_000;
/// What a process needs beside its connections.
const OTHER_FILES: u64 = 100;
/// Clients spread over this many addresses of loopback.
const ADDRESSES: u32 = 64;
/// Handshakes at the same time.
const AT_ONCE: usize = 64;
/// Times that something is published.
const RELEASES: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(60);
/// Until the kernel and the server have nothing left to do.
const SETTLE: Duration = Duration::from_secs(3);
const LISTEN: &str = "127.0.0.1:8443";
const PASSPHRASE: &str = "only for the bench";
const CHEAP: Cost = Cost { memory_kib: 64, passes: 1 };
const NONCE: [u8; 16] = [3; 16];

/// Both rows: the connections of the second are the branches of the first, and more.
pub fn rows() -> Result<Vec<Row>, LabError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.doing(|| "start a runtime".to_owned())?.block_on(measure())
}

async fn measure() -> Result<Vec<Row>, LabError> {
    let held = raise_files()?;
    let office = HeadOffice::new(held).await?;
    let (_server, pid) = office.serve().await?;
    let tls = pinned(office.made.pin);
    let (heard, mut hearing) = mpsc::channel(usize::try_from(held).unwrap_or(usize::MAX));
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    for number in 0..held {
        // Those that hear news come first; the others only hold on.
        let client = Client { number, tls: Arc::clone(&tls), heard: heard.clone(), turns: Arc::clone(&turns) };
        tokio::spawn(client.run(office.branch(number)));
        if number == BRANCHES - 1 {
            all(&mut hearing, BRANCHES, "the first assignment").await?;
        }
    }
    all(&mut hearing, held - BRANCHES, "an assignment for each connection").await?;
    tokio::time::sleep(SETTLE).await;
    let scale = f64::from(HELD) / f64::from(held);
    let memory = resident(pid)? * scale;
    let mut samples = Vec::new();
    let few: Vec<String> = (0..BRANCHES).map(site).collect();
    for release in 0..RELEASES {
        office.edit(release)?;
        let members = Members::Sites(few.clone());
        let published = office.release(members).await?;
        let last = all(&mut hearing, BRANCHES, "the news").await?;
        samples.push(last.since(published).as_secs_f64());
        tokio::time::sleep(SETTLE).await;
    }
    let held_words = format!("{HELD} held connections");
    Ok(vec![
        Row::new("published → received, 1,000 branches", "120 s poll", 2.0, Unit::Seconds, samples),
        Row::new(&held_words, "–", 400.0, Unit::Megabytes, vec![memory]),
    ])
}

/// The next answers of so many branches, each right; gives when the last one came.
async fn all(hearing: &mut mpsc::Receiver<Heard>, many: u32, what: &str) -> Result<Instant, LabError> {
    let mut last = Instant::ORIGIN;
    for number in 0..many {
        let timeout = |why: String| LabError::Timeout { what: what.to_owned(), at_most: PATIENCE, why };
        match tokio::time::timeout(PATIENCE, hearing.recv()).await {
            Ok(Some(Ok(at))) => last = last.max(at),
            Ok(Some(Err(why))) => return Err(LabError::Other(format!("a branch gave up: {why}"))),
            Ok(None) | Err(_) => return Err(timeout(format!(" for {} of {many}", many - number))),
        }
    }
    Ok(last)
}

type Heard = Result<Instant, String>;

/// One connected branch: asks, hears, checks, and asks again for what is newer.
struct Client {
    number: u32,
    tls: Arc<rustls::ClientConfig>,
    heard: mpsc::Sender<Heard>,
    turns: Arc<Semaphore>,
}

impl Client {
    async fn run(self, branch: (Branch, PublicKey)) {
        if let Err(error) = self.hold(branch).await {
            let _ = self.heard.send(Err(error.to_string())).await; // the bench has given up already
        }
    }

    async fn hold(&self, (mut branch, online): (Branch, PublicKey)) -> std::io::Result<()> {
        let to: SocketAddr = LISTEN.parse().expect("a constant address");
        let lane = u8::try_from(self.number % ADDRESSES).unwrap_or(0);
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 1, lane + 1));
        let turn = self.turns.acquire().await;
        let mut line = Line::connect(to, Some(from), &self.tls).await?;
        let mut known: Option<Digest> = None;
        let mut turn = Some(turn);
        loop {
            let status = calm(known, Turn::new(1, 1));
            line.send(branch.ask(900, known, NONCE, Some(status)).as_bytes()).await?;
            let answer = line.answer().await?;
            let at = clock::now();
            turn.take();
            let digest = Digest::of(&answer.body);
            let odd = |what: &str| std::io::Error::other(what.to_owned());
            if answer.status != 200 {
                return Err(odd(&format!("status {}", answer.status)));
            }
            // After the time was taken: this is the branch's work, on the other core.
            let freshness = answer.freshness().ok_or_else(|| odd("no freshness"))?;
            let said = right(&freshness, &online).ok_or_else(|| odd("a wrong freshness"))?;
            if said.assignment != digest || said.nonce != NONCE || said.device != branch.device() {
                return Err(odd("the freshness of something else"));
            }
            known = Some(digest);
            if self.heard.send(Ok(at)).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn right(bytes: &[u8], online: &PublicKey) -> Option<Freshness> {
    let decoded = envelope::decode(bytes, Freshness::KIND, Freshness::FORMAT).ok()?;
    let role = RoleKeys { threshold: 1, keys: List::truncated([*online]) };
    role.check(&decoded).ok()?;
    document::decode(decoded.payload).ok()
}

/// Keys, a fleet of two thousand sites, and a device for each connection.
struct HeadOffice {
    path: PathBuf,
    made: Made,
    store: Store,
    root: TrustedRoot,
}

impl Drop for HeadOffice {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path); // it is in a folder for what nobody needs
    }
}

/// Ends with the bench.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

impl HeadOffice {
    async fn new(devices: u32) -> Result<Self, LabError> {
        let path = std::env::temp_dir().join(format!("causeway-bench-office-{}", std::process::id()));
        let plan = Plan {
            tenant: "bench".to_owned(),
            urls: vec![format!("https://{LISTEN}")],
            folder: path.join("fleet"),
            state: path.join("state"),
            certificate: None,
            by: "bench".to_owned(),
            at: now(),
        };
        let made = init(&plan, PASSPHRASE, CHEAP).await.map_err(other)?;
        let mut inventory = "[sites]\n".to_owned();
        for number in 0..SITES {
            inventory += &format!("{} = {{ name = \"Site {number}\", owner = \"Anna Petit\" }}\n", site(number));
            let values = format!("vars = {{ site_net = \"10.{}.{}.0/24\" }}\n", number / 250, number % 250);
            write(&path.join(format!("fleet/sites/{}.toml", site(number))), &values)?;
        }
        write(&path.join("fleet/inventory.toml"), &inventory)?;
        let store = Store::folder(&path.join("fleet/store")).map_err(other)?;
        let root = folder(&path)?.root(&store).await.map_err(other)?;
        let office = Self { path, made, store, root };
        for number in 0..devices {
            let (branch, _) = office.branch(number);
            let record = DeviceRecord {
                signing: branch.key.public(),
                sealing: [7; 32],
                serial: branch.serial,
                model: branch.model,
                firmware: Firmware::new(1, 4, 2),
                site: site(if number < BRANCHES { number } else { BRANCHES + number % BRANCHES }),
                standing: Standing::Accepted,
                enrolled_at: now(),
                order_nonce: [0; 16],
            };
            let bytes = serde_json::to_vec(&record).map_err(|error| LabError::Other(error.to_string()))?;
            let device = record.signing.device();
            office.store.copy(&layout::device(device), &bytes).await.map_err(other)?;
        }
        office.release(Members::All).await?;
        Ok(office)
    }

    fn branch(&self, number: u32) -> (Branch, PublicKey) {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        let tenant: Tenant = self.root.root().tenant.clone();
        let online = self.root.root().role(Role::Online).keys[0];
        (Branch::new(&seed, &tenant, &format!("BENCH-{number}"), "cw-x1"), online)
    }

    /// The program itself, on the first core.
    async fn serve(&self) -> Result<(Server, Pid), LabError> {
        let program = std::env::current_exe().doing(|| "find this program".to_owned())?;
        let _ = Command::new("ip").args(["link", "set", "lo", "up"]).status(); // it may be up
        let mut serve = Command::new(program);
        serve.args(["office", "serve", "--listen", LISTEN, "--fleet"]).arg(self.path.join("fleet"));
        serve.arg("--state").arg(self.path.join("state")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = serve.spawn().doing(|| "start head office".to_owned())?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(|error| LabError::Other(error.to_string()))?);
        pin(pid, 0)?;
        pin(Pid::from_raw(0), 1)?;
        let server = Server(child);
        let until = clock::now() + PATIENCE;
        while std::net::TcpStream::connect(LISTEN).is_err() {
            if clock::now() > until {
                let why = String::new();
                return Err(LabError::Timeout { what: "head office's start".to_owned(), at_most: PATIENCE, why });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok((server, pid))
    }

    /// Another standard each time.
    fn edit(&self, release: u32) -> Result<(), LabError> {
        let file = self.path.join("fleet/standard.toml");
        let text = std::fs::read_to_string(&file).doing(|| "read the standard".to_owned())?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if let Some(line) = lines.iter_mut().find(|line| line.starts_with("dhcp = ")) {
            *line = format!("dhcp = {{ from = 100, to = {} }}", 200 + release);
        }
        write(&file, &(lines.join("\n") + "\n"))
    }

    /// Gives the moment from which branches could know of it.
    async fn release(&self, members: Members) -> Result<Instant, LabError> {
        let folder = folder(&self.path)?;
        let words = Words { ticket: "bench".to_owned(), author: "bench".to_owned(), at: now(), ..Words::default() };
        let signer =
            folder.signer(&self.root, Role::Release, None, &mut |_| Ok(PASSPHRASE.to_owned())).map_err(other)?;
        let pending = prepare(&folder, &self.store, &self.root, &words, &signer).await.map_err(other)?;
        pending.publish(&self.store, &self.root, "bench").await.map_err(other)?;
        let published = clock::now();
        let intent = Intent { members, way_back: false, by: "bench".to_owned(), at: now() };
        assign(&self.store, &self.root, intent).await.map_err(other)?;
        Ok(published)
    }
}

fn folder(path: &Path) -> Result<Folder, LabError> {
    let path = path.join("fleet");
    let mut files = Vec::new();
    for name in ["standard.toml", "inventory.toml", "office.toml"] {
        files.push((name.to_owned(), std::fs::read_to_string(path.join(name)).doing(|| format!("read {name}"))?));
    }
    for number in 0..SITES {
        let name = format!("sites/{}.toml", site(number));
        let text = std::fs::read_to_string(path.join(&name)).doing(|| format!("read {name}"))?;
        files.push((name, text));
    }
    Folder::open(&path, files).map_err(other)
}

fn site(number: u32) -> String {
    format!("site-{number}")
}

/// As many connections as both ends may have, up to those that are wanted.
fn raise_files() -> Result<u32, LabError> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).doing(|| "read the limit of open files".to_owned())?;
    let wanted = hard.max(u64::from(HELD) + OTHER_FILES);
    let most = match setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted) {
        Ok(()) => wanted,
        Err(_) => {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard).doing(|| "raise the limit of open files".to_owned())?;
            hard
        }
    };
    Ok(u32::try_from(most.saturating_sub(OTHER_FILES)).unwrap_or(HELD).clamp(BRANCHES, HELD))
}

fn pin(pid: Pid, core: usize) -> Result<(), LabError> {
    let mut cores = CpuSet::new();
    cores.set(core).doing(|| "name a core".to_owned())?;
    // A machine with one core measures with both ends on it.
    let _ = sched_setaffinity(pid, &cores);
    Ok(())
}

/// Resident memory in megabytes.
fn resident(pid: Pid) -> Result<f64, LabError> {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/status")).doing(|| "read the server's memory".to_owned())?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u32>().ok());
    let kib = kib.ok_or_else(|| LabError::Other("the kernel does not tell the server's memory".to_owned()))?;
    Ok(f64::from(kib) * 1_024.0 / 1e6)
}

fn write(file: &Path, text: &str) -> Result<(), LabError> {
    std::fs::write(file, text).doing(|| format!("write {}", file.display()))
}

fn other(error: crate::office::OfficeError) -> LabError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    LabError::Other(text)
}
