//! A standard, and the sites that fill it in. No value that a site is allowed to set may make the config invalid: every
//! variable is tried at both of its ends, and wherever it meets something else, with the very checks of a gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::{branch, not_empty, once, vars};
use crate::config::branch::{Branch, Contract, Identity, Version};
use crate::config::fault::{Collector, Fault, Kind, Place, nearest};
use crate::config::fleet::{FleetSite, GatewayEntry, Office, Wave};
use crate::config::model::{Host, Ipv4Mode, Name, limits};
use crate::config::raw::fleet::{Given, Head, Inventory, Lifecycle, Office as RawOffice, Var};
use crate::config::raw::read::At;
use crate::config::raw::services::Endpoint;
use crate::config::raw::settable::{Fill, wrong_type};
use crate::config::raw::values::{List, Named};
use crate::config::raw::{Parts, Standard as RawStandard};
use crate::config::vars::{Values, VarName, VarType, VarValue, Variable, is_missing, with_defaults};

/// The only schema there is.
const SCHEMA: i64 = 1;

/// Below, no provider answers the telephone; above, it is another contract.
const RESTORE: RangeInclusive<Duration> = Duration::from_secs(300)..=Duration::from_secs(30 * 86_400);

type Set = BTreeMap<VarName, VarValue>;

/// A standard whose faults are known.
pub(in crate::config) struct Checked {
    pub(in crate::config) name: Option<Name>,
    pub(in crate::config) models: Vec<Name>,
    pub(in crate::config) min_firmware: Option<Version>,
    pub(in crate::config) variables: Vec<Variable>,
    pub(in crate::config) vars: Option<At<Named<Var, VarName>>>,
    pub(in crate::config) parts: Parts,
    /// Without the firewall's rules, which do not depend on values, and of which there may be thousands.
    light: Parts,
    /// Variables that meet in one uplink, network or other table.
    pairs: BTreeSet<(VarName, VarName)>,
    /// Nothing stands in the way of filling it in.
    sound: bool,
}

pub(in crate::config) fn standard(raw: RawStandard, faults: &mut Collector<'_>) -> Checked {
    let (head, vars, parts) = raw.into_parts();
    let head = head.map(|at| at.value);
    let before = faults.count();
    let declared = vars::declare(vars.as_ref(), faults);
    let pairs = uses(&parts, vars.as_ref(), &declared, faults);
    let sound = faults.count() == before;
    let mut light = parts.clone();
    if let Some(firewall) = &mut light.firewall {
        firewall.value.rules = None;
    }
    let checked = Checked {
        name: head.as_ref().and_then(|head| head.name.as_ref()).map(|at| at.value.clone()),
        models: head.as_ref().map(|head| models(head, faults)).unwrap_or_default(),
        min_firmware: head.as_ref().and_then(|head| head.min_firmware.as_ref()).map(|at| at.value),
        variables: declared.into_iter().map(|(variable, _)| variable).collect(),
        vars,
        parts,
        light,
        pairs,
        sound,
    };
    checked.try_bounds(faults);
    checked
}

fn models(head: &Head, faults: &mut Collector<'_>) -> Vec<Name> {
    if let Some(schema) = head.schema.as_ref().filter(|schema| schema.value != SCHEMA) {
        let fault = Fault::new(Kind::SchemaVersion, format!("schema {} is not known", schema.value))
            .because(format!("this release knows schema {SCHEMA} only"))
            .hint("check it with the release that it was written for");
        faults.add(schema.place, fault);
    }
    let Some(list) = &head.models else { return Vec::new() };
    not_empty(list, list.value.is_empty(), faults);
    once(list, limits::MODELS, faults).into_iter().map(|at| at.value.clone()).collect()
}

