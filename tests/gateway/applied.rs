//! `causeway config apply` on a gateway that stands alone: undone by itself, or confirmed and kept, whatever dies meanwhile.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::place::{Answer, Place, Provider, in_namespace, ip, kernel, wait_until};

const TARGETS: [&str; 2] = ["198.51.100.1", "203.0.113.1"];

/// One line; `device` is wan0, or one that is not there.
fn config(device: &str, allow: &str) -> String {
    let [first, second] = TARGETS;
    format!(
        r#"
site = {{ name = "Shop 7" }}
probes = {{ targets = [{{ icmp = "{first}" }}, {{ icmp = "{second}" }}] }}
uplinks.wan = {{ device = "{device}", medium = "fibre", ipv6 = "off" }}
networks.shop = {{ ports = ["lan0"], net = "192.168.10.0/24" }}
firewall.rules = [{{ from = ["shop"], to = ["wan"], allow = ["{allow}"] }}]
apply.timers = {{ soft = "30s", hard = "2m", soak = "10s" }}
"#
    )
}

fn line_up(place: &Place) -> bool {
    let state = |status: Value| status["uplinks"][0]["families"][0]["state"].clone();
    place.status().is_some_and(|status| state(status) == "up")
}

fn connect() -> Provider {
    let provider = Provider::connect(0);
    TARGETS.into_iter().for_each(|target| provider.host(target));
    provider.ip("route add 192.168.10.0/24 via 192.0.2.2");
    provider
}

