//! The config as the rest of the program sees it. A value that stands here has been checked: names exist, numbers are
//! in range, tables do not collide. Built only by [`super::raw`]; nothing here reads files.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

pub mod limits;
mod names;

pub use super::slots::{Slot, Slots};
pub(super) use names::checked;
pub use names::{Family, LinkName, Name, NameError, PathId, TargetId, UplinkId};

/// A whole gateway that stands alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gateway {
    pub site: Site,
    /// In the order of the file; [`UplinkId`] is the index.
    pub uplinks: Vec<Uplink>,
    pub slots: Slots,
    /// `default` first, then in the order of the file: the first match wins.
    pub paths: Vec<Path>,
    pub networks: Vec<Network>,
    pub firewall: Firewall,
    pub control: Control,
    pub telemetry: Telemetry,
}

impl Gateway {
    pub fn uplink(&self, id: UplinkId) -> &Uplink {
        &self.uplinks[id.index()]
    }

    pub fn slot(&self, id: UplinkId) -> Slot {
        self.slots.of(id)
    }

    pub fn uplink_ids(&self) -> impl Iterator<Item = UplinkId> + use<> {
        (0..u8::try_from(self.uplinks.len()).unwrap_or(u8::MAX)).map(UplinkId)
    }

    pub fn path_ids(&self) -> impl Iterator<Item = PathId> + use<> {
        (0..u8::try_from(self.paths.len()).unwrap_or(u8::MAX)).map(PathId)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    pub name: String,
    /// Shown beside the name; says whom to call.
    pub owner: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    Fibre,
    Leased,
    Cable,
    Dsl,
    Lte,
    #[serde(rename = "5g")]
    FiveG,
    Satellite,
}

impl Medium {
    pub fn profile(self) -> Profile {
        match self {
            Self::Fibre | Self::Leased => Profile::fast(),
            Self::Cable | Self::Dsl => Profile::standard(),
            Self::Lte | Self::FiveG | Self::Satellite => Profile::radio(),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Fibre => "fibre",
            Self::Leased => "leased",
            Self::Cable => "cable",
            Self::Dsl => "dsl",
            Self::Lte => "lte",
            Self::FiveG => "5g",
            Self::Satellite => "satellite",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Uplink {
    pub name: Name,
    pub device: LinkName,
    pub medium: Medium,
    pub provider: Option<String>,
    pub circuit: Option<String>,
    pub metered: Option<Metered>,
    /// Share of new flows beside the other uplinks of its tier, 1…100.
    pub weight: u8,
    pub ipv4: Ipv4Mode,
    pub ipv6: Ipv6Mode,
    pub profile: Profile,
    /// Never empty for a configured family; at most [`limits::TARGETS`].
    pub targets: Vec<Target>,
    /// `false`: configured but out of use (state `disabled`).
    pub enabled: bool,
}

impl Uplink {
    /// Uplinks of a tier share alike unless somebody says otherwise.
    pub const WEIGHT: u8 = 1;

    pub fn has(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.ipv4 != Ipv4Mode::Off,
            Family::V6 => self.ipv6 != Ipv6Mode::Off,
        }
    }

    /// The provider's resolvers, where the config names them.
    pub fn resolvers(&self) -> Vec<IpAddr> {
        let v4 = if let Ipv4Mode::Static { dns, .. } = &self.ipv4 { dns.as_slice() } else { &[] };
        let v6 = if let Ipv6Mode::Static { dns, .. } = &self.ipv6 { dns.as_slice() } else { &[] };
        v4.iter().chain(v6).copied().collect()
    }

    /// The gateway the config names, if it does not leave it to DHCP or router advertisements.
    pub fn static_gateway(&self, family: Family) -> Option<IpAddr> {
        match (family, &self.ipv4, &self.ipv6) {
            (Family::V4, Ipv4Mode::Static { gateway, .. }, _) => Some(IpAddr::V4(*gateway)),
            (Family::V6, _, Ipv6Mode::Static { gateway, .. }) => Some(IpAddr::V6(*gateway)),
            (Family::V4, Ipv4Mode::Off | Ipv4Mode::Dhcp, _)
            | (Family::V6, _, Ipv6Mode::Off | Ipv6Mode::Native | Ipv6Mode::Nat66 | Ipv6Mode::Npt) => None,
        }
    }
}

/// How the uplink gets IPv4. Its default route is learnt from the kernel unless it is static.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ipv4Mode {
    Off,
    Dhcp,
    Static { address: Ipv4Net, gateway: std::net::Ipv4Addr, dns: Vec<IpAddr> },
}

/// How the uplink carries IPv6 of the LAN. Source: RFC 8475 (conditional RA), RFC 6296 (NPTv6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ipv6Mode {
    Off,
    /// Delegated prefixes; LAN sources are kept, stragglers of a dead line are translated.
    Native,
    /// One internal prefix, masqueraded per uplink.
    Nat66,
    /// One internal prefix, translated to the uplink's prefix, 1:1.
    Npt,
    /// As `nat66`, with an address and gateway of its own.
    Static {
        address: Ipv6Net,
        gateway: std::net::Ipv6Addr,
        dns: Vec<IpAddr>,
    },
}

/// A plan that counts bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metered {
    /// Bytes of the plan in a month.
    pub plan: u64,
    /// Day of the month on which the plan starts again, 1…28.
    pub resets_on: u8,
    /// Bytes kept back for what may always pass.
    pub reserve: u64,
}

