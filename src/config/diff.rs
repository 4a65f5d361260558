//! What changes between two configs, by meaning: names are compared, not positions, and each change says in words what it
//! is and whom it disturbs. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::branch::{Access, Apply, Branch, Dns, Drift, Forwarders, Place, Rates, Reports, Service};
use super::model::{
    Bridged, Check, Gateway, Match, Name, Network, Otherwise, Path, Profile, Rule, Target, Uplink, UplinkId,
};
use super::words;

/// What running traffic notices of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disturbance {
    /// Nothing.
    None,
    /// A service restarts, under a second; forwarding goes on.
    Blip,
    /// An uplink's or a network's addressing or ports: its flows may end.
    Cut,
}

impl Disturbance {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Blip => "blip",
            Self::Cut => "cut",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// One line, such as `uplink lte: ipv4 dhcp → 203.0.113.2/30 via 203.0.113.1`.
    pub words: String,
    pub disturbance: Disturbance,
}

/// Empty if both mean the same, whatever the order in which they say it. Lines of rules have no names and are compared
/// as they read: since they only allow, their order means nothing.
pub fn diff(old: &Branch, new: &Branch) -> Vec<Change> {
    // Names every part, so that a new one cannot be forgotten here.
    let Branch {
        gateway,
        place: where_,
        rates: _,
        responders,
        dns: names,
        reports: sent,
        access: keys,
        apply: trial,
        services: shown,
    } = new;
    let mut changes = Changes(Vec::new());
    site(&old.gateway, gateway, &mut changes);
    place(&old.place, where_, &mut changes);
    uplinks(old, new, &mut changes);
    paths(&old.gateway, gateway, &mut changes);
    networks(&old.gateway, gateway, &mut changes);
    firewall(&old.gateway, gateway, &mut changes);
    dns(&old.dns, names, &mut changes);
    served(&old.gateway, gateway, &mut changes);
    reports(&old.reports, sent, &mut changes);
    let proves = |list: &[super::branch::Responder]| {
        list.iter().map(|it| format!("{} with key {}", it.address, hex(&it.key[..6]))).collect::<BTreeSet<_>>()
    };
    set("probes", "proved by", &proves(&old.responders), &proves(responders), &mut changes);
    access(&old.access, keys, &mut changes);
    apply(&old.apply, trial, &mut changes);
    services(&old.services, shown, &mut changes);
    changes.0
}

struct Changes(Vec<Change>);

impl Changes {
    fn add(&mut self, disturbance: Disturbance, words: impl Into<String>) {
        self.0.push(Change { words: words.into(), disturbance });
    }

    /// One value of one thing.
    fn value(&mut self, disturbance: Disturbance, what: &str, old: &str, new: &str) {
        if old != new {
            self.add(disturbance, format!("{what} {old} → {new}"));
        }
    }
}

/// Pairs by name, in the order of `new`, then what is gone.
fn pairs<'a, T>(old: &'a [T], new: &'a [T], name: impl Fn(&T) -> &Name) -> Vec<(Option<&'a T>, Option<&'a T>)> {
    let find = |list: &'a [T], wanted: &Name| list.iter().find(|it| name(it) == wanted);
    let kept = new.iter().map(|it| (find(old, name(it)), Some(it)));
    let gone = old.iter().filter(|it| find(new, name(it)).is_none()).map(|it| (Some(it), None));
    kept.chain(gone).collect()
}

fn site(old: &Gateway, new: &Gateway, changes: &mut Changes) {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
    changes.value(Disturbance::None, "site: name", &old.site.name, &new.site.name);
    changes.value(Disturbance::None, "site: owner", &text(&old.site.owner), &text(&new.site.owner));
}

