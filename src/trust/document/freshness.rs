//! The answer to "is this still what I should run?". Signed online, over the device's own nonce.

use serde::{Deserialize, Serialize};

use super::{Document, Invalid, Nonce, Seconds, Tenant, Turn};
use crate::trust::digest::Digest;
use crate::trust::envelope::Kind;
use crate::trust::keys::DeviceId;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    pub tenant: Tenant,
    pub device: DeviceId,
    pub nonce: Nonce,
    /// SHA-256 of the whole assignment document that is current.
    pub assignment: Digest,
    pub turn: Turn,
    pub root_version: u32,
    /// Confirm nothing now: the roll-out was halted.
    pub hold: bool,
    pub time: Seconds,
}

impl Document for Freshness {
    const KIND: Kind = Kind::Freshness;
    const FORMAT: u16 = 1;

    fn check(&self) -> Result<(), Invalid> {
        self.turn.check()?;
        if self.root_version == 0 { Err(Invalid::Zero) } else { Ok(()) }
    }
}
