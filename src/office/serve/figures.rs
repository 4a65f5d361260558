//! What head office knows of each branch, as figures for its Prometheus: plain HTTP on loopback, where nobody else comes.
//! Absence is a fact here: a branch that was never heard of has a last-seen of 0.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::answer::plain;
use super::counts::Counted;
use super::desk::Desk;
use super::http::{Answer, Wire};
use crate::office::board::{BranchRow, Facts};
use crate::office::error::OfficeError;
use crate::office::records::Standing;

/// One Prometheus and a person with curl.
const CONNECTIONS: usize = 8;
/// The store is read at most that often: reports wait as long before they are in it.
const FRESH: Duration = Duration::from_secs(30);
/// After an error of the socket.
const PAUSE: Duration = Duration::from_millis(50);
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// In the words of the inventory. A gateway whose place was given to another one is none of the branch's any more.
const LIFECYCLE: [&str; 2] = ["planned", "active"];

/// Name, type, help, in the order of the page. `docs/metrics.md` repeats them.
pub const FAMILIES: [(&str, &str, &str); 7] = [
    (
        "causeway_office_branch_last_seen_timestamp_seconds",
        "gauge",
        "When the branch last sent a request that its gateway had signed; 0 if it never did",
    ),
    (
        "causeway_office_branch_expected_interval_seconds",
        "gauge",
        "The branch is heard of again within this time, as it said when it asked last",
    ),
    (
        "causeway_office_branch_lifecycle",
        "gauge",
        "1 for one of the states: active where a gateway was accepted, planned where there is none yet",
    ),
    (
        "causeway_office_branch_config_in_sync",
        "gauge",
        "The branch runs the standard that was assigned to it; left out while there is none, or it never reported",
    ),
    ("causeway_office_connections_total", "counter", "Connections of gateways that were taken"),
    ("causeway_office_refused_total", "counter", "Connections and requests that were turned away"),
    ("causeway_office_store_errors_total", "counter", "Times that the store did not answer"),
];

/// What is said of one branch.
#[derive(Debug)]
pub(super) struct Figures<'a> {
    pub(super) row: &'a BranchRow,
    /// How long it may be silent, as it said when it asked last.
    pub(super) interval: u64,
}

pub(super) async fn serve(desk: Arc<Desk>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut kept: Option<(Instant, Bytes)> = None;
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let page = match kept.as_ref().filter(|(made, _)| made.elapsed() < FRESH) {
            Some((_, page)) => Some(page.clone()),
            None => match page(&desk).await {
                Ok(text) => {
                    let page = Bytes::from(text);
                    kept = Some((Instant::now(), page.clone()));
                    Some(page)
                }
                Err(error) => {
                    desk.counts.failed();
                    tracing::warn!("{error}");
                    None
                }
            },
        };
        tokio::spawn(async move {
            let mut wire = Wire::new(stream);
            if let Ok(asked) = wire.request().await {
                let answer = match page {
                    _ if asked.post || asked.target != "/metrics" => plain(404),
                    // A scrape that fails is seen; old figures are not shown as if they were now.
                    None => plain(503),
                    Some(body) => Answer { status: 200, fields: vec![("content-type", CONTENT_TYPE.to_owned())], body },
                };
                let _ = wire.answer(answer, true).await; // whoever has gone is not told
            }
            drop(place);
        });
    }
}

async fn page(desk: &Desk) -> Result<String, OfficeError> {
    let facts = Facts::read(&desk.store).await?;
    let board = facts.board(&facts.sites());
    // A site may have two gateways while one replaces the other: the one that counts is accepted.
    let mut branches: BTreeMap<&str, &BranchRow> = BTreeMap::new();
    for row in &board.branches {
        let first = branches.entry(&row.site).or_insert(row);
        if first.standing != Some(Standing::Accepted) {
            *first = row;
        }
    }
    let intervals: BTreeMap<String, u64> = desk
        .devices()
        .into_iter()
        .map(|entry| (entry.record().id().0.to_string(), entry.interval.load(Ordering::Relaxed)))
        .collect();
    let figures: Vec<Figures<'_>> = branches
        .into_values()
        .map(|row| {
            let known = row.device.as_ref().and_then(|device| intervals.get(device));
            Figures { row, interval: known.copied().unwrap_or(super::desk::INTERVAL) }
        })
        .collect();
    Ok(text(&desk.tenant, &figures, &desk.counts.read()))
}

