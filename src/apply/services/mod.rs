//! What systemd-networkd and dnsmasq do for a branch: bridges, VLANs, addresses, leases and names. A branch becomes
//! files and flags ([`networkd`], [`dnsmasq`], pure), the difference to what is there becomes steps ([`plan`], pure),
//! and what came of them is read back from the kernel and from the service.
//!
//! Order: all files beside their places → our output read again, `dnsmasq --test` → in place → links and addresses →
//! services → what is no longer wanted → read back. Undoing is the same with the old branch.

mod access;
mod dnsmasq;
mod io;
pub mod links;
mod networkd;
mod plan;
mod question;
mod store;
pub mod text;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::apply::exec::KernelError;
use crate::config::branch::{Branch, Dns};
use crate::kernel::netlink::Netlink;
use crate::kernel::programs::{Program, ProgramError};

pub use dnsmasq::GENERATION_NAME;
pub use networkd::PREFIX;
pub use plan::{Section, Step};
pub use store::StoreError;

use io::Patience;
use links::{Shape, Tagged};
use plan::{Act, Flag, Folder, Found, Serving, Wanted};
use question::Class;
use text::Refused;

/// What a service may take to do what a flag asks for. A slow box restarts dnsmasq in a second, networkd takes two; while everything
/// else of a boot starts, too, ten times as long. A good config must not be called bad for that; what a change may take as a whole is
/// `APPLY_LIMIT` of `trust::machine`.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(45);
/// From its unit's start until dnsmasq answers, on a slow box.
const STARTED_WITHIN: Duration = Duration::from_secs(5);
/// A flag is seen in milliseconds, and a list read in a few more.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// How long it is looked whether a route or an address of ours stays, before it counts as taken away.
const GONE_AFTER: Duration = Duration::from_secs(3);
/// New plans before giving up: the kernel was changed under us each time.
const ROUNDS: usize = 3;
/// `dnsmasq --test` takes milliseconds, and a second for the longest list of fixed hosts.
const TEST_WITHIN: Duration = Duration::from_secs(20);
/// Begins a difference that another call would repair.
const TO_DO: &str = "to do: ";
/// It says one line.
const TEST_BYTES: u64 = 64 << 10;

/// Who makes links and addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// systemd-networkd, by files and a flag.
    Networkd,
    /// We do, by netlink: for the lab, and for systems without systemd. Leases of uplinks are somebody else's.
    Direct,
}

impl Backend {
    fn shape(self) -> Shape {
        match self {
            Self::Networkd => Shape::OneBridge,
            Self::Direct => Shape::BridgePerNetwork,
        }
    }
}

/// Where files and flags are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// networkd's; with [`Backend::Direct`] a note of what was wanted.
    pub network: PathBuf,
    pub dnsmasq: PathBuf,
    pub flags: PathBuf,
    /// sshd's list of keys.
    pub access: PathBuf,
    /// dnsmasq's list of leases, which outlives a restart.
    pub leases: PathBuf,
}

impl Paths {
    /// Of the product; the units name the same.
    pub fn system() -> Self {
        Self {
            network: "/run/systemd/network".into(),
            dnsmasq: "/run/causeway/dnsmasq".into(),
            flags: "/run/causeway/flags".into(),
            access: "/run/causeway/access".into(),
            leases: "/var/lib/causeway-dnsmasq/leases".into(),
        }
    }

    /// All below one folder: for tests and the lab.
    pub fn below(folder: &Path) -> Self {
        Self {
            network: folder.join("network"),
            dnsmasq: folder.join("dnsmasq"),
            flags: folder.join("flags"),
            access: folder.join("access"),
            leases: folder.join("leases"),
        }
    }

    /// So that a fence can name them. What cannot be made is said by the first that wants to write there.
    pub(crate) fn make_folders(&self) {
        for folder in self.folders() {
            store::make_folder(folder).ok();
        }
    }

    /// What the daemon writes; they are made when they are needed.
    pub fn folders(&self) -> [&Path; 4] {
        [&self.network, &self.dnsmasq, &self.flags, &self.access]
    }

    fn of(&self, folder: Folder) -> &Path {
        match folder {
            Folder::Network => &self.network,
            Folder::Dnsmasq => &self.dnsmasq,
            Folder::Access => &self.access,
        }
    }
}

