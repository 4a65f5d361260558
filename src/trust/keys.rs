//! Ed25519 keys (RFC 8032), their ids, and who may sign what. Verification is `verify_strict`: no small-order keys, no
//! second spelling of a signature.

use std::fmt::{self, Debug, Display};

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::digest::{Digest, write_hex};

/// The only algorithm so far. Its number is part of every key id.
pub const ED25519: u8 = 1;
const DOMAIN: &[u8] = b"causeway key v1\0";

/// Who may sign; the root names the keys of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Offline; names all others.
    Root,
    /// Offline; standards and wipes.
    Release,
    /// Head office's server: chooses a standard and fills its variables.
    Online,
}

/// First 8 bytes of SHA-256("causeway key v1\0" ‖ algorithm ‖ public key). It finds a key, it does not prove one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(pub [u8; 8]);

/// SHA-256("causeway key v1\0" ‖ algorithm ‖ public key) of the device's signing key, in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceId(pub Digest);

/// The 32 bytes of RFC 8032, §5.1.5, and their algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublicKey {
    algorithm: u8,
    bytes: [u8; 32],
}

impl PublicKey {
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self { algorithm: ED25519, bytes }
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    pub fn id(&self) -> KeyId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.digest().bytes()[..8]);
        KeyId(id)
    }

    pub fn device(&self) -> DeviceId {
        DeviceId(self.digest())
    }

    /// A point of the curve, not of small order, of an algorithm that we know.
    pub fn is_sound(&self) -> bool {
        self.verifying().is_some()
    }

    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.verifying().is_some_and(|key| key.verify_strict(message, &signature).is_ok())
    }

    fn verifying(&self) -> Option<VerifyingKey> {
        if self.algorithm != ED25519 {
            return None;
        }
        VerifyingKey::from_bytes(&self.bytes).ok().filter(|key| !key.is_weak())
    }

    fn digest(&self) -> Digest {
        Digest::of_parts(&[DOMAIN, &[self.algorithm], &self.bytes])
    }
}

/// A private key in memory; erased when dropped.
pub struct Signer(SigningKey);

impl Signer {
    /// `seed` is the private key of RFC 8032, §5.1.5.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    pub fn public(&self) -> PublicKey {
        PublicKey::new(self.0.verifying_key().to_bytes())
    }

    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public().id())
    }
}

impl Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, §7.1, test 1.
    #[test]
    fn the_first_vector_of_rfc_8032_holds() {
        let seed = Digest::from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").expect("hex");
        let public = Digest::from_hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").expect("hex");
        let signer = Signer::from_seed(seed.bytes());
        assert_eq!(signer.public().bytes(), public.bytes());
        let signature = signer.sign(b"");
        assert_eq!(signature[..4], [0xe5, 0x56, 0x43, 0x00]);
        assert!(signer.public().verifies(b"", &signature));
        assert!(!signer.public().verifies(b"x", &signature));
    }

    #[test]
    fn keys_of_small_order_and_other_algorithms_verify_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(!PublicKey::new(identity).is_sound());
        let key = Signer::from_seed(&[7; 32]).public();
        assert!(key.is_sound());
        assert!(!PublicKey { algorithm: 2, ..key }.is_sound());
        assert_ne!(PublicKey { algorithm: 2, ..key }.id(), key.id());
    }

    /// R = small order, S = 0 verifies by the plain equation for a key of small order: strict refuses it.
    #[test]
    fn a_signature_that_holds_for_any_message_is_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!PublicKey::new(identity).verifies(b"anything", &signature));
    }
}
