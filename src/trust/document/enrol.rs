//! Enrolment: the device introduces its keys, proves that it holds the claim's token without sending it, and is accepted
//! or told to wait.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{Document, Firmware, Invalid, Label, Nonce, Seconds, Tenant};
use crate::trust::digest::Digest;
use crate::trust::envelope::Kind;
use crate::trust::keys::{DeviceId, PublicKey};

/// Signed by the device's key that it introduces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    pub tenant: Tenant,
    pub device: DeviceId,
    /// Never used twice by this device.
    pub counter: u64,
    pub signing: PublicKey,
    /// X25519 (RFC 7748): what is sealed to this device is sealed to it.
    pub sealing: [u8; 32],
    pub serial: Label,
    pub model: Label,
    pub firmware: Firmware,
    pub nonce: Nonce,
    /// Named by the first order to this device; changed after each.
    pub order_nonce: Nonce,
    /// Which token, without the token.
    pub token: TokenId,
    /// HMAC-SHA-256 (RFC 2104) under SHA-256(token), of all that stands before it.
    pub mac: [u8; 32],
}

/// SHA-256("causeway token v1\0" ‖ token): finds the token at head office and tells nothing about the key of the HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenId(pub Digest);

/// From the claim: 128 bits, single use. It never travels.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub [u8; 16]);

impl Token {
    pub fn id(&self) -> TokenId {
        TokenId(Digest::of_parts(&[b"causeway token v1\0", &self.0]))
    }

    /// What head office keeps instead of the token.
    pub fn secret(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl EnrolRequest {
    /// Fills in the proof that this device holds the token.
    #[must_use]
    pub fn proved(mut self, token: &Token) -> Self {
        self.token = token.id();
        self.mac = self.hmac(&token.secret()).finalize().into_bytes().into();
        self
    }

    /// In constant time. `secret` is what head office kept of the token that [`Self::token`] names.
    pub fn is_proved(&self, secret: &Digest) -> bool {
        self.hmac(secret).verify_slice(&self.mac).is_ok()
    }

    fn hmac(&self, secret: &Digest) -> Hmac<Sha256> {
        let mut hmac = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes keys of any length");
        let body = postcard::to_allocvec(self).expect("fixed-size and bounded fields are always written");
        hmac.update(&body[..body.len() - self.mac.len()]);
        hmac
    }
}

impl Document for EnrolRequest {
    const KIND: Kind = Kind::EnrolRequest;
    const FORMAT: u16 = 1;

    fn check(&self) -> Result<(), Invalid> {
        if !self.signing.is_sound() || self.signing.device() != self.device { Err(Invalid::Key) } else { Ok(()) }
    }
}

/// Signed online.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolReceipt {
    pub tenant: Tenant,
    pub device: DeviceId,
    /// Of the request that it answers.
    pub nonce: Nonce,
    pub site: Label,
    pub admission: Admission,
    pub time: Seconds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Admission {
    Accepted,
    /// A person has to approve; ask again.
    Waiting,
    /// The same serial with another key: a person has to say that it replaces the old box.
    WaitingReplacement,
}

impl Document for EnrolReceipt {
    const KIND: Kind = Kind::EnrolReceipt;
    const FORMAT: u16 = 1;

    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }
}
