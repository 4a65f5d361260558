//! A gateway in a network namespace of the calling thread, its files, and the processes on it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Much longer than anything here takes, so that a busy machine fails no test.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// Two lines and a LAN; the devices are made by the tests, or not.
pub(crate) const CONFIG: &str = r#"
site = { name = "Shop 7" }
uplinks.wan = { device = "wan0", medium = "fibre", ipv6 = "off" }
uplinks.lte = { device = "wan1", medium = "fibre", ipv6 = "off" }
networks.shop = { ports = ["lan0"], net = "192.168.10.0/24" }
firewall.rules = [{ from = ["shop"], to = ["wan"], allow = ["any"] }]
"#;

/// Runs the test in a thread whose network is empty but for loopback. What it starts is there, too.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let body = move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
            panic!("cannot make a network namespace ({error}): run the tests as root, or in `unshare --map-root-user`")
        });
        ip("link set lo up");
        test();
    };
    if let Err(panic) = std::thread::spawn(body).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Config, state and socket of a gateway; gone with it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        Self::with(CONFIG)
    }

    pub(crate) fn with(config: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("causeway-gateway-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let place = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&place.0).expect("a folder");
        fs::write(place.config(), config).expect("a config");
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("gateway.toml")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("control.sock")
    }

    pub(crate) fn causeway(&self, words: &[&str]) -> Command {
        self.with_socket(words, &self.socket())
    }

    fn with_socket(&self, words: &[&str], socket: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(words).arg("--socket").arg(socket).env("TZ", "UTC").env_remove("RUST_LOG");
        command.stdin(Stdio::null());
        command
    }

    /// `causeway run` as its unit starts it.
    pub(crate) fn run(&self) -> Command {
        self.run_on(&self.socket())
    }

    pub(crate) fn run_on(&self, socket: &Path) -> Command {
        let mut command = self.with_socket(&["run"], socket);
        command.arg("--config").arg(self.config()).arg("--state").arg(self.path("state"));
        command
    }

    pub(crate) fn ask(&self, words: &[&str]) -> Answer {
        answer(&mut self.causeway(words))
    }

    pub(crate) fn status(&self) -> Option<Value> {
        let answer = self.ask(&["status", "--json"]);
        (answer.code == 0).then(|| serde_json::from_str(&answer.out).expect("JSON"))
    }

    /// The daemon, when it answers.
    pub(crate) fn start(&self) -> Daemon {
        let log = self.path("run.log");
        let written = File::create(&log).expect("a log");
        let child = self.run().stderr(written).spawn().expect("the binary runs");
        let mut daemon = Daemon { child, log };
        wait_until("the daemon answers", || {
            let ended = daemon.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "it ended: {}", daemon.said());
            self.status().is_some()
        });
        daemon
    }

    /// Paths of this place read the same in every run.
    pub(crate) fn plain(&self, text: &str) -> String {
        text.replace(&self.0.display().to_string(), "PLACE")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a process said, and how it ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs it to its end; one that does not end is killed, and fails the test.
pub(crate) fn answer(command: &mut Command) -> Answer {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let pid = pid(&child);
    let watch = std::thread::spawn(move || {
        let ended = wait_for(|| child.try_wait().expect("it is our child"));
        if ended.is_none() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        (ended.is_some(), child.wait_with_output().expect("its output"))
    });
    let (ended, Output { status, stdout, stderr }) = watch.join().expect("it only waits");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let (out, err) = (text(stdout), text(stderr));
    assert!(ended, "{command:?} did not end within {PATIENCE:?}\n{out}{err}");
    Answer { code: status.code().expect("no signal"), out, err }
}

/// Killed with the test, unless it ended before.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("its log")
    }

    /// Without a word, as when the power fails.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is our child");
    }

    pub(crate) fn stop(mut self) {
        kill(pid(&self.child), Signal::SIGTERM).expect("it runs");
        let status = self.child.wait().expect("it is our child");
        assert_eq!(status.code(), Some(0), "{}", self.said());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a process id"))
}

pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    assert!(wait_for(|| holds().then_some(())).is_some(), "{what}: not within {PATIENCE:?}");
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        match look() {
            None if began.elapsed() < PATIENCE => std::thread::sleep(LOOK),
            found => return found,
        }
    }
}

