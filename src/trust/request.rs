//! A request of a device to head office, signed by the device's key: whatever proxies do to TLS, nobody else can ask in
//! its name, and a replay reads nothing new. It travels in one header, [`HEADER`]; `docs/protocol.md` has the format.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::bounded::{List, Text};
use super::digest::Digest;
use super::document::{Firmware, Nonce, Seconds, Turn};
use super::keys::{DeviceId, PublicKey, Signer};
use super::machine::{Reason, StateName, UplinkName, Verdict};

/// base64url without padding (RFC 4648, §5) of the payload and the signature behind it.
pub const HEADER: &str = "causeway-request";
/// Of an answer: the freshness document, in the same encoding.
pub const FRESHNESS: &str = "causeway-freshness";
/// The header's value is never longer.
pub const HEADER_MOST: usize = 2_048;
/// Seconds that head office may hold a request for news.
pub const WAIT: u32 = 300;
pub const WAIT_METERED: u32 = 900;

const DOMAIN: &[u8] = b"causeway request v1\0";
const SIGNATURE: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub device: DeviceId,
    pub purpose: Purpose,
    /// Boot number in the upper half, count in the lower: rises with each request of this device.
    pub counter: u64,
    pub nonce: Nonce,
    pub method: Method,
    /// Path and query, as in the request line.
    pub target: Text<256>,
    /// SHA-256 of the body; of no bytes if there is none.
    pub body: Digest,
    pub status: Option<Status>,
}

/// A signature for one purpose is worth nothing for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    Config,
    Telemetry,
    Ledger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    Get,
    Post,
}

impl Method {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// How a branch is, in at most 512 bytes: each poll repairs a report that was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Digests of what configs resolve to.
    pub wanted: Option<Digest>,
    pub fetched: Option<Digest>,
    pub applied: Option<Digest>,
    pub committed: Option<Digest>,
    pub previous: Option<Digest>,
    pub state: StateName,
    /// Why the last change was not kept; `None` once another one is.
    pub reason: Option<Reason>,
    pub verdict: Option<Verdict>,
    /// Uplinks that lost their path proof in it.
    pub unproved: List<UplinkName, 2>,
    pub root_version: u32,
    /// Floors: what is below is refused.
    pub standard: Turn,
    pub assignment: Turn,
    pub time: Seconds,
    pub firmware: Firmware,
    /// Highest version of each section that is understood.
    pub sections: List<SectionVersion, 24>,
    pub boot: u32,
    /// Reserved: public keys of tunnels.
    pub tunnels: List<[u8; 32], 3>,
    pub order_nonce: Nonce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionVersion {
    pub id: u16,
    pub version: u16,
}

/// Why a request is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the header is not base64url, or too long or too short")]
    Encoding,
    #[error("the request does not parse")]
    Unreadable,
    #[error("the signature is not this device's")]
    Signature,
    #[error("the request was signed for another method, target or body")]
    Other,
}

impl Request {
    /// The header's value.
    pub fn signed(&self, key: &Signer) -> String {
        let mut bytes = postcard::to_allocvec(self).expect("bounded fields are always written");
        let signature = key.sign(&message(&bytes));
        bytes.extend_from_slice(&signature);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Who it claims to come from, so that the key can be looked up; nothing is believed yet.
    pub fn claimed(header: &str) -> Result<Claimed, RequestError> {
        if header.len() > HEADER_MOST {
            return Err(RequestError::Encoding);
        }
        let mut payload = URL_SAFE_NO_PAD.decode(header).map_err(|_| RequestError::Encoding)?;
        let at = payload.len().checked_sub(SIGNATURE).ok_or(RequestError::Encoding)?;
        let signature: [u8; SIGNATURE] = payload.split_off(at).try_into().map_err(|_| RequestError::Encoding)?;
        let (request, rest) = postcard::take_from_bytes(&payload).map_err(|_| RequestError::Unreadable)?;
        if rest.is_empty() { Ok(Claimed { payload, signature, request }) } else { Err(RequestError::Unreadable) }
    }
}

/// Decoded, not verified.
#[derive(Debug)]
pub struct Claimed {
    payload: Vec<u8>,
    signature: [u8; SIGNATURE],
    request: Request,
}

impl Claimed {
    pub fn device(&self) -> DeviceId {
        self.request.device
    }

