//! Faults in fresh branches: every run builds one, so no run knows of another (flap back-off, caches, conntrack).

use std::time::Duration;

use super::front::{Front, Mood};
use super::{Row, Unit};
use crate::lab::LabError;
use crate::lab::clock;
use crate::lab::gateway::Mind;
use crate::lab::scenario::expect::Facts;
use crate::lab::scenario::file::Scenario;
use crate::lab::scenario::run::{UNDER_WAY, begin, start_traffic, state_folder};
use crate::lab::switches::Switches;
use crate::time::Instant;

/// What a call, a card terminal and a waiting till go through; the second uplink is the backup.
const PEOPLE: &str = r#"
[[traffic]]
name = "call"
kind = "udp"
[[traffic]]
name = "streaming"
kind = "streaming"
[[traffic]]
name = "idle"
kind = "idle"
"#;

pub const SILENT_FAST: &str = r#"
title = "silent, fast"
uplink = [{ medium = "fibre", line = { delay = "2ms" } }, { medium = "fibre", line = { delay = "2ms" } }]
step = [{ title = "silent", do = { line = { name = "a", set = { silent = true } } }, for = "2s" }]
"#;

pub const SILENT_STANDARD: &str = r#"
title = "silent, standard"
uplink = [{ medium = "cable" }, { medium = "cable" }]
step = [{ title = "silent", do = { line = { name = "a", set = { silent = true } } }, for = "3s" }]
"#;

/// The kernel tells of links once a second at the most (`net/core/link_watch.c`): those of the branch that was just built
/// must be told of before the cable is pulled.
const CARRIER: &str = r#"
title = "carrier"
uplink = [{ medium = "fibre", line = { delay = "2ms" } }, { medium = "fibre", line = { delay = "2ms" } }]
step = [{ title = "pulled", after = "3s", do = { carrier = { line = "a", on = false } }, for = "1s" }]
"#;

const BROWN_OUT_FAST: &str = r#"
title = "60 % loss, fast"
uplink = [{ medium = "fibre", line = { delay = "2ms" } }, { medium = "fibre", line = { delay = "2ms" } }]
step = [{ title = "lossy", do = { line = { name = "a", direction = "down", set = { loss = "60%" } } }, for = "4s" }]
"#;

const BROWN_OUT_STANDARD: &str = r#"
title = "60 % loss, standard"
uplink = [{ medium = "cable" }, { medium = "cable" }]
step = [{ title = "lossy", do = { line = { name = "a", direction = "down", set = { loss = "60%" } } }, for = "6s" }]
"#;

/// The second LAN host works on the backup by a rule of its own.
const TWO_PATHS: &str = r#"
title = "healthy flows"
ready = { second = "b" }
paths = '''[
  { name = "second", match = { source = ["10.16.0.12/32"] }, prefer = ["b", "a"], failback = { after = "0s" } },
  { name = "default", prefer = ["a", "b"] },
]'''
uplink = [{ medium = "fibre", line = { delay = "2ms" } }, { medium = "fibre", line = { delay = "2ms" } }]
step = [{ title = "silent", do = { line = { name = "a", set = { silent = true } } }, for = "2s" }]
traffic = [
  { name = "call", kind = "udp", from = "lan2" },
  { name = "streaming", kind = "streaming", from = "lan2" },
  { name = "idle", kind = "idle", from = "lan2" },
]
"#;

/// What one run saw.
#[derive(Debug)]
struct Trial {
    fault: Instant,
    until: Instant,
    clients: Vec<(String, Facts)>,
    /// From the fault to the first route that was replaced.
    switched: Option<Duration>,
}

impl Trial {
    /// Plays the only step of `text`. `number` sets the phase of the fault against the probes, and the seed.
    fn play(text: &str, number: u32) -> Result<Self, LabError> {
        Self::play_with(text, number, None)
    }

    /// The same with a `front` of this mood.
    fn play_with(text: &str, number: u32, mood: Option<Mood>) -> Result<Self, LabError> {
        let parsed = toml::from_str::<Scenario>(text);
        let mut scenario = parsed.map_err(|error| LabError::Other(format!("a built-in scenario: {error}")))?;
        scenario.seed = u64::from(number) + 1;
        let mut world = begin(&scenario, Mind::Daemon, &state_folder()?)?;
        let traffic = start_traffic(&world.branch, &scenario.traffic)?;
        let front = mood.map(|mood| Front::start(&mut world.gateway, mood)).transpose()?;
        let step = &scenario.steps[0];
        std::thread::sleep(step.after.as_ref().map_or(SETTLE, |after| after.0) + phase(number));
        let switches = Switches::watch(world.gateway.host())?;
        front.as_ref().map_or(Ok(()), Front::strike)?;
        let fault = match &step.fault {
            Some(fault) => world.begin(fault)?.at,
            None => clock::now(),
        };
        clock::sleep_until(fault + step.watch.0);
        let until = clock::now();
        std::thread::sleep(UNDER_WAY);
        let clients = traffic.iter().map(|running| (running.name.clone(), running.client.facts())).collect();
        Ok(Self { fault, until, clients, switched: switches.first_after(fault) })
    }

