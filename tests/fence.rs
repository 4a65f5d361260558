//! What a fenced process can still do, and what not. Each act runs in a process of its own, so that the fence closes around
//! that one only. Calls get senseless arguments: should the fence fail, nothing happens to the machine.

use std::ffi::CString;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io, thread};

use causeway::config::model::{Check, Family, Host, HttpUrl, LinkName, Target, TargetId, UplinkId};
use causeway::engine::event::Event;
use causeway::fence::{Fence, FenceError, Strength};
use causeway::probe::io::{Prober, Roots, clock};
use causeway::probe::{Answer, Cookie, ProbeId, ProbeRequest};
use libc as c;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tokio::runtime::Runtime;

/// What became of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    Error(i32),
    Killed,
}

/// Exit codes beyond the kernel's errors.
const OTHER: i32 = 254;
const PANIC: i32 = 255;

const REFUSED: End = End::Error(c::EPERM);
/// Landlock's answer.
const CLOSED: End = End::Error(c::EACCES);

/// Calls that neither process has any use for.
const FORBIDDEN: [(&str, c::c_long); 47] = [
    ("account", c::SYS_acct),
    ("add a key", c::SYS_add_key),
    ("load a filter into the kernel", c::SYS_bpf),
    ("take capabilities", c::SYS_capset),
    ("change the root", c::SYS_chroot),
    ("tune the clock", c::SYS_adjtimex),
    ("set the clock", c::SYS_clock_settime),
    ("copy into another process", c::SYS_process_vm_writev),
    ("read another process", c::SYS_process_vm_readv),
    ("unload a module", c::SYS_delete_module),
    ("execute a handle", c::SYS_execveat),
    ("watch all files", c::SYS_fanotify_init),
    ("give a file away", c::SYS_fchownat),
    ("change a file's mode", c::SYS_fchmodat),
    ("load a module from a file", c::SYS_finit_module),
    ("load a module", c::SYS_init_module),
    ("queue work around the filter", c::SYS_io_uring_setup),
    ("compare processes", c::SYS_kcmp),
    ("load another kernel", c::SYS_kexec_load),
    ("use keys", c::SYS_keyctl),
    ("link", c::SYS_linkat),
    ("make a file without a name", c::SYS_memfd_create),
    ("make a device", c::SYS_mknodat),
    ("mount", c::SYS_mount),
    ("move a mount", c::SYS_move_mount),
    ("open by number", c::SYS_open_by_handle_at),
    ("measure the kernel", c::SYS_perf_event_open),
    ("another kernel's conventions", c::SYS_personality),
    ("turn the root", c::SYS_pivot_root),
    ("trace", c::SYS_ptrace),
    ("set quotas", c::SYS_quotactl),
    ("reboot", c::SYS_reboot),
    ("ask for a key", c::SYS_request_key),
    ("loosen the filter", c::SYS_seccomp),
    ("set the domain name", c::SYS_setdomainname),
    ("set the group", c::SYS_setgid),
    ("set groups", c::SYS_setgroups),
    ("set the host name", c::SYS_sethostname),
    ("enter a namespace", c::SYS_setns),
    ("set users", c::SYS_setresuid),
    ("set the user", c::SYS_setuid),
    ("swap", c::SYS_swapon),
    ("link by name", c::SYS_symlinkat),
    ("read the kernel's log", c::SYS_syslog),
    ("unmount", c::SYS_umount2),
    ("make a namespace", c::SYS_unshare),
    ("handle page faults", c::SYS_userfaultfd),
];

#[test]
fn g14_calls_that_nobody_needs_are_refused() {
    let place = Place::new("calls");
    for (name, number) in FORBIDDEN {
        assert_eq!(place.run(|| call(number)), REFUSED, "run: {name}");
        assert_eq!(place.front(|| call(number)), End::Killed, "front: {name}");
    }
}

/// Told as calls that the kernel lacks, and without a line in its log: programs ask, and do without.
#[test]
fn g14_calls_that_are_hidden_are_refused_too() {
    let place = Place::new("hidden");
    assert_eq!(place.run(|| call(c::SYS_clone3)), End::Error(c::ENOSYS));
    assert_eq!(place.front(|| call(c::SYS_clone3)), End::Error(c::ENOSYS));
    assert_eq!(place.run(|| call(c::SYS_umask)), End::Error(c::ENOSYS));
    assert_eq!(place.front(|| call(c::SYS_umask)), End::Killed);
}

