//! The difference between what is there and what a branch needs, as steps. Pure. What does not differ makes no step, so
//! nothing restarts and nothing is configured anew without need; undoing is the same function with the old branch.

use std::collections::{BTreeMap, BTreeSet};

use super::Backend;
use super::dnsmasq::{CONF, HOSTS, NAMES, Rendered, SERVERS};
use super::links::{self, LinkStep, Links};
use super::networkd::{Files, PREFIX, closed};
use super::text::parse;
use crate::config::Disturbance;
use crate::config::model::Bridged;

/// What was read back.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Ours among networkd's files.
    pub(super) network: BTreeMap<String, String>,
    pub(super) dnsmasq: BTreeMap<String, String>,
    pub(super) keys: Option<String>,
    pub(super) links: links::Found,
    pub(super) serving: Serving,
}

/// What dnsmasq says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Serving {
    /// No network has its address yet.
    #[default]
    NotAsked,
    Silent,
    /// By its digest.
    Conf(String),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) network: Files,
    pub(super) dnsmasq: Option<Rendered>,
    /// sshd's list.
    pub(super) keys: Option<String>,
    /// Devices of uplinks, to tell theirs from the LAN's.
    pub(super) uplinks: BTreeSet<String>,
    pub(super) links: Links,
}

impl Wanted {
    pub(super) fn section_of(&self, device: &str) -> Section {
        if self.uplinks.contains(device) { Section::Uplinks } else { Section::Networks }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folder {
    Network,
    Dnsmasq,
    Access,
}

/// The part of the config that a step belongs to: each may be left alone when somebody else changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Uplinks,
    Networks,
    Dns,
    Access,
}

impl Section {
    pub(super) const ALL: [Self; 4] = [Self::Uplinks, Self::Networks, Self::Dns, Self::Access];
}

/// What a unit of systemd does when it sees the flag; each is one fixed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// As `networkctl reload`, by a signal
    NetworkdReload,
    /// Restart, or stop when there is no conf any more.
    DnsmasqRestart,
    /// SIGHUP
    DnsmasqReload,
    /// For whoever plays the client for leases where no networkd does.
    Reconfigure { device: String },
}

impl Flag {
    pub(super) fn name(&self) -> String {
        match self {
            Self::NetworkdReload => "networkd-reload".to_owned(),
            Self::DnsmasqRestart => "dnsmasq-restart".to_owned(),
            Self::DnsmasqReload => "dnsmasq-reload".to_owned(),
            Self::Reconfigure { device } => format!("reconfigure-{device}"),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::NetworkdReload => "let systemd-networkd read its files".to_owned(),
            Self::DnsmasqRestart => "restart dnsmasq".to_owned(),
            Self::DnsmasqReload => "let dnsmasq read its lists".to_owned(),
            Self::Reconfigure { device } => format!("ask for a new lease on {device}"),
        }
    }
}

/// One step, printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub(super) act: Act,
    disturbance: Disturbance,
    /// The old and the new config agree here: somebody else changed it.
    drift: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Write { folder: Folder, name: String, text: String, new: bool },
    Remove { folder: Folder, name: String },
    Link(LinkStep),
    Raise(Flag),
}

impl Step {
    fn new(act: Act, disturbance: Disturbance) -> Self {
        Self { act, disturbance, drift: false }
    }

    /// What is done, with what it disturbs.
    pub fn describe(&self) -> String {
        let words = match &self.act {
            Act::Write { name, new: true, .. } => format!("write {name}"),
            Act::Write { name, new: false, .. } => format!("replace {name}"),
            Act::Remove { name, .. } => format!("remove {name}"),
            Act::Link(step) => step.describe(),
            Act::Raise(flag) => flag.describe(),
        };
        let drift = if self.drift { ", which somebody changed" } else { "" };
        let disturbs = match self.disturbance {
            Disturbance::None => "",
            Disturbance::Blip => " (blip: names and leases pause under a second)",
            Disturbance::Cut => " (cut: its flows may end)",
        };
        format!("{words}{drift}{disturbs}")
    }

    pub(super) fn section(&self, wanted: &Wanted) -> Section {
        let of = |device: Option<&str>| device.map_or(Section::Networks, |device| wanted.section_of(device));
        match &self.act {
            Act::Write { folder: Folder::Network, name, .. } | Act::Remove { folder: Folder::Network, name } => {
                of(device_of(name))
            }
            // Leases and listening addresses stand in the conf, names and servers in lists of their own.
            Act::Write { folder: Folder::Dnsmasq, name, .. } | Act::Remove { folder: Folder::Dnsmasq, name } => {
                if [NAMES, SERVERS].contains(&name.as_str()) { Section::Dns } else { Section::Networks }
            }
            Act::Write { folder: Folder::Access, .. } | Act::Remove { folder: Folder::Access, .. } => Section::Access,
            Act::Link(step) => of(Some(step.device())),
            Act::Raise(Flag::NetworkdReload) => Section::Networks,
            Act::Raise(Flag::DnsmasqRestart | Flag::DnsmasqReload) => Section::Dns,
            Act::Raise(Flag::Reconfigure { device }) => of(Some(device)),
        }
    }

