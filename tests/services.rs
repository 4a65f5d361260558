//! Networks, leases and names with real packets: the real dnsmasq, real clients, the kernel's bridges and filter, in
//! network namespaces. Where not even root may make those, the tests say so and pass.

#![cfg(feature = "lab")]

#[path = "services/world.rs"]
mod world;

use std::net::IpAddr;
use std::time::Duration;

use causeway::config::model::Family;
use causeway::lab::dns;
use causeway::lab::servers::NAME;
use world::{World, allowed};

#[test]
fn a_host_gets_a_lease_a_name_and_the_internet() {
    if !allowed() {
        return;
    }
    let world = World::start(world::TWO_NETWORKS);
    let host = world.site.host("lan0").expect("a host");
    let lease = host.lease(Some("till-1")).expect("a client").expect("a lease");
    assert_eq!(lease.router.map(IpAddr::V4), Some("10.16.10.1".parse().expect("an address")));
    assert!((100..=199).contains(&lease.address.octets()[3]), "{lease:?}");
    let dns_server = IpAddr::V4(lease.dns.expect("a resolver"));
    let found = host.host.enter(|| dns::ask(dns_server, NAME, Family::V4, Duration::from_secs(3))).expect("inside");
    assert_eq!(found, Some(vec![world::far(Family::V4)]));
    assert!(world.talks(&host.host, world::far(Family::V4), 80), "a page of the internet");
    let own = host.advertised().expect("an address by advertisement");
    assert!(own.to_string().starts_with("fd00:16:10:"), "{own}");
    assert!(world.talks(&host.host, world::far(Family::V6), 80), "a page of the internet, IPv6");
}
