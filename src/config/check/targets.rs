//! Targets: what each uplink is asked through, per family. An uplink's own targets stand in for the site's, and the
//! site's for the well-known ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{at_most, integer, twice, unusable};
use crate::config::fault::{Collector, Fault, Kind, Place};
use crate::config::model::{
    Check, DnsAnswer, Family, Host, Ipv4Mode, Ipv6Mode, Network, Target, Uplink, limits, well_known_targets,
};
use crate::config::raw::net::Expect;
use crate::config::raw::probes::{Probes, Target as RawTarget};
use crate::config::raw::read::At;
use crate::config::raw::uplinks::Uplink as RawUplink;
use crate::config::raw::values::{Entry, List};

/// What one list of targets asks.
#[derive(Default)]
struct Checks {
    entries: Vec<At<Check>>,
    /// None was left out because it is wrong.
    whole: bool,
}

pub(super) fn complete(
    mut uplinks: Vec<Uplink>,
    raw: &[Entry<RawUplink>],
    probes: Option<&At<Probes>>,
    networks: &[Network],
    faults: &mut Collector<'_>,
) -> Vec<Uplink> {
    let own = Own::new(&uplinks, networks);
    let site = probes.and_then(|at| at.value.targets.as_ref()).map(|list| read(list, &own, faults)).unwrap_or_default();
    let mut alike = BTreeSet::new();
    for (uplink, entry) in uplinks.iter_mut().zip(raw) {
        let Some(raw) = &entry.value else { continue };
        let named = raw.targets.as_ref().map(|list| read(list, &own, faults)).unwrap_or_default();
        not_carried(uplink, &named, faults);
        for family in Family::BOTH {
            if !uplink.has(family) {
                continue;
            }
            let chosen = [&named, &site]
                .into_iter()
                .map(|list| (of(list, family), list.whole))
                .find(|(list, _)| !list.is_empty());
            let checks: Vec<Check> = match chosen {
                Some((list, whole)) => {
                    if whole {
                        apart(&list, family, &mut alike, faults);
                    }
                    list.into_iter().map(|at| at.value.clone()).collect()
                }
                None => well_known_targets().remove(&family).unwrap_or_default(),
            };
            quorum(uplink, raw, family, checks.len(), faults);
            uplink.targets.extend(checks.into_iter().map(|check| Target { family, check }));
        }
        if uplink.targets.len() > limits::TARGETS {
            let count = |family| uplink.targets.iter().filter(|target| target.family == family).count();
            let fault = Fault::new(Kind::TooMany, format!("uplink `{}` has too many targets", uplink.name))
                .because(format!("{} for ipv4 and {} for ipv6", count(Family::V4), count(Family::V6)))
                .hint(format!("leave {} at most; a family without targets gets well-known ones", limits::TARGETS));
            faults.add(entry.name.place, fault);
        }
    }
    uplinks
}

/// Addresses that are ours or lead to us.
struct Own {
    nets: Vec<(IpNet, String)>,
    gateways: BTreeMap<IpAddr, String>,
}

impl Own {
    fn new(uplinks: &[Uplink], networks: &[Network]) -> Self {
        let mut nets = Vec::new();
        for network in networks {
            let v4 = network.net.map(IpNet::from);
            let v6 = network.net6.map(IpNet::from);
            nets.extend([v4, v6].into_iter().flatten().map(|net| (net, format!("network `{}`", network.name))));
        }
        let mut gateways = BTreeMap::new();
        for uplink in uplinks {
            let owner = format!("uplink `{}`", uplink.name);
            if let Ipv4Mode::Static { address, .. } = &uplink.ipv4 {
                nets.push((Ipv4Net::from(address.addr()).into(), owner.clone()));
            }
            if let Ipv6Mode::Static { address, .. } = &uplink.ipv6 {
                nets.push((Ipv6Net::from(address.addr()).into(), owner.clone()));
            }
            let routers = Family::BOTH.into_iter().filter_map(|family| uplink.static_gateway(family));
            gateways.extend(routers.map(|router| (router, owner.clone())));
        }
        Self { nets, gateways }
    }

