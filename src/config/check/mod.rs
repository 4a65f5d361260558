//! From raw to model: ranges, defaults, and what only the whole can show. Every function reports what is wrong and goes
//! on with a stand-in, so that one fault does not hide the next; a model leaves [`super::parse`] only if there was none.

mod cover;
mod firewall;
pub(super) mod fleet;
mod networks;
mod paths;
mod profile;
mod services;
mod targets;
mod uplinks;
pub(super) mod vars;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::branch::{Branch, Identity};
use super::fault::{Collector, Fault, Kind, Place, listed, nearest};
use super::model::{Control, Gateway, LinkName, Name, Service, Site, Slots, UplinkId, limits};
use super::raw;
use super::raw::read::At;
use super::raw::values::{Entry, List, Named};
use super::words;

/// A gateway that stands alone. `None` only if something was wrong.
pub(super) fn gateway(raw: raw::Gateway, faults: &mut Collector<'_>) -> Option<Branch> {
    let (site, control, parts) = raw.into_parts();
    let written = |line: &At<raw::text::Line>| line.value.0.clone();
    let identity = site.and_then(|site| {
        let site = site.value;
        let phone = site.phone.map(|at| at.value.0);
        Some(Identity {
            name: written(&site.name?),
            owner: site.owner.as_ref().map(written),
            phone,
            contracts: Vec::new(),
        })
    });
    let found = branch(&parts, identity.as_ref().unwrap_or(&Identity::default()), faults);
    let group = control.and_then(|at| at.value.group).map(|at| at.value.0);
    identity.and(found).map(|mut branch| {
        branch.gateway.control.group = Some(group.unwrap_or_else(|| Control::GROUP.to_owned()));
        branch
    })
}

/// The sections of one branch, without variables. `None` only if something was wrong.
pub(super) fn branch(parts: &raw::Parts, identity: &Identity, faults: &mut Collector<'_>) -> Option<Branch> {
    let raw_uplinks =
        parts.uplinks.as_ref().map_or(&[][..], |at| bounded(&at.value, limits::UPLINKS, "uplinks", faults));
    let raw_networks =
        parts.networks.as_ref().map_or(&[][..], |at| bounded(&at.value, limits::NETWORKS, "networks", faults));
    if let Some(uplinks) = &parts.uplinks {
        not_empty(uplinks, uplinks.value.whole && uplinks.value.entries.is_empty(), faults);
    }
    let scope = Scope {
        uplinks: raw_uplinks.iter().map(|entry| entry.name.value.clone()).collect(),
        networks: raw_networks.iter().map(|entry| entry.name.value.clone()).collect(),
    };

    let mut taken = Taken::default();
    let mut lines = uplinks::lines(raw_uplinks, &mut taken, faults);
    for contract in &identity.contracts {
        if let Some(line) = lines.iter_mut().find(|line| line.name == contract.uplink) {
            (line.provider, line.circuit) = (contract.provider.clone(), contract.circuit.clone());
        }
    }
    let rates = uplinks::rates(raw_uplinks, faults);
    let networks = networks::networks(raw_networks, &mut taken, faults);
    let responders = services::responders(parts.probes.as_ref(), faults);
    let uplinks = targets::complete(lines, raw_uplinks, parts.probes.as_ref(), &networks, faults);
    let paths = paths::paths(parts.paths.as_ref(), raw_uplinks, &uplinks, &scope, faults);
    let firewall = firewall::firewall(parts.firewall.as_ref(), &uplinks, &networks, &scope, faults);
    let (telemetry, reports) = services::telemetry(parts.telemetry.as_ref(), &networks, &scope, faults);
    let place = services::place(parts.site.as_ref(), identity);
    let dns = services::dns(parts.dns.as_ref(), faults);
    let access = services::access(parts.access.as_ref(), faults);
    let apply = services::apply(parts.apply.as_ref(), faults);
    let services = services::services(parts.services.as_ref(), &scope, faults);

    // What was not there at all has been reported where it was read.
    parts.uplinks.as_ref()?;
    let site = Site { name: identity.name.clone(), owner: identity.owner.clone() };
    let control = Control { group: Some(Control::GROUP.to_owned()) };
    let gateway = Gateway { site, uplinks, slots: Slots::default(), paths, networks, firewall, control, telemetry };
    Some(Branch { gateway, place, rates, responders, dns, reports, access, apply, services })
}

/// Names that can be referred to, also of tables that are wrong otherwise.
struct Scope {
    uplinks: Vec<Name>,
    networks: Vec<Name>,
}

