//! What can go wrong at head office, for the person at its command line.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Faults;
use crate::config::sections::SectionError;
use crate::trust::bounded::OutOfBounds;
use crate::trust::document::Unfit;
use crate::trust::refusal::Refusal;

#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    #[error("cannot {what} {}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not the folder of a fleet", path.display())]
    NoFleet { path: PathBuf },
    #[error("{} is there already", path.display())]
    Exists { path: PathBuf },
    #[error("{0}")]
    Faults(Faults),
    #[error("cannot {what} {key} in the store {place}")]
    Store { what: &'static str, key: String, place: String, source: Box<object_store::Error> },
    #[error("the store {place} cannot be used")]
    BadStore { place: String, cause: &'static str },
    #[error("{key} in the store does not read as what it should be")]
    Record { key: String, source: serde_json::Error },
    #[error("{what} does not verify")]
    Untrusted { what: String, source: Refusal },
    #[error("{} is no key file of this program", path.display())]
    KeyFile { path: PathBuf },
    #[error("the passphrase does not open {name}")]
    Passphrase { name: String },
    #[error("there is no {role} key here that root {version} names")]
    NoKey { role: &'static str, version: u32 },
    #[error("site {site} does not compile")]
    Site { site: String, source: Box<SectionError> },
    #[error("{what} does not fit its document")]
    TooLong { what: &'static str, source: OutOfBounds },
    #[error("{what} cannot be made")]
    Unfit { what: &'static str, source: Unfit },
    #[error("cannot make the certificate of the server")]
    Certificate { source: rcgen::Error },
    #[error("the certificate or its key cannot be used")]
    Tls { source: rustls::Error },
    #[error("{what}")]
    Refused { what: String, hint: String },
    #[error("{what}")]
    Usage { what: String, hint: String },
    #[error("cannot {what}")]
    Network { what: String, source: io::Error },
    #[error("there is no randomness to be had")]
    Random,
}

/// What a script needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Refused,
    /// Wrong use, or an invalid config.
    Usage,
    Unreachable,
    NotPermitted,
}

impl OfficeError {
    pub fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }

    pub fn class(&self) -> Class {
        match self {
            Self::File { source, .. } | Self::Network { source, .. } => {
                let kind = source.kind();
                if kind == io::ErrorKind::PermissionDenied {
                    Class::NotPermitted
                } else if [io::ErrorKind::AddrInUse, io::ErrorKind::AddrNotAvailable].contains(&kind) {
                    Class::Unreachable
                } else {
                    Class::Refused
                }
            }
            Self::Passphrase { .. } | Self::NoKey { .. } => Class::NotPermitted,
            Self::NoFleet { .. } | Self::Faults(_) | Self::Usage { .. } | Self::Site { .. } | Self::TooLong { .. } => {
                Class::Usage
            }
            Self::Store { .. } | Self::BadStore { .. } => Class::Unreachable,
            Self::Exists { .. }
            | Self::Record { .. }
            | Self::Untrusted { .. }
            | Self::KeyFile { .. }
            | Self::Unfit { .. }
            | Self::Certificate { .. }
            | Self::Tls { .. }
            | Self::Refused { .. }
            | Self::Random => Class::Refused,
        }
    }

    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoFleet { .. } => "name it with --fleet, or make one: causeway office init",
            Self::Exists { .. } => "nothing is written over; take another folder, or move it away",
            Self::Store { .. } => "is the store of office.toml there, and may you write to it?",
            Self::BadStore { cause, .. } => cause,
            Self::Record { .. } => "was it written by a newer release?",
            Self::KeyFile { .. } => "name a file that `causeway office init` made",
            Self::Passphrase { .. } => "it is the one that `causeway office init` asked for",
            Self::NoKey { .. } => "bring the stick with the key, and name the file with --key",
            Self::Refused { hint, .. } | Self::Usage { hint, .. } => hint,
            Self::File { .. }
            | Self::Faults(_)
            | Self::Untrusted { .. }
            | Self::Site { .. }
            | Self::TooLong { .. }
            | Self::Unfit { .. }
            | Self::Certificate { .. }
            | Self::Tls { .. }
            | Self::Network { .. }
            | Self::Random => return None,
        };
        Some(hint.to_owned())
    }
}