/// Everything that a config can change in the kernel: routes and rules of both families, the packet filter.
pub(crate) fn kernel() -> String {
    let mut text = String::new();
    for words in ["-4 rule", "-6 rule", "-4 route show table all", "-6 route show table all"] {
        text.push_str(&ip(words));
    }
    let nft = Command::new("nft").args(["-s", "list", "ruleset"]).output().expect("nftables is installed");
    text.push_str(&String::from_utf8_lossy(&nft.stdout));
    text
}

pub(crate) fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A line with its lease, as networkd would have it: `wan0` for 0. The other end answers nothing.
pub(crate) fn plug_in(line: u8) {
    ip(&format!("link add wan{line} type veth peer name isp{line}"));
    ip(&format!("link set isp{line} up"));
    ip(&format!("link set wan{line} up"));
    lease(line);
}

pub(crate) fn lease(line: u8) {
    ip(&format!("addr add 192.0.2.{}/28 dev wan{line}", 16 * line + 2));
    let gateway = 16 * line + 1;
    ip(&format!("route add default via 192.0.2.{gateway} dev wan{line} proto dhcp metric {}", 1024 + u32::from(line)));
}

/// A provider: the far end of `wan0` in a network of its own, with a gateway and the internet behind it.
pub(crate) struct Provider(Child);

impl Provider {
    pub(crate) const GATEWAY: &str = "192.0.2.1";

    /// `line` 0 is `wan0`.
    pub(crate) fn connect(line: u8) -> Self {
        let inside = Command::new("unshare").args(["--net", "sleep", "infinity"]).spawn().expect("util-linux");
        let provider = Self(inside);
        let own = fs::read_link("/proc/thread-self/ns/net").expect("a namespace");
        let there = || fs::read_link(format!("/proc/{}/ns/net", provider.0.id())).ok();
        wait_until("it has a network", || there().is_some_and(|net| net != own));
        ip(&format!("link add wan{line} type veth peer name branch netns {}", provider.0.id()));
        ip(&format!("link set wan{line} up"));
        lease(line);
        provider.ip("link set lo up");
        provider.ip("link set branch up");
        provider.ip(&format!("addr add 192.0.2.{}/28 dev branch", 16 * line + 1));
        provider
    }

    /// Hosts of the internet, which answer echo requests.
    pub(crate) fn host(&self, address: &str) {
        self.ip(&format!("addr add {address}/32 dev lo"));
    }

    pub(crate) fn unplug_host(&self, address: &str) {
        self.ip(&format!("addr del {address}/32 dev lo"));
    }

    pub(crate) fn mac(&self) -> String {
        let link: Value = serde_json::from_str(&self.ip("-j link show branch")).expect("ip writes JSON");
        link[0]["address"].as_str().expect("it has one").to_owned()
    }

    pub(crate) fn ip(&self, arguments: &str) -> String {
        let net = format!("--net=/proc/{}/ns/net", self.0.id());
        let output = Command::new("nsenter").arg(net).arg("ip").args(arguments.split(' ')).output();
        let output = output.expect("util-linux and iproute2 are installed");
        assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The same command as somebody with no rights. Where only root is mapped, as root without capabilities.
pub(crate) fn unprivileged(command: &Command) -> Command {
    let mut weak = if everybody_is_there() {
        let mut weak = Command::new(command.get_program());
        weak.uid(NOBODY).gid(NOBODY);
        weak
    } else {
        let mut weak = Command::new("setpriv");
        weak.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(command.get_program());
        weak
    };
    weak.args(command.get_args()).stdin(Stdio::null());
    weak
}

/// In a user namespace of an ordinary user there is only root.
pub(crate) fn everybody_is_there() -> bool {
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.trim().ends_with("4294967295"))
}

pub(crate) const NOBODY: u32 = 65_534;

/// Puts an empty folder over this one, for this thread and what it starts.
pub(crate) fn hide(folder: &Path) {
    use nix::mount::{MsFlags, mount};
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace, with the rights that a network one needs");
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
    mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), none).expect("an empty folder over it");
}