/// Every place names a variable that fits, and every variable has a place.
fn uses(
    parts: &Parts,
    vars: Option<&At<Named<Var, VarName>>>,
    declared: &[(Variable, Place)],
    faults: &mut Collector<'_>,
) -> BTreeSet<(VarName, VarName)> {
    let mut fill = Fill::default();
    parts.clone().fill(&mut fill);
    let mut used: BTreeSet<&VarName> = declared.iter().filter_map(|(it, _)| it.needed_if.as_ref()).collect();
    let names: Vec<&VarName> =
        vars.map_or_else(Vec::new, |at| at.value.entries.iter().map(|entry| &entry.name.value).collect());
    for place in &fill.uses {
        used.insert(&place.name.value);
        if !names.contains(&&place.name.value) {
            faults.add(place.name.place, vars::unknown(&place.name, names.iter().map(ToString::to_string)));
            continue;
        }
        // What is declared wrongly has its fault already.
        let Some((variable, _)) = declared.iter().find(|(it, _)| it.name == place.name.value) else { continue };
        let entries = variable.of.is_none_or(|of| matches!(of, VarType::Word | VarType::OneOf));
        if !place.types.contains(&variable.kind) || !entries {
            faults.add(place.name.place, wrong_type(place, variable.kind));
        }
    }
    for (variable, place) in declared.iter().filter(|(variable, _)| !used.contains(&variable.name)) {
        let fault = Fault::new(Kind::Unused, format!("variable `{}` is not used", variable.name))
            .because("every site would have to set what changes nothing")
            .hint(format!("take it out, or write {{ var = \"{}\" }} where it belongs", variable.name));
        faults.add(*place, fault);
    }
    let mut tables: BTreeMap<String, BTreeSet<&VarName>> = BTreeMap::new();
    for place in &fill.uses {
        // `networks.office` of `networks.office.dhcp.from`.
        let table: Vec<&str> = place.name.key.split('.').take(2).collect();
        tables.entry(table.join(".")).or_default().insert(&place.name.value);
    }
    let pairs = |names: &BTreeSet<&VarName>| {
        let names: Vec<VarName> = names.iter().map(|name| (*name).clone()).collect();
        let pair = |(index, one): (usize, &VarName)| {
            names[index + 1..].iter().map(|other| (one.clone(), other.clone())).collect::<Vec<_>>()
        };
        names.iter().enumerate().flat_map(pair).collect::<Vec<_>>()
    };
    tables.values().flat_map(pairs).collect()
}

impl Checked {
    fn try_bounds(&self, faults: &mut Collector<'_>) {
        if !self.sound {
            return;
        }
        let usual = |variable: &Variable| variable.default.clone().or_else(|| variable.ends().into_iter().next());
        let base: Set = self.variables.iter().filter_map(|it| Some((it.name.clone(), usual(it)?))).collect();
        let last: Set = self
            .variables
            .iter()
            .filter_map(|it| Some((it.name.clone(), it.ends().into_iter().next_back()?)))
            .collect();
        let first: Set =
            self.variables.iter().filter_map(|it| Some((it.name.clone(), it.ends().into_iter().next()?))).collect();
        let (found, usual) = self.attempt(&self.parts, &base, &anybody(), faults);
        let (_, greatest) = self.attempt(&self.parts, &last, &anybody(), faults);
        let (always, usual) = usual.split(&greatest);
        faults.learn(always, "");
        faults.learn(usual, &example(&base));
        let taken = found.as_ref().map(addresses).unwrap_or_default();
        let numbers = found.as_ref().map(numbers).unwrap_or_default();
        for variable in &self.variables {
            let mut tried = variable.ends();
            tried.extend(variable.tempting(&taken, &numbers));
            for value in tried {
                let with = format!("with {} = {value}", variable.name);
                let mut set = base.clone();
                set.extend(variable.needed_if.clone().map(|condition| (condition, VarValue::One("true".to_owned()))));
                set.insert(variable.name.clone(), value);
                let (_, trial) = self.attempt(&self.light, &set, &anybody(), faults);
                faults.learn(trial, &with);
            }
            if let Some(condition) = &variable.needed_if {
                let mut set = base.clone();
                set.insert(condition.clone(), VarValue::One("false".to_owned()));
                set.remove(&variable.name);
                let (_, trial) = self.attempt(&self.light, &set, &anybody(), faults);
                faults.learn(trial, &format!("with {condition} = false"));
            }
        }
        self.try_pairs(&base, faults);
        let (_, least) = self.attempt(&self.parts, &first, &anybody(), faults);
        faults.learn(least, "with the least value of each variable");
        faults.learn(greatest, "with the greatest value of each variable");
    }

