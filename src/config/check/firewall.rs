//! Rules and forwards. The floor is compiled in, and no config can loosen it: nothing new enters `self` from `wan`, and
//! SSH never from an isolated network.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Scope, at_most, cover, integer, nets, not_empty, once, services, twice, unknown};
use crate::config::fault::{Collector, Fault, Kind, Place, listed};
use crate::config::model::{
    Family, Firewall, Forward, Name, Network, PortRange, Rule, Service, Uplink, UplinkId, Zone, limits,
};
use crate::config::raw::firewall::{Firewall as RawFirewall, Forward as RawForward, ForwardTo, Rule as RawRule};
use crate::config::raw::read::At;
use crate::config::raw::values::List;
use crate::config::words;

const SSH: Service = Service::Tcp(PortRange { first: 22, last: 22 });

pub(super) fn firewall(
    raw: Option<&At<RawFirewall>>,
    uplinks: &[Uplink],
    networks: &[Network],
    scope: &Scope,
    faults: &mut Collector<'_>,
) -> Firewall {
    let mut firewall = Firewall::default();
    let Some(raw) = raw.map(|at| &at.value) else { return firewall };
    if let Some(list) = &raw.rules {
        firewall.rules = rules(at_most(list, limits::RULES, faults), networks, scope, faults);
    }
    if let Some(list) = &raw.forwards {
        firewall.forwards = forwards(at_most(list, limits::FORWARDS, faults), uplinks, networks, scope, faults);
    }
    firewall
}

fn rules(raw: &[At<RawRule>], networks: &[Network], scope: &Scope, faults: &mut Collector<'_>) -> Vec<Rule> {
    let mut rules: Vec<(Rule, Place)> = Vec::with_capacity(raw.len());
    for (index, at) in raw.iter().enumerate() {
        let number = index + 1;
        let before = faults.count();
        let rule = Rule {
            from: zones(at.value.from.as_ref(), scope, faults),
            to: zones(at.value.to.as_ref(), scope, faults),
            destination: nets(at.value.dest.as_ref(), faults),
            allow: services(at.value.allow.as_ref(), faults),
            log: at.value.log.as_ref().is_some_and(|log| log.value),
        };
        let whole = faults.count() == before && at.value.sound;
        floor(number, &rule, networks, at.place, faults);
        useless(number, &rule, at.place, faults);
        if whole && let Some((earlier, place)) = rules.iter().find(|(earlier, _)| covers(earlier, &rule)) {
            let line = faults.line(*place);
            let earlier = words::rule(earlier);
            let fault = Fault::new(Kind::RuleNeverReached, format!("rule {number} is never reached"))
                .because(format!("line {line} takes all of it: {earlier}"))
                .hint("take it out, or move it before the other");
            faults.add(at.place, fault);
        } else if whole {
            rules.push((rule, at.place));
        }
    }
    rules.into_iter().map(|(rule, _)| rule).collect()
}

fn zones(list: Option<&At<List<Name>>>, scope: &Scope, faults: &mut Collector<'_>) -> Vec<Zone> {
    let Some(list) = list else { return Vec::new() };
    not_empty(list, list.value.is_empty(), faults);
    let mut zones = Vec::new();
    for at in once(list, limits::NETWORKS + 2, faults) {
        match at.value.as_str() {
            "wan" => zones.push(Zone::Wan),
            "self" => zones.push(Zone::Own),
            _ if scope.networks.contains(&at.value) => zones.push(Zone::Network(at.value.clone())),
            _ => faults.add(at.place, unknown("zone", at, &scope.networks, &["wan", "self"])),
        }
    }
    zones
}

fn floor(number: usize, rule: &Rule, networks: &[Network], place: Place, faults: &mut Collector<'_>) {
    let on = listed(rule.allow.iter().map(|service| words::service(*service)), "and");
    let mut refuse = |kind, error: String, cause: &str, hint: &str| {
        faults.add(place, Fault::new(kind, error).because(cause).hint(hint));
    };
    let isolated = |zone: &&Zone| match zone {
        Zone::Network(name) => networks.iter().any(|network| network.name == *name && network.isolate),
        Zone::Wan | Zone::Own => false,
    };
    if rule.from.contains(&Zone::Wan) && rule.to.contains(&Zone::Own) {
        refuse(
            Kind::Floor,
            format!("rule {number} would let `wan` reach `self` on {on}"),
            "the gateway never accepts new connections from an uplink, whatever the config says",
            "reach it from a network of the LAN: from = [\"office\"]",
        );
    }
    if rule.from.contains(&Zone::Wan) && rule.to.contains(&Zone::Wan) {
        refuse(
            Kind::Floor,
            format!("rule {number} would pass traffic from `wan` to `wan` on {on}"),
            "a branch is not a way from one provider to the other, whatever the config says",
            "take `wan` out of `from` or out of `to`",
        );
    }
    let Some(zone) = rule.from.iter().find(isolated) else { return };
    let name = words::zone(zone);
    if rule.to.contains(&Zone::Own) && rule.allow.iter().any(|service| cover::overlap(*service, SSH)) {
        refuse(
            Kind::FloorSsh,
            format!("rule {number} would let isolated network `{name}` reach `self` on tcp/22"),
            "SSH is never open to an isolated network, whatever the config says",
            "leave tcp/22 (and `any`) out, or come from another network",
        );
    }
    if let Some(other) = rule.to.iter().find(|to| matches!(to, Zone::Network(_)) && *to != zone) {
        refuse(
            Kind::Isolated,
            format!("rule {number} would let isolated network `{name}` reach network `{}`", words::zone(other)),
            "isolate = true keeps its clients away from other networks",
            "take the network out of `to`, or take `isolate` out",
        );
    }
}

