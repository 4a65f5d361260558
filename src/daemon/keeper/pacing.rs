//! When head office is asked again after an answer that is none: longer and longer with jitter, and not before the server
//! says that it wants to be asked.

use std::time::Duration;

use super::errands::Fetched;
use crate::backoff::{Backoff, part};

/// What a server may ask for: a box that stays away for longer could miss the end of an outage by a working day.
const RETRY_AFTER_MOST: Duration = Duration::from_hours(1);
/// Of that, so that all who were told the same do not come at once.
const SPREAD: u32 = 4;

/// Wanted beside an answer's body (RFC 9110, §10.2.3).
pub(super) const RETRY_AFTER: &str = "retry-after";

#[derive(Debug, Default)]
pub(super) struct Pacing(Backoff);

impl Pacing {
    /// The server refused, or has too much to do.
    pub(super) fn after(&mut self, fetched: &Fetched, random: u64) -> Duration {
        let own = self.0.next(random);
        // Seconds; a date would need a clock that is right.
        let told = fetched.header(RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        match told.map(|told| told.min(RETRY_AFTER_MOST)) {
            Some(told) => own.max(told + part(told / SPREAD, random)),
            None => own,
        }
    }

    pub(super) fn good(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::{LEAST, MOST};

    fn refused(retry_after: Option<&str>) -> Fetched {
        let headers = retry_after.map(|text| (RETRY_AFTER.to_owned(), text.to_owned()));
        Fetched { status: 503, headers: headers.into_iter().collect(), body: Vec::new() }
    }

    #[test]
    fn waits_grow_within_their_bounds_and_begin_anew() {
        let mut pacing = Pacing::default();
        let waits: Vec<Duration> = (0..20_u64).map(|n| pacing.after(&refused(None), n << 40 | 0xfff_ffff)).collect();
        assert!(waits.iter().all(|wait| (LEAST..=MOST).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait > LEAST * 3), "{waits:?}");
        pacing.good();
        assert!(pacing.after(&refused(None), u64::MAX) <= LEAST * 3);
    }

    #[test]
    fn what_the_server_asks_for_is_obeyed_spread_out_and_bounded() {
        let after = |text, random| Pacing::default().after(&refused(Some(text)), random);
        let told = Duration::from_secs(600);
        assert_eq!(after("600", 0), told);
        assert!((0..1_000).map(|n| after("600", n * 7_919)).all(|wait| (told..=told + told / 4).contains(&wait)));
        assert!(after("99999999999", 0) == RETRY_AFTER_MOST);
        for none in ["0", "soon", "-1", "Fri, 31 Dec 1999 23:59:59 GMT", ""] {
            assert!((LEAST..=LEAST * 3).contains(&after(none, 77)), "{none}");
        }
    }
}
