//! A config that takes over while traffic flows.

use super::*;
use crate::policy::Selection;

fn world_that_works() -> World {
    let mut world = World::new(Profile::standard());
    world.run(S(60));
    assert_eq!((world.state(0), world.state(1)), (State::Up, State::Up));
    world
}

fn with(mut config: Gateway, change: impl FnOnce(&mut Gateway)) -> Gateway {
    change(&mut config);
    config
}

fn carries(world: &World) -> Vec<u8> {
    let selection = &world.engine.path(PathId::DEFAULT, Family::V4).selection;
    selection.uplinks().map(|uplink| uplink.0).collect()
}

#[test]
fn lines_that_stay_the_same_stay_known_and_nothing_switches() {
    let mut world = world_that_works();
    let since = world.engine.line(UplinkId(0), Family::V4).expect("a line").since();
    let config = with(two_lines(Profile::standard()), |config| {
        config.uplinks[1].profile.interval = S(2);
    });
    world.engine.reconfigure(config, 7, world.now);
    assert_eq!(world.state(0), State::Up);
    assert_eq!(world.engine.line(UplinkId(0), Family::V4).expect("a line").since(), since);
    assert_eq!(world.state(1), State::Unknown, "another profile: judged anew");
    world.tell_local_facts();
    world.run(S(60));
    assert_eq!((world.state(1), carries(&world)), (State::Up, vec![0]));
    assert!(!world.facts.iter().any(|(_, fact)| matches!(fact, Fact::OutageOpened { .. })));
}

#[test]
fn an_uplink_that_comes_before_the_others_moves_no_traffic() {
    let mut world = world_that_works();
    let config = with(two_lines(Profile::standard()), |config| {
        let mut third = config.uplinks[0].clone();
        third.name = Name::new("aa").expect("a name");
        third.device = LinkName::new("wan9").expect("a device");
        config.uplinks.insert(0, third);
        config.paths[0].tiers = vec![vec![UplinkId(1)], vec![UplinkId(2)], vec![UplinkId(0)]];
    });
    world.engine.reconfigure(config, 7, world.now);
    assert_eq!(carries(&world), [1], "the same line under its new number");
    assert_eq!(world.engine.line(UplinkId(1), Family::V4).expect("a line").state(), State::Up);
    let mut switches = 0;
    while let Some(action) = world.engine.next_action() {
        switches += usize::from(matches!(action, Action::Switch(_)));
    }
    assert_eq!(switches, 0);
}

#[test]
fn the_line_in_use_that_goes_away_leaves_its_traffic_to_the_other() {
    let mut world = world_that_works();
    let config = with(two_lines(Profile::standard()), |config| {
        config.uplinks.remove(0);
        config.paths[0].tiers = vec![vec![UplinkId(0)]];
    });
    world.engine.reconfigure(config, 7, world.now);
    world.engine.poll(world.now);
    assert_eq!(world.engine.path(PathId::DEFAULT, Family::V4).selection, Selection(vec![(UplinkId(0), 1)]));
}

#[test]
fn orders_of_people_hold_by_name() {
    let mut world = world_that_works();
    world.engine.handle(
        Event::Command { command: Command::Use { uplink: UplinkId(1), for_time: None }, by: "anna".to_owned() },
        world.now,
    );
    world.drain();
    world.run(S(1));
    world.engine.handle(Event::Command { command: Command::Lock, by: "anna".to_owned() }, world.now);
    world.drain();
    let config = with(two_lines(Profile::standard()), |config| {
        config.uplinks.swap(0, 1);
        config.paths[0].tiers = vec![vec![UplinkId(1)], vec![UplinkId(0)]];
    });
    world.engine.reconfigure(config, 7, world.now);
    assert_eq!(world.engine.preferred().map(|(uplink, _)| uplink), Some(UplinkId(0)));
    assert!(world.engine.is_locked());
    assert_eq!(carries(&world), [0]);
}
