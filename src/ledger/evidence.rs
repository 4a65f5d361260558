//! What is handed over in a dispute: a report with the records it was made of, in one file that anybody can check offline.
//! The same ledger and month give the same bytes.

use super::chain::{Bad, Checked, Lines, Segment, verify};
use super::record::{GENESIS, HASH, Kind, Record};
use super::report::{Report, csv, html};
use super::tar;
use crate::trust::digest::Digest;
use crate::trust::keys::{PublicKey, Signer};

const FIRST_LINE: &str = "causeway-evidence-v1";
/// A signature over a manifest is worth nothing for anything else that the device signs.
const DOMAIN: &[u8] = b"causeway evidence v1\0";
const SIGNATURE: &str = "signature: ";
/// In this order.
const NAMES: [&str; 5] = ["report.html", "outages.csv", "ledger.txt", "method.txt", "VERIFY.md"];
const MANIFEST: &str = "manifest";

const VERIFY: &str = include_str!("verify.md");

/// Why a file proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Doubt {
    #[error("it is not a file of evidence: {0}")]
    Tar(&'static str),
    #[error("it has not the files that it must have: {}", NAMES.join(", "))]
    Members,
    #[error("its manifest is not one")]
    Manifest,
    #[error("{0} is not what the manifest names")]
    Digest(String),
    #[error("the signature does not fit the manifest")]
    Signature,
    #[error("ledger.txt cannot be believed")]
    Ledger(#[source] Bad),
}

/// What was found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    pub site: String,
    pub month: String,
    pub records: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    /// Hash of the last record.
    pub head: String,
    /// The device that signed. `None`: nobody did, so anybody could have made the file.
    pub device: Option<String>,
    pub remarks: Vec<String>,
}

/// `segments` must be those that the report was made of. Without a key the file says that nobody signed it.
pub fn pack(report: &Report, segments: &[Segment], key: Option<&Signer>) -> Vec<u8> {
    let method = html::method(report).join("\n\n");
    let ledger = excerpt(segments, report.from, report.to);
    let contents = [html::page(report), csv::outages(report), ledger, format!("{method}\n"), VERIFY.to_owned()];
    let mut manifest = format!("{FIRST_LINE}\nsite: {}\nmonth: {}\n", one_line(&report.site), report.month);
    match key {
        Some(key) => {
            let public = key.public();
            manifest.push_str(&format!("device: {}\nkey: {}\n", public.device().0, Digest::new(*public.bytes())));
        }
        None => manifest.push_str("device: unsigned\n"),
    }
    for (name, content) in NAMES.iter().zip(&contents) {
        manifest.push_str(&format!("{}  {name}\n", Digest::of(content.as_bytes())));
    }
    if let Some(key) = key {
        let signature = key.sign(&message(&manifest));
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        manifest.push_str(&format!("{SIGNATURE}{hex}\n"));
    }
    let mut members: Vec<(&str, &[u8])> =
        NAMES.iter().zip(&contents).map(|(name, content)| (*name, content.as_bytes())).collect();
    members.push((MANIFEST, manifest.as_bytes()));
    tar::pack(&members)
}

