//! The failover: one ordered, verified transaction.
//!
//! 1. The path's default route is replaced and read back. If that fails, nothing else is done.
//! 2. The dead uplink's flows of this path are listed, then forgotten, in one request each. Never before step 1: a client
//!    that reconnects in between would be pinned to the dead line for good.
//! 3. The packet filter answers what those flows send next with a reset. (Nothing to do here: the rule is always loaded.)
//! 4. Clients that only listen are nudged into sending something.
//! 5. The caller now swaps the resolvers that the gateway's own DNS asks; it must not come before step 1.
//! 6. The caller looks again ([`rescan`]) at the times in [`Rescan::AFTER`], for what slipped through.
//!
//! One line's end moves several paths and both families: step 1 of all of them comes before step 2 of any ([`route`],
//! [`flows`]), since listing flows takes as long as the kernel's table is large. A planned switch (nobody dead) ends after step 1: running flows stay where they are. What the kernel is comes in as
//! [`SwitchKernel`]; nothing here touches it otherwise.

use std::future::Future;
use std::time::Duration;

use crate::config::model::{Family, PathId, Slot, UplinkId};
use crate::engine::action::Switch;
use crate::kernel::flow::{Flow, Snapshot};
use crate::kernel::marks::Selector;
use crate::policy::Selection;
use crate::time::Instant;

/// What the transaction needs of the kernel, and the clock.
pub trait SwitchKernel {
    type Error: std::error::Error + Send + Sync + 'static;

    fn now(&self) -> Instant;

    /// Under which its flows are marked.
    fn slot(&self, uplink: UplinkId) -> Slot;

    /// Atomically replaces the default route of the path's table. An empty selection: the path rejects.
    fn replace_routes(
        &mut self,
        path: PathId,
        family: Family,
        to: &Selection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// What the kernel has there now.
    fn read_routes(
        &mut self,
        path: PathId,
        family: Family,
    ) -> impl Future<Output = Result<Selection, Self::Error>> + Send;

    fn list_flows(
        &mut self,
        selector: Selector,
        family: Family,
    ) -> impl Future<Output = Result<Snapshot, Self::Error>> + Send;

    fn delete_flows(
        &mut self,
        selector: Selector,
        family: Family,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Nudges the clients of those flows that need it; returns how many were, or will be, sent for each list. May hand over
    /// to a task of its own: nothing after it waits for the packets.
    fn nudge(&mut self, lists: &[&[Flow]]) -> impl Future<Output = Result<Vec<u64>, Self::Error>> + Send;
}

#[derive(Debug, thiserror::Error)]
pub enum SwitchError<E: std::error::Error + 'static> {
    #[error("could not replace the {family} route of path {}", path.0)]
    Route {
        path: PathId,
        family: Family,
        #[source]
        source: E,
    },
    #[error("could not read back the {family} route of path {}", path.0)]
    ReadBack {
        path: PathId,
        family: Family,
        #[source]
        source: E,
    },
    #[error("the {family} route of path {} is not what was asked for: {found:?}", path.0)]
    NotSwitched { path: PathId, family: Family, found: Selection },
    /// The route is replaced, but flows of a dead uplink may still be there; asking again is safe.
    #[error("could not remove the {family} flows of uplink {}", uplink.0)]
    Flows {
        uplink: UplinkId,
        family: Family,
        #[source]
        source: E,
    },
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// From the start of the transaction until the last flow was forgotten.
    pub took: Duration,
    /// Flows forgotten, as counted just before.
    pub flows_reset: u64,
    /// Packets sent, or handed over to be sent, to idle clients.
    pub nudged: u64,
    /// The same for each dead uplink.
    pub ended: Vec<Ended>,
    /// Steps that are of help only, and failed: counting and nudging.
    pub failed: u64,
    /// Where and when to look again; `None` when no flow was to be moved.
    pub rescan: Option<Rescan>,
}

/// What became of the flows of one uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub uplink: UplinkId,
    pub reset: u64,
    pub nudged: u64,
}

/// A second look, as data: the caller keeps the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescan {
    pub family: Family,
    pub path: PathId,
    pub dead: Vec<UplinkId>,
}

impl Rescan {
    /// Counted from the end of the transaction. The first finds packets that were on their way through the gateway while the
    /// route changed, the last one retransmissions and reconnects.
    pub const AFTER: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(5)];

    /// A later switch brings an uplink of ours into use again: its flows are alive, and must not be looked for.
    pub fn is_overtaken_by(&self, later: &Switch) -> bool {
        later.family == self.family && self.dead.iter().any(|uplink| later.to.contains(*uplink))
    }
}

/// Steps 1 to 4.
pub async fn switch<K: SwitchKernel>(kernel: &mut K, wanted: &Switch) -> Result<Report, SwitchError<K::Error>> {
    let started = route(kernel, wanted).await?;
    flows(kernel, wanted, started).await
}

