//! `causeway config check`, `show`, `diff` and `schema`: of one gateway's file, of a standard, of a fleet's folder.

mod load;
mod show;

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use serde_json::json;

use super::exit::Exit;
use crate::config::fleet::FleetSite;
use crate::config::model::{Bridged, Family, LinkName, Network};
use crate::config::{self, Branch, Fault, Faults, Kind, words};
use crate::front::series;

pub use load::{LoadError, Loaded, folder, load, read};
pub use show::{differ, show};

/// `causeway config check PATH [--json]`: changes nothing and needs no root. What was understood goes to `out`; what is
/// wrong goes to `talk`, with `json` also to `out`. Gives the exit code.
pub fn check(file: &Path, as_json: bool, out: &mut dyn Write, talk: &mut dyn Write) -> io::Result<u8> {
    let name = file.display().to_string();
    let lines = match load(file).and_then(within_cap) {
        Ok(Loaded::Gateway(branch)) => summary(&branch),
        Ok(Loaded::Standard(standard)) => show::about(&standard),
        Ok(Loaded::Fleet(fleet)) => show::fleet_lines(&fleet),
        Err(LoadError::Unread { source, .. }) => return unread(&name, &source, as_json, out, talk),
        Err(LoadError::Faults(faults)) => {
            if as_json {
                writeln!(out, "{:#}", as_data(&faults))?;
            } else {
                let count = faults.faults.len() + faults.left_out;
                write!(talk, "{faults}\n{name}: {}\n", counted(count, "fault", "faults"))?;
            }
            return Ok(Exit::Usage as u8);
        }
    };
    if as_json {
        let answer = json!({ "schema_version": 1, "ok": true, "file": name, "summary": lines, "faults": [] });
        writeln!(out, "{answer:#}")?;
    } else {
        for line in lines {
            writeln!(out, "{line}")?;
        }
    }
    Ok(Exit::Done as u8)
}

/// Branches over the cap that are named; they usually have one cause, the standard.
const OVER_CAP: usize = 20;

/// A branch whose figures head office could not keep. Its gateway would leave some out; here it can be mended.
fn within_cap(loaded: Loaded) -> Result<Loaded, LoadError> {
    let Loaded::Fleet(fleet) = &loaded else { return Ok(loaded) };
    let counted = fleet.sites.iter().filter_map(|site| Some((site, series::count(&fleet.branch(site).ok()?.gateway))));
    let fault = |(site, count): (&FleetSite, u64)| Fault {
        kind: Kind::TooMany,
        error: format!("{} would have {count} series of metrics", site.name),
        caused_by: Some(format!("at most {} are kept of a branch (docs/metrics.md)", series::SERIES_CAP)),
        hint: Some("list fewer targets: three for each line and family are enough".to_owned()),
        file: "standard.toml".to_owned(),
        line: 1,
        column: 1,
    };
    let mut faults: Vec<_> = counted.filter(|(_, count)| *count > series::SERIES_CAP).map(fault).collect();
    if faults.is_empty() {
        return Ok(loaded);
    }
    let left_out = faults.len().saturating_sub(OVER_CAP);
    faults.truncate(OVER_CAP);
    Err(LoadError::Faults(Faults { file: "standard.toml".to_owned(), faults, left_out }))
}

/// `causeway config schema [KIND]`: the JSON Schema of a kind of file, for editors.
pub fn schema(kind: &str, out: &mut dyn Write) -> io::Result<u8> {
    match config::schemas().into_iter().find(|(name, _)| *name == kind) {
        Some((_, schema)) => {
            writeln!(out, "{schema:#}")?;
            Ok(Exit::Done as u8)
        }
        None => Ok(Exit::Usage as u8),
    }
}

/// What was understood, a line for each part.
pub fn summary(branch: &Branch) -> Vec<String> {
    let gateway = &branch.gateway;
    let mut lines = vec![format!(
        "{}: {}, {}, {}, {}, {}",
        gateway.site.name,
        counted(gateway.uplinks.len(), "uplink", "uplinks"),
        counted(gateway.paths.len(), "path", "paths"),
        counted(gateway.networks.len(), "network", "networks"),
        counted(gateway.firewall.rules.len(), "rule", "rules"),
        counted(gateway.firewall.forwards.len(), "forward", "forwards"),
    )];
    for (uplink, id) in gateway.uplinks.iter().zip(gateway.uplink_ids()) {
        let mut notes = vec![format!("{} on {}", uplink.medium.name(), uplink.device)];
        for family in Family::BOTH.into_iter().filter(|family| uplink.has(*family)) {
            let mode = match family {
                Family::V4 => words::ipv4(&uplink.ipv4),
                Family::V6 => words::ipv6(&uplink.ipv6),
            };
            let targets = uplink.targets.iter().filter(|target| target.family == family).count();
            notes.push(format!("{family} {mode}, {}", counted(targets, "target", "targets")));
        }
        notes.push(format!("down after {} of silence", words::duration(uplink.profile.dead_after)));
        notes.extend(uplink.metered.as_ref().map(|plan| format!("metered: {}", words::metered(plan))));
        if !uplink.enabled {
            notes.push("out of use".to_owned());
        } else if !gateway.paths.iter().any(|path| path.uplinks().any(|used| used == id)) {
            notes.push("in no path: it is watched, but carries nothing".to_owned());
        }
        lines.push(format!("  uplink {}: {}", uplink.name, notes.join("; ")));
    }
    for path in &gateway.paths {
        let prefer = words::tiers(gateway, &path.tiers);
        let matches: Vec<String> = path.matches.iter().map(words::matched).collect();
        let takes = if matches.is_empty() { "all else".to_owned() } else { matches.join(" or ") };
        lines.push(format!(
            "  path {}: {takes} takes {prefer}; failback {}",
            path.name,
            words::failback(&path.failback)
        ));
    }
    lines.extend(gateway.networks.iter().map(network));
    lines.extend(serving(branch));
    let not_done = branch.not_done();
    if !not_done.is_empty() {
        lines.push(format!("  not done yet by this release: {}", not_done.join(", ")));
    }
    lines
}

