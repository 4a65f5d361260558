//! Another config takes over while traffic flows: what is known of lines that stay is kept, and nothing is decided anew
//! that did not change.

use super::Engine;
use crate::config::model::{Family, Gateway, PathId, UplinkId};
use crate::policy::Selection;
use crate::time::Instant;

impl Engine {
    /// Actions and facts must have been taken out before: they name uplinks by their old numbers. Probes under way are
    /// void, since whoever sent them cannot tell any more what their answers were to.
    pub fn reconfigure(&mut self, config: Gateway, seed: u64, now: Instant) {
        let adopted = self.selections_under(&config);
        let mut new = Self::new(config, seed, &adopted, now);
        let moved: Vec<(UplinkId, UplinkId)> =
            new.config.uplink_ids().filter_map(|id| Some((id, self.id_under(id, &new.config)?))).collect();
        for (id, old) in moved.iter().copied() {
            new.usage[id.index()] = self.usage[old.index()];
            if new.config.uplink(id) != self.config.uplink(old) {
                continue;
            }
            new.budget_told[id.index()] = self.budget_told[old.index()];
            for family in Family::BOTH {
                let Some(mut line) = self.lines[old.index()][family.index()].take() else { continue };
                line.void_flight();
                let deadline = line.deadline();
                new.lines[id.index()][family.index()] = Some(line);
                new.set_deadline(id, family, deadline);
            }
        }
        let same_lines = moved.len() == new.config.uplinks.len() && moved.iter().all(|(id, old)| id == old);
        if same_lines {
            for path in new.config.path_ids() {
                let definition = &new.config.paths[path.index()];
                if let Some(old) = self.config.paths.iter().position(|old| old == definition) {
                    new.paths[path.index()].clone_from(&self.paths[old]);
                }
            }
        }
        let under = |old: UplinkId| moved.iter().find(|(_, it)| *it == old).map(|(id, _)| *id);
        new.preferred = self.preferred.and_then(|(old, until)| Some((under(old)?, until)));
        new.locked = self.locked;
        new.minute = self.minute;
        new.serial = self.serial;
        new.last_turn = self.last_turn;
        new.stale_until = self.stale_until;
        new.stalled_until = self.stalled_until;
        new.update_use(now);
        *self = new;
    }

    /// What the paths of the new config carry now, in its numbers. A path that is new starts with what `default` has, so
    /// that its traffic goes on as before until its lines are known.
    pub fn selections_under(&self, config: &Gateway) -> Vec<(PathId, Family, Selection)> {
        let mut selections = Vec::new();
        for path in config.path_ids() {
            let name = &config.paths[path.index()].name;
            let old = self.config.paths.iter().position(|old| old.name == *name).unwrap_or(PathId::DEFAULT.index());
            for family in Family::BOTH {
                let shares = self.paths[old][family.index()].selection.0.iter().filter_map(|(uplink, _)| {
                    let name = &self.config.uplink(*uplink).name;
                    let id = config.uplink_ids().find(|id| config.uplink(*id).name == *name)?;
                    let listed = config.paths[path.index()].uplinks().any(|uplink| uplink == id);
                    (listed && config.uplink(id).has(family)).then(|| (id, config.uplink(id).weight))
                });
                let mut shares: Vec<(UplinkId, u8)> = shares.collect();
                shares.sort_unstable();
                if !shares.is_empty() {
                    selections.push((path, family, Selection(shares)));
                }
            }
        }
        selections
    }

    /// The number that an uplink of `config` had before.
    fn id_under(&self, id: UplinkId, config: &Gateway) -> Option<UplinkId> {
        let name = &config.uplink(id).name;
        self.config.uplink_ids().find(|old| self.config.uplink(*old).name == *name)
    }
}