/// Timings and thresholds of one uplink. A medium gives a sensible set; any value can be set per uplink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Time between probes while the uplink carries traffic.
    pub interval: Duration,
    /// The same on standby.
    pub interval_standby: Duration,
    /// A reply is never overdue before this, whatever the RTT.
    pub overdue_floor: Duration,
    /// Time between probes of one target in a burst.
    pub burst_spacing: Duration,
    /// No proof of life for this long, and enough probes unanswered: down.
    pub dead_after: Duration,
    /// Probes that must have gone unanswered in that silence.
    pub min_probes: u8,
    /// Outgoing packets grow while incoming stand still this long: a burst starts.
    pub quiet_after: Duration,
    /// How often counters are read while the line carries traffic.
    pub counters_every: Duration,
    /// Probation before `up` again.
    pub recover_after: Duration,
    /// Window over which loss, RTT and jitter are judged.
    pub quality_window: Duration,
    pub loss: Threshold<f32>,
    pub rtt: Threshold<Duration>,
    pub jitter: Option<Threshold<Duration>>,
    /// Targets that must be silent before the uplink is; `None`: all but one.
    pub quorum: Option<u8>,
}

/// Entered above `enter`, left below `leave`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold<T> {
    pub enter: T,
    pub leave: T,
}

impl Profile {
    /// Fibre and leased lines: loss is rare and RTT small, so silence means something soon.
    pub fn fast() -> Self {
        Self {
            interval: Duration::from_millis(100),
            interval_standby: Duration::from_secs(1),
            overdue_floor: Duration::from_millis(15),
            burst_spacing: Duration::from_millis(10),
            dead_after: Duration::from_millis(80),
            min_probes: 5,
            quiet_after: Duration::from_millis(40),
            counters_every: Duration::from_millis(20),
            recover_after: Duration::from_secs(10),
            quality_window: Duration::from_secs(10),
            loss: Threshold { enter: 0.20, leave: 0.05 },
            rtt: Threshold { enter: Duration::from_millis(150), leave: Duration::from_millis(100) },
            jitter: Some(Threshold { enter: Duration::from_millis(30), leave: Duration::from_millis(15) }),
            quorum: None,
        }
    }

    /// Cable and DSL: bufferbloat multiplies RTT by ten without anything being broken.
    pub fn standard() -> Self {
        Self {
            interval: Duration::from_secs(1),
            interval_standby: Duration::from_secs(1),
            overdue_floor: Duration::from_millis(50),
            burst_spacing: Duration::from_millis(30),
            dead_after: Duration::from_millis(350),
            min_probes: 5,
            quiet_after: Duration::from_millis(150),
            counters_every: Duration::from_millis(50),
            recover_after: Duration::from_secs(30),
            quality_window: Duration::from_secs(30),
            loss: Threshold { enter: 0.20, leave: 0.05 },
            rtt: Threshold { enter: Duration::from_millis(300), leave: Duration::from_millis(200) },
            jitter: Some(Threshold { enter: Duration::from_millis(50), leave: Duration::from_millis(30) }),
            quorum: None,
        }
    }

