//! A fleet's folder: the standard, the sites that fill it in, the inventory and the office's own settings. The texts come
//! in; which files there are is for the caller to say. Start reading at [`check`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::branch::{Branch, Identity, Version};
use super::check::fleet::{Checked, SiteValues, office as check_office, standard as check_standard};
use super::diff::{Change, Disturbance, diff};
use super::fault::{Author, Collector, Fault, Faults, Kind, Place, Source, quoted};
use super::model::{HttpUrl, Name};
use super::raw;
use super::raw::read::{Node, Value};
use super::sections::{self, Section, SectionError};
use super::vars::{Values, Variable};

/// A fleet without faults: every site compiles.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    pub standard: Standard,
    /// In the order of the inventory.
    pub sites: Vec<FleetSite>,
    pub gateways: Vec<GatewayEntry>,
    pub office: Option<Office>,
    /// Sites of the inventory that are passed over.
    pub left_out: BTreeSet<String>,
}

/// What all branches share, ready to be signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    pub name: Name,
    pub models: Vec<Name>,
    pub min_firmware: Option<Version>,
    pub variables: Vec<Variable>,
    /// With variables in their places; section 1 declares them.
    pub sections: Vec<Section>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetSite {
    pub name: Name,
    pub identity: Identity,
    /// Where it is, for reports.
    pub address: Option<String>,
    /// What the site itself sets; defaults are the standard's.
    pub values: Values,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayEntry {
    pub serial: String,
    pub site: Option<Name>,
    pub model: Name,
    pub active: bool,
    /// YYYY-MM-DD.
    pub support_ends: Option<String>,
}

/// Head office's own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Office {
    pub tenant: Name,
    pub addresses: Vec<HttpUrl>,
    pub store: Option<String>,
    /// Of the server.
    pub listen: Vec<SocketAddr>,
    /// Where path proofs are answered.
    pub responders: Vec<SocketAddr>,
    pub waves: Vec<Wave>,
    pub approvals: u8,
    pub backend: Option<HttpUrl>,
}

/// Part of a roll-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wave {
    Branches(u32),
    /// Of the fleet, 1…100.
    Percent(u32),
}

impl Office {
    /// One lab, then few enough to be called by telephone, then shares of what is left.
    pub const WAVES: [Wave; 6] = [
        Wave::Branches(1),
        Wave::Branches(5),
        Wave::Branches(60),
        Wave::Percent(1),
        Wave::Percent(10),
        Wave::Percent(40),
    ];
}

impl Fleet {
    pub fn site(&self, name: &str) -> Option<&FleetSite> {
        self.sites.iter().find(|site| site.name.as_str() == name)
    }

    /// The sections of one branch, as its gateway computes them.
    pub fn resolved(&self, site: &FleetSite) -> Result<Vec<Section>, SectionError> {
        sections::resolve(&self.standard.sections, &site.values)
    }

    pub fn branch(&self, site: &FleetSite) -> Result<Branch, SectionError> {
        sections::branch(&self.resolved(site)?, &site.identity)
    }
}

/// Branches whose changes read alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub sites: Vec<Name>,
    /// Never empty.
    pub changes: Vec<Change>,
}

/// What changes from one state of the folder to the next, the largest group first.
pub fn compare(old: &Fleet, new: &Fleet) -> Result<Vec<Group>, SectionError> {
    let mut groups: Vec<Group> = Vec::new();
    let mut add = |site: &FleetSite, changes: Vec<Change>| {
        if changes.is_empty() {
            return;
        }
        match groups.iter_mut().find(|group| group.changes == changes) {
            Some(group) => group.sites.push(site.name.clone()),
            None => groups.push(Group { sites: vec![site.name.clone()], changes }),
        }
    };
    let one = |words: &str, disturbance| vec![Change { words: words.to_owned(), disturbance }];
    let by_name = |fleet: &'_ Fleet| -> BTreeMap<Name, usize> {
        fleet.sites.iter().enumerate().map(|(index, site)| (site.name.clone(), index)).collect()
    };
    let (before_at, after_at) = (by_name(old), by_name(new));
    for site in &new.sites {
        match before_at.get(&site.name).map(|index| &old.sites[*index]) {
            Some(before) => add(site, diff(&old.branch(before)?, &new.branch(site)?)),
            None => add(site, one("the site is new", Disturbance::None)),
        }
    }
    for gone in old.sites.iter().filter(|site| !after_at.contains_key(&site.name)) {
        add(gone, one("the site goes away", Disturbance::Cut));
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.sites.len()));
    Ok(groups)
}

/// Reads and checks a fleet. `files` are names relative to the folder, with `/`, and their texts; others than those of a
/// fleet are passed over. All faults are given, file by file.
pub fn check(folder: &str, files: &[(String, String)]) -> Result<Fleet, Faults> {
    check_without(folder, files, &BTreeSet::new())
}

