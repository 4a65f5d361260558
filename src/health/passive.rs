//! What the packet counters of a line say: traffic that goes out while nothing comes in starts a burst, traffic that comes
//! in is life. Neither is ever a verdict of down.

use std::time::Duration;

use super::deficit::Deficit;
use crate::time::Instant;

/// Fewer unanswered packets are an accident (a lone retransmission, a mDNS query).
const ENOUGH_SENT: u64 = 3;
/// So many in one reading are traffic. Fewer are it when the reading before had some, too: neighbours that ask for each other's
/// hardware address now and then (RFC 826, RFC 4861: a question and an answer of each family) are none.
const BRISK: u64 = 16;
/// Broadcasts of neighbours on the same segment are no answers: what came in counts when it is at least an eighth of what
/// went out.
const NOISE: u64 = 8;
/// So many readings in a row with answers make a conversation; when it breaks off that is silence from that moment on.
const CONVERSATION: u32 = 5;
/// A stream that never gets answers (a camera, syslog) must not cause a burst again and again: after a false alarm the
/// trigger rests this long, doubling up to the second value.
const REST: Duration = Duration::from_secs(1);
const REST_MOST: Duration = Duration::from_secs(64);

/// Packets of our own probing through one device, both families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    pub received: u64,
    pub sent: u64,
}

/// How long a trigger that was wrong says nothing.
#[derive(Clone, Debug, Default)]
struct Rest {
    length: Duration,
    until: Instant,
}

impl Rest {
    fn handle_false_alarm(&mut self, now: Instant) {
        self.length = (self.length * 2).clamp(REST, REST_MOST);
        self.until = now + self.length;
    }
}

/// Which trigger started a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Nothing comes in any more.
    Quiet,
    /// Less comes in than before.
    Deficit,
}

#[derive(Clone, Debug, Default)]
pub struct Passive {
    last: Option<(u64, u64)>,
    /// When packets last came in.
    grew: Option<Instant>,
    sent_since: u64,
    /// Readings in a row in which packets came in.
    streak: u32,
    /// The streak before the present silence was a conversation.
    broke_off: bool,
    received_since_reply: u64,
    sent_since_reply: u64,
    deficit: Deficit,
    /// Of each trigger, so that a line with odd traffic does not lose the other one.
    quiet_rest: Rest,
    deficit_rest: Rest,
    /// The last reading had packets of the branch.
    stirring: bool,
    moving: Option<Instant>,
}

impl Passive {
    /// `own`: our own probes and the replies to them since the last reading. They are no traffic of the branch. Each is
    /// counted by itself: a reply that is delayed or lost must not eat a packet that came in for the branch.
    pub fn handle_counters(&mut self, received: u64, sent: u64, own: Own, now: Instant) {
        let Some((received_before, sent_before)) = self.last.replace((received, sent)) else {
            self.grew = Some(now);
            return;
        };
        // A device that was replaced counts from zero again.
        let received = received.saturating_sub(received_before).saturating_sub(own.received);
        let sent = sent.saturating_sub(sent_before).saturating_sub(own.sent);
        self.deficit.handle_reading(received, sent, now);
        self.received_since_reply = self.received_since_reply.saturating_add(received);
        self.sent_since_reply = self.sent_since_reply.saturating_add(sent);
        let packets = received.saturating_add(sent);
        let stirring = packets >= ENOUGH_SENT;
        if packets >= BRISK || (stirring && self.stirring) {
            self.moving = Some(now);
        }
        self.stirring = stirring;
        if received > 0 && received.saturating_mul(NOISE) >= sent {
            self.grew = Some(now);
            self.sent_since = 0;
            self.streak = self.streak.saturating_add(1);
            self.broke_off = false;
        } else {
            // One that fell silent on both sides has ended, not broken off.
            self.broke_off = sent > 0 && (self.broke_off || self.streak >= CONVERSATION);
            self.streak = 0;
            self.sent_since = self.sent_since.saturating_add(sent);
        }
    }

