//! Head office's state: objects in a local folder or a bucket, through `object_store`. Two acts keep replicas and people
//! from undoing each other's work: put-if-absent, and a put that only replaces the version one has read.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::TryStreamExt as _;
use nix::fcntl::{Flock, FlockArg};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{Error, GetOptions, ObjectStore, PutMode, PutOptions, PutPayload, PutResult, UpdateVersion};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::OfficeError;
use super::layout;

/// No object of ours is longer: a release of 100,000 branches has about 60 MB.
const OBJECT_MOST: u64 = 256 << 20;

#[derive(Clone, Debug)]
pub struct Store {
    durable: Arc<dyn ObjectStore>,
    /// For what can be made again: not synced to the disk one by one.
    quick: Arc<dyn ObjectStore>,
    local: Option<Arc<Local>>,
    place: Arc<str>,
}

#[derive(Debug)]
struct Local {
    folder: PathBuf,
    lock: PathBuf,
}

/// An object with the version that a conditional put has to name.
#[derive(Clone, Debug)]
pub struct Found {
    pub bytes: Vec<u8>,
    version: UpdateVersion,
}

impl Store {
    /// `place` as office.toml has it; a folder is relative to `base`.
    pub fn open(place: &str, base: &Path) -> Result<Self, OfficeError> {
        if place.contains("://") {
            let cause = "this release keeps its store in a folder; name one";
            return Err(OfficeError::BadStore { place: place.to_owned(), cause });
        }
        Self::folder(&base.join(place))
    }

    /// A folder, made if it is not there. Its private half is nobody else's to read.
    pub fn folder(folder: &Path) -> Result<Self, OfficeError> {
        let private = folder.join("p");
        fs::create_dir_all(&private).map_err(OfficeError::file("make", &private))?;
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&private, mode).map_err(OfficeError::file("fence", &private))?;
        let open = |durable| {
            let files = LocalFileSystem::new_with_prefix(folder).map(|files| files.with_fsync(durable));
            files.map(|files| Arc::new(files) as Arc<dyn ObjectStore>).map_err(|source| OfficeError::Store {
                what: "open",
                key: "the folder".to_owned(),
                place: folder.display().to_string(),
                source: Box::new(source),
            })
        };
        let local = Local { folder: folder.to_owned(), lock: private.join("lock") };
        let place = folder.display().to_string();
        Ok(Self { durable: open(true)?, quick: open(false)?, local: Some(Arc::new(local)), place: place.into() })
    }

    /// The folder, if it is one.
    pub fn local(&self) -> Option<&Path> {
        self.local.as_deref().map(|local| local.folder.as_path())
    }

    pub fn place(&self) -> &str {
        &self.place
    }

    /// Refuses a store that takes conditional puts and ignores the condition: two people would undo each other's work.
    pub async fn check(&self) -> Result<(), OfficeError> {
        let bad = |cause| OfficeError::BadStore { place: self.place.to_string(), cause };
        self.create(layout::PROBE, b"1").await?;
        if self.create(layout::PROBE, b"2").await? {
            return Err(bad("it writes over what is there although it was told not to; use another store"));
        }
        let Some(found) = self.get(layout::PROBE).await? else { return Err(bad("it forgets what was written")) };
        // Never the same twice, so that the version before is gone. Another replica may start at the same moment and
        // win: then it has just shown that conditions hold.
        let next = String::from_utf8_lossy(&found.bytes).parse().unwrap_or(0_u64).wrapping_add(1).to_string();
        let mine = self.update(layout::PROBE, next.as_bytes(), &found).await?;
        if mine && self.update(layout::PROBE, b"0", &found).await? {
            return Err(bad("it replaces versions that are not there any more; use another store"));
        }
        Ok(())
    }

    pub async fn get(&self, key: &str) -> Result<Option<Found>, OfficeError> {
        let read = async {
            let result = self.durable.get_opts(&Key::from(key), GetOptions::default()).await?;
            if result.meta.size > OBJECT_MOST {
                let source = "it is larger than anything head office writes".into();
                return Err(Error::Generic { store: "causeway", source });
            }
            let version = UpdateVersion { e_tag: result.meta.e_tag.clone(), version: result.meta.version.clone() };
            Ok(Found { bytes: result.bytes().await?.to_vec(), version })
        };
        match read.await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.error("read", key, source)),
        }
    }

    /// A record, with what is needed to replace it.
    pub async fn record<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, Found)>, OfficeError> {
        let Some(found) = self.get(key).await? else { return Ok(None) };
        match serde_json::from_slice(&found.bytes) {
            Ok(record) => Ok(Some((record, found))),
            Err(source) => Err(OfficeError::Record { key: key.to_owned(), source }),
        }
    }

    /// `false`: it is there already, and stays as it is.
    pub async fn create(&self, key: &str, bytes: &[u8]) -> Result<bool, OfficeError> {
        match self.write(&self.durable, key, bytes, PutMode::Create).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. }) => Ok(false),
            Err(source) => Err(self.error("write", key, source)),
        }
    }

    pub async fn create_record(&self, key: &str, record: &impl Serialize) -> Result<bool, OfficeError> {
        self.create(key, &json(record)).await
    }

    /// `false`: somebody else replaced it in the meantime; read again.
    pub async fn update(&self, key: &str, bytes: &[u8], was: &Found) -> Result<bool, OfficeError> {
        let Some(local) = &self.local else {
            return match self.write(&self.durable, key, bytes, PutMode::Update(was.version.clone())).await {
                Ok(_) => Ok(true),
                Err(Error::Precondition { .. } | Error::NotFound { .. }) => Ok(false),
                Err(source) => Err(self.error("replace", key, source)),
            };
        };
        let _locked = Arc::clone(local).lock().await.map_err(OfficeError::file("lock", &local.lock))?;
        match self.get(key).await? {
            Some(now) if now.bytes == was.bytes => {}
            Some(_) | None => return Ok(false),
        }
        let written = self.write(&self.durable, key, bytes, PutMode::Overwrite).await;
        written.map(|_| true).map_err(|source| self.error("replace", key, source))
    }

    /// `None`: it is new, and must still be. `false`: read again.
    pub async fn replace(&self, key: &str, bytes: &[u8], was: Option<&Found>) -> Result<bool, OfficeError> {
        match was {
            Some(was) => self.update(key, bytes, was).await,
            None => self.create(key, bytes).await,
        }
    }

    /// For what is the same whoever writes it, and can be made again: copies for mirrors.
    pub async fn copy(&self, key: &str, bytes: &[u8]) -> Result<(), OfficeError> {
        let written = self.write(&self.quick, key, bytes, PutMode::Overwrite).await;
        written.map(drop).map_err(|source| self.error("write", key, source))
    }

    /// All keys below, in order.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, OfficeError> {
        let listed = self.durable.list(Some(&Key::from(prefix))).map_ok(|meta| meta.location.to_string());
        let listed: Result<Vec<String>, Error> = listed.try_collect().await;
        let mut keys = listed.map_err(|source| self.error("list", prefix, source))?;
        keys.sort();
        Ok(keys)
    }

    /// What changes whenever the head does and costs next to nothing to ask: of a folder, the file's time and number.
    /// `None`: only reading the head tells.
    pub fn glance(&self) -> Option<(SystemTime, u64)> {
        use std::os::unix::fs::MetadataExt as _;
        let local = self.local.as_ref()?;
        let meta = fs::metadata(local.folder.join(layout::HEAD)).ok()?;
        Some((meta.modified().ok()?, meta.ino()))
    }

    async fn write(
        &self,
        objects: &Arc<dyn ObjectStore>,
        key: &str,
        bytes: &[u8],
        mode: PutMode,
    ) -> Result<PutResult, Error> {
        let options = PutOptions { mode, ..PutOptions::default() };
        objects.put_opts(&Key::from(key), PutPayload::from(bytes.to_vec()), options).await
    }

    fn error(&self, what: &'static str, key: &str, source: Error) -> OfficeError {
        OfficeError::Store { what, key: key.to_owned(), place: self.place.to_string(), source: Box::new(source) }
    }
}

