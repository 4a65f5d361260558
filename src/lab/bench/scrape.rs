//! What a scrape costs, and what it costs while 1,000 clients hold on to `front`: half of them never finish their request,
//! half never read the answer, and whoever is cut comes back.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Row, Unit, cost};
use crate::config::model::Family;
use crate::lab::LabError;
use crate::lab::addresses as plan;
use crate::lab::clock;
use crate::lab::error::Doing as _;
use crate::lab::gateway::METRICS_PORT;
use crate::lab::netns::Namespace;
use crate::time::Instant;

/// The page is made at most once a second, so that each of these is one that is made.
const EVERY: Duration = Duration::from_millis(1_010);
/// The slowest of so many is the 99th percentile, or worse.
const SCRAPES: u32 = 60;
/// A scrape that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn rows() -> Result<Vec<Row>, LabError> {
    let mut world = cost::start(cost::IDLE_FAST)?;
    world.gateway.start_front()?;
    let host = world.gateway.host().clone();
    let address = address();
    let first = || host.enter(|| scrape(address)).ok().flatten();
    clock::wait_for(PATIENCE, Duration::from_millis(20), first)
        .ok_or_else(|| LabError::Other("front does not answer a scrape".to_owned()))?;
    let calm = scrapes(&host)?;
    let flood = Flood::start(&host)?;
    let flooded = scrapes(&host)?;
    let bytes = calm.iter().map(|(_, page)| page.len() as f64 / 1e3).collect();
    let held: Vec<f64> = flooded.iter().filter_map(|(_, page)| value(page, "causeway_web_connections")).collect();
    let most = |times: &[(f64, String)]| vec![times.iter().map(|(took, _)| *took).fold(0.0, f64::max)];
    drop(flood);
    Ok(vec![
        Row::new("scrape: the slowest of 60", "-", 0.005, Unit::Seconds, most(&calm)),
        Row::new("  its page, in kB", "-", 80.0, Unit::Count, bytes),
        Row::new("  with 1,000 slow clients: slowest of 60", "-", 0.25, Unit::Seconds, most(&flooded)),
        Row::new("  connections held then", "-", 64.0, Unit::Count, vec![held.iter().copied().fold(0.0, f64::max)]),
    ])
}

/// Seconds, and the page; a scrape that failed took for ever.
fn scrapes(host: &Namespace) -> Result<Vec<(f64, String)>, LabError> {
    let address = address();
    host.enter(|| {
        let mut taken = Vec::new();
        for _ in 0..SCRAPES {
            let began = clock::now();
            let page = scrape(address);
            let took = if page.is_some() { clock::now().since(began).as_secs_f64() } else { f64::INFINITY };
            taken.push((took, page.unwrap_or_default()));
            clock::sleep_until(began + EVERY);
        }
        taken
    })
}

fn address() -> SocketAddr {
    SocketAddr::new(plan::lan(Family::V4, plan::GATEWAY), METRICS_PORT)
}

/// Whole, of a daemon that answers, or not at all.
fn scrape(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(request(address).as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, page) = answer.split_once("\r\n\r\n")?;
    (page.ends_with("# EOF\n") && page.contains("\ncauseway_daemon_up 1")).then(|| page.to_owned())
}

fn request(address: SocketAddr) -> String {
    format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n")
}

fn value(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Clients at once.
const CLIENTS: usize = 1_000;
/// From each address as many as `front` gives places to.
const FROM_ONE: usize = crate::front::http::CONNECTIONS_PER_ADDRESS;
/// Nobody is held for longer. Who does not read does not notice that it was cut.
const HELD: Duration = Duration::from_secs(16);
/// Who was cut comes back after that.
const AGAIN: Duration = Duration::from_secs(1);
/// The smallest that the kernel gives: the answer does not fit.
const WINDOW: usize = 1;
/// Ours and the program's own.
const HANDLES: u64 = 2_048;

/// 1,000 slow clients in the gateway's own network, each with an address of loopback. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Flood {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<(), LabError>>>,
}

impl Flood {
    pub(super) fn start(host: &Namespace) -> Result<Self, LabError> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).doing(|| "ask how many files may be open".to_owned())?;
        if soft < HANDLES {
            setrlimit(Resource::RLIMIT_NOFILE, HANDLES.min(hard), hard)
                .doing(|| format!("open {HANDLES} files at once"))?;
        }
        let (stop, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&opened));
        let thread = host.spawn("slow clients", move || flood(&stopped, &counted))?;
        let flood = Self { stop, opened, thread: Some(thread) };
        let enough = || (flood.opened.load(Ordering::Relaxed) >= CLIENTS as u64).then_some(());
        clock::wait_for(PATIENCE, Duration::from_millis(5), enough)
            .ok_or_else(|| LabError::Other("the slow clients find no front".to_owned()))?;
        Ok(flood)
    }
}

fn flood(stop: &AtomicBool, opened: &AtomicU64) {
    let mut clients: Vec<Option<(TcpStream, Instant)>> = (0..CLIENTS).map(|_| None).collect();
    while !stop.load(Ordering::Relaxed) {
        let round = clock::now();
        for (number, client) in clients.iter_mut().enumerate() {
            if client.as_ref().is_none_or(|(stream, since)| is_cut(stream) || round.since(*since) > HELD) {
                *client = slow(number).map(|stream| (stream, round));
                opened.fetch_add(u64::from(client.is_some()), Ordering::Relaxed);
            }
        }
        clock::sleep_until(round + AGAIN);
    }
}

fn slow(number: usize) -> Option<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
    let host = u8::try_from(2 + number / FROM_ONE).ok()?;
    socket.set_recv_buffer_size(WINDOW).ok()?;
    socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into()).ok()?;
    socket.connect_timeout(&address().into(), PATIENCE).ok()?;
    let mut stream = TcpStream::from(socket);
    let request = request(address());
    let said = if number.is_multiple_of(2) { request.get(..20)? } else { request.as_str() };
    stream.write_all(said.as_bytes()).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

/// Looks without reading.
fn is_cut(stream: &TcpStream) -> bool {
    match stream.peek(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic of its own was printed
        }
    }
}
