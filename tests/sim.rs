//! The simulator's share of every change: some hours of everything at once, the same twice, days on lines that only look
//! bad, and bugs planted to see whether they are found. `make test` plays 10,000 hours more in a release build.
#![cfg(feature = "lab")]

use std::collections::BTreeSet;
use std::time::Duration;

use causeway::cli::sim::show;
use causeway::lab::sim::mutants::{TABLE, find};
use causeway::lab::sim::{Rule, plan, play, steady_for};

const HOUR: Duration = Duration::from_secs(3_600);
/// A build without optimisation plays some ten hours a second; the release build has the rest.
const SEEDS: u64 = if cfg!(debug_assertions) { 8 } else { 400 };

/// G1
#[test]
fn g01_hours_of_everything_at_once() {
    let mut simulated = Duration::ZERO;
    for seed in 1..=SEEDS {
        let played = play(plan(seed), None, false);
        simulated += played.simulated;
        if let Some(violation) = played.violation {
            panic!("seed {seed} at {:?}: {violation}", violation.at);
        }
    }
    assert!(simulated > HOUR * 2 * u32::try_from(SEEDS).expect("small"), "{simulated:?}");
}

/// G2
#[test]
fn g02_loss_and_latency_alone_move_nobody() {
    let (runs, hours) = if cfg!(debug_assertions) { (2, 2) } else { (10, 24) };
    for seed in 1..=runs {
        let played = play(steady_for(seed, hours), None, false);
        assert!(played.violation.is_none(), "seed {seed}: {:?}", played.violation);
        assert_eq!(played.failovers, 0, "seed {seed}");
    }
}

/// G3
#[test]
fn g03_the_same_seed_gives_the_same_events() {
    let mut hashes = BTreeSet::new();
    for seed in 1..=SEEDS / 4 {
        let (first, second) = (play(plan(seed), None, false), play(plan(seed), None, true));
        assert_eq!((first.hash, first.events), (second.hash, second.events), "seed {seed}");
        hashes.insert(first.hash);
    }
    assert_eq!(hashes.len() as u64, SEEDS / 4, "other seeds give other events");
}

/// G4: the quick ones here, all of them with `causeway lab sim --planted`.
#[test]
fn g04_planted_bugs_are_found() {
    let most = HOUR * if cfg!(debug_assertions) { 4 } else { 1_000 };
    let mut missed = Vec::new();
    for row in TABLE {
        match find(row.bug, most) {
            Some(found) => {
                assert!(row.found_by.contains(&found.violation.rule), "{:?}: {}", row.bug, found.violation);
            }
            None => missed.push(row.bug),
        }
    }
    let allowed = if cfg!(debug_assertions) { TABLE.len() - 20 } else { 0 };
    assert!(missed.len() <= allowed, "not found: {missed:?}");
}

#[test]
fn every_rule_finds_a_planted_bug() {
    let unproved: Vec<&str> = Rule::ALL
        .iter()
        .filter(|rule| !TABLE.iter().any(|row| row.found_by.contains(rule)))
        .map(|r| r.words())
        .collect();
    assert!(unproved.is_empty(), "no planted bug shows that these work: {unproved:?}");
}

#[test]
fn a_recording_shows_the_same_decisions_again() {
    let played = play(plan(3), None, true);
    let lines: Vec<String> =
        played.recording.entries.iter().map(|entry| serde_json::to_string(entry).expect("plain data")).collect();
    let mut shown = Vec::new();
    show(lines.join("\n").as_bytes(), &mut shown).expect("a whole recording");
    let text = String::from_utf8(shown).expect("text");
    let switches = text.lines().filter(|line| line.contains("path ") && line.contains(" → ")).count();
    assert_eq!(switches as u64, played.switches, "{text}");
}
