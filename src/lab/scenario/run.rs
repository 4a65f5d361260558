//! Goes through a scenario: builds the branch, starts the daemon and the traffic, then step by step.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::expect::{Facts, Finding, Observed, Watched};
use super::faults::World;
use super::file::{LanHost, Scenario, Step, Traffic, Wait};
use crate::config::model::Family;
use crate::lab::addresses::{self as plan, port};
use crate::lab::clients::tcp::{Habit, Session};
use crate::lab::clients::udp::Flow;
use crate::lab::error::{Doing as _, LabError};
use crate::lab::gateway::{Gateway, Mind};
use crate::lab::line::Direction;
use crate::lab::networkd::Lease;
use crate::lab::topology::{Branch, uplink_name};
use crate::lab::{clock, print};
use crate::time::Instant;

/// Steps with their findings.
pub type Findings = Vec<(String, Vec<Finding>)>;

/// A client that runs, by its name in the scenario.
#[derive(Debug)]
pub struct Running {
    pub name: String,
    pub client: Client,
}

#[derive(Debug)]
pub enum Client {
    Udp(Flow),
    Tcp(Session),
}

impl Client {
    pub fn works(&self) -> bool {
        match self {
            Self::Udp(flow) => flow.alive(),
            Self::Tcp(session) => session.works(),
        }
    }

    pub fn facts(&self) -> Facts {
        match self {
            Self::Udp(flow) => Facts::Udp(flow.record()),
            Self::Tcp(session) => Facts::Tcp(session.record()),
        }
    }
}

/// Runs files one after another; `true` if everything expected was so.
pub fn run_files(files: &[std::path::PathBuf], mind: Mind, out: &mut dyn Write) -> Result<bool, LabError> {
    let mut all_kept = true;
    for file in files {
        let scenario = Scenario::read(file)?;
        match run(&scenario, mind, &state_folder()?) {
            Ok(findings) => all_kept &= print::scenario(&scenario.title, &findings, out)?,
            // One that could not even be played has failed; the others still say what they have to say.
            Err(error) => {
                all_kept = false;
                print::write(out, &format!("FAIL {}\n     {error}\n", scenario.title))?;
            }
        }
    }
    Ok(all_kept)
}

/// A new folder below /run, which is the lab's own; gone with it.
pub fn state_folder() -> Result<std::path::PathBuf, LabError> {
    let folder = Path::new("/run/causeway-lab").join(clock::now().nanos().to_string());
    std::fs::create_dir_all(&folder).doing(|| format!("make {}", folder.display()))?;
    Ok(folder)
}

pub fn run(scenario: &Scenario, mind: Mind, folder: &Path) -> Result<Findings, LabError> {
    let mut world = begin(scenario, mind, folder)?;
    let traffic = start_traffic(&world.branch, &scenario.traffic)?;
    let mut findings = Vec::new();
    for step in &scenario.steps {
        let seen = take(step, &mut world, &traffic)?;
        findings.push((step.title.clone(), step.expect.judge(&seen)));
    }
    Ok(findings)
}

/// A branch with its gateway in working order.
pub fn begin(scenario: &Scenario, mind: Mind, folder: &Path) -> Result<World, LabError> {
    let plan = scenario.branch();
    let branch = Branch::build(&plan)?;
    let names = branch.publish()?;
    let mut gateway = Gateway::start(&branch.gateway, &scenario.gateway(), mind, folder)?;
    gateway.wait_ready(branch.lines.len(), READY_WITHIN)?;
    if mind == Mind::Daemon {
        let on_its_way = |(path, uplink): (&String, &String)| gateway.path_uplink(path).as_ref() == Some(uplink);
        let settled = || scenario.ready.iter().all(on_its_way).then_some(());
        let what = format!("paths as in {:?}", scenario.ready);
        clock::wait_for(READY_WITHIN, SAMPLE_EVERY, settled).ok_or_else(|| LabError::Timeout {
            what,
            at_most: READY_WITHIN,
            why: gateway.last_words("run.log"),
        })?;
    }
    let leases = plan.uplinks.iter().map(|uplink| Lease::first(!uplink.ipv6_only)).collect();
    Ok(World { gateway, leases, _names: names, branch })
}

/// First probes, first choice; on a busy machine lines look shaky until it calms down.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Sessions connect and flows come back within a round trip; a lost SYN takes a second.
const TRAFFIC_WITHIN: Duration = Duration::from_secs(10);
/// What was sent this shortly before the end of a step may still be under way.
pub const UNDER_WAY: Duration = Duration::from_millis(500);

pub fn start_traffic(branch: &Branch, traffic: &[Traffic]) -> Result<Vec<Running>, LabError> {
    let mut running = Vec::with_capacity(traffic.len());
    for item in traffic {
        let family = Family::from(item.family);
        let host = match item.from {
            LanHost::Lan1 => &branch.lan1,
            LanHost::Lan2 => &branch.lan2,
        };
        let client = match item.kind.habit() {
            None => Client::Udp(Flow::start(host, plan::far_port(family, port::ECHO), item.rate)?),
            Some(habit) => {
                let port = if habit == Habit::Download { port::STREAM } else { port::ECHO };
                Client::Tcp(Session::start(host, plan::far_port(family, port), habit)?)
            }
        };
        running.push(Running { name: item.name.clone(), client });
    }
    let works = || running.iter().all(|running| running.client.works()).then_some(());
    if clock::wait_for(TRAFFIC_WITHIN, Duration::from_millis(5), works).is_none() {
        let silent: Vec<&str> =
            running.iter().filter(|it| !it.client.works()).map(|running| running.name.as_str()).collect();
        let what = format!("the first answer to {}", silent.join(", "));
        return Err(LabError::Timeout { what, at_most: TRAFFIC_WITHIN, why: String::new() });
    }
    Ok(running)
}