    /// The least of one with the greatest of the other: a plan and its reserve, a range and a host.
    fn try_pairs(&self, base: &Set, faults: &mut Collector<'_>) {
        let ends = |name: &VarName| {
            let ends = self.variables.iter().find(|it| it.name == *name).map(Variable::ends).unwrap_or_default();
            [ends.first().cloned(), ends.last().cloned()]
        };
        for (one, other) in &self.pairs {
            let ([one_least, one_most], [other_least, other_most]) = (ends(one), ends(other));
            for (first, second) in [(one_least, other_most), (one_most, other_least)] {
                let (Some(first), Some(second)) = (first, second) else { continue };
                let with = format!("with {one} = {first} and {other} = {second}");
                let mut set = base.clone();
                set.extend([(one.clone(), first), (other.clone(), second)]);
                let (_, trial) = self.attempt(&self.light, &set, &anybody(), faults);
                faults.learn(trial, &with);
            }
        }
    }

    /// Fills the values in and checks what comes of it.
    fn attempt<'t>(
        &self,
        parts: &Parts,
        values: &Set,
        identity: &Identity,
        faults: &Collector<'t>,
    ) -> (Option<Branch>, Collector<'t>) {
        let mut parts = parts.clone();
        let mut fill = Fill::with(values);
        parts.fill(&mut fill);
        let mut trial = faults.trial();
        for (place, fault) in fill.faults {
            trial.add(place, fault);
        }
        for at in fill.missing {
            let fault = Fault::new(Kind::NotSet, format!("`{}` has no value", at.key))
                .because(format!("variable `{}` is not set", at.value))
                .hint("let the entry depend on the same condition: when = …");
            trial.add(at.place, fault);
        }
        let found = if trial.count() == 0 { branch(&parts, identity, &mut trial) } else { None };
        let sound = trial.count() == 0;
        (found.filter(|_| sound), trial)
    }

    /// The sites of the inventory with the values of their files.
    pub(in crate::config) fn sites(
        &self,
        inventory: &Inventory,
        files: &[SiteValues],
        faults: &mut Collector<'_>,
    ) -> Vec<FleetSite> {
        let listed = inventory.sites.as_ref().map_or(&[][..], |at| &at.value.entries);
        let known = names(inventory);
        for file in files {
            if !known.contains(&file.site) {
                let fault = Fault::new(Kind::UnknownName, format!("site `{}` is not in the inventory", file.site))
                    .because("nobody would know whose branch it is")
                    .hint(format!("add it to inventory.toml: [sites] {} = {{ name = …, owner = … }}", file.site));
                faults.add(file.place, fault);
            }
        }
        let contracts = contracts(inventory, &self.parts, faults);
        let by_site: BTreeMap<&Name, &SiteValues> = files.iter().map(|file| (&file.site, file)).collect();
        let mut seen: BTreeMap<(VarName, VarValue), Name> = BTreeMap::new();
        let mut sites = Vec::new();
        for entry in listed {
            let (name, Some(raw)) = (&entry.name.value, &entry.value) else { continue };
            let before = faults.count();
            let file = by_site.get(name);
            let written = self.written(name, file.and_then(|file| file.vars.as_ref()), faults);
            let place = file.map_or(entry.name.place, |file| file.place);
            self.unique(name, &written, file.and_then(|file| file.vars.as_ref()), &mut seen, faults);
            let mut values = written.clone();
            with_defaults(&self.variables, &mut values);
            if faults.count() == before {
                for variable in self.variables.iter().filter(|it| is_missing(it, &values)) {
                    let fault =
                        Fault::new(Kind::NotSet, format!("variable `{}` has no value at site `{name}`", variable.name))
                            .because("it has no default, so each site must set it")
                            .hint(format!("add it to sites/{name}.toml: vars = {{ {} = … }}", variable.name));
                    faults.add(place, fault);
                }
            }
            let text = |at: &Option<At<crate::config::raw::text::Line>>| at.as_ref().map(|at| at.value.0.clone());
            let identity = Identity {
                name: text(&raw.name).unwrap_or_else(|| name.to_string()),
                owner: text(&raw.owner),
                phone: raw.phone.as_ref().map(|at| at.value.0.clone()),
                contracts: contracts.get(name).cloned().unwrap_or_default(),
            };
            if faults.count() == before && self.sound {
                let (_, trial) = self.attempt(&self.light, &values, &identity, faults);
                faults.learn(trial, &format!("at {name}"));
            }
            let values = Values::of(&self.variables, &written);
            sites.push(FleetSite { name: name.clone(), identity, address: text(&raw.address), values });
        }
        sites
    }

    /// The values of one file, each of the type and within the bounds of its variable.
    fn written(&self, site: &Name, vars: Option<&At<Named<Given, VarName>>>, faults: &mut Collector<'_>) -> Set {
        let mut values = Set::new();
        for entry in vars.map_or(&[][..], |at| &at.value.entries) {
            let Some(variable) = self.variables.iter().find(|it| it.name == entry.name.value) else {
                // A variable whose declaration is wrong is known all the same.
                let declared = self
                    .vars
                    .as_ref()
                    .is_some_and(|at| at.value.entries.iter().any(|declared| declared.name.value == entry.name.value));
                if !declared {
                    let known = self.variables.iter().map(|it| it.name.to_string());
                    faults.add(entry.name.place, vars::unknown(&entry.name, known));
                }
                continue;
            };
            let Some(given) = &entry.value else { continue };
            match variable.take(&given.0) {
                Ok(value) => {
                    values.insert(variable.name.clone(), value);
                }
                Err(refused) => {
                    let (kind, what, hint) = if refused.bounds {
                        (
                            Kind::OutOfBounds,
                            "is out of bounds",
                            "change the value, or release a standard with other bounds",
                        )
                    } else {
                        (Kind::VariableType, "has a value of another type", "write it as the type of the variable asks")
                    };
                    let declared = self
                        .vars
                        .as_ref()
                        .and_then(|at| at.value.entries.iter().find(|declared| declared.name.value == variable.name));
                    let line = declared.map_or_else(String::new, |declared| faults.line(declared.name.place));
                    let fault = Fault::new(kind, format!("variable `{}` {what} at site `{site}`", variable.name))
                        .because(format!("{} (declared on line {line})", refused.cause))
                        .hint(hint);
                    faults.add(entry.name.place, fault);
                }
            }
        }
        values
    }

    fn unique(
        &self,
        site: &Name,
        values: &Set,
        vars: Option<&At<Named<Given, VarName>>>,
        seen: &mut BTreeMap<(VarName, VarValue), Name>,
        faults: &mut Collector<'_>,
    ) {
        for variable in self.variables.iter().filter(|variable| variable.unique) {
            let Some(value) = values.get(&variable.name) else { continue };
            let entry = vars.and_then(|at| at.value.entries.iter().find(|entry| entry.name.value == variable.name));
            let Some(place) = entry.map(|entry| entry.name.place) else { continue };
            if let Some(other) = seen.insert((variable.name.clone(), value.clone()), site.clone()) {
                let fault =
                    Fault::new(Kind::NotUnique, format!("variable `{}` is not unique at site `{site}`", variable.name))
                        .because(format!("site `{other}` has {value}, too"))
                        .hint("give one of them another value");
                faults.add(place, fault);
            }
        }
    }

    /// Each active gateway is of a model that the standard is made for, and the only one of its site.
    pub(in crate::config) fn gateways(&self, inventory: &Inventory, faults: &mut Collector<'_>) -> Vec<GatewayEntry> {
        let mut active: BTreeMap<&Name, String> = BTreeMap::new();
        let mut found = Vec::new();
        let sites = names(inventory);
        for entry in inventory.gateways.as_ref().map_or(&[][..], |at| &at.value.entries) {
            let Some(raw) = &entry.value else { continue };
            let (Some(model), Some(lifecycle)) = (&raw.model, &raw.lifecycle) else { continue };
            if let Some(site) = raw.site.as_ref().filter(|site| !sites.contains(&site.value)) {
                faults.add(site.place, unknown_site(site, &sites));
            }
            if lifecycle.value == Lifecycle::Active {
                if !self.models.is_empty() && !self.models.contains(&model.value) {
                    let fault = Fault::new(
                        Kind::UnsupportedModel,
                        format!("gateway {} cannot take the standard", entry.name.value),
                    )
                    .because(format!(
                        "it is a {}, and the standard is made for {}",
                        model.value,
                        super::listed(&self.models, "and")
                    ))
                    .hint("add the model to standard.models once the standard is tried on one");
                    faults.add(model.place, fault);
                }
                match &raw.site {
                    Some(site) => {
                        if let Some(other) = active.insert(&site.value, entry.name.value.to_string()) {
                            let fault =
                                Fault::new(Kind::Twice, format!("site `{}` has two active gateways", site.value))
                                    .because(format!("{other} and {}", entry.name.value))
                                    .hint("make one of them a spare");
                            faults.add(site.place, fault);
                        }
                    }
                    None => {
                        let fault = Fault::new(Kind::Missing, format!("gateway {} has no `site`", entry.name.value))
                            .because("an active gateway stands in a branch")
                            .hint("add site = …, or make it a spare");
                        faults.add(entry.name.place, fault);
                    }
                }
            }
            found.push(GatewayEntry {
                serial: entry.name.value.0.clone(),
                site: raw.site.as_ref().map(|at| at.value.clone()),
                model: model.value.clone(),
                active: lifecycle.value == Lifecycle::Active,
                support_ends: raw.support_ends.as_ref().map(|at| at.value.0.clone()),
            });
        }
        found
    }
}

