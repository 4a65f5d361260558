//! Our files and flags below `/run`. A file is written beside its place and renamed, so that no reader sees half of one;
//! a flag is an empty file that a unit of systemd removes before it acts, so none is lost.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Others read them: networkd and dnsmasq have users of their own.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
/// The largest is the list of fixed hosts: 64 networks of 1,024 hosts, 60 bytes each.
const MOST_BYTES: u64 = 8 << 20;
/// Devices, and as many again: files of one folder that are looked at.
const MOST_FILES: usize = 4_096;
const STAGED: &str = ".new";

/// What could not be done, and where.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct StoreError {
    pub operation: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError { operation, path, source }
}

/// Files of a folder whose name begins with `prefix`; a folder that is not there is empty.
pub(super) fn read_all(folder: &Path, prefix: &str) -> Result<BTreeMap<String, String>, StoreError> {
    let mut files = BTreeMap::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(failed("read the folder", folder)(error)),
    };
    for entry in entries.take(MOST_FILES) {
        let entry = entry.map_err(failed("read the folder", folder))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with(prefix)
            && let Some(text) = read(&folder.join(&name))?
        {
            files.insert(name, text);
        }
    }
    Ok(files)
}

/// `None`: it is not there. What is no text is shown as something that it cannot be, so that it is replaced.
pub(super) fn read(path: &Path) -> Result<Option<String>, StoreError> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed("read", path))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Others look into it, and into what it lies in, whatever our mask is.
pub(super) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folder(parent)?;
    }
    let make = || {
        fs::create_dir(folder)?;
        fs::File::open(folder)?.set_permissions(fs::Permissions::from_mode(FOLDER_MODE))
    };
    make().map_err(failed("make the folder", folder))
}

/// Writes beside the place and reads back what was written.
pub(super) fn stage(folder: &Path, name: &str, text: &str) -> Result<(), StoreError> {
    let path = staged(folder, name);
    let write = || {
        let mut options = fs::File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&path)?;
        // Whatever our mask is.
        file.set_permissions(fs::Permissions::from_mode(FILE_MODE))?;
        file.write_all(text.as_bytes())?;
        drop(file);
        if fs::read(&path)? == text.as_bytes() { Ok(()) } else { Err(io::Error::other("it reads back otherwise")) }
    };
    write().map_err(failed("write", &path))
}

/// What was staged takes its place.
pub(super) fn commit(folder: &Path, name: &str) -> Result<(), StoreError> {
    let path = folder.join(name);
    fs::rename(staged(folder, name), &path).map_err(failed("replace", &path))
}

/// What was staged is dropped; what is not there is no error.
pub(super) fn unstage(folder: &Path, name: &str) -> Result<(), StoreError> {
    remove_path(&staged(folder, name))
}

pub(super) fn remove(folder: &Path, name: &str) -> Result<(), StoreError> {
    remove_path(&folder.join(name))
}

pub(super) fn raise(flags: &Path, flag: &str) -> Result<(), StoreError> {
    make_folder(flags)?;
    let path = flags.join(flag);
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(false).open(&path).map(drop).map_err(failed("raise the flag", &path))
}

fn staged(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".{name}{STAGED}"))
}

fn remove_path(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
