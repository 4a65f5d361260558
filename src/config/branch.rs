//! All that one branch's gateway is told: the [`Gateway`] that decides and forwards, and beside it what its services
//! need. As in [`super::model`], a value that stands here has been checked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::{Check, Gateway, Name, UplinkId};
use super::words;

/// A whole config, of a gateway that stands alone or of one branch of a fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    pub gateway: Gateway,
    pub place: Place,
    /// In the order of [`Gateway::uplinks`].
    pub rates: Vec<Rates>,
    pub responders: Vec<Responder>,
    pub dns: Dns,
    pub reports: Reports,
    pub access: Access,
    pub apply: Apply,
    /// What staff is shown.
    pub services: Vec<Service>,
}

impl Branch {
    /// What is written and checked, but not done by this release: a person must not rely on it yet.
    pub fn not_done(&self) -> Vec<&'static str> {
        let Self { gateway: _, place: _, rates: _, responders: _, dns: _, reports, access, apply, services } = self;
        let set = [
            ("push", reports.push),
            ("access.override", access.overriding.is_some()),
            // The floor is in the same table, which is only ever replaced as a whole.
            ("apply.drift.firewall", apply.drift.firewall != DriftMode::default()),
            ("services", !services.is_empty()),
        ];
        set.into_iter().filter(|(_, written)| *written).map(|(what, _)| what).collect()
    }

    pub fn rates(&self, id: UplinkId) -> Rates {
        self.rates.get(id.index()).copied().unwrap_or_default()
    }
}

/// Where the branch is, beyond its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub phone: Option<String>,
    /// ISO 639-1.
    pub language: Option<String>,
    /// A name of the time zone database.
    pub timezone: Option<String>,
    pub hours: Option<Week>,
}

impl Place {
    pub const LANGUAGE: &'static str = "en";
}

/// When the branch is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Week {
    /// In the order of the week; those of one day do not overlap.
    pub open: Vec<Opening>,
    /// Month and day, every year.
    pub closed: Vec<(u8, u8)>,
}

/// Minutes after local midnight, 0…1440.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Opening {
    /// 0: Monday.
    pub day: u8,
    pub from: u16,
    pub to: u16,
}

/// As it is written, days with the same hours together.
impl fmt::Display for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |day: u8| -> Vec<(u16, u16)> {
            self.open.iter().filter(|it| it.day == day).map(|it| (it.from, it.to)).collect()
        };
        let mut parts = Vec::new();
        let mut day = 0_u8;
        while day < 7 {
            let last = (day..7).take_while(|next| of(*next) == of(day)).last().unwrap_or(day);
            let name = |day: u8| super::raw::calendar::DAYS[usize::from(day)];
            let days = if last == day { name(day).to_owned() } else { format!("{}-{}", name(day), name(last)) };
            parts.extend(
                of(day)
                    .iter()
                    .map(|(from, to)| format!("{days} {}-{}", words::time_of_day(*from), words::time_of_day(*to))),
            );
            day = last + 1;
        }
        parts.extend(self.closed.iter().map(|(month, day)| format!("closed {month:02}-{day:02}")));
        f.write_str(&parts.join(", "))
    }
}

/// What the contract promises, in bits a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    pub down: Option<u64>,
    pub up: Option<u64>,
}

/// Proves an uplink with an authenticated answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Responder {
    pub address: SocketAddr,
    /// Ed25519.
    pub key: [u8; 32],
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    pub forwarders: Forwarders,
    pub domain: Option<String>,
    pub routes: Vec<DnsRoute>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Forwarders {
    /// Those of the uplink in use.
    #[default]
    Uplink,
    These(Vec<IpAddr>),
}

/// A zone that other servers know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRoute {
    pub zone: String,
    pub servers: Vec<IpAddr>,
}

/// Figures for head office and staff; who may read `/metrics` and the status page stands in [`Gateway::telemetry`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    /// Figures are sent to head office.
    pub push: bool,
    pub every: Duration,
    /// While the line in use is metered.
    pub metered_every: Duration,
}

impl Reports {
    /// Four points a minute: an outage of a minute is seen, and a month costs little.
    pub const EVERY: Duration = Duration::from_secs(15);
    pub const METERED_EVERY: Duration = Duration::from_secs(60);
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub ssh: Vec<SshKey>,
    pub overriding: Option<Override>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKey {
    pub name: Name,
    /// Type and base64, as in a key file.
    pub key: String,
}

/// What may be changed at the gateway itself, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    pub sections: Vec<SectionId>,
    pub max: Duration,
}

impl Override {
    /// Over a weekend.
    pub const MAX: Duration = Duration::from_secs(72 * 3_600);
}

/// A section that may be overridden on the spot; the others decide who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SectionId {
    Uplinks,
    Networks,
    Dns,
    Paths,
    Probes,
}

impl SectionId {
    pub fn name(self) -> &'static str {
        match self {
            Self::Uplinks => "uplinks",
            Self::Networks => "networks",
            Self::Dns => "dns",
            Self::Paths => "paths",
            Self::Probes => "probes",
        }
    }
}

impl fmt::Display for SectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a new config is tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apply {
    /// What worked before must work after.
    pub must_work: Vec<Check>,
    pub defer: Vec<Defer>,
    pub timers: Timers,
    pub drift: Drift,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Defer {
    OnBackup,
    OneUplink,
    OpenHours,
    DataLow,
}

impl Defer {
    pub fn name(self) -> &'static str {
        match self {
            Self::OnBackup => "on_backup",
            Self::OneUplink => "one_uplink",
            Self::OpenHours => "open_hours",
            Self::DataLow => "data_low",
        }
    }
}

impl fmt::Display for Defer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timers {
    pub soft: Duration,
    pub hard: Duration,
    pub soak: Duration,
}

impl Timers {
    /// Three times what a DHCP lease, a neighbour and the probes of a slow line need.
    pub const SOFT: Duration = Duration::from_secs(90);
    /// Head office may restart meanwhile.
    pub const HARD: Duration = Duration::from_secs(900);
    pub const SOAK: Duration = Duration::from_secs(1_800);
}

impl Default for Timers {
    fn default() -> Self {
        Self { soft: Self::SOFT, hard: Self::HARD, soak: Self::SOAK }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    pub uplinks: DriftMode,
    pub networks: DriftMode,
    pub dns: DriftMode,
    pub firewall: DriftMode,
    pub access: DriftMode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriftMode {
    #[default]
    Enforce,
    Report,
    Ignore,
}

impl DriftMode {
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Report => "report",
            Self::Ignore => "ignore",
        }
    }
}

/// Something the branch needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub name: Name,
    pub from: Name,
    pub check: Check,
}

/// A hardware address of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Of firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
    pub patch: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.patch {
            0 => write!(f, "{}.{}", self.major, self.minor),
            patch => write!(f, "{}.{}.{patch}", self.major, self.minor),
        }
    }
}

/// What the inventory knows of one branch, beside its config: it travels in the site document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub name: String,
    pub owner: Option<String>,
    pub phone: Option<String>,
    pub contracts: Vec<Contract>,
}

/// Provider and circuit of one uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    pub uplink: Name,
    pub provider: Option<String>,
    pub circuit: Option<String>,
}
