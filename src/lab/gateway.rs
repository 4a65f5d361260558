//! The gateway of the lab: the config it gets, the real daemon as a child process, and what it is asked. Everything
//! the lab knows of the daemon's command line and of its config's words stands here.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::addresses as plan;
use super::clock;
use super::error::{Doing as _, LabError};
use super::netns::Namespace;
use super::topology::{device_name, uplink_name};
use crate::config::model::Family;

/// What an uplink's config says; the rest follows from the address plan.
#[derive(Clone, Debug)]
pub struct UplinkConfig {
    pub medium: String,
    pub ipv4: bool,
    pub ipv6: bool,
    /// More lines of its table, as they are.
    pub more: String,
}

impl Default for UplinkConfig {
    fn default() -> Self {
        Self { medium: "fibre".to_owned(), ipv4: true, ipv6: true, more: String::new() }
    }
}

#[derive(Clone, Debug, Default)]
pub struct GatewayConfig {
    pub uplinks: Vec<UplinkConfig>,
    /// The value of `paths`, as it is; without it, one path over all uplinks in their order.
    pub paths: Option<String>,
    /// The value of `probes.targets`, as it is; without it, the first three well-known hosts of the plan, by ICMP.
    pub targets: Option<String>,
}

impl GatewayConfig {
    pub fn text(&self) -> String {
        let mut text = "[site]\nname = \"Lab branch\"\nowner = \"The lab\"\n".to_owned();
        let mut line = |what: std::fmt::Arguments<'_>| text.write_fmt(what).expect("a String takes all");
        // Top-level values first: what follows a table's head belongs to the table.
        let targets = self.targets.clone().unwrap_or_else(usual_targets);
        line(format_args!("\n[probes]\ntargets = {targets}\n"));
        for (index, uplink) in self.uplinks.iter().enumerate() {
            let (name, device) = (uplink_name(index), device_name(index));
            line(format_args!("\n[uplinks.{name}]\ndevice = \"{device}\"\nmedium = \"{}\"\n", uplink.medium));
            line(format_args!("ipv4 = \"{}\"\n", if uplink.ipv4 { "dhcp" } else { "off" }));
            line(format_args!("ipv6 = \"{}\"\n", if uplink.ipv6 { "nat66" } else { "off" }));
            line(format_args!("provider = \"Provider {}\"\n{}\n", name.to_uppercase(), uplink.more.trim()));
        }
        let (net, net6) = (plan::LAN_V4, plan::LAN_V6);
        line(format_args!("\n[networks.office]\nports = [\"lan0\"]\nnet = \"{net}\"\nnet6 = \"{net6}\"\n"));
        line(format_args!(
            "\n[firewall]\nrules = [\n  {{ from = [\"office\"], to = [\"wan\"], allow = [\"any\"] }},\n  \
             {{ from = [\"office\"], to = [\"self\"], allow = [\"icmp\", \"tcp/{METRICS_PORT}\"] }},\n]\n"
        ));
        line(format_args!("\n[telemetry]\nmetrics_on = [\"office\"]\nmetrics_port = {METRICS_PORT}\n"));
        match &self.paths {
            Some(paths) => format!("paths = {}\n\n{text}", paths.trim()),
            None => text,
        }
    }
}

pub const METRICS_PORT: u16 = 9620;

fn usual_targets() -> String {
    let targets = (1..=3).flat_map(|number| Family::BOTH.map(|family| plan::target(family, number)));
    let entries: Vec<_> = targets.map(|address| format!("{{ icmp = \"{address}\" }}")).collect();
    format!("[{}]", entries.join(", "))
}

/// Who decides on the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mind {
    /// `causeway run` of this very program.
    Daemon,
    /// Nobody: static routes and a plain masquerade. To work on the lab itself.
    Nobody,
}

/// The daemon and its folder. Dropping it kills the processes; the kernel's state stays, as after a crash.
#[derive(Debug)]
pub struct Gateway {
    host: Namespace,
    program: PathBuf,
    folder: PathBuf,
    mind: Mind,
    run: Option<Child>,
    front: Option<Child>,
}

impl Gateway {
    /// Writes the config and starts what shall decide; [`Self::wait_ready`] tells when it does.
    pub fn start(host: &Namespace, config: &GatewayConfig, mind: Mind, folder: &Path) -> Result<Self, LabError> {
        let program = match std::env::var_os("CAUSEWAY_PROGRAM") {
            Some(other) => other.into(),
            None => std::env::current_exe().doing(|| "find this program".to_owned())?,
        };
        let state = folder.join("state");
        std::fs::create_dir_all(&state).doing(|| format!("make {}", state.display()))?;
        let file = folder.join("gateway.toml");
        std::fs::write(&file, config.text()).doing(|| format!("write {}", file.display()))?;
        let host = host.clone();
        let mut gateway = Self { host, program, folder: folder.to_owned(), mind, run: None, front: None };
        gateway.start_daemon()?;
        Ok(gateway)
    }

