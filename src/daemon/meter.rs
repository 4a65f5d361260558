//! The task that reads packet counters, as often as the engine wants for each uplink.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::alarm::Alarm;
use super::clock;
use crate::config::model::UplinkId;
use crate::kernel::netlink::counters::{Counters, Counting};
use crate::time::Instant;

/// Bytes of lines that nobody watches: often enough for a graph and a plan.
const SLOW: Duration = Duration::from_secs(5);

/// A reading may be early by this part of its period.
const EARLY: u32 = 4;

#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// The kernel's number of the device.
    Link {
        uplink: UplinkId,
        index: Option<u32>,
    },
    /// Another config: nothing is known of its uplinks yet.
    Restart {
        uplinks: usize,
        generation: u32,
    },
    Every {
        uplink: UplinkId,
        every: Option<Duration>,
    },
}

#[derive(Debug)]
pub(super) struct Reading {
    /// Of the last [`Order::Restart`]; an older reading names uplinks of another config.
    pub generation: u32,
    pub uplink: UplinkId,
    pub counters: Counters,
    /// The engine asked for it; else it is for figures only.
    pub watched: bool,
}

struct Slot {
    index: Option<u32>,
    every: Option<Duration>,
    due: Instant,
}

/// `awake`: probes have just left, so what is nearly due is read now; a line that is probed ten times a second wakes nobody
/// for its counters.
pub(super) async fn read(
    mut counting: Counting,
    mut alarm: Alarm,
    uplinks: usize,
    mut orders: mpsc::Receiver<Order>,
    readings: mpsc::Sender<Reading>,
    awake: Arc<Notify>,
) {
    let fresh = |uplinks| (0..uplinks).map(|_| Slot { index: None, every: None, due: clock::now() }).collect();
    let mut slots: Vec<Slot> = fresh(uplinks);
    let mut current = 0;
    loop {
        let due = slots.iter().filter(|slot| slot.index.is_some()).map(|slot| slot.due).min();
        let mut early = false;
        // Safe to cancel: an order that was not received stays in the channel, a notice that was not taken stays, too.
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Restart { uplinks, generation }) => {
                    slots = fresh(uplinks);
                    current = generation;
                }
                Some(Order::Link { uplink, index }) => slots[uplink.index()].index = index,
                Some(Order::Every { uplink, every }) => {
                    let slot = &mut slots[uplink.index()];
                    slot.every = every;
                    slot.due = slot.due.min(clock::now() + every.unwrap_or(SLOW));
                }
                None => return,
            },
            () = awake.notified() => early = true,
            () = alarm.until(due.unwrap_or(Instant::NEVER)) => {}
        }
        let now = clock::now();
        if !early && due.is_none_or(|due| now < due) {
            continue;
        }
        for (uplink, slot) in (0u8..).map(UplinkId).zip(&mut slots) {
            // What is nearly due is read with the rest: a processor that is awake already is cheaper than one to wake.
            let every = slot.every.unwrap_or(SLOW);
            let Some(index) = slot.index.filter(|_| slot.due <= now + every / EARLY) else { continue };
            slot.due = now + every;
            // A device that is gone is told of by other means.
            if let Ok(counters) = counting.read(index) {
                let reading = Reading { generation: current, uplink, counters, watched: slot.every.is_some() };
                if readings.send(reading).await.is_err() {
                    return;
                }
            }
        }
    }
}
