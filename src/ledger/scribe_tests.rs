use std::time::Duration;

use super::*;
use crate::control::status::InternetState;
use crate::health::{Evidence as Seen, Verdict};
use crate::ledger::fixture::{BOOT, at};
use crate::policy::{Reason, Selection};
use crate::telemetry::counts::Flows;
use crate::telemetry::fixture::{LTE0, WAN1, gateway};

struct World {
    scribe: Scribe,
    config: Gateway,
}

impl World {
    /// `lte0` has one family, `wan1` both.
    fn new() -> Self {
        let config = gateway();
        let mut scribe = Scribe::default();
        scribe.config(&config, &Place::default(), "abc", &[], &[], at(0, Some(1_000_000)));
        scribe.take();
        Self { scribe, config }
    }

    fn tell(&mut self, mono: u64, fact: &Fact) -> Vec<Record> {
        self.scribe.tell(fact, false, None, &self.config, at(mono, Some(1_000_000 + mono)));
        self.scribe.take()
    }

    fn change(&mut self, mono: u64, uplink: UplinkId, family: Family, to: State) -> Vec<Record> {
        let evidence = Seen {
            verdict: (to == State::Down).then_some(Verdict::Silent),
            cause: (to == State::Down).then_some(Cause::Path),
            carrier: true,
            gateway_answers: Some(true),
            silent_for: Some(Duration::from_millis(380)),
            ..Seen::default()
        };
        self.tell(mono, &Fact::Transition { uplink, family, from: State::Up, to, evidence: Box::new(evidence) })
    }

    fn down(&mut self, mono: u64, uplink: UplinkId, family: Family) -> Vec<Record> {
        let since = Instant::from_nanos((mono - 400) * 1_000_000);
        self.tell(mono, &Fact::OutageOpened { uplink, family, since, cause: Cause::Path });
        self.change(mono, uplink, family, State::Down)
    }
}

fn told(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| {
            let who = record.uplink.as_deref().unwrap_or("internet");
            let family = record.family.as_deref().unwrap_or("line");
            format!("{} {who} {family} {}", record.kind.name(), record.to.as_deref().unwrap_or("-"))
        })
        .collect()
}

#[test]
fn an_outage_of_one_family_is_told_with_what_was_seen() {
    let mut world = World::new();
    world.change(1_000, WAN1, Family::V4, State::Up);
    world.change(1_000, WAN1, Family::V6, State::Up);
    assert_eq!(told(&world.change(2_000, LTE0, Family::V4, State::Up)), ["state lte0 line up"]);
    let records = world.down(5_000, LTE0, Family::V4);
    assert_eq!(told(&records), ["state lte0 line down", "outage_open lte0 line -"]);
    let open = &records[1];
    assert_eq!((open.since, open.cause.as_deref()), (Some(4_600), Some("path")));
    assert_eq!(open.evidence["others_up"], serde_json::json!(["wan1"]));
    assert_eq!(open.evidence["gateway_answers"], serde_json::json!(true));
    let closed = Fact::OutageClosed {
        uplink: LTE0,
        family: Family::V4,
        since: Instant::from_nanos(4_600_000_000),
        until: Instant::from_nanos(9_000_000_000),
        cause: Cause::Path,
        flaps: 2,
    };
    let records = world.tell(39_000, &closed);
    assert_eq!((records[0].kind, records[0].since, records[0].until), (Kind::OutageClose, Some(4_600), Some(9_000)));
    assert_eq!(records[0].number("flaps"), Some(2));
}

#[test]
fn a_line_with_two_families_is_out_when_both_are() {
    let mut world = World::new();
    for family in Family::BOTH {
        world.change(1_000, WAN1, family, State::Up);
    }
    assert_eq!(told(&world.down(5_000, WAN1, Family::V6)), ["state wan1 ipv6 down", "outage_open wan1 ipv6 -"]);
    let records = world.down(7_000, WAN1, Family::V4);
    let wanted = ["state wan1 ipv4 down", "state wan1 line down", "outage_open wan1 ipv4 -", "outage_open wan1 line -"];
    assert_eq!(told(&records), wanted);
    assert_eq!(records[3].since, Some(6_600), "when nothing worked any more");
}

#[test]
fn a_suspicion_holds_the_line_back_and_is_booked_when_it_settles() {
    let mut world = World::new();
    world.change(1_000, LTE0, Family::V4, State::Up);
    assert!(world.change(4_800, LTE0, Family::V4, State::Suspect).is_empty());
    assert_eq!(world.scribe.limit("lte0"), Some(4_800));
    let down = world.change(5_000, LTE0, Family::V4, State::Down);
    assert_eq!((down[0].since, world.scribe.limit("lte0")), (Some(4_800), None));
    // While the other family certainly works, nothing is in doubt.
    world.change(6_000, WAN1, Family::V4, State::Up);
    world.change(6_000, WAN1, Family::V6, State::Up);
    world.change(6_500, WAN1, Family::V4, State::Suspect);
    assert_eq!(world.scribe.limit("wan1"), None);
    world.change(6_600, WAN1, Family::V6, State::Suspect);
    assert_eq!(world.scribe.limit("wan1"), Some(6_600));
    assert!(world.change(6_700, WAN1, Family::V4, State::Up).is_empty(), "a false alarm is no record");
    assert_eq!(world.scribe.limit("wan1"), None);
}

