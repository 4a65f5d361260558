//! One branch of the fleet: its gateway's processes, and what can be asked of them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::apply::services::Paths;
use crate::config;
use crate::config::model::Family;
use crate::lab::attendant::Attendant;
use crate::lab::clock;
use crate::lab::dns;
use crate::lab::error::{Doing as _, LabError};
use crate::lab::netns::Namespace;
use crate::lab::site::{Host, Leased, Site};

/// A box in its carton.
#[derive(Clone, Debug)]
pub struct Hardware {
    pub model: &'static str,
    pub serial: String,
    /// The config that its image has.
    pub safe: &'static str,
}

/// As long as a host waits for one answer, and as often as it asks.
const NAMES_WITHIN: Duration = Duration::from_secs(2);
const NAMES_TIMES: u32 = 3;

/// The gateway's address is dead from the first answer of a responder on.
const FAILS_AFTER_PROOF: &str = "
table inet fails {
  set dead { type ipv4_addr; flags dynamic; }
  chain forward {
    type filter hook forward priority 0;
    ip saddr @dead drop
    udp sport 7711 add @dead { ip daddr }
  }
}
";

#[derive(Debug)]
pub struct Member {
    pub name: &'static str,
    pub site: Site,
    folder: PathBuf,
    program: PathBuf,
    run: Option<Child>,
    front: Option<Child>,
    _attendant: Attendant,
}

impl Member {
    /// `first`: the number of its first provider on this internet.
    pub(super) fn start(
        name: &'static str,
        first: usize,
        hardware: &Hardware,
        claim: &str,
        internet: &Namespace,
        program: &Path,
        folder: &Path,
    ) -> Result<Self, LabError> {
        let Hardware { model, serial, safe } = hardware;
        let wrong = |error: config::Faults| LabError::Other(format!("the lab's own config: {error}"));
        let branch = config::parse_branch("gateway.toml", safe).map_err(wrong)?;
        std::fs::create_dir_all(folder.join("state")).doing(|| format!("make {}", folder.display()))?;
        let device = format!("model = \"{model}\"\nserial = \"{serial}\"\n");
        for (name, text) in [("gateway.toml", *safe), ("claim.toml", claim), ("device.toml", &device)] {
            std::fs::write(folder.join(name), text).doing(|| format!("write {name}"))?;
        }
        let site = Site::join(&branch, folder, internet.clone(), first)?;
        let devices: Vec<String> = branch.gateway.uplinks.iter().map(|uplink| uplink.device.to_string()).collect();
        for (number, device) in devices.iter().enumerate() {
            Site::lease(&site.gateway, device, first + number)?;
        }
        let gateway = site.gateway.clone();
        let lease = move |device: &str| {
            if let Some(number) = devices.iter().position(|own| own == device) {
                let _ = Site::lease(&gateway, device, first + number); // the branch may be going down
            }
        };
        let attendant = Attendant::start(&site.gateway, &Paths::below(folder), lease, || {})?;
        let mut member = Self {
            name,
            site,
            folder: folder.to_owned(),
            program: program.to_owned(),
            run: None,
            front: None,
            _attendant: attendant,
        };
        member.start_daemon()?;
        member.start_front()?;
        Ok(member)
    }

    pub fn start_daemon(&mut self) -> Result<(), LabError> {
        let mut command = self.command("run");
        for (option, name) in
            [("--config", "gateway.toml"), ("--state", "state"), ("--claim", "claim.toml"), ("--device", "device.toml")]
        {
            command.arg(option).arg(self.folder.join(name));
        }
        command.args(["--services", "direct", "--run-dir"]).arg(&self.folder);
        self.run = Some(self.begin(command, "run.log")?);
        Ok(())
    }

    pub fn start_front(&mut self) -> Result<(), LabError> {
        self.front = Some(self.begin(self.command("front"), "front.log")?);
        Ok(())
    }

