//! Every alert on a real Prometheus: one branch each, whose pages the real exposition writes, has what the alert is about
//! until a moment that all share, [`Scene::left`] = 0. What lies a window back is in blocks, the rest is scraped.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use causeway::config::model::Family;
use causeway::control::snapshot::{Snapshot, Storage};
use causeway::control::status::{InternetState, Plan, Share};
use causeway::front::exposition;
use causeway::front::samples::{Page, Web};
use causeway::health::State;
use causeway::ledger::timeline::{DOWN, UP};
use causeway::telemetry::counts::Counts;
use serde_json::{Value, json};

use super::history::{DAY, hardware, labelled};
use super::page::{list, text};
use super::server::{Folder, Prometheus, now, succeed, wait};
use super::{SEEN, alerts, config, support};

/// From the first sample to the moment at which all is over. Blocks, start and scrapes take ten seconds on an idle machine.
const LASTS: u64 = 40;
/// In place of each alert's own, which `promtool test rules` holds to the second.
const HASTY: &str = "3s";
const HOUR: u64 = 3_600;
/// Cannot end.
const ALWAYS: &str = "Watchdog";

/// A branch to which one thing happens. Its name is the alert's; `alert-more` is another branch of the same alert, whose first
/// line is of the same provider.
struct Row {
    branch: &'static str,
    /// Seconds before the end at which the branch had been read: as far back as the windows of the alert.
    looks: &'static [u64],
    /// What follows from it besides.
    also: &'static [&'static str],
    happens: fn(&mut Scene),
}

impl Row {
    const fn new(branch: &'static str, looks: &'static [u64], happens: fn(&mut Scene)) -> Self {
        Self { branch, looks, also: &[], happens }
    }

    const fn with(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }

    fn alert(&self) -> &'static str {
        self.branch.split('-').next().unwrap_or(self.branch)
    }

    /// A provider's outage is the provider's, all others are a branch's.
    fn about(&self) -> &'static str {
        if self.alert() == "ProviderOutage" { self.alert() } else { self.branch }
    }

    fn scene(&self, left: i64, wall: u64) -> Scene {
        let mut scene = Scene::well(self.branch, self.alert(), left, wall);
        (self.happens)(&mut scene);
        let status = &mut scene.gateway.status;
        status.internet.state = InternetState::of(&status.uplinks, &status.paths[0]);
        scene
    }
}

