//! Values of the model in the words of the file, for messages, summaries and differences.

use std::fmt::Display;
use std::time::Duration;

use super::model::{
    Dhcp, Failback, FailbackFlows, FailbackWhen, FixedHost, Forward, Gateway, Ipv4Mode, Ipv6Mode, Match, Metered,
    PortRange, Rule, Service, UplinkId, Zone,
};

/// `1h30m`, `250ms`; zero is `0s`.
pub fn duration(value: Duration) -> String {
    const UNITS: [(&str, u128); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = value.as_millis();
    let mut text = String::new();
    for (unit, size) in UNITS {
        if rest >= size {
            text += &format!("{}{unit}", rest / size);
            rest %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// `10GB`, in the largest unit that divides it.
pub fn bytes(value: u64) -> String {
    const UNITS: [(&str, u64); 8] = [
        ("TB", 1_000_000_000_000),
        ("TiB", 1 << 40),
        ("GB", 1_000_000_000),
        ("GiB", 1 << 30),
        ("MB", 1_000_000),
        ("MiB", 1 << 20),
        ("kB", 1_000),
        ("KiB", 1 << 10),
    ];
    match UNITS.iter().find(|(_, size)| value >= *size && value.is_multiple_of(*size)) {
        Some((unit, size)) => format!("{}{unit}", value / size),
        None => format!("{value}B"),
    }
}

/// `40mbit`, of bits a second.
pub fn rate(value: u64) -> String {
    const UNITS: [(&str, u64); 2] = [("gbit", 1_000_000_000), ("mbit", 1_000_000)];
    match UNITS.iter().find(|(_, size)| value >= *size && value.is_multiple_of(*size)) {
        Some((unit, size)) => format!("{}{unit}", value / size),
        None => format!("{}kbit", value / 1_000),
    }
}

/// `2.5%` of 0.025.
pub fn percent(share: f32) -> String {
    let hundredths = (f64::from(share) * 10_000.0).round() / 100.0;
    format!("{hundredths}%")
}

/// `02:00`, of minutes after midnight.
pub fn time_of_day(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// `tcp/443`, `udp/5060-5061`, `icmp`, `any`.
pub fn service(service: Service) -> String {
    let ports = |PortRange { first, last }: PortRange| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    match service {
        Service::Any => "any".to_owned(),
        Service::Icmp => "icmp".to_owned(),
        Service::Tcp(range) => format!("tcp/{}", ports(range)),
        Service::Udp(range) => format!("udp/{}", ports(range)),
    }
}

/// `office`, `wan`, `self`.
pub fn zone(zone: &Zone) -> &str {
    match zone {
        Zone::Network(name) => name.as_str(),
        Zone::Wan => "wan",
        Zone::Own => "self",
    }
}

/// `office → wan tcp/443 to 192.0.2.0/24`
pub fn rule(rule: &Rule) -> String {
    let from = comma(rule.from.iter().map(zone));
    let to = comma(rule.to.iter().map(zone));
    let mut text = format!("{from} → {to} {}", comma(rule.allow.iter().map(|it| service(*it))));
    if !rule.destination.is_empty() {
        text += &format!(" to {}", comma(&rule.destination));
    }
    if rule.log {
        text += ", logged";
    }
    text
}

/// `203.0.113.2/30 via 203.0.113.1`, `dhcp`, `off`.
pub fn ipv4(mode: &Ipv4Mode) -> String {
    match mode {
        Ipv4Mode::Off => "off".to_owned(),
        Ipv4Mode::Dhcp => "dhcp".to_owned(),
        Ipv4Mode::Static { address, gateway, dns } => fixed(address, gateway, dns),
    }
}

/// As [`ipv4`].
pub fn ipv6(mode: &Ipv6Mode) -> String {
    match mode {
        Ipv6Mode::Off => "off".to_owned(),
        Ipv6Mode::Native => "native".to_owned(),
        Ipv6Mode::Nat66 => "nat66".to_owned(),
        Ipv6Mode::Npt => "npt".to_owned(),
        Ipv6Mode::Static { address, gateway, dns } => fixed(address, gateway, dns),
    }
}

/// `10GB from day 1, 1GB kept back`
pub fn metered(metered: &Metered) -> String {
    let Metered { plan, resets_on, reserve } = *metered;
    let kept = if reserve > 0 { format!(", {} kept back", bytes(reserve)) } else { String::new() };
    format!("{} from day {resets_on}{kept}", bytes(plan))
}

/// `fibre + cable, lte`: tiers from best to last.
pub fn tiers(gateway: &Gateway, tiers: &[Vec<UplinkId>]) -> String {
    comma(tiers.iter().map(|ids| names(gateway, ids).join(" + ")))
}

/// `from office dscp 46`; nothing named is `all traffic`.
pub fn matched(condition: &Match) -> String {
    let Match { from, source, destination, dscp, services } = condition;
    let parts = [
        ("from", comma(from)),
        ("source", comma(source)),
        ("dest", comma(destination)),
        ("dscp", comma(dscp)),
        ("ports", comma(services.iter().map(|it| service(*it)))),
    ];
    let named = parts.iter().filter(|(_, value)| !value.is_empty()).map(|(what, value)| format!("{what} {value}"));
    let text = named.collect::<Vec<_>>().join(" ");
    if text.is_empty() { "all traffic".to_owned() } else { text }
}

/// `after 1m, flows drain`
pub fn failback(failback: &Failback) -> String {
    let when = match &failback.when {
        FailbackWhen::After(after) => format!("after {}", duration(*after)),
        FailbackWhen::Never => "never".to_owned(),
        FailbackWhen::Window { from, to } => format!("in {}-{}", time_of_day(*from), time_of_day(*to)),
    };
    let flows = match failback.flows {
        FailbackFlows::Drain { at_most: None } => "drain".to_owned(),
        FailbackFlows::Drain { at_most: Some(limit) } => format!("drain for {}", duration(limit)),
        FailbackFlows::Cut { grace } => format!("cut after {}", duration(grace)),
        FailbackFlows::Together => "together".to_owned(),
    };
    format!("{when}, flows {flows}")
}

/// `tcp/8443 on fibre → 192.168.10.40 port 443`
pub fn forward(gateway: &Gateway, forward: &Forward) -> String {
    let on = names(gateway, &forward.on).join(", ");
    let mut text = format!("{} on {on} → {} port {}", service(forward.service), forward.to, forward.to_port);
    if !forward.source.is_empty() {
        text += &format!(" for {}", comma(&forward.source));
    }
    text
}

/// `192.168.10.100-192.168.10.199 for 12h`
pub fn dhcp(dhcp: &Dhcp) -> String {
    format!("{}-{} for {}", dhcp.from, dhcp.to, duration(dhcp.lease))
}

/// `192.168.10.40 for 52:54:00:12:34:56`
pub fn fixed_host(host: &FixedHost) -> String {
    format!("{} for {}", host.address, host.mac)
}

/// `a, b`
pub(super) fn comma<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// Sorted: among equals the order means nothing.
fn names<'g>(gateway: &'g Gateway, ids: &[UplinkId]) -> Vec<&'g str> {
    let mut names: Vec<&str> = ids.iter().map(|id| gateway.uplink(*id).name.as_str()).collect();
    names.sort_unstable();
    names
}

fn fixed(address: &impl Display, gateway: &impl Display, dns: &[std::net::IpAddr]) -> String {
    let dns = if dns.is_empty() { String::new() } else { format!(", dns {}", comma(dns)) };
    format!("{address} via {gateway}{dns}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_amounts_read_as_they_are_written() {
        assert_eq!(duration(Duration::from_millis(5_400_250)), "1h30m250ms");
        assert_eq!(duration(Duration::ZERO), "0s");
        assert_eq!(bytes(10_000_000_000), "10GB");
        assert_eq!(bytes(2 << 30), "2GiB");
        assert_eq!(bytes(1_001), "1001B");
        assert_eq!(percent(0.025), "2.5%");
        assert_eq!(percent(0.2), "20%");
    }
}
