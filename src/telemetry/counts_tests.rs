use super::*;
use crate::config::model::{PathId, TargetId};
use crate::health::Evidence;
use crate::policy::Selection;
use crate::probe::{ProbeId, Wrong};
use crate::telemetry::fixture::{LTE0, WAN1, gateway};

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn transition(uplink: UplinkId, family: Family, from: State, to: State) -> Fact {
    Fact::Transition { uplink, family, from, to, evidence: Box::new(Evidence::default()) }
}

fn switch(serial: u64, reason: Reason, from: UplinkId, to: UplinkId) -> Fact {
    Fact::Switch(Box::new(Switch {
        serial,
        path: PathId::DEFAULT,
        family: Family::V4,
        from: Selection(vec![(from, 1)]),
        to: Selection(vec![(to, 1)]),
        reason,
        dead: Vec::new(),
        last_life: None,
        decided: at(0),
    }))
}

fn switched(serial: u64) -> Fact {
    let (detection, took) = (Some(Duration::from_millis(380)), Duration::from_millis(9));
    Fact::Switched { serial, path: PathId::DEFAULT, family: Family::V4, detection, took }
}

fn folded(facts: &[Fact]) -> Counts {
    let mut counts = Counts::new(&gateway());
    for fact in facts {
        counts.fold(fact, Some(1_700_000_000));
    }
    counts
}

#[test]
fn a_line_changes_when_the_best_of_its_families_does() {
    let up = |family| transition(WAN1, family, State::Unknown, State::Up);
    let down = |family| transition(WAN1, family, State::Suspect, State::Down);
    let counts = folded(&[up(Family::V4), up(Family::V6), down(Family::V4)]);
    assert_eq!(counts.uplinks[0].state_changes, [1, 0, 0]);
    let counts = folded(&[up(Family::V4), up(Family::V6), down(Family::V4), down(Family::V6)]);
    assert_eq!(counts.uplinks[0].state_changes, [1, 0, 1]);
    assert_eq!(counts.uplinks[0].last_change, 1_700_000_000);
}

#[test]
fn a_suspicion_is_no_change() {
    let facts = [
        transition(WAN1, Family::V4, State::Unknown, State::Up),
        transition(WAN1, Family::V4, State::Up, State::Suspect),
        transition(WAN1, Family::V4, State::Suspect, State::Up),
        Fact::Suspicion { uplink: WAN1, family: Family::V4, confirmed: false },
    ];
    let counts = folded(&facts);
    assert_eq!((counts.uplinks[0].state_changes, counts.uplinks[0].suspicions), ([1, 0, 0], [1, 0]));
}

#[test]
fn an_outage_of_a_line_needs_all_its_families() {
    let opened = |family, since| Fact::OutageOpened { uplink: WAN1, family, since: at(since), cause: Cause::Path };
    let closed = |family, until| Fact::OutageClosed {
        uplink: WAN1,
        family,
        since: at(0),
        until: at(until),
        cause: Cause::Path,
        flaps: 0,
    };
    let up = [Family::V4, Family::V6].map(|family| transition(WAN1, family, State::Unknown, State::Up));
    let one = [up.to_vec(), vec![opened(Family::V4, 10), closed(Family::V4, 20)]].concat();
    assert_eq!(folded(&one).uplinks[0].outages, [0; 8]);

    let both = [opened(Family::V4, 10), opened(Family::V6, 15), closed(Family::V6, 75), closed(Family::V4, 80)];
    let counts = folded(&[up.to_vec(), both.to_vec()].concat());
    assert_eq!(counts.uplinks[0].outages.iter().sum::<u64>(), 1);
    assert!((counts.uplinks[0].outage_duration.sum() - 60.0).abs() < 1e-9);
}

#[test]
fn an_outage_whose_place_is_not_known_yet_is_counted_once_it_is() {
    let mut counts = folded(&[transition(WAN1, Family::V4, State::Unknown, State::Up)]);
    let of = |counts: &Counts, cause| counts.uplinks[0].outages[position(&Cause::ALL, cause)];
    counts.outage_opened_somewhere(WAN1, Family::V4, at(1));
    assert_eq!(counts.uplinks[0].outages, [0; 8]);
    counts.outage_placed(WAN1, Family::V6, Cause::Path);
    assert_eq!(counts.uplinks[0].outages, [0; 8], "the other family's gateway says nothing");
    counts.outage_placed(WAN1, Family::V4, Cause::Modem);
    counts.outage_placed(WAN1, Family::V4, Cause::Path);
    assert_eq!((of(&counts, Cause::Modem), of(&counts, Cause::Path)), (1, 0));
    let closed =
        |cause| Fact::OutageClosed { uplink: WAN1, family: Family::V4, since: at(1), until: at(9), cause, flaps: 0 };
    counts.fold(&closed(Cause::Modem), None);
    assert_eq!(counts.uplinks[0].outages.iter().sum::<u64>(), 1);
    counts.outage_opened_somewhere(WAN1, Family::V4, at(20));
    counts.fold(&closed(Cause::Path), None);
    assert_eq!((of(&counts, Cause::Modem), of(&counts, Cause::Path)), (1, 1), "over before anybody could tell");
}

