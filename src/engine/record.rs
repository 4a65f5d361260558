//! What came in, written down: `causeway run --record FILE` and every violation of the simulator make such a file,
//! `causeway replay FILE` runs it again, offline, and shows the same decisions.

use serde::{Deserialize, Serialize};

use super::event::Event;
use crate::config::model::{Family, Gateway, PathId};
use crate::policy::Selection;
use crate::time::Instant;

/// One line of a recording, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// The first line.
    Start {
        config: Box<Gateway>,
        seed: u64,
        adopted: Vec<(PathId, Family, Selection)>,
        now: Instant,
    },
    /// The config changed; lines that are the same keep what is known.
    Reconfigure {
        config: Box<Gateway>,
        seed: u64,
        now: Instant,
    },
    Event {
        event: Event,
        now: Instant,
    },
    Poll {
        now: Instant,
    },
}
