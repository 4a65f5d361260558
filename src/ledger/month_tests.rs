//! A branch on which a script is played for a month, and its counters and reports against the script.

use std::collections::{BTreeMap, VecDeque};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use jiff::Zoned;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::account::Account;
use super::chain::verify;
use super::clock::Judge;
use super::fixture::{LEDGER, utc_ms, week, zones};
use super::record::{Id, Record, Stamp};
use super::report::{Month, Report, Scope, csv, html, text};
use super::scribe::{Before, Scribe};
use super::store::{Folder, Store, read};
use super::timeline::{INTERNET_STATES, LINE_STATES};
use super::words::length;
use crate::config::branch::{Place, Week};
use crate::config::model::{Family, Gateway};
use crate::control::status::InternetState;
use crate::engine::action::Fact;
use crate::health::{Cause, Evidence, State};
use crate::telemetry::fixture::{LTE0, WAN1, gateway};
use crate::time::Instant;

/// 2026-01-01: what the daemon believes a clock to be set from.
const BUILT: u64 = 1_767_225_600_000;
const HOURS: &str = "mon-fri 08:00-12:00, mon-fri 14:00-18:30, sat 01:30-03:30, sun 00:00-24:00, closed 10-21";

/// What happens in the script, in seconds since its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) enum Play {
    /// `wan1` falls silent, until then.
    Outage(u64, u64),
    PowerCut(u64, u64),
    Reboot(u64, u64),
    /// The daemon alone.
    Restart(u64, u64),
}

/// The ledger's folder, gone with it, and who writes to it.
struct Disk {
    root: PathBuf,
    store: Store<Folder>,
}

impl Disk {
    fn new(name: &str) -> Self {
        // In memory, if that is a folder: a month has thousands of syncs, and no power fails here but that of the box.
        let shared = Some(PathBuf::from("/dev/shm")).filter(|folder| folder.is_dir());
        let folder = shared.unwrap_or_else(std::env::temp_dir);
        let root = folder.join(format!("causeway-month-{name}-{}", std::process::id()));
        // An earlier process of this number may have been killed.
        let _ = std::fs::remove_dir_all(&root);
        let folder = Folder::new(&root).expect("a folder");
        Self { root, store: Store::open(folder, LEDGER, &zones).expect("it is empty").0 }
    }

