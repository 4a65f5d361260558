//! One network namespace, held by a file handle: when the holder dies, so does the namespace with all that is in it.
//! Work inside is done on threads that entered it; commands started from there inherit it.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, setns, unshare};

use super::error::{Doing as _, LabError};

/// A host of the lab. Clones name the same one.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: Arc<str>,
    handle: Arc<File>,
}

impl Namespace {
    pub fn new(name: &str) -> Result<Self, LabError> {
        let handle = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    unshare(CloneFlags::CLONE_NEWNET).doing(|| format!("make network namespace {name}"))?;
                    File::open("/proc/thread-self/ns/net").doing(|| format!("open network namespace {name}"))
                })
                .join()
                .expect("the thread only makes two calls")
        })?;
        Ok(Self { name: name.into(), handle: Arc::new(handle) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A path that names the namespace as long as this process lives; `ip … netns PATH` and `nsenter` take it.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }

    /// Runs `work` inside and waits for it.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.join_thread()?;
                    Ok(work())
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a thread inside. Threads that it starts are inside, too.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T, LabError>>, LabError> {
        let here = self.clone();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                here.join_thread()?;
                Ok(work())
            })
            .doing(|| format!("start thread {name}"))
    }

    /// Starts a process inside.
    pub fn start(&self, command: &mut Command) -> Result<Child, LabError> {
        let what = format!("start {:?} in {}", command.get_program(), self.name);
        self.enter(|| command.spawn())?.doing(|| what)
    }

    /// Runs a process inside to its end, with `input` on its standard input.
    pub fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<Output, LabError> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.start(&mut command)?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(input.as_bytes()).doing(|| format!("write to {program}"))?;
        drop(stdin);
        child.wait_with_output().doing(|| format!("wait for {program}"))
    }

    /// As [`Self::run`], and a failure is an error that says what was said.
    pub fn must(&self, program: &str, arguments: &[&str], input: &str) -> Result<String, LabError> {
        let output = self.run(program, arguments, input)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(LabError::Command {
            command: format!("{program} {}", arguments.join(" ")),
            place: self.name.to_string(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Lines for `ip -batch`: one process for the whole set-up of a host.
    pub fn ip(&self, script: &str) -> Result<(), LabError> {
        self.must("ip", &["-batch", "-"], script).map(drop)
    }

    pub fn nft(&self, script: &str) -> Result<(), LabError> {
        self.must("nft", &["-f", "-"], script).map(drop)
    }

    /// Writes `(key, value)` below `/proc/sys/net`, with slashes: interface names may contain dots.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<(), LabError> {
        self.enter(|| {
            settings.iter().try_for_each(|(key, value)| {
                std::fs::write(format!("/proc/sys/net/{key}"), value)
                    .doing(|| format!("set net/{key} to {value} in {}", self.name))
            })
        })?
    }

    fn join_thread(&self) -> Result<(), LabError> {
        setns(&*self.handle, CloneFlags::CLONE_NEWNET).doing(|| format!("enter network namespace {}", self.name))
    }
}
