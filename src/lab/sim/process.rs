//! Our own process as the machine treats it: stopped, paused with the machine, starved, killed, deaf for a while.

use std::time::Duration;

use crate::time::Instant;

/// 5 % of a core, as a CPU quota gives it: 5 ms in each 100.
const PERIOD: u64 = 100_000_000;
const SHARE: u64 = 5_000_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    stopped_until: Instant,
    loses: bool,
    poll_first: bool,
    dead: bool,
    starved: bool,
    /// Counts starts.
    pub life: u32,
    /// Messages of the kernel wait for a dump until then.
    pub deaf_until: Instant,
    /// The last disturbance of our own was over then; bounds count from here.
    pub calm_since: Instant,
    /// Last start.
    pub started: Instant,
}

impl Process {
    pub(super) fn is_alive(&self) -> bool {
        !self.dead
    }

    pub(super) fn is_starved(&self) -> bool {
        self.starved
    }

    /// What arrives now is lost with the machine.
    pub(super) fn loses_at(&self, now: Instant) -> bool {
        self.loses && now < self.stopped_until
    }

    /// The first instant from `at` on at which our code runs.
    pub(super) fn runs_at(&self, at: Instant) -> Instant {
        let at = at.max(self.stopped_until);
        if self.starved { its_share(at) } else { at }
    }

    pub(super) fn stop(&mut self, lasts: Duration, loses: bool, poll_first: bool, now: Instant) {
        self.stopped_until = self.stopped_until.max(now + lasts);
        self.loses = loses;
        self.poll_first = poll_first;
        self.disturb(self.stopped_until);
    }

    pub(super) fn starve(&mut self, starved: bool, now: Instant) {
        self.starved = starved;
        self.disturb(now);
    }

    pub(super) fn kill(&mut self) {
        self.dead = true;
    }

    pub(super) fn start(&mut self, settled: Instant, now: Instant) {
        self.dead = false;
        self.life += 1;
        self.started = now;
        self.disturb(settled);
    }

    pub(super) fn deafen(&mut self, lasts: Duration, now: Instant) {
        self.deaf_until = self.deaf_until.max(now + lasts);
        self.disturb(self.deaf_until);
    }

    pub(super) fn disturb(&mut self, until: Instant) {
        self.calm_since = self.calm_since.max(until);
    }

    /// After a stop time may be handled before what arrived meanwhile.
    pub(super) fn take_poll_first(&mut self) -> bool {
        std::mem::take(&mut self.poll_first)
    }
}

/// Apart, because it divides and hardly any run needs it.
#[cold]
fn its_share(at: Instant) -> Instant {
    if at.nanos() % PERIOD < SHARE {
        return at;
    }
    Instant::from_nanos((at.nanos() / PERIOD).saturating_add(1).saturating_mul(PERIOD))
}