#[test]
fn g14_run_reaches_only_what_is_its_own() {
    let place = Place::new("run");
    let outside = place.folder.join("outside");
    let parent = getpid();
    let environment = format!("/proc/{parent}/environ");
    for (name, end, act) in [
        ("execute a shell", CLOSED, &(|| execute("/bin/sh")) as &dyn Fn() -> io::Result<()>),
        ("read /etc/shadow", CLOSED, &|| fs::read("/etc/shadow").map(drop)),
        ("read another's environment", CLOSED, &|| fs::read(&environment).map(drop)),
        ("list the root", CLOSED, &|| fs::read_dir("/").map(drop)),
        ("write beside its folder", CLOSED, &|| fs::write(&outside, "x")),
        ("write its config", CLOSED, &|| fs::write(place.config(), "x")),
        ("open a device", CLOSED, &|| fs::File::open("/dev/zero").map(drop)),
        ("write a switch of the kernel", CLOSED, &|| fs::write("/proc/sys/net/ipv4/ip_forward", "1")),
        ("signal another process", REFUSED, &|| Ok(kill(parent, Signal::SIGWINCH)?)),
        ("listen", REFUSED, &|| call(c::SYS_listen)),
        ("VSOCK", REFUSED, &|| socket(c::AF_VSOCK, c::SOCK_STREAM)),
        ("ALG", REFUSED, &|| socket(c::AF_ALG, c::SOCK_SEQPACKET)),
        ("type into the terminal", REFUSED, &|| terminal()),
        ("be traced", REFUSED, &|| Ok(nix::sys::prctl::set_dumpable(true)?)),
    ] {
        assert_eq!(place.run(act), end, "{name}");
    }
    assert!(!outside.exists());
}

#[test]
fn g14_front_reaches_only_what_is_its_own() {
    let place = Place::new("front");
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let other = other.local_addr().expect("it is bound");
    let parent = getpid();
    let environment = format!("/proc/{parent}/environ");
    for (name, end, act) in [
        ("execute a shell", End::Killed, &(|| execute("/bin/sh")) as &dyn Fn() -> io::Result<()>),
        ("read /etc/shadow", CLOSED, &|| fs::read("/etc/shadow").map(drop)),
        ("read the daemon's config", CLOSED, &|| fs::read(place.config()).map(drop)),
        ("read another's environment", CLOSED, &|| fs::read(&environment).map(drop)),
        ("write beside its folder", CLOSED, &|| fs::write(place.folder.join("outside"), "x")),
        ("a port that is not ours", CLOSED, &|| TcpStream::connect(other).map(drop)),
        ("bind another port", CLOSED, &|| TcpListener::bind("127.0.0.1:0").map(drop)),
        ("bind a low port", CLOSED, &|| TcpListener::bind("127.0.0.1:23").map(drop)),
        ("netlink", REFUSED, &|| socket(c::AF_NETLINK, c::SOCK_RAW)),
        ("packets", REFUSED, &|| socket(c::AF_PACKET, c::SOCK_RAW)),
        ("raw IP", REFUSED, &|| socket(c::AF_INET, c::SOCK_RAW)),
        ("start a process", REFUSED, &|| clone(c::SIGCHLD)),
        ("signal another process", End::Killed, &|| Ok(kill(parent, Signal::SIGWINCH)?)),
        ("type into the terminal", REFUSED, &|| terminal()),
    ] {
        assert_eq!(place.front(act), end, "{name}");
    }
}

