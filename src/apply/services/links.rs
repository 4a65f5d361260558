//! The links, addresses and static default routes that a branch needs, and the steps from what the kernel has to them.
//! Pure. Two shapes: one bridge that tells VLANs apart (the product), or a plain bridge for each network, where the
//! kernel has neither VLAN devices nor filtering (the lab). The device of a network has one name in both.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::branch::Branch;
use crate::config::model::{Bridged, Ipv4Mode, Ipv6Mode, LinkName, Network, Uplink};

/// Added to an uplink's place: metric of its default route in table `main`, where our tables learn it.
pub const UPLINK_METRIC: u32 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `br-lan` filters VLANs; each network has a VLAN device on it.
    OneBridge,
    /// A bridge named as the VLAN device would be; nothing can be tagged.
    BridgePerNetwork,
}

/// A network needs what this shape cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("network `{network}` is tagged on {port}, and here is no VLAN: each network has a plain bridge")]
pub struct Tagged {
    pub network: String,
    pub port: String,
}

/// What the kernel should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Bridges and their members.
    pub bridges: BTreeMap<LinkName, BTreeSet<LinkName>>,
    /// VLAN devices on `br-lan`.
    pub vlans: BTreeMap<LinkName, u16>,
    pub addresses: BTreeSet<(LinkName, IpNet)>,
    pub defaults: BTreeSet<Default>,
    /// Devices that must be up.
    pub up: BTreeSet<LinkName>,
    /// All devices the config names: none of them is removed, whatever it is called.
    pub named: BTreeSet<LinkName>,
}

/// A default route in `main`, `proto static`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Default {
    pub device: LinkName,
    pub via: IpAddr,
    pub metric: u32,
}

/// What the kernel has, as far as it concerns us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub devices: Vec<Device>,
    /// Device, address, and whether we put it there (`IFA_PROTO`).
    pub addresses: Vec<(String, IpNet, bool)>,
    /// Device, gateway, metric: `proto static` with a metric of ours.
    pub defaults: Vec<(String, IpAddr, u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub index: u32,
    pub name: String,
    pub kind: Kind,
    /// The bridge it is a member of.
    pub member_of: Option<u32>,
    pub up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bridge,
    Vlan(u16),
    Other,
}

/// One change by netlink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkStep {
    AddBridge { device: LinkName },
    Join { port: LinkName, bridge: LinkName },
    Up { device: LinkName },
    AddAddress { device: LinkName, net: IpNet },
    AddDefault(Default),
    RemoveDefault { device: String, via: IpAddr, metric: u32 },
    RemoveAddress { device: String, net: IpNet },
    Leave { port: String },
    RemoveDevice { device: String },
}

impl LinkStep {
    /// Whose it is.
    pub(super) fn device(&self) -> &str {
        match self {
            Self::AddBridge { device } | Self::Up { device } | Self::AddAddress { device, .. } => device.as_str(),
            Self::AddDefault(default) => default.device.as_str(),
            Self::Join { port, .. } => port.as_str(),
            Self::RemoveDefault { device, .. } | Self::RemoveAddress { device, .. } | Self::RemoveDevice { device } => {
                device
            }
            Self::Leave { port } => port,
        }
    }

    pub(super) fn is_removal(&self) -> bool {
        match self {
            Self::AddBridge { .. }
            | Self::Join { .. }
            | Self::Up { .. }
            | Self::AddAddress { .. }
            | Self::AddDefault(_) => false,
            Self::RemoveDefault { .. }
            | Self::RemoveAddress { .. }
            | Self::Leave { .. }
            | Self::RemoveDevice { .. } => true,
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Self::AddBridge { device } => format!("add bridge {device}"),
            Self::Join { port, bridge } => format!("make {port} a port of {bridge}"),
            Self::Up { device } => format!("set {device} up"),
            Self::AddAddress { device, net } => format!("add address {net} to {device}"),
            Self::AddDefault(Default { device, via, metric }) => {
                format!("add default via {via} dev {device} metric {metric}")
            }
            Self::RemoveDefault { device, via, metric } => {
                format!("remove default via {via} dev {device} metric {metric}")
            }
            Self::RemoveAddress { device, net } => format!("remove address {net} from {device}"),
            Self::Leave { port } => format!("take {port} out of its bridge"),
            Self::RemoveDevice { device } => format!("remove device {device}"),
        }
    }
}

impl Found {
    pub fn device(&self, name: &LinkName) -> Option<&Device> {
        self.devices.iter().find(|device| device.name == name.as_str())
    }

    pub fn has_address(&self, device: &LinkName, net: &IpNet) -> bool {
        self.addresses.iter().any(|(name, have, _)| name == device.as_str() && have == net)
    }

