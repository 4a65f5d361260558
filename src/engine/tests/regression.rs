//! What the simulator found, each as the shortest story that shows it.

use super::*;
use crate::policy::Selection;
use crate::probe::{Answer, ProbeRequest};

fn one(uplink: u8) -> Selection {
    Selection(vec![(UplinkId(uplink), 1)])
}

fn local_facts(uplink: u8) -> [Event; 3] {
    let uplink = UplinkId(uplink);
    let address = std::net::Ipv4Addr::new(203, 0, 113, 2).into();
    let hop = Hop::Via(std::net::Ipv4Addr::new(203, 0, 113, 1).into());
    [
        Event::Link { uplink, link: Link::Up },
        Event::Address { uplink, family: Family::V4, address: Some(address) },
        Event::Gateway { uplink, family: Family::V4, gateway: Some(hop) },
    ]
}

fn drain(engine: &mut Engine) -> Vec<Action> {
    std::iter::from_fn(|| engine.next_action()).filter(|action| !matches!(action, Action::Probe(_))).collect()
}

fn switch(actions: &[Action]) -> Option<&Switch> {
    actions.iter().find_map(|action| if let Action::Switch(switch) = action { Some(&**switch) } else { None })
}

#[test]
fn a_first_dump_that_comes_in_pieces_withdraws_nothing() {
    let now = Instant::ORIGIN + S(1_000);
    let adopted = [(PathId::DEFAULT, Family::V4, one(1))];
    let mut engine = Engine::new(two_lines(Profile::standard()), 1, &adopted, now);
    // The first uplink is complete before the second one, which carries the branch, is heard of.
    for event in local_facts(0).into_iter().chain(local_facts(1)) {
        engine.handle(event, now);
        assert_eq!(switch(&drain(&mut engine)), None);
    }
    assert_eq!(engine.path(PathId::DEFAULT, Family::V4).selection, one(1));
}

#[test]
fn what_no_dump_tells_of_is_gone_after_a_while() {
    let now = Instant::ORIGIN + S(1_000);
    let mut engine = Engine::new(two_lines(Profile::standard()), 1, &[], now);
    engine.handle(Event::Link { uplink: UplinkId(0), link: Link::Up }, now);
    assert_eq!(engine.line(UplinkId(0), Family::V4).expect("line").state(), State::Unknown);
    let due = engine.deadline();
    engine.poll(due);
    engine.poll(now + S(3));
    let line = engine.line(UplinkId(0), Family::V4).expect("line");
    assert_eq!((line.state(), line.cause()), (State::Down, Some(Cause::Address)));
}

#[test]
fn flows_wait_for_a_route_that_the_kernel_refuses() {
    let mut world = World::new(Profile::standard());
    world.run(S(30));
    let now = world.now;
    let engine = &mut world.engine;
    let link = |link| Event::Link { uplink: UplinkId(0), link };
    engine.handle(link(Link::NoCarrier), now);
    let actions = drain(engine);
    let asked = switch(&actions).expect("a switch").clone();
    engine.handle(Event::SwitchFailed { path: asked.path, family: asked.family, serial: asked.serial }, now);
    // It comes and goes again while the kernel still routes into it.
    engine.handle(link(Link::Up), now + MS(10));
    engine.handle(link(Link::NoCarrier), now + MS(20));
    engine.poll(now + MS(150));
    let actions = drain(engine);
    assert!(!actions.iter().any(|action| matches!(action, Action::EndFlows { .. })), "{actions:?}");
    let again = switch(&actions).expect("asked again").clone();
    assert_eq!((again.to, again.dead), (one(1), vec![UplinkId(0)]));
}

#[test]
fn a_lossy_line_that_dies_is_suspected_all_the_same() {
    let mut world = World::new(Profile::standard());
    world.run(S(30));
    world.wires[0].loss = 0.38;
    world.wires[1].loss = 0.38;
    world.run(S(120));
    world.wires[0].dead = true;
    world.wires[1].loss = 0.0;
    world.run(S(5));
    assert_eq!(world.active(), [UplinkId(1)], "{:?}", world.state(0));
}

