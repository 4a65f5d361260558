use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ledger::account::Account;
use crate::ledger::fixture::{utc_ms, week, zones};
use crate::ledger::hours::Hours;
use crate::ledger::record::{Id, Stamp};
use crate::ledger::store::zone;

/// What may happen to a box, in the order in which it happens; times in milliseconds since the step before.
#[derive(Clone, Debug)]
enum Step {
    Line {
        line: usize,
        state: usize,
        after: u64,
        late: u64,
    },
    Internet {
        state: usize,
        after: u64,
    },
    /// The daemon was away: last proof of life before it went, and how long it was away after that.
    Restart {
        alive: u64,
        away: u64,
    },
    /// The box was off.
    Boot {
        alive: u64,
        off: u64,
        clock: bool,
    },
    /// The clock can be believed, or jumped by so much.
    Clock {
        after: u64,
        jump: i64,
    },
    Place {
        after: u64,
        which: usize,
    },
    /// A look at the counters.
    Look {
        after: u64,
    },
}

const PLACES: [(Option<&str>, Option<&str>); 4] = [
    (Some("Europe/Paris"), Some("mon-fri 08:00-12:00, mon-fri 14:00-18:00, closed 12-25")),
    (Some("America/New_York"), Some("mon-sun 01:30-03:30")),
    (Some("Europe/Paris"), None),
    (None, Some("sat-sun 00:00-24:00")),
];

fn step() -> impl Strategy<Value = Step> {
    let short = 0_u64..7_200_000;
    prop_oneof![
        6 => (0..2_usize, 0..6_usize, short.clone(), 0..2_000_u64)
            .prop_map(|(line, state, after, late)| Step::Line { line, state, after, late }),
        3 => (0..4_usize, short.clone()).prop_map(|(state, after)| Step::Internet { state, after }),
        1 => (short.clone(), short.clone()).prop_map(|(alive, away)| Step::Restart { alive, away }),
        2 => (short.clone(), 0..400_000_000_u64, any::<bool>())
            .prop_map(|(alive, off, clock)| Step::Boot { alive, off, clock }),
        2 => (short.clone(), -90_000_000..90_000_000_i64).prop_map(|(after, jump)| Step::Clock { after, jump }),
        1 => (short.clone(), 0..PLACES.len()).prop_map(|(after, which)| Step::Place { after, which }),
        2 => short.prop_map(|after| Step::Look { after }),
    ]
}

const LINES: [&str; 2] = ["lte0", "wan1"];

/// Keeps a diary of who was in which state from when to when, and adds it up at the end.
struct Naive {
    boot: u128,
    mono: u64,
    /// True time, UTC ms.
    truth: u64,
    /// What the box's clock shows beyond it, if it can be believed.
    clock: Option<i64>,
    place: usize,
    /// State and since when, on the monotonic clock.
    open: BTreeMap<Option<usize>, (usize, u64)>,
    /// Without dates so far, of this boot.
    undated: Vec<(Option<usize>, usize, u64, u64)>,
    gap: Option<(u64, u64)>,
    sums: BTreeMap<(Option<usize>, usize), [u64; 3]>,
}

impl Naive {
    fn hours(&self) -> Hours {
        let (name, text) = PLACES[self.place];
        Hours::new(zones(name), text.map(week))
    }

    fn wall(&self, mono: u64) -> Option<u64> {
        let back = i64::try_from(self.mono).expect("small") - i64::try_from(mono).expect("small");
        self.clock.map(|clock| u64::try_from(i64::try_from(self.truth).expect("small") + clock - back).expect("small"))
    }

    fn book(&mut self, who: Option<usize>, state: usize, from: u64, to: u64) {
        if to <= from {
            return;
        }
        let hours = self.hours();
        let split = match (self.wall(from), self.wall(to)) {
            _ if hours.is_always() => [to - from, 0, 0],
            (Some(from), Some(to)) => [hours.split(from, to).0, hours.split(from, to).1, 0],
            _ => return self.undated.push((who, state, from, to)),
        };
        self.add(who, state, split);
    }

    fn add(&mut self, who: Option<usize>, state: usize, split: [u64; 3]) {
        for (sum, part) in self.sums.entry((who, state)).or_default().iter_mut().zip(split) {
            *sum += part;
        }
    }