fn useless(number: usize, rule: &Rule, place: Place, faults: &mut Collector<'_>) {
    let inside = |rule: &Rule| match (rule.from.as_slice(), rule.to.as_slice()) {
        ([Zone::Network(from)], [Zone::Network(to)]) => from == to,
        _ => false,
    };
    let (cause, hint) = if rule.from.contains(&Zone::Own) {
        ("what the gateway itself sends is always allowed", "take `self` out of `from`")
    } else if inside(rule) {
        ("hosts of one network reach each other without passing the gateway", "take the rule out")
    } else {
        return;
    };
    let fault = Fault::new(Kind::RuleUseless, format!("rule {number} has no effect")).because(cause).hint(hint);
    faults.add(place, fault);
}

fn covers(earlier: &Rule, later: &Rule) -> bool {
    cover::members(&earlier.from, &later.from)
        && cover::members(&earlier.to, &later.to)
        && cover::services(&earlier.allow, &later.allow)
        && cover::nets(&earlier.destination, &later.destination)
}

fn forwards(
    raw: &[At<RawForward>],
    uplinks: &[Uplink],
    networks: &[Network],
    scope: &Scope,
    faults: &mut Collector<'_>,
) -> Vec<Forward> {
    let mut seen: BTreeMap<&Name, Place> = BTreeMap::new();
    let mut forwards: Vec<(Forward, Place)> = Vec::new();
    for at in raw {
        if let Some(name) = &at.value.name
            && let Some(first) = seen.insert(&name.value, name.place)
        {
            faults.add(name.place, twice(&name.value, "firewall.forwards", faults.line(first)));
        }
        let Some(forward) = forward(at, uplinks, networks, scope, faults) else { continue };
        if let Some((other, place)) = forwards.iter().find(|(other, _)| collide(other, &forward)) {
            let line = faults.line(*place);
            let service = words::service(forward.service);
            let error = format!("forward `{}` collides with forward `{}`", forward.name, other.name);
            let fault = Fault::new(Kind::ForwardCollides, error)
                .because(format!("both take {service} of the same sources on the same uplink (line {line})"))
                .hint("give it another port, other uplinks or other sources");
            faults.add(at.place, fault);
        }
        forwards.push((forward, at.place));
    }
    forwards.into_iter().map(|(forward, _)| forward).collect()
}

fn forward(
    at: &At<RawForward>,
    uplinks: &[Uplink],
    networks: &[Network],
    scope: &Scope,
    faults: &mut Collector<'_>,
) -> Option<Forward> {
    let RawForward { sound: _, name, on, source, port, to, to_port, when: _ } = &at.value;
    let source = nets(source.as_ref(), faults);
    let written = on.as_ref().map(|list| {
        not_empty(list, list.value.is_empty(), faults);
        let names = once(list, limits::UPLINKS, faults);
        names.into_iter().filter_map(|name| Some((scope.uplink(name, faults)?, name.place))).collect::<Vec<_>>()
    });
    let ports = port.as_ref().and_then(|port| open_ports(port, faults));
    let to_port_written = to_port.as_ref().map(|at| integer(Some(at), 1..=u16::MAX, 1, faults));
    let (name, port, ports) = (name.as_ref()?, port.as_ref()?, ports?);
    if let (Some(at), Some(written)) = (to_port, to_port_written)
        && ports.first != ports.last
        && written != ports.first
    {
        let fault = Fault::new(Kind::Conflict, format!("`{}` would shift a range", at.key))
            .because(format!("{} leads to the same ports of the host", words::service(port.value)))
            .hint("take to_port out, or forward the ports one by one");
        faults.add(at.place, fault);
    }
    let to = to.as_ref()?;
    let address = match &to.value {
        ForwardTo::Address(address) => {
            inside(&name.value, &to.map(|_| *address), networks, faults);
            *address
        }
        ForwardTo::Fixed { network, host } => fixed_host(to, network, host, networks, scope, faults)?.into(),
    };
    let on = carriers(&name.value, written, Family::of(address), uplinks, to.place, faults);
    Some(Forward {
        name: name.value.clone(),
        on,
        source,
        service: port.value,
        to: address,
        to_port: to_port_written.unwrap_or(ports.first),
    })
}