fn place(old: &Place, new: &Place, changes: &mut Changes) {
    let Place { phone, language, timezone, hours } = new;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
    let week =
        |place: &Option<super::branch::Week>| place.as_ref().map_or_else(|| "always".to_owned(), ToString::to_string);
    changes.value(Disturbance::None, "site: phone", &text(&old.phone), &text(phone));
    changes.value(Disturbance::None, "site: language", &text(&old.language), &text(language));
    changes.value(Disturbance::None, "site: timezone", &text(&old.timezone), &text(timezone));
    changes.value(Disturbance::None, "site: hours", &week(&old.hours), &week(hours));
}

fn uplinks(old: &Branch, new: &Branch, changes: &mut Changes) {
    let rates = |branch: &Branch, name: &Name| {
        let index = branch.gateway.uplinks.iter().position(|uplink| uplink.name == *name);
        index.and_then(|index| u8::try_from(index).ok()).map(|index| branch.rates(UplinkId(index))).unwrap_or_default()
    };
    let rate = |rate: Option<u64>| rate.map_or_else(|| "not known".to_owned(), words::rate);
    for pair in pairs(&old.gateway.uplinks, &new.gateway.uplinks, |uplink| &uplink.name) {
        match pair {
            (Some(before), Some(after)) => {
                uplink(before, after, changes);
                let Rates { down, up } = rates(new, &after.name);
                let earlier = rates(old, &before.name);
                let what = |key: &str| format!("uplink {}: {key}", after.name);
                changes.value(Disturbance::None, &what("down"), &rate(earlier.down), &rate(down));
                changes.value(Disturbance::None, &what("up"), &rate(earlier.up), &rate(up));
            }
            (None, Some(new)) => {
                changes.add(Disturbance::None, format!("uplink {} is new, on {}", new.name, new.device));
            }
            (Some(old), None) => changes.add(Disturbance::Cut, format!("uplink {} goes away", old.name)),
            (None, None) => {}
        }
    }
}

fn uplink(old: &Uplink, new: &Uplink, changes: &mut Changes) {
    // Names every field, so that a new one cannot be forgotten here.
    let Uplink { name, device, medium, provider, circuit, metered, weight, ipv4, ipv6, profile, targets, enabled } =
        new;
    let what = |key: &str| format!("uplink {name}: {key}");
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
    let plan = |uplink: &Uplink| uplink.metered.as_ref().map_or_else(|| "off".to_owned(), words::metered);
    changes.value(Disturbance::Cut, &what("device"), old.device.as_str(), device.as_str());
    changes.value(Disturbance::Cut, &what("ipv4"), &words::ipv4(&old.ipv4), &words::ipv4(ipv4));
    changes.value(Disturbance::Cut, &what("ipv6"), &words::ipv6(&old.ipv6), &words::ipv6(ipv6));
    match (old.enabled, *enabled) {
        (true, false) => changes.add(Disturbance::Cut, format!("uplink {name} is taken out of use")),
        (false, true) => changes.add(Disturbance::None, format!("uplink {name} is taken into use")),
        (true, true) | (false, false) => {}
    }
    changes.value(Disturbance::None, &what("medium"), old.medium.name(), medium.name());
    changes.value(Disturbance::None, &what("provider"), &text(&old.provider), &text(provider));
    changes.value(Disturbance::None, &what("circuit"), &text(&old.circuit), &text(circuit));
    if old.metered != *metered {
        changes.value(Disturbance::None, &what("metered"), &plan(old), &plan(new));
    }
    changes.value(Disturbance::None, &what("weight"), &old.weight.to_string(), &weight.to_string());
    for ((key, old), (_, new)) in timings(&old.profile).into_iter().zip(timings(profile)) {
        changes.value(Disturbance::None, &what(key), &old, &new);
    }
    let asked = |targets: &[Target]| targets.iter().map(asked).collect::<BTreeSet<_>>();
    let (before, after) = (asked(&old.targets), asked(targets));
    for target in after.difference(&before) {
        changes.add(Disturbance::None, format!("uplink {name}: also asks {target}"));
    }
    for target in before.difference(&after) {
        changes.add(Disturbance::None, format!("uplink {name}: no longer asks {target}"));
    }
}