#[test]
fn a_family_that_never_worked_does_not_hide_an_outage() {
    let facts = [
        transition(WAN1, Family::V4, State::Unknown, State::Up),
        Fact::OutageOpened { uplink: WAN1, family: Family::V4, since: at(1), cause: Cause::Cable },
    ];
    assert_eq!(folded(&facts).uplinks[0].outages[0], 1);
}

#[test]
fn a_failover_is_counted_once_and_when_the_kernel_has_it() {
    let reason = Reason::Down(crate::health::Verdict::Silent);
    let failed = Fact::SwitchFailed { serial: 1, path: PathId::DEFAULT, family: Family::V4 };
    let counts = folded(&[switch(1, reason, WAN1, LTE0), failed]);
    assert_eq!(counts.uplinks[1].failovers, [0; 4]);
    let counts = folded(&[switch(1, reason, WAN1, LTE0), switched(1), switched(1)]);
    assert_eq!((counts.uplinks[1].failovers, counts.switch.count(), counts.detection.count()), ([1, 0, 0, 0], 1, 1));
    let counts = folded(&[switch(2, Reason::Failback, LTE0, WAN1), switched(2)]);
    assert_eq!(counts.uplinks[0].failovers, [0, 1, 0, 0]);
    let counts = folded(&[switch(3, Reason::Start, WAN1, WAN1), switched(3)]);
    assert_eq!((counts.uplinks[0].failovers, counts.switch.count()), ([0; 4], 0), "a first choice is no failover");
}

#[test]
fn switches_that_never_end_are_bounded() {
    let facts: Vec<_> = (0..1_000).map(|serial| switch(serial, Reason::Manual, WAN1, LTE0)).collect();
    assert_eq!(folded(&facts).pending.len(), PENDING_SWITCHES);
}

#[test]
fn outcomes_are_counted_by_name_and_only_answers_have_an_rtt() {
    let rtt = Duration::from_millis(12);
    let outcomes = [
        Outcome::Reply { rtt },
        Outcome::Late { rtt },
        Outcome::Silent,
        Outcome::Refused,
        Outcome::Unreachable,
        Outcome::Wrong(Wrong::Portal),
        Outcome::Unsent,
        Outcome::Void,
    ];
    let facts = outcomes.map(|outcome| Fact::ProbeSettled { uplink: WAN1, target: TargetId(2), outcome });
    let counts = folded(&facts);
    let target = &counts.uplinks[0].targets[2];
    assert_eq!((target.outcomes, target.rtt.count(), target.last_success), ([1; 8], 2, 1_700_000_000));
}

#[test]
fn device_counters_may_start_again_and_what_came_before_us_does_not_count() {
    let mut counts = Counts::new(&gateway());
    let read = |bytes| Event::Counters { uplink: WAN1, received: 0, sent: 0, received_bytes: bytes, sent_bytes: bytes };
    for bytes in [5_000, 5_100, 40, 50] {
        counts.fold_event(&read(bytes));
    }
    assert_eq!((counts.uplinks[0].received_bytes, counts.uplinks[0].sent_bytes), (150, 150));
    let probe = ProbeId { uplink: WAN1, family: Family::V4, target: TargetId(0), sequence: 1 };
    counts.fold_event(&Event::ProbeSent { probe, at: at(0), bytes: 84 });
    assert_eq!(counts.uplinks[0].probe_bytes, 84);
}

#[test]
fn a_drill_has_a_result_and_a_cost() {
    let mut counts = Counts::new(&gateway());
    let read = |bytes| Event::Counters { uplink: LTE0, received: 0, sent: 0, received_bytes: bytes, sent_bytes: 0 };
    let step = |step| Fact::Drill { uplink: LTE0, step };
    counts.fold_event(&read(0));
    counts.fold(&step(DrillStep::Started), Some(1));
    counts.fold_event(&read(2_100));
    counts.fold(&step(DrillStep::Passed { lasted: Duration::from_secs(31) }), Some(7));
    let lte0 = &counts.uplinks[1];
    assert_eq!((lte0.drills, lte0.drill_bytes, lte0.drill_last_success), ([1, 0, 0, 0], 2_100, 7));
}

#[test]
fn a_wrong_number_changes_nothing() {
    let before = Counts::new(&gateway());
    let mut counts = before.clone();
    counts.fold(&transition(UplinkId(63), Family::V4, State::Up, State::Down), None);
    counts.fold(&Fact::ProbeSettled { uplink: WAN1, target: TargetId(9), outcome: Outcome::Silent }, None);
    assert_eq!(counts, before);
}
