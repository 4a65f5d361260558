//! This branch runs that standard with these values. Signed online; names the digest of all that is needed and of what
//! must come out, so that nothing can be mixed.

use serde::{Deserialize, Serialize};

use super::{Document, Invalid, Seconds, Tenant, Turn};
use crate::trust::bounded::Bytes;
use crate::trust::digest::Digest;
use crate::trust::envelope::Kind;
use crate::trust::keys::DeviceId;

/// A blob's key, sealed to the device (X25519 32 + key 32 + tag 16 = 80 bytes). Empty: the blob is not encrypted.
pub type SealedKey = Bytes<128>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    pub tenant: Tenant,
    pub device: DeviceId,
    pub turn: Turn,
    /// The root under which it was signed.
    pub root_version: u32,
    pub standard: Reference,
    pub site: Reference,
    /// What the standard and the site's values resolve to.
    pub resolved: Digest,
    pub standard_key: SealedKey,
    pub site_key: SealedKey,
    pub rollout: u64,
    pub wave: u8,
    pub flags: Flags,
    pub issued_at: Seconds,
}

/// A blob as it is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub digest: Digest,
    /// Bytes, known before the first one is read.
    pub size: u32,
    pub seq: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags(u16);

impl Flags {
    /// Skips waits for a good moment, never the trial.
    pub const EXPEDITE: Self = Self(1);

    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl Document for Assignment {
    const KIND: Kind = Kind::Assignment;
    const FORMAT: u16 = 1;

    fn check(&self) -> Result<(), Invalid> {
        self.turn.check()?;
        if self.root_version == 0 || self.standard.size == 0 || self.site.size == 0 {
            return Err(Invalid::Zero);
        }
        if Flags::EXPEDITE.contains(self.flags) { Ok(()) } else { Err(Invalid::Flag) }
    }
}
