//! Two network namespaces joined by cables: the gateway, in which the test runs, and the far side, a thread of its own.

use std::fs;
use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

pub(crate) const FAR: &str = "10.9.0.1";
pub(crate) const FAR_OTHER: &str = "10.9.0.7";
pub(crate) const FAR_V6: &str = "fd09::1";
pub(crate) const NEAR: &str = "10.9.0.2";
pub(crate) const NEAR_V6: &str = "fd09::2";
/// Behind the far side, on both cables.
pub(crate) const BEYOND: &str = "192.0.2.1";
/// The far side says that there is no way.
pub(crate) const NO_WAY: &str = "198.51.100.1";
/// The far side drops it.
pub(crate) const BLACK_HOLE: &str = "203.0.113.1";

type Work = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// The other end of the cables.
pub(crate) struct Far {
    tid: i32,
    work: tokio::sync::mpsc::Sender<Work>,
}

/// Runs `test` in a fresh pair of namespaces, joined by `wan0`.
pub(crate) fn between<F, T>(test: F)
where
    F: FnOnce(Far) -> T + Send + 'static,
    T: Future<Output = ()>,
{
    let near = thread::spawn(|| {
        own_namespace();
        fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").expect("ping sockets for everybody");
        ip("link set lo up");
        let far = Far::start();
        // A test that has no use for the far side must not end it: its namespace would go, and the cable with it.
        let _kept = far.work.clone();
        far.plug("wan0", "far0");
        address_near();
        ip(&format!("route add default via {FAR}"));
        ip(&format!("route add default via {FAR_V6}"));
        runtime().block_on(test(far));
    });
    if let Err(panic) = near.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Gives `wan0` its addresses.
pub(crate) fn address_near() {
    ip(&format!("addr add {NEAR}/24 dev wan0"));
    ip(&format!("addr add {NEAR_V6}/64 dev wan0"));
    wait_for("the addresses of wan0", || tentative("wan0").is_empty());
}

/// Changes the network of the gateway.
pub(crate) fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).output().expect("iproute2 is installed");
    assert!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Far {
    fn start() -> Self {
        let (work, mut todo) = tokio::sync::mpsc::channel::<Work>(64);
        let (ready, is_ready) = mpsc::sync_channel(1);
        thread::spawn(move || {
            own_namespace();
            ip("link set lo up");
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("forwarding");
            fs::write("/proc/sys/net/ipv4/icmp_ratelimit", "0").expect("as many ICMP errors as asked for");
            ip(&format!("addr add {BEYOND}/32 dev lo"));
            ip(&format!("route add unreachable {NO_WAY}/32"));
            ip(&format!("route add blackhole {BLACK_HOLE}/32"));
            ready.send(gettid().as_raw()).expect("somebody waits");
            runtime().block_on(tokio::task::LocalSet::new().run_until(async move {
                while let Some(work) = todo.recv().await {
                    tokio::task::spawn_local(work());
                }
            }));
        });
        let tid = is_ready.recv().expect("the far side is up");
        Self { tid, work }
    }

    /// A cable from `near` to `far`; all cables but the first carry no address at the far end.
    pub(crate) fn plug(&self, near: &str, far: &str) {
        ip(&format!("link add {near} type veth peer name {far} netns {}", self.tid));
        ip(&format!("link set {near} up"));
        let far = far.to_owned();
        self.blocking(move || {
            ip(&format!("link set {far} up"));
            if far == "far0" {
                ip(&format!("addr add {FAR}/24 dev {far}"));
                ip(&format!("addr add {FAR_OTHER}/24 dev {far}"));
                ip(&format!("addr add {FAR_V6}/64 dev {far}"));
            }
            wait_for_carrier(&far);
            wait_for("the addresses of the far side", || tentative(&far).is_empty());
        });
        wait_for_carrier(near);
    }

    /// Changes the network of the far side.
    pub(crate) fn ip(&self, arguments: &str) {
        let arguments = arguments.to_owned();
        self.blocking(move || ip(&arguments));
    }

    pub(crate) fn set(&self, sysctl: &'static str, value: &'static str) {
        self.blocking(move || fs::write(format!("/proc/sys/net/{sysctl}"), value).expect("a sysctl of the far side"));
    }

    /// Does something there and waits for it.
    pub(crate) fn blocking<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        let (done, is_done) = mpsc::sync_channel(1);
        let work: Work = Box::new(move || {
            done.send(work()).expect("somebody waits");
            Box::pin(async {})
        });
        assert!(self.work.try_send(work).is_ok(), "the far side is gone");
        is_done.recv().expect("the far side did it")
    }

    /// Starts something there that goes on; `open` makes its sockets before this returns.
    pub(crate) fn serve<S, F>(
        &self,
        open: impl FnOnce() -> S + Send + 'static,
        serve: impl FnOnce(S) -> F + Send + 'static,
    ) where
        S: 'static,
        F: Future<Output = ()> + 'static,
    {
        let (done, is_done) = mpsc::sync_channel(1);
        let work: Work = Box::new(move || {
            let sockets = open();
            done.send(()).expect("somebody waits");
            Box::pin(serve(sockets))
        });
        assert!(self.work.try_send(work).is_ok(), "the far side is gone");
        is_done.recv().expect("the far side listens");
    }
}

/// The kernel tells itself of a new carrier up to a second later; until then what is sent is dropped.
fn wait_for_carrier(device: &str) {
    wait_for("a carrier", || shown(&["-br", "link", "show", device]).split_whitespace().nth(1) == Some("UP"));
}

/// IPv6 addresses that are not usable yet: even without a check for duplicates, neighbours hear of them a little later.
fn tentative(device: &str) -> String {
    shown(&["-6", "addr", "show", "dev", device, "tentative"])
}

fn shown(arguments: &[&str]) -> String {
    let shown = Command::new("ip").args(arguments).output().expect("iproute2 is installed");
    String::from_utf8(shown.stdout).expect("text")
}

fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_there() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_millis(5));
    }
}

fn own_namespace() {
    unshare(CloneFlags::CLONE_NEWNET)
        .expect("these tests need a network namespace of their own: run them as root or with CAP_SYS_ADMIN");
    // Nobody else is on these cables, and looking for a duplicate takes a second.
    fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").expect("no duplicate check");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
