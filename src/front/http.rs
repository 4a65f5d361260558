//! The web edge: listens where it is told, answers `GET` for `/metrics` and the pages for people, and lets nobody hold it up.
//! Every wait has an end: hyper's own time limits do nothing without a timer, so both are set here.
//!
//! What is served depends on the address to which a connection came, never on its port: the status page where the config
//! has `status_page_on`, `/metrics` and `/it` where it has `metrics_on`. A socket of systemd's hears every address; what
//! comes in on any other is closed without an answer.

mod shown;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use sd_notify::NotifyState;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::Options;
use super::client::{Courier, Tcp};
use super::page;
use super::page::messages::Language;
use super::samples::{Page, Web};
use super::{exposition, host};
use crate::control::io::ask;
use crate::control::protocol::{Reply, Request as Ask};
use crate::control::snapshot::Process;
use crate::fence::Fence;
use crate::inherited::inherited;
use crate::telemetry::io::{process, storage};
use shown::{Shown, Wanted};

/// Two scrapers and some browsers need ten; each costs at most two buffers.
pub const CONNECTIONS: usize = 64;
/// So that no address can take all of them.
pub const CONNECTIONS_PER_ADDRESS: usize = 8;
/// For the head of the request.
const HEAD: Duration = Duration::from_secs(5);
/// For the answer to be taken.
const WRITE: Duration = Duration::from_secs(10);
/// Nobody waits longer for the daemon.
const PATIENCE: Duration = Duration::from_millis(200);
/// A page serves everybody who asks within this time: the daemon is asked once, memory holds it once.
const FRESH: Duration = Duration::from_secs(1);
/// A head is a line and a few fields; hyper needs 8 KiB at least.
const HEAD_BYTES: usize = 8 << 10;
/// On the partition that lasts; a folder of a system without one is as full as its disk.
const DATA: &str = "/var";
/// How often the config's addresses are looked at, and an address that is not there yet is tried again.
const LOOK: Duration = Duration::from_secs(2);
/// The same once all is as wanted: a box that does nothing else should sleep.
const CALM: Duration = Duration::from_secs(10);
/// How long the fence waits for a daemon that starts at the same time.
const DAEMON_STARTS: Duration = Duration::from_secs(5);
const DNS_PORT: u16 = 53;
/// The C library looks up names in threads that cannot be stopped; there are two lanes.
const THREADS: usize = 4;

/// Serves until SIGTERM or SIGINT. Fails only where nothing could ever work.
pub fn run(options: Options) -> io::Result<()> {
    let handed = inherited()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(THREADS).build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let front = Arc::new(Front::with(options, handed)?);
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        // All are safe to cancel: this is the end.
        tokio::select! {
            () = front.fenced() => {}
            () = watchdog() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        Ok(())
    })
}

/// Shared by all connections.
#[derive(Debug)]
pub struct Front {
    options: Options,
    /// The fence is up: Landlock and system calls.
    sandboxed: AtomicBool,
    page: AsyncMutex<Option<(Instant, Bytes)>>,
    shown: AsyncMutex<Shown>,
    /// Of the daemon's last answer; `None`: it has not said yet.
    places: Mutex<Option<Places>>,
    /// Listening already, on every address.
    handed: Mutex<Vec<TcpListener>>,
    is_handed: bool,
    held: Mutex<Vec<Held>>,
    counts: Counts,
    /// What people may call us beside [`host::NAME`].
    names: Vec<String>,
}

#[derive(Debug, Default)]
struct Counts {
    staff: AtomicU64,
    technician: AtomicU64,
    metrics: AtomicU64,
    other: AtomicU64,
    full: AtomicU64,
    slow: AtomicU64,
    host: AtomicU64,
}

/// What the daemon says about where to listen and where to connect to.
#[derive(Debug)]
struct Told {
    listen: Vec<SocketAddr>,
    office_ports: Vec<u16>,
}

/// On which of our addresses what is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Places {
    metrics: Vec<IpAddr>,
    staff: Vec<IpAddr>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Staff,
    Technician,
    Metrics,
    Other,
}

