//! The task that reads packet counters, as often as the engine wants for each uplink.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::config::model::UplinkId;
use crate::kernel::netlink::{Counters, Netlink};

/// Bytes of lines that nobody watches: often enough for a graph and a plan.
const SLOW: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// The kernel's number of the device.
    Link {
        uplink: UplinkId,
        index: Option<u32>,
    },
    Every {
        uplink: UplinkId,
        every: Option<Duration>,
    },
}

#[derive(Debug)]
pub(super) struct Reading {
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

pub(super) async fn read(
    netlink: Netlink,
    uplinks: usize,
    mut orders: mpsc::Receiver<Order>,
    readings: mpsc::Sender<Reading>,
) {
    let mut slots: Vec<Slot> = (0..uplinks).map(|_| Slot { index: None, every: None, due: Instant::now() }).collect();
    loop {
        let due = slots.iter().filter(|slot| slot.index.is_some()).map(|slot| slot.due).min();
        let timer = sleep_until(due.unwrap_or_else(|| Instant::now() + SLOW));
        // Safe to cancel: an order that was not received stays in the channel.
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Link { uplink, index }) => slots[uplink.index()].index = index,
                Some(Order::Every { uplink, every }) => {
                    let slot = &mut slots[uplink.index()];
                    slot.every = every;
                    slot.due = slot.due.min(Instant::now() + every.unwrap_or(SLOW));
                }
                None => return,
            },
            () = timer => {}
        }
        for (uplink, slot) in (0u8..).map(UplinkId).zip(&mut slots) {
            let Some(index) = slot.index.filter(|_| slot.due <= Instant::now()) else { continue };
            slot.due = Instant::now() + slot.every.unwrap_or(SLOW);
            // A device that is gone is told of by other means.
            if let Ok(counters) = netlink.counters(index).await {
                let reading = Reading { uplink, counters, watched: slot.every.is_some() };
                if readings.send(reading).await.is_err() {
                    return;
                }
            }
        }
    }
}
