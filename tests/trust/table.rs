//! Every state with every event: what comes out stands in one reviewed table. A new state or event does not compile
//! here until somebody has looked at it.

use std::fmt::Write as _;

use causeway::trust::digest::Digest;
use causeway::trust::floors::Floors;
use causeway::trust::machine::{
    Advance, Applied, Checked, Command, Conditions, Defer, Disturbance, Event, Keep, Machine, Measurement, Moment,
    Record, Saved, StateName, Target, Timers,
};
use causeway::trust::refusal::Refusal;

use super::world::{World, boot, build, candidate};

const STATES: [StateName; 9] = [
    StateName::Idle,
    StateName::Fetched,
    StateName::Ready,
    StateName::Applying,
    StateName::Trial,
    StateName::Soak,
    StateName::RollingBack,
    StateName::Quarantine,
    StateName::Override,
];

/// A branch in this state, on content 1, with candidate 2 where there is one.
fn world(state: StateName) -> World {
    let mut world = World::settled();
    match state {
        StateName::Idle => {}
        StateName::Fetched | StateName::Ready | StateName::Applying | StateName::Trial | StateName::Soak => {
            world.event(Event::Fetched(candidate(2, 2)));
            world.until(state);
        }
        StateName::RollingBack => {
            world.event(Event::Fetched(candidate(2, 2)));
            world.until(StateName::Trial);
            world.event(Event::RollBack);
        }
        StateName::Quarantine => {
            world.event(Event::Fetched(candidate(2, 2)));
            world.event(Event::RollBack);
        }
        StateName::Override => {
            let keep = Keep { good: Some(candidate(1, 1).config), ..Keep::new(Floors::new(build()), boot(1)) };
            let state = Saved::Override { overlay: Digest::of(b"overlay"), left: 3_600 };
            world.disk = Some(Record { state, keep });
            world.restart();
        }
    }
    assert_eq!(world.state(), state);
    world
}

fn events(world: &World) -> Vec<Event> {
    let checked =
        Checked { empty: false, disturbance: Disturbance::None, timers: Timers::default(), defer: Defer::default() };
    let new = Target::Config(candidate(2, 2).config);
    let old = Target::Config(candidate(1, 1).config);
    vec![
        Event::Fetched(candidate(3, 3)),
        Event::Fetched(candidate(3, 2)),
        Event::Fetched(candidate(3, 1)),
        Event::Fetched(candidate(2, 2)),
        Event::Refused(candidate(2, 2), Refusal::InvalidConfig),
        Event::Refused(candidate(3, 3), Refusal::InvalidConfig),
        Event::Checked(candidate(2, 2).config.resolved, checked),
        Event::Checked(candidate(2, 2).config.resolved, Checked { empty: true, ..checked }),
        Event::Checked(candidate(3, 3).config.resolved, checked),
        Event::Conditions(Conditions::default()),
        world.measured(Moment::Before),
        world.measured(Moment::Trial),
        Event::Measured(Moment::Trial, Measurement::default()),
        world.measured(Moment::After),
        Event::Announced,
        Event::Applied(new, Applied::Equal),
        Event::Applied(new, Applied::StepFailed),
        Event::Applied(new, Applied::Differs),
        Event::Applied(old, Applied::Equal),
        Event::Applied(old, Applied::StepFailed),
        Event::Confirm,
        Event::RollBack,
        Event::Retry,
        Event::StoreFailed,
        Event::OverrideEnded,
        Event::Tick,
    ]
}

/// Fails to compile when an event is added, so that it gets its lines above.
fn name(event: &Event) -> String {
    let content = |candidate: &causeway::trust::machine::Candidate| candidate.config.released.seq;
    match event {
        Event::Fetched(new) => format!("Fetched(assignment {}, content {})", new.config.assigned.seq, content(new)),
        Event::Refused(new, refusal) => format!("Refused(content {}, {})", content(new), refusal.code()),
        Event::Checked(resolved, checked) => {
            let own = *resolved == candidate(2, 2).config.resolved;
            format!("Checked({}{})", if own { "own" } else { "other" }, if checked.empty { ", empty" } else { "" })
        }
        Event::Conditions(_) => "Conditions".to_owned(),
        Event::Measured(moment, measurement) => {
            let what = if measurement.uplinks.is_empty() { "nothing" } else { "all well" };
            format!("Measured({moment:?}, {what})")
        }
        Event::Announced => "Announced".to_owned(),
        Event::Applied(target, applied) => format!("Applied({}, {applied:?})", target_name(target)),
        Event::Confirm => "Confirm".to_owned(),
        Event::RollBack => "RollBack".to_owned(),
        Event::Retry => "Retry".to_owned(),
        Event::StoreFailed => "StoreFailed".to_owned(),
        Event::OverrideEnded => "OverrideEnded".to_owned(),
        Event::Tick => "Tick at the deadline".to_owned(),
    }
}

fn target_name(target: &Target) -> String {
    match target {
        Target::Safe => "safe".to_owned(),
        Target::Config(config) => format!("content {}", config.released.seq),
    }
}

fn command_name(command: &Command) -> String {
    match command {
        Command::Check(candidate) => format!("check {}", candidate.config.released.seq),
        Command::Measure(moment) => format!("measure {moment:?}"),
        Command::Announce(candidate) => format!("announce {}", candidate.config.released.seq),
        Command::Apply(target) => format!("apply {}", target_name(target)),
    }
}

fn line(event: &Event, before: &Machine, advance: &Advance) -> String {
    let mut text = format!("  {:<38}", name(event));
    let to = advance.machine.state().name();
    let same = advance.machine == *before && advance.commands.is_empty() && advance.save.is_none();
    if same {
        return text + "-";
    }
    let _ = write!(text, "{to:?}");
    if let Some(save) = advance.save {
        let _ = write!(text, ", save {save:?}");
    }
    for command in &advance.commands {
        let _ = write!(text, ", {}", command_name(command));
    }
    if advance.machine.boot_default() != before.boot_default() {
        let _ = write!(text, ", boots {}", target_name(&advance.machine.boot_default()));
    }
    if let Some(reason) = advance.transition.and_then(|transition| transition.reason) {
        let _ = write!(text, ", because {}", reason.code());
    }
    text
}

#[test]
fn every_state_with_every_event() {
    let mut table = String::new();
    for state in STATES {
        let _ = writeln!(table, "{state:?}");
        let world = world(state);
        for event in events(&world) {
            let due = world.machine.deadline().unwrap_or(world.now);
            let now = if event == Event::Tick { due } else { world.now };
            let advance = world.machine.clone().step(event.clone(), now);
            let _ = writeln!(table, "{}", line(&event, &world.machine, &advance));
        }
    }
    insta::assert_snapshot!(table);
}

/// A record of a state that is on disk becomes that state again, or its way home.
#[test]
fn every_state_after_a_restart_and_after_a_power_cut() {
    let mut table = String::new();
    for state in STATES {
        let world = world(state);
        let after = |happen: fn(&mut World)| {
            let mut world = world.clone();
            happen(&mut world);
            format!("{:?} on {}", world.state(), target_name(&world.machine.running()))
        };
        let (restart, cut) = (after(World::restart), after(World::power_cut));
        let _ = writeln!(table, "{state:<12} restart: {restart:<28} power cut: {cut}", state = format!("{state:?}"));
    }
    insta::assert_snapshot!(table);
}
