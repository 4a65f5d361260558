//! What speaks to people and servers: `/metrics` and the status page for the LAN, and what the daemon wants from head office.
//! Moves bytes, is not trusted with decisions, needs no capability. Pure: [`samples`] (which values `/metrics` has),
//! [`series`] (how many it may have), [`exposition`] (its text), [`page`] (what people read), [`host`] (is it for us),
//! [`address`] (where head office is), [`crate::backoff`] (when to try again). The edges are [`http`] and [`client`].
//!
//! Where to listen is asked of the daemon, so that it follows the config in force; `--listen` says it otherwise. If the
//! daemon does not answer in time the page holds what `front` itself knows and `causeway_daemon_up 0`: figures of an
//! earlier time are not shown as if they were now.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use jiff::tz::TimeZone;

use crate::config::model::{Gateway, Name, Telemetry};
use crate::control::status::Status;

pub mod address;
pub mod client;
pub mod exposition;
pub mod host;
pub mod http;
pub mod page;
pub mod samples;
pub mod series;

#[derive(Clone, Debug)]
pub struct Options {
    /// The daemon's control socket.
    pub socket: PathBuf,
    /// Where to listen; empty: ask the daemon.
    pub listen: Vec<SocketAddr>,
    /// What `causeway why` prints, for the technician's page: the words are the command line's.
    pub why: fn(&Status, &TimeZone) -> String,
}

/// Where the config wants `/metrics` and the technician's page.
pub fn metrics_addresses(gateway: &Gateway) -> Vec<SocketAddr> {
    let Telemetry { metrics_on, metrics_port, status_page_on: _ } = &gateway.telemetry;
    addresses(gateway, metrics_on, *metrics_port)
}

/// Where the config wants the status page.
pub fn page_addresses(gateway: &Gateway) -> Vec<SocketAddr> {
    addresses(gateway, &gateway.telemetry.status_page_on, Telemetry::PAGE_PORT)
}

/// The gateway's own address, the first, of each of these networks. An uplink is none of them.
fn addresses(gateway: &Gateway, on: &[Name], port: u16) -> Vec<SocketAddr> {
    let wanted = gateway.networks.iter().filter(|network| on.contains(&network.name));
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
