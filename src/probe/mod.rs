//! Probes of one uplink: when the next one is due (`schedule`), which reply belongs to which probe (`matching`), and the
//! packets themselves (`packet`, pure; `io`, the edge). A probe ends in exactly one [`Outcome`].

pub mod flight;
pub mod io;
pub mod packet;
pub mod rtt;
pub mod schedule;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::model::{Family, TargetId, UplinkId};

/// Names one probe for as long as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProbeId {
    pub uplink: UplinkId,
    pub family: Family,
    pub target: TargetId,
    /// The low 16 bits are the ICMP sequence number.
    pub sequence: u32,
}

impl ProbeId {
    pub fn wire_sequence(self) -> u16 {
        u16::try_from(self.sequence & 0xffff).unwrap_or(0)
    }
}

/// 128 random bits in each echo request: who did not see the request cannot forge the reply.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cookie(pub [u8; 16]);

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({:032x})", u128::from_be_bytes(self.0))
    }
}

/// What the edge is asked to send. What the target is stands in the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRequest {
    pub probe: ProbeId,
    pub cookie: Cookie,
    /// After this long without an end the edge may give the probe up; the engine has settled it by then.
    pub patience: Duration,
}

/// How an edge saw a probe end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Reply,
    /// TCP reset: something answered, but not the service.
    Refused,
    /// An ICMP error. Evidence of the cause, never a verdict: anybody can send one.
    Unreachable,
    /// An answer that is not the expected one.
    Wrong(Wrong),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wrong {
    /// A redirect, another status or another text: a captive portal.
    Portal,
    /// A resolver answered what it must not.
    Dns,
    /// TLS failed: the other end is not who it must be.
    Tls,
    /// A reply with a cookie, address or proof that is not ours.
    Forged,
}

/// A probe's settled result. Names as in `causeway_probe_outcomes_total{outcome}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Reply {
        rtt: Duration,
    },
    /// Answered after it was overdue, within the window. Life, but not in time.
    Late {
        rtt: Duration,
    },
    Silent,
    Refused,
    Unreachable,
    Wrong(Wrong),
    /// Our own send failed: not loss.
    Unsent,
    /// Our own process was late: says nothing about the line.
    Void,
}

impl Outcome {
    pub const NAMES: [&'static str; 8] =
        ["reply", "late", "silent", "refused", "unreachable", "wrong", "unsent", "void"];

    pub fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    pub fn index(self) -> usize {
        match self {
            Self::Reply { .. } => 0,
            Self::Late { .. } => 1,
            Self::Silent => 2,
            Self::Refused => 3,
            Self::Unreachable => 4,
            Self::Wrong(_) => 5,
            Self::Unsent => 6,
            Self::Void => 7,
        }
    }
}
