//! One target as one line sees it.

use std::time::Duration;

use crate::config::model::{Check, Host, Target, well_known_targets};
use crate::probe::Outcome;
use crate::probe::rtt::Rtt;
use crate::time::Instant;

/// So many silent probes in a row and the target no longer raises suspicion by itself; it still counts in the quorum.
pub(crate) const MUTED_AFTER: u32 = 3;
/// So many failed checks in a row of each target of a kind (dns, tcp, page) and that service is gone.
pub(crate) const KIND_FAILED_AFTER: u32 = 3;
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
    /// Consecutive wrong answers.
    pub wrong_in_row: u32,
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
        Self {
            kind,
            rtt: Rtt::default(),
            polite: is_well_known(target),
            last_sent: None,
            last_reply: None,
            answered_up_to: Instant::ORIGIN,
            silent_in_row: 0,
            failed_in_row: 0,
            wrong_in_row: 0,
            last_outcome: None,
            loss: 0.0,
            suspect: false,
        }
    }

    pub fn handle_reply(&mut self, sent: Instant, rtt: Option<Duration>, now: Instant) {
        if let Some(rtt) = rtt {
            self.rtt.handle_sample(rtt);
        }
        self.last_reply = Some(now);
        self.answered_up_to = self.answered_up_to.max(sent);
        self.silent_in_row = 0;
        self.failed_in_row = 0;
        self.wrong_in_row = 0;
        self.loss -= self.loss * LOSS_SHARE;
    }

    pub fn handle_silent(&mut self) {
        self.silent_in_row = self.silent_in_row.saturating_add(1);
        self.failed_in_row = self.failed_in_row.saturating_add(1);
        self.wrong_in_row = 0;
        self.loss += (1.0 - self.loss) * LOSS_SHARE;
    }

    /// Something answered, but not the service that was asked for.
    pub fn handle_failed(&mut self, wrong: bool) {
        self.silent_in_row = 0;
        self.failed_in_row = self.failed_in_row.saturating_add(1);
        self.wrong_in_row = if wrong { self.wrong_in_row.saturating_add(1) } else { 0 };
    }

    /// A target that often stays silent while others answer must not start a burst each time.
    pub fn is_muted(&self) -> bool {
        self.silent_in_row >= MUTED_AFTER || self.loss > 0.3
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
