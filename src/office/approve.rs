//! A person accepts a gateway that waits: one of a batch, or one that takes another's place.

use serde::Serialize;

use super::audit::Act;
use super::error::OfficeError;
use super::layout;
use super::publish::publish;
use super::records::{DeviceRecord, Standing};
use super::store::{Found, Store, json};

#[derive(Clone, Debug, Serialize)]
pub struct Approved {
    pub site: String,
    pub serial: String,
    pub device: String,
    /// Serial of the box that had the place.
    pub instead_of: Option<String>,
}

/// `wanted` is a serial or a device id; of two with one serial the one that waits is meant.
pub async fn approve(store: &Store, wanted: &str, by: &str, at: u64) -> Result<Approved, OfficeError> {
    let mut waiting: Option<(DeviceRecord, Found)> = None;
    let mut all = Vec::new();
    for key in store.list(layout::DEVICES).await? {
        let Some((record, found)) = store.record::<DeviceRecord>(&key).await? else { continue };
        let named = record.serial == wanted || record.id().0.to_string() == wanted;
        let waits = matches!(record.standing, Standing::Waiting | Standing::WaitingReplacement);
        if named && waits {
            if waiting.is_some() {
                return Err(refused(format!("two gateways with serial {wanted} wait"), "name one by its device id"));
            }
            waiting = Some((record, found));
        } else {
            all.push((record, found));
        }
    }
    let (record, found) = waiting.ok_or_else(|| {
        refused(format!("no gateway {wanted} waits"), "causeway office status shows who does, with serial")
    })?;
    let device = record.id();
    let before = all.into_iter().find(|(other, _)| {
        other.standing == Standing::Accepted && (other.site == record.site || other.serial == record.serial)
    });
    let instead_of = before.as_ref().map(|(other, _)| (other.id().0.to_string(), other.serial.clone()));
    if let Some((other, was)) = before {
        let key = layout::device(other.id());
        put(store, &key, DeviceRecord { standing: Standing::Replaced, ..other }, &was).await?;
    }
    let record = DeviceRecord { standing: Standing::Accepted, ..record };
    put(store, &layout::device(device), record.clone(), &found).await?;
    let act = Act::Approve {
        site: record.site.clone(),
        device: device.0.to_string(),
        instead_of: instead_of.as_ref().map(|(device, _)| device.clone()),
    };
    publish(store, at, by, &act, |_| {}).await?;
    Ok(Approved {
        site: record.site,
        serial: record.serial,
        device: device.0.to_string(),
        instead_of: instead_of.map(|(_, serial)| serial),
    })
}

async fn put(store: &Store, key: &str, record: DeviceRecord, was: &Found) -> Result<(), OfficeError> {
    match store.update(key, &json(&record), was).await? {
        true => Ok(()),
        false => Err(refused(format!("{} was changed by somebody else", record.serial), "look again, and try again")),
    }
}

fn refused(what: String, hint: &str) -> OfficeError {
    OfficeError::Refused { what, hint: hint.to_owned() }
}
