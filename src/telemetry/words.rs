//! Figures and evidence in words: the same ones on the screen, in the journal and in `events`.

use crate::control::status::Evidence;
use crate::health::{Cause, Verdict};

/// What took long enough to matter to a packet: `9 ms`, `0.38 s`, `12 s`.
pub(crate) fn fast(ms: u64) -> String {
    match ms {
        0..100 => format!("{ms} ms"),
        100..10_000 => format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10),
        _ => long(ms),
    }
}

/// What a person waits for, cut to one unit: `12 s`, `33 min`, `5 h`, `2 d`.
pub(crate) fn long(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

pub(crate) fn bytes(bytes: u64) -> String {
    let tenths = |unit: u64, name: &str| {
        let tenths = bytes / (unit / 10);
        if tenths.is_multiple_of(10) {
            format!("{} {name}", tenths / 10)
        } else {
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    };
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => tenths(1_000, "kB"),
        1_000_000..1_000_000_000 => tenths(1_000_000, "MB"),
        _ => tenths(1_000_000_000, "GB"),
    }
}

/// `0%`, `0.4%`, `22%`. A small loss is not shown as none, nor a large one as all.
pub(crate) fn percent(ratio: f32) -> String {
    let percent = ratio * 100.0;
    if percent > 0.0 && percent < 1.0 {
        format!("{:.1}%", percent.max(0.1))
    } else if percent > 99.0 && percent < 100.0 {
        "99%".to_owned()
    } else {
        format!("{percent:.0}%")
    }
}

/// An RTT or jitter: `0.4 ms`, `61 ms`.
pub(crate) fn millis(ms: f32) -> String {
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// What was seen, where it broke: `3 of 3 targets silent 0.38 s; cable in; gateway answers`.
pub(crate) fn evidence(evidence: &Evidence) -> String {
    let seen = match evidence.verdict {
        Some(Verdict::Silent) => Some(silence(evidence)),
        Some(Verdict::Loss) => Some(match (evidence.loss, evidence.burst_answered, evidence.burst_settled) {
            (_, Some(answered), Some(settled)) => format!("only {answered} of {settled} probes answered"),
            (Some(loss), _, _) => format!("{} lost", percent(loss)),
            (None, _, _) => "too much is lost".to_owned(),
        }),
        Some(Verdict::Wrong) => Some(
            match evidence.cause {
                Some(Cause::Portal) => "answers come from a portal, not from the internet",
                Some(Cause::Dns) => "DNS answers are wrong",
                Some(Cause::Tcp) => "connections are answered by the wrong end",
                Some(Cause::Cable | Cause::Modem | Cause::Address | Cause::Gateway | Cause::Path) | None => {
                    "answers are not the expected ones"
                }
            }
            .to_owned(),
        ),
        Some(Verdict::Local) => None,
        None => quality(evidence),
    };
    let place = evidence.verdict.map(|_| place(evidence));
    [seen, place].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// The three things between us and the provider, up to the first that is missing.
pub(crate) fn place(evidence: &Evidence) -> String {
    if !evidence.carrier {
        return "no signal on the cable".to_owned();
    }
    if !evidence.address {
        return "cable in; no address".to_owned();
    }
    if !evidence.gateway {
        return "cable in; no gateway".to_owned();
    }
    match evidence.gateway_answers {
        Some(true) => "cable in; gateway answers".to_owned(),
        Some(false) => "cable in; gateway silent".to_owned(),
        None => "cable in".to_owned(),
    }
}

fn silence(evidence: &Evidence) -> String {
    let silent = evidence.silent_targets.len();
    let for_time = evidence.silent_ms.map(|ms| format!(" {}", fast(ms))).unwrap_or_default();
    format!("{silent} of {} targets silent{for_time}", evidence.targets)
}

fn quality(evidence: &Evidence) -> Option<String> {
    let loss = evidence.loss.map(|loss| format!("loss {}", percent(loss)));
    let rtt = evidence.rtt_ms.map(|rtt| format!("RTT {}", millis(rtt)));
    let jitter = evidence.jitter_ms.map(|jitter| format!("jitter {}", millis(jitter)));
    let parts: Vec<_> = [loss, rtt, jitter].into_iter().flatten().collect();
    if parts.is_empty() { None } else { Some(parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_never_rounded_up() {
        assert_eq!([9, 99, 380, 9_999].map(fast), ["9 ms", "99 ms", "0.38 s", "9.99 s"]);
        assert_eq!([59_999, 60_000, 7_200_000, 172_800_000].map(long), ["59 s", "1 min", "2 h", "2 d"]);
    }

    #[test]
    fn a_little_loss_is_not_shown_as_none_nor_a_lot_as_all() {
        assert_eq!([0.0, 0.0001, 0.004, 0.2, 0.999, 1.0].map(percent), ["0%", "0.1%", "0.4%", "20%", "99%", "100%"]);
    }

    #[test]
    fn bytes_have_at_most_one_decimal() {
        assert_eq!([999, 1_000, 1_240_000_000, 10_000_000_000].map(bytes), ["999 B", "1 kB", "1.2 GB", "10 GB"]);
    }

    #[test]
    fn the_place_is_the_first_thing_that_is_missing() {
        let mut seen = Evidence { verdict: Some(Verdict::Local), cause: Some(Cause::Cable), ..Evidence::default() };
        assert_eq!(evidence(&seen), "no signal on the cable");
        seen.carrier = true;
        assert_eq!(evidence(&seen), "cable in; no address");
        seen.address = true;
        assert_eq!(evidence(&seen), "cable in; no gateway");
    }
}
