//! A branch as the machine sees it: a kernel that does what it is told or not, uplinks that live or die, a disk that
//! takes records or refuses them. Everything follows from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use causeway::time::Instant;
use causeway::trust::bounded::Text;
use causeway::trust::digest::Digest;
use causeway::trust::document::{Seconds, Turn};
use causeway::trust::floors::BootId;
use causeway::trust::machine::{
    Advance, Applied, Candidate, Checked, Command, Conditions, Config, Defer, Disturbance, Event, Machine, Measurement,
    Moment, Office, Record, Save, Signs, StateName, Surroundings, Target, Timers, Transition,
};

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to choose what happens next.
#[derive(Clone)]
pub(super) struct Chance(pub u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % most
    }

    pub(super) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

pub(super) const FIBRE: &str = "fibre";
pub(super) const LTE: &str = "lte";
const ALL: Signs = Signs::PRESENT.with(Signs::PROOF).with(Signs::TARGETS).with(Signs::NEIGHBOUR).with(Signs::DNS);

/// Content number n under assignment number n. Content 0 of each ten cuts `lte` off.
pub(super) fn candidate(assigned: u64, content: u64) -> Candidate {
    let config = Config {
        assignment: Digest::of(format!("assignment {assigned}").as_bytes()),
        standard: Digest::of(format!("standard {content}").as_bytes()),
        site: Digest::of(b"site"),
        resolved: Digest::of(format!("content {content}").as_bytes()),
        assigned: Turn::new(1, assigned),
        released: Turn::new(1, content),
        created_at: Seconds::new(1_700_000_000 + content).expect("a time"),
    };
    Candidate { config, expedite: false, operator: false, timers: Timers::default() }
}

pub(super) fn boot(number: u8) -> BootId {
    BootId([number; 16])
}

pub(super) fn build() -> Seconds {
    Seconds::new(1_600_000_000).expect("a time")
}

/// What the world does with the branch.
#[derive(Clone)]
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) now: Instant,
    /// What a power cut leaves.
    pub(super) disk: Option<Record>,
    pub(super) disk_works: bool,
    /// In force in the kernel.
    pub(super) force: Target,
    pub(super) boots: u8,
    /// Contents that cut `lte` off.
    pub(super) bad: BTreeSet<Digest>,
    /// What is measured while a content is in force, where that is not as [`Self::bad`] and [`Self::dead`] say.
    pub(super) measures: BTreeMap<Digest, Measurement>,
    pub(super) dead: BTreeSet<&'static str>,
    pub(super) hold: bool,
    /// What the kernel answers to the next `Apply`s.
    pub(super) kernel: Vec<Applied>,
    /// Answers that are on their way.
    pub(super) pending: Vec<Event>,
    pub(super) transitions: Vec<Transition>,
    pub(super) defer: Defer,
}

impl World {
    pub(super) fn new() -> Self {
        let now = Instant::from_nanos(60_000_000_000);
        let advance = Machine::start(None, boot(1), build(), now);
        Self {
            machine: advance.machine,
            now,
            disk: None,
            disk_works: true,
            force: Target::Safe,
            boots: 1,
            bad: BTreeSet::new(),
            measures: BTreeMap::new(),
            dead: BTreeSet::new(),
            hold: false,
            kernel: Vec::new(),
            pending: Vec::new(),
            transitions: Vec::new(),
            defer: Defer::default(),
        }
    }

    pub(super) fn state(&self) -> StateName {
        self.machine.state().name()
    }

    /// One event, as the daemon's driver does it: the record first, then the commands.
    pub(super) fn event(&mut self, event: Event) {
        let advance = self.machine.clone().step(event, self.now);
        self.take(advance);
    }

    pub(super) fn take(&mut self, advance: Advance) {
        match (advance.save, self.disk_works) {
            (Some(_), true) => self.disk = Some(advance.machine.record(self.now)),
            (Some(Save::First), false) => {
                let after = self.machine.clone().step(Event::StoreFailed, self.now);
                assert_ne!(after.save, Some(Save::First), "a failed write must not ask for the disk");
                return self.adopt(after);
            }
            (Some(Save::Best) | None, _) => {}
        }
        self.adopt(advance);
    }

    /// What comes after the record: the machine in memory, and its commands.
    pub(super) fn adopt(&mut self, advance: Advance) {
        self.machine = advance.machine;
        self.transitions.extend(advance.transition);
        for command in advance.commands {
            self.carry_out(command);
        }
    }

