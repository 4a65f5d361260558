//! Names in targets: resolved through the uplink that probes them, kept, refreshed. Sending never waits for it, and a
//! refresh that fails changes nothing: as long as the old addresses answer, a broken resolver is no outage.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::sink::Sink;
use super::{dns, socket};
use crate::config::model::{Family, LinkName, TargetId, UplinkId};
use crate::probe::Cookie;
use crate::probe::packet::dns::{Code, Question};
use crate::time::Instant;

/// Asked when nobody told us the provider's: two operators, both families.
pub const WELL_KNOWN: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)),
    IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9)),
    IpAddr::V6(Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111)),
    IpAddr::V6(Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe)),
];
/// More are not asked: with two seconds each, a round would last longer than the pause after it.
pub const RESOLVERS: usize = 4;

const DNS_PORT: u16 = 53;
/// Load balancers answer with seconds; asking so often helps no probe.
const TTL_LEAST: Duration = Duration::from_secs(60);
/// A target that moved is found again within this time.
const TTL_MOST: Duration = Duration::from_secs(3_600);
/// After a failure, doubled up to [`TTL_LEAST`].
const RETRY: Duration = Duration::from_secs(1);
/// A resolver behind a satellite answers in time, and four silent ones take no longer than a person's patience.
const ONE_RESOLVER: Duration = Duration::from_secs(2);

pub(super) type Key = (UplinkId, TargetId);

/// What is known of each named target. Cloned into the task that refreshes it.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<BTreeMap<Key, Entry>>>);

#[derive(Clone, Copy)]
struct Entry {
    address: Option<IpAddr>,
    due: Instant,
    retry: Duration,
    asking: bool,
}

/// The address to probe now, and whether a refresh is due; who is told so must do it.
pub(super) struct Known {
    pub(super) address: Option<IpAddr>,
    pub(super) due: bool,
}

impl Names {
    pub(super) fn look_up(&self, key: Key, now: Instant) -> Known {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry =
            entries.entry(key).or_insert(Entry { address: None, due: Instant::ORIGIN, retry: RETRY, asking: false });
        let due = !entry.asking && entry.due <= now;
        entry.asking |= due;
        Known { address: entry.address, due }
    }

    /// Another source, another device, a portal in between: ask again at once, use what we have until then.
    pub(super) fn doubt(&self, uplink: UplinkId) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, entry) in entries.iter_mut().filter(|(key, _)| key.0 == uplink) {
            entry.due = Instant::ORIGIN;
            entry.retry = RETRY;
        }
    }

    /// An answer that was not the expected one may come from an address that a portal gave us; not asked about more
    /// often than [`RETRY`] allows.
    pub(super) fn doubt_target(&self, key: Key, now: Instant) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(&key) {
            entry.due = entry.due.min(now + entry.retry);
            entry.retry = (entry.retry * 2).min(TTL_LEAST);
        }
    }

    /// Keeps what is still asked for.
    pub(super) fn retain(&self, still: impl Fn(Key) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| still(*key));
    }

    pub(super) fn settle(&self, key: Key, found: Option<Found>, now: Instant) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = entries.get_mut(&key) else { return };
        entry.asking = false;
        match found {
            Some(found) => {
                // An address that is still in the answer is kept: one series of round-trip times, not one per server.
                if !entry.address.is_some_and(|known| found.addresses.contains(&known)) {
                    entry.address = found.addresses.first().copied();
                }
                entry.due = now + found.ttl.clamp(TTL_LEAST, TTL_MOST);
                entry.retry = RETRY;
            }
            None => {
                entry.due = now + entry.retry;
                entry.retry = (entry.retry * 2).min(TTL_LEAST);
            }
        }
    }
}

/// Addresses of the family that was asked for, never empty.
pub(super) struct Found {
    addresses: Vec<IpAddr>,
    ttl: Duration,
}

