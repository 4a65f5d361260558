//! The process fences itself, so that tests and foreign systems have it too, not only units of ours: Landlock (files, TCP
//! ports), then seccomp (system calls). It only ever gets narrower, and holds for children.
//!
//! To be closed before the first byte from outside. Landlock holds for the calling thread and those it starts, so files come
//! before threads; seccomp holds for all, so calls come last. Start reading at [`Fence::enter`]; `calls` holds the lists.

mod calls;

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use seccompiler::BpfProgram;

/// The newest we know of; what the kernel does not have is left out, and reported.
const NEWEST: ABI = ABI::V6;

/// Read by libraries of ours and of nft: names, time zone, certificates, addresses of resolvers, random numbers.
const READ_BY_LIBRARIES: [&str; 15] = [
    "/dev/null",
    "/dev/urandom",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/ssl",
    "/run/systemd/resolve",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
];

/// Also read by the daemon: switches and devices, flash, leases, its own figures; and by nft: names of protocols, services, marks
/// and realms, without which it lists rules otherwise than they were loaded.
const READ_BY_RUN: [&str; 13] = [
    "/etc/connlabel.conf",
    "/etc/iproute2",
    "/etc/protocols",
    "/etc/services",
    "/proc/meminfo",
    "/proc/self",
    "/proc/sys/kernel/random",
    "/proc/sys/net",
    "/run/systemd/netif",
    "/sys/bus/mmc/devices",
    "/sys/class/net",
    "/sys/devices",
    "/usr/share/iproute2",
];

/// Its own figures: memory, handles.
const READ_BY_FRONT: [&str; 1] = ["/proc/self"];

/// What nft is made of.
const LIBRARIES: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];
const NFT: &str = "/usr/sbin/nft";
/// Asked about its config before that is in force (`--test`), nothing else.
const DNSMASQ: &str = "/usr/sbin/dnsmasq";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A refused call is an error and a line in the kernel's log: forwarding first.
    Run,
    /// A refused call ends the process: nothing it does is worth going on after that.
    Front,
}

/// What this process may reach. The rest of the world is closed to it.
#[derive(Clone, Debug)]
pub struct Fence {
    role: Role,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    execute: Vec<PathBuf>,
    /// TCP ports to bind and to connect to; `None`: any (probe targets change with the config).
    ports: Option<Ports>,
}

#[derive(Clone, Debug)]
struct Ports {
    bind: Vec<u16>,
    connect: Vec<u16>,
}

/// What is in force.
#[derive(Debug)]
pub struct Fenced {
    pub landlock: Result<Strength, FenceError>,
    /// Number of system calls that are left.
    pub seccomp: Result<usize, FenceError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    Full,
    /// An older kernel: files are fenced, ports or signals may not be.
    Partial,
}