/// The same as if these sites were not there: what is wrong with them keeps nobody else waiting.
pub fn check_without(folder: &str, files: &[(String, String)], left_out: &BTreeSet<String>) -> Result<Fleet, Faults> {
    let is_left_out = |name: &str| {
        let site = name.strip_prefix("sites/").and_then(|name| name.strip_suffix(".toml"));
        site.is_some_and(|site| left_out.contains(site))
    };
    let mut known: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    known.retain(|(name, _)| part(name).is_some() && !is_left_out(name));
    known.sort_by_key(|(name, _)| (part(name), *name));
    let mut faults = Collector::of(Author::Office, known);
    let fleet = read(&mut faults, left_out);
    match fleet {
        Some(fleet) if faults.count() == 0 => Ok(fleet),
        Some(_) | None => Err(faults.into_faults(folder)),
    }
}

/// A standard alone, without sites.
pub fn check_standard_file(name: &str, text: &str) -> Result<Standard, Faults> {
    let mut faults = Collector::of(Author::Office, [(name, text)]);
    let sources = faults.sources();
    let standard = tables(&sources, &mut faults)
        .and_then(|mut tables| tables.pop())
        .and_then(|(_, table)| read_standard(table, &mut faults))
        .and_then(|checked| compile(&checked, &mut faults));
    match standard {
        Some(standard) if faults.count() == 0 => Ok(standard),
        Some(_) | None => Err(faults.into_faults(name)),
    }
}

/// Head office's settings alone: a server starts whatever somebody is writing into the rest of the folder.
pub fn check_office_file(name: &str, text: &str) -> Result<Office, Faults> {
    let mut faults = Collector::of(Author::Office, [(name, text)]);
    let sources = faults.sources();
    let office = tables(&sources, &mut faults)
        .and_then(|mut tables| tables.pop())
        .and_then(|(source, table)| root::<raw::fleet::Office>(source.base, table, &mut faults))
        .and_then(|raw| check_office(&raw, &mut faults));
    match office {
        Some(office) if faults.count() == 0 => Ok(office),
        Some(_) | None => Err(faults.into_faults(name)),
    }
}

/// What a file of the folder is, in the order in which faults are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Standard,
    Site,
    Inventory,
    Office,
}

fn part(name: &str) -> Option<Part> {
    let in_folder =
        |folder: &str| name.strip_prefix(folder).is_some_and(|rest| rest.ends_with(".toml") && !rest.contains('/'));
    match name {
        "standard.toml" => Some(Part::Standard),
        "inventory.toml" => Some(Part::Inventory),
        "office.toml" => Some(Part::Office),
        _ if in_folder("standard/") => Some(Part::Standard),
        _ if in_folder("sites/") => Some(Part::Site),
        _ => None,
    }
}

fn read(faults: &mut Collector<'_>, left_out: &BTreeSet<String>) -> Option<Fleet> {
    let sources = faults.sources();
    for (wanted, file) in [(Part::Standard, "standard.toml"), (Part::Inventory, "inventory.toml")] {
        if !sources.iter().any(|source| part(source.name) == Some(wanted)) {
            let fault = Fault::new(Kind::NotAFleet, format!("there is no {file}"))
                .because("a fleet is a folder with standard.toml (or standard/*.toml), sites/*.toml and inventory.toml")
                .hint("name the folder of a fleet, or the file of one gateway");
            faults.add(Place(0), fault);
        }
    }
    let mut standard = Vec::new();
    let mut sites = Vec::new();
    let (mut inventory, mut office) = (None, None);
    for (source, table) in tables(&sources, faults)? {
        match part(source.name)? {
            Part::Standard => standard.push((source, table)),
            Part::Site => sites.push((source, table)),
            Part::Inventory => inventory = Some((source, table)),
            Part::Office => office = Some((source, table)),
        }
    }
    let standard = if standard.is_empty() { None } else { read_standard(merged(standard, faults), faults) };
    let sites: Vec<SiteValues> = sites.into_iter().filter_map(|(source, table)| site(source, table, faults)).collect();
    let inventory = inventory.and_then(|(source, table)| root::<raw::fleet::Inventory>(source.base, table, faults));
    let office = office.and_then(|(source, table)| root::<raw::fleet::Office>(source.base, table, faults));
    let office = office.and_then(|raw| check_office(&raw, faults));
    let (standard, mut inventory) = (standard?, inventory?);
    let left_out = leave_out(&mut inventory, left_out);
    let gateways = standard.gateways(&inventory, faults);
    let sites = standard.sites(&inventory, &sites, faults);
    Some(Fleet { standard: compile(&standard, faults)?, sites, gateways, office, left_out })
}

