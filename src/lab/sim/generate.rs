//! Seed → branch: how many lines of which kind, with which targets, paths and rules. Most are the usual shop with cable and
//! a backup; some are odd, because odd ones exist.

use std::net::SocketAddr;
use std::time::Duration;

use super::faults;
use super::random::Random;
use super::script::{Change, Plan, Step};
use super::wire::{FAIR_LOSS, FAIR_SLOW};
use super::world::host;
use crate::config::model::*;
use crate::time::Instant;

/// Not the origin: nothing may depend on the machine having just booted.
const START: Instant = Instant::from_nanos(1_000_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Faults for some hours, then all is well again.
pub fn plan(seed: u64) -> Plan {
    let mut random = Random::new(seed);
    let config = gateway(&mut random);
    let healed = START + random.time(HOUR, HOUR * 4);
    let mut steps = faults::script(&config, START, healed, &mut random);
    steps.push(Step { at: healed, change: Change::Heal });
    steps.sort_by_key(|step| step.at);
    Plan { seed, config, start: START, steps, healed }
}

/// A day of 5 % random loss each way on every line and tenfold latency for half a minute here and there (G2).
pub fn steady(seed: u64) -> Plan {
    steady_for(seed, 24)
}

/// The same for some hours.
pub fn steady_for(seed: u64, hours: u32) -> Plan {
    let mut random = Random::new(seed);
    let config = gateway(&mut random);
    let healed = START + HOUR * hours;
    let mut steps = Vec::new();
    for uplink in config.uplink_ids() {
        // A start that loses its first answers has nothing to fail over from.
        steps.push(Step { at: START + MINUTE, change: Change::Loss { uplink, loss: FAIR_LOSS } });
        let mut at = START + MINUTE * 2 + random.wait(MINUTE * 10);
        while at + MINUTE < healed {
            steps.push(Step { at, change: Change::Slow { uplink, times: FAIR_SLOW } });
            let end = at + Duration::from_secs(30);
            steps.push(Step { at: end, change: Change::Slow { uplink, times: 1.0 } });
            at = end + MINUTE + random.wait(MINUTE * 10);
        }
    }
    let mut at = START;
    while at < healed {
        let rate = if random.chance(0.5) { 0.0 } else { random.range(1.0, 300.0) };
        steps.push(Step { at, change: Change::Traffic { rate } });
        at = at + random.wait(MINUTE * 20);
    }
    steps.sort_by_key(|step| step.at);
    Plan { seed, config, start: START, steps, healed }
}

fn gateway(random: &mut Random) -> Gateway {
    let count = *random.pick(&[2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 4]);
    let layout = random.unit();
    let with_v6 = random.chance(0.15);
    let uplinks: Vec<Uplink> = (0u8..count).map(|index| uplink(index, layout, with_v6, random)).collect();
    let ids: Vec<UplinkId> = (0u8..count).map(UplinkId).collect();
    let mut paths = vec![path("default", &ids, random)];
    paths[0].otherwise = Otherwise::Keep;
    for name in ["voice", "guests"] {
        if random.chance(0.15) {
            let mut order = ids.clone();
            let (first, length) = (random.index(order.len()), 1 + random.index(order.len()));
            order.rotate_left(first);
            order.truncate(length);
            paths.push(path(name, &order, random));
        }
    }
    Gateway {
        site: Site { name: "Simulated branch".to_owned(), owner: None },
        slots: Slots::default(),
        uplinks,
        paths,
        networks: Vec::new(),
        firewall: Firewall::default(),
        control: Control { group: None },
        telemetry: Telemetry {
            metrics_on: Vec::new(),
            metrics_port: Telemetry::METRICS_PORT,
            status_page_on: Vec::new(),
        },
    }
}

fn uplink(index: u8, layout: f64, with_v6: bool, random: &mut Random) -> Uplink {
    let medium = match (index, random.below(30) / if index == 0 { 1 } else { 3 }) {
        (0, 0) => Medium::Fibre,
        (0, 1..=14) => Medium::Cable,
        (0, _) => Medium::Dsl,
        (_, 0..=3) => Medium::Dsl,
        (_, 4..=5) => Medium::Cable,
        (_, 6) => Medium::Satellite,
        (_, _) => Medium::Lte,
    };
    let radio = matches!(medium, Medium::Lte | Medium::Satellite);
    let metered = (radio && random.chance(0.8)).then_some(Metered { plan: 10_000_000, resets_on: 1, reserve: 500_000 });
    let v6 = with_v6 && (index == 0 || random.chance(0.7));
    let mut targets = targets(Family::V4, layout);
    if v6 {
        targets.extend(self::targets(Family::V6, layout));
    }
    Uplink {
        name: Name::new(["north", "east", "south", "west"][usize::from(index)]).expect("a name"),
        device: LinkName::new(&format!("wan{index}")).expect("a device"),
        medium,
        provider: None,
        circuit: None,
        metered,
        weight: if random.chance(0.3) { 3 } else { 1 },
        ipv4: Ipv4Mode::Dhcp,
        ipv6: if v6 { Ipv6Mode::Nat66 } else { Ipv6Mode::Off },
        profile: medium.profile(),
        targets,
        enabled: true,
    }
}

/// The same for all lines of a branch, as a standard has it: by `layout` only echo, or services as well.
fn targets(family: Family, layout: f64) -> Vec<Target> {
    let icmp = |number: u8| Check::Icmp { host: Host::Address(host(family, number)) };
    let page = Check::Http {
        url: HttpUrl { tls: false, host: Host::Address(host(family, 4)), port: 80, path: "/".to_owned() },
        status: 200,
        contains: Some("causeway".to_owned()),
    };
    let dns = Check::Dns {
        server: SocketAddr::new(host(family, 5), 53),
        name: "causeway.example".to_owned(),
        expect: DnsAnswer::Address,
    };
    let tcp = Check::Tcp { host: Host::Address(host(family, 6)), port: 443 };
    let checks = if layout < 0.5 {
        vec![icmp(1), icmp(2), icmp(3)]
    } else if layout < 0.7 {
        vec![icmp(1), icmp(2), icmp(3), page]
    } else if layout < 0.9 {
        vec![icmp(1), page, icmp(2), dns, icmp(3), tcp]
    } else {
        vec![icmp(1), icmp(2)]
    };
    checks.into_iter().map(|check| Target { family, check }).collect()
}

fn path(name: &str, order: &[UplinkId], random: &mut Random) -> Path {
    let mut tiers: Vec<Vec<UplinkId>> = order.iter().map(|uplink| vec![*uplink]).collect();
    if tiers.len() > 1 && random.chance(0.2) {
        // Two or more share the load.
        let shared = 2 + random.index(tiers.len() - 1);
        let first: Vec<UplinkId> = tiers.drain(..shared).flatten().collect();
        tiers.insert(0, first);
    }
    let when = match random.below(12) {
        0 => FailbackWhen::Never,
        1 => FailbackWhen::Window { from: 120, to: 300 },
        2 => FailbackWhen::Window { from: 1_380, to: 60 },
        3 => FailbackWhen::After(Duration::from_secs(30)),
        4 => FailbackWhen::After(Duration::from_secs(300)),
        _ => FailbackWhen::After(Failback::AFTER),
    };
    let flows = match random.below(4) {
        0 => FailbackFlows::Drain { at_most: None },
        1 => FailbackFlows::Drain { at_most: Some(MINUTE * 10) },
        2 => FailbackFlows::Cut { grace: Duration::from_secs(30) },
        _ => FailbackFlows::Together,
    };
    Path {
        name: Name::new(name).expect("a name"),
        matches: Vec::new(),
        tiers,
        failback: Failback { when, flows },
        otherwise: if random.chance(0.5) { Otherwise::Reject } else { Otherwise::Keep },
        min_hold: Path::MIN_HOLD,
    }
}
