//! The command line as written. What an argument means is decided here, nothing is done.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use super::exit::HELP;
use crate::apply::services::Backend;
use crate::ledger::report::Month;

/// Made by the unit (`RuntimeDirectory=`).
pub const SOCKET: &str = "/run/causeway/control.sock";
pub const STATE: &str = "/var/lib/causeway";
pub const CLAIM: &str = "/etc/causeway/claim.toml";
pub const DEVICE: &str = "/etc/causeway/device.toml";

/// Firmware for branch routers: keeps the branch online when a provider fails, and proves it.
#[derive(Debug, Parser)]
#[command(name = "causeway", version, after_help = HELP, max_term_width = 100, disable_help_subcommand = true)]
pub struct Args {
    /// The daemon's control socket
    #[arg(long, global = true, value_name = "PATH", default_value = SOCKET)]
    pub socket: PathBuf,
    /// Colour is never the only sign
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Which line carries the traffic, and how good each line is
    Status {
        /// One line, and an exit code for monitoring
        #[arg(long)]
        check: bool,
        /// The same as JSON, described by docs/schema/status.schema.json
        #[arg(long, conflicts_with = "check")]
        json: bool,
    },
    /// Why things are as they are: all, or one uplink
    Why {
        uplink: Option<String>,
        /// The same as JSON, described by docs/schema/why.schema.json
        #[arg(long)]
        json: bool,
    },
    /// The status as it changes; keys: q ? w e
    Watch {
        /// A line for each change instead of a screen
        #[arg(long)]
        plain: bool,
    },
    /// What happened
    Events {
        /// Only the last so long, for example 1h
        #[arg(long, value_name = "TIME", value_parser = duration)]
        since: Option<Duration>,
        /// Go on with what happens from now
        #[arg(long)]
        follow: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// When lines were out in a month, why, and what the branch felt of it
    Outages {
        /// 2026-10; this month if it is not given
        #[arg(long, value_name = "YYYY-MM", value_parser = month)]
        month: Option<Month>,
        #[arg(long)]
        uplink: Option<String>,
        #[arg(long)]
        json: bool,
        /// Read the ledger in this state folder instead of asking the daemon
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
    },
    /// What a month was like, for the owner and for the provider
    Report(ReportArgs),
    /// Prefer an uplink while it works, for a time or until told otherwise; `use auto` ends it
    #[command(override_usage = "causeway use <UPLINK> [for <TIME>]\n       causeway use auto")]
    Use {
        uplink: String,
        /// `for 1h`
        #[arg(value_name = "for TIME", num_args = 2)]
        for_time: Vec<String>,
    },
    /// No switch but away from a dead line
    Lock,
    /// Choose automatically again
    Unlock,
    /// Prove a backup: move new sessions to it, ask its targets, return
    Drill { uplink: String },
    /// What to do, step by step: a page per alert and everyday task; without a name, their names
    Runbook { name: Option<String> },
    /// The release of this program and of the daemon
    Version {
        #[arg(long)]
        json: bool,
    },
    /// The daemon; started by causeway.service
    Run(RunArgs),
    /// Head office's courier, /metrics for the LAN; started by causeway-front.service
    Front(FrontArgs),
    /// Name the ports of this box and write its factory config; run once a boot by causeway-ports.service
    #[command(hide = true)]
    Ports(PortsArgs),
    /// What people get who log in by SSH: these commands, ping, trace, capture, and nothing else
    Shell {
        /// Only this, then end; as sshd asks for it
        #[arg(short = 'c', value_name = "COMMAND", allow_hyphen_values = true)]
        command: Option<String>,
    },
    /// One page for the box's screen: ports, enrolment, what to do
    Console {
        /// Once, instead of at each change
        #[arg(long)]
        once: bool,
    },
    /// Remove everything of ours from the kernel: the branch loses its uplinks
    Teardown,
    /// Show the decisions of a recorded day again, offline
    Replay { file: PathBuf },
    /// A gateway's config: check, compare, try, keep, go back, and why it runs this one
    #[command(subcommand)]
    Config(ConfigCommand),
    /// What a shell needs to complete these commands: causeway completions bash > /etc/bash_completion.d/causeway
    #[cfg(feature = "manual")]
    #[cfg_attr(not(feature = "lab"), command(hide = true))] // The image has the files instead.
    Completions { shell: super::manual::Shell },
    /// The manual page, or one for each command into a folder
    #[cfg(feature = "manual")]
    #[cfg_attr(not(feature = "lab"), command(hide = true))]
    Man {
        /// Made if it is not there; without it the main page is printed
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Head office: make the standard, sign it, hand it out, see what each branch runs
    #[cfg(feature = "office")]
    Office(super::office::OfficeArgs),
    /// A branch in network namespaces, its faults and its figures
    #[cfg(feature = "lab")]
    Lab(super::lab::LabArgs),
}

#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Is it valid? Needs no root; all faults are shown
    Check {
        /// The file of one gateway, a standard, or the folder of a fleet
        #[arg(value_name = "PATH")]
        file: PathBuf,
        #[arg(long)]
        json: bool,
    },
    /// What it says; of a fleet also what one branch gets
    Show {
        /// The file of one gateway, a standard, or the folder of a fleet; without it: what this gateway runs
        path: Option<PathBuf>,
        /// One branch of a fleet, with its values filled in
        #[arg(long)]
        site: Option<String>,
        /// The digest of what each branch of a fleet gets
        #[arg(long)]
        resolved: bool,
        #[arg(long)]
        json: bool,
    },
    /// What changes from one to the other, in words, and whom it disturbs; ends with 1 if something does
    Diff {
        /// Two files of gateways, or two folders of fleets; one file is compared with what this gateway runs
        #[arg(required = true, num_args = 1..=2, value_names = ["OLD", "NEW"])]
        paths: Vec<PathBuf>,
        #[arg(long)]
        json: bool,
    },
    /// What it would change on this machine: exit code 0 if nothing, 1 if something
    Plan {
        file: PathBuf,
        #[arg(long)]
        json: bool,
    },
    /// Try a file on a gateway that stands alone: undone by itself, unless it is confirmed within 10 min
    Apply {
        file: PathBuf,
        /// Keep it without `config confirm` when every line that worked before works again
        #[arg(long)]
        unattended: bool,
    },
    /// Which config this branch runs, which one head office wants, and why the last change was not kept
    Why {
        #[arg(long)]
        json: bool,
    },
    /// What happened to configs since the daemon started
    History {
        #[arg(long)]
        json: bool,
    },
    /// Keep the config that is on trial
    Confirm,
    /// Go back to the config from before
    Rollback,
    /// Do not wait for a better moment, or try again what was undone
    Retry,
    /// The JSON Schema of a file, for editors
    Schema {
        /// gateway, standard, site, inventory or office
        #[arg(default_value = "gateway", value_parser = ["gateway", "standard", "site", "inventory", "office"])]
        kind: String,
    },
}

#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ReportArgs {
    #[command(subcommand)]
    pub command: Option<ReportCommand>,
    /// 2026-10; this month if it is not given
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    pub month: Option<Month>,
    /// One line only
    #[arg(long)]
    pub uplink: Option<String>,
    /// JSON is described by docs/schema/report.schema.json
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Percent of a month that the contract promises, for example 99.95
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub promised: Option<f64>,
    /// Also write report and records into this file, signed with the device's key
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
    /// Read ledger and key in this state folder instead of asking the daemon
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ReportCommand {
    /// Check a file of evidence, offline; 65 on any doubt
    Verify { file: PathBuf },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Html,
    Csv,
    Json,
}

#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The gateway's config
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// What must outlive a restart
    #[arg(long, value_name = "DIR", default_value = STATE)]
    pub state: PathBuf,
    /// Write down everything that comes in, for `causeway replay`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Brings a new gateway to its head office; read until that has accepted it
    #[arg(long, value_name = "FILE", default_value = CLAIM)]
    pub claim: Option<PathBuf>,
    /// What hardware this is: model and serial number
    #[arg(long, value_name = "FILE", default_value = DEVICE)]
    pub device: PathBuf,
    /// Who makes bridges, addresses and leases as the config says; without it they are left to others
    #[arg(long, value_enum)]
    pub services: Option<Services>,
    /// Files for networkd and dnsmasq go below this folder instead of /run and /var/lib
    #[arg(long, value_name = "DIR", requires = "services")]
    pub run_dir: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
pub struct PortsArgs {
    /// Files of known boxes
    #[arg(long, value_name = "DIR", default_value = "/usr/lib/causeway/models")]
    pub models: PathBuf,
    /// Where the kernel shows its devices
    #[arg(long, value_name = "DIR", default_value = "/sys")]
    pub sys: PathBuf,
    /// Files are written below this folder
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Services {
    /// systemd-networkd and dnsmasq, by files and flags
    Networkd,
    /// Links and addresses by netlink; whoever started the daemon looks after dnsmasq
    Direct,
}

impl From<Services> for Backend {
    fn from(services: Services) -> Self {
        match services {
            Services::Networkd => Self::Networkd,
            Services::Direct => Self::Direct,
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub struct FrontArgs {
    /// Take the addresses from this file instead of asking the daemon
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen here, whatever the config says
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Vec<SocketAddr>,
}

fn month(text: &str) -> Result<Month, String> {
    Month::parse(text).ok_or_else(|| format!("{text:?} is not a month; write it like 2026-10"))
}

fn percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.trim_end_matches(['%', ' ']).parse().ok();
    let good = number.filter(|number| (0.0..=100.0).contains(number));
    good.ok_or_else(|| format!("{text:?} is not a share of a month; write it like 99.95"))
}

/// `90s`, `5m`, `1h`, `2d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time; write it like 90s, 5m, 1h or 2d");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(seconds).filter(|seconds| *seconds > 0).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    /// A command in a runbook that does not exist is found out when it is needed most.
    #[cfg(feature = "office")]
    #[test]
    fn every_command_in_a_runbook_exists() {
        let mut commands = 0;
        for (name, text) in crate::telemetry::runbooks::RUNBOOKS {
            for span in text.split('`').skip(1).step_by(2).filter(|span| span.starts_with("causeway")) {
                let parsed = Args::try_parse_from(span.split_whitespace());
                assert!(
                    parsed.is_ok(),
                    "{name}: `{span}`: {}",
                    parsed.err().map(|error| error.to_string()).unwrap_or_default()
                );
                commands += 1;
            }
        }
        assert!(commands > 50, "{commands}");
    }

    #[test]
    fn a_runbook_that_another_names_exists() {
        for (name, text) in crate::telemetry::runbooks::RUNBOOKS {
            let named = text.split("causeway runbook ").chain(text.split("see ")).chain(text.split("See ")).skip(1);
            for other in named {
                let other: String = other.chars().take_while(char::is_ascii_alphabetic).collect();
                let is_name = other.chars().filter(char::is_ascii_uppercase).count() > 1;
                assert!(!is_name || crate::telemetry::runbooks::find(&other).is_some(), "{name} names {other}");
            }
        }
    }

    #[test]
    fn times_have_a_unit_and_are_not_zero() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in ["", "1", "h", "0s", "1w", "-1h", "99999999999999999999d", "18446744073709551615d", "1 h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
