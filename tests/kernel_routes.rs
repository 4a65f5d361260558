//! Our routes and rules against the real kernel, in network namespaces. Needs the right to make one.

#[path = "kernel_routes/branch.rs"]
mod branch;
#[path = "kernel_routes/config.rs"]
mod config;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use branch::{build, device_to, forget, in_namespace, ip, learn, route_field, try_ip};
use causeway::apply::desired::{Selections, desired};
use causeway::apply::exec::{Kernel, reconcile, switch_route, teardown};
use causeway::apply::plan::{Step, plan};
use causeway::config::model::{Family, Ipv4Mode, PathId, UplinkId};
use causeway::engine::event::{self, Event};
use causeway::kernel::netlink::Netlink;
use causeway::kernel::netlink::counters::Counting;
use causeway::kernel::netlink::monitor::{Hint, Monitor, RECEIVE_BUFFER};
use causeway::kernel::observe::observe;
use causeway::policy::Selection;
use config::config;

const FAR: &str = "198.51.100.9";
const FAR6: &str = "2001:db8:ffff::9";
const GUESTS: PathId = PathId(1);

/// All paths in both families through this selection.
fn through(uplinks: &[(u8, u8)]) -> Selections {
    let selection = select(uplinks);
    let paths = [PathId::DEFAULT, GUESTS];
    let keys = paths.into_iter().flat_map(|path| Family::BOTH.map(|family| (path, family)));
    keys.map(|key| (key, selection.clone())).collect()
}

fn select(uplinks: &[(u8, u8)]) -> Selection {
    Selection(uplinks.iter().map(|(uplink, weight)| (UplinkId(*uplink), *weight)).collect())
}

#[test]
fn each_packet_takes_the_table_of_its_mark_device_or_path() {
    in_namespace(|| async {
        build();
        let kernel = Netlink::open().expect("netlink");
        let mut selections = through(&[(0, 1)]);
        selections.insert((GUESTS, Family::V4), select(&[(1, 1)]));
        let report = reconcile(&kernel, &config(), &selections).await.expect("reconciled");
        assert_eq!(report.done.len(), 2 * (4 + 2 + 7), "{:#?}", report.done);
        for far in [FAR, FAR6] {
            assert_eq!(device_to(far, "").as_deref(), Some("wan0"), "{far} by default");
            assert_eq!(device_to(far, "mark 0x200").as_deref(), Some("wan1"), "{far} with the mark of the second");
            assert_eq!(device_to(far, "mark 0x101").as_deref(), Some("wan0"), "{far}: an uplink's mark wins");
            assert_eq!(device_to(far, "oif wan1").as_deref(), Some("wan1"), "{far} from a bound socket");
        }
        assert_eq!(device_to(FAR, "mark 0x1").as_deref(), Some("wan1"), "path of the guests");
        assert_eq!(device_to(FAR6, "mark 0x1").as_deref(), Some("wan0"), "families apart");
        assert_eq!(device_to("10.1.0.7", "mark 0x200").as_deref(), Some("lan0"), "LANs first");

        let again = reconcile(&kernel, &config(), &selections).await.expect("reconciled again");
        assert_eq!(again.done, Vec::<String>::new(), "nothing to do when all is right");
    });
}

/// F9: whoever dies between two steps, and at the first start: there is a way out at each moment.
#[test]
fn f09_half_a_plan_is_no_worse_than_none() {
    in_namespace(|| async {
        build();
        let kernel = Netlink::open().expect("netlink");
        let both_ways = [through(&[(1, 1)]), through(&[(0, 1)]), through(&[(0, 3), (1, 1)])];
        for selections in both_ways {
            let state = kernel.dump().await.expect("a dump");
            let steps = plan(&state, &desired(&config(), &state, &selections));
            assert!(!steps.is_empty());
            for step in steps {
                kernel.run(&step).await.expect("a step");
                for far in [FAR, FAR6] {
                    let device = device_to(far, "").unwrap_or_else(|| panic!("no way after: {step:?}"));
                    assert!(device.starts_with("wan"), "{device}");
                }
            }
            let report = reconcile(&kernel, &config(), &selections).await.expect("reconciled");
            assert_eq!(report.done, Vec::<String>::new());
        }
    });
}

