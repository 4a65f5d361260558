//! How many series a page has, how many a config makes, and what is left out of a page that has too many. Pure.

use super::samples::{Page, Sample, Value, Web, samples};
use crate::config::model::{Family, Gateway, PathId, TargetId, Uplink, UplinkId};
use crate::control::snapshot::{ConfigFigures, Firmware, Hardware, LedgerFigures, Process, Slot, Snapshot, Storage};
use crate::control::status::{
    ConfigStatus, Evidence, FamilyStatus, Internet, InternetState, Moment, PathFamily, PathStatus, Plan, Role,
    SCHEMA_VERSION, Status, TargetStatus, UplinkStatus,
};
use crate::health::State;
use crate::ledger::account::LineTimes;
use crate::telemetry::catalogue::Metric;
use crate::telemetry::counts::Counts;

/// For one branch. Two lines with three targets each in both families make about 540, four with four about 960; 200 branches
/// of these fit one small Prometheus.
pub const SERIES_CAP: u64 = 1_000;

/// What is left out first: figures per target, the widest first. What says whether the branch works stays.
const GIVES_WAY: [Metric; 4] = [Metric::ProbeRtt, Metric::ProbeLastSuccess, Metric::TargetInfo, Metric::ProbeOutcomes];
/// [`Metric::Series`] and [`Metric::SeriesWithheld`] count the others, and themselves.
const OWN: u64 = 2;

/// What of a page is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    pub withheld: Vec<Metric>,
    pub shown: u64,
    pub left_out: u64,
}

/// Every sample is looked at: once a page.
pub fn budget(page: &Page) -> Budget {
    let counted = |metric: Metric| samples(metric, page, &Budget::default()).iter().map(series).sum::<u64>();
    let others = Metric::ALL.iter().filter(|metric| !matches!(metric, Metric::Series | Metric::SeriesWithheld));
    let own = if page.snapshot.is_some() { OWN } else { 0 };
    let mut budget =
        Budget { withheld: Vec::new(), shown: own + others.map(|metric| counted(*metric)).sum::<u64>(), left_out: 0 };
    for metric in GIVES_WAY {
        if budget.shown <= SERIES_CAP {
            break;
        }
        let count = counted(metric);
        budget.withheld.push(metric);
        budget.shown -= count;
        budget.left_out += count;
    }
    budget
}

/// A histogram has a series for each bucket, the open one, its sum and its count.
fn series(sample: &Sample<'_>) -> u64 {
    match &sample.value {
        Value::Histogram(histogram) => u64::try_from(histogram.buckets().len()).unwrap_or(u64::MAX) + 2,
        Value::Count(_) | Value::Number(_) | Value::Info => 1,
    }
}

/// Series that a gateway with this config has, all of them: nothing withheld, everything measured.
pub fn count(gateway: &Gateway) -> u64 {
    let Budget { shown, left_out, .. } = budget(&page(gateway));
    shown + left_out
}

/// The page of a gateway that has measured everything once.
fn page(gateway: &Gateway) -> Page {
    let counts = Counts::new(gateway);
    let process = Process::default();
    let hardware = Hardware {
        memory_available_bytes: Some(0),
        temperature_celsius: Some(0.0),
        storage_wear_ratio: Some(0.0),
        firmware: Some(Firmware { version: crate::VERSION.to_owned(), slot: Slot::A }),
    };
    let ledger = LedgerFigures { lines: vec![LineTimes::default(); gateway.uplinks.len()], ..LedgerFigures::default() };
    let config = ConfigFigures::default();
    let snapshot = Snapshot { status: status(gateway), counts, process, ledger, hardware, config };
    Page { snapshot: Some(snapshot), process, storage: Some(Storage::default()), web: Web::default() }
}

