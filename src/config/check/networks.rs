//! LANs: ports, VLANs, prefixes, addresses of clients, names that are zones of the firewall.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use super::uplinks::rate;
use super::{Taken, at_most, duration, integer, not_empty, once, twice, unusable};
use crate::config::branch::Mac;
use crate::config::fault::{Collector, Fault, Kind, Place};
use crate::config::model::{Bridged, Dhcp, FixedHost, LinkName, Name, Network, limits};
use crate::config::raw::networks::{Dhcp as RawDhcp, FixedHost as RawFixedHost, Network as RawNetwork};
use crate::config::raw::read::At;
use crate::config::raw::settable::set;
use crate::config::raw::values::{Entry, List};

const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn networks(raw: &[Entry<RawNetwork>], taken: &mut Taken, faults: &mut Collector<'_>) -> Vec<Network> {
    let trunked = raw.iter().any(|entry| entry.value.as_ref().is_some_and(|it| it.trunks.is_some()));
    let mut networks = Vec::with_capacity(raw.len());
    let mut trunks: Vec<(usize, Vec<LinkName>)> = Vec::new();
    let mut vlans: BTreeMap<u16, (Name, Place)> = BTreeMap::new();
    for entry in raw {
        let name = &entry.name;
        if matches!(name.value.as_str(), "wan" | "self") {
            let fault = Fault::new(Kind::ReservedName, format!("a network cannot be called `{}`", name.value))
                .because("in firewall rules `wan` means all uplinks and `self` the gateway")
                .hint("choose another name");
            faults.add(name.place, fault);
        }
        let Some(raw) = &entry.value else { continue };
        let owner = format!("network `{}`", name.value);
        let vlan = set(raw.vlan.as_ref());
        let vlan = vlan.map(|at| at.map(|_| integer(Some(&at), 1..=4_094, 1, faults)));
        let mut ports = devices(raw.ports.as_ref(), &owner, taken, faults);
        let own_trunks = devices(raw.trunks.as_ref(), &owner, taken, faults);
        without_port(name, raw, trunked, faults);
        if let Some(vlan) = &vlan {
            if let Some((other, place)) = vlans.get(&vlan.value) {
                let line = faults.line(*place);
                let fault = Fault::new(Kind::VlanTwice, format!("VLAN {} is used twice", vlan.value))
                    .because(format!("{owner} takes it, and network `{other}` has it since line {line}"))
                    .hint("give each network a number of its own");
                faults.add(vlan.place, fault);
            }
            vlans.insert(vlan.value, (name.value.clone(), vlan.place));
        }
        let bridged = vlan.map(|vlan| {
            trunks.push((networks.len(), own_trunks.clone()));
            let untagged = ports.iter().cloned().chain(own_trunks).collect();
            ports = vec![Bridged::device(vlan.value)];
            Bridged { vlan: vlan.value, untagged, tagged: Vec::new() }
        });
        let (net, net6) = (set(raw.net.as_ref()), set(raw.net6.as_ref()));
        if let Some(net) = &net {
            // A /30 is the smallest with room for one client.
            prefix(&net.map(|net| IpNet::from(*net)), 8, 30, &owner, taken, faults);
        }
        if let Some(net) = &net6 {
            prefix(&net.map(|net| IpNet::from(*net)), 16, 126, &owner, taken, faults);
        }
        let net = net.map(|at| at.value);
        let dhcp = raw.dhcp.as_ref().and_then(|at| dhcp(at, net, &owner, faults));
        networks.push(Network {
            name: name.value.clone(),
            ports,
            bridged,
            net,
            net6: net6.map(|at| at.value),
            fixed: raw.fixed.as_ref().map(|list| fixed(list, net, dhcp, &owner, faults)).unwrap_or_default(),
            dhcp,
            limit_down: rate(raw.limit_down.as_ref(), faults),
            isolate: raw.isolate.as_ref().is_some_and(|at| at.value),
        });
    }
    for (own, devices) in trunks {
        let others = networks.iter_mut().enumerate().filter(|(index, _)| *index != own);
        for bridged in others.filter_map(|(_, network)| network.bridged.as_mut()) {
            bridged.tagged.extend(devices.iter().cloned());
        }
    }
    networks
}

fn devices(
    list: Option<&At<List<LinkName>>>,
    owner: &str,
    taken: &mut Taken,
    faults: &mut Collector<'_>,
) -> Vec<LinkName> {
    let Some(list) = list else { return Vec::new() };
    not_empty(list, list.value.is_empty(), faults);
    let mut devices = Vec::new();
    for port in once(list, limits::PORTS, faults) {
        taken.device(port, owner.to_owned(), faults);
        devices.push(port.value.clone());
    }
    devices
}

/// How packets of the network come to the gateway.
fn without_port(name: &At<Name>, raw: &RawNetwork, trunked: bool, faults: &mut Collector<'_>) {
    if let Some(trunks) = &raw.trunks
        && raw.vlan.is_none()
    {
        let fault = Fault::new(Kind::Conflict, format!("`{}` has no meaning here", trunks.key))
            .because(format!(
                "network `{}` has no `vlan`, so it is not on the bridge that trunks belong to",
                name.value
            ))
            .hint("give it a number: vlan = 10");
        faults.add(trunks.place, fault);
    }
    let by_trunk = raw.vlan.is_some() && trunked;
    if raw.ports.is_none() && raw.trunks.is_none() && !by_trunk && raw.sound {
        let fault = Fault::new(Kind::Missing, format!("network `{}` has no port", name.value))
            .because("nothing could be plugged in: there are neither `ports` nor a trunk that carries its `vlan`")
            .hint("add ports = [\"lan0\"], or a vlan here and trunks = [\"lan1\"] at a network that has one");
        faults.add(name.place, fault);
    }
}

