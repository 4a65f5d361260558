//! What a typed line means. Words are split at blanks and nothing else: there is no quoting, no variable, no pipe, so no
//! sign can become syntax. Pure.

use std::net::IpAddr;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::cli::args::{Args, Command, ConfigCommand};
use crate::cli::exit::{Exit, Failure};
use crate::config::model::LinkName;

/// A terminal's line; sshd hands over nothing longer that we would know.
pub(super) const LINE_BYTES: usize = 1_024;
/// A DNS name (RFC 1035).
const NAME_BYTES: usize = 253;

/// Shown for `help`, and in hints.
pub(super) const HELP: &str = "\
Look      status · why [UPLINK] · watch · events [--since 1h] [--follow] · version
          config show · config why · config history
Change    use UPLINK [for 1h] · use auto · lock · unlock · drill UPLINK
          config confirm · config rollback · config retry
Network   ping HOST [via DEVICE] · trace HOST · capture DEVICE [ADDRESS] [PORT]
          help · exit
Every command of the first two groups has --help. There is no other shell on this box.
";

/// What to do with a line.
#[derive(Debug)]
pub(super) enum Typed {
    Nothing,
    Help,
    Exit,
    /// The command line's own, words that clap has accepted.
    Own(Vec<String>, Box<Args>),
    Tool(Tool),
}

/// A fixed program with checked arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Ping { host: String, device: Option<String> },
    Trace { host: String },
    Capture { device: String, address: Option<IpAddr>, port: Option<u16> },
}

pub(super) fn read(line: &str) -> Result<Typed, Failure> {
    if line.len() > LINE_BYTES {
        return Err(usage(format!("the line is longer than {LINE_BYTES} bytes")));
    }
    let meant = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '\t' | '-' | '_' | '.' | ':' | '=' | '%');
    if let Some(sign) = line.trim().chars().find(|c| !meant(*c)) {
        return Err(usage(format!(
            "{sign:?} means nothing here: there are words and options, no quotes, pipes or files"
        )));
    }
    let mut words: Vec<&str> = line.split_ascii_whitespace().collect();
    // People type what the manual says.
    if words.first() == Some(&"causeway") {
        words.remove(0);
    }
    match words.as_slice() {
        [] => Ok(Typed::Nothing),
        ["help" | "--help" | "-h"] => Ok(Typed::Help),
        ["exit" | "logout" | "quit"] => Ok(Typed::Exit),
        ["ping", host] => Ok(Typed::Tool(Tool::Ping { host: self::host(host)?, device: None })),
        ["ping", host, "via", device] => {
            Ok(Typed::Tool(Tool::Ping { host: self::host(host)?, device: Some(self::device(device)?) }))
        }
        ["ping", ..] => Err(usage("ping takes a host, and `via` with a device".to_owned())),
        ["trace", host] => Ok(Typed::Tool(Tool::Trace { host: self::host(host)? })),
        ["trace", ..] => Err(usage("trace takes a host".to_owned())),
        ["capture", device, rest @ ..] => capture(device, rest),
        ["capture"] => Err(usage("capture takes a device, and then an address, a port or both".to_owned())),
        words => own(words),
    }
}

/// As the command line would read it; then only what has its place in a session.
fn own(words: &[&str]) -> Result<Typed, Failure> {
    // The session's socket and colours are what sshd's user has.
    if let Some(option) = words.iter().find(|word| word.starts_with("--sock") || word.starts_with("--color")) {
        return Err(usage(format!("{option} cannot be given here")));
    }
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let known = Args::try_parse_from(std::iter::once("causeway".to_owned()).chain(words.iter().cloned()));
    let args = known.map_err(|error| {
        // Help of a verb, allowed here or not, harms nobody.
        if [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind()) {
            Failure::new(Exit::Done, error.to_string())
        } else if error.kind() == ErrorKind::InvalidSubcommand {
            usage(format!("there is no command {:?}", words[0]))
        } else {
            usage(first_line(&error.to_string()))
        }
    })?;
    if is_allowed(&args.command) {
        Ok(Typed::Own(words, Box::new(args)))
    } else {
        Err(usage(format!("{:?} is not for sessions: it is started by a unit, or reads files", words[0])))
    }
}

