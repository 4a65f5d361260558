//! Uplinks without their targets: device, medium, addresses, plan.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Taken, integer, once, unusable};
use crate::config::branch::Rates;
use crate::config::fault::{Collector, Fault, Kind};
use crate::config::model::{Ipv4Mode, Ipv6Mode, LinkName, Medium, Metered, Name, Uplink, limits};
use crate::config::raw::read::At;
use crate::config::raw::settable::{Settable, set};
use crate::config::raw::text::Rate;
use crate::config::raw::uplinks::{Ipv4, Ipv6, Metered as RawMetered, Static4, Static6, Uplink as RawUplink};
use crate::config::raw::values::{Entry, List};
use crate::config::words;

use super::profile::profile;

/// What people write for the gateway's own choice.
const AUTO: &str = "auto";

/// One for each entry, in order: [`crate::config::model::UplinkId`] is the index. Where something cannot be read a
/// stand-in takes its place, which never leaves this module's caller because the fault is known.
pub(super) fn lines(raw: &[Entry<RawUplink>], taken: &mut Taken, faults: &mut Collector<'_>) -> Vec<Uplink> {
    let uplinks: Vec<Uplink> = raw
        .iter()
        .map(|entry| match &entry.value {
            Some(raw) => line(&entry.name, raw, taken, faults),
            None => stand_in(&entry.name.value),
        })
        .collect();
    if let Some(first) = raw.first()
        && uplinks.iter().all(|uplink| !uplink.enabled)
    {
        let fault = Fault::new(Kind::NoneEnabled, "no uplink is enabled")
            .because("every one has enabled = false, so the branch would have no internet")
            .hint("leave at least one in use");
        faults.add(first.name.place, fault);
    }
    uplinks
}

/// What the contracts promise, in the order of the uplinks.
pub(super) fn rates(raw: &[Entry<RawUplink>], faults: &mut Collector<'_>) -> Vec<Rates> {
    raw.iter()
        .map(|entry| match &entry.value {
            Some(raw) => Rates { down: rate(raw.down.as_ref(), faults), up: rate(raw.up.as_ref(), faults) },
            None => Rates::default(),
        })
        .collect()
}

pub(super) fn rate(raw: Option<&At<Settable<Rate>>>, faults: &mut Collector<'_>) -> Option<u64> {
    /// Below, not even probes and a telephone fit; above, no port of a branch's gateway.
    const RATE: std::ops::RangeInclusive<u64> = 64_000..=100_000_000_000;
    let at = set(raw)?;
    if !RATE.contains(&at.value.0) {
        let show = |rate: &u64| words::rate(*rate);
        super::out_of_range(&at, &show(&at.value.0), show(RATE.start()), show(RATE.end()), faults);
    }
    Some(at.value.0)
}

fn line(name: &At<Name>, raw: &RawUplink, taken: &mut Taken, faults: &mut Collector<'_>) -> Uplink {
    let owner = format!("uplink `{}`", name.value);
    let mut uplink = stand_in(&name.value);
    if let Some(device) = &raw.device {
        taken.device(device, owner.clone(), faults);
        uplink.device = device.value.clone();
    }
    if name.value.as_str() == AUTO {
        let fault = Fault::new(Kind::ReservedName, format!("an uplink cannot be called `{AUTO}`"))
            .because(format!("`causeway use {AUTO}` means that the gateway chooses by itself"))
            .hint("choose another name");
        faults.add(name.place, fault);
    }
    if let Some(medium) = set(raw.medium.as_ref()) {
        uplink.medium = medium.value;
    }
    uplink.provider = raw.provider.as_ref().map(|at| at.value.0.clone());
    uplink.circuit = raw.circuit.as_ref().map(|at| at.value.0.clone());
    uplink.metered = raw.metered.as_ref().and_then(|at| metered(&at.value, faults));
    // The kernel's next-hop groups take eight bits; percents are what people think in.
    uplink.weight = integer(set(raw.weight.as_ref()).as_ref(), 1..=100, Uplink::WEIGHT, faults);
    if let Some(ipv4) = &raw.ipv4 {
        uplink.ipv4 = ipv4_mode(&ipv4.value, &owner, taken, faults);
    }
    if let Some(ipv6) = &raw.ipv6 {
        uplink.ipv6 = ipv6_mode(&ipv6.value, &owner, taken, faults);
    }
    uplink.profile = profile(uplink.medium, raw, faults);
    uplink.enabled = set(raw.enabled.as_ref()).is_none_or(|at| at.value);
    if let Some(ipv4) = &raw.ipv4
        && uplink.ipv4 == Ipv4Mode::Off
        && uplink.ipv6 == Ipv6Mode::Off
    {
        let fault = Fault::new(Kind::NoFamily, format!("{owner} carries neither IPv4 nor IPv6"))
            .because("ipv4 and ipv6 are both \"off\"; ipv6 is so unless it is set")
            .hint("give it one of them, or take the uplink out");
        faults.add(ipv4.place, fault);
    }
    uplink
}

fn stand_in(name: &Name) -> Uplink {
    Uplink {
        name: name.clone(),
        device: LinkName::new("unknown").expect("within the alphabet"),
        medium: Medium::Dsl,
        provider: None,
        circuit: None,
        metered: None,
        weight: Uplink::WEIGHT,
        ipv4: Ipv4Mode::Dhcp,
        ipv6: Ipv6Mode::Off,
        profile: Medium::Dsl.profile(),
        targets: Vec::new(),
        enabled: true,
    }
}

