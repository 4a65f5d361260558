//! A branch as files of systemd-networkd. Pure. A file per device, named after it, so that a change of one network is a
//! change of one file, and networkd touches what changed and nothing else. Source: systemd.network(5), systemd.netdev(5)
//! of version 252.

use std::collections::BTreeMap;

use super::links::{Shape, device_of, metric, own};
use super::text::{Hexadecimal, Refused, Text, Word};
use crate::config::branch::Branch;
use crate::config::model::{Bridged, Gateway, Ipv4Mode, Ipv6Mode, LinkName, Network, Uplink};

/// Of all our files. Lower numbers are the administrator's, who therefore has the last word.
pub const PREFIX: &str = "50-causeway-";

/// Name and content.
pub(super) type Files = BTreeMap<String, String>;

pub(super) fn files(branch: &Branch, shape: Shape) -> Result<Files, Refused> {
    let gateway = &branch.gateway;
    let mut files = Files::new();
    let bridged = || gateway.networks.iter().filter_map(|network| Some((network, network.bridged.as_ref()?)));
    match shape {
        Shape::OneBridge if bridged().next().is_some() => {
            one_bridge(&mut files, bridged().map(|(_, bridged)| bridged))?;
            for (_, bridged) in bridged() {
                vlan_device(&mut files, bridged.vlan)?;
            }
            for (port, untagged, tagged) in members(gateway) {
                member(&mut files, &port, &bridge(), untagged, &tagged)?;
            }
        }
        Shape::OneBridge => {}
        Shape::BridgePerNetwork => {
            for (_, bridged) in bridged() {
                let device = Bridged::device(bridged.vlan);
                let mut text = netdev(&device, "bridge");
                text.section("Bridge");
                text.set("STP", "no");
                files.insert(file(&device, "netdev"), text.finish()?);
                for port in &bridged.untagged {
                    member(&mut files, port, &device, None, &[])?;
                }
            }
        }
    }
    for network in &gateway.networks {
        if let Some(device) = device_of(network) {
            files.insert(file(device, "network"), lan(gateway, network, device)?);
        }
    }
    for (index, uplink) in gateway.uplinks.iter().enumerate() {
        files.insert(file(&uplink.device, "network"), uplink_network(uplink, index)?);
    }
    Ok(files)
}

/// For a device that a config no longer names: networkd takes everything of its own off it.
pub(super) fn closed(device: &str) -> Option<String> {
    let mut text = network(&LinkName::new(device).ok()?);
    text.section("Network");
    text.set("DHCP", "no");
    text.set("LinkLocalAddressing", "no");
    text.set("IPv6AcceptRA", "no");
    text.finish().ok()
}

/// The name of a device's file.
pub(super) fn file(device: &LinkName, kind: &str) -> String {
    format!("{PREFIX}{device}.{kind}")
}

fn bridge() -> LinkName {
    LinkName::new(Bridged::BRIDGE).expect("a name of ours")
}

fn netdev(device: &LinkName, kind: &'static str) -> Text {
    let mut text = Text::default();
    text.comment("Made by causeway from its config; changes are undone.");
    text.section("NetDev");
    text.set("Name", device.clone());
    text.set("Kind", kind);
    text
}

fn network(device: &LinkName) -> Text {
    let mut text = Text::default();
    text.comment("Made by causeway from its config; changes are undone.");
    text.section("Match");
    text.set("Name", device.clone());
    text.section("Link");
    // Nothing at start-up waits for a cable.
    text.set("RequiredForOnline", "no");
    text
}

fn one_bridge<'a>(files: &mut Files, bridged: impl Iterator<Item = &'a Bridged>) -> Result<(), Refused> {
    let device = bridge();
    let mut text = netdev(&device, "bridge");
    text.section("Bridge");
    text.set("VLANFiltering", "yes");
    // What is not said to be in a VLAN is in none.
    text.set("DefaultPVID", "none");
    text.set("STP", "no");
    files.insert(file(&device, "netdev"), text.finish()?);

    let vlans: Vec<u16> = bridged.map(|bridged| bridged.vlan).collect();
    let mut text = network(&device);
    text.section("Network");
    text.set("LinkLocalAddressing", "no");
    text.set("IPv6AcceptRA", "no");
    text.set("ConfigureWithoutCarrier", "yes");
    for vlan in &vlans {
        text.set("VLAN", Bridged::device(*vlan));
    }
    for vlan in &vlans {
        text.section("BridgeVLAN");
        text.set("VLAN", *vlan);
    }
    files.insert(file(&device, "network"), text.finish()?);
    Ok(())
}

fn vlan_device(files: &mut Files, vlan: u16) -> Result<(), Refused> {
    let device = Bridged::device(vlan);
    let mut text = netdev(&device, "vlan");
    text.section("VLAN");
    text.set("Id", vlan);
    files.insert(file(&device, "netdev"), text.finish()?);
    Ok(())
}

/// Each member of the bridge with the VLAN that it carries untagged and those that it carries tagged.
fn members(gateway: &Gateway) -> Vec<(LinkName, Option<u16>, Vec<u16>)> {
    let mut members: BTreeMap<&LinkName, (Option<u16>, Vec<u16>)> = BTreeMap::new();
    for bridged in gateway.networks.iter().filter_map(|network| network.bridged.as_ref()) {
        for port in &bridged.untagged {
            members.entry(port).or_default().0 = Some(bridged.vlan);
        }
        for port in &bridged.tagged {
            members.entry(port).or_default().1.push(bridged.vlan);
        }
    }
    members.into_iter().map(|(port, (untagged, tagged))| (port.clone(), untagged, tagged)).collect()
}

