//! From the fleet's folder to documents: what a standard, a branch's values and an assignment say. Nothing is signed here.

use super::error::OfficeError;
use super::records::{Blob, DeviceRecord, Rollout, SiteRecord};
use crate::config::documents;
use crate::config::fleet::{Fleet, FleetSite, Standard};
use crate::config::sections::{self, Section, SectionError};
use crate::config::vars::Values;
use crate::trust::bounded::{List, OutOfBounds, Text};
use crate::trust::digest::Digest;
use crate::trust::document::{self, Assignment, Flags, Label, SealedKey, Seconds, Tenant, Turn};
use crate::trust::keys::DeviceId;

/// What one branch gets: its values and names, checked as its gateway checks them.
pub fn site_record(fleet: &Fleet, site: &FleetSite) -> Result<SiteRecord, SectionError> {
    let resolved = fleet.resolved(site)?;
    sections::branch(&resolved, &site.identity)?;
    Ok(SiteRecord {
        values: site.values.clone(),
        identity: site.identity.clone(),
        address: site.address.clone(),
        resolved: Digest::new(sections::digest(&resolved)),
    })
}

/// The digest of what a gateway computes from a standard's sections and its values.
pub fn resolved(sections: &[Section], values: &Values) -> Result<Digest, SectionError> {
    Ok(Digest::new(sections::digest(&sections::resolve(sections, values)?)))
}

/// Who made it, when, and why: what the folder does not say.
#[derive(Clone, Debug)]
pub struct Imprint<'a> {
    pub tenant: &'a str,
    pub turn: Turn,
    pub created_at: u64,
    pub author: &'a str,
    pub ticket: &'a str,
}

pub fn standard(standard: &Standard, imprint: &Imprint<'_>) -> Result<document::Standard, OfficeError> {
    let Imprint { tenant, turn, created_at, author, ticket } = imprint;
    let models = standard.models.iter().map(|model| Text::new(model.as_str()));
    let models =
        models.collect::<Result<Vec<Label>, _>>().and_then(List::new).map_err(too_long("the list of models"))?;
    Ok(document::Standard {
        tenant: text("the tenant", tenant)?,
        name: text("the standard's name", standard.name.as_str())?,
        turn: *turn,
        way_back_of: None,
        created_at: seconds(*created_at),
        author: text("the author's name", author)?,
        approvers: List::EMPTY,
        ticket: text("the ticket", ticket)?,
        models,
        min_firmware: standard.min_firmware.map(Into::into).unwrap_or_default(),
        sections: documents::signed_sections(&standard.sections).map_err(too_long("the standard"))?,
    })
}

/// The content of `previous` under the number after `undone`.
pub fn way_back(previous: document::Standard, undone: &document::Standard) -> document::Standard {
    document::Standard {
        turn: Turn::new(undone.turn.epoch, undone.turn.seq + 1),
        way_back_of: Some(undone.turn.seq),
        created_at: undone.created_at,
        author: undone.author.clone(),
        ticket: undone.ticket.clone(),
        ..previous
    }
}

pub fn site(
    tenant: &Tenant,
    device: DeviceId,
    seq: u64,
    name: &str,
    record: &SiteRecord,
) -> Result<document::Site, OfficeError> {
    let SiteRecord { values, identity, address, resolved: _ } = record;
    Ok(document::Site {
        tenant: tenant.clone(),
        device,
        seq,
        values: documents::signed_values(values).map_err(too_long("a value"))?,
        site: text("the site's name", name)?,
        display_name: text("the site's name", &identity.name)?,
        owner: text("the owner's name", identity.owner.as_deref().unwrap_or_default())?,
        phone: text("the telephone number", identity.phone.as_deref().unwrap_or_default())?,
        address: text("the address", address.as_deref().unwrap_or_default())?,
        contracts: documents::signed_contracts(&identity.contracts).map_err(too_long("a contract"))?,
        secrets: List::EMPTY,
    })
}

/// All that depends on time or number comes from the roll-out: whoever makes it makes the same bytes.
pub fn assignment(
    tenant: &Tenant,
    device: &DeviceRecord,
    rollout: &Rollout,
    standard: &Blob,
    site: &Blob,
    resolved: Digest,
) -> Assignment {
    Assignment {
        tenant: tenant.clone(),
        device: device.id(),
        turn: Turn::new(rollout.epoch, rollout.number),
        root_version: rollout.root_version,
        standard: standard.reference(),
        site: site.reference(),
        resolved,
        standard_key: SealedKey::default(),
        site_key: SealedKey::default(),
        rollout: rollout.number,
        wave: 0,
        flags: Flags::default(),
        issued_at: seconds(rollout.created_at),
    }
}

pub fn seconds(at: u64) -> Seconds {
    Seconds::new(at).unwrap_or(Seconds::MOST)
}

pub fn text<const MOST: usize>(what: &'static str, text: &str) -> Result<Text<MOST>, OfficeError> {
    Text::new(text).map_err(too_long(what))
}

fn too_long(what: &'static str) -> impl FnOnce(OutOfBounds) -> OfficeError {
    move |source| OfficeError::TooLong { what, source }
}
