//! A branch with two uplinks in a network namespace of the calling thread, made with `ip`. Addresses of RFC 5737 and
//! RFC 3849. The gateways are permanent neighbours: what is sent leaves, nothing answers.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// Runs the test in a thread with an empty network of its own. Without the right to make one the test fails: a skipped
/// test proves nothing.
pub(crate) fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let body = move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
            panic!("cannot make a network namespace ({error}): run the tests as root, or in `unshare --map-root-user`")
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(test());
    };
    if let Err(panic) = std::thread::spawn(body).join() {
        std::panic::resume_unwind(panic);
    }
}

/// `wan0` and `wan1` with a gateway each, and `lan0`.
pub(crate) fn build() {
    ip("link set lo up");
    for i in 0..2 {
        ip(&format!("link add wan{i} type veth peer name isp{i}"));
        // A duplicate address check would keep the IPv6 addresses from being used for a second.
        for device in [format!("wan{i}"), format!("isp{i}")] {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{device}/accept_dad"), "0").expect("a sysctl");
            ip(&format!("link set {device} up"));
        }
        ip(&format!("addr add 192.0.2.{}/28 dev wan{i}", 16 * i + 2));
        ip(&format!("addr add 2001:db8:{i}::2/64 dev wan{i} nodad"));
        ip(&format!("neigh add {} lladdr 02:00:00:00:00:0{i} dev wan{i} nud permanent", gateway(i)));
        ip(&format!("neigh add fe80::{i}1 lladdr 02:00:00:00:00:0{i} dev wan{i} nud permanent"));
        learn(i);
    }
    ip("link add lan0 type veth peer name pc0");
    ip("link set pc0 up");
    ip("link set lan0 up");
    ip("addr add 10.1.0.1/24 dev lan0");
}

/// As networkd writes what DHCP and router advertisements said.
pub(crate) fn learn(i: usize) {
    ip(&format!("route add default via {} dev wan{i} proto dhcp metric {}", gateway(i), 1024 + i));
    ip(&format!("-6 route add default via fe80::{i}1 dev wan{i} proto ra metric {}", 1024 + i));
}

pub(crate) fn forget(i: usize) {
    ip(&format!("route del default dev wan{i} proto dhcp"));
    ip(&format!("-6 route del default dev wan{i} proto ra"));
}

fn gateway(i: usize) -> String {
    format!("192.0.2.{}", 16 * i + 1)
}

/// Runs `ip` and expects it to work.
pub(crate) fn ip(arguments: &str) -> String {
    try_ip(arguments).unwrap_or_else(|error| panic!("ip {arguments}: {error}"))
}

pub(crate) fn try_ip(arguments: &str) -> Result<String, String> {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("iproute2 is installed");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// Field of what `ip -j route get` says, for instance `dev`.
pub(crate) fn route_field(destination: &str, how: &str, field: &str) -> Option<String> {
    let family = if destination.contains(':') { "-6" } else { "-4" };
    let answer = try_ip(format!("-j {family} route get {destination} {how}").trim_end()).ok()?;
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("ip writes JSON");
    Some(answer[0][field].as_str()?.to_owned())
}

pub(crate) fn device_to(destination: &str, how: &str) -> Option<String> {
    route_field(destination, how, "dev")
}
