//! What comes into the engine. Everything is plain data with the time at which it happened, so a whole day can be
//! written down and replayed.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::model::{Family, PathId, UplinkId};
pub use crate::health::local::{Gateway, Link};
use crate::probe::{Answer, Cookie, ProbeId};
use crate::time::Instant;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The device of an uplink, as the kernel tells it.
    Link {
        uplink: UplinkId,
        link: Link,
    },
    /// The uplink has, or no longer has, an address from which it can send. A changed one is told as well.
    Address {
        uplink: UplinkId,
        family: Family,
        address: Option<IpAddr>,
    },
    /// The default gateway of the uplink: static, or learnt from DHCP or router advertisements.
    Gateway {
        uplink: UplinkId,
        family: Family,
        gateway: Option<Gateway>,
    },
    /// Does the gateway answer ARP or neighbour solicitations? Evidence of the cause, never a verdict. `None`: the kernel
    /// was not made to ask it since the line fell silent, or does not know yet.
    Neighbour {
        uplink: UplinkId,
        family: Family,
        reachable: Option<bool>,
    },
    /// Packet counters of the device.
    Counters {
        uplink: UplinkId,
        received: u64,
        sent: u64,
        received_bytes: u64,
        sent_bytes: u64,
    },
    /// The probe left at `at`, `bytes` on the wire. The clock of its reply starts here, not where we decided to send.
    ProbeSent {
        probe: ProbeId,
        at: Instant,
        bytes: u32,
    },
    /// The probe could not be sent: our fault, not loss.
    ProbeUnsent {
        probe: ProbeId,
        reason: Unsent,
    },
    /// An echo reply as parsed; the engine decides whether it counts.
    EchoReply {
        uplink: UplinkId,
        family: Family,
        from: IpAddr,
        sequence: u16,
        cookie: Cookie,
        received: Instant,
    },
    /// A TCP, DNS, HTTP or proof probe has come to an end, or an ICMP error told of one.
    ProbeAnswered {
        probe: ProbeId,
        answer: Answer,
        received: Instant,
    },
    /// The kernel was changed as asked and read back right.
    Switched {
        path: PathId,
        family: Family,
        serial: u64,
        took: Duration,
    },
    /// The kernel refused; the engine will ask again.
    SwitchFailed {
        path: PathId,
        family: Family,
        serial: u64,
    },
    /// Bytes of a metered uplink used in this period.
    Usage {
        uplink: UplinkId,
        bytes: u64,
    },
    /// Minutes after local midnight, for failback windows; sent once a minute while the clock is trusted.
    LocalTime {
        minute: u16,
    },
    Command {
        command: Command,
        by: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unsent {
    /// No buffer, no route, no permission: the system call failed.
    Send,
    /// The target's name has no address yet.
    Unresolved,
    /// No socket for this uplink at the moment.
    Socket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Prefer this uplink on every path that lists it, until told otherwise or for a time. A dead one is left all the same.
    Use {
        uplink: UplinkId,
        for_time: Option<Duration>,
    },
    /// Automatic choice again.
    UseAutomatic,
    /// No switch but away from a dead uplink.
    Lock,
    Unlock,
    /// Move new flows to this uplink, prove it, return.
    Drill {
        uplink: UplinkId,
    },
}
