//! Common cause: what several lines say about the same target. Silent on every line at once, while those lines answer
//! otherwise, the target is at fault itself.

use crate::config::model::{Check, Family, Gateway, TargetId, UplinkId};
/// So many failed probes in a row of a target on each line.
pub(super) const FAILED_AFTER: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub uplink: UplinkId,
    pub family: Family,
    /// Index among the targets of that family.
    pub target: TargetId,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub members: Vec<Member>,
    pub suspect: bool,
    /// It failed on some line lately.
    pub troubled: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// `[uplink][family][target]` → group.
    places: Vec<[Vec<Option<usize>>; 2]>,
}

impl Groups {
    pub(super) fn new(config: &Gateway) -> Self {
        let mut found: Vec<(Family, &Check, Vec<Member>)> = Vec::new();
        for uplink in config.uplink_ids() {
            for family in Family::BOTH {
                let targets = config.uplink(uplink).targets.iter().filter(|target| target.family == family);
                for (index, target) in (0u8..).zip(targets) {
                    let member = Member { uplink, family, target: TargetId(index) };
                    match found.iter_mut().find(|(f, check, _)| *f == family && **check == target.check) {
                        Some((_, _, members)) => members.push(member),
                        None => found.push((family, &target.check, vec![member])),
                    }
                }
            }
        }
        let groups: Vec<Group> = found
            .into_iter()
            .filter(|(_, _, members)| members.len() > 1)
            .map(|(_, _, members)| Group { members, suspect: false, troubled: false })
            .collect();
        let count = |uplink: usize, family| {
            config.uplinks[uplink].targets.iter().filter(|target| target.family == family).count()
        };
        let mut places: Vec<[Vec<Option<usize>>; 2]> = (0..config.uplinks.len())
            .map(|uplink| [vec![None; count(uplink, Family::V4)], vec![None; count(uplink, Family::V6)]])
            .collect();
        for (g, group) in groups.iter().enumerate() {
            for member in &group.members {
                places[member.uplink.index()][member.family.index()][member.target.index()] = Some(g);
            }
        }
        Self { groups, places }
    }

    /// The group of a target that failed, here or elsewhere; a target that answers everybody is not worth a look.
    pub(super) fn handle_settled(
        &mut self,
        uplink: UplinkId,
        family: Family,
        target: TargetId,
        failed_in_row: u32,
    ) -> Option<&mut Group> {
        let group = (*self.places[uplink.index()][family.index()].get(target.index())?)?;
        let group = &mut self.groups[group];
        (group.troubled || failed_in_row > 0).then_some(group)
    }
}
