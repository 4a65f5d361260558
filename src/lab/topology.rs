//! The branch and the world around it, as namespaces and links:
//!
//! ```text
//! lan1 ─┐                          ┌─ (line a) ─ isp-a ─┐            ┌─ far      servers behind a strict firewall
//!       ├─ switch ─ lan0 gateway ──┤   wan0             ├─ internet ─┤
//! lan2 ─┘                          └─ (line b) ─ isp-b ─┘  targets   └─ office   head office
//!                                      wan1
//! ```
//!
//! Lines are the link emulator's ([`super::line`]), all else are veth pairs. Both families everywhere.

use std::sync::Arc;

use super::addresses::{self as plan, prefix_length};
use super::error::LabError;
use super::line::Impairment;
use super::line::port::Port;
use super::line::wire::{Line, Wire};
use super::netns::Namespace;
use super::sandbox::Published;
use super::servers::Servers;
use super::{networkd, provider, sandbox, warm};
use crate::config::model::Family;

/// What one uplink is like at the start.
#[derive(Clone, Debug, Default)]
pub struct UplinkPlan {
    pub up: Impairment,
    pub down: Impairment,
    pub ipv6_only: bool,
}

#[derive(Clone, Debug)]
pub struct BranchPlan {
    /// Uplink `a` first; the gateway calls them `wan0`, `wan1`, ….
    pub uplinks: Vec<UplinkPlan>,
    pub seed: u64,
}

impl BranchPlan {
    /// Two good lines.
    pub fn usual() -> Self {
        Self { uplinks: vec![UplinkPlan::default(); 2], seed: 1 }
    }
}

/// Letters for the first 26 uplinks, then `u26`, …: also the names in the daemon's config.
pub fn uplink_name(index: usize) -> String {
    match u8::try_from(index) {
        Ok(small) if small < 26 => char::from(b'a' + small).to_string(),
        _ => format!("u{index}"),
    }
}

pub fn device_name(index: usize) -> String {
    format!("wan{index}")
}

/// A whole lab. Dropping it takes it down.
#[derive(Debug)]
pub struct Branch {
    pub lan1: Namespace,
    pub lan2: Namespace,
    pub gateway: Namespace,
    pub internet: Namespace,
    pub far: Namespace,
    pub office: Namespace,
    pub providers: Vec<Namespace>,
    pub lines: Vec<Arc<Line>>,
    // Dropped in this order: first nobody sends any more, then the namespaces go.
    _wire: Wire,
    _servers: Servers,
    _switch: Namespace,
    _wires: Namespace,
}

impl Branch {
    pub fn build(branch: &BranchPlan) -> Result<Self, LabError> {
        let count = branch.uplinks.len();
        if count == 0 || count > plan::MOST_UPLINKS {
            return Err(LabError::Other(format!("{count} uplinks, a branch has 1 to {}", plan::MOST_UPLINKS)));
        }
        let [lan1, lan2, switch, gateway, internet, far, office, wires] =
            ["lan1", "lan2", "switch", "gateway", "internet", "far", "office", "wires"].map(Namespace::new);
        let (lan1, lan2, switch, gateway) = (lan1?, lan2?, switch?, gateway?);
        let (internet, far, office, wires) = (internet?, far?, office?, wires?);
        let providers: Vec<_> =
            (0..count).map(|index| Namespace::new(&format!("isp-{}", uplink_name(index)))).collect::<Result<_, _>>()?;

        for host in [&lan1, &lan2, &switch, &gateway, &internet, &far, &office].into_iter().chain(&providers) {
            host.sysctl(&NO_DUPLICATES)?;
        }
        // Packet sockets must carry the hosts' frames and nothing of their own.
        wires.sysctl(&[("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1")])?;
        set_kernel_up(&gateway, &internet, &far, &office, &providers)?;
        connect_lan(&switch, &gateway, &lan1, &lan2)?;
        connect_servers(&internet, &far, "far", plan::far)?;
        connect_servers(&internet, &office, "office", plan::office)?;
        protect(&far)?;
        protect(&office)?;
        internet.nft(TARGET_FILTER)?;
        let taps = Port::taps_allowed();
        let mut lines = Vec::with_capacity(count);
        for (index, (uplink, provider)) in branch.uplinks.iter().zip(&providers).enumerate() {
            connect_provider(&internet, provider, index)?;
            let near = Port::open(&gateway, &device_name(index), &wires, taps)?;
            let away = Port::open(provider, "line", &wires, taps)?;
            let seed = branch.seed.wrapping_add(index as u64);
            lines.push(Line::new(&uplink_name(index), near, away, uplink.up.clone(), uplink.down.clone(), seed));
            networkd::provider_up(provider, index)?;
            networkd::uplink_up(&gateway, index, networkd::Lease::first(!uplink.ipv6_only))?;
        }
        let servers = Servers::start(&far, &office, &internet)?;
        providers.iter().try_for_each(|provider| provider::prepare(provider, &servers))?;
        let wire = Wire::start(lines.clone())?;
        let families = |uplink: &UplinkPlan| if uplink.ipv6_only { vec![Family::V6] } else { Family::BOTH.to_vec() };
        warm::up(&gateway, &branch.uplinks.iter().map(families).collect::<Vec<_>>())?;
        let branch = Self {
            lan1,
            lan2,
            gateway,
            internet,
            far,
            office,
            providers,
            lines,
            _wire: wire,
            _servers: servers,
            _switch: switch,
            _wires: wires,
        };
        Ok(branch)
    }

