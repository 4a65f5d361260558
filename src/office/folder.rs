//! The fleet's folder at head office: what is written there, the keys that lie in it, and the root that it trusts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::OfficeError;
use super::keyfile::{KeyFile, write_new};
use super::layout;
use super::publish;
use super::store::Store;
use crate::config::fleet::{self, Fleet, Office};
use crate::trust::digest::Digest;
use crate::trust::keys::{Role, Signer};
use crate::trust::root::TrustedRoot;

/// SHA-256 of root document 1: what claims name, and what this folder believes.
pub const ROOT_DIGEST: &str = "keys/root.sha256";
/// Where the store is when office.toml does not say.
const STORE: &str = "store";

/// A folder whose texts were read and checked.
#[derive(Debug)]
pub struct Folder {
    pub path: PathBuf,
    pub files: Vec<(String, String)>,
    pub fleet: Fleet,
    pub office: Office,
}

impl Folder {
    pub fn open(path: &Path, files: Vec<(String, String)>) -> Result<Self, OfficeError> {
        Self::open_without(path, files, &BTreeSet::new())
    }

    /// Without these sites, which may be wrong.
    pub fn open_without(
        path: &Path,
        files: Vec<(String, String)>,
        left_out: &BTreeSet<String>,
    ) -> Result<Self, OfficeError> {
        if !files.iter().any(|(name, _)| name == "office.toml") {
            return Err(OfficeError::NoFleet { path: path.to_owned() });
        }
        let fleet = fleet::check_without(&path.display().to_string(), &files, left_out);
        let fleet = fleet.map_err(OfficeError::Faults)?;
        if let Some(unknown) = left_out.difference(&fleet.left_out).next() {
            return Err(OfficeError::Usage {
                what: format!("there is no site {unknown} to leave out"),
                hint: "name it as the inventory does".to_owned(),
            });
        }
        let office = fleet.office.clone().ok_or_else(|| OfficeError::NoFleet { path: path.to_owned() })?;
        Ok(Self { path: path.to_owned(), files, fleet, office })
    }

    pub fn store(&self) -> Result<Store, OfficeError> {
        store(&self.path, &self.office)
    }

    /// The newest root, followed from the one that this folder names.
    pub async fn root(&self, store: &Store) -> Result<TrustedRoot, OfficeError> {
        let path = self.path.join(ROOT_DIGEST);
        newest_root(store, &read_digest(&path)?).await.map(|roots| roots.newest)
    }

    /// Private keys in `keys/` that the root gives this role, by name.
    pub fn keys(&self, root: &TrustedRoot, role: Role) -> Result<Vec<(PathBuf, KeyFile)>, OfficeError> {
        let mut found = Vec::new();
        for path in key_files(&self.path.join("keys"))? {
            let file = KeyFile::read(&path)?;
            if root.root().role(role).keys.contains(&file.public) {
                found.push((path, file));
            }
        }
        Ok(found)
    }

    /// The key to sign with: the named file, or the first in the folder that the root gives this role.
    pub fn signer(
        &self,
        root: &TrustedRoot,
        role: Role,
        named: Option<&Path>,
        passphrase: &mut dyn FnMut(&str) -> Result<String, OfficeError>,
    ) -> Result<Signer, OfficeError> {
        let name = match role {
            Role::Root => "root",
            Role::Release => "release",
            Role::Online => "online",
        };
        let missing = || OfficeError::NoKey { role: name, version: root.root().version };
        let file = match named {
            Some(path) => KeyFile::read(path)?,
            None => self.keys(root, role)?.into_iter().next().ok_or_else(missing)?.1,
        };
        if !root.root().role(role).keys.contains(&file.public) {
            return Err(missing());
        }
        if file.is_bare() { file.open("") } else { file.open(&passphrase(&file.name)?) }
    }

    /// Takes a key out of the folder once it lies where it belongs.
    pub fn forget(&self, name: &str) -> Result<PathBuf, OfficeError> {
        let path = self.path.join("keys").join(format!("{name}.key"));
        let known = key_files(&self.path.join("keys"))?.contains(&path);
        if !known {
            let what = format!("there is no key {name} in {}", self.path.join("keys").display());
            return Err(OfficeError::Refused { what, hint: "name it as its file, without .key".to_owned() });
        }
        fs::remove_file(&path).map_err(OfficeError::file("remove", &path))?;
        Ok(path)
    }
}

/// The store that the fleet in this folder has.
pub fn store(path: &Path, office: &Office) -> Result<Store, OfficeError> {
    Store::open(office.store.as_deref().unwrap_or(STORE), path)
}

/// All roots that were followed, first to newest.
#[derive(Clone, Debug)]
pub struct Roots {
    pub documents: Vec<Vec<u8>>,
    pub newest: TrustedRoot,
}

pub async fn newest_root(store: &Store, first: &Digest) -> Result<Roots, OfficeError> {
    let untrusted = |version: u32| move |source| OfficeError::Untrusted { what: format!("root {version}"), source };
    let missing = |version: u32| OfficeError::Refused {
        what: format!("root {version} is not in the store {}", store.place()),
        hint: "is this the store of this fleet?".to_owned(),
    };
    let head = publish::head(store).await?;
    let bytes = store.get(&layout::root(1)).await?.ok_or_else(|| missing(1))?.bytes;
    let mut newest = TrustedRoot::pinned(&bytes, first).map_err(untrusted(1))?;
    let mut documents = vec![bytes];
    for version in 2..=head.root {
        let bytes = store.get(&layout::root(version)).await?.ok_or_else(|| missing(version))?.bytes;
        newest = newest.next(&bytes).map_err(untrusted(version))?;
        documents.push(bytes);
    }
    Ok(Roots { documents, newest })
}

pub fn read_digest(path: &Path) -> Result<Digest, OfficeError> {
    let text = fs::read_to_string(path).map_err(OfficeError::file("read", path))?;
    Digest::from_hex(text.trim()).ok_or_else(|| OfficeError::Refused {
        what: format!("{} holds no digest", path.display()),
        hint: "it has the 64 digits that `causeway office init` wrote".to_owned(),
    })
}

pub fn write_digest(path: &Path, digest: &Digest) -> Result<(), OfficeError> {
    write_new(path, format!("{digest}\n").as_bytes(), 0o644)
}

fn key_files(folder: &Path) -> Result<Vec<PathBuf>, OfficeError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(OfficeError::file("read", folder))? {
        let path = entry.map_err(OfficeError::file("read", folder))?.path();
        if path.extension().is_some_and(|end| end == "key") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
