//! Whom the LAN's DNS asks: the resolvers of the uplink in use, and of another one as soon as that carries the branch.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::Driver;
use crate::config::model::{Family, PathId, UplinkId};
use crate::time::Instant;

/// What networkd learnt by DHCP, a file for each device.
const LEASES: &str = "/run/systemd/netif/leases";
/// Longer than any.
const LEASE_BYTES: u64 = 64 << 10;
/// A lease may bring other resolvers without any switch.
const EVERY: std::time::Duration = std::time::Duration::from_secs(30);

impl Driver {
    /// When the uplink in use changed, and now and then.
    pub(super) fn forward_names(&mut self, now: Instant, changed: bool) {
        let Some(services) = self.services.clone() else { return };
        if !changed && now.since(self.forwarders.1) < EVERY {
            return;
        }
        self.forwarders.1 = now;
        let mut servers: Vec<IpAddr> = Vec::new();
        for family in Family::BOTH {
            let selection = &self.engine().path(PathId::DEFAULT, family).selection;
            for server in selection.uplinks().flat_map(|uplink| self.resolvers(uplink)) {
                if !servers.contains(&server) {
                    servers.push(server);
                }
            }
        }
        if servers.is_empty() || servers == self.forwarders.0 {
            return;
        }
        self.forwarders.0.clone_from(&servers);
        tokio::spawn(async move { services.lock().await.set_forwarders(&servers) });
    }

    /// As the config says, else as the provider does.
    fn resolvers(&self, id: UplinkId) -> Vec<IpAddr> {
        let configured = Arc::clone(&self.world.config).uplink(id).resolvers();
        if !configured.is_empty() {
            return configured;
        }
        let Some(index) = self.indices[id.index()] else { return Vec::new() };
        let path = Path::new(LEASES).join(index.to_string());
        match std::fs::metadata(&path) {
            Ok(found) if found.len() <= LEASE_BYTES => {
                std::fs::read_to_string(&path).map(|lease| resolvers_of(&lease)).unwrap_or_default()
            }
            Ok(_) | Err(_) => Vec::new(),
        }
    }
}

/// networkd's lease file: lines of KEY=VALUE; DNS has addresses with spaces between them.
fn resolvers_of(lease: &str) -> Vec<IpAddr> {
    let line = lease.lines().find_map(|line| line.strip_prefix("DNS="));
    let addresses = line.into_iter().flat_map(str::split_ascii_whitespace).filter_map(|word| word.parse().ok());
    addresses.filter(|address: &IpAddr| !address.is_unspecified() && !address.is_loopback()).take(4).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_of_a_lease() {
        let lease = "# This is private data.\nADDRESS=100.64.0.2\nDNS=203.0.113.53 127.0.0.1 not-one 203.0.113.54\nNTP=1.2.3.4\n";
        let wanted: Vec<IpAddr> = ["203.0.113.53", "203.0.113.54"].map(|it| it.parse().expect("an address")).into();
        assert_eq!(resolvers_of(lease), wanted);
        assert_eq!(resolvers_of("ADDRESS=100.64.0.2\n"), Vec::<IpAddr>::new());
    }
}
