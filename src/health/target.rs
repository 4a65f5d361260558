//! One target as one line sees it.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::model::{Check, Host, Target, well_known_targets};
use crate::probe::Outcome;
use crate::probe::rtt::Rtt;
use crate::time::Instant;

/// So many silent probes in a row, or so much loss, and the target no longer raises suspicion by itself.
const MUTED_AFTER: u32 = 3;
const MUTED_LOSS: f32 = 0.3;
/// So many answers in a row that were none (a reset, a hijacker's address) and that service is gone.
const REFUSED_AFTER: u32 = 3;
/// A portal says so with each page.
const PORTAL_AFTER: u32 = 2;
/// Silence of one service while all else answers: at 5 % loss each way eight in a row happen once in 10⁸.
const SERVICE_SILENT_AFTER: u32 = 8;
/// Smoothing of a target's own loss over some 16 probes.
const LOSS_SHARE: f32 = 1.0 / 16.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Icmp,
    Tcp,
    Dns,
    Page,
}

#[derive(Clone, Debug)]
pub struct TargetHealth {
    pub kind: Kind,
    /// Echo replies come from here; `None`: from wherever the name was resolved to, which is checked there.
    address: Option<IpAddr>,
    pub rtt: Rtt,
    /// Everybody asks it (one of the well-known ones): not more than once a second.
    pub polite: bool,
    pub last_sent: Option<Instant>,
    pub last_reply: Option<Instant>,
    /// When the latest answered probe was sent.
    pub answered_up_to: Instant,
    /// Consecutive probes that ended silent.
    pub silent_in_row: u32,
    /// Consecutive probes that ended in anything but a reply.
    pub failed_in_row: u32,
    /// Consecutive answers that were not the expected one.
    pub wrong_in_row: u32,
    /// When the first of those that failed in a row was sent.
    pub failing_since: Option<Instant>,
    /// Another line got an answer to what it asked after that: the target is well.
    refuted: Option<Instant>,
    /// Probes sent after that answer which failed all the same, and when the last of them was sent.
    failed_after: (u32, Instant),
    /// So many of them were followed by one more answer elsewhere: it did not die in between.
    failed_while_well: u32,
    pub last_outcome: Option<Outcome>,
    /// Smoothed loss of this target alone.
    pub loss: f32,
    /// Silent on every line at once: at fault itself, left out.
    pub suspect: bool,
}

impl TargetHealth {
    pub fn new(target: &Target) -> Self {
        let kind = match &target.check {
            Check::Icmp { .. } => Kind::Icmp,
            Check::Tcp { .. } => Kind::Tcp,
            Check::Dns { .. } => Kind::Dns,
            Check::Http { .. } => Kind::Page,
        };
        let address = match &target.check {
            Check::Icmp { host: Host::Address(address) } => Some(*address),
            Check::Icmp { host: Host::Name(_) } | Check::Tcp { .. } | Check::Dns { .. } | Check::Http { .. } => None,
        };
        Self {
            kind,
            address,
            rtt: Rtt::default(),
            polite: is_well_known(target),
            last_sent: None,
            last_reply: None,
            answered_up_to: Instant::ORIGIN,
            silent_in_row: 0,
            failed_in_row: 0,
            wrong_in_row: 0,
            failing_since: None,
            refuted: None,
            failed_after: (0, Instant::ORIGIN),
            failed_while_well: 0,
            last_outcome: None,
            loss: 0.0,
            suspect: false,
        }
    }

    /// May an echo reply from this address answer a probe to this target?
    pub fn answers_from(&self, from: IpAddr) -> bool {
        self.kind == Kind::Icmp && self.address.is_none_or(|address| address == from)
    }

    pub fn handle_reply(&mut self, sent: Instant, rtt: Option<Duration>, now: Instant) {
        if let Some(rtt) = rtt {
            self.rtt.handle_sample(rtt);
        }
        self.last_reply = Some(now);
        self.answered_up_to = self.answered_up_to.max(sent);
        self.forget_failures();
        self.loss -= self.loss * LOSS_SHARE;
    }

    pub fn handle_silent(&mut self, sent: Instant) {
        self.loss += (1.0 - self.loss) * LOSS_SHARE;
        // Silence is settled late. What was sent after this probe has been answered: no row goes on.
        if sent < self.answered_up_to {
            return;
        }
        self.silent_in_row = self.silent_in_row.saturating_add(1);
        self.wrong_in_row = 0;
        self.handle_failure(sent);
    }

    /// Something answered, but not the service that was asked for.
    pub fn handle_failed(&mut self, sent: Instant) {
        self.silent_in_row = 0;
        self.wrong_in_row = self.wrong_in_row.saturating_add(1);
        self.handle_failure(sent);
    }

