//! A release: the standard under its number, and the content before it under the next one, so that going back needs nobody
//! with a key at night. With a threshold of two the documents wait in a file until a second person has signed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::audit::Act;
use super::compile::{self, Imprint};
use super::error::OfficeError;
use super::folder::Folder;
use super::layout;
use super::publish::{head, publish};
use super::records::{Blob, Release, Rollout, WayBack};
use super::store::Store;
use crate::trust::digest::Digest;
use crate::trust::document::{self, Document as _, Standard, Turn, Unfit};
use crate::trust::envelope::{self, Draft, Envelope, Kind};
use crate::trust::keys::{KeyId, Signer};
use crate::trust::refusal::Refusal;
use crate::trust::root::{RoleKeys, TrustedRoot};

/// What the author says beside the folder.
#[derive(Clone, Debug, Default)]
pub struct Words {
    pub ticket: String,
    pub author: String,
    pub leave_out: BTreeMap<String, String>,
    pub at: u64,
}

/// A release on its way to its last signature; as a file it travels from one author to the next.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    causeway_release: u32,
    /// Its digests are filled in once all signatures are there.
    pub release: Release,
    standard: String,
    way_back: Option<String>,
}

const VERSION: u32 = 1;

/// `SITE: reason`, as `--leave-out` has it.
pub fn left_out(text: &str) -> Result<(String, String), OfficeError> {
    let parts = text.split_once(':').map(|(site, reason)| (site.trim(), reason.trim()));
    match parts {
        Some((site, reason)) if !site.is_empty() && !reason.is_empty() => Ok((site.to_owned(), reason.to_owned())),
        Some(_) | None => Err(OfficeError::Usage {
            what: format!("{text:?} leaves nobody out"),
            hint: "write it as --leave-out \"SITE: reason\"; the reason is recorded".to_owned(),
        }),
    }
}

/// Compiles all branches and makes the documents, signed by the first author.
pub async fn prepare(
    folder: &Folder,
    store: &Store,
    root: &TrustedRoot,
    words: &Words,
    signer: &Signer,
) -> Result<Pending, OfficeError> {
    let Words { ticket, author, leave_out, at } = words;
    let newest = newest(store).await?;
    let seq = newest.as_ref().map_or(1, |release| release.seq + 2);
    let turn = Turn::new(root.root().epoch, seq);
    let imprint = Imprint { tenant: folder.office.tenant.as_str(), turn, created_at: *at, author, ticket };
    let standard = compile::standard(&folder.fleet.standard, &imprint)?;
    let before = before(store, newest).await?;
    let undo = match &before {
        Some(release) => Some(compile::way_back(read_before(store, root, &release.standard).await?, &standard)),
        None => None,
    };
    let mut sites = BTreeMap::new();
    for site in &folder.fleet.sites {
        let record = compile::site_record(&folder.fleet, site);
        let name = site.name.to_string();
        sites
            .insert(name.clone(), record.map_err(|source| OfficeError::Site { site: name, source: Box::new(source) })?);
    }
    let bytes = signed(&standard, signer)?;
    let undone = undo.map(|undo| signed(&undo, signer)).transpose()?;
    let way_back = before
        .zip(undone.as_ref())
        .map(|(release, bytes)| WayBack { standard: Blob::of(bytes, seq + 1), to: release.seq });
    let release = Release {
        seq,
        name: folder.fleet.standard.name.to_string(),
        epoch: turn.epoch,
        standard: Blob::of(&bytes, seq),
        way_back,
        ticket: ticket.clone(),
        author: author.clone(),
        created_at: *at,
        left_out: leave_out.clone(),
        sites,
        files: folder.files.clone(),
    };
    let way_back = undone.map(|bytes| BASE64.encode(bytes));
    Ok(Pending { causeway_release: VERSION, release, standard: BASE64.encode(bytes), way_back })
}

