//! The branch of these tests, as a config: two uplinks, an office, isolated guests, one forward, a path of its own for
//! calls.

use std::net::IpAddr;

use causeway::config::model::{
    Control, Failback, FailbackFlows, FailbackWhen, Firewall, Forward, Gateway, Ipv4Mode, Ipv6Mode, LinkName, Match,
    Medium, Name, Network, Otherwise, Path, PortRange, Profile, Rule, Service, Site, Slots, Telemetry, Uplink,
    UplinkId, Zone,
};

pub(crate) const A: UplinkId = UplinkId(0);
pub(crate) const B: UplinkId = UplinkId(1);

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(crate) fn link(text: &str) -> LinkName {
    LinkName::new(text).expect("a device")
}

fn uplink(title: &str, device: &str) -> Uplink {
    Uplink {
        name: name(title),
        device: link(device),
        medium: Medium::Fibre,
        provider: None,
        circuit: None,
        metered: None,
        weight: 1,
        ipv4: Ipv4Mode::Dhcp,
        ipv6: Ipv6Mode::Nat66,
        profile: Profile::fast(),
        targets: Vec::new(),
        enabled: true,
    }
}

fn path(title: &str, matches: Vec<Match>, tiers: Vec<Vec<UplinkId>>) -> Path {
    Path {
        name: name(title),
        matches,
        tiers,
        failback: Failback {
            when: FailbackWhen::After(Failback::AFTER),
            flows: FailbackFlows::Drain { at_most: None },
        },
        otherwise: Otherwise::Keep,
        min_hold: Path::MIN_HOLD,
    }
}

fn network(title: &str, device: &str, net: &str, net6: &str, isolate: bool) -> Network {
    Network {
        name: name(title),
        ports: vec![link(device)],
        net: Some(net.parse().expect("a network")),
        net6: Some(net6.parse().expect("a network")),
        bridged: None,
        dhcp: None,
        fixed: Vec::new(),
        limit_down: None,
        isolate,
    }
}

fn port(first: u16) -> PortRange {
    PortRange { first, last: first }
}

pub(crate) fn gateway() -> Gateway {
    let zone = |title: &str| Zone::Network(name(title));
    let calls = Match {
        dscp: vec![46],
        services: vec![Service::Udp(PortRange { first: 5060, last: 5061 })],
        ..Match::default()
    };
    Gateway {
        site: Site { name: "branch".to_owned(), owner: None },
        slots: Slots::default(),
        uplinks: vec![uplink("fibre", "wan1"), uplink("cable", "wan2")],
        paths: vec![
            path("default", Vec::new(), vec![vec![A], vec![B]]),
            path(
                "calls",
                vec![calls, Match { services: vec![Service::Tcp(port(7_100))], ..Match::default() }],
                vec![vec![B], vec![A]],
            ),
        ],
        networks: vec![
            network("office", "lan0", "192.168.1.0/24", "fd00:1::/64", false),
            network("guest", "lan1", "192.168.2.0/24", "fd00:2::/64", true),
        ],
        firewall: Firewall {
            rules: vec![
                Rule {
                    from: vec![zone("office")],
                    to: vec![Zone::Wan, zone("guest")],
                    destination: Vec::new(),
                    allow: vec![Service::Any],
                    log: false,
                },
                Rule {
                    from: vec![zone("guest")],
                    to: vec![Zone::Wan],
                    destination: vec!["198.51.100.0/24".parse().expect("a network")],
                    allow: vec![
                        Service::Tcp(port(80)),
                        Service::Tcp(port(443)),
                        Service::Udp(port(443)),
                        Service::Icmp,
                    ],
                    log: true,
                },
                // What the model would refuse, and the rules must not let through either.
                Rule {
                    from: vec![zone("office"), Zone::Wan],
                    to: vec![Zone::Own],
                    destination: Vec::new(),
                    allow: vec![Service::Tcp(port(22))],
                    log: false,
                },
            ],
            forwards: vec![
                Forward {
                    name: name("camera"),
                    on: vec![A, B],
                    source: vec!["198.51.100.0/24".parse().expect("a network")],
                    service: Service::Tcp(port(8_443)),
                    to: IpAddr::from([192, 168, 1, 10]),
                    to_port: 443,
                },
                Forward {
                    name: name("phones"),
                    on: vec![A],
                    source: Vec::new(),
                    service: Service::Udp(PortRange { first: 9_000, last: 9_002 }),
                    to: "fd00:1::10".parse().expect("an address"),
                    to_port: 10_000,
                },
            ],
        },
        control: Control { group: None },
        telemetry: Telemetry {
            metrics_on: vec![name("office")],
            metrics_port: Telemetry::METRICS_PORT,
            status_page_on: Vec::new(),
        },
    }
}