/// The label says whom and how; two checks that differ only in what they expect must not look alike.
fn asked(target: &Target) -> String {
    format!("{} ({})", checked(&target.check), target.family)
}

fn checked(check: &Check) -> String {
    use super::model::{DnsAnswer, Family};
    let detail = match check {
        Check::Icmp { .. } | Check::Tcp { .. } => String::new(),
        Check::Dns { name, expect, .. } => match expect {
            DnsAnswer::Address => format!(" for {name}"),
            DnsAnswer::NoSuchName => format!(" for {name}, which must not exist"),
            DnsAnswer::Exactly(address) => format!(" for {name}, which must be {address}"),
        },
        Check::Http { status, contains, .. } => match contains {
            None => format!(" expecting {status}"),
            Some(text) => format!(" expecting {status} and {text:?}"),
        },
    };
    format!("{}{detail}", Target { family: Family::V4, check: check.clone() }.label())
}

fn timings(profile: &Profile) -> [(&'static str, String); 14] {
    let Profile { interval, interval_standby, overdue_floor, burst_spacing, dead_after, min_probes, .. } = profile;
    let Profile { quiet_after, counters_every, recover_after, quality_window, loss, rtt, jitter, quorum, .. } = profile;
    let show = |value: &std::time::Duration| words::duration(*value);
    let band = |enter: String, leave: String| format!("{enter}/{leave}");
    [
        ("interval", show(interval)),
        ("interval_standby", show(interval_standby)),
        ("overdue_floor", show(overdue_floor)),
        ("burst_spacing", show(burst_spacing)),
        ("dead_after", show(dead_after)),
        ("min_probes", min_probes.to_string()),
        ("quiet_after", show(quiet_after)),
        ("counters_every", show(counters_every)),
        ("recover_after", show(recover_after)),
        ("quality_window", show(quality_window)),
        ("loss", band(words::percent(loss.enter), words::percent(loss.leave))),
        ("rtt", band(show(&rtt.enter), show(&rtt.leave))),
        ("jitter", jitter.as_ref().map_or_else(|| "off".to_owned(), |it| band(show(&it.enter), show(&it.leave)))),
        ("quorum", quorum.map_or_else(|| "all but one".to_owned(), |quorum| quorum.to_string())),
    ]
}

fn paths(old: &Gateway, new: &Gateway, changes: &mut Changes) {
    for pair in pairs(&old.paths, &new.paths, |path| &path.name) {
        match pair {
            (Some(before), Some(after)) => path(old, before, new, after, changes),
            (None, Some(after)) => {
                let takes = words::tiers(new, &after.tiers);
                changes.add(
                    Disturbance::None,
                    format!("path {} is new: {} takes {takes}", after.name, matched(&after.matches)),
                );
            }
            (Some(before), None) => changes.add(Disturbance::None, format!("path {} goes away", before.name)),
            (None, None) => {}
        }
    }
    // Only among those that both have: what comes and goes is told above.
    let order = |these: &Gateway, others: &Gateway| {
        let shared = |path: &&Path| others.paths.iter().any(|other| other.name == path.name);
        words::comma(these.paths.iter().filter(shared).map(|path| path.name.clone()).collect::<Vec<_>>())
    };
    changes.value(Disturbance::None, "paths: order", &order(old, new), &order(new, old));
}

fn path(old: &Gateway, before: &Path, new: &Gateway, after: &Path, changes: &mut Changes) {
    let Path { name, matches, tiers, failback, otherwise, min_hold } = after;
    let what = |key: &str| format!("path {name}: {key}");
    let last = |otherwise: Otherwise| match otherwise {
        Otherwise::Keep => "keep",
        Otherwise::Reject => "reject",
    };
    let none = Disturbance::None;
    changes.value(none, &what("match"), &matched(&before.matches), &matched(matches));
    changes.value(none, &what("prefer"), &words::tiers(old, &before.tiers), &words::tiers(new, tiers));
    changes.value(none, &what("failback"), &words::failback(&before.failback), &words::failback(failback));
    changes.value(none, &what("otherwise"), last(before.otherwise), last(*otherwise));
    changes.value(none, &what("min_hold"), &words::duration(before.min_hold), &words::duration(*min_hold));
}

fn matched(matches: &[Match]) -> String {
    if matches.is_empty() {
        return "all traffic".to_owned();
    }
    let sorted = |condition: &Match| {
        let mut condition = condition.clone();
        condition.from.sort_unstable();
        condition.source.sort_unstable();
        condition.destination.sort_unstable();
        condition.dscp.sort_unstable();
        condition.services.sort_by_key(|service| words::service(*service));
        words::matched(&condition)
    };
    let alternatives: BTreeSet<String> = matches.iter().map(sorted).collect();
    alternatives.into_iter().collect::<Vec<_>>().join(" or ")
}

fn networks(old: &Gateway, new: &Gateway, changes: &mut Changes) {
    for pair in pairs(&old.networks, &new.networks, |network| &network.name) {
        match pair {
            (Some(old), Some(new)) => network(old, new, changes),
            (None, Some(new)) => changes.add(Disturbance::None, format!("network {} is new", new.name)),
            (Some(old), None) => changes.add(Disturbance::Cut, format!("network {} goes away", old.name)),
            (None, None) => {}
        }
    }
}

fn network(old: &Network, new: &Network, changes: &mut Changes) {
    let Network { name, ports: _, bridged, net, net6, dhcp, fixed, limit_down, isolate } = new;
    let what = |key: &str| format!("network {name}: {key}");
    let text = |net: Option<String>| net.unwrap_or_else(|| "none".to_owned());
    let vlan = |bridged: &Option<Bridged>| text(bridged.as_ref().map(|it| it.vlan.to_string()));
    changes.value(Disturbance::Cut, &what("ports"), &members(old), &members(new));
    changes.value(Disturbance::Cut, &what("vlan"), &vlan(&old.bridged), &vlan(bridged));
    let (before, after) = (old.net.map(|net| net.to_string()), net.map(|net| net.to_string()));
    changes.value(Disturbance::Cut, &what("net"), &text(before), &text(after));
    let (before, after) = (old.net6.map(|net| net.to_string()), net6.map(|net| net.to_string()));
    changes.value(Disturbance::Cut, &what("net6"), &text(before), &text(after));
    let (before, after) = (old.dhcp.as_ref().map(words::dhcp), dhcp.as_ref().map(words::dhcp));
    changes.value(Disturbance::Blip, &what("dhcp"), &text(before), &text(after));
    for pair in pairs(&old.fixed, fixed, |host| &host.name) {
        match pair {
            (Some(old), Some(new)) => {
                changes.value(
                    Disturbance::None,
                    &what(&format!("fixed host {}", new.name)),
                    &words::fixed_host(old),
                    &words::fixed_host(new),
                );
            }
            (None, Some(new)) => {
                changes.add(
                    Disturbance::None,
                    format!("network {name}: fixed host {} is new, {}", new.name, words::fixed_host(new)),
                );
            }
            (Some(old), None) => {
                changes.add(Disturbance::None, format!("network {name}: fixed host {} goes away", old.name))
            }
            (None, None) => {}
        }
    }
    let (before, after) = (old.limit_down.map(words::rate), limit_down.map(words::rate));
    changes.value(Disturbance::None, &what("limit_down"), &text(before), &text(after));
    changes.value(Disturbance::None, &what("isolate"), &old.isolate.to_string(), &isolate.to_string());
}

/// Devices as they are written: those of a bridge with how they carry the network.
fn members(network: &Network) -> String {
    match &network.bridged {
        None => words::comma(network.ports.iter().collect::<BTreeSet<_>>()),
        Some(Bridged { vlan: _, untagged, tagged }) => {
            let tagged = tagged.iter().map(|port| format!("{port} tagged"));
            words::comma(untagged.iter().map(ToString::to_string).chain(tagged).collect::<BTreeSet<_>>())
        }
    }
}

fn firewall(old: &Gateway, new: &Gateway, changes: &mut Changes) {
    let lines = |rules: &[Rule]| rules.iter().map(rule).collect::<BTreeSet<_>>();
    let (before, after) = (lines(&old.firewall.rules), lines(&new.firewall.rules));
    for line in after.difference(&before) {
        changes.add(Disturbance::None, format!("firewall: now allows {line}"));
    }
    for line in before.difference(&after) {
        changes.add(Disturbance::None, format!("firewall: no longer allows {line}"));
    }
    for pair in pairs(&old.firewall.forwards, &new.firewall.forwards, |forward| &forward.name) {
        match pair {
            (Some(before), Some(after)) => {
                let what = format!("forward {}:", after.name);
                changes.value(Disturbance::None, &what, &words::forward(old, before), &words::forward(new, after));
            }
            (None, Some(after)) => {
                let leads = words::forward(new, after);
                changes.add(Disturbance::None, format!("forward {} is new: {leads}", after.name));
            }
            (Some(before), None) => changes.add(Disturbance::None, format!("forward {} goes away", before.name)),
            (None, None) => {}
        }
    }
}

/// In one order, whatever the order of its lists.
fn rule(rule: &Rule) -> String {
    let mut rule = rule.clone();
    rule.from.sort_unstable();
    rule.to.sort_unstable();
    rule.destination.sort_unstable();
    rule.allow.sort_by_key(|service| words::service(*service));
    words::rule(&rule)
}

fn dns(old: &Dns, new: &Dns, changes: &mut Changes) {
    let Dns { forwarders, domain, routes } = new;
    let asked = |forwarders: &Forwarders| match forwarders {
        Forwarders::Uplink => "those of the uplink".to_owned(),
        Forwarders::These(these) => words::comma(these),
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let zones = |dns: &[super::branch::DnsRoute]| {
        dns.iter().map(|route| format!("{} by {}", route.zone, words::comma(&route.servers))).collect::<BTreeSet<_>>()
    };
    changes.value(Disturbance::None, "dns: forwarders", &asked(&old.forwarders), &asked(forwarders));
    // The DHCP server tells it to its clients, so it starts anew.
    changes.value(Disturbance::Blip, "dns: domain", &text(&old.domain), &text(domain));
    set("dns", "answers", &zones(&old.routes), &zones(routes), changes);
}

fn served(old: &Gateway, new: &Gateway, changes: &mut Changes) {
    let group = |gateway: &Gateway| gateway.control.group.clone().unwrap_or_else(|| "none".to_owned());
    let port = |gateway: &Gateway| gateway.telemetry.metrics_port.to_string();
    changes.value(Disturbance::None, "control: group", &group(old), &group(new));
    let on = (&old.telemetry.metrics_on, &new.telemetry.metrics_on);
    changes.value(Disturbance::None, "telemetry: metrics_on", &listed(on.0), &listed(on.1));
    changes.value(Disturbance::None, "telemetry: metrics_port", &port(old), &port(new));
    let on = (&old.telemetry.status_page_on, &new.telemetry.status_page_on);
    changes.value(Disturbance::None, "telemetry: status_page_on", &listed(on.0), &listed(on.1));
}

fn reports(old: &Reports, new: &Reports, changes: &mut Changes) {
    let Reports { push, every, metered_every } = new;
    let to = |push: bool| if push { "office" } else { "off" };
    let none = Disturbance::None;
    changes.value(none, "telemetry: push", to(old.push), to(*push));
    changes.value(none, "telemetry: every", &words::duration(old.every), &words::duration(*every));
    let (before, after) = (words::duration(old.metered_every), words::duration(*metered_every));
    changes.value(none, "telemetry: metered_every", &before, &after);
}

fn access(old: &Access, new: &Access, changes: &mut Changes) {
    let Access { ssh, overriding } = new;
    for pair in pairs(&old.ssh, ssh, |key| &key.name) {
        match pair {
            (Some(old), Some(new)) if old.key != new.key => {
                changes.add(Disturbance::None, format!("access: {} has another key", new.name));
            }
            (None, Some(new)) => changes.add(Disturbance::None, format!("access: {} may come in by SSH", new.name)),
            (Some(old), None) => {
                changes.add(Disturbance::None, format!("access: {} may no longer come in by SSH", old.name))
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    let text = |it: &Option<super::branch::Override>| match it {
        None => "nothing".to_owned(),
        Some(it) => {
            let sections = it.sections.iter().copied().collect::<BTreeSet<_>>();
            format!("{} for {}", words::comma(sections), words::duration(it.max))
        }
    };
    changes.value(Disturbance::None, "access: override", &text(&old.overriding), &text(overriding));
}

fn apply(old: &Apply, new: &Apply, changes: &mut Changes) {
    let Apply { must_work, defer, timers, drift } = new;
    let checks = |list: &[Check]| list.iter().map(checked).collect::<BTreeSet<_>>();
    set("apply", "must work:", &checks(&old.must_work), &checks(must_work), changes);
    let waits = |list: &[super::branch::Defer]| match list {
        [] => "never".to_owned(),
        reasons => words::comma(reasons.iter().copied().collect::<BTreeSet<_>>()),
    };
    changes.value(Disturbance::None, "apply: defer", &waits(&old.defer), &waits(defer));
    let wait = |timers: &super::branch::Timers| {
        let show = words::duration;
        format!("soft {}, hard {}, soak {}", show(timers.soft), show(timers.hard), show(timers.soak))
    };
    changes.value(Disturbance::None, "apply: timers", &wait(&old.timers), &wait(timers));
    let modes = |drift: &Drift| {
        let Drift { uplinks, networks, dns, firewall, access } = drift;
        [("uplinks", *uplinks), ("networks", *networks), ("dns", *dns), ("firewall", *firewall), ("access", *access)]
    };
    for ((section, old), (_, new)) in modes(&old.drift).into_iter().zip(modes(drift)) {
        changes.value(Disturbance::None, &format!("apply: drift of {section}"), old.name(), new.name());
    }
}

fn services(old: &[Service], new: &[Service], changes: &mut Changes) {
    let text = |service: &Service| format!("{} from {}", checked(&service.check), service.from);
    for pair in pairs(old, new, |service| &service.name) {
        match pair {
            (Some(old), Some(new)) => {
                changes.value(Disturbance::None, &format!("service {}:", new.name), &text(old), &text(new));
            }
            (None, Some(new)) => changes.add(Disturbance::None, format!("service {} is new: {}", new.name, text(new))),
            (Some(old), None) => changes.add(Disturbance::None, format!("service {} goes away", old.name)),
            (None, None) => {}
        }
    }
}

/// Entries without names of their own.
fn set(what: &str, does: &str, before: &BTreeSet<String>, after: &BTreeSet<String>, changes: &mut Changes) {
    for entry in after.difference(before) {
        changes.add(Disturbance::None, format!("{what}: {does} {entry}"));
    }
    for entry in before.difference(after) {
        changes.add(Disturbance::None, format!("{what}: no longer {does} {entry}"));
    }
}

fn listed(names: &[Name]) -> String {
    let names = words::comma(names.iter().collect::<BTreeSet<_>>());
    if names.is_empty() { "none".to_owned() } else { names }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
