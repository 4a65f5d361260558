//! What the device tells head office about its config: signed by the device, so that neither `front` nor the server can
//! invent a success.

use serde::{Deserialize, Serialize};

use super::{Document, Invalid, Tenant, Turn};
use crate::trust::digest::Digest;
use crate::trust::envelope::Kind;
use crate::trust::keys::DeviceId;
use crate::trust::machine::{Reason, StateName, Verdict};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionReceipt {
    pub tenant: Tenant,
    pub device: DeviceId,
    /// Rises with each receipt of this device; head office drops what it has seen.
    pub counter: u64,
    /// The assignment that led here.
    pub assignment: Turn,
    pub resolved: Digest,
    pub from: StateName,
    pub to: StateName,
    pub kind: TransitionKind,
    /// How often this content was applied so far.
    pub attempt: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransitionKind {
    /// On the way to being kept, or kept.
    Forward,
    /// Undone or refused. A verdict follows once it is known.
    Back { reason: Reason, verdict: Option<Verdict> },
}

impl Document for TransitionReceipt {
    const KIND: Kind = Kind::TransitionReceipt;
    const FORMAT: u16 = 1;

    fn check(&self) -> Result<(), Invalid> {
        if self.counter == 0 { Err(Invalid::Zero) } else { Ok(()) }
    }
}
