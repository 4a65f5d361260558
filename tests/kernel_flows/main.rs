//! Marks, rules, connection tracking, the nudge and the failover, with real traffic through a branch in network
//! namespaces. Needs root; `UPDATE_GOLDEN=1` writes the golden text anew.

#![expect(clippy::print_stdout, reason = "the times of a run are worth seeing")]

mod branch;
mod kernel;
mod lab;
mod table;
mod traffic;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use branch::{A, B};
use causeway::apply::switch::{Rescan, SwitchKernel};
use causeway::config::model::{Family, Slot};
use causeway::kernel::marks::Selector;
use causeway::kernel::nft::{Ensured, Nft, TableState};
use causeway::kernel::ruleset::{Learnt, Ruleset};
use kernel::{flows, on, rescan, switch_to};
use lab::{FAR, FAR6, Lab, wait_for};
use traffic::{Client, ECHO, connect, ping, serve};

/// A branch with its rules loaded and a far host that answers.
fn branch_lab() -> Lab {
    let lab = Lab::new();
    let found = on(&lab, "gw", || async { Nft::new().ensure(&rules()).await }).expect("the rules load");
    assert_eq!(found, Ensured::Loaded(TableState::Missing));
    serve(&lab, "far", &[ECHO, 7_100]);
    lab
}

fn rules() -> Ruleset {
    Ruleset::new(&branch::gateway(), &Learnt::default())
}

fn far(family: Family) -> &'static str {
    match family {
        Family::V4 => FAR,
        Family::V6 => FAR6,
    }
}

/// Time an application may take to notice, from the start of the transaction. The design asks for detection + 0.1 s; the
/// machine of a test may be busy.
const AT_ONCE: Duration = Duration::from_millis(500);

fn dead_uplink(family: Family) {
    let lab = branch_lab();
    let to = far(family);
    // One flow on the healthy uplink, left there by two planned switches.
    switch_to(&lab, family, B, &[]);
    let healthy = Client::streaming(&lab, to);
    wait_for("the healthy flow runs", || healthy.received() > 40);
    switch_to(&lab, family, A, &[]);
    let streaming = Client::streaming(&lab, to);
    let idle = Client::idle(&lab, to);
    let datagrams = Client::datagrams(&lab, to);
    wait_for("traffic runs", || streaming.received() > 40 && idle.received() == 5 && datagrams.received() > 10);
    assert!(flows(&lab, Selector::uplink(Slot(A.0)), family).len() >= 3);
    assert_eq!(flows(&lab, Selector::uplink(Slot(B.0)), family).len(), 1);

    lab.silence("pa");
    let (before, echoed) = (Instant::now(), datagrams.received());
    wait_for("the line is silent", || before.elapsed() > Duration::from_millis(100));
    let start = Instant::now();
    let report = switch_to(&lab, family, B, &[A]);
    wait_for("datagrams move", || datagrams.received() > echoed + 5);
    let moved = start.elapsed();
    wait_for("both applications learn", || streaming.error().is_some() && idle.error().is_some());
    let learnt = [&streaming, &idle].map(|client| client.failed_after(start).expect("they did"));
    println!("{family}: took {:?}, streaming {:?}, idle {:?}, datagrams {moved:?}", report.took, learnt[0], learnt[1]);
    assert_eq!((streaming.error(), idle.error()), (Some(ErrorKind::ConnectionReset), Some(ErrorKind::ConnectionReset)));
    assert!(learnt.iter().all(|after| *after < AT_ONCE), "{learnt:?}");
    assert!(report.flows_reset >= 3 && report.nudged == 2 && report.failed == 0, "{report:?}");

    // Who reconnects is served by the other uplink, and the flow that was on it never noticed.
    let reconnected = Client::streaming(&lab, to);
    let (count, beside) = (healthy.received(), reconnected.received());
    wait_for("traffic goes on", || healthy.received() > count + 80 && reconnected.received() > beside + 40);
    assert_eq!((healthy.error(), reconnected.error()), (None, None));

    let again = report.rescan.expect("flows were moved");
    let stragglers: u64 = (0..Rescan::AFTER.len()).map(|_| rescan(&lab, &again)).sum();
    println!("{family}: {stragglers} stragglers");
    assert_eq!(flows(&lab, Selector::uplink(Slot(A.0)), family), [], "nothing is left on the dead uplink");
}

