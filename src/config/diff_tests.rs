//! What a change is in words, and whom it disturbs.

use super::*;
use crate::config::parse_branch;

const BASE: &str = r#"
site = { name = "Lyon", owner = "Anna" }
uplinks.fibre = { device = "wan0", medium = "fibre" }
uplinks.lte = { device = "lte0", medium = "lte", metered = { plan = "10GB" } }
networks.office = { ports = ["lan0"], net = "10.16.32.0/24" }
networks.tills = { ports = ["lan1"], net = "10.16.33.0/24" }
paths = [
  { name = "voice", match = { dscp = ["ef"] }, prefer = ["fibre", "lte"] },
  { name = "bulk", match = { ports = ["tcp/873"] }, prefer = ["fibre"] },
  { name = "default", prefer = ["fibre", "lte"] },
]
[firewall]
rules = [{ from = ["office", "tills"], to = ["wan"], allow = ["any"] }, { from = ["tills"], to = ["office"], allow = ["icmp"] }]
forwards = [{ name = "camera", port = "tcp/8443", to = "10.16.32.40" }]
"#;

fn gateway(text: &str) -> Branch {
    parse_branch("test.toml", text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// `disturbance: words` of each change, when `from` is replaced by `to`.
fn changes(from: &str, to: &str) -> Vec<String> {
    assert!(BASE.contains(from), "{from}");
    let shown = |change: Change| format!("{}: {}", change.disturbance.name(), change.words);
    diff(&gateway(BASE), &gateway(&BASE.replacen(from, to, 1))).into_iter().map(shown).collect()
}

#[test]
fn each_change_says_what_it_is_and_whom_it_disturbs() {
    let table: &[(&str, &str, &[&str])] = &[
        ("name = \"Lyon\"", "name = \"Nice\"", &["none: site: name Lyon → Nice"]),
        ("\"wan0\"", "\"wan7\"", &["cut: uplink fibre: device wan0 → wan7"]),
        (
            "medium = \"fibre\"",
            "medium = \"fibre\", ipv4 = { address = \"203.0.113.2/30\", gateway = \"203.0.113.1\" }",
            &["cut: uplink fibre: ipv4 dhcp → 203.0.113.2/30 via 203.0.113.1"],
        ),
        (
            "medium = \"fibre\"",
            "medium = \"fibre\", probe = { dead_after = \"90ms\" }",
            &["none: uplink fibre: dead_after 80ms → 90ms"],
        ),
        ("10GB", "20GB", &["none: uplink lte: metered 10GB from day 1 → 20GB from day 1"]),
        ("medium = \"fibre\"", "medium = \"fibre\", enabled = false", &["cut: uplink fibre is taken out of use"]),
        (
            "medium = \"fibre\"",
            "medium = \"fibre\", targets = [{ icmp = \"1.1.1.1\" }, { icmp = \"8.8.8.8\" }, { dns = \"9.9.9.9\" }]",
            &[
                "none: uplink fibre: also asks 9.9.9.9 dns for example.com (ipv4)",
                "none: uplink fibre: no longer asks 9.9.9.9 icmp (ipv4)",
            ],
        ),
        ("10.16.33.0/24", "10.16.34.0/24", &["cut: network tills: net 10.16.33.0/24 → 10.16.34.0/24"]),
        (
            "match = { dscp = [\"ef\"] }, prefer = [\"fibre\", \"lte\"]",
            "match = { dscp = [\"ef\"] }, prefer = [[\"lte\", \"fibre\"]]",
            &["none: path voice: prefer fibre, lte → fibre + lte"],
        ),
        (
            "to = [\"wan\"], allow = [\"any\"]",
            "to = [\"wan\"], allow = [\"tcp/443\"]",
            &[
                "none: firewall: now allows office, tills → wan tcp/443",
                "none: firewall: no longer allows office, tills → wan any",
            ],
        ),
        (
            "to = \"10.16.32.40\"",
            "to = \"10.16.32.41\", to_port = 443",
            &[
                "none: forward camera: tcp/8443 on fibre, lte → 10.16.32.40 port 8443 → tcp/8443 on fibre, lte → 10.16.32.41 port 443",
            ],
        ),
        (
            "net = \"10.16.33.0/24\"",
            "net = \"10.16.33.0/24\", vlan = 30, dhcp = { from = 100, to = 149 }",
            &[
                "cut: network tills: vlan none → 30",
                "blip: network tills: dhcp none → 10.16.33.100-10.16.33.149 for 12h",
            ],
        ),
        (
            "net = \"10.16.33.0/24\"",
            "net = \"10.16.33.0/24\", fixed = [{ name = \"printer\", mac = \"52:54:00:00:00:09\", host = 9 }]",
            &["none: network tills: fixed host printer is new, 10.16.33.9 for 52:54:00:00:00:09"],
        ),
        (
            "[firewall]",
            "[dns]\ndomain = \"branch.internal\"\nroutes = [{ zone = \"corp.example\", servers = [\"10.254.0.53\"] }]\n[firewall]",
            &["blip: dns: domain none → branch.internal", "none: dns: answers corp.example by 10.254.0.53"],
        ),
        (
            "medium = \"fibre\"",
            "medium = \"fibre\", down = \"200mbit\"",
            &["none: uplink fibre: down not known → 200mbit"],
        ),
        (
            "[firewall]",
            "[apply]\nmust_work = [{ tcp = \"10.254.0.20:443\" }]\ndefer = [\"open_hours\"]\ndrift = { access = \"report\" }\n[firewall]",
            &[
                "none: apply: must work: 10.254.0.20 tcp/443",
                "none: apply: defer never → open_hours",
                "none: apply: drift of access enforce → report",
            ],
        ),
        (
            "[firewall]",
            "[[services]]\nname = \"cards\"\nfrom = \"tills\"\ncheck = { tcp = \"198.51.100.20:443\" }\n[firewall]",
            &["none: service cards is new: 198.51.100.20 tcp/443 from tills"],
        ),
        (
            "[firewall]",
            "[telemetry]\nmetrics_on = [\"office\"]\n[firewall]",
            &["none: telemetry: metrics_on none → office"],
        ),
    ];
    for (from, to, wanted) in table {
        assert_eq!(changes(from, to), *wanted, "{from} → {to}");
    }
}

#[test]
fn what_comes_and_goes_is_named() {
    let new = "uplinks.lte = { device = \"lte0\", medium = \"lte\", metered = { plan = \"10GB\" } }";
    let both = format!("{new}\nuplinks.sky = {{ device = \"sky0\", medium = \"satellite\" }}");
    let came = changes(new, &both);
    assert_eq!(came[0], "none: uplink sky is new, on sky0");
    let old = diff(&gateway(&BASE.replacen(new, &both, 1)), &gateway(BASE));
    assert_eq!((old[0].words.as_str(), old[0].disturbance), ("uplink sky goes away", Disturbance::Cut));
}

#[test]
fn order_of_named_things_means_nothing_but_for_paths() {
    let lines: Vec<&str> = BASE.lines().collect();
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    swapped.swap(4, 5);
    let swapped = swapped.join("\n").replace("\"office\", \"tills\"", "\"tills\", \"office\"");
    assert_ne!(swapped.trim(), BASE.trim());
    assert_eq!(diff(&gateway(BASE), &gateway(&swapped)), []);
    let mut swapped = lines;
    swapped.swap(7, 8);
    let paths = diff(&gateway(BASE), &gateway(&swapped.join("\n")));
    assert_eq!(paths.len(), 1);
    assert_eq!(paths[0].words, "paths: order default, voice, bulk → default, bulk, voice");
}
