//! The story goes on at head office: three branches get their standard, a good change, one that cuts them off, and one
//! in the middle of which a provider fails.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::told::Promise;
use crate::config::model::Family;
use crate::lab::addresses::{self as plan, port};
use crate::lab::clients::udp::Flow;
use crate::lab::clock;
use crate::lab::error::{Doing as _, LabError};
use crate::lab::fleet::{Fleet, Member, Standard};
use crate::lab::print::{Style, write};
use crate::lab::scenario::run::{UNDER_WAY, state_folder};
use crate::lab::servers::NAME;
use crate::lab::units::show;

/// Keys are made, claims fetched, leases lent: nothing here is in a hurry.
const ENROLLED_WITHIN: Duration = Duration::from_secs(40);
const FIRST_WITHIN: Duration = Duration::from_secs(60);
/// Trial and watch.
const KEPT_WITHIN: Duration = Duration::from_secs(40);
/// What the specification promises from `release` on.
const APPLIED_WITHIN: Duration = Duration::from_secs(2);
/// The trial's soft limit, and room for a slow machine.
const UNDONE_WITHIN: Duration = Duration::from_secs(60);
/// A minute after the return it is measured whose fault it was.
const VERDICT_WITHIN: Duration = Duration::from_secs(110);
const OFFICE_KNOWS_WITHIN: Duration = Duration::from_secs(15);
/// Packets a second of each till.
const RATE: u32 = 200;

pub(super) fn tell(style: Style, out: &mut dyn Write) -> Result<Vec<Promise>, LabError> {
    write(out, &style.head("5  Head office: three branches, one standard"))?;
    let begun = clock::now();
    let program = std::env::current_exe().doing(|| "find this program".to_owned())?;
    let mut fleet = Fleet::build(&state_folder()?.join("fleet"), &program)?;
    fleet.write_sites()?;
    let mut standard = Standard::first();
    fleet.write_standard(&standard)?;
    fleet.serve()?;
    fleet.claim()?;
    for member in &fleet.members {
        member.wait_until(ENROLLED_WITHIN, "enrolment", |state| state["office"]["admission"] == "accepted")?;
    }
    said(out, &format!("keys made, three boxes claimed and enrolled after {}", show(clock::now().since(begun))))?;
    let first = release(&fleet, "first standard", "all")?;
    for member in &fleet.members {
        member.wait_until(FIRST_WITHIN, "the first standard", |state| kept(state, first))?;
    }
    said(out, &format!("standard {first} signed, tried and kept by nantes, brest and lille"))?;
    let (mut tills, mut resolved) = (Vec::new(), 0);
    for member in &fleet.members {
        let till = member.till()?;
        let lease = till.lease(None)?.ok_or_else(|| LabError::Other(format!("{}: no lease", member.name)))?;
        said(out, &format!("{:<6} the till got {} from the branch's DHCP", member.name, lease.address))?;
        resolved += usize::from(member.resolve(&lease, NAME)?.contains(&plan::far(Family::V4)));
        tills.push(Flow::start(&till.host, SocketAddr::new(plan::far(Family::V4), port::ECHO), RATE)?);
    }
    let mut promises = vec![Promise {
        what: "every till resolves names through its branch".to_owned(),
        measured: format!("{resolved} of {}", tills.len()),
        kept: resolved == tills.len(),
    }];
    promises.extend(good_change(&fleet, &mut standard, &tills, style, out)?);
    promises.extend(bad_changes(&fleet, &mut standard, style, out)?);
    Ok(promises)
}

/// A rule for all: the tills may read pages from now on.
fn good_change(
    fleet: &Fleet,
    standard: &mut Standard,
    tills: &[Flow],
    style: Style,
    out: &mut dyn Write,
) -> Result<Vec<Promise>, LabError> {
    write(out, &style.head("6  Head office changes a rule"))?;
    let page = SocketAddr::new(plan::far(Family::V4), port::HTTP);
    let may = |member: &Member| -> Result<bool, LabError> {
        member.till()?.host.enter(|| TcpStream::connect_timeout(&page, Duration::from_millis(700)).is_ok())
    };
    let before: Vec<bool> = fleet.members.iter().map(may).collect::<Result<_, _>>()?;
    standard.allow.push("tcp/80");
    fleet.write_standard(standard)?;
    write(out, &indented(&fleet.office(&["preview"])?))?;
    let calm = clock::now();
    let seq = release(fleet, "tills may read pages", "all")?;
    let released = clock::now();
    let mut slowest = Duration::ZERO;
    for member in &fleet.members {
        member.wait_until(UNDONE_WITHIN, "the new rule", |state| state["running"]["seq"] == seq)?;
        slowest = slowest.max(clock::now().since(released));
    }
    let after: Vec<bool> = fleet.members.iter().map(may).collect::<Result<_, _>>()?;
    for member in &fleet.members {
        member.wait_until(KEPT_WITHIN, "the end of the watch", |state| kept(state, seq))?;
    }
    let until = clock::now() - UNDER_WAY;
    let lost: usize = tills.iter().map(|till| till.record().lost(calm, until)).sum();
    let sent: usize = tills.iter().map(|till| till.record().sent(calm, until)).sum();
    said(out, &format!("standard {seq} is in force in all three {} after `release` returned", show(slowest)))?;
    Ok(vec![
        Promise::within("three branches have the new rule within 2 s".to_owned(), Some(slowest), APPLIED_WITHIN),
        Promise {
            what: "the tills may read pages now, not before".to_owned(),
            measured: format!("{} before, {} now", count(&before), count(&after)),
            kept: before.iter().all(|may| !may) && after.iter().all(|may| *may),
        },
        Promise {
            what: "the change loses no packet of the branches".to_owned(),
            measured: format!("{lost} of {sent} lost"),
            kept: lost == 0 && sent > 0,
        },
    ])
}

