//! What the kernel tells about the near end of a line.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::line::Line;
use super::{Cause, Verdict};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// No device of that name.
    Missing,
    /// There, but no signal on the cable (or set down).
    NoCarrier,
    Up,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gateway {
    /// Through this next hop.
    Via(IpAddr),
    /// A point-to-point line: the device is enough.
    OnLink,
}

impl Line {
    /// The kernel needs seconds to give up on a gateway; the cause of a silence follows when it knows. The outage keeps the
    /// first answer: a modem that starts again answers before the line behind it does.
    pub fn handle_gateway_asked(&mut self, answers: Option<bool>) {
        self.neighbour = answers;
        let Some(answers) = answers.filter(|_| self.verdict() == Some(Verdict::Silent)) else { return };
        let cause = if answers { Cause::Path } else { Cause::Modem };
        let first = self.evidence.gateway_answers.replace(answers).is_none();
        self.evidence.cause = Some(cause);
        if let Some(outage) = self.outage.as_mut().filter(|outage| first && outage.flaps == 0) {
            outage.cause = cause;
        }
    }
}
