//! The lab's address plan: documentation and benchmark prefixes only, so nothing here can be mistaken for, or leak to,
//! the real internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::model::Family;

/// 64 in the config's limits, and one octet of the plan.
pub const MOST_UPLINKS: usize = 64;

pub const LAN_V4: &str = "10.16.0.0/24";
pub const LAN_V6: &str = "fd00:16::/64";
/// Host parts in the LAN.
pub const GATEWAY: u8 = 1;
pub const LAN1: u8 = 11;
pub const LAN2: u8 = 12;

pub fn lan(family: Family, host: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 16, 0, host).into(),
        Family::V6 => decimal(0xfd00, 0x16, 0, 0, host).into(),
    }
}

/// The servers behind a strict firewall.
pub fn far(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(198, 51, 100, 20).into(),
        Family::V6 => decimal(0x2001, 0xdb8, 0x51, 0, 20).into(),
    }
}

pub fn office(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(203, 0, 113, 10).into(),
        Family::V6 => decimal(0x2001, 0xdb8, 0x113, 0, 10).into(),
    }
}

/// Well-known hosts that are probed, each in a network of its own as those of different operators are.
pub const TARGETS: u8 = 8;

/// `number` counts from 1.
pub fn target(family: Family, number: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(198, 19, number, 1).into(),
        Family::V6 => decimal(0x2001, 0xdb8, 0x200 + u16::from(number), 0, 1).into(),
    }
}

/// The net between a gateway and its provider; `index` counts uplinks from 0.
pub fn wan(family: Family, index: usize, host: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(100, 64, octet(index), host).into(),
        Family::V6 => decimal(0x2001, 0xdb8, 0x64, u16::from(octet(index)), host).into(),
    }
}

/// Host parts on the WAN net: the provider's router, the one that takes over from it, and the gateway's two.
pub const PROVIDER: u8 = 1;
pub const PROVIDER_NEXT: u8 = 254;
pub const WAN: u8 = 2;
pub const WAN_NEXT: u8 = 77;

/// The net between a provider and the core of the internet.
pub fn transit(family: Family, index: usize, host: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(198, 18, octet(index), host).into(),
        Family::V6 => decimal(0x2001, 0xdb8, 0x18, u16::from(octet(index)), host).into(),
    }
}

pub const CORE: u8 = 1;
pub const EDGE: u8 = 2;

pub fn prefix_length(family: Family) -> u8 {
    match family {
        Family::V4 => 24,
        Family::V6 => 64,
    }
}

/// Ports of the servers.
pub mod port {
    pub const ECHO: u16 = 7;
    pub const DNS: u16 = 53;
    pub const HTTP: u16 = 80;
    /// An endless download.
    pub const STREAM: u16 = 8080;
}

pub fn far_port(family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(far(family), port)
}

/// `index` is bounded by [`MOST_UPLINKS`] where uplinks are read.
fn octet(index: usize) -> u8 {
    u8::try_from(index).expect("at most 64 uplinks")
}

/// The host part is written in decimal digits (`::20` for .20), so that both families read alike.
fn decimal(a: u16, b: u16, c: u16, d: u16, host: u8) -> Ipv6Addr {
    let host = u16::from(host);
    let digits = (host / 100) << 8 | (host / 10 % 10) << 4 | (host % 10);
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_read_alike() {
        assert_eq!(far(Family::V6).to_string(), "2001:db8:51::20");
        assert_eq!(wan(Family::V4, 3, PROVIDER_NEXT).to_string(), "100.64.3.254");
        assert_eq!(wan(Family::V6, 3, PROVIDER_NEXT).to_string(), "2001:db8:64:3::254");
        assert_eq!(lan(Family::V6, LAN1).to_string(), "fd00:16::11");
    }
}
