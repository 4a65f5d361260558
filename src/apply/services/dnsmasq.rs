//! A branch as files of dnsmasq: leases, names and router advertisements for its networks. Pure. Source: dnsmasq(8), 2.90.
//!
//! `dnsmasq.conf` needs a restart when it changes. `hosts` (fixed addresses), `names` (their names) and `servers` (whom
//! to ask) are read again on SIGHUP. The conf holds a digest of itself as a TXT record, so that whoever asks learns which
//! one is in force.

use std::net::IpAddr;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::links::own;
use super::text::{DnsName, Hex, Refused, Text, Value, Word};
use crate::config::branch::{Branch, Dns, Forwarders};
use crate::config::model::{Gateway, Ipv6Mode, Network};

pub(super) const CONF: &str = "dnsmasq.conf";
pub(super) const HOSTS: &str = "hosts";
pub(super) const NAMES: &str = "names";
pub(super) const SERVERS: &str = "servers";

/// The name that has the digest. `.invalid` never exists (RFC 6761), so nobody loses a name.
pub const GENERATION_NAME: &str = "generation.causeway.invalid";

/// Answers kept; at 100 bytes each.
const CACHE: u16 = 2_000;
/// Questions under way at once; what is above is refused, so that a flood from one client is bounded.
const QUESTIONS: u16 = 300;
/// Of addresses that are learnt from router advertisements.
const LEASE6: u32 = 3_600;

/// The four files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) conf: String,
    pub(super) generation: String,
    pub(super) hosts: String,
    pub(super) names: String,
    pub(super) servers: String,
    /// All of it as one file, for `dnsmasq --test`: what stands in the other files is not looked at by that.
    pub(super) whole: String,
}

/// A place that a file of ours names; of the system or of a test, never of a config.
struct Place<'a>(std::path::Display<'a>);

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Word for Place<'_> {}

/// Networks that are served: those in which the gateway has an address.
pub(super) fn served(gateway: &Gateway) -> impl Iterator<Item = &Network> {
    gateway.networks.iter().filter(|network| own(network).next().is_some())
}

/// `None`: no network is served.
pub(super) fn render(
    branch: &Branch,
    uplink: &[IpAddr],
    folder: &Path,
    leases: &Path,
) -> Result<Option<Rendered>, Refused> {
    if served(&branch.gateway).next().is_none() {
        return Ok(None);
    }
    let mut text = Text::default();
    text.comment("Made by causeway from its config; changes are undone.");
    listen(&mut text, &branch.gateway);
    names(&mut text, &branch.dns)?;
    addresses(&mut text, &branch.gateway);
    let alone = text.finish()?;
    let generation = generation(&alone);

    let mut files = Text::default();
    files.set("dhcp-leasefile", Place(leases.display()));
    files.set("dhcp-hostsfile", Place(folder.join(HOSTS).display()));
    files.set("addn-hosts", Place(folder.join(NAMES).display()));
    files.set("servers-file", Place(folder.join(SERVERS).display()));
    files.set_all("txt-record", Value::of(GENERATION_NAME).and(",", generation));

    let (hosts, names) = (hosts(&branch.gateway, false)?, host_names(&branch.gateway)?);
    let servers = servers(&branch.dns, uplink)?;
    let whole = format!("{alone}{}{servers}", self::hosts(&branch.gateway, true)?);
    let conf = alone + &files.finish()?;
    Ok(Some(Rendered { conf, generation: generation.to_string(), hosts, names, servers, whole }))
}

fn generation(text: &str) -> Hex {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    Hex(first)
}

/// LAN devices only, and as they come and go: a bridge may appear after dnsmasq.
fn listen(text: &mut Text, gateway: &Gateway) {
    text.switch("bind-dynamic");
    for device in served(gateway).flat_map(|network| &network.ports) {
        text.set("interface", device.clone());
    }
    text.set("except-interface", "lo");
    // What this machine itself looks up is no business of the LAN's server.
    text.switch("no-resolv");
    text.switch("no-poll");
    text.switch("no-hosts");
    text.set("log-facility", "-");
    text.set("cache-size", CACHE);
    text.set("dns-forward-max", QUESTIONS);
}