fn open_ports(port: &At<Service>, faults: &mut Collector<'_>) -> Option<PortRange> {
    /// Our own: answers to the DHCP clients of the uplinks.
    const OWN: [(u16, &str); 2] = [(68, "DHCP"), (546, "DHCPv6")];
    let ports = match port.value {
        Service::Tcp(ports) => return Some(ports),
        Service::Udp(ports) => ports,
        Service::Any | Service::Icmp => {
            let fault =
                Fault::new(Kind::ForwardService, format!("`{}` cannot be {}", port.key, words::service(port.value)))
                    .because("only tcp and udp have ports that can lead to a host")
                    .hint("write it as \"tcp/8443\" or \"udp/10000-10020\"");
            faults.add(port.place, fault);
            return None;
        }
    };
    if let Some((own, what)) = OWN.iter().find(|(own, _)| (ports.first..=ports.last).contains(own)) {
        let fault = Fault::new(Kind::ForwardOwnPort, format!("`{}` takes udp/{own}", port.key))
            .because(format!("the gateway's own {what} client of the uplink listens there"))
            .hint("leave that port out");
        faults.add(port.place, fault);
    }
    Some(ports)
}

fn fixed_host(
    to: &At<ForwardTo>,
    network: &Name,
    host: &Name,
    networks: &[Network],
    scope: &Scope,
    faults: &mut Collector<'_>,
) -> Option<std::net::Ipv4Addr> {
    scope.network(&to.map(|_| network.clone()), faults)?;
    let fixed = networks.iter().find(|it| it.name == *network).map_or(&[][..], |it| &it.fixed);
    let found = fixed.iter().find(|it| it.name == *host);
    if found.is_none() {
        let known: Vec<Name> = fixed.iter().map(|it| it.name.clone()).collect();
        faults.add(to.place, unknown("fixed host", &to.map(|_| host.clone()), &known, &[]));
    }
    found.map(|it| it.address)
}

/// The target of a forward is a host in a LAN: neither the gateway nor an address that no host has.
fn inside(name: &Name, to: &At<IpAddr>, networks: &[Network], faults: &mut Collector<'_>) {
    let of = |network: &Network| {
        let nets = [network.net.map(IpNet::from), network.net6.map(IpNet::from)];
        nets.into_iter().flatten().find(|net| net.contains(&to.value))
    };
    let cause = match networks.iter().find_map(of) {
        None => "it is in no network of the LAN".to_owned(),
        Some(net) if net.hosts().next() == Some(to.value) => format!("it is the gateway's own address in {net}"),
        Some(net) if to.value == net.network() || to.value.is_ipv4() && to.value == net.broadcast() => {
            format!("no host of {net} can have it")
        }
        Some(_) => return,
    };
    let fault = Fault::new(Kind::ForwardTarget, format!("forward `{name}` cannot lead to {}", to.value))
        .because(cause)
        .hint("name the address of a host in one of `networks`");
    faults.add(to.place, fault);
}

/// The uplinks on which the port is open.
fn carriers(
    name: &Name,
    written: Option<Vec<(UplinkId, Place)>>,
    family: Family,
    uplinks: &[Uplink],
    to: Place,
    faults: &mut Collector<'_>,
) -> Vec<UplinkId> {
    let carries = |id: &UplinkId| uplinks.get(id.index()).is_some_and(|uplink| uplink.has(family));
    let mut cannot = |place: Place, error: String| {
        let fault = Fault::new(Kind::ForwardFamily, error)
            .because(format!("{family} of the uplink is off, and `to` is an {family} address"))
            .hint("choose another uplink, or an address of the other family");
        faults.add(place, fault);
    };
    match written {
        Some(written) => {
            for (id, place) in written.iter().filter(|(id, _)| !carries(id)) {
                let uplink = uplinks.get(id.index()).map_or_else(String::new, |uplink| uplink.name.to_string());
                cannot(*place, format!("forward `{name}` cannot be open on uplink `{uplink}`"));
            }
            written.into_iter().map(|(id, _)| id).collect()
        }
        None => {
            let ids: Vec<UplinkId> = (0_u8..).take(uplinks.len()).map(UplinkId).filter(carries).collect();
            if ids.is_empty() && !uplinks.is_empty() {
                cannot(to, format!("forward `{name}` cannot be open on any uplink"));
            }
            ids
        }
    }
}

fn collide(one: &Forward, other: &Forward) -> bool {
    let sources = one.source.is_empty()
        || other.source.is_empty()
        || one.source.iter().any(|a| other.source.iter().any(|b| a.contains(b) || b.contains(a)));
    Family::of(one.to) == Family::of(other.to)
        && one.on.iter().any(|id| other.on.contains(id))
        && cover::overlap(one.service, other.service)
        && sources
}
