//! `causeway lab sim` and `causeway replay`: the simulator's report, and what a recording shows.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
#[cfg(feature = "lab")]
use std::path::PathBuf;
use std::time::Duration;

use crate::config::model::{Family, Gateway, PathId, UplinkId};
use crate::engine::Engine;
use crate::engine::action::Fact;
use crate::engine::record::Entry;
use crate::policy::Selection;
use crate::time::Instant;

/// All is well.
const DONE: u8 = 0;
/// An invariant was broken, or the recording cannot be read.
const FAILED: u8 = 1;

/// Simulate outages of all kinds and check that every promise holds.
#[cfg(feature = "lab")]
#[derive(Clone, Debug, clap::Args)]
pub struct SimArgs {
    /// Simulated hours; ignored with --runs or --for.
    #[arg(long, default_value_t = 1_000)]
    pub hours: u64,
    /// The first seed; each run takes the next one.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Play so many seeds.
    #[arg(long)]
    pub runs: Option<u64>,
    /// Go on for so long, as 90s, 30m or 6h.
    #[arg(long = "for", value_parser = parse_time)]
    pub for_time: Option<Duration>,
    /// 5 % loss and tenfold latency on lines that work: nobody may fail over. HOURS are of such days.
    #[arg(long)]
    pub steady: bool,
    /// Plant each known bug and check that it is found.
    #[arg(long)]
    pub planted: bool,
    /// Where the recording of a violation goes.
    #[arg(long, default_value = ".")]
    pub recordings: PathBuf,
}

