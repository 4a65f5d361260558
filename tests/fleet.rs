//! Head office and three branches with all their processes: what the demo shows of good days, what the branch does
//! when parts of it die meanwhile, and the document for the first branches. Where not even root may make network namespaces, the test says so and passes.

#![cfg(feature = "lab")]

#[path = "fleet/letter.rs"]
mod letter;
#[path = "fleet/terminal.rs"]
mod terminal;

use std::path::Path;
use std::time::Duration;

use causeway::lab::clock;
use causeway::lab::fleet::{Fleet, Member, Standard};
use causeway::lab::sandbox;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

fn release(fleet: &Fleet, standard: &Standard, sites: &str) -> u64 {
    fleet.write_standard(standard).expect("written");
    let words = ["release", "--ticket", "T", "--assign", sites, "--passphrase-file", "PASSPHRASE", "--json"];
    let answer: Value = serde_json::from_str(&fleet.office(&words).expect("released")).expect("JSON");
    answer["seq"].as_u64().expect("a number")
}

fn runs(state: &Value, seq: u64) -> bool {
    state["running"]["seq"] == seq
}

fn wait_running(member: &Member, seq: u64) -> Value {
    member.wait_until(SOON, "the standard in force", |state| runs(state, seq)).expect("in force")
}

/// Confirmed: a restart or a power cut keeps it.
fn wait_confirmed(member: &Member, seq: u64) {
    let confirmed = |state: &Value| runs(state, seq) && (state["state"] == "soak" || state["state"] == "idle");
    member.wait_until(SOON, "the end of the trial", confirmed).expect("confirmed");
}

fn wait_idle(member: &Member, seq: u64) {
    let kept = |state: &Value| runs(state, seq) && state["state"] == "idle";
    member.wait_until(SOON, "the end of the watch", kept).expect("kept");
}

#[test]
fn branches_follow_head_office_whatever_dies_meanwhile() {
    if !sandbox::allowed() {
        eprintln!("skipped: this machine refuses network namespaces");
        return;
    }
    let folder = std::env::temp_dir().join(format!("causeway-fleet-{}", std::process::id()));
    let mut fleet = Fleet::build(&folder, Path::new(env!("CARGO_BIN_EXE_causeway"))).expect("a fleet");
    fleet.write_sites().expect("written");
    let mut standard = Standard::first();
    fleet.write_standard(&standard).expect("written");
    fleet.serve().expect("head office");
    fleet.claim().expect("claimed");
    for member in &fleet.members {
        member.wait_until(SOON, "enrolment", |state| state["office"]["admission"] == "accepted").expect("enrolled");
    }
    let first = release(&fleet, &standard, "all");
    for member in &fleet.members {
        wait_idle(member, first);
    }

    // The LAN's machine asks the gateway for names, as its lease told it.
    let till = fleet.members[0].till().expect("a till");
    let lease = till.lease(None).expect("asked").expect("a lease");
    let known = fleet.members[0].resolve(&lease, causeway::lab::servers::NAME).expect("asked");
    assert_eq!(known, [causeway::lab::addresses::far(causeway::config::model::Family::V4)]);
    assert!(fleet.members[0].resolve(&lease, "no.such.name").expect("asked").is_empty());

    // Head office decides: a file of the branch's own is refused, and changes nothing.
    let own = folder.join("own.toml");
    std::fs::write(&own, "site = { name = \"own\" }\nuplinks.fibre = { device = \"wan0\", medium = \"fibre\" }\n")
        .expect("written");
    let refused = fleet.members[0].operate(&["config", "apply", &own.to_string_lossy()]);
    let refused = refused.expect_err("it belongs to a head office").to_string();
    assert!(refused.contains("decides what this gateway runs"), "{refused}");

    // Without `front` nothing comes, and nothing is lost; with it the branch catches up.
    fleet.members[0].kill_front();
    standard.allow.push("tcp/80");
    let second = release(&fleet, &standard, "all");
    for member in &fleet.members[1..] {
        wait_confirmed(member, second);
    }
    assert!(runs(&fleet.members[0].config().expect("the daemon answers"), first));
    // The daemon dies in the watch: the kernel goes on, and the next one finds what was confirmed.
    fleet.members[1].kill_daemon();
    fleet.members[1].start_daemon().expect("started");
    wait_running(&fleet.members[1], second);
    fleet.members[0].start_front().expect("started");
    wait_running(&fleet.members[0], second);
    for member in &fleet.members {
        wait_idle(member, second);
    }

    // Somebody takes the LAN's address away: it is put right, and said.
    let gateway = &fleet.members[0].site.gateway;
    let address = || gateway.must("ip", &["-4", "-o", "addr", "show", "dev", "br-lan.10"], "").expect("a device");
    assert!(address().contains("10.16.0.1/24"), "{}", address());
    gateway.must("ip", &["addr", "del", "10.16.0.1/24", "dev", "br-lan.10"], "").expect("taken away");
    let back = clock::wait_for(SOON, Duration::from_millis(50), || address().contains("10.16.0.1/24").then_some(()));
    assert!(back.is_some(), "{}", fleet.members[0].last_words("run.log"));
    assert!(fleet.members[0].last_words("run.log").contains("put right"), "{}", fleet.members[0].last_words("run.log"));

    // A person goes back.
    fleet.members[2].operate(&["config", "rollback"]).expect("root may");
    let state = wait_running(&fleet.members[2], first);
    let history = state["history"].as_array().expect("a list");
    assert!(history.iter().any(|past| past["reason"] == "operator_rollback"), "{history:?}");
    drop(fleet);
    std::fs::remove_dir_all(&folder).ok();
}
