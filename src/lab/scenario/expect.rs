//! Judges a step: each expectation becomes a finding with the measured figure, kept or not.

use std::time::Duration;

use super::file::Expect;
use crate::lab::clients::tcp;
use crate::lab::clients::udp;
use crate::lab::units::{Time, show};
use crate::time::Instant;

/// One expectation and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub what: String,
    pub measured: String,
    pub kept: bool,
}

/// A client's record at the end of a step.
#[derive(Debug)]
pub enum Facts {
    Udp(udp::Record),
    Tcp(tcp::Record),
}

/// Which uplink new flows took, whenever that changed.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    pub changes: Vec<(Instant, Option<String>)>,
}

impl Watched {
    /// When `uplink` was first in use at or after `from` and stayed so to the end.
    pub fn settled_on(&self, uplink: &str, from: Instant) -> Option<Duration> {
        let (at, last) = self.changes.last()?;
        (last.as_deref() == Some(uplink)).then(|| at.since(from))
    }

    pub fn switches(&self, from: Instant) -> usize {
        let counted = self.changes.iter().skip(1).filter(|(at, uplink)| *at >= from && uplink.is_some());
        counted.count()
    }
}

/// Everything a step is judged by.
#[derive(Debug)]
pub struct Observed {
    pub fault: Instant,
    /// Packets sent after this may still be under way.
    pub until: Instant,
    pub clients: Vec<(String, Facts)>,
    pub watched: Watched,
    pub active_ipv6: Option<String>,
    pub repaired: Option<Duration>,
    /// `(uplink, state, cause)`.
    pub told: Vec<(String, Option<String>, Option<String>)>,
    pub events: Vec<String>,
    pub bytes: Vec<(String, u64)>,
}

impl Expect {
    pub fn judge(&self, seen: &Observed) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, facts) in &seen.clients {
            if self.flows.as_ref().is_none_or(|flows| flows.contains(name)) {
                self.judge_client(name, facts, seen, &mut findings);
            }
            if self.undisturbed.contains(name) {
                findings.push(undisturbed(name, facts, seen));
            }
        }
        self.judge_routes(seen, &mut findings);
        self.judge_words(seen, &mut findings);
        findings
    }

    fn judge_client(&self, name: &str, facts: &Facts, seen: &Observed, findings: &mut Vec<Finding>) {
        match facts {
            Facts::Udp(record) => {
                if let Some(limit) = self.steady_within {
                    let steady = record.steady_after(seen.fault, seen.until);
                    findings.push(within(format!("{name} steady"), steady, limit));
                }
                if let Some(most) = self.lost_at_most {
                    let lost = record.lost(seen.fault, seen.until);
                    let sent = record.sent(seen.fault, seen.until);
                    findings.push(Finding {
                        what: format!("{name} loses at most {most}"),
                        measured: format!("{lost} of {sent}"),
                        kept: lost <= most && sent > 0,
                    });
                }
            }
            Facts::Tcp(record) => {
                if let Some(limit) = self.told_within {
                    let told = record.told_after(seen.fault);
                    findings.push(within(format!("{name} is told"), told, limit));
                }
                if self.kept {
                    let ended = record.ended(seen.fault, seen.until);
                    let (what, measured) = (format!("{name} goes on"), format!("{ended} ended"));
                    findings.push(Finding { what, measured, kept: ended == 0 });
                }
            }
        }
    }

    fn judge_routes(&self, seen: &Observed, findings: &mut Vec<Finding>) {
        if let Some(uplink) = &self.active {
            let last = seen.watched.changes.last().and_then(|(_, uplink)| uplink.clone());
            let settled = seen.watched.settled_on(uplink, seen.fault);
            match self.active_within {
                Some(limit) => findings.push(within(format!("new flows take {uplink}"), settled, limit)),
                None => findings.push(same(format!("new flows take {uplink}"), last.as_deref(), uplink)),
            }
        }
        if let Some(uplink) = &self.active_ipv6 {
            findings.push(same(format!("new IPv6 flows take {uplink}"), seen.active_ipv6.as_deref(), uplink));
        }
        let most = if self.no_failover { Some(0) } else { self.switches_at_most };
        if let Some(most) = most {
            let switches = seen.watched.switches(seen.fault);
            let what = if most == 0 { "no failover".to_owned() } else { format!("at most {most} switches") };
            findings.push(Finding { what, measured: format!("{switches} seen"), kept: switches <= most });
        }
        if let Some(limit) = self.repaired_within {
            findings.push(within("kernel state repaired".to_owned(), seen.repaired, limit));
        }
    }

    fn judge_words(&self, seen: &Observed, findings: &mut Vec<Finding>) {
        for (uplink, wanted) in &self.state {
            let told = seen.told.iter().find(|(name, _, _)| name == uplink).and_then(|(_, state, _)| state.as_deref());
            findings.push(same(format!("{uplink} is {wanted}"), told, wanted));
        }
        for (uplink, wanted) in &self.cause {
            let told = seen.told.iter().find(|(name, _, _)| name == uplink).and_then(|(_, _, cause)| cause.as_deref());
            findings.push(same(format!("cause at {uplink} is {wanted}"), told, wanted));
        }
        if let Some(kind) = &self.event {
            let told = seen.events.iter().find(|event| *event == kind).map(String::as_str);
            findings.push(same(format!("event {kind}"), told, kind));
        }
        for (line, most) in &self.bytes_at_most {
            let passed = seen.bytes.iter().find(|(name, _)| name == line).map_or(0, |(_, bytes)| *bytes);
            let (what, measured) = (format!("{line} carries at most {} bytes", most.0), passed.to_string());
            findings.push(Finding { what, measured, kept: passed <= most.0 });
        }
    }
}

