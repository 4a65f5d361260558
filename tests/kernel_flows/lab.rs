//! The branch in network namespaces of its own, and real traffic through it.
//!
//! ```text
//! lan ── gateway ─┬─ provider a ─┬─ far: hosts 198.51.100.7 and 2001:db8:f::7, behind a strict stateful firewall
//!                 └─ provider b ─┘
//! ```

use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

pub(crate) const FAR: &str = "198.51.100.7";
pub(crate) const FAR6: &str = "2001:db8:f::7";

pub(crate) struct Lab {
    prefix: String,
}

const HOSTS: [&str; 5] = ["lan", "gw", "pa", "pb", "far"];

impl Lab {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("cwf{}-{}-", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let lab = Self { prefix };
        for host in HOSTS {
            if let Err(message) = run("ip", &["netns", "add", &lab.name(host)]) {
                panic!("these tests need root (CAP_SYS_ADMIN) for network namespaces: {message}");
            }
            lab.ip(host, "link set lo up");
            for setting in [
                // Without duplicate address detection, addresses can be used at once.
                "net.ipv6.conf.default.accept_dad=0",
                "net.ipv6.conf.default.dad_transmits=0",
                "net.ipv4.ip_forward=1",
                "net.ipv6.conf.all.forwarding=1",
                "net.netfilter.nf_conntrack_tcp_loose=0",
            ] {
                lab.exec(host, "sysctl", &["-q", "-w", setting]);
            }
        }
        lab.exec("gw", "sysctl", &["-q", "-w", "net.netfilter.nf_conntrack_tcp_be_liberal=1"]);
        lab.cable("lan", "eth0", "gw", "lan0");
        lab.cable("gw", "wan1", "pa", "branch");
        lab.cable("gw", "wan2", "pb", "branch");
        lab.cable("pa", "core", "far", "a0");
        lab.cable("pb", "core", "far", "b0");
        for (host, device, address) in [
            ("lan", "eth0", "192.168.1.10/24 fd00:1::10/64"),
            ("gw", "lan0", "192.168.1.1/24 fd00:1::1/64"),
            ("gw", "wan1", "10.1.0.2/24 2001:db8:1::2/64"),
            ("gw", "wan2", "10.2.0.2/24 2001:db8:2::2/64"),
            ("pa", "branch", "10.1.0.1/24 2001:db8:1::1/64"),
            ("pb", "branch", "10.2.0.1/24 2001:db8:2::1/64"),
            ("pa", "core", "10.11.0.1/24 2001:db8:11::1/64"),
            ("pb", "core", "10.12.0.1/24 2001:db8:12::1/64"),
            ("far", "a0", "10.11.0.2/24 2001:db8:11::2/64"),
            ("far", "b0", "10.12.0.2/24 2001:db8:12::2/64"),
            ("far", "lo", "198.51.100.7/32 2001:db8:f::7/128"),
        ] {
            for one in address.split(' ') {
                let flag = if one.contains(':') { " nodad" } else { "" };
                lab.ip(host, &format!("address add {one} dev {device}{flag}"));
            }
        }
        for (host, route) in [
            ("lan", "default via 192.168.1.1"),
            ("lan", "default via fd00:1::1"),
            ("pa", "198.51.100.0/24 via 10.11.0.2"),
            ("pa", "2001:db8:f::/64 via 2001:db8:11::2"),
            ("pb", "198.51.100.0/24 via 10.12.0.2"),
            ("pb", "2001:db8:f::/64 via 2001:db8:12::2"),
            ("far", "10.1.0.0/24 via 10.11.0.1 src 198.51.100.7"),
            ("far", "10.2.0.0/24 via 10.12.0.1 src 198.51.100.7"),
            ("far", "2001:db8:1::/64 via 2001:db8:11::1 src 2001:db8:f::7"),
            ("far", "2001:db8:2::/64 via 2001:db8:12::1 src 2001:db8:f::7"),
        ] {
            let family = if route.contains("::") { "-6" } else { "-4" };
            lab.ip(host, &format!("{family} route add {route}"));
        }
        lab.routing();
        lab.strict_firewall();
        lab
    }

    /// As the gateway has them: a table per uplink and per path, chosen by mark, by bound device, by default.
    fn routing(&self) {
        for family in ["-4", "-6"] {
            for rule in [
                "pref 4000 lookup main suppress_prefixlength 0",
                "pref 4101 fwmark 0x100/0xff00 lookup 4101",
                "pref 4102 fwmark 0x200/0xff00 lookup 4102",
                "pref 4201 oif wan1 lookup 4101",
                "pref 4202 oif wan2 lookup 4102",
                "pref 4301 fwmark 0x1/0xff lookup 4201",
                "pref 4399 lookup 4200",
            ] {
                self.ip("gw", &format!("{family} rule add {rule}"));
            }
        }
        for (table, uplink) in [(4101, 1), (4102, 2), (4200, 1), (4201, 2)] {
            self.ip("gw", &format!("-4 route add default via 10.{uplink}.0.1 dev wan{uplink} table {table}"));
            self.ip("gw", &format!("-6 route add default via 2001:db8:{uplink}::1 dev wan{uplink} table {table}"));
        }
    }

    /// Drops, and does not answer, any TCP it has not seen the beginning of.
    fn strict_firewall(&self) {
        let rules = "add table inet strict; \
            add chain inet strict input { type filter hook input priority 0; policy drop; }; \
            add rule inet strict input ct state established,related accept; \
            add rule inet strict input ct state invalid drop; \
            add rule inet strict input meta l4proto tcp tcp flags & (syn|ack) != syn drop; \
            add rule inet strict input accept";
        self.exec("far", "nft", &[rules]);
    }

    fn cable(&self, left: &str, left_device: &str, right: &str, right_device: &str) {
        let (left, right) = (self.name(left), self.name(right));
        let command = format!("link add {left_device} netns {left} type veth peer name {right_device} netns {right}");
        run("ip", &command.split(' ').collect::<Vec<_>>()).expect("a cable");
        for (host, device) in [(left, left_device), (right, right_device)] {
            run("ip", &["-n", &host, "link", "set", device, "up"]).expect("the device comes up");
        }
    }

    pub(crate) fn name(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    pub(crate) fn ip(&self, host: &str, command: &str) -> String {
        let host = self.name(host);
        let mut arguments = vec!["-n", &host];
        arguments.extend(command.split(' '));
        run("ip", &arguments).unwrap_or_else(|message| panic!("ip {command}: {message}"))
    }

    pub(crate) fn exec(&self, host: &str, program: &str, arguments: &[&str]) -> String {
        let host = self.name(host);
        let mut all = vec!["netns", "exec", &host, program];
        all.extend(arguments);
        run("ip", &all).unwrap_or_else(|message| panic!("{program} {arguments:?}: {message}"))
    }

    /// The provider goes on answering on its line, and carries nothing any more.
    pub(crate) fn silence(&self, provider: &str) {
        for setting in ["net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0"] {
            self.exec(provider, "sysctl", &["-q", "-w", setting]);
        }
    }

    /// A thread in one of the hosts.
    pub(crate) fn on<T: Send + 'static>(&self, host: &str, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let path = format!("/run/netns/{}", self.name(host));
        thread::spawn(move || {
            let namespace = File::open(path).expect("the namespace is there");
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it");
            work()
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in HOSTS {
            run("ip", &["netns", "del", &self.name(host)]).ok();
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Waits for a condition, not for a while; fails with `what` after a generous time.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < until, "{what}: not within 10 s");
        thread::sleep(Duration::from_millis(5));
    }
}
