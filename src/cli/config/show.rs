//! `causeway config show` and `causeway config diff`: what a config says, and what changes between two. Nothing is
//! changed, and no root is needed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::load::{LoadError, Loaded, load};
use super::{cannot_read, counted, summary};
use crate::cli::exit::{Exit, Failure, print};
use crate::config::fleet::{Fleet, FleetSite, Group, Standard, compare};
use crate::config::sections::{Section, digest};
use crate::config::{Change, Disturbance, diff};

/// Of a digest, for people's eyes only.
const DIGITS: usize = 12;

/// `causeway config show [PATH] [--site NAME] [--resolved]`: without a path what the daemon runs with.
pub fn show(
    path: Option<&Path>,
    socket: &Path,
    site: Option<&str>,
    resolved: bool,
    as_json: bool,
) -> Result<(), Failure> {
    let text = match path.map_or_else(|| in_force(socket), loaded)? {
        Loaded::Gateway(branch) if as_json => pretty(&json!({ "schema_version": 1, "config": *branch })),
        Loaded::Gateway(branch) => lines(&summary(&branch)),
        Loaded::Standard(standard) => lines(&about(&standard)),
        Loaded::Fleet(fleet) => match site {
            Some(name) => one_site(&fleet, name, as_json)?,
            None => whole(&fleet, resolved, as_json)?,
        },
    };
    print(&text)
}

/// `causeway config diff [A] B`: ends with 1 if something differs. Without A: from what the daemon runs with.
pub fn differ(paths: &[PathBuf], socket: &Path, as_json: bool) -> Result<Exit, Failure> {
    let (old, new) = match paths {
        [old, new] => (loaded(old)?, loaded(new)?),
        [new] => (in_force(socket)?, loaded(new)?),
        _ => return Err(Failure::new(Exit::Usage, "two are compared").hint("name one file, or two")),
    };
    let groups = match (old, new) {
        (Loaded::Gateway(old), Loaded::Gateway(new)) => {
            let changes = diff(&old, &new);
            if changes.is_empty() { Vec::new() } else { vec![Group { sites: Vec::new(), changes }] }
        }
        (Loaded::Fleet(old), Loaded::Fleet(new)) => compare(&old, &new).map_err(compiled)?,
        (Loaded::Gateway(_), Loaded::Standard(_) | Loaded::Fleet(_))
        | (Loaded::Fleet(_), Loaded::Standard(_) | Loaded::Gateway(_))
        | (Loaded::Standard(_), Loaded::Gateway(_) | Loaded::Standard(_) | Loaded::Fleet(_)) => {
            return Err(Failure::new(Exit::Usage, "only two of a kind can be compared")
                .hint("name two files of gateways, or two folders of fleets"));
        }
    };
    print(&if as_json { pretty(&as_data(&groups)) } else { in_words(&groups) })?;
    Ok(if groups.is_empty() { Exit::Done } else { Exit::Failed })
}

/// What a standard is, a line for each part.
pub(super) fn about(standard: &Standard) -> Vec<String> {
    let models: Vec<&str> = standard.models.iter().map(|model| model.as_str()).collect();
    let firmware = standard.min_firmware.map_or_else(String::new, |version| format!(", firmware {version} or later"));
    let bytes: usize = standard.sections.iter().map(|section| section.bytes.len()).sum();
    let mut lines = vec![
        format!("standard {}: for {}{firmware}", standard.name, models.join(", ")),
        format!("  {} in {bytes} bytes", counted(standard.sections.len(), "section", "sections")),
    ];
    for variable in &standard.variables {
        let unique = if variable.unique { ", unique" } else { "" };
        let default = match (&variable.default, &variable.needed_if) {
            (Some(default), _) => format!("default {default}"),
            (None, Some(condition)) => format!("needed if {condition}"),
            (None, None) => "each site sets it".to_owned(),
        };
        lines.push(format!("  variable {}: {}{unique}; {default}", variable.name, variable.kind.name()));
    }
    lines
}

/// What a fleet is.
pub(super) fn fleet_lines(fleet: &Fleet) -> Vec<String> {
    let mut lines = about(&fleet.standard);
    let active = fleet.gateways.iter().filter(|gateway| gateway.active).count();
    lines.push(format!(
        "fleet: {}, {}",
        counted(fleet.sites.len(), "site", "sites"),
        counted(active, "active gateway", "active gateways")
    ));
    lines
}

