//! A branch on virtual time: the engine under test, its lines, the kernel it programs and the process it runs in.
//! Everything that happens is a step of the [`Plan`] or follows from one; [`World::run`] plays it to the end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::check::{Check, Violation};
use super::kernel::Kernel;
use super::meter::Meter;
use super::mutants::{Planted, Twist};
use super::process::Process;
use super::queue::{Item, Queue};
use super::random::Random;
use super::recording::Recording;
use super::script::Plan;
use super::wire::{Checks, Condition, Wire};
use crate::config::model::{Check as Asks, Family, Gateway, Host, PathId, UplinkId};
use crate::engine::Engine;
use crate::engine::action::Action;
use crate::engine::event::{Event, Gateway as Hop, Link, Unsent};
use crate::engine::record::Entry;
use crate::probe::{Answer, Cookie, ProbeId, ProbeRequest, Wrong};
use crate::time::Instant;

/// What the checker may look at; a macro, so that the checker itself can be borrowed beside it.
macro_rules! scene {
    ($world:ident) => {
        crate::lab::sim::check::Scene {
            now: $world.now,
            config: &$world.plan.config,
            engine: &$world.engine,
            wires: &$world.wires,
            kernel: &$world.kernel,
            hosts: &$world.hosts,
            noise: &$world.noise,
            traffic: $world.traffic,
            process: &$world.process,
        }
    };
}
pub(super) use scene;

/// From a change in the kernel to its message.
const TOLD: Duration = Duration::from_millis(1);
/// A planted bug runs missed timers of at most so long one by one.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Settings of one target that the world needs at hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub host: u8,
    pub kind: Service,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Echo,
    Tcp,
    Dns,
    Page,
}

/// What a line has at its near end, for one family.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Near {
    /// Counts up with each new address.
    pub address: u8,
    pub gateway: u8,
    /// Sockets still have the old address.
    pub rebinding: Instant,
}

pub(super) struct World {
    pub now: Instant,
    pub(super) plan: Plan,
    pub(super) cursor: usize,
    /// When the step at the cursor is due.
    step_due: Instant,
    pub(super) engine: Engine,
    pub(super) wires: Vec<[Wire; 2]>,
    pub(super) near: Vec<[Near; 2]>,
    pub(super) targets: Vec<Vec<Asked>>,
    /// What part of the questions each host answers.
    pub(super) hosts: [f64; 32],
    pub(super) queue: Queue,
    pub(super) meters: Vec<Meter>,
    pub(super) traffic: f64,
    pub(super) noise: Vec<f64>,
    pub(super) process: Process,
    pub(super) kernel: Kernel,
    pub(super) clock: u64,
    pub(super) last_probe: Vec<[Option<(ProbeId, Cookie)>; 2]>,
    pub(super) random: Random,
    pub(super) check: Check,
    pub(super) planted: Option<Planted>,
    pub(super) recording: Option<Recording>,
    /// The engine's deadline after the last turn.
    engine_due: Instant,
    hash: u64,
    pub events: u64,
    pub probes: u64,
    pub switches: u64,
}

impl World {
    pub(super) fn new(plan: Plan, planted: Option<Planted>, record: bool) -> Self {
        let mut random = Random::new(plan.seed ^ 0x57_6f72_6c64);
        let now = plan.start;
        let config = &plan.config;
        let count = config.uplinks.len();
        let targets = config.uplinks.iter().map(|uplink| uplink.targets.iter().map(asked).collect()).collect();
        let wires = config.uplinks.iter().map(|uplink| {
            Family::BOTH.map(|family| {
                let has = |kind: fn(&Asks) -> bool| {
                    uplink.targets.iter().any(|target| target.family == family && kind(&target.check))
                };
                let checks = Checks {
                    page: has(|check| matches!(check, Asks::Http { .. })),
                    dns: has(|check| matches!(check, Asks::Dns { .. })),
                    tcp: has(|check| matches!(check, Asks::Tcp { .. })),
                };
                Wire::new(uplink.medium, checks, &mut random, now)
            })
        });
        let wires: Vec<[Wire; 2]> = wires.collect();
        let mut given = config.clone();
        let mut seed = plan.seed;
        if let Some(planted) = &planted {
            planted.alter_config(&mut given);
            seed = planted.seed(seed);
        }
        let mut world = Self {
            now,
            cursor: 0,
            step_due: plan.steps.first().map_or(Instant::NEVER, |step| step.at),
            engine: Engine::new(given.clone(), seed, &[], now),
            wires,
            near: vec![[Near::default(); 2]; count],
            targets,
            hosts: [1.0; 32],
            queue: Queue::default(),
            meters: vec![Meter::new(now); count],
            traffic: 0.0,
            noise: vec![0.0; count],
            process: Process::default(),
            kernel: Kernel::new(config),
            clock: random.below(1_440),
            last_probe: vec![[None; 2]; count],
            random,
            check: Check::new(config, now, plan.healed),
            planted,
            recording: record.then(Recording::default),
            engine_due: now,
            hash: plan.seed,
            events: 0,
            probes: 0,
            switches: 0,
            plan,
        };
        world.check.deaf = world.planted.as_ref().is_some_and(Planted::keeps_facts);
        world.begin(given, seed, Vec::new());
        world.queue.push(now + Duration::from_secs(60), Item::Minute);
        world
    }

