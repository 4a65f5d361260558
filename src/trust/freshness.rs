//! Questions to head office that only a live answer fits: random nonces, kept on the boot-time clock, so that no wall
//! clock is needed to know that an answer is new.

use std::time::Duration;

use super::document::Nonce;
use super::refusal::Refusal;
use crate::time::Instant;

/// A held request and its successor, each through two ways, are four.
pub const OUTSTANDING_MOST: usize = 4;
/// Longer than any held request (300 s) with its retries.
pub const VALID_FOR: Duration = Duration::from_mins(20);
/// Without a proof for so long, somebody may be keeping news from us.
pub const ALARM_AFTER: Duration = Duration::from_hours(24);

#[derive(Clone, Debug)]
pub struct Nonces {
    /// Oldest first.
    outstanding: Vec<(Nonce, Instant)>,
    started: Instant,
    proved: Option<Instant>,
}

impl Nonces {
    pub fn new(now: Instant) -> Self {
        Self { outstanding: Vec::new(), started: now, proved: None }
    }

    /// Remembers a fresh random nonce that goes out now. The oldest gives way: the latest question always counts.
    pub fn issue(&mut self, nonce: Nonce, now: Instant) {
        self.outstanding.retain(|(known, at)| *known != nonce && now.since(*at) < VALID_FOR);
        if self.outstanding.len() == OUTSTANDING_MOST {
            self.outstanding.remove(0);
        }
        self.outstanding.push((nonce, now));
    }

    /// Whether an answer with this nonce may count. Changes nothing, so that a forged answer uses up no question.
    pub fn check(&self, nonce: &Nonce, now: Instant) -> Result<(), Refusal> {
        let (_, at) = self.outstanding.iter().find(|(known, _)| known == nonce).ok_or(Refusal::UnknownNonce)?;
        if now.since(*at) < VALID_FOR { Ok(()) } else { Err(Refusal::ExpiredNonce) }
    }

    /// A verified answer came: the nonce is used up.
    pub fn redeem(&mut self, nonce: &Nonce, now: Instant) {
        self.outstanding.retain(|(known, _)| known != nonce);
        self.proved = Some(now);
    }

    /// Time since the last proof, or since the start if there was none.
    pub fn age(&self, now: Instant) -> Duration {
        now.since(self.proved.unwrap_or(self.started))
    }

    pub fn is_stale(&self, now: Instant) -> bool {
        self.age(now) >= ALARM_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_counts_once_and_for_20_minutes() {
        let start = Instant::ORIGIN;
        let mut nonces = Nonces::new(start);
        nonces.issue([1; 16], start);
        assert_eq!(nonces.check(&[2; 16], start), Err(Refusal::UnknownNonce));
        assert_eq!(nonces.check(&[1; 16], start + VALID_FOR), Err(Refusal::ExpiredNonce));
        assert_eq!(nonces.check(&[1; 16], start + VALID_FOR - Duration::from_secs(1)), Ok(()));
        nonces.redeem(&[1; 16], start);
        assert_eq!(nonces.check(&[1; 16], start), Err(Refusal::UnknownNonce));
    }

    #[test]
    fn at_most_four_are_outstanding_and_the_oldest_gives_way() {
        let mut nonces = Nonces::new(Instant::ORIGIN);
        for number in 1..=5 {
            nonces.issue([number; 16], Instant::ORIGIN);
        }
        assert_eq!(nonces.check(&[1; 16], Instant::ORIGIN), Err(Refusal::UnknownNonce));
        assert_eq!(nonces.check(&[2; 16], Instant::ORIGIN), Ok(()));
        assert_eq!(nonces.outstanding.len(), OUTSTANDING_MOST);
    }

    #[test]
    fn silence_of_a_day_is_stale() {
        let mut nonces = Nonces::new(Instant::ORIGIN);
        assert!(!nonces.is_stale(Instant::ORIGIN + Duration::from_hours(23)));
        assert!(nonces.is_stale(Instant::ORIGIN + ALARM_AFTER));
        nonces.redeem(&[1; 16], Instant::ORIGIN + ALARM_AFTER);
        assert!(!nonces.is_stale(Instant::ORIGIN + ALARM_AFTER));
    }
}
