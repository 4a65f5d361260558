//! The courier: fetches from head office what the daemon asks for, and hands it over as it comes. It decides nothing, not
//! even by a status; what it brings is verified by the daemon.
//!
//! Two lanes run side by side, so that a held request for news does not hold up anything else. Start reading at
//! [`Courier::run`]; one errand is `carry`, one request is `exchange`.

mod carry;
mod connect;
mod exchange;
mod meter;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

pub use self::connect::{CONNECT, Dial, HEAD_BYTES, Stream, Tcp};
pub use self::exchange::{GRACE, RATE, SILENCE};

use self::carry::{Hands, carry};

use crate::backoff::{self, Backoff};
use crate::control::errand::{Errand, Lane};
use crate::control::io::{ClientError, Session};
use crate::control::protocol::{RefusalKind, Reply, Request};
use crate::telemetry::events::Kind;
use crate::tls::{Authorities, Roots};

/// For the daemon's answers. Longer than it gives itself, so that its words arrive.
const ANSWER: Duration = Duration::from_secs(8);
/// While the gateway belongs to no head office.
pub const NOT_NOW: Duration = Duration::from_secs(30);
/// While the daemon does not run.
pub const NO_DAEMON: Duration = Duration::from_secs(2);
/// Between two questions that were answered at once with nothing.
const BREATH: Duration = Duration::from_secs(1);
/// After a change of uplinks: routes are there, neighbours and tunnels follow. Up to twice that, so that lanes and branches
/// do not come at once.
pub const SETTLE: Duration = Duration::from_secs(1);

/// How an errand ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// With a whole answer, whatever it says.
    Well,
    Failed,
    /// Given up because the traffic goes another way now.
    NetworkChanged,
    /// The daemon did not want the answer.
    NotTaken,
    NoDaemon,
}

/// What the daemon said when it was asked for an errand.
enum Given {
    Errand(Box<Errand>),
    Nothing,
    NotNow,
    NoDaemon,
}

pub struct Courier<D> {
    /// The daemon's control socket.
    socket: PathBuf,
    dial: D,
    authorities: Authorities,
    /// There is a head office: the first errand came.
    enrolled: Notify,
    /// Something else got through: no need to wait.
    again: Notify,
    network: watch::Sender<u64>,
}

impl<D: Dial> Courier<D> {
    /// Servers without pins must be vouched for by this system's authorities.
    pub fn new(socket: PathBuf, dial: D) -> Self {
        Self {
            socket,
            dial,
            authorities: Authorities::new(Roots::System),
            enrolled: Notify::new(),
            again: Notify::new(),
            network: watch::Sender::new(0),
        }
    }

    /// The same with these authorities.
    #[must_use]
    pub fn trusting(mut self, roots: Arc<RootCertStore>) -> Self {
        self.authorities = Authorities::new(Roots::Given(roots));
        self
    }

    /// For ever. Must be called inside a tokio runtime.
    pub async fn run(self) {
        tokio::join!(self.lane(Lane::News), self.lane(Lane::Work), self.watch_network());
    }

    async fn lane(&self, lane: Lane) {
        let mut session = None;
        let mut kept = None;
        let mut backoff = Backoff::default();
        let mut network = self.network.subscribe();
        loop {
            let asked = Instant::now();
            match self.given(lane, &mut session).await {
                Given::Errand(errand) => {
                    self.enrolled.notify_one();
                    let hands = Hands {
                        dial: &self.dial,
                        authorities: &self.authorities,
                        kept: &mut kept,
                        network: &mut network,
                    };
                    let Some(open) = &mut session else { continue };
                    let ended = carry(*errand, open, hands).await;
                    self.after(lane, ended, &mut backoff, &mut network, &mut session).await;
                }
                Given::Nothing => {
                    // Nothing to do for a while: the server need not hold a connection for that.
                    kept = None;
                    sleep(BREATH.saturating_sub(asked.elapsed())).await;
                }
                Given::NotNow => {
                    (session, kept) = (None, None);
                    sleep(NOT_NOW).await;
                }
                Given::NoDaemon => {
                    session = None;
                    sleep(NO_DAEMON).await;
                }
            }
        }
    }

    /// Asks the daemon for the next errand of a lane.
    async fn given(&self, lane: Lane, session: &mut Option<Session>) -> Given {
        let mut open = match session.take().map_or_else(|| Session::connect(&self.socket), Ok) {
            Ok(open) => open,
            Err(_) => return Given::NoDaemon,
        };
        let request = Request::Errand { lane };
        let answered = open.call(&request, ANSWER + request.held_for()).await;
        let given = match answered {
            Ok(Reply::Errand(Some(errand))) => Given::Errand(errand),
            Ok(Reply::Errand(None)) => Given::Nothing,
            Err(ClientError::Refused(refusal)) if refusal.kind == RefusalKind::NotNow => Given::NotNow,
            Ok(_) | Err(_) => return Given::NoDaemon,
        };
        *session = Some(open);
        given
    }

    /// Waits as long as the end of an errand asks for.
    async fn after(
        &self,
        lane: Lane,
        ended: Ended,
        backoff: &mut Backoff,
        network: &mut watch::Receiver<u64>,
        session: &mut Option<Session>,
    ) {
        match ended {
            Ended::Well => {
                backoff.reset();
                // News fail for reasons of their own, too: what is held is cut on the way more often than what is not.
                if lane == Lane::Work {
                    self.again.notify_waiters();
                }
            }
            Ended::NetworkChanged => settle().await,
            Ended::Failed => {
                let wait = backoff.next(random());
                network.mark_unchanged();
                // All are safe to cancel: nothing but time is lost.
                tokio::select! {
                    () = sleep(wait) => {}
                    () = self.again.notified(), if lane == Lane::News => backoff.reset(),
                    Ok(()) = network.changed() => {
                        backoff.reset();
                        settle().await;
                    }
                }
            }
            // A daemon that refuses everything must not be asked without a pause.
            Ended::NotTaken => sleep(BREATH).await,
            Ended::NoDaemon => {
                *session = None;
                sleep(NO_DAEMON).await;
            }
        }
    }

    /// Learns from the daemon's events when the traffic goes another way: what failed before may work now, and what is held
    /// may be held for nobody.
    async fn watch_network(&self) {
        self.enrolled.notified().await;
        let follow = Request::Events { since_ms: Some(0), follow: true };
        loop {
            if let Ok(mut session) = Session::connect(&self.socket)
                && session.call(&follow, ANSWER).await.is_ok()
            {
                while let Ok(Reply::Events(lines)) = session.next_events().await {
                    if lines.iter().any(|line| line.kind == Kind::PathSwitch.name()) {
                        self.network.send_modify(|changes| *changes = changes.wrapping_add(1));
                    }
                }
            }
            sleep(NO_DAEMON).await;
        }
    }
}

async fn settle() {
    sleep(SETTLE + backoff::part(SETTLE, random())).await;
}

/// Without chance all branches wait alike, which is no reason not to wait.
fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}
