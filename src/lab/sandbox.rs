//! Where the lab lives: namespaces of its own (user when not root, process, mount, network), entered by starting the
//! same command again inside. Nothing outside is touched, and when the outer process ends, however it ends, the kernel
//! takes all that is inside with it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid};

use super::error::{Doing as _, LabError};
use super::netns::Namespace;

/// Set for the process inside.
const MARK: &str = "CAUSEWAY_LAB";
const INSIDE: &str = "inside";

/// Runs `work` inside: at once if this process is inside already, else by starting its command line again there.
/// To be called before any other thread exists. Returns the exit code.
pub fn inside(work: impl FnOnce() -> u8) -> Result<u8, LabError> {
    if std::env::var_os(MARK).is_some_and(|value| value == INSIDE) {
        settle()?;
        return Ok(work());
    }
    leave_host()?;
    let program = std::env::current_exe().doing(|| "find this program".to_owned())?;
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    again.arg0(arguments.next().unwrap_or_else(|| "causeway".into())).args(arguments).env(MARK, INSIDE);
    let status = again.status().doing(|| "start the lab inside its namespaces".to_owned())?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED))
}

/// The inner process ended by a signal.
const FAILED: u8 = 70;

/// New namespaces for the children of this process; a user namespace only when there is no other way.
fn leave_host() -> Result<(), LabError> {
    let rest = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    if geteuid().is_root() && unshare(rest).is_ok() {
        return Ok(());
    }
    let (user, group) = (geteuid(), getegid());
    unshare(rest | CloneFlags::CLONE_NEWUSER).map_err(|errno| LabError::Refused { source: errno.into() })?;
    for (file, text) in
        [("setgroups", "deny".to_owned()), ("uid_map", format!("0 {user} 1")), ("gid_map", format!("0 {group} 1"))]
    {
        std::fs::write(format!("/proc/self/{file}"), text).map_err(|source| LabError::Refused { source })?;
    }
    Ok(())
}

/// Private mounts: a /proc of the new process namespace, and a /run of our own for sockets and state.
fn settle() -> Result<(), LabError> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).doing(|| "tie the lab to its parent".to_owned())?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).doing(|| "make mounts private".to_owned())?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).doing(|| "mount /proc".to_owned())?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=0755,size=64m"))
        .doing(|| "mount a /run of the lab's own".to_owned())?;
    for folder in [HOSTS, "/run/lock"] {
        std::fs::create_dir_all(folder).doing(|| format!("make {folder}"))?;
    }
    Ok(())
}

/// Where `ip netns` looks for names.
const HOSTS: &str = "/run/netns";

/// A host's name in the lab's own mounts, for [`enter_host`] and `ip netns`; withdrawn when dropped.
#[derive(Debug)]
pub struct Published {
    place: String,
}

pub fn publish(host: &Namespace) -> Result<Published, LabError> {
    let place = format!("{HOSTS}/{}", host.name());
    std::fs::write(&place, "").doing(|| format!("make {place}"))?;
    let (path, none) = (host.path(), None::<&str>);
    mount(Some(path.as_str()), place.as_str(), none, MsFlags::MS_BIND, none).doing(|| format!("name {place}"))?;
    Ok(Published { place })
}

impl Drop for Published {
    fn drop(&mut self) {
        // What cannot be taken away goes with the lab's mounts.
        let _ = umount2(self.place.as_str(), MntFlags::MNT_DETACH);
        let _ = std::fs::remove_file(&self.place);
    }
}

/// Becomes a shell (or `command`) on `host` of the lab that runs now; returns only if that fails.
pub fn enter_host(host: &str, command: &[String]) -> LabError {
    let Some(lab) = running() else {
        return LabError::Other("no lab is running; start one with `causeway lab up` in another terminal".to_owned());
    };
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return LabError::Other(format!("`{host}` is not a host of the lab"));
    }
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
    let mut enter = Command::new("nsenter");
    enter.args(["--target", &lab.to_string(), "--mount", "--pid", "--net"]);
    if !geteuid().is_root() {
        enter.args(["--user", "--preserve-credentials"]);
    }
    enter.args(["ip", "netns", "exec", host]);
    if command.is_empty() {
        enter.arg(shell)
    } else {
        enter.args(command)
    };
    let source = enter.exec();
    LabError::Io { what: format!("enter {host}"), source }
}

/// The newest lab of this user: process 1 of a process namespace, marked by us. Its files in /proc say so, so nothing
/// has to be written down that could be left behind.
fn running() -> Option<u32> {
    let marked = format!("{MARK}={INSIDE}");
    let entries = std::fs::read_dir("/proc").ok()?;
    let processes = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let ours = processes.filter(|process| {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == marked.as_bytes()) && is_first_in_namespace(*process)
    });
    ours.max()
}

fn is_first_in_namespace(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.is_some_and(|ids| ids.split_whitespace().count() > 1 && ids.split_whitespace().next_back() == Some("1"))
}

/// Whether this process may make a lab: tests skip where not even a user namespace is allowed.
pub fn allowed() -> bool {
    std::thread::spawn(|| match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => true,
        Err(Errno::EPERM) => false,
        Err(_) => false,
    })
    .join()
    .unwrap_or(false)
}