#[test]
fn a_brown_out_is_not_cleared_by_the_answers_that_come_first() {
    // At 40 ms answers are there long before a loss is certain.
    let mut world = World::new(Profile::standard());
    for wire in &mut world.wires {
        wire.rtt = MS(40);
    }
    world.run(S(30));
    world.wires[0].loss = 0.7;
    world.run(S(12));
    assert_eq!(world.active(), [UplinkId(1)], "{:?}", world.state(0));
}

#[test]
fn a_dead_target_does_not_keep_a_line_down() {
    let mut world = World::new(Profile::standard());
    world.run(S(30));
    world.wires[0].dead_targets = vec![3];
    world.run(S(60));
    world.wires[0].loss = 0.75;
    world.run(S(20));
    assert_eq!(world.state(0), State::Down);
    world.wires[0].loss = 0.0;
    world.run(S(60));
    assert_ne!(world.state(0), State::Down, "a third of the probes is lost, but to one target");
}

#[test]
fn a_brown_out_that_goes_silent_is_left_for_another_brown_out() {
    let mut world = World::new(Profile::standard());
    world.run(S(30));
    world.wires[0].loss = 0.75;
    world.wires[1].loss = 0.75;
    world.run(S(30));
    assert_eq!((world.state(0), world.state(1)), (State::Down, State::Down));
    let used = world.active()[0].index();
    world.wires[used].dead = true;
    world.run(S(5));
    assert_ne!(world.active()[0].index(), used, "the other one lets something through");
}

#[test]
fn a_standby_that_went_down_is_asked_at_once() {
    let mut world = World::new(Profile::radio());
    world.run(S(60));
    world.wires[1].dead = true;
    while world.state(1) != State::Down {
        world.run(S(1));
    }
    world.wires[1].dead = false;
    world.run(S(3));
    assert_eq!(world.state(1), State::Probation, "not in thirty seconds");
}

#[test]
fn a_degraded_standby_recovers_although_it_is_asked_twice_a_minute() {
    let mut world = World::new(Profile::radio());
    world.run(S(60));
    world.wires[1].rtt = MS(900);
    world.run(S(1_800));
    assert_eq!(world.state(1), State::Degraded);
    world.wires[1].rtt = MS(50);
    world.run(S(600));
    assert_eq!(world.state(1), State::Up);
}

#[test]
fn an_echo_from_another_target_of_ours_is_no_answer() {
    let now = Instant::ORIGIN + S(1_000);
    let mut engine = Engine::new(two_lines(Profile::standard()), 1, &[], now);
    for event in local_facts(0) {
        engine.handle(event, now);
    }
    engine.poll(now);
    let asked = std::iter::from_fn(|| engine.next_action());
    let probes = asked.filter_map(|action| if let Action::Probe(request) = action { Some(request) } else { None });
    let request = probes.last().expect("a probe");
    engine.handle(Event::ProbeSent { probe: request.probe, at: now, bytes: 84 }, now);
    let reply = |last: u8| Event::EchoReply {
        uplink: UplinkId(0),
        family: Family::V4,
        from: std::net::Ipv4Addr::new(192, 0, 2, last).into(),
        sequence: request.probe.wire_sequence(),
        cookie: request.cookie,
        received: now + MS(20),
    };
    let asked = request.probe.target.0 + 1;
    engine.handle(reply(1 + asked % 3), now + MS(20));
    assert_eq!(engine.line(UplinkId(0), Family::V4).expect("line").last_life(), None);
    engine.handle(reply(asked), now + MS(20));
    assert_eq!(engine.line(UplinkId(0), Family::V4).expect("line").last_life(), Some(now + MS(20)));
    let error = Event::ProbeAnswered { probe: request.probe, answer: Answer::Unreachable, received: now };
    engine.handle(error, now + MS(20));
}

#[test]
fn hours_of_loss_and_a_dead_target_move_nobody_on_a_fast_line() {
    let mut world = World::new(Profile::fast());
    world.wires[0].rtt = MS(8);
    world.run(S(10));
    world.wires.iter_mut().for_each(|wire| wire.dead_targets = vec![2]);
    world.wires[0].loss = 0.0975;
    world.wires[1].loss = 0.0975;
    world.run(S(2 * 3_600));
    assert_eq!(world.switches().len(), 1, "{:?}", world.switches());
}