    /// Half a line that the power cut left.
    fn tear(&self) {
        let names = std::fs::read_dir(&self.root).expect("it is there").map(|entry| entry.expect("an entry").path());
        let newest = names.filter(|path| path.extension().is_some_and(|end| end == "log")).max().expect("a file");
        let file = OpenOptions::new().append(true).open(newest);
        file.and_then(|mut file| file.write_all(b"0123456789abcdef {\"led")).expect("it can be written");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// What a box without a battery shows when it boots, in UTC ms, until somebody tells it the time.
#[derive(Clone, Copy, Debug)]
struct Unset {
    shows: u64,
    told: u64,
}

/// A box on which the script is played: facts of the engine in, records and counters out.
pub(super) struct Branch {
    config: Gateway,
    place: Place,
    /// That of the place; looked up once, for it is asked for each second.
    zone: TimeZone,
    scribe: Scribe,
    account: Account,
    pub(super) records: Vec<Record>,
    boot: u128,
    /// UTC ms at which the monotonic clock was 0.
    booted: u64,
    begin: u64,
    before: Before,
    /// What was true in each second; empty where nobody can know when it was.
    truth: Vec<&'static str>,
    /// Milliseconds in a state, of which nobody knows when it was.
    undated: BTreeMap<&'static str, u64>,
    /// `None`: what was written is lost with this value.
    disk: Option<Disk>,
    judge: Judge,
    unset: Option<Unset>,
    /// Of the next boot.
    next: Option<Unset>,
    /// Seconds: of the last boot's first look, and of the last sign of life.
    looked: u64,
    sign: u64,
    /// What a report can tell of the script.
    told: Vec<Play>,
}

impl Branch {
    pub(super) fn new(begin: u64, seconds: u64) -> Self {
        let mut config = gateway();
        config.uplinks[0].ipv6 = crate::config::model::Ipv6Mode::Off;
        config.uplinks[0].targets.retain(|target| target.family == Family::V4);
        config.uplinks[0].provider = Some("FibreCo <script>".to_owned());
        config.uplinks[0].circuit = Some("FC-20881".to_owned());
        let place = Place { timezone: Some("Europe/Paris".to_owned()), hours: Some(week(HOURS)), ..Place::default() };
        let truth = vec!["up"; usize::try_from(seconds).expect("a month")];
        Self {
            config,
            place,
            zone: zones(Some("Europe/Paris")),
            scribe: Scribe::default(),
            account: Account::default(),
            records: Vec::new(),
            boot: 0,
            booted: begin,
            begin,
            before: Before::default(),
            truth,
            undated: BTreeMap::new(),
            disk: None,
            judge: Judge::new(BUILT),
            unset: None,
            next: None,
            looked: 0,
            sign: 0,
            told: Vec::new(),
        }
    }

    fn wall(&self, second: u64) -> u64 {
        self.begin + second * 1_000
    }

    pub(super) fn stamp(&mut self, wall: u64) -> Stamp {
        let mono = wall - self.booted;
        let shown = match self.unset {
            Some(unset) if wall < unset.told => unset.shows + mono,
            Some(_) | None => wall,
        };
        Stamp { boot: Id(self.boot), mono, wall: self.judge.believed(shown, mono) }
    }

    fn flush(&mut self) {
        let mut queue = VecDeque::new();
        for mut record in self.scribe.take() {
            (record.ledger, record.seq) = (LEDGER, self.records.len() as u64 + 1);
            self.account.fold(&record, &zones);
            self.sign = (record.mono + self.booted - self.begin) / 1_000;
            queue.push_back(record.clone());
            self.records.push(record);
        }
        if let Some(disk) = &mut self.disk {
            disk.store.append(&mut queue).expect("the disk is well");
        }
    }

    /// Once the box is told the time, its daemon notices within a second.
    fn pass(&mut self, wall: u64) {
        if let Some(Unset { told, .. }) = self.unset.filter(|unset| unset.told <= wall) {
            self.unset = None;
            let at = self.stamp(told);
            self.scribe.tick(at);
            self.flush();
        }
    }

    /// The sums, and that the box lives.
    fn heartbeat(&mut self, second: u64) {
        let at = self.stamp(self.wall(second));
        self.account.advance(at.mono, &|_| None);
        self.sign = second;
        if let Some(disk) = &mut self.disk {
            disk.store.checkpoint(&self.account, at).expect("the disk is well");
        }
    }

    /// What is still there when the daemon comes again.
    fn reopen(&mut self, last: Stamp, stopped: bool) -> Map<String, Value> {
        let Some(Disk { root, .. }) = &self.disk else {
            let bytes = postcard::to_allocvec(&self.account).expect("plain data");
            self.account = postcard::from_bytes(&bytes).expect("it was just written");
            self.account.resolve(&zones);
            self.before = Before { last: Some(last), stopped, dated: last.wall };
            return Map::new();
        };
        let opened = Store::open(Folder::new(root).expect("it is there"), Id(0xbad), &zones);
        let (store, found) = opened.expect("it can be read");
        (self.account, self.before) = (found.account, found.before);
        assert_eq!((self.before.last, self.before.stopped), (Some(last), stopped));
        self.disk.as_mut().expect("it is there").store = store;
        found.told
    }

    fn paint(&mut self, from: u64, to: u64, state: &'static str) {
        for second in &mut self.truth[usize::try_from(from).expect("small")..usize::try_from(to).expect("small")] {
            *second = state;
        }
    }

    /// The daemon begins to look; ten seconds later it knows.
    pub(super) fn start(&mut self, second: u64, boots: bool, reason: &str, told: Map<String, Value>) {
        let wall = self.wall(second);
        if boots {
            self.boot += 1;
            self.booted = wall - 20_000;
            (self.looked, self.unset) = (second, self.next.take());
        }
        self.judge = Judge::new(BUILT);
        if let Some(dated) = self.before.dated {
            self.judge.lived(dated);
        }
        let at = self.stamp(wall);
        self.scribe = Scribe::default();
        self.scribe.start(self.before, reason, "0.1.0", told, at);
        let known: Vec<String> = self.account.sums().lines.keys().cloned().collect();
        self.scribe.config(&self.config, &self.place, "abc", &[], &known, at);
        self.flush();
        self.change(second + 10, State::Up);
        self.paint(second, second + 10, "unknown");
    }

    fn change(&mut self, second: u64, to: State) {
        self.pass(self.wall(second));
        let at = self.stamp(self.wall(second));
        for uplink in [WAN1, LTE0] {
            let evidence = Box::new(Evidence::default());
            let fact = Fact::Transition { uplink, family: Family::V4, from: State::Unknown, to, evidence };
            self.scribe.tell(&fact, false, None, &self.config, at);
        }
        self.scribe.internet(InternetState::Primary, at);
        self.flush();
    }

    fn wan1(&mut self, ms: u64, to: State) {
        let at = self.stamp(self.begin + ms);
        let evidence = Evidence { targets: 2, carrier: true, gateway_answers: Some(true), ..Evidence::default() };
        let evidence = Box::new(evidence);
        let fact = Fact::Transition { uplink: WAN1, family: Family::V4, from: State::Up, to, evidence };
        self.scribe.tell(&fact, false, None, &self.config, at);
        self.flush();
    }

    pub(super) fn play(&mut self, play: Play) {
        match play {
            Play::Outage(from, to) => {
                self.pass(self.wall(from));
                let since = Instant::from_nanos((self.wall(from) - self.booted) * 1_000_000);
                let until = Instant::from_nanos((self.wall(to) - self.booted) * 1_000_000);
                self.wan1(from * 1_000, State::Suspect);
                let down = self.stamp(self.wall(from) + 380);
                let opened = Fact::OutageOpened { uplink: WAN1, family: Family::V4, since, cause: Cause::Path };
                self.scribe.tell(&opened, false, None, &self.config, down);
                self.wan1(from * 1_000 + 380, State::Down);
                self.scribe.internet(InternetState::Backup, down);
                self.flush();
                self.pass(self.wall(to));
                self.wan1(to * 1_000, State::Probation);
                self.pass(self.wall(to + 30));
                let closed =
                    Fact::OutageClosed { uplink: WAN1, family: Family::V4, since, until, cause: Cause::Path, flaps: 0 };
                let up = self.stamp(self.wall(to + 30));
                self.scribe.tell(&closed, false, None, &self.config, up);
                self.wan1((to + 30) * 1_000, State::Up);
                self.scribe.internet(InternetState::Primary, up);
                self.flush();
                self.paint(from, to, "down");
                self.paint(to, to + 30, "probation");
                self.told.push(play);
            }
            Play::PowerCut(from, to) => self.away(from, to, true, "power"),
            Play::Reboot(from, to) => self.away(from, to, true, "reboot"),
            Play::Restart(from, to) => self.away(from, to, false, "unknown"),
        }
    }

    /// Nobody told this boot the time: how long the box was off before it and after it is not known, nor when anything was.
    fn forget(&mut self, lived: u64, to: u64) {
        let [looked, lived, to] = [self.looked, lived, to].map(|second| usize::try_from(second).expect("small"));
        for state in &self.truth[looked..lived] {
            *self.undated.entry(state).or_default() += 1_000;
        }
        let off = self.truth[..looked].iter().rev().take_while(|state| **state == "off").count();
        self.truth[looked - off..to].fill("");
        let looked = self.looked;
        self.told.retain(|play| match *play {
            Play::Outage(from, _) => from < looked,
            Play::PowerCut(_, to) | Play::Reboot(_, to) | Play::Restart(_, to) => to < looked,
        });
    }

    fn away(&mut self, from: u64, to: u64, boots: bool, reason: &str) {
        self.pass(self.wall(from));
        let stopped = reason == "reboot";
        if stopped {
            let at = self.stamp(self.wall(from));
            self.scribe.stop(at);
            self.flush();
        }
        // Nobody sees the last minute of a box whose power fails; without a disk it is seen as it is.
        let lived = if stopped || self.disk.is_none() { from } else { self.sign.max(from - from % 60) };
        self.heartbeat(lived);
        if let Some(disk) = self.disk.as_ref().filter(|_| !stopped && from.is_multiple_of(3)) {
            disk.tear();
        }
        let last = self.stamp(self.wall(lived));
        let told = self.reopen(last, stopped);
        if boots && self.unset.is_some() {
            self.forget(lived, to);
        } else if boots {
            self.paint(lived, to, "off");
            self.told.push(if stopped { Play::Reboot(lived, to) } else { Play::PowerCut(lived, to) });
        } else {
            self.paint(lived, to, "unknown");
        }
        self.start(to, boots, reason, told);
    }
}

/// Every hour or so something, in an order that only the seed knows.
fn script(seconds: u64, mut seed: u64) -> Vec<Play> {
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let (mut plays, mut at) = (Vec::new(), 600);
    loop {
        let (from, length) = (at + next(9_000), 1 + next(5_400));
        if from + length + 100 > seconds {
            return plays;
        }
        plays.push(match next(10) {
            0 => Play::PowerCut(from, from + length),
            1 => Play::Reboot(from, from + length.min(120)),
            2 => Play::Restart(from, from + length.min(20)),
            _ => Play::Outage(from, from + length),
        });
        at = from + length + 60;
    }
}

/// By the clock on the wall of the branch.
fn local(branch: &Branch, second: u64) -> Zoned {
    let stamp = jiff::Timestamp::from_millisecond(i64::try_from(branch.wall(second)).expect("small")).expect("near");
    stamp.to_zoned(branch.zone.clone())
}

fn is_open(week: &Week, local: &Zoned) -> bool {
    let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).expect("small");
    let day = u8::try_from(local.weekday().to_monday_zero_offset()).expect("small");
    let date = (u8::try_from(local.month()).expect("small"), u8::try_from(local.day()).expect("small"));
    !week.closed.contains(&date) && week.open.iter().any(|it| it.day == day && it.from <= minute && minute < it.to)
}

/// Of the script, second by second. State to open and closed milliseconds.
fn expected(branch: &Branch) -> BTreeMap<&'static str, [u64; 2]> {
    let week = week(HOURS);
    let mut sums = BTreeMap::new();
    for (second, state) in (0..).zip(&branch.truth).filter(|(_, state)| !state.is_empty()) {
        let open = is_open(&week, &local(branch, second));
        sums.entry(*state).or_insert([0; 2])[usize::from(!open)] += 1_000;
    }
    sums
}

