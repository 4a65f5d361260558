//! The table itself: golden text, adoption, repair, watching; and the requests to connection tracking.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use causeway::config::model::{
    Family, Gateway, Ipv6Mode, Network, PortRange, Rule, Service, Slot, Uplink, UplinkId, limits,
};
use causeway::kernel::conntrack::Conntrack;
use causeway::kernel::flow;
use causeway::kernel::marks::Selector;
use causeway::kernel::nft::{Ensured, Nft, NftWatch, TableState};
use causeway::kernel::ruleset::{Learnt, Ruleset};

use crate::kernel::on;
use crate::lab::{FAR, FAR6, Lab};
use crate::traffic::ping;
use crate::{branch, branch_lab, rules};

/// One object of the transaction a line, so that a change of one rule is one line of a diff.
fn golden(name: &str, ruleset: &Ruleset) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nft").join(name);
    let value = serde_json::to_value(ruleset.replacement()).expect("rules are plain data");
    let objects = value["nftables"].as_array().expect("a list of commands");
    let text: String = objects.iter().map(|object| format!("{object}\n")).collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).expect("the golden text can be written");
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    for (number, (found, wanted)) in text.lines().zip(wanted.lines()).enumerate() {
        assert_eq!(found, wanted, "{name}, line {}; UPDATE_GOLDEN=1 accepts", number + 1);
    }
    assert_eq!(text.lines().count(), wanted.lines().count(), "{name}; UPDATE_GOLDEN=1 accepts");
}

fn native() -> Ruleset {
    let mut gateway = branch::gateway();
    for uplink in &mut gateway.uplinks {
        uplink.ipv6 = Ipv6Mode::Native;
    }
    gateway.firewall.forwards.clear();
    let prefix = |text: &str| vec![text.parse().expect("a prefix")];
    let prefixes = [(UplinkId(0), prefix("2001:db8:a::/56")), (UplinkId(1), prefix("2001:db8:b::/56"))];
    Ruleset::new(&gateway, &Learnt { prefixes: prefixes.into() })
}

#[test]
fn golden_text() {
    golden("branch.jsonl", &rules());
    golden("native.jsonl", &native());
}

#[test]
fn the_same_config_gives_the_same_generation_and_another_does_not() {
    assert_eq!(rules(), rules());
    assert_ne!(rules().generation(), native().generation());
}

#[test]
fn f9_a_restart_finds_nothing_to_do() {
    let lab = branch_lab();
    let found = on(&lab, "gw", || async { Nft::new().ensure(&rules()).await }).expect("adopted");
    assert_eq!(found, Ensured::AlreadyRight);
    // Traffic moves the counters; the table is still right.
    assert!(ping(&lab, "lan", None, FAR));
    let state = on(&lab, "gw", || async { Nft::new().check(&rules()).await }).expect("listed");
    assert_eq!(state, TableState::Right);
    let found = on(&lab, "gw", || async { Nft::new().ensure(&native()).await }).expect("loaded");
    assert_eq!(found, Ensured::Loaded(TableState::Other(rules().generation())));
}

#[test]
fn i4_nothing_comes_in_while_the_table_is_replaced() {
    const SWAPS: usize = 20;
    let lab = branch_lab();
    let port = 5_353;
    let socket = lab.on("gw", move || UdpSocket::bind(("0.0.0.0", port)).expect("a free port")).join().expect("bound");
    socket.set_nonblocking(true).expect("a flag");
    let done = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&done);
    let flood = lab.on("pa", move || {
        let sender = UdpSocket::bind(("0.0.0.0", 0)).expect("a free port");
        let mut sent = 0_u64;
        while !until.load(Ordering::Relaxed) {
            sent += u64::from(sender.send_to(b"let me in", ("10.1.0.2", port)).is_ok());
        }
        sent
    });
    let start = Instant::now();
    for number in 0..SWAPS {
        let ruleset = if number % 2 == 0 { native() } else { rules() };
        on(&lab, "gw", move || async move { Nft::new().load(&ruleset).await }).expect("loaded");
    }
    let took = start.elapsed();
    done.store(true, Ordering::Relaxed);
    let sent = flood.join().expect("no panic");
    println!("{SWAPS} swaps in {took:?} under {sent} packets");
    assert!(sent > 1_000, "there was something to keep out");
    assert!(socket.recv(&mut [0; 16]).is_err(), "not one came through");
}

#[test]
fn f20_what_somebody_changes_is_noticed_and_repaired() {
    let lab = branch_lab();
    for (change, found) in [
        ("insert rule inet causeway input accept", TableState::Changed),
        ("delete chain inet causeway srcnat; flush chain inet causeway srcnat", TableState::Right),
        ("flush chain inet causeway input", TableState::Changed),
        ("add chain inet causeway extra", TableState::Changed),
        ("flush ruleset", TableState::Missing),
    ] {
        let arguments = ["netns", "exec", &lab.name("gw"), "nft", change];
        let done = std::process::Command::new("ip").args(arguments).output().expect("ip is installed");
        assert_eq!(done.status.success(), found != TableState::Right, "{change}");
        let state = on(&lab, "gw", || async { Nft::new().ensure(&rules()).await }).expect("repaired");
        let wanted = if found == TableState::Right { Ensured::AlreadyRight } else { Ensured::Loaded(found) };
        assert_eq!(state, wanted, "{change}");
    }
}