#[test]
fn counters_of_a_line_that_another_family_uses_are_no_evidence() {
    let mut world = World::new(Profile::standard());
    world.run(S(30));
    let (standby, now) = (UplinkId(1), world.now);
    let life = |world: &World| world.engine.line(standby, Family::V4).expect("line").last_life();
    let before = life(&world);
    for n in 0..10 {
        let (received, sent) = (n * 100, n * 100);
        let counters = Event::Counters { uplink: standby, received, sent, received_bytes: 0, sent_bytes: 0 };
        world.engine.handle(counters, now);
    }
    assert_eq!(life(&world), before);
}

#[test]
fn a_line_without_tcp_returns_with_the_first_connection_although_the_page_is_gone() {
    let mut config = two_lines(Profile::standard());
    let host = |n| Host::Address(std::net::Ipv4Addr::new(192, 0, 2, n).into());
    let page = HttpUrl { tls: false, host: host(4), port: 80, path: "/".to_owned() };
    let (page, tcp) = (Check::Http { url: page, status: 200, contains: None }, Check::Tcp { host: host(6), port: 443 });
    for uplink in &mut config.uplinks {
        uplink.targets.extend([&page, &tcp].map(|check| Target { family: Family::V4, check: check.clone() }));
    }
    let mut now = Instant::ORIGIN + S(1_000);
    let mut engine = Engine::new(config, 1, &[], now);
    for event in local_facts(0).into_iter().chain(local_facts(1)) {
        engine.handle(event, now);
    }
    let mut run = |engine: &mut Engine, time: Duration, tcp: Answer, page: Option<Answer>| {
        let end = now + time;
        while now < end {
            now = engine.deadline().max(now + MS(1));
            engine.poll(now);
            let asked: Vec<_> = std::iter::from_fn(|| engine.next_action()).collect();
            for action in asked {
                let Action::Probe(ProbeRequest { probe, cookie, .. }) = action else { continue };
                let (uplink, family, received) = (probe.uplink, probe.family, now);
                engine.handle(Event::ProbeSent { probe, at: now, bytes: 84 }, now);
                let answer = match probe.target.0 {
                    3 | 4 if uplink == UplinkId(1) => Some(Answer::Reply),
                    3 => page,
                    4 => Some(tcp),
                    n => {
                        let (from, sequence) =
                            (std::net::Ipv4Addr::new(192, 0, 2, n + 1).into(), probe.wire_sequence());
                        engine.handle(Event::EchoReply { uplink, family, from, sequence, cookie, received }, now);
                        None
                    }
                };
                if let Some(answer) = answer {
                    engine.handle(Event::ProbeAnswered { probe, answer, received }, now);
                }
            }
        }
        let line = engine.line(UplinkId(0), Family::V4).expect("line");
        (line.state(), line.cause())
    };
    assert_eq!(run(&mut engine, S(30), Answer::Reply, Some(Answer::Reply)).0, State::Up);
    assert_eq!(run(&mut engine, S(300), Answer::Refused, None), (State::Down, Some(Cause::Tcp)));
    // Now nobody can tell that it is only the page's server.
    engine.handle(Event::Link { uplink: UplinkId(1), link: Link::NoCarrier }, engine.last_turn);
    assert_eq!(run(&mut engine, S(15), Answer::Reply, None).0, State::Probation);
}

#[test]
fn probes_that_waited_for_the_gateway_to_be_found_again_do_not_make_a_line_slow() {
    let mut world = World::new(Profile::fast());
    world.run(S(30));
    world.wires[0].dead = true;
    world.run(S(5));
    assert_eq!(world.state(0), State::Down);
    // The kernel keeps a few packets and sends them all when the gateway's address is known.
    world.wires[0].dead = false;
    world.wires[0].rtt = MS(700);
    world.run(MS(350));
    world.wires[0].rtt = MS(350);
    world.run(MS(350));
    world.wires[0].rtt = MS(4);
    world.run(S(11));
    assert_eq!(world.state(0), State::Up);
}

#[test]
fn half_a_minute_of_a_full_queue_moves_nobody_on_a_fast_line() {
    let mut world = World::new(Profile::fast());
    for wire in &mut world.wires {
        wire.rtt = MS(16);
    }
    world.run(S(30));
    for _ in 0..5 {
        world.wires[0].rtt = MS(160);
        world.run(S(30));
        world.wires[0].rtt = MS(16);
        world.run(S(60));
    }
    assert_eq!(world.switches().len(), 1, "{:?}", world.switches());
}