#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    #[error("this kernel has no Landlock, or it is not switched on")]
    NoLandlock,
    #[error("could not fence files and ports")]
    Landlock(#[source] RulesetError),
    #[error("{count} threads run already; Landlock would hold for one of them only")]
    Threads { count: usize },
    #[error("could not make the list of system calls")]
    Rules(#[source] seccompiler::BackendError),
    #[error("the kernel refused the list of system calls")]
    Seccomp(#[source] io::Error),
}

impl Fence {
    /// For the daemon: its config is read, its state and the control socket's folder are written, nft and dnsmasq's check
    /// are executed.
    pub fn run(config: &Path, state: &Path, sockets: &Path) -> Self {
        Self {
            role: Role::Run,
            // The folder, since a new config comes by renaming.
            read: paths(&READ_BY_RUN).chain([parent(config)]).collect(),
            write: vec![state.to_owned(), sockets.to_owned()],
            execute: paths(&LIBRARIES).chain(paths(&[NFT, DNSMASQ])).collect(),
            ports: None,
        }
    }

    /// The daemon also writes files for services there; a folder must exist when the fence is closed.
    #[must_use]
    pub fn and_write<'a>(mut self, folders: impl IntoIterator<Item = &'a Path>) -> Self {
        self.write.extend(folders.into_iter().map(Path::to_owned));
        self
    }

    /// For what speaks to people and servers: `state` is its own folder, `bind` its web ports, `connect` head office's.
    pub fn front(state: Option<&Path>, bind: &[u16], connect: &[u16]) -> Self {
        Self {
            role: Role::Front,
            read: paths(&READ_BY_FRONT).collect(),
            write: state.map(Path::to_owned).into_iter().collect(),
            execute: Vec::new(),
            ports: Some(Ports { bind: bind.to_vec(), connect: connect.to_vec() }),
        }
    }

    /// For head office's server, files and ports: the unit has the calls. It reads its keys and settings, writes the
    /// store, and connects to nobody.
    #[cfg(feature = "office")]
    pub fn office(read: &[&Path], store: &Path, bind: &[u16]) -> Self {
        Self {
            role: Role::Front,
            read: read.iter().map(|path| (*path).to_owned()).collect(),
            write: vec![store.to_owned()],
            execute: Vec::new(),
            ports: Some(Ports { bind: bind.to_vec(), connect: Vec::new() }),
        }
    }

    /// Also lets it read this file or folder.
    #[must_use]
    pub fn reads(mut self, path: &Path) -> Self {
        self.read.push(path.to_owned());
        self
    }

    /// Closes it, for good. One half can fail and the other hold; whether to go on then is the caller's decision: `front`
    /// does not, the daemon says so and forwards.
    pub fn enter(&self) -> Fenced {
        // Landlock first: its system calls are not on the list.
        Fenced { landlock: self.enter_files(), seccomp: self.enter_calls() }
    }

    /// The first half alone, files and ports: to be called before any other thread starts, the log's included.
    pub fn enter_files(&self) -> Result<Strength, FenceError> {
        // Only this thread and those it starts are fenced. Without /proc nobody counts, and the calls decide.
        let count = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        if count > 1 {
            return Err(FenceError::Threads { count });
        }
        let status = self.rules().and_then(RulesetCreated::restrict_self).map_err(FenceError::Landlock)?;
        match status.ruleset {
            RulesetStatus::FullyEnforced => Ok(Strength::Full),
            RulesetStatus::PartiallyEnforced => Ok(Strength::Partial),
            RulesetStatus::NotEnforced => Err(FenceError::NoLandlock),
        }
    }

    /// The second half alone, system calls: to be called when all listens, and after the first half. Holds for all threads.
    pub fn enter_calls(&self) -> Result<usize, FenceError> {
        // The kernel asks for this first. Landlock has set it, unless there is none.
        nix::sys::prctl::set_no_new_privs().map_err(|errno| FenceError::Seccomp(errno.into()))?;
        for (program, logged) in &calls::filters(self.role).map_err(FenceError::Rules)? {
            install(program, *logged)?;
        }
        Ok(calls::allowed(self.role).len())
    }

    fn rules(&self) -> Result<RulesetCreated, RulesetError> {
        // No `ReadDir`-only or `IoctlDev` subtleties: files are read, or read and written, or read and executed.
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let write = (AccessFs::from_all(NEWEST) & !AccessFs::Execute) & !(AccessFs::MakeBlock | AccessFs::MakeChar);
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            // No signal to a process outside, no abstract socket of one.
            .scope(Scope::from_all(NEWEST))?;
        let ruleset = match self.ports {
            Some(_) => ruleset.handle_access(AccessNet::from_all(NEWEST))?,
            None => ruleset,
        };
        let mut rules = ruleset
            .create()?
            .add_rules(path_beneath_rules(READ_BY_LIBRARIES, read))?
            .add_rules(path_beneath_rules(&self.read, read))?
            .add_rules(path_beneath_rules(LIBRARIES, read))?
            .add_rules(path_beneath_rules(["/dev/null"], AccessFs::WriteFile))?
            .add_rules(path_beneath_rules(&self.write, write))?
            .add_rules(path_beneath_rules(&self.execute, read | AccessFs::Execute))?;
        if let Some(ports) = &self.ports {
            for port in &ports.bind {
                rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
            }
            for port in &ports.connect {
                rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
            }
        }
        Ok(rules)
    }
}

impl Fenced {
    /// Both halves are in force.
    pub fn is_whole(&self) -> bool {
        self.landlock.is_ok() && self.seccomp.is_ok()
    }
}

/// For all threads there are. `logged`: with a line in the kernel's log for each refusal.
#[expect(unsafe_code, reason = "seccompiler installs filters without the flag that logs what they refuse")]
fn install(program: &BpfProgram, logged: bool) -> Result<(), FenceError> {
    use nix::libc::{
        SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_SET_MODE_FILTER, SYS_seccomp, sock_filter,
        sock_fprog, syscall,
    };
    let mut code: Vec<sock_filter> =
        program.iter().map(|step| sock_filter { code: step.code, jt: step.jt, jf: step.jf, k: step.k }).collect();
    let len = u16::try_from(code.len()).expect("seccompiler refuses programs of more than 4,096 steps");
    let program = sock_fprog { len, filter: code.as_mut_ptr() };
    let log = if logged { SECCOMP_FILTER_FLAG_LOG } else { 0 };
    let flags = SECCOMP_FILTER_FLAG_TSYNC | log;
    // SAFETY: the kernel copies `len` steps from `filter`, both of `code`, which lives until after the call.
    let result = unsafe { syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    match result {
        0 => Ok(()),
        -1 => Err(FenceError::Seccomp(io::Error::last_os_error())),
        thread => Err(FenceError::Seccomp(io::Error::other(format!("thread {thread} has a filter of its own")))),
    }
}

fn paths(names: &'static [&'static str]) -> impl Iterator<Item = PathBuf> {
    names.iter().map(PathBuf::from)
}

fn parent(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}