const ROWS: &[Row] = &[
    Row::new("BranchUnreachable", &[], |it| {
        if it.lasts() {
            it.seen = it.wall - 1_000;
        }
    }),
    Row::new("ProviderOutage", &[], Scene::fails_over).with(&["BranchOnBackup"]),
    Row::new("ProviderOutage-2", &[], Scene::fails_over).with(&["BranchOnBackup"]),
    Row::new("BranchOnBackup", &[], Scene::fails_over),
    Row::new("BranchDown", &[], |it| {
        it.fails_over();
        it.line_is(1, State::Down);
    }),
    Row::new("BranchBackupDead", &[], |it| it.line_is(1, State::Down)),
    Row::new("BranchNoRedundancy", &[], |it| {
        if it.lasts() {
            it.gateway.status.uplinks.truncate(1);
        }
    }),
    // 400 seconds of the last hour, and too few of the last six.
    Row::new("UplinkBudgetBurnFast", &[6 * HOUR - 600, HOUR - 60, 300], |it| it.was_down(600, 200)),
    // Half an hour of the last six, and nothing in the last five minutes.
    Row::new("UplinkBudgetBurnSlow", &[6 * HOUR - 60, 1_800], |it| it.was_down(2 * HOUR, 1_500)),
    Row::new("UplinkDegraded", &[], |it| it.line_is(0, State::Degraded)),
    Row::new("UplinkDegraded-loss", &[300], |it| {
        if it.since(300) {
            it.gateway.counts.uplinks[0].targets[0].outcomes = [90, 0, 10, 0, 0, 0, 0, 0];
        }
    }),
    Row::new("UplinkFamilyDown", &[], |it| {
        let mut other = it.gateway.status.uplinks[0].families[0].clone();
        other.family = Family::V6;
        other.state = if it.lasts() { State::Down } else { State::Up };
        it.gateway.status.uplinks[0].families.push(other);
    }),
    Row::new("UplinkFlapping", &[HOUR], |it| {
        if it.since(HOUR) {
            it.gateway.counts.uplinks[0].state_changes = [4, 0, 4];
        }
    }),
    Row::new("SuspicionsHigh", &[DAY], |it| {
        if it.since(DAY) {
            it.gateway.counts.uplinks[0].suspicions = [30, 0];
        }
    }),
    Row::new("TargetSuspect", &[], |it| {
        it.gateway.status.uplinks[0].families[0].targets[0].suspect = it.lasts();
    }),
    // 4 GB a day, for ten days.
    Row::new("BackupDataBudget", &[DAY], |it| {
        it.plan().used_bytes = if it.since(DAY) { 4_000_000_000 } else { 0 };
    }),
    Row::new("FailoverSlow", &[DAY], |it| {
        if it.since(DAY) {
            it.gateway.counts.detection.observe(Duration::from_secs(8));
        }
    }),
    Row::new("FailoverSlow-switch", &[DAY], |it| {
        if it.since(DAY) {
            it.gateway.counts.switch.observe(Duration::from_secs(8));
        }
    }),
    Row::new("FailoverSuppressed", &[600], |it| {
        it.line_is(0, State::Down);
        it.gateway.counts.suppressed[0] = u64::from(it.since(600));
    })
    .with(&["BranchDown"]),
    Row::new("StragglersSeen", &[HOUR], |it| {
        it.gateway.counts.uplinks[0].flows.stragglers = u64::from(it.since(HOUR));
    }),
    // The daemon has been started again since: it knows only of drills of its own, and there was none.
    Row::new("DrillStale", &[36 * DAY], |it| {
        it.gateway.counts.uplinks[1].drill_last_success = match (it.since(36 * DAY), it.lasts()) {
            (false, _) => it.wall - HOUR,
            (true, true) => 0,
            (true, false) => it.wall,
        };
    }),
    // Another one passes.
    Row::new("DrillFailed", &[DAY - 60], |it| {
        let (failed, passed) = (it.since(DAY - 60), !it.lasts());
        it.gateway.counts.uplinks[1].drills = [u64::from(passed), u64::from(failed), 0, 0];
    }),
    Row::new("DaemonDown", &[], |it| it.daemon = !it.lasts()),
    Row::new("ScrapeFailing", &[], |it| it.answers = !it.lasts()),
    Row::new("KernelRepairs", &[HOUR], |it| {
        it.gateway.counts.kernel_repairs[0] = if it.since(HOUR) { 5 } else { 1 };
    }),
    Row::new("PowerTrouble", &[7 * DAY], |it| {
        it.gateway.ledger.boots[0] = if it.since(7 * DAY) { 6 } else { 1 };
    }),
    // 100 MB in a day; 300 more and it is full.
    Row::new("StorageFilling", &[DAY], |it| {
        it.storage.used_bytes = if it.since(DAY) { 200_000_000 } else { 100_000_000 };
    }),
    Row::new("FlashWorn", &[], |it| {
        it.gateway.hardware.storage_wear_ratio = Some(if it.lasts() { 0.9 } else { 0.0 });
    }),
    Row::new("SeriesCapHit", &[], |it| {
        if it.lasts() {
            it.has_targets(60);
        }
    }),
    Row::new("ClockUntrusted", &[], |it| {
        if it.lasts() {
            it.gateway.status.wall_ms = None;
        }
    }),
    Row::new("LedgerStalled", &[], |it| it.gateway.ledger.stalled = it.lasts()),
    Row::new("ConfigDrift", &[], |it| it.in_sync = !it.lasts()),
    Row::new("ConfigFetchStale", &[], |it| {
        if it.lasts() {
            it.gateway.config.last_fetch = it.wall - 2 * DAY;
        }
    }),
    Row::new("ConfigRolledBack", &[DAY], |it| {
        it.gateway.config.rollbacks[0] = u64::from(it.since(DAY));
    }),
    Row::new("AssetSupportEnds", &[], |it| {
        let end = it.ends_after(89 * DAY);
        it.office = vec![("asset_support_end_timestamp_seconds", "asset=\"CWX1-0042\"", end)];
    }),
    Row::new("ContractEnds", &[], |it| {
        let end = it.ends_after(59 * DAY);
        it.office = vec![("contract_end_timestamp_seconds", "uplink=\"wan1\",provider=\"FibreCo\"", end)];
    }),
];

/// A branch, its gateway and what head office knows of it, at one moment.
struct Scene {
    /// Seconds until it is over; it is from 0 on.
    left: i64,
    wall: u64,
    gateway: Snapshot,
    storage: Storage,
    daemon: bool,
    answers: bool,
    seen: u64,
    in_sync: bool,
    /// Name without `causeway_office_`, labels, value.
    office: Vec<(&'static str, &'static str, u64)>,
}

