//! Requests and their answers, as `docs/protocol.md` has them. Who asks is known by a signature before anything is done.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, IF_NONE_MATCH, RANGE};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};

use super::board;
use super::desk::{Assigned, Desk, Entry};
use super::enrol;
use crate::office::compile::seconds;
use crate::office::layout;
use crate::office::publish::now;
use crate::trust::digest::Digest;
use crate::trust::document::{self, Document as _, Freshness, Nonce, Site, Standard};
use crate::trust::envelope::{self, Kind};
use crate::trust::keys::DeviceId;
use crate::trust::request::{self, Purpose, WAIT_METERED};
use crate::trust::verify::transition_receipt;

/// For the body of a request, at most 4 KiB.
const BODY: Duration = Duration::from_secs(10);
/// The longest that a request is held, whatever it asks for.
const HOLD_MOST: Duration = Duration::from_secs(WAIT_METERED as u64);
/// A held request and its successor, each through two ways.
const HELD_MOST: u32 = 4;

pub(super) type Answer = Response<Full<Bytes>>;

/// `known` is told once it is clear that a device of ours asks, which may be long before there is an answer.
pub(super) async fn answer(desk: &Desk, request: Request<Incoming>, known: impl Fn()) -> Answer {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let path = request.uri().path().to_owned();
    let (head, body) = request.into_parts();
    if let (&Method::GET, Some(version)) = (&head.method, path.strip_prefix("/v1/root/")) {
        return root(desk, version);
    }
    let post = head.method == Method::POST;
    if (!post && head.method != Method::GET) || !path.starts_with("/v1/") {
        return plain(StatusCode::NOT_FOUND);
    }
    let body = match read(body, if post { Kind::EnrolRequest.cap() } else { 0 }).await {
        Ok(body) => body,
        Err(status) => {
            if status == StatusCode::PAYLOAD_TOO_LARGE {
                desk.counts.large()
            } else {
                desk.counts.slow()
            }
            return plain(status);
        }
    };
    if post && path == "/v1/enrol" {
        let answer = enrol::enrol(desk, &body).await.unwrap_or_else(|error| failed(desk, &error));
        if answer.status() == StatusCode::OK {
            known();
        }
        return answer;
    }
    let method = if post { request::Method::Post } else { request::Method::Get };
    let Some((entry, asked)) = identify(desk, &head.headers, method, &target, &body) else {
        desk.counts.unsigned();
        return plain(StatusCode::UNAUTHORIZED);
    };
    known();
    board::report(desk, &entry, asked.counter, asked.status);
    let device = asked.device;
    match (post, path.as_str()) {
        (false, "/v1/assignment") => {
            let wait = wait(head.uri.query().unwrap_or_default());
            hold(desk, &entry, device, asked.nonce, news_since(&head.headers), wait).await
        }
        (false, path) if path.starts_with("/v1/blob/") => {
            let digest = Digest::from_hex(&path["/v1/blob/".len()..]);
            match digest {
                Some(digest) => blob(desk, &entry, device, &digest, &head.headers).await,
                None => plain(StatusCode::NOT_FOUND),
            }
        }
        (true, "/v1/receipt") => match transition_receipt(&body, &entry.record().signing) {
            Ok(receipt) if receipt.tenant == desk.tenant => {
                board::receipt(desk, &entry, &receipt);
                plain(StatusCode::NO_CONTENT)
            }
            Ok(_) | Err(_) => plain(StatusCode::BAD_REQUEST),
        },
        (_, _) => plain(StatusCode::NOT_FOUND),
    }
}

/// The device whose signature stands in the header, over this very request.
fn identify(
    desk: &Desk,
    headers: &HeaderMap,
    method: request::Method,
    target: &str,
    body: &[u8],
) -> Option<(Arc<Entry>, request::Request)> {
    let mut values = headers.get_all(request::HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let claimed = request::Request::claimed(value.to_str().ok()?).ok()?;
    let entry = desk.device(claimed.device())?;
    let asked = claimed.verify(&entry.record().signing, method, target, body).ok()?;
    (asked.purpose == Purpose::Config).then_some((entry, asked))
}

fn root(desk: &Desk, version: &str) -> Answer {
    let document = version.parse().ok().and_then(|version| desk.root_document(version));
    document.map_or_else(|| plain(StatusCode::NOT_FOUND), document_answer)
}

/// Answers at once if there are news for the device, else when there are, else when its time is over.
async fn hold(
    desk: &Desk,
    entry: &Entry,
    device: DeviceId,
    nonce: Nonce,
    known: Option<Digest>,
    wait: Duration,
) -> Answer {
    let mut news = desk.news();
    let until = Instant::now() + wait;
    let place = Place::take(entry);
    loop {
        news.borrow_and_update();
        let assigned = desk.assigned(entry);
        if let Some(assigned) = assigned.as_ref().filter(|assigned| Some(assigned.digest) != known) {
            return fresh(desk, device, nonce, assigned, true);
        }
        // Both are safe to cancel: a change that is not seen here is seen when the loop looks again.
        let over = place.is_none() || timeout_at(until, news.changed()).await.is_err();
        if over {
            return match assigned {
                Some(assigned) => fresh(desk, device, nonce, &assigned, false),
                None => plain(StatusCode::NO_CONTENT),
            };
        }
    }
}

/// One of the few places that a device has for held requests.
struct Place<'a>(&'a Entry);

