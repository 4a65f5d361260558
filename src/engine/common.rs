//! Common cause: what several lines say about the same target. Silent on every line at once, while those lines answer
//! otherwise, the target is at fault itself.

use crate::config::model::{Check, Family, Gateway, TargetId, UplinkId};
use crate::health::line::Elsewhere;

/// So many failed probes in a row of a target on each line.
pub(super) const FAILED_AFTER: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub uplink: UplinkId,
    pub family: Family,
    /// Index among the targets of that family.
    pub target: TargetId,
    pub seen: Elsewhere,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub members: Vec<Member>,
    pub suspect: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// `[uplink][family][target]` → group and place in it.
    places: Vec<[Vec<Option<(usize, usize)>>; 2]>,
}

impl Groups {
    pub fn new(config: &Gateway) -> Self {
        let mut found: Vec<(Family, &Check, Vec<Member>)> = Vec::new();
        for uplink in config.uplink_ids() {
            for family in Family::BOTH {
                let targets = config.uplink(uplink).targets.iter().filter(|target| target.family == family);
                for (index, target) in (0u8..).zip(targets) {
                    let member = Member { uplink, family, target: TargetId(index), seen: Elsewhere::NotAsked };
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
            .map(|(_, _, members)| Group { members, suspect: false })
            .collect();
        let count = |uplink: usize, family| {
            config.uplinks[uplink].targets.iter().filter(|target| target.family == family).count()
        };
        let mut places: Vec<[Vec<Option<(usize, usize)>>; 2]> = (0..config.uplinks.len())
            .map(|uplink| [vec![None; count(uplink, Family::V4)], vec![None; count(uplink, Family::V6)]])
            .collect();
        for (g, group) in groups.iter().enumerate() {
            for (m, member) in group.members.iter().enumerate() {
                places[member.uplink.index()][member.family.index()][member.target.index()] = Some((g, m));
            }
        }
        Self { groups, places }
    }

    /// The group of a target whose standing changed with this outcome.
    pub fn handle_settled(
        &mut self,
        uplink: UplinkId,
        family: Family,
        target: TargetId,
        failed_in_row: u32,
    ) -> Option<&mut Group> {
        let (group, place) = (*self.places[uplink.index()][family.index()].get(target.index())?)?;
        let group = &mut self.groups[group];
        let member = &mut group.members[place];
        let seen = match failed_in_row {
            0 => Elsewhere::Answers,
            n if n >= FAILED_AFTER => Elsewhere::Fails,
            _ => member.seen,
        };
        // While it fails everybody is asked again each time: another line may just have lost it too.
        if member.seen == seen && seen != Elsewhere::Fails {
            return None;
        }
        member.seen = seen;
        Some(group)
    }
}