    fn refuse(&self, address: IpAddr, at: &At<()>, faults: &mut Collector<'_>) {
        let owner = self.nets.iter().find(|(net, _)| net.contains(&address)).map(|(_, owner)| owner);
        let fault = if let Some(why) = unusable(address) {
            Fault::new(Kind::TargetOwn, format!("target {address} is not on the internet"))
                .because(format!("it is {why}"))
                .hint("name a host beyond the provider")
        } else if let Some(owner) = owner {
            Fault::new(Kind::TargetOwn, format!("target {address} is our own"))
                .because(format!("it belongs to {owner}, and answers whatever happens to the line"))
                .hint("name a host beyond the provider")
        } else if let Some(owner) = self.gateways.get(&address) {
            Fault::new(Kind::TargetIsGateway, format!("target {address} is the gateway of {owner}"))
                .because("it answers while nothing beyond it does; it is watched anyway, to tell the cause")
                .hint("name a host beyond the provider")
        } else {
            return;
        };
        faults.add(at.place, fault);
    }
}

fn read(list: &At<List<RawTarget>>, own: &Own, faults: &mut Collector<'_>) -> Checks {
    super::not_empty(list, list.value.is_empty(), faults);
    let mut checks: Vec<At<Check>> = Vec::new();
    for raw in at_most(list, limits::TARGETS, faults) {
        let Some(check) = check(raw, faults) else { continue };
        let here = raw.map(|_| ());
        if let Host::Address(address) = host(&check) {
            own.refuse(address, &here, faults);
        }
        if let Some(first) = checks.iter().find(|at| at.value == check) {
            let label = Target { family: Family::V4, check: check.clone() }.label();
            faults.add(raw.place, twice(label, &list.key, faults.line(first.place)));
        }
        checks.push(here.map(|()| check));
    }
    let whole = list.value.whole && checks.len() == list.value.entries.len();
    Checks { entries: checks, whole }
}

pub(super) fn check(raw: &At<RawTarget>, faults: &mut Collector<'_>) -> Option<Check> {
    let RawTarget { sound: _, icmp, dns, tcp, http, https, name, expect, status, contains } = &raw.value;
    let kinds = [
        icmp.as_ref().map(|at| ("icmp", at.place)),
        dns.as_ref().map(|at| ("dns", at.place)),
        tcp.as_ref().map(|at| ("tcp", at.place)),
        http.as_ref().map(|at| ("http", at.place)),
        https.as_ref().map(|at| ("https", at.place)),
    ];
    let kinds: Vec<(&str, Place)> = kinds.into_iter().flatten().collect();
    let [(kind, _)] = kinds.as_slice() else {
        // A kind that was written but could not be read is a fault already.
        if kinds.is_empty() && !raw.value.sound {
            return None;
        }
        let cause = match kinds.as_slice() {
            [] => "it has none of the keys icmp, dns, tcp, http and https".to_owned(),
            many => format!("it has {}", super::listed(many.iter().map(|(kind, _)| kind), "and")),
        };
        let fault = Fault::new(Kind::Conflict, format!("`{}` must be of exactly one kind", raw.key))
            .because(cause)
            .hint("write one table for each target: [{ icmp = \"9.9.9.9\" }, { dns = \"1.1.1.1\" }]");
        faults.add(raw.place, fault);
        return None;
    };
    let extras = [
        ("name", name.as_ref().map(|at| at.place), &["dns"][..]),
        ("expect", expect.as_ref().map(|at| at.place), &["dns"]),
        ("status", status.as_ref().map(|at| at.place), &["http", "https"]),
        ("contains", contains.as_ref().map(|at| at.place), &["http", "https"]),
    ];
    for (extra, place, belongs) in extras {
        if let Some(place) = place
            && !belongs.contains(kind)
        {
            let fault = Fault::new(Kind::Conflict, format!("`{}.{extra}` has no meaning for {kind}", raw.key))
                .because(format!("`{extra}` belongs to {}", super::listed(belongs, "and")))
                .hint("take it out, or change the kind of the target");
            faults.add(place, fault);
        }
    }
    if let Some(icmp) = icmp {
        return Some(Check::Icmp { host: icmp.value.clone() });
    }
    if let Some(tcp) = tcp {
        return Some(Check::Tcp { host: tcp.value.host.clone(), port: tcp.value.port });
    }
    if let Some(dns) = dns {
        if let Some(expect) = expect
            && expect.value == Expect::NoSuchName
            && name.is_none()
        {
            let fault = Fault::new(Kind::Conflict, format!("`{}` is asked for nothing", raw.key))
                .because(format!("without `name` it is asked {}, which exists", Target::DNS_NAME))
                .hint("add a name that cannot exist, such as name = \"no-such-name.invalid\"");
            faults.add(expect.place, fault);
        }
        let name = name.as_ref().map_or_else(|| Target::DNS_NAME.to_owned(), |at| at.value.0.clone());
        let expect = match expect.as_ref().map(|at| at.value) {
            None | Some(Expect::Address) => DnsAnswer::Address,
            Some(Expect::NoSuchName) => DnsAnswer::NoSuchName,
            Some(Expect::Exactly(address)) => DnsAnswer::Exactly(address),
        };
        return Some(Check::Dns { server: dns.value.0, name, expect });
    }
    let url = http.as_ref().or(https.as_ref())?;
    if url.value.tls != https.is_some() {
        let fault = Fault::new(Kind::Conflict, format!("`{}` has a URL of the other scheme", url.key))
            .because(format!("the URL begins with {}://", url.value.scheme()))
            .hint(format!("write it as {} = …", url.value.scheme()));
        faults.add(url.place, fault);
    }
    let status = integer(status.as_ref(), 100..=599, Target::HTTP_STATUS, faults);
    let contains = contains.as_ref().map(|at| at.value.0.clone());
    Some(Check::Http { url: url.value.clone(), status, contains })
}

