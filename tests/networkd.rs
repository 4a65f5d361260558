//! The back end of systemd-networkd against the real one, run by hand: in a namespace of mounts with a `/run` of its own,
//! and without systemd, so the flag is a restart instead of a reload. VLANs need a kernel with them: their
//! files are compared with what was reviewed, and read by networkd, which says what it does not know.

#![cfg(feature = "lab")]

#[path = "services/probe.rs"]
#[expect(dead_code, reason = "shared with tests/services.rs, which uses all of it")]
mod probe;
#[path = "services/world.rs"]
#[expect(dead_code, reason = "shared with tests/services.rs, which uses all of it")]
mod world;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use causeway::apply::services::{Backend, Paths, Services};
use causeway::config::branch::Branch;
use causeway::lab::attendant::Attendant;
use causeway::lab::clock;
use causeway::lab::netns::Namespace;
use causeway::lab::site::Site;

const PROGRAM: &str = "/lib/systemd/systemd-networkd";

const PLAIN: &str = r#"
site = { name = "Plain ports" }
probes = { targets = [{ icmp = "198.19.1.1" }, { icmp = "198.19.2.1" }, { icmp = "2001:db8:201::1" }, { icmp = "2001:db8:202::1" }] }
[uplinks.a]
device = "wan0"
medium = "fibre"
[uplinks.b]
device = "wan1"
medium = "cable"
ipv4 = { address = "100.64.1.2/24", gateway = "100.64.1.1", dns = ["198.51.100.20"] }
ipv6 = { address = "2001:db8:64:1::2/64", gateway = "2001:db8:64:1::1" }
[networks.office]
ports = ["lan0"]
net = "10.16.10.0/24"
net6 = "fd00:16:10::/64"
dhcp = { from = 100, to = 199 }
"#;

#[expect(clippy::print_stderr, reason = "a test that did nothing must say so")]
fn allowed() -> bool {
    let there = Path::new(PROGRAM).exists();
    if !there {
        eprintln!("skipped: no {PROGRAM}");
    }
    world::allowed() && there
}

/// networkd in the gateway's network, with `folder/run` as its `/run`.
struct Networkd {
    host: Namespace,
    folder: PathBuf,
    child: Option<Child>,
}

impl Networkd {
    fn new(host: &Namespace, folder: &Path) -> Self {
        for part in ["systemd/network", "systemd/netif/links", "systemd/netif/leases", "systemd/netif/lldp"] {
            std::fs::create_dir_all(folder.join("run").join(part)).expect("a folder");
        }
        Self { host: host.clone(), folder: folder.to_owned(), child: None }
    }

    fn restart(&mut self) {
        self.stop();
        // /sys is read-only: networkd then knows that no udev will tell it when a device is ready.
        let script = "mount --bind \"$0/run\" /run && mount -t sysfs -o ro sysfs /sys && \
                      mkdir -p /run/systemd/networkd.conf.d && cp \"$1\" /run/systemd/networkd.conf.d/ && \
                      chown -R systemd-network /run/systemd/netif && exec /lib/systemd/systemd-networkd";
        let log = std::fs::File::options().create(true).append(true).open(self.log()).expect("a log");
        let conf = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/causeway.networkd");
        let named = self.folder.join("50-causeway.conf");
        std::fs::copy(conf, &named).expect("a copy");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(&self.folder).arg(&named);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(self.host.start(&mut command).expect("networkd"));
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a number"));
            nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).expect("it runs");
            child.wait().expect("it ends");
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.join("networkd.log")
    }
}

impl Drop for Networkd {
    fn drop(&mut self) {
        self.stop();
    }
}

struct World {
    _attendant: Attendant,
    networkd: Arc<Mutex<Networkd>>,
    site: Site,
    paths: Paths,
    folder: PathBuf,
}

impl World {
    fn start(branch: &Branch) -> Self {
        let folder = world::folder();
        let site = Site::build(branch, &folder).expect("a site");
        let networkd = Arc::new(Mutex::new(Networkd::new(&site.gateway, &folder)));
        networkd.lock().expect("no panic").restart();
        let mut paths = Paths::below(&folder);
        paths.network = folder.join("run/systemd/network");
        let reloaded = Arc::clone(&networkd);
        let reload = move || reloaded.lock().expect("no panic").restart();
        let attendant = Attendant::start(&site.gateway, &paths, |_| {}, reload).expect("an attendant");
        Self { _attendant: attendant, networkd, site, paths, folder }
    }

