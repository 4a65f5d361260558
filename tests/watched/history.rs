//! The lab's scripted outage as figures: four branches over 60 days, folded by the real counters, written by the real
//! exposition, with the labels that head office adds, and what head office knows itself.

use std::fmt::Write as _;
use std::time::Duration;

use causeway::config::model::{Family, PathId, TargetId, UplinkId};
use causeway::control::snapshot::{ConfigFigures, Firmware, Hardware, LedgerFigures, Process, Slot, Snapshot, Storage};
use causeway::control::status::{InternetState, Plan, Share, Status};
use causeway::engine::action::{DrillStep, Fact, Switch};
use causeway::front::exposition;
use causeway::front::samples::{Page, Web};
use causeway::health::{Cause, Evidence, State, Verdict};
use causeway::policy::{Reason, Selection, Suppressed};
use causeway::probe::Outcome;
use causeway::telemetry::counts::{Counts, Flows, Repair};
use causeway::time::Instant;

/// Between two samples.
pub(crate) const STEP: u64 = 60;
pub(crate) const DAY: u64 = 86_400;
/// Seconds before the end in which there are samples: two short looks a month apart, then the last six hours.
const WINDOWS: [(u64, u64); 3] = [(60 * DAY + 600, 60 * DAY - 600), (30 * DAY + 600, 30 * DAY - 600), (6 * 3_600, 0)];
/// The branch's clock in the ledger's counters began here.
const BEGAN: u64 = 70 * DAY;
/// Bytes; a byte a second is written to it.
const DISK: u64 = 400_000_000;
/// Part of a day that is open.
const OPEN_PERCENT: u64 = 40;
const WAN1: UplinkId = UplinkId(0);
const LTE0: UplinkId = UplinkId(1);

/// Name, provider of the first line, serial of the gateway.
const BRANCHES: [(&str, &str, &str); 4] = [
    ("lyon", "FibreCo", "CWX1-0042"),
    ("caen", "FibreCo", "CWX1-0052"),
    ("nantes", "KabelNet", "CWX1-0044"),
    ("brest", "KabelNet", "CWX1-0045"),
];
/// brest is silent since then.
const SILENT: u64 = 1_200;

/// One text for each window, oldest first, each ready for `promtool tsdb create-blocks-from openmetrics`.
pub(crate) fn texts(end: u64) -> Vec<String> {
    let mut branches: Vec<_> = BRANCHES.iter().map(|branch| Branch::new(*branch)).collect();
    let windows = WINDOWS.into_iter().map(|(from, until)| {
        let mut text = String::new();
        for before in (until..=from).rev().filter(|before| (from - before).is_multiple_of(STEP)) {
            for branch in &mut branches {
                branch.step(end, before, &mut text);
            }
        }
        branches.iter_mut().for_each(Branch::month);
        text + "# EOF\n"
    });
    windows.collect()
}

struct Branch {
    name: &'static str,
    provider: &'static str,
    gateway: &'static str,
    counts: Counts,
    state: State,
    since: Instant,
    serial: u64,
    down_seconds: u64,
    backup_seconds: u64,
    internet: InternetState,
}

