//! What the server knows: roots, roll-outs and devices, all read from the store, and what follows from them for each
//! device. It signs with the online key and writes nothing here that another replica would not write the same way.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hyper::body::Bytes;
use tokio::sync::{Notify, watch};

use super::board::Dirty;
use super::counts::Counts;
use crate::config::documents;
use crate::config::sections::Section;
use crate::office::audit::{Act, AuditRecord};
use crate::office::compile;
use crate::office::error::OfficeError;
use crate::office::folder::{Roots, newest_root, read_digest};
use crate::office::init::{ONLINE_KEY, STATE_ROOT_DIGEST};
use crate::office::keyfile::KeyFile;
use crate::office::layout;
use crate::office::publish::head;
use crate::office::records::{Blob, DeviceRecord, Head, Release, Rollout, Seen, Shard, SiteRecord, Standing};
use crate::office::release::read_standard;
use crate::office::store::Store;
use crate::trust::digest::Digest;
use crate::trust::document::{Document, Firmware, Label, Tenant, Turn};
use crate::trust::keys::{DeviceId, Role, Signer};
use crate::trust::request::WAIT_METERED;
use crate::trust::root::TrustedRoot;

/// Objects that are read at the same time when the server starts.
const READS: usize = 16;
/// Of one site: the newest, and those it falls back to while its gateway is too old for them.
const ORDERS_KEPT: usize = 4;

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) store: Store,
    pub(super) tenant: Tenant,
    pub(super) online: Signer,
    pub(super) counts: Counts,
    first: Digest,
    roots: RwLock<Arc<Roots>>,
    head: Mutex<Head>,
    releases: RwLock<BTreeMap<u64, Arc<Loaded>>>,
    orders: RwLock<BTreeMap<String, VecDeque<Order>>>,
    devices: RwLock<BTreeMap<DeviceId, Arc<Entry>>>,
    /// The generation that is known here: whoever waits for news looks again when it changes.
    news: watch::Sender<u64>,
    pub(super) dirty: Dirty,
    /// Something of a device's status should be in the store soon.
    pub(super) urgent: Notify,
}

/// A release with its documents.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) release: Release,
    /// `None`: its signatures are not enough under the root of today, so no gateway would take it.
    pub(super) standard: Option<Arc<Content>>,
    /// And the release that it goes back to.
    pub(super) way_back: Option<(Arc<Content>, u64)>,
}

/// A signed standard.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) blob: Blob,
    pub(super) bytes: Bytes,
    sections: Vec<Section>,
    models: Vec<Label>,
    min_firmware: Firmware,
}

/// What a site is to run.
#[derive(Clone, Debug)]
struct Order {
    rollout: Arc<Rollout>,
    content: Arc<Content>,
    /// Has the site's values.
    release: Arc<Loaded>,
}

/// Until a device has said it itself: as on a metered line.
pub(super) const INTERVAL: u64 = WAIT_METERED as u64;

/// A device, and what happened with it here.
#[derive(Debug)]
pub(super) struct Entry {
    record: RwLock<Arc<DeviceRecord>>,
    assigned: Mutex<Option<Arc<Assigned>>>,
    pub(super) seen: Mutex<Seen>,
    /// Requests that are held for it.
    pub(super) held: AtomicU32,
    /// Seconds after which it is heard of again.
    pub(super) interval: AtomicU64,
    /// Number of the assignment that mirrors can copy.
    copied: AtomicU64,
}

/// What one device is told.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) number: u64,
    pub(super) bytes: Bytes,
    pub(super) digest: Digest,
    pub(super) turn: Turn,
    pub(super) root_version: u32,
    pub(super) site: Blob,
    pub(super) site_bytes: Bytes,
}

impl Content {
    fn fits(&self, device: &DeviceRecord, firmware: Firmware) -> bool {
        firmware >= self.min_firmware && self.models.iter().any(|model| **model == *device.model)
    }
}

