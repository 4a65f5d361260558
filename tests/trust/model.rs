//! Random runs of the machine with a power cut and a restart after every step: no state without a way home, one valid
//! boot default always, floors that never fall. `MODEL_STATES` says how many different states are wanted.

use std::collections::BTreeSet;
use std::time::Duration;

use causeway::trust::digest::Digest;
use causeway::trust::floors::Floors;
use causeway::trust::machine::{Applied, Conditions, Defer, Event, Judgement, Moment, StateName, Target};
use causeway::trust::refusal::Refusal;

use super::world::{Chance, FIBRE, LTE, World, candidate};

/// At least 10⁵ in `make test`; a night can ask for more.
const STATES: usize = 100_000;
const STEPS: usize = 60;

struct Run {
    chance: Chance,
    /// Contents that were confirmed by a trial, or were there at the beginning.
    proven: BTreeSet<Digest>,
    floors: Floors,
    assigned: u64,
}

impl Run {
    /// Something happens.
    fn happen(&mut self, world: &mut World) {
        let chance = &mut self.chance;
        let pick = chance.below(6);
        let offered = candidate(self.assigned + 1, 1 + u64::try_from(pick).expect("small"));
        match chance.below(30) {
            0..=11 => world.turn(),
            12..=14 => {
                self.assigned += 1;
                world.event(Event::Fetched(offered));
            }
            15 => {
                self.assigned += 1;
                world.event(Event::Refused(offered, Refusal::InvalidConfig));
            }
            16 => toggle(&mut world.dead, if pick.is_multiple_of(2) { FIBRE } else { LTE }),
            17 => toggle(&mut world.bad, offered.config.resolved),
            18 => world.hold = !world.hold,
            19 => world.kernel = vec![[Applied::StepFailed, Applied::Differs][pick % 2]; 1 + pick],
            20 => world.disk_works = !world.disk_works,
            21 => world.defer = Defer { open_hours: pick.is_multiple_of(2), ..Defer::default() },
            22 => {
                let open_hours = pick.is_multiple_of(2);
                world.event(Event::Conditions(Conditions {
                    open_hours,
                    quietest_hour: pick == 3,
                    ..Default::default()
                }));
            }
            23 => world.event([Event::Confirm, Event::RollBack, Event::Retry][pick % 3].clone()),
            24 => world.event(world.measured([Moment::Before, Moment::Trial, Moment::After][pick % 3])),
            25 => world.event(Event::Applied(world.force, Applied::Equal)),
            // An answer that never comes.
            26 => world.pending.clear(),
            27 => world.now = world.now + Duration::from_secs(chance.next() % 2_000),
            28 => world.restart(),
            _ => world.power_cut(),
        }
    }

    fn check(&mut self, world: &World) {
        if world.state() == StateName::Soak {
            self.proven.extend(world.machine.keep().good.map(|good| good.resolved));
        }
        if world.transitions.last().is_some_and(|last| (last.from, last.to) == (StateName::Trial, StateName::Soak)) {
            assert_eq!(world.machine.keep().evidence.judge(), Judgement::Confirmed, "kept without being confirmed");
        }
        self.check_boot(world);
        let floors = world.machine.keep().floors;
        assert!(floors.standard >= self.floors.standard || !world.disk_works || self.rewound(world), "a floor fell");
        self.floors = floors;
        if let (StateName::Trial | StateName::Applying, Some(candidate)) =
            (world.state(), world.machine.state().candidate())
        {
            let boots = world.machine.boot_default();
            assert_ne!(boots, Target::Config(candidate.config), "an unconfirmed config would boot");
            let hard = Duration::from_secs(candidate.timers.hard.into());
            let due = world.machine.deadline().expect("a trial ends by itself");
            assert!(due <= world.now + hard, "no trial without its limit");
        }
    }

    /// After a restart memory is what the disk had, which may be older when the disk had refused a write.
    fn rewound(&self, world: &World) -> bool {
        world.disk.as_ref().is_none_or(|record| record.keep.floors.standard < self.floors.standard)
    }

    /// What would boot now is nothing that was not proven.
    fn check_boot(&self, world: &World) {
        let good = world.disk.as_ref().and_then(|record| record.keep.good);
        if let Some(good) = good {
            assert!(self.proven.contains(&good.resolved), "{:?} boots what was never confirmed", world.state());
        }
    }

    /// With the power on and everybody well, every state comes to rest.
    fn check_way_home(&self, world: &World) {
        let mut home = world.clone();
        home.disk_works = true;
        (home.hold, home.defer) = (false, Defer::default());
        home.kernel.clear();
        home.dead.clear();
        assert!(home.settle(2_000), "no way home from {:?}: {:?}", world.state(), home.machine.state());
        assert_eq!(content(home.force), content(home.machine.boot_default()), "what runs is what boots");
    }
}

/// A newer assignment of the same content needs nothing of the kernel.
fn content(target: Target) -> Option<Digest> {
    match target {
        Target::Safe => None,
        Target::Config(config) => Some(config.resolved),
    }
}

fn toggle<T: Ord>(set: &mut BTreeSet<T>, item: T) {
    if !set.remove(&item) {
        set.insert(item);
    }
}

#[test]
fn g9_random_runs_with_a_power_cut_after_every_step() {
    let wanted = std::env::var("MODEL_STATES").ok().and_then(|text| text.parse().ok()).unwrap_or(STATES);
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    let mut seed = 0;
    while seen.len() < wanted {
        seed += 1;
        let mut world = World::settled();
        let mut run = Run {
            chance: Chance(seed),
            proven: BTreeSet::from([candidate(1, 1).config.resolved]),
            floors: world.machine.keep().floors,
            assigned: 10,
        };
        for step in 0..STEPS {
            world.transitions.clear();
            run.happen(&mut world);
            run.check(&world);
            seen.insert(fingerprint(&world));
            for fork in [World::power_cut, World::restart] {
                let mut forked = world.clone();
                fork(&mut forked);
                run.check_boot(&forked);
                seen.insert(fingerprint(&forked));
                if run.chance.one_in(40) {
                    run.check_way_home(&forked);
                }
            }
            if step % 20 == 19 {
                run.check_way_home(&world);
            }
        }
    }
}

/// Of all that decides what comes next.
fn fingerprint(world: &World) -> u64 {
    let text = format!("{:?} {:?} {:?} {}", world.machine, world.force, world.pending, world.disk_works);
    let digest = Digest::of(text.as_bytes());
    u64::from_le_bytes(digest.bytes()[..8].try_into().expect("eight bytes"))
}