    /// What its unit does: `front` leaves when the config wants other ports, and is started again.
    pub fn tend(&mut self) -> Result<(), LabError> {
        let left = self.front.as_mut().is_some_and(|front| matches!(front.try_wait(), Ok(Some(_))));
        if left { self.start_front() } else { Ok(()) }
    }

    pub fn kill_front(&mut self) {
        end(&mut self.front);
    }

    pub fn kill_daemon(&mut self) {
        end(&mut self.run);
    }

    /// `causeway WORDS…` on the gateway.
    pub fn operate(&self, words: &[&str]) -> Result<String, LabError> {
        let socket = self.socket();
        let arguments: Vec<&str> = words.iter().copied().chain(["--socket", &socket]).collect();
        self.site.gateway.must(&self.program.to_string_lossy(), &arguments, "")
    }

    /// `config why`, as data; `None` while the daemon does not answer.
    pub fn config(&self) -> Option<Value> {
        serde_json::from_str(&self.operate(&["config", "why", "--json"]).ok()?).ok()
    }

    /// The number of the standard that is in force.
    pub fn running(&self) -> Option<u64> {
        self.config()?["running"]["seq"].as_u64()
    }

    pub fn wait_until(
        &self,
        at_most: Duration,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, LabError> {
        let found = clock::wait_for(at_most, Duration::from_millis(20), || self.config().filter(&wanted));
        found.ok_or_else(|| LabError::Timeout {
            what: format!("{what} at {}", self.name),
            at_most,
            why: format!(
                "{}{}{}",
                self.operate(&["config", "why"]).unwrap_or_default(),
                self.last_words("run.log"),
                self.last_words("front.log")
            ),
        })
    }

    /// The machine in the LAN.
    pub fn till(&self) -> Result<&Host, LabError> {
        self.site.host("lan0").ok_or_else(|| LabError::Other("the branch has no till".to_owned()))
    }

    /// What the machine in the LAN learns when it asks the gateway, as its lease told it, for a name of the internet.
    pub fn resolve(&self, leased: &Leased, name: &str) -> Result<Vec<IpAddr>, LabError> {
        let server =
            leased.dns.ok_or_else(|| LabError::Other(format!("{}: no name server in the lease", self.name)))?;
        let ask = || dns::ask(server.into(), name, Family::V4, NAMES_WITHIN);
        let asked = || self.till()?.host.enter(ask);
        // One datagram may be lost; a host asks again.
        (0..NAMES_TIMES).find_map(|_| asked().transpose()).transpose().map(Option::unwrap_or_default)
    }

    /// One of its providers fails for good right after a path proof came back through it: between the measurement before a
    /// change and the one in its trial.
    pub fn fail_after_proof(&self, number: usize) -> Result<(), LabError> {
        self.site.providers[number].nft(FAILS_AFTER_PROOF)
    }

    pub fn repair(&self, number: usize) -> Result<(), LabError> {
        self.site.providers[number].nft("delete table inet fails")
    }

    pub fn last_words(&self, log: &str) -> String {
        let text = std::fs::read_to_string(self.folder.join(log)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(12)..];
        format!("\n  {log}:\n    {}\n", last.join("\n    "))
    }

    fn begin(&self, mut command: Command, log: &str) -> Result<Child, LabError> {
        let path = self.folder.join(log);
        let open = || std::fs::File::options().create(true).append(true).open(&path);
        let (out, err) = (open().doing(|| format!("open {log}"))?, open().doing(|| format!("open {log}"))?);
        self.site.gateway.start(command.stdin(Stdio::null()).stdout(out).stderr(err))
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(verb).arg("--socket").arg(self.socket());
        command
    }

    fn socket(&self) -> String {
        self.folder.join("control.sock").to_string_lossy().into_owned()
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill(); // it may have died already
        let _ = child.wait();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        end(&mut self.front);
        end(&mut self.run);
    }
}
