//! `causeway config why` and `config history`: what head office wants, what runs, what became of the last change.

use std::fmt::Write as _;

use super::View;
use crate::control::keeping::{ChecksState, ConfigState, OfficeState, Past, Released, Returned, Seen, WitnessState};
use crate::trust::machine::LOCAL_EPOCH;

/// Text of `config why`.
pub fn why(state: &ConfigState) -> String {
    let mut text = String::new();
    line(&mut text, &state.office.as_ref().map_or_else(|| alone(state), |office| headline(state, office)));
    if state.office.is_none() && state.state == "idle" && state.running.is_none() && state.drift.is_empty() {
        return text;
    }
    if let Some(last) = &state.last {
        line(&mut text, &returned(last, state));
    }
    if !state.evidence.is_empty() && (state.last.is_some() || is_under_way(&state.state)) {
        let moments = ["before", "in trial", "after the return"].into_iter();
        let picks: [fn(&WitnessState) -> Seen; 3] = [|it| it.before, |it| it.trial, |it| it.after];
        for (moment, pick) in moments.zip(picks) {
            if let Some(seen) = seen(&state.evidence, pick) {
                line(&mut text, &format!("  {moment}: {seen}"));
            }
        }
    }
    if let ChecksState { before: Some(before @ 1..), trial: Some(trial), .. } = state.checks
        && trial < before
    {
        line(&mut text, &format!("  of what must work here, {before} worked before and {trial} in the trial"));
    }
    for drift in &state.drift {
        line(&mut text, &format!("  somebody changed this gateway: {drift}"));
    }
    if let Some(refused) = &state.refused {
        line(&mut text, &format!("  last refused: {refused}"));
    }
    if let Some(previous) = &state.previous {
        line(&mut text, &format!("I would fall back to: {}", released(previous)));
    }
    line(&mut text, &format!("Waiting for: {}", waiting(state)));
    if let Some(office) = &state.office {
        line(&mut text, &told(office));
    }
    text
}

/// Text of `config history`: the oldest first.
pub fn history(state: &ConfigState, view: &View) -> String {
    let mut text = String::new();
    for past in &state.history {
        let Past { at, from, to, epoch, seq, reason, verdict } = past;
        let kind = if *epoch == Some(LOCAL_EPOCH) { "file" } else { "standard" };
        let what = seq.map_or_else(|| "config".to_owned(), |seq| format!("{kind} {seq}"));
        let mut said = format!("{}  {what}: {from} → {to}", view.at(*at));
        if let Some(reason) = reason {
            let _ = write!(said, ", {reason}");
        }
        if let Some(verdict) = verdict {
            let _ = write!(said, ", verdict {verdict}");
        }
        line(&mut text, &said);
    }
    if text.is_empty() {
        line(&mut text, "nothing changed since the daemon started");
    }
    text
}

/// Of a gateway without a head office.
fn alone(state: &ConfigState) -> String {
    let name = |released: &Option<Released>| {
        released.as_ref().map_or_else(|| "the file that it was started with".to_owned(), self::released)
    };
    let (running, wanted) = (name(&state.running), name(&state.wanted));
    match state.state.as_str() {
        "soak" => format!("NO HEAD OFFICE. This gateway runs {running}, new and still watched."),
        "fetched" | "ready" | "applying" => format!("ABOUT TO CHANGE to {wanted}; running {running}."),
        "trial" => format!("ON TRIAL: {running}."),
        "rolling_back" => format!("GOING BACK to {running}."),
        _ => format!("NO HEAD OFFICE. This gateway runs {running}."),
    }
}

fn headline(state: &ConfigState, office: &OfficeState) -> String {
    let name = |released: &Option<Released>| released.as_ref().map_or_else(|| "none".to_owned(), self::released);
    match (office.admission.as_str(), state.state.as_str()) {
        ("asking", _) => format!("NOT ENROLLED. Asking head office of {} for admission.", office.tenant),
        ("waiting", _) => format!("WAITING. Somebody at head office of {} has to approve this gateway.", office.tenant),
        (_, "idle") if state.wanted == state.running && state.running.is_some() => {
            format!("ON THE STANDARD: {}, site {}.", name(&state.running), office.site)
        }
        (_, "soak") => format!("ON THE STANDARD: {}, new and still watched.", name(&state.running)),
        (_, "fetched" | "ready") => {
            format!("ABOUT TO CHANGE to {}; running {}.", name(&state.wanted), name(&state.running))
        }
        (_, "applying" | "trial") => format!("ON TRIAL: {}.", name(&state.running)),
        (_, "rolling_back") => format!("GOING BACK to {}.", name(&state.running)),
        (_, _) => {
            format!("NOT ON THE STANDARD: wanted {}, running {}.", name(&state.wanted), name(&state.running))
        }
    }
}

fn returned(last: &Returned, state: &ConfigState) -> String {
    let lost: Vec<&str> = state
        .evidence
        .iter()
        .filter(|it| it.before.proved && it.trial.present && !it.trial.proved)
        .map(|it| it.uplink.as_str())
        .collect();
    let kind = if last.epoch == LOCAL_EPOCH { "file " } else { "" };
    let mut text = format!("  {kind}{} was not kept: {}", last.seq, last.reason);
    if last.reason == "no_path_proof_on_uplink" && !lost.is_empty() {
        let _ = write!(text, ": {}", lost.join(", "));
    }
    if last.tried_seconds > 0 {
        let _ = write!(text, ", after {} s of trial", last.tried_seconds);
    }
    match last.verdict.as_deref() {
        Some("config") => text.push_str("; verdict config: what was lost came back with the old config"),
        Some("external") => text.push_str("; verdict external: it is lost with the old config, too, so a line failed"),
        Some(other) => {
            let _ = write!(text, "; {other}");
        }
        None => text.push_str("; the verdict comes a minute after the return"),
    }
    text
}