impl Scene {
    /// Nothing to say about it.
    fn well(branch: &str, provider: &str, left: i64, wall: u64) -> Self {
        let mut gateway = support::snapshot();
        gateway.status.wall_ms = Some(wall * 1_000);
        gateway.status.uplinks[0].provider = Some(provider.to_owned());
        gateway.status.uplinks[1].provider = Some(format!("{branch}'s other one"));
        gateway.status.uplinks[0].families[0].state = State::Up;
        gateway.status.paths[0].families[0].uplinks = vec![Share { uplink: "wan1".to_owned(), weight: 1 }];
        gateway.counts.uplinks[1].drill_last_success = wall - DAY;
        // Installed so long ago that its figures count up to the day of the end.
        let measured = (100 * DAY).checked_add_signed(-left).expect("it was there");
        for line in [0, 1] {
            gateway.ledger.lines.push([[0; 3]; 7]);
            gateway.ledger.lines[line][UP][0] = measured * 1_000;
        }
        gateway.hardware = hardware();
        gateway.config.last_fetch = wall;
        let storage = Storage { size_bytes: 400_000_000, used_bytes: 100_000_000 };
        let mut scene = Self {
            left,
            wall,
            gateway,
            storage,
            daemon: true,
            answers: true,
            seen: wall,
            in_sync: true,
            office: Vec::new(),
        };
        scene.plan().ends_wall_ms = Some((wall + 10 * DAY) * 1_000);
        scene
    }

    fn lasts(&self) -> bool {
        self.left > 0
    }

    /// What happened so long before the end has happened: the window whose first look was taken then still sees it happen.
    fn since(&self, window: u64) -> bool {
        self.left < i64::try_from(window).expect("a window")
    }

    fn line_is(&mut self, line: usize, state: State) {
        if self.lasts() {
            self.gateway.status.uplinks[line].families[0].state = state;
        }
    }

    fn fails_over(&mut self) {
        self.line_is(0, State::Down);
        if self.lasts() {
            "lte0".clone_into(&mut self.gateway.status.paths[0].families[0].uplinks[0].uplink);
        }
    }

    /// The ledger says that the first line was down between these.
    fn was_down(&mut self, from: u64, until: u64) {
        let [from, until] = [from, until].map(|before| i64::try_from(before).expect("a time"));
        let down = u64::try_from(from - self.left.clamp(until, from)).expect("it began before it ended") * 1_000;
        let line = &mut self.gateway.ledger.lines[0];
        line[UP][0] -= down;
        line[DOWN][0] = down;
    }

    fn plan(&mut self) -> &mut Plan {
        self.gateway.status.uplinks[1].plan.as_mut().expect("the canned branch has one")
    }

    fn has_targets(&mut self, count: u8) {
        let targets = &mut self.gateway.status.uplinks[0].families[0].targets;
        let first = targets[0].clone();
        *targets = (0..count)
            .map(|index| {
                let mut target = first.clone();
                (target.index, target.label) = (index, format!("192.0.2.{index} icmp"));
                target
            })
            .collect();
        self.gateway.counts.uplinks[0].targets = Counts::sized([count.into()]).uplinks.remove(0).targets;
    }

    fn ends_after(&self, while_it_lasts: u64) -> u64 {
        self.wall + if self.lasts() { while_it_lasts } else { 1_000 * DAY }
    }

    fn page(self) -> String {
        let process = self.gateway.process;
        let snapshot = self.daemon.then_some(self.gateway);
        let page = Page { snapshot, process, storage: Some(self.storage), web: Web::default() };
        exposition::text(page).expect("it is text")
    }

    fn at_office(&self, branch: &str, text: &mut String) {
        let labels = format!("tenant=\"t\",branch=\"{branch}\"");
        let of_all = [
            ("branch_last_seen_timestamp_seconds", "", self.seen),
            ("branch_expected_interval_seconds", "", 60),
            ("branch_lifecycle", "state=\"active\"", 1),
            ("branch_config_in_sync", "", u64::from(self.in_sync)),
        ];
        for (name, more, value) in of_all.iter().chain(&self.office) {
            let _ = writeln!(text, "causeway_office_{name}{{{labels},{more}}} {value}"); // a text takes everything
        }
    }
}

/// The pages of all branches and head office's, each under its name, until the test's process ends.
fn serve(listener: TcpListener, end: u64) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Who has gone does not get it.
            let _ = stream.and_then(|stream| answer(stream, end));
        }
    });
}

fn answer(mut stream: TcpStream, end: u64) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let asked = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let wall = now();
    let left = end.cast_signed() - wall.cast_signed();
    let name = asked.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let (kind, page) = match ROWS.iter().find(|row| row.branch == name) {
        Some(row) => {
            let scene = row.scene(left, wall);
            (exposition::CONTENT_TYPE, scene.answers.then(|| scene.page()))
        }
        None => {
            let mut text = String::new();
            ROWS.iter().for_each(|row| row.scene(left, wall).at_office(row.branch, &mut text));
            ("text/plain; version=0.0.4", Some(text))
        }
    };
    match page {
        Some(page) => write!(stream, "HTTP/1.0 200 OK\r\ncontent-type: {kind}\r\n\r\n{page}"),
        None => write!(stream, "HTTP/1.0 503 Service Unavailable\r\n\r\n"),
    }
}

