//! Paths: who takes which uplinks in which order, when they return, and whether a later path is ever reached.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Scope, at_most, cover, duration, integer, not_empty, once, twice};
use crate::config::fault::{Collector, Fault, Kind, Place};
use crate::config::model::{
    Failback, FailbackFlows, FailbackWhen, Match, Name, Otherwise, Path, Uplink, UplinkId, limits,
};
use crate::config::raw::paths::{Failback as RawFailback, Flows, Match as RawMatch, Path as RawPath, Tier};
use crate::config::raw::read::At;
use crate::config::raw::uplinks::Uplink as RawUplink;
use crate::config::raw::values::{Entry, List, OneOrMore};

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

/// `default` first, then in the order of the file.
pub(super) fn paths(
    raw: Option<&At<List<RawPath>>>,
    raw_uplinks: &[Entry<RawUplink>],
    uplinks: &[Uplink],
    scope: &Scope,
    faults: &mut Collector<'_>,
) -> Vec<Path> {
    let tiers = by_tier(raw_uplinks, faults);
    let Some(raw) = raw else { return vec![standard(tiers, uplinks)] };
    tier_unused(raw, raw_uplinks, faults);
    let mut paths = Vec::new();
    let mut default: Option<(Path, Place)> = None;
    let mut seen: BTreeMap<&Name, Place> = BTreeMap::new();
    let mut named = raw.value.whole;
    for at in at_most(raw, limits::PATHS, faults) {
        let place = at.value.name.as_ref().map_or(at.place, |name| name.place);
        let path = path(at, uplinks, scope, faults);
        let Some(name) = &at.value.name else {
            named = false;
            continue;
        };
        if let Some(first) = seen.insert(&name.value, name.place) {
            faults.add(name.place, twice(&name.value, "paths", faults.line(first)));
            continue;
        }
        if let Some((_, first)) = &default {
            after_default(&name.value, place, *first, faults);
        }
        if name.value.as_str() == Path::DEFAULT_NAME {
            default = Some((path, place));
        } else {
            paths.push((path, place));
        }
    }
    never_reached(&paths, faults);
    let default = match default {
        Some((path, _)) => path,
        None => {
            if named && raw.value.entries.len() <= limits::PATHS {
                let fault = Fault::new(Kind::DefaultMissing, "`paths` has no path `default`")
                    .because("what matches no other path would have nowhere to go")
                    .hint("add { name = \"default\", prefer = [...] } as the last one");
                faults.add(raw.place, fault);
            }
            standard(Vec::new(), uplinks)
        }
    };
    std::iter::once(default).chain(paths.into_iter().map(|(path, _)| path)).collect()
}

/// The path that a file without `paths` has.
fn standard(tiers: Vec<Vec<UplinkId>>, uplinks: &[Uplink]) -> Path {
    Path {
        name: Name::new(Path::DEFAULT_NAME).expect("within the alphabet"),
        matches: Vec::new(),
        failback: Failback { when: FailbackWhen::After(Failback::AFTER), flows: usual_flows(&tiers, uplinks) },
        tiers,
        otherwise: Otherwise::Keep,
        min_hold: Path::MIN_HOLD,
    }
}

fn by_tier(raw: &[Entry<RawUplink>], faults: &mut Collector<'_>) -> Vec<Vec<UplinkId>> {
    let most = u8::try_from(limits::UPLINKS).unwrap_or(u8::MAX);
    let mut tiers: BTreeMap<u8, Vec<UplinkId>> = BTreeMap::new();
    for (entry, index) in raw.iter().zip(0_u8..) {
        let written = entry.value.as_ref().and_then(|uplink| uplink.tier.as_ref());
        let tier = integer(written, 1..=most, index + 1, faults);
        tiers.entry(tier).or_default().push(UplinkId(index));
    }
    tiers.into_values().collect()
}

fn tier_unused(paths: &At<List<RawPath>>, uplinks: &[Entry<RawUplink>], faults: &mut Collector<'_>) {
    let line = faults.line(paths.place);
    for at in uplinks.iter().filter_map(|entry| entry.value.as_ref()?.tier.as_ref()) {
        let fault = Fault::new(Kind::TierUnused, format!("`{}` has no effect", at.key))
            .because(format!("the order of uplinks stands in `paths` (line {line})"))
            .hint("take it out, and write the order into prefer");
        faults.add(at.place, fault);
    }
}