impl Scope {
    fn uplink(&self, at: &At<Name>, faults: &mut Collector<'_>) -> Option<UplinkId> {
        let index = self.uplinks.iter().position(|name| *name == at.value);
        if index.is_none() {
            faults.add(at.place, unknown("uplink", at, &self.uplinks, &[]));
        }
        index.and_then(|index| u8::try_from(index).ok()).map(UplinkId)
    }

    fn network(&self, at: &At<Name>, faults: &mut Collector<'_>) -> Option<Name> {
        let known = self.networks.contains(&at.value);
        if !known {
            faults.add(at.place, unknown("network", at, &self.networks, &[]));
        }
        known.then(|| at.value.clone())
    }
}

/// What may be used once only, and who uses it.
#[derive(Default)]
struct Taken {
    devices: BTreeMap<LinkName, (String, Place)>,
    nets: Vec<(ipnet::IpNet, String, Place)>,
}

impl Taken {
    fn device(&mut self, at: &At<LinkName>, owner: String, faults: &mut Collector<'_>) {
        if let Some((other, place)) = self.devices.get(&at.value) {
            let line = faults.line(*place);
            let fault = Fault::new(Kind::DeviceTwice, format!("device `{}` is used twice", at.value))
                .because(format!("{owner} takes it, and {other} has it since line {line}"))
                .hint("give each its own device; `ip link` lists them");
            faults.add(at.place, fault);
        } else {
            self.devices.insert(at.value.clone(), (owner, at.place));
        }
    }

    fn net(&mut self, net: ipnet::IpNet, owner: String, place: Place, faults: &mut Collector<'_>) {
        let net = net.trunc();
        let overlap = self.nets.iter().find(|(other, ..)| other.contains(&net) || net.contains(other));
        if let Some((other_net, other, other_place)) = overlap {
            let line = faults.line(*other_place);
            let fault = Fault::new(Kind::NetOverlap, format!("{owner} overlaps {other}"))
                .because(format!("{owner} takes {net} and {other} takes {other_net} (line {line})"))
                .hint("an address must lead to one place only; change one of them");
            faults.add(place, fault);
        }
        self.nets.push((net, owner, place));
    }
}

/// The value, or the default where there is none or it is out of range.
fn integer<T>(at: Option<&At<i64>>, range: RangeInclusive<T>, default: T, faults: &mut Collector<'_>) -> T
where
    T: Copy + Display + PartialOrd + TryFrom<i64>,
{
    let Some(at) = at else { return default };
    match T::try_from(at.value) {
        Ok(value) if range.contains(&value) => value,
        Ok(_) | Err(_) => {
            out_of_range(at, &at.value.to_string(), range.start(), range.end(), faults);
            default
        }
    }
}

fn duration(
    at: Option<&At<Duration>>,
    range: RangeInclusive<Duration>,
    default: Duration,
    faults: &mut Collector<'_>,
) -> Duration {
    let Some(at) = at else { return default };
    if range.contains(&at.value) {
        return at.value;
    }
    let show = |value: Duration| words::duration(value);
    out_of_range(at, &show(at.value), show(*range.start()), show(*range.end()), faults);
    default
}

fn out_of_range<T>(at: &At<T>, found: &str, least: impl Display, most: impl Display, faults: &mut Collector<'_>) {
    let fault = Fault::new(Kind::Range, format!("`{}` is out of range", at.key))
        .because(format!("it is {found}"))
        .hint(format!("choose a value from {least} to {most}"));
    faults.add(at.place, fault);
}

fn not_empty<T>(at: &At<T>, empty: bool, faults: &mut Collector<'_>) {
    if empty {
        let fault = Fault::new(Kind::Empty, format!("`{}` is empty", at.key))
            .because("at least one entry is needed")
            .hint("name one, or take the whole out where it is optional");
        faults.add(at.place, fault);
    }
}

fn too_many(key: &str, found: usize, most: usize) -> Fault {
    Fault::new(Kind::TooMany, format!("`{key}` has too many entries"))
        .because(format!("{found} are listed, at most {most} are allowed"))
        .hint("leave out what is not needed; docs/config.md tells why there is a limit")
}

/// The first `most` entries.
fn bounded<'r, T, K>(named: &'r Named<T, K>, most: usize, key: &str, faults: &mut Collector<'_>) -> &'r [Entry<T, K>] {
    match named.entries.get(most) {
        None => &named.entries,
        Some(first) => {
            faults.add(first.name.place, too_many(key, named.entries.len(), most));
            &named.entries[..most]
        }
    }
}

/// The first `most` entries of a list.
fn at_most<'r, T>(list: &'r At<List<T>>, most: usize, faults: &mut Collector<'_>) -> &'r [At<T>] {
    match list.value.entries.get(most) {
        None => &list.value.entries,
        Some(first) => {
            faults.add(first.place, too_many(&list.key, list.value.entries.len(), most));
            &list.value.entries[..most]
        }
    }
}

/// Each entry once, and not more than `most`.
fn once<'r, T: Ord + Display>(list: &'r At<List<T>>, most: usize, faults: &mut Collector<'_>) -> Vec<&'r At<T>> {
    let mut seen: BTreeMap<&T, Place> = BTreeMap::new();
    let mut entries = Vec::new();
    for at in at_most(list, most, faults) {
        if let Some(first) = seen.insert(&at.value, at.place) {
            let line = faults.line(first);
            faults.add(at.place, twice(&at.value, &list.key, line));
        } else {
            entries.push(at);
        }
    }
    entries
}

fn twice(what: impl Display, key: &str, line: impl Display) -> Fault {
    Fault::new(Kind::Twice, format!("`{what}` stands twice in `{key}`"))
        .because(format!("the first is on line {line}"))
        .hint("take one of them out")
}

fn unknown(what: &str, at: &At<Name>, known: &[Name], words: &[&str]) -> Fault {
    let known: Vec<&str> = known.iter().map(Name::as_str).chain(words.iter().copied()).collect();
    let cause = match known.as_slice() {
        [] => format!("there is no {what} in this file"),
        [one] => format!("there is only `{one}`"),
        known => format!("known are {}", listed(known.iter().map(|name| format!("`{name}`")), "and")),
    };
    let hint = match nearest(at.value.as_str(), known) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("name an existing {what}, or define `{}`", at.value),
    };
    Fault::new(Kind::UnknownName, format!("`{}` names the unknown {what} `{}`", at.key, at.value))
        .because(cause)
        .hint(hint)
}