fn state(place: &Place) -> Value {
    let Answer { code, out, err } = place.ask(&["config", "why", "--json"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).expect("JSON")
}

fn runs(state: &Value, number: u64) -> bool {
    state["running"]["epoch"] == 0 && state["running"]["seq"] == number
}

fn apply(place: &Place, text: &str, words: &[&str]) -> Answer {
    let file = place.path("new.toml");
    fs::write(&file, text).expect("written");
    let file = file.display().to_string();
    place.ask(&[&["config", "apply", &file], words].concat())
}

fn table() -> String {
    ip("-4 route show table 4101")
}

#[test]
fn an_applied_file_is_kept_once_it_is_confirmed_and_a_kill_changes_nothing() {
    in_namespace(|| {
        let _provider = connect();
        let place = Place::with(&config("wan0", "any"));
        let daemon = place.start();
        wait_until("the line is up", || line_up(&place));
        let Answer { code, out, err } = apply(&place, &config("wan0", "tcp/443"), &[]);
        assert_eq!(code, 0, "{err}");
        assert!(out.starts_with("file 2 is tried; type `causeway config confirm` within 10 min to keep it"), "{out}");
        wait_until("it is on trial", || state(&place)["confirm_within_s"].as_u64().is_some_and(|left| left <= 600));
        assert!(runs(&state(&place), 2), "{}", state(&place));
        let said = place.ask(&["config", "why"]).out;
        assert!(
            said.starts_with("ON TRIAL: file 2 (") && said.contains("Waiting for: causeway config confirm"),
            "{said}"
        );
        let again = apply(&place, &config("wan0", "tcp/80"), &[]);
        assert!(again.code != 0 && again.err.contains("the state is trial"), "{again:?}");

        let Answer { code, err, .. } = place.ask(&["config", "confirm"]);
        assert_eq!(code, 0, "{err}");
        wait_until("it is confirmed", || ["soak", "idle"].iter().any(|name| state(&place)["state"] == **name));
        drop(daemon);
        let daemon = place.start();
        assert!(runs(&state(&place), 2), "{}", state(&place));
        assert!(daemon.said().contains("which was kept"), "{}", daemon.said());
        assert!(kernel().contains("tcp dport 443"), "its rules are in force: {}", kernel());

        // A person goes back to what the gateway was started with.
        wait_until("the watch is over", || state(&place)["state"] == "idle");
        assert_eq!(place.ask(&["config", "rollback"]).code, 0);
        wait_until("it is taken back", || runs(&state(&place), 1) && !kernel().contains("tcp dport 443"));
        daemon.stop();
    });
}

/// The file is edited in its place, as people do: a restart must not take it for what was kept.
#[test]
fn a_file_that_cuts_the_line_off_is_gone_after_a_kill_and_after_its_time() {
    in_namespace(|| {
        let _provider = connect();
        let place = Place::with(&config("wan0", "any"));
        let daemon = place.start();
        wait_until("the line is up", || line_up(&place) && table().contains("wan0"));
        fs::write(place.config(), config("wan9", "any")).expect("edited");
        let file = place.config().display().to_string();
        assert_eq!(place.ask(&["config", "apply", &file, "--unattended"]).code, 0);
        wait_until("it is on trial", || state(&place)["state"] == "trial" && runs(&state(&place), 2));
        wait_until("the branch is cut off", || !table().contains("wan0"));
        drop(daemon);
        let daemon = place.start();
        wait_until("what ran before runs", || runs(&state(&place), 1) && line_up(&place) && table().contains("wan0"));
        assert_eq!(state(&place)["history"][0]["reason"], "daemon_restarted", "{}", state(&place));
        daemon.stop();
    });
    in_namespace(|| {
        let _provider = connect();
        let place = Place::with(&config("wan0", "any"));
        let daemon = place.start();
        wait_until("the line is up", || line_up(&place) && table().contains("wan0"));
        assert_eq!(apply(&place, &config("wan9", "any"), &[]).code, 0);
        wait_until("it is on trial", || state(&place)["state"] == "trial");
        // A person who confirms blindly does not keep it either.
        assert_eq!(place.ask(&["config", "confirm"]).code, 0);
        let began = Instant::now();
        while !runs(&state(&place), 1) {
            assert!(began.elapsed() < Duration::from_secs(90), "not undone: {}", state(&place));
            std::thread::sleep(Duration::from_millis(100));
        }
        wait_until("the line is up again", || line_up(&place) && table().contains("wan0"));
        let undone = state(&place)["history"].as_array().expect("a list").last().expect("one").clone();
        assert_eq!((&undone["to"], &undone["reason"]), (&"rolling_back".into(), &"targets_lost".into()), "{undone}");
        daemon.stop();
    });
}

#[test]
fn a_file_that_is_not_valid_or_changes_nothing_is_not_tried() {
    in_namespace(|| {
        let _provider = connect();
        let place = Place::with(&config("wan0", "any"));
        let daemon = place.start();
        let bad = apply(&place, "site = {}\n", &[]);
        assert_eq!((bad.code, bad.out.as_str()), (64, ""), "{bad:?}");
        let long = format!("{}# {}\n", config("wan0", "any"), "x".repeat(64 << 10));
        let long = apply(&place, &long, &[]);
        assert!(long.code == 64 && long.err.contains("can be applied"), "{long:?}");
        assert!(state(&place)["running"].is_null(), "{}", state(&place));
        let same = apply(&place, &config("wan0", "any"), &[]);
        assert_eq!((same.code, same.out.as_str()), (0, "this file is in force and kept already\n"), "{same:?}");
        daemon.stop();
    });
}

#[test]
fn what_is_in_force_is_shown_and_compared_without_naming_its_file() {
    in_namespace(|| {
        let place = Place::with(&config("wan0", "any"));
        let daemon = place.start();
        let file = place.config().display().to_string();
        for form in [&["config", "show"][..], &["config", "show", "--json"]] {
            let (running, written) = (place.ask(form), place.ask(&[form, &[file.as_str()]].concat()));
            assert_eq!((running.code, &running.out), (0, &written.out), "{running:?}");
            assert!(running.out.contains("Shop 7"), "{running:?}");
        }
        let same = place.ask(&["config", "diff", &file]);
        assert_eq!((same.code, same.out.as_str()), (0, "nothing changes\n"), "{same:?}");
        fs::write(place.config(), config("wan0", "tcp/443")).expect("edited");
        let other = place.ask(&["config", "diff", &file]);
        assert!(other.code == 1 && other.out.contains("firewall"), "{other:?}");
        daemon.stop();
        let gone = place.ask(&["config", "show"]);
        assert!(gone.code == 69 && gone.err.contains("hint: "), "{gone:?}");
    });
}

/// The targets answer through both lines, what the branch needs only through the first.
#[test]
fn a_file_that_loses_what_the_branch_needs_is_not_confirmed_although_all_targets_answer() {
    const NEEDED: &str = "198.51.100.99";
    let two = |prefer: &str| {
        let second = "uplinks.lte = { device = \"wan1\", medium = \"fibre\", ipv6 = \"off\" }";
        let must = format!("apply.must_work = [{{ icmp = \"{NEEDED}\" }}]");
        let paths = format!("paths = [{{ name = \"default\", prefer = [{prefer}] }}]");
        format!("{paths}\n{}{second}\n{must}\n", config("wan0", "any"))
    };
    in_namespace(move || {
        let first = connect();
        first.host(NEEDED);
        let second = Provider::connect(1);
        TARGETS.into_iter().for_each(|target| second.host(target));
        let place = Place::with(&two("\"wan\", \"lte\""));
        let daemon = place.start();
        let up = |index: usize| {
            let status = place.status().unwrap_or_default();
            status["uplinks"][index]["families"][0]["state"] == "up"
        };
        wait_until("both lines are up", || up(0) && up(1));
        wait_until("the first one is used", || ip("-4 route show table 4200").contains("wan0"));
        assert_eq!(apply(&place, &two("\"lte\""), &["--unattended"]).code, 0);
        let began = Instant::now();
        let missed = || {
            let checks = state(&place)["checks"].clone();
            checks["before"] == 1 && checks["trial"] == 0
        };
        while !missed() {
            assert!(began.elapsed() < Duration::from_secs(60), "{}\n{}", state(&place), daemon.said());
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(up(0) && up(1), "{}", daemon.said());
        assert_eq!(state(&place)["state"], "trial");
        let said = place.ask(&["config", "why"]).out;
        assert!(said.contains("of what must work here, 1 worked before and 0 in the trial"), "{said}");
        assert_eq!(place.ask(&["config", "rollback"]).code, 0);
        wait_until("what ran before runs", || runs(&state(&place), 1));
        daemon.stop();
    });
}