#[test]
fn f20_foreign_changes_to_ours_are_repaired_and_others_left_alone() {
    in_namespace(|| async {
        build();
        let kernel = Netlink::open().expect("netlink");
        let selections = through(&[(0, 2), (1, 1)]);
        ip("route add 203.0.113.0/24 via 192.0.2.1 table 100");
        ip("rule add pref 5000 to 203.0.113.0/24 lookup 100");
        reconcile(&kernel, &config(), &selections).await.expect("reconciled");
        let right = kernel.dump().await.expect("a dump");
        for damage in [
            "route del default table 4200",
            "route flush table 4101",
            "-6 route flush table 4200",
            "-6 route del default metric 100 table 4102",
            "rule del pref 4000",
            "-6 rule del pref 4400",
            "route append default via 192.0.2.17 metric 100 table 4200",
            "route prepend default via 192.0.2.17 metric 100 table 4101",
            "route add 203.0.113.0/24 dev lan0 table 4200",
            "route add default via 192.0.2.17 table 4101",
            "route add blackhole 198.51.100.0/24 table 4101",
            "-6 route append default via fe80::99 dev wan0 metric 100 table 4200",
            "-6 route add 2001:db8:ffff::/48 dev lan0 table 4201",
            "-6 route replace unreachable default metric 100 table 4200",
            "rule add pref 4001 lookup 100",
            "rule add pref 4202 from 10.1.0.0/24 oif wan1 lookup 100",
            "rule add pref 4400 not fwmark 7 prohibit",
            "route replace default via 192.0.2.17 metric 100 proto static table 4200",
        ] {
            ip(damage);
            let report = reconcile(&kernel, &config(), &selections).await.unwrap_or_else(|e| panic!("{damage}: {e:?}"));
            assert!(!report.done.is_empty(), "{damage}: not seen");
            let state = kernel.dump().await.expect("a dump");
            assert_eq!((&state.rules, state.routes.len()), (&right.rules, right.routes.len()), "{damage}");
        }
        assert!(ip("rule show").contains("5000:\tfrom all to 203.0.113.0/24 lookup 100"));
        assert!(ip("route show table 100").contains("203.0.113.0/24 via 192.0.2.1 dev wan0"));
    });
}

#[test]
fn teardown_takes_all_of_ours_and_nothing_else() {
    in_namespace(|| async {
        build();
        ip("rule add pref 5000 to 203.0.113.0/24 lookup 100");
        ip("-6 rule add pref 4999 to 2001:db8:9::/48 lookup 100");
        let before = (everything(), device_to(FAR, ""));
        let kernel = Netlink::open().expect("netlink");
        reconcile(&kernel, &config(), &through(&[(1, 1)])).await.expect("reconciled");
        assert_ne!(everything(), before.0);
        ip("route add 203.0.113.0/24 via 192.0.2.1 table 4250");
        ip("rule add pref 4050 to 203.0.113.0/24 lookup 100");
        teardown(&kernel).await.expect("torn down");
        assert!(ip("rule show").contains("4050:"), "not ours by protocol: stays");
        ip("rule del pref 4050");
        ip("route flush table 4250");
        assert_eq!((everything(), device_to(FAR, "")), before);
        assert_eq!(teardown(&kernel).await.expect("twice is fine").done, Vec::<String>::new());
    });
}

fn everything() -> Vec<String> {
    ["rule show", "-6 rule show", "route show table all", "-6 route show table all"].map(ip).into()
}

