//! The engine against a tiny world on virtual time: lines with a round-trip time and switches for what breaks.

mod reconfigure;
mod regression;

use std::collections::BinaryHeap;
use std::time::Duration;

use super::action::{Action, DrillStep, Fact};
use super::event::{Command, Event};
use super::*;
use crate::config::model::*;
use crate::health::local::{Gateway as Hop, Link};
use crate::health::{Cause, Verdict};
use crate::policy::Reason;

const MS: fn(u64) -> Duration = Duration::from_millis;
const S: fn(u64) -> Duration = Duration::from_secs;

pub(crate) fn two_lines(profile: Profile) -> Gateway {
    let name = |text: &str| Name::new(text).expect("a name");
    let device = |text: &str| LinkName::new(text).expect("a device");
    let target = |n: u8| Target {
        family: Family::V4,
        check: Check::Icmp { host: Host::Address(std::net::Ipv4Addr::new(192, 0, 2, n).into()) },
    };
    let uplink = |n: &str, d: &str| Uplink {
        name: name(n),
        device: device(d),
        medium: Medium::Cable,
        provider: None,
        circuit: None,
        metered: None,
        weight: 1,
        ipv4: Ipv4Mode::Dhcp,
        ipv6: Ipv6Mode::Off,
        profile: profile.clone(),
        targets: vec![target(1), target(2), target(3)],
        enabled: true,
    };
    Gateway {
        site: Site { name: "Test".to_owned(), owner: None },
        slots: Slots::default(),
        uplinks: vec![uplink("a", "wan0"), uplink("b", "wan1")],
        paths: vec![Path {
            name: name("default"),
            matches: Vec::new(),
            tiers: vec![vec![UplinkId(0)], vec![UplinkId(1)]],
            failback: Failback { when: FailbackWhen::After(S(60)), flows: FailbackFlows::Drain { at_most: None } },
            otherwise: Otherwise::Keep,
            min_hold: Path::MIN_HOLD,
        }],
        networks: Vec::new(),
        firewall: Firewall::default(),
        control: Control { group: None },
        telemetry: Telemetry {
            metrics_on: Vec::new(),
            metrics_port: Telemetry::METRICS_PORT,
            status_page_on: Vec::new(),
        },
    }
}

#[derive(Clone)]
struct Wire {
    rtt: Duration,
    /// Of each probe, there and back.
    loss: f64,
    dead: bool,
    dead_targets: Vec<u8>,
    /// Packets a second of forwarded traffic.
    traffic: u64,
}

struct World {
    engine: Engine,
    now: Instant,
    wires: Vec<Wire>,
    replies: BinaryHeap<std::cmp::Reverse<(Instant, u64, usize)>>,
    waiting: Vec<Option<Event>>,
    counters: Vec<(u64, u64, Instant, Option<Duration>)>,
    random: u64,
    facts: Vec<(Instant, Fact)>,
    probes: u64,
}

impl World {
    fn new(profile: Profile) -> Self {
        let now = Instant::ORIGIN + S(1_000);
        let engine = Engine::new(two_lines(profile), 42, &[], now);
        let wire = Wire { rtt: MS(20), loss: 0.0, dead: false, dead_targets: Vec::new(), traffic: 0 };
        let mut world = Self {
            engine,
            now,
            wires: vec![wire.clone(), wire],
            replies: BinaryHeap::new(),
            waiting: Vec::new(),
            counters: vec![(0, 0, now, None); 2],
            random: 1,
            facts: Vec::new(),
            probes: 0,
        };
        world.tell_local_facts();
        world
    }

