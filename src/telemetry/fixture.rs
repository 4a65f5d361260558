//! A small gateway for tests: `wan1` (both families) and `lte0`, path `default`.

use crate::config::model::{
    Check, Control, Failback, FailbackFlows, FailbackWhen, Family, Firewall, Gateway, Host, Ipv4Mode, Ipv6Mode,
    LinkName, Medium, Metered, Name, Otherwise, Path, Site, Slots, Target, Telemetry, Uplink, UplinkId,
};

pub(crate) const WAN1: UplinkId = UplinkId(0);
pub(crate) const LTE0: UplinkId = UplinkId(1);

pub(crate) fn gateway() -> Gateway {
    let name = |text: &str| Name::new(text).expect("a good name");
    let icmp = |family, host: &str| Target {
        family,
        check: Check::Icmp { host: Host::Address(host.parse().expect("an address")) },
    };
    let uplink = |text: &str, medium: Medium| Uplink {
        name: name(text),
        device: LinkName::new(text).expect("a good name"),
        medium,
        provider: None,
        circuit: None,
        metered: None,
        weight: 1,
        ipv4: Ipv4Mode::Dhcp,
        ipv6: Ipv6Mode::Off,
        profile: medium.profile(),
        targets: vec![icmp(Family::V4, "9.9.9.9"), icmp(Family::V4, "1.1.1.1")],
        enabled: true,
    };
    let mut wan1 = uplink("wan1", Medium::Fibre);
    wan1.ipv6 = Ipv6Mode::Native;
    wan1.targets.push(icmp(Family::V6, "2620:fe::fe"));
    let mut lte0 = uplink("lte0", Medium::Lte);
    lte0.metered = Some(Metered { plan: 10_000_000_000, resets_on: 1, reserve: 1_000_000_000 });
    let default = Path {
        name: name(Path::DEFAULT_NAME),
        matches: Vec::new(),
        tiers: vec![vec![WAN1], vec![LTE0]],
        failback: Failback {
            when: FailbackWhen::After(Failback::AFTER),
            flows: FailbackFlows::Drain { at_most: None },
        },
        otherwise: Otherwise::Keep,
        min_hold: Path::MIN_HOLD,
    };
    Gateway {
        site: Site { name: "Lyon-Bellecour".to_owned(), owner: None },
        slots: Slots::default(),
        uplinks: vec![wan1, lte0],
        paths: vec![default],
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