/// What people are handed: each row of each format, to the second, against the script.
fn every_format_equals_the_script(branch: &Branch, plays: &[Play], report: &Report) {
    let week = week(HOURS);
    let page = html::page(report);
    let told = text::report(report);
    let json: Value = serde_json::to_value(report).expect("JSON");
    let sheet = csv::outages(report);
    let (mut rows, mut own) = (Vec::new(), Vec::new());
    for play in plays {
        let (from, to) = match *play {
            Play::Outage(from, to) | Play::PowerCut(from, to) | Play::Reboot(from, to) => (from, to),
            Play::Restart(..) => continue,
        };
        let (began, ended) = (local(branch, from), local(branch, to));
        let utc = |at: &Zoned| at.timestamp().strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
        let clock = |at: &Zoned| at.strftime("%Y-%m-%d %H:%M:%S%:z").to_string();
        let (ms, open) = (
            (to - from) * 1_000,
            (from..to).filter(|second| is_open(&week, &local(branch, *second))).count() as u64 * 1_000,
        );
        let times = [utc(&began), utc(&ended), clock(&began), clock(&ended), ms.to_string()].join(",");
        if !matches!(play, Play::Outage(..)) {
            own.push(format!(",,{times},"));
            continue;
        }
        let index = rows.len();
        rows.push(format!("wan1,,{times},{open},0,path,"));
        let (row, fields) = (&json["outages"][index], ["began", "ended", "lasted_ms", "open_ms"]);
        let wanted = [branch.wall(from), branch.wall(to), ms, open];
        assert_eq!(fields.map(|field| row[field].as_u64()), wanted.map(Some), "{row}");
        let line = format!("  {}  {}, cause path", began.strftime("%-d %b %H:%M:%S"), length(ms));
        assert!(told.contains(&line), "{line}");
        let both =
            |at: &Zoned| format!("{} ({} UTC)", at.strftime("%-d %b %H:%M:%S"), at.timestamp().strftime("%H:%M:%S"));
        let cells = [both(&began), both(&ended), length(ms), length(open)].join("</td><td>");
        assert!(page.contains(&format!("<tr><td>wan1</td><td>{cells}</td>")), "{cells}");
    }
    assert_eq!(json["outages"].as_array().map(Vec::len), Some(rows.len()));
    assert_eq!(page.matches("<tr><td>wan1</td><td>").count(), rows.len() + 1, "and one row of the line itself");
    let found: Vec<&str> = sheet.lines().skip(1).collect();
    assert_eq!(found.len(), rows.len() + own.len());
    for (found, wanted) in found.iter().zip(rows.iter().chain(&own)) {
        assert!(found.starts_with(wanted), "{found}\n{wanted}");
    }
}