    pub fn start_daemon(&mut self) -> Result<(), LabError> {
        match self.mind {
            Mind::Nobody => self.host.nft(PLAIN),
            Mind::Daemon => {
                let folder = &self.folder;
                let mut command = self.command("run");
                command.arg("--config").arg(folder.join("gateway.toml")).arg("--state").arg(folder.join("state"));
                self.run = Some(self.host.start(self.with_log(&mut command, "run.log")?)?);
                Ok(())
            }
        }
    }

    /// `causeway front`: metrics and status page for the LAN.
    pub fn start_front(&mut self) -> Result<(), LabError> {
        if self.mind == Mind::Daemon {
            let mut command = self.command("front");
            self.front = Some(self.host.start(self.with_log(&mut command, "front.log")?)?);
        }
        Ok(())
    }

    /// Waits until new LAN flows take the first uplink and every uplink is `up`.
    pub fn wait_ready(&mut self, uplinks: usize, at_most: Duration) -> Result<(), LabError> {
        let first = uplink_name(0);
        let ready = clock::wait_for(at_most, Duration::from_millis(20), || {
            let routed = Family::BOTH.iter().all(|family| self.active(*family).is_none_or(|name| name == first))
                && Family::BOTH.iter().any(|family| self.active(*family).is_some());
            let all_up = || (0..uplinks).all(|index| self.state(&uplink_name(index)).is_some_and(|s| s == "up"));
            (routed && (self.mind == Mind::Nobody || all_up())).then_some(())
        });
        let what = "the gateway's readiness".to_owned();
        ready.ok_or_else(|| LabError::Timeout { what, at_most, why: self.last_words("run.log") })
    }

    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// The uplink that a new flow from the LAN would take, as the kernel says.
    pub fn active(&self, family: Family) -> Option<String> {
        active(&self.host, family)
    }

    /// The same for IPv4, or for IPv6 where there is no IPv4.
    pub fn active_any(&self) -> Option<String> {
        active_any(&self.host)
    }

