//! What the daemon costs while nothing happens: bytes on a standby line, memory, processor time.

use std::time::Duration;

use super::{Row, Unit};
use crate::lab::LabError;
use crate::lab::clock;
use crate::lab::error::Doing as _;
use crate::lab::gateway::Mind;
use crate::lab::line::Direction;
use crate::lab::netns::Namespace;
use crate::lab::scenario::faults::World;
use crate::lab::scenario::file::Scenario;
use crate::lab::scenario::run::{begin, state_folder};

/// Ten probes of a `radio` line on standby: one more or less is a tenth.
const STANDBY_FOR: Duration = Duration::from_secs(300);
/// As the gate for memory and processor time says.
const IDLE_FOR: Duration = Duration::from_secs(60);
const MANY_FOR: Duration = Duration::from_secs(20);
/// Buffers and caches reach their size, first probes give way to the steady state.
const SETTLE: Duration = Duration::from_secs(5);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
/// The provider counts IP packets; the emulator sees Ethernet frames.
const ETHERNET_HEADER: u64 = 14;

const STANDBY: &str = r#"
title = "metered standby"
step = [{ title = "standby", for = "1s" }]
uplink = [{ medium = "fibre" }, { medium = "lte", config = 'metered = { plan = "10GB" }' }]
"#;

/// Profile `standard`, which is meant where none is named (spec of failover); both families.
const IDLE: &str = r#"
title = "idle"
step = [{ title = "idle", for = "1s" }]
uplink = [{ medium = "cable" }, { medium = "cable" }]
"#;

/// Ten probes a second and family: profile `fast`, with targets of one's own, which may be asked more than once a second.
pub(super) const IDLE_FAST: &str = r#"
title = "idle, fast"
step = [{ title = "idle", for = "1s" }]
uplink = [{ medium = "fibre" }, { medium = "cable" }]
"#;

const MANY: &str = r#"
title = "64 uplinks"
step = [{ title = "idle", for = "1s" }]
uplink_count = 64
uplink = [{ medium = "fibre", ipv6_off = true, config = 'probe = { interval_standby = "100ms" }' }]
targets = '''[
  { icmp = "198.19.1.1" }, { icmp = "198.19.2.1" }, { icmp = "198.19.3.1" }, { icmp = "198.19.4.1" },
  { icmp = "198.19.5.1" }, { icmp = "198.19.6.1" }, { icmp = "198.19.7.1" }, { icmp = "198.19.8.1" },
]'''
"#;

pub fn standby() -> Result<Row, LabError> {
    let world = start(STANDBY)?;
    // A modem hands over bare IP packets: nobody asks for hardware addresses on its line.
    for (host, device) in [(&world.branch.gateway, "wan1"), (&world.branch.providers[1], "line")] {
        know_neighbours(host, device)?;
    }
    let line = &world.branch.lines[1];
    let passed = || -> u64 {
        let counters = Direction::BOTH.map(|direction| line.counters(direction));
        counters.iter().map(|lane| lane.bytes.saturating_sub(lane.frames * ETHERNET_HEADER)).sum()
    };
    let before = passed();
    std::thread::sleep(STANDBY_FOR);
    let monthly = (passed() - before) as f64 * MONTH.as_secs_f64() / STANDBY_FOR.as_secs_f64() / 1e6;
    Ok(Row::new("probing a metered standby line, a month", "87-435 MB", 15.0, Unit::Megabytes, vec![monthly]))
}

/// Makes permanent what is known of the other end.
fn know_neighbours(host: &Namespace, device: &str) -> Result<(), LabError> {
    let known = host.must("ip", &["neigh", "show", "dev", device], "")?;
    for line in known.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [address, "lladdr", mac, ..] = words[..] {
            host.must("ip", &["neigh", "replace", address, "lladdr", mac, "dev", device, "nud", "permanent"], "")?;
        }
    }
    Ok(())
}

/// Memory and processor time of the daemon and of `front`, both idle.
pub fn idle() -> Result<Vec<Row>, LabError> {
    let (quiet, fast) = (idle_cost(IDLE)?, idle_cost(IDLE_FAST)?);
    let resident = vec![quiet.resident, fast.resident];
    Ok(vec![
        Row::new("daemon and front, idle: memory", "1.8 MB (dpinger) - 43 MB", 12.0, Unit::Mebibytes, resident),
        Row::new("daemon and front, idle: of a core", "0.2-1.3 %", 0.2, Unit::Percent, vec![quiet.share]),
        Row::new("  the same, 22 probes a second (`fast`)", "0.2-1.3 %", 0.2, Unit::Percent, vec![fast.share]),
    ])
}

struct Cost {
    /// In MiB.
    resident: f64,
    /// Percent of a core.
    share: f64,
}

fn idle_cost(text: &str) -> Result<Cost, LabError> {
    let mut world = start(text)?;
    world.gateway.start_front()?;
    std::thread::sleep(SETTLE);
    let processes = world.gateway.processes();
    let share = busy_share(&processes, IDLE_FOR)?;
    let resident = processes.iter().map(|process| resident(*process)).sum::<Result<f64, _>>()?;
    Ok(Cost { resident, share })
}

pub fn sixty_four() -> Result<Vec<Row>, LabError> {
    let world = start(MANY)?;
    let share = busy_share(&world.gateway.processes(), MANY_FOR)?;
    let loss = world.gateway.worst_loss().map_or(f64::INFINITY, |loss| loss * 100.0);
    Ok(vec![
        Row::new("64 uplinks, 8 targets, 10/s: of a core", "-", 10.0, Unit::Percent, vec![share]),
        Row::new("  false loss, the worst uplink", "-", 0.0, Unit::Percent, vec![loss]),
    ])
}

pub(super) fn start(text: &str) -> Result<World, LabError> {
    let parsed = toml::from_str::<Scenario>(text);
    let scenario = parsed.map_err(|error| LabError::Other(format!("a built-in scenario: {error}")))?;
    let world = begin(&scenario, Mind::Daemon, &state_folder()?)?;
    std::thread::sleep(SETTLE);
    Ok(world)
}

/// Percent of one core, over `period`.
fn busy_share(processes: &[u32], period: Duration) -> Result<f64, LabError> {
    let total = || processes.iter().map(|process| busy(*process)).sum::<Result<Duration, _>>();
    let (begun, before) = (clock::now(), total()?);
    std::thread::sleep(period);
    let used = total()?.saturating_sub(before);
    Ok(100.0 * used.as_secs_f64() / clock::now().since(begun).as_secs_f64())
}

/// Time on a processor of all threads so far, to the nanosecond (`utime` counts in hundredths of a second).
fn busy(process: u32) -> Result<Duration, LabError> {
    let folder = format!("/proc/{process}/task");
    let threads = std::fs::read_dir(&folder).doing(|| format!("read {folder}"))?;
    let time = threads.flatten().filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    });
    Ok(time.sum())
}

/// `VmRSS`, in MiB.
fn resident(process: u32) -> Result<f64, LabError> {
    let file = format!("/proc/{process}/status");
    let text = std::fs::read_to_string(&file).doing(|| format!("read {file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kibibytes.map(|kib| kib / 1024.0).ok_or_else(|| LabError::Other(format!("no VmRSS in {file}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let this = std::process::id();
        assert!(busy(this).expect("schedstat is there") > Duration::ZERO);
        assert!(resident(this).expect("status is there") > 0.5);
    }

    #[test]
    fn built_in_scenarios_can_be_read() {
        for text in [STANDBY, IDLE, IDLE_FAST, MANY] {
            toml::from_str::<Scenario>(text).expect("a built-in scenario");
        }
    }
}