pub fn check(file: &[u8]) -> Result<Proved, Doubt> {
    let members = tar::unpack(file).map_err(Doubt::Tar)?;
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let Some(((last, manifest), files)) = members.split_last().filter(|_| names[..names.len() - 1] == NAMES) else {
        return Err(Doubt::Members);
    };
    let manifest = std::str::from_utf8(manifest).ok().filter(|_| last == MANIFEST).ok_or(Doubt::Manifest)?;
    let (signed, signature) = match manifest.split_once(SIGNATURE) {
        Some((signed, signature)) => (signed, Some(signature)),
        None => (manifest, None),
    };
    let mut lines = signed.lines();
    let mut field = |name: &str| lines.next().and_then(|line| line.strip_prefix(name)).map(str::to_owned);
    let (Some(""), Some(site), Some(month), Some(device)) =
        (field(FIRST_LINE).as_deref(), field("site: "), field("month: "), field("device: "))
    else {
        return Err(Doubt::Manifest);
    };
    let device = if device == "unsigned" { None } else { Some(device) };
    if let Some(device) = &device {
        let key = field("key: ").and_then(|hex| Digest::from_hex(&hex)).ok_or(Doubt::Manifest)?;
        let key = PublicKey::new(*key.bytes());
        let signature = signature.and_then(|hex| signature_of(hex.strip_suffix('\n')?)).ok_or(Doubt::Signature)?;
        if key.device().0.to_string() != *device || !key.verifies(&message(signed), &signature) {
            return Err(Doubt::Signature);
        }
    } else if signature.is_some() {
        return Err(Doubt::Signature);
    }
    for (name, content) in files {
        let told = lines.next().and_then(|line| line.split_once("  ")).ok_or(Doubt::Manifest)?;
        if told.1 != name || told.0 != Digest::of(content).to_string() {
            return Err(Doubt::Digest(name.clone()));
        }
    }
    if lines.next().is_some() || !signed.ends_with('\n') {
        return Err(Doubt::Manifest);
    }
    let ledger = files.iter().find(|(name, _)| name == "ledger.txt").map(|(_, bytes)| *bytes).unwrap_or_default();
    let segments = split(ledger).ok_or(Doubt::Members)?;
    let Checked { records, remarks } = verify(&segments).map_err(Doubt::Ledger)?;
    let seq = |record: Option<&Record>| record.map_or(0, |record| record.seq);
    let head = segments.last().and_then(|segment| {
        let mut lines = Lines::open(&segment.bytes, segment.first).ok()?;
        while lines.by_ref().next().is_some() {}
        String::from_utf8(lines.head().hash.to_vec()).ok()
    });
    Ok(Proved {
        site,
        month,
        records: u64::try_from(records.len()).unwrap_or(u64::MAX),
        first_seq: seq(records.first()),
        last_seq: seq(records.last()),
        head: head.unwrap_or_default(),
        device,
        remarks,
    })
}

/// The lines that the report needs, as they are: from the last start before the month (what was, then, is known again) to
/// the first record behind it. Before the first stands the hash before it.
fn excerpt(segments: &[Segment], from: u64, to: u64) -> String {
    // Hash before it, line, record.
    let mut all: Vec<(&[u8], &[u8], Record)> = Vec::new();
    let mut anew: Vec<u64> = Vec::new();
    for segment in segments {
        let Some((mut hash, lines)) = segment.bytes.split_at_checked(HASH + 1) else { continue };
        if hash[..HASH] == GENESIS {
            anew.push(segment.first);
        }
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let Some(record) = line.get(HASH + 1..).and_then(|json| serde_json::from_slice(json).ok()) else {
                continue;
            };
            all.push((&hash[..HASH], line, record));
            hash = line;
        }
    }
    let before = |record: &Record| record.dated().is_some_and(|wall| wall <= from);
    let start = all.iter().rposition(|(_, _, record)| record.kind == Kind::Start && before(record)).unwrap_or(0);
    let end = all.iter().position(|(_, _, record)| record.dated().is_some_and(|wall| wall >= to));
    let end = end.map_or(all.len(), |end| end + 1).max(start);
    let mut text = String::new();
    for (index, (hash, line, record)) in all[start..end].iter().enumerate() {
        if index == 0 || anew.contains(&record.seq) {
            text.push_str(&format!("{}\n", String::from_utf8_lossy(hash)));
        }
        text.push_str(&String::from_utf8_lossy(line));
    }
    text
}

/// [`excerpt`] back into files: a line that is a hash alone begins one.
fn split(text: &[u8]) -> Option<Vec<Segment>> {
    let mut segments: Vec<Segment> = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.len() == HASH + 1 && line[HASH] == b'\n' {
            segments.push(Segment { first: 0, bytes: line.to_vec() });
            continue;
        }
        let segment = segments.last_mut()?;
        if segment.bytes.len() == HASH + 1 {
            // Its hash says whether this is what it claims to be.
            let record = line.get(HASH + 1..).and_then(|json| serde_json::from_slice::<Record>(json).ok());
            segment.first = record.map_or(0, |record| record.seq);
        }
        segment.bytes.extend_from_slice(line);
    }
    Some(segments)
}

fn message(manifest: &str) -> Vec<u8> {
    [DOMAIN, manifest.as_bytes()].concat()
}

fn signature_of(hex: &str) -> Option<[u8; 64]> {
    let (first, second) = hex.split_at_checked(64)?;
    let (first, second) = (Digest::from_hex(first)?, Digest::from_hex(second)?);
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(first.bytes());
    signature[32..].copy_from_slice(second.bytes());
    Some(signature)
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
