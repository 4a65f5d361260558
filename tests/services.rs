//! Networks, leases and names with real packets: the real dnsmasq, real clients, the kernel's bridges and filter, in
//! network namespaces. Where not even root may make those, the tests say so and pass.

#![cfg(feature = "lab")]

#[path = "services/access.rs"]
mod access;
#[path = "services/drift.rs"]
mod drift;
#[path = "services/limits.rs"]
mod limits;
#[path = "services/matrix.rs"]
mod matrix;
#[path = "services/probe.rs"]
mod probe;
#[path = "services/world.rs"]
mod world;

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use causeway::apply::services::{Section, ServicesError};
use causeway::config::Disturbance;
use causeway::config::model::Family;
use causeway::lab::addresses as plan;
use causeway::lab::dns;
use causeway::lab::netns::Namespace;
use causeway::lab::servers::NAME;
use probe::{Kind, reaches};
use world::{World, allowed, branch};

const TWO: &str = include_str!("services/two-networks.toml");
const THREE: &str = include_str!("services/three-zones.toml");

fn resolve(host: &Namespace, server: IpAddr, name: &str) -> Option<Vec<IpAddr>> {
    host.enter(|| dns::ask(server, name, Family::V4, Duration::from_secs(3))).expect("inside")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn a_host_gets_a_lease_a_name_and_the_internet() {
    if !allowed() {
        return;
    }
    let world = World::start(TWO);
    let host = world.site.host("lan0").expect("a host");
    let lease = host.lease(Some("till-1")).expect("a client").expect("a lease");
    assert_eq!(lease.router.map(IpAddr::V4), Some(ip("10.16.10.1")));
    assert!((100..=199).contains(&lease.address.octets()[3]), "{lease:?}");
    assert_eq!(lease.seconds, 12 * 3_600);
    let server = IpAddr::V4(lease.dns.expect("a resolver"));
    assert_eq!(resolve(&host.host, server, NAME), Some(vec![world::far(Family::V4)]));
    assert!(world.talks(&host.host, world::far(Family::V4), 80), "a page of the internet");
    let own = host.advertised().expect("an address by advertisement");
    assert!(own.to_string().starts_with("fd00:16:10:"), "{own}");
    assert!(world.talks(&host.host, world::far(Family::V6), 80), "a page of the internet, IPv6");
    assert_eq!(world.verify(), Vec::<String>::new());
}

#[test]
fn fixed_hosts_get_their_address_and_their_name_whatever_they_are_called() {
    if !allowed() {
        return;
    }
    let world = World::start(THREE);
    let camera = world.site.host("lan1").expect("a host");
    camera.mac("52:54:00:10:00:40").expect("a hardware address");
    let lease = camera.lease(None).expect("a client").expect("a lease");
    assert_eq!(IpAddr::V4(lease.address), ip("10.16.10.40"));
    assert_eq!(lease.domain.as_deref(), Some("branch.internal"));
    // In dnsmasq's own words `ignore` means: never answer this one.
    let odd = world.site.host("lan4").expect("a host");
    assert_eq!(odd.lease(None).expect("a client"), None, "without dhcp only fixed hosts are answered");
    odd.mac("52:54:00:10:00:41").expect("a hardware address");
    let lease = odd.lease(None).expect("a client").expect("a lease");
    assert_eq!(IpAddr::V4(lease.address), ip("10.16.40.41"));
    for (name, address) in [("camera", "10.16.10.40"), ("ignore.branch.internal", "10.16.40.41")] {
        assert_eq!(resolve(&odd.host, ip("10.16.40.1"), name), Some(vec![ip(address)]), "{name}");
    }
}

#[test]
fn forwards_lead_to_their_host_through_either_uplink() {
    if !allowed() {
        return;
    }
    let world = World::start(THREE);
    let camera = world.site.host("lan0").expect("a host");
    camera.mac("52:54:00:10:00:40").expect("a hardware address");
    camera.lease(None).expect("a client").expect("a lease");
    let servers = causeway::lab::servers::Servers::default();
    servers
        .tcp(&camera.host, 443, |stream, _| causeway::lab::servers::http(stream, &|_| String::new()))
        .expect("a server");
    camera.advertised().expect("a way out by advertisement");
    camera.host.ip("address add fd00:16:10::40/64 dev eth0 nodad\n").expect("an address");
    for family in Family::BOTH {
        let connects = |index: usize, port: u16| {
            let to = SocketAddr::new(plan::wan(family, index, plan::WAN), port);
            let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(2)).is_ok();
            world.site.internet.enter(connect).expect("inside")
        };
        assert!(connects(0, 8443), "{family:?} by the line in use");
        assert!(connects(1, 8443), "{family:?} by the other");
        assert!(connects(1, 8444), "{family:?} by the line it is for");
        assert!(!connects(0, 8444), "{family:?} and by no other");
        assert!(!connects(0, 443) && !connects(1, 443), "{family:?} the port of the host itself");
    }
}