    /// Every host a person may want a shell on.
    pub fn hosts(&self) -> impl Iterator<Item = &Namespace> {
        [&self.lan1, &self.lan2, &self.gateway, &self.internet, &self.far, &self.office]
            .into_iter()
            .chain(&self.providers)
    }

    /// Names the hosts for `lab shell`, as long as what is returned lives; only inside the lab's own mounts.
    pub fn publish(&self) -> Result<Vec<Published>, LabError> {
        self.hosts().map(sandbox::publish).collect()
    }

    pub fn line(&self, name: &str) -> Option<(usize, &Arc<Line>)> {
        self.lines.iter().enumerate().find(|(_, line)| line.name == name)
    }

    /// Stops one of the probed hosts from answering, for everybody.
    pub fn silence_target(&self, number: u8, silent: bool) -> Result<(), LabError> {
        let verb = if silent { "add" } else { "delete" };
        let [v4, v6] = Family::BOTH.map(|family| plan::target(family, number));
        self.internet.nft(&format!(
            "{verb} element inet world silent4 {{ {v4} }}\n{verb} element inet world silent6 {{ {v6} }}\n"
        ))
    }
}

const TARGET_FILTER: &str = "
table inet world {
  set silent4 { type ipv4_addr; }
  set silent6 { type ipv6_addr; }
  chain input {
    type filter hook input priority 0;
    ip daddr @silent4 drop
    ip6 daddr @silent6 drop
  }
}
";

/// The plan has no duplicate addresses. Looking for them leaves a link-local address unusable for two seconds, and with
/// it the search for neighbours.
const NO_DUPLICATES: [(&str, &str); 3] = [
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/dad_transmits", "0"),
];

fn set_kernel_up(
    gateway: &Namespace,
    internet: &Namespace,
    far: &Namespace,
    office: &Namespace,
    providers: &[Namespace],
) -> Result<(), LabError> {
    const ROUTER: [(&str, &str); 7] = [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        // As systemd sets it: an old lease's address does not take the new one with it.
        ("ipv4/conf/all/promote_secondaries", "1"),
        // Routers of the lab answer every probe; limits are a fault of their own.
        ("ipv4/icmp_ratelimit", "0"),
        ("ipv6/icmp/ratelimit", "0"),
    ];
    for router in providers.iter().chain([gateway, internet]) {
        router.sysctl(&ROUTER)?;
    }
    // Unprivileged ICMP sockets, as the daemon's unit sets it.
    gateway.sysctl(&[("ipv4/ping_group_range", "0 0")])?;
    for server in [far, office] {
        server.sysctl(&[("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/default/rp_filter", "0")])?;
    }
    Ok(())
}