    fn settle(&mut self, until: u64) {
        for (who, (state, since)) in self.open.clone() {
            self.book(who, state, since, until);
            self.open.insert(who, (state, since.max(until)));
        }
    }

    fn date(&mut self) {
        if self.clock.is_none() {
            return;
        }
        for (who, state, from, to) in std::mem::take(&mut self.undated) {
            self.book(who, state, from, to);
        }
        if let Some((from, until)) = self.gap.take()
            && let Some(to) = self.wall(until).filter(|to| *to >= from)
        {
            let hours = self.hours();
            let (open, closed) = if hours.is_always() { (to - from, 0) } else { hours.split(from, to) };
            for who in self.open.keys().copied().collect::<Vec<_>>() {
                self.add(who, if who.is_some() { 6 } else { 4 }, [open, closed, 0]);
            }
        }
    }

    fn give_up(&mut self) {
        for (who, state, from, to) in std::mem::take(&mut self.undated) {
            self.add(who, state, [0, 0, to - from]);
        }
    }

    fn unknown(&mut self, since: u64) {
        for (who, open) in &mut self.open {
            *open = (if who.is_some() { 4 } else { 3 }, since);
        }
    }
}

/// Plays it both ways; `keep` also sends the account through its disk form at each look.
fn play(steps: &[Step], keep: bool) -> (Account, Naive) {
    let mut naive = Naive {
        boot: 1,
        mono: 1_000,
        truth: utc_ms("2026-10-23T10:00:00Z"),
        clock: None,
        place: 2,
        open: BTreeMap::from([(None, (3, 1_000))]),
        undated: Vec::new(),
        gap: None,
        sums: BTreeMap::new(),
    };
    let mut account = Account::default();
    let stamp = |naive: &Naive| Stamp { boot: Id(naive.boot), mono: naive.mono, wall: naive.wall(naive.mono) };
    let new = |naive: &Naive, kind| Record::new(stamp(naive), kind);
    let put = |account: &mut Account, record: &Record| account.fold(record, &zones);
    let config = |account: &mut Account, naive: &Naive| {
        let (name, text) = PLACES[naive.place];
        let mut record = new(naive, Kind::Config);
        for (key, value) in [("timezone", name), ("hours", text)] {
            if let Some(value) = value {
                record = record.with(key, value);
            }
        }
        account.fold(&record, &zones);
    };
    put(&mut account, &new(&naive, Kind::Start));
    config(&mut account, &naive);
    for (line, name) in LINES.iter().enumerate() {
        let mut record = new(&naive, Kind::Config);
        record.uplink = Some((*name).to_owned());
        put(&mut account, &record);
        naive.open.insert(Some(line), (4, naive.mono));
    }
    let pass = |naive: &mut Naive, ms: u64| {
        naive.mono += ms;
        naive.truth += ms;
    };
    // The last look of this boot. What was shown is not taken back: a change that is told later begins there.
    let mut shown = 0;
    for step in steps {
        match *step {
            Step::Line { line, state, after, late } => {
                pass(&mut naive, after);
                let (before, from) = naive.open[&Some(line)];
                let since = naive.mono.saturating_sub(late).max(from).max(shown);
                let mut record = new(&naive, Kind::State);
                (record.uplink, record.to) = (Some(LINES[line].to_owned()), Some(LINE_STATES[state].to_owned()));
                record.since = Some(naive.mono.saturating_sub(late));
                naive.book(Some(line), before, from, since);
                naive.open.insert(Some(line), (state, since));
                put(&mut account, &record);
            }
            Step::Internet { state, after } => {
                pass(&mut naive, after);
                let mut record = new(&naive, Kind::State);
                record.to = Some(INTERNET_STATES[state].to_owned());
                let (before, from) = naive.open[&None];
                naive.book(None, before, from, naive.mono);
                naive.open.insert(None, (state, naive.mono));
                put(&mut account, &record);
            }
            Step::Restart { alive, away } => {
                pass(&mut naive, alive);
                let last = stamp(&naive);
                naive.settle(last.mono);
                naive.unknown(last.mono);
                pass(&mut naive, away);
                naive.settle(naive.mono);
                naive.date();
                let told = json!({ "boot": last.boot.to_string(), "mono": last.mono, "wall": last.wall });
                let mut record = new(&naive, Kind::Start);
                record.evidence.insert("last".to_owned(), told);
                put(&mut account, &record);
            }
            Step::Boot { alive, off, clock } => {
                pass(&mut naive, alive);
                let last = stamp(&naive);
                naive.settle(last.mono);
                naive.give_up();
                naive.boot += 1;
                naive.truth += off;
                (naive.mono, shown) = (5_000, 0);
                naive.clock = clock.then_some(naive.clock.unwrap_or(0));
                naive.gap = last.wall.map(|from| (from, naive.mono));
                naive.unknown(naive.mono);
                if naive.clock.is_some() {
                    naive.date();
                }
                let told = json!({ "boot": last.boot.to_string(), "mono": last.mono, "wall": last.wall });
                let mut record = new(&naive, Kind::Start);
                record.evidence.insert("last".to_owned(), told);
                put(&mut account, &record);
            }
            Step::Clock { after, jump } => {
                pass(&mut naive, after);
                naive.settle(naive.mono);
                naive.clock = Some(naive.clock.unwrap_or(0) + jump);
                naive.date();
                put(&mut account, &new(&naive, Kind::Clock));
            }
            Step::Place { after, which } => {
                pass(&mut naive, after);
                if PLACES[which] != PLACES[naive.place] {
                    naive.settle(naive.mono);
                    naive.give_up();
                }
                naive.place = which;
                config(&mut account, &naive);
            }
            Step::Look { after } => {
                pass(&mut naive, after);
                account.advance(naive.mono, &|_| None);
                shown = naive.mono;
                if keep {
                    let bytes = postcard::to_allocvec(&account).expect("plain data");
                    account = postcard::from_bytes(&bytes).expect("it was just written");
                    account.resolve(&zones);
                }
            }
        }
    }
    naive.settle(naive.mono);
    account.advance(naive.mono, &|_| None);
    (account, naive)
}