#[test]
fn the_floor_holds_nothing_new_from_an_uplink_but_leases_and_neighbours() {
    if !allowed() {
        return;
    }
    let world = World::start(THREE);
    for (index, provider) in world.site.providers.iter().enumerate() {
        for family in Family::BOTH {
            let own = plan::wan(family, index, plan::WAN);
            let ports = [1, 22, 53, 80, 443, 8443, 9620, 65_535];
            let tcp = ports.iter().filter(|port| **port != 8443).map(|port| Kind::Tcp(*port));
            let udp = [53, 67, 123, 546, 547, 5353].map(Kind::Udp);
            let open: Vec<Kind> =
                tcp.chain(udp).chain([Kind::Ping]).filter(|kind| reaches(provider, own, *kind)).collect();
            assert_eq!(open, Vec::new(), "{own}");
        }
        // Neighbours answered all the while: the provider knows who we are on both families.
        let known = provider.must("ip", &["neighbour", "show", "dev", "line"], "").expect("a list");
        for family in Family::BOTH {
            let own = plan::wan(family, index, plan::WAN).to_string();
            let entry = known.lines().find(|line| line.starts_with(&format!("{own} "))).unwrap_or_default();
            assert!(entry.contains("lladdr"), "{own} in:\n{known}");
        }
        // A lease's answer comes in: nobody listens in this site, and the kernel says so.
        let to = SocketAddr::new(plan::wan(Family::V4, index, plan::WAN), 68);
        assert!(provider.enter(|| probe::udp(to, Some(67))).expect("inside"), "an answer about a lease");
        assert!(!provider.enter(|| probe::udp(to, None)).expect("inside"), "from another port");
    }
}

#[test]
fn isolated_networks_reach_nobody_else_and_nobody_learns_their_names() {
    if !allowed() {
        return;
    }
    let world = World::start(TWO);
    let (office, guest) = (world.site.host("lan0").expect("a host"), world.site.host("lan2").expect("a host"));
    let in_office = office.lease(Some("desk")).expect("a client").expect("a lease");
    let in_guest = guest.lease(Some("wpad")).expect("a client").expect("a lease");
    for kind in [Kind::Ping, Kind::Tcp(80), Kind::Udp(53)] {
        assert!(!reaches(&guest.host, IpAddr::V4(in_office.address), kind), "{kind:?} to the office");
        assert!(!reaches(&office.host, IpAddr::V4(in_guest.address), kind), "{kind:?} to a guest");
    }
    assert!(reaches(&guest.host, world::far(Family::V4), Kind::Tcp(80)), "the internet");
    assert_eq!(resolve(&office.host, ip("10.16.10.1"), "desk"), Some(vec![IpAddr::V4(in_office.address)]));
    assert_eq!(
        resolve(&office.host, ip("10.16.10.1"), "wpad"),
        Some(Vec::new()),
        "a guest's name, and this one at that"
    );
}

#[test]
fn what_is_not_in_the_difference_is_not_touched_and_undoing_is_the_same_function() {
    if !allowed() {
        return;
    }
    let mut world = World::start(TWO);
    let before = world.branch.clone();
    let host = world.site.host("lan0").expect("a host");
    let first = host.lease(None).expect("a client").expect("a lease");
    let server = world.server();
    assert_eq!(world.plan(Some(&before), &before), Vec::new(), "an unchanged config makes no step");
    assert_eq!(world.apply(TWO).expect("applied").done, Vec::<String>::new());

    // Fixed hosts, servers of a zone: lists that are read without a restart.
    let zone = format!("{TWO}\n[dns]\nroutes = [{{ zone = \"corp.example\", servers = [\"198.51.100.20\"] }}]\n")
        .replace(
            "lease = \"12h\" }",
            "lease = \"12h\" }\nfixed = [{ name = \"nvr\", mac = \"52:54:00:10:00:42\", host = 42 }]",
        );
    let steps = world.plan(Some(&before), &branch(&zone));
    assert!(steps.iter().all(|step| step.disturbance() == Disturbance::None), "{:?}", words(&steps));
    let done = world.apply(&zone).expect("applied").done;
    assert!(done.contains(&"let dnsmasq read its lists".to_owned()), "{done:?}");
    assert_eq!(world.server(), server, "dnsmasq was not restarted");

    // Another network appears, and one loses a port: the first keeps its bridge and its flows.
    let more = TWO.replace("ports = [\"lan0\", \"lan1\"]", "ports = [\"lan0\"]")
        + "\n[networks.tills]\nvlan = 30\nports = [\"lan1\"]\nnet = \"10.16.30.0/24\"\ndhcp = { from = 20, to = 50 }\n";
    let begun = Instant::now();
    let done = world.apply(&more).expect("applied").done;
    println!("a new network: {:?}, {done:#?}", begun.elapsed());
    assert!(!done.iter().any(|step| step.contains("br-lan.20")), "{done:?}");
    let moved = world.site.host("lan1").expect("a host").lease(None).expect("a client").expect("a lease");
    assert_eq!(moved.address.octets()[2], 30);
    let again = world.site.host("lan0").expect("a host").lease(None).expect("a client").expect("a lease");
    assert_eq!(again.address, first.address, "leases are kept");

    // Back: the same function with the old config, to the last line.
    world.apply(TWO).expect("applied");
    assert_eq!(world.plan(None, &before), Vec::new());
    assert_eq!(world.verify(), Vec::<String>::new());
    let links = world.site.gateway.must("ip", &["-o", "link"], "").expect("links");
    assert!(!links.contains("br-lan.30"), "{links}");
}

