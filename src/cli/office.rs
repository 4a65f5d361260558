//! `causeway office …`: what head office's people type. Each command reads the fleet's folder and the store, does one
//! thing, and says what it did.

mod args;
mod ask;
mod make;
mod serve;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::config;
use super::exit::{Exit, Failure, print, talk};
use crate::config::Fault;
use crate::config::fleet::{Office, check_office_file};
use crate::office::folder::Folder;
use crate::office::{Class, OfficeError};

pub use args::{OfficeArgs, OfficeCommand};

/// Where init makes the fleet, and where the other commands look for it.
const FLEET: &str = "fleet";

/// Runs the command on a runtime of its own; gives the exit code.
pub fn run(args: OfficeArgs) -> Result<u8, Failure> {
    let OfficeArgs { fleet, state, command } = args;
    let place = Place { fleet, state };
    if let OfficeCommand::Serve(args) = command {
        return serve::serve(&place, args).map(|()| Exit::Done as u8);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, error))?;
    runtime.block_on(async {
        match command {
            OfficeCommand::Init(args) => make::init(&place, args).await,
            OfficeCommand::Check { json } => make::check(&place, json),
            OfficeCommand::Preview(args) => show::preview(&place, args).await,
            OfficeCommand::Release(args) => make::release(&place, args).await,
            OfficeCommand::Sign(args) => make::sign(&place, args).await,
            OfficeCommand::Claim(args) => make::claim(&place, args).await,
            OfficeCommand::Assign(args) => make::assign(&place, args).await,
            OfficeCommand::Approve { device, json } => make::approve(&place, &device, json).await,
            OfficeCommand::Status { site, json } => show::status(&place, site.as_deref(), json).await,
            OfficeCommand::Audit { json } => show::audit(&place, json).await,
            OfficeCommand::Keys { command, json } => show::keys(&place, command, json).await,
            OfficeCommand::Serve(_) => Ok(Exit::Usage as u8),
        }
    })
}

/// Where the folders are.
struct Place {
    fleet: Option<PathBuf>,
    state: Option<PathBuf>,
}

impl Place {
    /// As named; else here, if this is a fleet; else `fleet/` here.
    fn fleet(&self) -> PathBuf {
        match &self.fleet {
            Some(path) => path.clone(),
            None if Path::new("office.toml").exists() => PathBuf::from("."),
            None => PathBuf::from(FLEET),
        }
    }

    /// As named; else beside the fleet, never in it: the fleet's folder is kept in Git.
    fn state(&self) -> PathBuf {
        match &self.state {
            Some(path) => path.clone(),
            None if self.fleet() == Path::new(".") => PathBuf::from("../office-state"),
            None => {
                self.fleet().parent().map_or_else(|| PathBuf::from("office-state"), |path| path.join("office-state"))
            }
        }
    }

    /// For what compiles nothing: a branch with wrong values is passed over, and said to be.
    fn open(&self) -> Result<Folder, Failure> {
        let path = self.fleet();
        let files = self.files()?;
        let faults = match Folder::open(&path, files.clone()) {
            Err(OfficeError::Faults(faults)) => faults,
            opened => return Ok(opened?),
        };
        let site = |fault: &Fault| Some(fault.file.strip_prefix("sites/")?.strip_suffix(".toml")?.to_owned());
        let Some(wrong) = faults.faults.iter().map(site).collect::<Option<BTreeSet<String>>>() else {
            return Err(OfficeError::Faults(faults).into());
        };
        let names: Vec<&str> = wrong.iter().map(String::as_str).collect();
        talk(&format!("passing over {}: causeway office check says what is wrong\n", names.join(", ")));
        Ok(Folder::open_without(&path, files, &wrong)?)
    }

    /// All that the server needs of it.
    fn settings(&self) -> Result<Office, Failure> {
        let file = self.fleet().join("office.toml");
        if !file.exists() {
            return Err(OfficeError::NoFleet { path: self.fleet() }.into());
        }
        let text = config::read(&file).map_err(OfficeError::file("read", &file))?;
        Ok(check_office_file(&file.display().to_string(), &text).map_err(OfficeError::Faults)?)
    }

    fn files(&self) -> Result<Vec<(String, String)>, Failure> {
        let path = self.fleet();
        if !path.join("office.toml").exists() {
            return Err(OfficeError::NoFleet { path }.into());
        }
        Ok(config::folder(&path).map_err(OfficeError::file("read", &path))?)
    }

    /// Without these sites, and why.
    fn open_without(&self, left_out: &BTreeMap<String, String>) -> Result<Folder, Failure> {
        let (path, files) = (self.fleet(), self.files()?);
        Ok(Folder::open_without(&path, files, &left_out.keys().cloned().collect())?)
    }
}

impl From<OfficeError> for Failure {
    fn from(error: OfficeError) -> Self {
        let exit = match error.class() {
            Class::Refused => Exit::Failed,
            Class::Usage => Exit::Usage,
            Class::Unreachable => Exit::NotRunning,
            Class::NotPermitted => Exit::NotPermitted,
        };
        let hint = error.hint();
        if let OfficeError::Faults(faults) = error {
            talk(&format!("{faults}\n"));
            return Self::new(exit, "the fleet's config is not valid").hint("nothing was done; mend it, and try again");
        }
        let failure = Self::new(exit, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

fn say(text: &str) -> Result<u8, Failure> {
    print(text)?;
    Ok(Exit::Done as u8)
}

fn say_json(answer: &impl Serialize) -> Result<u8, Failure> {
    let text = serde_json::to_string_pretty(answer).map_err(|error| Failure::new(Exit::Failed, error))?;
    say(&format!("{text}\n"))
}

/// Who types, for the records.
fn by() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let name = name.filter(|name| !name.is_empty() && name.len() <= 64 && !name.chars().any(char::is_control));
    name.unwrap_or_else(|| "office".to_owned())
}
