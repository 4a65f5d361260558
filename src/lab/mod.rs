//! A branch in network namespaces: LAN hosts, gateway, providers, an internet; the link emulator; the simulator.
//!
//! Not part of the firmware (feature `lab`). Start reading at [`topology`]; [`line`] is the link emulator.

pub mod addresses;
pub mod attendant;
pub mod bench;
pub mod branch;
pub mod clients;
pub mod clock;
pub mod demo;
pub mod dns;
mod error;
pub mod fleet;
pub mod gateway;
pub mod image;
pub mod line;
pub mod netns;
pub mod networkd;
pub mod print;
pub mod provider;
pub mod sandbox;
pub mod scenario;
pub mod servers;
pub mod sim;
pub mod site;
pub mod switches;
pub mod topology;
pub mod units;
pub mod vlan;
mod warm;

pub use error::LabError;

use std::io::Write;
use std::path::Path;

use gateway::Mind;
use scenario::file::Scenario;

/// What `lab up` builds when no scenario says otherwise.
const USUAL: &str = r#"
title = "a branch with two lines"
uplink = [{ medium = "fibre" }, { medium = "cable" }]
step = [{ title = "nothing happens", for = "0s" }]
"#;

/// Builds a branch, starts the daemon and keeps both until the process is stopped.
pub fn up(scenario: Option<&Path>, uplinks: Option<usize>, mind: Mind, out: &mut dyn Write) -> Result<bool, LabError> {
    let begun = clock::now();
    let mut scenario = match scenario {
        Some(file) => Scenario::read(file)?,
        None => toml::from_str(USUAL).map_err(|error| LabError::Other(error.to_string()))?,
    };
    scenario.uplink_count = uplinks.or(scenario.uplink_count);
    // Where the commands of a shell on the gateway look for the socket by themselves.
    let mut world = scenario::run::begin(&scenario, mind, Path::new("/run/causeway"))?;
    world.gateway.start_front()?;
    let hosts: Vec<_> = world.branch.hosts().map(netns::Namespace::name).collect();
    let took = units::show(clock::now().since(begun));
    let names = hosts.join(" ");
    let text = format!("up after {took}: {names}\n`causeway lab shell HOST` enters one; Ctrl-C takes all down\n");
    print::write(out, &text)?;
    loop {
        std::thread::park();
    }
}