#[test]
fn forwarders_change_without_a_restart() {
    if !allowed() {
        return;
    }
    let world = World::start(TWO);
    let (server, host) = (world.server(), world.site.host("lan0").expect("a host"));
    host.lease(None).expect("a client").expect("a lease");
    let branch = &world.branch;
    // Nobody answers there.
    world.services(async |mut services, netlink| {
        services.apply(&netlink, branch).await.expect("nothing to do");
        services.set_forwarders(&[ip("198.51.100.99")]);
        services.apply(&netlink, branch).await.expect("in force");
        assert_eq!(services.verify(&netlink, branch).await.expect("a look"), Vec::<String>::new());
    });
    let one = host.host.enter(|| dns::ask(ip("10.16.10.1"), "one.example.com", Family::V4, Duration::from_secs(1)));
    assert_eq!(one.expect("inside"), None, "the new server is asked");
    let begun = Instant::now();
    world.services(async |mut services, netlink| {
        services.apply(&netlink, branch).await.expect("back");
    });
    assert_eq!(resolve(&host.host, ip("10.16.10.1"), NAME), Some(vec![world::far(Family::V4)]));
    println!("another forwarder answers after {:?}", begun.elapsed());
    assert_eq!(world.server(), server, "one process all the while");
}

#[test]
fn a_trunk_is_refused_with_what_to_do_before_anything_is_changed() {
    if !allowed() {
        return;
    }
    let mut world = World::start(TWO);
    let trunk = TWO.replace("vlan = 10\n", "vlan = 10\ntrunks = [\"lan9\"]\n");
    let error = world.apply(&trunk).expect_err("there is no VLAN here");
    assert!(matches!(&error, ServicesError::Tagged(tagged) if tagged.network == "guest"), "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("systemd-networkd")));
    assert_eq!(world.verify(), Vec::<String>::new(), "all is as it was");
}

#[test]
fn what_somebody_changes_is_seen_and_repaired() {
    if !allowed() {
        return;
    }
    let mut world = World::start(TWO);
    let (gateway, before) = (world.site.gateway.clone(), world.branch.clone());
    gateway.ip("address del 10.16.20.1/24 dev br-lan.20\nlink set lan1 nomaster\n").expect("a fault");
    std::fs::write(world.paths().dnsmasq.join("hosts"), "junk\n").expect("a fault");
    let seen = words(&world.plan(Some(&before), &before)).join("\n");
    for part in [
        "add address 10.16.20.1/24 to br-lan.20",
        "make lan1 a port of br-lan.10",
        "replace hosts, which somebody changed",
    ] {
        assert!(seen.contains(part), "{part} in:\n{seen}");
    }
    world.apply(TWO).expect("repaired");
    assert_eq!(world.verify(), Vec::<String>::new());
    world.kill_server();
    assert!(world.verify().iter().any(|words| words.contains("restart dnsmasq")), "{:?}", world.verify());
    world.apply(TWO).expect("repaired");
    assert_eq!(world.verify(), Vec::<String>::new());
}

/// Somebody who leaves networks alone has his names put right all the same, at once and not after a wait for addresses.
#[test]
fn a_repair_waits_for_nothing_that_is_left_alone() {
    if !allowed() {
        return;
    }
    let world = World::start(TWO);
    world.site.gateway.ip("address del 10.16.20.1/24 dev br-lan.20\n").expect("a fault");
    let servers = world.paths().dnsmasq.join("servers");
    let right = std::fs::read_to_string(&servers).expect("a list");
    std::fs::write(&servers, "junk\n").expect("a fault");
    let repaired =
        world.services(async |mut services, netlink| services.repair(&netlink, &world.branch, &[Section::Dns]).await);
    repaired.expect("names are put right");
    assert_eq!(std::fs::read_to_string(&servers).expect("a list"), right);
    let left: Vec<String> = world.verify().into_iter().filter(|words| words.starts_with("to do: ")).collect();
    assert!(left.iter().any(|words| words.contains("add address 10.16.20.1/24")), "{left:?}");
}

fn words(steps: &[causeway::apply::services::Step]) -> Vec<String> {
    steps.iter().map(causeway::apply::services::Step::describe).collect()
}
