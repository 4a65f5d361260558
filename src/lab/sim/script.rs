//! What happens to a simulated branch, as data: a seed makes a config and a list of steps, and nothing else decides.

use std::time::Duration;

use super::wire::Condition;
use crate::config::model::{Family, Gateway, UplinkId};
use crate::engine::event::Command;
use crate::time::Instant;

/// A branch and what will happen to it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub config: Gateway,
    pub start: Instant,
    /// In order of time.
    pub steps: Vec<Step>,
    /// From here on nothing is broken any more and all must come back.
    pub healed: Instant,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub at: Instant,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Of one family, or of the whole line.
    Line {
        uplink: UplinkId,
        family: Option<Family>,
        condition: Condition,
    },
    /// Random loss in each direction of a line.
    Loss {
        uplink: UplinkId,
        loss: f64,
    },
    /// Round-trip times times this.
    Slow {
        uplink: UplinkId,
        times: f64,
    },
    /// DHCP gives another address.
    Renumber {
        uplink: UplinkId,
        family: Family,
    },
    /// The provider's gateway is another one.
    NewGateway {
        uplink: UplinkId,
        family: Family,
    },
    /// A target, by the number of its host, answers this part of what it is asked, whoever asks.
    Target {
        host: u8,
        answers: f64,
    },
    /// Packets a second of the branch.
    Traffic {
        rate: f64,
    },
    /// Broadcasts and strays that come in on this line.
    Noise {
        uplink: UplinkId,
        rate: f64,
    },
    /// Our process does not run; what arrives meanwhile waits, or is lost with the machine that is paused.
    Stop {
        lasts: Duration,
        lost: bool,
        poll_first: bool,
    },
    /// Our process gets 5 % of a core, or does again.
    Starve {
        starved: bool,
    },
    /// Killed and started again.
    Restart {
        after: Duration,
    },
    /// Messages of the kernel get lost until a later dump.
    Deaf {
        lasts: Duration,
    },
    /// The kernel refuses each switch.
    Refuse {
        lasts: Duration,
    },
    /// The kernel works, but its answer comes so late.
    Late {
        by: Duration,
        lasts: Duration,
    },
    Order(Command),
    /// The wall clock jumps to this minute of the day.
    Clock {
        minute: u16,
    },
    Usage {
        uplink: UplinkId,
        bytes: u64,
    },
    /// Somebody who did not see our probes sends replies and errors.
    Forge {
        uplink: UplinkId,
        family: Family,
        count: u8,
    },
    /// Everything works again, orders are taken back.
    Heal,
}
