//! How a command ends: a code that scripts can rely on, and for people what failed, why, and what to do.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::control::io::ClientError;
use crate::control::protocol::RefusalKind;
use crate::control::status::{InternetState, Status};
use crate::health::State;

/// Shown by `--help`.
pub(super) const HELP: &str = "\
Exit codes:
  0   done                             69  the daemon is not running
  1   refused or failed                75  not now: try again
  64  wrong usage, or invalid config   77  not permitted
  65  bad data
  status --check: 0 ok, 1 warning, 2 critical, 3 unknown
  config plan: 0 nothing would change, 1 something would";

/// As in `sysexits.h`, so that a shell script can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    /// Also a config that is not valid: somebody has to write it otherwise.
    Usage = 64,
    BadData = 65,
    NotRunning = 69,
    NotNow = 75,
    NotPermitted = 77,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What `status --check` says, in the codes that monitoring plugins use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Check {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl Check {
    /// Down is critical; anything less than every line up on the first choice is a warning; no evidence is unknown.
    pub fn of(status: &Status) -> Self {
        let doubtful = |state: State| match state {
            State::Up | State::Disabled | State::Suspect => false,
            State::Degraded | State::Down | State::Probation | State::Unknown => true,
        };
        match status.internet.state {
            InternetState::Down => Self::Critical,
            InternetState::Unknown => Self::Unknown,
            InternetState::Backup => Self::Warning,
            InternetState::Primary => {
                let mut lines = status.uplinks.iter().flat_map(|uplink| &uplink.families);
                let odd = !status.warnings.is_empty() || status.lock.is_some();
                if odd || lines.any(|line| doubtful(line.state)) { Self::Warning } else { Self::Ok }
            }
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl From<Check> for ExitCode {
    fn from(check: Check) -> Self {
        Self::from(check as u8)
    }
}

/// A command that did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, error: error.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// `error:`, then each cause once, then `hint:`.
    pub fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.error);
        let mut cause = self.error.source();
        while let Some(error) = cause {
            text.push_str(&format!("  caused by: {error}\n"));
            cause = error.source();
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("  hint: {hint}\n"));
        }
        text
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (exit, hint) = match &error {
            ClientError::NotRunning { path, .. } => (
                Exit::NotRunning,
                Some(format!("systemctl status causeway; its socket is expected at {}", path.display())),
            ),
            ClientError::NotPermitted { .. } => {
                (Exit::NotPermitted, Some("run it as root, or as a member of the socket's group".to_owned()))
            }
            ClientError::Silent => (Exit::NotNow, Some("try again; if it stays so: journalctl -u causeway".to_owned())),
            ClientError::Closed | ClientError::Io(_) => {
                (Exit::NotNow, Some("it may be restarting: try again".to_owned()))
            }
            ClientError::Frame(_) | ClientError::Unexpected => (
                Exit::Failed,
                Some("the command and the daemon may be of different releases: restart causeway.service".to_owned()),
            ),
            ClientError::Refused(refusal) => {
                let exit = match refusal.kind {
                    RefusalKind::NotPermitted => Exit::NotPermitted,
                    RefusalKind::NotNow => Exit::NotNow,
                    RefusalKind::NotFound | RefusalKind::Version | RefusalKind::Failed => Exit::Failed,
                };
                (exit, refusal.hint.clone())
            }
        };
        Self { exit, error: error.into(), hint }
    }
}

/// Writes to stdout. Who closed the pipe has seen enough: that is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    put(text).map(|_| ())
}

/// Writes to stdout at once; `false`: the reader has gone.
pub fn put(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(Exit::Failed, error).hint("the output could not be written")),
    }
}

/// Writes to stderr; if that fails nobody is left to tell.
pub fn talk(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