impl<'a> Place<'a> {
    fn take(entry: &'a Entry) -> Option<Self> {
        let place = Self(entry);
        (entry.held.fetch_add(1, Ordering::Relaxed) < HELD_MOST).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

fn fresh(desk: &Desk, device: DeviceId, nonce: Nonce, assigned: &Assigned, whole: bool) -> Answer {
    let freshness = Freshness {
        tenant: desk.tenant.clone(),
        device,
        nonce,
        assignment: assigned.digest,
        turn: assigned.turn,
        root_version: assigned.root_version,
        hold: false,
        time: seconds(now()),
    };
    let header = desk.signed(&freshness).ok();
    let header = header.and_then(|bytes| HeaderValue::from_str(&URL_SAFE_NO_PAD.encode(bytes)).ok());
    let Some(header) = header else { return plain(StatusCode::INTERNAL_SERVER_ERROR) };
    let mut answer = if whole { document_answer(assigned.bytes.clone()) } else { plain(StatusCode::NOT_MODIFIED) };
    answer.headers_mut().insert(request::FRESHNESS, header);
    answer
}

/// A standard is for every device of the fleet, a branch's values for that branch only.
async fn blob(desk: &Desk, entry: &Entry, device: DeviceId, digest: &Digest, headers: &HeaderMap) -> Answer {
    let assigned = desk.assigned(entry);
    let own = assigned.filter(|assigned| assigned.site.digest == *digest);
    let bytes = match (own, desk.standard(digest)) {
        (Some(own), _) => Some(own.site_bytes.clone()),
        (None, Some(content)) => Some(content.bytes.clone()),
        (None, None) => match desk.store.get(&layout::blob(digest)).await {
            Ok(found) => found.map(|found| Bytes::from(found.bytes)).filter(|bytes| may_have(bytes, device)),
            Err(error) => return failed(desk, &error),
        },
    };
    let Some(bytes) = bytes else { return plain(StatusCode::NOT_FOUND) };
    let length = bytes.len();
    match headers.get(RANGE).map(|range| range.to_str().ok().and_then(|range| part(range, length))) {
        None => document_answer(bytes),
        Some(None) => plain(StatusCode::RANGE_NOT_SATISFIABLE),
        Some(Some((from, to))) => {
            let mut answer = document_answer(bytes.slice(from..to));
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = HeaderValue::from_str(&format!("bytes {from}-{}/{length}", to - 1));
            answer.headers_mut().insert(CONTENT_RANGE, range.expect("digits and signs are a header's value"));
            answer
        }
    }
}

fn may_have(bytes: &[u8], device: DeviceId) -> bool {
    if envelope::decode(bytes, Kind::Standard, Standard::FORMAT).is_ok() {
        return true;
    }
    let site = envelope::decode(bytes, Kind::Site, Site::FORMAT).ok();
    let site = site.and_then(|envelope| document::decode::<Site>(envelope.payload).ok());
    site.is_some_and(|site| site.device == device)
}

/// `bytes=from-` or `bytes=from-last`, as a half-open range within `length`.
fn part(range: &str, length: usize) -> Option<(usize, usize)> {
    let (from, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let from: usize = from.parse().ok()?;
    let to = if last.is_empty() { length } else { last.parse::<usize>().ok()?.checked_add(1)?.min(length) };
    (from < to).then_some((from, to))
}

/// The digest that `if-none-match` names between its quotes.
fn news_since(headers: &HeaderMap) -> Option<Digest> {
    let value = headers.get(IF_NONE_MATCH)?.to_str().ok()?;
    Digest::from_hex(value.strip_prefix('"')?.strip_suffix('"')?)
}

fn wait(query: &str) -> Duration {
    let seconds = query.split('&').find_map(|part| part.strip_prefix("wait=")?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).min(HOLD_MOST)
}

async fn read(body: Incoming, most: usize) -> Result<Bytes, StatusCode> {
    match timeout(BODY, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) | Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

pub(super) fn document_answer(bytes: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(bytes));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

pub(super) fn plain(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

/// The store does not answer: the device tries again later, and changes nothing meanwhile.
fn failed(desk: &Desk, error: &crate::office::OfficeError) -> Answer {
    desk.counts.failed();
    tracing::warn!("{error}");
    plain(StatusCode::SERVICE_UNAVAILABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parts_of_what_is_there() {
        for (range, wanted) in [
            ("bytes=0-", Some((0, 10))),
            ("bytes=0-3", Some((0, 4))),
            ("bytes=4-99", Some((4, 10))),
            ("bytes=9-9", Some((9, 10))),
            ("bytes=10-", None),
            ("bytes=5-4", None),
            ("bytes=-3", None),
            ("bytes=0-18446744073709551615", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(part(range, 10), wanted, "{range}");
        }
    }

    #[test]
    fn nobody_is_held_longer_than_the_protocol_says() {
        assert_eq!(wait("wait=300"), Duration::from_mins(5));
        assert_eq!(wait("wait=4294967296"), HOLD_MOST);
        for at_once in ["", "wait=", "wait=-1", "waits=5", "wait=x"] {
            assert_eq!(wait(at_once), Duration::ZERO, "{at_once}");
        }
    }
}
