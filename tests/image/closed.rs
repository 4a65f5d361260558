//! A branch without a head office, on lines with IPv6, whose box has no battery: nothing answers on the uplinks, and the clock is set.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use causeway::config::model::Family;
use causeway::lab::addresses as plan;
use causeway::lab::dns;
use causeway::lab::line::Direction;
use causeway::lab::netns::Namespace;
use causeway::lab::servers::{NAME, Servers};

use super::world::{Place, World, open_ports};
use super::{SOON, resolves, row};

/// As `causeway/gateway.toml` on the ESP.
const CONFIG: &str = r#"
site = { name = "Nantes", owner = "Anna Petit" }

[uplinks.wan0]
device = "wan0"
medium = "fibre"
ipv6 = "nat66"

[uplinks.wan1]
device = "wan1"
medium = "cable"
ipv6 = "nat66"

[networks.shop]
ports = ["lan0"]
vlan = 1
net = "10.99.0.0/24"
dhcp = { from = 100, to = 249 }

[firewall]
rules = [
  { from = ["shop"], to = ["wan"], allow = ["any"] },
  { from = ["shop"], to = ["self"], allow = ["icmp", "udp/53", "tcp/53", "udp/67", "tcp/9620"] },
]

[telemetry]
metrics_on = ["shop"]
"#;

/// What its clock says when it is switched on.
const LONG_AGO: &str = "2001-01-01T00:00:00";
const NTP: u16 = 123;
const POOL: &str = "2.debian.pool.ntp.org";
/// chrony sets the clock after a burst of four answers, two seconds apart.
const BEFORE_IT_STEPS: u32 = 4;
const CLOCK_SET_WITHIN: Duration = Duration::from_secs(120);

#[test]
#[ignore = "needs a built image: make image-test"]
fn a_box_with_a_config_of_its_own_is_closed_in_both_families_and_knows_the_time() {
    causeway::config::parse_branch("gateway.toml", CONFIG).unwrap_or_else(|faults| panic!("{faults}"));
    let files = vec![("gateway.toml".to_owned(), CONFIG.to_owned())];
    let mut world = World::boot_at(Place::new("closed"), files, Some(LONG_AGO));
    let times_asked = Arc::new(AtomicU32::new(0));
    let _servers = time_servers(&world, &times_asked);
    let lease = world.lease();
    assert_eq!(lease.address.octets()[..3], [10, 99, 0], "the network of its own config");
    world.wait("the LAN reaches the internet", SOON, || world.reaches_the_internet());
    world.wait("names resolve", SOON, || resolves(&world, world.router().into()));

    // The scanners see what is there.
    let inside = open_ports(&world.branch.lan1, world.router().into(), "eth0", 1..=1_000);
    assert!(inside.contains(&53), "the scanner is blind: {inside:?}");
    let inside = answering_ports(&world.branch.lan1, world.router().into(), "eth0");
    assert!(inside.contains(&53), "the scanner of UDP is blind: {inside:?}");
    for index in 0..2 {
        let addresses = world.wait("the provider knows both addresses of the box", SOON, || {
            let addresses = world.on_the_line(index);
            let global = |it: &IpAddr| matches!(it, IpAddr::V6(v6) if !v6.is_unicast_link_local());
            (addresses.iter().any(IpAddr::is_ipv4) && addresses.iter().any(global)).then_some(addresses)
        });
        for address in addresses {
            let provider = &world.branch.providers[index];
            let open = open_ports(provider, address, "line", 1..=10_000);
            assert!(open.is_empty(), "TCP ports open on {address}: {open:?}");
            let open = answering_ports(provider, address, "line");
            assert!(open.is_empty(), "UDP ports that answer on {address}: {open:?}");
        }
    }
    row("TCP and UDP ports that answer on the uplinks, IPv4 and IPv6", "none", "none");

    // What happens now is dated by a clock that chrony set: the machine's own said 2001.
    let requests = || times_asked.load(Ordering::Relaxed);
    world.wait("the box asks for the time", CLOCK_SET_WITHIN, || (requests() > BEFORE_IT_STEPS).then_some(()));
    let changed = || world.metric("causeway_uplink_last_change_timestamp_seconds{", &["uplink=\"wan1\""]);
    let before = world.wait("figures are served", SOON, changed);
    for direction in Direction::BOTH {
        world.branch.lines[1].set(direction, |impairment| impairment.cut = true);
    }
    let after = world.wait("the line is down", CLOCK_SET_WITHIN, || changed().filter(|it| *it > before));
    assert!((after - now()).abs() < SOON.as_secs_f64(), "dated {after}, it is {}", now());
    row("a clock of 2001 is set by chrony", "yes", "yes");
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("later than 1970").as_secs_f64()
}

