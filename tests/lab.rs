//! The lab measures Causeway, so it is measured itself: lines delay and lose as told, faults look as they do on a real
//! gateway. Needs network namespaces; where even root may not make them, the tests say so and pass.

#![cfg(feature = "lab")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use causeway::config::model::Family;
use causeway::lab::addresses::{self as plan, port};
use causeway::lab::clients::tcp::{Habit, Session};
use causeway::lab::clients::udp::Flow;
use causeway::lab::gateway::{Gateway, GatewayConfig, Mind};
use causeway::lab::line::{Direction, Impairment, Loss};
use causeway::lab::provider::{self, Mode};
use causeway::lab::scenario::file::Scenario;
use causeway::lab::servers::NAME;
use causeway::lab::topology::{Branch, BranchPlan, UplinkPlan};
use causeway::lab::{clock, dns, networkd, sandbox};

#[test]
fn every_scenario_file_can_be_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let files: Vec<_> = std::fs::read_dir(folder).expect("the folder is there").flatten().collect();
    assert!(files.len() > 30, "spec/failover.md §7 names more than {}", files.len());
    for file in files {
        let scenario = Scenario::read(&file.path()).unwrap_or_else(|error| panic!("{error}"));
        let config = scenario.gateway().text();
        let name = file.path().display().to_string();
        causeway::config::parse(&name, &config).unwrap_or_else(|faults| panic!("{name}: {faults}\n{config}"));
    }
}

#[test]
fn a_line_delays_to_the_millisecond_and_loses_its_share() {
    let Some((branch, _gateway, _turn)) =
        branch(Impairment { delay: Duration::from_millis(20), ..Impairment::default() })
    else {
        return;
    };
    for family in Family::BOTH {
        let flow = Flow::start(&branch.lan1, plan::far_port(family, port::ECHO), 500).expect("a flow starts");
        wait_until("the flow is alive", || flow.alive());
        let begun = clock::now();
        std::thread::sleep(Duration::from_secs(2));
        let mut trips: Vec<Duration> = flow
            .record()
            .packets
            .iter()
            .filter(|packet| packet.sent >= begun)
            .filter_map(|packet| Some(packet.back?.since(packet.sent)))
            .collect();
        trips.sort();
        assert!(trips[0] >= Duration::from_millis(40), "{family}: {:?} is too soon, both ways 20 ms each", trips[0]);
        // The line itself is exact; a quarter leaves room for what else a shared machine does.
        let quarter = trips[trips.len() / 4];
        assert!(quarter < Duration::from_millis(42), "{family}: {quarter:?} is too late, both ways 20 ms each");
    }

    let flow = Flow::start(&branch.lan1, plan::far_port(Family::V4, port::ECHO), 1000).expect("a flow starts");
    wait_until("the flow is alive", || flow.alive());
    let begun = branch.lines[0].set(Direction::Down, |line| line.loss = Loss::Random(0.3));
    std::thread::sleep(Duration::from_secs(3));
    let until = clock::now() - Duration::from_millis(500);
    let record = flow.record();
    let share = record.lost(begun, until) as f64 / record.sent(begun, until) as f64;
    // 2,500 packets: 4 % is more than four standard deviations.
    assert!((share - 0.3).abs() < 0.04, "lost {share}");
    assert!(branch.lines[0].counters(Direction::Down).lost > 0);
}

#[test]
fn a_cut_line_is_silent_and_tells_nobody() {
    let Some((branch, _gateway, _turn)) = branch(Impairment::default()) else { return };
    let flow = Flow::start(&branch.lan1, plan::far_port(Family::V4, port::ECHO), 1000).expect("a flow starts");
    let idle = Session::start(&branch.lan1, plan::far_port(Family::V4, port::ECHO), Habit::Idle).expect("it starts");
    wait_until("both work", || flow.alive() && idle.works());
    let begun = branch.lines[0].set(Direction::Up, |line| line.cut = true);
    std::thread::sleep(Duration::from_secs(1));
    let ended = branch.lines[0].set(Direction::Up, |line| line.cut = false);
    wait_until("packets come back again", || {
        flow.record().packets.iter().any(|it| it.sent > ended && it.back.is_some())
    });
    std::thread::sleep(Duration::from_millis(300));
    let steady = flow.record().steady_after(begun, clock::now() - Duration::from_millis(50)).expect("it is steady");
    // A packet sent up to 5 ms before the end was still ahead of the cut.
    let cut = ended.since(begun);
    assert!(
        steady + Duration::from_millis(20) > cut && steady < cut + Duration::from_millis(20),
        "{steady:?}, {cut:?}"
    );
    assert_eq!(idle.record().told_after(begun), None, "a silent second ends no session");
    assert!(carrier(&branch), "the link stays up");
}

#[test]
fn a_pulled_cable_shows_as_lost_carrier() {
    let Some((branch, _gateway, _turn)) = branch(Impairment::default()) else { return };
    assert!(carrier(&branch));
    for on in [false, true] {
        branch.lines[0].set_carrier(on).expect("the cable can be pulled");
        wait_until("the kernel sees it", || carrier(&branch) == on);
    }
}