    fn master_of(&self, device: &Device) -> Option<&Device> {
        self.devices.iter().find(|other| Some(other.index) == device.member_of)
    }
}

/// The device that has the gateway's address in a network. `None`: there are several and no bridge, so whoever made them
/// gives them addresses, too.
pub fn device_of(network: &Network) -> Option<&LinkName> {
    match network.ports.as_slice() {
        [only] => Some(only),
        [] | [_, ..] => None,
    }
}

/// The gateway's own address in a network: the first.
pub fn own4(net: Ipv4Net) -> IpNet {
    let first = u32::from(net.network()).saturating_add(1);
    IpNet::V4(Ipv4Net::new(first.into(), net.prefix_len()).expect("the length is that of a network"))
}

pub fn own6(net: Ipv6Net) -> IpNet {
    let first = u128::from(net.network()).saturating_add(1);
    IpNet::V6(Ipv6Net::new(first.into(), net.prefix_len()).expect("the length is that of a network"))
}

/// The gateway's addresses in a network.
pub fn own(network: &Network) -> impl Iterator<Item = IpNet> + use<> {
    network.net.map(own4).into_iter().chain(network.net6.map(own6))
}

/// Metric of an uplink's default route in `main`.
pub(super) fn metric(index: usize) -> u32 {
    UPLINK_METRIC + u32::try_from(index).unwrap_or(u32::MAX - UPLINK_METRIC)
}

pub fn links(branch: &Branch, shape: Shape) -> Result<Links, Tagged> {
    let mut links = Links::default();
    let bridge = LinkName::new(Bridged::BRIDGE).expect("a name of ours");
    for network in &branch.gateway.networks {
        links.named.extend(network.ports.iter().cloned());
        if let Some(bridged) = &network.bridged {
            let device = Bridged::device(bridged.vlan);
            links.named.extend(bridged.untagged.iter().chain(&bridged.tagged).cloned());
            links.up.extend(bridged.untagged.iter().chain(&bridged.tagged).cloned());
            match shape {
                Shape::OneBridge => {
                    let members = links.bridges.entry(bridge.clone()).or_default();
                    members.extend(bridged.untagged.iter().chain(&bridged.tagged).cloned());
                    links.vlans.insert(device.clone(), bridged.vlan);
                    links.up.insert(bridge.clone());
                }
                Shape::BridgePerNetwork => {
                    if let Some(port) = bridged.tagged.first() {
                        let (network, port) = (network.name.to_string(), port.to_string());
                        return Err(Tagged { network, port });
                    }
                    links.bridges.insert(device.clone(), bridged.untagged.iter().cloned().collect());
                }
            }
        }
        if let Some(device) = device_of(network) {
            links.up.insert(device.clone());
            links.addresses.extend(own(network).map(|net| (device.clone(), net)));
        }
    }
    for (index, uplink) in branch.gateway.uplinks.iter().enumerate() {
        links.named.insert(uplink.device.clone());
        links.up.insert(uplink.device.clone());
        for (net, via) in fixed(uplink) {
            links.addresses.insert((uplink.device.clone(), net));
            links.defaults.insert(Default { device: uplink.device.clone(), via, metric: metric(index) });
        }
    }
    Ok(links)
}

/// Addresses and gateways that the config gives an uplink.
fn fixed(uplink: &Uplink) -> impl Iterator<Item = (IpNet, IpAddr)> + use<> {
    let v4 = match &uplink.ipv4 {
        Ipv4Mode::Static { address, gateway, dns: _ } => Some((IpNet::V4(*address), IpAddr::V4(*gateway))),
        Ipv4Mode::Off | Ipv4Mode::Dhcp => None,
    };
    let v6 = match &uplink.ipv6 {
        Ipv6Mode::Static { address, gateway, dns: _ } => Some((IpNet::V6(*address), IpAddr::V6(*gateway))),
        Ipv6Mode::Off | Ipv6Mode::Native | Ipv6Mode::Nat66 | Ipv6Mode::Npt => None,
    };
    v4.into_iter().chain(v6)
}