fn status(gateway: &Gateway) -> Status {
    let first = gateway.paths.get(PathId::DEFAULT.index()).and_then(|path| path.tiers.first());
    let is_first = |id: UplinkId| first.is_some_and(|tier| tier.contains(&id));
    let name = |id: &UplinkId| gateway.uplink(*id).name.to_string();
    let paths = gateway.paths.iter().map(|path| PathStatus {
        name: path.name.to_string(),
        order: path.tiers.iter().map(|tier| tier.iter().map(name).collect()).collect(),
        families: Family::BOTH.map(path_family).to_vec(),
    });
    Status {
        schema_version: SCHEMA_VERSION,
        version: crate::VERSION.to_owned(),
        site: gateway.site.name.clone(),
        owner: None,
        wall_ms: Some(0),
        uptime_ms: 0,
        internet: Internet { state: InternetState::Unknown, since: Moment::default() },
        uplinks: gateway.uplink_ids().map(|id| uplink(gateway.uplink(id), is_first(id))).collect(),
        paths: paths.collect(),
        last_switch: None,
        lock: None,
        preference: None,
        drill: None,
        config: ConfigStatus::default(),
        warnings: Vec::new(),
    }
}

fn path_family(family: Family) -> PathFamily {
    PathFamily {
        family,
        uplinks: Vec::new(),
        since: Moment::default(),
        reason: None,
        suppressed: None,
        failback_in_ms: None,
    }
}

fn uplink(uplink: &Uplink, first: bool) -> UplinkStatus {
    let families = Family::BOTH.into_iter().filter(|family| uplink.has(*family));
    UplinkStatus {
        name: uplink.name.to_string(),
        device: uplink.device.to_string(),
        role: if first { Role::Primary } else { Role::Backup },
        medium: uplink.medium.name().to_owned(),
        provider: None,
        circuit: None,
        carrier: Some(true),
        plan: uplink.metered.map(|metered| Plan { used_bytes: 0, limit_bytes: metered.plan, ends_wall_ms: None }),
        families: families.map(|family| family_status(uplink, family)).collect(),
        last_outage: None,
        last_drill: None,
    }
}

fn family_status(uplink: &Uplink, family: Family) -> FamilyStatus {
    let targets = (0u8..).zip(&uplink.targets).filter(|(_, target)| target.family == family);
    FamilyStatus {
        family,
        state: State::Up,
        since: Moment::default(),
        evidence: Evidence::default(),
        last_life_ago_ms: None,
        interval_ms: 0,
        loss: None,
        rtt_p50_ms: None,
        rtt_p95_ms: None,
        jitter_ms: Some(0.0),
        recover_left_ms: None,
        address: None,
        gateway: None,
        carries: Vec::new(),
        targets: targets.map(|(index, target)| TargetStatus::of(TargetId(index), target)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::exposition;
    use crate::telemetry::fixture::gateway;

    /// Two mobile-backed lines, both families, three targets in each.
    fn usual() -> Gateway {
        let text = include_str!("../../configs/examples/dual-stack-office.toml");
        crate::config::parse("dual-stack-office.toml", text).expect("an example is valid")
    }

    fn on_page(page: Page) -> u64 {
        let text = exposition::text(page).expect("it is text");
        text.lines().filter(|line| !line.starts_with('#')).count().try_into().expect("a count")
    }

    #[test]
    fn what_is_counted_is_what_is_on_the_page() {
        for gateway in [gateway(), usual()] {
            assert_eq!(count(&gateway), on_page(page(&gateway)), "{}", gateway.site.name);
            assert!(count(&gateway) <= SERIES_CAP, "{}", count(&gateway));
        }
    }

    /// As many lines as this, each with all its targets.
    fn large(lines: usize) -> Gateway {
        let mut gateway = usual();
        let uplink = gateway.uplinks[0].clone();
        gateway.uplinks = vec![uplink; lines];
        gateway
    }

    #[test]
    fn a_page_that_is_too_long_leaves_targets_out_and_says_how_many() {
        let large = large(6);
        let page = page(&large);
        let budget = budget(&page);
        assert!(count(&large) > SERIES_CAP, "{}", count(&large));
        assert!(budget.shown <= SERIES_CAP && budget.withheld.first() == Some(&Metric::ProbeRtt), "{budget:?}");
        let text = exposition::text(page).expect("it is text");
        assert!(text.contains(&format!("\ncauseway_series_withheld {}.0\n", budget.left_out)), "{budget:?}");
        assert!(!text.contains("causeway_probe_rtt_seconds") && text.contains("causeway_uplink_state{"));
    }

    #[test]
    fn a_page_within_its_cap_leaves_nothing_out() {
        let budget = budget(&page(&usual()));
        assert_eq!((budget.withheld.len(), budget.left_out), (0, 0));
    }
}
