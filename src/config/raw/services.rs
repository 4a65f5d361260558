//! What serves the branch beside forwarding, as written: names, figures, access, checks.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::calendar::{Language, Timezone, Week};
use super::keys::{PublicKey, SshPublicKey};
use super::net::DomainName;
use super::probes::Target;
use super::read::{Node, Value, choice, table, words};
use super::settable::{Settable, When};
use super::text::{Group, Line, Phone};
use super::values::{List, Text};
use super::wire::{Bad, Input, put_leaf};
use crate::config::branch::{Defer, DriftMode, SectionId};
use crate::config::fault::{Collector, Kind, quoted};
use crate::config::model::Name;

table! {
    /// Where the gateway stands.
    Site: "a table", "{ name = \"Lyon Bellecour\" }" {
        /// Shown in status, pages, metrics and reports. 1 to 64 printable characters.
        name: required Line,
        /// Whom to call; a person. 1 to 64 printable characters. Default: nobody is shown.
        owner: optional Line,
        /// The branch's telephone: "+33 4 00 00 00 00". Default: none is shown.
        phone: optional Phone,
        /// Of what staff reads: en, de, fr, es, it, nl or pl; with any other they read English. Default: en.
        language: optional Language,
        /// A name of the time zone database, "Europe/Paris". Default: that of the system.
        timezone: optional Settable<Timezone>,
        /// When the branch is open, and days on which it is not: "mon-fri 08:00-19:00, sat 09:00-13:00, closed 12-25". Default: always.
        hours: optional Settable<Week>,
    }
}

table! {
    /// What all branches share of their place; name, owner and telephone are in the inventory.
    SiteRules: "a table", "{ language = \"fr\", timezone = { var = \"timezone\" } }" {
        /// Of what staff reads: en, de, fr, es, it, nl or pl; with any other they read English. Default: en.
        language: optional Language,
        /// A name of the time zone database, "Europe/Paris". Default: that of the system.
        timezone: optional Settable<Timezone>,
        /// When the branch is open, and days on which it is not: "mon-fri 08:00-19:00, sat 09:00-13:00, closed 12-25". Default: always.
        hours: optional Settable<Week>,
    }
    standalone { "name", "owner", "phone", }
}

table! {
    /// Names for the LAN.
    Dns: "a table", "{ forwarders = \"uplink\", domain = \"branch.internal\" }" {
        /// "uplink" (the resolvers of the uplink in use), or addresses that are asked through it; at most 8. Default: uplink.
        forwarders: optional Forwarders,
        /// Domain of the LAN's own names. Default: none.
        domain: optional DomainName,
        /// Zones that other servers know. At most 64. Default: none.
        routes: optional List<DnsRoute>,
    }
}

table! {
    /// A zone that other servers know.
    DnsRoute: "a zone", "{ zone = \"corp.example\", servers = [\"10.254.0.53\"] }" {
        /// The zone and all below it; each once.
        zone: required DomainName,
        /// Who is asked; at most 8.
        servers: required List<IpAddr>,
        /// Only where this variable is true.
        when: optional When,
    }
    not_yet { "via": "take it out; tunnels come later, until then the servers are asked through the uplink in use", }
    conditional when
}

/// Who is asked for names of the internet.
#[derive(Clone, Debug)]
pub(crate) enum Forwarders {
    Uplink,
    These(List<IpAddr>),
}

impl Value for Forwarders {
    const WHAT: &'static str = "a choice of resolvers";
    const EXAMPLE: &'static str = "\"uplink\" or [\"9.9.9.9\", \"1.1.1.1\"]";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        if let DeValue::Array(_) = node.value {
            return List::read(node, faults).map(Self::These);
        }
        choice::<Self>(node, &["uplink"], faults).map(|_| Self::Uplink)
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "enum": ["uplink"] }, List::<IpAddr>::schema()] })
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Uplink => put_leaf(&0_u8, out),
            Self::These(list) => {
                put_leaf(&1_u8, out);
                list.put(out);
            }
        }
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        match input.leaf::<u8>(key)? {
            0 => Ok(Self::Uplink),
            1 => List::take(input, key).map(Self::These),
            _ => Err(Bad::new(key, "it is no choice of resolvers")),
        }
    }
}

table! {
    /// Who may change things on the gateway.
    Control: "a table", "{ group = \"causeway-admin\" }" {
        /// Members of this Unix group may look and change things, as root may; nobody else may. Default: causeway-admin.
        group: optional Group,
    }
}

table! {
    /// Where the gateway's figures can be read.
    Telemetry: "a table", "{ metrics_on = [\"office\"] }" {
        /// "office": figures are sent to head office. Default: off.
        push: optional Push,
        /// How often, 5s to 1h. Default: 15s.
        every: optional Duration,
        /// The same while the line in use is metered, not below `every`. Default: 60s.
        metered_every: optional Duration,
        /// Networks on whose gateway address /metrics is served. Default: none.
        metrics_on: optional Settable<List<Name>>,
        /// TCP port of /metrics, 1024 to 65535. Default: 9620.
        metrics_port: optional i64,
        /// Networks on whose gateway address the status page is served; no isolated one. Default: none.
        status_page_on: optional Settable<List<Name>>,
    }
}

/// Where figures are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    Off,
    Office,
}