fn connect_lan(switch: &Namespace, gateway: &Namespace, lan1: &Namespace, lan2: &Namespace) -> Result<(), LabError> {
    use std::fmt::Write as _;
    let mut script = "link set lo up\nlink add br0 type bridge\nlink set br0 up\n".to_owned();
    for (host, device, port) in [(gateway, "lan0", "gateway"), (lan1, "eth0", "lan1"), (lan2, "eth0", "lan2")] {
        let path = host.path();
        writeln!(script, "link add {port} type veth peer name {device} netns {path}").expect("a String takes all");
        writeln!(script, "link set {port} master br0\nlink set {port} up").expect("a String takes all");
    }
    switch.ip(&script)?;
    gateway.ip(&format!("link set lo up\n{}", device_up("lan0", |family| plan::lan(family, plan::GATEWAY))))?;
    for (host, number) in [(lan1, plan::LAN1), (lan2, plan::LAN2)] {
        host.ip(&format!(
            "link set lo up\n{}{}",
            device_up("eth0", |family| plan::lan(family, number)),
            default_route(|family| plan::lan(family, plan::GATEWAY))
        ))?;
    }
    Ok(())
}

pub(super) fn connect_servers(
    internet: &Namespace,
    host: &Namespace,
    device: &str,
    address: fn(Family) -> std::net::IpAddr,
) -> Result<(), LabError> {
    let router = |family| networkd::with_host(address(family), 1);
    internet.ip(&format!(
        "link add {device} type veth peer name eth0 netns {}\n{}",
        host.path(),
        device_up(device, router)
    ))?;
    host.ip(&format!("link set lo up\n{}{}", device_up("eth0", address), default_route(router)))
}

fn connect_provider(internet: &Namespace, provider: &Namespace, index: usize) -> Result<(), LabError> {
    let device = format!("isp{index}");
    let routes: String = Family::BOTH
        .into_iter()
        .map(|family| {
            let (net, via) = (plan::wan(family, index, 0), plan::transit(family, index, plan::EDGE));
            format!("route add {net}/{} via {via}\n", prefix_length(family))
        })
        .collect();
    let targets: String = if index > 0 {
        String::new()
    } else {
        let addresses = (1..=plan::TARGETS).flat_map(|number| Family::BOTH.map(|family| plan::target(family, number)));
        let lines = addresses.map(|address| {
            let (length, flag) = if address.is_ipv4() { (32, "") } else { (128, " nodad") };
            format!("address add {address}/{length} dev lo{flag}\n")
        });
        std::iter::once("link set lo up\n".to_owned()).chain(lines).collect()
    };
    internet.ip(&format!(
        "{targets}link add {device} type veth peer name core netns {}\n{}",
        provider.path(),
        device_up(&device, |family| plan::transit(family, index, plan::CORE)),
    ))?;
    provider.ip(&format!(
        "link set lo up\n{}{}",
        device_up("core", |family| plan::transit(family, index, plan::EDGE)),
        default_route(|family| plan::transit(family, index, plan::CORE))
    ))?;
    internet.ip(&routes)
}

/// A stateful firewall that gives no answer to what it has not seen begin: no reset for a session that arrives from a
/// new address, so a client whose line was swapped learns nothing from it.
fn protect(server: &Namespace) -> Result<(), LabError> {
    server.nft(
        "
table inet strict {
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state invalid drop
    ct state established,related accept
    meta l4proto { icmp, icmpv6, udp } accept
    tcp flags & (fin|syn|rst|ack) == syn accept
  }
}
",
    )?;
    server.sysctl(&[("netfilter/nf_conntrack_tcp_loose", "0")])
}

/// Both addresses, without waiting for duplicates: the plan has none.
fn device_up(device: &str, address: impl Fn(Family) -> std::net::IpAddr) -> String {
    let [v4, v6] = Family::BOTH.map(address);
    format!(
        "address add {v4}/{} dev {device}\naddress add {v6}/{} dev {device} nodad\nlink set {device} up\n",
        prefix_length(Family::V4),
        prefix_length(Family::V6)
    )
}

fn default_route(via: impl Fn(Family) -> std::net::IpAddr) -> String {
    let [v4, v6] = Family::BOTH.map(via);
    format!("route add default via {v4}\nroute add default via {v6}\n")
}
