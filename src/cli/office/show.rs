//! The commands that show something and change nothing: preview, status, audit, keys.

use std::fmt::Write as _;

use serde_json::json;

use super::super::exit::{Exit, Failure};
use super::args::{KeysCommand, PreviewArgs};
use super::make::{open, open_without};
use super::{Place, say, say_json};
use crate::config::{Change, Disturbance};
use crate::office::audit::{self, Act, AuditRecord};
use crate::office::board::{Board, BranchRow, Facts};
use crate::office::preview::{Preview, preview as compared};
use crate::office::publish::now;
use crate::office::release::{known_site, left_out};
use crate::office::text;
use crate::trust::keys::Role;

/// Names of a group that are shown; whoever wants them all asks for JSON.
const NAMES: usize = 4;

pub(super) async fn preview(place: &Place, args: PreviewArgs) -> Result<u8, Failure> {
    let leave_out = args.leave_out.iter().map(|text| left_out(text)).collect::<Result<_, _>>()?;
    let (folder, store, _) = open_without(place, &leave_out).await?;
    let preview = compared(&folder, &store, leave_out).await?;
    if args.json { say_json(&preview) } else { say(&in_words(&preview)) }
}

fn in_words(preview: &Preview) -> String {
    let Preview { name, from, to, branches, groups, refusing, left_out, uncompared, .. } = preview;
    let numbers = from.map_or_else(|| format!("{to}, the first"), |from| format!("{from} → {to}"));
    let mut text = format!("{name} {numbers}, {branches} {}\n", if *branches == 1 { "branch" } else { "branches" });
    let disturbs = |disturbance: Disturbance| match disturbance {
        Disturbance::None => "disturbs nothing",
        Disturbance::Blip => "a service restarts, under 1 s",
        Disturbance::Cut => "cut: flows on it may end",
    };
    for group in groups {
        let sites: Vec<&str> = group.sites.iter().take(NAMES).map(String::as_str).collect();
        let more = if group.sites.len() > NAMES { ", …" } else { "" };
        let _ =
            writeln!(text, "{:>5}  {}{more}: {}", group.sites.len(), sites.join(", "), disturbs(group.disturbance()));
        for Change { words, disturbance } in &group.changes {
            let _ = writeln!(text, "       {:<4}  {words}", disturbance.name());
        }
    }
    let changed: usize = groups.iter().map(|group| group.sites.len()).sum();
    let same = branches.saturating_sub(changed);
    if same > 0 && from.is_some() && uncompared.is_none() {
        let _ = writeln!(text, "{same:>5}  nothing changes");
    }
    for refusing in refusing {
        let _ = writeln!(
            text,
            "       would refuse: {} ({}) {}; {}, or --leave-out \"{}: reason\"",
            refusing.site, refusing.serial, refusing.why, refusing.remedy, refusing.site
        );
    }
    for (site, reason) in left_out {
        let _ = writeln!(text, "       left out: {site}, {reason}");
    }
    if let Some(faults) = uncompared {
        let _ = writeln!(text, "the last release cannot be compared with: this program reads it otherwise\n{faults}");
    }
    text
}

pub(super) async fn status(place: &Place, site: Option<&str>, json: bool) -> Result<u8, Failure> {
    let (folder, store, _) = open(place).await?;
    let sites: Vec<String> = match site {
        Some(site) => {
            known_site(&folder, site)?;
            vec![site.to_owned()]
        }
        None => folder.fleet.sites.iter().map(|site| site.name.to_string()).collect(),
    };
    let board = Facts::read(&store).await?.board(&sites);
    if json {
        return say_json(&board);
    }
    say(&match site {
        Some(_) => board.branches.iter().map(|row| one(row, now())).collect(),
        None => all(&board, now()),
    })
}

fn all(board: &Board, now: u64) -> String {
    let there = board.branches.iter().filter(|row| row.wanted.is_some() && row.running == row.wanted).count();
    let mut text = match (&board.name, board.newest) {
        (Some(name), Some(newest)) => {
            format!("{name} {newest}: {there} of {} on what they should run\n", board.branches.len())
        }
        (_, _) => "nothing is released yet\n".to_owned(),
    };
    let width = board.branches.iter().map(|row| row.site.chars().count()).max().unwrap_or(0);
    for row in &board.branches {
        let _ = writeln!(text, "  {:<width$}  {:<9}  {}{}", row.site, numbers(row), row.words, tail(row, now));
    }
    text
}

