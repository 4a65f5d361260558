//! Both pages on canned and random statuses: that they say what the status says, escape what is not ours, and stay small.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::facts::{Face, Facts, Known};
use super::messages::Language;
use super::timeline::{Felt, Span, Timeline};
use super::*;
use crate::config::model::Family;
use crate::control::status::{InternetState, Moment, Share, Status};
use crate::health::State;
use crate::telemetry::events::{EventLine, Kind, Level};

const HOUR: u64 = 3_600_000;

fn backup() -> Status {
    serde_json::from_str(include_str!("../../../tests/canned/backup.json")).expect("it fits the types")
}

fn settle(mut status: Status) -> Status {
    status.internet.state = InternetState::of(&status.uplinks, &status.paths[0]);
    status
}

fn primary() -> Status {
    let mut status = backup();
    status.uplinks[0].families = vec![status.uplinks[1].families[0].clone()];
    status.uplinks[1].families[0].carries.clear();
    status.paths[0].families[0].uplinks = vec![Share { uplink: "wan1".to_owned(), weight: 1 }];
    settle(status)
}

fn down() -> Status {
    let mut status = backup();
    let line = status.uplinks[0].families[0].clone();
    status.uplinks[1].families[0] =
        crate::control::status::FamilyStatus { carries: vec!["default".to_owned()], ..line };
    settle(status)
}