    pub fn handle_probe_reply(&mut self) {
        self.received_since_reply = 0;
        self.sent_since_reply = 0;
    }

    /// A burst that this trigger started found the line alive.
    pub fn handle_false_alarm(&mut self, trigger: Trigger, now: Instant) {
        match trigger {
            Trigger::Quiet => {
                self.quiet_rest.handle_false_alarm(now);
                self.sent_since = 0;
            }
            Trigger::Deficit => {
                self.deficit_rest.handle_false_alarm(now);
                self.deficit.forgive();
            }
        }
    }

    pub fn handle_outage(&mut self) {
        self.quiet_rest = Rest::default();
        self.deficit_rest = Rest::default();
    }

    pub fn forget(&mut self) {
        let (quiet_rest, deficit_rest) = (self.quiet_rest.clone(), self.deficit_rest.clone());
        *self = Self { quiet_rest, deficit_rest, ..Self::default() };
    }

    pub fn grew(&self) -> Option<Instant> {
        self.grew
    }

    pub fn sent_unanswered(&self) -> u64 {
        self.sent_since
    }

    /// Did the line carry traffic lately?
    pub fn is_moving(&self, now: Instant, within: Duration) -> bool {
        self.moving.is_some_and(|at| now < at + within)
    }

    /// Is there a reason to probe at once?
    pub fn trigger(&self, now: Instant, quiet_after: Duration) -> Option<Trigger> {
        let quiet = self.sent_since >= ENOUGH_SENT && self.grew.is_some_and(|grew| now.since(grew) >= quiet_after);
        if quiet && now >= self.quiet_rest.until {
            return Some(Trigger::Quiet);
        }
        (self.deficit.is_suspicious() && now >= self.deficit_rest.until).then_some(Trigger::Deficit)
    }

    /// A conversation broke off, and we go on talking: the silence counts from its last packet.
    pub fn is_broken_off(&self) -> bool {
        self.broke_off && self.sent_since >= ENOUGH_SENT
    }

    /// As much comes in as answers would be; a stream from outside goes on for a while when nothing of ours gets out.
    pub fn is_balanced(&self) -> bool {
        self.received_since_reply.saturating_mul(4) >= self.sent_since_reply
    }