    pub fn disturbance(&self) -> Disturbance {
        self.disturbance
    }
}

/// Files, then links in, then services, then what goes.
pub(super) fn plan(found: &Found, wanted: &Wanted, backend: Backend) -> Vec<Step> {
    let mut steps = Vec::new();
    let changed = network_files(found, wanted, backend, &mut steps);
    let links = links::plan(&found.links, &wanted.links);
    let (out, into): (Vec<LinkStep>, Vec<LinkStep>) = links.into_iter().partition(LinkStep::is_removal);
    match backend {
        Backend::Networkd => {
            if !changed.is_empty() {
                steps.push(Step::new(Act::Raise(Flag::NetworkdReload), Disturbance::None));
            }
        }
        Backend::Direct => {
            steps.extend(into.into_iter().map(|step| link_step(found, step)));
            for device in changed.iter().filter_map(|name| device_of(name)).filter(|device| asks(found, wanted, device))
            {
                let device = device.to_owned();
                steps.push(Step::new(Act::Raise(Flag::Reconfigure { device }), Disturbance::Cut));
            }
        }
    }
    dnsmasq(found, wanted.dnsmasq.as_ref(), &mut steps);
    if found.keys != wanted.keys {
        let (folder, name) = (Folder::Access, super::access::KEYS.to_owned());
        let act = match &wanted.keys {
            Some(text) => Act::Write { folder, name, text: text.clone(), new: found.keys.is_none() },
            None => Act::Remove { folder, name },
        };
        steps.push(Step::new(act, Disturbance::None));
    }
    let left = match backend {
        Backend::Networkd => left_by_networkd(found, wanted, &changed),
        Backend::Direct => Vec::new(),
    };
    steps.extend(left.into_iter().chain(out).map(|step| Step::new(Act::Link(step), Disturbance::Cut)));
    steps
}

/// Addresses that our old files gave and the new ones do not. networkd takes them away when it configures a device anew,
/// but not when it was restarted meanwhile and no longer knows them for its own. Of a device that is closed, all.
fn left_by_networkd(found: &Found, wanted: &Wanted, changed: &BTreeSet<String>) -> Vec<LinkStep> {
    let mut steps = Vec::new();
    for name in changed.iter().filter(|name| name.ends_with(".network")) {
        let (Some(device), Some(old)) = (device_of(name), found.network.get(name)) else { continue };
        let given: BTreeSet<String> =
            parse(old).into_iter().filter(|entry| entry.key == "Address").map(|entry| entry.value).collect();
        let is_closed = !wanted.network.contains_key(name);
        let here = found.links.addresses.iter().filter(|(own, ..)| own == device);
        let gone = here.filter(|(_, net, _)| is_closed || given.contains(&net.to_string()));
        let kept = |net| wanted.links.addresses.iter().any(|(own, have)| own.as_str() == device && have == net);
        let stale = gone.filter(|(_, net, _)| !kept(net));
        steps.extend(stale.map(|(_, net, _)| LinkStep::RemoveAddress { device: device.to_owned(), net: *net }));
    }
    steps
}

/// Marks what differs although both configs want the same.
pub(super) fn mark_drift(steps: &mut [Step], from: &Wanted, to: &Wanted) {
    for step in steps {
        if let Act::Write { name, text, new: false, .. } = &step.act {
            let before = from
                .network
                .get(name)
                .or_else(|| lists(from.dnsmasq.as_ref()?).find(|(own, _)| own == name).map(|(_, text)| text));
            step.drift = before == Some(text) && from.links == to.links;
        }
    }
}