    fn apply(&self, branch: &Branch) -> Vec<String> {
        let applied = world::inside(&self.site.gateway, async |netlink| {
            Services::new(Backend::Networkd, self.paths.clone()).apply(&netlink, branch).await
        });
        applied.unwrap_or_else(|error| panic!("{error}: {}", self.log())).done
    }

    fn verify(&self, branch: &Branch) -> Vec<String> {
        let looked = world::inside(&self.site.gateway, async |netlink| {
            Services::new(Backend::Networkd, self.paths.clone()).verify(&netlink, branch).await
        });
        looked.expect("a look")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.networkd.lock().expect("no panic").log()).unwrap_or_default()
    }

    fn addresses(&self) -> String {
        self.site.gateway.must("ip", &["-o", "address"], "").expect("addresses")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.networkd.lock().expect("no panic").stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn networkd_makes_of_the_files_what_the_config_says_and_takes_it_back() {
    if !allowed() {
        return;
    }
    let branch = world::branch(PLAIN);
    let world = World::start(&branch);
    let provider = lend(&world.site.providers[0], &world.folder);
    let done = world.apply(&branch);
    assert!(done.contains(&"let systemd-networkd read its files".to_owned()), "{done:?}");
    assert_eq!(world.verify(&branch), Vec::<String>::new());
    assert_eq!(world.apply(&branch), Vec::<String>::new(), "an unchanged config makes no step");
    let leased = clock::wait_for(Duration::from_secs(20), Duration::from_millis(50), || {
        let routes = world.site.gateway.must("ip", &["route", "show", "default"], "").ok()?;
        routes.contains("via 100.64.0.1 dev wan0 proto dhcp").then_some(routes)
    });
    let routes = leased.unwrap_or_else(|| panic!("no lease: {}", world.log()));
    assert!(routes.contains("metric 1000"), "{routes}");
    assert!(routes.contains("default via 100.64.1.1 dev wan1 proto static metric 1001"), "{routes}");
    let lease = world.site.host("lan0").expect("a host").lease(None).expect("a client").expect("a lease");
    assert_eq!(lease.address.octets()[..3], [10, 16, 10]);

    // Routes of the daemon are not networkd's to remove.
    world.site.gateway.ip("route add 192.0.2.0/24 dev lan0 table 4101 proto 202\n").expect("a route of ours");
    // Another net for the LAN, another address for a line, one line less.
    let cut = PLAIN.find("[uplinks.a]").expect("it is there")..PLAIN.find("[uplinks.b]").expect("it is there");
    let mut text = PLAIN.replace("10.16.10.0/24", "10.16.50.0/24").replace("100.64.1.2/24", "100.64.1.9/24");
    text.replace_range(cut, "");
    let other = world::branch(&text);
    world.apply(&other);
    assert_eq!(world.verify(&other), Vec::<String>::new());
    let gone = clock::wait_for(Duration::from_secs(10), Duration::from_millis(50), || {
        let have = world.addresses();
        ["10.16.10.1/", "100.64.1.2/", "100.64.0."].iter().all(|old| !have.contains(old)).then_some(())
    });
    assert!(gone.is_some(), "{}\n{}", world.addresses(), world.log());
    let routes = world.site.gateway.must("ip", &["route", "show", "table", "4101"], "").expect("routes");
    assert!(routes.contains("192.0.2.0/24"), "{}", world.log());

    // Back by the same function.
    world.apply(&branch);
    assert_eq!(world.verify(&branch), Vec::<String>::new());
    drop(provider);
}

#[test]
fn networkd_joins_ports_to_bridges_and_knows_every_key_of_ours() {
    if !allowed() {
        return;
    }
    let text = include_str!("services/two-networks.toml");
    let branch = world::branch(text);
    let world = World::start(&branch);
    // The shape without VLANs, which this kernel may lack: the note that the other back end keeps.
    for (place, file) in Services::new(Backend::Direct, world.paths.clone()).files(&branch).expect("files") {
        if place.starts_with(&world.paths.network) {
            std::fs::write(place, file).expect("a file");
        }
    }
    world.networkd.lock().expect("no panic").restart();
    let joined = clock::wait_for(Duration::from_secs(15), Duration::from_millis(50), || {
        let links = world.site.gateway.must("ip", &["-o", "link"], "").ok()?;
        let ports = [("lan0@", "master br-lan.10"), ("lan1@", "master br-lan.10"), ("lan2@", "master br-lan.20")];
        let joined =
            |(port, master): &(&str, &str)| links.lines().any(|line| line.contains(port) && line.contains(master));
        let addresses = world.addresses();
        let there = ["10.16.10.1/24", "fd00:16:10::1/64", "10.16.20.1/24", "fd00:16:20::1/64"];
        (ports.iter().all(joined) && there.iter().all(|own| addresses.contains(own))).then_some(())
    });
    assert!(joined.is_some(), "{}\n{}", world.addresses(), world.log());
    // Now those of the product, with all that a model can ask for.
    for name in std::fs::read_dir(&world.paths.network).expect("a folder").flatten() {
        std::fs::remove_file(name.path()).expect("a file");
    }
    for (place, file) in Services::new(Backend::Networkd, world.paths.clone()).files(&full()).expect("files") {
        if place.starts_with(&world.paths.network) {
            std::fs::write(place, file).expect("a file");
        }
    }
    std::fs::write(world.paths.network.join("99-control.network"), "[Match]\nName=none0\n[Network]\nNoSuchKey=1\n")
        .expect("a file");
    world.networkd.lock().expect("no panic").restart();
    let told = clock::wait_for(Duration::from_secs(10), Duration::from_millis(50), || {
        world.log().contains("NoSuchKey").then(|| world.log())
    });
    let log = told.unwrap_or_else(|| panic!("it tells of unknown keys: {}", world.log()));
    let complaints: Vec<&str> =
        log.lines().filter(|line| line.contains("50-causeway-") && !line.contains("Configuring with")).collect();
    assert_eq!(complaints, Vec::<&str>::new());
}

/// As it is reviewed: one bridge that tells VLANs apart, a trunk, delegated prefixes.
#[test]
fn files_of_the_product_are_as_reviewed() {
    let files = Services::new(Backend::Networkd, Paths::system()).files(&full()).expect("files");
    let text: Vec<String> = files.iter().map(|(place, text)| format!("=== {}\n{text}", place.display())).collect();
    insta::assert_snapshot!("services_files", text.join("\n"));
}

fn full() -> Branch {
    world::branch(
        r#"
site = { name = "All of it" }
[uplinks.fibre]
device = "wan0"
medium = "fibre"
ipv6 = "native"
[uplinks.cable]
device = "wan1"
medium = "cable"
ipv4 = { address = "203.0.113.2/30", gateway = "203.0.113.1", dns = ["198.51.100.53"] }
ipv6 = { address = "2001:db8:7::2/64", gateway = "fe80::1", dns = ["2001:db8:53::1"] }
[uplinks.lte]
device = "lte0"
medium = "lte"
[networks.office]
vlan = 10
ports = ["lan0", "lan1"]
trunks = ["lan3"]
net = "10.16.32.0/24"
net6 = "fd00:10:16:32::/64"
dhcp = { from = 100, to = 199, lease = "12h" }
fixed = [{ name = "camera", mac = "52:54:00:10:00:40", host = 40 }]
[networks.guest]
vlan = 20
net = "10.16.34.0/23"
dhcp = { from = 20, to = 500, lease = "1h" }
isolate = true
[networks.workshop]
ports = ["lan4"]
net = "10.16.40.0/24"
[dns]
forwarders = ["9.9.9.9", "2620:fe::fe"]
domain = "branch.internal"
routes = [{ zone = "corp.example", servers = ["10.254.0.53"] }]
"#,
    )
}

/// A provider that lends addresses, by the real server.
fn lend(provider: &Namespace, folder: &Path) -> impl Drop + use<> {
    struct Lender(Child);
    impl Drop for Lender {
        fn drop(&mut self) {
            let _ = self.0.kill(); // it may have ended
            let _ = self.0.wait();
        }
    }
    let leases = folder.join("provider-leases");
    let mut command = Command::new("/usr/sbin/dnsmasq");
    command.args(["--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=line", "--bind-interfaces"]);
    command.args(["--dhcp-range=100.64.0.50,100.64.0.60,255.255.255.0,1h", "--dhcp-option=option:router,100.64.0.1"]);
    command.args(["--no-ping", "--dhcp-option=option:dns-server,198.51.100.20"]);
    command.arg(format!("--dhcp-leasefile={}", leases.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Lender(provider.start(&mut command).expect("a server"))
}