/// What one file of `sites/` says.
pub(in crate::config) struct SiteValues {
    pub(in crate::config) site: Name,
    pub(in crate::config) place: Place,
    pub(in crate::config) vars: Option<At<Named<Given, VarName>>>,
}

pub(in crate::config) fn office(raw: &RawOffice, faults: &mut Collector<'_>) -> Option<Office> {
    let addresses = raw.addresses.as_ref()?;
    not_empty(addresses, addresses.value.is_empty(), faults);
    let addresses = super::at_most(addresses, limits::RESOLVERS, faults);
    for at in addresses.iter().filter(|at| !at.value.tls) {
        let fault = Fault::new(Kind::Format, format!("`{}` does not begin with https://", at.key))
            .because("what gateways fetch is signed, what they report is not for everybody on the way")
            .hint("write it as \"https://office.example.com\"");
        faults.add(at.place, fault);
    }
    let waves = raw.waves.as_ref().map(|list: &At<List<Wave>>| {
        not_empty(list, list.value.is_empty(), faults);
        super::at_most(list, limits::LIST, faults).iter().map(|at| at.value).collect::<Vec<_>>()
    });
    let mut endpoints = |list: Option<&At<List<Endpoint>>>| -> Vec<SocketAddr> {
        let some = list.map(|list| super::at_most(list, limits::RESOLVERS, faults)).unwrap_or_default();
        some.iter().map(|at| at.value.0).collect()
    };
    let (listen, responders) = (endpoints(raw.listen.as_ref()), endpoints(raw.responders.as_ref()));
    Some(Office {
        listen,
        responders,
        tenant: raw.tenant.as_ref()?.value.clone(),
        addresses: addresses.iter().map(|at| at.value.clone()).collect(),
        store: raw.store.as_ref().map(|at| at.value.0.clone()),
        waves: waves.unwrap_or_else(|| Office::WAVES.to_vec()),
        approvals: super::integer(raw.approvals.as_ref(), 1..=5, 1, faults),
        backend: raw.metrics.as_ref().and_then(|at| at.value.backend.as_ref()).map(|at| at.value.clone()),
    })
}