/// Why no host can have this address.
fn unusable(address: std::net::IpAddr) -> Option<&'static str> {
    use std::net::IpAddr::{V4, V6};
    match address {
        _ if address.is_unspecified() => Some("the address of nobody"),
        _ if address.is_loopback() => Some("a loopback address"),
        _ if address.is_multicast() => Some("a multicast address"),
        V4(v4) if v4.is_broadcast() || v4.octets()[0] >= 240 => Some("a reserved address"),
        V4(v4) if v4.octets()[0] == 0 => Some("a reserved address"),
        V4(v4) if v4.is_link_local() => Some("a link-local address"),
        V6(v6) if v6.is_unicast_link_local() => Some("a link-local address"),
        V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4 address in IPv6 form"),
        V4(_) | V6(_) => None,
    }
}

/// Prefixes to compare with: written without host bits, so that nobody reads a host where a network is meant.
fn nets(list: Option<&At<List<ipnet::IpNet>>>, faults: &mut Collector<'_>) -> Vec<ipnet::IpNet> {
    let Some(list) = list else { return Vec::new() };
    not_empty(list, list.value.is_empty(), faults);
    let entries = once(list, limits::LIST, faults);
    for at in &entries {
        let net = at.value.trunc();
        if net != at.value {
            let fault = Fault::new(Kind::BadAddress, format!("`{}` cannot be {}", at.key, at.value))
                .because("bits behind the prefix length are set")
                .hint(format!(
                    "write \"{net}\" for the network, \"{}/{}\" for the host",
                    at.value.addr(),
                    net.max_prefix_len()
                ));
            faults.add(at.place, fault);
        }
    }
    entries.into_iter().map(|at| at.value).collect()
}

/// A written list of services; nothing written is any.
fn services(list: Option<&At<List<Service>>>, faults: &mut Collector<'_>) -> Vec<Service> {
    let Some(list) = list else { return Vec::new() };
    not_empty(list, list.value.is_empty(), faults);
    let mut services = Vec::new();
    let mut seen: BTreeMap<String, Place> = BTreeMap::new();
    for at in at_most(list, limits::LIST, faults) {
        if let Some(first) = seen.insert(words::service(at.value), at.place) {
            let line = faults.line(first);
            faults.add(at.place, twice(words::service(at.value), &list.key, line));
        }
        services.push(at.value);
    }
    services
}
