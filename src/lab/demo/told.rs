//! The demo's words: at most 80 columns, nothing measured here.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::lab::print::Style;
use crate::lab::scenario::expect::Facts;
use crate::lab::units::show;
use crate::time::Instant;

#[derive(Clone, Debug)]
pub(super) struct Promise {
    pub(super) what: String,
    pub(super) measured: String,
    pub(super) kept: bool,
}

impl Promise {
    pub(super) fn within(what: String, measured: Option<Duration>, limit: Duration) -> Self {
        let kept = measured.is_some_and(|time| time <= limit);
        Self { what, measured: measured.map_or_else(|| "never".to_owned(), show), kept }
    }
}

pub(super) fn opening(style: Style) -> String {
    let picture = "
   call ----------.                  .-- line A, fibre, provider A --.
   card terminal -+                  |                               |
   waiting till --+-- LAN -- gateway +                               +- internet
   download ------'                  '-- line B, cable, provider B --'
";
    format!("{}{picture}\n", style.head("Causeway: a shop with two internet lines"))
}

pub(super) fn branch(took: Duration) -> String {
    format!(
        "   Everything is real but the cables: the gateway's daemon, the kernel's routing,\n   \
         NAT and firewall, and far servers behind a firewall that answers no stranger.\n   \
         Built in namespaces of its own, ready and in use after {}.\n",
        show(took)
    )
}

pub(super) fn calm(facts: &[(String, Facts)], from: Instant, until: Instant) -> String {
    let lines = facts.iter().map(|(name, facts)| match facts {
        Facts::Udp(record) => {
            let (sent, lost) = (record.sent(from, until), record.lost(from, until));
            format!("   {name:<14} {sent} packets there and back, {lost} lost\n")
        }
        Facts::Tcp(record) => {
            let bytes = record.bytes(from, until) / 1000;
            format!("   {name:<14} one session, {bytes} kB received\n")
        }
    });
    lines.collect()
}

/// What was seen from outside and what the daemon said between two instants, one line each; IPv4 stands for both
/// families.
pub(super) fn timeline(
    events: &[Value],
    seen: &[(Instant, String)],
    from: Instant,
    until: Instant,
    style: Style,
) -> String {
    let told = events.iter().filter_map(|event| {
        let at = event["boot_ms"].as_u64()?;
        let message = event["message"].as_str()?;
        let within = at >= from.millis() && at <= until.millis() && !message.contains("ipv6");
        within.then(|| (at - from.millis(), message.replace(" (ipv4)", "")))
    });
    let seen = seen.iter().map(|(at, what)| (at.since(from).as_millis().try_into().unwrap_or(u64::MAX), what.clone()));
    let mut entries: Vec<(u64, String)> = seen.chain(told).collect();
    entries.sort_by_key(|(at, _)| *at);
    entries.dedup();
    let lines = entries.into_iter().map(|(at, message)| {
        let at = format!("t+{:<8}", show(Duration::from_millis(at)).replace(".0 ms", " ms"));
        wrapped(&style.dim(&at), &message)
    });
    lines.collect()
}

/// `label`, then `text` wrapped beside it.
fn wrapped(label: &str, text: &str) -> String {
    const INDENT: usize = 15;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always one");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > 80 - INDENT {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    format!("   {label}  {}\n", lines.join(&format!("\n{}", " ".repeat(INDENT))))
}

/// What each client saw of an outage.
pub(super) fn clients(facts: &[(String, Facts)], fault: Instant, until: Instant) -> String {
    let lines = facts.iter().map(|(name, facts)| match facts {
        Facts::Udp(record) => {
            let steady = record.steady_after(fault, until).map_or_else(|| "never".to_owned(), show);
            let lost = record.lost(fault, until);
            format!("   {name:<14} steady again after {steady}, {lost} packets lost\n")
        }
        Facts::Tcp(record) => {
            let told = record
                .told_after(fault)
                .map_or_else(|| "was not told".to_owned(), |t| format!("told after {}", show(t)));
            let back = record
                .back_after(fault)
                .map_or_else(|| "not back".to_owned(), |t| format!("works again after {}", show(t)));
            format!("   {name:<14} {told}, {back}\n")
        }
    });
    format!("\n{}", lines.collect::<String>())
}

/// The lines of `/metrics` that tell the story.
pub(super) fn metrics(page: &str) -> String {
    const TELLING: [&str; 4] = [
        "causeway_failovers_total",
        "causeway_uplink_outages_total",
        "causeway_uplink_flows_reset_total",
        "causeway_uplink_nudges_total",
    ];
    let telling =
        page.lines().filter(|line| TELLING.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0"));
    let lines: String = telling.take(8).map(|line| format!("   {line}\n")).collect();
    if lines.is_empty() { "   (nothing to read)\n".to_owned() } else { lines }
}

pub(super) fn promises(promises: &[Promise], style: Style) -> String {
    let lines = promises.iter().map(|promise| {
        let mark = if promise.kept { style.good("kept") } else { style.bad("BROKEN") };
        format!("   {:<50}{:>16}  {mark}\n", promise.what, promise.measured)
    });
    lines.collect()
}

/// The body of a plain HTTP answer, or what there is of it.
pub(super) fn fetch(server: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer); // a time-out leaves what came before it
    let answer = String::from_utf8_lossy(&answer);
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_wrap_at_80_columns() {
        let text = wrapped("t+12 ms   ", &"a rather long word chain ".repeat(8));
        assert!(text.lines().count() > 2);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        let picture = opening(Style::plain());
        assert!(picture.lines().all(|line| line.len() <= 80), "{picture}");
    }

    #[test]
    fn a_timeline_shows_what_was_told_in_time() {
        let event = |boot_ms: u64, message: &str| serde_json::json!({ "boot_ms": boot_ms, "message": message });
        let events = [event(5, "before"), event(130, "a (ipv4) up → down"), event(131, "a (ipv6) up → down")];
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let seen = [(at(100), "silence".to_owned())];
        let text = timeline(&events, &seen, at(100), at(900), Style::plain());
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("t+30 ms") && text.contains("a up → down"), "{text}");
    }
}