#[test]
fn an_uplink_without_gateway_never_borrows_another_line() {
    in_namespace(|| async {
        build();
        let kernel = Netlink::open().expect("netlink");
        reconcile(&kernel, &config(), &through(&[(0, 1)])).await.expect("reconciled");
        forget(1);
        let report = reconcile(&kernel, &config(), &through(&[(0, 1)])).await.expect("reconciled");
        assert_eq!(report.done.len(), 2, "{:?}", report.done);
        for far in [FAR, FAR6] {
            assert_eq!(device_to(far, "mark 0x200"), None, "{far}: a marked flow is told that there is no way");
            // IPv4 takes the target for a neighbour on that device, IPv6 refuses: both stay on the line.
            let bound = device_to(far, "oif wan1");
            assert!(bound.is_none() || bound.as_deref() == Some("wan1"), "{far}: {bound:?}");
            assert_eq!(device_to(far, "").as_deref(), Some("wan0"));
        }
        assert_eq!(route_field(FAR, "oif wan1", "gateway"), None);

        // F18: the only uplink of a path loses its gateway too. Its table keeps the last choice.
        forget(0);
        reconcile(&kernel, &config(), &through(&[(0, 1)])).await.expect("reconciled");
        assert_eq!(device_to(FAR, "").as_deref(), Some("wan0"));

        // F16: any one returns.
        learn(1);
        reconcile(&kernel, &config(), &through(&[(1, 1)])).await.expect("reconciled");
        assert_eq!(device_to(FAR, "").as_deref(), Some("wan1"));
        assert_eq!(device_to(FAR6, "mark 0x200").as_deref(), Some("wan1"));
    });
}

#[test]
fn a_path_that_rejects_is_unreachable_and_comes_back() {
    in_namespace(|| async {
        build();
        let kernel = Netlink::open().expect("netlink");
        let mut selections = through(&[(0, 1)]);
        reconcile(&kernel, &config(), &selections).await.expect("reconciled");
        let state = kernel.dump().await.expect("a dump");
        for family in Family::BOTH {
            let empty = Selection::default();
            switch_route(&kernel, &config(), &state, GUESTS, family, &empty).await.expect("rejected");
            selections.insert((GUESTS, family), empty);
        }
        for far in [FAR, FAR6] {
            assert_eq!(device_to(far, "mark 0x1"), None);
            assert_eq!(device_to(far, "").as_deref(), Some("wan0"));
        }
        let report = reconcile(&kernel, &config(), &selections).await.expect("reconciled");
        assert_eq!(report.done, Vec::<String>::new());
        for family in Family::BOTH {
            let route = switch_route(&kernel, &config(), &state, GUESTS, family, &select(&[(1, 1)])).await;
            assert!(route.expect("switched").is_some());
        }
        assert_eq!(device_to(FAR6, "mark 0x1").as_deref(), Some("wan1"));
    });
}

#[test]
fn a_static_gateway_may_be_outside_the_subnet() {
    in_namespace(|| async {
        build();
        let kernel = Netlink::open().expect("netlink");
        let mut config = config();
        config.uplinks[0].ipv4 = Ipv4Mode::Static {
            address: "192.0.2.2/28".parse().expect("a net"),
            gateway: "203.0.113.1".parse().expect("an address"),
            dns: Vec::new(),
        };
        reconcile(&kernel, &config, &through(&[(0, 1)])).await.expect("reconciled");
        assert_eq!(route_field(FAR, "", "gateway").as_deref(), Some("203.0.113.1"));
        let again = reconcile(&kernel, &config, &through(&[(0, 1)])).await.expect("reconciled");
        assert_eq!(again.done, Vec::<String>::new());
    });
}