    fn handle_failure(&mut self, sent: Instant) {
        self.failed_in_row = self.failed_in_row.saturating_add(1);
        self.failing_since = Some(self.failing_since.map_or(sent, |first| first.min(sent)));
        if self.refuted.is_some_and(|answered| sent >= answered) {
            let (count, last) = self.failed_after;
            self.failed_after = (count.saturating_add(1), last.max(sent));
        }
    }

    /// The newest answer on a line where it does not fail: asked at `sent`, answered at `received`. `None`: it fails on
    /// all of them, or is not asked.
    pub fn handle_elsewhere(&mut self, newest: Option<(Instant, Instant)>) {
        let Some((sent, received)) = newest else {
            self.refuted = None;
            self.failed_after = (0, Instant::ORIGIN);
            self.failed_while_well = 0;
            return;
        };
        if self.refuted.is_none() && self.failing_since.is_some_and(|first| sent >= first) {
            self.refuted = Some(received);
        }
        if sent >= self.failed_after.1 {
            self.failed_while_well = self.failed_after.0;
        }
    }

    /// What another line must have asked since, for its answer to tell something new.
    pub fn compare_since(&self) -> Option<Instant> {
        self.failing_since.map(|first| first.max(self.failed_after.1))
    }

    /// What failed while the whole line was silent says nothing about this target.
    pub fn forget_failures(&mut self) {
        self.silent_in_row = 0;
        self.failed_in_row = 0;
        self.wrong_in_row = 0;
        self.failing_since = None;
        self.refuted = None;
        self.failed_after = (0, Instant::ORIGIN);
        self.failed_while_well = 0;
    }

    /// It failed so often in a row that this is no accident.
    pub fn has_failed(&self) -> bool {
        self.is_wrong() || self.failed_in_row >= SERVICE_SILENT_AFTER
    }

    /// It fails here while another line is answered: the target is well, this line is not.
    pub fn fails_only_here(&self) -> bool {
        let most = if self.is_wrong() { 1 } else { SERVICE_SILENT_AFTER };
        self.failed_while_well >= most
    }

    fn is_wrong(&self) -> bool {
        self.wrong_in_row >= if self.kind == Kind::Page { PORTAL_AFTER } else { REFUSED_AFTER }
    }

    /// Is it bad enough to be in ill repute, if others are better?
    pub fn is_poor(&self) -> bool {
        self.silent_in_row >= MUTED_AFTER || self.loss > MUTED_LOSS
    }
}

fn is_well_known(target: &Target) -> bool {
    let host = |check: &Check| match check {
        Check::Icmp { host: Host::Address(address) } | Check::Tcp { host: Host::Address(address), .. } => {
            Some(*address)
        }
        Check::Dns { server, .. } => Some(server.ip()),
        Check::Icmp { .. } | Check::Tcp { .. } | Check::Http { .. } => None,
    };
    let asked = host(&target.check);
    asked.is_some() && well_known_targets().values().flatten().any(|check| host(check) == asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN + Duration::from_secs(seconds)
    }

    fn service() -> TargetHealth {
        let host = Host::Address(std::net::Ipv4Addr::new(192, 0, 2, 1).into());
        let family = crate::config::model::Family::V4;
        TargetHealth::new(&Target { family, check: Check::Tcp { host, port: 443 } })
    }

    #[test]
    fn silence_that_is_settled_late_is_no_row() {
        let mut target = service();
        for second in 1..40 {
            target.handle_reply(at(second * 2), Some(Duration::from_millis(20)), at(second * 2));
            // Every other probe is lost, and each is settled after a later one was answered.
            target.handle_silent(at(second * 2 - 1));
        }
        assert_eq!((target.failed_in_row, target.silent_in_row), (0, 0));
        assert!(target.is_poor(), "but much was lost");
    }

    #[test]
    fn a_server_that_died_in_between_convicts_no_line() {
        let mut target = service();
        target.handle_silent(at(1));
        target.handle_elsewhere(Some((at(2), at(2))));
        for second in 3..20 {
            target.handle_silent(at(second));
        }
        assert!(target.has_failed() && !target.fails_only_here(), "nobody was answered since");
        target.handle_elsewhere(None);
        target.handle_elsewhere(Some((at(21), at(21))));
        assert!(!target.fails_only_here(), "it was gone for the others, too, and is back");
    }

    #[test]
    fn a_service_that_fails_only_here_is_gone() {
        let mut target = service();
        for second in 1..20 {
            target.handle_silent(at(second));
            target.handle_elsewhere(Some((at(second), at(second))));
        }
        assert!(target.has_failed() && target.fails_only_here());
    }
}
