//! A branch made from any config: the gateway with all its devices, a host on each LAN port, and for each uplink a
//! provider that leads to one internet host. Plain veth pairs; for lines with faults there is [`super::topology`].
//!
//! ```text
//! host on lan0 ── lan0 ┐         ┌ wan0 ── isp0 ─┐
//! host on lan1 ── lan1 ┤ gateway ┤               ├── internet
//! host on lan2 ── lan2 ┘         └ wan1 ── isp1 ─┘
//! ```

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::addresses::{self as plan, prefix_length};
use super::clock;
use super::error::{Doing as _, LabError};
use super::netns::Namespace;
use crate::config::branch::Branch;
use crate::config::model::{Family, LinkName, Name};

/// A machine in the LAN.
#[derive(Debug)]
pub struct Host {
    pub network: Name,
    pub port: LinkName,
    pub host: Namespace,
    folder: PathBuf,
}

#[derive(Debug)]
pub struct Site {
    pub gateway: Namespace,
    pub hosts: Vec<Host>,
    pub providers: Vec<Namespace>,
    pub internet: Namespace,
}

/// What a host got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    pub address: Ipv4Addr,
    pub router: Option<Ipv4Addr>,
    pub dns: Option<Ipv4Addr>,
    pub domain: Option<String>,
    pub seconds: u32,
}

/// RFC 2131's client gives up after a minute; here the server is a veth away, and pings an address before it lends it.
const LEASE_WITHIN: Duration = Duration::from_secs(20);
const ADVERTISED_WITHIN: Duration = Duration::from_secs(15);

impl Site {
    pub fn build(branch: &Branch, folder: &Path) -> Result<Self, LabError> {
        Self::join(branch, folder, Self::internet()?, 0)
    }

    /// One host that has every far address.
    pub fn internet() -> Result<Namespace, LabError> {
        let internet = Namespace::new("internet")?;
        routes(&internet)?;
        let mut lines = "link set lo up\n".to_owned();
        for family in Family::BOTH {
            let (address, length) = (plan::far(family), if family == Family::V4 { 32 } else { 128 });
            writeln!(lines, "address add {address}/{length} dev lo").expect("a String takes all");
        }
        internet.ip(&lines)?;
        Ok(internet)
    }

    /// A branch of several on one internet: its first provider has number `first` there.
    pub fn join(branch: &Branch, folder: &Path, internet: Namespace, first: usize) -> Result<Self, LabError> {
        let gateway = Namespace::new("gateway")?;
        routes(&gateway)?;
        gateway.ip("link set lo up\n")?;
        let mut providers = Vec::new();
        for (index, uplink) in (first..).zip(&branch.gateway.uplinks) {
            providers.push(provider(&gateway, &internet, &uplink.device, index)?);
        }
        let mut hosts = Vec::new();
        for network in &branch.gateway.networks {
            let ports = network.bridged.as_ref().map_or(&network.ports, |bridged| &bridged.untagged);
            for port in ports {
                let host = Namespace::new(&format!("on-{port}"))?;
                quiet(&host)?;
                gateway.ip(&format!("link add {port} type veth peer name eth0 netns {}\n", host.path()))?;
                host.ip("link set lo up\nlink set eth0 up\n")?;
                let folder = folder.join(format!("on-{port}"));
                std::fs::create_dir_all(&folder).doing(|| format!("make {}", folder.display()))?;
                hosts.push(Host { network: network.name.clone(), port: port.clone(), host, folder });
            }
        }
        Ok(Self { gateway, hosts, providers, internet })
    }

    pub fn host(&self, port: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.port.as_str() == port)
    }

    /// What a provider gives by lease: address and default route, as networkd would put them.
    pub fn lease(gateway: &Namespace, device: &str, index: usize) -> Result<(), LabError> {
        let mut lines = String::new();
        for family in Family::BOTH {
            let (address, router) = (plan::wan(family, index, plan::WAN), plan::wan(family, index, plan::PROVIDER));
            let metric = 1_000 + index;
            let flag = if family == Family::V6 { " nodad" } else { "" };
            writeln!(lines, "address replace {address}/{} dev {device}{flag}", prefix_length(family))
                .expect("a String takes all");
            writeln!(lines, "route replace default via {router} dev {device} metric {metric} proto dhcp")
                .expect("a String takes all");
        }
        gateway.ip(&format!("link set {device} up\n{lines}"))
    }
}

impl Host {
    /// A machine that is there already, with a device `eth0`; `folder` gets its notes.
    pub fn of(host: &Namespace, network: Name, port: LinkName, folder: &Path) -> Result<Self, LabError> {
        std::fs::create_dir_all(folder).doing(|| format!("make {}", folder.display()))?;
        Ok(Self { network, port, host: host.clone(), folder: folder.to_owned() })
    }

