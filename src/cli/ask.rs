//! The commands that ask the daemon something and print its answer.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::args::duration;
use super::exit::{Check, Exit, Failure, print, put, talk};
use super::ledger;
use super::render::why::Why;
use super::render::{self, View};
use crate::VERSION;
use crate::config::Branch;
use crate::control::io::{Client, ClientError};
use crate::control::keeping::ConfigState;
use crate::control::protocol::{Reply, Request};
use crate::control::status::{SCHEMA_VERSION, Status, whole_ms};
use crate::telemetry::events::EventLine;

/// Takes the name's place in `use auto`.
const AUTOMATIC: &str = "auto";

pub(super) fn status(socket: &Path, check: bool, json: bool, view: &View) -> Result<ExitCode, Failure> {
    let status = Client::connect(socket).map_err(Failure::from).and_then(|mut client| fetch(&mut client));
    if check {
        let verdict = status.as_ref().map_or(Check::Unknown, Check::of);
        let line = match &status {
            Ok(status) => render::status::check(status, verdict),
            Err(failure) => format!("{}: {}", verdict.word(), failure.text().lines().next().unwrap_or_default()),
        };
        print(&format!("{line}\n"))?;
        return Ok(verdict.into());
    }
    let status = status?;
    print(&if json { self::json(&status)? } else { render::status::text(&status, view) })?;
    Ok(Exit::Done.into())
}

pub(super) fn why(socket: &Path, uplink: Option<&str>, json: bool, view: &View) -> Result<(), Failure> {
    let status = fetch(&mut Client::connect(socket)?)?;
    let find = |name: &str| {
        let uplink = status.uplinks.iter().find(|uplink| uplink.name == name);
        uplink.ok_or_else(|| unknown_uplink(name, &status))
    };
    let one = uplink.map(find).transpose()?;
    print(&match one {
        _ if json => self::json(&Why::of(&status, one))?,
        None => render::why::all(&status, view),
        Some(uplink) => render::why::uplink(uplink, &status, view),
    })
}

pub(super) fn events(
    socket: &Path,
    since: Option<Duration>,
    follow: bool,
    json: bool,
    view: &View,
) -> Result<(), Failure> {
    let mut client = Client::connect(socket)?;
    if let Some(since) = since {
        for line in ledger::before_this_run(&mut client, whole_ms(since))? {
            if !put(&if json { event_json(&line)? } else { render::events::line(&line, view) })? {
                return Ok(());
            }
        }
    }
    let mut reply = Some(client.call(&Request::Events { since_ms: since.map(whole_ms), follow })?);
    let mut last = None;
    while let Some(Reply::Events(lines)) = reply {
        for line in &lines {
            if let Some(last) = last
                && line.seq > last + 1
            {
                talk(&format!("{} events were left out: this end reads too slowly\n", line.seq - last - 1));
            }
            last = Some(line.seq);
            if !put(&if json { event_json(line)? } else { render::events::line(line, view) })? {
                return Ok(());
            }
        }
        if !follow {
            if lines.is_empty() && std::io::stdout().is_terminal() {
                talk("nothing happened\n");
            }
            return Ok(());
        }
        reply = client.next_events()?;
    }
    if reply.is_some() { Err(ClientError::Unexpected.into()) } else { Err(ClientError::Closed.into()) }
}

pub(super) fn prefer(socket: &Path, uplink: String, for_time: &[String]) -> Result<(), Failure> {
    let usage = |error: String| Failure::new(Exit::Usage, error).hint("causeway use <UPLINK> [for <TIME>]");
    let for_ms = match for_time {
        [] => None,
        [word, time] if word == "for" => Some(whole_ms(duration(time).map_err(usage)?)),
        [word, ..] => return Err(usage(format!("`for` is expected after the uplink, not {word:?}"))),
    };
    let request = match (uplink.as_str(), for_ms) {
        (AUTOMATIC, None) => Request::UseAutomatic,
        (AUTOMATIC, Some(_)) => return Err(usage("`use auto` has no time: it is how things are".to_owned())),
        (_, for_ms) => Request::Use { uplink, for_ms },
    };
    change(socket, &request)
}

pub(super) fn change(socket: &Path, request: &Request) -> Result<(), Failure> {
    let Reply::Done(sentence) = Client::connect(socket)?.call(request)? else {
        return Err(ClientError::Unexpected.into());
    };
    print(&format!("{sentence}\n"))
}

/// Which config runs, and what became of the last change.
pub(super) fn config_why(socket: &Path, json: bool) -> Result<(), Failure> {
    let state = config_state(socket)?;
    print(&if json {
        self::json(&Keeping { schema_version: SCHEMA_VERSION, state: &state })?
    } else {
        render::keeping::why(&state)
    })
}

pub(super) fn config_history(socket: &Path, json: bool, view: &View) -> Result<(), Failure> {
    let state = config_state(socket)?;
    print(&if json { self::json(&state.history)? } else { render::keeping::history(&state, view) })
}

/// `config why --json`.
#[derive(Serialize)]
struct Keeping<'a> {
    schema_version: u16,
    #[serde(flatten)]
    state: &'a ConfigState,
}

fn config_state(socket: &Path) -> Result<ConfigState, Failure> {
    let Reply::ConfigState(state) = Client::connect(socket)?.call(&Request::ConfigState)? else {
        return Err(ClientError::Unexpected.into());
    };
    Ok(*state)
}

/// The config that the daemon runs with.
pub(super) fn in_force(socket: &Path) -> Result<Branch, Failure> {
    let Reply::InForce(branch) = Client::connect(socket)?.call(&Request::ConfigShow)? else {
        return Err(ClientError::Unexpected.into());
    };
    Ok(*branch)
}

/// The daemon's release is told if it runs; that it does not is no failure here.
pub(super) fn version(socket: &Path, json: bool) -> Result<(), Failure> {
    let daemon = Client::connect(socket).and_then(|mut client| client.call(&Request::Version));
    let daemon = match daemon {
        Ok(Reply::Version(version)) => Some(version),
        Ok(_) | Err(_) => None,
    };
    if json {
        return print(&self::json(&Version { schema_version: SCHEMA_VERSION, version: VERSION, daemon })?);
    }
    let daemon = daemon.as_deref().unwrap_or("does not answer");
    print(&format!("causeway {VERSION}\ndaemon   {daemon}\n"))
}

/// `version --json`.
#[derive(Serialize)]
struct Version {
    schema_version: u16,
    /// Of this program.
    version: &'static str,
    /// Of the daemon; null while it does not answer.
    daemon: Option<String>,
}

pub(super) fn fetch(client: &mut Client) -> Result<Status, Failure> {
    let Reply::Status(status) = client.call(&Request::Status)? else { return Err(ClientError::Unexpected.into()) };
    Ok(*status)
}

fn unknown_uplink(name: &str, status: &Status) -> Failure {
    let names: Vec<_> = status.uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
    Failure::new(Exit::Failed, format!("there is no uplink {name:?}")).hint(format!("uplinks: {}", names.join(", ")))
}

fn json(answer: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(answer).map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(format!("{text}\n"))
}

fn event_json(line: &EventLine) -> Result<String, Failure> {
    let text = render::events::json(line).map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(format!("{text}\n"))
}
