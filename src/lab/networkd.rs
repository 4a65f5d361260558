//! What systemd-networkd does on a real gateway: addresses and default routes of uplinks, in table `main`, with its
//! protocol and metric. The daemon only ever learns them from the kernel.

use std::net::IpAddr;

use super::addresses::{self as plan, prefix_length};
use super::error::LabError;
use super::netns::Namespace;
use super::topology::device_name;
use crate::config::model::Family;

/// The gateway has the same host part in both families of an uplink: what DHCP and RA gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub host: u8,
    pub router: u8,
    /// Without it the provider gives IPv6 only.
    pub ipv4: bool,
}

impl Lease {
    pub fn first(ipv4: bool) -> Self {
        Self { host: plan::WAN, router: plan::PROVIDER, ipv4 }
    }

    fn families(self) -> &'static [Family] {
        if self.ipv4 { &Family::BOTH } else { &[Family::V6] }
    }
}

pub fn uplink_up(gateway: &Namespace, index: usize, lease: Lease) -> Result<(), LabError> {
    let device = device_name(index);
    // The lab is the DHCP client here; router advertisements would bring a second set.
    gateway.sysctl(&[(&format!("ipv6/conf/{device}/accept_ra"), "0")])?;
    gateway.ip(&format!("link set {device} up\n{}", lease_lines(index, lease)))
}

pub fn provider_up(provider: &Namespace, index: usize) -> Result<(), LabError> {
    provider.ip(&format!("{}link set line up\n", provider_lines(index, plan::PROVIDER)))
}

/// A lease that replaces another: new address first, then the old one goes, as networkd does.
pub fn renew(gateway: &Namespace, index: usize, old: Lease, new: Lease) -> Result<(), LabError> {
    if old.host == new.host {
        return gateway.ip(&default_lines(index, new, "replace"));
    }
    gateway.ip(&format!("{}{}", lease_lines(index, new), forget_lines(index, old)))
}

/// The cable is out: networkd drops the lease, and with the addresses go their routes.
pub fn lose(gateway: &Namespace, index: usize, lease: Lease) -> Result<(), LabError> {
    let router = plan::wan(Family::V6, index, lease.router);
    let route = format!("route del default via {router} dev {} proto ra\n", device_name(index));
    gateway.ip(&(route + &forget_lines(index, lease)))
}

pub fn regain(gateway: &Namespace, index: usize, lease: Lease) -> Result<(), LabError> {
    gateway.ip(&lease_lines(index, lease))
}

/// The provider's router moves to another address; the old one is silent from then on.
pub fn move_router(provider: &Namespace, index: usize, from: u8, to: u8) -> Result<(), LabError> {
    let old: String = Family::BOTH
        .into_iter()
        .map(|family| format!("address del {}/{} dev line\n", plan::wan(family, index, from), prefix_length(family)))
        .collect();
    provider.ip(&format!("{}{old}", provider_lines(index, to)))
}

/// The same net with another host part.
pub fn with_host(address: IpAddr, host: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::from([a, b, c, host])
        }
        IpAddr::V6(v6) => {
            let mut segments = v6.segments();
            segments[7] = u16::from(host);
            IpAddr::from(segments)
        }
    }
}

fn provider_lines(index: usize, router: u8) -> String {
    Family::BOTH
        .into_iter()
        .map(|family| {
            let flag = if family == Family::V6 { " nodad" } else { "" };
            let address = plan::wan(family, index, router);
            format!("address add {address}/{} dev line{flag}\n", prefix_length(family))
        })
        .collect()
}

fn lease_lines(index: usize, lease: Lease) -> String {
    let device = device_name(index);
    let addresses = lease.families().iter().map(|family| {
        let flag = if *family == Family::V6 { " nodad" } else { "" };
        let address = plan::wan(*family, index, lease.host);
        format!("address add {address}/{} dev {device}{flag}\n", prefix_length(*family))
    });
    addresses.collect::<String>() + &default_lines(index, lease, "append")
}

fn default_lines(index: usize, lease: Lease, verb: &str) -> String {
    let device = device_name(index);
    // networkd's own: the better device has the lower metric; the daemon must not depend on it.
    let metric = 100 + index;
    let lines = lease.families().iter().map(|family| {
        let (router, address) = (plan::wan(*family, index, lease.router), plan::wan(*family, index, lease.host));
        // IPv6 tells two routes of one metric apart by their router only, so an old lease's would be in the way.
        let (verb, learnt) = match family {
            Family::V4 => (verb, format!("proto dhcp src {address}")),
            Family::V6 => ("replace", "proto ra".to_owned()),
        };
        format!("route {verb} default via {router} dev {device} {learnt} metric {metric}\n")
    });
    lines.collect()
}

/// IPv4 routes go with their source address.
fn forget_lines(index: usize, lease: Lease) -> String {
    let device = device_name(index);
    let lines = lease.families().iter().map(|family| {
        let address = plan::wan(*family, index, lease.host);
        format!("address del {address}/{} dev {device}\n", prefix_length(*family))
    });
    lines.collect()
}