    /// Asks for a lease as any machine does, and uses it. `None`: nobody answers.
    pub fn lease(&self, name: Option<&str>) -> Result<Option<Leased>, LabError> {
        let (script, note) = (self.folder.join("script"), self.folder.join("lease"));
        let _ = std::fs::remove_file(&note); // there may be none
        write_program(&script, &SCRIPT.replace("NOTE", &note.display().to_string()))?;
        let mut command = Command::new("udhcpc");
        command.args(["-f", "-q", "-n", "-i", "eth0", "-t", "8", "-T", "1", "-s"]).arg(&script);
        if let Some(name) = name {
            command.arg("-x").arg(format!("hostname:{name}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = self.host.start(&mut command)?;
        let ended = clock::wait_for(LEASE_WITHIN, Duration::from_millis(20), || child.try_wait().ok().flatten());
        if ended.is_none() {
            let _ = child.kill(); // it may have ended just now
            let _ = child.wait();
        }
        Ok(std::fs::read_to_string(note).ok().as_deref().and_then(read_note))
    }

    /// The address that the host made from a router's advertisement.
    pub fn advertised(&self) -> Option<IpAddr> {
        clock::wait_for(ADVERTISED_WITHIN, Duration::from_millis(50), || {
            let text =
                self.host.run("ip", &["-6", "-o", "address", "show", "dev", "eth0", "scope", "global"], "").ok()?;
            let text = String::from_utf8_lossy(&text.stdout).into_owned();
            text.split_whitespace().find_map(|word| word.split_once('/')?.0.parse().ok())
        })
    }

    pub fn mac(&self, mac: &str) -> Result<(), LabError> {
        self.host.ip(&format!("link set eth0 down\nlink set eth0 address {mac}\nlink set eth0 up\n"))
    }
}

/// What udhcpc calls with each event.
const SCRIPT: &str = r#"#!/bin/sh
case "$1" in
bound|renew)
    ip -4 address flush dev "$interface" scope global
    ip address add "$ip/$mask" dev "$interface"
    [ -z "$router" ] || ip route replace default via "${router%% *}" dev "$interface"
    printf '%s\n' "ip $ip" "router $router" "dns $dns" "domain $domain" "lease $lease" > 'NOTE.new'
    mv 'NOTE.new' 'NOTE'
    ;;
esac
"#;

fn read_note(text: &str) -> Option<Leased> {
    let field = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    let first = |key: &str| field(key)?.split_whitespace().next()?.parse().ok();
    Some(Leased {
        address: first("ip")?,
        router: first("router"),
        dns: first("dns"),
        domain: field("domain").map(str::to_owned).filter(|domain| !domain.is_empty()),
        seconds: field("lease")?.parse().ok()?,
    })
}

fn write_program(path: &Path, text: &str) -> Result<(), LabError> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).doing(|| format!("write {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .doing(|| format!("let {} be executed", path.display()))
}

fn quiet(host: &Namespace) -> Result<(), LabError> {
    host.sysctl(&[
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/dad_transmits", "0"),
        ("ipv4/icmp_ratelimit", "0"),
        ("ipv6/icmp/ratelimit", "0"),
        ("ipv4/ping_group_range", "0 0"),
        // Hosts do not wait a second before they ask for a router.
        ("ipv6/conf/default/router_solicitation_delay", "0"),
    ])
}

fn routes(router: &Namespace) -> Result<(), LabError> {
    quiet(router)?;
    router.sysctl(&[
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
    ])
}

fn provider(gateway: &Namespace, internet: &Namespace, device: &LinkName, index: usize) -> Result<Namespace, LabError> {
    let provider = Namespace::new(&format!("isp{index}"))?;
    routes(&provider)?;
    gateway.ip(&format!("link add {device} type veth peer name line netns {}\n", provider.path()))?;
    internet.ip(&format!("link add isp{index} type veth peer name core netns {}\n", provider.path()))?;
    let (mut here, mut there) = (format!("link set isp{index} up\n"), "link set lo up\n".to_owned());
    for name in ["line", "core"] {
        writeln!(there, "link set {name} up").expect("a String takes all");
    }
    for family in Family::BOTH {
        let (length, wan) = (prefix_length(family), |host| plan::wan(family, index, host));
        let (core, edge) = (plan::transit(family, index, plan::CORE), plan::transit(family, index, plan::EDGE));
        writeln!(here, "address add {core}/{length} dev isp{index}").expect("a String takes all");
        writeln!(there, "address add {}/{length} dev line", wan(plan::PROVIDER)).expect("a String takes all");
        writeln!(there, "address add {edge}/{length} dev core").expect("a String takes all");
        writeln!(there, "route add default via {core}").expect("a String takes all");
        writeln!(here, "route add {}/{length} via {edge}", wan(0)).expect("a String takes all");
    }
    // The near ends must be up before there are routes over them.
    provider.ip(&there)?;
    internet.ip(&here)?;
    Ok(provider)
}
