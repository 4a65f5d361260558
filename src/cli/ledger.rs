//! The commands that read the ledger: `outages`, `report`, and the older part of `events`. They ask the daemon for its
//! files, or read a folder where no daemon runs, check every record, and reckon here.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::{Format, ReportArgs, ReportCommand};
use super::exit::{Exit, Failure, print, talk};
use crate::control::io::{Client, ClientError};
use crate::control::protocol::{LedgerPart, Reply, Request};
use crate::ledger::chain::{Checked, Segment, verify};
use crate::ledger::evidence;
use crate::ledger::outages::Dates;
use crate::ledger::record::{Id, Kind, Record};
use crate::ledger::report::{Month, Report, Scope, csv, html, text};
use crate::ledger::store::{self, zone};
use crate::ledger::words;
use crate::telemetry::events::{EventLine, Level};
use crate::trust::keys::Signer;

/// Of one ledger, with room: a daemon that sends more is none of ours.
const LEDGER_MOST: usize = 8 << 20;
/// A file of evidence: a ledger, a report.
const EVIDENCE_MOST: u64 = 32 << 20;

/// A ledger as it was read.
pub(super) struct Read {
    pub(super) segments: Vec<Segment>,
    pub(super) now: Option<(Id, u64)>,
}

/// From the daemon, or from a state folder.
pub(super) fn read(socket: &Path, state: Option<&Path>) -> Result<Read, Failure> {
    let Some(state) = state else { return fetch(&mut Client::connect(socket).map_err(not_reached)?) };
    let folder = state.join("ledger");
    let (segments, last) = store::read(&folder).map_err(|source| {
        let said = format!("cannot read the ledger in {}", folder.display());
        Failure::new(Exit::Failed, Unread { said, source }).hint("--state names the daemon's state folder")
    })?;
    Ok(Read { segments, now: last.map(|last| (last.boot, last.mono)) })
}

/// Files outlive the daemon.
fn not_reached(error: ClientError) -> Failure {
    let is_down = matches!(error, ClientError::NotRunning { .. });
    let failure = Failure::from(error);
    if is_down {
        failure.hint("without the daemon: --state DIR, the folder with its ledger (/var/lib/causeway)")
    } else {
        failure
    }
}

pub(super) fn fetch(client: &mut Client) -> Result<Read, Failure> {
    let mut read = Read { segments: Vec::new(), now: None };
    let (mut segment, mut offset, mut bytes) = (0, 0, 0);
    loop {
        let Reply::Ledger(part) = client.call(&Request::Ledger { segment, offset })? else {
            return Err(ClientError::Unexpected.into());
        };
        let Some(part) = part else { return Ok(read) };
        let LedgerPart { boot, mono, segment: first, bytes: more, next } = *part;
        read.now = Some((Id(boot), mono));
        bytes += more.len();
        match read.segments.last_mut().filter(|last| last.first == first) {
            Some(last) => last.bytes.extend(more),
            None => read.segments.push(Segment { first, bytes: more }),
        }
        match next {
            Some(next) if bytes <= LEDGER_MOST => (segment, offset) = next,
            Some(_) => return Err(ClientError::Unexpected.into()),
            None => return Ok(read),
        }
    }
}

/// Every record, or the first that cannot be believed.
pub(super) fn checked(read: &Read) -> Result<Checked, Failure> {
    verify(&read.segments).map_err(|bad| {
        Failure::new(Exit::BadData, bad).hint("the ledger was changed or damaged; keep the disk, and tell head office")
    })
}

pub(super) fn outages(
    socket: &Path,
    state: Option<&Path>,
    month: Option<Month>,
    uplink: Option<&str>,
    json: bool,
) -> Result<(), Failure> {
    let read = read(socket, state)?;
    let checked = checked(&read)?;
    let month = month.unwrap_or_else(this_month);
    let report = Report::of(&checked, &Scope { month, uplink, promised: None, now: read.now }, &zone);
    known(&report, uplink)?;
    print(&if json { to_json(&report)? } else { text::outages(&report) })
}

pub(super) fn report(socket: &Path, args: ReportArgs) -> Result<(), Failure> {
    if let Some(ReportCommand::Verify { file }) = &args.command {
        return verify_file(file);
    }
    let month = args.month.unwrap_or_else(this_month);
    let read = read(socket, args.state.as_deref())?;
    let checked = checked(&read)?;
    let uplink = args.uplink.as_deref();
    let promised = args.promised.map(|percent| percent / 100.0);
    let report = Report::of(&checked, &Scope { month, uplink, promised, now: read.now }, &zone);
    known(&report, uplink)?;
    print(&match args.format {
        Format::Text => text::report(&report),
        Format::Html => html::page(&report),
        Format::Csv => csv::outages(&report),
        Format::Json => to_json(&report)?,
    })?;
    match &args.evidence {
        Some(file) => write_evidence(file, &report, &read.segments, &args.key_folder()),
        None => Ok(()),
    }
}