pub(super) fn host(check: &Check) -> Host {
    match check {
        Check::Icmp { host } | Check::Tcp { host, .. } => host.clone(),
        Check::Dns { server, .. } => Host::Address(server.ip()),
        Check::Http { url, .. } => url.host.clone(),
    }
}

/// Those that are asked over this family; a name is asked over both.
fn of(list: &Checks, family: Family) -> Vec<&At<Check>> {
    let fits = |at: &&At<Check>| match host(&at.value) {
        Host::Address(address) => Family::of(address) == family,
        Host::Name(_) => true,
    };
    list.entries.iter().filter(fits).collect()
}

fn not_carried(uplink: &Uplink, named: &Checks, faults: &mut Collector<'_>) {
    for at in &named.entries {
        if let Host::Address(address) = host(&at.value)
            && !uplink.has(Family::of(address))
        {
            let family = Family::of(address);
            let fault =
                Fault::new(Kind::TargetFamily, format!("uplink `{}` cannot reach target {address}", uplink.name))
                    .because(format!("{family} of the uplink is off"))
                    .hint(format!("take the target out, or set {family} of the uplink"));
            faults.add(at.place, fault);
        }
    }
}

/// At least two in different networks, so that the fault of one operator does not look like an outage of the line.
fn apart(list: &[&At<Check>], family: Family, reported: &mut BTreeSet<(Place, Family)>, faults: &mut Collector<'_>) {
    let network = |at: &&At<Check>| match host(&at.value) {
        Host::Address(address) => {
            let len = if address.is_ipv4() { 24 } else { 48 };
            IpNet::new(address, len).map(|net| net.trunc().to_string()).unwrap_or_default()
        }
        Host::Name(name) => name,
    };
    let networks: BTreeSet<String> = list.iter().map(network).collect();
    let Some(first) = list.first() else { return };
    if networks.len() > 1 || !reported.insert((first.place, family)) {
        return;
    }
    let cause = match list.len() {
        1 => "there is one only; when it fails, the line seems to fail".to_owned(),
        count => format!(
            "all {count} are in {}; when its operator fails, the line seems to fail",
            networks.into_iter().collect::<String>()
        ),
    };
    let fault = Fault::new(Kind::TargetsOneNetwork, format!("{family} has no two targets in different networks"))
        .because(cause)
        .hint("add one of another operator, or leave `targets` out: three well-known ones are built in");
    faults.add(first.place, fault);
}

fn quorum(uplink: &Uplink, raw: &RawUplink, family: Family, targets: usize, faults: &mut Collector<'_>) {
    let Some(at) = raw.probe.as_ref().and_then(|probe| probe.value.quorum.as_ref()) else { return };
    if let Some(quorum) = uplink.profile.quorum
        && usize::from(quorum) > targets
    {
        let fault = Fault::new(Kind::Quorum, format!("`{}` can never be reached", at.key))
            .because(format!("{quorum} targets must be silent, {family} has {targets}"))
            .hint(format!("lower it to {targets} at most, or add targets"));
        faults.add(at.place, fault);
    }
}
