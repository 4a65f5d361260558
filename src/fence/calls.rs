//! The system calls that are left to each process, and the arguments that are refused where a call is many calls in one.

use std::collections::BTreeMap;

use nix::errno::Errno;
use nix::libc as c;
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::Role;

type Call = c::c_long;

/// Both processes. What the loop is made of (epoll, its wake-up, the pair that signals come through) is there before the fence.
const BOTH: [Call; 49] = [
    // memory
    c::SYS_brk,
    c::SYS_madvise,
    c::SYS_mmap,
    c::SYS_mprotect,
    c::SYS_mremap,
    c::SYS_munmap,
    // files
    c::SYS_close,
    c::SYS_fcntl,
    c::SYS_fstat,
    c::SYS_getdents64,
    c::SYS_ioctl,
    c::SYS_lseek,
    c::SYS_newfstatat,
    c::SYS_openat,
    c::SYS_read,
    c::SYS_write,
    // sockets
    c::SYS_accept4,
    c::SYS_bind,
    c::SYS_connect,
    c::SYS_getpeername,
    c::SYS_getsockname,
    c::SYS_getsockopt,
    c::SYS_recvfrom,
    c::SYS_recvmsg,
    c::SYS_sendmsg,
    c::SYS_sendto,
    c::SYS_setsockopt,
    c::SYS_socket,
    // HTTP and TLS gather what they send, and end it: pages that are probed, and front's
    c::SYS_shutdown,
    c::SYS_writev,
    // waiting
    c::SYS_epoll_ctl,
    c::SYS_futex,
    // threads, signals, the end
    c::SYS_clone,
    c::SYS_exit,
    c::SYS_exit_group,
    c::SYS_prctl,
    c::SYS_rseq,
    c::SYS_rt_sigaction,
    c::SYS_rt_sigprocmask,
    c::SYS_rt_sigreturn,
    c::SYS_sched_yield,
    c::SYS_set_robust_list,
    c::SYS_sigaltstack,
    // questions of libraries: who am I, what time is it, how many processors
    c::SYS_clock_gettime,
    c::SYS_getpid,
    c::SYS_getrusage,
    c::SYS_gettid,
    c::SYS_sched_getaffinity,
    // chance
    c::SYS_getrandom,
];

/// The daemon, and nft and dnsmasq's check, which inherit what is left of their parent.
const RUN: [Call; 18] = [
    // nft: its start and its end
    c::SYS_chdir,
    c::SYS_execve,
    c::SYS_geteuid,
    c::SYS_getuid,
    c::SYS_kill,
    c::SYS_pidfd_open,
    c::SYS_pipe2,
    c::SYS_pread64,
    c::SYS_prlimit64,
    c::SYS_pselect6,
    c::SYS_set_tid_address,
    c::SYS_wait4,
    // journal, ledger, last good config, files that services read
    c::SYS_fchmod,
    c::SYS_fdatasync,
    c::SYS_fsync,
    c::SYS_ftruncate,
    // its alarm
    c::SYS_timerfd_create,
    c::SYS_timerfd_settime,
];

/// What speaks to people and servers.
const FRONT: [Call; 4] = [
    // its web port
    c::SYS_listen,
    // how full the disk is
    c::SYS_statfs,
    // the C library looks up names with these
    c::SYS_sendmmsg,
    c::SYS_uname,
];

/// Libraries of x86-64 use the older forms of some calls; ARM64 has only the newer ones.
#[cfg(all(not(target_env = "musl"), target_arch = "x86_64"))]
const FORM_BOTH: [Call; 2] = [c::SYS_epoll_wait, c::SYS_poll];
#[cfg(all(target_env = "musl", target_arch = "x86_64"))]
const FORM_BOTH: [Call; 1] = [c::SYS_poll];
#[cfg(target_arch = "aarch64")]
const FORM_BOTH: [Call; 2] = [c::SYS_epoll_pwait, c::SYS_ppoll];

/// Of these, what only the daemon and nft use.
#[cfg(target_arch = "x86_64")]
const FORM_RUN: [Call; 7] =
    [c::SYS_access, c::SYS_arch_prctl, c::SYS_dup2, c::SYS_mkdir, c::SYS_readlink, c::SYS_rename, c::SYS_unlink];
#[cfg(target_arch = "aarch64")]
const FORM_RUN: [Call; 6] =
    [c::SYS_dup3, c::SYS_faccessat, c::SYS_mkdirat, c::SYS_readlinkat, c::SYS_renameat, c::SYS_unlinkat];

/// What the image's C library, musl, and the GNU one ask for differently: waiting, looking at files, ending by `abort`.
#[cfg(all(target_env = "musl", target_arch = "x86_64"))]
const FORM_LIBRARY: [Call; 5] = [c::SYS_epoll_pwait, c::SYS_lstat, c::SYS_open, c::SYS_stat, c::SYS_tkill];
#[cfg(all(target_env = "musl", target_arch = "aarch64"))]
const FORM_LIBRARY: [Call; 1] = [c::SYS_tkill];
#[cfg(not(target_env = "musl"))]
const FORM_LIBRARY: [Call; 2] = [c::SYS_statx, c::SYS_tgkill];

