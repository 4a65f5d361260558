//! The one order in which documents are verified, from their size to the plan. Each function stops at the first fault
//! with its [`Refusal`]; nothing of a later step has run then, and nothing here changes a floor.

use std::borrow::Cow;

use super::digest::Digest;
use super::document::{
    self, Assignment, Document, EnrolReceipt, EnrolRequest, Firmware, Freshness, Label, Reference, SealedKey, Section,
    SectionId, Site, Standard, Tenant, TransitionReceipt,
};
use super::envelope::{self, Kind};
use super::floors::Floors;
use super::freshness::Nonces;
use super::keys::{DeviceId, PublicKey, Role};
use super::refusal::Refusal;
use super::root::TrustedRoot;
use crate::time::Instant;

/// What encryption adds to a blob: the tag of ChaCha20-Poly1305 (RFC 8439). Each blob has a key of its own.
pub const SEAL_OVERHEAD: usize = 16;

/// Who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub tenant: Tenant,
    pub device: DeviceId,
    pub model: Label,
    pub firmware: Firmware,
}

/// What everything is verified against.
#[derive(Clone, Copy, Debug)]
pub struct Verifier<'a> {
    pub root: &'a TrustedRoot,
    pub identity: &'a Identity,
    pub floors: &'a Floors,
}

/// A document that passed, with the digest of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<D> {
    pub document: D,
    pub digest: Digest,
}

/// Opens blobs that are encrypted to this device.
pub trait Opener {
    /// `None` when the key does not open it.
    fn open(&self, sealed: &SealedKey, blob: &[u8]) -> Option<Vec<u8>>;
}

/// The steps that need to know what a section means; `config` implements them.
pub trait Content {
    type Resolved;
    type Plan;

    /// Step 8.
    fn supports(&self, section: SectionId, version: u16) -> bool;
    /// Step 9: fills the values in, and the digest of what comes out.
    fn resolve(&self, standard: &Standard, sections: &[&Section], site: &Site) -> Option<(Self::Resolved, Digest)>;
    /// Step 10: [`Refusal::InvalidConfig`] or [`Refusal::FloorRule`]. Messages for people stay with the implementation.
    fn validate(&self, resolved: &Self::Resolved) -> Result<(), Refusal>;
    /// Step 11: how to get there from what is running; `None` when there is no way.
    fn plan(&self, resolved: &Self::Resolved) -> Option<Self::Plan>;
}

/// The two blobs that an assignment names, as they were fetched.
#[derive(Clone, Copy, Debug)]
pub struct Blobs<'a> {
    pub standard: &'a [u8],
    pub site: &'a [u8],
}

/// All that an assignment needs, verified up to step 8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete {
    pub assignment: Verified<Assignment>,
    pub standard: Standard,
    pub site: Site,
    /// Sections that are not critical and not known: left out, and reported.
    pub skipped: Vec<SectionId>,
}

/// What steps 9 to 11 gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared<R, P> {
    pub resolved: R,
    pub plan: P,
}

/// Step 1, before a byte of the body is read: `announced` is what the other end says it will send.
pub fn check_size(kind: Kind, announced: u64, reference: Option<&Reference>) -> Result<(), Refusal> {
    let cap = kind.cap() + if reference.is_some() { SEAL_OVERHEAD } else { 0 };
    if u64::try_from(cap).unwrap_or(u64::MAX) < announced {
        return Err(Refusal::TooLarge);
    }
    match reference {
        Some(reference) if u64::from(reference.size) != announced => Err(Refusal::SizeDiffers),
        Some(_) | None => Ok(()),
    }
}