    fn carry_out(&mut self, command: Command) {
        let answer = match command {
            Command::Check(candidate) => {
                let resolved = candidate.config.resolved;
                let empty = self.machine.boot_default() == Target::Config(candidate.config)
                    || self.machine.keep().good.is_some_and(|good| good.resolved == resolved);
                let checked =
                    Checked { empty, disturbance: Disturbance::Cut, timers: Timers::default(), defer: self.defer };
                Event::Checked(resolved, checked)
            }
            Command::Measure(moment) => Event::Measured(moment, self.measure()),
            Command::Announce(_) => Event::Announced,
            Command::Apply(target) => {
                let applied = self.kernel.pop().unwrap_or(Applied::Equal);
                if applied == Applied::Equal {
                    self.force = target;
                }
                Event::Applied(target, applied)
            }
        };
        self.pending.push(answer);
    }

    pub(super) fn measure(&self) -> Measurement {
        if let Target::Config(config) = self.force
            && let Some(measured) = self.measures.get(&config.resolved)
        {
            return measured.clone();
        }
        let cut = match self.force {
            Target::Config(config) => self.bad.contains(&config.resolved),
            Target::Safe => false,
        };
        let works = |name: &'static str| !(self.dead.contains(name) || cut && name == LTE);
        let signs = |name| if works(name) { ALL } else { Signs::PRESENT };
        let uplink = |name| (Text::new(name).expect("short"), signs(name));
        let office = match (works(FIBRE) || works(LTE), self.hold) {
            (false, _) => Office::Silent,
            (true, false) => Office::Answers,
            (true, true) => Office::Hold,
        };
        let checks = u16::from(works(FIBRE));
        Measurement { uplinks: vec![uplink(FIBRE), uplink(LTE)], around: Surroundings { checks, lan: true, office } }
    }

    /// The next answer, or else the next deadline.
    pub(super) fn turn(&mut self) {
        if self.pending.is_empty() {
            let due = self.machine.deadline().unwrap_or(self.now + Duration::from_mins(1));
            self.now = self.now.max(due);
            self.event(Event::Tick);
        } else {
            let answer = self.pending.remove(0);
            self.now = self.now + Duration::from_millis(700);
            self.event(answer);
        }
    }

    /// Until nothing is on its way and the machine rests, or the turns run out.
    pub(super) fn settle(&mut self, turns: usize) -> bool {
        for _ in 0..turns {
            if self.pending.is_empty() && self.is_home() {
                return true;
            }
            self.turn();
        }
        self.pending.is_empty() && self.is_home()
    }

    pub(super) fn is_home(&self) -> bool {
        match self.state() {
            StateName::Idle => self.machine.deadline().is_none(),
            StateName::Quarantine => true,
            StateName::Fetched
            | StateName::Ready
            | StateName::Applying
            | StateName::Trial
            | StateName::Soak
            | StateName::RollingBack
            | StateName::Override => false,
        }
    }

    pub(super) fn until(&mut self, state: StateName) {
        for _ in 0..400 {
            if self.state() == state {
                return;
            }
            self.turn();
        }
        panic!("never {state:?}, but {:?}", self.state());
    }

    /// The kernel forgets; the boot default comes up.
    pub(super) fn power_cut(&mut self) {
        self.boots = self.boots.wrapping_add(1);
        self.now = Instant::from_nanos(20_000_000_000);
        self.pending.clear();
        self.force = Target::from(self.disk.as_ref().and_then(|record| record.keep.good));
        self.restart();
    }

    /// Only the daemon died: the kernel has what it had.
    pub(super) fn restart(&mut self) {
        self.pending.clear();
        let advance = Machine::start(self.disk.clone(), boot(self.boots), build(), self.now);
        // As at every start: what should be in force is compared with what is.
        self.force = if advance.commands.is_empty() { advance.machine.running() } else { self.force };
        self.take(advance);
        self.event(Event::Conditions(Conditions::default()));
    }

    /// Content 1 is kept.
    pub(super) fn settled() -> Self {
        let mut world = Self::new();
        world.event(Event::Conditions(Conditions::default()));
        world.event(Event::Fetched(candidate(1, 1)));
        assert!(world.settle(400) && world.state() == StateName::Idle, "{:?}", world.state());
        assert_eq!(world.force, Target::Config(candidate(1, 1).config));
        world.transitions.clear();
        world
    }

    pub(super) fn measured(&self, moment: Moment) -> Event {
        Event::Measured(moment, self.measure())
    }
}
