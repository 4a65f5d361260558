//! Whole stories: what cuts the branch off is undone and blamed, what a provider does is not.

use std::time::Duration;

use causeway::trust::machine::{Applied, Conditions, Defer, Event, Reason, StateName, Target, Transition, Verdict};

use super::world::{FIBRE, LTE, World, candidate};

fn last_return(world: &World) -> (Reason, Option<Verdict>) {
    let last = world.machine.keep().last.expect("something was undone");
    (last.reason, last.verdict)
}

fn offer(world: &mut World, assigned: u64, content: u64) {
    world.event(Event::Fetched(candidate(assigned, content)));
}

fn good(world: &World) -> Target {
    world.machine.boot_default()
}

#[test]
fn a_good_config_is_tried_and_kept() {
    use StateName::{Applying, Fetched, Idle, Ready, Soak, Trial};
    let mut world = World::settled();
    offer(&mut world, 2, 2);
    assert!(world.settle(400));
    assert_eq!((world.state(), good(&world)), (Idle, Target::Config(candidate(2, 2).config)));
    assert_eq!(world.machine.keep().previous, Some(candidate(1, 1).config));
    assert_eq!(world.machine.keep().floors.standard, candidate(2, 2).config.released);
    let way: Vec<StateName> = world.transitions.iter().map(|transition: &Transition| transition.to).collect();
    assert_eq!(way, [Fetched, Ready, Applying, Trial, Soak, Idle]);
}

#[test]
fn f31_a_config_that_cuts_a_line_off_undoes_itself_and_is_quarantined() {
    let mut world = World::settled();
    world.bad.insert(candidate(2, 2).config.resolved);
    offer(&mut world, 2, 2);
    world.until(StateName::Trial);
    let begun = world.now;
    world.until(StateName::RollingBack);
    assert!(world.now.since(begun) <= Duration::from_secs(100), "soft limit, because targets are lost too");
    assert!(world.settle(400));
    assert_eq!(world.state(), StateName::Quarantine);
    assert_eq!(last_return(&world), (Reason::NoPathProofOnUplink, Some(Verdict::Config)));
    assert_eq!(world.force, Target::Config(candidate(1, 1).config));
    let lost: Vec<String> = world.machine.keep().evidence.unproved().map(ToString::to_string).collect();
    assert_eq!(lost, [LTE]);
    // The same content under a newer number stays out; another content comes in; so does a retry.
    offer(&mut world, 3, 2);
    assert_eq!(world.state(), StateName::Quarantine);
    world.event(Event::Retry);
    assert_eq!(world.state(), StateName::Fetched);
    assert!(world.settle(400) && world.state() == StateName::Quarantine);
    offer(&mut world, 4, 4);
    assert!(world.settle(400) && world.state() == StateName::Idle);
}

/// Power goes in the trial. After the boot the line that the change cuts off is the last to come up: without it in the
/// baseline the second try would be kept.
#[test]
fn f31_a_line_that_comes_up_late_after_a_power_cut_is_missed_all_the_same() {
    let mut world = World::settled();
    world.bad.insert(candidate(2, 2).config.resolved);
    offer(&mut world, 2, 2);
    world.until(StateName::Trial);
    world.power_cut();
    world.event(Event::Conditions(Conditions { coming_up: true, ..Conditions::default() }));
    world.dead.insert(LTE);
    for _ in 0..20 {
        world.turn();
    }
    assert_eq!(world.state(), StateName::Fetched, "what is measured now says nothing");
    world.dead.remove(LTE);
    world.event(Event::Conditions(Conditions::default()));
    assert!(world.settle(400));
    assert_eq!(world.state(), StateName::Quarantine);
    assert_eq!(world.force, Target::Config(candidate(1, 1).config));
}

/// A provider fails at any moment of a trial: not the config's fault, tried again when the provider is back.
#[test]
fn a_provider_that_fails_in_a_trial_is_never_counted_against_the_config() {
    for moment in 0..1_000_u64 {
        let mut world = World::settled();
        offer(&mut world, 2, 2);
        world.until(StateName::Trial);
        let line = if moment % 2 == 0 { FIBRE } else { LTE };
        // Up to the end of Soak: half an hour and some minutes.
        let fails_at = world.now + Duration::from_millis(moment * 1_830);
        while world.machine.deadline().is_some_and(|due| due < fails_at) || !world.pending.is_empty() {
            world.turn();
        }
        world.dead.insert(line);
        let mut turns = 0;
        while !matches!(world.state(), StateName::Idle | StateName::Quarantine) && turns < 400 {
            world.turn();
            turns += 1;
        }
        assert_eq!(world.state(), StateName::Idle, "moment {moment}");
        if world.machine.deadline().is_some() {
            assert_eq!(last_return(&world).1, Some(Verdict::External), "moment {moment}");
            world.dead.clear();
            assert!(world.settle(400) && world.state() == StateName::Idle, "moment {moment}");
        }
        assert_eq!(good(&world), Target::Config(candidate(2, 2).config), "moment {moment}");
    }
}