    /// Differs as soon as anything that happened differs.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn take_recording(&mut self) -> Recording {
        self.recording.take().unwrap_or_default()
    }

    /// Plays until `end`, or until a rule is broken.
    pub(super) fn run(&mut self, end: Instant) -> Result<(), Violation> {
        loop {
            let (next, reading) = self.next_at();
            if next > end {
                self.now = self.now.max(end);
                return Ok(());
            }
            self.now = next.max(self.now);
            self.turn(reading);
            if self.check.is_broken()
                && let Some(violation) = self.check.take()
            {
                return Err(violation);
            }
        }
    }

    pub(super) fn is_converged(&self) -> bool {
        self.check.converged(&scene!(self))
    }

    pub(super) fn does_not_heal(&mut self) -> Violation {
        self.check.heals(&scene!(self));
        self.check.take().expect("just told")
    }

    pub(super) fn failovers(&self) -> u64 {
        self.check.failovers
    }

    pub(super) fn verdicts(&self) -> u64 {
        self.check.verdicts
    }

    fn next_at(&self) -> (Instant, Instant) {
        let reading = self.meters.iter().map(Meter::next_at).min().unwrap_or(Instant::NEVER);
        let own = self.engine_due.min(reading);
        let own = if self.process.is_alive() { self.process.runs_at(own.max(self.now)) } else { Instant::NEVER };
        (own.min(self.step_due).min(self.queue.next_at()).min(self.check.due()), reading)
    }

    /// `reading`: when the first counter is due; what a turn does makes none due at once.
    fn turn(&mut self, reading: Instant) {
        while self.step_due <= self.now {
            let change = self.plan.steps[self.cursor].change.clone();
            self.cursor += 1;
            self.step_due = self.plan.steps.get(self.cursor).map_or(Instant::NEVER, |step| step.at);
            self.apply(change);
        }
        let runs = self.process.is_alive() && self.process.runs_at(self.now) <= self.now;
        if runs && self.process.take_poll_first() {
            self.poll();
        }
        while let Some(item) = self.queue.pop_due(self.now) {
            self.deliver(item);
        }
        let runs = self.process.is_alive() && self.process.runs_at(self.now) <= self.now;
        if runs && reading <= self.now {
            self.read_meters();
        }
        let mut due = self.engine.deadline();
        if runs && self.engine_due.min(due) <= self.now {
            self.poll();
            due = self.engine.deadline();
        }
        self.engine_due = due;
        self.check.bounds(&self.engine, self.now);
        if self.check.due() <= self.now {
            self.recheck();
        }
    }

    /// Our process starts: an engine that adopts what the kernel holds, and a first dump of the kernel.
    pub(super) fn begin(
        &mut self,
        config: Gateway,
        seed: u64,
        adopted: Vec<(PathId, Family, crate::policy::Selection)>,
    ) {
        self.engine = Engine::new(config.clone(), seed, &adopted, self.now);
        if let Some(recording) = self.recording.as_mut() {
            recording.push(self.now, || Entry::Start { config: Box::new(config), seed, adopted, now: self.now });
        }
        for uplink in self.plan.config.uplink_ids() {
            self.meters[uplink.index()].watch(None, self.now);
            self.tell(uplink);
        }
        self.drain();
    }

    // --- what reaches the engine

    pub(super) fn feed(&mut self, event: Event) {
        let Some(planted) = self.planted.as_mut() else { return self.hand_over(event) };
        match planted.event(event, &self.last_probe) {
            Twist::Drop => {}
            Twist::Pass(event) => self.hand_over(event),
            Twist::Also(event, second) => {
                self.hand_over(second);
                self.hand_over(event);
            }
        }
    }

    fn hand_over(&mut self, event: Event) {
        self.events += 1;
        self.mix(digest(&event));
        if let Some(recording) = self.recording.as_mut() {
            recording.push(self.now, || Entry::Event { event: event.clone(), now: self.now });
        }
        let now = self.engine_time();
        self.engine.handle(event, now);
    }

    fn engine_time(&self) -> Instant {
        self.planted.as_ref().map_or(self.now, |planted| planted.time(self.now))
    }

    fn poll(&mut self) {
        let now = self.engine_time();
        if self.planted.as_ref().is_some_and(Planted::catches_up) {
            while self.engine.deadline() < now {
                self.now = self.engine.deadline().max(self.now - CATCH_UP);
                self.engine.poll(self.now);
                self.drain();
            }
            self.now = now;
        }
        if let Some(recording) = self.recording.as_mut() {
            recording.push(self.now, || Entry::Poll { now });
        }
        self.engine.poll(now);
        self.drain();
    }

    fn read_meters(&mut self) {
        for index in 0..self.meters.len() {
            if self.meters[index].next_at() > self.now {
                continue;
            }
            if let Some((received, sent)) = self.meters[index].read(self.now) {
                let uplink = UplinkId(u8::try_from(index).unwrap_or(u8::MAX));
                self.feed(Event::Counters { uplink, received, sent, received_bytes: 0, sent_bytes: 0 });
                self.drain();
            }
        }
    }

    fn deliver(&mut self, item: Item) {
        let runs = self.process.runs_at(self.now);
        if let Item::Echo { probe, received, .. } | Item::Answer { probe, received, .. } = &item
            && *received == self.now
        {
            let wire = &mut self.wires[probe.uplink.index()][probe.family.index()];
            let lies = self.planted.as_ref().is_some_and(Planted::answers_for_the_dead);
            if !lies && !wire.passes_in(&mut self.random, self.now) || self.process.loses_at(self.now) {
                return;
            }
            self.meters[probe.uplink.index()].add_received(self.now);
        }
        let ours = !matches!(item, Item::Apply | Item::Start | Item::Minute);
        if ours && (!self.process.is_alive() || runs > self.now) {
            // It waits in a socket, or is gone with the process that held the socket.
            if self.process.is_alive() {
                self.queue.push(runs, item);
            }
            return;
        }
        match item {
            Item::Echo { probe, cookie, from, received } => {
                let (uplink, family) = (probe.uplink, probe.family);
                let sequence = probe.wire_sequence();
                let from = host(family, from);
                self.feed(Event::EchoReply { uplink, family, from, sequence, cookie, received });
            }
            Item::Answer { probe, answer, received } => {
                self.feed(Event::ProbeAnswered { probe, answer, received });
            }
            Item::Told { uplink } => self.tell(uplink),
            Item::Apply => self.apply_switch(),
            Item::Applied { life, path, family, serial, asked } if life == self.process.life => {
                self.feed(Event::Switched { path, family, serial, took: self.now.since(asked) });
            }
            Item::Refused { life, path, family, serial } if life == self.process.life => {
                self.feed(Event::SwitchFailed { path, family, serial });
            }
            Item::Applied { .. } | Item::Refused { .. } => {}
            Item::Minute => {
                self.queue.push(self.now + Duration::from_secs(60), Item::Minute);
                self.clock = (self.clock + 1) % 1_440;
                self.tell_time(false);
            }
            Item::Start => self.restart(),
        }
        self.drain();
    }

    /// A minute of the wall clock, or a jump of it.
    pub(super) fn tell_time(&mut self, jump: bool) {
        if !self.process.is_alive() || self.process.runs_at(self.now) > self.now {
            return;
        }
        let minute = u16::try_from(self.clock).unwrap_or(0);
        self.check.clock = jump.then_some(minute);
        self.feed(Event::LocalTime { minute });
        self.drain();
        self.check.clock = None;
    }

    /// The kernel's state of this uplink, as a message or a dump tells it.
    fn tell(&mut self, uplink: UplinkId) {
        let carrier = Family::BOTH.iter().all(|family| {
            !self.plan.config.uplink(uplink).has(*family) || self.wires[uplink.index()][family.index()].has_carrier()
        });
        self.feed(Event::Link { uplink, link: if carrier { Link::Up } else { Link::NoCarrier } });
        for family in Family::BOTH {
            if !self.plan.config.uplink(uplink).has(family) {
                continue;
            }
            let near = self.near[uplink.index()][family.index()];
            let condition = self.wires[uplink.index()][family.index()].condition;
            let address = (condition != Condition::NoAddress).then(|| own_address(uplink, family, near.address));
            self.feed(Event::Address { uplink, family, address });
            let gateway =
                (condition != Condition::NoGateway).then(|| Hop::Via(own_address(uplink, family, 100 + near.gateway)));
            self.feed(Event::Gateway { uplink, family, gateway });
        }
    }

    pub(super) fn tell_soon(&mut self, uplink: UplinkId) {
        if self.now < self.process.deaf_until && self.planted.as_ref().is_some_and(Planted::forgets_messages) {
            return;
        }
        let at = (self.now + TOLD).max(self.process.deaf_until);
        self.queue.push(at, Item::Told { uplink });
    }

    // --- what the engine asks for

    pub(super) fn drain(&mut self) {
        let keeps_facts = self.planted.as_ref().is_some_and(Planted::keeps_facts);
        loop {
            let mut idle = true;
            while !keeps_facts && let Some((at, fact)) = self.engine.next_fact() {
                idle = false;
                self.hash = mix(self.hash, at.nanos() ^ fact_digest(&fact));
                self.check.fact(&fact, &scene!(self));
                let twist = self.planted.as_mut().and_then(|planted| planted.fact(&fact));
                if let Some(action) = twist {
                    self.carry_out(action);
                }
            }
            while let Some(action) = self.engine.next_action() {
                idle = false;
                self.carry_out(action);
            }
            if idle {
                break;
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        let actions = match self.planted.as_mut() {
            None => return self.carry_out_one(action),
            Some(planted) => planted.action(action, &self.kernel),
        };
        for action in actions {
            self.carry_out_one(action);
        }
    }

    fn carry_out_one(&mut self, action: Action) {
        match action {
            Action::Probe(request) => self.send(request),
            Action::Switch(switch) => {
                self.switches += 1;
                self.check.switch(&switch, &scene!(self));
                self.ask_kernel(*switch);
                self.recheck();
            }
            Action::EndFlows { uplink, family, path } => {
                self.check.end_flows(uplink, family, path, &scene!(self));
            }
            Action::WatchCounters { uplink, every } => self.meters[uplink.index()].watch(every, self.now),
        }
    }

    fn send(&mut self, request: ProbeRequest) {
        let probe = request.probe;
        let (uplink, family) = (probe.uplink.index(), probe.family.index());
        self.probes += 1;
        self.last_probe[uplink][family] = Some((probe, request.cookie));
        if self
            .planted
            .as_ref()
            .is_some_and(|planted| planted.loses(probe.uplink, probe.family, self.near[uplink][family].address > 0))
        {
            self.feed(Event::ProbeSent { probe, at: self.now, bytes: 84 });
            return;
        }
        if self.near[uplink][family].rebinding > self.now {
            self.feed(Event::ProbeUnsent { probe, reason: Unsent::Socket });
            return;
        }
        self.feed(Event::ProbeSent { probe, at: self.now, bytes: 84 });
        self.meters[uplink].add_sent(self.now);
        let way = self.planted.as_ref().map_or(uplink, |planted| planted.way(uplink, probe.family, &self.kernel));
        let wire = &mut self.wires[way][family];
        let Some(asked) = self.targets[uplink].get(probe.target.index()).copied() else { return };
        let answers = self.hosts[usize::from(asked.host)];
        let answered = answers >= 1.0 || self.random.chance(answers);
        let passes = wire.passes_out(&mut self.random, self.now);
        let lies = self.planted.as_ref().is_some_and(Planted::answers_for_the_dead) && wire.is_local();
        let portal = asked.kind == Service::Page && wire.condition == Condition::Portal;
        if !lies && (!passes || (!answered && !portal)) {
            return;
        }
        let rtt = wire.rtt(&mut self.random);
        let condition = wire.condition;
        let received = self.now + if asked.kind == Service::Page { rtt * 3 } else { rtt };
        let answer = match (asked.kind, condition) {
            (Service::Echo, _) => {
                self.queue.push(received, Item::Echo { probe, cookie: request.cookie, from: asked.host, received });
                return;
            }
            (Service::Page, Condition::Portal) => Answer::Wrong(Wrong::Portal),
            (Service::Dns, Condition::NoDns { hijacked: true }) => Answer::Wrong(Wrong::Dns),
            (Service::Dns, Condition::NoDns { hijacked: false }) => return,
            (Service::Tcp, Condition::NoTcp) => Answer::Refused,
            (Service::Tcp | Service::Dns | Service::Page, _) => Answer::Reply,
        };
        self.queue.push(received, Item::Answer { probe, answer, received });
    }

    // --- bookkeeping

    pub(super) fn recheck(&mut self) {
        self.check.recheck(&scene!(self));
    }

    fn mix(&mut self, value: u64) {
        self.hash = mix(self.hash, value ^ self.now.nanos());
    }
}

fn mix(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95)
}