/// The heart of a failover: whoever sends during a replacement gets either the old way or the new one.
#[test]
fn replacing_the_route_of_a_path_never_leaves_a_gap() {
    in_namespace(|| async {
        build();
        // Without a default in `main` a gap cannot hide behind a fall through.
        let kernel = Netlink::open().expect("netlink");
        reconcile(&kernel, &config(), &through(&[(0, 1)])).await.expect("reconciled");
        let state = kernel.dump().await.expect("a dump");
        (0..2).for_each(forget);
        let shapes: [&[(u8, u8)]; 6] =
            [&[(1, 1)], &[(0, 1)], &[(0, 3), (1, 1)], &[(1, 1)], &[(0, 1), (1, 2)], &[(0, 2), (1, 1)]];
        for (family, far) in [(Family::V4, FAR), (Family::V6, FAR6)] {
            let sender = Sender::start(far);
            let started = Instant::now();
            let mut slowest = Duration::ZERO;
            for round in 0..1_000 {
                let selection = select(shapes[round % shapes.len()]);
                let before = Instant::now();
                let route = switch_route(&kernel, &config(), &state, PathId::DEFAULT, family, &selection).await;
                assert_eq!(route.expect("switched").expect("a route").hops.len(), selection.0.len());
                slowest = slowest.max(before.elapsed());
            }
            let took = started.elapsed();
            let (sent, errors) = sender.stop();
            println!(
                "{family}: 1,000 switches in {took:?}, slowest {slowest:?}; {sent} packets, {errors} without a way"
            );
            assert_eq!(errors, 0, "{family}: of {sent} packets");
            assert!(sent > 1_000, "{family}: only {sent} packets were sent meanwhile");
        }
    });
}

/// The test above can see a gap: taking away and putting back, as scripts do, has one.
#[test]
fn a_gap_would_be_seen() {
    in_namespace(|| async {
        build();
        let kernel = Netlink::open().expect("netlink");
        reconcile(&kernel, &config(), &through(&[(0, 1)])).await.expect("reconciled");
        let state = kernel.dump().await.expect("a dump");
        (0..2).for_each(forget);
        for (family, far) in [(Family::V4, FAR), (Family::V6, FAR6)] {
            let route = state.routes_in(family, 4_200).next().expect("path default").clone();
            let sender = Sender::start(far);
            let started = Instant::now();
            while sender.errors.load(Ordering::Relaxed) == 0 && started.elapsed() < Duration::from_secs(20) {
                kernel.run(&Step::DeleteRoute(route.clone())).await.expect("removed");
                kernel.run(&Step::ReplaceRoute(route.clone())).await.expect("put back");
            }
            assert_ne!(sender.stop().1, 0, "{family}");
        }
    });
}

/// Sends from an unconnected socket, so that each packet is looked up anew.
struct Sender {
    stop: Arc<AtomicBool>,
    errors: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<u64>,
}

impl Sender {
    fn start(far: &str) -> Self {
        let far = SocketAddr::new(far.parse::<IpAddr>().expect("an address"), 9);
        let (stop, errors) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, failed) = (Arc::clone(&stop), Arc::clone(&errors));
        let thread = std::thread::spawn(move || {
            let any: SocketAddr = if far.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().expect("an address");
            let socket = UdpSocket::bind(any).expect("a socket");
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                match socket.send_to(b"causeway", far) {
                    Ok(_) => sent += 1,
                    // A full queue of the device is not what this is about.
                    Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                    Err(_) => drop(failed.fetch_add(1, Ordering::Relaxed)),
                }
            }
            sent
        });
        Self { stop, errors, thread }
    }

    fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.thread.join().expect("the sender ends");
        (sent, self.errors.load(Ordering::Relaxed))
    }
}

#[test]
fn a_lost_carrier_is_heard_with_its_name() {
    in_namespace(|| async {
        build();
        let mut monitor = Monitor::open(RECEIVE_BUFFER).expect("a monitor");
        let kernel = Netlink::open().expect("netlink");
        ip("link set isp0 down");
        let before = Instant::now();
        let found = hear(
            &mut monitor,
            |hint| matches!(hint, Hint::Link { name, link: event::Link::NoCarrier, .. } if name == "wan0"),
        );
        found.await;
        println!("heard {:?} after `ip` had ended", before.elapsed());
        let events = observe(&config(), &kernel.dump().await.expect("a dump"));
        assert!(events.contains(&Event::Link { uplink: UplinkId(0), link: event::Link::NoCarrier }), "{events:?}");
        ip("link del wan1");
        hear(
            &mut monitor,
            |hint| matches!(hint, Hint::Link { name, link: event::Link::Missing, .. } if name == "wan1"),
        )
        .await;
        let events = observe(&config(), &kernel.dump().await.expect("a dump"));
        assert!(events.contains(&Event::Link { uplink: UplinkId(1), link: event::Link::Missing }), "{events:?}");
    });
}