fn one(row: &BranchRow, now: u64) -> String {
    let mut text = format!("{}: {}, {}{}\n", row.site, numbers(row), row.words, tail(row, now));
    if let (Some(serial), Some(model), Some(firmware)) = (&row.serial, &row.model, &row.firmware) {
        let _ = writeln!(text, "  gateway {serial}, {model}, firmware {firmware}");
    }
    if let Some(device) = &row.device {
        let _ = writeln!(text, "  device  {device}");
    }
    if let Some(reason) = row.reason {
        let _ =
            writeln!(text, "  reason  {reason}{}", row.verdict.map(|it| format!(", verdict {it}")).unwrap_or_default());
    }
    if !row.unproved.is_empty() {
        let _ = writeln!(text, "  lost    path proof on {}", row.unproved.join(", "));
    }
    text
}

fn numbers(row: &BranchRow) -> String {
    match (row.running, row.wanted) {
        (Some(running), Some(wanted)) if running == wanted => running.to_string(),
        (Some(running), Some(wanted)) => format!("{running} → {wanted}"),
        (None, Some(wanted)) => format!("– → {wanted}"),
        (Some(running), None) => running.to_string(),
        (None, None) => "–".to_owned(),
    }
}

fn tail(row: &BranchRow, now: u64) -> String {
    match row.seen_at {
        Some(at) => format!(" · seen {} ago", ago(now.saturating_sub(at))),
        None => String::new(),
    }
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

pub(super) async fn audit(place: &Place, json: bool) -> Result<u8, Failure> {
    let (_, store, _) = open(place).await?;
    let (records, chain) = audit::read(&store).await?;
    let code = if chain.broken_at.is_none() { Exit::Done } else { Exit::Failed };
    if json {
        say_json(&json!({ "schema_version": 1, "chain": chain, "records": records }))?;
        return Ok(code as u8);
    }
    let mut text = String::new();
    for AuditRecord { number, at, by, act, .. } in &records {
        let _ = writeln!(text, "{number:>5}  {}  {by}: {}", date(*at), done(act));
    }
    text += &match chain.broken_at {
        None => format!("the chain is whole: {} records\n", chain.records),
        Some(number) => format!("THE CHAIN IS BROKEN at record {number}: somebody changed it or took one out\n"),
    };
    say(&text)?;
    Ok(code as u8)
}

fn date(at: u64) -> String {
    let at = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    at.map_or_else(|| "?".to_owned(), |at| at.to_string())
}

fn done(act: &Act) -> String {
    match act {
        Act::Init { tenant, .. } => format!("began {tenant}"),
        Act::Publish { release, ticket, left_out, .. } => {
            let ticket = if ticket.is_empty() { String::new() } else { format!(", ticket {ticket}") };
            let without =
                if left_out.is_empty() { String::new() } else { format!(", without {}", left_out.join(", ")) };
            format!("released {release}{ticket}{without}")
        }
        Act::Assign { release, way_back, members, .. } => {
            format!("handed out {}{release} to {members}", if *way_back { "the way back of " } else { "" })
        }
        Act::Claim { site, batch } => {
            format!("made a claim for {site}{}", if *batch { ", for a batch" } else { "" })
        }
        Act::Enrol { site, serial, .. } => format!("{serial} enrolled for {site}"),
        Act::Approve { site, device, .. } => format!("approved {} for {site}", &device[..device.len().min(12)]),
    }
}

pub(super) async fn keys(place: &Place, command: Option<KeysCommand>, json: bool) -> Result<u8, Failure> {
    let (folder, _, root) = open(place).await?;
    if let Some(KeysCommand::Forget { name }) = command {
        let path = folder.forget(&name)?;
        return if json {
            say_json(&json!({ "schema_version": 1, "removed": path }))
        } else {
            say(&format!("removed {}\n", path.display()))
        };
    }
    let mut rows = Vec::new();
    for (name, role) in [("root", Role::Root), ("release", Role::Release), ("online", Role::Online)] {
        let here = folder.keys(&root, role)?;
        let role = root.root().role(role);
        for key in role.keys.iter() {
            let file = here.iter().find(|(_, file)| file.public == *key).map(|(path, _)| path);
            rows.push(json!({
                "role": name, "threshold": role.threshold, "id": key.id().to_string(), "public": text::of_key(key),
                "file": file,
            }));
        }
    }
    if json {
        return say_json(&json!({ "schema_version": 1, "root": root.root().version, "keys": rows }));
    }
    let mut out = format!("root {}, epoch {}\n", root.root().version, root.root().epoch);
    for row in &rows {
        let word = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let file = row["file"].as_str().map_or_else(|| "not here".to_owned(), |file| format!("in {file}"));
        let _ = writeln!(out, "  {:<7}  {}  {}  {file}", word("role"), word("id"), word("public"));
    }
    say(&out)
}