pub(super) fn text(tenant: &str, branches: &[Figures<'_>], counted: &Counted) -> String {
    let mut text = String::new();
    // A site's name is a host name; a tenant's is a person's choice.
    let tenant = tenant.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let each = |of: &dyn Fn(&Figures<'_>) -> Option<u64>| -> Vec<(String, u64)> {
        let labels = |it: &Figures<'_>| format!("{{tenant=\"{tenant}\",branch=\"{}\"}}", it.row.site);
        branches.iter().filter_map(|it| Some((labels(it), of(it)?))).collect()
    };
    let states = branches.iter().flat_map(|it| {
        let state = LIFECYCLE[usize::from(it.row.standing == Some(Standing::Accepted))];
        LIFECYCLE.map(|name| {
            let labels = format!("{{tenant=\"{tenant}\",branch=\"{}\",state=\"{name}\"}}", it.row.site);
            (labels, u64::from(name == state))
        })
    });
    let refused = [
        ("full", counted.full),
        ("handshake", counted.handshakes),
        ("slow", counted.slow),
        ("unsigned", counted.unsigned),
        ("stale", counted.stale),
        ("large", counted.large),
    ];
    let one = |value: u64| vec![(String::new(), value)];
    let samples: [Vec<(String, u64)>; FAMILIES.len()] = [
        each(&|it| Some(it.row.seen_at.unwrap_or(0))),
        each(&|it| Some(it.interval)),
        states.collect(),
        each(&|it| it.row.state.and(it.row.wanted).map(|wanted| u64::from(it.row.running == Some(wanted)))),
        one(counted.connections),
        refused.map(|(reason, count)| (format!("{{reason=\"{reason}\"}}"), count)).to_vec(),
        one(counted.failed),
    ];
    for ((name, kind, help), samples) in FAMILIES.iter().zip(samples) {
        let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} {kind}"); // a text takes everything
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(site: &str, standing: Option<Standing>, running: Option<u64>, seen_at: Option<u64>) -> BranchRow {
        BranchRow {
            site: site.to_owned(),
            device: None,
            serial: None,
            model: None,
            firmware: None,
            standing,
            wanted: Some(41),
            running,
            verdict: None,
            reason: None,
            state: seen_at.map(|_| "idle"),
            unproved: Vec::new(),
            seen_at,
            words: String::new(),
        }
    }

    #[test]
    fn docs_and_families_are_the_same() {
        let docs = include_str!("../../../docs/metrics.md");
        let written: Vec<_> = docs.lines().filter(|line| line.starts_with("| `causeway_office_")).collect();
        let wanted = FAMILIES.map(|(name, kind, help)| format!("| `{name}` | {kind} | {help} |"));
        assert_eq!(written, wanted, "docs/metrics.md should read:\n{}", wanted.join("\n"));
    }

    #[test]
    fn absence_is_a_figure_and_ignorance_is_none() {
        let rows = [
            row("caen", None, None, None),
            row("lyon", Some(Standing::Accepted), Some(41), Some(1_700_000_000)),
            row("nantes", Some(Standing::Accepted), Some(40), Some(1_700_000_060)),
        ];
        let branches: Vec<_> = rows.iter().map(|row| Figures { row, interval: 300 }).collect();
        let text = text("petit-shops", &branches, &Counted { unsigned: 3, ..Counted::default() });
        for line in [
            "causeway_office_branch_last_seen_timestamp_seconds{tenant=\"petit-shops\",branch=\"caen\"} 0",
            "causeway_office_branch_last_seen_timestamp_seconds{tenant=\"petit-shops\",branch=\"lyon\"} 1700000000",
            "causeway_office_branch_lifecycle{tenant=\"petit-shops\",branch=\"caen\",state=\"planned\"} 1",
            "causeway_office_branch_lifecycle{tenant=\"petit-shops\",branch=\"lyon\",state=\"active\"} 1",
            "causeway_office_branch_config_in_sync{tenant=\"petit-shops\",branch=\"lyon\"} 1",
            "causeway_office_branch_config_in_sync{tenant=\"petit-shops\",branch=\"nantes\"} 0",
            "causeway_office_refused_total{reason=\"unsigned\"} 3",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
        assert!(!text.contains("in_sync{tenant=\"petit-shops\",branch=\"caen\"}"), "{text}");
    }
}