#[cfg(feature = "lab")]
fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err("a time is a number with s, m or h: 90m".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a time is a number with s, m or h: 90m".to_owned())?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(feature = "lab")]
#[expect(clippy::print_stdout, reason = "the report is for people")]
pub fn run(args: &SimArgs) -> u8 {
    use crate::lab::{clock, sim};

    if args.planted {
        return run_planted(args.hours);
    }
    let make = if args.steady { sim::steady } else { sim::plan };
    let began = clock::now();
    let (mut simulated, mut events, mut switches, mut failovers, mut runs) = (Duration::ZERO, 0, 0, 0, 0);
    let hours = |time: Duration| time.as_secs_f64() / 3_600.0;
    loop {
        let over = match (args.runs, args.for_time) {
            (Some(most), _) => runs >= most,
            (None, Some(time)) => clock::now().since(began) >= time,
            (None, None) => simulated >= Duration::from_secs(args.hours.saturating_mul(3_600)),
        };
        if over {
            break;
        }
        let played = sim::play(make(args.seed.wrapping_add(runs)), None, false);
        runs += 1;
        simulated += played.simulated;
        events += played.events;
        switches += played.switches;
        failovers += played.failovers;
        let moved = args.steady && played.failovers > 0;
        if let Some(violation) = &played.violation {
            println!("seed {} at {}: {violation}", played.seed, moment(violation.at));
        }
        if moved {
            println!("seed {}: {} failovers although every line worked", played.seed, played.failovers);
        }
        if moved || played.violation.is_some() {
            return write_recording(&sim::play(make(played.seed), None, true), &args.recordings);
        }
    }
    let wall = clock::now().since(began);
    println!(
        "{:.0} hours in {runs} runs from seed {}: {events} events, {switches} switches, {failovers} failovers, \
         no violation; {:.1} s, {:.0} hours a second",
        hours(simulated),
        args.seed,
        wall.as_secs_f64(),
        hours(simulated) / wall.as_secs_f64().max(0.001),
    );
    DONE
}

/// The run again, this time written down.
#[cfg(feature = "lab")]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the report is for people")]
fn write_recording(played: &crate::lab::sim::Played, folder: &Path) -> u8 {
    let path = folder.join(format!("causeway-sim-{}.jsonl", played.seed));
    let written = File::create(&path).and_then(|file| {
        let mut file = BufWriter::new(file);
        for entry in &played.recording.entries {
            serde_json::to_writer(&mut file, entry)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    });
    match written {
        Ok(()) => {
            println!("recorded in {0}; `causeway replay {0}` shows it", path.display());
            if let Some(ends) = played.recording.ends {
                println!("it was full at {}: what came after is not in it", moment(ends).trim_start());
            }
        }
        Err(error) => eprintln!("error: cannot write {}\n  Caused by: {error}", path.display()),
    }
    FAILED
}

#[cfg(feature = "lab")]
#[expect(clippy::print_stdout, reason = "the report is for people")]
fn run_planted(hours: u64) -> u8 {
    use crate::lab::sim::mutants::{TABLE, find};

    let mut missed = 0;
    for row in TABLE {
        match find(row.bug, Duration::from_secs(hours.saturating_mul(3_600))) {
            Some(found) => {
                let expected = row.found_by.contains(&found.violation.rule);
                missed += u32::from(!expected);
                let mark = if expected { "" } else { "  (not the rule that the table names)" };
                let hours = found.after.as_secs_f64() / 3_600.0;
                println!(
                    "{:?}: {} (flaw {}), after {hours:.1} h by {}{mark}",
                    row.bug, row.what, row.flaw, found.violation
                );
            }
            None => {
                missed += 1;
                println!("{:?}: {} (flaw {}): NOT FOUND in {hours} h", row.bug, row.what, row.flaw);
            }
        }
    }
    println!("{} planted, {missed} missed", TABLE.len());
    if missed == 0 { DONE } else { FAILED }
}

/// Runs a recording again, offline, and shows what was decided and why. Recordings come from `causeway run --record` and
/// from the simulator.
#[expect(clippy::print_stderr, reason = "an error is for people")]
pub fn replay(file: &Path) -> u8 {
    let shown = File::open(file).map_err(|error| error.to_string()).and_then(|opened| {
        let stdout = std::io::stdout().lock();
        show(BufReader::new(opened), BufWriter::new(stdout))
    });
    match shown {
        Ok(()) => DONE,
        Err(error) => {
            eprintln!("error: cannot replay {}\n  Caused by: {error}", file.display());
            FAILED
        }
    }
}

/// The facts of a recording, one line each; a settled probe is no news.
pub fn show(recording: impl BufRead, mut out: impl Write) -> Result<(), String> {
    let mut engine: Option<Engine> = None;
    for (number, line) in (1u64..).zip(recording.lines()) {
        let line = line.map_err(|error| format!("line {number}: {error}"))?;
        let entry: Entry = serde_json::from_str(&line).map_err(|error| format!("line {number}: {error}"))?;
        match (entry, engine.as_mut()) {
            (Entry::Start { config, seed, adopted, now }, _) => {
                say(&mut out, now, &format!("start; adopted {}", paths(&config, &adopted)))?;
                engine = Some(Engine::new(*config, seed, &adopted, now));
            }
            (Entry::Reconfigure { config, seed, now }, Some(engine)) => {
                say(&mut out, now, "another config")?;
                engine.reconfigure(*config, seed, now);
            }
            (Entry::Event { event, now }, Some(engine)) => engine.handle(event, now),
            (Entry::Poll { now }, Some(engine)) => engine.poll(now),
            (Entry::Reconfigure { .. } | Entry::Event { .. } | Entry::Poll { .. }, None) => {
                return Err(format!("line {number}: a recording begins with a start"));
            }
        }
        let Some(engine) = engine.as_mut() else { continue };
        while engine.next_action().is_some() {}
        while let Some((at, fact)) = engine.next_fact() {
            if let Some(text) = describe(&fact, engine.config()) {
                say(&mut out, at, &text)?;
            }
        }
    }
    out.flush().map_err(|error| error.to_string())
}

fn say(out: &mut impl Write, at: Instant, text: &str) -> Result<(), String> {
    writeln!(out, "{} {text}", moment(at)).map_err(|error| error.to_string())
}

fn moment(at: Instant) -> String {
    format!("{:>12.3} s", Duration::from_nanos(at.nanos()).as_secs_f64())
}

fn describe(fact: &Fact, config: &Gateway) -> Option<String> {
    let line = |uplink: UplinkId, family: Family| format!("{} {family}", config.uplink(uplink).name);
    let path = |path: PathId, family: Family| format!("path {} {family}", config.paths[path.index()].name);
    Some(match fact {
        Fact::ProbeSettled { .. } => return None,
        Fact::Transition { uplink, family, from, to, evidence } => {
            let why = match (evidence.verdict, evidence.cause) {
                (Some(verdict), Some(cause)) => format!(" ({verdict:?}, {})", cause.name()).to_lowercase(),
                (_, _) => String::new(),
            };
            format!("{}: {} → {}{why}", line(*uplink, *family), from.name(), to.name())
        }
        Fact::Suspicion { uplink, family, confirmed } => {
            let word = if *confirmed { "confirmed" } else { "cleared" };
            format!("{}: suspicion {word}", line(*uplink, *family))
        }
        Fact::Switch(switch) => format!(
            "{}: {} → {} ({:?})",
            path(switch.path, switch.family),
            names(config, &switch.from),
            names(config, &switch.to),
            switch.reason
        ),
        Fact::Switched { path: id, family, took, detection, .. } => {
            let detected = detection.map_or(String::new(), |time| format!(", {time:?} after the last sign of life"));
            format!("{}: switched in {took:?}{detected}", path(*id, *family))
        }
        Fact::SwitchFailed { path: id, family, .. } => format!("{}: the kernel refused", path(*id, *family)),
        Fact::NotSwitched { path: id, family, reason } => {
            format!("{}: stays ({})", path(*id, *family), reason.name())
        }
        Fact::OutageOpened { uplink, family, cause, .. } => {
            format!("{}: outage begins ({})", line(*uplink, *family), cause.name())
        }
        Fact::OutageClosed { uplink, family, since, until, .. } => {
            format!("{}: outage over, it lasted {:?}", line(*uplink, *family), until.since(*since))
        }
        Fact::TargetSuspect { uplink, target, suspect } => {
            let target = &config.uplink(*uplink).targets[target.index()];
            let word = if *suspect { "is at fault itself" } else { "is well again" };
            format!("{}: target {} {word}", config.uplink(*uplink).name, target.label())
        }
        Fact::Locked { locked, by } => format!("{} by {by}", if *locked { "locked" } else { "unlocked" }),
        Fact::Preferred { uplink: Some(uplink), by, .. } => {
            format!("{} preferred by {by}", config.uplink(*uplink).name)
        }
        Fact::Preferred { uplink: None, by, .. } => format!("automatic again by {by}"),
        Fact::Drill { uplink, step } => format!("drill of {}: {step:?}", config.uplink(*uplink).name),
        Fact::Stalled { for_time } => format!("we were late by {for_time:?}"),
        Fact::Budget { uplink, percent } => {
            format!("{}: {percent} % of the plan are used", config.uplink(*uplink).name)
        }
    })
}

fn names(config: &Gateway, selection: &Selection) -> String {
    let names: Vec<&str> = selection.uplinks().map(|uplink| config.uplink(uplink).name.as_str()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(" + ") }
}

fn paths(config: &Gateway, held: &[(PathId, Family, Selection)]) -> String {
    let each = |(path, family, selection): &(PathId, Family, Selection)| {
        format!("{} {family} {}", config.paths[path.index()].name, names(config, selection))
    };
    if held.is_empty() { "nothing".to_owned() } else { held.iter().map(each).collect::<Vec<_>>().join(", ") }
}