impl Verifier<'_> {
    /// Steps 1 and 3 to 7.
    pub fn assignment(&self, bytes: &[u8]) -> Result<Verified<Assignment>, Refusal> {
        let assignment: Assignment = self.online(bytes)?;
        self.check_target(&assignment.tenant, assignment.device)?;
        self.check_epoch(assignment.turn.epoch, assignment.root_version)?;
        let digest = Digest::of(bytes);
        self.floors.check_assignment(assignment.turn, &digest)?;
        Ok(Verified { document: assignment, digest })
    }

    /// An answer to one of our nonces, which is used up only if all is right. It proves that what we run is current if it
    /// names the assignment that we have; if it names another one, there are news to fetch.
    pub fn freshness(&self, bytes: &[u8], nonces: &mut Nonces, now: Instant) -> Result<Freshness, Refusal> {
        let freshness: Freshness = self.online(bytes)?;
        self.check_target(&freshness.tenant, freshness.device)?;
        nonces.check(&freshness.nonce, now)?;
        self.check_epoch(freshness.turn.epoch, freshness.root_version)?;
        self.floors.check_assignment(freshness.turn, &freshness.assignment)?;
        nonces.redeem(&freshness.nonce, now);
        Ok(freshness)
    }

    /// The answer to an enrolment.
    pub fn enrol_receipt(&self, bytes: &[u8], nonces: &mut Nonces, now: Instant) -> Result<EnrolReceipt, Refusal> {
        let receipt: EnrolReceipt = self.online(bytes)?;
        self.check_target(&receipt.tenant, receipt.device)?;
        nonces.check(&receipt.nonce, now)?;
        nonces.redeem(&receipt.nonce, now);
        Ok(receipt)
    }

    /// Steps 1 to 8 for both blobs of a verified assignment: each step for both before the next one begins.
    pub fn complete<C: Content>(
        &self,
        assignment: Verified<Assignment>,
        blobs: Blobs<'_>,
        opener: &impl Opener,
        content: &C,
    ) -> Result<Complete, Refusal> {
        let Opened { standard, site } = open(&assignment.document, blobs, opener)?;
        let standard_envelope = envelope::decode(&standard, Kind::Standard, Standard::FORMAT)?;
        let site_envelope = envelope::decode(&site, Kind::Site, Site::FORMAT)?;
        self.root.root().role(Role::Release).check(&standard_envelope)?;
        self.root.root().role(Role::Online).check(&site_envelope)?;
        let standard: Standard = document::decode(standard_envelope.payload)?;
        let site: Site = document::decode(site_envelope.payload)?;
        self.check_standard_target(&standard)?;
        self.check_target(&site.tenant, site.device)?;
        if standard.turn.epoch != self.root.root().epoch {
            return Err(Refusal::OtherEpoch);
        }
        check_numbers(&assignment.document, &standard, &site)?;
        self.floors.check_standard(standard.turn)?;
        let skipped = check_sections(&standard, content)?;
        Ok(Complete { assignment, standard, site, skipped })
    }

    fn online<D: Document>(&self, bytes: &[u8]) -> Result<D, Refusal> {
        let envelope = envelope::decode(bytes, D::KIND, D::FORMAT)?;
        self.root.root().role(Role::Online).check(&envelope)?;
        Ok(document::decode(envelope.payload)?)
    }

    fn check_target(&self, tenant: &Tenant, device: DeviceId) -> Result<(), Refusal> {
        if *tenant != self.identity.tenant {
            return Err(Refusal::OtherTenant);
        }
        if device != self.identity.device { Err(Refusal::OtherDevice) } else { Ok(()) }
    }

    fn check_standard_target(&self, standard: &Standard) -> Result<(), Refusal> {
        if standard.tenant != self.identity.tenant {
            return Err(Refusal::OtherTenant);
        }
        if !standard.models.contains(&self.identity.model) {
            return Err(Refusal::OtherModel);
        }
        if standard.min_firmware > self.identity.firmware { Err(Refusal::FirmwareTooOld) } else { Ok(()) }
    }

    fn check_epoch(&self, epoch: u32, root_version: u32) -> Result<(), Refusal> {
        let root = self.root.root();
        self.floors.check_root(root)?;
        if root_version > root.version {
            return Err(Refusal::RootAhead);
        }
        if epoch != root.epoch { Err(Refusal::OtherEpoch) } else { Ok(()) }
    }
}

/// What was verified when it was accepted, read from our own store after a start: by digest only. A root that has since
/// dropped the key must not stop a branch, so no signature and no floor is asked again.
pub fn stored<C: Content>(
    assignment: &[u8],
    digest: &Digest,
    blobs: Blobs<'_>,
    opener: &impl Opener,
    content: &C,
) -> Result<Complete, Refusal> {
    if Digest::of(assignment) != *digest {
        return Err(Refusal::DigestDiffers);
    }
    let payload = envelope::decode(assignment, Kind::Assignment, Assignment::FORMAT)?.payload;
    let document: Assignment = document::decode(payload)?;
    let Opened { standard, site } = open(&document, blobs, opener)?;
    let standard: Standard = document::decode(envelope::decode(&standard, Kind::Standard, Standard::FORMAT)?.payload)?;
    let site: Site = document::decode(envelope::decode(&site, Kind::Site, Site::FORMAT)?.payload)?;
    let skipped = check_sections(&standard, content)?;
    Ok(Complete { assignment: Verified { document, digest: *digest }, standard, site, skipped })
}

