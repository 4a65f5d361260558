//! What speaks to people and servers: `/metrics` for the LAN, and what the daemon wants from head office. Moves bytes, is
//! not trusted with decisions, needs no capability. Pure: [`samples`] (which values a page has), [`exposition`] (the page),
//! [`host`] (is it for us), [`address`] (where head office is), [`backoff`] (when to try again). The edges are [`http`] and
//! [`client`].
//!
//! Where to listen is asked of the daemon, so that it follows the config in force; `--listen` says it otherwise. If the
//! daemon does not answer in time the page holds what `front` itself knows and `causeway_daemon_up 0`: figures of an
//! earlier time are not shown as if they were now.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::config::model::Gateway;

pub mod address;
pub mod backoff;
pub mod client;
pub mod exposition;
pub mod host;
pub mod http;
pub mod samples;

#[derive(Clone, Debug)]
pub struct Options {
    /// The daemon's control socket.
    pub socket: PathBuf,
    /// Where to listen; empty: ask the daemon.
    pub listen: Vec<SocketAddr>,
}

/// Where the config wants `/metrics`: the gateway's own address, the first, of each network in `telemetry.metrics_on`.
/// An uplink is none of them.
pub fn addresses(gateway: &Gateway) -> Vec<SocketAddr> {
    let port = gateway.telemetry.metrics_port;
    let wanted = gateway.networks.iter().filter(|network| gateway.telemetry.metrics_on.contains(&network.name));
    wanted
        .flat_map(|network| {
            let v4 = network.net.map(|net| Ipv4Addr::from_bits(net.network().to_bits().saturating_add(1)));
            let v6 = network.net6.map(|net| Ipv6Addr::from_bits(net.network().to_bits().saturating_add(1)));
            [v4.map(IpAddr::V4), v6.map(IpAddr::V6)]
        })
        .flatten()
        .map(|address| SocketAddr::new(address, port))
        .collect()
}