/// What was read of the branches before, a file and its blocks for each moment.
fn write_looks(folder: &Folder, end: u64, address: SocketAddr) {
    let moments: BTreeSet<u64> = ROWS.iter().flat_map(|row| row.looks).copied().collect();
    for before in moments {
        let mut text = String::new();
        for row in ROWS.iter().filter(|row| row.looks.contains(&before)) {
            let labels = format!(
                "tenant=\"t\",branch=\"{0}\",gateway=\"{0}\",job=\"causeway\",instance=\"{address}\"",
                row.branch
            );
            let page = row.scene(before.cast_signed(), end - before).page();
            labelled(&page, &labels, end - before, &mut text);
        }
        let file = format!("look-{before}");
        std::fs::write(folder.0.join(&file), text + "# EOF\n").expect("a file");
        succeed("promtool", &["tsdb", "create-blocks-from", "openmetrics", "--quiet", &file, "data"], &folder.0);
    }
}

fn write_gateways(folder: &Folder, address: SocketAddr) {
    let of = |row: &Row| {
        let path = format!("/{}", row.branch);
        json!({
            "targets": [address.to_string()],
            "labels": { "tenant": "t", "branch": row.branch, "gateway": row.branch, "__metrics_path__": path },
        })
    };
    std::fs::create_dir_all(folder.0.join("gateways")).expect("a folder");
    let gateways: Vec<Value> = ROWS.iter().map(of).collect();
    std::fs::write(folder.0.join("gateways/all.json"), Value::from(gateways).to_string()).expect("a file");
}

/// The shipped alerts, with nothing changed but how long each waits before it fires and after it has ended.
fn hasty(alerts: &str) -> String {
    let waits = |line: &str| ["for: ", "keep_firing_for: "].into_iter().find(|key| line.trim_start().starts_with(key));
    let changed: String = alerts
        .lines()
        .map(|line| match waits(line) {
            Some(key) => format!("        {key}{HASTY}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    let rest = |text: &str| text.lines().filter(|line| waits(line).is_none()).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rest(&changed), rest(alerts));
    assert_eq!(changed.lines().count(), alerts.lines().count());
    changed
}

/// Alert, and which branch or provider it is about.
type Told = BTreeSet<(String, String)>;

fn told<'a>(labels: impl Iterator<Item = &'a Value>) -> Told {
    let about = |labels: &Value| labels.get("branch").or(labels.get("provider")).cloned().unwrap_or_default();
    labels
        .map(|labels| (text(labels, "alertname").to_owned(), about(labels).as_str().unwrap_or_default().to_owned()))
        .collect()
}

fn firing(server: &Prometheus) -> Told {
    let alerts = server.api("alerts", &[]).expect("an answer");
    told(list(&alerts, "/alerts").iter().filter(|alert| alert["state"] == "firing").map(|alert| &alert["labels"]))
}

#[test]
fn every_alert_fires_and_ends_on_a_real_prometheus() {
    let named: BTreeSet<String> = ROWS.iter().map(|row| row.alert().to_owned()).chain([ALWAYS.to_owned()]).collect();
    assert_eq!(named, alerts().into_iter().collect(), "each alert has a row, and each row an alert");
    let always = Told::from([(ALWAYS.to_owned(), String::new())]);
    let mut wanted = always.clone();
    for row in ROWS {
        wanted.insert((row.alert().to_owned(), row.about().to_owned()));
        wanted.extend(row.also.iter().map(|alert| ((*alert).to_owned(), row.branch.to_owned())));
    }

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its own");
    let end = now() + LASTS;
    serve(listener, end);
    let folder = Folder::new("alarms");
    write_looks(&folder, end, address);
    write_gateways(&folder, address);
    let server = Prometheus::with_alerts(&folder.0, Some(address), &hasty(&config("prometheus/alerts.yml")));

    let left = Duration::from_secs(end.saturating_sub(now() + 2));
    wait(
        left,
        || wanted.is_subset(&firing(&server)),
        || format!("silent: {:?}", wanted.difference(&firing(&server)).collect::<Vec<_>>()),
    );
    super::rules_are_well(&server);
    wait(left + SEEN, || firing(&server) == always, || format!("still there: {:?}", firing(&server)));
    // Not one ended before its time, and no branch was told of anything else.
    let last = server.query("ALERTS{alertstate=\"firing\"}", end - 1).expect("an answer");
    let last = told(last.iter().map(|series| &series["metric"]));
    let differ: Vec<_> = last.symmetric_difference(&wanted).collect();
    assert!(differ.is_empty(), "{differ:?}");
}