/// What was done, in words, in order. Empty: everything was right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub done: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    #[error("this back end cannot make the networks")]
    Tagged(#[from] Tagged),
    #[error("a value of the config would be syntax in a file")]
    Refused(#[from] Refused),
    #[error("the files of services cannot be written or read")]
    Store(#[from] StoreError),
    #[error("cannot read the kernel's links and addresses")]
    Read {
        #[source]
        source: KernelError,
    },
    #[error("cannot {step}")]
    Link {
        step: String,
        #[source]
        source: KernelError,
    },
    #[error("dnsmasq could not be asked about its new config")]
    Test(#[from] ProgramError),
    #[error("dnsmasq refuses its new config, which is not in force: {message}")]
    DnsmasqRefuses { message: String },
    #[error("not in force after {within:?}: {}", differences.join("; "))]
    NotInForce { within: Duration, differences: Vec<String> },
}

impl ServicesError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Tagged(_) => Some("take the trunk out of the config, or use the back end of systemd-networkd"),
            Self::Test(ProgramError::Missing { .. }) => Some("install dnsmasq-base"),
            Self::NotInForce { .. } => Some("systemctl status systemd-networkd causeway-dnsmasq tells more"),
            Self::Refused(_)
            | Self::Store(_)
            | Self::Read { .. }
            | Self::Link { .. }
            | Self::Test(_)
            | Self::DnsmasqRefuses { .. } => None,
        }
    }
}

#[derive(Debug)]
pub struct Services {
    backend: Backend,
    paths: Paths,
    /// Resolvers of the uplink in use.
    uplink: Vec<IpAddr>,
    /// Of the branch that was applied last.
    dns: Option<Dns>,
}

impl Services {
    pub fn new(backend: Backend, paths: Paths) -> Self {
        Self { backend, paths, uplink: Vec::new(), dns: None }
    }

    /// What would be done now. What there is, is read back; `from`, the config that should be in force, only tells a
    /// change from a repair.
    pub async fn plan(
        &self,
        netlink: &Netlink,
        from: Option<&Branch>,
        to: &Branch,
    ) -> Result<Vec<Step>, ServicesError> {
        let wanted = self.wanted(to)?;
        let found = self.found(netlink, to).await?;
        let mut steps = plan::plan(&found, &wanted, self.backend);
        if let Some(from) = from {
            plan::mark_drift(&mut steps, &self.wanted(from)?, &wanted);
        }
        Ok(steps)
    }

    /// Makes it so. A second call finds nothing to do. After an error the old branch can be applied in the same way.
    pub async fn apply(&mut self, netlink: &Netlink, to: &Branch) -> Result<Report, ServicesError> {
        let wanted = self.wanted(to)?;
        let mut report = Report::default();
        for _ in 0..ROUNDS {
            let found = self.found(netlink, to).await?;
            let steps = plan::plan(&found, &wanted, self.backend);
            if steps.is_empty() {
                self.dns = Some(to.dns.clone());
                self.settle(netlink, to, &wanted, &mut report).await?;
                return Ok(report);
            }
            self.stage(&steps, &wanted).await?;
            self.execute(netlink, &steps, (to, &wanted), &Section::ALL, &mut report).await?;
            self.wait_for_service(netlink, to, &wanted, IN_FORCE_WITHIN).await?;
        }
        let differences = self.verify(netlink, to).await?;
        if differences.iter().any(|words| words.starts_with(TO_DO)) {
            return Err(ServicesError::NotInForce { within: IN_FORCE_WITHIN, differences });
        }
        self.dns = Some(to.dns.clone());
        Ok(report)
    }

    /// What is otherwise than the branch wants it, in words.
    pub async fn verify(&self, netlink: &Netlink, branch: &Branch) -> Result<Vec<String>, ServicesError> {
        self.looked(netlink, branch).await.map(|(_, differences)| differences)
    }

    /// What is to do, and all that differs, in words.
    async fn looked(&self, netlink: &Netlink, branch: &Branch) -> Result<(Vec<Step>, Vec<String>), ServicesError> {
        let wanted = self.wanted(branch)?;
        let found = self.found(netlink, branch).await?;
        let steps = plan::plan(&found, &wanted, self.backend);
        let mut differences: Vec<String> = steps.iter().map(|step| format!("{TO_DO}{}", step.describe())).collect();
        differences.extend(links::missing(&found.links, &wanted.links));
        differences.extend(self.unserved(branch, &wanted, &found.links).await);
        Ok((steps, differences))
    }