/// Two at once: a wrong address for the second line, at two branches; and at the third a change that is right, while its
/// provider fails.
fn bad_changes(
    fleet: &Fleet,
    standard: &mut Standard,
    style: Style,
    out: &mut dyn Write,
) -> Result<Vec<Promise>, LabError> {
    write(out, &style.head("7  A change that cuts a line off; and a provider that fails during a good one"))?;
    let [nantes, brest, lille] = fleet.members.as_slice() else {
        return Err(LabError::Other("the fleet has three branches".to_owned()));
    };
    let right = standard.clone();
    standard.backup = Standard::WRONG;
    fleet.write_standard(standard)?;
    write(out, &indented(&fleet.office(&["preview"])?))?;
    let wrong = release(fleet, "cable gets a fixed address", "nantes,brest")?;
    *standard = right;
    standard.recover_after = 20;
    fleet.write_standard(standard)?;
    lille.fail_after_proof(1)?;
    let good = release(fleet, "cable is watched longer", "lille")?;
    said(out, &format!("{wrong} goes to nantes and brest; {good} to lille, where provider B fails in the trial"))?;

    let mut promises = Vec::new();
    for member in [nantes, brest] {
        let state = verdict(member, wrong)?;
        write(out, &indented(&member.operate(&["config", "why"])?))?;
        let named = state["evidence"].as_array().into_iter().flatten().any(|witness| {
            witness["uplink"] == "cable" && witness["before"]["proved"] == true && witness["trial"]["proved"] == false
        });
        promises.push(Promise {
            what: format!("{} undoes it and names the line", member.name),
            measured: short(&state),
            kept: named && state["last"]["verdict"] == "config" && running(&state) != Some(wrong),
        });
    }
    let state = verdict(lille, good)?;
    write(out, &indented(&lille.operate(&["config", "why"])?))?;
    promises.push(Promise {
        what: "the provider's outage is not blamed on the config".to_owned(),
        measured: short(&state),
        kept: state["last"]["verdict"] == "external" && state["state"] != "quarantine",
    });
    lille.repair(1)?;
    promises.push(office_knows(fleet, out)?);
    Ok(promises)
}

fn office_knows(fleet: &Fleet, out: &mut dyn Write) -> Result<Promise, LabError> {
    let knows = |text: &String| text.matches("verdict config").count() >= 2 || text.matches("\"config\"").count() >= 2;
    let shown = clock::wait_for(OFFICE_KNOWS_WITHIN, Duration::from_millis(200), || {
        fleet.office(&["status", "--json"]).ok().filter(knows)
    });
    write(out, &indented(&fleet.office(&["status"])?))?;
    Ok(Promise {
        what: "head office sees both verdicts".to_owned(),
        measured: if shown.is_some() { "both" } else { "no" }.to_owned(),
        kept: shown.is_some(),
    })
}

/// The change was undone, and it is known whose fault it was.
fn verdict(member: &Member, seq: u64) -> Result<Value, LabError> {
    member.wait_until(VERDICT_WITHIN, "a verdict", |state| {
        state["last"]["seq"] == seq && state["last"]["verdict"].is_string()
    })
}

fn short(state: &Value) -> String {
    format!("verdict {}", state["last"]["verdict"].as_str().unwrap_or("none"))
}

fn count(may: &[bool]) -> usize {
    may.iter().filter(|may| **may).count()
}

fn running(state: &Value) -> Option<u64> {
    state["running"]["seq"].as_u64()
}

/// Tried, watched, and kept for good.
fn kept(state: &Value, seq: u64) -> bool {
    running(state) == Some(seq) && state["state"] == "idle"
}

/// Signs what the folder says and hands it out; the number of the new standard.
fn release(fleet: &Fleet, ticket: &str, sites: &str) -> Result<u64, LabError> {
    let words = ["release", "--ticket", ticket, "--assign", sites, "--passphrase-file", "PASSPHRASE", "--json"];
    let answer: Value = serde_json::from_str(&fleet.office(&words)?)
        .map_err(|error| LabError::Other(format!("`office release` says no JSON: {error}")))?;
    answer["seq"].as_u64().ok_or_else(|| LabError::Other(format!("`office release` names no number: {answer}")))
}

fn said(out: &mut dyn Write, text: &str) -> Result<(), LabError> {
    write(out, &format!("   {text}\n"))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("   │ {line}\n")).collect()
}