    /// Forwarded traffic is answered although no probe is: then the probes' targets are the likelier fault.
    pub fn is_answered(&self) -> bool {
        self.received_since_reply >= 50 && self.received_since_reply.saturating_mul(4) >= self.sent_since_reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const QUIET: Duration = Duration::from_millis(150);

    fn at(ms: u64) -> Instant {
        Instant::ORIGIN + MS(ms)
    }

    #[test]
    fn sending_into_silence_is_quiet_after_a_while() {
        let mut passive = Passive::default();
        passive.handle_counters(0, 0, Own::default(), at(0));
        passive.handle_counters(10, 10, Own::default(), at(50));
        for ms in (100..=200).step_by(50) {
            passive.handle_counters(10, ms, Own::default(), at(ms));
        }
        assert_eq!(passive.trigger(at(200), QUIET), Some(Trigger::Quiet));
        assert_eq!(passive.trigger(at(190), QUIET), None);
    }

    #[test]
    fn an_idle_line_and_broadcast_noise_are_told_apart() {
        let mut passive = Passive::default();
        passive.handle_counters(0, 0, Own::default(), at(0));
        for ms in (50..2_000).step_by(50) {
            passive.handle_counters(0, 0, Own::default(), at(ms));
        }
        assert_eq!(passive.trigger(at(2_000), QUIET), None, "nothing was sent");
        for n in 1..10 {
            passive.handle_counters(n, n * 50, Own::default(), at(2_000 + n * 50));
        }
        assert_eq!(passive.trigger(at(2_450), QUIET), Some(Trigger::Quiet), "one stray packet against fifty is noise");
    }

    #[test]
    fn only_a_conversation_can_break_off() {
        let mut passive = Passive::default();
        passive.handle_counters(0, 0, Own::default(), at(0));
        for n in 1..=10 {
            passive.handle_counters(n * 20, n * 20, Own::default(), at(n * 20));
        }
        passive.handle_counters(200, 220, Own::default(), at(220));
        assert!(passive.is_broken_off());
        passive.handle_counters(220, 240, Own::default(), at(240));
        assert!(!passive.is_broken_off(), "it goes on");
        // A camera sends all the time and only probes are answered, one reading in five.
        for n in 13..100 {
            passive.handle_counters(220 + n / 5, n * 20, Own::default(), at(n * 20));
            assert!(!passive.is_broken_off());
        }
    }

    #[test]
    fn one_way_traffic_rests_the_trigger_longer_each_time() {
        let mut passive = Passive::default();
        passive.handle_counters(0, 0, Own::default(), at(0));
        passive.handle_counters(0, 100, Own::default(), at(500));
        assert_eq!(passive.trigger(at(500), QUIET), Some(Trigger::Quiet));
        passive.handle_false_alarm(Trigger::Quiet, at(500));
        passive.handle_counters(0, 200, Own::default(), at(1_000));
        assert_eq!(passive.trigger(at(1_000), QUIET), None);
        assert_eq!(passive.trigger(at(1_600), QUIET), Some(Trigger::Quiet));
        passive.handle_false_alarm(Trigger::Quiet, at(1_600));
        passive.handle_counters(0, 300, Own::default(), at(3_000));
        assert_eq!(passive.trigger(at(3_000), QUIET), None);
    }

    #[test]
    fn our_own_probes_are_no_traffic() {
        let mut passive = Passive::default();
        passive.handle_counters(0, 0, Own::default(), at(0));
        for n in 1..100 {
            passive.handle_counters(n * 5, n * 5, Own { received: 5, sent: 5 }, at(n * 250));
        }
        assert!(!passive.is_moving(at(24_750), MS(2_000)));
        assert!(!passive.is_broken_off());
    }

    #[test]
    fn neighbours_that_ask_for_an_address_are_no_traffic_and_a_call_is() {
        let mut passive = Passive::default();
        passive.handle_counters(0, 0, Own::default(), at(0));
        // Both families at once, a question and an answer of each.
        passive.handle_counters(4, 4, Own::default(), at(250));
        assert!(!passive.is_moving(at(250), MS(2_000)));
        passive.handle_counters(4, 4, Own::default(), at(500));
        passive.handle_counters(6, 6, Own::default(), at(750));
        assert!(!passive.is_moving(at(750), MS(2_000)));
        passive.handle_counters(8, 8, Own::default(), at(1_000));
        assert!(passive.is_moving(at(1_000), MS(2_000)), "slow, and goes on");
        passive.forget();
        passive.handle_counters(0, 0, Own::default(), at(9_000));
        passive.handle_counters(12, 12, Own::default(), at(9_250));
        assert!(passive.is_moving(at(9_250), MS(2_000)), "fifty packets a second each way");
    }

    #[test]
    fn probes_whose_replies_are_late_do_not_break_a_conversation_off() {
        let mut passive = Passive::default();
        passive.handle_counters(0, 0, Own::default(), at(0));
        for n in 1..20u64 {
            // Two packets each way for the branch; five probes leave and none is answered yet.
            passive.handle_counters(n * 2, n * 7, Own { received: 0, sent: 5 }, at(n * 50));
            assert!(!passive.is_broken_off());
        }
        assert_eq!(passive.grew(), Some(at(950)));
    }

    #[test]
    fn a_replaced_device_does_not_count_backwards() {
        let mut passive = Passive::default();
        passive.handle_counters(1_000, 1_000, Own::default(), at(0));
        passive.handle_counters(0, 0, Own::default(), at(50));
        assert_eq!(passive.sent_unanswered(), 0);
    }
}
