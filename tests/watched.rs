//! What head office sees: rules, alerts, dashboards and runbooks on a real Prometheus that holds the lab's scripted outage.
//! Needs Debian's prometheus and prometheus-alertmanager; pictures need chromium, too:
//! `CAUSEWAY_PICTURES=1 cargo test --test watched pictures`.

mod support;

#[path = "watched/alarms.rs"]
mod alarms;
#[path = "watched/dashboards.rs"]
mod dashboards;
#[path = "watched/draw.rs"]
mod draw;
#[path = "watched/grafana.rs"]
mod grafana;
#[path = "watched/history.rs"]
mod history;
#[path = "watched/page.rs"]
mod page;
#[path = "watched/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use causeway::front::exposition;
use causeway::front::samples::{Page, Web};
use causeway::telemetry::catalogue::{self, Metric, Type};
use causeway::telemetry::runbooks;
use serde_json::Value;

use history::DAY;
use page::{list, text};
use server::{Folder, Prometheus, changed, now, root, succeed, tool, wait};

/// A rule that is evaluated each second is seen in this time, on a laden machine.
const SEEN: Duration = Duration::from_secs(60);

/// Named in rules, alerts or dashboards, and without a source of ours yet.
const ANNOUNCED: &[&str] = &[
    "causeway_office_asset_support_end_timestamp_seconds",
    "causeway_office_contract_availability_ratio",
    "causeway_office_contract_end_timestamp_seconds",
];

fn config(name: &str) -> String {
    fs::read_to_string(root().join("configs").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn alerts() -> Vec<String> {
    let text = config("prometheus/alerts.yml");
    text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned)).collect()
}

#[test]
fn dashboards_are_made_from_their_source() {
    let folder = root().join("configs/grafana/dashboards");
    let wanted = dashboards::all().into_iter().map(|dashboard| {
        let json = serde_json::to_string_pretty(&dashboard.json()).expect("it is JSON");
        (format!("{}.json", dashboard.uid), json + "\n")
    });
    let wanted: Vec<_> = wanted.collect();
    if std::env::var_os("CAUSEWAY_WRITE").is_some() {
        for (name, json) in &wanted {
            fs::write(folder.join(name), json).expect("it can be written");
        }
    }
    let there: BTreeSet<_> = page::files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(there, wanted.iter().map(|(name, _)| name.clone()).collect());
    for (name, json) in wanted {
        let written = fs::read_to_string(folder.join(&name)).expect("it is there");
        assert!(written == json, "{name}: CAUSEWAY_WRITE=1 cargo test --test watched dashboards");
    }
}

/// What the public linter of dashboards asks for, and what a person needs.
#[test]
fn dashboards_are_as_grafana_and_people_want_them() {
    let mut uids = BTreeSet::new();
    for (name, dashboard) in page::files() {
        assert!(uids.insert(text(&dashboard, "uid").to_owned()) && name == format!("{}.json", text(&dashboard, "uid")));
        assert!(dashboard.get("__inputs").is_none() && dashboard.get("id").is_none(), "{name}");
        assert_eq!(dashboard["editable"], false, "{name}");
        let variables = list(&dashboard, "/templating/list");
        let names: Vec<_> = variables.iter().map(|variable| text(variable, "name")).collect();
        assert!(names.starts_with(&["datasource", "tenant"]), "{name}: {names:?}");
        for variable in &variables[1..] {
            assert_eq!(variable["refresh"], 2, "{name}: a branch that is new appears when the time is changed");
            assert_eq!(variable.pointer("/datasource/uid"), Some(&Value::from("${datasource}")), "{name}");
        }
        let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
        for panel in list(&dashboard, "/panels") {
            let title = text(panel, "title");
            assert!(titles.insert(title) && ids.insert(panel["id"].as_u64()), "{name}: {title} stands twice");
            assert!(text(panel, "description").ends_with('.'), "{name}: {title} does not say what it shows");
            assert!(panel.pointer("/fieldConfig/defaults/unit").is_some_and(Value::is_string), "{name}: {title}");
            assert!(!list(panel, "/targets").is_empty(), "{name}: {title} asks nothing");
            for target in list(panel, "/targets") {
                assert_eq!(target.pointer("/datasource/uid"), Some(&Value::from("${datasource}")), "{name}: {title}");
                lint(text(target, "expr"), &format!("{name}: {title}"));
            }
        }
    }
}

