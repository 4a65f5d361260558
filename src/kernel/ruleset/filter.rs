//! What may pass. Anything no rule allows is dropped, and nothing in the config can open an uplink's input: what is let in
//! there is in [`from_uplinks`], and that is all.

use nftables::expr::{Expression, MetaKey};
use nftables::types::{NfChainPolicy, NfChainType, NfHook};

use super::expression::{
    Expr, Stmt, above, accept, any_bit, counter, ct, drop, equal, family, field, goto, limit, log, meta, network,
    not_equal, ports, protocol, reset, state, text, words,
};
use super::selector::Selector;
use super::{TableBuilder, devices, network_devices, priority, uplink_devices};
use crate::config::model::{Family, Gateway, LinkName, Network, PortRange, Rule, Service, Telemetry, Zone};

/// Lines a second into the log from dropped packets: enough to see what is going on, too few to fill a disk.
const LOG_PER_SECOND: u32 = 5;
const LOG_BURST: u32 = 20;
/// Pings a second that we answer, over all networks.
const ECHO_PER_SECOND: u32 = 100;
const ECHO_BURST: u32 = 50;

/// A limit lets a tenth of a second through at once: a round trip of the internet, so that TCP can fill it; the kernel adds
/// a whole second to any limit that counts bytes (`net/netfilter/nft_limit.c`),
const LIMIT_BURST: u64 = 10;
/// and never less than one segment as network cards join them.
const LIMIT_BURST_LEAST: u32 = 64 << 10;

const SSH: u16 = 22;
const DNS: u16 = 53;
/// RFC 2131 and RFC 8415.
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DHCP6_CLIENT: u16 = 546;
const DHCP6_SERVER: u16 = 547;

const FORWARD: &str = "forward";
const INPUT: &str = "input";
const FROM_UPLINKS: &str = "from_uplinks";
const OUTPUT: &str = "output";

pub(super) fn build(table: &mut TableBuilder, gateway: &Gateway) {
    from_uplinks(table, gateway);
    input(table, gateway);
    forward(table, gateway);
    output(table, gateway);
}

/// What a gateway cannot do without on the internet side: its own answers, errors, neighbours, router and address leases.
fn from_uplinks(table: &mut TableBuilder, gateway: &Gateway) {
    table.chain(FROM_UPLINKS);
    let errors = ["echo-reply", "destination-unreachable", "time-exceeded", "parameter-problem"];
    table.rule(FROM_UPLINKS, "errors and answers", vec![equal(field("icmp", "type"), words(&errors)), accept()]);
    let errors6 = ["echo-reply", "destination-unreachable", "packet-too-big", "time-exceeded", "parameter-problem"];
    table.rule(FROM_UPLINKS, "errors and answers", vec![equal(field("icmpv6", "type"), words(&errors6)), accept()]);
    // RFC 4861: a hop limit of 255 proves that the sender is on this line.
    let neighbours = ["nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-advert"];
    table.rule(
        FROM_UPLINKS,
        "neighbours and router",
        vec![
            equal(field("ip6", "hoplimit"), Expression::Number(255)),
            equal(field("icmpv6", "type"), words(&neighbours)),
            accept(),
        ],
    );
    table.rule(
        FROM_UPLINKS,
        "multicast listeners",
        vec![link_local_source(), equal(field("icmpv6", "type"), text("mld-listener-query")), accept()],
    );
    table.rule(
        FROM_UPLINKS,
        "address lease",
        vec![family(Family::V4), udp_sport(DHCP_SERVER), udp_dport(DHCP_CLIENT), accept()],
    );
    table.rule(
        FROM_UPLINKS,
        "address lease",
        vec![link_local_source(), udp_sport(DHCP6_SERVER), udp_dport(DHCP6_CLIENT), accept()],
    );
    // The one thing a config may open: answering pings.
    let pings = |rule: &Rule| {
        rule.from.contains(&Zone::Wan) && rule.to.contains(&Zone::Own) && rule.allow.contains(&Service::Icmp)
    };
    if gateway.firewall.rules.iter().any(pings) {
        echo(table, FROM_UPLINKS);
    }
    table.rule(FROM_UPLINKS, "closed", vec![counter(), drop()]);
}

fn link_local_source() -> Stmt {
    equal(field("ip6", "saddr"), network("fe80::/10".parse().expect("a literal network")))
}

fn udp_sport(port: u16) -> Stmt {
    equal(field("udp", "sport"), Expression::Number(u32::from(port)))
}

fn udp_dport(port: u16) -> Stmt {
    equal(field("udp", "dport"), Expression::Number(u32::from(port)))
}

fn echo(table: &mut TableBuilder, chain: &'static str) {
    for name in ["icmp", "icmpv6"] {
        table.rule(
            chain,
            "pings",
            vec![equal(field(name, "type"), text("echo-request")), limit(ECHO_PER_SECOND, ECHO_BURST), accept()],
        );
    }
}