/// F19: the device went away with all its routes and came back under another number.
#[test]
fn f19_a_device_that_returns_is_found_again() {
    in_namespace(|| async {
        build();
        let kernel = Netlink::open().expect("netlink");
        reconcile(&kernel, &config(), &through(&[(0, 1)])).await.expect("reconciled");
        ip("link del wan1");
        reconcile(&kernel, &config(), &through(&[(0, 1)])).await.expect("reconciled without it");
        assert_eq!(device_to(FAR, "mark 0x200"), None);
        ip("link add wan1 type veth peer name isp1");
        ip("link set wan1 up");
        ip("link set isp1 up");
        ip("addr add 192.0.2.18/28 dev wan1");
        ip("route add default via 192.0.2.17 dev wan1 proto dhcp metric 1025");
        reconcile(&kernel, &config(), &through(&[(0, 1)])).await.expect("reconciled with it");
        assert_eq!(device_to(FAR, "mark 0x200").as_deref(), Some("wan1"));
        assert_eq!(device_to(FAR, "oif wan1").as_deref(), Some("wan1"));
    });
}

#[test]
fn what_is_observed_is_what_the_kernel_learnt() {
    in_namespace(|| async {
        build();
        ip("route add default via 192.0.2.20 dev wan1 proto dhcp metric 2000");
        ip("neigh add 192.0.2.1 lladdr 02:00:00:00:00:00 dev lan0 nud permanent");
        let kernel = Netlink::open().expect("netlink");
        let state = kernel.dump().await.expect("a dump");
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let mut expected = BTreeMap::new();
        for (uplink, own, via, own6, via6) in [
            (UplinkId(0), "192.0.2.2", "192.0.2.1", "2001:db8:0::2", "fe80::1"),
            (UplinkId(1), "192.0.2.18", "192.0.2.17", "2001:db8:1::2", "fe80::11"),
        ] {
            for (family, own, via) in [(Family::V4, own, via), (Family::V6, own6, via6)] {
                let gateway = Some(event::Gateway::Via(address(via)));
                // A fixed entry does not tell whether the gateway answers.
                expected.insert((uplink, family), (Some(address(own)), gateway, None));
            }
        }
        let mut seen: BTreeMap<_, (Option<IpAddr>, Option<event::Gateway>, Option<bool>)> = BTreeMap::new();
        for event in observe(&config(), &state) {
            if let Event::Address { uplink, family, address } = event {
                seen.entry((uplink, family)).or_default().0 = address;
            } else if let Event::Gateway { uplink, family, gateway } = event {
                seen.entry((uplink, family)).or_default().1 = gateway;
            } else if let Event::Neighbour { uplink, family, reachable } = event {
                seen.entry((uplink, family)).or_default().2 = reachable;
            }
        }
        assert_eq!(seen, expected);
        assert_eq!(state.neighbours.len(), 4, "no LAN neighbours: {:?}", state.neighbours);
    });
}

#[test]
fn counters_of_one_device_grow_with_what_is_sent() {
    in_namespace(|| async {
        build();
        let kernel = Netlink::open().expect("netlink");
        let state = kernel.dump().await.expect("a dump");
        let (link, _) = state.link(&config().uplinks[0].device).expect("wan0");
        let mut counting = Counting::open().expect("a socket of its own");
        let before = counting.read(link).expect("counters");
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        for _ in 0..10 {
            socket.send_to(&[0; 72], "198.51.100.9:9").expect("sent");
        }
        let after = counting.read(link).expect("counters");
        assert!(after.sent >= before.sent + 10, "{before:?} {after:?}");
        assert!(after.sent_bytes >= before.sent_bytes + 10 * 100, "{before:?} {after:?}");
        let started = Instant::now();
        for _ in 0..1_000 {
            counting.read(link).expect("counters");
        }
        println!("one reading takes {:?}", started.elapsed() / 1_000);
        assert!(counting.read(link + 1_000).is_err());
    });
}