#[test]
fn f20_a_change_is_told_at_once() {
    let lab = branch_lab();
    let gateway = lab.name("gw");
    on(&lab, "gw", move || async move {
        let mut watch = NftWatch::open().expect("root may listen");
        let quiet = tokio::time::timeout(Duration::from_millis(50), watch.changed()).await;
        assert!(quiet.is_err(), "nobody changed anything");
        let arguments = ["netns", "exec", &gateway, "nft", "add chain inet causeway extra"];
        std::process::Command::new("ip").args(arguments).status().expect("ip is installed");
        tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.expect("told").expect("no error");
        // A whole table is many messages, and one reason to look.
        Nft::new().load(&native()).await.expect("loaded");
        tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.expect("told").expect("no error");
        watch.forget();
        let quiet = tokio::time::timeout(Duration::from_millis(50), watch.changed()).await;
        assert!(quiet.is_err(), "told again of what was read");
    });
}

#[test]
fn teardown_removes_our_table_and_nothing_else() {
    let lab = branch_lab();
    lab.exec("gw", "nft", &["add table inet theirs"]);
    for _ in 0..2 {
        on(&lab, "gw", || async { Nft::new().teardown().await }).expect("also when there is none");
    }
    assert_eq!(lab.exec("gw", "nft", &["list", "tables"]).trim(), "table inet theirs");
}

#[test]
fn connections_are_counted_listed_and_deleted_one_by_one() {
    let lab = Lab::new();
    on(&lab, "gw", || async { Nft::new().load(&rules()).await }).expect("loaded");
    assert!(ping(&lab, "lan", None, FAR) && ping(&lab, "lan", None, FAR6));
    on(&lab, "gw", || async {
        let mut conntrack = Conntrack::open().expect("root may ask");
        assert!(conntrack.count().await.expect("counted") >= 2);
        for (family, protocol) in [(Family::V4, flow::ICMP), (Family::V6, flow::ICMPV6)] {
            let selector = Selector::uplink(Slot(0));
            let found = conntrack.dump(selector, family).await.expect("listed").flows;
            assert_eq!(found.iter().map(|flow| flow.protocol).collect::<Vec<_>>(), [protocol]);
            assert!(conntrack.delete_flow(&found[0]).await.expect("deleted"));
            assert!(!conntrack.delete_flow(&found[0]).await.expect("gone already is no error"));
            assert_eq!(conntrack.dump(selector, family).await.expect("listed").flows, []);
        }
    });
}

/// Far more than a branch has: all uplinks and networks there can be, and 512 rules, which become thousands.
fn large() -> Gateway {
    let mut gateway = branch::gateway();
    let uplink = gateway.uplinks[0].clone();
    gateway.uplinks = (0..limits::UPLINKS)
        .map(|number| Uplink { device: branch::link(&format!("wan{number}")), ..uplink.clone() })
        .collect();
    let path = gateway.paths[1].clone();
    gateway.paths.resize(limits::PATHS, path);
    let office = gateway.networks[0].clone();
    gateway.networks.extend((2..limits::NETWORKS).map(|number| Network {
        name: branch::name(&format!("net-{number}")),
        ports: vec![branch::link(&format!("lan{number}"))],
        ..office.clone()
    }));
    let rule = gateway.firewall.rules[1].clone();
    gateway.firewall.rules.resize(512, rule);
    let forward = gateway.firewall.forwards[1].clone();
    gateway.firewall.forwards.resize(limits::FORWARDS, forward);
    gateway
}

#[test]
fn a_large_config_loads_in_time() {
    let lab = Lab::new();
    let ruleset = Ruleset::new(&large(), &Learnt::default());
    let (rules, start) = (ruleset.rules(), Instant::now());
    let wanted = ruleset.clone();
    on(&lab, "gw", move || async move { Nft::new().load(&wanted).await }).expect("loaded within the deadline");
    println!("{rules} rules: loaded, read back and sealed in {:?}", start.elapsed());
    let found = on(&lab, "gw", move || async move { Nft::new().ensure(&ruleset).await }).expect("adopted");
    assert_eq!(found, Ensured::AlreadyRight);
}

/// What overlaps in a config would be refused in a set.
#[test]
fn overlapping_networks_and_ports_load() {
    let lab = Lab::new();
    let mut gateway = branch::gateway();
    let nets = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "fd00::/8", "fd00:1::/32"];
    let rule = &mut gateway.firewall.rules[1];
    rule.destination = nets.iter().map(|net| net.parse().expect("a network")).collect();
    rule.allow = [(80, 90), (85, 100), (443, 443), (80, 80)]
        .map(|(first, last)| Service::Tcp(PortRange { first, last }))
        .to_vec();
    let everywhere = Rule { destination: vec!["0.0.0.0/0".parse().expect("a network")], ..rule.clone() };
    gateway.firewall.rules.push(everywhere);
    let ruleset = Ruleset::new(&gateway, &Learnt::default());
    on(&lab, "gw", move || async move { Nft::new().load(&ruleset).await }).expect("loaded");
    on(&lab, "gw", move || async move { Nft::new().load(&native()).await }).expect("loaded");
}