    /// Asks as [`Self::active_any`], from another thread.
    pub fn route_watcher(&self) -> impl Fn() -> Option<String> + Send + 'static {
        let host = self.host.clone();
        move || active_any(&host)
    }

    /// What the daemon says of itself; `None` while it does not answer.
    pub fn status(&self) -> Option<Value> {
        let output =
            self.host.run(self.program.to_str()?, &["status", "--json", "--socket", &self.socket()], "").ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// The worst state over the families of `uplink`: it is `up` only when all are.
    pub fn state(&self, uplink: &str) -> Option<String> {
        let status = self.status()?;
        let families = of_uplink(&status, uplink)?["families"].as_array()?;
        let states = families.iter().filter_map(|family| family["state"].as_str());
        states.max_by_key(|state| *state != "up").map(str::to_owned)
    }

    /// The cause it names for the state of `uplink`.
    pub fn cause(&self, uplink: &str) -> Option<String> {
        let status = self.status()?;
        let families = of_uplink(&status, uplink)?["families"].as_array()?;
        families.iter().find_map(|family| family["evidence"]["cause"].as_str()).map(str::to_owned)
    }

    /// The uplink that the daemon says a path takes, when it is the same for all its families.
    pub fn path_uplink(&self, path: &str) -> Option<String> {
        let status = self.status()?;
        let path = status["paths"].as_array()?.iter().find(|it| it["name"] == path)?.clone();
        let families = path["families"].as_array()?;
        let mut uplinks = families.iter().map(|family| family["uplinks"][0]["uplink"].as_str());
        let first = uplinks.next()??;
        uplinks.all(|uplink| uplink == Some(first)).then(|| first.to_owned())
    }

    /// The highest loss that the daemon claims of any uplink and family, 0 to 1.
    pub fn worst_loss(&self) -> Option<f64> {
        let status = self.status()?;
        let families = status["uplinks"].as_array()?.iter().filter_map(|uplink| uplink["families"].as_array());
        let losses = families.flatten().filter_map(|family| family["loss"].as_f64());
        losses.max_by(f64::total_cmp)
    }

    /// The daemon's events, oldest first.
    pub fn events(&self) -> Vec<Value> {
        let Some(program) = self.program.to_str() else { return Vec::new() };
        let Ok(output) = self.host.run(program, &["events", "--json", "--socket", &self.socket()], "") else {
            return Vec::new();
        };
        String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// `causeway WORDS…` as an operator on the gateway.
    pub fn operate(&self, words: &[&str]) -> Result<String, LabError> {
        let socket = self.socket();
        let arguments: Vec<&str> = words.iter().copied().chain(["--socket", &socket]).collect();
        self.host.must(&self.program.to_string_lossy(), &arguments, "")
    }

    /// Signals the daemon; `false` when it does not run.
    pub fn signal(&self, signal: Signal) -> bool {
        let pid = self.run.as_ref().and_then(|child| i32::try_from(child.id()).ok());
        pid.is_some_and(|pid| kill(Pid::from_raw(pid), signal).is_ok())
    }

    /// `SIGKILL`, then a new one after `RestartSec=`, as systemd does.
    pub fn kill_and_restart(&mut self) -> Result<(), LabError> {
        if let Some(mut run) = self.run.take() {
            let _ = run.kill(); // it may have died already
            run.wait().doing(|| "wait for the daemon's end".to_owned())?;
        }
        std::thread::sleep(RESTART_AFTER);
        self.start_daemon()
    }

    /// Process ids of the daemon and of `front`, those that run.
    pub fn processes(&self) -> Vec<u32> {
        [&self.run, &self.front].into_iter().flatten().map(Child::id).collect()
    }

    /// What is ours in the kernel, as text to compare: rules, routes, nft. Handles and counters are left out.
    pub fn fingerprint(&self) -> String {
        let commands: [&[&str]; 5] = [
            &["ip", "-4", "rule"],
            &["ip", "-6", "rule"],
            &["ip", "-4", "route", "show", "table", "all", "proto", OUR_PROTOCOL],
            &["ip", "-6", "route", "show", "table", "all", "proto", OUR_PROTOCOL],
            &["nft", "-s", "list", "table", "inet", "causeway"],
        ];
        let outputs = commands.iter().map(|words| match self.host.run(words[0], &words[1..], "") {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(error) => error.to_string(),
        });
        outputs.collect()
    }

    /// The end of a log, for error messages.
    pub fn last_words(&self, log: &str) -> String {
        let text = std::fs::read_to_string(self.folder.join(log)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(5)..];
        if last.is_empty() { String::new() } else { format!("; its last words:\n    {}", last.join("\n    ")) }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(verb).arg("--socket").arg(self.socket());
        command
    }

    /// Of the daemon.
    pub fn socket(&self) -> String {
        self.folder.join("control.sock").to_string_lossy().into_owned()
    }

    fn with_log<'a>(&self, command: &'a mut Command, name: &str) -> Result<&'a mut Command, LabError> {
        let path = self.folder.join(name);
        let open = || std::fs::File::options().create(true).append(true).open(&path);
        let (out, err) = (open().doing(|| format!("open {name}"))?, open().doing(|| format!("open {name}"))?);
        Ok(command.stdin(Stdio::null()).stdout(out).stderr(err))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for mut child in [self.run.take(), self.front.take()].into_iter().flatten() {
            let _ = child.kill(); // it may have died already
            let _ = child.wait();
        }
    }
}

fn active(host: &Namespace, family: Family) -> Option<String> {
    let (to, from) = (plan::far(family).to_string(), plan::lan(family, plan::LAN1).to_string());
    let output = host.run("ip", &["-j", "route", "get", &to, "from", &from, "iif", "lan0"], "").ok()?;
    let routes: Value = serde_json::from_slice(&output.stdout).ok()?;
    let number: usize = routes[0]["dev"].as_str()?.strip_prefix("wan")?.parse().ok()?;
    Some(uplink_name(number))
}

fn active_any(host: &Namespace) -> Option<String> {
    active(host, Family::V4).or_else(|| active(host, Family::V6))
}

/// The number that marks what the daemon put into the kernel.
const OUR_PROTOCOL: &str = "202";
/// systemd's default `RestartSec=`.
const RESTART_AFTER: Duration = Duration::from_millis(100);

const PLAIN: &str = "
table inet plain {
  chain postrouting {
    type nat hook postrouting priority srcnat
    iifname lan0 masquerade
  }
}
";

fn of_uplink<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    status["uplinks"].as_array()?.iter().find(|uplink| uplink["name"] == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_text_is_toml_with_paths_at_the_top() {
        let config = GatewayConfig {
            uplinks: vec![UplinkConfig::default(), UplinkConfig { ipv6: false, ..UplinkConfig::default() }],
            paths: Some("[{ name = \"default\", prefer = [\"a\", \"b\"] }]".to_owned()),
            targets: None,
        };
        let read: toml::Table = toml::from_str(&config.text()).expect("it is TOML");
        assert_eq!(read["paths"][0]["name"].as_str(), Some("default"));
        assert_eq!(read["uplinks"]["b"]["ipv6"].as_str(), Some("off"));
        assert_eq!(read["probes"]["targets"].as_array().map(Vec::len), Some(6));
    }
}