impl Branch {
    fn new((name, provider, gateway): (&'static str, &'static str, &'static str)) -> Self {
        let mut counts = Counts::sized([3, 3]);
        for uplink in [WAN1, LTE0] {
            counts.fold(&transition(uplink, State::Unknown, State::Up), Some(1));
        }
        let state = State::Up;
        let (since, serial) = (Instant::from_nanos(0), 0);
        Self {
            name,
            provider,
            gateway,
            counts,
            state,
            since,
            serial,
            down_seconds: 0,
            backup_seconds: 0,
            internet: InternetState::Primary,
        }
    }

    /// What happens to the first line, by seconds before the end.
    fn plan(&self, before: u64) -> State {
        match (self.name, before) {
            // The scripted outage: the fibre is silent for half an hour, and two branches feel it.
            ("lyon", 9_001..=10_800) | ("caen", 9_601..=10_200) => State::Down,
            ("lyon", 8_941..=9_000) | ("caen", 9_541..=9_600) => State::Probation,
            ("nantes", 0..=3_600) if (before / 300).is_multiple_of(2) => State::Degraded,
            _ => State::Up,
        }
    }

    fn step(&mut self, end: u64, before: u64, text: &mut String) {
        let wall = end - before;
        self.change(self.plan(before), wall);
        self.probes(wall);
        if self.state == State::Down {
            self.down_seconds += STEP;
        }
        if self.internet == InternetState::Backup {
            self.backup_seconds += STEP;
        }
        if before.is_multiple_of(1_200) && self.name == "nantes" {
            let alarm = Fact::Suspicion { uplink: WAN1, family: Family::V4, confirmed: false };
            self.counts.fold(&alarm, Some(wall));
        }
        if before == 7_200 {
            self.counts.repaired(Repair::Route, 1);
            let step = if self.name == "nantes" {
                DrillStep::Failed { lasted: Duration::from_secs(31) }
            } else {
                DrillStep::Passed { lasted: Duration::from_secs(31) }
            };
            for step in [DrillStep::Started, DrillStep::Moved, step] {
                self.counts.fold(&Fact::Drill { uplink: LTE0, step }, Some(wall));
            }
        }
        self.counts.turn_took(Duration::from_micros(40));
        for uplink in &mut self.counts.uplinks {
            uplink.received_bytes += 40_000_000;
            uplink.sent_bytes += 8_000_000;
            uplink.probe_bytes += 12_000;
        }
        if self.name != "brest" || before > SILENT {
            self.write(end, before, text);
        }
        self.office(end, before, text);
    }

    fn change(&mut self, to: State, wall: u64) {
        if to == self.state {
            return;
        }
        let now = Instant::from_nanos(wall * 1_000_000_000);
        let mut tell = |fact: Fact| self.counts.fold(&fact, Some(wall));
        if to == State::Down {
            tell(transition(WAN1, self.state, State::Suspect));
            tell(Fact::Suspicion { uplink: WAN1, family: Family::V4, confirmed: true });
            tell(transition(WAN1, State::Suspect, to));
            self.since = now;
            tell(Fact::OutageOpened { uplink: WAN1, family: Family::V4, since: now, cause: Cause::Path });
            tell(Fact::NotSwitched { path: PathId::DEFAULT, family: Family::V4, reason: Suppressed::Hold });
            self.switch(WAN1, LTE0, Reason::Down(Verdict::Silent), Some(Duration::from_millis(380)));
            self.counts.flows(WAN1, Flows { reset: 37, nudged: 12, stragglers: 0 });
            self.internet = InternetState::Backup;
        } else {
            tell(transition(WAN1, self.state, to));
            if to == State::Up && self.state == State::Probation {
                let (since, cause) = (self.since, Cause::Path);
                tell(Fact::OutageClosed { uplink: WAN1, family: Family::V4, since, until: now, cause, flaps: 0 });
                self.switch(LTE0, WAN1, Reason::Failback, None);
                self.internet = InternetState::Primary;
            }
        }
        self.state = to;
    }

    fn switch(&mut self, from: UplinkId, to: UplinkId, reason: Reason, detection: Option<Duration>) {
        self.serial += 1;
        let serial = self.serial;
        let decided = Instant::from_nanos(0);
        self.counts.fold(
            &Fact::Switch(Box::new(Switch {
                serial,
                path: PathId::DEFAULT,
                family: Family::V4,
                from: Selection(vec![(from, 1)]),
                to: Selection(vec![(to, 1)]),
                reason,
                dead: Vec::new(),
                last_life: None,
                decided,
            })),
            None,
        );
        let took = Duration::from_millis(9);
        self.counts.fold(&Fact::Switched { serial, path: PathId::DEFAULT, family: Family::V4, detection, took }, None);
    }

    fn probes(&mut self, wall: u64) {
        for (uplink, rtt) in [(WAN1, 12), (LTE0, 48)] {
            for target in 0..3 {
                // It breathes a little, so that a picture shows something.
                let rtt = Duration::from_millis(rtt + u64::from(target) * 3 + wall / 300 % 7 * 2);
                for probe in 0..12 {
                    let lost =
                        uplink == WAN1 && (self.state == State::Down || self.state == State::Degraded && probe == 0);
                    let outcome = if lost { Outcome::Silent } else { Outcome::Reply { rtt } };
                    self.counts.fold(&Fact::ProbeSettled { uplink, target: TargetId(target), outcome }, Some(wall));
                }
            }
        }
    }

    /// A month passes in which nobody looks: two outages of ten minutes.
    fn month(&mut self) {
        for wall in [1_000, 5_000] {
            self.change(State::Down, wall);
            self.change(State::Probation, wall + 540);
            self.change(State::Up, wall + 600);
            self.down_seconds += 600;
            self.backup_seconds += 600;
        }
    }

    fn status(&self, wall: u64, before: u64) -> Status {
        let mut status: Status =
            serde_json::from_str(include_str!("../canned/backup.json")).expect("it fits the types");
        self.name.clone_into(&mut status.site);
        status.wall_ms = Some(wall * 1_000);
        status.internet.state = self.internet;
        let on = if self.internet == InternetState::Backup { "lte0" } else { "wan1" };
        status.paths[0].families[0].uplinks = vec![Share { uplink: on.to_owned(), weight: 1 }];
        let wan1 = &mut status.uplinks[0];
        wan1.provider = Some(self.provider.to_owned());
        wan1.circuit = Some(format!("{}-{}", &self.provider[..2].to_uppercase(), &self.gateway[5..]));
        wan1.families[0].state = self.state;
        wan1.families[0].jitter_ms = (self.state != State::Down).then(|| 1.0 + (wall / 600 % 5) as f32 / 2.0);
        status.uplinks[1].plan = Some(Plan {
            used_bytes: 1_200_000_000 + (6 * 3_600 - before.min(6 * 3_600)) * 30_000,
            limit_bytes: 10_000_000_000,
            ends_wall_ms: Some((wall + 12 * DAY) * 1_000),
        });
        status
    }

    fn write(&self, end: u64, before: u64, text: &mut String) {
        let wall = end - before;
        let process = Process { cpu_seconds: wall as f64 / 2_000.0, resident_bytes: 6 << 20, ..Process::default() };
        let snapshot = Snapshot {
            status: self.status(wall, before),
            counts: self.counts.clone(),
            process,
            ledger: self.ledger(BEGAN - before),
            hardware: hardware(),
            config: self.config(wall, BEGAN - before),
        };
        let storage = Some(Storage { size_bytes: DISK, used_bytes: DISK / 10 + BEGAN - before });
        let page = Page { snapshot: Some(snapshot), process, storage, web: Web::default() };
        let page = exposition::text(page).expect("it is text");
        let labels = format!(
            "tenant=\"petit-shops\",branch=\"{}\",gateway=\"{}\",job=\"causeway\",instance=\"{}:9620\"",
            self.name, self.gateway, self.name
        );
        labelled(&page, &labels, wall, text);
        let _ = writeln!(text, "up{{{labels}}} 1 {wall}");
    }

    /// What is counted by state and hours in so many seconds.
    fn ledger(&self, seconds: u64) -> LedgerFigures {
        let split = |value: u64| {
            let open = value * 10 * OPEN_PERCENT;
            [open, value * 1_000 - open, 0]
        };
        let off = 2_520;
        let degraded = if self.name == "nantes" { 1_800 } else { 0 };
        let up = seconds - self.down_seconds - degraded - off;
        let none = [0; 3];
        let first = [split(up), split(degraded), split(self.down_seconds), none, none, none, split(off)];
        let second = [split(seconds - off), none, none, none, none, none, none];
        let primary = split(seconds - self.backup_seconds - off);
        LedgerFigures {
            lines: vec![first, second],
            // Staff feel the moment before the backup takes over, and more where both fail.
            internet: [primary, split(self.backup_seconds), split(60 + self.backup_seconds / 20), none, split(off)],
            boots: [1 + seconds / (35 * DAY), 0, 1, 0, 0, 0],
            seq: seconds / 3_600,
            ..LedgerFigures::default()
        }
    }

    /// nantes took a change back five hours before the end.
    fn config(&self, wall: u64, seconds: u64) -> ConfigFigures {
        let readback = u64::from(self.name == "nantes" && seconds > BEGAN - 5 * 3_600);
        ConfigFigures {
            standard: Some(41),
            fetches: [1, wall / 60, 0, 0],
            rollbacks: [0, readback, 0, 0, 0, 0],
            last_fetch: wall,
            ..ConfigFigures::default()
        }
    }

    /// What head office knows of the branch.
    fn office(&self, end: u64, before: u64, text: &mut String) {
        let wall = end - before;
        let labels = format!("tenant=\"petit-shops\",branch=\"{}\",job=\"causeway-office\"", self.name);
        let seen = if self.name == "brest" { wall.min(end - SILENT) } else { wall - 5 };
        let in_sync = u64::from(self.name != "nantes");
        let mut page = format!(
            "causeway_office_branch_last_seen_timestamp_seconds {seen}\n\
             causeway_office_branch_expected_interval_seconds 60\n\
             causeway_office_branch_config_in_sync {in_sync}\n"
        );
        for (state, is) in [("planned", 0), ("active", 1)] {
            let _ = writeln!(page, "causeway_office_branch_lifecycle{{state=\"{state}\"}} {is}");
        }
        let contract = format!("uplink=\"wan1\",provider=\"{}\"", self.provider);
        let _ = writeln!(page, "causeway_office_contract_availability_ratio{{{contract}}} 0.9995");
        let _ = writeln!(page, "causeway_office_contract_end_timestamp_seconds{{{contract}}} {}", end + 40 * DAY);
        labelled(&page, &labels, wall, text);
    }
}

/// Each sample with these labels before its own, and its time behind it.
pub(crate) fn labelled(page: &str, labels: &str, wall: u64, text: &mut String) {
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a series and its value");
        let _ = match series.split_once('{') {
            Some((name, own)) => writeln!(text, "{name}{{{labels},{own} {value} {wall}"),
            None => writeln!(text, "{series}{{{labels}}} {value} {wall}"),
        };
    }
}

pub(crate) fn hardware() -> Hardware {
    Hardware {
        memory_available_bytes: Some(300 << 20),
        temperature_celsius: Some(48.5),
        storage_wear_ratio: Some(0.1),
        firmware: Some(Firmware { version: causeway::VERSION.to_owned(), slot: Slot::A }),
    }
}

fn transition(uplink: UplinkId, from: State, to: State) -> Fact {
    Fact::Transition { uplink, family: Family::V4, from, to, evidence: Box::new(Evidence::default()) }
}