/// Returns the names that differ.
fn network_files(found: &Found, wanted: &Wanted, backend: Backend, steps: &mut Vec<Step>) -> BTreeSet<String> {
    // What networkd has been told, but the kernel does not have: told once more, by a file that is newer.
    let again: BTreeSet<String> = match backend {
        Backend::Networkd => links::undone(&found.links, &wanted.links).into_iter().map(|(device, _)| device).collect(),
        Backend::Direct => BTreeSet::new(),
    };
    let mut changed = BTreeSet::new();
    let mut write = |name: &str, text: &str, changed: &mut BTreeSet<String>| {
        let have = found.network.get(name);
        let disturbance = match have {
            None => Disturbance::None,
            // The bridge itself carries no address.
            Some(_) if device_of(name) == Some(Bridged::BRIDGE) => Disturbance::Blip,
            Some(_) => Disturbance::Cut,
        };
        let act =
            Act::Write { folder: Folder::Network, name: name.to_owned(), text: text.to_owned(), new: have.is_none() };
        steps.push(Step::new(act, disturbance));
        changed.insert(name.to_owned());
    };
    for (name, text) in &wanted.network {
        let repeat = device_of(name).is_some_and(|device| name.ends_with(".network") && again.contains(device));
        if found.network.get(name) != Some(text) || repeat {
            write(name, text, &mut changed);
        }
    }
    let mut gone = Vec::new();
    for (name, have) in &found.network {
        if wanted.network.contains_key(name) {
            continue;
        }
        match (backend, device_of(name)) {
            // Without its file networkd would leave the device as it is. With an empty one it takes everything off.
            (Backend::Networkd, Some(device)) if name.ends_with(".network") && !is_made(device) => {
                if let Some(text) = closed(device)
                    && text != *have
                {
                    write(name, &text, &mut changed);
                }
            }
            (Backend::Networkd | Backend::Direct, _) => gone.push(name.clone()),
        }
    }
    for name in gone {
        steps.push(Step::new(Act::Remove { folder: Folder::Network, name: name.clone() }, Disturbance::Cut));
        changed.insert(name);
    }
    changed
}

/// The device that a file of ours is about.
fn device_of(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(PREFIX)?;
    rest.strip_suffix(".network").or_else(|| rest.strip_suffix(".netdev"))
}

/// networkd makes it, we take it away.
fn is_made(device: &str) -> bool {
    device.strip_prefix(Bridged::BRIDGE).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// It gets its address by a lease, or did.
fn asks(found: &Found, wanted: &Wanted, device: &str) -> bool {
    let name = format!("{PREFIX}{device}.network");
    let leased =
        |text: &String| ["DHCP=yes", "DHCP=ipv4", "DHCP=ipv6", "IPv6AcceptRA=yes"].iter().any(|it| text.contains(it));
    found.network.get(&name).is_some_and(leased) || wanted.network.get(&name).is_some_and(leased)
}

fn link_step(found: &Found, step: LinkStep) -> Step {
    let disturbance = match &step {
        // A port that was in another network.
        LinkStep::Join { port, .. } if found.links.device(port).is_some_and(|port| port.member_of.is_some()) => {
            Disturbance::Cut
        }
        LinkStep::Join { .. }
        | LinkStep::AddBridge { .. }
        | LinkStep::Up { .. }
        | LinkStep::AddAddress { .. }
        | LinkStep::AddDefault(_) => Disturbance::None,
        LinkStep::RemoveDefault { .. }
        | LinkStep::RemoveAddress { .. }
        | LinkStep::Leave { .. }
        | LinkStep::RemoveDevice { .. } => Disturbance::Cut,
    };
    Step::new(Act::Link(step), disturbance)
}

pub(super) fn lists(rendered: &Rendered) -> impl Iterator<Item = (&'static str, &String)> {
    [(CONF, &rendered.conf), (HOSTS, &rendered.hosts), (NAMES, &rendered.names), (SERVERS, &rendered.servers)]
        .into_iter()
}

fn dnsmasq(found: &Found, wanted: Option<&Rendered>, steps: &mut Vec<Step>) {
    let Some(wanted) = wanted else {
        for name in found.dnsmasq.keys() {
            let act = Act::Remove { folder: Folder::Dnsmasq, name: name.clone() };
            steps.push(Step::new(act, Disturbance::None));
        }
        if found.dnsmasq.contains_key(CONF) {
            steps.push(Step::new(Act::Raise(Flag::DnsmasqRestart), Disturbance::Cut));
        }
        return;
    };
    let mut read_again = false;
    let mut restart = match &found.serving {
        Serving::NotAsked => false,
        Serving::Silent => true,
        Serving::Conf(generation) => *generation != wanted.generation,
    };
    for (name, text) in lists(wanted) {
        let have = found.dnsmasq.get(name);
        if have != Some(text) {
            restart |= name == CONF;
            read_again = true;
            let act =
                Act::Write { folder: Folder::Dnsmasq, name: name.to_owned(), text: text.clone(), new: have.is_none() };
            steps.push(Step::new(act, Disturbance::None));
        }
    }
    if restart {
        steps.push(Step::new(Act::Raise(Flag::DnsmasqRestart), Disturbance::Blip));
    } else if read_again {
        steps.push(Step::new(Act::Raise(Flag::DnsmasqReload), Disturbance::None));
    }
}
