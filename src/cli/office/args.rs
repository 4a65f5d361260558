//! The command line of head office, as written.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct OfficeArgs {
    /// The fleet's folder: here if there is an office.toml, else fleet/
    #[arg(long, global = true, value_name = "DIR")]
    pub fleet: Option<PathBuf>,
    /// The server's own keys: office-state/ beside the fleet's folder
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    #[command(subcommand)]
    pub command: OfficeCommand,
}

#[derive(Debug, Subcommand)]
pub enum OfficeCommand {
    /// Make keys, the first root, the fleet's folder and the store
    Init(InitArgs),
    /// Does every branch compile? Changes nothing
    Check {
        #[arg(long)]
        json: bool,
    },
    /// What a release would change, for whom, and who would refuse it. Changes nothing
    Preview(PreviewArgs),
    /// Sign the folder as the next standard, and the way back from it
    Release(ReleaseArgs),
    /// Add a signature to a release that waits for a second person
    Sign(SignArgs),
    /// A claim for a new gateway, on stdout
    Claim(ClaimArgs),
    /// Hand the newest release out to branches
    Assign(AssignArgs),
    /// Accept a gateway that waits: one of a batch, or one that replaces another
    Approve {
        /// Its serial, or its device id
        device: String,
        #[arg(long)]
        json: bool,
    },
    /// The server for gateways; started by causeway-office.service
    Serve(ServeArgs),
    /// What each branch runs, and why: all, or one site
    Status {
        site: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// The chain of what was published, assigned and enrolled, and whether it is whole
    Audit {
        #[arg(long)]
        json: bool,
    },
    /// Keys of the root, and where they lie
    Keys {
        #[command(subcommand)]
        command: Option<KeysCommand>,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Take a private key out of the folder, once it lies in the safe
    Forget { name: String },
}

#[derive(Debug, Args)]
pub struct PassphraseArg {
    /// Read the passphrase from the first line of this file instead of asking
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The name of the fleet, in words
    #[arg(long)]
    pub tenant: String,
    /// Where gateways will reach the server; may be given several times
    #[arg(long = "url", required = true, value_name = "https://…")]
    pub urls: Vec<String>,
    #[command(flatten)]
    pub passphrase: PassphraseArg,
    /// A certificate of yours, in PEM, instead of one that is made
    #[arg(long, value_name = "FILE", requires = "certificate_key")]
    pub certificate: Option<PathBuf>,
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub certificate_key: Option<PathBuf>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PreviewArgs {
    /// A branch that is not to get it, and why; may be given several times
    #[arg(long, value_name = "SITE: REASON")]
    pub leave_out: Vec<String>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// Stands in the document, and in the audit chain
    #[arg(long, default_value = "")]
    pub ticket: String,
    /// Stands in the document; you, if not given
    #[arg(long)]
    pub author: Option<String>,
    /// A branch that does not get it, and why; may be given several times
    #[arg(long, value_name = "SITE: REASON")]
    pub leave_out: Vec<String>,
    /// Hand it out at once
    #[arg(long, value_name = "all|SITE,…")]
    pub assign: Option<String>,
    /// The release key, if it does not lie in keys/
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    #[command(flatten)]
    pub passphrase: PassphraseArg,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    /// As `release` wrote it
    pub file: PathBuf,
    /// Your release key, if it does not lie in keys/
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    #[command(flatten)]
    pub passphrase: PassphraseArg,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ClaimArgs {
    pub site: String,
    /// Only for the box with this serial
    #[arg(long, conflicts_with = "batch")]
    pub serial: Option<String>,
    /// For any number of boxes; each waits until a person approves it
    #[arg(long)]
    pub batch: bool,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct AssignArgs {
    /// Sites, or `all`
    #[arg(required = true)]
    pub sites: Vec<String>,
    /// The content before the newest release
    #[arg(long)]
    pub way_back: bool,
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Listen here instead of where office.toml says; beside sockets that systemd gives
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Vec<SocketAddr>,
    /// Answer path proofs here (UDP) instead of where office.toml says
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub responder: Vec<SocketAddr>,
    /// Serve figures of all branches here, for a Prometheus on this machine
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    pub metrics: Option<SocketAddr>,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: Option<SocketAddr> = text.parse().ok();
    let local = address.filter(|address| address.ip().is_loopback());
    local.ok_or_else(|| format!("{text:?} is not an address of this machine alone; write it like 127.0.0.1:9621"))
}
