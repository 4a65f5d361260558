//! The config of a branch with two uplinks and two paths.

use std::time::Duration;

use causeway::config::model::{
    Control, Failback, FailbackFlows, FailbackWhen, Firewall, Gateway, Ipv4Mode, Ipv6Mode, LinkName, Medium, Name,
    Otherwise, Path, Site, Slots, Telemetry, Uplink, UplinkId,
};

pub(crate) fn config() -> Gateway {
    let path = |name: &str, otherwise| Path {
        name: Name::new(name).expect("a name"),
        matches: Vec::new(),
        tiers: vec![vec![UplinkId(0)], vec![UplinkId(1)]],
        failback: Failback {
            when: FailbackWhen::After(Failback::AFTER),
            flows: FailbackFlows::Drain { at_most: Some(Duration::from_secs(60)) },
        },
        otherwise,
        min_hold: Path::MIN_HOLD,
    };
    Gateway {
        site: Site { name: "Shop 7".to_owned(), owner: None },
        slots: Slots::default(),
        uplinks: (0..2).map(uplink).collect(),
        paths: vec![path("default", Otherwise::Keep), path("guests", Otherwise::Reject)],
        networks: Vec::new(),
        firewall: Firewall::default(),
        control: Control { group: None },
        telemetry: Telemetry {
            metrics_on: Vec::new(),
            metrics_port: Telemetry::METRICS_PORT,
            status_page_on: Vec::new(),
        },
    }
}

fn uplink(i: usize) -> Uplink {
    Uplink {
        name: Name::new(["fibre", "lte"][i]).expect("a name"),
        device: LinkName::new(&format!("wan{i}")).expect("a device name"),
        medium: Medium::Fibre,
        provider: None,
        circuit: None,
        metered: None,
        weight: 1,
        ipv4: Ipv4Mode::Dhcp,
        ipv6: Ipv6Mode::Native,
        profile: Medium::Fibre.profile(),
        targets: Vec::new(),
        enabled: true,
    }
}
