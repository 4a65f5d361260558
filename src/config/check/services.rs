//! What serves the branch beside forwarding: names, figures, access, trials, and what staff is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::targets::check;
use super::uplinks::unusable_address;
use super::{Scope, at_most, duration, integer, not_empty, once, twice, unusable};
use crate::config::branch::{
    Access, Apply, Dns, DnsRoute, Drift, Forwarders, Identity, Override, Place as BranchPlace, Reports, Responder,
    Service, SshKey, Timers,
};
use crate::config::fault::{Author, Collector, Fault, Kind, Place};
use crate::config::model::{Name, Network, Telemetry, limits};
use crate::config::raw::probes::Probes;
use crate::config::raw::read::At;
use crate::config::raw::services as raw;
use crate::config::raw::settable::{Settable, set};
use crate::config::raw::values::List;

const STATUS_PAGE: &str = "the status page";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn place(site: Option<&At<raw::SiteRules>>, identity: &Identity) -> BranchPlace {
    let site = site.map(|at| &at.value);
    BranchPlace {
        phone: identity.phone.clone(),
        language: site.and_then(|site| site.language.as_ref()).map(|at| at.value.0.clone()),
        timezone: site.and_then(|site| set(site.timezone.as_ref())).map(|at| at.value.0),
        hours: site.and_then(|site| set(site.hours.as_ref())).map(|at| at.value),
    }
}

pub(super) fn responders(probes: Option<&At<Probes>>, faults: &mut Collector<'_>) -> Vec<Responder> {
    let Some(list) = probes.and_then(|at| at.value.responders.as_ref()) else { return Vec::new() };
    not_empty(list, list.value.is_empty(), faults);
    let mut responders: Vec<(Responder, Place)> = Vec::new();
    for at in at_most(list, limits::RESPONDERS, faults) {
        let (Some(address), Some(key)) = (&at.value.address, &at.value.key) else { continue };
        let found = Responder { address: address.value.0, key: key.value.0 };
        if let Some(why) = unusable(found.address.ip()) {
            unusable_address(&address.map(|it| it.0.to_string()), &format!("it is {why}"), faults);
        }
        if let Some((_, first)) = responders.iter().find(|(other, _)| other.address == found.address) {
            let line = faults.line(*first);
            faults.add(address.place, twice(found.address, &list.key, line));
        }
        responders.push((found, at.place));
    }
    let networks: BTreeSet<IpNet> = responders.iter().filter_map(|(it, _)| network(it.address.ip())).collect();
    if let (Some((_, place)), true) = (responders.first(), networks.len() < 2 && list.value.whole) {
        let fault = Fault::new(Kind::RespondersOneNetwork, "no two responders are in different networks")
            .because("when their network fails, no uplink could be proved any more")
            .hint("run a second one with another provider, or leave `responders` out");
        faults.add(*place, fault);
    }
    responders.into_iter().map(|(responder, _)| responder).collect()
}

/// What one operator's fault takes away.
fn network(address: IpAddr) -> Option<IpNet> {
    IpNet::new(address, if address.is_ipv4() { 24 } else { 48 }).ok().map(|net| net.trunc())
}

pub(super) fn dns(raw: Option<&At<raw::Dns>>, faults: &mut Collector<'_>) -> Dns {
    let mut dns = Dns { forwarders: Forwarders::Uplink, domain: None, routes: Vec::new() };
    let Some(raw) = raw.map(|at| &at.value) else { return dns };
    if let Some(at) = &raw.forwarders
        && let raw::Forwarders::These(list) = &at.value
    {
        dns.forwarders = Forwarders::These(servers(&at.map(|_| list.clone()), faults));
    }
    dns.domain = raw.domain.as_ref().map(|at| at.value.0.clone());
    let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
    let routes = raw.routes.as_ref().map_or(&[][..], |list| at_most(list, limits::DNS_ROUTES, faults));
    for at in routes {
        let asked = at.value.servers.as_ref().map(|list| servers(list, faults));
        let (Some(zone), Some(servers)) = (&at.value.zone, asked) else { continue };
        if let Some(first) = seen.insert(&zone.value.0, zone.place) {
            let line = faults.line(first);
            faults.add(zone.place, twice(&zone.value.0, "dns.routes", line));
        }
        dns.routes.push(DnsRoute { zone: zone.value.0.clone(), servers });
    }
    dns
}

