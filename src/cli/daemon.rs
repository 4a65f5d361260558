//! The verbs that start the daemon or speak to the kernel in its place.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::args::RunArgs;
use super::exit::{Exit, Failure, print, talk};
use crate::apply::services::Paths;
use crate::config;
use crate::config::Branch;
use crate::control::io::BindError;
use crate::control::protocol::{CONFIG_BYTES, Request};
use crate::daemon::{Hardware, Options, Planned, RunError};

pub(super) fn run(args: RunArgs, socket: &Path) -> Result<(), Failure> {
    let (config, config_text) = read(&args.config)?;
    let hardware = Hardware::read(&args.device).map_err(|error| {
        Failure::new(Exit::BadData, error).hint("it says model = \"…\" and serial = \"…\", or is not there")
    })?;
    let paths = || match &args.run_dir {
        Some(folder) => Paths::below(folder),
        None => Paths::system(),
    };
    let options = Options {
        config,
        config_digest: digest(config_text.as_bytes()),
        config_text,
        config_file: args.config,
        state: args.state,
        socket: socket.to_owned(),
        record: args.record,
        claim: args.claim,
        hardware,
        services: args.services.map(|backend| (backend.into(), paths())),
    };
    crate::daemon::run(options).map_err(failure)
}

pub(super) fn teardown() -> Result<(), Failure> {
    let done = crate::daemon::teardown().map_err(failure)?;
    let text: String = done.iter().map(|step| format!("{step}\n")).collect();
    print(if text.is_empty() { "nothing of ours was there\n" } else { &text })
}

/// 0: nothing would change; 1: something would, or it cannot be said.
pub(super) fn plan(file: &Path, as_json: bool) -> Result<ExitCode, Failure> {
    let (config, _) = read(file)?;
    let Planned { steps, remarks, complete } = crate::daemon::plan(&config.gateway).map_err(failure)?;
    let right = steps.is_empty() && complete;
    if as_json {
        let answer = json!({
            "schema_version": 1,
            "right": right,
            "complete": complete,
            "file": file.display().to_string(),
            "changes": steps,
            "notes": remarks,
        });
        print(&format!("{answer:#}\n"))?;
    } else {
        for remark in &remarks {
            talk(&format!("note: {remark}\n"));
        }
        let text: String = steps.iter().map(|step| format!("{step}\n")).collect();
        print(match (text.as_str(), complete) {
            ("", true) => "nothing would change\n",
            ("", false) => "nothing of what could be compared would change\n",
            (text, _) => text,
        })?;
    }
    Ok(if right { Exit::Done.into() } else { Exit::Failed.into() })
}

/// The daemon tries it; here it is only checked, so that all faults are shown.
pub(super) fn apply(file: &Path, unattended: bool, socket: &Path) -> Result<(), Failure> {
    let (_, text) = read(file)?;
    if text.len() > CONFIG_BYTES {
        let said = format!("{} has {} bytes; at most {CONFIG_BYTES} can be applied", file.display(), text.len());
        return Err(Failure::new(Exit::Usage, said).hint("give it to `causeway run --config`, and restart the daemon"));
    }
    super::ask::change(socket, &Request::ConfigApply { text, unattended })
}

/// The config and its text.
pub(super) fn read(file: &Path) -> Result<(Branch, String), Failure> {
    let text = super::config::read(file).map_err(|source| {
        let (exit, hint) = super::config::cannot_read(source.kind());
        Failure::new(exit, Unread { file: file.display().to_string(), source }).hint(hint)
    })?;
    match config::parse_branch(&file.display().to_string(), &text) {
        Ok(config) => Ok((config, text)),
        Err(faults) => {
            talk(&format!("{faults}\n"));
            let said = format!("{} is not a valid config", file.display());
            Err(Failure::new(Exit::Usage, said).hint("`causeway config check FILE` shows every fault"))
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read {file}")]
struct Unread {
    file: String,
    source: io::Error,
}

/// FNV-1a, 64 bits: tells two texts apart for a person; nothing trusts it.
fn digest(bytes: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

fn failure(error: RunError) -> Failure {
    let exit = match &error {
        RunError::NotPermitted { .. } => Exit::NotPermitted,
        RunError::SecondInstance { .. } | RunError::Control { source: BindError::Live { .. } } => Exit::NotNow,
        RunError::Keeper { .. }
        | RunError::State { .. }
        | RunError::Runtime { .. }
        | RunError::Kernel { .. }
        | RunError::Apply { .. }
        | RunError::Filter { .. }
        | RunError::Control { source: BindError::Io { .. } }
        | RunError::Record { .. } => Exit::Failed,
    };
    let hint = error.hint();
    let failure = Failure::new(exit, error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