/// musl looks names up by files that it reads in parts; the daemon asks for names itself.
#[cfg(target_env = "musl")]
const FORM_FRONT: [Call; 1] = [c::SYS_readv];
#[cfg(not(target_env = "musl"))]
const FORM_FRONT: [Call; 0] = [];

/// Answered as calls that this kernel lacks, and not logged: whoever asks does without, at each start of nft, and a log that
/// always has a line hides the one that matters. The flags of `clone3` are in memory, where a filter cannot see them, and
/// libraries use `clone` then.
const HIDDEN: [Call; 1] = [c::SYS_clone3];
/// dnsmasq's check sets a mask for files that it does not write. The loader of ARM64 asks for the kernel's age before it uses SVE.
#[cfg(target_arch = "x86_64")]
const HIDDEN_RUN: [Call; 1] = [c::SYS_umask];
#[cfg(target_arch = "aarch64")]
const HIDDEN_RUN: [Call; 2] = [c::SYS_umask, c::SYS_uname];

/// What a library asks first, of dnsmasq: which capabilities the kernel knows.
const HIDDEN_QUESTION: u64 = c::PR_CAPBSET_READ as u64;

/// The protection that ARM64's loader wants for a program's code, beyond what the kernel gave it: that it is entered at marked
/// places only. From memory that was written a moment ago it cannot be told, so it is refused.
#[cfg(target_arch = "aarch64")]
const HIDDEN_PROTECTION: Option<u64> = {
    const PROT_BTI: c::c_int = 0x10; // asm/mman.h; the libc crate has it for one C library only
    Some((c::PROT_READ | c::PROT_EXEC | PROT_BTI) as u64)
};
#[cfg(target_arch = "x86_64")]
const HIDDEN_PROTECTION: Option<u64> = None;

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

pub(super) fn allowed(role: Role) -> Vec<Call> {
    let own: [&[Call]; 2] = match role {
        Role::Run => [&RUN, &FORM_RUN],
        Role::Front => [&FRONT, &FORM_FRONT],
    };
    [&BOTH as &[Call], &FORM_BOTH, &FORM_LIBRARY].into_iter().chain(own).flatten().copied().collect()
}

/// The filters of a role, in the order in which they go in. Each is asked at each call, and the kernel takes the strictest
/// answer. With each, whether what it refuses is logged.
pub(super) fn filters(role: Role) -> Result<[(BpfProgram, bool); 3], BackendError> {
    let refuse = |errno: Errno| SeccompAction::Errno(errno as u32);
    let otherwise = match role {
        Role::Run => refuse(Errno::EPERM),
        Role::Front => SeccompAction::KillProcess,
    };
    // The last filter that goes in has the last word among errors, so the others leave what is hidden to the first.
    let by_number = allowed(role).into_iter().chain(hidden_calls(role)).map(|call| (call, Vec::new())).collect();
    Ok([
        (filter(hidden(role)?, SeccompAction::Allow, refuse(Errno::ENOSYS))?, false),
        // An error also for `front`: libraries try a netlink socket or a protection, and do without.
        (filter(arguments(role)?, SeccompAction::Allow, refuse(Errno::EPERM))?, true),
        // Last, for it takes `seccomp` away.
        (filter(by_number, otherwise, SeccompAction::Allow)?, true),
    ])
}

fn filter(
    rules: BTreeMap<Call, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    named: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, otherwise, named, ARCH)?.try_into()
}

fn hidden_calls(role: Role) -> Vec<Call> {
    let own: &[Call] = match role {
        Role::Run => &HIDDEN_RUN,
        Role::Front => &[],
    };
    HIDDEN.into_iter().chain(own.iter().copied()).collect()
}

fn hidden(role: Role) -> Result<BTreeMap<Call, Vec<SeccompRule>>, BackendError> {
    let mut rules: BTreeMap<Call, Vec<SeccompRule>> =
        hidden_calls(role).into_iter().map(|call| (call, Vec::new())).collect();
    if let Some(protection) = HIDDEN_PROTECTION {
        rules.insert(c::SYS_mprotect, vec![rule(&[(2, Dword, Eq, protection)])?]);
    }
    match role {
        Role::Run => {
            rules.insert(c::SYS_prctl, vec![rule(&[(0, Dword, Eq, HIDDEN_QUESTION)])?]);
        }
        Role::Front => {}
    }
    Ok(rules)
}