fn member(
    files: &mut Files,
    port: &LinkName,
    bridge: &LinkName,
    untagged: Option<u16>,
    tagged: &[u16],
) -> Result<(), Refused> {
    let mut text = network(port);
    text.section("Network");
    text.set("Bridge", bridge.clone());
    text.set("LinkLocalAddressing", "no");
    text.set("IPv6AcceptRA", "no");
    text.set("ConfigureWithoutCarrier", "yes");
    if let Some(vlan) = untagged {
        text.section("BridgeVLAN");
        text.set("VLAN", vlan);
        text.set("PVID", vlan);
        text.set("EgressUntagged", vlan);
    }
    for vlan in tagged {
        text.section("BridgeVLAN");
        text.set("VLAN", *vlan);
    }
    files.insert(file(port, "network"), text.finish()?);
    Ok(())
}

fn lan(gateway: &Gateway, lan: &Network, device: &LinkName) -> Result<String, Refused> {
    let mut text = network(device);
    text.section("Network");
    // Router advertisements leave from a link-local address.
    text.set("LinkLocalAddressing", "ipv6");
    text.set("IPv6AcceptRA", "no");
    // The address is there before the first cable is, so that services can listen.
    text.set("ConfigureWithoutCarrier", "yes");
    let delegating = delegating(gateway);
    if delegating.is_some() {
        text.set("DHCPPrefixDelegation", "yes");
    }
    for net in own(lan) {
        text.section("Address");
        text.set("Address", net);
        if net.addr().is_ipv6() {
            // By config it is the gateway's; looking for a duplicate would let anybody take it away.
            text.set("DuplicateAddressDetection", "none");
        }
    }
    if let Some(uplink) = delegating {
        text.section("DHCPPrefixDelegation");
        text.set("UplinkInterface", uplink.device.clone());
        if let Some(bridged) = &lan.bridged {
            // The same slice after each restart, whatever comes up first.
            text.set("SubnetId", Hexadecimal(bridged.vlan));
        }
        text.set("Token", "static:::1");
        // dnsmasq advertises what it finds on the device.
        text.set("Announce", "no");
    }
    text.finish()
}

/// networkd hands the prefixes of one uplink down to a network; the filter translates for the others.
fn delegating(gateway: &Gateway) -> Option<&Uplink> {
    gateway.uplinks.iter().find(|uplink| uplink.ipv6 == Ipv6Mode::Native)
}

fn uplink_network(uplink: &Uplink, index: usize) -> Result<String, Refused> {
    let mut text = network(&uplink.device);
    text.section("Network");
    let (dhcp4, native) = (uplink.ipv4 == Ipv4Mode::Dhcp, uplink.ipv6 == Ipv6Mode::Native);
    let dhcp = match (dhcp4, native) {
        (true, true) => "yes",
        (true, false) => "ipv4",
        (false, true) => "ipv6",
        (false, false) => "no",
    };
    text.set("DHCP", dhcp);
    let advertised = match uplink.ipv6 {
        Ipv6Mode::Native | Ipv6Mode::Nat66 | Ipv6Mode::Npt => true,
        Ipv6Mode::Off | Ipv6Mode::Static { .. } => false,
    };
    text.set("LinkLocalAddressing", if uplink.ipv6 == Ipv6Mode::Off { "no" } else { "ipv6" });
    text.set("IPv6AcceptRA", if advertised { "yes" } else { "no" });
    text.set("LLMNR", "no");
    text.set("MulticastDNS", "no");
    // A restart of networkd is no reason to lose a lease.
    text.set("KeepConfiguration", if dhcp4 { "dhcp-on-stop" } else { "no" });
    for server in uplink.resolvers() {
        text.set("DNS", server);
    }
    if let Ipv4Mode::Static { address, gateway, dns: _ } = &uplink.ipv4 {
        text.section("Address");
        text.set("Address", *address);
        route(&mut text, *gateway, index);
    }
    if let Ipv6Mode::Static { address, gateway, dns: _ } = &uplink.ipv6 {
        text.section("Address");
        text.set("Address", *address);
        route(&mut text, *gateway, index);
    }
    if dhcp4 {
        text.section("DHCPv4");
        text.set("RouteMetric", metric(index));
        // A provider says where packets go and who knows names; who we are and what time it is, it does not.
        for key in ["UseDomains", "UseNTP", "UseHostname", "UseTimezone", "SendHostname"] {
            text.set(key, "no");
        }
        // A host route to a resolver would hold everything for that address on this line, dead or not, and two providers
        // may name the same one. Who asks it through this line binds to the device.
        text.set("RoutesToDNS", "no");
        // What providers expect who tie a line to its first device.
        text.set("ClientIdentifier", "mac");
    }
    if advertised {
        text.section("IPv6AcceptRA");
        text.set("RouteMetric", metric(index));
        text.set("UseDomains", "no");
        if native {
            text.set("DHCPv6Client", "always");
            text.section("DHCPv6");
            for key in ["UseDomains", "UseNTP", "UseHostname"] {
                text.set(key, "no");
            }
            text.set("WithoutRA", "solicit");
            text.set("UseDelegatedPrefix", "yes");
        }
    }
    text.finish()
}

fn route(text: &mut Text, gateway: impl Word, index: usize) {
    text.section("Route");
    text.set("Gateway", gateway);
    text.set("Metric", metric(index));
}