fn event(kind: Kind, ago_ms: u64, fields: &[(&str, &str)]) -> EventLine {
    EventLine {
        seq: 1,
        wall_ms: backup().wall_ms.map(|now| now - ago_ms),
        boot_ms: 1_000,
        kind: kind.name().to_owned(),
        level: Level::Notice,
        message: format!("{} happened", kind.name()),
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

/// The morning of the canned status: wan1 fails at 10:42, lte0 takes over 9 ms later.
fn morning() -> Vec<EventLine> {
    let line = [("UPLINK", "wan1"), ("FAMILY", "ipv4"), ("FROM", "up"), ("TO", "down")];
    let path = [("PATH", "default"), ("FAMILY", "ipv4"), ("FROM", "wan1"), ("TO", "lte0")];
    vec![event(Kind::UplinkState, 1_980_000, &line), event(Kind::PathSwitch, 1_979_991, &path)]
}

fn facts(status: Status) -> Facts {
    Facts::of(Some(status), morning(), None, TimeZone::UTC)
}

/// What a person reads: no tags, no style.
fn words(page: &str) -> String {
    let body = page.split_once("</style>").expect("a style").1;
    let mut text = String::new();
    for part in body.split('<') {
        let (tag, rest) = part.split_once('>').unwrap_or(("", part));
        let breaks = ["p", "/p", "h1", "h2", "li", "dt", "dd", "/dd", "section", "title", "header", "tr", "td", "th"];
        if breaks.contains(&tag.split(' ').next().unwrap_or_default()) {
            text.push('\n');
        }
        text.push_str(rest.trim_matches('\n'));
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_face_in_english() {
    let mut service = facts(primary());
    service.face = Face::Service { name: "CardPay".to_owned() };
    let silent = Facts::of(None, Vec::new(), facts(backup()).known(), TimeZone::UTC);
    let pages = [facts(primary()), facts(backup()), facts(down()), service, silent];
    let texts = pages.map(|facts| words(&staff::page(&facts, Language::En, true)));
    insta::assert_snapshot!(texts.join("\n\n———\n\n"));
}

#[test]
fn the_backup_face_in_each_language() {
    let texts = Language::ALL.map(|language| words(&staff::page(&facts(backup()), language, false)));
    insta::assert_snapshot!(texts.join("\n\n———\n\n"));
}

#[test]
fn the_technicians_page() {
    let page = it::page(&facts(backup()), "Lyon ON BACKUP\nwan1 is down: <3 of 3>\n");
    insta::assert_snapshot!(words(&page));
    let silent = Facts::of(None, Vec::new(), None, TimeZone::UTC);
    let page = it::page(&silent, "");
    assert!(page.contains("The daemon does not answer.") && page.contains("Runbook: DaemonDown"), "{page}");
}

#[test]
fn the_technicians_page_says_what_to_do_while_something_is_wrong() {
    assert!(it::page(&facts(down()), "").contains("Runbook: BranchDown"));
    let mut well = primary();
    well.uplinks[1].families[0].state = State::Up;
    assert!(!it::page(&facts(well), "").contains("Runbook"));
}

#[test]
fn head_office_was_told_only_after_a_receipt() {
    let mut facts = facts(backup());
    assert!(!staff::page(&facts, Language::En, false).contains("told"));
    facts.told = Some(Moment { ago_ms: 1_900_000, wall_ms: Some(1_793_357_009_382) });
    assert!(staff::page(&facts, Language::En, false).contains("Head office was told at 10:43."));
}

#[test]
fn old_evidence_is_none() {
    let with = |age: Option<u64>, interval: u64| {
        let mut status = backup();
        status.uplinks[1].families[0].last_life_ago_ms = age;
        status.uplinks[1].families[0].interval_ms = interval;
        facts(status).face
    };
    assert_eq!(with(Some(30_000), 1_000), Face::Backup);
    assert_eq!(with(Some(30_001), 1_000), Face::CannotTell, "three seconds are too few to frighten people, 30 are not");
    assert_eq!(with(Some(90_000), 30_000), Face::Backup, "a line that is asked every 30 s");
    assert_eq!(with(Some(90_001), 30_000), Face::CannotTell);
    assert_eq!(with(None, 1_000), Face::CannotTell);
    let mut old = backup();
    old.uplinks[1].families[0].last_life_ago_ms = Some(300_000);
    assert_eq!(facts(old).timeline, None, "nor is today told as if now were known");
    let mut unasked = down();
    for target in &mut unasked.uplinks[1].families[0].targets {
        target.settled_ago_ms = Some(600_000);
    }
    assert_eq!(facts(unasked.clone()).face, Face::CannotTell, "nobody has asked for ten minutes");
    unasked.uplinks[1].families[0].evidence.verdict = Some(crate::health::Verdict::Local);
    assert_eq!(facts(unasked).face, Face::Down, "a plug that is out needs no question");
}

#[test]
fn what_was_known_last_is_kept_while_nothing_is_known() {
    let known = facts(backup()).known();
    assert_eq!(known, Some(Known { state: InternetState::Backup, wall_ms: 1_793_358_909_382 }));
    let silent = Facts::of(None, Vec::new(), known, TimeZone::UTC);
    assert_eq!(silent.known(), known);
    let page = staff::page(&silent, Language::En, false);
    assert!(page.contains("At 11:15 the internet worked, on the backup line."), "{}", words(&page));
    assert!(page.contains("This box cannot tell at the moment."));
}

#[test]
fn without_a_trusted_clock_there_are_ages_and_no_today() {
    let mut status = down();
    status.wall_ms = None;
    status.internet.since.wall_ms = None;
    let text = words(&staff::page(&facts(status), Language::En, false));
    assert!(text.contains("For 33 min so far.") && !text.contains("Today"), "{text}");
}

#[test]
fn today_is_told_backwards_from_the_status() {
    let midnight = 1_793_318_400_000;
    let now = 1_793_358_909_382;
    let at = now - 1_980_000;
    let spans =
        |status: &Status, events: &[EventLine]| Timeline::of(status, events, &TimeZone::UTC).expect("a clock").spans;
    let span = |from, to, felt| Span { from, to, felt };
    let expected = [span(midnight, at, Felt::Works), span(at, now, Felt::Backup)];
    assert_eq!(spans(&backup(), &morning()), expected);
    let mut young = backup();
    young.uptime_ms = 2 * HOUR;
    assert_eq!(spans(&young, &morning())[0], span(midnight, now - 2 * HOUR, Felt::Unknown), "nobody looked before");
    // The events do not lead to where the status is.
    let told = spans(&primary(), &morning());
    assert_eq!(told[0].felt, Felt::Unknown, "{told:?}");
    assert_eq!(told.last().expect("a span").felt, Felt::Works);
}

#[test]
fn a_short_outage_is_seen_on_the_bar() {
    let mut slow = morning();
    slow[1] = EventLine { wall_ms: slow[0].wall_ms.map(|at| at + 2_000), ..slow[1].clone() };
    let bars = Facts::of(Some(backup()), slow, None, TimeZone::UTC).timeline.expect("a clock").bars();
    assert_eq!(bars, [(0, 64, Felt::Works), (64, 65, Felt::Down), (65, 68, Felt::Backup)]);
}

#[test]
fn days_of_23_and_25_hours_end_at_midnight() {
    for (day, hours) in [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-30", 24)] {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("Europe's rule");
        let noon: jiff::civil::DateTime = format!("{day} 12:00").parse().expect("a time");
        let noon = noon.to_zoned(zone.clone()).expect("a moment").timestamp().as_millisecond();
        let mut status = backup();
        status.wall_ms = u64::try_from(noon).ok();
        let timeline = Timeline::of(&status, &[], &zone).expect("a clock");
        assert_eq!(timeline.midnight - timeline.begin(), hours * HOUR, "{day}");
    }
}

/// Each string of the status is a script.
fn hostile() -> Facts {
    const EVIL: &str = "</style><script>alert(1)</script>\" onload='x' {time} \u{202e}";
    fn poison(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => *text = EVIL.to_owned(),
            serde_json::Value::Array(list) => list.iter_mut().for_each(poison),
            serde_json::Value::Object(map) => {
                // Names of an enum stay, or it would not parse.
                let closed = ["family", "state", "role", "verdict", "cause", "reason", "result", "suppressed"];
                map.iter_mut().filter(|(key, _)| !closed.contains(&key.as_str())).for_each(|(_, value)| poison(value));
            }
            serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
        }
    }
    let mut value = serde_json::to_value(down()).expect("plain data");
    poison(&mut value);
    let status: Status = serde_json::from_value(value).expect("it still fits");
    let mut events = vec![event(Kind::LogHeld, 1_000, &[]); 60];
    for event in &mut events {
        event.message = EVIL.repeat(20);
    }
    Facts::of(Some(status), events, None, TimeZone::UTC)
}

#[test]
fn nothing_of_a_config_becomes_markup() {
    let mut facts = hostile();
    let why = facts.status.as_ref().expect("a status").site.repeat(500);
    for face in [Face::Down, Face::Backup, Face::Primary, Face::CannotTell, Face::Service { name: why.clone() }] {
        facts.face = face;
        let pages = Language::ALL.map(|language| staff::page(&facts, language, true));
        for page in pages.into_iter().chain([it::page(&facts, &why)]) {
            assert!(!page.contains("<script") && !page.contains("onload='") && !page.contains('\u{202e}'), "{page}");
            assert_eq!(page.matches("</style>").count(), 1);
            assert!(page.len() < MOST_BYTES, "{}", page.len());
        }
    }
}

#[test]
fn pages_have_nothing_that_runs_or_loads_or_sends() {
    for page in [staff::page(&facts(down()), Language::De, true), it::page(&facts(down()), "why")] {
        for never in
            ["<script", "<form", "<input", "<img", "<link", "src=", "url(", "http://", "https://", "style=", "cookie"]
        {
            assert!(!page.contains(never), "{never} in {page}");
        }
    }
    assert!(!policy().contains("unsafe") && policy().starts_with("default-src 'none'; style-src 'sha256-"));
}

#[test]
fn the_longest_pages_are_small() {
    let mut status = backup();
    let uplink = status.uplinks[0].clone();
    status.uplinks = vec![uplink; 64];
    let mut flapping = facts(status);
    let (mut spans, now) = (Vec::new(), 1_793_358_909_382_u64);
    for (index, felt) in (0..1_000).zip([Felt::Works, Felt::Down, Felt::Backup].into_iter().cycle()) {
        spans.push(Span { from: now - (1_000 - index) * 40_000, to: now - (999 - index) * 40_000, felt });
    }
    flapping.timeline = Some(Timeline { spans, midnight: now + HOUR });
    flapping.events = vec![event(Kind::LogHeld, 1_000, &[]); 1_000];
    for language in Language::ALL {
        let page = staff::page(&flapping, language, true);
        assert!(page.len() < MOST_BYTES, "{language:?}: {}", page.len());
    }
    let page = it::page(&flapping, &"wan1 is down: 3 of 3 targets silent\n".repeat(1_000));
    assert!(page.len() < MOST_BYTES && page.matches("<li>").count() > 4, "{}", page.len());
}

proptest! {
    /// One source: the big sentence and `causeway status` cannot say different things.
    #[test]
    fn a_page_never_contradicts_the_status(
        states in prop::collection::vec(0..State::ALL.len(), 4),
        carriers in prop::collection::vec(any::<bool>(), 4),
        life in prop::option::of(0_u64..200_000),
        settled in prop::option::of(0_u64..200_000),
        interval in 10_u64..60_000,
        trusted in any::<bool>(),
        language in 0..Language::ALL.len(),
    ) {
        let mut status = backup();
        let mut v6 = status.paths[0].families[0].clone();
        v6.family = Family::V6;
        status.paths[0].families.push(v6);
        for uplink in &mut status.uplinks {
            let mut line = uplink.families[0].clone();
            line.family = Family::V6;
            uplink.families.push(line);
        }
        let lines = status.uplinks.iter_mut().flat_map(|uplink| &mut uplink.families);
        for (line, state) in lines.zip(&states) {
            line.state = State::ALL[*state];
            line.last_life_ago_ms = life;
            line.interval_ms = interval;
            for target in &mut line.targets {
                target.settled_ago_ms = settled;
            }
        }
        let names = ["wan1", "lte0"];
        for (family, carriers) in status.paths[0].families.iter_mut().zip(carriers.chunks(2)) {
            let chosen = names.iter().zip(carriers).filter(|(_, carries)| **carries);
            family.uplinks = chosen.map(|(name, _)| Share { uplink: (*name).to_owned(), weight: 1 }).collect();
        }
        if !trusted {
            status.wall_ms = None;
        }
        let status = settle(status);
        let language = Language::ALL[language];
        let messages = language.messages();
        let facts = facts(status.clone());
        let page = staff::page(&facts, language, true);
        let sentence = words(&format!("</style>{}", page.split_once("<h1>").expect("a sentence").1.split_once("</h1>").expect("its end").0));
        let said = [
            (InternetState::Primary, messages.works),
            (InternetState::Backup, messages.backup),
            (InternetState::Down, messages.down),
            (InternetState::Unknown, messages.unknown),
        ];
        let allowed: Vec<&str> =
            said.iter().filter(|(state, _)| *state == status.internet.state || *state == InternetState::Unknown).map(|(_, said)| *said).collect();
        prop_assert!(allowed.contains(&sentence.as_str()), "{:?}: {sentence}", status.internet.state);
        // Nothing is claimed without evidence, and nothing is withheld that is fresh.
        let newest = life.into_iter().chain(settled).min();
        if newest.is_none_or(|age| age > 30_000.max(3 * interval)) {
            prop_assert_eq!(&sentence, messages.unknown);
        }
        if life.is_some_and(|age| age <= 30_000) && settled.is_some_and(|age| age <= 30_000) && status.internet.state != InternetState::Unknown {
            prop_assert_ne!(&sentence, messages.unknown);
        }
        if let Some(timeline) = &facts.timeline {
            let felt = timeline.spans.last().map(|span| span.felt);
            let now = match status.internet.state {
                InternetState::Primary => Felt::Works,
                InternetState::Backup => Felt::Backup,
                InternetState::Down => Felt::Down,
                InternetState::Unknown => Felt::Unknown,
            };
            prop_assert_eq!(felt, Some(now));
        }
        prop_assert!(page.len() < MOST_BYTES);
        let it = it::page(&facts, "why");
        for uplink in &status.uplinks {
            for line in &uplink.families {
                let cell = format!("{}</small></th><td>{}</td>", if line.carries.is_empty() { line.family.name().to_owned() } else { format!("{}, in use", line.family.name()) }, line.state.name());
                prop_assert!(it.contains(&cell), "{cell} in {it}");
            }
        }
    }
}