impl Entry {
    fn new(record: DeviceRecord, seen: Seen) -> Self {
        Self {
            record: RwLock::new(Arc::new(record)),
            assigned: Mutex::new(None),
            seen: Mutex::new(seen),
            held: AtomicU32::new(0),
            interval: AtomicU64::new(INTERVAL),
            copied: AtomicU64::new(0),
        }
    }

    pub(super) fn record(&self) -> Arc<DeviceRecord> {
        Arc::clone(&self.record.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Reads everything. The store must keep its promises, and the online key must be the root's.
    pub(super) async fn open(store: Store, state: &Path) -> Result<Self, OfficeError> {
        store.check().await?;
        let first = read_digest(&state.join(STATE_ROOT_DIGEST))?;
        let roots = newest_root(&store, &first).await?;
        let root = roots.newest.root();
        let online = KeyFile::read(&state.join(ONLINE_KEY))?.open("")?;
        if !root.role(Role::Online).keys.contains(&online.public()) {
            return Err(OfficeError::NoKey { role: "online", version: root.version });
        }
        let desk = Self {
            tenant: root.tenant.clone(),
            store,
            online,
            counts: Counts::default(),
            first,
            roots: RwLock::new(Arc::new(roots)),
            head: Mutex::new(Head::default()),
            releases: RwLock::default(),
            orders: RwLock::default(),
            devices: RwLock::default(),
            news: watch::Sender::new(0),
            dirty: Dirty::default(),
            urgent: Notify::new(),
        };
        let head = head(&desk.store).await?;
        for number in 1..=head.rollout {
            desk.take_rollout(number).await?;
        }
        desk.take_devices().await?;
        desk.news.send_replace(head.generation);
        *desk.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
        Ok(desk)
    }

    pub(super) fn root(&self) -> TrustedRoot {
        self.roots.read().unwrap_or_else(PoisonError::into_inner).newest.clone()
    }

    pub(super) fn root_document(&self, version: u32) -> Option<Bytes> {
        let roots = Arc::clone(&self.roots.read().unwrap_or_else(PoisonError::into_inner));
        let index = usize::try_from(version.checked_sub(1)?).ok()?;
        roots.documents.get(index).map(|bytes| Bytes::copy_from_slice(bytes))
    }

    pub(super) fn device(&self, device: DeviceId) -> Option<Arc<Entry>> {
        self.devices.read().unwrap_or_else(PoisonError::into_inner).get(&device).cloned()
    }

    pub(super) fn devices(&self) -> Vec<Arc<Entry>> {
        self.devices.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Looks at the head; if it moved, reads what is new and wakes whoever waits. `true`: it had moved.
    pub(super) async fn refresh(&self) -> Result<bool, OfficeError> {
        let now = head(&self.store).await?;
        let known = self.head.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if now.generation <= known.generation {
            return Ok(false);
        }
        if now.root > known.root {
            let roots = newest_root(&self.store, &self.first).await?;
            *self.roots.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roots);
        }
        for number in known.rollout + 1..=now.rollout {
            self.take_rollout(number).await?;
        }
        for number in known.audit + 1..=now.audit {
            let record = self.store.record::<AuditRecord>(&layout::audit(number)).await?;
            let devices = match record.map(|(record, _)| record.act) {
                Some(Act::Enrol { device, .. }) => vec![device],
                Some(Act::Approve { device, instead_of, .. }) => std::iter::once(device).chain(instead_of).collect(),
                Some(Act::Init { .. } | Act::Publish { .. } | Act::Assign { .. } | Act::Claim { .. }) | None => {
                    Vec::new()
                }
            };
            for device in devices.iter().filter_map(|text| Digest::from_hex(text)) {
                self.take_device(DeviceId(device)).await?;
            }
        }
        let generation = now.generation;
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.news.send_replace(generation);
        Ok(true)
    }

    /// A device's record as it stands in the store now.
    pub(super) async fn take_device(&self, device: DeviceId) -> Result<Option<Arc<Entry>>, OfficeError> {
        let Some((record, _)) = self.store.record::<DeviceRecord>(&layout::device(device)).await? else {
            return Ok(None);
        };
        let mut devices = self.devices.write().unwrap_or_else(PoisonError::into_inner);
        let entry = match devices.get(&device) {
            Some(entry) => {
                *entry.record.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(record);
                *entry.assigned.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Arc::clone(entry)
            }
            None => {
                let seen = Seen::NOTHING;
                let entry = Arc::new(Entry::new(record, seen));
                devices.insert(device, Arc::clone(&entry));
                entry
            }
        };
        Ok(Some(entry))
    }

    async fn take_devices(&self) -> Result<(), OfficeError> {
        let mut shards: BTreeMap<String, Seen> = BTreeMap::new();
        for key in self.store.list(layout::STATUS).await? {
            if let Some((Shard(seen), _)) = self.store.record::<Shard>(&key).await? {
                shards.extend(seen);
            }
        }
        let keys = self.store.list(layout::DEVICES).await?;
        let read = |key: String| async move { self.store.record::<DeviceRecord>(&key).await };
        let records: Vec<_> = stream::iter(keys).map(read).buffer_unordered(READS).try_collect().await?;
        let mut devices = self.devices.write().unwrap_or_else(PoisonError::into_inner);
        for (record, _) in records.into_iter().flatten() {
            let id = record.id();
            let seen = shards.remove(&id.0.to_string());
            let seen = seen.unwrap_or(Seen::NOTHING);
            devices.insert(id, Arc::new(Entry::new(record, seen)));
        }
        Ok(())
    }

    async fn take_rollout(&self, number: u64) -> Result<(), OfficeError> {
        let Some((rollout, _)) = self.store.record::<Rollout>(&layout::rollout(number)).await? else { return Ok(()) };
        let Some(release) = self.release(rollout.release).await? else { return Ok(()) };
        let (content, values) = match (rollout.way_back, &release.way_back) {
            (false, _) => (release.standard.clone(), Some(release)),
            (true, Some((content, to))) => (Some(Arc::clone(content)), self.release(*to).await?),
            (true, None) => (None, None),
        };
        // Gateways would refuse it, and keep what they run.
        let (Some(content), Some(release)) = (content, values) else {
            tracing::warn!("roll-out {number} is not handed out: the root of today asks for other signatures");
            return Ok(());
        };
        let rollout = Arc::new(rollout);
        let mut orders = self.orders.write().unwrap_or_else(PoisonError::into_inner);
        for site in release.release.sites.keys().filter(|site| rollout.members.contains(site)) {
            let order =
                Order { rollout: Arc::clone(&rollout), content: Arc::clone(&content), release: Arc::clone(&release) };
            let of_site = orders.entry(site.clone()).or_default();
            // Read again, because the store failed half-way.
            if of_site.front().is_some_and(|newest| newest.rollout.number >= number) {
                continue;
            }
            of_site.push_front(order);
            of_site.truncate(ORDERS_KEPT);
        }
        Ok(())
    }

    async fn release(&self, seq: u64) -> Result<Option<Arc<Loaded>>, OfficeError> {
        let known = self.releases.read().unwrap_or_else(PoisonError::into_inner).get(&seq).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let Some((mut release, _)) = self.store.record::<Release>(&layout::release(seq)).await? else {
            return Ok(None);
        };
        // Only a preview needs the folder's texts.
        release.files = Vec::new();
        let standard = self.content(&release.standard).await?;
        let way_back = match &release.way_back {
            Some(way_back) => self.content(&way_back.standard).await?.map(|content| (content, way_back.to)),
            None => None,
        };
        let loaded = Arc::new(Loaded { release, standard, way_back });
        self.releases.write().unwrap_or_else(PoisonError::into_inner).insert(seq, Arc::clone(&loaded));
        Ok(Some(loaded))
    }

    async fn content(&self, blob: &Blob) -> Result<Option<Arc<Content>>, OfficeError> {
        let standard = match read_standard(&self.store, &self.root(), blob).await {
            Ok(standard) => standard,
            Err(OfficeError::Untrusted { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = self.store.get(&layout::blob(&blob.digest)).await?.map(|found| found.bytes).unwrap_or_default();
        Ok(Some(Arc::new(Content {
            blob: *blob,
            bytes: bytes.into(),
            sections: documents::sections(&standard),
            models: standard.models.to_vec(),
            min_firmware: standard.min_firmware,
        })))
    }

    /// A standard of any roll-out, by its digest.
    pub(super) fn standard(&self, digest: &Digest) -> Option<Arc<Content>> {
        let releases = self.releases.read().unwrap_or_else(PoisonError::into_inner);
        let contents = releases.values().flat_map(|loaded| {
            let way_back = loaded.way_back.as_ref().map(|(content, _)| content);
            loaded.standard.iter().chain(way_back)
        });
        contents.into_iter().find(|content| content.blob.digest == *digest).cloned()
    }

    /// What this device is told now. Made when it is first asked for, and kept until something newer is there.
    pub(super) fn assigned(&self, entry: &Entry) -> Option<Arc<Assigned>> {
        let record = entry.record();
        let order = self.order(entry, &record)?;
        let mut assigned = entry.assigned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = assigned.as_ref().filter(|known| known.number == order.rollout.number) {
            return Some(Arc::clone(known));
        }
        let site = order.release.release.sites.get(&record.site)?;
        match self.make(&record, site, &order) {
            Ok(made) => *assigned = Some(Arc::new(made)),
            // It compiled when it was released; what a newer program refuses is not handed out.
            Err(_) => self.counts.unmade(),
        }
        assigned.clone()
    }

    /// What mirrors do not have yet.
    pub(super) fn uncopied(&self, entry: &Entry) -> Option<Arc<Assigned>> {
        self.assigned(entry).filter(|assigned| assigned.number != entry.copied.load(Ordering::Relaxed))
    }

    pub(super) fn copied(&self, entry: &Entry, number: u64) {
        entry.copied.store(number, Ordering::Relaxed);
    }

    /// The newest order that the device can take, so that it is not told what it would refuse.
    fn order(&self, entry: &Entry, record: &DeviceRecord) -> Option<Order> {
        if record.standing != Standing::Accepted {
            return None;
        }
        let firmware = entry.seen().status.as_ref().map_or(record.firmware, |status| status.firmware);
        let orders = self.orders.read().unwrap_or_else(PoisonError::into_inner);
        orders.get(&record.site)?.iter().find(|order| order.content.fits(record, firmware)).cloned()
    }

    fn make(&self, record: &DeviceRecord, site: &SiteRecord, order: &Order) -> Result<Assigned, OfficeError> {
        let Order { rollout, content, .. } = order;
        let document = compile::site(&self.tenant, record.id(), rollout.number, &record.site, site)?;
        let site_bytes = self.signed(&document)?;
        let blob = Blob::of(&site_bytes, rollout.number);
        let resolved = compile::resolved(&content.sections, &site.values);
        let resolved =
            resolved.map_err(|source| OfficeError::Site { site: record.site.clone(), source: Box::new(source) })?;
        let document = compile::assignment(&self.tenant, record, rollout, &content.blob, &blob, resolved);
        let bytes = self.signed(&document)?;
        Ok(Assigned {
            number: rollout.number,
            digest: Digest::of(&bytes),
            bytes,
            turn: document.turn,
            root_version: document.root_version,
            site: blob,
            site_bytes,
        })
    }

    /// With the online key.
    pub(super) fn signed<D: Document>(&self, document: &D) -> Result<Bytes, OfficeError> {
        let unfit = |source| OfficeError::Unfit { what: "a document", source };
        let bytes = document.draft().map_err(unfit)?.sign(&self.online).encode();
        bytes.map(Bytes::from).map_err(|source| unfit(source.into()))
    }
}