impl Found {
    pub(super) fn first(&self) -> Option<IpAddr> {
        self.addresses.first().copied()
    }
}

/// Asks one resolver after the other through the device.
pub(super) async fn resolve(
    device: &LinkName,
    name: &str,
    family: Family,
    resolvers: &[IpAddr],
    sink: &Sink,
) -> Option<Found> {
    for resolver in resolvers.iter().take(RESOLVERS) {
        let server = SocketAddr::new(*resolver, DNS_PORT);
        let asked = tokio::time::timeout(ONE_RESOLVER, ask(device, name, family, server, sink)).await;
        if let Ok(Some(found)) = asked {
            return Some(found);
        }
    }
    None
}

async fn ask(device: &LinkName, name: &str, family: Family, server: SocketAddr, sink: &Sink) -> Option<Found> {
    let mut cookie = Cookie([0; 16]);
    getrandom::fill(&mut cookie.0).ok()?;
    let question = Question::new(name, family, cookie).ok()?;
    let socket = socket::udp(device, server).ok()?;
    socket.send(question.bytes()).await.ok()?;
    // An ICMP error sends us on to the next resolver: a forged one costs a little time, no wrong address.
    let dns::Heard::Answer(answer) = dns::heard(&socket, &question, sink).await.ok()? else { return None };
    let addresses: Vec<_> = answer.usable(family).collect();
    let good = answer.code == Code::NoError && !addresses.is_empty();
    good.then(|| Found { addresses, ttl: Duration::from_secs(u64::from(answer.ttl)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = (UplinkId(0), TargetId(0));

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN + Duration::from_secs(1_000 + seconds)
    }

    fn found(last: &[u8], ttl: u64) -> Option<Found> {
        let addresses = last.iter().map(|last| IpAddr::from([192, 0, 2, *last])).collect();
        Some(Found { addresses, ttl: Duration::from_secs(ttl) })
    }

    #[test]
    fn only_one_asks_at_a_time() {
        let names = Names::default();
        assert!(names.look_up(KEY, at(0)).due);
        assert!(!names.look_up(KEY, at(0)).due);
        names.settle(KEY, found(&[1], 300), at(0));
        let known = names.look_up(KEY, at(299));
        assert!(!known.due);
        assert_eq!(known.address, Some(IpAddr::from([192, 0, 2, 1])));
        assert!(names.look_up(KEY, at(300)).due);
    }

    #[test]
    fn a_failing_refresh_keeps_the_address_and_asks_less_and_less_often() {
        let names = Names::default();
        let _ = names.look_up(KEY, at(0));
        names.settle(KEY, found(&[1], 0), at(0));
        assert!(!names.look_up(KEY, at(59)).due, "a lifetime of nothing is raised to a minute");
        let mut now = 60;
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let known = names.look_up(KEY, at(now));
            assert!(known.due, "after {now} s");
            assert_eq!(known.address, Some(IpAddr::from([192, 0, 2, 1])));
            names.settle(KEY, None, at(now));
            assert!(!names.look_up(KEY, at(now + pause - 1)).due, "{pause} s after a failure");
            now += pause;
        }
    }

    #[test]
    fn an_address_that_is_still_good_is_kept() {
        let names = Names::default();
        let _ = names.look_up(KEY, at(0));
        names.settle(KEY, found(&[1, 2], 7_200), at(0));
        assert!(names.look_up(KEY, at(3_600)).due, "a lifetime is cut to an hour");
        names.settle(KEY, found(&[2, 1], 60), at(3_600));
        assert_eq!(names.look_up(KEY, at(3_601)).address, Some(IpAddr::from([192, 0, 2, 1])));
        names.doubt(UplinkId(0));
        assert!(names.look_up(KEY, at(3_602)).due);
        names.settle(KEY, found(&[3], 60), at(3_602));
        assert_eq!(names.look_up(KEY, at(3_603)).address, Some(IpAddr::from([192, 0, 2, 3])));
    }
}