fn whole(fleet: &Fleet, resolved: bool, as_json: bool) -> Result<String, Failure> {
    let mut text = lines(&fleet_lines(fleet));
    let mut sites = Vec::new();
    for site in fleet.sites.iter().filter(|_| resolved || as_json) {
        let sections = fleet.resolved(site).map_err(compiled)?;
        let hash = hex(&digest(&sections));
        let _ = writeln!(text, "  {}: {}", site.name, &hash[..DIGITS]);
        sites.push(json!({ "site": site.name, "name": site.identity.name, "resolved_digest": hash }));
    }
    Ok(if as_json {
        pretty(&json!({ "schema_version": 1, "standard": fleet.standard.name, "sites": sites }))
    } else {
        text
    })
}

fn one_site(fleet: &Fleet, name: &str, as_json: bool) -> Result<String, Failure> {
    let site = known(fleet, name)?;
    let sections = fleet.resolved(site).map_err(compiled)?;
    let branch = fleet.branch(site).map_err(compiled)?;
    let hash = hex(&digest(&sections));
    if as_json {
        return Ok(pretty(&json!({ "schema_version": 1, "resolved_digest": hash, "config": branch })));
    }
    let size = |section: &Section| format!("{} v{} {} B", section.id, section.version, section.bytes.len());
    let sections: Vec<String> = sections.iter().map(size).collect();
    let mut text = lines(&summary(&branch));
    let _ = writeln!(text, "resolved {}: sections {}", &hash[..DIGITS], sections.join(", "));
    Ok(text)
}

fn known<'f>(fleet: &'f Fleet, name: &str) -> Result<&'f FleetSite, Failure> {
    fleet.site(name).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("there is no site {name:?}")).hint("inventory.toml lists the sites")
    })
}

fn in_words(groups: &[Group]) -> String {
    if groups.is_empty() {
        return "nothing changes\n".to_owned();
    }
    let mut text = String::new();
    for Group { sites, changes } in groups {
        if !sites.is_empty() {
            /// A person who wants them all asks for JSON.
            const SHOWN: usize = 3;
            let names: Vec<&str> = sites.iter().take(SHOWN).map(|site| site.as_str()).collect();
            let more = if sites.len() > SHOWN { ", …" } else { "" };
            let _ = writeln!(text, "{}: {}{more}", counted(sites.len(), "site", "sites"), names.join(", "));
        }
        for Change { words, disturbance } in changes {
            let _ = writeln!(text, "  {:<4}  {words}", disturbance.name());
        }
    }
    let worst = groups.iter().flat_map(|group| &group.changes).map(|change| change.disturbance).max();
    let _ = writeln!(
        text,
        "{}",
        match worst.unwrap_or(Disturbance::None) {
            Disturbance::None => "disturbs nothing",
            Disturbance::Blip => "a service restarts, for less than a second; forwarding goes on",
            Disturbance::Cut => "flows of what is marked \"cut\" may end",
        }
    );
    text
}

fn as_data(groups: &[Group]) -> Json {
    let groups: Vec<Json> =
        groups.iter().map(|group| json!({ "sites": group.sites, "changes": group.changes })).collect();
    json!({ "schema_version": 1, "groups": groups })
}

fn in_force(socket: &Path) -> Result<Loaded, Failure> {
    crate::cli::ask::in_force(socket).map(|branch| Loaded::Gateway(Box::new(branch)))
}

fn loaded(path: &Path) -> Result<Loaded, Failure> {
    load(path).map_err(|error| match error {
        LoadError::Unread { name, source } => {
            let (exit, hint) = cannot_read(source.kind());
            Failure::new(exit, LoadError::Unread { name, source }).hint(hint)
        }
        LoadError::Faults(faults) => {
            crate::cli::exit::talk(&format!("{faults}\n"));
            Failure::new(Exit::Usage, format!("{} is not valid", path.display()))
                .hint("`causeway config check` shows every fault")
        }
    })
}

fn compiled(error: crate::config::sections::SectionError) -> Failure {
    Failure::new(Exit::Failed, error).hint("this is a fault of the program: what was checked must compile")
}

fn pretty(value: &Json) -> String {
    format!("{value:#}\n")
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
