use std::time::Duration;

use super::*;
use crate::health::{Cause, Evidence as Seen, Verdict};
use crate::probe::Outcome;
use crate::telemetry::fixture::{LTE0, WAN1, gateway};

fn silent() -> Box<Seen> {
    Box::new(Seen {
        verdict: Some(Verdict::Silent),
        cause: Some(Cause::Path),
        silent_for: Some(Duration::from_millis(380)),
        silent_targets: vec![TargetId(0), TargetId(1)],
        targets: 2,
        carrier: true,
        address: true,
        gateway: true,
        gateway_answers: Some(true),
        ..Seen::default()
    })
}

fn transition(from: State, to: State) -> Fact {
    Fact::Transition { uplink: WAN1, family: Family::V4, from, to, evidence: silent() }
}

fn switch(reason: Reason) -> Fact {
    Fact::Switch(Box::new(Switch {
        serial: 9,
        path: PathId::DEFAULT,
        family: Family::V4,
        from: Selection(vec![(WAN1, 1)]),
        to: Selection(vec![(LTE0, 1)]),
        reason,
        dead: vec![WAN1],
        last_life: None,
        decided: Instant::ORIGIN,
    }))
}

fn switched() -> Fact {
    let (detection, took) = (Some(Duration::from_millis(380)), Duration::from_millis(9));
    Fact::Switched { serial: 9, path: PathId::DEFAULT, family: Family::V4, detection, took }
}

#[test]
fn a_suspicion_is_told_only_if_it_was_right_and_as_a_change_from_before_it() {
    let mut narrator = Narrator::default();
    let mut tell = |fact| narrator.tell(&fact, &gateway(), Instant::ORIGIN);
    assert_eq!(tell(transition(State::Up, State::Suspect)), None);
    assert_eq!(tell(transition(State::Suspect, State::Up)), None);
    assert_eq!(tell(transition(State::Up, State::Suspect)), None);
    let line = tell(transition(State::Suspect, State::Down)).expect("a change");
    assert_eq!(line.message, "wan1 (ipv4) up → down: 2 of 2 targets silent 0.38 s; cable in; gateway answers");
    let fields =
        [("UPLINK", "wan1"), ("FAMILY", "ipv4"), ("FROM", "up"), ("TO", "down"), ("CAUSE", "path"), ("MS", "380")];
    assert_eq!(line.fields, fields.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn a_switch_is_told_when_it_is_done_with_what_it_did_to_sessions() {
    let mut narrator = Narrator::default();
    assert_eq!(narrator.tell(&switch(Reason::Down(Verdict::Silent)), &gateway(), Instant::ORIGIN), None);
    narrator.flows(9, Flows { reset: 37, nudged: 12, stragglers: 0 });
    let line = narrator.tell(&switched(), &gateway(), Instant::ORIGIN).expect("a switch");
    assert_eq!(
        line.message,
        "default (ipv4) wan1 → lte0 in 9 ms, noticed in 0.38 s: the old line is down; 37 sessions reset, 12 nudged"
    );
    let told = narrator.last_switch().expect("it was told");
    assert_eq!((told.reason(), told.took_ms, told.flows.reset), (SwitchReason::Down, 9, 37));
    assert_eq!(narrator.tell(&switched(), &gateway(), Instant::ORIGIN), None, "a repeat is told once");
}

#[test]
fn every_other_fact_has_its_sentence() {
    let (uplink, family, path) = (WAN1, Family::V4, PathId::DEFAULT);
    let since = Instant::ORIGIN;
    let until = since + Duration::from_secs(2_011);
    let by = "anna".to_owned();
    let mut facts = vec![
        transition(State::Down, State::Probation),
        transition(State::Up, State::Suspect),
        Fact::ProbeSettled { uplink, target: TargetId(0), outcome: Outcome::Silent },
        Fact::Suspicion { uplink, family, confirmed: false },
        Fact::SwitchFailed { serial: 9, path, family },
        Fact::OutageOpened { uplink, family, since, cause: Cause::Path },
        Fact::OutageClosed { uplink, family, since, until, cause: Cause::Path, flaps: 0 },
        Fact::OutageClosed { uplink, family, since, until, cause: Cause::Path, flaps: 2 },
        Fact::TargetSuspect { uplink, target: TargetId(1), suspect: true },
        Fact::TargetSuspect { uplink, target: TargetId(1), suspect: false },
        Fact::Locked { locked: true, by: by.clone() },
        Fact::Locked { locked: false, by: by.clone() },
        Fact::Preferred { uplink: Some(LTE0), until: Some(until), by: by.clone() },
        Fact::Preferred { uplink: Some(LTE0), until: None, by: by.clone() },
        Fact::Preferred { uplink: None, until: None, by },
        Fact::Stalled { for_time: Duration::from_millis(1_250) },
        Fact::Budget { uplink: LTE0, percent: 75 },
        Fact::Budget { uplink: UplinkId(60), percent: 75 },
    ];
    facts.extend(Suppressed::ALL.map(|reason| Fact::NotSwitched { path, family, reason }));
    let refusals = [
        DrillRefusal::NotUp,
        DrillRefusal::AlreadyRunning,
        DrillRefusal::Locked,
        DrillRefusal::InUse,
        DrillRefusal::NoPath,
    ];
    let lasted = Duration::from_secs(31);
    let steps = [
        DrillStep::Started,
        DrillStep::Moved,
        DrillStep::Passed { lasted },
        DrillStep::Failed { lasted },
        DrillStep::Aborted,
    ];
    let steps = steps.into_iter().chain(refusals.map(|why| DrillStep::Refused { why }));
    facts.extend(steps.map(|step| Fact::Drill { uplink: LTE0, step }));
    let lines: Vec<_> = facts
        .iter()
        .map(|fact| match describe(fact, &gateway()) {
            Some(line) => format!("{:<17} {}", line.kind.name(), line.message),
            None => "–".to_owned(),
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}