    /// As [`Self::verify`], of `services` that others use meanwhile: what is under way gets the time that a service may take. The
    /// uplinks of a new config have other resolvers, and dnsmasq hears of them last; at start-up it is started by two. A route or
    /// an address that is gone again comes back by another [`Self::apply`] only.
    pub async fn settled(
        services: &Mutex<Self>,
        netlink: &Netlink,
        branch: &Branch,
    ) -> Result<Vec<String>, ServicesError> {
        let (patience, gone) = (Patience::of(IN_FORCE_WITHIN), Patience::of(GONE_AFTER));
        loop {
            let (steps, differences) = services.lock().await.looked(netlink, branch).await?;
            let is_gone = steps.iter().any(|step| matches!(step.act, Act::Link(_)));
            if differences.is_empty() || patience.is_over() || (is_gone && gone.is_over()) {
                return Ok(differences);
            }
            patience.pause().await;
        }
    }

    /// What somebody changed, by section, in words. What dnsmasq does not do although its files are right is `dns`.
    pub async fn drift(&self, netlink: &Netlink, branch: &Branch) -> Result<Vec<(Section, String)>, ServicesError> {
        let wanted = self.wanted(branch)?;
        let found = self.found(netlink, branch).await?;
        let steps = plan::plan(&found, &wanted, self.backend);
        Ok(steps.iter().map(|step| (step.section(&wanted), step.describe())).collect())
    }

    /// Puts right what differs in these sections, and nothing else.
    pub async fn repair(
        &mut self,
        netlink: &Netlink,
        branch: &Branch,
        sections: &[Section],
    ) -> Result<Report, ServicesError> {
        let wanted = self.wanted(branch)?;
        let found = self.found(netlink, branch).await?;
        let mut steps = plan::plan(&found, &wanted, self.backend);
        steps.retain(|step| sections.contains(&step.section(&wanted)));
        let mut report = Report::default();
        if !steps.is_empty() {
            self.stage(&steps, &wanted).await?;
            self.execute(netlink, &steps, (branch, &wanted), sections, &mut report).await?;
        }
        Ok(report)
    }

    /// The uplink in use changed. The list of servers is swapped at once and dnsmasq told; what cannot be written now is
    /// found by the next [`Self::verify`] and repaired by the next [`Self::apply`].
    pub fn set_forwarders(&mut self, servers: &[IpAddr]) {
        if self.uplink == servers {
            return;
        }
        self.uplink = servers.to_vec();
        if let Some(dns) = &self.dns
            && let Ok(text) = dnsmasq::servers(dns, &self.uplink)
        {
            // See above: the file is the state, so nothing is lost by an error here.
            let _ = self.swap_servers(&text);
        }
    }

    fn swap_servers(&self, text: &str) -> Result<(), StoreError> {
        let (folder, name) = (&self.paths.dnsmasq, dnsmasq::SERVERS);
        if store::read(&folder.join(dnsmasq::CONF))?.is_none()
            || store::read(&folder.join(name))?.as_deref() == Some(text)
        {
            return Ok(());
        }
        store::stage(folder, name, text)?;
        store::commit(folder, name)?;
        store::raise(&self.paths.flags, &Flag::DnsmasqReload.name())
    }

    /// The files that a branch needs, by place. Pure: nothing is read or written.
    pub fn files(&self, branch: &Branch) -> Result<BTreeMap<PathBuf, String>, ServicesError> {
        let wanted = self.wanted(branch)?;
        let network = wanted.network.into_iter().map(|(name, text)| (self.paths.network.join(name), text));
        let lists = wanted.dnsmasq.iter().flat_map(plan::lists);
        let dnsmasq = lists.map(|(name, text)| (self.paths.dnsmasq.join(name), text.clone()));
        let keys = wanted.keys.map(|text| (self.paths.access.join(access::KEYS), text));
        Ok(network.chain(dnsmasq).chain(keys).collect())
    }

    fn wanted(&self, branch: &Branch) -> Result<Wanted, ServicesError> {
        let shape = self.backend.shape();
        Ok(Wanted {
            links: links::links(branch, shape)?,
            network: networkd::files(branch, shape)?,
            dnsmasq: dnsmasq::render(branch, &self.uplink, &self.paths.dnsmasq, &self.paths.leases)?,
            keys: access::keys(&branch.access)?,
            uplinks: branch.gateway.uplinks.iter().map(|uplink| uplink.device.to_string()).collect(),
        })
    }

