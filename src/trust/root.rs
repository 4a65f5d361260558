//! The root: which keys may sign what, and where head office is. Each next root is signed by the one before and by
//! itself, so whoever holds one root of a fleet can follow to the newest.

use serde::{Deserialize, Serialize};

use super::bounded::{List, Text};
use super::digest::Digest;
use super::document::{self, Document, Invalid, Seconds, Tenant};
use super::envelope::{self, Envelope, Kind};
use super::keys::{KeyId, PublicKey, Role};
use super::refusal::Refusal;

/// One envelope carries eight signatures; more keys in a role could not all sign.
pub const KEYS_MOST: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    pub tenant: Tenant,
    /// From 1, one more each time.
    pub version: u32,
    /// One more starts the numbers of standards and assignments anew.
    pub epoch: u32,
    pub root: RoleKeys,
    pub release: RoleKeys,
    pub online: RoleKeys,
    pub offices: List<Office, 8>,
    /// Where signed blobs can be had when no office answers.
    pub mirrors: List<Text<256>, 8>,
    pub created_at: Seconds,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleKeys {
    /// How many of the keys must sign.
    pub threshold: u8,
    pub keys: List<PublicKey, KEYS_MOST>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Office {
    /// `https://…`
    pub address: Text<256>,
    /// SHA-256 of the server's SubjectPublicKeyInfo (RFC 7469, §2.4); accepted whatever the certificate's dates.
    pub pins: List<Digest, 4>,
}

impl RoleKeys {
    pub fn find(&self, id: KeyId) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// Enough different keys of this role signed. A wrong signature by one of them is refused even if the others would
    /// be enough: nobody makes such a document by honest work.
    pub fn check(&self, envelope: &Envelope<'_>) -> Result<(), Refusal> {
        let message = envelope.message();
        let mut good = 0;
        for signature in &envelope.signatures {
            let Some(key) = self.find(signature.key) else { continue };
            if !key.verifies(&message, &signature.bytes) {
                return Err(Refusal::BadSignature);
            }
            good += 1;
        }
        match good {
            0 => Err(Refusal::WrongKey),
            few if few < usize::from(self.threshold) => Err(Refusal::TooFewSignatures),
            _ => Ok(()),
        }
    }

    fn is_reachable(&self) -> bool {
        (1..=self.keys.len()).contains(&usize::from(self.threshold))
    }
}

impl Root {
    pub fn role(&self, role: Role) -> &RoleKeys {
        match role {
            Role::Root => &self.root,
            Role::Release => &self.release,
            Role::Online => &self.online,
        }
    }
}

impl Document for Root {
    const KIND: Kind = Kind::Root;
    const FORMAT: u16 = 1;

    /// A key has one role: whoever takes the server must not have a release key with it.
    fn check(&self) -> Result<(), Invalid> {
        if self.version == 0 || self.epoch == 0 {
            return Err(Invalid::Zero);
        }
        let roles = [&self.root, &self.release, &self.online];
        if !roles.iter().all(|role| role.is_reachable()) {
            return Err(Invalid::Threshold);
        }
        let mut ids: Vec<KeyId> = Vec::new();
        for key in roles.iter().flat_map(|role| role.keys.iter()) {
            if !key.is_sound() || ids.contains(&key.id()) {
                return Err(Invalid::Key);
            }
            ids.push(key.id());
        }
        Ok(())
    }
}

/// A root that was verified, with the digest by which it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedRoot {
    root: Root,
    digest: Digest,
}

impl TrustedRoot {
    /// The first root, named by the claim; or a stored one, named by the journal.
    pub fn pinned(bytes: &[u8], digest: &Digest) -> Result<Self, Refusal> {
        if bytes.len() > Kind::Root.cap() {
            return Err(Refusal::TooLarge);
        }
        if Digest::of(bytes) != *digest {
            return Err(Refusal::DigestDiffers);
        }
        let envelope = envelope::decode(bytes, Kind::Root, Root::FORMAT)?;
        let root: Root = document::decode(envelope.payload)?;
        root.root.check(&envelope)?;
        Ok(Self { root, digest: *digest })
    }

    /// The root that follows this one. It must be signed by this one's threshold before it is even read, and by its own.
    pub fn next(&self, bytes: &[u8]) -> Result<Self, Refusal> {
        let envelope = envelope::decode(bytes, Kind::Root, Root::FORMAT)?;
        self.root.root.check(&envelope)?;
        let root: Root = document::decode(envelope.payload)?;
        root.root.check(&envelope)?;
        if root.tenant != self.root.tenant {
            return Err(Refusal::OtherTenant);
        }
        if root.version <= self.root.version {
            return Err(Refusal::RootRollback);
        }
        if Some(root.version) != self.root.version.checked_add(1) {
            return Err(Refusal::RootNotNext);
        }
        if root.epoch < self.root.epoch || root.epoch > self.root.epoch.saturating_add(1) {
            return Err(Refusal::OtherEpoch);
        }
        Ok(Self { root, digest: Digest::of(bytes) })
    }

    pub fn root(&self) -> &Root {
        &self.root
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }
}