    fn steady(&self) -> f64 {
        let flows = self.clients.iter().filter_map(|(_, facts)| match facts {
            Facts::Udp(record) => Some(seconds(record.steady_after(self.fault, self.until))),
            Facts::Tcp(_) => None,
        });
        flows.fold(0.0, f64::max)
    }

    fn told(&self, name: &str) -> f64 {
        let told = self.clients.iter().find(|(client, _)| client == name).and_then(|(_, facts)| match facts {
            Facts::Tcp(record) => record.told_after(self.fault),
            Facts::Udp(_) => None,
        });
        seconds(told)
    }

    /// Packets lost and sessions ended.
    fn disturbed(&self) -> f64 {
        let count = |facts: &Facts| match facts {
            Facts::Udp(record) => record.lost(self.fault, self.until),
            Facts::Tcp(record) => record.ended(self.fault, self.until),
        };
        self.clients.iter().map(|(_, facts)| count(facts)).sum::<usize>() as f64
    }
}

/// The daemon knows RTT and loss of its lines by then.
const SETTLE: Duration = Duration::from_millis(1000);

/// Spread over a second by the golden ratio: any few of them are spread, too.
fn phase(number: u32) -> Duration {
    Duration::from_secs_f64((f64::from(number) * 0.618_034).fract())
}

fn seconds(time: Option<Duration>) -> f64 {
    time.map_or(f64::INFINITY, |time| time.as_secs_f64())
}

fn play_all(text: &str, runs: u32) -> Result<Vec<Trial>, LabError> {
    (0..runs).map(|number| Trial::play(text, number)).collect()
}

pub fn silent(text: &str, profile: &str, bar: f64, elsewhere: &'static str, runs: u32) -> Result<Vec<Row>, LabError> {
    let trials = play_all(&format!("{text}{PEOPLE}"), runs)?;
    let steady = Row::new(
        &format!("silent outage, {profile}: steady again"),
        elsewhere,
        bar,
        Unit::Seconds,
        trials.iter().map(Trial::steady).collect(),
    );
    // The bar is detection plus a tenth of a second; detection is what the UDP flow of the same run says.
    let told = ["streaming", "idle"].map(|name| {
        let later = trials.iter().map(|trial| (trial.told(name) - trial.steady()).max(0.0)).collect();
        let what = format!("  {name} TCP told, after that");
        Row::new(&what, "never in 15 s (all of them)", 0.1, Unit::Seconds, later)
    });
    Ok([steady].into_iter().chain(told).collect())
}

/// What becomes of `front` changes nothing: the same outage, the same bar.
pub fn front(runs: u32) -> Result<Vec<Row>, LabError> {
    let row = |mood: Mood| {
        let text = format!("{SILENT_FAST}{PEOPLE}");
        let trials = (0..runs).map(|number| Trial::play_with(&text, number, Some(mood)));
        let trials = trials.collect::<Result<Vec<Trial>, _>>()?;
        let what = format!("silent, fast, front {}: steady", mood.words());
        Ok(Row::new(&what, "–", 0.15, Unit::Seconds, trials.iter().map(Trial::steady).collect()))
    };
    Mood::ALL.into_iter().map(row).collect()
}

pub fn carrier(runs: u32) -> Result<Vec<Row>, LabError> {
    let trials = play_all(&format!("{CARRIER}{PEOPLE}"), runs)?;
    let switched = trials.iter().map(|trial| seconds(trial.switched)).collect();
    Ok(vec![Row::new("carrier lost: switched", "0.5 s and up", 0.01, Unit::Seconds, switched)])
}

pub fn brown_out(runs: u32) -> Result<Vec<Row>, LabError> {
    let row = |text: &str, profile: &str, bar, elsewhere| {
        let trials = play_all(&format!("{text}{PEOPLE}"), runs)?;
        let what = format!("60 % loss, {profile}: steady again");
        Ok(Row::new(&what, elsewhere, bar, Unit::Seconds, trials.iter().map(Trial::steady).collect()))
    };
    Ok(vec![row(BROWN_OUT_STANDARD, "defaults", 1.5, "8 s")?, row(BROWN_OUT_FAST, "fast", 0.4, "0.7 s")?])
}

pub fn healthy_flows(runs: u32) -> Result<Vec<Row>, LabError> {
    let disturbed = play_all(TWO_PATHS, runs)?.iter().map(Trial::disturbed).collect();
    Ok(vec![Row::new("healthy flows disturbed by a failover", "all (mwan3, VyOS)", 0.0, Unit::Count, disturbed)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_scenarios_can_be_read() {
        for text in [SILENT_FAST, SILENT_STANDARD, CARRIER, BROWN_OUT_FAST, BROWN_OUT_STANDARD] {
            toml::from_str::<Scenario>(&format!("{text}{PEOPLE}")).expect("a built-in scenario");
        }
        toml::from_str::<Scenario>(TWO_PATHS).expect("a built-in scenario");
    }

    #[test]
    fn phases_are_spread_over_a_second() {
        let mut phases: Vec<_> = (0..10).map(phase).collect();
        phases.sort();
        assert!(phases.windows(2).all(|pair| pair[1] - pair[0] > Duration::from_millis(50)));
        assert!(phases[9] < Duration::from_secs(1));
    }
}