    fn tell_local_facts(&mut self) {
        for uplink in [UplinkId(0), UplinkId(1)] {
            let hop = std::net::Ipv4Addr::new(203, 0, 113, 1).into();
            let address = std::net::Ipv4Addr::new(203, 0, 113, 2).into();
            for event in [
                Event::Link { uplink, link: Link::Up },
                Event::Address { uplink, family: Family::V4, address: Some(address) },
                Event::Gateway { uplink, family: Family::V4, gateway: Some(Hop::Via(hop)) },
            ] {
                self.engine.handle(event, self.now);
            }
        }
        self.drain();
    }

    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }

    fn drain(&mut self) {
        while let Some(action) = self.engine.next_action() {
            match action {
                Action::Probe(request) => {
                    self.probes += 1;
                    let probe = request.probe;
                    self.engine.handle(Event::ProbeSent { probe, at: self.now, bytes: 84 }, self.now);
                    self.counters[probe.uplink.index()].1 += 1;
                    let wire = self.wires[probe.uplink.index()].clone();
                    let lost = self.draw() < wire.loss;
                    if wire.dead || lost || wire.dead_targets.contains(&(probe.target.0 + 1)) {
                        continue;
                    }
                    let received = self.now + wire.rtt;
                    let reply = Event::EchoReply {
                        uplink: probe.uplink,
                        family: probe.family,
                        from: std::net::Ipv4Addr::new(192, 0, 2, probe.target.0 + 1).into(),
                        sequence: probe.wire_sequence(),
                        cookie: request.cookie,
                        received,
                    };
                    self.waiting.push(Some(reply));
                    self.replies.push(std::cmp::Reverse((received, self.probes, self.waiting.len() - 1)));
                }
                Action::Switch(switch) => {
                    let Switch { path, family, serial, .. } = *switch;
                    self.engine.handle(Event::Switched { path, family, serial, took: MS(1) }, self.now);
                }
                Action::WatchCounters { uplink, every } => {
                    let slot = &mut self.counters[uplink.index()];
                    slot.3 = every;
                    slot.2 = self.now;
                }
                Action::EndFlows { .. } => {}
            }
        }
        while let Some(fact) = self.engine.next_fact() {
            self.facts.push(fact);
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let reply = self.replies.peek().map_or(Instant::NEVER, |next| next.0.0);
            let counters = self.counters.iter().filter_map(|c| c.3.map(|every| c.2 + every)).min();
            let next = self.engine.deadline().min(reply).min(counters.unwrap_or(Instant::NEVER)).max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            while self.replies.peek().is_some_and(|next| next.0.0 <= self.now) {
                let index = self.replies.pop().expect("peeked").0.2;
                let event = self.waiting[index].take().expect("used once");
                if let Event::EchoReply { uplink, .. } = &event {
                    self.counters[uplink.index()].0 += 1;
                }
                self.engine.handle(event, self.now);
            }
            for n in 0..2u8 {
                let wire = self.wires[usize::from(n)].clone();
                let (_, _, last, every) = self.counters[usize::from(n)];
                if let Some(every) = every
                    && last + every <= self.now
                {
                    let packets = (wire.traffic * u64::try_from(every.as_millis()).expect("small")) / 1_000;
                    let back = (0..packets).filter(|_| self.draw() >= wire.loss && !wire.dead).count();
                    let slot = &mut self.counters[usize::from(n)];
                    slot.1 += packets;
                    slot.0 += u64::try_from(back).expect("small");
                    slot.2 = self.now;
                    let (received, sent) = (slot.0, slot.1);
                    let counters =
                        Event::Counters { uplink: UplinkId(n), received, sent, received_bytes: 0, sent_bytes: 0 };
                    self.engine.handle(counters, self.now);
                }
            }
            self.poll();
            self.drain();
        }
    }

    /// Whoever polls does not look for replies first unless told to, so nothing may be held against a line then.
    fn poll(&mut self) {
        let (judges, told) = (self.engine.judges_silence(self.now), self.engine.facts.len());
        self.engine.poll(self.now);
        let blame = |fact: &Fact| matches!(fact, Fact::Transition { to: State::Suspect | State::Down, .. });
        let blamed = self.engine.facts.iter().skip(told).any(|(_, fact)| blame(fact));
        assert!(judges || !blamed, "{:?}", self.engine.facts);
    }

    fn active(&self) -> Vec<UplinkId> {
        self.engine.path(PathId::DEFAULT, Family::V4).selection.uplinks().collect()
    }

    fn state(&self, uplink: u8) -> State {
        self.engine.line(UplinkId(uplink), Family::V4).expect("configured").state()
    }

    fn switches(&self) -> Vec<&Switch> {
        let switch = |(_, fact): &'_ (Instant, Fact)| matches!(fact, Fact::Switch(_));
        self.facts
            .iter()
            .filter(|fact| switch(fact))
            .filter_map(|(_, fact)| if let Fact::Switch(switch) = fact { Some(&**switch) } else { None })
            .collect()
    }
}

use super::action::Switch;

