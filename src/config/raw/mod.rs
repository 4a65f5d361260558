//! The TOML as written: one type per table, every value with its place, nothing related to anything else yet. What only a
//! whole can show (names that refer to nothing, overlaps, the firewall's floor) is checked in [`super::check`]. The same
//! types travel as bytes ([`wire`]) and take variables ([`settable`]).

pub(crate) mod calendar;
pub(crate) mod firewall;
pub(crate) mod fleet;
pub(crate) mod keys;
pub(crate) mod net;
pub(crate) mod networks;
pub(crate) mod paths;
pub(crate) mod probes;
pub(crate) mod read;
pub(crate) mod services;
pub(crate) mod settable;
pub(crate) mod text;
pub(crate) mod uplinks;
pub(crate) mod values;
pub(crate) mod wire;

use read::{At, table};
use settable::Fill;
use values::{List, Named};

use crate::config::vars::VarName;

table! {
    /// A gateway that stands alone: /etc/causeway/gateway.toml.
    Gateway: "a config", "[site] …" {
        /// Where the gateway stands.
        site: required services::Site,
        /// The internet lines, by name. Their order in the file is their order of preference unless `paths` or `tier` says otherwise. At most 64.
        uplinks: required Named<uplinks::Uplink>,
        /// What is probed through every uplink.
        probes: optional probes::Probes,
        /// Which uplinks a class of traffic takes, in order. The first match wins; `default` takes all else and comes last. At most 16. Default: one path `default` over all uplinks, by `tier`.
        paths: optional List<paths::Path>,
        /// The LANs, by name. Each is also a zone of the firewall. At most 64.
        networks: optional Named<networks::Network>,
        /// Names for the LAN.
        dns: optional services::Dns,
        /// What may pass; what no rule allows is dropped.
        firewall: optional firewall::Firewall,
        /// Who may change things on the gateway.
        control: optional services::Control,
        /// Where the gateway's figures can be read.
        telemetry: optional services::Telemetry,
        /// Who may come in by SSH, and what may be changed on the spot.
        access: optional services::Access,
        /// How a new config is tried.
        apply: optional services::Apply,
        /// What the branch needs, shown to staff. At most 5. Default: none.
        services: optional List<services::Service>,
    }
    not_yet {
        "qos": "take it out; traffic is steered by `paths` only",
        "tunnels": "take it out; reach the gateway from a network of the LAN",
        "time": "take it out; chrony keeps its own servers",
        "update": "take it out; firmware is updated by hand in this release",
    }
    office { "standard", "vars", }
}

table! {
    /// What all branches of a fleet share: standard.toml, or standard/*.toml with each section in one file.
    Standard: "a standard", "standard = { name = \"retail\", … }" {
        /// What the standard is called, and which gateways can take it.
        standard: required fleet::Head,
        /// What all branches share of their place.
        site: optional services::SiteRules,
        /// The internet lines, by name. Their order in the file is their order of preference unless `paths` or `tier` says otherwise. At most 64.
        uplinks: required Named<uplinks::Uplink>,
        /// What is probed through every uplink.
        probes: optional probes::Probes,
        /// Which uplinks a class of traffic takes, in order. The first match wins; `default` takes all else and comes last. At most 16. Default: one path `default` over all uplinks, by `tier`.
        paths: optional List<paths::Path>,
        /// The LANs, by name. Each is also a zone of the firewall. At most 64.
        networks: optional Named<networks::Network>,
        /// Names for the LAN.
        dns: optional services::Dns,
        /// What may pass; what no rule allows is dropped.
        firewall: optional firewall::Firewall,
        /// Where the gateway's figures can be read.
        telemetry: optional services::Telemetry,
        /// Who may come in by SSH, and what may be changed on the spot.
        access: optional services::Access,
        /// How a new config is tried.
        apply: optional services::Apply,
        /// What the branch needs, shown to staff. At most 5. Default: none.
        services: optional List<services::Service>,
        /// All that a site may set, by name; everything else is the same everywhere. At most 128.
        vars: optional Named<fleet::Var, VarName>,
    }
    not_yet {
        "qos": "take it out; traffic is steered by `paths` only",
        "tunnels": "take it out; reach the gateway from a network of the LAN",
        "time": "take it out; chrony keeps its own servers",
        "update": "take it out; firmware is updated by hand in this release",
    }
    standalone { "control", }
}

/// Declarations of variables.
pub(crate) type Vars = Named<fleet::Var, VarName>;

/// The sections that both kinds of file have: what is checked as a whole, and what travels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) site: Option<At<services::SiteRules>>,
    pub(crate) uplinks: Option<At<Named<uplinks::Uplink>>>,
    pub(crate) probes: Option<At<probes::Probes>>,
    pub(crate) paths: Option<At<List<paths::Path>>>,
    pub(crate) networks: Option<At<Named<networks::Network>>>,
    pub(crate) dns: Option<At<services::Dns>>,
    pub(crate) firewall: Option<At<firewall::Firewall>>,
    pub(crate) telemetry: Option<At<services::Telemetry>>,
    pub(crate) access: Option<At<services::Access>>,
    pub(crate) apply: Option<At<services::Apply>>,
    pub(crate) services: Option<At<List<services::Service>>>,
}

impl Parts {
    pub(crate) fn fill(&mut self, fill: &mut Fill<'_>) {
        fn part<T: read::Value>(part: &mut Option<At<T>>, fill: &mut Fill<'_>) {
            if let Some(at) = part {
                at.value.fill(fill);
            }
        }
        let Self { site, uplinks, probes, paths, networks, dns, firewall, telemetry, access, apply, services } = self;
        part(site, fill);
        part(uplinks, fill);
        part(probes, fill);
        part(paths, fill);
        part(networks, fill);
        part(dns, fill);
        part(firewall, fill);
        part(telemetry, fill);
        part(access, fill);
        part(apply, fill);
        part(services, fill);
    }
}

impl Gateway {
    pub(crate) fn into_parts(self) -> (Option<At<services::Site>>, Option<At<services::Control>>, Parts) {
        let Self {
            sound: _,
            site,
            uplinks,
            probes,
            paths,
            networks,
            dns,
            firewall,
            control,
            telemetry,
            access,
            apply,
            services,
        } = self;
        let rules = site.as_ref().map(|at| {
            at.map(|site| services::SiteRules {
                sound: site.sound,
                language: site.language.clone(),
                timezone: site.timezone.clone(),
                hours: site.hours.clone(),
            })
        });
        let parts =
            Parts { site: rules, uplinks, probes, paths, networks, dns, firewall, telemetry, access, apply, services };
        (site, control, parts)
    }
}

impl Standard {
    pub(crate) fn into_parts(self) -> (Option<At<fleet::Head>>, Option<At<Vars>>, Parts) {
        let Self {
            sound: _,
            standard,
            site,
            uplinks,
            probes,
            paths,
            networks,
            dns,
            firewall,
            telemetry,
            access,
            apply,
            services,
            vars,
        } = self;
        (
            standard,
            vars,
            Parts { site, uplinks, probes, paths, networks, dns, firewall, telemetry, access, apply, services },
        )
    }
}