fn input(table: &mut TableBuilder, gateway: &Gateway) {
    table.base_chain(INPUT, NfChainType::Filter, NfHook::Input, priority::FILTER, NfChainPolicy::Drop);
    table.rule(INPUT, "ourselves", vec![equal(meta(MetaKey::Iifname), text("lo")), accept()]);
    table.rule(INPUT, "known flow", vec![state(&["established", "related"]), accept()]);
    if let Some(uplinks) = devices(gateway, uplink_devices(gateway)) {
        table.rule(INPUT, "uplinks", vec![equal(meta(MetaKey::Iifname), uplinks), goto(FROM_UPLINKS)]);
    }
    table.rule(INPUT, "no known flow", vec![state(&["invalid"]), drop()]);
    for network in gateway.networks.iter().filter(|network| network.isolate) {
        from_network(
            table,
            gateway,
            network,
            "isolated: no ssh",
            vec![equal(field("tcp", "dport"), Expression::Number(u32::from(SSH))), drop()],
        );
    }
    if let Some(networks) = devices(gateway, network_devices(gateway)) {
        services(table, &networks);
    }
    for (number, rule) in gateway.firewall.rules.iter().enumerate() {
        if rule.to.contains(&Zone::Own) {
            zone_rule(table, INPUT, number, rule, sources(gateway, rule, false), None);
        }
    }
    let metrics = |network: &&Network| gateway.telemetry.metrics_on.contains(&network.name);
    for network in gateway.networks.iter().filter(metrics) {
        let port = gateway.telemetry.metrics_port;
        from_network(
            table,
            gateway,
            network,
            "metrics",
            vec![equal(field("tcp", "dport"), ports(PortRange { first: port, last: port })), accept()],
        );
    }
    let pages = |network: &&Network| gateway.telemetry.status_page_on.contains(&network.name);
    for network in gateway.networks.iter().filter(pages) {
        let port = Telemetry::PAGE_PORT;
        from_network(
            table,
            gateway,
            network,
            "status page",
            vec![equal(field("tcp", "dport"), Expression::Number(u32::from(port))), accept()],
        );
    }
    dropped(table, INPUT);
}

fn from_network(table: &mut TableBuilder, gateway: &Gateway, network: &Network, what: &str, then: Vec<Stmt>) {
    if let Some(from) = devices(gateway, &network.ports) {
        let mut statements = vec![equal(meta(MetaKey::Iifname), from)];
        statements.extend(then);
        table.rule(INPUT, format!("{}: {what}", network.name), statements);
    }
}

/// What makes a network a network: leases, names, neighbours, pings.
fn services(table: &mut TableBuilder, networks: &Expr) {
    let mut open = |what: &'static str, then: Vec<Stmt>| {
        let mut statements = vec![equal(meta(MetaKey::Iifname), networks.clone())];
        statements.extend(then);
        statements.push(accept());
        table.rule(INPUT, what, statements);
    };
    open("leases", vec![family(Family::V4), udp_sport(DHCP_CLIENT), udp_dport(DHCP_SERVER)]);
    open("leases", vec![link_local_source(), udp_sport(DHCP6_CLIENT), udp_dport(DHCP6_SERVER)]);
    open("names", vec![udp_dport(DNS)]);
    open("names", vec![equal(field("tcp", "dport"), Expression::Number(u32::from(DNS)))]);
    let neighbours = ["nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-solicit"];
    open(
        "neighbours",
        vec![
            equal(field("ip6", "hoplimit"), Expression::Number(255)),
            equal(field("icmpv6", "type"), words(&neighbours)),
        ],
    );
    let listeners = ["mld-listener-report", "mld-listener-done", "mld2-listener-report"];
    open("multicast listeners", vec![link_local_source(), equal(field("icmpv6", "type"), words(&listeners))]);
    for name in ["icmp", "icmpv6"] {
        open("pings", vec![equal(field(name, "type"), text("echo-request")), limit(ECHO_PER_SECOND, ECHO_BURST)]);
    }
}

