//! A box beside two providers and a LAN, and what people in that LAN see.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use causeway::config::model::{Family, LinkName, Name};
use causeway::lab::addresses::{self as plan, port};
use causeway::lab::clock;
use causeway::lab::image::{Arch, Box, Machine};
use causeway::lab::netns::Namespace;
use causeway::lab::site::{Host, Leased};
use causeway::lab::topology::{Branch, BranchPlan};

/// Emulation on a busy machine: four times what a boot takes on a quiet one.
pub(crate) const BOOT_WITHIN: Duration = Duration::from_secs(240);
const OFTEN: Duration = Duration::from_millis(200);
/// The box's own address by the factory's config, and one that it lends.
const FACTORY_ROUTER: &str = "192.168.77.1";
const KNOWN: &str = "192.168.77.180";
const METRICS: u16 = 9620;

pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) branch: Branch,
    pub(crate) lan1: Host,
    pub(crate) lease: Option<Leased>,
    pub(crate) folder: PathBuf,
}

pub(crate) fn arch() -> Arch {
    if std::env::var("ARCH").is_ok_and(|arch| arch == "arm64") { Arch::Arm64 } else { Arch::Amd64 }
}

/// `target/image-ARCH`, as `make image` left it.
pub(crate) fn built() -> PathBuf {
    PathBuf::from(std::env::var_os("IMAGE").expect("IMAGE names the folder that `make image` made"))
}

/// Everything around a box that is not plugged in yet.
pub(crate) struct Place {
    pub(crate) branch: Branch,
    pub(crate) folder: PathBuf,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let branch = Branch::build(&BranchPlan::usual()).unwrap_or_else(|error| panic!("{error}: {error:?}"));
        let folder = std::env::temp_dir().join(format!("causeway-image-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder); // of a process that had the same number
        std::fs::create_dir_all(&folder).expect("a folder");
        Self { branch, folder }
    }
}

impl World {
    /// Plugs the box in. `files`: name and text of what lies in the ESP's folder.
    pub(crate) fn boot(place: Place, files: Vec<(String, String)>) -> Self {
        Self::boot_at(place, files, None)
    }

    /// With a clock that says something else than ours: `2001-01-01T00:00:00`.
    pub(crate) fn boot_at(Place { branch, folder }: Place, files: Vec<(String, String)>, clock: Option<&str>) -> Self {
        let firmware = std::env::var_os("FIRMWARE").map(PathBuf::from);
        let clock = clock.map(str::to_owned);
        let kind = Box { arch: arch(), image: built().join("disk.raw"), firmware, files, clock };
        let machine = Machine::start(&branch, &kind, &folder).unwrap_or_else(|error| panic!("{error}: {error:?}"));
        let network = Name::new("lan").expect("a name");
        let device = LinkName::new("lan0").expect("a name");
        let lan1 = Host::of(&branch.lan1, network, device, &folder.join("lan1")).expect("a folder");
        // It has the lab's own address; here it asks for one as any machine does.
        branch.lan1.ip("address flush dev eth0\n").expect("lan1 is there");
        Self { machine, branch, lan1, lease: None, folder }
    }

    /// Asks until the box lends an address.
    pub(crate) fn lease(&mut self) -> Leased {
        let lease = clock::wait_for(BOOT_WITHIN, OFTEN, || self.lan1.lease(Some("till")).ok().flatten());
        let lease = lease.unwrap_or_else(|| panic!("no lease; the serial line:\n{}", self.last_words()));
        self.lease = Some(lease.clone());
        lease
    }

    /// From power on until a machine of the LAN reaches the internet: one that has its address still, as after a power cut.
    pub(crate) fn forwards(&self) -> Duration {
        let lan2 = &self.branch.lan2;
        lan2.ip(&format!(
            "address flush dev eth0\naddress add {KNOWN}/24 dev eth0\nroute replace default via {FACTORY_ROUTER}\n"
        ))
        .expect("lan2 is there");
        let far = plan::far_port(Family::V4, port::HTTP);
        // Asked anew at once: TCP itself would ask after one second, and then after two more.
        let connects = || TcpStream::connect_timeout(&far, OFTEN).is_ok();
        let reached = clock::wait_for(BOOT_WITHIN, OFTEN, || lan2.enter(connects).unwrap_or(false).then_some(()));
        reached.unwrap_or_else(|| panic!("nothing is forwarded; the serial line:\n{}", self.last_words()));
        clock::now().since(self.machine.powered())
    }

    pub(crate) fn router(&self) -> Ipv4Addr {
        self.lease.as_ref().and_then(|lease| lease.router).expect("a lease with a router")
    }

    /// Until `what` holds, or the end of the test with what the box says of its lines and its config, and the serial line's
    /// last words.
    pub(crate) fn wait<T>(&self, what: &str, at_most: Duration, condition: impl FnMut() -> Option<T>) -> T {
        clock::wait_for(at_most, OFTEN, condition).unwrap_or_else(|| {
            let (figures, words) = (self.figures(), self.last_words());
            panic!("not within {at_most:?}: {what}; figures:\n{figures}\nthe serial line:\n{words}")
        })
    }

