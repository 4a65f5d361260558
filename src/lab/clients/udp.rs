//! A steady UDP flow from a LAN host to an echo server and back, every packet accounted for.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Workers, lock};
use crate::lab::clock;
use crate::lab::error::{Doing as _, LabError};
use crate::lab::netns::Namespace;
use crate::time::Instant;

#[derive(Debug)]
pub struct Flow {
    record: Arc<Mutex<Record>>,
    _workers: Workers,
}

impl Flow {
    /// Sends `rate` packets a second from `host`, from a port of its own, until dropped.
    pub fn start(host: &Namespace, server: SocketAddr, rate: u32) -> Result<Self, LabError> {
        let any: std::net::IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
        let socket = host.enter(|| {
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(server)?;
            socket.set_read_timeout(Some(STOP_WITHIN))?;
            Ok::<_, std::io::Error>(socket)
        })?;
        let socket = Arc::new(socket.doing(|| format!("open a flow from {} to {server}", host.name()))?);
        let record = Arc::new(Mutex::new(Record::default()));
        let mut workers = Workers::default();

        let (stop, out, sent) = (Arc::clone(&workers.stop), Arc::clone(&socket), Arc::clone(&record));
        let interval = Duration::from_secs(1) / rate.max(1);
        workers.threads.push(host.spawn("udp-out", move || {
            let _ = nix::sys::prctl::set_timerslack(1_000);
            let mut due = clock::now();
            let mut number: u32 = 0;
            while !Workers::stopped(&stop) {
                clock::sleep_until(due);
                due = due + interval;
                lock(&sent).packets.push(Packet { sent: clock::now(), back: None });
                let _ = out.send(&packet(number)); // no route is a loss like any other
                number += 1;
            }
        })?);

        let (stop, received) = (Arc::clone(&workers.stop), Arc::clone(&record));
        workers.threads.push(host.spawn("udp-in", move || {
            let mut buffer = [0; SIZE];
            while !Workers::stopped(&stop) {
                let Ok(length) = socket.recv(&mut buffer) else { continue };
                let now = clock::now();
                if let Some(number) = number(&buffer[..length]) {
                    let mut record = lock(&received);
                    if let Some(packet) = record.packets.get_mut(number) {
                        packet.back.get_or_insert(now);
                    }
                }
            }
        })?);
        Ok(Self { record, _workers: workers })
    }

    /// What is known now. Packets of the last moments may still be under way.
    pub fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// Whether packets come back now: one of the last 50 ms, at 1 kHz, did.
    pub fn alive(&self) -> bool {
        lock(&self.record).packets.iter().rev().take(500).any(|packet| packet.back.is_some())
    }
}

/// As a voice packet (G.711, 20 ms).
const SIZE: usize = 172;
const STOP_WITHIN: Duration = Duration::from_millis(100);

fn packet(number: u32) -> [u8; SIZE] {
    let mut packet = [0; SIZE];
    packet[..4].copy_from_slice(&number.to_be_bytes());
    packet
}

fn number(packet: &[u8]) -> Option<usize> {
    let number = u32::from_be_bytes(*packet.first_chunk()?);
    usize::try_from(number).ok()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub sent: Instant,
    pub back: Option<Instant>,
}

/// All packets of a flow, in the order they were sent.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub packets: Vec<Packet>,
}

impl Record {
    /// A stretch of the flow is bad when it loses more than a tenth.
    const STRETCH: Duration = Duration::from_millis(100);
    const BAD_SHARE: f64 = 0.1;

    /// Whether something sent at `moment` or later came back: what was sent before it is then back, or lost.
    pub fn settled(&self, moment: Instant) -> bool {
        self.packets.iter().rev().take_while(|packet| packet.sent >= moment).any(|packet| packet.back.is_some())
    }

    /// How long after `fault` the flow was steady: from then to `until` no 100 ms of it lost more than a tenth. `None`:
    /// still not steady. The last lost packet of the last bad stretch counts, so this never flatters.
    pub fn steady_after(&self, fault: Instant, until: Instant) -> Option<Duration> {
        let packets = self.between(fault, until);
        let (mut begin, mut lost, mut last_bad) = (0, 0, None);
        for (index, packet) in packets.iter().enumerate() {
            lost += usize::from(packet.back.is_none());
            while packet.sent.since(packets[begin].sent) >= Self::STRETCH {
                lost -= usize::from(packets[begin].back.is_none());
                begin += 1;
            }
            let share = lost as f64 / (index + 1 - begin) as f64;
            // The first packets after the fault have no stretch of their own yet.
            let begun = begin > 0 || packet.sent.since(fault) >= Self::STRETCH.mul_f64(0.9);
            if begun && share > Self::BAD_SHARE {
                last_bad = packets[begin..=index].iter().rposition(|packet| packet.back.is_none()).map(|at| begin + at);
            }
        }
        match last_bad {
            None => Some(self.short_gap(fault, packets)),
            Some(index) if until.since(packets[index].sent) < Self::STRETCH => None,
            Some(index) => packets.get(index + 1).map(|next| next.sent.since(fault)),
        }
    }

