//! Bytes that metered lines used in the running month of their plan, kept across restarts. One small file, replaced as a
//! whole at most once a minute.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::config::model::{Gateway, UplinkId};
use crate::kernel::netlink::counters::Counters;
use crate::time::Instant;

/// A power cut costs at most this much of the count.
const SAVE_EVERY: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Month {
    /// First day; absent until the wall clock was trusted.
    began: Option<Date>,
    bytes: u64,
}

pub(super) struct Usage {
    file: PathBuf,
    months: BTreeMap<String, Month>,
    last: Vec<Option<u64>>,
    saved: Instant,
    changed: bool,
}

impl Usage {
    pub(super) fn load(state: &Path, uplinks: usize, now: Instant) -> Self {
        let file = state.join("usage.json");
        let months = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { file, months, last: vec![None; uplinks], saved: now, changed: false }
    }

    /// Another config: `carried` says for each uplink which it was before.
    pub(super) fn reconfigure(&mut self, carried: &[Option<UplinkId>]) {
        self.last = carried.iter().map(|old| old.and_then(|old| self.last[old.index()])).collect();
    }

    /// Returns the bytes of the running month if the uplink is metered.
    pub(super) fn handle_counters(
        &mut self,
        config: &Gateway,
        uplink: UplinkId,
        counters: Counters,
        today: Option<Date>,
    ) -> Option<u64> {
        let metered = config.uplink(uplink).metered?;
        let total = counters.received_bytes.saturating_add(counters.sent_bytes);
        // The first reading after a start is a beginning, a smaller one a device that counts anew.
        let before = self.last[uplink.index()].replace(total).unwrap_or(total);
        let grown = if total >= before { total - before } else { total };
        let month = self.months.entry(config.uplink(uplink).name.to_string()).or_default();
        if let Some(began) = today.and_then(|today| month_of(today, metered.resets_on))
            && month.began != Some(began)
        {
            let known = month.began.replace(began).is_some();
            month.bytes = if known { 0 } else { month.bytes };
            self.changed = true;
        }
        month.bytes = month.bytes.saturating_add(grown);
        self.changed |= grown > 0;
        Some(month.bytes)
    }

    pub(super) fn ends(&self, config: &Gateway, uplink: UplinkId, today: Option<Date>) -> Option<Date> {
        let metered = config.uplink(uplink).metered?;
        month_of(today?, metered.resets_on)?.checked_add(jiff::Span::new().months(1)).ok()
    }

    pub(super) fn save_if_due(&mut self, now: Instant) {
        if self.changed && now.since(self.saved) >= SAVE_EVERY {
            self.save(now);
        }
    }

    pub(super) fn save(&mut self, now: Instant) {
        self.saved = now;
        self.changed = false;
        if let Err(error) = self.write() {
            tracing::warn!(%error, "cannot keep what metered lines used");
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let fresh = self.file.with_extension("new");
        let mut file = fs::File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(&self.months)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.file)
    }
}

/// The day on which the plan's month that contains `today` began.
fn month_of(today: Date, resets_on: u8) -> Option<Date> {
    let this = today.with().day(i8::try_from(resets_on).ok()?).build().ok()?;
    if today >= this { Some(this) } else { this.checked_sub(jiff::Span::new().months(1)).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_month_begins_on_its_day() {
        assert_eq!(month_of(date(2026, 11, 22), 1), Some(date(2026, 11, 1)));
        assert_eq!(month_of(date(2026, 11, 22), 25), Some(date(2026, 10, 25)));
        assert_eq!(month_of(date(2026, 1, 3), 28), Some(date(2025, 12, 28)));
    }
}