    /// LTE, 5G, satellite: handovers take a second, and every byte may be paid for.
    pub fn radio() -> Self {
        Self {
            interval: Duration::from_secs(1),
            interval_standby: Duration::from_secs(30),
            overdue_floor: Duration::from_millis(300),
            burst_spacing: Duration::from_millis(150),
            dead_after: Duration::from_secs(2),
            min_probes: 6,
            quiet_after: Duration::from_millis(600),
            counters_every: Duration::from_millis(250),
            recover_after: Duration::from_secs(60),
            quality_window: Duration::from_secs(60),
            loss: Threshold { enter: 0.30, leave: 0.10 },
            rtt: Threshold { enter: Duration::from_millis(800), leave: Duration::from_millis(500) },
            jitter: None,
            quorum: None,
        }
    }
}

/// What is probed through one uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub family: Family,
    pub check: Check,
}

impl Target {
    /// A name that has addresses of both families and is not anybody's business.
    pub const DNS_NAME: &'static str = "example.com";
    pub const HTTP_STATUS: u16 = 200;

    /// How the target is shown and labelled: `9.9.9.9 icmp`, `192.0.2.7 tcp/443`.
    pub fn label(&self) -> String {
        match &self.check {
            Check::Icmp { host } => format!("{host} icmp"),
            Check::Tcp { host, port } => format!("{host} tcp/{port}"),
            Check::Dns { server, .. } => format!("{} dns", server.ip()),
            Check::Http { url, .. } => format!("{}://{}{}", url.scheme(), url.authority(), url.path),
        }
    }
}

/// A host in a target: an address, or a name that is resolved through the probed uplink, kept and refreshed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Host {
    Address(IpAddr),
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// Echo request, RFC 792 and RFC 4443.
    Icmp { host: Host },
    /// A completed handshake is a reply; a reset is `refused` (something answered, but not the service).
    Tcp { host: Host, port: u16 },
    /// A question with an expected kind of answer, RFC 1035 over UDP.
    Dns { server: SocketAddr, name: String, expect: DnsAnswer },
    /// A GET; anything but the expected status and text (a portal's 200, a redirect) is `wrong`.
    Http { url: HttpUrl, status: u16, contains: Option<String> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DnsAnswer {
    /// At least one address of the target's family.
    Address,
    /// Exactly this address among the answers.
    Exactly(IpAddr),
    /// The name must not exist (a hijacking resolver answers all the same).
    NoSuchName,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpUrl {
    pub tls: bool,
    pub host: Host,
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub path: String,
}

impl HttpUrl {
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// Host and, if it is not the scheme's own, port: the `Host` header.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
            Host::Address(IpAddr::V4(address)) => address.to_string(),
            Host::Name(name) => name.clone(),
        };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// An ordered preference of uplinks for a class of traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Path {
    pub name: Name,
    /// Traffic that takes this path; empty only for `default`, which takes all else.
    pub matches: Vec<Match>,
    /// Uplinks of one tier share new flows by weight; no uplink stands twice.
    pub tiers: Vec<Vec<UplinkId>>,
    pub failback: Failback,
    /// Nothing of `tiers` is usable: take path `default`'s choice, or reject.
    pub otherwise: Otherwise,
    /// At least this long between switches unless the current uplink is down.
    pub min_hold: Duration,
}

impl Path {
    pub const DEFAULT_NAME: &'static str = "default";
    /// Two switches closer together than this serve nobody.
    pub const MIN_HOLD: Duration = Duration::from_secs(2);

    pub fn uplinks(&self) -> impl Iterator<Item = UplinkId> + '_ {
        self.tiers.iter().flatten().copied()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Otherwise {
    /// Keep the order and the last one installed, as path `default` does.
    Keep,
    /// New flows of this path are rejected (guests never spend metered data).
    Reject,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failback {
    pub when: FailbackWhen,
    pub flows: FailbackFlows,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailbackWhen {
    /// The better uplink was `up` this long (plus the flap back-off).
    After(Duration),
    Never,
    /// Only inside a daily window, minutes after local midnight; may wrap.
    Window {
        from: u16,
        to: u16,
    },
}

impl Failback {
    /// Long enough that a line which flaps every minute does not drag the branch along.
    pub const AFTER: Duration = Duration::from_secs(60);
}

/// What happens to running flows when a path returns to its better uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailbackFlows {
    /// Stay until they end, or at most this long.
    Drain { at_most: Option<Duration> },
    /// Moved after a grace, idle ones first (what is metered costs money every minute).
    Cut { grace: Duration },
    /// All flows of one client move as one (SIP with its RTP), once none of the path's flows on the backup is active.
    Together,
}

impl FailbackFlows {
    /// Long enough to finish a card payment or a page; on a metered line every further minute is paid for.
    pub const GRACE: Duration = Duration::from_secs(60);
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Networks (zones) the traffic comes from; empty: any.
    pub from: Vec<Name>,
    pub source: Vec<IpNet>,
    pub destination: Vec<IpNet>,
    /// DSCP code points, 0…63.
    pub dscp: Vec<u8>,
    pub services: Vec<Service>,
}

/// `tcp/443`, `udp/5060-5061`, `icmp`, `any`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Service {
    Any,
    Icmp,
    Tcp(PortRange),
    Udp(PortRange),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

/// A LAN; also a zone of the firewall, under its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    pub name: Name,
    /// Devices by which its packets come to the gateway: the ports as written, or the bridge's device of its VLAN.
    pub ports: Vec<LinkName>,
    pub bridged: Option<Bridged>,
    /// The gateway has the first address of each.
    pub net: Option<Ipv4Net>,
    pub net6: Option<Ipv6Net>,
    pub dhcp: Option<Dhcp>,
    pub fixed: Vec<FixedHost>,
    /// Bits a second, for all clients together.
    pub limit_down: Option<u64>,
    /// Clients of this network cannot reach each other's networks, nor SSH on the gateway.
    pub isolate: bool,
}

/// A network on the one bridge, told apart by its VLAN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridged {
    /// 1…4094.
    pub vlan: u16,
    /// Members of the bridge that carry it untagged: its ports, then its trunks.
    pub untagged: Vec<LinkName>,
    /// Members that carry it tagged: the trunks of other networks.
    pub tagged: Vec<LinkName>,
}

impl Bridged {
    /// The bridge of all networks that have a VLAN.
    pub const BRIDGE: &'static str = "br-lan";

    /// The device of a VLAN on the bridge.
    pub fn device(vlan: u16) -> LinkName {
        LinkName::new(&format!("{}.{vlan}", Self::BRIDGE)).expect("eleven characters of the alphabet")
    }
}

/// Addresses for clients that ask; both ends are lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dhcp {
    pub from: std::net::Ipv4Addr,
    pub to: std::net::Ipv4Addr,
    pub lease: Duration,
}

