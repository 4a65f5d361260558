//! Does to the branch what a step says, and tells the instant from which it was so.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::file::{Change, DirectionName, Fault};
use crate::config::model::Family;
use crate::lab::clock;
use crate::lab::error::LabError;
use crate::lab::gateway::Gateway;
use crate::lab::line::Direction;
use crate::lab::line::wire::Line;
use crate::lab::networkd::{self, Lease};
use crate::lab::sandbox::Published;
use crate::lab::topology::Branch;
use crate::lab::{addresses as plan, provider};
use crate::time::Instant;

/// The branch with what the lab remembers of it.
#[derive(Debug)]
pub struct World {
    // Dropped in this order: the daemon first, the branch last.
    pub gateway: Gateway,
    /// What DHCP gave each uplink last.
    pub leases: Vec<Lease>,
    pub(super) _names: Vec<Published>,
    pub branch: Branch,
}

/// A long fault goes on in its own thread while the step is watched.
pub struct Begun {
    pub at: Instant,
    /// Ends the fault, when the step ends.
    pub rest: Option<std::thread::JoinHandle<Result<(), LabError>>>,
}

impl World {
    pub fn begin(&mut self, fault: &Fault) -> Result<Begun, LabError> {
        let mut rest = None;
        let at = match fault {
            Fault::Line { name, direction, set } => set_line(self.line(name)?.1, *direction, set),
            Fault::Carrier { line, on } => {
                let (index, line) = self.line(line)?;
                let at = line.set_carrier(*on)?;
                self.follow_carrier(index, *on)?;
                at
            }
            Fault::Flap { line, times, down, up } => {
                let (times, down, up) = (*times, down.0, up.0);
                let line = Arc::clone(self.line(line)?.1);
                rest = Some(std::thread::spawn(move || flap(&line, times, down, up)));
                clock::now()
            }
            Fault::Provider { line, mode } => {
                let index = self.line(line)?.0;
                let at = clock::now();
                provider::set(&self.branch.providers[index], *mode)?;
                at
            }
            Fault::Target { number, silent } => {
                let at = clock::now();
                self.branch.silence_target(*number, *silent)?;
                at
            }
            Fault::Renumber { line } => {
                let index = self.line(line)?.0;
                let old = self.leases[index];
                let new = Lease { host: swap(old.host, plan::WAN, plan::WAN_NEXT), ..old };
                let at = clock::now();
                networkd::renew(&self.branch.gateway, index, old, new)?;
                self.leases[index] = new;
                at
            }
            Fault::MoveRouter { line } => {
                let index = self.line(line)?.0;
                let old = self.leases[index];
                let new = Lease { router: swap(old.router, plan::PROVIDER, plan::PROVIDER_NEXT), ..old };
                let at = clock::now();
                networkd::move_router(&self.branch.providers[index], index, old.router, new.router)?;
                networkd::renew(&self.branch.gateway, index, old, new)?;
                self.leases[index] = new;
                at
            }
            Fault::KillDaemon {} => {
                let at = clock::now();
                self.gateway.kill_and_restart()?;
                at
            }
            Fault::StopDaemon { lasts } => {
                self.gateway.signal(Signal::SIGSTOP);
                let at = clock::now();
                std::thread::sleep(lasts.0);
                self.gateway.signal(Signal::SIGCONT);
                at
            }
            Fault::StarveDaemon { lasts } => {
                let at = clock::now();
                while clock::now() < at + lasts.0 {
                    self.gateway.signal(Signal::SIGSTOP);
                    std::thread::sleep(STARVED - SERVED);
                    self.gateway.signal(Signal::SIGCONT);
                    std::thread::sleep(SERVED);
                }
                at
            }
            Fault::DeleteRoute {} => self.delete_route()?,
            Fault::FlushNft {} => {
                let at = clock::now();
                self.branch.gateway.nft("flush ruleset\n")?;
                at
            }
            Fault::Operate { words } => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let at = clock::now();
                self.gateway.operate(&words)?;
                at
            }
        };
        Ok(Begun { at, rest })
    }

    pub fn line(&self, name: &str) -> Result<(usize, &Arc<Line>), LabError> {
        self.branch.line(name).ok_or_else(|| LabError::Other(format!("there is no line `{name}`")))
    }

    /// networkd drops the lease when the cable is out and asks for it when it is back.
    fn follow_carrier(&self, index: usize, on: bool) -> Result<(), LabError> {
        std::thread::sleep(if on { LEASE_TAKES } else { NETWORKD_TAKES });
        let lease = self.leases[index];
        if on {
            networkd::regain(&self.branch.gateway, index, lease)
        } else {
            networkd::lose(&self.branch.gateway, index, lease)
        }
    }

    /// The default routes in the table of path `default`.
    fn delete_route(&self) -> Result<Instant, LabError> {
        let at = clock::now();
        for family in Family::BOTH {
            let flag = if family == Family::V4 { "-4" } else { "-6" };
            let words = [flag, "route", "flush", "table", PATH_DEFAULT];
            self.branch.gateway.run("ip", &words, "")?;
        }
        Ok(at)
    }
}

/// Of each period the daemon gets so much.
const STARVED: Duration = Duration::from_millis(100);
const SERVED: Duration = Duration::from_millis(5);
/// Of path `default`, as documented.
const PATH_DEFAULT: &str = "4200";
/// From the carrier's end to the end of the addresses: one turn of networkd.
const NETWORKD_TAKES: Duration = Duration::from_millis(20);
/// A DHCP exchange with a modem that has just come back.
const LEASE_TAKES: Duration = Duration::from_millis(200);

fn set_line(line: &Line, direction: Option<DirectionName>, change: &Change) -> Instant {
    let directions: &[Direction] = match direction {
        Some(DirectionName::Up) => &[Direction::Up],
        Some(DirectionName::Down) => &[Direction::Down],
        None => &Direction::BOTH,
    };
    let at = clock::now();
    for direction in directions {
        line.set(*direction, |impairment| change.apply(impairment));
    }
    at
}

fn flap(line: &Line, times: u32, down: Duration, up: Duration) -> Result<(), LabError> {
    for _ in 0..times {
        for (silent, lasts) in [(true, down), (false, up)] {
            for direction in Direction::BOTH {
                line.set(direction, |impairment| impairment.cut = silent);
            }
            std::thread::sleep(lasts);
        }
    }
    Ok(())
}

fn swap(now: u8, one: u8, other: u8) -> u8 {
    if now == one { other } else { one }
}
