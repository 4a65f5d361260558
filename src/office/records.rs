//! What stands in the private half of the store, as JSON: releases, roll-outs, devices, tokens, status.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::text;
use crate::config::branch::Identity;
use crate::config::vars::Values;
use crate::trust::digest::Digest;
use crate::trust::document::{Firmware, Nonce, Reference, TransitionKind, TransitionReceipt, Turn};
use crate::trust::keys::{DeviceId, PublicKey};
use crate::trust::machine::StateName;
use crate::trust::request::Status;

/// Raised last by whoever changed something. The audit chain up to its number says what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub generation: u64,
    /// Newest version of the root.
    pub root: u32,
    /// Newest release, not its way back.
    pub release: u64,
    /// Newest roll-out.
    pub rollout: u64,
    /// Newest record of the audit chain.
    pub audit: u64,
}

/// A blob that was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    #[serde(with = "text::digest")]
    pub digest: Digest,
    pub size: u32,
    pub seq: u64,
}

impl Blob {
    pub fn of(bytes: &[u8], seq: u64) -> Self {
        Self { digest: Digest::of(bytes), size: u32::try_from(bytes.len()).unwrap_or(u32::MAX), seq }
    }

    pub fn reference(&self) -> Reference {
        Reference { digest: self.digest, size: self.size, seq: self.seq }
    }
}

/// A release: what was signed, and what each branch fills in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Release {
    pub seq: u64,
    pub name: String,
    pub epoch: u32,
    pub standard: Blob,
    /// The content before it, under the next number; the first release has none.
    pub way_back: Option<WayBack>,
    pub ticket: String,
    pub author: String,
    pub created_at: u64,
    /// Branches that do not get it, and why.
    pub left_out: BTreeMap<String, String>,
    pub sites: BTreeMap<String, SiteRecord>,
    /// The folder as it was, for the next preview.
    pub files: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBack {
    pub standard: Blob,
    /// The release whose content it has; the branches' values are taken from there.
    pub to: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteRecord {
    pub values: Values,
    pub identity: Identity,
    pub address: Option<String>,
    /// What it comes to, for whoever reads a branch's status.
    #[serde(with = "text::digest")]
    pub resolved: Digest,
}

/// The intent that branches run a release. Its number is the number of their assignments, and all that depends on time
/// stands in it, so every replica makes the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    pub number: u64,
    pub release: u64,
    /// Its way back instead.
    pub way_back: bool,
    pub members: Members,
    pub epoch: u32,
    pub root_version: u32,
    pub created_at: u64,
    pub by: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Members {
    All,
    Sites(Vec<String>),
}

impl Members {
    pub fn contains(&self, site: &str) -> bool {
        match self {
            Self::All => true,
            Self::Sites(sites) => sites.iter().any(|member| member == site),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    #[serde(with = "text::key")]
    pub signing: PublicKey,
    pub sealing: [u8; 32],
    pub serial: String,
    pub model: String,
    pub firmware: Firmware,
    pub site: String,
    pub standing: Standing,
    pub enrolled_at: u64,
    pub order_nonce: Nonce,
}

impl DeviceRecord {
    pub fn id(&self) -> DeviceId {
        self.signing.device()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Accepted,
    /// A batch token brought it: a person says whether it is one of ours.
    Waiting,
    /// Its serial or its site has another key already.
    WaitingReplacement,
    /// Its place was given to another one.
    Replaced,
}

/// A claim's token. The token itself is nowhere but in the claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// SHA-256(token): the key of the request's HMAC.
    #[serde(with = "text::digest")]
    pub secret: Digest,
    pub site: String,
    pub serial: Option<String>,
    /// Any number of boxes, each of which waits for a person.
    pub batch: bool,
    pub created_at: u64,
    pub ends_at: u64,
}

/// Who used a token up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedRecord {
    #[serde(with = "text::digest")]
    pub device: Digest,
    pub at: u64,
}

/// 1/256 of the fleet's status, by device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shard(pub BTreeMap<String, Seen>);

/// What a branch said last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub at: u64,
    pub counter: u64,
    /// The newest receipt that was taken.
    pub receipt: u64,
    pub status: Option<Status>,
    pub transition: Option<Transition>,
}

impl Seen {
    pub const NOTHING: Self = Self { at: 0, counter: 0, receipt: 0, status: None, transition: None };

    pub fn is_before(&self, other: &Self) -> bool {
        (self.counter, self.receipt) < (other.counter, other.receipt)
    }
}

/// The newest signed transition of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub assignment: Turn,
    #[serde(with = "text::digest")]
    pub resolved: Digest,
    pub from: StateName,
    pub to: StateName,
    pub kind: TransitionKind,
    pub attempt: u8,
}

impl From<&TransitionReceipt> for Transition {
    fn from(receipt: &TransitionReceipt) -> Self {
        let TransitionReceipt { assignment, resolved, from, to, kind, attempt, .. } = *receipt;
        Self { assignment, resolved, from, to, kind, attempt }
    }
}