#[test]
fn a_start_is_up_within_a_second_and_uses_the_first_tier() {
    let mut world = World::new(Profile::standard());
    world.run(S(1));
    assert_eq!((world.state(0), world.state(1)), (State::Up, State::Up));
    assert_eq!(world.active(), [UplinkId(0)]);
}

#[test]
fn a_silent_outage_of_a_busy_line_is_left_in_time() {
    for (profile, rtt, limit) in [(Profile::standard(), 20, 500), (Profile::fast(), 4, 140)] {
        let mut world = World::new(profile);
        world.wires[0].traffic = 1_000;
        world.wires[0].rtt = MS(rtt);
        world.run(S(30));
        for _ in 0..5 {
            world.run(MS(37));
        }
        let outage = world.now;
        world.wires[0].dead = true;
        world.run(S(2));
        assert_eq!(world.active(), [UplinkId(1)]);
        let switch = world.switches().pop().expect("switched");
        assert_eq!(switch.reason, Reason::Down(Verdict::Silent));
        assert_eq!(switch.dead, [UplinkId(0)]);
        let took = switch.decided.since(outage);
        assert!(took <= MS(limit), "{took:?} of {limit} ms");
    }
}

#[test]
fn an_idle_line_adds_an_interval() {
    let mut world = World::new(Profile::standard());
    world.run(S(30));
    let outage = world.now;
    world.wires[0].dead = true;
    world.run(S(3));
    let took = world.switches().pop().expect("switched").decided.since(outage);
    assert!(took <= MS(1_500), "{took:?}");
}

#[test]
fn carrier_lost_is_left_at_once_and_failback_takes_its_time() {
    let mut world = World::new(Profile::standard());
    world.run(S(30));
    world.engine.handle(Event::Link { uplink: UplinkId(0), link: Link::NoCarrier }, world.now);
    world.drain();
    assert_eq!(world.active(), [UplinkId(1)]);
    let evidence = world.engine.line(UplinkId(0), Family::V4).expect("line").evidence().clone();
    assert_eq!((evidence.verdict, evidence.cause), (Some(Verdict::Local), Some(Cause::Cable)));
    world.run(S(10));
    world.engine.handle(Event::Link { uplink: UplinkId(0), link: Link::Up }, world.now);
    world.run(S(2));
    assert_eq!(world.state(0), State::Probation);
    world.run(S(85));
    assert_eq!((world.state(0), world.active()), (State::Up, vec![UplinkId(1)]));
    world.run(S(10));
    assert_eq!(world.active(), [UplinkId(0)], "30 s of probation, 60 s stable");
    assert_eq!(world.switches().pop().expect("failback").reason, Reason::Failback);
}

#[test]
fn a_brown_out_of_a_busy_line_is_left_before_the_next_sentence() {
    for (profile, rtt, median, worst) in [(Profile::standard(), 20, 1_200, 2_000), (Profile::fast(), 4, 400, 800)] {
        let took = |seed: u64| {
            let mut world = World::new(profile.clone());
            world.random = seed;
            world.wires[0].rtt = MS(rtt);
            world.wires[0].traffic = 150;
            world.run(S(20) + MS(seed * 618 % 1_000));
            let outage = world.now;
            world.wires[0].loss = 0.6;
            world.run(S(5));
            let switch = world.switches().into_iter().find(|switch| switch.decided >= outage).expect("switched");
            // Only a line that is down gives its flows away.
            assert_eq!((switch.reason, &switch.dead[..]), (Reason::Down(Verdict::Loss), &[UplinkId(0)][..]), "{seed}");
            switch.decided.since(outage)
        };
        let mut times: Vec<Duration> = (1..=60).map(took).collect();
        times.sort();
        assert!(times[30] <= MS(median) && times[59] <= MS(worst), "{:?} and {:?}", times[30], times[59]);
    }
}

#[test]
fn a_brown_out_moves_the_branch() {
    for (profile, limit) in [(Profile::standard(), 4_000), (Profile::fast(), 1_000)] {
        let mut world = World::new(profile);
        world.wires[0].traffic = 1_000;
        world.wires[0].rtt = MS(5);
        world.run(S(30));
        let outage = world.now;
        world.wires[0].loss = 0.6;
        world.run(S(5));
        assert_eq!(world.active(), [UplinkId(1)]);
        let switch = world.switches().pop().expect("switched");
        assert_eq!(switch.reason, Reason::Down(Verdict::Loss));
        let took = switch.decided.since(outage);
        assert!(took <= MS(limit), "{took:?}");
    }
}

