//! One tracked connection, as plain data. Nothing here talks to the kernel.

use std::net::IpAddr;

use crate::config::model::Family;

/// IANA protocol numbers we treat by name.
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;

/// `TCP_CONNTRACK_ESTABLISHED` of `linux/netfilter/nf_conntrack_tcp.h`.
pub const TCP_ESTABLISHED: u8 = 3;

/// One direction of a connection. In place of ports, ICMP has its identifier as source and `type << 8 | code` as
/// destination; 0 for protocols that have neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub source_port: u16,
    pub destination_port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    pub family: Family,
    /// IANA number.
    pub protocol: u8,
    /// As the first packet came in, before any translation.
    pub original: Tuple,
    /// As the answers come in.
    pub reply: Tuple,
    pub mark: u32,
    /// `IPS_*` bits.
    pub status: u32,
    /// `TCP_CONNTRACK_*`; `None` for other protocols.
    pub tcp_state: Option<u8>,
}

impl Flow {
    pub fn is_established_tcp(&self) -> bool {
        self.protocol == TCP && self.tcp_state == Some(TCP_ESTABLISHED)
    }
}

/// What a dump brought back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub flows: Vec<Flow>,
    /// Flows that matched, kept or not.
    pub seen: u64,
}

impl Snapshot {
    /// A dump keeps at most this many flows (about 6 MiB), the size of conntrack's own table on a small gateway. What
    /// does not fit is counted in [`Self::cut`]: it is removed like the rest, only not nudged.
    pub const MOST: usize = 65_536;

    pub fn push(&mut self, flow: Flow) {
        self.seen += 1;
        if self.flows.len() < Self::MOST {
            self.flows.push(flow);
        }
    }

    /// Flows that were seen but not kept.
    pub fn cut(&self) -> u64 {
        self.seen - self.flows.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_snapshot_is_bounded_and_counts_what_it_cuts() {
        let tuple = Tuple {
            source: Ipv4Addr::LOCALHOST.into(),
            destination: Ipv4Addr::LOCALHOST.into(),
            source_port: 1,
            destination_port: 2,
        };
        let flow = Flow {
            family: Family::V4,
            protocol: UDP,
            original: tuple,
            reply: tuple,
            mark: 0,
            status: 0,
            tcp_state: None,
        };
        let mut snapshot = Snapshot::default();
        for _ in 0..Snapshot::MOST + 3 {
            snapshot.push(flow);
        }
        assert_eq!(snapshot.flows.len(), Snapshot::MOST);
        assert_eq!(snapshot.cut(), 3);
    }
}
