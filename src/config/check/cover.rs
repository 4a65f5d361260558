//! Whether all traffic that a later condition means is already taken by an earlier one. An empty list means any.

use ipnet::IpNet;

use crate::config::model::{Match, PortRange, Service};

pub(super) fn matches(earlier: &Match, later: &Match) -> bool {
    members(&earlier.from, &later.from)
        && members(&earlier.dscp, &later.dscp)
        && services(&earlier.services, &later.services)
        && nets(&earlier.source, &later.source)
        && nets(&earlier.destination, &later.destination)
}

pub(super) fn members<T: PartialEq>(earlier: &[T], later: &[T]) -> bool {
    earlier.is_empty() || !later.is_empty() && later.iter().all(|it| earlier.contains(it))
}

pub(super) fn nets(earlier: &[IpNet], later: &[IpNet]) -> bool {
    earlier.is_empty() || !later.is_empty() && later.iter().all(|net| earlier.iter().any(|wide| wide.contains(net)))
}

pub(super) fn services(earlier: &[Service], later: &[Service]) -> bool {
    earlier.is_empty() || !later.is_empty() && later.iter().all(|it| earlier.iter().any(|wide| service(*wide, *it)))
}

/// Whether both can mean the same packet.
pub(super) fn overlap(one: Service, other: Service) -> bool {
    match (one, other) {
        (Service::Any, _) | (_, Service::Any) | (Service::Icmp, Service::Icmp) => true,
        (Service::Tcp(a), Service::Tcp(b)) | (Service::Udp(a), Service::Udp(b)) => {
            a.first <= b.last && b.first <= a.last
        }
        (Service::Icmp | Service::Tcp(_) | Service::Udp(_), _) => false,
    }
}

fn service(wide: Service, narrow: Service) -> bool {
    let inside = |wide: PortRange, narrow: PortRange| wide.first <= narrow.first && narrow.last <= wide.last;
    match (wide, narrow) {
        (Service::Any, _) | (Service::Icmp, Service::Icmp) => true,
        (Service::Tcp(wide), Service::Tcp(narrow)) | (Service::Udp(wide), Service::Udp(narrow)) => inside(wide, narrow),
        (Service::Icmp | Service::Tcp(_) | Service::Udp(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn tcp(first: u16, last: u16) -> Service {
        Service::Tcp(PortRange { first, last })
    }

    #[test]
    fn nothing_named_means_anything() {
        assert!(services(&[], &[Service::Any]));
        assert!(!services(&[tcp(1, 65_535)], &[]));
        assert!(!members(&["a"], &[]));
        assert!(members(&["a", "b"], &["b"]));
    }

    #[test]
    fn services_contain_and_overlap() {
        assert!(services(&[Service::Any], &[tcp(22, 22), Service::Icmp]));
        assert!(services(&[tcp(20, 30)], &[tcp(22, 22)]));
        assert!(!services(&[tcp(22, 22)], &[tcp(20, 30)]));
        assert!(!services(&[tcp(22, 22)], &[Service::Any]));
        assert!(overlap(tcp(20, 30), tcp(30, 40)));
        assert!(!overlap(tcp(20, 30), Service::Udp(PortRange { first: 20, last: 30 })));
    }

    #[test]
    fn networks_contain() {
        let net = |text: &str| text.parse::<IpNet>().expect("literal");
        assert!(nets(&[net("10.0.0.0/8")], &[net("10.1.0.0/16")]));
        assert!(!nets(&[net("10.1.0.0/16")], &[net("10.0.0.0/8")]));
        assert!(!nets(&[net("10.0.0.0/8")], &[net("2001:db8::/32")]));
    }
}
