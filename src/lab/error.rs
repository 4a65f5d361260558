//! What can go wrong while a branch is built, as opposed to what a scenario measures.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("cannot {what}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("`{command}` failed in {place}: {said}")]
    Command { command: String, place: String, said: String },
    #[error("this machine refuses network namespaces to this user")]
    Refused {
        #[source]
        source: io::Error,
    },
    #[error("{what} did not happen within {at_most:?}{why}")]
    Timeout { what: String, at_most: std::time::Duration, why: String },
    #[error("scenario {file}: {what}")]
    Scenario { file: String, what: String },
    #[error("{0}")]
    Other(String),
}

impl LabError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { .. } => {
                Some("run it as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)")
            }
            Self::Command { said, .. } if said.contains("not found") => Some("apt install iproute2 nftables"),
            Self::Command { .. } | Self::Io { .. } | Self::Timeout { .. } | Self::Scenario { .. } | Self::Other(_) => {
                None
            }
        }
    }
}

/// Names the operation an I/O error belongs to.
pub(super) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, LabError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|source| LabError::Io { what: what(), source: source.into() })
    }
}