fn digest(event: &Event) -> u64 {
    match event {
        Event::EchoReply { uplink, sequence, cookie, .. } => {
            u64::from(uplink.0)
                ^ u64::from(*sequence) << 8
                ^ u64::from(cookie.0[0]) << 32
                ^ u64::from(cookie.0[7]) << 40
        }
        Event::ProbeSent { probe, .. } | Event::ProbeUnsent { probe, .. } | Event::ProbeAnswered { probe, .. } => {
            u64::from(probe.sequence) << 16 ^ u64::from(probe.uplink.0) ^ u64::from(probe.target.0) << 8
        }
        Event::Counters { uplink, received, sent, .. } => u64::from(uplink.0) ^ received << 8 ^ sent << 36,
        Event::Link { uplink, .. }
        | Event::Address { uplink, .. }
        | Event::Gateway { uplink, .. }
        | Event::Neighbour { uplink, .. }
        | Event::Usage { uplink, .. } => u64::from(uplink.0) << 3,
        Event::Switched { serial, .. } | Event::SwitchFailed { serial, .. } => serial << 4,
        Event::LocalTime { minute } => u64::from(*minute),
        Event::Command { .. } => 1,
    }
}

fn fact_digest(fact: &crate::engine::action::Fact) -> u64 {
    use crate::engine::action::Fact;
    match fact {
        Fact::ProbeSettled { uplink, target, outcome } => {
            u64::from(uplink.0) ^ u64::from(target.0) << 8 ^ (outcome.index() as u64) << 16
        }
        Fact::Transition { uplink, to, .. } => u64::from(uplink.0) << 24 ^ (*to as u64) << 32,
        Fact::Switch(switch) => switch.serial << 20 ^ switch.to.0.len() as u64,
        Fact::Suspicion { confirmed, .. } => 2 + u64::from(*confirmed),
        Fact::Switched { .. }
        | Fact::SwitchFailed { .. }
        | Fact::NotSwitched { .. }
        | Fact::OutageOpened { .. }
        | Fact::OutageClosed { .. }
        | Fact::TargetSuspect { .. }
        | Fact::Locked { .. }
        | Fact::Preferred { .. }
        | Fact::Drill { .. }
        | Fact::Stalled { .. }
        | Fact::Budget { .. } => 5,
    }
}

/// The host of a target, by its number.
pub(super) fn host(family: Family, number: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(192, 0, 2, number).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number)).into(),
    }
}

fn own_address(uplink: UplinkId, family: Family, number: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(203, 0, 113, uplink.0 * 8 + number % 8).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0xff, u16::from(uplink.0), 0, 0, 0, u16::from(number)).into(),
    }
}

fn asked(target: &crate::config::model::Target) -> Asked {
    let number = |host: &Host| match host {
        Host::Address(IpAddr::V4(address)) => address.octets()[3],
        Host::Address(IpAddr::V6(address)) => address.octets()[15],
        Host::Name(_) => 0,
    };
    match &target.check {
        Asks::Icmp { host } => Asked { host: number(host), kind: Service::Echo },
        Asks::Tcp { host, .. } => Asked { host: number(host), kind: Service::Tcp },
        Asks::Dns { server, .. } => Asked { host: number(&Host::Address(server.ip())), kind: Service::Dns },
        Asks::Http { url, .. } => Asked { host: number(&url.host), kind: Service::Page },
    }
}