impl Dhcp {
    /// A working day with room: a telephone keeps its address over lunch.
    pub const LEASE: Duration = Duration::from_secs(12 * 3_600);
}

/// A host that always gets the same address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedHost {
    pub name: Name,
    pub mac: super::branch::Mac,
    pub address: std::net::Ipv4Addr,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Firewall {
    pub rules: Vec<Rule>,
    pub forwards: Vec<Forward>,
}

/// A side of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Zone {
    Network(Name),
    /// All uplinks.
    Wan,
    /// The gateway itself.
    Own,
}

/// What no rule allows is dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub from: Vec<Zone>,
    pub to: Vec<Zone>,
    pub destination: Vec<IpNet>,
    pub allow: Vec<Service>,
    pub log: bool,
}

/// A port of an uplink that leads to a host in the LAN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forward {
    pub name: Name,
    pub on: Vec<UplinkId>,
    pub source: Vec<IpNet>,
    pub service: Service,
    pub to: IpAddr,
    pub to_port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Members may change things, as root may.
    pub group: Option<String>,
}

impl Control {
    /// The group that the image makes; without it, or without members, only root may change things.
    pub const GROUP: &'static str = "causeway-admin";
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Networks on whose gateway address `/metrics` is served; none by default.
    pub metrics_on: Vec<Name>,
    pub metrics_port: u16,
    /// Networks on whose gateway address the status page is served; none by default.
    pub status_page_on: Vec<Name>,
}

impl Telemetry {
    /// Of the status page: what a browser asks when somebody types a name.
    pub const PAGE_PORT: u16 = 80;
    /// Registered by nobody in the exporter port list next to it; free on Debian.
    pub const METRICS_PORT: u16 = 9620;
}

/// What each uplink may have at most of the targets nobody named: three operators, so that one of them can fail.
pub fn well_known_targets() -> BTreeMap<Family, Vec<Check>> {
    let icmp = |text: &str| Check::Icmp { host: Host::Address(text.parse().expect("a literal address")) };
    BTreeMap::from([
        (Family::V4, vec![icmp("1.1.1.1"), icmp("8.8.8.8"), icmp("9.9.9.9")]),
        (Family::V6, vec![icmp("2606:4700:4700::1111"), icmp("2001:4860:4860::8888"), icmp("2620:fe::fe")]),
    ])
}