#[test]
fn f38_dead_uplink_ipv4() {
    dead_uplink(Family::V4);
}

#[test]
fn f38_dead_uplink_ipv6() {
    dead_uplink(Family::V6);
}

#[test]
fn f38_an_idle_client_learns_by_the_nudge_and_by_nothing_else() {
    let lab = branch_lab();
    let idle = Client::idle(&lab, FAR);
    wait_for("the connection is used once", || idle.received() == 5);
    let lost = flows(&lab, Selector::uplink(Slot(A.0)), Family::V4);
    on(&lab, "gw", || async { kernel::kernel().delete_flows(Selector::uplink(Slot(A.0)), Family::V4).await })
        .expect("deleted");
    let start = Instant::now();
    wait_for("nothing is said", || start.elapsed() > Duration::from_millis(300));
    assert_eq!(idle.error(), None, "its flow is gone, and it cannot know");
    let start = Instant::now();
    let nudged = on(&lab, "gw", || async move { kernel::kernel().nudge(&[&lost]).await }).expect("sent");
    wait_for("the client learns", || idle.error().is_some());
    assert_eq!((nudged, idle.error()), (vec![1], Some(ErrorKind::ConnectionReset)));
    assert!(idle.failed_after(start).is_some_and(|after| after < AT_ONCE));
}

#[test]
fn f39_the_other_family_keeps_its_flows() {
    let lab = branch_lab();
    let (client, client6) = (Client::streaming(&lab, FAR), Client::streaming(&lab, FAR6));
    wait_for("traffic runs", || client.received() > 40 && client6.received() > 40);
    switch_to(&lab, Family::V4, B, &[A]);
    wait_for("the IPv4 client learns", || client.error().is_some());
    let count = client6.received();
    wait_for("IPv6 goes on", || client6.received() > count + 80);
    assert_eq!(client6.error(), None);
}

#[test]
fn a_planned_switch_loses_nothing() {
    let lab = branch_lab();
    for family in Family::BOTH {
        let to = far(family);
        let (stream, datagrams) = (Client::streaming(&lab, to), Client::datagrams(&lab, to));
        wait_for("traffic runs", || stream.received() > 40 && datagrams.received() > 10);
        for uplink in [B, A, B] {
            switch_to(&lab, family, uplink, &[]);
            let count = datagrams.received();
            wait_for("traffic goes on", || datagrams.received() > count + 20);
        }
        assert_eq!(flows(&lab, Selector::uplink(Slot(B.0)), family), [], "old flows stay");
        let fresh = Client::streaming(&lab, to);
        wait_for("the new flow runs", || fresh.received() > 40);
        assert_eq!(flows(&lab, Selector::uplink(Slot(B.0)), family).len(), 1, "new flows take the other uplink");
        assert_eq!(stream.error(), None);
        datagrams.stop();
        stream.stop();
        wait_for("every datagram is answered", || datagrams.received() == datagrams.sent());
        wait_for("every byte is answered", || stream.received() == stream.sent());
    }
}

#[test]
fn a_path_of_its_own_is_routed_by_its_mark_and_keeps_it() {
    let lab = branch_lab();
    let stream = connect(&lab, "lan", FAR, 7_100).expect("the far host answers");
    let calls = Client::listening(stream);
    let selector = Selector::uplink_on_path(Slot(B.0), causeway::config::model::PathId(1));
    wait_for("the flow is marked", || flows(&lab, selector, Family::V4).len() == 1);
    // Path `default` losing its uplink is none of its business.
    switch_to(&lab, Family::V4, A, &[B]);
    assert_eq!(flows(&lab, selector, Family::V4).len(), 1);
    assert_eq!(calls.error(), None);
}

#[test]
fn a_path_that_rejects_tells_its_clients_at_once() {
    let lab = branch_lab();
    for (family, to) in [("-4", FAR), ("-6", FAR6)] {
        lab.ip("gw", &format!("{family} route flush table 4201"));
        lab.ip("gw", &format!("{family} route add unreachable default table 4201"));
        let error = connect(&lab, "lan", to, 7_100).expect_err("rejected");
        assert!(matches!(error.kind(), ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable), "{error}");
        connect(&lab, "lan", to, ECHO).expect("another path is not concerned");
    }
}