fn contracts(inventory: &Inventory, parts: &Parts, faults: &mut Collector<'_>) -> BTreeMap<Name, Vec<Contract>> {
    let uplinks: Vec<Name> = parts
        .uplinks
        .as_ref()
        .map_or_else(Vec::new, |at| at.value.entries.iter().map(|entry| entry.name.value.clone()).collect());
    let sites = names(inventory);
    let mut found: BTreeMap<Name, Vec<Contract>> = BTreeMap::new();
    for entry in inventory.contracts.as_ref().map_or(&[][..], |at| &at.value.entries) {
        let Some(raw) = &entry.value else { continue };
        let (Some(line), Some(isp)) = (raw.line.as_ref().map(|at| &at.value), raw.isp.as_ref().map(|at| &at.value))
        else {
            continue;
        };
        super::duration(isp.restore.as_ref(), RESTORE, *RESTORE.start(), faults);
        let (Some(site), Some(uplink)) = (&line.site, &line.uplink) else { continue };
        if !sites.contains(&site.value) {
            faults.add(site.place, unknown_site(site, &sites));
        }
        if !uplinks.contains(&uplink.value) {
            faults.add(uplink.place, super::unknown("uplink", uplink, &uplinks, &[]));
        }
        let of_site = found.entry(site.value.clone()).or_default();
        if of_site.iter().any(|contract| contract.uplink == uplink.value) {
            let fault = Fault::new(
                Kind::Twice,
                format!("uplink `{}` of site `{}` has two contracts", uplink.value, site.value),
            )
            .because("an outage is proved to one provider")
            .hint("take the older one out");
            faults.add(uplink.place, fault);
        }
        of_site.push(Contract {
            uplink: uplink.value.clone(),
            provider: isp.provider.as_ref().map(|at| at.value.0.clone()),
            circuit: line.circuit.as_ref().map(|at| at.value.0.clone()),
        });
    }
    found
}

