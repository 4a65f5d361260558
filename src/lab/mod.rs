//! A branch in network namespaces: LAN hosts, gateway, providers, an internet; the link emulator; the simulator.
//!
//! Not part of the firmware (feature `lab`). Start reading at [`topology`]; [`line`] is the link emulator.

pub mod addresses;
pub mod bench;
pub mod clients;
pub mod clock;
pub mod dns;
mod error;
pub mod gateway;
pub mod line;
pub mod netns;
pub mod networkd;
pub mod print;
pub mod provider;
pub mod sandbox;
pub mod scenario;
pub mod servers;
pub mod topology;
pub mod units;

pub use error::LabError;

use std::io::Write;

/// Builds a branch and keeps it until the process is stopped.
pub fn up(uplinks: usize, out: &mut dyn Write) -> Result<bool, LabError> {
    let begun = clock::now();
    let plan = topology::BranchPlan { uplinks: vec![topology::UplinkPlan::default(); uplinks], seed: 1 };
    let branch = topology::Branch::build(&plan)?;
    branch.publish()?;
    let took = clock::now().since(begun);
    let hosts: Vec<_> = branch.hosts().map(netns::Namespace::name).collect();
    let said = writeln!(out, "up in {} ms: {}\nCtrl-C takes it down", took.as_millis(), hosts.join(" "));
    said.map_err(|source| LabError::Io { what: "write to the terminal".to_owned(), source })?;
    loop {
        std::thread::park();
    }
}
