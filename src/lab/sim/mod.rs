//! The simulator: the engine on a virtual clock, in a branch where everything goes wrong that can, held to the invariants
//! of `docs/faults.md` after every event. A seed makes the branch and all that happens to it.
//!
//! [`generate`] and [`faults`] make a [`script::Plan`]; [`world`] plays it; [`check`] knows the truth and judges; [`mutants`]
//! are bugs planted to see whether `check` finds them. Start reading at [`play`].

mod bounds;
mod changes;
mod check;
mod faults;
mod generate;
mod kernel;
mod meter;
pub mod mutants;
mod process;
mod queue;
mod random;
pub mod recording;
pub mod script;
mod wire;
mod world;

use std::time::Duration;

pub use check::{Rule, Violation};
pub use generate::{plan, steady, steady_for};

use crate::config::model::Gateway;
use crate::time::Instant;
use mutants::{Bug, Planted};
use recording::Recording;
use script::Plan;
use world::World;

/// After the faults it is looked this often whether everything has come back.
const LOOK: Duration = Duration::from_secs(30);
/// And then it must stay so.
const STILL: Duration = Duration::from_secs(180);

/// What one run did.
#[derive(Debug)]
pub struct Played {
    pub seed: u64,
    pub simulated: Duration,
    pub events: u64,
    pub probes: u64,
    pub switches: u64,
    /// Switches away from a line that is dead or bad.
    pub failovers: u64,
    pub verdicts: u64,
    /// Of all that happened.
    pub hash: u64,
    pub violation: Option<Violation>,
    /// Everything the engine was told, if asked for.
    pub recording: Recording,
}

/// Plays a plan to its end: the faults, then the time in which all must come back.
pub fn play(plan: Plan, bug: Option<Bug>, record: bool) -> Played {
    let (seed, start, healed) = (plan.seed, plan.start, plan.healed);
    let limit = healed + healing(&plan.config);
    let heals = plan.steps.last().is_some_and(|step| step.at == healed);
    let mut world = World::new(plan, bug.map(Planted::new), record);
    let mut violation = world.run(healed).err();
    if heals && violation.is_none() {
        violation = converge(&mut world, limit).err();
    }
    Played {
        seed,
        simulated: world.now.since(start),
        events: world.events,
        probes: world.probes,
        switches: world.switches,
        failovers: world.failovers(),
        verdicts: world.verdicts(),
        hash: world.hash(),
        violation,
        recording: world.take_recording(),
    }
}

fn converge(world: &mut World, limit: Instant) -> Result<(), Violation> {
    // A line that was bad to the last may still be called down for what it lost.
    let config = world.engine.config();
    let glow = config.uplinks.iter().map(|uplink| bounds::afterglow(&uplink.profile)).max().unwrap_or_default();
    world.run(world.now + glow)?;
    while !world.is_converged() {
        if world.now >= limit {
            return Err(world.does_not_heal());
        }
        world.run(world.now + LOOK)?;
    }
    let switches = world.switches;
    world.run(world.now + STILL)?;
    if world.switches == switches && world.is_converged() { Ok(()) } else { Err(world.does_not_heal()) }
}

/// The longest probation of any line, the longest patience of any path.
fn healing(config: &Gateway) -> Duration {
    let lines = config.uplinks.iter().map(bounds::healing).max().unwrap_or_default();
    let paths = config.paths.iter().map(|path| match path.failback.when {
        crate::config::model::FailbackWhen::After(after) => after,
        crate::config::model::FailbackWhen::Never => Duration::ZERO,
        crate::config::model::FailbackWhen::Window { .. } => Duration::from_secs(86_400),
    });
    lines + paths.max().unwrap_or_default()
}
