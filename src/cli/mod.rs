//! Arguments, printing, exit codes. What a command prints is made by [`render`] from the daemon's status, so it is the
//! same as in the metrics; nothing is decided here.

pub mod args;
mod ask;
pub mod config;
mod console;
mod daemon;
pub mod exit;
#[cfg(feature = "lab")]
pub mod lab;
mod ledger;
#[cfg(feature = "manual")]
mod manual;
#[cfg(feature = "office")]
pub mod office;
mod ports;
pub mod render;
mod shell;
pub mod sim;
mod watch;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use args::{Args, Color, Command, ConfigCommand, FrontArgs};
use exit::{Exit, Failure};
use render::View;

use crate::control::protocol::Request;
use crate::control::status::Status;
use crate::telemetry::runbooks::{self, RUNBOOKS};

/// The whole program.
pub fn run() -> ExitCode {
    let args = match Args::try_parse_from(arguments()) {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    match dispatch(args) {
        Ok(code) => code,
        Err(failure) => {
            exit::talk(&failure.text());
            failure.exit.into()
        }
    }
}

/// Under its name as a login shell the program is that shell; sshd puts a "-" before it.
fn arguments() -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    let called = arguments.first().map(|name| Path::new(name).file_name().unwrap_or(name).to_owned());
    if called.is_some_and(|name| name.to_str().is_some_and(|name| name.trim_start_matches('-') == shell::NAME)) {
        arguments.splice(..1, ["causeway".into(), "shell".into()]);
    }
    arguments
}

fn dispatch(Args { socket, color, command }: Args) -> Result<ExitCode, Failure> {
    let view = || View::of_terminal(colored(color));
    match command {
        Command::Status { check, json } => return ask::status(&socket, check, json, &view()),
        Command::Why { uplink, json } => ask::why(&socket, uplink.as_deref(), json, &view()),
        Command::Watch { plain } => watch::run(&socket, plain, &view()),
        Command::Events { since, follow, json } => ask::events(&socket, since, follow, json, &view()),
        Command::Outages { month, uplink, json, state } => {
            ledger::outages(&socket, state.as_deref(), month, uplink.as_deref(), json)
        }
        Command::Report(args) => ledger::report(&socket, args),
        Command::Use { uplink, for_time } => ask::prefer(&socket, uplink, &for_time),
        Command::Lock => ask::change(&socket, &Request::Lock),
        Command::Unlock => ask::change(&socket, &Request::Unlock),
        Command::Drill { uplink } => ask::change(&socket, &Request::Drill { uplink }),
        Command::Runbook { name } => runbook(name.as_deref()),
        Command::Version { json } => ask::version(&socket, json),
        Command::Front(args) => front(args, &socket),
        Command::Shell { command } => return shell::run(command.as_deref(), &socket),
        Command::Console { once } => return console::run(&socket, once, &view()),
        Command::Run(args) => daemon::run(args, &socket),
        Command::Ports(args) => ports::run(&args),
        Command::Teardown => daemon::teardown(),
        Command::Replay { file } => return Ok(ExitCode::from(sim::replay(&file))),
        Command::Config(ConfigCommand::Check { file, json }) => return config_check(&file, json),
        Command::Config(ConfigCommand::Plan { file, json }) => return daemon::plan(&file, json),
        Command::Config(ConfigCommand::Show { path, site, resolved, json }) => {
            config::show(path.as_deref(), &socket, site.as_deref(), resolved, json)
        }
        Command::Config(ConfigCommand::Diff { paths, json }) => {
            return config::differ(&paths, &socket, json).map(ExitCode::from);
        }
        Command::Config(ConfigCommand::Apply { file, unattended }) => daemon::apply(&file, unattended, &socket),
        Command::Config(ConfigCommand::Why { json }) => ask::config_why(&socket, json),
        Command::Config(ConfigCommand::History { json }) => ask::config_history(&socket, json, &view()),
        Command::Config(ConfigCommand::Confirm) => ask::change(&socket, &Request::ConfigConfirm),
        Command::Config(ConfigCommand::Rollback) => ask::change(&socket, &Request::ConfigRollBack),
        Command::Config(ConfigCommand::Retry) => ask::change(&socket, &Request::ConfigRetry),
        Command::Config(ConfigCommand::Schema { kind }) => {
            config::schema(&kind, &mut std::io::stdout()).map(drop).map_err(|error| Failure::new(Exit::Failed, error))
        }
        #[cfg(feature = "manual")]
        Command::Completions { shell } => manual::completions(shell),
        #[cfg(feature = "manual")]
        Command::Man { folder } => manual::man(folder.as_deref()),
        #[cfg(feature = "office")]
        Command::Office(args) => return office::run(args).map(ExitCode::from),
        #[cfg(feature = "lab")]
        Command::Lab(args) => return Ok(ExitCode::from(lab::run(args))),
    }?;
    Ok(Exit::Done.into())
}

fn front(args: FrontArgs, socket: &Path) -> Result<(), Failure> {
    let mut listen = args.listen;
    if let (true, Some(file)) = (listen.is_empty(), &args.config) {
        listen = crate::front::metrics_addresses(&daemon::read(file)?.0.gateway);
    }
    let options = crate::front::Options { socket: socket.to_owned(), listen, why };
    crate::front::http::run(options).map_err(|error| Failure::new(Exit::Failed, error))
}

fn runbook(name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else {
        return RUNBOOKS.iter().try_for_each(|(name, _)| exit::print(&format!("{name}\n")));
    };
    let text = runbooks::find(name).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("there is no runbook {name:?}")).hint("causeway runbook lists their names")
    })?;
    exit::print(text)
}

/// As `causeway why`, in the branch's own time.
pub fn why(status: &Status, zone: &TimeZone) -> String {
    let today = status.wall_ms.and_then(|wall| Timestamp::from_millisecond(i64::try_from(wall).ok()?).ok());
    let today = today.map(|now| now.to_zoned(zone.clone()).date());
    render::why::all(status, &View { color: false, zone: zone.clone(), today })
}

fn config_check(file: &Path, json: bool) -> Result<ExitCode, Failure> {
    let code = config::check(file, json, &mut std::io::stdout(), &mut std::io::stderr());
    code.map(ExitCode::from).map_err(|error| Failure::new(Exit::Failed, error))
}

/// Help and version were asked for; all else is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    let asked = [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind());
    if asked { Exit::Done.into() } else { Exit::Usage.into() }
}

fn colored(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            wanted && std::io::stdout().is_terminal()
        }
    }
}