/// `fibre proved, lte silent`; `None`: not measured.
fn seen(evidence: &[WitnessState], pick: fn(&WitnessState) -> Seen) -> Option<String> {
    let words = |seen: Seen| match (seen.proved, seen.targets) {
        (true, _) => "proved",
        (false, true) => "answers, not proved",
        (false, false) => "silent",
    };
    let parts: Vec<String> = evidence
        .iter()
        .map(|witness| (witness, pick(witness)))
        .filter(|(_, seen)| seen.present)
        .map(|(witness, seen)| format!("{} {}", witness.uplink, words(seen)))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn waiting(state: &ConfigState) -> String {
    match (state.state.as_str(), state.confirm_within_s) {
        ("quarantine", _) if state.last.as_ref().is_some_and(|last| last.epoch == LOCAL_EPOCH) => {
            "another file, or causeway config retry".to_owned()
        }
        ("quarantine", _) => {
            let seq = state.last.as_ref().map_or_else(|| "this one".to_owned(), |last| last.seq.to_string());
            format!("a standard other than {seq}, or causeway config retry")
        }
        ("trial", Some(seconds)) => format!("causeway config confirm, within {seconds} s"),
        ("trial", None) => "every line that worked before to prove itself".to_owned(),
        ("soak", _) => "the end of the watch; causeway config rollback goes back now".to_owned(),
        ("rolling_back", _) => "the old config to be in force again".to_owned(),
        ("fetched", _) => "a good moment; causeway config retry does not wait".to_owned(),
        ("ready" | "applying", _) => "the change, which is under way".to_owned(),
        _ if state.last.as_ref().is_some_and(|last| last.verdict.as_deref() == Some("external")) => {
            "another try by itself, or causeway config retry".to_owned()
        }
        _ if state.office.is_none() => "another file: causeway config apply FILE".to_owned(),
        _ => "news from head office".to_owned(),
    }
}

fn told(office: &OfficeState) -> String {
    let ago = crate::telemetry::words::long(office.proved_ago_ms);
    let alarm = if office.stale { "; SILENT FOR A DAY" } else { "" };
    format!("Head office: {}, last proof {ago} ago{alarm}", office.addresses.join(", "))
}

fn released(released: &Released) -> String {
    let kind = if released.epoch == LOCAL_EPOCH { "file " } else { "" };
    format!("{kind}{} ({})", released.seq, released.digest)
}

fn is_under_way(state: &str) -> bool {
    matches!(state, "trial" | "soak" | "rolling_back")
}

fn line(text: &mut String, said: &str) {
    text.push_str(said);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(proved: bool) -> Seen {
        Seen { present: true, proved, targets: proved }
    }

    fn quarantined() -> ConfigState {
        let released = |seq, digest: &str| Some(Released { epoch: 1, seq, digest: digest.to_owned() });
        ConfigState {
            office: Some(OfficeState {
                tenant: "petit".to_owned(),
                site: "nantes".to_owned(),
                admission: "accepted".to_owned(),
                addresses: vec!["https://office.example".to_owned()],
                root_version: Some(1),
                proved_ago_ms: 4_000,
                stale: false,
            }),
            state: "quarantine".to_owned(),
            running: released(40, "9c31f07a22be"),
            wanted: released(42, "11a0f07a22be"),
            previous: released(38, "00a0f07a22be"),
            last: Some(Returned {
                epoch: 1,
                seq: 42,
                reason: "no_path_proof_on_uplink".to_owned(),
                verdict: Some("config".to_owned()),
                tried_seconds: 90,
            }),
            evidence: vec![
                WitnessState { uplink: "fibre".to_owned(), before: seen(true), trial: seen(true), after: seen(true) },
                WitnessState { uplink: "lte".to_owned(), before: seen(true), trial: seen(false), after: seen(true) },
            ],
            checks: ChecksState::default(),
            drift: Vec::new(),
            confirm_within_s: None,
            refused: None,
            history: Vec::new(),
        }
    }

    #[test]
    fn a_config_that_was_undone_says_why_and_what_happens_next() {
        assert_eq!(
            why(&quarantined()),
            "NOT ON THE STANDARD: wanted 42 (11a0f07a22be), running 40 (9c31f07a22be).\n  \
             42 was not kept: no_path_proof_on_uplink: lte, after 90 s of trial; verdict config: what was lost came back \
             with the old config\n  \
             before: fibre proved, lte proved\n  \
             in trial: fibre proved, lte silent\n  \
             after the return: fibre proved, lte proved\n\
             I would fall back to: 38 (00a0f07a22be)\n\
             Waiting for: a standard other than 42, or causeway config retry\n\
             Head office: https://office.example, last proof 4 s ago\n"
        );
    }

    #[test]
    fn a_branch_on_its_standard_says_so() {
        let mut state = quarantined();
        state.state = "idle".to_owned();
        state.wanted.clone_from(&state.running);
        (state.last, state.evidence) = (None, Vec::new());
        assert!(why(&state).starts_with("ON THE STANDARD: 40 (9c31f07a22be), site nantes.\n"));
        state.office = None;
        assert!(why(&state).starts_with("NO HEAD OFFICE."));
    }
}
