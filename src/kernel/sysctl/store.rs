//! Reads and writes `/proc/sys`. proc(5).

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{Found, Need, Unmet};

/// `/proc/sys`, or another folder in tests.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot set {key} to {value}")]
pub struct SetError {
    pub key: String,
    pub value: &'static str,
    #[source]
    pub source: io::Error,
}

impl Store {
    pub fn open() -> Self {
        Self::at(Path::new("/proc/sys"))
    }

    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// What is not as needed.
    pub fn check(&self, needs: &[Need]) -> Vec<Unmet> {
        needs.iter().filter_map(|need| self.check_one(need)).collect()
    }

    /// Writes the needed value and reads it back.
    pub fn set(&self, need: &Need) -> Result<(), SetError> {
        let value = need.value();
        let error = |source| SetError { key: need.key.clone(), value, source };
        fs::write(self.root.join(&need.key), value).map_err(error)?;
        match self.check_one(need) {
            None => Ok(()),
            Some(unmet) => Err(error(io::Error::other(unmet.to_string()))),
        }
    }

    fn check_one(&self, need: &Need) -> Option<Unmet> {
        let found = match fs::read_to_string(self.root.join(&need.key)) {
            Ok(value) if need.is_met(&value) => return None,
            Ok(value) => Found::Value(value.trim().replace('\t', " ")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
            Err(error) => Found::Unreadable(error.to_string()),
        };
        Some(Unmet { need: need.clone(), found })
    }
}