/// Steps 9 to 11.
pub fn prepare<C: Content>(complete: &Complete, content: &C) -> Result<Prepared<C::Resolved, C::Plan>, Refusal> {
    let sections: Vec<&Section> =
        complete.standard.sections.iter().filter(|section| !complete.skipped.contains(&section.id)).collect();
    let (resolved, digest) =
        content.resolve(&complete.standard, &sections, &complete.site).ok_or(Refusal::Unresolvable)?;
    if digest != complete.assignment.document.resolved {
        return Err(Refusal::ResolvedMismatch);
    }
    content.validate(&resolved)?;
    let plan = content.plan(&resolved).ok_or(Refusal::NoPlan)?;
    Ok(Prepared { resolved, plan })
}

/// At head office: a device introduces itself. The caller looks up the token that it names.
pub fn enrol_request(bytes: &[u8]) -> Result<EnrolRequest, Refusal> {
    let envelope = envelope::decode(bytes, Kind::EnrolRequest, EnrolRequest::FORMAT)?;
    let request: EnrolRequest = document::decode(envelope.payload)?;
    check_device(&envelope, &request.signing)?;
    Ok(request)
}

/// At head office: what a device says about its config.
pub fn transition_receipt(bytes: &[u8], key: &PublicKey) -> Result<TransitionReceipt, Refusal> {
    let envelope = envelope::decode(bytes, Kind::TransitionReceipt, TransitionReceipt::FORMAT)?;
    check_device(&envelope, key)?;
    let receipt: TransitionReceipt = document::decode(envelope.payload)?;
    if receipt.device != key.device() { Err(Refusal::OtherDevice) } else { Ok(receipt) }
}

/// One signature, by this device.
fn check_device(envelope: &envelope::Envelope<'_>, key: &PublicKey) -> Result<(), Refusal> {
    let [signature] = &*envelope.signatures else { return Err(Refusal::WrongKey) };
    if signature.key != key.id() {
        return Err(Refusal::WrongKey);
    }
    if key.verifies(&envelope.message(), &signature.bytes) { Ok(()) } else { Err(Refusal::BadSignature) }
}

struct Opened<'a> {
    standard: Cow<'a, [u8]>,
    site: Cow<'a, [u8]>,
}

/// Steps 1 and 2.
fn open<'a>(assignment: &Assignment, blobs: Blobs<'a>, opener: &impl Opener) -> Result<Opened<'a>, Refusal> {
    let parts = [(Kind::Standard, blobs.standard, &assignment.standard), (Kind::Site, blobs.site, &assignment.site)];
    for (kind, blob, reference) in parts {
        check_size(kind, u64::try_from(blob.len()).unwrap_or(u64::MAX), Some(reference))?;
    }
    for (_, blob, reference) in parts {
        if Digest::of(blob) != reference.digest {
            return Err(Refusal::DigestDiffers);
        }
    }
    Ok(Opened {
        standard: decrypt(blobs.standard, &assignment.standard_key, opener)?,
        site: decrypt(blobs.site, &assignment.site_key, opener)?,
    })
}

fn decrypt<'a>(blob: &'a [u8], key: &SealedKey, opener: &impl Opener) -> Result<Cow<'a, [u8]>, Refusal> {
    if key.is_empty() {
        return Ok(Cow::Borrowed(blob));
    }
    opener.open(key, blob).map(Cow::Owned).ok_or(Refusal::Undecryptable)
}

fn check_numbers(assignment: &Assignment, standard: &Standard, site: &Site) -> Result<(), Refusal> {
    let same = assignment.standard.seq == standard.turn.seq && assignment.site.seq == site.seq;
    if same { Ok(()) } else { Err(Refusal::SeqDiffers) }
}

fn check_sections<C: Content>(standard: &Standard, content: &C) -> Result<Vec<SectionId>, Refusal> {
    let mut skipped = Vec::new();
    for section in &*standard.sections {
        if content.supports(section.id, section.version) {
            continue;
        }
        if section.critical {
            return Err(Refusal::UnsupportedSection(section.id));
        }
        skipped.push(section.id);
    }
    Ok(skipped)
}
