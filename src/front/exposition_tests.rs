use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::control::snapshot::{Firmware, Hardware, LedgerFigures, Process, Slot, Snapshot, Storage};
use crate::control::status::Status;
use crate::front::samples::Web;
use crate::telemetry::counts::Counts;

fn status() -> Status {
    serde_json::from_str(include_str!("../../tests/canned/backup.json")).expect("it fits the types")
}

fn hardware() -> Hardware {
    Hardware {
        memory_available_bytes: Some(300 << 20),
        temperature_celsius: Some(48.5),
        storage_wear_ratio: Some(0.1),
        firmware: Some(Firmware { version: "1.4.2".to_owned(), slot: Slot::B }),
    }
}

fn page(snapshot: bool) -> Page {
    let counts = Counts::sized([3, 3]);
    let process = Process { cpu_seconds: 1.5, resident_bytes: 4096, ..Process::default() };
    let snapshot = snapshot.then(|| Snapshot {
        status: status(),
        counts,
        process,
        ledger: LedgerFigures { lines: vec![Default::default(); 2], ..LedgerFigures::default() },
        hardware: hardware(),
        config: Default::default(),
    });
    let storage = Some(Storage { size_bytes: 4 << 30, used_bytes: 1 << 30 });
    Page { snapshot, process, storage, web: Web::default() }
}

/// Series of a page: name and labels, without `_bucket` and so on.
fn families(text: &str) -> BTreeMap<&str, &str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split_once(' ')).collect()
}

#[test]
fn every_metric_of_the_catalogue_is_on_a_full_page_and_no_other() {
    let text = text(page(true)).expect("it is text");
    let wanted: BTreeSet<_> = Metric::ALL
        .iter()
        .map(|metric| {
            let name = metric.name();
            let name = name.strip_suffix("_total").or_else(|| name.strip_suffix("_info")).unwrap_or(name);
            format!("causeway_{name}")
        })
        .collect();
    let found: BTreeSet<_> = families(&text).into_keys().map(str::to_owned).collect();
    assert_eq!(found, wanted);
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn no_series_stands_twice() {
    let text = text(page(true)).expect("it is text");
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').expect("a series and its value");
        assert!(seen.insert(series.to_owned()), "{series}");
    }
}

#[test]
fn label_values_are_those_of_the_catalogue() {
    let page = page(true);
    for metric in Metric::ALL {
        for sample in samples(*metric, &page, &series::budget(&page)) {
            assert_eq!(sample.labels.len(), metric.labels().len(), "{}", metric.name());
            for (label, value) in metric.labels().iter().zip(&sample.labels) {
                let values = (label.values)();
                assert!(values.is_empty() || values.contains(&value.as_ref()), "{} {value}", metric.name());
            }
        }
    }
}

#[test]
fn the_page_is_the_known_one() {
    let text = text(page(true)).expect("it is text");
    let some: Vec<_> = text
        .lines()
        .filter(|line| {
            [
                "uplink_state{",
                "uplink_info",
                "internet_state",
                "uplink_jitter",
                "state_changes",
                "build_info",
                "switch",
                "firmware",
            ]
            .iter()
            .any(|name| line.contains(name) && !line.contains("suppressed"))
        })
        .collect();
    insta::assert_snapshot!(some.join("\n"));
}

#[test]
fn a_daemon_that_does_not_answer_leaves_nothing_old() {
    let text = text(page(false)).expect("it is text");
    let names: Vec<_> = families(&text).into_keys().collect();
    insta::assert_snapshot!(names.join("\n"));
    assert!(text.contains("\ncauseway_daemon_up 0.0\n"), "{text}");
}

#[test]
fn a_target_that_is_asked_over_both_families_has_two_names() {
    let mut page = page(true);
    let snapshot = page.snapshot.as_mut().expect("a full page");
    let mut v6 = snapshot.status.uplinks[0].families[0].clone();
    v6.family = crate::config::model::Family::V6;
    v6.targets.truncate(1);
    snapshot.status.uplinks[0].families.push(v6);
    let names: Vec<_> = samples(Metric::TargetInfo, &page, &series::budget(&page))
        .iter()
        .map(|sample| sample.labels[1].to_string())
        .collect();
    assert!(names.contains(&"9.9.9.9 icmp".to_owned()) && names.contains(&"9.9.9.9 icmp ipv6".to_owned()), "{names:?}");
}

#[test]
fn a_label_cannot_break_out_of_its_quotes() {
    let mut page = page(true);
    let snapshot = page.snapshot.as_mut().expect("a full page");
    snapshot.status.uplinks[0].provider = Some("a\"} 1\nx{b=\"\\".to_owned());
    let text = text(page).expect("it is text");
    assert!(text.contains(r#"provider="a\"} 1\nx{b=\"\\""#), "{text}");
}
