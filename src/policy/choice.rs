//! Which uplinks a path would use if it could choose afresh.

use super::Selection;
use super::path::LineView;
use crate::config::model::{Path, UplinkId};

/// How good a line is for new flows, best first. The order is the rule: up > degraded > probation > unknown > over budget
/// > down by loss; what is dead is no choice at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    Up,
    Degraded,
    Probation,
    Unknown,
    /// The plan is used up but for its reserve.
    OverBudget,
    /// A brown-out: better than nothing.
    Loss,
    Dead,
}

/// The best tier with a usable uplink, and all uplinks of that tier which are as good. A preferred uplink (`use`, `drill`)
/// goes before all tiers as long as it is not worse than down by loss.
pub fn best(path: &Path, views: &[Option<LineView>], preferred: Option<UplinkId>) -> Option<(Rank, Selection)> {
    let rank = |uplink: UplinkId| views.get(uplink.index()).and_then(Option::as_ref).map(|view| view.rank);
    if let Some(uplink) = preferred.filter(|uplink| path.uplinks().any(|id| id == *uplink))
        && let Some(found) = rank(uplink).filter(|rank| *rank < Rank::Loss)
    {
        return Some((found, one(uplink, views)));
    }
    let best = path.uplinks().filter_map(rank).min().filter(|rank| *rank < Rank::Dead)?;
    let tier = path.tiers.iter().find(|tier| tier.iter().any(|uplink| rank(*uplink) == Some(best)))?;
    let chosen = tier.iter().filter(|uplink| rank(**uplink) == Some(best));
    Some((best, Selection(chosen.filter_map(|uplink| weighted(*uplink, views)).collect())))
}

/// Nothing is usable and nothing is installed: the first uplink of the order that could carry a packet at all.
pub fn first(path: &Path, views: &[Option<LineView>]) -> Selection {
    let known = |uplink: &UplinkId| views.get(uplink.index()).is_some_and(Option::is_some);
    let local = |uplink: &UplinkId| views[uplink.index()].as_ref().is_some_and(|view| view.local_ok);
    let found = path.uplinks().filter(known).find(local).or_else(|| path.uplinks().find(known));
    found.map_or_else(Selection::default, |uplink| one(uplink, views))
}

fn one(uplink: UplinkId, views: &[Option<LineView>]) -> Selection {
    Selection(weighted(uplink, views).into_iter().collect())
}

fn weighted(uplink: UplinkId, views: &[Option<LineView>]) -> Option<(UplinkId, u8)> {
    views.get(uplink.index()).and_then(Option::as_ref).map(|view| (uplink, view.weight))
}