fn names(text: &mut Text, dns: &Dns) -> Result<(), Refused> {
    // Names of the LAN never leave it: those without a dot, addresses of private networks, and what RFC 6761, 6762 and
    // 8375 keep to a site.
    text.switch("domain-needed");
    text.switch("bogus-priv");
    for zone in ["local", "home.arpa", "invalid", "test", "localhost", "onion"] {
        text.set_all("local", Value::of("/").and("", zone).and("", "/"));
    }
    if let Some(domain) = &dns.domain {
        let domain = DnsName::new("domain", domain)?;
        text.set_all("local", Value::of("/").and("", domain.clone()).and("", "/"));
        text.set("domain", domain);
        text.switch("expand-hosts");
    }
    Ok(())
}

fn addresses(text: &mut Text, gateway: &Gateway) {
    // This is the only server of these networks.
    text.switch("dhcp-authoritative");
    // A client that calls itself `wpad` would be everybody's proxy (VU#598349).
    text.set_all("dhcp-name-match", Value::of("set:ignore/wpad").and(",", "wpad"));
    text.set("dhcp-ignore-names", "tag:ignore/wpad");
    let delegated = gateway.uplinks.iter().any(|uplink| uplink.ipv6 == Ipv6Mode::Native);
    let mut advertised = false;
    for network in served(gateway) {
        // With a sign that neither a device's name nor a word of dnsmasq has: it makes tags of its own from both.
        let tag = || Value::of("set:network/").and("", network.name.clone());
        let mine = || Value::of("tag:network/").and("", network.name.clone());
        if let (Some(net), true) = (network.net, network.dhcp.is_some() || !network.fixed.is_empty()) {
            let range = match &network.dhcp {
                Some(dhcp) => {
                    tag().and(",", dhcp.from).and(",", dhcp.to).and(",", net.netmask()).and(",", dhcp.lease.as_secs())
                }
                // Nobody but the fixed hosts is answered.
                None => tag()
                    .and(",", net.network())
                    .and(",", "static")
                    .and(",", net.netmask())
                    .and(",", crate::config::model::Dhcp::LEASE.as_secs()),
            };
            text.set_all("dhcp-range", range);
            if let Some(gateway) = own(network).find_map(|own| Some(own.addr()).filter(IpAddr::is_ipv4)) {
                text.set_all("dhcp-option", mine().and(",option:router,", gateway));
                text.set_all("dhcp-option", mine().and(",option:dns-server,", gateway));
            }
            if network.isolate {
                // What its clients call themselves is of no use to the others.
                text.set_all("dhcp-ignore-names", mine());
            }
        }
        for device in &network.ports {
            // What the provider delegates comes and goes with its line; what is on the device is advertised.
            let start = match (delegated, network.net6) {
                (true, Some(_)) | (true, None) => tag().and(",::,constructor:", device.clone()),
                // Clients make their own address out of 64 bits, or not at all.
                (false, Some(net)) if net.prefix_len() == 64 => tag().and(",", net.network()),
                (false, Some(_) | None) => continue,
            };
            advertised = true;
            text.set_all("dhcp-range", start.and(",", "ra-stateless").and(",", 64_u16).and(",", LEASE6));
            if !delegated {
                break;
            }
        }
    }
    if advertised {
        text.switch("enable-ra");
    }
}

/// Fixed hosts by hardware address. No name stands here: dnsmasq would take some for a lease time or a command.
fn hosts(gateway: &Gateway, as_options: bool) -> Result<String, Refused> {
    let mut text = Text::default();
    for host in served(gateway).flat_map(|network| &network.fixed) {
        let value = Value::of(host.mac).and(",", host.address);
        if as_options {
            text.set_all("dhcp-host", value);
        } else {
            text.bare("dhcp-host", value);
        }
    }
    text.finish()
}

fn host_names(gateway: &Gateway) -> Result<String, Refused> {
    let mut text = Text::default();
    for host in served(gateway).flat_map(|network| &network.fixed) {
        text.pair(host.address, host.name.clone());
    }
    text.finish()
}

/// Whom to ask: the forwarders for everything, others for their zones.
pub(super) fn servers(dns: &Dns, uplink: &[IpAddr]) -> Result<String, Refused> {
    let mut text = Text::default();
    for server in forwarders(dns, uplink) {
        text.set("server", *server);
    }
    for route in &dns.routes {
        for server in &route.servers {
            let zone = DnsName::new("server", &route.zone)?;
            text.set_all("server", Value::of("/").and("", zone).and("/", *server));
        }
    }
    text.finish()
}

pub(super) fn forwarders<'a>(dns: &'a Dns, uplink: &'a [IpAddr]) -> &'a [IpAddr] {
    match &dns.forwarders {
        Forwarders::Uplink => uplink,
        Forwarders::These(servers) => servers,
    }
}