fn servers(list: &At<List<IpAddr>>, faults: &mut Collector<'_>) -> Vec<IpAddr> {
    not_empty(list, list.value.is_empty(), faults);
    let entries = once(list, limits::RESOLVERS, faults);
    for at in &entries {
        if let Some(why) = unusable(at.value) {
            unusable_address(&at.map(IpAddr::to_string), &format!("it is {why}"), faults);
        }
    }
    entries.into_iter().map(|at| at.value).collect()
}

pub(super) fn telemetry(
    raw: Option<&At<raw::Telemetry>>,
    networks: &[Network],
    scope: &Scope,
    faults: &mut Collector<'_>,
) -> (Telemetry, Reports) {
    let raw = raw.map(|at| &at.value);
    let metrics_on = raw.and_then(|raw| raw.metrics_on.as_ref());
    let metrics_on = served_on(metrics_on, "metrics", networks, scope, faults);
    let status_page_on = raw.and_then(|raw| raw.status_page_on.as_ref());
    let status_page_on = served_on(status_page_on, STATUS_PAGE, networks, scope, faults);
    // Below 1024 a capability is needed, and who serves metrics has none.
    let port = raw.and_then(|raw| raw.metrics_port.as_ref());
    let metrics_port = integer(port, 1_024..=u16::MAX, Telemetry::METRICS_PORT, faults);
    let push = raw.and_then(|raw| raw.push.as_ref());
    if let Some(at) = push
        && at.value == raw::Push::Office
        && faults.author == Author::Gateway
    {
        let fault = Fault::new(Kind::OfficeOnly, format!("`{}` cannot be \"office\"", at.key))
            .because("a gateway that stands alone has no head office to send figures to")
            .hint("take it out, and let Prometheus read metrics_on");
        faults.add(at.place, fault);
    }
    let every = raw.and_then(|raw| raw.every.as_ref());
    let every = duration(every, Duration::from_secs(5)..=HOUR, Reports::EVERY, faults);
    let metered = raw.and_then(|raw| raw.metered_every.as_ref());
    let metered_every = duration(metered, every..=HOUR * 6, Reports::METERED_EVERY.max(every), faults);
    let push = push.is_some_and(|at| at.value == raw::Push::Office);
    (Telemetry { metrics_on, metrics_port, status_page_on }, Reports { push, every, metered_every })
}

/// Networks on which something is served, which takes an address of ours.
fn served_on(
    list: Option<&At<Settable<List<Name>>>>,
    what: &str,
    networks: &[Network],
    scope: &Scope,
    faults: &mut Collector<'_>,
) -> Vec<Name> {
    let Some(mut list) = set(list) else { return Vec::new() };
    // Entries of a variable have no place of their own.
    for entry in list.value.entries.iter_mut().filter(|entry| entry.key.is_empty()) {
        (entry.key, entry.place) = (list.key.clone(), list.place);
    }
    let mut names = Vec::new();
    for at in once(&list, limits::NETWORKS, faults) {
        let Some(name) = scope.network(at, faults) else { continue };
        let bare = networks.iter().any(|it| it.name == name && it.net.is_none() && it.net6.is_none());
        if bare {
            let fault = Fault::new(Kind::MetricsAddress, format!("{what} cannot be served on network `{name}`"))
                .because("the gateway has no address there")
                .hint(format!("give it one, for example networks.{name}.net = \"192.168.10.0/24\""));
            faults.add(at.place, fault);
        }
        let guests = networks.iter().any(|it| it.name == name && it.isolate);
        if guests && what == STATUS_PAGE {
            let fault = Fault::new(Kind::Isolated, format!("{what} cannot be served on isolated network `{name}`"))
                .because("it is for the branch's own people, and isolate = true is for guests")
                .hint("take the network out, or take `isolate` out");
            faults.add(at.place, fault);
        }
        names.push(name);
    }
    names
}

