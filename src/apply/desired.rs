//! The routes and rules that should be there, from the config, what the kernel has learnt, and the choice of each
//! path. Pure. The scheme is `docs/failover.md`'s: one table per uplink, one per path.
//!
//! A table that should stay as it is ([`Desired::kept`]) is not a table without routes: a path whose uplinks are all
//! gone keeps what it has, because nothing better is known.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::model::{Family, Gateway, Otherwise, PathId, UplinkId};
use crate::kernel::numbers::{
    BACKSTOP_METRIC, CARRIER_METRIC, MAIN_RULE, MAIN_TABLE, PATH_MARK_MASK, PROTOCOL, UPLINK_MARK_MASK, device_rule,
    mark_rule, path_mark, path_rule, path_table, uplink_mark, uplink_table,
};
use crate::kernel::observe::next_hop;
use crate::kernel::state::{Hop, Route, RouteKind, Rule, State};
use crate::policy::Selection;

/// The engine's choice for each path and family. A missing one was not made yet: the table is kept.
pub type Selections = BTreeMap<(PathId, Family), Selection>;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Desired {
    /// In the order in which they should appear: uplink tables, then path tables.
    pub routes: Vec<Route>,
    /// By preference.
    pub rules: Vec<Rule>,
    /// Path tables whose routes of ours stay as they are.
    pub kept: BTreeSet<(Family, u32)>,
}

/// A family that no uplink uses gets nothing at all: the kernel may have been started without it.
pub fn desired(config: &Gateway, state: &State, selections: &Selections) -> Desired {
    let mut desired = Desired::default();
    for family in Family::BOTH.into_iter().filter(|family| config.uplinks.iter().any(|uplink| uplink.has(*family))) {
        for uplink in config.uplink_ids() {
            desired.routes.extend(uplink_routes(config, state, uplink, family));
        }
        for path in config.path_ids() {
            let selection = selections.get(&(path, family));
            match selection.and_then(|selection| path_route(config, state, path, family, selection)) {
                Some(route) => desired.routes.push(route),
                None => drop(desired.kept.insert((family, path_table(path)))),
            }
        }
        desired.rules.extend(rules(config, family));
    }
    desired
}

/// The default of one path's table; `None`: leave alone what is there.
///
/// Uplinks of the selection that cannot be used at all at the moment (no gateway) are left out, unless nothing
/// remains: then the last choice stays installed.
pub fn path_route(
    config: &Gateway,
    state: &State,
    path: PathId,
    family: Family,
    selection: &Selection,
) -> Option<Route> {
    if selection.is_empty() {
        let rejects = config.paths[path.index()].otherwise == Otherwise::Reject;
        return rejects.then(|| route(family, path_table(path), CARRIER_METRIC, Vec::new()));
    }
    let hops: Vec<Hop> = selection
        .0
        .iter()
        .filter(|(uplink, _)| config.uplink(*uplink).has(family))
        .filter_map(|(uplink, weight)| {
            let hop = next_hop(config.uplink(*uplink), state, family)?;
            Some(Hop { weight: u16::from(*weight).max(1), ..hop })
        })
        .collect();
    let hops = as_multipath(family, hops);
    (!hops.is_empty()).then(|| route(family, path_table(path), CARRIER_METRIC, hops))
}

/// What the kernel can hold in one route. IPv6 refuses hops without a gateway beside others ("device only routes can
/// not be added for IPv6 using the multipath API"): the hops with a gateway carry the flows then, or the first one.
fn as_multipath(family: Family, mut hops: Vec<Hop>) -> Vec<Hop> {
    if family == Family::V6 && hops.len() > 1 && hops.iter().any(|hop| hop.via.is_none()) {
        if hops.iter().any(|hop| hop.via.is_some()) {
            hops.retain(|hop| hop.via.is_some());
        } else {
            hops.truncate(1);
        }
    }
    if let [only] = hops.as_mut_slice() {
        only.weight = 1;
    }
    hops
}

/// The uplink's own default, and below it an `unreachable`. Without that one a lookup would go on to the next rule, and
/// - a flow with this uplink's mark would leave by another uplink with the wrong source address: its NAT is settled.
///   It is told `unreachable` instead, so that the client learns at once; a switch deletes such flows anyway;
/// - a probe's socket would find the active route (which the device then refuses, but with a misleading error).
///   IPv4 sockets bound to a device ask for the target by ARP on that very device when there is no route; IPv6 ones
///   skip `unreachable` routes, because those are not on their device, and fail with `ENETUNREACH`. Neither leaves by
///   another line.
fn uplink_routes(config: &Gateway, state: &State, uplink: UplinkId, family: Family) -> Vec<Route> {
    let (config, table) = (config.uplink(uplink), uplink_table(config.slot(uplink)));
    let hop = config.has(family).then(|| next_hop(config, state, family)).flatten();
    let carrier = hop.map(|hop| route(family, table, CARRIER_METRIC, vec![hop]));
    carrier.into_iter().chain([route(family, table, BACKSTOP_METRIC, Vec::new())]).collect()
}

/// Without hops: `unreachable`.
fn route(family: Family, table: u32, metric: u32, mut hops: Vec<Hop>) -> Route {
    hops.sort_unstable();
    let kind = if hops.is_empty() { RouteKind::Unreachable } else { RouteKind::Unicast };
    Route { family, table, destination: None, tos: 0, metric, protocol: PROTOCOL, kind, hops }
}

fn rules(config: &Gateway, family: Family) -> Vec<Rule> {
    let rule = |preference, table| Rule {
        family,
        preference,
        table,
        mark: None,
        device: None,
        suppress: None,
        protocol: PROTOCOL,
        foreign: false,
    };
    let mut rules = vec![Rule { suppress: Some(0), ..rule(MAIN_RULE, MAIN_TABLE) }];
    for id in config.uplink_ids() {
        let slot = config.slot(id);
        let table = uplink_table(slot);
        let device = config.uplink(id).device.as_str().to_owned();
        rules.push(Rule { mark: Some((uplink_mark(slot), UPLINK_MARK_MASK)), ..rule(mark_rule(slot), table) });
        rules.push(Rule { device: Some(device), ..rule(device_rule(slot), table) });
    }
    for id in config.path_ids() {
        let mark = (id != PathId::DEFAULT).then(|| (path_mark(id), PATH_MARK_MASK));
        rules.push(Rule { mark, ..rule(path_rule(id), path_table(id)) });
    }
    rules.sort_by_key(|rule| rule.preference);
    rules
}