impl Pending {
    pub fn read(text: &[u8]) -> Result<Self, OfficeError> {
        let pending: Option<Self> = serde_json::from_slice(text).ok();
        pending.filter(|pending| pending.causeway_release == VERSION).ok_or_else(|| OfficeError::Usage {
            what: "this is no release that waits for a signature".to_owned(),
            hint: "`causeway office release` writes such a file when it needs a second person".to_owned(),
        })
    }

    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers are always written")
    }

    /// Adds a signature to both documents.
    pub fn sign(mut self, signer: &Signer) -> Result<Self, OfficeError> {
        let add = |text: &str| -> Result<(String, Vec<u8>), OfficeError> {
            let draft = Draft::resume(&decode64(text)?, Kind::Standard, Standard::FORMAT);
            let bytes = draft.and_then(|draft| draft.sign(signer).encode()).map_err(unfit)?;
            Ok((BASE64.encode(&bytes), bytes))
        };
        let (text, bytes) = add(&self.standard)?;
        self.release.standard = Blob::of(&bytes, self.release.seq);
        self.standard = text;
        if let (Some(undo), Some(way_back)) = (&self.way_back, &mut self.release.way_back) {
            let (text, bytes) = add(undo)?;
            way_back.standard = Blob::of(&bytes, self.release.seq + 1);
            self.way_back = Some(text);
        }
        Ok(self)
    }

    /// Who signed so far.
    pub fn signers(&self) -> Result<Vec<KeyId>, OfficeError> {
        let bytes = decode64(&self.standard)?;
        let envelope = envelope(&bytes)?;
        Ok(envelope.signatures.iter().map(|signature| signature.key).collect())
    }

    /// How many signatures are missing still.
    pub fn missing(&self, root: &TrustedRoot) -> Result<usize, OfficeError> {
        let role = &root.root().release;
        let have = self.signers()?.iter().filter(|key| role.find(**key).is_some()).count();
        Ok(usize::from(role.threshold).saturating_sub(have))
    }

    /// What is in the file is what it says: a second person signs the documents, not the words around them.
    pub async fn check(&self, store: &Store, root: &TrustedRoot) -> Result<Standard, OfficeError> {
        let odd = |what: &str| OfficeError::Refused {
            what: format!("the file does not hold together: {what}"),
            hint: "ask its author for a new one, and do not sign this".to_owned(),
        };
        let standard = read(&decode64(&self.standard)?)?;
        let Release { seq, epoch, way_back, .. } = &self.release;
        if standard.turn != Turn::new(*epoch, *seq) || standard.tenant != root.root().tenant {
            return Err(odd("the standard has another number or tenant"));
        }
        let undo = self.way_back.as_deref().map(|text| read(&decode64(text)?)).transpose()?;
        match (undo, way_back) {
            (None, None) => {}
            (Some(undo), Some(way_back)) => {
                let before = self.before(store, root, way_back).await?;
                if undo != compile::way_back(before, &standard) {
                    return Err(odd("its way back is not the content from before"));
                }
            }
            (None, Some(_)) | (Some(_), None) => return Err(odd("its way back is missing, or too much")),
        }
        Ok(standard)
    }

    async fn before(&self, store: &Store, root: &TrustedRoot, way_back: &WayBack) -> Result<Standard, OfficeError> {
        match store.record::<Release>(&layout::release(way_back.to)).await? {
            Some((release, _)) => read_before(store, root, &release.standard).await,
            None => Err(OfficeError::Refused {
                what: format!("release {} is not in the store", way_back.to),
                hint: "is this the store of the fleet that the file is for?".to_owned(),
            }),
        }
    }

    /// All signatures are there: the blobs, then the record, then the news. Assigns nothing.
    pub async fn publish(self, store: &Store, root: &TrustedRoot, by: &str) -> Result<Release, OfficeError> {
        let bytes = decode64(&self.standard)?;
        let undo = self.way_back.as_deref().map(decode64).transpose()?;
        for bytes in [Some(&bytes), undo.as_ref()].into_iter().flatten() {
            let checked = root.root().release.check(&envelope(bytes)?);
            checked.map_err(|source| OfficeError::Untrusted { what: "the release".to_owned(), source })?;
            store.create(&layout::blob(&Digest::of(bytes)), bytes).await?;
        }
        let release = self.release;
        if !store.create_record(&layout::release(release.seq), &release).await? {
            return Err(OfficeError::Refused {
                what: format!("somebody released {} in the meantime", release.seq),
                hint: "look at it with `causeway office preview`, and release again".to_owned(),
            });
        }
        let act = Act::Publish {
            release: release.seq,
            standard: release.standard.digest.to_string(),
            way_back: release.way_back.as_ref().map(|way_back| way_back.standard.seq),
            ticket: release.ticket.clone(),
            left_out: release.left_out.keys().cloned().collect(),
        };
        publish(store, release.created_at, by, &act, |head| head.release = head.release.max(release.seq)).await?;
        Ok(release)
    }
}

