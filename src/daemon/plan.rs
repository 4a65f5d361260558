//! What a config would change in the kernel; changes nothing.

use super::{RunError, World, runtime};
use crate::apply::desired::{Selections, desired};
use crate::apply::plan::plan as steps;
use crate::config::model::{Family, Gateway};
use crate::kernel::netlink::Netlink;
use crate::kernel::nft::{Nft, TableState};
use crate::kernel::observe::{next_hop, observe};
use crate::kernel::ruleset::{Learnt, Ruleset};
use crate::kernel::sysctl;
use crate::policy::Selection;

/// In words, in the order in which it would be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub steps: Vec<String>,
    /// What cannot be said from here, or should be known.
    pub remarks: Vec<String>,
    /// All could be compared.
    pub complete: bool,
}

/// Compares with the kernel of this machine. Reading routes needs no root; the packet filter can be read by root only.
pub fn plan(config: &Gateway) -> Result<Planned, RunError> {
    runtime()?.block_on(async {
        let netlink = Netlink::open().map_err(|source| RunError::Kernel { source })?;
        let world = World { config: std::sync::Arc::new(config.clone()), netlink };
        let state = world.dump().await?;
        let mut planned = Planned { steps: Vec::new(), remarks: Vec::new(), complete: true };
        for unmet in sysctl::store::Store::open().check(&sysctl::needs(config, |device| state.link(device).is_some())) {
            planned.steps.push(format!("set {} to {} ({})", unmet.need.key, unmet.need.value(), unmet.need.why));
        }
        let ruleset = Ruleset::new(config, &Learnt::default());
        match Nft::new().check(&ruleset).await {
            Ok(TableState::Right) => {}
            Ok(TableState::Missing) => planned.steps.push("load table inet causeway".to_owned()),
            Ok(TableState::Other(_) | TableState::Changed) => {
                planned.steps.push("replace table inet causeway".to_owned());
            }
            Err(error) => {
                planned.complete = false;
                let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
                planned.remarks.push(format!("the packet filter was not compared: {error}{hint}"));
            }
        }
        let selections = selections(&world, &state);
        let wanted = desired(config, &state, &selections);
        planned.steps.extend(steps(&state, &wanted).iter().map(|step| step.describe(&state)));
        for uplink in &config.uplinks {
            if state.link(&uplink.device).is_none() {
                planned.remarks.push(format!("device {} of uplink {} is not there yet", uplink.device, uplink.name));
            }
        }
        debug_assert!(!observe(config, &state).is_empty() || config.uplinks.is_empty());
        Ok(planned)
    })
}

/// What a path would start with: what it has, else its first uplink that has a gateway.
fn selections(world: &World, state: &crate::kernel::state::State) -> Selections {
    let config = &world.config;
    let mut selections = Selections::new();
    for (path, family, selection) in super::driver::adopted(world, state) {
        selections.insert((path, family), selection);
    }
    for path in config.path_ids() {
        for family in Family::BOTH {
            let usable = |id: &crate::config::model::UplinkId| {
                config.uplink(*id).has(family) && next_hop(config.uplink(*id), state, family).is_some()
            };
            let first = config.paths[path.index()].uplinks().find(usable);
            if let Some(id) = first {
                let chosen = Selection(vec![(id, config.uplink(id).weight)]);
                selections.entry((path, family)).or_insert(chosen);
            }
        }
    }
    selections
}
