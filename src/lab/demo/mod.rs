//! The story of one outage, told to a shop owner and an engineer at once: a branch with two lines, a call, a card
//! terminal, a waiting till and a download; provider A fails silently, repairs, and nothing is lost on the way back.
//! Every figure is measured in the clients; [`told`] puts them into words, and the promises at the end decide the exit
//! code.

mod office;
mod told;

use std::io::Write;
use std::time::Duration;

use super::error::LabError;
use super::gateway::Mind;
use super::print::{Style, write};
use super::scenario::expect::Facts;
use super::scenario::faults::World;
use super::scenario::file::{Change, Fault, Scenario};
use super::scenario::run::{Running, UNDER_WAY, begin, start_traffic, state_folder};
use super::units::show;
use super::{addresses as plan, clock, gateway};
use crate::config::model::Family;
use crate::time::Instant;
use told::Promise;

/// Probation and the wait before the return are shortened, so that the story fits into a minute.
const BRANCH: &str = r#"
title = "demo"
paths = '[{ name = "default", prefer = ["a", "b"], failback = { after = "3s", flows = "drain" } }]'
step = [{ title = "calm", for = "1s" }]
traffic = [
  { name = "call", kind = "udp" },
  { name = "card terminal", kind = "streaming" },
  { name = "waiting till", kind = "idle" },
  { name = "download", kind = "download" },
]
[[uplink]]
medium = "fibre"
line = { delay = "4ms", jitter = "500us" }
config = 'probe = { recover_after = "3s" }'
[[uplink]]
medium = "cable"
line = { delay = "9ms", jitter = "1ms", rate = "50mbit" }
"#;

const CALM: Duration = Duration::from_secs(3);
const OUTAGE: Duration = Duration::from_secs(4);
/// Probation, the wait before the return, and room for a slow machine.
const RETURN_WITHIN: Duration = Duration::from_secs(25);
const AFTER_RETURN: Duration = Duration::from_secs(3);

/// Tells it; `true` if every promise was kept.
pub fn run(style: Style, out: &mut dyn Write) -> Result<bool, LabError> {
    let parsed = toml::from_str::<Scenario>(BRANCH);
    let scenario = parsed.map_err(|error| LabError::Other(format!("the demo's own scenario: {error}")))?;
    write(out, &told::opening(style))?;
    let begun = clock::now();
    let mut world = begin(&scenario, Mind::Daemon, &state_folder()?)?;
    world.gateway.start_front()?;
    let traffic = start_traffic(&world.branch, &scenario.traffic)?;
    write(out, &told::branch(clock::now().since(begun)))?;

    write(out, &style.head("1  A usual morning"))?;
    let calm = clock::now();
    std::thread::sleep(CALM);
    write(out, &told::calm(&facts(&traffic), calm, clock::now() - UNDER_WAY))?;

    write(out, &style.head("2  Provider A fails: cable in, modem lit, nothing comes back"))?;
    let outage = world.begin(&silence(true))?.at;
    clock::sleep_until(outage + OUTAGE);
    let mut promises = outage_promises(&world, &traffic, outage, style, out)?;

    write(out, &style.head("3  Provider A is repaired"))?;
    let repaired = world.begin(&silence(false))?.at;
    promises.extend(return_promises(&world, &traffic, repaired, style, out)?);

    write(out, &style.head("4  What the office network can read at any time"))?;
    promises.push(metrics_promise(&world, out)?);
    drop((traffic, world));
    promises.extend(office::tell(style, out)?);

    write(out, &style.head("What was promised, and what was kept"))?;
    write(out, &told::promises(&promises, style))?;
    Ok(promises.iter().all(|promise| promise.kept))
}

fn silence(silent: bool) -> Fault {
    let set = Change { silent: Some(silent), ..Change::default() };
    Fault::Line { name: "a".to_owned(), direction: None, set }
}

fn facts(traffic: &[Running]) -> Vec<(String, Facts)> {
    traffic.iter().map(|running| (running.name.clone(), running.client.facts())).collect()
}