    /// Losses too few for a bad stretch right at the fault still say how long it took: up to the last one in the first
    /// stretch.
    fn short_gap(&self, fault: Instant, packets: &[Packet]) -> Duration {
        let first = packets.iter().take_while(|packet| packet.sent.since(fault) < Self::STRETCH);
        first.filter(|packet| packet.back.is_none()).last().map_or(Duration::ZERO, |last| last.sent.since(fault))
    }

    pub fn lost(&self, from: Instant, until: Instant) -> usize {
        self.between(from, until).iter().filter(|packet| packet.back.is_none()).count()
    }

    pub fn sent(&self, from: Instant, until: Instant) -> usize {
        self.between(from, until).len()
    }

    /// The longest time without a packet that came back, by the time they were sent.
    pub fn longest_gap(&self, from: Instant, until: Instant) -> Duration {
        let mut longest = Duration::ZERO;
        let mut last = from;
        for packet in self.between(from, until).iter().filter(|packet| packet.back.is_some()) {
            longest = longest.max(packet.sent.since(last));
            last = packet.sent;
        }
        longest.max(until.since(last))
    }

    /// When the first reply that never came was due: by the round trip of the packet before it.
    pub fn first_missed(&self, from: Instant, until: Instant) -> Option<Instant> {
        let begin = self.packets.partition_point(|packet| packet.sent < from);
        let index = begin + self.between(from, until).iter().position(|packet| packet.back.is_none())?;
        let trip = self.packets[..index].iter().rev().find_map(|packet| Some(packet.back?.since(packet.sent)))?;
        Some(self.packets[index].sent + trip)
    }

    fn between(&self, from: Instant, until: Instant) -> &[Packet] {
        let begin = self.packets.partition_point(|packet| packet.sent < from);
        let end = self.packets.partition_point(|packet| packet.sent < until);
        &self.packets[begin..end.max(begin)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_nanos(milliseconds * 1_000_000)
    }

    /// One packet a millisecond for two seconds.
    fn record(lost: impl Fn(u64) -> bool) -> Record {
        let packets = (0..2000).map(|ms| Packet { sent: at(ms), back: (!lost(ms)).then(|| at(ms + 5)) });
        Record { packets: packets.collect() }
    }

    #[test]
    fn an_outage_is_as_long_as_its_losses() {
        let outage = record(|ms| (500..720).contains(&ms));
        assert_eq!(outage.steady_after(at(500), at(1900)), Some(Duration::from_millis(220)));
        assert_eq!(outage.lost(at(500), at(1900)), 220);
        assert_eq!(outage.first_missed(at(500), at(1900)), Some(at(505)));
        assert_eq!(outage.longest_gap(at(400), at(1900)), Duration::from_millis(221));
    }

    #[test]
    fn a_few_losses_are_steady_and_a_brown_out_is_not() {
        assert_eq!(record(|ms| ms % 20 == 0).steady_after(at(500), at(1900)), Some(Duration::from_millis(80)));
        assert_eq!(record(|_| false).steady_after(at(500), at(1900)), Some(Duration::ZERO));
        let brown_out = record(|ms| ms >= 500 && ms % 2 == 0);
        assert_eq!(brown_out.steady_after(at(500), at(1899)), None, "losses to the very end");
        let healed = record(|ms| (500..900).contains(&ms) && ms % 2 == 0);
        assert_eq!(healed.steady_after(at(500), at(1900)), Some(Duration::from_millis(399)));
    }

    #[test]
    fn a_gap_shorter_than_a_stretch_counts_in_full() {
        let short = record(|ms| (500..508).contains(&ms));
        assert_eq!(short.steady_after(at(500), at(1900)), Some(Duration::from_millis(7)));
        let longer = record(|ms| (500..540).contains(&ms));
        assert_eq!(longer.steady_after(at(500), at(1900)), Some(Duration::from_millis(40)));
    }
}