    async fn found(&self, netlink: &Netlink, branch: &Branch) -> Result<Found, ServicesError> {
        let links = netlink.lan().await.map_err(|source| ServicesError::Read { source })?;
        let serving = serving(branch, &links).await;
        let mut dnsmasq = store::read_all(&self.paths.dnsmasq, "")?;
        dnsmasq.retain(|name, _| {
            [dnsmasq::CONF, dnsmasq::HOSTS, dnsmasq::NAMES, dnsmasq::SERVERS].contains(&name.as_str())
        });
        let keys = store::read(&self.paths.access.join(access::KEYS))?;
        Ok(Found { network: store::read_all(&self.paths.network, PREFIX)?, dnsmasq, keys, links, serving })
    }

    /// Everything beside its place, and dnsmasq's word on its part. After an error nothing is left.
    async fn stage(&self, steps: &[Step], wanted: &Wanted) -> Result<(), ServicesError> {
        let written = self.stage_files(steps, wanted).await;
        if written.is_err() {
            for step in steps {
                if let Act::Write { folder, name, .. } = &step.act {
                    store::unstage(self.paths.of(*folder), name)?;
                }
            }
        }
        written
    }

    async fn stage_files(&self, steps: &[Step], wanted: &Wanted) -> Result<(), ServicesError> {
        let mut test = false;
        for step in steps {
            if let Act::Write { folder, name, text, .. } = &step.act {
                test |= *folder == Folder::Dnsmasq;
                store::make_folder(self.paths.of(*folder))?;
                store::stage(self.paths.of(*folder), name, text)?;
            }
        }
        if let (true, Some(rendered)) = (test, &wanted.dnsmasq) {
            let (program, input) = (Program::DnsmasqTest, rendered.whole.clone().into_bytes());
            let output = program.run(Path::new(program.path()), input, TEST_BYTES, TEST_WITHIN).await?;
            if !output.success {
                return Err(ServicesError::DnsmasqRefuses { message: output.message() });
            }
        }
        Ok(())
    }

    /// One link that cannot be made does not keep the others from being made, but then nothing is taken away.
    async fn execute(
        &self,
        netlink: &Netlink,
        steps: &[Step],
        (branch, wanted): (&Branch, &Wanted),
        sections: &[Section],
        report: &mut Report,
    ) -> Result<(), ServicesError> {
        let mut failed = None;
        let mut links_done = false;
        // Of an older one dnsmasq runs with that, or is down: nobody is about to start it with ours.
        let first = steps.iter().any(|step| {
            matches!(&step.act, Act::Write { folder: Folder::Dnsmasq, name, new: true, .. } if name == dnsmasq::CONF)
        });
        for step in steps {
            match &step.act {
                Act::Write { folder, name, .. } => store::commit(self.paths.of(*folder), name)?,
                Act::Remove { folder, name } => store::remove(self.paths.of(*folder), name)?,
                Act::Raise(flag) => {
                    let serves = matches!(flag, Flag::DnsmasqRestart | Flag::DnsmasqReload);
                    // Services come after the addresses they listen on.
                    if serves && !links_done && failed.is_none() {
                        self.wait_for_links(netlink, wanted, sections).await?;
                        links_done = true;
                    }
                    if *flag == Flag::DnsmasqRestart && first && self.serves(netlink, branch, wanted).await? {
                        continue;
                    }
                    store::raise(&self.paths.flags, &flag.name())?;
                }
                Act::Link(link) if link.is_removal() && failed.is_some() => continue,
                Act::Link(link) => {
                    if let Err(source) = netlink.change(link).await {
                        failed.get_or_insert(ServicesError::Link { step: link.describe(), source });
                        continue;
                    }
                }
            }
            report.done.push(step.describe());
        }
        failed.map_or(Ok(()), Err)?;
        self.wait_for_links(netlink, wanted, sections).await
    }

    /// At a boot dnsmasq may have read its config before it is told to. It answers at once or is under way, and what is under
    /// way is not begun anew; with nobody to start it by itself ([`Backend::Direct`]) it is not waited for.
    async fn serves(&self, netlink: &Netlink, branch: &Branch, wanted: &Wanted) -> Result<bool, ServicesError> {
        if wanted.dnsmasq.is_none() {
            return Ok(false);
        }
        let patience = Patience::of(match self.backend {
            Backend::Networkd => STARTED_WITHIN,
            Backend::Direct => Duration::ZERO,
        });
        loop {
            let links = netlink.lan().await.map_err(|source| ServicesError::Read { source })?;
            let serving = serving(branch, &links).await;
            match (serving, &wanted.dnsmasq) {
                (Serving::Conf(generation), Some(wanted)) => return Ok(generation == wanted.generation),
                (Serving::Silent, Some(_)) if !patience.is_over() => patience.pause().await,
                (Serving::Silent | Serving::NotAsked, _) | (_, None) => return Ok(false),
            }
        }
    }