fn path(at: &At<RawPath>, uplinks: &[Uplink], scope: &Scope, faults: &mut Collector<'_>) -> Path {
    let raw = &at.value;
    let is_default = raw.name.as_ref().is_some_and(|name| name.value.as_str() == Path::DEFAULT_NAME);
    let tiers = raw.prefer.as_ref().map(|prefer| prefer_tiers(prefer, scope, faults)).unwrap_or_default();
    let mut matches = Vec::new();
    if let Some(OneOrMore(list)) = raw.r#match.as_ref().map(|at| &at.value) {
        matches = list.entries.iter().take(limits::LIST).map(|it| condition(it, scope, faults)).collect();
    }
    match (&raw.r#match, &raw.name) {
        (Some(written), _) if is_default => {
            let fault = Fault::new(Kind::DefaultBound, "path `default` cannot have a `match`")
                .because("it takes what no other path takes")
                .hint("take `match` out, or give the path another name and add a `default`");
            faults.add(written.place, fault);
        }
        (Some(written), _) => not_empty(written, written.value.0.is_empty(), faults),
        (None, Some(name)) if !is_default => {
            let fault = Fault::new(Kind::Missing, format!("path `{}` has no `match`", name.value))
                .because("it would take all traffic, and no path after it any")
                .hint("add match = { from = [\"office\"] }, or call it `default`");
            faults.add(name.place, fault);
        }
        (None, _) => {}
    }
    let otherwise = raw.otherwise.as_ref().map_or(Otherwise::Keep, |at| at.value);
    if let Some(written) = &raw.otherwise
        && is_default
        && otherwise == Otherwise::Reject
    {
        let fault = Fault::new(Kind::DefaultBound, "path `default` cannot reject")
            .because("the last uplink is never withdrawn: a doubtful line is better than none")
            .hint("take `otherwise` out");
        faults.add(written.place, fault);
    }
    Path {
        name: raw
            .name
            .as_ref()
            .map_or_else(|| Name::new("unknown").expect("within the alphabet"), |at| at.value.clone()),
        matches,
        failback: failback(raw.failback.as_ref(), &tiers, uplinks, faults),
        tiers,
        otherwise,
        min_hold: duration(raw.min_hold.as_ref(), Duration::ZERO..=HOUR / 6, Path::MIN_HOLD, faults),
    }
}

fn prefer_tiers(prefer: &At<List<Tier>>, scope: &Scope, faults: &mut Collector<'_>) -> Vec<Vec<UplinkId>> {
    not_empty(prefer, prefer.value.is_empty(), faults);
    let mut seen: BTreeMap<&Name, Place> = BTreeMap::new();
    let mut tiers = Vec::new();
    for tier in at_most(prefer, limits::UPLINKS, faults) {
        not_empty(tier, tier.value.0.is_empty(), faults);
        let mut ids = Vec::new();
        for name in tier.value.0.entries.iter().take(limits::LIST) {
            if let Some(first) = seen.insert(&name.value, name.place) {
                faults.add(name.place, twice(&name.value, &prefer.key, faults.line(first)));
                continue;
            }
            ids.extend(scope.uplink(name, faults));
        }
        tiers.push(ids);
    }
    tiers
}

fn condition(at: &At<RawMatch>, scope: &Scope, faults: &mut Collector<'_>) -> Match {
    let RawMatch { sound: _, from, source, dest, dscp, ports } = &at.value;
    if from.is_none() && source.is_none() && dest.is_none() && dscp.is_none() && ports.is_none() {
        not_empty(at, at.value.sound, faults);
    }
    let mut condition = Match::default();
    if let Some(list) = from {
        not_empty(list, list.value.is_empty(), faults);
        for name in once(list, limits::NETWORKS, faults) {
            condition.from.extend(scope.network(name, faults));
        }
    }
    condition.source = super::nets(source.as_ref(), faults);
    condition.destination = super::nets(dest.as_ref(), faults);
    if let Some(list) = dscp {
        not_empty(list, list.value.is_empty(), faults);
        condition.dscp = at_most(list, limits::LIST, faults).iter().map(|at| at.value.0).collect();
        condition.dscp.sort_unstable();
        condition.dscp.dedup();
    }
    condition.services = super::services(ports.as_ref(), faults);
    condition
}