fn take(step: &Step, world: &mut World, traffic: &[Running]) -> Result<Observed, LabError> {
    if let Some(wait) = &step.wait {
        wait_until(wait, world)?;
    }
    if let Some(after) = step.after {
        std::thread::sleep(after.0);
    }
    let before = step.expect.repaired_within.map(|_| world.gateway.fingerprint());
    let bytes_before = bytes(&world.branch);
    let watched = Arc::new(Mutex::new(Watched::default()));
    let sampling = std::sync::atomic::AtomicBool::new(true);
    let (begun, repaired) = std::thread::scope(|scope| {
        // The sampler asks the kernel, not the daemon: it must not be fooled by what the daemon believes.
        let host = world.gateway.route_watcher();
        let (record, go_on) = (Arc::clone(&watched), &sampling);
        note(&record, host());
        scope.spawn(move || {
            while go_on.load(std::sync::atomic::Ordering::Relaxed) {
                note(&record, host());
                std::thread::sleep(SAMPLE_EVERY);
            }
        });
        let result = watch(step, world, before.as_deref());
        sampling.store(false, std::sync::atomic::Ordering::Relaxed);
        result
    })?;
    let until = clock::now();
    std::thread::sleep(UNDER_WAY);
    let watched = watched.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let told = step.expect.state.keys().chain(step.expect.cause.keys());
    Ok(Observed {
        fault: begun,
        until,
        clients: traffic.iter().map(|running| (running.name.clone(), running.client.facts())).collect(),
        watched,
        active_ipv6: step.expect.active_ipv6.as_ref().and_then(|_| world.gateway.active(Family::V6)),
        repaired,
        told: told.map(|name| (name.clone(), world.gateway.state(name), world.gateway.cause(name))).collect(),
        events: step.expect.event.as_ref().map_or_else(Vec::new, |_| kinds_since(&world.gateway, begun)),
        bytes: bytes(&world.branch)
            .into_iter()
            .zip(bytes_before)
            .map(|((name, now), (_, before))| (name, now - before))
            .collect(),
    })
}

/// Does the fault and watches; the instant of the fault, and how long the kernel's state took to be as before.
fn watch(step: &Step, world: &mut World, before: Option<&str>) -> Result<(Instant, Option<Duration>), LabError> {
    let (at, rest) = match &step.fault {
        Some(fault) => {
            let begun = world.begin(fault)?;
            (begun.at, begun.rest)
        }
        None => (clock::now(), None),
    };
    let repaired = before.and_then(|before| {
        clock::wait_for(step.watch.0, Duration::from_millis(20), || {
            (world.gateway.fingerprint() == before).then(|| clock::now().since(at))
        })
    });
    clock::sleep_until(at + step.watch.0);
    if let Some(rest) = rest {
        rest.join().map_err(|_| LabError::Other("a fault failed".to_owned()))??;
    }
    Ok((at, repaired))
}

/// Fine enough to time a switch to a tenth of a second, coarse enough not to compete with what is measured.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);

fn note(record: &Mutex<Watched>, active: Option<String>) {
    let mut record = record.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if record.changes.last().is_none_or(|(_, last)| *last != active) {
        record.changes.push((clock::now(), active));
    }
}

fn wait_until(wait: &Wait, world: &World) -> Result<(), LabError> {
    let holds = || {
        let active = wait.active.as_ref().is_none_or(|name| world.gateway.active_any().as_ref() == Some(name));
        let states = || {
            wait.state.iter().all(|(uplink, wanted)| world.gateway.state(uplink).is_some_and(|state| state == *wanted))
        };
        (active && states()).then_some(())
    };
    let what = format!("active {:?}, states {:?}", wait.active, wait.state);
    let at_most = wait.at_most.0;
    clock::wait_for(at_most, SAMPLE_EVERY, holds).ok_or_else(|| LabError::Timeout {
        what,
        at_most,
        why: world.gateway.last_words("run.log"),
    })
}

fn bytes(branch: &Branch) -> Vec<(String, u64)> {
    let passed = |line: &crate::lab::line::wire::Line| {
        Direction::BOTH.iter().map(|direction| line.counters(*direction).bytes).sum()
    };
    branch.lines.iter().enumerate().map(|(index, line)| (uplink_name(index), passed(line))).collect()
}

/// Kinds of events told since `from`; the daemon stamps them with the time since boot.
fn kinds_since(gateway: &Gateway, from: Instant) -> Vec<String> {
    let events = gateway.events().into_iter().filter(|event| event["boot_ms"].as_u64() >= Some(from.millis()));
    events.filter_map(|event| event["kind"].as_str().map(str::to_owned)).collect()
}