fn undisturbed(name: &str, facts: &Facts, seen: &Observed) -> Finding {
    let (disturbed, measured) = match facts {
        Facts::Udp(record) => {
            let lost = record.lost(seen.fault, seen.until);
            (lost, format!("{lost} lost"))
        }
        Facts::Tcp(record) => {
            let ended = record.ended(seen.fault, seen.until);
            (ended, format!("{ended} ended"))
        }
    };
    Finding { what: format!("{name} undisturbed"), measured, kept: disturbed == 0 }
}

fn within(what: String, measured: Option<Duration>, limit: Time) -> Finding {
    Finding {
        what: format!("{what} within {}", show(limit.0)),
        measured: measured.map_or_else(|| "never".to_owned(), show),
        kept: measured.is_some_and(|time| time <= limit.0),
    }
}

fn same(what: String, measured: Option<&str>, wanted: &str) -> Finding {
    Finding { what, measured: measured.unwrap_or("nothing").to_owned(), kept: measured == Some(wanted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_expectation_gives_a_finding() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let packets = (0..1000).map(|ms| udp::Packet { sent: at(ms), back: (ms >= 200).then(|| at(ms + 5)) });
        let seen = Observed {
            fault: at(0),
            until: at(1000),
            clients: vec![("call".to_owned(), Facts::Udp(udp::Record { packets: packets.collect() }))],
            watched: Watched { changes: vec![(at(0), Some("a".to_owned())), (at(190), Some("b".to_owned()))] },
            active_ipv6: None,
            repaired: None,
            told: vec![("a".to_owned(), Some("down".to_owned()), None)],
            events: Vec::new(),
            bytes: vec![("b".to_owned(), 10)],
        };
        let expect: Expect = toml::from_str(
            r#"
            steady_within = "150ms"
            active = "b"
            active_within = "200ms"
            no_failover = true
            state = { a = "down" }
            undisturbed = ["call"]
            "#,
        )
        .expect("good expectations");
        let findings = expect.judge(&seen);
        let kept: Vec<bool> = findings.iter().map(|finding| finding.kept).collect();
        assert_eq!(kept, [false, false, true, false, true], "{findings:#?}");
        assert_eq!(findings[0].measured, "200 ms");
    }
}