#[test]
fn a_strict_far_firewall_gives_no_answer_to_moved_sessions() {
    let Some((branch, gateway, _turn)) = branch(Impairment::default()) else { return };
    let session =
        Session::start(&branch.lan1, plan::far_port(Family::V4, port::ECHO), Habit::Streaming).expect("it starts");
    wait_until("the session works", || session.works());
    // What a naive failover does: only the route changes. NAT gives the flow another address, and nobody answers.
    let begun = branch.lines[0].set(Direction::Down, |line| line.cut = true);
    branch.gateway.must("ip", &["route", "del", "default", "dev", "wan0"], "").expect("there is a route");
    assert_eq!(gateway.active(Family::V4).as_deref(), Some("b"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(session.record().told_after(begun), None);
}

#[test]
fn a_provider_can_lie() {
    let Some((branch, _gateway, _turn)) = branch(Impairment::default()) else { return };
    let provider = &branch.providers[0];
    let ask = |server| {
        let within = Duration::from_millis(300);
        branch.lan1.enter(|| dns::ask(server, NAME, Family::V4, within)).expect("lan1 can be entered")
    };
    let resolver = plan::target(Family::V4, 2);
    let honest = Some(vec![plan::far(Family::V4)]);
    wait_until("names resolve", || ask(resolver) == honest);
    for (mode, expected) in [
        (Mode::Portal, Some(vec![plan::wan(Family::V4, 0, plan::PROVIDER)])),
        (Mode::DnsDead, None),
        (Mode::NothingBeyond, None),
        (Mode::DnsOnly, honest.clone()),
        (Mode::Open, honest.clone()),
    ] {
        provider::set(provider, mode).expect("the provider changes its mind");
        assert_eq!(ask(resolver), expected, "{mode:?}");
    }
    branch.silence_target(2, true).expect("a target can be silenced");
    assert_eq!(ask(resolver), None);
    assert_eq!(ask(plan::target(Family::V4, 3)), honest, "the others go on");
}

#[test]
fn leases_change_as_dhcp_changes_them() {
    let Some((branch, gateway, _turn)) = branch(Impairment::default()) else { return };
    let first = networkd::Lease::first(true);
    let second = networkd::Lease { host: plan::WAN_NEXT, ..first };
    networkd::renew(&branch.gateway, 0, first, second).expect("a new address");
    let third = networkd::Lease { router: plan::PROVIDER_NEXT, ..second };
    networkd::move_router(&branch.providers[0], 0, second.router, third.router).expect("the router moves");
    networkd::renew(&branch.gateway, 0, second, third).expect("DHCP says so");
    let flow = Flow::start(&branch.lan1, plan::far_port(Family::V4, port::ECHO), 100).expect("a flow starts");
    wait_until("the line works with its new lease", || flow.alive());
    networkd::lose(&branch.gateway, 0, third).expect("the lease can be lost");
    assert_eq!(gateway.active(Family::V4).as_deref(), Some("b"));
    assert_eq!(gateway.active(Family::V6).as_deref(), Some("b"));
    networkd::regain(&branch.gateway, 0, third).expect("and come back");
    assert_eq!(gateway.active(Family::V4).as_deref(), Some("a"));
}

#[test]
fn a_killed_lab_leaves_nothing_behind() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !sandbox::allowed() {
        return;
    }
    let program = env!("CARGO_BIN_EXE_causeway");
    let mut up =
        Command::new(program).args(["lab", "up", "--no-daemon"]).stdout(Stdio::piped()).spawn().expect("starts");
    let mut said = String::new();
    BufReader::new(up.stdout.take().expect("stdout is piped")).read_line(&mut said).expect("it says that it is up");
    assert!(said.contains("isp-b"), "{said}");
    let shell = |command: &[&str]| {
        let output = Command::new(program).args(["lab", "shell", "gateway", "--"]).args(command).output();
        let output = output.expect("the shell starts");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert!(shell(&["ip", "link", "show", "wan1"]).is_some_and(|said| said.contains("wan1")));
    let inside = child_of(up.id()).expect("the lab is a process inside");
    // The outer process has no chance to clean up.
    up.kill().expect("it runs");
    up.wait().expect("it was ours");
    wait_until("the lab is gone", || !std::path::Path::new(&format!("/proc/{inside}")).exists());
}

fn child_of(parent: u32) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes.into_iter().find(|process: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("PPid:").is_some_and(|id| id.trim() == parent.to_string()))
    })
}

/// What is timed must not compete with another test's traffic.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Two lines, static routes instead of the daemon. `None` where namespaces are refused.
#[expect(clippy::print_stderr, reason = "a test that did nothing must say so")]
fn branch(line: Impairment) -> Option<(Branch, Gateway, MutexGuard<'static, ()>)> {
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !sandbox::allowed() {
        eprintln!("skipped: no network namespaces here; run as root, or inside `unshare -rn`");
        return None;
    }
    let uplink = UplinkPlan { up: line.clone(), down: line, ipv6_only: false };
    let plan = BranchPlan { uplinks: vec![uplink; 2], seed: 7 };
    let branch = Branch::build(&plan).unwrap_or_else(|error| panic!("{error}: {error:?}"));
    let folder = std::env::temp_dir().join(format!("causeway-lab-test-{}", clock::now().nanos()));
    let gateway = Gateway::start(&branch.gateway, &GatewayConfig::default(), Mind::Nobody, &folder);
    let mut gateway = gateway.unwrap_or_else(|error| panic!("{error}: {error:?}"));
    gateway.wait_ready(2, Duration::from_secs(5)).expect("static routes are there at once");
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    Some((branch, gateway, turn))
}

fn carrier(branch: &Branch) -> bool {
    let link = branch.gateway.must("ip", &["link", "show", "wan0"], "").expect("wan0 is there");
    !link.contains("NO-CARRIER")
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let held = clock::wait_for(Duration::from_secs(5), Duration::from_millis(5), || condition().then_some(()));
    assert!(held.is_some(), "{what}: not within 5 s");
}
