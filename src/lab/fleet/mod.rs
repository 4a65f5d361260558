//! Head office and three branches, all real: `causeway office serve`, and in each branch the daemon, `front`, dnsmasq and
//! a machine in the LAN.
//!
//! ```text
//! till ── lan0 ┐         ┌ wan0 ── isp ─┐
//!              ┤ gateway ┤              ├── internet ── head office, two responders
//! (× 3)                  └ wan1 ── isp ─┘
//! ```

mod files;
mod member;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::addresses::{self as plan, port};
use super::clock;
use super::error::{Doing as _, LabError};
use super::netns::Namespace;
use super::servers::Servers;
use super::site::Site;
use super::topology::connect_servers;
use crate::config::model::Family;
pub use files::{SITES, Standard};
pub use member::{Hardware, Member};

/// The office's responders have addresses in two networks, as two data centres would.
const SECOND: &str = "198.51.100.77";
const RESPONDER: u16 = 7711;
const SERVES_WITHIN: Duration = Duration::from_secs(20);

/// Dropping it ends all processes.
#[derive(Debug)]
pub struct Fleet {
    pub members: Vec<Member>,
    pub internet: Namespace,
    office: Namespace,
    folder: PathBuf,
    program: PathBuf,
    serve: Option<Child>,
    /// Signs path proofs; stands in the standard.
    responder_key: String,
    _servers: Servers,
}

impl Fleet {
    /// Head office with its keys and the folder of the fleet; the branches are there, but not claimed yet.
    pub fn build(folder: &Path, program: &Path) -> Result<Self, LabError> {
        let mut fleet = Self::nothing(folder, program)?;
        fleet.write("passphrase", "correct horse battery staple\n")?;
        let url = format!("https://{}", plan::office(Family::V4));
        let words = ["init", "--tenant", "Petit Shops", "--url", &url, "--passphrase-file", "PASSPHRASE", "--json"];
        let made: Value = serde_json::from_str(&fleet.office(&words)?)
            .map_err(|error| LabError::Other(format!("`office init` says no JSON: {error}")))?;
        made["responder"].as_str().unwrap_or_default().clone_into(&mut fleet.responder_key);
        Ok(fleet)
    }

    /// The internet with its servers, and a machine for head office on which nobody has typed anything yet.
    pub fn nothing(folder: &Path, program: &Path) -> Result<Self, LabError> {
        let internet = Site::internet()?;
        let targets: String =
            (1..=2).map(|number| format!("address add {}/32 dev lo\n", plan::target(Family::V4, number))).collect();
        internet.ip(&targets)?;
        let office = Namespace::new("office")?;
        connect_servers(&internet, &office, "office", plan::office)?;
        office.ip(&format!("address add {SECOND}/32 dev lo\n"))?;
        internet.ip(&format!("route add {SECOND}/32 via {}\n", plan::office(Family::V4)))?;
        let servers = Servers::default();
        servers.udp(&internet, port::ECHO, |request| Some(request.to_vec()))?;
        servers.udp(&internet, port::DNS, |question| super::dns::answer(question, super::servers::honest))?;
        servers.tcp(&internet, port::HTTP, |stream, _| {
            super::servers::http(stream, &|_| super::servers::ok(super::servers::TEXT));
        })?;
        std::fs::create_dir_all(folder).doing(|| format!("make {}", folder.display()))?;
        Ok(Self {
            members: Vec::new(),
            internet,
            office,
            folder: folder.to_owned(),
            program: program.to_owned(),
            serve: None,
            responder_key: String::new(),
            _servers: servers,
        })
    }

    /// `causeway office WORDS…` at head office, in the folder of the fleet.
    pub fn office(&self, words: &[&str]) -> Result<String, LabError> {
        let passphrase = self.folder.join("passphrase").display().to_string();
        let fleet = self.folder.join("fleet").display().to_string();
        let mut arguments = vec!["office"];
        arguments.extend(words.iter().map(|word| if *word == "PASSPHRASE" { passphrase.as_str() } else { *word }));
        arguments.extend(["--fleet", &fleet]);
        self.office.must(&self.program.to_string_lossy(), &arguments, "")
    }

    pub fn serve(&mut self) -> Result<(), LabError> {
        let log = self.folder.join("office.log");
        let open = || std::fs::File::options().create(true).append(true).open(&log);
        let (out, err) =
            (open().doing(|| "open office.log".to_owned())?, open().doing(|| "open office.log".to_owned())?);
        let mut command = Command::new(&self.program);
        command.args(["office", "serve", "--fleet"]).arg(self.folder.join("fleet"));
        let here = plan::office(Family::V4);
        command.args(["--listen", &SocketAddr::new(here, 443).to_string()]);
        for address in [here.to_string(), SECOND.to_owned()] {
            command.args(["--responder", &format!("{address}:{RESPONDER}")]);
        }
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        self.serve = Some(self.office.start(&mut command)?);
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let serves = || said().contains("path proofs are answered on").then_some(());
        let what = "head office".to_owned();
        clock::wait_for(SERVES_WITHIN, Duration::from_millis(20), serves).ok_or_else(|| LabError::Timeout {
            what,
            at_most: SERVES_WITHIN,
            why: said(),
        })
    }

    /// Writes the standard into the folder.
    pub fn write_standard(&self, standard: &Standard) -> Result<(), LabError> {
        let responders = [plan::office(Family::V4).to_string(), SECOND.to_owned()];
        self.write(
            "fleet/standard.toml",
            &standard.text(&responders.map(|it| format!("{it}:{RESPONDER}")), &self.responder_key),
        )
    }

    /// The inventory and the values of the three branches.
    pub fn write_sites(&self) -> Result<(), LabError> {
        self.write("fleet/inventory.toml", &files::inventory())?;
        for (index, (name, _)) in SITES.iter().enumerate() {
            self.write(&format!("fleet/sites/{name}.toml"), &files::values(index))?;
        }
        Ok(())
    }

    /// Boxes out of their cartons: each with a claim for its site.
    pub fn claim(&mut self) -> Result<(), LabError> {
        for (index, (name, _)) in SITES.iter().enumerate() {
            let claim = self.office(&["claim", name])?;
            self.unbox(name, &files::hardware(index), &claim)?;
        }
        Ok(())
    }

    /// Starts one with its claim.
    pub fn unbox(&mut self, name: &'static str, hardware: &Hardware, claim: &str) -> Result<(), LabError> {
        let first = self.members.iter().map(|member| member.site.providers.len()).sum();
        let folder = self.folder.join(name);
        self.members.push(Member::start(name, first, hardware, claim, &self.internet, &self.program, &folder)?);
        Ok(())
    }

    /// Starts what somebody at head office types.
    pub fn at_office(&self, command: &mut Command) -> Result<Child, LabError> {
        self.office.start(command)
    }

    pub fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.office(&["status", "--json"]).ok()?).ok()
    }

    fn write(&self, name: &str, text: &str) -> Result<(), LabError> {
        let path = self.folder.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).doing(|| format!("make {}", folder.display()))?;
        }
        std::fs::write(&path, text).doing(|| format!("write {}", path.display()))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(mut serve) = self.serve.take() {
            let _ = serve.kill(); // it may have died already
            let _ = serve.wait();
        }
    }
}
