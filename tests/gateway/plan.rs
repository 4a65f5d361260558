//! `causeway config plan`: says what `run` would change, and changes nothing itself.

use std::collections::BTreeSet;
use std::fs;

use crate::place::{Answer, CONFIG, Place, in_namespace, ip, kernel, plug_in, wait_until};
use serde_json::Value;

impl Place {
    fn planned(&self, more: &[&str]) -> Answer {
        let file = self.config().display().to_string();
        let words: Vec<&str> = ["config", "plan", &file].iter().chain(more).copied().collect();
        self.ask(&words)
    }

    /// The kernel is the same afterwards, whatever it says.
    fn plan(&self, more: &[&str]) -> Answer {
        let before = kernel();
        let answer = self.planned(more);
        assert_eq!(kernel(), before, "a plan changes nothing");
        answer
    }

    /// A daemon that starts may change the kernel meanwhile.
    fn is_as_planned(&self) -> bool {
        let Answer { code, out, err } = self.planned(&[]);
        assert_eq!(code == 0, out == "nothing would change\n", "{code}: {out}{err}");
        code == 0
    }
}

fn branch() {
    plug_in(0);
    plug_in(1);
    ip("link add lan0 type veth peer name pc0");
    ip("link set lan0 up");
    ip("addr add 192.168.10.1/24 dev lan0");
}

#[test]
fn it_says_what_run_will_do_and_nothing_when_that_is_done() {
    in_namespace(|| {
        branch();
        let place = Place::new();
        let before = kernel();
        let Answer { code, out, err } = place.plan(&[]);
        assert_eq!((code, err.as_str()), (1, ""));
        for said in [
            "load table inet causeway\n",
            "set net/ipv4/ip_forward to 1 (the gateway forwards IPv4)\n",
            "4200",
            "192.0.2.1",
        ] {
            assert!(out.contains(said), "{said} is not in\n{out}");
        }

        let daemon = place.start();
        wait_until("the kernel is as planned", || place.is_as_planned());
        assert_ne!(kernel(), before);
        daemon.stop();
        assert!(place.is_as_planned(), "I14: a stopped daemon leaves everything as it is");

        // And what a start does is what was said: no rule or route that the plan did not name.
        let tables: BTreeSet<&str> = ["4101", "4102", "4200"].into_iter().filter(|table| out.contains(table)).collect();
        let now = kernel();
        for table in ["4101", "4102", "4200"] {
            assert_eq!(now.contains(&format!("table {table}")), tables.contains(table), "table {table}\n{out}\n{now}");
        }

        let gone = place.ask(&["teardown"]);
        assert_eq!(gone.code, 0, "{}", gone.err);
        assert!(!place.is_as_planned());
    });
}

#[test]
fn another_config_is_compared_with_the_one_in_force() {
    in_namespace(|| {
        branch();
        let place = Place::new();
        let daemon = place.start();
        wait_until("the kernel is as planned", || place.is_as_planned());
        // Only the filter knows of rules between zones.
        fs::write(place.config(), CONFIG.replace("[\"any\"]", "[\"tcp/443\"]")).expect("a config");
        let Answer { code, out, .. } = place.plan(&[]);
        assert_eq!((code, out.as_str()), (1, "replace table inet causeway\n"));
        // Somebody's interference is seen as well. The daemon would put it right, so it is gone first.
        daemon.stop();
        fs::write(place.config(), CONFIG).expect("a config");
        ip("rule del preference 4000");
        let Answer { code, out, .. } = place.plan(&[]);
        assert!(code == 1 && out.lines().count() == 1 && out.contains("4000"), "{out}");
    });
}

#[test]
fn as_json_it_has_its_version_and_all_that_is_said() {
    in_namespace(|| {
        plug_in(0);
        let place = Place::new();
        let Answer { code, out, err } = place.plan(&["--json"]);
        assert_eq!((code, err.as_str()), (1, ""));
        let answer: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(
            (&answer["schema_version"], &answer["right"], &answer["complete"]),
            (&1.into(), &false.into(), &true.into())
        );
        let lines = place.plan(&[]);
        let changes: Vec<&str> = answer["changes"].as_array().expect("a list").iter().flat_map(Value::as_str).collect();
        assert_eq!(changes, lines.out.lines().collect::<Vec<_>>());
        assert_eq!(answer["notes"][0], "device wan1 of uplink lte is not there yet");
        assert_eq!(lines.err, "note: device wan1 of uplink lte is not there yet\n");

        let daemon = place.start();
        wait_until("the kernel is as planned", || place.is_as_planned());
        let answer: Value = serde_json::from_str(&place.plan(&["--json"]).out).expect("JSON");
        assert_eq!((&answer["right"], &answer["changes"]), (&true.into(), &Value::Array(Vec::new())));
        daemon.stop();
    });
}

#[test]
fn who_may_not_read_the_filter_is_told_that_it_was_left_out() {
    in_namespace(|| {
        plug_in(0);
        let place = Place::new();
        let daemon = place.start();
        wait_until("the kernel is as planned", || place.is_as_planned());
        daemon.stop();
        let file = place.config().display().to_string();
        let weak = &mut crate::place::unprivileged(&place.causeway(&["config", "plan", &file]));
        let Answer { code, out, err } = crate::place::answer(weak);
        assert_eq!((code, out.as_str()), (1, "nothing of what could be compared would change\n"), "{err}");
        assert!(err.contains("note: the packet filter was not compared: "), "{err}");
    });
}

#[test]
fn a_bad_file_is_refused_as_everywhere() {
    in_namespace(|| {
        let place = Place::with("site = 1");
        let Answer { code, out, .. } = place.plan(&[]);
        assert_eq!((code, out.as_str()), (64, ""));
    });
}