/// A rate needs a time that follows the scrape interval, or one that is long beside it.
fn lint(expr: &str, place: &str) {
    assert!(expr.contains("tenant=~\"$tenant\""), "{place} shows everybody's: {expr}");
    for function in ["rate(", "increase("] {
        for call in expr.split(function).skip(1) {
            let window = call.split('[').nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
            assert!(["$__rate_interval", "$__range", "1h", "1d", "30d"].contains(&window), "{place}: [{window}]");
        }
    }
}

#[test]
fn every_metric_that_is_named_exists() {
    let mut known: BTreeSet<String> = ANNOUNCED.iter().map(|name| (*name).to_owned()).collect();
    known.extend(causeway::office::serve::FAMILIES.map(|(name, ..)| name.to_owned()));
    for metric in Metric::ALL {
        let name = format!("{}_{}", catalogue::PREFIX, metric.name());
        if let Type::Histogram(_) = metric.kind() {
            known.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
        }
        known.insert(name);
    }
    let rules = config("prometheus/rules.yml");
    known.extend(rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ").map(str::to_owned)));
    let mut texts = vec![("rules.yml".to_owned(), rules), ("alerts.yml".to_owned(), config("prometheus/alerts.yml"))];
    for file in ["alerts.test.yml", "alerts-slow.test.yml"] {
        texts.push((file.to_owned(), config(&format!("prometheus/{file}"))));
    }
    texts.extend(page::files().into_iter().map(|(name, json)| (name, json.to_string())));
    for (file, text) in texts {
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        for name in text.split(|c| !part(c)).filter(|word| word.contains("causeway_")) {
            assert!(known.contains(name), "{file} names {name}, which nothing measures");
        }
    }
}

#[test]
fn alerts_and_runbooks_belong_to_each_other() {
    let (alerts, text) = (alerts(), config("prometheus/alerts.yml"));
    let tests = config("prometheus/alerts.test.yml") + &config("prometheus/alerts-slow.test.yml");
    for alert in &alerts {
        assert!(runbooks::find(alert).is_some(), "{alert} has no runbook");
        assert!(
            text.contains(&format!("runbook_url: docs/runbooks/{alert}.md\n")),
            "{alert} does not name its runbook"
        );
        assert!(tests.contains(&format!("- name: {alert}\n")), "{alert} has no test");
        let part = tests.split(&format!("- name: {alert}\n")).nth(1).unwrap_or_default();
        let part = part.split("- name: ").next().unwrap_or_default();
        assert!(part.contains("value: 1 }"), "{alert} never fires in its test");
        assert!(part.contains("exp_samples: []") || alert == "Watchdog", "{alert} is never silent in its test");
    }
    let tasks: Vec<_> =
        runbooks::RUNBOOKS.iter().filter(|(name, _)| !alerts.iter().any(|alert| alert == name)).collect();
    for (name, text) in tasks {
        assert!(text.contains("\nEveryday task: "), "{name} is neither for an alert nor for an everyday task");
    }
}

#[test]
fn prometheus_and_alertmanager_accept_what_we_ship() {
    let folder = root().join("configs");
    succeed("promtool", &["check", "config", "prometheus/prometheus.yml"], &folder);
    succeed("amtool", &["check-config", "alertmanager/alertmanager.yml"], &folder);
    for (labels, receiver) in [
        (&["severity=critical", "alertname=ProviderOutage"][..], "pager"),
        (&["severity=warning"], "mail"),
        (&["severity=info"], "weekly"),
        (&["severity=none", "alertname=Watchdog"], "watchdog"),
    ] {
        let args = ["config", "routes", "test", "--config.file=alertmanager/alertmanager.yml"];
        let output = tool("amtool", &[&args, labels].concat(), &folder);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), receiver, "{labels:?}");
    }
}