impl Local {
    /// Held by one process at a time, and gone with it.
    async fn lock(self: Arc<Self>) -> io::Result<Flock<File>> {
        let lock = move || {
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&self.lock)?;
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| io::Error::from(error))
        };
        tokio::task::spawn_blocking(lock).await.map_err(io::Error::other)?
    }
}

pub(super) fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records hold nothing that JSON cannot")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn store(name: &str) -> (Store, Folder) {
        let folder = std::env::temp_dir().join(format!("causeway-store-{}-{name}", std::process::id()));
        (Store::folder(&folder).expect("a folder"), Folder(folder))
    }

    #[tokio::test]
    async fn a_folder_keeps_the_two_promises() {
        let (store, _folder) = store("promises");
        store.check().await.expect("conditions hold");
        for _ in 0..3 {
            store.check().await.expect("also the next time");
        }
        assert!(store.create("p/x", b"1").await.expect("written"));
        assert!(!store.create("p/x", b"2").await.expect("refused"));
        let found = store.get("p/x").await.expect("read").expect("there");
        assert_eq!(found.bytes, b"1");
        assert!(store.update("p/x", b"3", &found).await.expect("written"));
        assert!(!store.update("p/x", b"4", &found).await.expect("refused"));
        assert_eq!(store.list("p").await.expect("listed"), ["p/lock", "p/probe", "p/x"]);
    }

    #[tokio::test]
    async fn of_two_who_replace_one_version_one_wins() {
        let (store, _folder) = store("race");
        store.create("p/head", b"0").await.expect("written");
        let found = store.get("p/head").await.expect("read").expect("there");
        let tries = (1..=8_u8).map(|byte| {
            let (store, found) = (store.clone(), found.clone());
            async move { store.update("p/head", &[byte], &found).await.expect("answered") }
        });
        let won = futures_util::future::join_all(tries).await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
    }
}
