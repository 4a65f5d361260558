//! What `front` fetches and carries for the daemon. The daemon decides what is asked, signs it and verifies what comes
//! back; `front` sees addresses, headers and bytes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bytes of a body in one frame.
pub const PIECE: usize = 48 << 10;
/// How long the daemon holds the question for an errand when there is none.
pub const HOLD_MS: u32 = 30_000;

/// Errands of one lane are done one after the other; the lanes do not wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lane {
    /// The one request that head office holds until there are news.
    News,
    /// All others: roots, blobs, receipts, enrolment.
    Work,
}

/// One HTTP request to head office.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    pub id: u64,
    /// `https://host[:port]`, in order of preference: the next is tried when one does not answer.
    pub offices: Vec<Office>,
    pub method: Method,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Headers of the answer that are wanted, in lower case.
    pub wanted: Vec<String>,
    /// Of the answer's body; a longer one is given up.
    pub most: u32,
    /// How long the server may hold its answer.
    pub hold_ms: u32,
    /// The answer is given up that long after its first byte.
    pub deadline_ms: u32,
}

/// What `front` needs on top of what the server may take: to try each office, and to hand over the end.
const AROUND: Duration = Duration::from_mins(3);
/// No errand takes longer, whatever it says of itself.
const LONGEST: Duration = Duration::from_hours(1);

impl Errand {
    /// From when it is handed out until it is over, at the longest.
    pub fn lasts(&self) -> Duration {
        let server = Duration::from_millis(u64::from(self.hold_ms) + u64::from(self.deadline_ms));
        (server + AROUND).min(LONGEST)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Office {
    pub address: String,
    /// SHA-256 of the server's SubjectPublicKeyInfo (RFC 7469, §2.4). None: the certificate must be good for this system.
    pub pins: Vec<[u8; 32]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    Get,
    Post,
}

/// What came of an errand, part by part: `Answer`, any number of `Body`, `End`; or `Failed` at any point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
    },
    /// At most [`PIECE`] bytes, in order.
    Body(Vec<u8>),
    End,
    /// No whole answer; in words. `front` waits before it asks for the next errand of this lane.
    Failed(String),
}
