//! One request and its answer over one connection, with an end to every wait and a bound on every length. Whoever sits
//! there may send anything.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::HOST;
use hyper::{HeaderMap, Method as HttpMethod, Request, Response};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::connect::Connection;
use super::meter::Meter;
use crate::control::errand::{Errand, Method, PIECE, Part};

/// For the first byte of an answer, on top of what the server may hold it.
pub const SILENCE: Duration = Duration::from_secs(20);
/// Slower than this is no line and no server, but somebody who wants to hold us up.
pub const RATE: u64 = 1 << 10;
/// Before the rate is looked at.
pub const GRACE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(1);

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    #[error("the request cannot be sent as it is")]
    Request(#[source] hyper::http::Error),
    #[error("the server was silent for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the answer was not there {} s after its first byte", .0.as_secs())]
    Late(Duration),
    #[error("the server sends less than {RATE} bytes a second")]
    Slow,
    #[error("the answer is longer than {most} bytes")]
    TooLong { most: u32 },
    #[error("the network changed while the server held its answer")]
    NetworkChanged,
    #[error("the connection broke, or it was not HTTP")]
    Http(#[source] hyper::Error),
    /// The daemon does not want it any more, or is gone.
    #[error("nobody takes the answer")]
    NotTaken,
}

/// Sends the request and hands over `Answer` and `Body` parts. Ends with the whole body read, or at the first fault;
/// `begun` tells whether a part was handed over, which cannot be taken back.
pub(super) async fn exchange(
    connection: &mut Connection,
    errand: &Errand,
    parts: &mpsc::Sender<Part>,
    network: &mut watch::Receiver<u64>,
    begun: &mut bool,
) -> Result<(), ExchangeError> {
    connection.meter.begin();
    let request = request(errand, connection.address.authority())?;
    let sent = connection.sender.send_request(request);
    let answered = async {
        let response = sent.await.map_err(ExchangeError::Http)?;
        hand_over(response, errand, parts, begun).await
    };
    // Both are safe to cancel: a connection that was left in the middle is dropped by the caller.
    tokio::select! {
        biased;
        ended = answered => ended,
        error = guard(&connection.meter, errand, network) => Err(error),
    }
}

fn request(errand: &Errand, authority: &str) -> Result<Request<Full<Bytes>>, ExchangeError> {
    let method = match errand.method {
        Method::Get => HttpMethod::GET,
        Method::Post => HttpMethod::POST,
    };
    let mut builder = Request::builder().method(method).uri(&errand.target).header(HOST, authority);
    for (name, value) in &errand.headers {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(Bytes::from(errand.body.clone()))).map_err(ExchangeError::Request)
}

async fn hand_over(
    response: Response<Incoming>,
    errand: &Errand,
    parts: &mpsc::Sender<Part>,
    begun: &mut bool,
) -> Result<(), ExchangeError> {
    let too_long = || ExchangeError::TooLong { most: errand.most };
    let most = u64::from(errand.most);
    let status = response.status().as_u16();
    let headers = wanted(response.headers(), &errand.wanted);
    let mut body = response.into_body();
    if body.size_hint().lower() > most {
        return Err(too_long());
    }
    *begun = true;
    parts.send(Part::Answer { status, headers }).await.map_err(|_| ExchangeError::NotTaken)?;
    let (mut piece, mut read) = (Vec::new(), 0_u64);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(ExchangeError::Http)?;
        let Some(mut data) = frame.data_ref().map(Bytes::as_ref) else { continue };
        read = read.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if read > most {
            return Err(too_long());
        }
        while !data.is_empty() {
            let (now, later) = data.split_at(data.len().min(PIECE - piece.len()));
            piece.extend_from_slice(now);
            data = later;
            if piece.len() == PIECE {
                send(parts, &mut piece).await?;
            }
        }
    }
    if piece.is_empty() { Ok(()) } else { send(parts, &mut piece).await }
}

async fn send(parts: &mpsc::Sender<Part>, piece: &mut Vec<u8>) -> Result<(), ExchangeError> {
    parts.send(Part::Body(std::mem::take(piece))).await.map_err(|_| ExchangeError::NotTaken)
}

/// In the order in which they were asked for. What is not text is left out.
fn wanted(headers: &HeaderMap, names: &[String]) -> Vec<(String, String)> {
    let values = |name: &'_ String| {
        let values = headers.get_all(name.as_str()).iter().filter_map(|value| value.to_str().ok());
        values.map(|value| (name.clone(), value.to_owned())).collect::<Vec<_>>()
    };
    names.iter().flat_map(values).collect()
}

/// Returns when it has lasted too long.
async fn guard(meter: &Meter, errand: &Errand, network: &mut watch::Receiver<u64>) -> ExchangeError {
    let silence = Duration::from_millis(u64::from(errand.hold_ms)) + SILENCE;
    let deadline = Duration::from_millis(u64::from(errand.deadline_ms));
    network.mark_unchanged();
    // All are safe to cancel. Only a held answer is worth giving up when another uplink carries the traffic.
    tokio::select! {
        first = timeout(silence, meter.first()) => if first.is_err() {
            return ExchangeError::Silent(silence);
        },
        Ok(()) = network.changed() => return ExchangeError::NetworkChanged,
    }
    let began = Instant::now();
    loop {
        sleep(LOOK.min(deadline.saturating_sub(began.elapsed()))).await;
        let elapsed = began.elapsed();
        if elapsed >= deadline {
            return ExchangeError::Late(deadline);
        }
        if meter.read() < RATE * elapsed.saturating_sub(GRACE).as_secs() {
            return ExchangeError::Slow;
        }
    }
}