/// Arguments that are refused. Conditions of one rule hold together; one rule is enough.
fn arguments(role: Role) -> Result<BTreeMap<Call, Vec<SeccompRule>>, BackendError> {
    let writable = number(c::PROT_WRITE);
    let executable = number(c::PROT_EXEC);
    let anonymous = number(c::MAP_ANONYMOUS);
    let raw = number(c::SOCK_RAW);
    let kind = 0xf; // of a socket, without SOCK_NONBLOCK and SOCK_CLOEXEC
    let thread = number(c::CLONE_THREAD);

    let mut sockets = vec![none_of(0, families(role))?];
    let mut questions = vec![number(c::PR_SET_NAME), number(c::PR_SET_VMA)];
    let mut code = vec![(2, Dword, MaskedEq(executable), executable)];
    code.extend(HIDDEN_PROTECTION.map(|protection| (2, Dword, Ne, protection)));
    let mut clones = Vec::new();
    for space in NAMESPACES {
        clones.push(rule(&[(0, Qword, MaskedEq(number(space)), number(space))])?);
    }
    match role {
        Role::Run => questions.push(HIDDEN_QUESTION),
        Role::Front => {
            sockets.push(rule(&[(1, Dword, MaskedEq(kind), raw)])?);
            // A thread, never a process.
            clones.push(rule(&[(0, Qword, MaskedEq(thread), 0)])?);
        }
    }
    Ok(BTreeMap::from([
        (c::SYS_socket, sockets),
        (c::SYS_clone, clones),
        (
            c::SYS_mmap,
            vec![
                rule(&[(2, Dword, MaskedEq(writable | executable), writable | executable)])?,
                // Code comes from files only.
                rule(&[(2, Dword, MaskedEq(executable), executable), (3, Dword, MaskedEq(anonymous), anonymous)])?,
            ],
        ),
        (c::SYS_mprotect, vec![rule(&code)?]),
        (c::SYS_prctl, vec![none_of(0, &questions)?]),
        (c::SYS_ioctl, vec![none_of(1, &REQUESTS)?]),
    ]))
}

/// UNIX: control socket, journal. INET: probes, people, servers. NETLINK: routes, rules, filter, tracking. PACKET: the nudge.
fn families(role: Role) -> &'static [u64] {
    const UNIX: u64 = c::AF_UNIX as u64;
    const INET: u64 = c::AF_INET as u64;
    const INET6: u64 = c::AF_INET6 as u64;
    const NETLINK: u64 = c::AF_NETLINK as u64;
    const PACKET: u64 = c::AF_PACKET as u64;
    match role {
        Role::Run => &[UNIX, INET, INET6, NETLINK, PACKET],
        Role::Front => &[UNIX, INET, INET6],
    }
}

/// A new one opens parts of the kernel that are not meant for us.
const NAMESPACES: [c::c_int; 8] = [
    c::CLONE_NEWCGROUP,
    c::CLONE_NEWIPC,
    c::CLONE_NEWNET,
    c::CLONE_NEWNS,
    c::CLONE_NEWPID,
    c::CLONE_NEWUSER,
    c::CLONE_NEWUTS,
    c::CLONE_PTRACE,
];

/// Not to wait, to close on execve, is it a terminal, names and numbers of devices.
#[cfg_attr(not(target_env = "musl"), expect(clippy::unnecessary_cast, reason = "musl has them as `c_int`"))]
const REQUESTS: [u64; 6] = [
    c::FIONBIO as u64,
    c::FIOCLEX as u64,
    c::FIONREAD as u64,
    c::TCGETS as u64,
    c::SIOCGIFINDEX as u64,
    c::SIOCGIFNAME as u64,
];

fn none_of(argument: u8, values: &[u64]) -> Result<SeccompRule, BackendError> {
    let conditions: Vec<Condition> = values.iter().map(|value| (argument, Dword, Ne, *value)).collect();
    rule(&conditions)
}

/// Which argument, its width, the comparison, the value.
type Condition = (u8, SeccompCmpArgLen, SeccompCmpOp, u64);

fn rule(conditions: &[Condition]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions.iter().cloned();
    let conditions: Result<Vec<_>, _> =
        conditions.map(|(n, width, op, value)| SeccompCondition::new(n, width, op, value)).collect();
    SeccompRule::new(conditions?)
}

/// Flags of the C library are signed.
fn number(flag: c::c_int) -> u64 {
    u64::from(flag.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn lists_are_short_and_name_nothing_twice() {
        for (role, most) in [(Role::Run, 80), (Role::Front, 60)] {
            let calls = allowed(role);
            let unique: BTreeSet<Call> = calls.iter().copied().collect();
            assert_eq!(unique.len(), calls.len(), "{role:?} names a call twice");
            assert!(calls.len() <= most, "{role:?}: {} calls", calls.len());
        }
    }

    #[test]
    fn what_changes_the_system_is_on_no_list() {
        for role in [Role::Run, Role::Front] {
            for call in [c::SYS_ptrace, c::SYS_mount, c::SYS_bpf, c::SYS_io_uring_setup, c::SYS_setuid, c::SYS_reboot] {
                assert!(!allowed(role).contains(&call), "{role:?} allows {call}");
            }
        }
        assert!(!allowed(Role::Run).contains(&c::SYS_listen) && !allowed(Role::Front).contains(&c::SYS_execve));
    }
}
