//! Reads what a person names on the command line: the file of one gateway, a standard, or the folder of a fleet.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::config::fleet::{self, Fleet, Standard};
use crate::config::model::limits;
use crate::config::{self, Branch, Faults};

/// Files of a fleet's folder that are read; a branch each, and a few more.
const FILES_MOST: usize = 100_100;

/// What was named.
pub enum Loaded {
    Gateway(Box<Branch>),
    Standard(Standard),
    Fleet(Box<Fleet>),
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {name}")]
    Unread { name: String, source: io::Error },
    #[error("{0}")]
    Faults(Faults),
}

pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let name = path.display().to_string();
    let unread = |source| LoadError::Unread { name: name.clone(), source };
    if path.is_dir() {
        let files = folder(path).map_err(unread)?;
        return fleet::check(&name, &files).map(|fleet| Loaded::Fleet(Box::new(fleet))).map_err(LoadError::Faults);
    }
    let text = read(path).map_err(unread)?;
    if config::is_standard(&text) {
        return fleet::check_standard_file(&name, &text).map(Loaded::Standard).map_err(LoadError::Faults);
    }
    config::parse_branch(&name, &text).map(|branch| Loaded::Gateway(Box::new(branch))).map_err(LoadError::Faults)
}

/// One byte more than allowed is enough to be refused.
pub fn read(file: &Path) -> io::Result<String> {
    let most = u64::try_from(limits::FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(file)?.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limits::FILE_BYTES {
        // A character may have been cut; the length is what matters.
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// The files of a fleet, by names relative to its folder.
pub fn folder(path: &Path) -> io::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for sub in ["", "standard", "sites"] {
        let entries = match fs::read_dir(path.join(sub)) {
            Ok(entries) => entries,
            Err(error) if !sub.is_empty() && error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".toml") || files.len() >= FILES_MOST {
                continue;
            }
            let name = if sub.is_empty() { name } else { format!("{sub}/{name}") };
            files.push((name, read(&entry.path())?));
        }
    }
    files.sort();
    Ok(files)
}