/// What the clock of a box shows that boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    Right,
    /// 1970 or the day it was built, until it is told in each boot.
    Told,
    /// Some boots end before that.
    Seldom,
}

/// What each start of the script finds.
fn clocks(plays: &[Play], clock: Clock, begin: u64) -> Vec<Option<Unset>> {
    let boots = |play: &Play| match *play {
        Play::PowerCut(from, to) | Play::Reboot(from, to) => Some((from, to)),
        Play::Outage(..) | Play::Restart(..) => None,
    };
    let unset = |(index, play)| {
        let (from, to) = boots(play).filter(|_| clock != Clock::Right)?;
        let next = plays[index + 1..].iter().find_map(boots).map_or(u64::MAX, |(from, _)| from);
        let told = to + 1 + from % 5_400 * if clock == Clock::Seldom { 5 } else { 1 };
        let told = if clock == Clock::Seldom { told } else { told.min(next) };
        let shows = if from % 2 == 0 { 0 } else { utc_ms("2026-02-03T04:05:06Z") };
        Some(Unset { shows, told: begin + told * 1_000 })
    };
    plays.iter().enumerate().map(unset).collect()
}

/// Counters and report of a whole month against the script, second by second, over a ledger in real files.
fn month(text: &str, seed: u64, clock: Clock) {
    let month = Month::parse(text).expect("a month");
    let (begin, end) = month.bounds(&zones(Some("Europe/Paris")));
    let seconds = (end - begin) / 1_000;
    let mut branch = Branch::new(begin, seconds);
    branch.disk = Some(Disk::new(&format!("{text}-{clock:?}")));
    branch.start(0, true, "unknown", Map::new());
    let plays = script(seconds, seed);
    assert!(plays.len() > 250, "{}", plays.len());
    for (play, unset) in plays.iter().zip(clocks(&plays, clock, begin)) {
        branch.next = unset;
        branch.play(*play);
    }
    branch.pass(end);
    let last = branch.stamp(end);
    branch.account.advance(last.mono, &|_| None);

    let wanted = expected(&branch);
    let undated = |state: &str| branch.undated.get(state).copied().unwrap_or(0);
    assert_eq!(branch.undated.is_empty(), clock != Clock::Seldom);
    let times = &branch.account.sums().lines["wan1"];
    for (index, state) in LINE_STATES.iter().enumerate() {
        let [open, closed] = wanted.get(state).copied().unwrap_or_default();
        assert_eq!(times[index], [open, closed, undated(state)], "{state}");
    }
    let internet = |state: &str| -> u64 {
        let index = INTERNET_STATES.iter().position(|name| *name == state).expect("a state");
        branch.account.sums().internet[index].iter().sum()
    };
    // The branch is on backup from the verdict, 380 ms after the last proof of life, to the end of the probation.
    let backup = |play: &Play| if let Play::Outage(from, to) = play { (to + 30 - from) * 1_000 - 380 } else { 0 };
    let sum = |state: &str| wanted[state].iter().sum::<u64>();
    let (backup, starts, off) =
        (plays.iter().map(backup).sum::<u64>(), sum("unknown") + undated("unknown"), sum("off"));
    assert_eq!((internet("backup"), internet("off"), internet("unknown")), (backup, off, starts));
    let counted = wanted.values().flatten().sum::<u64>() + branch.undated.values().sum::<u64>();
    assert_eq!(internet("primary"), counted - backup - off - starts, "nothing is counted twice or left out");
    let boots = plays.iter().filter(|play| matches!(play, Play::PowerCut(..))).count() as u64;
    assert_eq!(branch.account.sums().boots[0], boots, "power cuts");

    let disk = branch.disk.as_ref().expect("it has one");
    let (segments, _) = read(&disk.root).expect("it can be read");
    let checked = verify(&segments).expect("one chain");
    let scope = Scope { month, uplink: Some("wan1"), promised: Some(0.9995), now: Some((last.boot, last.mono)) };
    let report = Report::of(&checked, &scope, &zones);
    let line = &report.lines[0];
    for (state, [open, closed]) in &wanted {
        assert_eq!(line.times[state], [*open, *closed, 0], "{state}");
    }
    assert_eq!(report.undated_ms, branch.undated.values().sum::<u64>());
    let outages: Vec<(u64, u64)> = branch
        .told
        .iter()
        .filter_map(|play| if let Play::Outage(from, to) = play { Some((*from, *to)) } else { None })
        .collect();
    let found: Vec<(u64, u64)> = report
        .outages
        .iter()
        .map(|row| ((row.began - begin) / 1_000, (row.ended.expect("closed") - begin) / 1_000))
        .collect();
    assert_eq!(found, outages);
    let down: u64 = outages.iter().map(|(from, to)| (to - from) * 1_000).sum();
    assert_eq!((line.outage_ms, line.outage_open_ms), (down, wanted["down"][0]));
    let measured: u64 = ["up", "down", "probation"].iter().flat_map(|state| wanted[state]).sum();
    assert_eq!((line.measured_ms, line.off_ms), (measured, off));
    let own: u64 = report.own.iter().filter_map(|own| own.ms).sum();
    assert_eq!(own, off, "power cuts and reboots, set apart");
    assert!(report.own.iter().all(|own| ["power", "reboot"].contains(&own.reason.as_str())));
    // One source: the sums of the report are those of the counters.
    assert_eq!(line.times["up"][..2], times[0][..2]);
    if clock != Clock::Seldom {
        every_format_equals_the_script(&branch, &branch.told, &report);
    }
}

#[test]
fn the_month_when_the_clocks_go_back_equals_the_script() {
    month("2026-10", 7, Clock::Right);
}

#[test]
fn the_month_when_the_clocks_go_forward_equals_the_script() {
    month("2026-03", 11, Clock::Right);
}

#[test]
fn a_month_without_a_battery_equals_the_script() {
    month("2026-10", 5, Clock::Told);
    month("2026-03", 13, Clock::Told);
}

#[test]
fn a_month_in_which_some_boots_never_learn_the_time_equals_the_script() {
    month("2026-10", 9, Clock::Seldom);
}