/// Whoever adds a command decides here whether a person on the box may type it. None reads or writes a file that they name.
fn is_allowed(command: &Command) -> bool {
    match command {
        Command::Status { .. }
        | Command::Why { .. }
        | Command::Watch { .. }
        | Command::Events { .. }
        | Command::Use { .. }
        | Command::Lock
        | Command::Unlock
        | Command::Drill { .. }
        | Command::Version { .. }
        | Command::Runbook { .. }
        | Command::Config(
            ConfigCommand::Show { path: None, .. }
            | ConfigCommand::Why { .. }
            | ConfigCommand::History { .. }
            | ConfigCommand::Confirm
            | ConfigCommand::Rollback
            | ConfigCommand::Retry,
        ) => true,
        Command::Outages { month: _, uplink: _, json: _, state } => state.is_none(),
        Command::Report(args) => args.command.is_none() && args.evidence.is_none() && args.state.is_none(),
        Command::Run(_)
        | Command::Ports(_)
        | Command::Front(_)
        | Command::Shell { .. }
        | Command::Console { .. }
        | Command::Teardown
        | Command::Replay { .. }
        | Command::Config(
            ConfigCommand::Check { .. }
            | ConfigCommand::Show { path: Some(_), .. }
            | ConfigCommand::Diff { .. }
            | ConfigCommand::Plan { .. }
            | ConfigCommand::Apply { .. }
            | ConfigCommand::Schema { .. },
        ) => false,
        #[cfg(feature = "manual")]
        Command::Completions { .. } | Command::Man { .. } => false,
        #[cfg(feature = "office")]
        Command::Office(_) => false,
        #[cfg(feature = "lab")]
        Command::Lab(_) => false,
    }
}

fn capture(device: &str, rest: &[&str]) -> Result<Typed, Failure> {
    let device = self::device(device)?;
    let (mut address, mut port) = (None, None);
    for word in rest {
        if let (Ok(found), None, None) = (word.parse(), address, port) {
            address = Some(found);
        } else if let (Ok(found), None) = (word.parse::<u16>(), port) {
            port = Some(found);
        } else {
            return Err(usage(format!("{word:?} is neither an address nor a port from 0 to 65535")));
        }
    }
    Ok(Typed::Tool(Tool::Capture { device, address, port }))
}

/// An address, or a name that no program takes for an option.
fn host(text: &str) -> Result<String, Failure> {
    let is_name = text.len() <= NAME_BYTES
        && text.split('.').all(|label| {
            let edges = label.starts_with('-') || label.ends_with('-') || label.is_empty();
            !edges && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        });
    if is_name || text.parse::<IpAddr>().is_ok() {
        Ok(text.to_owned())
    } else {
        Err(usage(format!("{text:?} is neither an address nor a name")))
    }
}

fn device(text: &str) -> Result<String, Failure> {
    let name = LinkName::new(text).ok().filter(|name| !name.as_str().starts_with('-'));
    name.map(|name| name.as_str().to_owned()).ok_or_else(|| usage(format!("{text:?} is not the name of a device")))
}

