//! `causeway config check` and `schema`. The only place that reads a config file for the command line.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use serde_json::json;

use super::exit::Exit;
use crate::config::model::{Family, Gateway, limits};
use crate::config::{self, Faults, words};

/// `causeway config check FILE [--json]`: changes nothing and needs no root. What was understood goes to `out`; what is
/// wrong goes to `talk`, with `json` also to `out`. Gives the exit code.
pub fn check(file: &Path, as_json: bool, out: &mut dyn Write, talk: &mut dyn Write) -> io::Result<u8> {
    let name = file.display().to_string();
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => return unread(&name, &error, as_json, out, talk),
    };
    match config::parse(&name, &text) {
        Ok(gateway) if as_json => {
            let answer =
                json!({ "schema_version": 1, "ok": true, "file": name, "summary": summary(&gateway), "faults": [] });
            writeln!(out, "{answer:#}")?;
            Ok(Exit::Done as u8)
        }
        Ok(gateway) => {
            for line in summary(&gateway) {
                writeln!(out, "{line}")?;
            }
            Ok(Exit::Done as u8)
        }
        Err(faults) => {
            if as_json {
                writeln!(out, "{:#}", as_data(&faults))?;
            } else {
                let count = faults.faults.len() + faults.left_out;
                write!(talk, "{faults}\n{name}: {}\n", counted(count, "fault", "faults"))?;
            }
            Ok(Exit::BadData as u8)
        }
    }
}

/// `causeway config schema`: the JSON Schema of the file, for editors.
pub fn schema(out: &mut dyn Write) -> io::Result<u8> {
    writeln!(out, "{:#}", config::schema())?;
    Ok(Exit::Done as u8)
}

/// What was understood, a line for each part.
pub fn summary(gateway: &Gateway) -> Vec<String> {
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
    for network in &gateway.networks {
        let ports: Vec<&str> = network.ports.iter().map(|port| port.as_str()).collect();
        let nets = [network.net.map(|net| net.to_string()), network.net6.map(|net| net.to_string())];
        let nets: Vec<String> = nets.into_iter().flatten().collect();
        let nets = if nets.is_empty() { "no address".to_owned() } else { nets.join(" and ") };
        let isolated = if network.isolate { "; isolated" } else { "" };
        lines.push(format!("  network {}: {nets} on {}{isolated}", network.name, ports.join(", ")));
    }
    lines
}

/// One byte more than allowed is enough to be refused.
pub(super) fn read(file: &Path) -> io::Result<String> {
    let most = u64::try_from(limits::FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(file)?.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limits::FILE_BYTES {
        // A character may have been cut; the length is what matters.
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
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
        (Exit::BadData, "save the file as UTF-8")
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
