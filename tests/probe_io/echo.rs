//! Echo probes, and what all sockets have in common: they keep to their device.

use std::fs;
use std::time::Duration;

use causeway::config::model::{Family, UplinkId};
use causeway::engine::event::{Event, Unsent};
use causeway::probe::Answer;
use causeway::probe::io::OpenError;

use crate::net::{BEYOND, BLACK_HOLE, FAR, FAR_OTHER, FAR_V6, NEAR, NEAR_V6, NO_WAY, address_near, between, ip};
use crate::peers::{self, Forgery};
use crate::probing::{Probing, icmp, tcp};

#[test]
fn echo_is_answered_in_both_families() {
    between(|_far| async {
        let mut probing = Probing::new(vec![icmp(FAR), icmp(FAR_V6), icmp(BEYOND)]);
        for target in [0, 1, 2, 0, 1, 2] {
            assert_eq!(probing.probe(target).await, Some(Answer::Reply), "target {target}");
        }
        let request = probing.request(0, 0);
        let sent = probing.prober.send(request);
        assert!(matches!(sent, Event::ProbeSent { bytes: 52, .. }), "{sent:?}");
        assert_eq!(probing.prober.counts(), Default::default());
    });
}

/// The kernel begins to stamp packets some time after the first socket asked for it, hence the turns before the one
/// that counts.
#[test]
fn the_time_of_a_reply_is_that_of_its_arrival() {
    const UNREAD: Duration = Duration::from_millis(100);
    between(|_far| async {
        let mut probing = Probing::new(vec![icmp(FAR)]);
        let stamped = async {
            loop {
                assert_eq!(probing.probe(0).await, Some(Answer::Reply));
                let request = probing.request(0, 0);
                let Event::ProbeSent { at, .. } = probing.prober.send(request) else { panic!("not sent") };
                // The reply waits in the socket while this process does not look.
                std::thread::sleep(UNREAD);
                let mut events = Vec::new();
                probing.prober.next(&mut events).await;
                let [Event::EchoReply { received, .. }] = events[..] else { panic!("{events:?}") };
                if received.since(at) < UNREAD / 2 {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), stamped).await.expect("no reply carries its time of arrival");
    });
}

#[test]
fn echo_fails_on_a_black_hole_and_on_a_one_way_line() {
    between(|far| async move {
        let mut probing = Probing::new(vec![icmp(BLACK_HOLE), icmp(FAR), icmp(FAR_V6)]);
        assert_eq!(probing.probe(0).await, None);
        far.ip(&format!("route add blackhole {NEAR}/32"));
        far.ip(&format!("-6 route add blackhole {NEAR_V6}/128"));
        assert_eq!(probing.probe(1).await, None);
        assert_eq!(probing.probe(2).await, None);
        far.ip(&format!("route del blackhole {NEAR}/32"));
        assert_eq!(probing.probe(1).await, Some(Answer::Reply));
    });
}

#[test]
fn f25_an_icmp_error_is_told_and_stops_nothing() {
    between(|_far| async {
        let mut probing = Probing::new(vec![icmp(NO_WAY), icmp(FAR)]);
        for _ in 0..3 {
            assert_eq!(probing.probe(0).await, Some(Answer::Unreachable));
            assert_eq!(probing.probe(1).await, Some(Answer::Reply));
        }
        // Errors that wait in the socket fail the next send once; the probe leaves all the same.
        let [first, second] = [probing.request(0, 0), probing.request(0, 0)];
        assert!(matches!(probing.prober.send(first), Event::ProbeSent { .. }));
        std::thread::sleep(Duration::from_millis(50));
        assert!(matches!(probing.prober.send(second), Event::ProbeSent { .. }));
    });
}

const FORGERIES: &[Forgery] = &[
    // Identifier, magic: none of ours.
    Forgery { from: FAR, device: "far0", change: Some((5, 1)) },
    Forgery { from: FAR, device: "far0", change: Some((8, 1)) },
    // Sequence, cookie, sender: told as they are.
    Forgery { from: FAR, device: "far0", change: Some((7, 1)) },
    Forgery { from: FAR, device: "far0", change: Some((20, 1)) },
    Forgery { from: FAR_OTHER, device: "far0", change: None },
];

#[test]
fn f25_a_forged_reply_is_told_as_it_is_or_dropped() {
    between(|far| async move {
        peers::forger(&far, FORGERIES);
        let mut probing = Probing::new(vec![icmp(FAR)]);
        assert_eq!(probing.probe(0).await, None, "a forgery counted");
        let told = probing.others.iter().map(|event| {
            let Event::EchoReply { from, sequence, cookie, .. } = event else { panic!("{event:?}") };
            (from.to_string(), *sequence, cookie.0[8])
        });
        let far = FAR.to_owned();
        assert_eq!(told.collect::<Vec<_>>(), [(far.clone(), 2, 0x5a), (far, 1, 0x5b), (FAR_OTHER.to_owned(), 1, 0x5a)]);
        assert_eq!(probing.prober.counts().foreign, 1, "the wrong magic; the kernel drops the wrong identifier");
    });
}

const WRONG_SENDER: &[Forgery] = &[Forgery { from: FAR_OTHER, device: "far0", change: None }];

/// The engine knows only the name, so the edge must not hand over what another address says.
#[test]
fn f25_a_named_target_is_heard_only_from_its_address() {
    between(|far| async move {
        peers::dns(&far, |query| vec![peers::answer(query, simple_dns::RCODE::NoError, &[FAR])]);
        let mut probing = Probing::new(vec![icmp("probe.example")]);
        probing.prober.set_resolvers(UplinkId(0), vec![crate::probing::address(FAR)]);
        resolved(&mut probing).await;
        assert_eq!(probing.probe(0).await, Some(Answer::Reply));
        peers::forger(&far, WRONG_SENDER);
        assert_eq!(probing.probe(0).await, None);
        assert_eq!(probing.others, []);
        assert_eq!(probing.prober.counts().foreign, 1);
    });
}

const RIGHT: &[Forgery] = &[Forgery { from: FAR, device: "far0", change: None }];
const WRONG_DEVICE: &[Forgery] = &[Forgery { from: FAR, device: "far1", change: None }];

/// A second cable between the two.
fn second_cable(far: &crate::net::Far) {
    far.plug("wan1", "far1");
    ip("addr add 10.9.1.2/24 dev wan1");
    far.ip("addr add 10.9.1.1/24 dev far1");
    for device in ["all", "wan0", "wan1"] {
        fs::write(format!("/proc/sys/net/ipv4/conf/{device}/rp_filter"), "0").expect("no help from the filter");
    }
}

#[test]
fn f25_a_right_reply_on_the_wrong_device_is_none() {
    between(|far| async move {
        second_cable(&far);
        // The way back of the far side leads through the cable the forger uses.
        far.ip(&format!("neigh add {NEAR} lladdr {} dev far1", mac("wan1")));
        peers::forger(&far, WRONG_DEVICE);
        let before = received("wan1");
        let mut probing = Probing::new(vec![icmp(FAR)]);
        assert_eq!(probing.probe(0).await, None);
        assert_eq!(probing.others, []);
        assert!(received("wan1") > before, "the forgery never arrived, so nothing was shown");
    });
    between(|far| async move {
        peers::forger(&far, RIGHT);
        assert_eq!(Probing::new(vec![icmp(FAR)]).probe(0).await, Some(Answer::Reply), "the forger is no good");
    });
}

#[test]
fn a_probe_keeps_to_its_device_whatever_the_routes_say() {
    between(|far| async move {
        second_cable(&far);
        peers::http(&far, 80, peers::page("200 OK", "well"));
        ip(&format!("route add {BEYOND}/32 via 10.9.1.1 dev wan1 metric 1"));
        let mut probing = Probing::new(vec![icmp(BEYOND), tcp(BEYOND, 80)]);
        for target in [0, 1] {
            assert_eq!(probing.probe_through(0, target).await, Some(Answer::Reply));
            assert_eq!(probing.probe_through(1, target).await, Some(Answer::Reply));
        }
        // The first line dies silently; the preferred route still works, and does not help.
        far.ip(&format!("route add blackhole {NEAR}/32"));
        for target in [0, 1] {
            assert_eq!(probing.probe_through(0, target).await, None);
            assert_eq!(probing.probe_through(1, target).await, Some(Answer::Reply));
        }
    });
}

#[test]
fn a_device_that_was_gone_is_used_again() {
    between(|far| async move {
        let mut probing = Probing::new(vec![icmp(FAR), icmp(FAR_V6), tcp(FAR, 80)]);
        peers::http(&far, 80, peers::page("200 OK", "well"));
        for target in [0, 1, 2] {
            assert_eq!(probing.probe(target).await, Some(Answer::Reply));
        }
        ip("link del wan0");
        for target in [0, 1, 2] {
            let request = probing.request(0, target);
            let unsent = Event::ProbeUnsent { probe: request.probe, reason: Unsent::Socket };
            assert_eq!(probing.prober.send(request), unsent);
        }
        let trouble = probing.prober.trouble(UplinkId(0), Family::V4);
        assert!(matches!(trouble, Some(OpenError::NoDevice { .. })), "{trouble:?}");

        far.plug("wan0", "far0");
        address_near();
        for target in [0, 1, 2] {
            assert_eq!(probing.probe(target).await, Some(Answer::Reply), "target {target}");
        }
        assert!(probing.prober.trouble(UplinkId(0), Family::V4).is_none());
    });
}

/// Replaced between two probes: nothing told us, and the old socket is bound to a number that is gone.
#[test]
fn a_device_replaced_unseen_costs_no_probe() {
    between(|far| async move {
        let mut probing = Probing::new(vec![icmp(FAR)]);
        assert_eq!(probing.probe(0).await, Some(Answer::Reply));
        ip("link del wan0");
        far.plug("wan0", "far0");
        ip(&format!("addr add {NEAR}/24 dev wan0"));
        assert_eq!(probing.probe(0).await, Some(Answer::Reply));
    });
}

#[test]
fn a_new_source_address_is_used_at_once() {
    between(|_far| async {
        let mut probing = Probing::new(vec![icmp(FAR)]);
        assert_eq!(probing.probe(0).await, Some(Answer::Reply));
        ip(&format!("addr del {NEAR}/24 dev wan0"));
        ip("addr add 10.9.0.77/24 dev wan0");
        probing.prober.source_changed(UplinkId(0), Family::V4);
        assert_eq!(probing.probe(0).await, Some(Answer::Reply));
    });
}

#[test]
fn a_closed_group_range_is_named() {
    between(|_far| async {
        fs::write("/proc/sys/net/ipv4/ping_group_range", "1 0").expect("nobody may ping");
        let mut probing = Probing::new(vec![icmp(FAR)]);
        let request = probing.request(0, 0);
        let unsent = Event::ProbeUnsent { probe: request.probe, reason: Unsent::Socket };
        assert_eq!(probing.prober.send(request), unsent);
        let trouble = probing.prober.trouble(UplinkId(0), Family::V4).expect("a reason");
        assert!(matches!(trouble, OpenError::PingGroupRange { .. }));
        assert!(trouble.to_string().contains("net.ipv4.ping_group_range"), "{trouble}");
    });
}

/// Sends until the name has an address; a few turns are enough.
pub(crate) async fn resolved(probing: &mut Probing) {
    for _ in 0..100 {
        let request = probing.request(0, 0);
        let sent = probing.prober.send(request);
        if matches!(sent, Event::ProbeSent { .. }) {
            let mut events = Vec::new();
            return probing.prober.next(&mut events).await;
        }
        assert!(matches!(sent, Event::ProbeUnsent { reason: Unsent::Unresolved, .. }), "{sent:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the name was not resolved");
}

fn mac(device: &str) -> String {
    let text = std::process::Command::new("ip").args(["-br", "link", "show", device]).output().expect("iproute2");
    let text = String::from_utf8(text.stdout).expect("text");
    text.split_whitespace().nth(2).expect("an address").to_owned()
}

/// ICMP messages this namespace has received, by device counters.
fn received(device: &str) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/dev").expect("counters");
    let line = text.lines().find_map(|line| line.trim().strip_prefix(device)?.strip_prefix(':')).expect("a device");
    line.split_whitespace().nth(1).and_then(|packets| packets.parse().ok()).expect("a count")
}