/// A connection, oldest first.
#[derive(Debug)]
struct Held {
    from: IpAddr,
    task: AbortHandle,
}

impl Front {
    pub fn new(options: Options) -> Self {
        Self {
            options,
            sandboxed: AtomicBool::new(false),
            page: AsyncMutex::new(None),
            shown: AsyncMutex::new(Shown::new()),
            places: Mutex::new(None),
            handed: Mutex::default(),
            is_handed: false,
            held: Mutex::default(),
            counts: Counts::default(),
            names: nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).into_iter().collect(),
        }
    }

    /// With sockets that systemd opened. To be called where a runtime runs.
    pub fn with(options: Options, handed: Vec<std::net::TcpListener>) -> io::Result<Self> {
        let handed: Vec<_> = handed.into_iter().map(TcpListener::from_std).collect::<io::Result<_>>()?;
        Ok(Self { is_handed: !handed.is_empty(), handed: Mutex::new(handed), ..Self::new(options) })
    }

    /// Serves and fetches from inside the fence, which knows the ports. It can only ever get narrower: when the config or
    /// head office want others the process ends, and its unit starts it again.
    async fn fenced(self: Arc<Self>) {
        let Told { listen, office_ports } = self.first_told().await;
        let bind: Vec<u16> = listen.iter().map(SocketAddr::port).collect();
        // Names are asked for over TCP when the answer is too long for UDP.
        let dns = (!office_ports.is_empty()).then_some(DNS_PORT);
        let connect: Vec<u16> = office_ports.iter().copied().chain(dns).collect();
        let folder = self.options.socket.parent().unwrap_or(Path::new("/"));
        let fenced = Fence::front(None, &bind, &connect).reads(folder).enter();
        self.sandboxed.store(fenced.is_whole(), Ordering::Relaxed);
        let courier = Courier::new(self.options.socket.clone(), Tcp);
        let outgrown = async {
            loop {
                sleep(CALM).await;
                let Some(told) = self.told().await else { continue };
                let binds = told.listen.iter().all(|address| bind.contains(&address.port()));
                if !binds || told.office_ports.iter().any(|port| !connect.contains(port)) {
                    return;
                }
            }
        };
        // All are safe to cancel: this is the end.
        tokio::select! {
            () = Arc::clone(&self).serve(|_| ()) => {}
            () = courier.run() => {}
            () = outgrown => {}
        }
    }

    fn has_sockets(&self) -> bool {
        self.is_handed || !self.options.listen.is_empty()
    }

    /// What the fence must leave open. Without an address to listen on there is nothing to do before the daemon says one;
    /// with one, people are not kept waiting for a daemon that does not run.
    async fn first_told(&self) -> Told {
        let began = Instant::now();
        loop {
            match self.told().await {
                Some(told) => return told,
                None if self.has_sockets() && began.elapsed() >= DAEMON_STARTS => {
                    return Told { listen: self.options.listen.clone(), office_ports: Vec::new() };
                }
                None => sleep(LOOK).await,
            }
        }
    }

    /// Listens on every wanted address as soon as it exists and for as long as it is wanted; `listening` is told of each.
    pub async fn serve(self: Arc<Self>, listening: impl Fn(SocketAddr)) {
        let mut listeners = BTreeMap::<SocketAddr, (SocketAddr, Listener)>::new();
        let mut wanted = self.options.listen.clone();
        let handed = std::mem::take(&mut *self.handed.lock().unwrap_or_else(PoisonError::into_inner));
        let _handed: Vec<Listener> =
            handed.into_iter().map(|it| Listener(tokio::spawn(Arc::clone(&self).accept(it)).abort_handle())).collect();
        loop {
            if let Some(told) = self.told().await {
                wanted = told.listen;
            }
            let mut missing = false;
            listeners.retain(|address, (_, listener)| wanted.contains(address) && !listener.0.is_finished());
            for address in &wanted {
                if listeners.contains_key(address) {
                    continue;
                }
                match Arc::clone(&self).listen(*address).await {
                    Ok((bound, listener)) => {
                        listening(bound);
                        listeners.insert(*address, (bound, listener));
                    }
                    // Trying again soon does not give us the right to a port below 1024.
                    Err(error) => missing |= error.kind() != io::ErrorKind::PermissionDenied,
                }
            }
            sleep(if missing || wanted.is_empty() { LOOK } else { CALM }).await;
        }
    }

    async fn listen(self: Arc<Self>, address: SocketAddr) -> io::Result<(SocketAddr, Listener)> {
        // An address that has not come up yet is an error here, and tried again.
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        Ok((bound, Listener(tokio::spawn(self.accept(listener)).abort_handle())))
    }

    /// Where the config in force wants us, and the ports of head office; `None` while the daemon does not say.
    async fn told(&self) -> Option<Told> {
        let Ok(Reply::Config(config)) = ask(&self.options.socket, &Ask::ConfigInfo, PATIENCE).await else {
            return None;
        };
        let parsed = |list: &[String]| -> Vec<SocketAddr> { list.iter().filter_map(|it| it.parse().ok()).collect() };
        let (metrics, staff) = (parsed(&config.metrics_on), parsed(&config.status_page_on));
        let ips = |list: &[SocketAddr]| list.iter().map(|address| address.ip().to_canonical()).collect();
        let places = Places { metrics: ips(&metrics), staff: ips(&staff) };
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = Some(places);
        let listen = if self.options.listen.is_empty() {
            // What systemd opened hears these, too.
            let pages = staff.into_iter().filter(|_| !self.is_handed);
            metrics.into_iter().chain(pages).collect()
        } else {
            self.options.listen.clone()
        };
        Some(Told { listen, office_ports: config.office_ports })
    }

    /// Of [`Asked::Staff`] and [`Asked::Technician`], what is served on this address. Before the daemon has said it, the
    /// status page is, which then says that it cannot tell; an uplink is closed by the packet filter.
    fn serves(&self, on: IpAddr) -> (bool, bool) {
        let everywhere = !self.options.listen.is_empty();
        match &*self.places.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(places) => (places.staff.contains(&on), everywhere || places.metrics.contains(&on)),
            None => (true, everywhere),
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut tasks = JoinSet::new();
        loop {
            // Both are safe to cancel: what is not accepted stays in the backlog, what is not joined in the set.
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = tasks.join_next() => continue,
            };
            let Ok((stream, from)) = accepted else {
                // Out of descriptors, most likely.
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            // IPv4 on a socket for both, too.
            let from = from.ip().to_canonical();
            let served = stream.local_addr().is_ok_and(|on| self.serves(on.ip().to_canonical()) != (false, false));
            if !served {
                continue;
            }
            if !self.make_room(from) {
                self.counts.full.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let task = tasks.spawn(Arc::clone(&self).connection(stream));
            self.held.lock().unwrap_or_else(PoisonError::into_inner).push(Held { from: block(from), task });
        }
    }

    /// One address that has its share is refused; if all places are taken the oldest connection goes.
    fn make_room(&self, from: IpAddr) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|held| !held.task.is_finished());
        if held.iter().filter(|held| held.from == block(from)).count() >= CONNECTIONS_PER_ADDRESS {
            return false;
        }
        if held.len() >= CONNECTIONS {
            held.remove(0).task.abort();
            self.counts.full.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// One request, one answer, the end.
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let Ok(on) = stream.local_addr() else { return };
        let service = service_fn(|request| {
            let front = Arc::clone(&self);
            async move { Ok::<_, Infallible>(front.answer(&request, on.ip().to_canonical()).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .keep_alive(false)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let slow = match timeout(HEAD + PATIENCE + WRITE, connection).await {
            Ok(ended) => ended.is_err_and(|error| error.is_timeout()),
            Err(_) => true,
        };
        if slow {
            self.counts.slow.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn answer(&self, request: &Request<Incoming>, on: IpAddr) -> Response<Full<Bytes>> {
        let (staff, technician) = self.serves(on);
        let asked = match request.uri().path() {
            "/" if staff => Asked::Staff,
            "/it" if technician => Asked::Technician,
            "/metrics" if technician => Asked::Metrics,
            _ => Asked::Other,
        };
        self.count(asked).fetch_add(1, Ordering::Relaxed);
        let mut response = if !self.is_for_us(request, on) {
            self.counts.host.fetch_add(1, Ordering::Relaxed);
            plain(StatusCode::MISDIRECTED_REQUEST, "This gateway has another name.\n")
        } else if request.method() == Method::GET || request.method() == Method::HEAD {
            // For HEAD hyper sends the length and leaves the body out.
            match asked {
                Asked::Staff => {
                    let chosen = request.uri().query().and_then(|query| Language::of(query.strip_prefix("lang=")?));
                    self.people(Wanted::Staff(chosen, technician)).await
                }
                Asked::Technician => self.people(Wanted::Technician).await,
                Asked::Metrics => match self.page().await {
                    Ok(page) => response(StatusCode::OK, exposition::CONTENT_TYPE, page),
                    Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made.\n"),
                },
                Asked::Other => plain(StatusCode::NOT_FOUND, "There is nothing here.\n"),
            }
        } else {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD.\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        };
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn people(&self, wanted: Wanted) -> Response<Full<Bytes>> {
        let page = self.shown.lock().await.page(wanted, &self.options).await;
        let mut response = response(StatusCode::OK, "text/html; charset=utf-8", page);
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::policy()));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }

    fn count(&self, asked: Asked) -> &AtomicU64 {
        match asked {
            Asked::Staff => &self.counts.staff,
            Asked::Technician => &self.counts.technician,
            Asked::Metrics => &self.counts.metrics,
            Asked::Other => &self.counts.other,
        }
    }

    /// Without any name it is no browser's: only HTTP/1.0 has such requests.
    fn is_for_us(&self, request: &Request<Incoming>, on: IpAddr) -> bool {
        let hosts: Vec<&str> =
            request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default()).collect();
        let authority = request.uri().authority().map(|authority| authority.as_str());
        let mut named = authority.into_iter().chain(hosts.iter().copied()).peekable();
        let nameless = named.peek().is_none();
        hosts.len() <= 1
            && named.all(|authority| host::is_ours(authority, on, &self.names))
            && (!nameless || request.version() == Version::HTTP_10)
    }

    async fn page(&self) -> Result<Bytes, fmt::Error> {
        let mut page = self.page.lock().await;
        if let Some((made, bytes)) = &*page
            && made.elapsed() < FRESH
        {
            return Ok(bytes.clone());
        }
        let snapshot = match ask(&self.options.socket, &Ask::Snapshot, PATIENCE).await {
            Ok(Reply::Snapshot(snapshot)) => Some(*snapshot),
            Ok(_) | Err(_) => None,
        };
        let wall_trusted = snapshot.as_ref().is_some_and(|snapshot| snapshot.status.wall_ms.is_some());
        let process = self.process(wall_trusted);
        let text = exposition::text(Page { snapshot, process, storage: storage(Path::new(DATA)), web: self.web() })?;
        let bytes = Bytes::from(text);
        *page = Some((Instant::now(), bytes.clone()));
        Ok(bytes)
    }

    fn process(&self, wall_trusted: bool) -> Process {
        Process { sandboxed: self.sandboxed.load(Ordering::Relaxed), ..process(wall_trusted) }
    }

    fn web(&self) -> Web {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|held| !held.task.is_finished());
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Web {
            requests: [Asked::Staff, Asked::Technician, Asked::Metrics, Asked::Other]
                .map(|asked| count(self.count(asked))),
            connections: u64::try_from(held.len()).unwrap_or(u64::MAX),
            refused: [count(&self.counts.full), count(&self.counts.slow), count(&self.counts.host)],
        }
    }
}

/// Stops listening when it is dropped.
#[derive(Debug)]
struct Listener(AbortHandle);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One client may use any address of its IPv6 network.
fn block(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Tells systemd that the runtime turns, if it asked to be told; never returns.
async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        sleep(limit / 3).await;
    }
}