fn failback(
    raw: Option<&At<RawFailback>>,
    tiers: &[Vec<UplinkId>],
    uplinks: &[Uplink],
    faults: &mut Collector<'_>,
) -> Failback {
    let usual = Failback { when: FailbackWhen::After(Failback::AFTER), flows: usual_flows(tiers, uplinks) };
    let Some(at) = raw else { return usual };
    let RawFailback { sound: _, after, never, window, flows, drain_for, grace } = &at.value;
    let never = never.as_ref().filter(|never| never.value);
    let written = [
        after.as_ref().map(|at| ("after", at.place)),
        never.map(|at| ("never", at.place)),
        window.as_ref().map(|at| ("window", at.place)),
    ];
    let written: Vec<(&str, Place)> = written.into_iter().flatten().collect();
    if let [(one, _), (other, place), ..] = written.as_slice() {
        let fault = Fault::new(Kind::Conflict, format!("`{}` has both {one} and {other}", at.key))
            .because("each tells when to return")
            .hint("keep one of after, never and window");
        faults.add(*place, fault);
    }
    let after = duration(after.as_ref(), Duration::ZERO..=DAY, Failback::AFTER, faults);
    let when = match (never, window) {
        (Some(_), _) => FailbackWhen::Never,
        (None, Some(window)) => FailbackWhen::Window { from: window.value.from, to: window.value.to },
        (None, None) => FailbackWhen::After(after),
    };
    let flows = flows.as_ref().map_or(usual.flows, |at| match at.value {
        Flows::Drain => FailbackFlows::Drain { at_most: None },
        Flows::Cut => FailbackFlows::Cut { grace: FailbackFlows::GRACE },
        Flows::Together => FailbackFlows::Together,
    });
    let mut misplaced = |at: &At<Duration>, name: &str, way: &str| {
        let fault = Fault::new(Kind::Conflict, format!("`{}` has no meaning here", at.key))
            .because(format!("`{name}` belongs to flows = \"{way}\""))
            .hint(format!("take it out, or add flows = \"{way}\""));
        faults.add(at.place, fault);
    };
    if let Some(at) = drain_for
        && !matches!(flows, FailbackFlows::Drain { .. })
    {
        misplaced(at, "drain_for", "drain");
    }
    if let Some(at) = grace
        && !matches!(flows, FailbackFlows::Cut { .. })
    {
        misplaced(at, "grace", "cut");
    }
    let flows = match flows {
        FailbackFlows::Drain { .. } => FailbackFlows::Drain {
            at_most: drain_for.as_ref().map(|at| duration(Some(at), Duration::from_secs(1)..=DAY * 7, HOUR, faults)),
        },
        FailbackFlows::Cut { grace: usual } => {
            FailbackFlows::Cut { grace: duration(grace.as_ref(), Duration::ZERO..=HOUR, usual, faults) }
        }
        FailbackFlows::Together => FailbackFlows::Together,
    };
    Failback { when, flows }
}

/// Flows that stay behind on a metered line cost money; elsewhere they may stay until they end.
fn usual_flows(tiers: &[Vec<UplinkId>], uplinks: &[Uplink]) -> FailbackFlows {
    let metered = |id: &UplinkId| uplinks.get(id.index()).is_some_and(|uplink| uplink.metered.is_some());
    if tiers.iter().flatten().any(metered) {
        FailbackFlows::Cut { grace: FailbackFlows::GRACE }
    } else {
        FailbackFlows::Drain { at_most: None }
    }
}

fn after_default(name: &Name, place: Place, first: Place, faults: &mut Collector<'_>) {
    let line = faults.line(first);
    let fault = Fault::new(Kind::PathNeverReached, format!("path `{name}` is never reached"))
        .because(format!("the first match wins, and `default` on line {line} takes everything"))
        .hint("move `default` to the end");
    faults.add(place, fault);
}

fn never_reached(paths: &[(Path, Place)], faults: &mut Collector<'_>) {
    for (index, (later, place)) in paths.iter().enumerate() {
        let taken = |wanted: &Match| {
            paths[..index].iter().find(|(earlier, _)| earlier.matches.iter().any(|it| cover::matches(it, wanted)))
        };
        let Some(takers) = later.matches.iter().map(taken).collect::<Option<Vec<_>>>() else { continue };
        let Some((earlier, first)) = takers.first() else { continue };
        let line = faults.line(*first);
        let fault = Fault::new(Kind::PathNeverReached, format!("path `{}` is never reached", later.name))
            .because(format!("the first match wins, and path `{}` on line {line} takes all of it", earlier.name))
            .hint("move it before the other, or make its `match` wider");
        faults.add(*place, fault);
    }
}
