//! What the kernel tells about the near end of a line.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

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
