//! Which packet counters are read when: as often as the engine wants for each uplink, and together with what wakes the
//! processor anyhow.

use std::time::Duration;

use crate::config::model::UplinkId;
use crate::kernel::netlink::counters::{Counters, Counting};
use crate::time::Instant;

/// Bytes of lines that nobody watches: often enough for a graph and a plan.
const SLOW: Duration = Duration::from_secs(5);
/// A reading may be early by this part of its period.
const EARLY: u32 = 3;
/// Devices read in one turn, at some microseconds each; then others get theirs.
const AT_ONCE: usize = 8;

pub(super) struct Meter {
    counting: Counting,
    slots: Vec<Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    /// The kernel's number of the device.
    index: Option<u32>,
    every: Option<Duration>,
    due: Instant,
}

#[derive(Debug)]
pub(super) struct Reading {
    pub uplink: UplinkId,
    pub counters: Counters,
    /// The engine asked for it; else it is for figures only.
    pub watched: bool,
}

impl Meter {
    pub(super) fn new(counting: Counting, uplinks: usize, now: Instant) -> Self {
        let mut meter = Self { counting, slots: Vec::new() };
        meter.restart(uplinks, now);
        meter
    }

    /// Another config: nothing is known of its uplinks yet.
    pub(super) fn restart(&mut self, uplinks: usize, now: Instant) {
        self.slots = vec![Slot { index: None, every: None, due: now }; uplinks];
    }

    pub(super) fn set_link(&mut self, uplink: UplinkId, index: Option<u32>) {
        if let Some(slot) = self.slots.get_mut(uplink.index()) {
            slot.index = index;
        }
    }

    pub(super) fn set_every(&mut self, uplink: UplinkId, every: Option<Duration>, now: Instant) {
        if let Some(slot) = self.slots.get_mut(uplink.index()) {
            slot.every = every;
            slot.due = slot.due.min(now + every.unwrap_or(SLOW));
        }
    }

    /// When the processor must be woken for a reading.
    pub(super) fn due(&self) -> Instant {
        self.slots.iter().filter(|slot| slot.index.is_some()).map(|slot| slot.due).min().unwrap_or(Instant::NEVER)
    }

    /// Whether [`Self::read`] would read anything.
    pub(super) fn is_nearly_due(&self, now: Instant) -> bool {
        self.slots.iter().any(|slot| slot.is_nearly_due(now))
    }

    /// What is nearly due is read with the rest: a processor that is awake already is cheaper than one to wake.
    pub(super) fn read(&mut self, now: Instant) -> Vec<Reading> {
        let counting = &mut self.counting;
        let due = (0u8..).map(UplinkId).zip(&mut self.slots).filter(|(_, slot)| slot.is_nearly_due(now));
        let readings = due.take(AT_ONCE).filter_map(|(uplink, slot)| {
            slot.due = now + slot.period();
            // A device that is gone is told of by other means.
            let counters = counting.read(slot.index?).ok()?;
            Some(Reading { uplink, counters, watched: slot.every.is_some() })
        });
        readings.collect()
    }
}

impl Slot {
    fn period(&self) -> Duration {
        self.every.unwrap_or(SLOW)
    }

    fn is_nearly_due(&self, now: Instant) -> bool {
        self.index.is_some() && self.due <= now + self.period() / EARLY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: UplinkId = UplinkId(0);
    const EVERY: Duration = Duration::from_millis(250);

    fn at(ms: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(ms)
    }

    #[test]
    fn a_reading_goes_with_probes_ten_times_a_second_and_alone_without() {
        let loopback = nix::net::if_::if_nametoindex("lo").expect("each namespace has one");
        let mut meter = Meter::new(Counting::open().expect("anybody may ask"), 2, at(1_000));
        assert_eq!((meter.due(), meter.is_nearly_due(at(9_000))), (Instant::NEVER, false), "no device yet");
        meter.set_link(LINE, Some(loopback));
        meter.set_every(LINE, Some(EVERY), at(1_000));
        let times = (0..40).map(|turn| at(1_000 + turn * 95)).filter(|now| {
            assert!(meter.due() > *now || *now == at(1_000), "nobody was woken for it");
            meter.is_nearly_due(*now) && meter.read(*now).iter().any(|reading| reading.watched)
        });
        assert_eq!(times.count(), 20, "every other turn");
        meter.set_every(LINE, None, at(5_000));
        assert!(meter.due() <= at(5_000));
        meter.read(meter.due());
        assert!(meter.due() >= at(9_000), "for figures only");
    }

    #[test]
    fn many_are_read_in_several_turns() {
        let loopback = nix::net::if_::if_nametoindex("lo").expect("each namespace has one");
        let mut meter = Meter::new(Counting::open().expect("anybody may ask"), AT_ONCE + 2, at(1_000));
        for uplink in (0u8..).map(UplinkId).take(AT_ONCE + 2) {
            meter.set_link(uplink, Some(loopback));
        }
        assert_eq!(meter.read(at(1_000)).len(), AT_ONCE);
        assert_eq!(meter.due(), at(1_000), "the rest at once");
        assert_eq!(meter.read(at(1_000)).len(), 2);
        assert_eq!(meter.due(), at(6_000));
    }
}
