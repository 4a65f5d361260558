//! `causeway lab`: a branch in network namespaces, its faults and its figures.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::lab::gateway::Mind;
use crate::lab::image::{self, Arch};
use crate::lab::print::Style;
use crate::lab::scenario::run::run_files;
use crate::lab::{self, LabError, bench, demo};

#[derive(Debug, Args)]
pub struct LabArgs {
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Build a branch, start the daemon and keep both until interrupted, for `lab shell`
    Up {
        /// Uplinks and paths as in this scenario file; its steps are not played
        scenario: Option<PathBuf>,
        /// Number of internet lines
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64))]
        uplinks: Option<u8>,
        #[command(flatten)]
        mind: MindArg,
    },
    /// The story of an outage with its figures; about half a minute
    Demo,
    /// Play scenario files and print each expectation with what was measured
    Run {
        #[arg(required = true)]
        scenarios: Vec<PathBuf>,
        #[command(flatten)]
        mind: MindArg,
    },
    /// Measure what Causeway must reach, and say what was met
    Bench {
        /// Runs of each fault
        #[arg(long, default_value_t = bench::LEAST_RUNS, value_parser = clap::value_parser!(u32).range(1..=1000))]
        runs: u32,
        /// These only
        #[arg(long, value_name = "ROWS", value_enum)]
        only: Vec<bench::Measure>,
    },
    /// Simulated outages of all kinds, and whether every promise holds
    Sim(super::sim::SimArgs),
    /// Boot an image beside two providers and a LAN and keep all until interrupted, for `lab shell`
    Image {
        /// target/image-ARCH/disk.raw
        disk: PathBuf,
        /// amd64 or arm64
        #[arg(long, default_value = "amd64", value_parser = ["amd64", "arm64"])]
        arch: String,
        /// Instead of EDK2: U-Boot, for arm64
        #[arg(long, value_name = "FILE")]
        firmware: Option<PathBuf>,
        /// Files for the ESP's causeway folder: claim.toml, gateway.toml, authorized_keys
        #[arg(long, value_name = "FILE")]
        with: Vec<PathBuf>,
    },
    /// A shell, or COMMAND, on a host of the lab that runs: lan1, lan2, gateway, isp-a, isp-b, internet, far, office
    Shell { host: String, command: Vec<String> },
}

#[derive(Clone, Copy, Debug, Args)]
struct MindArg {
    /// Static routes instead of the daemon, to work on the lab itself
    #[arg(long, hide = true)]
    no_daemon: bool,
}

impl From<MindArg> for Mind {
    fn from(arg: MindArg) -> Self {
        if arg.no_daemon { Self::Nobody } else { Self::Daemon }
    }
}

/// Must be called before any thread is started: a user namespace can only be entered by a process with one.
pub fn run(args: LabArgs) -> u8 {
    let result = match args.command {
        LabCommand::Up { scenario, uplinks, mind } => {
            let uplinks = uplinks.map(usize::from);
            inside(|| lab::up(scenario.as_deref(), uplinks, mind.into(), &mut io::stdout().lock()))
        }
        LabCommand::Run { scenarios, mind } => inside(|| run_files(&scenarios, mind.into(), &mut io::stdout().lock())),
        LabCommand::Demo => inside(|| demo::run(Style::of_stdout(), &mut io::stdout().lock())),
        LabCommand::Bench { runs, only } => inside(|| bench::run(runs, &only, &mut io::stdout().lock())),
        LabCommand::Image { disk, arch, firmware, with } => inside(|| {
            let arch = if arch == "arm64" { Arch::Arm64 } else { Arch::Amd64 };
            let kind = image::Box { arch, image: disk, firmware, files: files(&with)?, clock: None };
            image::up(&kind, &mut io::stdout().lock())
        }),
        LabCommand::Sim(args) => Ok(super::sim::run(&args)),
        LabCommand::Shell { host, command } => Err(lab::sandbox::enter_host(&host, &command)),
    };
    result.unwrap_or_else(|error| tell(&error))
}

fn files(paths: &[PathBuf]) -> Result<Vec<(String, String)>, LabError> {
    let read = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let what = || format!("cannot read {}", path.display());
        Ok((name, std::fs::read_to_string(path).map_err(|_| LabError::Other(what()))?))
    };
    paths.iter().map(read).collect()
}

fn inside(work: impl FnOnce() -> Result<bool, LabError>) -> Result<u8, LabError> {
    lab::sandbox::inside(|| match work() {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => tell(&error),
    })
}

fn tell(error: &LabError) -> u8 {
    let mut out = io::stderr().lock();
    let mut text = format!("error: {error}\n");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!("  caused by: {inner}\n"));
        cause = inner.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("  hint: {hint}\n"));
    }
    let _ = out.write_all(text.as_bytes()); // nobody is left to tell
    2
}