/// The last release, if there was one.
pub async fn newest(store: &Store) -> Result<Option<Release>, OfficeError> {
    let seq = match store.list(layout::RELEASES).await?.last() {
        Some(key) => key.clone(),
        None => return Ok(None),
    };
    Ok(store.record::<Release>(&seq).await?.map(|(release, _)| release))
}

/// The content that branches have before a new release: the last one, unless its way back was the last word.
pub async fn before(store: &Store, newest: Option<Release>) -> Result<Option<Release>, OfficeError> {
    let Some(newest) = newest else { return Ok(None) };
    let head = head(store).await?;
    let last = store.record::<Rollout>(&layout::rollout(head.rollout)).await?.map(|(rollout, _)| rollout);
    match (last, newest.way_back) {
        (Some(rollout), Some(way_back)) if rollout.way_back && rollout.release == newest.seq => {
            Ok(store.record::<Release>(&layout::release(way_back.to)).await?.map(|(release, _)| release))
        }
        (_, _) => Ok(Some(newest)),
    }
}

/// A standard as gateways take it under this root.
pub async fn read_standard(store: &Store, root: &TrustedRoot, blob: &Blob) -> Result<Standard, OfficeError> {
    read_signed(store, &root.root().release, blob).await
}

/// The content from before, which its authors sign anew: a root may have asked for fewer signatures then, but one of
/// them has to be by somebody who is trusted today.
async fn read_before(store: &Store, root: &TrustedRoot, blob: &Blob) -> Result<Standard, OfficeError> {
    let one = RoleKeys { threshold: 1, keys: root.root().release.keys.clone() };
    read_signed(store, &one, blob).await
}

async fn read_signed(store: &Store, role: &RoleKeys, blob: &Blob) -> Result<Standard, OfficeError> {
    let key = layout::blob(&blob.digest);
    let found = store.get(&key).await?.ok_or_else(|| OfficeError::Refused {
        what: format!("standard {} is not in the store", blob.seq),
        hint: "restore the store from its backup".to_owned(),
    })?;
    let untrusted = |source| OfficeError::Untrusted { what: format!("standard {}", blob.seq), source };
    if Digest::of(&found.bytes) != blob.digest {
        return Err(untrusted(Refusal::DigestDiffers));
    }
    role.check(&envelope(&found.bytes)?).map_err(untrusted)?;
    read(&found.bytes)
}

pub fn known_site(folder: &Folder, site: &str) -> Result<(), OfficeError> {
    if folder.fleet.site(site).is_some() {
        return Ok(());
    }
    let names: Vec<String> = folder.fleet.sites.iter().take(8).map(|site| site.name.to_string()).collect();
    Err(OfficeError::Usage {
        what: format!("there is no site {site}"),
        hint: match names.is_empty() {
            true => "the inventory has none yet".to_owned(),
            false => format!("sites: {}", names.join(", ")),
        },
    })
}

fn signed(standard: &Standard, signer: &Signer) -> Result<Vec<u8>, OfficeError> {
    let draft = standard.draft().map_err(|source| OfficeError::Unfit { what: "the standard", source })?;
    draft.sign(signer).encode().map_err(unfit)
}

fn read(bytes: &[u8]) -> Result<Standard, OfficeError> {
    let decoded = document::decode(envelope(bytes)?.payload);
    decoded.map_err(|source| OfficeError::Untrusted { what: "the standard".to_owned(), source: source.into() })
}

fn envelope(bytes: &[u8]) -> Result<Envelope<'_>, OfficeError> {
    envelope::decode(bytes, Kind::Standard, Standard::FORMAT).map_err(unfit)
}

fn unfit(source: envelope::EnvelopeError) -> OfficeError {
    OfficeError::Unfit { what: "the standard", source: Unfit::Envelope(source) }
}

fn decode64(text: &str) -> Result<Vec<u8>, OfficeError> {
    BASE64.decode(text).map_err(|_| OfficeError::Usage {
        what: "a document in the file is not base64".to_owned(),
        hint: "ask its author for a new one".to_owned(),
    })
}