    /// Those of `/metrics` that tell why a wait was in vain.
    fn figures(&self) -> String {
        // Nobody may have asked for an address yet.
        let known = self.lease.as_ref().and_then(|lease| lease.router);
        let Some(router) = known.or_else(|| self.lan1.lease(Some("till")).ok().flatten()?.router) else {
            return "no lease, so no figures".to_owned();
        };
        let page = fetch(&self.branch.lan1, SocketAddr::new(router.into(), METRICS), "/metrics").unwrap_or_default();
        let telling = |line: &&str| {
            ["causeway_config_", "causeway_uplink_state{", "causeway_path_uplink{"]
                .iter()
                .any(|prefix| line.starts_with(prefix))
                && !line.ends_with(" 0")
                && !line.ends_with(" 0.0")
        };
        page.lines().filter(telling).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn reaches_the_internet(&self) -> Option<()> {
        reaches_the_internet(&self.branch.lan1)
    }

    pub(crate) fn since_power_on(&self) -> String {
        format!("{:.1} s", clock::now().since(self.machine.powered()).as_secs_f64())
    }

    /// What `/metrics` says in the LAN.
    pub(crate) fn metrics(&self) -> Option<String> {
        fetch(&self.branch.lan1, SocketAddr::new(self.router().into(), METRICS), "/metrics")
    }

    /// The value of the first sample that begins with `name` and has all of `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let page = self.metrics()?;
        let line =
            page.lines().find(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    pub(crate) fn carries(&self, uplink: &str) -> Option<()> {
        (self.metric("causeway_path_uplink{", &[&format!("uplink=\"{uplink}\"")])? > 0.0).then_some(())
    }

    /// Addresses of the box on the line of provider `index`: those that its network card answers for, of all it may have.
    pub(crate) fn on_the_line(&self, index: usize) -> Vec<IpAddr> {
        let provider = &self.branch.providers[index];
        let leases = std::fs::read_to_string(self.folder.join(format!("leases-{index}"))).unwrap_or_default();
        let mut asked: Vec<IpAddr> = leases.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // Made from the card's number, below the link's own prefix and the one that the provider advertises.
        let card = [0x5054, 0x00ff, 0xfe12, u16::try_from(index).expect("few lines")];
        let IpAddr::V6(advertised) = plan::wan(Family::V6, index, 0) else { unreachable!("the plan's IPv6") };
        for prefix in [Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), advertised] {
            let [a, b, c, d, ..] = prefix.segments();
            asked.push(Ipv6Addr::new(a, b, c, d, card[0], card[1], card[2], card[3]).into());
        }
        for address in &asked {
            // No answer to this is expected; that the card is looked for is.
            let _ = provider.run("ping", &["-c", "1", "-W", "1", "-I", "line", &address.to_string()], "");
        }
        let neighbours = provider.must("ip", &["-o", "neigh", "show", "dev", "line"], "").expect("ip is there");
        let mac = format!("52:54:00:12:00:{index:02x}");
        let lines = neighbours.lines().filter(|line| line.contains(&mac));
        lines.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
    }

    pub(crate) fn last_words(&self) -> String {
        let serial = self.machine.serial();
        let lines: Vec<&str> = serial.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A connection to the far server is accepted and answered.
pub(crate) fn reaches_the_internet(from: &Namespace) -> Option<()> {
    let text = fetch(from, plan::far_port(Family::V4, port::HTTP), "/")?;
    text.starts_with("HTTP/1.1").then_some(())
}

/// What a server answers to one GET, head and body.
pub(crate) fn fetch(from: &Namespace, server: SocketAddr, path: &str) -> Option<String> {
    const PATIENCE: Duration = Duration::from_secs(3);
    from.enter(|| {
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.ip()).ok()?;
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text); // what came before an end by time-out counts
        (!text.is_empty()).then(|| String::from_utf8_lossy(&text).into_owned())
    })
    .ok()
    .flatten()
}

/// TCP ports of `address` that accept a connection, of those asked.
pub(crate) fn open_ports(
    from: &Namespace,
    address: IpAddr,
    device: &str,
    ports: std::ops::RangeInclusive<u16>,
) -> Vec<u16> {
    const AT_ONCE: usize = 2_500;
    const WAIT: Duration = Duration::from_millis(1500);
    let scope = from.must("ip", &["-o", "link", "show", "dev", device], "").expect("the device is there");
    let scope: u32 = scope.split(':').next().and_then(|index| index.trim().parse().ok()).unwrap_or_default();
    let target = |port| match address {
        IpAddr::V4(v4) => SocketAddr::new(v4.into(), port),
        IpAddr::V6(v6) => SocketAddr::V6(std::net::SocketAddrV6::new(v6, port, 0, scope)),
    };
    let ask = |port| match TcpStream::connect_timeout(&target(port), WAIT) {
        Ok(_) => Said::Yes,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Said::No,
        Err(_) => Said::Nothing,
    };
    let ask_all = |ports: &[u16]| -> Vec<(u16, Said)> {
        let found = ports.chunks(AT_ONCE).flat_map(|some| {
            from.enter(|| {
                std::thread::scope(|threads| {
                    let tries: Vec<_> = some.iter().map(|port| threads.spawn(move || (*port, ask(*port)))).collect();
                    tries.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
                })
            })
            .expect("the namespace is there")
        });
        found.collect()
    };
    let first = ask_all(&ports.collect::<Vec<_>>());
    // So many questions at once are more than a busy emulator takes: those that were lost are asked again.
    let silent: Vec<u16> = first.iter().filter(|(_, said)| *said == Said::Nothing).map(|(port, _)| *port).collect();
    let mut open: Vec<u16> = first
        .into_iter()
        .chain(ask_all(&silent))
        .filter(|(_, said)| *said == Said::Yes)
        .map(|(port, _)| port)
        .collect();
    open.sort_unstable();
    open
}

/// What a port says to a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Yes,
    No,
    Nothing,
}