#[test]
fn an_external_failure_is_tried_again_after_10_minutes_doubling_to_a_day() {
    let mut world = World::settled();
    let mut waits = Vec::new();
    offer(&mut world, 2, 2);
    for _ in 0..10 {
        world.dead.clear();
        world.until(StateName::Trial);
        world.dead.insert(FIBRE);
        world.until(StateName::Idle);
        waits.push(world.machine.deadline().expect("it is tried again").since(world.now).as_secs() / 60);
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]);
}

#[test]
fn head_office_that_falls_silent_gets_until_the_hard_limit() {
    let mut world = World::settled();
    world.hold = true;
    offer(&mut world, 2, 2);
    world.until(StateName::Trial);
    let begun = world.now;
    world.until(StateName::RollingBack);
    let tried = world.now.since(begun).as_secs();
    assert!((890..=910).contains(&tried), "{tried} s");
    world.until(StateName::Idle);
    assert_eq!(last_return(&world), (Reason::HeldByOffice, Some(Verdict::Withdrawn)));
    assert!(world.machine.deadline().is_some(), "tried again later");
}

#[test]
fn the_way_back_undoes_at_once_and_is_kept_without_a_trial() {
    for at in [StateName::Applying, StateName::Trial, StateName::Soak] {
        let mut world = World::settled();
        offer(&mut world, 2, 2);
        world.until(at);
        let mut back = candidate(3, 1);
        back.config.released.seq = 3;
        world.event(Event::Fetched(back));
        assert_eq!(world.state(), StateName::RollingBack, "{at:?}");
        assert!(world.settle(400));
        assert_eq!((world.state(), good(&world)), (StateName::Idle, Target::Config(back.config)), "{at:?}");
        assert_eq!(world.machine.keep().floors.standard.seq, 3);
    }
}

#[test]
fn the_newest_assignment_waits_for_the_end_of_a_trial() {
    let mut world = World::settled();
    offer(&mut world, 2, 2);
    world.until(StateName::Trial);
    offer(&mut world, 3, 3);
    offer(&mut world, 4, 4);
    assert!(world.settle(800));
    assert_eq!((world.state(), good(&world)), (StateName::Idle, Target::Config(candidate(4, 4).config)));
    assert!(!world.transitions.iter().any(|transition| transition.candidate == Some(candidate(3, 3))));
}

#[test]
fn a_kernel_that_refuses_is_undone() {
    for (kernel, reason) in
        [(vec![Applied::StepFailed], Reason::StepFailed), (vec![Applied::Differs; 4], Reason::ReadbackDiffers)]
    {
        let mut world = World::settled();
        world.kernel = kernel;
        offer(&mut world, 2, 2);
        assert!(world.settle(400));
        assert_eq!((world.state(), last_return(&world)), (StateName::Quarantine, (reason, Some(Verdict::Config))));
    }
    let mut world = World::settled();
    world.kernel = vec![Applied::Differs; 3];
    offer(&mut world, 2, 2);
    assert!(world.settle(400) && world.state() == StateName::Idle, "three repairs are allowed");
}

#[test]
fn reboots_and_restarts() {
    let run = |at: StateName, mut happen: Vec<fn(&mut World)>| {
        let mut world = World::settled();
        offer(&mut world, 2, 2);
        world.until(at);
        while let Some(next) = happen.pop() {
            next(&mut world);
            if !happen.is_empty() {
                world.until(at);
            }
        }
        world
    };
    let world = run(StateName::Trial, vec![World::power_cut]);
    assert_eq!((world.state(), world.force), (StateName::Fetched, Target::Config(candidate(1, 1).config)));
    let world = run(StateName::Trial, vec![World::power_cut; 2]);
    assert_eq!(world.state(), StateName::Quarantine);
    assert_eq!(last_return(&world), (Reason::RebootInTrial, Some(Verdict::Config)));
    let world = run(StateName::Applying, vec![World::power_cut; 2]);
    assert_eq!(last_return(&world).0, Reason::RebootInApply);
    let mut world = run(StateName::Trial, vec![World::restart]);
    assert_eq!(world.state(), StateName::RollingBack);
    assert!(world.settle(800) && world.state() == StateName::Idle, "tried again, and kept");
    let world = run(StateName::Soak, vec![World::restart]);
    assert_eq!((world.state(), world.force), (StateName::Soak, Target::Config(candidate(2, 2).config)));
    let world = run(StateName::Soak, vec![World::power_cut]);
    assert_eq!((world.state(), world.force), (StateName::Soak, Target::Config(candidate(2, 2).config)));
    let mut world = run(StateName::Soak, vec![World::power_cut; 2]);
    assert_eq!(world.state(), StateName::RollingBack);
    assert!(world.settle(400) && world.state() == StateName::Quarantine);
    assert_eq!(last_return(&world), (Reason::RebootInSoak, Some(Verdict::Config)));
    assert_eq!(world.force, Target::Config(candidate(1, 1).config));
}

