//! The TOML as written: one type per table, every value with its place, nothing related to anything else yet. What only a
//! whole can show (names that refer to nothing, overlaps, the firewall's floor) is checked in [`super::check`].

pub(crate) mod firewall;
pub(crate) mod net;
pub(crate) mod networks;
pub(crate) mod paths;
pub(crate) mod probes;
pub(crate) mod read;
pub(crate) mod text;
pub(crate) mod uplinks;
pub(crate) mod values;

use crate::config::model::Name;
use read::table;
use text::{Group, Line};
use values::{List, Named};

table! {
    /// A gateway that stands alone: /etc/causeway/gateway.toml.
    Gateway: "a config", "[site] …" {
        /// Where the gateway stands.
        site: required Site,
        /// The internet lines, by name. Their order in the file is their order of preference unless `paths` or `tier` says otherwise. At most 64.
        uplinks: required Named<uplinks::Uplink>,
        /// What is probed through every uplink.
        probes: optional probes::Probes,
        /// Which uplinks a class of traffic takes, in order. The first match wins; `default` takes all else and comes last. At most 16. Default: one path `default` over all uplinks, by `tier`.
        paths: optional List<paths::Path>,
        /// The LANs, by name. Each is also a zone of the firewall. At most 64.
        networks: optional Named<networks::Network>,
        /// What may pass; what no rule allows is dropped.
        firewall: optional firewall::Firewall,
        /// Who may change things on the gateway.
        control: optional Control,
        /// Where the gateway's figures can be read.
        telemetry: optional Telemetry,
    }
    not_yet {
        "dns": "take it out; the LAN's resolvers follow the uplinks",
        "qos": "take it out; traffic is steered by `paths` only",
        "tunnels": "take it out; reach the gateway from a network of the LAN",
        "time": "take it out; chrony keeps its own servers",
        "update": "take it out; firmware is updated by hand in this release",
        "services": "take it out; name what must work as a target of an uplink",
        "access": "take it out; SSH keys are those of the image",
        "apply": "take it out",
    }
    office { "standard", "vars", }
}

table! {
    /// Where the gateway stands.
    Site: "a table", "{ name = \"Lyon Bellecour\" }" {
        /// Shown in status, pages, metrics and reports. 1 to 64 printable characters.
        name: required Line,
        /// Whom to call; a person. 1 to 64 printable characters. Default: nobody is shown.
        owner: optional Line,
    }
    not_yet {
        "language": "take it out; messages are in English",
        "timezone": "take it out and set the time zone of the system",
        "hours": "take it out",
        "phone": "write it behind the owner's name",
    }
}

table! {
    /// Who may change things on the gateway.
    Control: "a table", "{ group = \"causeway-admin\" }" {
        /// Members of this Unix group may change things, as root may; everybody may look. Default: causeway-admin.
        group: optional Group,
    }
}

table! {
    /// Where the gateway's figures can be read.
    Telemetry: "a table", "{ metrics_on = [\"office\"] }" {
        /// Networks on whose gateway address /metrics is served. Default: none.
        metrics_on: optional List<Name>,
        /// TCP port of /metrics, 1024 to 65535. Default: 9620.
        metrics_port: optional i64,
    }
    not_yet {
        "push": "take it out; let Prometheus read metrics_on",
        "every": "take it out; let Prometheus read metrics_on",
        "metered_every": "take it out; let Prometheus read metrics_on",
        "status_page_on": "take it out; see `causeway status` on the gateway",
    }
}
