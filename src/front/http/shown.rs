//! The pages for people, made at most once a second for everybody who asks, and what was known when the daemon last
//! answered.

use std::collections::BTreeMap;
use std::path::Path;

use hyper::body::Bytes;
use jiff::tz::TimeZone;
use tokio::time::{Instant, timeout};

use super::{FRESH, PATIENCE};
use crate::control::io::ask;
use crate::control::protocol::{Reply, Request as Ask};
use crate::control::status::Status;
use crate::front::Options;
use crate::front::page::facts::{Facts, Known};
use crate::front::page::messages::Language;
use crate::front::page::{it, staff};
use crate::telemetry::events::EventLine;

/// A day, and the hour by which the longest one is longer.
const EVENTS_SINCE_MS: u64 = 25 * 3_600_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    /// The config's language, or the one that was chosen; with a link to the technician's page.
    Staff(Option<Language>, bool),
    Technician,
}

#[derive(Debug)]
pub(super) struct Shown {
    made: Option<Instant>,
    facts: Facts,
    /// Of the branch; kept while the daemon does not answer.
    language: Language,
    pages: BTreeMap<Wanted, Bytes>,
}

impl Shown {
    pub(super) fn new() -> Self {
        Self {
            made: None,
            facts: Facts::of(None, Vec::new(), None, TimeZone::UTC),
            language: Language::En,
            pages: BTreeMap::new(),
        }
    }

    pub(super) async fn page(&mut self, wanted: Wanted, options: &Options) -> Bytes {
        if self.made.is_none_or(|made| made.elapsed() >= FRESH) {
            let last = self.facts.known();
            self.renew(asked(&options.socket).await, last);
        }
        let Self { facts, language, pages, .. } = self;
        let page = pages.entry(wanted).or_insert_with(|| {
            Bytes::from(match wanted {
                Wanted::Staff(chosen, details) => staff::page(facts, chosen.unwrap_or(*language), details),
                Wanted::Technician => {
                    let why = facts.status.as_ref().map(|status| (options.why)(status, &facts.zone));
                    it::page(facts, &why.unwrap_or_default())
                }
            })
        });
        page.clone()
    }

    fn renew(&mut self, answer: Option<(Status, Vec<EventLine>)>, last: Option<Known>) {
        let mut zone = self.facts.zone.clone();
        let (status, events) = answer.map_or((None, Vec::new()), |(status, events)| (Some(status), events));
        if let Some(config) = status.as_ref().map(|status| &status.config) {
            // Read from the system's database; a name that it does not know was refused with the config.
            let named = config.timezone.as_deref().and_then(|name| TimeZone::get(name).ok());
            zone = named.unwrap_or_else(TimeZone::system);
            self.language = config.language.as_deref().and_then(Language::of).unwrap_or(Language::En);
        }
        self.facts = Facts::of(status, events, last, zone);
        self.pages.clear();
        self.made = Some(Instant::now());
    }
}

/// Both or nothing: without the events today would look better than it was.
async fn asked(socket: &Path) -> Option<(Status, Vec<EventLine>)> {
    let both = async {
        let Ok(Reply::Status(status)) = ask(socket, &Ask::Status, PATIENCE).await else { return None };
        let request = Ask::Events { since_ms: Some(EVENTS_SINCE_MS), follow: false };
        let Ok(Reply::Events(events)) = ask(socket, &request, PATIENCE).await else { return None };
        Some((*status, events))
    };
    // Safe to cancel: a question that nobody waits for.
    timeout(PATIENCE, both).await.ok().flatten()
}