pub(super) fn access(raw: Option<&At<raw::Access>>, faults: &mut Collector<'_>) -> Access {
    let mut access = Access::default();
    let Some(raw) = raw.map(|at| &at.value) else { return access };
    let mut names: BTreeMap<&Name, Place> = BTreeMap::new();
    let mut keys: BTreeMap<&str, Place> = BTreeMap::new();
    for at in raw.ssh.as_ref().map_or(&[][..], |list| at_most(list, limits::SSH_KEYS, faults)) {
        let (Some(name), Some(key)) = (&at.value.name, &at.value.key) else { continue };
        if let Some(first) = names.insert(&name.value, name.place) {
            let line = faults.line(first);
            faults.add(name.place, twice(&name.value, "access.ssh", line));
        }
        if let Some(first) = keys.insert(&key.value.0, key.place) {
            let line = faults.line(first);
            faults.add(key.place, twice("the same key", "access.ssh", line));
        }
        access.ssh.push(SshKey { name: name.value.clone(), key: key.value.0.clone() });
    }
    access.overriding = raw.r#override.as_ref().map(|at| {
        let max = duration(at.value.max.as_ref(), HOUR..=DAY * 30, Override::MAX, faults);
        let sections = at.value.sections.as_ref().map_or_else(Vec::new, |list| {
            not_empty(list, list.value.is_empty(), faults);
            once(list, limits::LIST, faults).into_iter().map(|at| at.value).collect()
        });
        Override { sections, max }
    });
    access
}

pub(super) fn apply(raw: Option<&At<raw::Apply>>, faults: &mut Collector<'_>) -> Apply {
    let raw = raw.map(|at| &at.value);
    let must_work = raw.and_then(|raw| raw.must_work.as_ref());
    let must_work = must_work.map_or(&[][..], |list| at_most(list, limits::TARGETS, faults));
    let must_work = must_work.iter().filter_map(|at| check(at, faults)).collect();
    let defer = raw.and_then(|raw| raw.defer.as_ref());
    let defer = defer.map_or_else(Vec::new, |list| once(list, limits::LIST, faults));
    let defer = defer.into_iter().map(|at| at.value).collect();
    let drift = raw.and_then(|raw| raw.drift.as_ref()).map(|at| &at.value);
    let mode = |of: fn(&raw::Drift) -> &Option<At<crate::config::branch::DriftMode>>| {
        drift.and_then(|drift| of(drift).as_ref()).map(|at| at.value).unwrap_or_default()
    };
    let drift = Drift {
        uplinks: mode(|it| &it.uplinks),
        networks: mode(|it| &it.networks),
        dns: mode(|it| &it.dns),
        firewall: mode(|it| &it.firewall),
        access: mode(|it| &it.access),
    };
    Apply { must_work, defer, timers: timers(raw.and_then(|raw| raw.timers.as_ref()), faults), drift }
}

fn timers(raw: Option<&At<raw::Timers>>, faults: &mut Collector<'_>) -> Timers {
    let written = raw.map(|at| &at.value);
    let soft = written.and_then(|it| it.soft.as_ref());
    let soft = duration(soft, MINUTE / 2..=MINUTE * 10, Timers::SOFT, faults);
    let hard = written.and_then(|it| it.hard.as_ref());
    let hard = duration(hard, MINUTE * 2..=HOUR * 2, Timers::HARD, faults);
    let soak = written.and_then(|it| it.soak.as_ref());
    // A lab tries many changes in an hour.
    let soak = duration(soak, MINUTE / 6..=DAY, Timers::SOAK, faults);
    if let Some(at) = raw
        && soft >= hard
    {
        let show = crate::config::words::duration;
        let fault = Fault::new(Kind::TimerOrder, format!("`{}` would never wait for head office", at.key))
            .because(format!("soft is {}, hard is {}", show(soft), show(hard)))
            .hint("let hard be longer than soft; 90s and 15m are usual");
        faults.add(at.place, fault);
    }
    Timers { soft, hard, soak }
}

pub(super) fn services(
    raw: Option<&At<List<raw::Service>>>,
    scope: &Scope,
    faults: &mut Collector<'_>,
) -> Vec<Service> {
    let Some(list) = raw else { return Vec::new() };
    let mut seen: BTreeMap<&Name, Place> = BTreeMap::new();
    let mut services = Vec::new();
    for at in at_most(list, limits::SERVICES, faults) {
        let raw::Service { sound: _, name, from, check: asked, when: _ } = &at.value;
        let from = from.as_ref().and_then(|from| scope.network(from, faults));
        let asked = asked.as_ref().and_then(|asked| check(asked, faults));
        let Some(name) = name else { continue };
        if let Some(first) = seen.insert(&name.value, name.place) {
            let line = faults.line(first);
            faults.add(name.place, twice(&name.value, "services", line));
        }
        if let (Some(from), Some(check)) = (from, asked) {
            services.push(Service { name: name.value.clone(), from, check });
        }
    }
    services
}
