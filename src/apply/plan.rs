//! The difference between what the kernel has and what it should have, as steps in the order in which nothing is worse
//! half-way. Pure; printed by `causeway config plan`, carried out by [`super::exec`].
//!
//! Our tables and our range of rules are ours alone: what somebody else put there goes. Everything else is not touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use ipnet::IpNet;

use super::desired::Desired;
use crate::kernel::numbers::{PROTOCOL, RULES, is_our_table, is_path_table};
use crate::kernel::state::{Hop, Route, RouteKind, Rule, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// One message, `NLM_F_CREATE | NLM_F_REPLACE`: takes the place of the first route in the same slot, if there is one.
    ReplaceRoute(Route),
    AddRule(Rule),
    DeleteRule(Rule),
    DeleteRoute(Route),
}

impl Step {
    /// Taking away is the half that may wait: it is done only when all that should be there is there.
    pub fn is_removal(&self) -> bool {
        match self {
            Self::DeleteRule(_) | Self::DeleteRoute(_) => true,
            Self::ReplaceRoute(_) | Self::AddRule(_) => false,
        }
    }

    /// In words, with the names of links.
    pub fn describe(&self, state: &State) -> String {
        match self {
            Self::ReplaceRoute(route) => format!("set route {}", route_words(route, state)),
            Self::DeleteRoute(route) => format!("remove route {}", route_words(route, state)),
            Self::AddRule(rule) => format!("add rule {}", rule_words(rule)),
            Self::DeleteRule(rule) => format!("remove rule {}", rule_words(rule)),
        }
    }
}

/// 1. routes that should be there (uplink tables before the path tables that point the same way), 2. rules that should,
/// 3. rules that should not, from the last, 4. routes that should not, when no rule leads to them any more.
pub fn plan(state: &State, desired: &Desired) -> Vec<Step> {
    let (set, stale_routes) = routes(state, desired);
    let (add, stale_rules) = rules(state, desired);
    let mut steps: Vec<Step> = set.into_iter().map(Step::ReplaceRoute).collect();
    steps.extend(add.into_iter().map(Step::AddRule));
    steps.extend(stale_rules.into_iter().rev().map(Step::DeleteRule));
    steps.extend(stale_routes.into_iter().map(Step::DeleteRoute));
    steps
}

/// Removes what is ours by number *and* by protocol, and nothing else: rules first, so that at each moment traffic
/// takes either our choice or `main`'s.
pub fn teardown(state: &State) -> Vec<Step> {
    let mut rules: Vec<&Rule> =
        state.rules.iter().filter(|rule| RULES.contains(&rule.preference) && rule.protocol == PROTOCOL).collect();
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.preference));
    let routes = state.routes.iter().filter(|route| is_our_table(route.table) && route.protocol == PROTOCOL);
    rules.into_iter().cloned().map(Step::DeleteRule).chain(routes.cloned().map(Step::DeleteRoute)).collect()
}

/// Routes to set, routes to remove.
fn routes(state: &State, desired: &Desired) -> (Vec<Route>, Vec<Route>) {
    let mut slots: BTreeMap<_, Vec<&Route>> = BTreeMap::new();
    for route in state.routes.iter().filter(|route| is_our_table(route.table)) {
        slots.entry(route.slot()).or_default().push(route);
    }
    let mut set = Vec::new();
    let mut keep = BTreeSet::new();
    for route in &desired.routes {
        let there = slots.remove(&route.slot()).unwrap_or_default();
        // A foreign route can share our slot (`ip route append`). If ours is there, only the others go; else the
        // first makes room for ours, as the kernel does it.
        let mine = there.iter().position(|other| *other == route);
        if mine.is_none() {
            set.push(route.clone());
        }
        let spared = mine.unwrap_or(0);
        slots.insert(route.slot(), there);
        keep.insert((route.slot(), spared));
    }
    let mut stale = Vec::new();
    for (slot, there) in &slots {
        for (position, route) in there.iter().enumerate() {
            let kept = desired.kept.contains(&(route.family, route.table)) && route.protocol == PROTOCOL;
            if !kept && !keep.contains(&(*slot, position)) {
                stale.push((*route).clone());
            }
        }
    }
    (set, stale)
}

/// Rules to add, rules to remove. Two equal ones are one too many.
fn rules(state: &State, desired: &Desired) -> (Vec<Rule>, Vec<Rule>) {
    let mut wanted: Vec<&Rule> = desired.rules.iter().collect();
    let mut stale = Vec::new();
    for rule in state.rules.iter().filter(|rule| RULES.contains(&rule.preference)) {
        match wanted.iter().position(|other| *other == rule) {
            Some(position) => drop(wanted.remove(position)),
            None => stale.push(rule.clone()),
        }
    }
    (wanted.into_iter().cloned().collect(), stale)
}

fn route_words(route: &Route, state: &State) -> String {
    let Route { family, table, destination, tos, metric, protocol, kind, hops } = route;
    let target = destination.map_or_else(|| "default".to_owned(), |net: IpNet| net.to_string());
    let mut words = format!("{family} table {table}: {target}");
    if *tos != 0 {
        let _ = write!(words, " tos {tos:#04x}");
    }
    match kind {
        RouteKind::Unicast => {
            let hops: Vec<String> = hops.iter().map(|hop| hop_words(hop, hops.len() > 1, state)).collect();
            let _ = write!(words, " {}", hops.join(" and "));
        }
        RouteKind::Unreachable => words.push_str(" unreachable"),
        RouteKind::Other(number) => {
            let _ = write!(words, " of type {number}");
        }
    }
    if is_path_table(*table) || *protocol != PROTOCOL || *kind == RouteKind::Unicast {
        let _ = write!(words, " metric {metric}");
    } else {
        words.push_str(" as the last resort");
    }
    if *protocol != PROTOCOL {
        let _ = write!(words, " (not ours, protocol {protocol})");
    }
    words
}

fn hop_words(hop: &Hop, shared: bool, state: &State) -> String {
    let mut words = String::new();
    if let Some(via) = hop.via {
        let _ = write!(words, "via {via} ");
    }
    let _ = write!(words, "dev {}", state.link_name(hop.link));
    if hop.onlink {
        words.push_str(" onlink");
    }
    if shared {
        let _ = write!(words, " weight {}", hop.weight);
    }
    words
}

fn rule_words(rule: &Rule) -> String {
    let mut words = format!("{} {}:", rule.family, rule.preference);
    if let Some((value, mask)) = rule.mark {
        let _ = write!(words, " mark {value:#06x}/{mask:#06x}");
    }
    if let Some(device) = &rule.device {
        let _ = write!(words, " from sockets bound to {device}");
    }
    if rule.mark.is_none() && rule.device.is_none() {
        words.push_str(" all");
    }
    let _ = write!(words, " lookup {}", rule.table);
    if let Some(length) = rule.suppress {
        let _ = write!(words, " but for prefixes of length {length}");
    }
    if rule.protocol != PROTOCOL || rule.foreign {
        let _ = write!(words, " (not ours, protocol {})", rule.protocol);
    }
    words
}