fn metered(raw: &RawMetered, faults: &mut Collector<'_>) -> Option<Metered> {
    /// Below, one day of probing would use it up; above, nobody sells one, so it is a wrong unit.
    const PLAN: std::ops::RangeInclusive<u64> = 1_000_000..=100_000_000_000_000;
    // Every month has a 28th.
    let resets_on = integer(set(raw.resets_on.as_ref()).as_ref(), 1..=28, 1, faults);
    let plan = &set(raw.plan.as_ref())?;
    if !PLAN.contains(&plan.value.0) {
        let show = |bytes: &u64| words::bytes(*bytes);
        super::out_of_range(plan, &show(&plan.value.0), show(PLAN.start()), show(PLAN.end()), faults);
    }
    let kept = set(raw.reserve.as_ref());
    let (plan, reserve) = (plan.value.0, kept.as_ref().map_or(0, |at| at.value.0));
    if let Some(at) = &kept
        && reserve >= plan
    {
        let fault = Fault::new(Kind::ReserveAbovePlan, format!("`{}` leaves nothing of the plan", at.key))
            .because(format!("{} of {} are kept back", words::bytes(reserve), words::bytes(plan)))
            .hint("keep back less than the plan");
        faults.add(at.place, fault);
    }
    Some(Metered { plan, resets_on, reserve })
}

fn ipv4_mode(raw: &Ipv4, owner: &str, taken: &mut Taken, faults: &mut Collector<'_>) -> Ipv4Mode {
    match raw {
        Ipv4::Off => Ipv4Mode::Off,
        Ipv4::Dhcp => Ipv4Mode::Dhcp,
        Ipv4::Static(Static4 { sound: _, address, gateway, dns }) => {
            let dns = resolvers(dns.as_ref(), faults);
            let (Some(address), Some(gateway)) = (address, gateway) else { return Ipv4Mode::Dhcp };
            let (net, router) = (address.value, gateway.value);
            let ends = [net.network(), net.broadcast()];
            let small = net.prefix_len() >= 31;
            if net.prefix_len() == 0 || net.prefix_len() == 32 || !small && ends.contains(&net.addr()) {
                unusable_address(
                    &address.map(|net| net.to_string()),
                    "it is not the address of one host in a network",
                    faults,
                );
            } else if let Some(why) = unusable(net.addr().into()) {
                unusable_address(&address.map(|net| net.to_string()), &format!("it is {why}"), faults);
            } else if !net.contains(&router) || router == net.addr() || !small && ends.contains(&router) {
                let outside = !net.contains(&router);
                wrong_gateway(&gateway.map(|router| router.to_string()), net.into(), outside, faults);
            } else {
                taken.net(net.into(), owner.to_owned(), address.place, faults);
            }
            Ipv4Mode::Static { address: net, gateway: router, dns }
        }
    }
}

fn ipv6_mode(raw: &Ipv6, owner: &str, taken: &mut Taken, faults: &mut Collector<'_>) -> Ipv6Mode {
    match raw {
        Ipv6::Off => Ipv6Mode::Off,
        Ipv6::Native => Ipv6Mode::Native,
        Ipv6::Nat66 => Ipv6Mode::Nat66,
        Ipv6::Npt => Ipv6Mode::Npt,
        Ipv6::Static(Static6 { sound: _, address, gateway, dns }) => {
            let dns = resolvers(dns.as_ref(), faults);
            let (Some(address), Some(gateway)) = (address, gateway) else { return Ipv6Mode::Native };
            let (net, router) = (address.value, gateway.value);
            let linked = router.is_unicast_link_local();
            let anycast = net.prefix_len() < 127 && net.addr() == net.network();
            if net.prefix_len() == 0 || net.prefix_len() == 128 || anycast {
                unusable_address(
                    &address.map(|net| net.to_string()),
                    "it is not the address of one host in a network",
                    faults,
                );
            } else if let Some(why) = unusable(net.addr().into()) {
                unusable_address(&address.map(|net| net.to_string()), &format!("it is {why}"), faults);
            } else if !linked && !net.contains(&router) || router == net.addr() {
                wrong_gateway(&gateway.map(|router| router.to_string()), net.into(), router != net.addr(), faults);
            } else {
                taken.net(net.into(), owner.to_owned(), address.place, faults);
            }
            Ipv6Mode::Static { address: net, gateway: router, dns }
        }
    }
}

fn resolvers(list: Option<&At<List<IpAddr>>>, faults: &mut Collector<'_>) -> Vec<IpAddr> {
    let Some(list) = list else { return Vec::new() };
    let entries = once(list, limits::RESOLVERS, faults);
    for at in &entries {
        if let Some(why) = unusable(at.value) {
            unusable_address(&at.map(IpAddr::to_string), &format!("it is {why}"), faults);
        }
    }
    entries.into_iter().map(|at| at.value).collect()
}

pub(super) fn unusable_address(at: &At<String>, why: &str, faults: &mut Collector<'_>) {
    let fault = Fault::new(Kind::BadAddress, format!("`{}` cannot be {}", at.key, at.value)).because(why);
    faults.add(at.place, fault.hint("write an address that one host can have"));
}

fn wrong_gateway(gateway: &At<String>, net: IpNet, outside: bool, faults: &mut Collector<'_>) {
    let cause = if outside {
        format!("it is not in {}, so it cannot be reached through the line", net.trunc())
    } else {
        format!("it is not the address of another host in {}", net.trunc())
    };
    let fault = Fault::new(Kind::BadGateway, format!("`{}` cannot be {}", gateway.key, gateway.value))
        .because(cause)
        .hint("the provider's letter names address, prefix length (or netmask) and gateway; check all three");
    faults.add(gateway.place, fault);
}
