use serde_json::json;

use super::*;
use crate::ledger::fixture::{BOOT, at};
use crate::ledger::record::Stamp;

const WALL: u64 = 1_790_000_000_000;

fn dated(mono: u64) -> Stamp {
    at(mono, Some(WALL + mono))
}

fn new(mono: u64, kind: Kind) -> Record {
    Record::new(dated(mono), kind)
}

fn line(mono: u64, to: &str, since: Option<u64>) -> Record {
    let mut record = new(mono, Kind::State);
    (record.uplink, record.to, record.since) = (Some("wan1".to_owned()), Some(to.to_owned()), since);
    record
}

fn opened(mono: u64, since: u64, cause: Option<&str>) -> Record {
    let mut record = new(mono, Kind::OutageOpen);
    (record.uplink, record.since, record.cause) = (Some("wan1".to_owned()), Some(since), cause.map(str::to_owned));
    record
}

fn closed(mono: u64, since: u64, until: u64, flaps: u64) -> Record {
    let mut record = new(mono, Kind::OutageClose).with("flaps", flaps);
    (record.uplink, record.since, record.until) = (Some("wan1".to_owned()), Some(since), Some(until));
    record
}

fn internet(mono: u64, to: &str) -> Record {
    let mut record = new(mono, Kind::State);
    record.to = Some(to.to_owned());
    record
}

fn restart(mono: u64, last: u64) -> Record {
    new(mono, Kind::Start).with("last", json!({ "boot": BOOT.to_string(), "mono": last, "wall": WALL + last }))
}

fn numbered(records: Vec<Record>) -> Vec<Record> {
    (1..).zip(records).map(|(seq, record)| Record { seq, ..record }).collect()
}

fn only(records: Vec<Record>) -> Outage {
    let found = read(&numbered(records), Some((BOOT, 900_000)));
    assert_eq!(found.lines.len(), 1, "{found:?}");
    found.lines[0].clone()
}

#[test]
fn from_the_last_proof_of_life_to_the_first_reply_that_stayed() {
    let outage = only(vec![
        new(0, Kind::Start),
        line(1_000, "up", None),
        line(10_400, "down", Some(10_100)),
        opened(10_400, 10_000, None),
        opened(11_000, 10_000, Some("modem")),
        line(20_000, "probation", None),
        line(25_000, "down", Some(24_800)),
        line(40_000, "probation", None),
        closed(70_000, 10_000, 40_000, 1),
        line(70_000, "up", None),
    ]);
    assert_eq!((outage.ms, outage.flaps, outage.cause.as_deref()), (30_000, 1, Some("modem")));
    assert_eq!((outage.began.wall, outage.ended.and_then(|at| at.wall)), (Some(WALL + 10_000), Some(WALL + 40_000)));
    assert_eq!((outage.cut, outage.from_start, outage.unwatched_ms), (None, false, 0));
}

#[test]
fn one_that_goes_on_lasts_until_now() {
    let outage = only(vec![
        new(0, Kind::Start),
        line(1_000, "up", None),
        line(10_400, "down", Some(10_100)),
        opened(10_400, 10_000, Some("path")),
    ]);
    assert_eq!((outage.ended, outage.ms), (None, 890_000));
}

#[test]
fn what_nobody_watched_is_not_counted_but_it_is_one_outage() {
    let outage = only(vec![
        new(0, Kind::Start),
        line(1_000, "up", None),
        line(10_400, "down", Some(10_100)),
        opened(10_400, 10_000, Some("path")),
        restart(60_000, 50_000),
        line(61_000, "down", None),
        line(80_000, "probation", None),
        line(110_000, "up", None),
    ]);
    // Known to be down: 10 to 50 s, and 61 to 80 s.
    assert_eq!((outage.ms, outage.unwatched_ms, outage.cut), (59_000, 11_000, None));
    assert_eq!(outage.ended.map(|at| at.mono), Some(80_000));
}

#[test]
fn one_that_is_over_when_the_daemon_is_back_ends_with_the_last_proof() {
    let outage = only(vec![
        new(0, Kind::Start),
        line(1_000, "up", None),
        line(10_400, "down", Some(10_100)),
        opened(10_400, 10_000, Some("path")),
        restart(60_000, 50_000),
        line(61_000, "up", None),
    ]);
    assert_eq!((outage.ms, outage.cut), (40_000, Some("the daemon was away")));
}

#[test]
fn the_box_goes_off_in_the_middle_of_it() {
    let mut start = restart(5_000, 50_000);
    start.boot = Id(0xb002);
    let mut off = Record::new(Stamp { boot: Id(0xb002), mono: 5_000, wall: Some(WALL + 700_000) }, Kind::Off)
        .with("last_wall", WALL + 50_000);
    off.cause = Some("power".to_owned());
    start.wall = Some(WALL + 700_000);
    let found = read(
        &numbered(vec![
            new(0, Kind::Start),
            line(1_000, "up", None),
            line(10_400, "down", Some(10_100)),
            opened(10_400, 10_000, Some("path")),
            start,
            off,
        ]),
        None,
    );
    assert_eq!((found.lines[0].ms, found.lines[0].cut), (40_000, Some("the box went off")));
    assert_eq!((found.off[0].ms(), found.off[0].reason.as_str()), (Some(650_000), "power"));
}

#[test]
fn a_line_that_was_down_when_the_daemon_came_is_out_from_then_on() {
    let outage = only(vec![new(0, Kind::Start), line(3_000, "down", None), line(20_000, "up", None)]);
    assert_eq!((outage.began.mono, outage.ms, outage.from_start), (3_000, 17_000, true));
}

#[test]
fn the_branch_feels_a_switch_or_the_whole_outage() {
    let mut switch = new(10_391, Kind::Switch)
        .with("path", "default")
        .with("dead", vec!["wan1"])
        .with("detection_ms", 380)
        .with("took_ms", 9);
    switch.to = Some("lte0".to_owned());
    let moved = vec![
        new(0, Kind::Start),
        internet(900, "primary"),
        line(1_000, "up", None),
        line(10_382, "down", Some(10_100)),
        opened(10_382, 10_002, Some("path")),
        switch,
        internet(10_391, "backup"),
        closed(70_000, 10_002, 40_000, 0),
    ];
    assert_eq!(only(moved).felt_ms, Some(389));
    let total = vec![
        new(0, Kind::Start),
        internet(900, "primary"),
        line(1_000, "up", None),
        line(10_382, "down", Some(10_100)),
        internet(10_382, "down"),
        opened(10_382, 10_002, Some("path")),
        internet(40_500, "primary"),
        closed(70_000, 10_002, 40_000, 0),
    ];
    assert_eq!(only(total).felt_ms, Some(30_498));
    let standby = vec![
        new(0, Kind::Start),
        line(1_000, "up", None),
        line(10_382, "down", None),
        closed(70_000, 10_002, 40_000, 0),
    ];
    assert_eq!(only(standby).felt_ms, None);
}

#[test]
fn a_clock_that_is_set_later_dates_what_was_before() {
    let undated = |mono: u64, kind: Kind| Record::new(at(mono, None), kind);
    let mut down = line(10_000, "down", None);
    (down.wall, down.clock) = (None, crate::ledger::record::Clock::Untrusted);
    let found = read(&numbered(vec![undated(0, Kind::Start), down, new(60_000, Kind::Clock)]), None);
    assert_eq!(found.lines[0].began.wall, Some(WALL + 10_000));
    assert_eq!(read(&numbered(vec![undated(0, Kind::Start), line(9, "down", None)]), None).lines[0].began.wall, None);
}
