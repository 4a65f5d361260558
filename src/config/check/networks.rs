//! LANs: ports, prefixes, names that are zones of the firewall.

use ipnet::IpNet;

use super::{Taken, not_empty, once, unusable};
use crate::config::fault::{Collector, Fault, Kind};
use crate::config::model::{Network, limits};
use crate::config::raw::networks::Network as RawNetwork;
use crate::config::raw::read::At;
use crate::config::raw::values::Entry;

pub(super) fn networks(raw: &[Entry<RawNetwork>], taken: &mut Taken, faults: &mut Collector<'_>) -> Vec<Network> {
    let mut networks = Vec::with_capacity(raw.len());
    for entry in raw {
        let name = &entry.name;
        if matches!(name.value.as_str(), "wan" | "self") {
            let fault = Fault::new(Kind::ReservedName, format!("a network cannot be called `{}`", name.value))
                .because("in firewall rules `wan` means all uplinks and `self` the gateway")
                .hint("choose another name");
            faults.add(name.place, fault);
        }
        let Some(raw) = &entry.value else { continue };
        let owner = format!("network `{}`", name.value);
        let mut ports = Vec::new();
        if let Some(list) = &raw.ports {
            not_empty(list, list.value.is_empty(), faults);
            for port in once(list, limits::PORTS, faults) {
                taken.device(port, owner.clone(), faults);
                ports.push(port.value.clone());
            }
        }
        if let Some(net) = &raw.net {
            // A /30 is the smallest with room for one client.
            prefix(&net.map(|net| IpNet::from(*net)), 8, 30, &owner, taken, faults);
        }
        if let Some(net) = &raw.net6 {
            prefix(&net.map(|net| IpNet::from(*net)), 16, 126, &owner, taken, faults);
        }
        networks.push(Network {
            name: name.value.clone(),
            ports,
            net: raw.net.as_ref().map(|at| at.value),
            net6: raw.net6.as_ref().map(|at| at.value),
            isolate: raw.isolate.as_ref().is_some_and(|at| at.value),
        });
    }
    networks
}

fn prefix(at: &At<IpNet>, shortest: u8, longest: u8, owner: &str, taken: &mut Taken, faults: &mut Collector<'_>) {
    let net = at.value;
    let (cause, hint) = if !(shortest..=longest).contains(&net.prefix_len()) {
        (format!("its length is not from /{shortest} to /{longest}"), "a /24 or a /64 is usual".to_owned())
    } else if net != net.trunc() {
        ("bits behind the prefix length are set".to_owned(), format!("write the network: \"{}\"", net.trunc()))
    } else if let Some(why) = unusable(net.network()) {
        (format!("it is {why}"), "use a private prefix such as 192.168.10.0/24 or fd00:10::/64".to_owned())
    } else {
        taken.net(net, owner.to_owned(), at.place, faults);
        return;
    };
    let fault = Fault::new(Kind::BadAddress, format!("`{}` cannot be {net}", at.key));
    faults.add(at.place, fault.because(cause).hint(hint));
}
