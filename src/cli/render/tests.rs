//! Texts on a canned status, and on variations of it.

use jiff::civil::date;
use jiff::tz::TimeZone;

use super::View;
use super::{events, status, why};
use crate::cli::exit::Check;
use crate::config::model::Family;
use crate::control::status::{
    DrillRunning, InternetState, Lock, Moment, Preference, Share, Status, SwitchReason, UplinkStatus,
};
use crate::health::{Cause, State, Verdict};
use crate::policy::Suppressed;
use crate::telemetry::events::{EventLine, Level};

pub(crate) fn backup() -> Status {
    serde_json::from_str(include_str!("../../../tests/canned/backup.json")).expect("it fits the types")
}

pub(crate) fn view() -> View {
    View { color: false, zone: TimeZone::UTC, today: Some(date(2026, 10, 30)) }
}

fn primary() -> Status {
    let mut status = backup();
    status.internet.state = InternetState::Primary;
    status.uplinks[0].families = vec![status.uplinks[1].families[0].clone()];
    status.uplinks[0].last_outage = None;
    status.uplinks[1].families[0].carries.clear();
    status.paths[0].families[0].uplinks = vec![Share { uplink: "wan1".to_owned(), weight: 1 }];
    status
}

/// Both families on both lines, `wan1` in this state in both.
fn dual(state: State) -> Status {
    let mut status = primary();
    for uplink in &mut status.uplinks {
        let mut v6 = uplink.families[0].clone();
        v6.family = Family::V6;
        uplink.families.push(v6);
    }
    let mut v6 = status.paths[0].families[0].clone();
    v6.family = Family::V6;
    status.paths[0].families.push(v6);
    set(&mut status.uplinks[0], state);
    status
}

fn set(uplink: &mut UplinkStatus, state: State) {
    for line in &mut uplink.families {
        line.state = state;
        line.recover_left_ms = (state == State::Probation).then_some(24_000);
        line.evidence.verdict = (state == State::Down).then_some(Verdict::Local);
        line.evidence.cause = (state == State::Down).then_some(Cause::Cable);
        line.evidence.carrier = state != State::Down;
    }
}

#[test]
fn status_on_backup_is_the_sample_of_the_manual() {
    insta::assert_snapshot!(status::text(&backup(), &view()));
}

#[test]
fn status_in_each_state() {
    let texts = State::ALL.map(|state| status::text(&dual(state), &view()));
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn status_where_families_differ_and_names_are_long() {
    let mut status = dual(State::Up);
    status.site = "Saint-Rémy-en-Bouzemont-Saint-Genest-et-Isson".to_owned();
    let uplink = &mut status.uplinks[0];
    uplink.name = "a-name-that-is-as-long-as-allowed".chars().take(32).collect();
    uplink.provider = Some("Compagnie générale\x1b[31m".to_owned());
    uplink.families[1].state = State::Down;
    uplink.families[1].evidence.verdict = Some(Verdict::Wrong);
    uplink.families[1].evidence.cause = Some(Cause::Portal);
    status.paths[0].families[1].uplinks.clear();
    insta::assert_snapshot!(status::text(&status, &view()));
}

#[test]
fn status_says_what_people_have_set() {
    let mut status = primary();
    let since = Moment { ago_ms: 60_000, wall_ms: None };
    status.wall_ms = None;
    status.lock = Some(Lock { by: "anna".to_owned(), since });
    status.preference = Some(Preference { uplink: "lte0".to_owned(), by: "root".to_owned(), left_ms: Some(2_520_000) });
    status.drill = Some(DrillRunning { uplink: "lte0".to_owned(), since });
    status.warnings.push("the ledger cannot be written: disk full".to_owned());
    insta::assert_snapshot!(status::text(&status, &view()));
}

#[test]
fn colour_changes_no_letter() {
    let colored = status::text(&backup(), &View { color: true, ..view() });
    let mut plain = String::new();
    let mut rest = colored.as_str();
    while let Some((before, after)) = rest.split_once('\x1b') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    assert_eq!(plain, status::text(&backup(), &view()));
}

#[test]
fn why_says_what_it_is_not() {
    insta::assert_snapshot!(why::all(&backup(), &view()));
}

#[test]
fn why_in_each_state() {
    let texts = State::ALL.map(|state| {
        let status = dual(state);
        why::uplink(&status.uplinks[0], &status, &view())
    });
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn why_a_path_stays() {
    let mut texts = String::new();
    for reason in Suppressed::ALL {
        let mut status = backup();
        let family = &mut status.paths[0].families[0];
        family.suppressed = Some(reason);
        family.reason = Some(SwitchReason::Degraded);
        family.failback_in_ms = (reason == Suppressed::Hold).then_some(30_000);
        let text = why::all(&status, &view());
        texts.extend(text.lines().skip(1).take_while(|line| !line.starts_with("Last")).map(|line| format!("{line}\n")));
    }
    insta::assert_snapshot!(texts);
}

#[test]
fn events_carry_a_date_only_on_another_day_and_no_time_that_is_not_trusted() {
    let mut event = EventLine {
        seq: 1,
        wall_ms: backup().wall_ms,
        boot_ms: 12_345,
        kind: "uplink.state".to_owned(),
        level: Level::Notice,
        message: "wan1 (ipv4) up → down: 3 of 3 targets silent 0.38 s".to_owned(),
        fields: vec![("UPLINK".to_owned(), "wan1".to_owned())],
    };
    let mut text = events::line(&event, &view());
    text.push_str(&events::line(&event, &View { today: None, ..view() }));
    text.push_str(&format!("{}\n", events::json(&event).expect("it is plain data")));
    event.wall_ms = None;
    event.message = "x\x1b[2Jy\nz".to_owned();
    text.push_str(&events::line(&event, &view()));
    insta::assert_snapshot!(text);
}

#[test]
fn check_has_one_line_and_four_verdicts() {
    let mut down = backup();
    down.internet.state = InternetState::Down;
    let mut unknown = backup();
    unknown.internet.state = InternetState::Unknown;
    let all = [primary(), dual(State::Degraded), backup(), down, unknown];
    let texts = all.map(|status| format!("{}\n", status::check(&status, Check::of(&status))));
    insta::assert_snapshot!(texts.concat());
}

#[test]
fn the_internet_is_what_the_default_path_stands_on() {
    let of = |status: &Status| InternetState::of(&status.uplinks, &status.paths[0]);
    assert_eq!(of(&backup()), InternetState::Backup);
    assert_eq!(of(&primary()), InternetState::Primary);
    assert_eq!(of(&dual(State::Suspect)), InternetState::Primary, "a suspicion is no verdict");
    assert_eq!(of(&dual(State::Down)), InternetState::Down);
    assert_eq!(of(&dual(State::Unknown)), InternetState::Unknown, "unknown is never up");
}
