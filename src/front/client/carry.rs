//! One errand from its question to its end: the offices in turn, and what comes back to the daemon part by part.

use std::fmt::Write as _;
use std::io;

use tokio::sync::{mpsc, watch};

use super::connect::{Connection, Dial, connect};
use super::exchange::{ExchangeError, exchange};
use super::tls;
use super::{ANSWER, Ended};
use crate::control::errand::{Errand, Office, Part};
use crate::control::io::{ClientError, Session};
use crate::control::protocol::Request;
use crate::front::address::{Address, AddressError};
use crate::tls::Authorities;

/// Of what a person is told about one errand.
const WORDS: usize = 600;

/// Why one office gave no whole answer.
#[derive(Debug, thiserror::Error)]
enum OfficeError {
    #[error("this is no address of head office")]
    Address(#[source] AddressError),
    #[error("no connection")]
    Connect(#[source] io::Error),
    #[error(transparent)]
    Exchange(ExchangeError),
}

/// What is needed to carry an errand, and what stays of it for the next.
pub(super) struct Hands<'a, D> {
    pub(super) dial: &'a D,
    pub(super) authorities: &'a Authorities,
    /// While it is good.
    pub(super) kept: &'a mut Option<Connection>,
    /// Counts changes of the branch's uplinks.
    pub(super) network: &'a mut watch::Receiver<u64>,
}

/// Does the errand and tells the daemon of it over the session by which it came.
pub(super) async fn carry<D: Dial>(errand: Errand, session: &mut Session, mut hands: Hands<'_, D>) -> Ended {
    // One piece waits while the next is read; the server waits with us.
    let (parts, queue) = mpsc::channel(1);
    let id = errand.id;
    let fetching = async move {
        // Safe to cancel: nobody wants the answer, and the connection goes with it.
        tokio::select! {
            ended = fetch(&errand, &parts, &mut hands) => {
                let (part, ended) = match ended {
                    Ok(()) => (Part::End, Ended::Well),
                    Err((words, changed)) => {
                        (Part::Failed(words), if changed { Ended::NetworkChanged } else { Ended::Failed })
                    }
                };
                if parts.send(part).await.is_ok() { ended } else { Ended::NotTaken }
            }
            () = parts.closed() => {
                *hands.kept = None;
                Ended::NotTaken
            }
        }
    };
    let (ended, delivered) = tokio::join!(fetching, deliver(id, session, queue));
    match delivered {
        Ok(()) => ended,
        Err(ClientError::Refused(_)) => Ended::NotTaken,
        Err(
            ClientError::NotRunning { .. }
            | ClientError::NotPermitted { .. }
            | ClientError::Silent
            | ClientError::Closed
            | ClientError::Io(_)
            | ClientError::Frame(_)
            | ClientError::Unexpected,
        ) => Ended::NoDaemon,
    }
}

/// Until the last part; or until the daemon wants no more of it, which ends the fetching as well.
async fn deliver(id: u64, session: &mut Session, mut parts: mpsc::Receiver<Part>) -> Result<(), ClientError> {
    loop {
        // Both are safe to cancel: a part that was not received stays in the channel.
        let part = tokio::select! {
            part = parts.recv() => part,
            () = session.closed() => return Err(ClientError::Closed),
        };
        let Some(part) = part else { return Ok(()) };
        session.call(&Request::Deliver { id, part }, ANSWER).await?;
    }
}

/// In case of failure: the words for it, and whether only the network changed.
async fn fetch<D: Dial>(
    errand: &Errand,
    parts: &mpsc::Sender<Part>,
    hands: &mut Hands<'_, D>,
) -> Result<(), (String, bool)> {
    let kept = hands.kept.take().filter(|kept| kept.sender.is_ready() && errand.offices.contains(&kept.office));
    if let Some(mut connection) = kept {
        let mut begun = false;
        match exchange(&mut connection, errand, parts, hands.network, &mut begun).await {
            Ok(()) => {
                *hands.kept = Some(connection);
                return Ok(());
            }
            // The server had closed it: that says nothing about a new one.
            Err(ExchangeError::Http(_)) if !begun && connection.meter.read() == 0 => {}
            Err(error) => {
                let changed = matches!(error, ExchangeError::NetworkChanged);
                return Err((told(&connection.office, &OfficeError::Exchange(error)), changed));
            }
        }
    }
    let mut words = String::new();
    for office in &errand.offices {
        match try_office(office, errand, parts, hands).await {
            Ok(()) => return Ok(()),
            Err((error, begun)) => {
                let changed = matches!(error, OfficeError::Exchange(ExchangeError::NetworkChanged));
                if !words.is_empty() {
                    words.push_str("; ");
                }
                words.push_str(&told(office, &error));
                // What was handed over cannot be taken back.
                if begun || changed {
                    return Err((short(words), changed));
                }
            }
        }
    }
    if words.is_empty() {
        words.push_str("no office is named");
    }
    Err((short(words), false))
}

/// In case of failure also: whether a part of its answer was handed over.
async fn try_office<D: Dial>(
    office: &Office,
    errand: &Errand,
    parts: &mpsc::Sender<Part>,
    hands: &mut Hands<'_, D>,
) -> Result<(), (OfficeError, bool)> {
    let address = Address::parse(&office.address).map_err(|error| (OfficeError::Address(error), false))?;
    let connected = connect(hands.dial, office, address, hands.authorities).await;
    let mut connection = connected.map_err(|error| (OfficeError::Connect(error), false))?;
    let mut begun = false;
    match exchange(&mut connection, errand, parts, hands.network, &mut begun).await {
        Ok(()) => {
            *hands.kept = Some(connection);
            Ok(())
        }
        Err(error) => Err((OfficeError::Exchange(error), begun)),
    }
}

/// `office.example: no connection: Connection refused`.
fn told(office: &Office, error: &OfficeError) -> String {
    let mut words = format!("{}: {error}", office.address);
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let tls = cause.downcast_ref::<io::Error>().and_then(tls::words);
        if let Some(tls) = tls {
            let _ = write!(words, ": {tls}");
            break;
        }
        let _ = write!(words, ": {cause}");
        source = cause.source();
    }
    words
}

fn short(mut words: String) -> String {
    if let Some((end, _)) = words.char_indices().nth(WORDS) {
        words.truncate(end);
        words.push('…');
    }
    words
}