/// Takes these sites out of the inventory, with their gateways and contracts; gives those that were there.
fn leave_out(inventory: &mut raw::fleet::Inventory, left_out: &BTreeSet<String>) -> BTreeSet<String> {
    let is_out = |site: &Name| left_out.contains(site.as_str());
    let mut found = BTreeSet::new();
    if let Some(sites) = &mut inventory.sites {
        sites.value.entries.retain(|entry| {
            let out = is_out(&entry.name.value);
            if out {
                found.insert(entry.name.value.to_string());
            }
            !out
        });
    }
    if let Some(gateways) = &mut inventory.gateways {
        gateways.value.entries.retain(|entry| {
            let site = entry.value.as_ref().and_then(|gateway| gateway.site.as_ref());
            !site.is_some_and(|site| is_out(&site.value))
        });
    }
    if let Some(contracts) = &mut inventory.contracts {
        contracts.value.entries.retain(|entry| {
            let line = entry.value.as_ref().and_then(|contract| contract.line.as_ref());
            !line.and_then(|line| line.value.site.as_ref()).is_some_and(|site| is_out(&site.value))
        });
    }
    found
}

fn read_standard(table: DeTable<'_>, faults: &mut Collector<'_>) -> Option<Checked> {
    let raw = root::<raw::Standard>(0, table, faults)?;
    Some(check_standard(raw, faults))
}

/// `None`: something is missing, and its fault is known.
fn compile(checked: &Checked, faults: &mut Collector<'_>) -> Option<Standard> {
    let sections = sections::encode(&checked.parts, checked.vars.as_ref());
    if let (0, Err(error)) = (faults.count(), sections::readable(&sections)) {
        let fault = Fault::new(Kind::TooMany, "the standard is too large for a gateway")
            .because(error.to_string())
            .hint("leave out what is not needed; a gateway's memory for a config is fixed");
        faults.add(Place(0), fault);
    }
    Some(Standard {
        name: checked.name.clone()?,
        models: checked.models.clone(),
        min_firmware: checked.min_firmware,
        variables: checked.variables.clone(),
        sections,
    })
}

fn site(source: Source<'_>, table: DeTable<'_>, faults: &mut Collector<'_>) -> Option<SiteValues> {
    let place = Place(source.base);
    let stem = source.name.strip_prefix("sites/")?.strip_suffix(".toml")?;
    let raw = root::<raw::fleet::SiteFile>(source.base, table, faults)?;
    match Name::new(stem) {
        Ok(site) => Some(SiteValues { site, place, vars: raw.vars }),
        Err(error) => {
            let fault = Fault::new(Kind::Alphabet, format!("{} is not the name of a site", quoted(stem)))
                .because(error.to_string())
                .hint("call the file as the inventory calls the site: 1 to 32 characters of a-z, 0-9 and \"-\"");
            faults.add(place, fault);
            None
        }
    }
}

fn root<T: Value>(base: usize, table: DeTable<'_>, faults: &mut Collector<'_>) -> Option<T> {
    let value = DeValue::Table(table);
    T::read(&Node { key: String::new(), place: Place(base), value: &value }, faults)
}

/// All texts as tables with places that tell the files apart. `None`: at least one is not TOML, so that only this is
/// said.
fn tables<'t>(sources: &[Source<'t>], faults: &mut Collector<'_>) -> Option<Vec<(Source<'t>, DeTable<'t>)>> {
    let parse = |source: &Source<'t>| Some((*source, shifted(super::toml_table(source, faults)?, source.base)));
    let tables: Vec<Option<_>> = sources.iter().map(parse).collect();
    tables.into_iter().collect()
}

/// The sections of several files as one table; each lives in one of them.
fn merged<'t>(tables: Vec<(Source<'t>, DeTable<'t>)>, faults: &mut Collector<'_>) -> DeTable<'t> {
    let mut whole = DeTable::new();
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for (source, table) in tables {
        for (key, value) in table {
            let name = key.get_ref().to_string();
            if let Some(other) = owners.get(&name) {
                let fault =
                    Fault::new(Kind::Twice, format!("section `{}` stands in two files", super::fault::shown(&name)))
                        .because(format!("{other} has it, too"))
                        .hint("put all of it into one of them");
                faults.add(Place(key.span().start), fault);
                continue;
            }
            owners.insert(name, source.name);
            whole.insert(key, value);
        }
    }
    whole
}

/// With all places moved behind the texts before it.
fn shifted(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    if by == 0 {
        return table;
    }
    table.into_iter().map(|(key, value)| (moved(key, by), shifted_value(value, by))).collect()
}

fn shifted_value(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = value.span();
    let inner = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(shifted(table, by)),
        DeValue::Array(array) => {
            let mut entries = DeArray::new();
            array.into_iter().for_each(|entry| entries.push(shifted_value(entry, by)));
            DeValue::Array(entries)
        }
        scalar @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)) => scalar,
    };
    Spanned::new(span.start + by..span.end + by, inner)
}

fn moved<T>(value: Spanned<T>, by: usize) -> Spanned<T> {
    let span = value.span();
    Spanned::new(span.start + by..span.end + by, value.into_inner())
}
