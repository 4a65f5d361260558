//! One line of one family as it truly is: what a probe sent now will meet. The engine never sees this; the checker does,
//! so that verdicts can be held against the truth.

use std::time::Duration;

use super::random::Random;
use crate::config::model::Medium;
use crate::time::Instant;

/// What is wrong with a line. One at a time; loss of up to 5 % and slowness come on top and are no fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    Good,
    /// Nothing gets through in either direction, carrier and address stay.
    Silent,
    NoWayOut,
    NoWayIn,
    /// So much is lost, each packet by itself.
    BrownOut(f64),
    /// Loss in bursts (Gilbert–Elliott): mean lengths of the good and the bad spells.
    Bursts {
        good: Duration,
        bad: Duration,
    },
    NoCarrier,
    NoAddress,
    NoGateway,
    /// A captive portal: packets pass, pages are not the expected ones.
    Portal,
    /// Names are not resolved, or resolved by somebody else.
    NoDns {
        hijacked: bool,
    },
    /// Each TCP connection is reset.
    NoTcp,
}

/// How bad a fault is, which decides how fast it must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Local,
    Silent,
    Loss,
    Portal,
    Dns,
    Tcp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    /// Works; nobody may call it down.
    Good,
    /// Neither good nor surely bad: any verdict is fair.
    Grey,
    Bad(Kind),
}

/// Loss that counts as brown-out beyond doubt; below it, down to [`FAIR_LOSS`], any verdict is fair.
const SURE_LOSS: f64 = 0.58;
/// Random loss, each way, that must disturb nobody.
pub(super) const FAIR_LOSS: f64 = 0.05;
/// Latency, as a multiple of the usual one, that must disturb nobody.
pub(super) const FAIR_SLOW: f64 = 10.0;

#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub condition: Condition,
    pub base: Duration,
    pub jitter: Duration,
    /// Random loss in each direction.
    pub loss: f64,
    /// Round-trip times are multiplied by this.
    pub slow: f64,
    /// Last change of [`Self::truth`].
    pub since: Instant,
    /// When it was last slow beyond its usual self.
    pub slow_until: Instant,
    /// The fault before this one and when it ended.
    pub last_fault: Option<(Kind, Instant)>,
    /// A fault of any kind was there until.
    pub faulty_until: Instant,
    /// Gilbert–Elliott: in a bad spell, until when.
    spell: (bool, Instant),
    /// Which kinds of service check are configured; a fault that no check can see has no truth.
    pub checks: Checks,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Checks {
    pub page: bool,
    pub dns: bool,
    pub tcp: bool,
}

impl Wire {
    pub(super) fn new(medium: Medium, checks: Checks, random: &mut Random, now: Instant) -> Self {
        // Usual first hops; tenfold they stay within what the profile's `degraded` limit for RTT is meant for.
        let (least, most) = match medium {
            Medium::Fibre | Medium::Leased => (1.0, 12.0),
            Medium::Cable | Medium::Dsl => (6.0, 40.0),
            Medium::Lte | Medium::FiveG | Medium::Satellite => (30.0, 75.0),
        };
        let base = Duration::from_secs_f64(random.range(least, most) / 1_000.0);
        Self {
            condition: Condition::Good,
            base,
            jitter: base.mul_f64(random.range(0.02, 0.3)),
            loss: 0.0,
            slow: 1.0,
            since: now,
            slow_until: Instant::ORIGIN,
            last_fault: None,
            faulty_until: Instant::ORIGIN,
            spell: (false, now),
            checks,
        }
    }

    pub(super) fn truth(&self) -> Truth {
        let seen = |sees: bool, kind| if sees { Truth::Bad(kind) } else { Truth::Grey };
        match self.condition {
            Condition::Good if self.loss <= FAIR_LOSS && self.slow <= FAIR_SLOW => Truth::Good,
            Condition::Good | Condition::Bursts { .. } => Truth::Grey,
            Condition::Silent | Condition::NoWayOut | Condition::NoWayIn => Truth::Bad(Kind::Silent),
            Condition::BrownOut(loss) => seen(loss >= SURE_LOSS, Kind::Loss),
            Condition::NoCarrier | Condition::NoAddress | Condition::NoGateway => Truth::Bad(Kind::Local),
            Condition::Portal => seen(self.checks.page, Kind::Portal),
            Condition::NoDns { .. } => seen(self.checks.dns, Kind::Dns),
            Condition::NoTcp => seen(self.checks.tcp, Kind::Tcp),
        }
    }

