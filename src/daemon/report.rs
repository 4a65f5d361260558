//! The one [`Status`], made from the engine and the chronicle when somebody asks.

use std::net::SocketAddr;
use std::time::Duration;

use super::chronicle::Chronicle;
use super::clock;
use super::gateways::Gateways;
use super::usage::Usage;
use crate::config::branch::Place;
use crate::config::model::{Family, Gateway, PathId, TargetId, UplinkId};
use crate::control::status::*;
use crate::engine::Engine;
use crate::front;
use crate::health::Verdict;
use crate::health::line::Line;
use crate::health::local::{Gateway as Hop, Link};
use crate::policy::Selection;
use crate::probe::Outcome;
use crate::time::Instant;

/// What else belongs into a status.
pub(super) struct Around<'a> {
    pub chronicle: &'a Chronicle,
    pub usage: &'a Usage,
    pub config: &'a ConfigStatus,
    pub warnings: &'a [String],
    pub gateways: &'a Gateways,
    pub started: Instant,
    pub internet_since: Instant,
}

/// Of the config, what `front` and people are told: all but whence it came.
pub(super) fn shown(config: &Gateway, place: &Place) -> ConfigStatus {
    let listed = |addresses: Vec<SocketAddr>| addresses.iter().map(ToString::to_string).collect();
    ConfigStatus {
        metrics_on: listed(front::metrics_addresses(config)),
        status_page_on: listed(front::page_addresses(config)),
        language: place.language.clone(),
        timezone: place.timezone.clone(),
        phone: place.phone.clone(),
        ..ConfigStatus::default()
    }
}

pub(super) fn moment(at: Instant, now: Instant) -> Moment {
    Moment::of(at, now, clock::wall_ms())
}

pub(super) fn status(engine: &Engine, around: &Around<'_>, now: Instant) -> Status {
    let config = engine.config();
    let uplinks: Vec<UplinkStatus> = config.uplink_ids().map(|id| uplink(engine, around, id, now)).collect();
    let paths: Vec<PathStatus> = config.path_ids().map(|id| path(engine, id, now)).collect();
    let state = InternetState::of(&uplinks, &paths[PathId::DEFAULT.index()]);
    let name = |id: UplinkId| config.uplink(id).name.to_string();
    let preference = engine.preferred().filter(|_| engine.drilled().is_none());
    Status {
        schema_version: SCHEMA_VERSION,
        version: crate::VERSION.to_owned(),
        site: config.site.name.clone(),
        owner: config.site.owner.clone(),
        wall_ms: clock::wall_ms(),
        uptime_ms: whole_ms(now.since(around.started)),
        internet: Internet { state, since: moment(around.internet_since, now) },
        uplinks,
        paths,
        last_switch: around.chronicle.last_switch().map(|told| SwitchStatus {
            at: moment(told.at, now),
            path: config.paths.get(told.switch.path.index()).map_or_else(String::new, |path| path.name.to_string()),
            family: told.switch.family,
            from: told.switch.from.uplinks().map(name).collect(),
            to: told.switch.to.uplinks().map(name).collect(),
            reason: told.reason(),
            detection_ms: told.detection_ms,
            took_ms: told.took_ms,
            flows_reset: told.flows.reset,
            flows_nudged: told.flows.nudged,
        }),
        lock: around
            .chronicle
            .lock
            .as_ref()
            .filter(|_| engine.is_locked())
            .map(|(by, since)| Lock { by: by.clone(), since: moment(*since, now) }),
        preference: preference.map(|(uplink, until)| Preference {
            uplink: name(uplink),
            by: around.chronicle.preferred_by.clone(),
            left_ms: until.map(|until| whole_ms(until.since(now))),
        }),
        drill: engine.drilled().map(|uplink| DrillRunning {
            uplink: name(uplink),
            since: moment(around.chronicle.drill_since.unwrap_or(now), now),
        }),
        config: around.config.clone(),
        warnings: around.warnings.to_vec(),
    }
}