#[test]
fn f5_a_disk_that_refuses_costs_the_new_config_and_not_the_old() {
    for at in [StateName::Fetched, StateName::Ready, StateName::Applying, StateName::Trial, StateName::Soak] {
        let mut world = World::settled();
        offer(&mut world, 2, 2);
        world.until(at);
        world.disk_works = false;
        for _ in 0..60 {
            world.turn();
        }
        let new = world.force == Target::Config(candidate(2, 2).config);
        assert!(!new || at == StateName::Soak, "{at:?}");
        world.disk_works = true;
        assert!(world.settle(800), "{at:?}");
        assert_eq!(good(&world), Target::Config(candidate(2, 2).config), "{at:?}: kept once the disk is back");
    }
}

#[test]
fn a_cut_waits_for_a_good_moment_and_at_most_7_days() {
    let mut world = World::settled();
    world.defer = Defer { open_hours: true, ..Defer::default() };
    world.event(Event::Conditions(Conditions { open_hours: true, ..Conditions::default() }));
    let begun = world.now;
    offer(&mut world, 2, 2);
    world.turn();
    while world.now.since(begun) < Duration::from_hours(6 * 24) {
        world.turn();
    }
    assert_eq!(world.state(), StateName::Fetched);
    let mut closed = world.clone();
    closed.event(Event::Conditions(Conditions::default()));
    assert!(closed.settle(400) && good(&closed) == Target::Config(candidate(2, 2).config));
    // The wait goes on after a power cut from where it was last written down.
    world.power_cut();
    let rebooted = world.now;
    world.event(Event::Conditions(Conditions { open_hours: true, ..Conditions::default() }));
    world.turn();
    while world.now.since(rebooted) < Duration::from_hours(26) {
        world.turn();
    }
    assert_eq!(world.state(), StateName::Fetched, "the quietest hour is not there yet");
    world.event(Event::Conditions(Conditions { open_hours: true, quietest_hour: true, ..Conditions::default() }));
    assert!(world.settle(400) && good(&world) == Target::Config(candidate(2, 2).config));
    let mut world = World::settled();
    world.defer = Defer { open_hours: true, ..Defer::default() };
    let urgent = causeway::trust::machine::Candidate { expedite: true, ..candidate(2, 2) };
    world.event(Event::Fetched(urgent));
    assert!(world.settle(400) && good(&world) == Target::Config(urgent.config));
}

#[test]
fn a_local_file_needs_its_operator() {
    let local = causeway::trust::machine::Candidate { operator: true, ..candidate(2, 2) };
    let mut world = World::settled();
    world.event(Event::Fetched(local));
    world.until(StateName::Trial);
    world.until(StateName::RollingBack);
    assert!(world.settle(400) && world.state() == StateName::Quarantine);
    assert_eq!(last_return(&world), (Reason::OperatorSilent, Some(Verdict::Withdrawn)));
    let mut world = World::settled();
    world.event(Event::Fetched(local));
    world.until(StateName::Trial);
    world.event(Event::Confirm);
    assert!(world.settle(400) && world.state() == StateName::Idle);
    assert_eq!(good(&world), Target::Config(local.config));
    assert_eq!(world.machine.keep().floors.standard.seq, 1, "a file raises no floor");
}

#[test]
fn config_rollback_goes_to_what_ran_before() {
    let mut world = World::settled();
    offer(&mut world, 2, 2);
    assert!(world.settle(400));
    world.event(Event::RollBack);
    assert!(world.settle(400) && world.state() == StateName::Quarantine);
    assert_eq!(world.force, Target::Config(candidate(1, 1).config));
    assert_eq!(last_return(&world), (Reason::OperatorRollback, Some(Verdict::Withdrawn)));
}
