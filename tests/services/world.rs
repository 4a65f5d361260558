//! A site with everything that runs on a gateway but the daemon: filter, routes and services by the library's own means.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use causeway::apply::desired::Selections;
use causeway::apply::exec::reconcile;
use causeway::apply::services::{Backend, Paths, Report, Services, ServicesError, Step};
use causeway::config::branch::Branch;
use causeway::config::model::{Family, UplinkId};
use causeway::kernel::netlink::Netlink;
use causeway::kernel::nft::Nft;
use causeway::kernel::ruleset::{Learnt, Ruleset};
use causeway::lab::addresses as plan;
use causeway::lab::attendant::Attendant;
use causeway::lab::netns::Namespace;
use causeway::lab::sandbox;
use causeway::lab::servers::Servers;
use causeway::lab::site::Site;
use causeway::policy::Selection;

#[expect(clippy::print_stderr, reason = "a test that did nothing must say so")]
pub(crate) fn allowed() -> bool {
    let allowed = sandbox::allowed();
    if !allowed {
        eprintln!("skipped: this machine refuses network namespaces");
    }
    allowed
}

pub(crate) fn far(family: Family) -> IpAddr {
    plan::far(family)
}

pub(crate) fn branch(text: &str) -> Branch {
    causeway::config::parse_branch("test", text).unwrap_or_else(|faults| panic!("{faults}"))
}

pub(crate) struct World {
    // In the order in which they go.
    _attendant: Attendant,
    _servers: Servers,
    pub(crate) site: Site,
    pub(crate) branch: Branch,
    pub(crate) folder: PathBuf,
}

impl World {
    pub(crate) fn start(text: &str) -> Self {
        let branch = branch(text);
        let folder = folder();
        let site = Site::build(&branch, &folder).expect("a site");
        let servers = Servers::default();
        world_servers(&servers, &site.internet);
        let paths = Paths::below(&folder);
        let attendant = attendant(&site, &branch, &paths);
        let mut world = Self { _attendant: attendant, _servers: servers, site, branch, folder };
        world.apply(text).expect("applied");
        world
    }

    pub(crate) fn paths(&self) -> Paths {
        Paths::below(&self.folder)
    }

    /// Services, then filter and routes of this config.
    pub(crate) fn apply(&mut self, text: &str) -> Result<Report, ServicesError> {
        let branch = branch(text);
        let report = self.services(async |mut services, netlink| services.apply(&netlink, &branch).await)?;
        self.inside(async |netlink| {
            Nft::new().load(&Ruleset::new(&branch.gateway, &Learnt::default())).await.expect("the filter");
            reconcile(&netlink, &branch.gateway, &first_uplink(&branch)).await.expect("routes");
        });
        self.branch = branch;
        Ok(report)
    }

    pub(crate) fn plan(&self, from: Option<&Branch>, to: &Branch) -> Vec<Step> {
        self.services(async |services, netlink| services.plan(&netlink, from, to).await).expect("a plan")
    }

    pub(crate) fn verify(&self) -> Vec<String> {
        let branch = &self.branch;
        self.services(async |services, netlink| services.verify(&netlink, branch).await).expect("a look")
    }

    /// As after a start of the daemon: nothing is remembered.
    pub(crate) fn services<T: Send>(&self, work: impl AsyncFnOnce(Services, Netlink) -> T + Send) -> T {
        let mut services = Services::new(Backend::Direct, self.paths());
        services.set_forwarders(&Family::BOTH.map(far));
        self.inside(async |netlink| work(services, netlink).await)
    }

    pub(crate) fn inside<T: Send>(&self, work: impl AsyncFnOnce(Netlink) -> T + Send) -> T {
        inside(&self.site.gateway, work)
    }

    /// Processes of dnsmasq in the site.
    pub(crate) fn server(&self) -> Vec<String> {
        let here = self.folder.display().to_string();
        let entries = std::fs::read_dir("/proc").expect("processes");
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let ours = names.filter(|id| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.starts_with("/usr/sbin/dnsmasq") && line.contains(&here)
        });
        ours.collect()
    }

    pub(crate) fn kill_server(&self) {
        for id in self.server() {
            let id = nix::unistd::Pid::from_raw(id.parse().expect("a number"));
            nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL).expect("it runs");
            // Its parent looks when it starts another; until then what has ended is still listed.
            let ended = || {
                let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok();
                let state = stat.as_deref().and_then(|text| Some(text.rsplit_once(')')?.1.trim_start().to_owned()));
                state.is_none_or(|state| state.starts_with(['Z', 'X'])).then_some(())
            };
            let waited = causeway::lab::clock::wait_for(Duration::from_secs(20), Duration::from_millis(1), ended);
            waited.expect("a killed process ends");
        }
    }

    /// Whether a connection is made.
    pub(crate) fn talks(&self, host: &Namespace, to: IpAddr, port: u16) -> bool {
        let connect = || TcpStream::connect_timeout(&SocketAddr::new(to, port), Duration::from_secs(2)).is_ok();
        host.enter(connect).expect("inside")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn inside<T: Send>(host: &Namespace, work: impl AsyncFnOnce(Netlink) -> T + Send) -> T {
    host.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { work(Netlink::open().expect("netlink")).await })
    })
    .expect("inside")
}

pub(crate) fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("causeway-services-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// All paths through the first uplink that has the family.
pub(crate) fn first_uplink(branch: &Branch) -> Selections {
    let gateway = &branch.gateway;
    let all = gateway.path_ids().flat_map(|path| Family::BOTH.map(|family| (path, family)));
    all.filter_map(|(path, family)| {
        let first: UplinkId = gateway.paths[path.index()].uplinks().find(|id| gateway.uplink(*id).has(family))?;
        Some(((path, family), Selection(vec![(first, 1)])))
    })
    .collect()
}

fn attendant(site: &Site, branch: &Branch, paths: &Paths) -> Attendant {
    let devices: Vec<String> = branch.gateway.uplinks.iter().map(|uplink| uplink.device.to_string()).collect();
    let gateway = site.gateway.clone();
    let lease = move |device: &str| {
        if let Some(index) = devices.iter().position(|own| own == device) {
            Site::lease(&gateway, device, index).expect("a lease");
        }
    };
    Attendant::start(&site.gateway, paths, lease, || {}).expect("an attendant")
}

fn world_servers(servers: &Servers, internet: &Namespace) {
    use causeway::lab::servers::NAME;
    let known = |name: &str, family| (name == NAME).then(|| far(family));
    servers.udp(internet, 53, move |question| causeway::lab::dns::answer(question, known)).expect("names");
    servers
        .tcp(internet, 80, |stream, _| causeway::lab::servers::http(stream, &|_| causeway::lab::servers::ok("here")))
        .expect("pages");
}
