//! Plays the units that wait for the daemon's flags: removes a flag, then does the one thing it asks for. dnsmasq is the
//! real one; whoever asks for leases on uplinks is given by the caller.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::error::LabError;
use super::netns::Namespace;
use crate::apply::services::Paths;

/// systemd acts on a flag within a few milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Stops when dropped, and dnsmasq with it.
#[derive(Debug)]
pub struct Attendant {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), LabError>>>,
}

impl Attendant {
    /// `lease` is called with the device of each `reconfigure-…`, `reload` when networkd shall read its files.
    pub fn start(
        host: &Namespace,
        paths: &Paths,
        lease: impl Fn(&str) + Send + 'static,
        reload: impl Fn() + Send + 'static,
    ) -> Result<Self, LabError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (watched, paths) = (Arc::clone(&stop), paths.clone());
        let thread = host.spawn("attendant", move || {
            let mut server = Server::default();
            while !watched.load(Ordering::Relaxed) {
                for flag in flags(&paths.flags) {
                    // First the flag, then the act: whoever raises it meanwhile is heard again.
                    if std::fs::remove_file(paths.flags.join(&flag)).is_err() {
                        continue;
                    }
                    match flag.as_str() {
                        "dnsmasq-restart" => server.restart(&paths),
                        "dnsmasq-reload" => server.signal(Signal::SIGHUP),
                        "networkd-reload" => reload(),
                        other => other.strip_prefix("reconfigure-").into_iter().for_each(&lease),
                    }
                }
                std::thread::sleep(LOOK_EVERY);
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic of its own was printed
        }
    }
}

fn flags(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

#[derive(Debug, Default)]
struct Server {
    child: Option<Child>,
}

impl Server {
    fn restart(&mut self, paths: &Paths) {
        self.end();
        let conf = paths.dnsmasq.join("dnsmasq.conf");
        if !conf.exists() {
            return;
        }
        let log = std::fs::File::options().create(true).append(true).open(paths.dnsmasq.with_extension("log"));
        let mut command = Command::new("/usr/sbin/dnsmasq");
        // In the foreground and as whoever we are: in a user namespace there is no other user.
        command.arg("--no-daemon").arg(format!("--conf-file={}", conf.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(log.map_or_else(|_| Stdio::null(), Stdio::from));
        self.child = command.spawn().ok();
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()) {
            let _ = kill(Pid::from_raw(id), signal); // it may have ended
        }
    }

    fn end(&mut self) {
        self.signal(Signal::SIGTERM);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