fn network(network: &Network) -> String {
    let nets = [network.net.map(|net| net.to_string()), network.net6.map(|net| net.to_string())];
    let nets: Vec<String> = nets.into_iter().flatten().collect();
    let nets = if nets.is_empty() { "no address".to_owned() } else { nets.join(" and ") };
    let names = |ports: &[LinkName]| ports.iter().map(|port| port.as_str()).collect::<Vec<_>>().join(", ");
    let mut line = format!("  network {}: {nets} on {}", network.name, names(&network.ports));
    if let Some(Bridged { untagged, tagged, .. }) = &network.bridged {
        let parts = [("untagged", names(untagged)), ("tagged", names(tagged))];
        let parts = parts.iter().filter(|(_, names)| !names.is_empty()).map(|(how, names)| format!("{how} on {names}"));
        line += &format!(" ({})", parts.collect::<Vec<_>>().join(", "));
    }
    let mut notes = Vec::new();
    notes.extend(network.dhcp.as_ref().map(|dhcp| format!("dhcp {}", words::dhcp(dhcp))));
    if !network.fixed.is_empty() {
        notes.push(counted(network.fixed.len(), "fixed host", "fixed hosts"));
    }
    notes.extend(network.limit_down.map(|rate| format!("at most {} down", words::rate(rate))));
    if network.isolate {
        notes.push("isolated".to_owned());
    }
    notes.into_iter().fold(line, |line, note| format!("{line}; {note}"))
}

/// What serves the branch beside forwarding, where it is written.
fn serving(branch: &Branch) -> Vec<String> {
    let Branch { dns, access, services, responders, reports, .. } = branch;
    let mut lines = Vec::new();
    if dns.domain.is_some() || !dns.routes.is_empty() {
        let domain = dns.domain.as_ref().map_or_else(|| "no domain".to_owned(), |domain| format!("domain {domain}"));
        lines.push(format!("  dns: {domain}, {}", counted(dns.routes.len(), "zone of others", "zones of others")));
    }
    if !responders.is_empty() {
        lines.push(format!("  proved by {}", counted(responders.len(), "responder", "responders")));
    }
    if !access.ssh.is_empty() {
        let names: Vec<&str> = access.ssh.iter().map(|key| key.name.as_str()).collect();
        lines.push(format!("  ssh: {}", names.join(", ")));
    }
    if reports.push {
        lines.push(format!("  figures go to head office every {}", words::duration(reports.every)));
    }
    lines.extend(services.iter().map(|service| format!("  service {} for {}", service.name, service.from)));
    lines
}

fn unread(name: &str, error: &io::Error, as_json: bool, out: &mut dyn Write, talk: &mut dyn Write) -> io::Result<u8> {
    let (code, hint) = cannot_read(error.kind());
    if as_json {
        let answer =
            json!({ "schema_version": 1, "ok": false, "file": name, "error": error.to_string(), "faults": [] });
        writeln!(out, "{answer:#}")?;
    } else {
        writeln!(talk, "error: cannot read {name}\n  caused by: {error}\n  hint: {hint}")?;
    }
    Ok(code as u8)
}

pub(super) fn cannot_read(kind: ErrorKind) -> (Exit, &'static str) {
    if kind == ErrorKind::NotFound {
        (Exit::Failed, "write one from an example: two-lines.toml is the shortest")
    } else if kind == ErrorKind::PermissionDenied {
        (Exit::NotPermitted, "run it as a user who may read the file")
    } else if kind == ErrorKind::InvalidData {
        (Exit::Usage, "save the file as UTF-8")
    } else {
        (Exit::Failed, "name a readable file")
    }
}

fn as_data(faults: &Faults) -> serde_json::Value {
    let list: Vec<_> = faults
        .faults
        .iter()
        .map(|fault| {
            json!({
                "kind": fault.kind.name(),
                "file": fault.file,
                "line": fault.line,
                "column": fault.column,
                "error": fault.error,
                "caused_by": fault.caused_by,
                "hint": fault.hint,
            })
        })
        .collect();
    json!({ "schema_version": 1, "ok": false, "file": faults.file, "faults": list, "left_out": faults.left_out })
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