#[test]
fn g14_no_memory_to_write_and_execute_and_no_namespace() {
    let place = Place::new("memory");
    for (name, end, act) in [
        ("data", End::Done, &(|| map(c::PROT_READ | c::PROT_WRITE)) as &dyn Fn() -> io::Result<()>),
        ("both", REFUSED, &|| map(c::PROT_READ | c::PROT_WRITE | c::PROT_EXEC)),
        ("code from nowhere", REFUSED, &|| map(c::PROT_READ | c::PROT_EXEC)),
        ("a user namespace", REFUSED, &|| clone(c::CLONE_NEWUSER | c::SIGCHLD)),
        ("a network namespace", REFUSED, &|| clone(c::CLONE_NEWNET | c::SIGCHLD)),
        ("a mount namespace", REFUSED, &|| clone(c::CLONE_NEWNS | c::SIGCHLD)),
        ("a process namespace", REFUSED, &|| clone(c::CLONE_NEWPID | c::SIGCHLD)),
    ] {
        assert_eq!(place.run(act), end, "run: {name}");
        assert_eq!(place.front(act), end, "front: {name}");
    }
}

#[test]
fn run_still_does_its_work() {
    let place = Place::new("work");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let target = listener.local_addr().expect("it is bound");
    for (name, act) in [
        ("read its config", &(|| fs::read(place.config()).map(drop)) as &dyn Fn() -> io::Result<()>),
        ("keep its state", &|| keep(&place.state())),
        ("write the journal's slots in place", &|| journal(&place.state())),
        ("write the ledger's lines and sums", &|| ledger(&place.state().join("ledger"))),
        ("read a switch", &|| fs::read("/proc/sys/net/ipv4/ip_forward").map(drop)),
        ("probe by TCP", &|| TcpStream::connect(target).map(drop)),
        ("probe by UDP", &|| UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", target).map(drop)),
        ("netlink", &|| socket(c::AF_NETLINK, c::SOCK_RAW)),
        ("a thread", &start_thread),
        ("run nft", &|| nft(&["--version"], "")),
        ("ask the kernel with nft", &|| nft(&["-j", "-f", "-"], r#"{"nftables":[{"list":{"tables":null}}]}"#)),
        ("name protocols, for nft", &|| fs::read("/etc/protocols").map(drop)),
        ("write files that services read", &|| publish(&place.services())),
        ("list the flash there is", &flash),
    ] {
        assert_eq!(place.run(act), End::Done, "{name}");
    }
    for (name, act) in [
        ("run nft", &nft_from_the_loop as &dyn Fn(&Runtime) -> io::Result<()>),
        ("ask dnsmasq", &|it| dnsmasq_says(it, "interface=lan0\ndhcp-range=10.0.0.5,10.0.0.9,1h\n", true)),
        ("hear that dnsmasq refuses", &|it| dnsmasq_says(it, "dhcp-range=nonsense\n", false)),
    ] {
        assert_eq!(place.run_in_loop(act), End::Done, "{name}");
    }
}

/// As the prober does it: a new connection for each question, bound to its device.
#[test]
fn run_still_asks_for_pages() {
    let place = Place::new("pages");
    let (tls, roots) = certified();
    let [plain, secret] = [None, Some(tls)].map(page);
    for (name, tls, port) in [("http", false, plain), ("https", true, secret)] {
        let asked = |contains| {
            let url = HttpUrl { tls, host: Host::Address([127, 0, 0, 1].into()), port, path: "/".to_owned() };
            let check = Check::Http { url, status: 200, contains: Some(contains) };
            place.run_in_loop(|it| it.block_on(probe(check.clone(), Arc::clone(&roots))))
        };
        assert_eq!(asked("all is well".to_owned()), End::Done, "{name}");
        assert_eq!(asked("something else".to_owned()), End::Error(OTHER), "{name} with another page");
    }
}

#[test]
fn front_still_does_its_work() {
    let place = Place::new("face");
    for (name, act) in [
        ("serve", &(|| serve(place.web)) as &dyn Fn() -> io::Result<()>),
        ("keep its state", &|| fs::write(place.state().join("spool"), "x")),
        ("find a name", &|| std::net::ToSocketAddrs::to_socket_addrs("localhost:1").map(drop)),
        ("say how full the disk is", &|| {
            causeway::telemetry::io::storage(Path::new("/var")).map(drop).ok_or(io::ErrorKind::Other.into())
        }),
        ("count its handles", &|| fs::read_dir("/proc/self/fd").map(|handles| assert!(handles.count() > 3))),
        ("a thread", &start_thread),
    ] {
        assert_eq!(place.front(act), End::Done, "{name}");
    }
}

#[test]
fn with_threads_it_says_that_landlock_would_not_hold() {
    let place = Place::new("threads");
    let end = place.attempt(&|| {
        let (_stop, stopped) = std::sync::mpsc::sync_channel::<()>(0);
        thread::spawn(move || stopped.recv());
        match place.fence_run().enter().landlock {
            Err(FenceError::Threads { count: 2 }) => Ok(()),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(end, End::Done);
}

/// Folders and a port for one test.
struct Place {
    folder: PathBuf,
    web: u16,
}

impl Place {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("causeway-fence-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("state")).expect("a folder");
        fs::create_dir_all(folder.join("config")).expect("a folder");
        fs::create_dir_all(folder.join("services")).expect("a folder");
        let web = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a free port").port();
        let place = Self { folder, web };
        fs::write(place.config(), "").expect("a config");
        place
    }

    fn config(&self) -> PathBuf {
        self.folder.join("config/gateway.toml")
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    fn services(&self) -> PathBuf {
        self.folder.join("services")
    }

    fn fence_run(&self) -> Fence {
        Fence::run(&self.config(), &self.state(), &self.state()).and_write([self.services().as_path()])
    }

    fn run(&self, act: impl Fn() -> io::Result<()>) -> End {
        self.attempt(&|| {
            close(&self.fence_run());
            act()
        })
    }

    /// As the daemon: its loop is there when the fence closes.
    fn run_in_loop(&self, act: impl Fn(&Runtime) -> io::Result<()>) -> End {
        self.attempt(&|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            close(&self.fence_run());
            act(&runtime)
        })
    }

    fn front(&self, act: impl Fn() -> io::Result<()>) -> End {
        self.attempt(&|| {
            close(&Fence::front(Some(&self.state()), &[self.web], &[self.web]));
            act()
        })
    }

    /// In a process of its own, which has one thread.
    #[expect(unsafe_code, reason = "a fence is for good; only a process of its own can be fenced in a test")]
    fn attempt(&self, act: &dyn Fn() -> io::Result<()>) -> End {
        // SAFETY: glibc makes allocation work in the child; no lock of ours is held by another thread and used there.
        match unsafe { fork() }.expect("a child") {
            ForkResult::Child => {
                // A panic must not unwind into the copy of the test harness, which would end well.
                let code = match catch_unwind(AssertUnwindSafe(act)) {
                    Ok(Ok(())) => 0,
                    Ok(Err(error)) => error.raw_os_error().unwrap_or(OTHER),
                    Err(_) => PANIC,
                };
                // SAFETY: ends the process without running the test harness' own end.
                unsafe { c::_exit(code) }
            }
            ForkResult::Parent { child } => end_of(child),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn end_of(child: Pid) -> End {
    match waitpid(child, None).expect("the child ends") {
        WaitStatus::Exited(_, 0) => End::Done,
        WaitStatus::Exited(_, errno) => End::Error(errno),
        WaitStatus::Signaled(_, Signal::SIGSYS, _) => End::Killed,
        other @ (WaitStatus::Signaled(..)
        | WaitStatus::Stopped(..)
        | WaitStatus::PtraceEvent(..)
        | WaitStatus::PtraceSyscall(_)
        | WaitStatus::Continued(_)
        | WaitStatus::StillAlive) => panic!("{other:?}"),
    }
}

fn close(fence: &Fence) {
    let fenced = fence.enter();
    assert_eq!(fenced.landlock.expect("this kernel has Landlock"), Strength::Full);
    fenced.seccomp.expect("this kernel has seccomp");
}

#[expect(unsafe_code, reason = "no crate wraps calls that nobody should make")]
fn call(number: c::c_long) -> io::Result<()> {
    // SAFETY: no argument is a valid address, handle or flag of any of these calls.
    checked(unsafe { c::syscall(number, -1, -1, -1, -1, -1, -1) })
}

#[expect(unsafe_code, reason = "nix knows only the families that are of use")]
fn socket(family: c::c_int, kind: c::c_int) -> io::Result<()> {
    // SAFETY: plain numbers.
    checked(unsafe { c::syscall(c::SYS_socket, family, kind, 0) })
}

#[expect(unsafe_code, reason = "std starts processes by other calls")]
fn clone(flags: c::c_int) -> io::Result<()> {
    // SAFETY: as fork; a child, should there be one, ends at once.
    let result = unsafe { c::syscall(c::SYS_clone, flags, 0, 0, 0, 0) };
    if result == 0 {
        // SAFETY: ends the child of the child.
        unsafe { c::_exit(0) }
    }
    checked(result)
}

#[expect(unsafe_code, reason = "nix refuses the combination that is to be tried")]
fn map(protection: c::c_int) -> io::Result<()> {
    // SAFETY: a fresh page that nobody uses.
    checked(unsafe { c::syscall(c::SYS_mmap, 0, 4_096, protection, c::MAP_PRIVATE | c::MAP_ANONYMOUS, -1, 0) })
}

#[expect(unsafe_code, reason = "no crate wraps it")]
fn terminal() -> io::Result<()> {
    // SAFETY: there is no such handle, so nothing is read.
    checked(unsafe { c::syscall(c::SYS_ioctl, -1, c::TIOCSTI, 0) })
}

#[expect(unsafe_code, reason = "std would start a process first")]
fn execute(program: &str) -> io::Result<()> {
    let path = CString::new(Path::new(program).as_os_str().as_bytes()).expect("no zero in it");
    let arguments = [path.as_ptr(), std::ptr::null()];
    // SAFETY: both lists end with a null pointer and live until after the call.
    checked(unsafe { c::syscall(c::SYS_execve, path.as_ptr(), arguments.as_ptr(), arguments[1..].as_ptr()) })
}

fn checked(result: c::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn keep(state: &Path) -> io::Result<()> {
    let mut file = fs::File::create(state.join("new"))?;
    file.write_all(b"x")?;
    file.sync_all()?;
    fs::rename(state.join("new"), state.join("ledger"))?;
    fs::File::open(state)?.sync_all()?;
    fs::remove_file(state.join("ledger"))
}

/// A fresh copy in place of a slot would be another file: the store makes one only when a write in place was refused.
fn journal(state: &Path) -> io::Result<()> {
    use causeway::trust::document::Seconds;
    use causeway::trust::floors::{BootId, Floors};
    use causeway::trust::machine::{Keep, Record, Saved};
    use causeway::trust::store::{Folder, Found, Store};
    use std::os::unix::fs::MetadataExt as _;

    let open = || Store::open(Folder::new(state)).map_err(io::Error::other);
    let (mut store, found) = open()?;
    assert_eq!(found, Found::Nothing);
    let keep = Keep::new(Floors::new(Seconds::default()), BootId::default());
    let mut record = Record { state: Saved::Idle { retry: None }, keep };
    let mut files = Vec::new();
    for attempts in 1..=3 {
        record.keep.attempts = attempts;
        store.put(&[&[attempts]]).and_then(|()| store.save(&record)).map_err(io::Error::other)?;
        files.push(fs::metadata(state.join("journal"))?.ino());
    }
    assert_eq!(files, [files[0]; 3], "one file all the while");
    store.sweep();
    assert_eq!(open()?.1, Found::Record(Box::new(record)));
    Ok(())
}

fn ledger(folder: &Path) -> io::Result<()> {
    use causeway::ledger::store::{Disk as _, Folder};

    let mut disk = Folder::new(folder)?;
    disk.create("1.log", b"first")?;
    disk.append("1.log", b", next, torn")?;
    disk.sync("1.log")?;
    disk.truncate("1.log", 11)?;
    assert_eq!(disk.read("1.log", 100)?.as_deref(), Some(&b"first, next"[..]));
    for (offset, bytes) in [(0, b"slot a"), (6, b"slot b"), (0, b"slot c")] {
        disk.write_at("sums", offset, bytes)?;
    }
    assert_eq!(disk.read("sums", 100)?.as_deref(), Some(&b"slot cslot b"[..]));
    disk.rename("1.log", "1.broken")?;
    assert_eq!(disk.list()?.len(), 2);
    disk.remove("1.broken")
}

fn start_thread() -> io::Result<()> {
    thread::Builder::new().spawn(|| ())?.join().map_err(|_| io::ErrorKind::Other.into())
}

fn nft(arguments: &[&str], input: &str) -> io::Result<()> {
    let mut child = Command::new("/usr/sbin/nft")
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().expect("it is piped").write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    if output.status.success() && !output.stdout.is_empty() { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
}

/// As the daemon does, with what it needs to be told of the end.
fn nft_from_the_loop(runtime: &Runtime) -> io::Result<()> {
    let mut command = tokio::process::Command::new("/usr/sbin/nft");
    command.arg("--version").env_clear().kill_on_drop(true).stdout(Stdio::null());
    let status = runtime.block_on(async { command.status().await })?;
    if status.success() { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
}

fn dnsmasq_says(runtime: &Runtime, conf: &str, good: bool) -> io::Result<()> {
    use causeway::kernel::programs::Program;
    let (program, patience) = (Program::DnsmasqTest, Duration::from_secs(20));
    let asked = program.run(Path::new(program.path()), conf.as_bytes().to_vec(), 4_096, patience);
    let output = runtime.block_on(asked).map_err(|_| io::ErrorKind::Other)?;
    let words = if good { "syntax check OK" } else { "bad dhcp-range" };
    if output.success == good && output.message().contains(words) { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
}

/// As `apply::services` does: beside the place, readable for others, renamed.
fn publish(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let (new, place) = (folder.join(".a.new"), folder.join("a"));
    fs::write(&new, "x")?;
    fs::File::open(&new)?.set_permissions(fs::Permissions::from_mode(0o644))?;
    fs::rename(&new, &place)?;
    fs::create_dir(folder.join("flags"))?;
    fs::remove_file(&place)
}

/// A machine without such flash may lack the folder.
fn flash() -> io::Result<()> {
    match fs::read_dir("/sys/bus/mmc/devices") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// For the page's address, and who vouches for it.
fn certified() -> (Arc<ServerConfig>, Arc<RootCertStore>) {
    let key = || KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, key()).expect("an authority");
    let (own, params) = (key(), CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address"));
    let certificate = params.signed_by(&own, &authority).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("a root");
    let own = PrivateKeyDer::try_from(own.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], own);
    (Arc::new(config.expect("a server's config")), Arc::new(roots))
}

/// A page that says that all is well, served beside the test; its port.
fn page(tls: Option<Arc<ServerConfig>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who goes away in between is no fault of the page's.
            let _ = match &tls {
                None => say(stream),
                Some(config) => ServerConnection::new(Arc::clone(config))
                    .map_err(io::Error::other)
                    .and_then(|connection| say(StreamOwned::new(connection, stream))),
            };
        }
    });
    port
}

fn say(mut stream: impl Read + Write) -> io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall is well")?;
    stream.flush()
}

/// Asks it once, by the prober, as the daemon does.
async fn probe(check: Check, roots: Arc<RootCertStore>) -> io::Result<()> {
    let text = include_str!("../configs/examples/two-lines.toml");
    let mut gateway = causeway::config::parse("two-lines.toml", text).expect("an example is valid");
    gateway.uplinks[0].device = LinkName::new("lo").expect("a name");
    gateway.uplinks[0].targets = vec![Target { family: Family::V4, check }];
    let mut prober = Prober::new(Arc::new(gateway), clock::now, Roots::Given(roots));
    let probe = ProbeId { uplink: UplinkId(0), family: Family::V4, target: TargetId(0), sequence: 1 };
    let Event::ProbeSent { .. } = prober.send(ProbeRequest { probe, cookie: Cookie([0; 16]), patience: PATIENCE })
    else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    let answered = async {
        loop {
            let mut events = Vec::new();
            prober.next(&mut events).await;
            let answer = events
                .iter()
                .find_map(|event| if let Event::ProbeAnswered { answer, .. } = event { Some(*answer) } else { None });
            if let Some(answer) = answer {
                return answer;
            }
        }
    };
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Answer::Reply) => Ok(()),
        Ok(answer) => Err(io::Error::other(format!("{answer:?}"))),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Within one machine, which may be laden.
const PATIENCE: Duration = Duration::from_secs(10);

fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    let (mut server, _) = listener.accept()?;
    client.write_all(b"x")?;
    server.read_exact(&mut [0])
}