#[test]
fn a_forward_is_answered_through_the_uplink_it_came_in_by() {
    let lab = branch_lab();
    serve(&lab, "lan", &[443]);
    for address in ["10.1.0.2", "10.2.0.2"] {
        let mut stream = connect(&lab, "far", address, 8_443).expect("forwarded to the camera");
        std::io::Write::write_all(&mut stream, b"picture").expect("open");
        let mut answer = [0; 7];
        std::io::Read::read_exact(&mut stream, &mut answer).expect("answered");
        assert_eq!(&answer, b"picture");
    }
    assert_eq!(flows(&lab, Selector::uplink(Slot(B.0)), Family::V4).len(), 1);
    // Not from elsewhere: the provider is no customer of the camera.
    assert_eq!(connect(&lab, "pb", "10.2.0.2", 8_443).expect_err("closed").kind(), ErrorKind::TimedOut);
}

#[test]
fn i4_uplink_input_is_closed_and_networks_get_what_they_may() {
    let lab = branch_lab();
    serve(&lab, "gw", &[22, 53, 80, 9_620]);
    for (address, port) in [("10.1.0.2", 22), ("2001:db8:1::2", 22), ("10.2.0.2", 53), ("10.1.0.2", 9_620)] {
        let error = connect(&lab, "far", address, port).expect_err("closed");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{address} port {port}");
    }
    for port in [22, 53, 9_620] {
        connect(&lab, "lan", "192.168.1.1", port).expect("open to the office");
        connect(&lab, "lan", "fd00:1::1", port).expect("open to the office");
    }
    assert_eq!(connect(&lab, "lan", "192.168.1.1", 80).expect_err("closed").kind(), ErrorKind::TimedOut);
    assert!(ping(&lab, "lan", None, "192.168.1.1"));
    assert!(ping(&lab, "lan", None, FAR6));
    assert!(!ping(&lab, "far", None, "10.1.0.2"), "an uplink does not answer");
}

#[test]
fn our_own_flows_follow_the_path_and_bound_sockets_their_device() {
    let lab = branch_lab();
    let own = Client::listening(connect(&lab, "gw", FAR, ECHO).expect("the far host answers"));
    assert_eq!(flows(&lab, Selector::uplink(Slot(A.0)), Family::V4).len(), 1);
    // A ping through the standby uplink goes through it, is answered, and is nobody's flow.
    assert!(ping(&lab, "gw", Some("wan2"), FAR));
    assert!(ping(&lab, "gw", Some("wan1"), FAR6));
    assert_eq!(flows(&lab, Selector::uplink(Slot(B.0)), Family::V4), []);
    let bound = lab.on("gw", || {
        use nix::sys::socket::{setsockopt, sockopt};
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a free port");
        setsockopt(&socket, sockopt::BindToDevice, &"wan2".into()).expect("root may");
        setsockopt(&socket, sockopt::Mark, &causeway::kernel::marks::BOUND_SOCKET).expect("root may");
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout above zero");
        for _ in 0..3 {
            socket.send_to(b"probe", (FAR, ECHO)).expect("sent");
            socket.recv(&mut [0; 8]).expect("answered through the bound device");
        }
    });
    bound.join().expect("answered");
    assert_eq!(flows(&lab, Selector::uplink(Slot(B.0)), Family::V4), [], "a probe is nobody's flow");

    switch_to(&lab, Family::V4, B, &[A]);
    let mut fresh = connect(&lab, "gw", FAR, ECHO).expect("our own traffic takes the other uplink");
    std::io::Write::write_all(&mut fresh, b"x").expect("open");
    assert_eq!(flows(&lab, Selector::uplink(Slot(B.0)), Family::V4).len(), 1);
    // Our own socket learns with its next packet, too, without a timeout.
    let start = Instant::now();
    own.say(b"anybody there?");
    wait_for("our own socket learns", || own.error().is_some());
    assert_eq!(own.error(), Some(ErrorKind::ConnectionReset));
    assert!(own.failed_after(start).is_some_and(|after| after < AT_ONCE));
}