/// Step 1; returns when it began.
pub async fn route<K: SwitchKernel>(kernel: &mut K, wanted: &Switch) -> Result<Instant, SwitchError<K::Error>> {
    let (path, family) = (wanted.path, wanted.family);
    let started = kernel.now();
    kernel.replace_routes(path, family, &wanted.to).await.map_err(|source| SwitchError::Route {
        path,
        family,
        source,
    })?;
    let found =
        kernel.read_routes(path, family).await.map_err(|source| SwitchError::ReadBack { path, family, source })?;
    if !same(&found, &wanted.to) {
        return Err(SwitchError::NotSwitched { path, family, found });
    }
    Ok(started)
}

/// Steps 2 to 4, once the route is there.
pub async fn flows<K: SwitchKernel>(
    kernel: &mut K,
    wanted: &Switch,
    started: Instant,
) -> Result<Report, SwitchError<K::Error>> {
    clear(kernel, started, wanted.family, wanted.path, uplinks_to_clear(wanted)).await
}

/// Steps 2 to 4 alone: the flows of a path on an uplink that died while no new ones went there, or whose grace after a
/// failback is over. It is the caller who knows that there is somewhere better to go.
pub async fn end_flows<K: SwitchKernel>(
    kernel: &mut K,
    uplink: UplinkId,
    family: Family,
    path: PathId,
) -> Result<Report, SwitchError<K::Error>> {
    let started = kernel.now();
    clear(kernel, started, family, path, vec![uplink]).await
}

async fn clear<K: SwitchKernel>(
    kernel: &mut K,
    started: Instant,
    family: Family,
    path: PathId,
    dead: Vec<UplinkId>,
) -> Result<Report, SwitchError<K::Error>> {
    let mut report = Report::default();
    let mut lost: Vec<Snapshot> = Vec::new();
    // Of all uplinks together: what does not fit is removed like the rest, only not nudged.
    let mut room = Snapshot::MOST;
    let mut refused = None;
    for uplink in &dead {
        let selector = Selector::uplink_on_path(kernel.slot(*uplink), path);
        // The list is for counting and nudging; without it the flows go all the same.
        let mut snapshot = kernel.list_flows(selector, family).await.unwrap_or_else(|_| {
            report.failed += 1;
            Snapshot::default()
        });
        snapshot.flows.truncate(room);
        room -= snapshot.flows.len();
        report.flows_reset += snapshot.seen;
        report.ended.push(Ended { uplink: *uplink, reset: snapshot.seen, nudged: 0 });
        lost.push(snapshot);
        // One uplink's refusal keeps nobody from the next one.
        if let Err(source) = kernel.delete_flows(selector, family).await {
            refused = refused.or(Some(SwitchError::Flows { uplink: *uplink, family, source }));
        }
    }
    report.took = kernel.now().since(started);
    if let Some(error) = refused {
        return Err(error);
    }
    let lists: Vec<&[Flow]> = lost.iter().map(|snapshot| snapshot.flows.as_slice()).collect();
    if lists.iter().any(|flows| !flows.is_empty()) {
        match kernel.nudge(&lists).await {
            Ok(counts) => {
                report.nudged = counts.iter().sum();
                report.ended.iter_mut().zip(counts).for_each(|(ended, count)| ended.nudged = count);
            }
            Err(_) => report.failed += 1,
        }
    }
    report.rescan = (!dead.is_empty()).then_some(Rescan { family, path, dead });
    Ok(report)
}

/// Step 6: forgets what still carries a dead uplink's mark; returns how many flows of each there were.
pub async fn rescan<K: SwitchKernel>(
    kernel: &mut K,
    rescan: &Rescan,
) -> Result<Vec<(UplinkId, u64)>, SwitchError<K::Error>> {
    let family = rescan.family;
    let mut stragglers = Vec::new();
    for uplink in &rescan.dead {
        let refused = |source| SwitchError::Flows { uplink: *uplink, family, source };
        let selector = Selector::uplink_on_path(kernel.slot(*uplink), rescan.path);
        let snapshot = kernel.list_flows(selector, family).await.map_err(refused)?;
        if snapshot.seen > 0 {
            kernel.delete_flows(selector, family).await.map_err(refused)?;
            kernel.nudge(&[&snapshot.flows]).await.ok();
            stragglers.push((*uplink, snapshot.seen));
        }
    }
    Ok(stragglers)
}

/// No flow is removed without somewhere better to go: the new selection must have a living uplink, and a dead one that is
/// still in it keeps its flows.
fn uplinks_to_clear(wanted: &Switch) -> Vec<UplinkId> {
    let somewhere_to_go = wanted.to.uplinks().any(|uplink| !wanted.dead.contains(&uplink));
    if !somewhere_to_go {
        return Vec::new();
    }
    wanted.dead.iter().copied().filter(|uplink| !wanted.to.contains(*uplink)).collect()
}

/// Order and the weight of a single uplink mean nothing to the kernel.
fn same(found: &Selection, wanted: &Selection) -> bool {
    let sorted = |selection: &Selection| {
        let mut shares = selection.0.clone();
        shares.sort_unstable();
        shares
    };
    let alone = wanted.0.len() == 1 && found.uplinks().eq(wanted.uplinks());
    alone || sorted(found) == sorted(wanted)
}

#[cfg(test)]
mod tests;