fn compare(account: &Account, naive: &Naive) -> Result<(), TestCaseError> {
    let sums = account.sums();
    for (line, name) in LINES.iter().enumerate() {
        for (state, told) in LINE_STATES.iter().enumerate() {
            let wanted = naive.sums.get(&(Some(line), state)).copied().unwrap_or_default();
            let found = sums.lines.get(*name).copied().unwrap_or_default()[state];
            prop_assert_eq!(found, wanted, "{} {}", name, told);
        }
    }
    for (state, name) in INTERNET_STATES.iter().enumerate() {
        let wanted = naive.sums.get(&(None, state)).copied().unwrap_or_default();
        prop_assert_eq!(sums.internet[state], wanted, "internet {}", name);
    }
    Ok(())
}

/// `metrics.md` §10 asks for 10⁶: `CAUSEWAY_HISTORIES=1000000`.
fn histories() -> u32 {
    std::env::var("CAUSEWAY_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counters_equal_the_naive_model_to_the_millisecond(steps in prop::collection::vec(step(), 1..30), keep in any::<bool>()) {
        let (account, naive) = play(&steps, keep);
        compare(&account, &naive)?;
    }
}

#[test]
fn a_suspicion_is_booked_to_what_it_was() {
    let mut account = Account::default();
    let wall = utc_ms("2026-10-12T08:00:00Z");
    let stamp = |mono: u64| Stamp { boot: Id(1), mono, wall: Some(wall + mono) };
    let state = |at: u64, to: &str, since: u64| {
        let mut record = Record::new(stamp(at), Kind::State);
        (record.uplink, record.to, record.since) = (Some("wan1".to_owned()), Some(to.to_owned()), Some(since));
        record
    };
    account.fold(&Record::new(stamp(0), Kind::Start), &zones);
    account.fold(&state(1_000, "up", 1_000), &zones);
    // In suspicion since 5,000: until it is settled nothing beyond is told, so no counter ever goes back.
    let up = account.advance(5_300, &|_| Some(5_000)).lines["wan1"][UP];
    assert_eq!(up, [4_000, 0, 0]);
    account.fold(&state(5_400, "down", 5_000), &zones);
    let sums = account.advance(6_000, &|_| None).lines["wan1"];
    assert_eq!((sums[UP][0], sums[DOWN][0]), (4_000, 1_000));
}

#[test]
fn an_unknown_zone_is_utc_and_never_a_path() {
    for name in ["Nowhere/City", "../../etc/passwd", "", "/etc/localtime"] {
        assert_eq!(zone(Some(name)).iana_name(), jiff::tz::TimeZone::UTC.iana_name(), "{name}");
    }
}