/// The host of this number; `None`: the network has none.
fn host(net: Ipv4Net, number: i64) -> Option<Ipv4Addr> {
    let address = u32::from(net.network()).checked_add(u32::try_from(number).ok()?)?;
    let address = Ipv4Addr::from(address);
    let inside = net.contains(&address) && address != net.network() && address != net.broadcast();
    inside.then_some(address)
}

fn dhcp(raw: &At<RawDhcp>, net: Option<Ipv4Net>, owner: &str, faults: &mut Collector<'_>) -> Option<Dhcp> {
    let RawDhcp { sound: _, from, to, lease } = &raw.value;
    let lease = duration(set(lease.as_ref()).as_ref(), HOUR / 30..=HOUR * 24 * 7, Dhcp::LEASE, faults);
    let (from, to) = (set(from.as_ref())?, set(to.as_ref())?);
    let mut wrong = |at: &At<i64>, cause: String| {
        let fault = Fault::new(Kind::DhcpRange, format!("`{}` cannot be {}", at.key, at.value)).because(cause);
        faults.add(at.place, fault.hint("count from the network's own address; the gateway has the first, number 1"));
    };
    let Some(net) = net else {
        wrong(&from, format!("{owner} has no `net`"));
        return None;
    };
    let mut end = |at: &At<i64>| {
        let address = host(net, at.value);
        if address.is_none() || at.value == 1 {
            let cause = if at.value == 1 {
                "it is the gateway's own address".to_owned()
            } else {
                format!("{net} has no such host")
            };
            wrong(at, cause);
        }
        address
    };
    let (first, last) = (end(&from)?, end(&to)?);
    if first > last {
        wrong(&to, format!("the range begins at {}", from.value));
    }
    Some(Dhcp { from: first, to: last, lease })
}

fn fixed(
    list: &At<List<RawFixedHost>>,
    net: Option<Ipv4Net>,
    dhcp: Option<Dhcp>,
    owner: &str,
    faults: &mut Collector<'_>,
) -> Vec<FixedHost> {
    let mut hosts: Vec<FixedHost> = Vec::new();
    let mut names: BTreeMap<&Name, Place> = BTreeMap::new();
    let mut macs: BTreeMap<Mac, Name> = BTreeMap::new();
    let mut addresses: BTreeMap<Ipv4Addr, Name> = BTreeMap::new();
    for at in at_most(list, limits::FIXED_HOSTS, faults) {
        let RawFixedHost { sound: _, name, mac, host: number, when: _ } = &at.value;
        let (Some(name), Some(mac), Some(number)) = (name, set(mac.as_ref()), set(number.as_ref())) else { continue };
        if let Some(first) = names.insert(&name.value, name.place) {
            let line = faults.line(first);
            faults.add(name.place, twice(&name.value, &list.key, line));
        }
        let mut wrong = |place: Place, cause: String| {
            let fault = Fault::new(Kind::FixedHost, format!("fixed host `{}` of {owner} cannot be had", name.value));
            faults.add(
                place,
                fault.because(cause).hint("give it a number and a MAC address of its own, outside the range of dhcp"),
            );
        };
        let Some(net) = net else {
            wrong(number.place, format!("{owner} has no `net`"));
            continue;
        };
        let Some(address) = host(net, number.value) else {
            wrong(number.place, format!("{net} has no host {}", number.value));
            continue;
        };
        if number.value == 1 {
            wrong(number.place, format!("{address} is the gateway's own address"));
        }
        if dhcp.is_some_and(|dhcp| (dhcp.from..=dhcp.to).contains(&address)) {
            wrong(number.place, format!("{address} is in the range of dhcp, and could be lent to another"));
        }
        if let Some(other) = addresses.insert(address, name.value.clone()) {
            wrong(number.place, format!("`{other}` has {address}"));
        }
        if let Some(other) = macs.insert(mac.value, name.value.clone()) {
            wrong(mac.place, format!("`{other}` has the MAC address {}", mac.value));
        }
        hosts.push(FixedHost { name: name.value.clone(), mac: mac.value, address });
    }
    hosts
}

fn prefix(at: &At<IpNet>, shortest: u8, longest: u8, owner: &str, taken: &mut Taken, faults: &mut Collector<'_>) {
    let net = at.value;
    let (cause, hint) = if !(shortest..=longest).contains(&net.prefix_len()) {
        (format!("its length is not from /{shortest} to /{longest}"), "a /24 or a /64 is usual".to_owned())
    } else if net != net.trunc() {
        ("bits behind the prefix length are set".to_owned(), format!("write the network: \"{}\"", net.trunc()))
    } else if let Some(why) = unusable(net.network()) {
        (format!("it is {why}"), "use a private prefix such as 192.168.10.0/24 or fd00:10::/64".to_owned())
    } else {
        taken.net(net, owner.to_owned(), at.place, faults);
        return;
    };
    let fault = Fault::new(Kind::BadAddress, format!("`{}` cannot be {net}", at.key));
    faults.add(at.place, fault.because(cause).hint(hint));
}