fn usage(error: String) -> Failure {
    Failure::new(Exit::Usage, error).hint("help lists what there is")
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tool(line: &str) -> Option<Tool> {
        match read(line) {
            Ok(Typed::Tool(tool)) => Some(tool),
            Ok(Typed::Nothing | Typed::Help | Typed::Exit | Typed::Own(..)) | Err(_) => None,
        }
    }

    fn is_own(line: &str) -> bool {
        matches!(read(line), Ok(Typed::Own(..)))
    }

    #[test]
    fn what_people_and_operators_need_is_there() {
        for line in [
            "status",
            "status --json",
            "causeway status",
            "why wan1",
            "watch --plain",
            "events --since 1h --follow",
            "use lte0 for 1h",
            "use auto",
            "lock",
            "unlock",
            "drill lte0",
            "version",
            "config show",
            "config why",
            "config history --json",
            "config confirm",
            "config rollback",
            "config retry",
        ] {
            assert!(is_own(line), "{line}");
        }
        assert!(matches!(read("  \t "), Ok(Typed::Nothing)));
        assert!(matches!(read("help"), Ok(Typed::Help)) && matches!(read("exit"), Ok(Typed::Exit)));
    }

    #[test]
    fn what_reads_files_or_belongs_to_units_is_not() {
        for line in [
            "run --config x",
            "front",
            "shell",
            "console",
            "teardown",
            "replay x",
            "config check x",
            "config show x",
            "config plan x",
            "config diff a b",
            "office serve",
            "lab demo",
            "bash",
            "sh",
            "scp",
            "sftp-server",
            "--socket x status",
            "status --socket=x",
            "status --sock x",
        ] {
            let failure = read(line).expect_err(line);
            assert_eq!(failure.exit, Exit::Usage, "{line}");
        }
    }

    #[test]
    fn no_sign_is_syntax() {
        for line in [
            "status; reboot",
            "status | cat",
            "status > x",
            "status && x",
            "why $(x)",
            "why `x`",
            "why $HOME",
            "why 'wan1'",
            "why \"wan1\"",
            "why wan1\\",
            "config show /etc/passwd",
            "events\n--json",
            "why *",
            "why ~",
            "status #",
            "why {a}",
        ] {
            assert_eq!(read(line).expect_err(line).exit, Exit::Usage, "{line}");
        }
        assert!(read(&"a ".repeat(600)).is_err(), "too long");
    }

    #[test]
    fn tools_take_a_host_a_device_an_address_and_a_port_and_no_option() {
        let ping =
            |host: &str, device: Option<&str>| Tool::Ping { host: host.to_owned(), device: device.map(str::to_owned) };
        assert_eq!(tool("ping 192.0.2.1"), Some(ping("192.0.2.1", None)));
        assert_eq!(tool("ping office.example via wan0"), Some(ping("office.example", Some("wan0"))));
        assert_eq!(tool("trace 2001:db8::1"), Some(Tool::Trace { host: "2001:db8::1".to_owned() }));
        let capture = |address: Option<&str>, port| {
            let address = address.map(|it| it.parse().expect("an address"));
            Some(Tool::Capture { device: "br-lan.10".to_owned(), address, port })
        };
        assert_eq!(tool("capture br-lan.10"), capture(None, None));
        assert_eq!(tool("capture br-lan.10 192.0.2.1 443"), capture(Some("192.0.2.1"), Some(443)));
        assert_eq!(tool("capture br-lan.10 53"), capture(None, Some(53)));
        for wrong in [
            "ping -f",
            "ping -c9 x",
            "ping a b",
            "ping a via",
            "ping a via -I",
            "trace -m",
            "trace",
            "capture",
            "capture -w",
            "capture wan0 -w x",
            "capture wan0 443 192.0.2.1",
            "capture wan0 70000",
            "ping a.-b",
            "ping .",
            "ping a..b",
            "capture a-device-name-too-long",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics_and_no_word_becomes_an_option_of_a_tool(line in "(ping|trace|capture|why|use)? ?[ -~\\t]{0,40}") {
            if let Ok(Typed::Tool(tool)) = read(&line) {
                let words = match tool {
                    Tool::Ping { host, device } => vec![Some(host), device],
                    Tool::Trace { host } => vec![Some(host)],
                    Tool::Capture { device, .. } => vec![Some(device)],
                };
                for word in words.into_iter().flatten() {
                    prop_assert!(!word.starts_with('-') && !word.contains(' '), "{word}");
                }
            }
        }
    }
}
