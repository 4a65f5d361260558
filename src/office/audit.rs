//! The audit chain: each act is a record that names the digest of the one before, written only where none stands yet.
//! Who changes one record has to change all that follow.

use serde::{Deserialize, Serialize};

use super::error::OfficeError;
use super::layout;
use super::store::{Store, json};
use super::text;
use crate::trust::digest::Digest;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    pub number: u64,
    /// SHA-256 of the record before; of nothing for the first.
    #[serde(with = "text::digest")]
    pub previous: Digest,
    pub at: u64,
    pub by: String,
    pub act: Act,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    Init { tenant: String, root: String },
    Publish { release: u64, standard: String, way_back: Option<u64>, ticket: String, left_out: Vec<String> },
    Assign { rollout: u64, release: u64, way_back: bool, members: String },
    Claim { site: String, batch: bool },
    Enrol { site: String, device: String, serial: String, standing: super::records::Standing },
    Approve { site: String, device: String, instead_of: Option<String> },
}

/// What a check of the chain found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    pub records: u64,
    /// The first record that does not follow from the one before, or is not there.
    pub broken_at: Option<u64>,
}

/// Appends; `newest` is where to begin to look for the end. Gives the number.
pub(super) async fn append(store: &Store, newest: u64, at: u64, by: &str, act: &Act) -> Result<u64, OfficeError> {
    let mut number = newest;
    let mut previous = match newest {
        0 => Digest::of(b""),
        _ => last(store, newest).await?,
    };
    loop {
        number += 1;
        let record = AuditRecord { number, previous, at, by: by.to_owned(), act: act.clone() };
        if store.create(&layout::audit(number), &json(&record)).await? {
            return Ok(number);
        }
        previous = last(store, number).await?;
    }
}

async fn last(store: &Store, number: u64) -> Result<Digest, OfficeError> {
    let found = store.get(&layout::audit(number)).await?;
    found.map(|found| Digest::of(&found.bytes)).ok_or_else(|| OfficeError::Refused {
        what: format!("record {number} of the audit chain is missing"),
        hint: "causeway office audit shows where the chain breaks; was the store restored from a backup?".to_owned(),
    })
}

/// All records in order, and whether each follows from the one before.
pub async fn read(store: &Store) -> Result<(Vec<AuditRecord>, Chain), OfficeError> {
    let mut records = Vec::new();
    let mut previous = Digest::of(b"");
    let mut broken_at = None;
    let keys = store.list(layout::AUDIT).await?;
    for (number, key) in (1_u64..).zip(&keys) {
        let Some((record, found)) = store.record::<AuditRecord>(key).await? else { continue };
        let follows = record.number == number && *key == layout::audit(number) && record.previous == previous;
        if !follows && broken_at.is_none() {
            broken_at = Some(number);
        }
        previous = Digest::of(&found.bytes);
        records.push(record);
    }
    let chain = Chain { records: u64::try_from(records.len()).unwrap_or(u64::MAX), broken_at };
    Ok((records, chain))
}