/// F22: more happens than the socket can hold.
#[test]
fn f22_an_overrun_is_told_and_a_dump_still_works() {
    in_namespace(|| async {
        build();
        let kernel = Netlink::open().expect("netlink");
        let selections = through(&[(0, 1)]);
        reconcile(&kernel, &config(), &selections).await.expect("reconciled");
        let mut monitor = Monitor::open(4 << 10).expect("a monitor");
        let batch: String = (0..2_000)
            .map(|i| format!("route add 10.{}.{}.0/24 via 192.0.2.1 table 4101\n", 50 + i / 250, i % 250))
            .collect();
        let file = std::env::temp_dir().join(format!("causeway-overrun-{}", std::process::id()));
        std::fs::write(&file, batch).expect("a batch file");
        ip(&format!("-batch {}", file.display()));
        std::fs::remove_file(&file).expect("removed");
        ip("route del default table 4200");

        hear(&mut monitor, |hint| *hint == Hint::Overrun).await;
        assert_eq!(kernel.dump().await.expect("a dump").routes_in(Family::V4, 4_101).count(), 2_002);
        let report = reconcile(&kernel, &config(), &selections).await.expect("reconciled");
        assert_eq!(report.done.len(), 2_001);
        // The monitor lives on, once what our own repair made it miss is read away.
        while tokio::time::timeout(Duration::from_millis(20), monitor.next()).await.is_ok() {}
        ip("rule del pref 4000");
        hear(&mut monitor, |hint| *hint == Hint::Rules).await;
    });
}

#[test]
fn foreign_churn_wakes_nobody() {
    in_namespace(|| async {
        build();
        let mut monitor = Monitor::open(RECEIVE_BUFFER).expect("a monitor");
        ip("route add 10.9.0.0/24 via 192.0.2.1");
        ip("rule add pref 5000 lookup 100");
        ip("neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev lan0");
        ip("rule add pref 4321 lookup 100");
        let first = tokio::time::timeout(Duration::from_secs(5), monitor.next()).await.expect("heard").expect("open");
        assert_eq!(first, Hint::Rules);
        ip("route add 10.9.0.0/24 via 192.0.2.1 table 4164");
        let second = tokio::time::timeout(Duration::from_secs(5), monitor.next()).await.expect("heard").expect("open");
        assert_eq!(second, Hint::Routes { table: 4_164 });
    });
}

/// The kernel says no to one step: the rest is done, nothing is taken away, and the error names route and reason.
#[test]
fn f21_a_refusal_names_the_step_and_the_kernels_reason() {
    in_namespace(|| async {
        build();
        let kernel = Netlink::open().expect("netlink");
        let state = kernel.dump().await.expect("a dump");
        let mut route = desired(&config(), &state, &through(&[(0, 1)])).routes[0].clone();
        route.hops[0].via = Some("203.0.113.77".parse().expect("an address"));
        let error = kernel.run(&Step::ReplaceRoute(route)).await.expect_err("that gateway is not reachable");
        assert!(error.is_retryable());
        let words = error.to_string();
        assert!(words.contains("203.0.113.77") && words.contains("(Nexthop has invalid gateway)"), "{words}");
        assert!(try_ip("route show table 4101").map_or(true, |routes| routes.is_empty()));
    });
}

/// Waits for a hint, however many others come before.
async fn hear(monitor: &mut Monitor, wanted: impl Fn(&Hint) -> bool) {
    let heard = async { while !wanted(&monitor.next().await.expect("the monitor is open")) {} };
    tokio::time::timeout(Duration::from_secs(5), heard).await.expect("the hint did not come");
}