fn names(inventory: &Inventory) -> BTreeSet<Name> {
    let entries = inventory.sites.as_ref().map_or(&[][..], |at| &at.value.entries);
    entries.iter().map(|entry| entry.name.value.clone()).collect()
}

/// The nearest name is enough; nobody reads a list of all branches.
fn unknown_site(at: &At<Name>, sites: &BTreeSet<Name>) -> Fault {
    let hint = match nearest(at.value.as_str(), sites.iter().map(Name::as_str)) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("add `{}` to [sites]", at.value),
    };
    Fault::new(Kind::UnknownName, format!("`{}` names the unknown site `{}`", at.key, at.value))
        .because("[sites] of the inventory does not list it")
        .hint(hint)
}

/// Stands in where a standard is checked without a site.
fn anybody() -> Identity {
    Identity { name: "a branch".to_owned(), ..Identity::default() }
}

fn example(base: &Set) -> String {
    /// More than these nobody reads.
    const SHOWN: usize = 3;
    let shown: Vec<String> = base.iter().take(SHOWN).map(|(name, value)| format!("{name} = {value}")).collect();
    match base.len() {
        0 => String::new(),
        count if count <= SHOWN => format!("for example with {}", shown.join(", ")),
        _ => "with the usual value of each variable".to_owned(),
    }
}

/// All that a variable's prefix could run into.
fn addresses(branch: &Branch) -> Vec<IpNet> {
    let gateway = &branch.gateway;
    let mut nets: Vec<IpNet> = Vec::new();
    for network in &gateway.networks {
        nets.extend(network.net.map(IpNet::from));
        nets.extend(network.net6.map(IpNet::from));
    }
    for uplink in &gateway.uplinks {
        if let Ipv4Mode::Static { address, .. } = &uplink.ipv4 {
            nets.push(IpNet::from(address.trunc()));
        }
        if let crate::config::model::Ipv6Mode::Static { address, .. } = &uplink.ipv6 {
            nets.push(IpNet::from(address.trunc()));
        }
        for target in &uplink.targets {
            if let Host::Address(address) = super::targets::host(&target.check) {
                nets.push(IpNet::from(address));
            }
        }
    }
    nets
}

/// Numbers that something else has: VLANs, and hosts counted from their network.
fn numbers(branch: &Branch) -> BTreeSet<i64> {
    let mut numbers = BTreeSet::new();
    for network in &branch.gateway.networks {
        numbers.extend(network.bridged.as_ref().map(|it| i64::from(it.vlan)));
        let Some(net) = network.net else { continue };
        let dhcp = network.dhcp.iter().flat_map(|dhcp| [dhcp.from, dhcp.to]);
        let hosts = dhcp.chain(network.fixed.iter().map(|host| host.address));
        numbers.extend(hosts.map(|host| i64::from(u32::from(host)) - i64::from(u32::from(net.network()))));
    }
    numbers
}
