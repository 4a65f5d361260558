//! The table of what Causeway must reach, measured: each row with its bar, its median and its worst. [`trials`] are the
//! faults, each in a fresh branch; [`cost`] is what the daemon takes when nothing happens; [`office`] is head office under
//! its whole fleet; [`ledger`] is a ledger that is checked; [`scrape`] is `/metrics`, for one and under 1,000 slow clients.

pub mod cost;
mod front;
mod gateway;
mod ledger;
pub mod office;
mod scrape;
pub mod trials;

use std::io::Write;
use std::time::Duration;

use clap::ValueEnum as _;

use super::LabError;
use super::print::write;
use super::units::show;

/// What a row counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Count,
    Megabytes,
    Mebibytes,
    Percent,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value.is_finite() => show(Duration::from_secs_f64(value)),
            Self::Seconds => "never".to_owned(),
            Self::Count => format!("{value:.0}"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Percent => format!("{value:.2} %"),
        }
    }
}

/// One row. It is met when the median of its samples is at most the bar.
#[derive(Clone, Debug)]
pub struct Row {
    pub what: String,
    pub elsewhere: &'static str,
    pub bar: f64,
    pub unit: Unit,
    /// What did not happen at all counts as infinite.
    pub samples: Vec<f64>,
}

impl Row {
    pub fn new(what: &str, elsewhere: &'static str, bar: f64, unit: Unit, samples: Vec<f64>) -> Self {
        Self { what: what.to_owned(), elsewhere, bar, unit, samples }
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub fn met(&self) -> bool {
        !self.samples.is_empty() && self.median() <= self.bar
    }

    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small length")]
        let index = (last as f64 * share).round() as usize;
        sorted.get(index).copied().unwrap_or(f64::INFINITY)
    }

    /// Two lines, at most 80 columns.
    fn text(&self) -> String {
        let unit = |value| self.unit.show(value);
        let verdict = if self.met() { "met" } else { "NOT MET" };
        format!(
            "{:<40}{:>9}{:>9}{:>9}  {verdict}\n    bar: at most {}; elsewhere: {}\n",
            self.what,
            unit(self.median()),
            unit(self.quantile(0.95)),
            unit(self.quantile(1.0)),
            unit(self.bar),
            self.elsewhere,
        )
    }
}

/// Median of fewer says little.
pub const LEAST_RUNS: u32 = 10;

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Measure {
    Fast,
    Defaults,
    Carrier,
    BrownOut,
    HealthyFlows,
    Standby,
    Idle,
    SixtyFour,
    Office,
    Ledger,
    Plan,
    Front,
    Scrape,
}

impl Measure {
    fn rows(self, runs: u32) -> Result<Vec<Row>, LabError> {
        match self {
            Self::Fast => {
                trials::silent(trials::SILENT_FAST, "fast", 0.15, "0.59 s (tuned dpinger), 1.3 s (mwan3)", runs)
            }
            Self::Defaults => {
                trials::silent(trials::SILENT_STANDARD, "defaults", 0.6, "7-16 s (dpinger), 18-130 s (mwan3)", runs)
            }
            Self::Carrier => trials::carrier(runs),
            Self::BrownOut => trials::brown_out(runs),
            Self::HealthyFlows => trials::healthy_flows(runs),
            Self::Standby => cost::standby().map(|row| vec![row]),
            Self::Idle => cost::idle(),
            Self::SixtyFour => cost::sixty_four(),
            Self::Office => office::rows(),
            Self::Ledger => ledger::verified(runs),
            Self::Plan => gateway::rows(),
            Self::Front => trials::front(runs),
            Self::Scrape => scrape::rows(),
        }
    }
}

/// Prints rows as they come, all of them unless some are named; `true` if every bar was met.
pub fn run(runs: u32, only: &[Measure], out: &mut dyn Write) -> Result<bool, LabError> {
    write(out, &format!("{:<40}{:>9}{:>9}{:>9}\n\n", format!("{runs} runs each"), "median", "p95", "worst"))?;
    let mut all_met = true;
    for measure in Measure::value_variants().iter().filter(|measure| only.is_empty() || only.contains(measure)) {
        let rows = measure.rows(runs)?;
        all_met &= rows.iter().all(Row::met);
        write(out, &rows.iter().map(Row::text).collect::<String>())?;
    }
    write(out, "false failovers in 1,000 simulated days: see `causeway lab sim`\n")?;
    if cfg!(debug_assertions) {
        write(out, "note: this is a debug build; its processor time is several times the shipped one's\n")?;
    }
    Ok(all_met)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_met_by_its_median_and_fits_a_terminal() {
        let row = |samples| {
            Row::new("silent outage, fast: steady again", "0.59 s (tuned dpinger), 1.3 s", 0.15, Unit::Seconds, samples)
        };
        assert!(row(vec![0.1, 0.12, 9.0]).met());
        assert!(!row(vec![0.1, 0.16, f64::INFINITY]).met());
        assert!(!row(Vec::new()).met(), "nothing measured is nothing met");
        let text = row(vec![0.1, 0.12, f64::INFINITY]).text();
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(text.contains("never"), "{text}");
    }
}