    /// Only for what it was signed for. Whether the counter is new is for the caller to say.
    pub fn verify(self, key: &PublicKey, method: Method, target: &str, body: &[u8]) -> Result<Request, RequestError> {
        if key.device() != self.request.device || !key.verifies(&message(&self.payload), &self.signature) {
            return Err(RequestError::Signature);
        }
        let Request { method: signed, target: path, body: digest, .. } = &self.request;
        let same = *signed == method && **path == *target && *digest == Digest::of(body);
        if same { Ok(self.request) } else { Err(RequestError::Other) }
    }
}

fn message(payload: &[u8]) -> Vec<u8> {
    [DOMAIN, payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::machine::Reason;

    fn full() -> Status {
        let digest = Some(Digest::of(b"x"));
        let turn = Turn::new(u32::MAX, u64::MAX - 1);
        Status {
            wanted: digest,
            fetched: digest,
            applied: digest,
            committed: digest,
            previous: digest,
            state: StateName::Quarantine,
            reason: Some(Reason::NoPathProofOnUplink),
            verdict: Some(Verdict::Config),
            unproved: List::truncated([(); 2].map(|()| Text::new(&"u".repeat(32)).expect("fits"))),
            root_version: u32::MAX,
            standard: turn,
            assignment: turn,
            time: Seconds::MOST,
            firmware: Firmware::new(u16::MAX, u16::MAX, u16::MAX),
            sections: List::truncated((1..=16).map(|id| SectionVersion { id, version: 1 })),
            boot: u32::MAX,
            tunnels: List::truncated([[7; 32]; 3]),
            order_nonce: [9; 16],
        }
    }

    fn request(key: &Signer) -> Request {
        Request {
            device: key.public().device(),
            purpose: Purpose::Config,
            counter: 1 << 32,
            nonce: [3; 16],
            method: Method::Get,
            target: Text::new("/v1/assignment?wait=300").expect("fits"),
            body: Digest::of(b""),
            status: Some(full()),
        }
    }

    #[test]
    fn a_status_fits_its_512_bytes_and_the_header_its_bound() {
        assert!(postcard::to_allocvec(&full()).expect("it is written").len() <= 512);
        let key = Signer::from_seed(&[1; 32]);
        assert!(request(&key).signed(&key).len() <= HEADER_MOST);
    }

    #[test]
    fn a_request_counts_for_its_device_method_target_and_body_only() {
        let (key, other) = (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]));
        let header = request(&key).signed(&key);
        let verify = |key: &Signer, method, target, body: &[u8]| {
            Request::claimed(&header).expect("it parses").verify(&key.public(), method, target, body)
        };
        let target = "/v1/assignment?wait=300";
        assert_eq!(verify(&key, Method::Get, target, b""), Ok(request(&key)));
        assert_eq!(verify(&other, Method::Get, target, b""), Err(RequestError::Signature));
        assert_eq!(verify(&key, Method::Post, target, b""), Err(RequestError::Other));
        assert_eq!(verify(&key, Method::Get, "/v1/assignment?wait=1", b""), Err(RequestError::Other));
        assert_eq!(verify(&key, Method::Get, target, b"x"), Err(RequestError::Other));
        let forged = request(&key).signed(&other);
        let claimed = Request::claimed(&forged).expect("it parses");
        assert_eq!(claimed.verify(&key.public(), Method::Get, target, b""), Err(RequestError::Signature));
    }

    #[test]
    fn what_is_cut_or_too_long_is_refused() {
        let key = Signer::from_seed(&[1; 32]);
        let header = request(&key).signed(&key);
        for end in (0..header.len()).step_by(7) {
            let cut = Request::claimed(&header[..end]);
            let refused = cut.and_then(|it| it.verify(&key.public(), Method::Get, "/v1/assignment?wait=300", b""));
            assert!(refused.is_err(), "cut at {end}");
        }
        assert!(matches!(Request::claimed(&"A".repeat(HEADER_MOST + 1)), Err(RequestError::Encoding)));
    }
}
