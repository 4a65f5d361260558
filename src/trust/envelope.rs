//! The frozen frame around every signed document: which kind it is, who signed it, and the exact bytes that they signed.
//! It is the only thing that is parsed before signatures are checked; `docs/protocol.md` shows it byte by byte.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::keys::{ED25519, KeyId, PublicKey, Signer};

pub const MAGIC: [u8; 4] = *b"CWY1";
/// In front of what is signed, so that no other protocol's signature can stand in for ours.
pub const DOMAIN: &[u8] = b"causeway document v1\0";
/// The fixed part in front of the signatures.
pub const HEADER: usize = 16;
/// Key id, algorithm, signature.
pub const SIGNATURE: usize = 8 + 1 + 64;
/// Two of three are the most that people use; eight leave room for a change of all keys.
pub const SIGNATURES_MOST: usize = 8;

/// What a document is. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Root,
    Standard,
    Site,
    Assignment,
    Order,
    Freshness,
    EnrolReceipt,
    LedgerReceipt,
    EnrolRequest,
    TransitionReceipt,
    WipeReceipt,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Root,
        Self::Standard,
        Self::Site,
        Self::Assignment,
        Self::Order,
        Self::Freshness,
        Self::EnrolReceipt,
        Self::LedgerReceipt,
        Self::EnrolRequest,
        Self::TransitionReceipt,
        Self::WipeReceipt,
    ];

    pub const fn number(self) -> u16 {
        match self {
            Self::Root => 1,
            Self::Standard => 2,
            Self::Site => 3,
            Self::Assignment => 4,
            Self::Order => 5,
            Self::Freshness => 6,
            Self::EnrolReceipt => 7,
            Self::LedgerReceipt => 8,
            Self::EnrolRequest => 32,
            Self::TransitionReceipt => 33,
            Self::WipeReceipt => 34,
        }
    }

    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The most bytes of a whole document, envelope included.
    pub const fn cap(self) -> usize {
        match self {
            Self::Root => 16 << 10,
            Self::Standard => 1 << 20,
            Self::Site => 64 << 10,
            Self::Assignment | Self::Order | Self::Freshness | Self::EnrolReceipt | Self::LedgerReceipt => 1 << 10,
            Self::EnrolRequest | Self::TransitionReceipt | Self::WipeReceipt => 4 << 10,
        }
    }

    /// Its number is reserved, but this version knows no such document.
    pub const fn is_reserved(self) -> bool {
        match self {
            Self::Order | Self::LedgerReceipt | Self::WipeReceipt => true,
            Self::Root
            | Self::Standard
            | Self::Site
            | Self::Assignment
            | Self::Freshness
            | Self::EnrolReceipt
            | Self::EnrolRequest
            | Self::TransitionReceipt => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    pub key: KeyId,
    pub bytes: [u8; 64],
}

/// A document whose frame is right. Nothing is known yet about who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub kind: Kind,
    /// Version of the payload's struct.
    pub format: u16,
    /// In ascending order of key ids, each id once.
    pub signatures: Vec<Signature>,
    pub payload: &'a [u8],
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum EnvelopeError {
    #[error("longer than a document of this kind may be")]
    TooLong,
    #[error("ends before the payload does")]
    Truncated,
    #[error("is no Causeway document")]
    Magic,
    #[error("is a document of another kind")]
    Kind,
    #[error("is of a kind that this version does not support yet")]
    NotSupportedYet,
    #[error("is of a format that this version does not know")]
    Format,
    #[error("has no signature, or more than eight")]
    Count,
    #[error("has something in its reserved bytes")]
    Reserved,
    #[error("is signed with an algorithm that this version does not know")]
    Algorithm,
    #[error("has signatures out of order, or two by one key")]
    Order,
    #[error("goes on after its payload")]
    Trailing,
}

/// Reads a document that must be of the `wanted` kind and `format`, from its first byte to its last.
pub fn decode(bytes: &[u8], wanted: Kind, format: u16) -> Result<Envelope<'_>, EnvelopeError> {
    if bytes.len() > wanted.cap() {
        return Err(EnvelopeError::TooLong);
    }
    let (header, rest) = bytes.split_at_checked(HEADER).ok_or(EnvelopeError::Truncated)?;
    if header[..4] != MAGIC {
        return Err(EnvelopeError::Magic);
    }
    if u16_at(header, 4) != wanted.number() {
        return Err(EnvelopeError::Kind);
    }
    if wanted.is_reserved() {
        return Err(EnvelopeError::NotSupportedYet);
    }
    if u16_at(header, 6) != format {
        return Err(EnvelopeError::Format);
    }
    let count = usize::from(header[12]);
    if !(1..=SIGNATURES_MOST).contains(&count) {
        return Err(EnvelopeError::Count);
    }
    if header[13..] != [0; 3] {
        return Err(EnvelopeError::Reserved);
    }
    let (block, payload) = rest.split_at_checked(count * SIGNATURE).ok_or(EnvelopeError::Truncated)?;
    let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    match usize::try_from(length).unwrap_or(usize::MAX).cmp(&payload.len()) {
        Ordering::Greater => return Err(EnvelopeError::Truncated),
        Ordering::Less => return Err(EnvelopeError::Trailing),
        Ordering::Equal => {}
    }
    Ok(Envelope { kind: wanted, format, signatures: signatures(block)?, payload })
}

