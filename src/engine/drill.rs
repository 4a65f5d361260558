//! A planned failover that proves the backup: new flows go through it for a while, its targets are asked, then back.

use std::time::Duration;

use crate::config::model::UplinkId;
use crate::time::Instant;

/// Long enough for a few dozen probes and for a person to see it on the screen.
pub const LASTS: Duration = Duration::from_secs(30);
/// The kernel must have moved the paths by then.
pub(super) const MOVE_BY: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub(super) struct Drill {
    pub uplink: UplinkId,
    pub started: Instant,
    pub moved: Option<Instant>,
    /// The preference that held before.
    pub before: Option<(UplinkId, Option<Instant>)>,
}

impl Drill {
    pub(super) fn due(&self) -> Instant {
        self.moved.map_or(self.started + MOVE_BY, |moved| moved + LASTS)
    }
}