    /// What is left alone in other sections is not waited for.
    async fn wait_for_links(
        &self,
        netlink: &Netlink,
        wanted: &Wanted,
        sections: &[Section],
    ) -> Result<(), ServicesError> {
        let patience = Patience::of(IN_FORCE_WITHIN);
        loop {
            let found = netlink.lan().await.map_err(|source| ServicesError::Read { source })?;
            let mut undone = links::undone(&found, &wanted.links);
            undone.retain(|(device, _)| sections.contains(&wanted.section_of(device)));
            if undone.is_empty() {
                return Ok(());
            }
            if patience.is_over() {
                let differences = undone.into_iter().map(|(_, words)| format!("{TO_DO}{words}")).collect();
                return Err(ServicesError::NotInForce { within: IN_FORCE_WITHIN, differences });
            }
            patience.pause().await;
        }
    }

    /// The files are right; dnsmasq may still be reading them, or may have missed the flag.
    async fn settle(
        &self,
        netlink: &Netlink,
        branch: &Branch,
        wanted: &Wanted,
        report: &mut Report,
    ) -> Result<(), ServicesError> {
        if self.wait_for_service(netlink, branch, wanted, READ_WITHIN).await.is_ok() {
            return Ok(());
        }
        store::raise(&self.paths.flags, &Flag::DnsmasqReload.name())?;
        report.done.push("let dnsmasq read its lists again".to_owned());
        self.wait_for_service(netlink, branch, wanted, IN_FORCE_WITHIN).await
    }

    async fn wait_for_service(
        &self,
        netlink: &Netlink,
        branch: &Branch,
        wanted: &Wanted,
        within: Duration,
    ) -> Result<(), ServicesError> {
        let patience = Patience::of(within);
        loop {
            let found = netlink.lan().await.map_err(|source| ServicesError::Read { source })?;
            let differences = self.unserved(branch, wanted, &found).await;
            if differences.is_empty() {
                return Ok(());
            }
            if patience.is_over() {
                return Err(ServicesError::NotInForce { within, differences });
            }
            patience.pause().await;
        }
    }

    /// What dnsmasq does not do, in words.
    async fn unserved(&self, branch: &Branch, wanted: &Wanted, found: &links::Found) -> Vec<String> {
        let Some(rendered) = &wanted.dnsmasq else { return Vec::new() };
        let mut differences = Vec::new();
        let addresses = addresses(branch, found);
        for address in &addresses {
            match io::texts(*address, GENERATION_NAME, Class::Internet).await {
                None => differences.push(format!("dnsmasq does not answer on {address}")),
                Some(texts) if texts.concat() != rendered.generation => {
                    differences.push(format!("dnsmasq has another config on {address}"));
                }
                Some(_) => {}
            }
        }
        let leases =
            dnsmasq::served(&branch.gateway).any(|network| network.dhcp.is_some() || !network.fixed.is_empty());
        if leases && !io::leases_are_given() {
            differences.push("nobody gives leases".to_owned());
        }
        if let (Some(first), true) = (addresses.first(), differences.is_empty()) {
            let wanted = dnsmasq::forwarders(&branch.dns, &self.uplink);
            let servers = io::texts(*first, "servers.bind", Class::Chaos).await.unwrap_or_default();
            for server in wanted.iter().filter(|server| !servers.iter().any(|text| is_server(text, **server))) {
                differences.push(format!("dnsmasq does not ask {server}"));
            }
        }
        differences
    }
}

/// `9.9.9.9#53 12 0`: address and port, questions, failures.
fn is_server(text: &str, server: IpAddr) -> bool {
    text.split('#').next().and_then(|address| address.parse::<IpAddr>().ok()) == Some(server)
}

async fn serving(branch: &Branch, links: &links::Found) -> Serving {
    match addresses(branch, links).first() {
        None => Serving::NotAsked,
        Some(address) => match io::texts(*address, GENERATION_NAME, Class::Internet).await {
            None => Serving::Silent,
            Some(texts) => Serving::Conf(texts.concat()),
        },
    }
}

/// The gateway's addresses on networks that the kernel has.
fn addresses(branch: &Branch, found: &links::Found) -> Vec<IpAddr> {
    let networks = dnsmasq::served(&branch.gateway);
    networks
        .flat_map(|network| links::own(network).map(move |net| (network, net)))
        .filter(|(network, net)| network.ports.iter().any(|port| found.has_address(port, net)))
        .map(|(_, net)| net.addr())
        .collect()
}