#[test]
fn a_cause_that_is_found_later_is_told_later() {
    let mut world = World::new();
    world.change(1_000, LTE0, Family::V4, State::Up);
    let stamp = at(5_000, Some(1_005_000));
    let since = Instant::from_nanos(4_600_000_000);
    let opened = Fact::OutageOpened { uplink: LTE0, family: Family::V4, since, cause: Cause::Path };
    world.scribe.tell(&opened, true, None, &world.config, stamp);
    let open = world.change(5_000, LTE0, Family::V4, State::Down);
    assert_eq!(open[1].cause, None);
    world.scribe.placed(LTE0, Family::V4, Cause::Modem, at(6_000, None));
    let records = world.scribe.take();
    assert_eq!((records.len(), records[0].cause.as_deref(), records[0].since), (1, Some("modem"), Some(4_600)));
}

#[test]
fn a_line_that_flaps_is_folded_and_no_millisecond_is_lost() {
    let mut world = World::new();
    world.scribe.tick(at(0, Some(1_000_000)));
    world.scribe.take();
    let mut records = Vec::new();
    // The wall clock's minute ends at 20,000 and at 80,000.
    let (mut mono, mut state) = (20_000, State::Up);
    while mono < 80_000 {
        records.extend(world.change(mono, LTE0, Family::V4, state));
        state = if state == State::Up { State::Degraded } else { State::Up };
        mono += 500;
    }
    assert_eq!(records.len(), 30, "one each, so far");
    assert_eq!(world.scribe.limit("lte0"), Some(79_500));
    world.scribe.tick(at(80_000, Some(1_080_000)));
    records.extend(world.scribe.take());
    let flaps = records.last().expect("one for all others");
    assert_eq!((flaps.kind, flaps.number("count"), records.len()), (Kind::Flaps, Some(90), 31));
    assert_eq!((flaps.since, flaps.until), (Some(35_000), Some(79_500)));

    let mut account = crate::ledger::account::Account::default();
    let zones = |_: Option<&str>| jiff::tz::TimeZone::UTC;
    account.fold(&Record::new(at(0, Some(1_000_000)), Kind::Start), &zones);
    records.iter().for_each(|record| account.fold(record, &zones));
    let sums = account.advance(80_000, &|_| None).lines["lte0"];
    assert_eq!((sums[0][0], sums[1][0]), (30_000, 30_000));
}

#[test]
fn a_reason_is_told_once_until_it_changes() {
    let mut world = World::new();
    let stays = |reason| Fact::NotSwitched { path: PathId::DEFAULT, family: Family::V4, reason };
    let count = |records: Vec<Record>| records.len();
    assert_eq!(count(world.tell(1, &stays(Suppressed::Hold))), 1);
    assert_eq!(count(world.tell(2, &stays(Suppressed::Hold))), 0);
    assert_eq!(count(world.tell(3, &stays(Suppressed::Flap))), 1);
}

#[test]
fn a_switch_is_told_when_the_kernel_has_it() {
    let mut world = World::new();
    let switch = crate::engine::action::Switch {
        serial: 4,
        path: PathId::DEFAULT,
        family: Family::V4,
        from: Selection(vec![(WAN1, 1)]),
        to: Selection(vec![(LTE0, 1)]),
        reason: Reason::Down(Verdict::Silent),
        dead: vec![WAN1],
        last_life: None,
        decided: Instant::ORIGIN,
    };
    let flows = Flows { reset: 37, nudged: 12, stragglers: 0 };
    let done = Told { switch, detection_ms: Some(380), took_ms: 9, flows, at: Instant::ORIGIN };
    let fact = Fact::Switched {
        serial: 4,
        path: PathId::DEFAULT,
        family: Family::V4,
        detection: Some(Duration::from_millis(380)),
        took: Duration::from_millis(9),
    };
    world.scribe.tell(&fact, false, Some(&done), &world.config, at(9, None));
    let record = world.scribe.take().remove(0);
    assert_eq!((record.from.as_deref(), record.to.as_deref()), (Some("wan1"), Some("lte0")));
    assert_eq!(
        (record.number("detection_ms"), record.number("took_ms"), record.number("reset")),
        (Some(380), Some(9), Some(37))
    );
    assert_eq!(record.evidence["dead"], serde_json::json!(["wan1"]));
}

#[test]
fn a_start_says_what_was_known_before() {
    let mut scribe = Scribe::default();
    let last = Stamp { boot: Id(9), mono: 7_000, wall: Some(500_000) };
    let before = Before { last: Some(last), ..Before::default() };
    scribe.start(before, "power", "0.1.0", Map::new(), at(3_000, Some(600_000)));
    let records = scribe.take();
    assert_eq!(told(&records), ["start internet line -", "off internet line -"]);
    assert_eq!((records[1].number("ms"), records[1].cause.as_deref()), (Some(100_000), Some("power")));
    // The same boot: the daemon alone was away.
    let before = Before { last: Some(Stamp { boot: BOOT, ..last }), ..Before::default() };
    scribe.start(before, "power", "0.1.0", Map::new(), at(9_000, None));
    assert_eq!(told(&scribe.take()), ["start internet line -"]);
    scribe.internet(InternetState::Primary, at(9_500, None));
    scribe.internet(InternetState::Primary, at(9_600, None));
    assert_eq!(scribe.take().len(), 1);
}

#[test]
fn a_jump_of_the_clock_is_a_record_and_a_drift_is_none() {
    let mut scribe = Scribe::default();
    scribe.start(Before::default(), "unknown", "0.1.0", Map::new(), at(1_000, None));
    scribe.take();
    let mut tick = |mono: u64, wall: Option<u64>| {
        scribe.tick(at(mono, wall));
        scribe.take().iter().map(|record| record.kind).collect::<Vec<_>>()
    };
    assert_eq!(tick(2_000, None), []);
    assert_eq!(tick(3_000, Some(1_000_000)), [Kind::Clock]);
    assert_eq!(tick(4_000, Some(1_001_900)), []);
    assert_eq!(tick(5_000, Some(4_602_000)), [Kind::Clock]);
}