#[test]
fn every_alert_fires_and_is_silent_when_it_should() {
    let folder = root().join("configs/prometheus");
    succeed("promtool", &["test", "rules", "alerts.test.yml", "alerts-slow.test.yml"], &folder);
}

/// As the specification of the gate says: `info` is unknown to it, and counters are announced with `_total`.
#[test]
fn the_page_passes_promtools_check() {
    let status = serde_json::from_str(include_str!("canned/backup.json")).expect("it fits the types");
    let counts = causeway::telemetry::counts::Counts::sized([3, 3]);
    let process = causeway::control::snapshot::Process::default();
    let (ledger, hardware, config) = Default::default();
    let snapshot = Some(causeway::control::snapshot::Snapshot { status, counts, process, ledger, hardware, config });
    let storage = Some(causeway::control::snapshot::Storage::default());
    let page = Page { snapshot, process, storage, web: Web::default() };
    let text = exposition::text(page).expect("it is text");
    let folder = Folder::new("lint");
    fs::write(folder.0.join("page"), classic(&text)).expect("a file");
    succeed("sh", &["-c", "promtool check metrics < page"], &folder.0);
}

fn classic(text: &str) -> String {
    let kinds: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let kind = |name: &str| kinds.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with("# UNIT") && !line.starts_with("# EOF")).map(|line| {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) => {
                let name = match kind(name) {
                    "counter" => format!("{name}_total"),
                    "info" => format!("{name}_info"),
                    _ => name.to_owned(),
                };
                let rest = if what == "TYPE" && rest == "info" { "gauge" } else { rest };
                format!("# {what} {name} {rest}\n")
            }
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// Prometheus with the scripted outage up to `end`, recording rules as if they had run all the time.
fn with_history(folder: &Folder) -> (Prometheus, u64) {
    let end = now() / history::STEP * history::STEP;
    for (number, text) in history::texts(end).into_iter().enumerate() {
        let file = format!("history-{number}");
        fs::write(folder.0.join(&file), text).expect("a file");
        succeed("promtool", &["tsdb", "create-blocks-from", "openmetrics", &file, "data"], &folder.0);
    }
    let before = Prometheus::start(&folder.0, None);
    let (from, until) = (format!("--start={}", end - 6 * 3_600), format!("--end={end}"));
    let (url, step) = (format!("--url={}", before.url), format!("--eval-interval={}s", history::STEP));
    let args = ["tsdb", "create-blocks-from", "rules", &from, &until, &url, &step, "--output-dir=data", "rules.yml"];
    succeed("promtool", &args, &folder.0);
    drop(before);
    (Prometheus::start(&folder.0, None), end)
}

#[test]
fn every_panel_shows_something_of_an_outage_and_nothing_is_an_error_without_data() {
    let empty = Folder::new("empty");
    let nothing = Prometheus::start(&empty.0, None);
    let folder = Folder::new("filled");
    let (server, end) = with_history(&folder);
    let firing = r#"ALERTS{alertstate="firing",alertname!="Watchdog"}"#;
    wait(SEEN, || server.query(firing, now()).is_ok_and(|found| !found.is_empty()), || "no alert".to_owned());
    let end_seen = now().max(end);
    let mut faults = Vec::new();
    let mut questions = 0;
    for (name, dashboard) in page::files() {
        for (at, server, wants) in [(end, &nothing, false), (end_seen, &server, true)] {
            let shown = page::shown(&dashboard, server, at);
            let of_panels = shown.panels.into_iter().flat_map(|panel| {
                let title = text(&panel.json, "title").to_owned();
                panel.answers.into_iter().map(move |(legend, answer)| (format!("{title} / {legend}"), answer))
            });
            let variables = list(&dashboard, "/templating/list")
                .iter()
                .filter(|it| it["type"] == "query")
                .map(|it| (format!("variable {}", text(it, "name")), page::values(&dashboard, it, server, at)));
            for (what, answer) in of_panels.chain(variables) {
                questions += 1;
                match answer {
                    Err(error) => faults.push(format!("{name}: {what}: {error}")),
                    Ok(series) if series.len() > page::SERIES_MOST => {
                        faults.push(format!("{name}: {what}: {} series", series.len()));
                    }
                    Ok(series) if wants && series.is_empty() => faults.push(format!("{name}: {what}: no data")),
                    Ok(_) => {}
                }
            }
            for (what, answer) in page::marks(&dashboard, server, at) {
                faults.extend(answer.err().map(|error| format!("{name}: mark {what}: {error}")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(questions > 100, "{questions}");
    alerts_of_the_outage(&server, end);
    rules_are_well(&server);
    rules_are_well(&nothing);
}

/// The condition of each holds during the outage and not at its end.
fn alerts_of_the_outage(server: &Prometheus, end: u64) {
    let groups = server.api("rules", &[("type", "alert")]).expect("an answer");
    let rules: Vec<&Value> = list(&groups, "/groups").iter().flat_map(|group| list(group, "/rules")).collect();
    let condition = |alert: &str| {
        let rule = rules.iter().find(|rule| rule["name"] == alert).unwrap_or_else(|| panic!("{alert} is not there"));
        text(rule, "query").to_owned()
    };
    for (alert, ends) in [
        ("BranchOnBackup", true),
        ("ProviderOutage", true),
        ("UplinkBudgetBurnFast", true),
        ("UplinkDegraded", false),
        ("UplinkFlapping", false),
        ("BranchUnreachable", false),
        ("DrillFailed", false),
        ("ConfigRolledBack", false),
        ("ContractEnds", false),
    ] {
        let expr = condition(alert);
        let during = server.range(&expr, end - 6 * 3_600, end, history::STEP).expect(alert);
        assert!(!during.is_empty(), "{alert} does not notice the outage");
        let after = server.query(&expr, end).expect(alert);
        assert_eq!(after.is_empty(), ends, "{alert} at the end: {after:?}");
    }
    for alert in ["BranchDown", "DaemonDown", "PowerTrouble", "LedgerStalled", "ClockUntrusted", "FailoverSuppressed"] {
        let found = server.range(&condition(alert), end - 6 * 3_600, end, history::STEP).expect(alert);
        assert!(found.is_empty(), "{alert} without a reason: {found:?}");
    }
    assert!(end > 90 * DAY);
}

/// Evaluated without an error, and texts that fire are texts.
fn rules_are_well(server: &Prometheus) {
    let rules = || server.api("rules", &[]).expect("an answer");
    let states = || {
        let groups = rules();
        let all: Vec<Value> =
            list(&groups, "/groups").iter().flat_map(|group| list(group, "/rules").to_vec()).collect();
        all
    };
    wait(SEEN, || states().iter().all(|rule| rule["health"] != "unknown"), || "rules are not evaluated".to_owned());
    for rule in states() {
        assert_eq!(rule["health"], "ok", "{rule}");
        for alert in list(&rule, "/alerts") {
            for (_, said) in alert["annotations"].as_object().expect("texts") {
                let said = said.as_str().unwrap_or_default();
                assert!(!said.is_empty() && !said.contains("error") && !said.contains("no value"), "{said}");
            }
        }
    }
}

/// The real page, scraped by the real server with the shipped job: what the canned daemon says arrives under the names that
/// head office gave, its end is noticed, and so is a gateway that is written down later.
#[test]
fn a_gateway_is_scraped_and_a_daemon_that_goes_away_is_noticed() {
    let (daemon, later) = (support::Daemon::start(), support::Daemon::start());
    let folder = Folder::new("scraped");
    let shipped = config("prometheus/gateways/example.json");
    let entry = |address: &str, branch: &str, gateway: &str| -> Vec<Value> {
        let changes = [("10.20.0.1:9620", address), ("lyon-bellecour", branch), ("CWX1-0042", gateway)];
        serde_json::from_str(&changed(&shipped, &changes)).expect("it is JSON")
    };
    // As somebody should who does not want half a file to be read.
    let write = |gateways: Vec<Value>| {
        fs::create_dir_all(folder.0.join("gateways")).expect("a folder");
        fs::write(folder.0.join("gateways/new"), Value::from(gateways).to_string()).expect("a file");
        fs::rename(folder.0.join("gateways/new"), folder.0.join("gateways/branches.json")).expect("a file");
    };
    let lyon = entry(&page_of(&daemon), "lyon-bellecour", "CWX1-0042");
    write(lyon.clone());
    let server = Prometheus::start(&folder.0, None);
    let seen = |expr: &str| server.query(expr, now()).is_ok_and(|found| !found.is_empty());
    let on_backup = |branch: &str, gateway: &str| {
        let named = format!(r#"job="causeway",tenant="petit-shops",branch="{branch}",gateway="{gateway}""#);
        format!(r#"causeway_internet_state{{{named},state="backup"}} == 1"#)
    };
    let lyon_is_read = on_backup("lyon-bellecour", "CWX1-0042");
    let pending =
        |alert: &str| format!(r#"ALERTS{{alertname="{alert}",alertstate="pending",branch="lyon-bellecour"}}"#);
    wait(SEEN, || seen(r#"up{branch="lyon-bellecour"} == 1"#), || "it is not scraped".to_owned());
    wait(SEEN, || seen(&lyon_is_read), || "no state".to_owned());
    wait(SEEN, || seen(&pending("BranchOnBackup")), || "BranchOnBackup".to_owned());
    assert!(!seen(&pending("DaemonDown")));

    write([lyon, entry(&page_of(&later), "caen", "CWX1-0052")].concat());
    wait(SEEN, || seen(&on_backup("caen", "CWX1-0052")), || "the second gateway is not found".to_owned());
    assert!(seen(&lyon_is_read), "the first one is still read");

    drop(daemon);
    wait(SEEN, || seen(&pending("DaemonDown")), || "DaemonDown".to_owned());
    // Nothing old is shown as if it were now.
    wait(SEEN, || !seen(r#"causeway_internet_state{branch="lyon-bellecour"}"#), || "an old state".to_owned());
    assert!(seen(r#"up{branch="lyon-bellecour"} == 1"#));
}

/// Where the real `front` shows what this daemon says.
fn page_of(daemon: &support::Daemon) -> String {
    let (told, listening) = std::sync::mpsc::channel();
    let socket = daemon.socket.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listen = vec!["127.0.0.1:0".parse().expect("an address")];
        let options = causeway::front::Options { socket, listen, why: causeway::cli::why };
        let front = std::sync::Arc::new(causeway::front::http::Front::new(options));
        runtime.block_on(front.serve(|address| told.send(address).expect("the test waits")));
    });
    listening.recv_timeout(SEEN).expect("it listens").to_string()
}

#[test]
fn pictures() {
    if std::env::var_os("CAUSEWAY_PICTURES").is_none() {
        return;
    }
    let folder = Folder::new("pictures");
    let (server, _) = with_history(&folder);
    wait(SEEN, || server.query("ALERTS{branch=\"nantes\"}", now()).is_ok_and(|it| !it.is_empty()), String::new);
    for (name, dashboard) in page::files() {
        let shown = page::shown(&dashboard, &server, now());
        let name = name.trim_end_matches(".json");
        draw::picture(&shown, &folder.0, &root().join(format!("docs/pictures/{name}.png")));
    }
}