fn forward(table: &mut TableBuilder, gateway: &Gateway) {
    table.base_chain(FORWARD, NfChainType::Filter, NfHook::Forward, priority::FILTER, NfChainPolicy::Drop);
    let uplinks = devices(gateway, uplink_devices(gateway));
    if let Some(uplinks) = &uplinks {
        let between = vec![
            equal(meta(MetaKey::Iifname), uplinks.clone()),
            equal(meta(MetaKey::Oifname), uplinks.clone()),
            drop(),
        ];
        table.rule(FORWARD, "never from uplink to uplink", between);
    }
    limits(table, gateway);
    table.rule(FORWARD, "known flow", vec![state(&["established", "related"]), accept()]);
    if let Some(uplinks) = &uplinks {
        // After a failover the dead uplink's flows are forgotten. Their next packet from a network is answered with a
        // reset, so that the application learns now and not in minutes. Never towards the internet.
        table.rule(
            FORWARD,
            "lost flow: tell the client",
            vec![
                not_equal(meta(MetaKey::Iifname), uplinks.clone()),
                protocol("tcp"),
                state(&["invalid"]),
                counter(),
                reset(),
            ],
        );
    }
    table.rule(FORWARD, "no known flow", vec![state(&["invalid"]), drop()]);
    if let Some(uplinks) = &uplinks {
        let forwarded =
            vec![equal(meta(MetaKey::Iifname), uplinks.clone()), any_bit(ct("status"), &["dnat"]), accept()];
        table.rule(FORWARD, "forwards", forwarded);
    }
    let networks = devices(gateway, network_devices(gateway));
    for network in gateway.networks.iter().filter(|network| network.isolate) {
        if let (Some(from), Some(networks)) = (devices(gateway, &network.ports), &networks) {
            table.rule(
                FORWARD,
                format!("{}: isolated", network.name),
                vec![equal(meta(MetaKey::Iifname), from), equal(meta(MetaKey::Oifname), networks.clone()), drop()],
            );
        }
    }
    for (number, rule) in gateway.firewall.rules.iter().enumerate() {
        if let Some(to) = devices(gateway, rule.to.iter().flat_map(|zone| zone_devices(gateway, zone))) {
            zone_rule(table, FORWARD, number, rule, sources(gateway, rule, true), Some(to));
        }
    }
    dropped(table, FORWARD);
}

/// What a network may download, all its clients together: what is above is dropped, and TCP slows down. It comes before
/// known flows, because they are what it is about.
fn limits(table: &mut TableBuilder, gateway: &Gateway) {
    let Some(uplinks) = devices(gateway, uplink_devices(gateway)) else { return };
    for network in &gateway.networks {
        let (Some(bits), Some(to)) = (network.limit_down, devices(gateway, &network.ports)) else { continue };
        let bytes = bits / 8;
        let burst = u32::try_from(bytes / LIMIT_BURST).unwrap_or(u32::MAX).max(LIMIT_BURST_LEAST);
        table.rule(
            FORWARD,
            format!("{}: at most {bits} bit/s down", network.name),
            vec![
                equal(meta(MetaKey::Iifname), uplinks.clone()),
                equal(meta(MetaKey::Oifname), to),
                above(bytes, burst),
                counter(),
                drop(),
            ],
        );
    }
}

fn zone_devices<'a>(gateway: &'a Gateway, zone: &Zone) -> Vec<&'a LinkName> {
    match zone {
        Zone::Own => Vec::new(),
        Zone::Wan => uplink_devices(gateway).collect(),
        Zone::Network(name) => {
            gateway.networks.iter().filter(|network| network.name == *name).flat_map(|network| &network.ports).collect()
        }
    }
}

/// Devices a rule's traffic comes from. For our own input never an uplink's, whatever the rule says.
fn sources(gateway: &Gateway, rule: &Rule, with_uplinks: bool) -> Option<Expr> {
    let zones = rule.from.iter().filter(|zone| with_uplinks || **zone != Zone::Wan);
    devices(gateway, zones.flat_map(|zone| zone_devices(gateway, zone)))
}

fn zone_rule(
    table: &mut TableBuilder,
    chain: &'static str,
    number: usize,
    rule: &Rule,
    from: Option<Expr>,
    to: Option<Expr>,
) {
    let Some(from) = from else { return };
    let mut start = vec![equal(meta(MetaKey::Iifname), from)];
    start.extend(to.map(|to| equal(meta(MetaKey::Oifname), to)));
    let selector = Selector { source: &[], destination: &rule.destination, dscp: &[], services: &rule.allow };
    for matches in selector.rules() {
        let all: Vec<Stmt> = start.iter().cloned().chain(matches).collect();
        if rule.log {
            let mut logged = all.clone();
            logged.extend([state(&["new"]), limit(LOG_PER_SECOND, LOG_BURST), log("causeway allow ")]);
            table.rule(chain, format!("rule {}: log", number + 1), logged);
        }
        let mut allowed = all;
        allowed.push(accept());
        table.rule(chain, format!("rule {}", number + 1), allowed);
    }
}

fn dropped(table: &mut TableBuilder, chain: &'static str) {
    table.rule(chain, "dropped: log", vec![limit(LOG_PER_SECOND, LOG_BURST), log("causeway drop ")]);
    table.rule(chain, "dropped", vec![counter(), drop()]);
}

/// Our own flows of a dead uplink: their sockets learn at once, too, and nothing leaves another line with the dead one's
/// address.
fn output(table: &mut TableBuilder, gateway: &Gateway) {
    table.base_chain(OUTPUT, NfChainType::Filter, NfHook::Output, priority::FILTER, NfChainPolicy::Accept);
    if let Some(uplinks) = devices(gateway, uplink_devices(gateway)) {
        table.rule(
            OUTPUT,
            "lost flow: tell the socket",
            vec![equal(meta(MetaKey::Oifname), uplinks), protocol("tcp"), state(&["invalid"]), counter(), reset()],
        );
    }
}