words!(Push: "a place to send figures to", "\"office\" or \"off\"" {
    "off" => Self::Off,
    "office" => Self::Office,
});

table! {
    /// Who may come in by SSH, and what may be changed on the spot.
    Access: "a table", "{ ssh = [{ name = \"anna\", key = \"ssh-ed25519 AAAA…\" }] }" {
        /// Keys of people. At most 32. Default: none, so that nobody can.
        ssh: optional List<SshKey>,
        /// What may be changed at the gateway itself, for a time. Default: nothing.
        r#override = "override": optional Override,
    }
}

table! {
    /// A person's key.
    SshKey: "a key", "{ name = \"anna\", key = \"ssh-ed25519 AAAA…\" }" {
        /// 1 to 32 of a-z, 0-9 and "-"; each once.
        name: required Name,
        /// As in a .pub file, without comment and options: ssh-ed25519, sk-ssh-ed25519@openssh.com, ecdsa-sha2-nistp256 or sk-ecdsa-sha2-nistp256@openssh.com.
        key: required SshPublicKey,
    }
}

table! {
    /// What may be changed at the gateway itself.
    Override: "a table", "{ sections = [\"uplinks\"], max = \"72h\" }" {
        /// Sections, by their names: uplinks, networks, dns, paths, probes.
        sections: required List<SectionId>,
        /// Ends by itself after this long, 1h to 30d. Default: 72h.
        max: optional Duration,
    }
}

words!(SectionId: "a section that may be overridden", "\"uplinks\", \"networks\", \"dns\", \"paths\" or \"probes\"" {
    "uplinks" => Self::Uplinks,
    "networks" => Self::Networks,
    "dns" => Self::Dns,
    "paths" => Self::Paths,
    "probes" => Self::Probes,
});

table! {
    /// How a new config is tried.
    Apply: "a table", "{ timers = { soft = \"90s\", hard = \"15m\" } }" {
        /// What worked before a change must work after it: targets as under `probes`. At most 16. Default: nothing more than the uplinks.
        must_work: optional List<Target>,
        /// When a change that disturbs waits: "on_backup", "one_uplink", "open_hours", "data_low". Default: never.
        defer: optional List<Defer>,
        /// How long a trial waits for what.
        timers: optional Timers,
        /// What is done when somebody changes the running state. Default: enforce.
        drift: optional Drift,
    }
}

words!(Defer: "a reason to wait", "\"on_backup\", \"one_uplink\", \"open_hours\" or \"data_low\"" {
    "on_backup" => Self::OnBackup,
    "one_uplink" => Self::OneUplink,
    "open_hours" => Self::OpenHours,
    "data_low" => Self::DataLow,
});

table! {
    /// How long a trial waits for what.
    Timers: "a table", "{ soft = \"90s\", hard = \"15m\", soak = \"30m\" }" {
        /// For what worked before, 30s to 10m. Default: 90s.
        soft: optional Duration,
        /// For head office, 2m to 2h, above `soft`. Default: 15m.
        hard: optional Duration,
        /// Healthy for this long before the new config is kept, 10s to 24h. Default: 30m.
        soak: optional Duration,
    }
}

table! {
    /// What is done when somebody changes the running state. The firewall's floor and the gateway's routes are always restored.
    Drift: "a table", "{ access = \"report\" }" {
        /// "enforce", "report" or "ignore".
        uplinks: optional DriftMode,
        /// "enforce", "report" or "ignore".
        networks: optional DriftMode,
        /// "enforce", "report" or "ignore".
        dns: optional DriftMode,
        /// "enforce", "report" or "ignore".
        firewall: optional DriftMode,
        /// "enforce", "report" or "ignore".
        access: optional DriftMode,
    }
}

words!(DriftMode: "a way to treat drift", "\"enforce\", \"report\" or \"ignore\"" {
    "enforce" => Self::Enforce,
    "report" => Self::Report,
    "ignore" => Self::Ignore,
});

table! {
    /// Something the branch needs, shown to staff.
    Service: "a service", "{ name = \"cards\", from = \"tills\", check = { tcp = \"198.51.100.20:443\" } }" {
        /// 1 to 32 of a-z, 0-9 and "-"; each once.
        name: required Name,
        /// The network that uses it.
        from: required Name,
        /// What is asked: a target as under `probes`.
        check: required Target,
        /// Only where this variable is true.
        when: optional When,
    }
    conditional when
}

table! {
    /// A responder of head office, which proves an uplink.
    Responder: "a responder", "{ address = \"192.0.2.10:7711\", key = \"ed25519:…\" }" {
        /// ADDRESS:PORT.
        address: required Endpoint,
        /// Its public key: "ed25519:" and 32 bytes in base64.
        key: required PublicKey,
    }
}

/// An address with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(pub(crate) SocketAddr);

impl Text for Endpoint {
    const WHAT: &'static str = "an address with a port";
    const EXAMPLE: &'static str = "\"192.0.2.10:7711\" or \"[2001:db8::10]:7711\"";

    fn parse(text: &str) -> Result<Self, (Kind, String)> {
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Self(address)),
            _ => Err((
                Kind::Format,
                format!("{} does not read as one (a name would need a resolver first)", quoted(text)),
            )),
        }
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}