    /// Good for at least so long.
    pub(super) fn is_good_for(&self, time: Duration, now: Instant) -> bool {
        self.truth() == Truth::Good && now.since(self.since) >= time
    }

    pub(super) fn change(&mut self, condition: Condition, now: Instant) {
        self.alter(now, |wire| wire.condition = condition);
    }

    pub(super) fn set_loss(&mut self, loss: f64, now: Instant) {
        self.alter(now, |wire| wire.loss = loss);
    }

    pub(super) fn set_slow(&mut self, slow: f64, now: Instant) {
        if self.slow > 1.0 {
            self.slow_until = now;
        }
        self.alter(now, |wire| wire.slow = slow);
    }

    fn alter(&mut self, now: Instant, act: impl FnOnce(&mut Self)) {
        let before = self.truth();
        if let Truth::Bad(kind) = before {
            self.last_fault = Some((kind, now));
        }
        if before != Truth::Good {
            self.faulty_until = now;
        }
        act(self);
        if self.truth() != before {
            self.since = now;
        }
    }

    pub(super) fn has_carrier(&self) -> bool {
        self.condition != Condition::NoCarrier
    }

    /// Device, address and gateway are there.
    pub(super) fn is_local(&self) -> bool {
        !matches!(self.condition, Condition::NoCarrier | Condition::NoAddress | Condition::NoGateway)
    }

    pub(super) fn passes_out(&mut self, random: &mut Random, now: Instant) -> bool {
        match self.condition {
            Condition::Silent
            | Condition::NoWayOut
            | Condition::NoCarrier
            | Condition::NoAddress
            | Condition::NoGateway => false,
            Condition::BrownOut(loss) => !random.chance(loss),
            Condition::Bursts { good, bad } => !self.in_bad_spell(good, bad, random, now),
            Condition::Good | Condition::NoWayIn | Condition::Portal | Condition::NoDns { .. } | Condition::NoTcp => {
                !random.chance(self.loss)
            }
        }
    }

    pub(super) fn passes_in(&mut self, random: &mut Random, now: Instant) -> bool {
        match self.condition {
            Condition::Silent
            | Condition::NoWayIn
            | Condition::NoCarrier
            | Condition::NoAddress
            | Condition::NoGateway => false,
            Condition::Bursts { good, bad } => !self.in_bad_spell(good, bad, random, now),
            Condition::Good
            | Condition::NoWayOut
            | Condition::BrownOut(_)
            | Condition::Portal
            | Condition::NoDns { .. }
            | Condition::NoTcp => !random.chance(self.loss),
        }
    }

    pub(super) fn rtt(&self, random: &mut Random) -> Duration {
        let chance = random.unit();
        // Most close to the base, few far above it.
        let jitter = times(self.jitter, chance * chance * chance * 4.0);
        // A full queue delays all alike; it does not multiply what varies by itself.
        if self.slow > 1.0 { times(self.base, self.slow) + jitter * 3 } else { self.base + jitter }
    }

    /// The part of forwarded packets that is answered.
    pub(super) fn answered_part(&self) -> f64 {
        match self.condition {
            Condition::Silent
            | Condition::NoWayOut
            | Condition::NoWayIn
            | Condition::NoCarrier
            | Condition::NoAddress
            | Condition::NoGateway => 0.0,
            Condition::BrownOut(loss) => 1.0 - loss,
            Condition::Bursts { .. } if self.spell.0 => 0.0,
            Condition::Good
            | Condition::Bursts { .. }
            | Condition::Portal
            | Condition::NoDns { .. }
            | Condition::NoTcp => 1.0 - self.loss,
        }
    }

    fn in_bad_spell(&mut self, good: Duration, bad: Duration, random: &mut Random, now: Instant) -> bool {
        while self.spell.1 <= now {
            let next = !self.spell.0;
            let mean = if next { bad } else { good };
            // After a long pause without probes the spells in between do not matter.
            self.spell = (next, self.spell.1.max(now - Duration::from_secs(60)) + random.wait(mean));
        }
        self.spell.0
    }
}

/// `mul_f64` is exact for centuries, which takes its time; a round trip is short.
fn times(time: Duration, factor: f64) -> Duration {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "nanoseconds of some seconds")]
    let nanos = (f64::from(time.subsec_nanos()) * factor) as u64;
    Duration::from_nanos(nanos)
}