fn outage_promises(
    world: &World,
    traffic: &[Running],
    outage: Instant,
    style: Style,
    out: &mut dyn Write,
) -> Result<Vec<Promise>, LabError> {
    let (facts, until) = (facts(traffic), clock::now() - UNDER_WAY);
    let mut seen = vec![(outage, "the line falls silent".to_owned())];
    let missed = facts.iter().find_map(|(_, facts)| match facts {
        Facts::Udp(record) => record.first_missed(outage, until),
        Facts::Tcp(_) => None,
    });
    seen.extend(missed.map(|at| (at, "the call misses its first reply".to_owned())));
    write(out, &told::timeline(&world.gateway.events(), &seen, outage, until, style))?;
    write(out, &told::clients(&facts, outage, until))?;
    let mut promises = Vec::new();
    for (name, facts) in &facts {
        promises.push(match facts {
            Facts::Udp(record) => {
                let steady = record.steady_after(outage, until);
                Promise::within(format!("the {name} goes on within half a second"), steady, QUIET)
            }
            Facts::Tcp(record) => {
                let told = record.told_after(outage);
                Promise::within(format!("the {name} knows within 0.6 s, not minutes"), told, TOLD)
            }
        });
    }
    let active = world.gateway.active(Family::V4);
    promises.push(Promise {
        what: "the branch is online over line B".to_owned(),
        measured: active.clone().unwrap_or_else(|| "nothing".to_owned()).to_uppercase(),
        kept: active.as_deref() == Some("b"),
    });
    Ok(promises)
}

/// A caller hears a click, not a pause; on a slow machine, too.
const QUIET: Duration = Duration::from_millis(500);
/// Detection and a tenth of a second.
const TOLD: Duration = Duration::from_millis(600);

fn return_promises(
    world: &World,
    traffic: &[Running],
    repaired: Instant,
    style: Style,
    out: &mut dyn Write,
) -> Result<Vec<Promise>, LabError> {
    let active = || (world.gateway.active(Family::V4).as_deref() == Some("a")).then(clock::now);
    let returned = clock::wait_for(RETURN_WITHIN, Duration::from_millis(50), active);
    std::thread::sleep(AFTER_RETURN);
    let (facts, until) = (facts(traffic), clock::now() - UNDER_WAY);
    let seen = [(repaired, "the line carries packets again".to_owned())];
    write(out, &told::timeline(&world.gateway.events(), &seen, repaired, until, style))?;
    let (mut lost, mut ended) = (0, 0);
    for (_, facts) in &facts {
        match facts {
            Facts::Udp(record) => lost += record.lost(repaired, until),
            Facts::Tcp(record) => ended += record.ended(repaired, until),
        }
    }
    write(out, &format!("   during the return: {lost} packets of the call lost, {ended} sessions ended\n"))?;
    Ok(vec![
        Promise {
            what: "new sessions return to line A by themselves".to_owned(),
            measured: returned.map_or_else(|| "never".to_owned(), |at| show(at.since(repaired))),
            kept: returned.is_some(),
        },
        Promise {
            what: "the return loses no packet and ends no session".to_owned(),
            measured: format!("{lost} lost, {ended} ended"),
            kept: lost == 0 && ended == 0,
        },
    ])
}

fn metrics_promise(world: &World, out: &mut dyn Write) -> Result<Promise, LabError> {
    let address = std::net::SocketAddr::new(plan::lan(Family::V4, plan::GATEWAY), gateway::METRICS_PORT);
    let page = world.branch.lan1.enter(|| told::fetch(address, "/metrics"))?.unwrap_or_default();
    let shown = told::metrics(&page);
    write(out, &format!("   http://{address}/metrics\n{shown}"))?;
    Ok(Promise {
        what: "the outage can be read from the LAN (Prometheus)".to_owned(),
        measured: format!("{} lines", page.lines().filter(|line| line.starts_with("causeway_")).count()),
        kept: page.lines().any(|line| line.starts_with("causeway_failovers_total") && !line.ends_with(" 0")),
    })
}
