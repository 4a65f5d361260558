//! Every zone with every zone and every port that the config names, and some that it does not, both families, with real
//! packets. What should pass is computed here from the config's words alone, not from the rules made of them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Mutex;

use causeway::apply::services::links::own;
use causeway::config::model::{Family, Network, PortRange, Rule, Service, Zone};
use causeway::lab::addresses as plan;
use causeway::lab::netns::Namespace;

use crate::probe::{Kind, reaches};
use crate::world::{self, World, allowed};

/// Sockets that wait at once; each waits most of a second for what is dropped.
const AT_ONCE: usize = 64;

struct Place {
    zone: Zone,
    host: Namespace,
    addresses: Vec<IpAddr>,
}

#[test]
fn each_zone_reaches_what_the_config_allows_and_nothing_else() {
    if !allowed() {
        return;
    }
    let world = World::start(include_str!("three-zones.toml"));
    let places = places(&world);
    let kinds = kinds(&world);
    let mut cases = Vec::new();
    for from in &places {
        for to in places.iter().filter(|to| to.zone != from.zone) {
            for (kind, address) in kinds.iter().flat_map(|kind| to.addresses.iter().map(move |to| (*kind, *to))) {
                cases.push((from, to, kind, address));
            }
        }
    }
    let (todo, wrong, passed) = (Mutex::new(cases.iter()), Mutex::new(Vec::new()), Mutex::new(0_usize));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((from, to, kind, address)) = todo.lock().expect("no panic").next() else { return };
                    let expected = is_allowed(&world, &from.zone, &to.zone, *kind, *address);
                    let got = reaches(&from.host, *address, *kind);
                    *passed.lock().expect("no panic") += usize::from(got);
                    // A busy machine may lose a moment; what must not pass is never tried again.
                    if got != expected && !(expected && reaches(&from.host, *address, *kind)) {
                        let words = format!("{:?} → {:?} {address} {kind:?}: {got}", from.zone, to.zone);
                        wrong.lock().expect("no panic").push(words);
                    }
                }
            });
        }
    });
    let (wrong, passed) = (wrong.into_inner().expect("no panic"), passed.into_inner().expect("no panic"));
    println!("{} packets tried, {passed} arrived", cases.len());
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(passed > 40 && cases.len() - passed > passed, "both kinds were tried: {passed} of {}", cases.len());
}

/// The first host of each network, the internet, and the gateway.
fn places(world: &World) -> Vec<Place> {
    let mut places = Vec::new();
    let mut own_addresses = Vec::new();
    for network in &world.branch.gateway.networks {
        let host = world.site.hosts.iter().find(|host| host.network == network.name).expect("a host");
        own_addresses.extend(own(network).map(|net| net.addr()));
        let addresses = settle(world, network, &host.host);
        places.push(Place { zone: Zone::Network(network.name.clone()), host: host.host.clone(), addresses });
    }
    // A provider that sends what is not asked for: it has routes to our networks.
    for (index, provider) in world.site.providers.iter().enumerate() {
        for network in &world.branch.gateway.networks {
            let nets = [network.net.map(|net| net.to_string()), network.net6.map(|net| net.to_string())];
            for (family, net) in Family::BOTH.into_iter().zip(nets) {
                let (net, via) = (net.expect("a net"), plan::wan(family, index, plan::WAN));
                provider.ip(&format!("route add {net} via {via}\n")).expect("a route");
                if index == 0 {
                    let edge = plan::transit(family, index, plan::EDGE);
                    world.site.internet.ip(&format!("route add {net} via {edge}\n")).expect("a route");
                }
            }
        }
    }
    let internet = world.site.internet.clone();
    places.push(Place { zone: Zone::Wan, host: internet, addresses: Family::BOTH.map(world::far).to_vec() });
    own_addresses
        .extend(Family::BOTH.into_iter().flat_map(|family| [0, 1].map(|index| plan::wan(family, index, plan::WAN))));
    places.push(Place { zone: Zone::Own, host: world.site.gateway.clone(), addresses: own_addresses });
    places
}

/// Addresses by hand, so that this test is about the filter alone.
fn settle(world: &World, network: &Network, host: &Namespace) -> Vec<IpAddr> {
    let (net, net6) = (network.net.expect("a net"), network.net6.expect("a net"));
    let v4: IpAddr = net.hosts().nth(6).expect("room").into();
    let v6: IpAddr = net6.hosts().nth(7).expect("room").into();
    let mut gateways = own(network);
    let (gateway, gateway6) = (gateways.next().expect("one"), gateways.next().expect("two"));
    host.sysctl(&[("ipv6/conf/eth0/accept_ra", "0")]).expect("no advertisement");
    host.ip(&format!(
        "address add {v4}/{} dev eth0\naddress add {v6}/{} dev eth0 nodad\n\
         route add default via {}\nroute replace default via {} metric 1\n",
        net.prefix_len(),
        net6.prefix_len(),
        gateway.addr(),
        gateway6.addr()
    ))
    .expect("addresses");
    assert!(world.branch.gateway.networks.contains(network));
    vec![v4, v6]
}

/// All ends of all ranges that the config names, and their neighbours, which it may not.
fn kinds(world: &World) -> BTreeSet<Kind> {
    let mut kinds =
        BTreeSet::from([Kind::Ping, Kind::Tcp(22), Kind::Tcp(53), Kind::Udp(53), Kind::Udp(67), Kind::Tcp(9620)]);
    let around = |range: &PortRange| [range.first - 1, range.first, range.last, range.last + 1];
    for service in world.branch.gateway.firewall.rules.iter().flat_map(|rule| &rule.allow) {
        match service {
            Service::Any | Service::Icmp => {}
            Service::Tcp(range) => kinds.extend(around(range).map(Kind::Tcp)),
            Service::Udp(range) => kinds.extend(around(range).map(Kind::Udp)),
        }
    }
    kinds
}

fn is_allowed(world: &World, from: &Zone, to: &Zone, kind: Kind, address: IpAddr) -> bool {
    let gateway = &world.branch.gateway;
    let network = |zone: &Zone| gateway.networks.iter().find(|network| Zone::Network(network.name.clone()) == *zone);
    let by = |rule: &Rule| {
        rule.from.contains(from)
            && rule.to.contains(to)
            && (rule.destination.is_empty() || rule.destination.iter().any(|net| net.contains(&address)))
            && rule.allow.iter().any(|service| kind.is_of(service))
    };
    let isolated = network(from).is_some_and(|network| network.isolate);
    match (from, to) {
        // The floor: nothing new from an uplink; and what the gateway itself sends, to ask and to answer, goes out.
        (Zone::Wan, _) => false,
        (Zone::Own, _) => true,
        (Zone::Network(_), Zone::Own) if isolated && kind == Kind::Tcp(22) => false,
        // Names, leases and pings are what makes a network one.
        (Zone::Network(_), Zone::Own) => {
            matches!(kind, Kind::Tcp(53) | Kind::Udp(53) | Kind::Ping) || gateway.firewall.rules.iter().any(by)
        }
        (Zone::Network(_), Zone::Network(_)) if isolated => false,
        (Zone::Network(_), Zone::Wan | Zone::Network(_)) => gateway.firewall.rules.iter().any(by),
    }
}