/// A time server on the far side, and its name at the resolvers that a box asks for itself.
fn time_servers(world: &World, asked: &Arc<AtomicU32>) -> Servers {
    let servers = Servers::default();
    let (far, internet) = (&world.branch.far, &world.branch.internet);
    let asked = Arc::clone(asked);
    let answer = move |request: &[u8]| {
        asked.fetch_add(1, Ordering::Relaxed);
        answer_time(request)
    };
    servers.udp(far, NTP, answer).expect("a time server");
    for resolver in ["9.9.9.9", "1.1.1.1", "8.8.8.8"] {
        let address: IpAddr = resolver.parse().expect("an address");
        let socket = internet.enter(|| UdpSocket::bind((address, plan::port::DNS))).expect("the namespace is there");
        let socket = socket.expect("a resolver");
        internet
            .spawn("dns", move || {
                let known = |name: &str, family| {
                    (family == Family::V4 && (name == POOL || name == NAME)).then(|| plan::far(Family::V4))
                };
                let mut buffer = [0; 2048];
                // Until the test's process ends.
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    if let Some(answer) = dns::answer(&buffer[..length], known) {
                        let _ = socket.send_to(&answer, from); // it asks again
                    }
                }
            })
            .expect("a thread");
    }
    servers
}

/// RFC 5905: 48 bytes; a server of the first stratum that read its clock just now.
fn answer_time(request: &[u8]) -> Option<Vec<u8>> {
    const BYTES: usize = 48;
    const FROM_1900_TO_1970: u64 = 2_208_988_800;
    let client = request.get(..BYTES)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    let stamp = (((since.as_secs() + FROM_1900_TO_1970) << 32) | fraction).to_be_bytes();
    let mut answer = vec![0; BYTES];
    // Version as asked, mode 4: server; stratum 1, precision 2^-20 s, reference "LOCL".
    answer[0] = (client[0] & 0b0011_1000) | 4;
    answer[1] = 1;
    answer[2] = client[2];
    answer[3] = 0xec;
    answer[12..16].copy_from_slice(b"LOCL");
    answer[16..24].copy_from_slice(&stamp);
    answer[24..32].copy_from_slice(&client[40..48]);
    answer[32..40].copy_from_slice(&stamp);
    answer[40..48].copy_from_slice(&stamp);
    Some(answer)
}

/// UDP ports of `address` that answer to what they could be asked, well-known ones and all below 1024; a refusal (ICMP) is an
/// answer as well, for a closed filter gives none.
fn answering_ports(from: &Namespace, address: IpAddr, device: &str) -> Vec<u16> {
    const OTHERS: [u16; 9] = [1194, 1701, 1900, 4500, 5353, 5355, 7711, 9620, 51820];
    const WAIT: Duration = Duration::from_secs(2);
    // A question for a name, which is also long enough for a request of time, and one that dnsmasq does not answer.
    let question = {
        let mut bytes = vec![0x43, 0x57, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in NAME.split('.') {
            bytes.push(u8::try_from(label.len()).expect("a short label"));
            bytes.extend(label.as_bytes());
        }
        bytes.extend([0, 0, 1, 0, 1]);
        bytes
    };
    let time = {
        let mut bytes = vec![0; 48];
        bytes[0] = (4 << 3) | 3;
        bytes
    };
    let scope = from.must("ip", &["-o", "link", "show", "dev", device], "").expect("the device is there");
    let scope: u32 = scope.split(':').next().and_then(|index| index.trim().parse().ok()).unwrap_or_default();
    let target = |port| match address {
        IpAddr::V4(v4) => SocketAddr::new(v4.into(), port),
        IpAddr::V6(v6) => SocketAddr::V6(std::net::SocketAddrV6::new(v6, port, 0, scope)),
    };
    from.enter(|| {
        let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
        let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        let sockets: Vec<_> = (1..1024)
            .chain(OTHERS)
            .map(|port| {
                let socket = UdpSocket::bind((any, 0)).expect("a socket");
                socket.connect(target(port)).expect("an address");
                // The first refusal is told to whoever sends next.
                let refused =
                    [&question, &time].map(|request| socket.send(request).is_err_and(|error| refused(&error)));
                (port, socket, refused.contains(&true))
            })
            .collect();
        // That nothing comes cannot be waited for.
        std::thread::sleep(WAIT);
        let answered = |socket: &UdpSocket| {
            socket.set_nonblocking(true).expect("a socket");
            socket.recv(&mut [0; 512]).map_or_else(|error| refused(&error), |_| true)
        };
        let open = sockets.into_iter().filter(|(_, socket, refused)| *refused || answered(socket));
        open.map(|(port, ..)| port).collect()
    })
    .expect("the namespace is there")
}
