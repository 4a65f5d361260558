//! Requests and their answers, as `docs/protocol.md` has them. Who asks is known by a signature before anything is done.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::body::Bytes;
use tokio::time::{Instant, timeout_at};

use super::board;
use super::desk::{Assigned, Desk, Entry};
use super::enrol;
use super::http::{Answer, Asked};
use crate::office::compile::seconds;
use crate::office::layout;
use crate::office::publish::now;
use crate::trust::digest::Digest;
use crate::trust::document::{self, Document as _, Freshness, Nonce, Site, Standard};
use crate::trust::envelope::{self, Kind};
use crate::trust::keys::DeviceId;
use crate::trust::request::{self, Purpose, WAIT_METERED};
use crate::trust::verify::transition_receipt;

/// The longest that a request is held, whatever it asks for.
const HOLD_MOST: Duration = Duration::from_secs(WAIT_METERED as u64);
/// A held request and its successor, each through two ways.
const HELD_MOST: u32 = 4;

/// `known` is told once it is clear that a device of ours asks, which may be long before there is an answer. The request
/// is let go before it is held: what is held should cost little.
pub(super) async fn answer(desk: &Desk, asked: Asked, known: impl Fn()) -> Answer {
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    if let (false, Some(version)) = (asked.post, path.strip_prefix("/v1/root/")) {
        return root(desk, version);
    }
    if !path.starts_with("/v1/") {
        return plain(404);
    }
    if asked.post && path == "/v1/enrol" {
        let answer = enrol::enrol(desk, &asked.body).await.unwrap_or_else(|error| failed(desk, &error));
        if answer.status == 200 {
            known();
        }
        return answer;
    }
    let Some((entry, signed)) = identify(desk, &asked) else {
        desk.counts.unsigned();
        return plain(401);
    };
    known();
    board::report(desk, &entry, signed.counter, signed.status);
    let (device, nonce) = (signed.device, signed.nonce);
    match (asked.post, path) {
        (false, "/v1/assignment") => {
            let (known, wait) = (news_since(&asked), wait(query));
            // Without a wait it only asks whether somebody is there.
            if !wait.is_zero() {
                entry.interval.store(wait.as_secs(), Ordering::Relaxed);
            }
            drop(asked);
            hold(desk, &entry, device, nonce, known, wait).await
        }
        (false, path) if path.starts_with("/v1/blob/") => match Digest::from_hex(&path["/v1/blob/".len()..]) {
            Some(digest) => Box::pin(blob(desk, &entry, device, &digest, asked.field("range"))).await,
            None => plain(404),
        },
        (true, "/v1/receipt") => match transition_receipt(&asked.body, &entry.record().signing) {
            Ok(receipt) if receipt.tenant == desk.tenant => {
                board::receipt(desk, &entry, &receipt);
                plain(204)
            }
            Ok(_) | Err(_) => plain(400),
        },
        (_, _) => plain(404),
    }
}

/// The device whose signature stands in the header, over this very request.
fn identify(desk: &Desk, asked: &Asked) -> Option<(Arc<Entry>, request::Request)> {
    let method = if asked.post { request::Method::Post } else { request::Method::Get };
    let claimed = request::Request::claimed(asked.field(request::HEADER)?).ok()?;
    let entry = desk.device(claimed.device())?;
    let signed = claimed.verify(&entry.record().signing, method, &asked.target, &asked.body).ok()?;
    (signed.purpose == Purpose::Config).then_some((entry, signed))
}

fn root(desk: &Desk, version: &str) -> Answer {
    let document = version.parse().ok().and_then(|version| desk.root_document(version));
    document.map_or_else(|| plain(404), document_answer)
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
                None => plain(204),
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
    let Ok(header) = desk.signed(&freshness) else { return plain(500) };
    let mut answer = if whole { document_answer(assigned.bytes.clone()) } else { plain(304) };
    answer.fields.push((request::FRESHNESS, URL_SAFE_NO_PAD.encode(header)));
    answer
}

/// A standard is for every device of the fleet, a branch's values for that branch only.
async fn blob(desk: &Desk, entry: &Entry, device: DeviceId, digest: &Digest, range: Option<&str>) -> Answer {
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
    let Some(bytes) = bytes else { return plain(404) };
    let length = bytes.len();
    match range.map(|range| part(range, length)) {
        None => document_answer(bytes),
        Some(None) => plain(416),
        Some(Some((from, to))) => {
            let range = format!("bytes {from}-{}/{length}", to - 1);
            let mut answer = document_answer(bytes.slice(from..to));
            answer.status = 206;
            answer.fields.push(("content-range", range));
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
fn news_since(asked: &Asked) -> Option<Digest> {
    let value = asked.field("if-none-match")?;
    Digest::from_hex(value.strip_prefix('"')?.strip_suffix('"')?)
}

fn wait(query: &str) -> Duration {
    let seconds = query.split('&').find_map(|part| part.strip_prefix("wait=")?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).min(HOLD_MOST)
}

pub(super) fn document_answer(body: Bytes) -> Answer {
    Answer { status: 200, fields: vec![("content-type", "application/octet-stream".to_owned())], body }
}

pub(super) fn plain(status: u16) -> Answer {
    Answer { status, fields: Vec::new(), body: Bytes::new() }
}

/// The store does not answer: the device tries again later, and changes nothing meanwhile.
fn failed(desk: &Desk, error: &crate::office::OfficeError) -> Answer {
    desk.counts.failed();
    tracing::warn!("{error}");
    plain(503)
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