impl Envelope<'_> {
    /// What each signature covers.
    pub fn message(&self) -> Vec<u8> {
        message(self.kind, self.format, self.payload)
    }
}

/// A document that is being signed; several people may add to it one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    kind: Kind,
    format: u16,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

impl Draft {
    pub fn new(kind: Kind, format: u16, payload: Vec<u8>) -> Self {
        Self { kind, format, payload, signatures: Vec::new() }
    }

    /// Takes a half-signed document up again.
    pub fn resume(bytes: &[u8], kind: Kind, format: u16) -> Result<Self, EnvelopeError> {
        let Envelope { kind, format, signatures, payload } = decode(bytes, kind, format)?;
        Ok(Self { kind, format, signatures, payload: payload.to_vec() })
    }

    #[must_use]
    pub fn sign(self, signer: &Signer) -> Self {
        let bytes = signer.sign(&message(self.kind, self.format, &self.payload));
        self.add(&signer.public(), bytes)
    }

    /// Adds a signature that was made elsewhere; one by the same key is replaced.
    #[must_use]
    pub fn add(mut self, key: &PublicKey, bytes: [u8; 64]) -> Self {
        let key = key.id();
        self.signatures.retain(|signature| signature.key != key);
        self.signatures.push(Signature { key, bytes });
        self.signatures.sort_by_key(|signature| signature.key);
        self
    }

    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        let count = u8::try_from(self.signatures.len()).map_err(|_| EnvelopeError::Count)?;
        if !(1..=SIGNATURES_MOST).contains(&self.signatures.len()) {
            return Err(EnvelopeError::Count);
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend(signed_header(self.kind, self.format, self.payload.len()));
        bytes.extend([count, 0, 0, 0]);
        for signature in &self.signatures {
            bytes.extend(signature.key.0);
            bytes.push(ED25519);
            bytes.extend(signature.bytes);
        }
        bytes.extend(&self.payload);
        if bytes.len() > self.kind.cap() { Err(EnvelopeError::TooLong) } else { Ok(bytes) }
    }
}

/// "causeway document v1\0" ‖ bytes 4…11 ‖ payload.
pub fn message(kind: Kind, format: u16, payload: &[u8]) -> Vec<u8> {
    [DOMAIN, &signed_header(kind, format, payload.len()), payload].concat()
}

/// Bytes 4 to 11 of the envelope. A payload above 4 GiB is above every cap, so its length cannot be cut in earnest.
fn signed_header(kind: Kind, format: u16, length: usize) -> [u8; 8] {
    let mut header = [0; 8];
    header[..2].copy_from_slice(&kind.number().to_le_bytes());
    header[2..4].copy_from_slice(&format.to_le_bytes());
    header[4..].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    header
}

fn signatures(block: &[u8]) -> Result<Vec<Signature>, EnvelopeError> {
    let mut signatures: Vec<Signature> = Vec::with_capacity(block.len() / SIGNATURE);
    for entry in block.chunks_exact(SIGNATURE) {
        let mut key = KeyId([0; 8]);
        key.0.copy_from_slice(&entry[..8]);
        if entry[8] != ED25519 {
            return Err(EnvelopeError::Algorithm);
        }
        if signatures.last().is_some_and(|last| last.key >= key) {
            return Err(EnvelopeError::Order);
        }
        let mut bytes = [0; 64];
        bytes.copy_from_slice(&entry[9..]);
        signatures.push(Signature { key, bytes });
    }
    Ok(signatures)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