#[test]
fn five_percent_loss_and_tenfold_latency_move_nobody() {
    for profile in [Profile::standard(), Profile::fast(), Profile::radio()] {
        let mut world = World::new(profile);
        world.wires[0].rtt = MS(10);
        world.run(S(60));
        world.wires[0].loss = 0.05;
        world.run(S(7_200));
        world.wires[0].rtt = MS(100);
        world.run(S(30));
        world.wires[0].rtt = MS(10);
        world.run(S(600));
        assert_eq!(world.switches().len(), 1, "only the start: {:?}", world.switches());
    }
}

#[test]
fn one_bad_target_moves_nobody_and_is_named() {
    let mut world = World::new(Profile::standard());
    world.run(S(30));
    world.wires[0].dead_targets = vec![2];
    world.wires[1].dead_targets = vec![2];
    world.run(S(120));
    assert_eq!(world.switches().len(), 1);
    let named =
        |(_, fact): &(Instant, Fact)| matches!(fact, Fact::TargetSuspect { target: TargetId(1), suspect: true, .. });
    assert_eq!(world.facts.iter().filter(|fact| named(fact)).count(), 2, "on both lines");
    world.wires[0].dead_targets.clear();
    world.run(S(20));
    assert!(!world.engine.line(UplinkId(0), Family::V4).expect("line").targets()[1].suspect);
}

#[test]
fn with_nowhere_to_go_nothing_is_touched_and_any_return_is_used() {
    let mut world = World::new(Profile::standard());
    world.run(S(30));
    world.wires[1].dead = true;
    world.run(S(5));
    world.wires[0].dead = true;
    world.run(S(60));
    assert_eq!((world.state(0), world.state(1)), (State::Down, State::Down));
    assert_eq!(world.active(), [UplinkId(0)]);
    assert_eq!(world.engine.path(PathId::DEFAULT, Family::V4).suppressed, Some(Suppressed::NoTarget));
    world.wires[1].dead = false;
    world.run(S(5));
    assert_eq!(world.active(), [UplinkId(1)], "probation is better than down");
}

#[test]
fn a_stopped_process_blames_nobody() {
    for profile in [Profile::standard(), Profile::fast()] {
        let mut world = World::new(profile);
        world.wires[0].traffic = 1_000;
        world.run(S(30));
        for stop in [1, 5, 60] {
            // Nothing of ours runs; the network does.
            world.now = world.now + S(stop);
            world.run(S(20));
        }
        assert_eq!(world.switches().len(), 1);
    }
}

#[test]
fn use_lock_and_drill_do_what_they_say() {
    let mut world = World::new(Profile::standard());
    world.run(S(30));
    let command = |world: &mut World, command: Command| {
        world.engine.handle(Event::Command { command, by: "anna".to_owned() }, world.now);
        world.drain();
    };
    command(&mut world, Command::Use { uplink: UplinkId(1), for_time: Some(S(600)) });
    assert_eq!(world.active(), [UplinkId(1)]);
    world.run(S(599));
    assert_eq!(world.active(), [UplinkId(1)]);
    world.run(S(5));
    assert_eq!(world.active(), [UplinkId(0)], "automatic again");
    command(&mut world, Command::Drill { uplink: UplinkId(1) });
    world.run(S(10));
    assert_eq!(world.active(), [UplinkId(1)]);
    world.run(S(30));
    assert_eq!(world.active(), [UplinkId(0)]);
    assert!(world.facts.iter().any(|(_, f)| matches!(f, Fact::Drill { step: DrillStep::Passed { .. }, .. })));
    command(&mut world, Command::Lock);
    world.wires[0].dead = true;
    world.run(S(5));
    assert_eq!(world.active(), [UplinkId(1)], "a lock does not keep anybody on a dead line");
}

#[test]
fn each_flap_asks_for_longer_proof() {
    let mut world = World::new(Profile::standard());
    world.run(S(30));
    let mut probations = Vec::new();
    for _ in 0..3 {
        world.wires[0].dead = true;
        world.run(S(5));
        world.wires[0].dead = false;
        let began = world.now;
        while world.state(0) != State::Up {
            world.run(MS(500));
        }
        probations.push(world.now.since(began).as_secs());
    }
    assert!(probations[1] >= 60 && probations[2] >= 120 && probations[0] < 40, "{probations:?}");
}