/// What is missing first, in the order in which it can be put in; then what is too much. A device that is not there is no
/// step: it may be plugged in tomorrow, and [`missing`] names it.
pub fn plan(found: &Found, wanted: &Links) -> Vec<LinkStep> {
    let mut steps = Vec::new();
    let will_be = |device: &LinkName| found.device(device).is_some() || wanted.bridges.contains_key(device);
    let new = wanted.bridges.keys().filter(|bridge| found.device(bridge).is_none());
    steps.extend(new.map(|device| LinkStep::AddBridge { device: device.clone() }));
    for (bridge, members) in &wanted.bridges {
        for port in members {
            let Some(have) = found.device(port) else { continue };
            if found.master_of(have).is_none_or(|master| master.name != bridge.as_str()) {
                steps.push(LinkStep::Join { port: port.clone(), bridge: bridge.clone() });
            }
        }
    }
    // Addresses before the device is up, so that nobody sees it without.
    for (device, net) in &wanted.addresses {
        if will_be(device) && !found.has_address(device, net) {
            steps.push(LinkStep::AddAddress { device: device.clone(), net: *net });
        }
    }
    for device in wanted.up.iter().filter(|device| will_be(device)) {
        if found.device(device).is_none_or(|device| !device.up) {
            steps.push(LinkStep::Up { device: device.clone() });
        }
    }
    for default in wanted.defaults.iter().filter(|default| will_be(&default.device)) {
        let same = |(device, via, metric): &(String, IpAddr, u32)| {
            device == default.device.as_str() && *via == default.via && *metric == default.metric
        };
        if !found.defaults.iter().any(same) {
            steps.push(LinkStep::AddDefault(default.clone()));
        }
    }
    removals(found, wanted, &mut steps);
    steps
}

fn removals(found: &Found, wanted: &Links, steps: &mut Vec<LinkStep>) {
    for (device, via, metric) in &found.defaults {
        let same = |it: &Default| it.device.as_str() == device && it.via == *via && it.metric == *metric;
        if !wanted.defaults.iter().any(same) {
            steps.push(LinkStep::RemoveDefault { device: device.clone(), via: *via, metric: *metric });
        }
    }
    for (device, net, _) in found.addresses.iter().filter(|(_, _, ours)| *ours) {
        if !wanted.addresses.iter().any(|(wanted, have)| wanted.as_str() == device && have == net) {
            steps.push(LinkStep::RemoveAddress { device: device.clone(), net: *net });
        }
    }
    let stays = |name: &str| wanted.bridges.keys().chain(wanted.vlans.keys()).any(|device| device.as_str() == name);
    for device in &found.devices {
        let Some(master) = found.master_of(device).filter(|master| is_ours(master, wanted)) else { continue };
        let members = || wanted.bridges.values().flatten().any(|port| port.as_str() == device.name);
        if stays(&master.name) && !members() {
            steps.push(LinkStep::Leave { port: device.name.clone() });
        }
    }
    for device in found.devices.iter().filter(|device| is_ours(device, wanted) && !stays(&device.name)) {
        steps.push(LinkStep::RemoveDevice { device: device.name.clone() });
    }
}

/// `br-lan` and `br-lan.VLAN` are our names, unless the config says that somebody else made one of them.
fn is_ours(device: &Device, wanted: &Links) -> bool {
    let named = |name: &LinkName| {
        name.as_str() == device.name && !wanted.bridges.contains_key(name) && !wanted.vlans.contains_key(name)
    };
    let ours = match device.name.strip_prefix(Bridged::BRIDGE) {
        Some("") => device.kind == Kind::Bridge,
        Some(rest) => {
            let number = rest.strip_prefix('.').and_then(|digits| digits.parse::<u16>().ok());
            number.is_some_and(|number| device.kind == Kind::Bridge || device.kind == Kind::Vlan(number))
        }
        None => false,
    };
    ours && !wanted.named.iter().any(named)
}

/// Devices that the config names and the kernel does not have, in words.
pub(super) fn missing(found: &Found, wanted: &Links) -> Vec<String> {
    let made = |device: &LinkName| wanted.bridges.contains_key(device) || wanted.vlans.contains_key(device);
    let absent = wanted.named.iter().filter(|device| !made(device) && found.device(device).is_none());
    absent.map(|device| format!("device {device} is not there")).collect()
}

/// What networkd has not done, by device and in words. It makes VLAN devices and sets addresses itself, so this looks at
/// all of them, not at those with a mark of ours.
pub(super) fn undone(found: &Found, wanted: &Links) -> Vec<(String, String)> {
    let steps = plan(found, wanted).into_iter().filter(|step| !step.is_removal());
    let mut undone: Vec<(String, String)> = steps
        .map(|step| {
            let words = step.describe();
            let device = match step {
                LinkStep::AddBridge { device } | LinkStep::Up { device } | LinkStep::AddAddress { device, .. } => {
                    device.to_string()
                }
                LinkStep::Join { port, .. } => port.to_string(),
                LinkStep::AddDefault(default) => default.device.to_string(),
                LinkStep::RemoveDefault { device, .. }
                | LinkStep::RemoveAddress { device, .. }
                | LinkStep::RemoveDevice { device }
                | LinkStep::Leave { port: device } => device,
            };
            (device, words)
        })
        .collect();
    for (device, vlan) in &wanted.vlans {
        if found.device(device).is_none_or(|have| have.kind != Kind::Vlan(*vlan)) {
            undone.push((device.to_string(), format!("add VLAN {vlan} as {device}")));
        }
    }
    undone
}
