//! What a network may download, with real packets: more is sent than a limit lets through, and counted where it arrives.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use causeway::config::model::Family;
use causeway::lab::netns::Namespace;

use crate::world::{World, allowed, far};

const TWO: &str = include_str!("two-networks.toml");
const PORT: u16 = 9_000;
/// 8 Mbit/s in bytes.
const LIMIT: f64 = 1e6;
/// At once: a second's worth, which the kernel gives to any limit in bytes, and the tenth that the filter asks for.
const BURST: f64 = LIMIT * 1.1;
const DATAGRAM: usize = 1_000;
/// Every hundredth of a second: four times the limit.
const AT_ONCE: usize = 40;
const ROUNDS: u32 = 300;
const ROUND: Duration = Duration::from_millis(10);
/// Nothing more is on its way.
const QUIET: Duration = Duration::from_millis(500);

/// Bytes that arrive, bytes that were sent, and how long that took.
fn download(world: &World, host: &Namespace, family: Family) -> (f64, f64, f64) {
    let from = SocketAddr::new(far(family), PORT);
    let socket = world.site.internet.enter(|| UdpSocket::bind(from).expect("a socket")).expect("inside");
    let pour = std::thread::spawn(move || {
        let (_, to) = socket.recv_from(&mut [0; 16]).expect("somebody asks");
        let began = Instant::now();
        for round in 1..=ROUNDS {
            for _ in 0..AT_ONCE {
                socket.send_to(&[7; DATAGRAM], to).expect("sent");
            }
            std::thread::sleep((ROUND * round).saturating_sub(began.elapsed()));
        }
        began.elapsed()
    });
    let arrived = host.enter(|| {
        let any: SocketAddr = if family == Family::V4 { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).expect("a socket");
        socket.connect(from).expect("a route");
        socket.set_read_timeout(Some(QUIET)).expect("a time");
        socket.send(b"more").expect("sent");
        let mut bytes = 0;
        while let Ok(length) = socket.recv(&mut [0; 2 * DATAGRAM]) {
            bytes += length;
        }
        bytes
    });
    let took = pour.join().expect("no panic").as_secs_f64();
    (arrived.expect("inside") as f64, (AT_ONCE * DATAGRAM) as f64 * f64::from(ROUNDS), took)
}

#[test]
fn a_network_downloads_no_faster_than_its_limit_and_others_do() {
    if !allowed() {
        return;
    }
    let text = TWO
        .replace("isolate = true", "isolate = true\nlimit_down = \"8mbit\"")
        .replace("\"tcp/443\", \"icmp\"", &format!("\"tcp/443\", \"icmp\", \"udp/{PORT}\""));
    let world = World::start(&text);
    let (office, guest) = (world.site.host("lan0").expect("a host"), world.site.host("lan2").expect("a host"));
    for host in [office, guest] {
        host.lease(None).expect("a client").expect("a lease");
        host.advertised().expect("an address by advertisement");
    }
    for family in Family::BOTH {
        let (arrived, sent, _) = download(&world, &office.host, family);
        assert!(arrived > sent / 2.0, "no limit, {family:?}: {arrived} of {sent}");
        let (arrived, sent, took) = download(&world, &guest.host, family);
        let most = LIMIT * took + BURST;
        println!("{family:?}: {arrived} of {sent} bytes in {took} s, at most {most}");
        // The counting of the kernel is of whole packets, headers included.
        assert!(arrived <= most * 1.02 && arrived >= most / 2.0, "{family:?}: {arrived} of at most {most}");
    }
}
