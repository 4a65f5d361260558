//! Where a silent line broke, as status, events and metrics tell it: only what the gateway was asked since it fell silent.

use serde_json::Value;

use crate::place::{Place, Provider, in_namespace, ip, wait_until};

const CONFIG: &str = r#"
site = { name = "Shop 7" }
uplinks.wan = { device = "wan0", medium = "fibre", ipv6 = "off" }
networks.shop = { ports = ["lan0"], net = "192.168.10.0/24" }
probes.targets = [{ icmp = "1.1.1.1" }, { icmp = "8.8.8.8" }, { icmp = "9.9.9.9" }]
"#;

const HOSTS: [&str; 3] = ["1.1.1.1", "8.8.8.8", "9.9.9.9"];

/// One line that is up.
struct Branch {
    place: Place,
    provider: Provider,
    _daemon: crate::place::Daemon,
}

impl Branch {
    fn start() -> Self {
        let provider = Provider::connect(0);
        HOSTS.iter().for_each(|host| provider.host(host));
        let place = Place::with(CONFIG);
        let daemon = place.start();
        let branch = Self { place, provider, _daemon: daemon };
        wait_until("the line is up", || branch.line()["state"] == "up");
        branch
    }

    fn uplink(&self) -> Value {
        self.place.status().expect("the daemon answers")["uplinks"][0].clone()
    }

    fn line(&self) -> Value {
        self.uplink()["families"][0].clone()
    }

    /// The kernel has heard of the gateway a moment ago, and believes in it for some seconds more.
    fn believe_in_gateway(&self) {
        ip(&format!("neigh replace {} lladdr {} dev wan0 nud reachable", Provider::GATEWAY, self.provider.mac()));
        assert!(neighbour().contains("REACHABLE"), "{}", neighbour());
    }

    /// Evidence that was shown while the line was down, each once, until the cause is known.
    fn wait_for_cause(&self) -> Vec<(Value, Value)> {
        let mut shown = Vec::new();
        wait_until("the cause is known", || {
            let line = self.line();
            if line["state"] != "down" {
                return false;
            }
            let evidence = &line["evidence"];
            let seen = (evidence["cause"].clone(), evidence["gateway_answers"].clone());
            if shown.last() != Some(&seen) {
                shown.push(seen);
            }
            !evidence["cause"].is_null()
        });
        shown
    }

    fn events(&self, kind: &str) -> Vec<Value> {
        let out = self.place.ask(&["events", "--json"]).out;
        let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.filter(|line| line["kind"] == kind).collect()
    }

    /// How `causeway why` says it.
    fn why(&self) -> String {
        self.place.ask(&["why", "wan"]).out
    }
}

fn neighbour() -> String {
    ip(&format!("neigh show {} dev wan0", Provider::GATEWAY))
}

fn field<'a>(event: &'a Value, name: &str) -> Option<&'a str> {
    event["fields"][name].as_str()
}

#[test]
fn a_gateway_that_died_with_the_line_is_not_said_to_answer() {
    in_namespace(|| {
        let branch = Branch::start();
        branch.believe_in_gateway();
        // The modem loses its mind: the cable is in, nobody has the addresses any more.
        branch.provider.ip("addr flush dev branch");
        HOSTS.iter().for_each(|host| branch.provider.unplug_host(host));
        let shown = branch.wait_for_cause();
        assert_eq!(shown.last(), Some(&("modem".into(), false.into())), "{shown:?}");
        for (cause, answers) in &shown[..shown.len() - 1] {
            assert!(cause.is_null() && answers.is_null(), "nobody could know: {shown:?}");
        }
        assert_eq!(branch.uplink()["last_outage"]["cause"], "modem");
        assert!(
            branch.why().contains("gateway 192.0.2.1 is silent  →  the modem or the line to it."),
            "{}",
            branch.why()
        );

        let opened = branch.events("outage.opened");
        assert!(opened.len() == 1 && field(&opened[0], "CAUSE").is_none(), "{opened:?}");
        let placed = branch.events("outage.cause");
        assert!(placed.len() == 1 && field(&placed[0], "CAUSE") == Some("modem"), "{placed:?}");
    });
}

#[test]
fn a_gateway_that_answers_was_asked_since_the_line_fell_silent() {
    in_namespace(|| {
        let branch = Branch::start();
        // The kernel has forgotten whether it answers; with the line it is asked.
        HOSTS.iter().for_each(|host| branch.provider.unplug_host(host));
        ip(&format!("neigh replace {} lladdr {} dev wan0 nud stale", Provider::GATEWAY, branch.provider.mac()));
        let shown = branch.wait_for_cause();
        assert_eq!(shown.last(), Some(&("path".into(), true.into())), "{shown:?}");
        assert!(neighbour().contains("REACHABLE"), "it was asked: {}", neighbour());
        assert!(
            branch.why().contains("gateway 192.0.2.1 answers  →  the fault is beyond the modem."),
            "{}",
            branch.why()
        );
        assert_eq!(branch.uplink()["last_outage"]["cause"], "path");
    });
}

#[test]
fn where_the_gateway_cannot_be_asked_nothing_is_said_of_it() {
    in_namespace(|| {
        let branch = Branch::start();
        ip(&format!("neigh replace {} lladdr {} dev wan0 nud permanent", Provider::GATEWAY, branch.provider.mac()));
        branch.provider.ip("addr flush dev branch");
        HOSTS.iter().for_each(|host| branch.provider.unplug_host(host));
        let shown = branch.wait_for_cause();
        assert_eq!(shown.last(), Some(&("path".into(), Value::Null)), "{shown:?}");
        assert!(neighbour().contains("PERMANENT"), "what an administrator wrote stays: {}", neighbour());
        assert!(branch.why().contains("whether gateway 192.0.2.1 answers is not known."), "{}", branch.why());
    });
}
