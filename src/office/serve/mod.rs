//! `causeway office serve`: gives each device its assignment, proves that it is current, and hears how it went. It holds
//! the online key and keeps nothing that is not in the store, but for reports of the last half minute.

mod answer;
mod board;
mod connection;
mod counts;
mod desk;
mod enrol;
mod figures;
mod http;

mod responder;
mod room;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::error::OfficeError;
use super::layout;
use super::store::Store;
use super::tls;
use desk::Desk;
use room::Room;

pub use crate::inherited::inherited;
pub use counts::Counted;
pub use figures::FAMILIES;
pub use room::STRANGERS_PER_ADDRESS;

/// How often a folder's head is glanced at: one question to the kernel.
const GLANCE: Duration = Duration::from_millis(50);
/// How often a bucket's head is read.
const READ: Duration = Duration::from_millis(500);
/// A store that does not answer is asked again after this.
const PAUSE: Duration = Duration::from_secs(2);
/// Copies for mirrors go out this long after the news, when those who wait have their answers.
const COPIES_AFTER: Duration = Duration::from_secs(1);
/// Files that are written at the same time: the store's, and copies.
const WRITERS: usize = 8;

#[derive(Debug)]
pub struct Options {
    pub store: Store,
    /// The server's keys.
    pub state: PathBuf,
    pub listen: Vec<SocketAddr>,
    /// Sockets that listen already.
    pub inherited: Vec<StdListener>,
    /// Where path proofs are answered.
    pub responders: Vec<SocketAddr>,
    /// Where its Prometheus asks for figures: an address of loopback.
    pub metrics: Option<SocketAddr>,
}

/// A server that runs; it stops when this is dropped.
#[derive(Debug)]
pub struct Office {
    desk: Arc<Desk>,
    /// Where it listens.
    pub listening: Vec<SocketAddr>,
    pub responding: Vec<SocketAddr>,
    pub measuring: Option<SocketAddr>,
    tasks: Vec<AbortHandle>,
}

/// Serves until SIGTERM or SIGINT.
pub fn run(options: Options, started: impl FnOnce(&Office)) -> Result<(), OfficeError> {
    let network = |what: &str| {
        let what = what.to_owned();
        move |source: io::Error| OfficeError::Network { what, source }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(WRITERS)
        .build()
        .map_err(network("start"))?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(network("hear signals"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(network("hear signals"))?;
        let office = Office::start(options).await?;
        started(&office);
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        // All are safe to cancel: this is the end.
        tokio::select! {
            () = watchdog() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        board::flush(&office.desk).await;
        Ok(())
    })
}

impl Office {
    pub async fn start(options: Options) -> Result<Self, OfficeError> {
        let Options { store, state, listen, inherited, responders, metrics } = options;
        let desk = Arc::new(Desk::open(store, &state).await?);
        let tls = TlsAcceptor::from(tls::server(&state)?);
        let room = Arc::new(Room::default());
        let (mut listening, mut responding, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
        let network = |what: String| move |source| OfficeError::Network { what, source };
        let mut listeners = Vec::new();
        for listener in inherited {
            let taken = TcpListener::from_std(listener);
            listeners.push(taken.map_err(network("listen on the socket that systemd gave".to_owned()))?);
        }
        for address in listen {
            listeners.push(TcpListener::bind(address).await.map_err(network(format!("listen on {address}")))?);
        }
        for listener in listeners {
            listening.extend(listener.local_addr());
            let accept = connection::accept(Arc::clone(&desk), listener, tls.clone(), Arc::clone(&room));
            tasks.push(tokio::spawn(accept).abort_handle());
        }
        for address in responders {
            let (bound, respond) = responder::start(Arc::clone(&desk), address, &state).await?;
            responding.push(bound);
            tasks.push(tokio::spawn(respond).abort_handle());
        }
        let mut measuring = None;
        if let Some(address) = metrics {
            let listener = TcpListener::bind(address).await.map_err(network(format!("listen on {address}")))?;
            measuring = listener.local_addr().ok();
            tasks.push(tokio::spawn(figures::serve(Arc::clone(&desk), listener)).abort_handle());
        }
        tasks.push(tokio::spawn(watch(Arc::clone(&desk))).abort_handle());
        tasks.push(tokio::spawn(board::keep(Arc::clone(&desk))).abort_handle());
        tasks.push(tokio::spawn(copy(Arc::clone(&desk))).abort_handle());
        Ok(Self { desk, listening, responding, measuring, tasks })
    }

    pub fn counted(&self) -> Counted {
        self.desk.counts.read()
    }

    /// Writes all reports to the store now.
    pub async fn flush(&self) {
        board::flush(&self.desk).await;
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Notices what people and other replicas published. Never returns.
async fn watch(desk: Arc<Desk>) {
    let mut seen = None;
    loop {
        let glanced = desk.store.glance();
        if glanced.is_some() && glanced == seen {
            sleep(GLANCE).await;
            continue;
        }
        match desk.refresh().await {
            Ok(_) => {
                seen = glanced;
                sleep(if glanced.is_some() { GLANCE } else { READ }).await;
            }
            Err(error) => {
                desk.counts.failed();
                tracing::warn!("{error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Keeps what mirrors may copy up to date, after those who wait have their answers. Never returns.
async fn copy(desk: Arc<Desk>) {
    let mut news = desk.news();
    loop {
        news.borrow_and_update();
        let mut copied = 0;
        for entry in desk.devices() {
            let device = entry.record().id();
            if let Some(assigned) = desk.uncopied(&entry) {
                let written = async {
                    desk.store.copy(&layout::blob(&assigned.site.digest), &assigned.site_bytes).await?;
                    desk.store.copy(&layout::assignment(device), &assigned.bytes).await
                };
                match written.await {
                    Ok(()) => desk.copied(&entry, assigned.number),
                    Err(error) => {
                        desk.counts.failed();
                        tracing::warn!("{error}");
                        sleep(PAUSE).await;
                    }
                }
                copied += 1;
            }
        }
        // Safe to cancel, and it is not. What failed is tried again with the next news.
        if copied == 0 && news.changed().await.is_err() {
            return;
        }
        sleep(COPIES_AFTER).await;
    }
}

/// Tells systemd that the runtime turns, if it asked to be told; never returns.
async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        sleep(limit / 3).await;
    }
}