fn uplink(engine: &Engine, around: &Around<'_>, id: UplinkId, now: Instant) -> UplinkStatus {
    let config = engine.config();
    let uplink = config.uplink(id);
    let first = config.paths[PathId::DEFAULT.index()].tiers.first();
    let today = clock::wall_ms().map(|_| jiff::Zoned::now().date());
    let lines = || Family::BOTH.into_iter().filter_map(|family| Some((family, engine.line(id, family)?)));
    UplinkStatus {
        name: uplink.name.to_string(),
        device: uplink.device.to_string(),
        role: if first.is_some_and(|tier| tier.contains(&id)) { Role::Primary } else { Role::Backup },
        medium: uplink.medium.name().to_owned(),
        provider: uplink.provider.clone(),
        circuit: uplink.circuit.clone(),
        carrier: lines().next().map(|(_, line)| line.link() == Link::Up),
        plan: uplink.metered.map(|metered| Plan {
            used_bytes: engine.usage(id),
            limit_bytes: metered.plan,
            ends_wall_ms: around.usage.ends(config, id, today).and_then(|ends| {
                let zone = jiff::tz::TimeZone::system();
                u64::try_from(ends.to_zoned(zone).ok()?.timestamp().as_millisecond()).ok()
            }),
        }),
        families: lines()
            .map(|(family, line)| {
                let mut status = family_status(engine, id, family, line, now);
                if around.gateways.is_open(id, family) && status.evidence.verdict == Some(Verdict::Silent) {
                    status.evidence.cause = None;
                }
                status
            })
            .collect(),
        last_outage: around.chronicle.outage(id, now),
        last_drill: around.chronicle.drill(id, now),
    }
}

fn family_status(engine: &Engine, id: UplinkId, family: Family, line: &Line, now: Instant) -> FamilyStatus {
    let config = engine.config();
    let uplink = config.uplink(id);
    let figures = line.quality().figures();
    let carries = config.path_ids().filter(|path| engine.path(*path, family).selection.contains(id));
    let mut evidence = line.evidence().clone();
    for target in evidence.silent_targets.iter_mut().chain(&mut evidence.suspect_targets) {
        *target = engine.site_target(id, family, *target);
    }
    let targets = (0u8..).zip(line.targets()).map(|(index, health)| {
        let site = engine.site_target(id, family, TargetId(index));
        let mut status = TargetStatus::of(site, &uplink.targets[site.index()]);
        if let Some(outcome) = health.last_outcome {
            let answered = matches!(outcome, Outcome::Reply { .. } | Outcome::Late { .. });
            let settled = if answered { health.last_reply } else { health.last_sent }.unwrap_or(now);
            status = status.settled(outcome, whole_ms(now.since(settled)));
        }
        status.rtt_ms = status.rtt_ms.or(health.rtt.smoothed().map(fine_ms));
        status.suspect = health.suspect;
        status
    });
    FamilyStatus {
        family,
        state: line.state(),
        since: moment(line.since(), now),
        evidence: Evidence::of(&evidence, uplink),
        last_life_ago_ms: line.last_life().map(|life| whole_ms(now.since(life))),
        interval_ms: whole_ms(line.interval(now)),
        loss: figures.loss,
        rtt_p50_ms: figures.rtt_median.map(fine_ms),
        rtt_p95_ms: figures.rtt_p95.map(fine_ms),
        jitter_ms: figures.jitter.map(fine_ms),
        recover_left_ms: line.recovers_at().map(|at| whole_ms(at.since(now))),
        address: line.address().map(|address| address.to_string()),
        gateway: line.gateway().map(|gateway| match gateway {
            Hop::Via(address) => address.to_string(),
            Hop::OnLink => uplink.device.to_string(),
        }),
        carries: carries.map(|path| config.paths[path.index()].name.to_string()).collect(),
        targets: targets.collect(),
    }
}

fn path(engine: &Engine, id: PathId, now: Instant) -> PathStatus {
    let config = engine.config();
    let path = &config.paths[id.index()];
    let name = |id: UplinkId| config.uplink(id).name.to_string();
    let has = |family: Family| path.uplinks().any(|uplink| config.uplink(uplink).has(family));
    let families = Family::BOTH.into_iter().filter(|family| has(*family)).map(|family| {
        let state = engine.path(id, family);
        let shares = |selection: &Selection| {
            selection.0.iter().map(|(uplink, weight)| Share { uplink: name(*uplink), weight: *weight }).collect()
        };
        PathFamily {
            family,
            uplinks: shares(&state.selection),
            since: state.switched.map_or_else(Moment::default, |at| moment(at, now)),
            reason: state.reason.map(Into::into),
            suppressed: state.suppressed,
            failback_in_ms: state.failback_earliest.map(|at: Instant| whole_ms(at.since(now).max(Duration::ZERO))),
        }
    });
    PathStatus {
        name: path.name.to_string(),
        order: path.tiers.iter().map(|tier| tier.iter().map(|uplink| name(*uplink)).collect()).collect(),
        families: families.collect(),
    }
}