/// What the ledger has of the last `since_ms` from before the daemon started, which the daemon itself does not remember. A
/// ledger that cannot be believed is said, and costs no events.
pub(super) fn before_this_run(client: &mut Client, since_ms: u64) -> Result<Vec<EventLine>, Failure> {
    let read = match fetch(client) {
        Ok(read) => read,
        Err(failure) => {
            talk(&failure.text());
            return Ok(Vec::new());
        }
    };
    let records = match verify(&read.segments) {
        Ok(checked) => checked.records,
        Err(bad) => {
            talk(&format!("error: {bad}; events of before are left out\n"));
            return Ok(Vec::new());
        }
    };
    let Some((boot, mono)) = read.now else { return Ok(Vec::new()) };
    let began = records.iter().rev().find(|record| record.kind == Kind::Start).map_or(0, |record| record.seq);
    let now = Dates::of(&records).wall(boot, mono);
    let recent = |record: &&Record| match (record.dated(), now) {
        _ if record.boot == boot => mono.saturating_sub(record.mono) <= since_ms,
        (Some(wall), Some(now)) => now.saturating_sub(wall) <= since_ms,
        (None, _) | (_, None) => false,
    };
    let before = records.iter().filter(|record| record.seq < began).filter(recent);
    Ok(before.filter_map(line_of).collect())
}

/// Its number is 0: numbers count from the start of the daemon.
fn line_of(record: &Record) -> Option<EventLine> {
    let (kind, message) = words::sentence(record)?;
    Some(EventLine {
        seq: 0,
        wall_ms: record.dated(),
        boot_ms: record.mono,
        kind: kind.to_owned(),
        level: Level::Notice,
        message,
        fields: vec![("RECORD".to_owned(), record.seq.to_string())],
    })
}

fn write_evidence(file: &Path, report: &Report, segments: &[Segment], state: &Path) -> Result<(), Failure> {
    let key = device_key(state);
    let bytes = evidence::pack(report, segments, key.as_ref().ok());
    fs::write(file, &bytes).map_err(|source| {
        Failure::new(Exit::Failed, Unread { said: format!("cannot write {}", file.display()), source })
    })?;
    let signed = match &key {
        Ok(key) => format!("signed by device {}", key.public().device().0.short()),
        Err(why) => format!("UNSIGNED, so it proves nothing about who made it: {why}"),
    };
    talk(&format!("Wrote {} ({} kB), {signed}.\n", file.display(), bytes.len().div_ceil(1_000)));
    Ok(())
}

/// Its first half signs; the second opens what is sealed to the device.
fn device_key(state: &Path) -> Result<Signer, String> {
    let file = state.join("trust/device.key");
    let bytes = fs::read(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let seed = bytes.get(..32).filter(|_| bytes.len() == 64).and_then(|seed| <&[u8; 32]>::try_from(seed).ok());
    seed.map(Signer::from_seed).ok_or_else(|| format!("{} is damaged", file.display()))
}

fn verify_file(file: &Path) -> Result<(), Failure> {
    let failed = |source| {
        let said = format!("cannot read {}", file.display());
        Failure::new(Exit::BadData, Unread { said, source })
    };
    let length = fs::metadata(file).map_err(failed)?.len();
    if length > EVIDENCE_MOST {
        return Err(Failure::new(Exit::BadData, format!("{} is too long for evidence", file.display())));
    }
    let bytes = fs::read(file).map_err(failed)?;
    let proved = evidence::check(&bytes).map_err(|doubt| Failure::new(Exit::BadData, doubt))?;
    let mut text = format!(
        "{} · {}: records {}–{} intact ({} of them), last hash {}\n",
        proved.site, proved.month, proved.first_seq, proved.last_seq, proved.records, proved.head
    );
    text.push_str(&match proved.device {
        Some(device) => format!("Signed by device {device}; head office knows whose that is.\n"),
        None => "Unsigned: the records fit each other, but nobody vouches for who made the file.\n".to_owned(),
    });
    for remark in proved.remarks {
        text.push_str(&format!("Note: {remark}.\n"));
    }
    print(&text)
}

fn known(report: &Report, uplink: Option<&str>) -> Result<(), Failure> {
    match uplink {
        Some(uplink) if report.lines.iter().all(|line| line.uplink != uplink) => Err(Failure::new(
            Exit::Failed,
            format!("the ledger knows nothing of an uplink {uplink:?} in {}", report.month),
        )),
        Some(_) | None => Ok(()),
    }
}

fn this_month() -> Month {
    let today = jiff::Zoned::now().date();
    Month { year: today.year(), month: today.month() }
}

fn to_json(report: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(report).map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(format!("{text}\n"))
}

#[derive(Debug, thiserror::Error)]
#[error("{said}")]
struct Unread {
    said: String,
    source: std::io::Error,
}

impl ReportArgs {
    fn key_folder(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| PathBuf::from(super::args::STATE))
    }
}
