//! What the dashboards show. `configs/grafana/dashboards/*.json` are made from this:
//! `CAUSEWAY_WRITE=1 cargo test --test watched dashboards`.

use super::grafana::{Dashboard, HIDDEN, Kind, Panel};

/// What a person has chosen.
const CHOSEN: &str = r#"tenant=~"$tenant",branch=~"$branch""#;
const LINE: &str = r#"tenant=~"$tenant",branch=~"$branch",uplink=~"$uplink""#;

/// Grafana's word for a share of 1.
const SHARE: &str = "percentunit";

pub(crate) fn all() -> Vec<Dashboard> {
    vec![owner(), fleet(), branch(), isp()]
}

fn panel(title: &'static str, description: &'static str, kind: Kind, unit: &'static str) -> Panel {
    let (width, height) = match kind {
        Kind::Stat => (8, 5),
        Kind::Series | Kind::Timeline | Kind::Bars => (12, 8),
        Kind::Table => (24, 8),
    };
    Panel { title, description, kind, unit, width, height, queries: Vec::new(), columns: &[], words: &[] }
}

impl Panel {
    fn ask(mut self, name: &'static str, expr: impl Into<String>) -> Self {
        self.queries.push((name, expr.into()));
        self
    }

    fn wide(self, width: u32) -> Self {
        Self { width, ..self }
    }

    fn columns(self, columns: &'static [(&'static str, &'static str)]) -> Self {
        Self { columns, ..self }
    }
}

fn tenant() -> (&'static str, String, &'static str, bool) {
    ("tenant", "causeway_build_info".to_owned(), "tenant", true)
}

fn branches(all: bool) -> (&'static str, String, &'static str, bool) {
    ("branch", r#"causeway_build_info{tenant=~"$tenant"}"#.to_owned(), "branch", all)
}

/// What a counter that outlives reboots grew by in the 30 days before `ago` days ago. A branch that is younger counts from
/// its beginning.
fn month(series: &str, ago: u32) -> String {
    let at = |days: u32| if days == 0 { series.to_owned() } else { format!("{series} offset {days}d") };
    format!("({now} - ({then} or {now} * 0))", now = at(ago), then = at(ago + 30))
}

/// Part of the measured time of branches that was not `down`. Power cuts and time in which nobody looked are not in it.
fn uptime(chosen: &str, by: &str, ago: u32) -> String {
    let series = |more: &str| format!("causeway_internet_state_seconds_total{{{chosen},{more}}}");
    let down = month(&series(r#"state="down""#), ago);
    let all = month(&series(r#"state!~"off|unknown""#), ago);
    format!("1 - sum{by} ({down}) / (sum{by} ({all}) > 0)")
}

fn owner() -> Dashboard {
    let open = format!(r#"{CHOSEN},hours="open""#);
    let offset = |ago: u32| if ago == 0 { String::new() } else { format!(" offset {ago}d") };
    let grown = |series: &str, ago| format!("increase({series}{{{CHOSEN}}}[30d]{})", offset(ago));
    let response =
        |ago| format!("histogram_quantile(0.5, sum by (le) ({}))", grown("causeway_probe_rtt_seconds_bucket", ago));
    let outages = |ago| format!("sum({})", grown("causeway_uplink_outages_total", ago));
    let restored = |ago| {
        let part =
            |part: &str| format!("sum({})", grown(&format!("causeway_uplink_outage_duration_seconds_{part}"), ago));
        format!("{} / ({} > 0)", part("sum"), part("count"))
    };
    let quality = |ago| {
        let series =
            |states: &str| month(&format!("causeway_uplink_state_seconds_total{{{CHOSEN},state=~\"{states}\"}}"), ago);
        format!("sum({}) / (sum({}) > 0)", series("up"), series("up|degraded|down|probation"))
    };
    let (this, last) = ("this month", "last month");
    Dashboard {
        uid: "causeway-owner",
        title: "Causeway: the owner's six numbers",
        description: "This month against last, for people who do not look at networks every day.",
        variables: vec![tenant(), branches(true)],
        marks: Vec::new(),
        from: "now-30d",
        panels: vec![
            panel("Uptime in opening hours", "Part of the opening hours in which the branches had internet, whichever line carried it. Measured time only: power cuts are not the provider's fault.", Kind::Stat, SHARE)
                .ask(this, uptime(&open, "", 0)).ask(last, uptime(&open, "", 30)),
            panel("Response time", "How long a question to the internet takes, for half of all questions. Under 50 ms nobody notices.", Kind::Stat, "s")
                .ask(this, response(0)).ask(last, response(30)),
            panel("Outages", "How often a line failed, noticed by staff or not. Small repeated failures announce large ones.", Kind::Stat, "short")
                .ask(this, outages(0)).ask(last, outages(30)),
            panel("Restoration time", "How long a line that failed stayed away, on average.", Kind::Stat, "s")
                .ask(this, restored(0)).ask(last, restored(30)),
            panel("Storage in use", "The fullest area of any gateway. Above 80 % somebody should look.", Kind::Stat, SHARE)
                .ask("now", format!("max(causeway_storage_used_bytes{{{CHOSEN}}} / causeway_storage_size_bytes{{{CHOSEN}}})"))
                .ask("a month ago", format!("max(causeway_storage_used_bytes{{{CHOSEN}}} offset 30d / causeway_storage_size_bytes{{{CHOSEN}}} offset 30d)")),
            panel("Line quality", "Part of the time in which lines were good: not down, not degraded.", Kind::Stat, SHARE)
                .ask(this, quality(0)).ask(last, quality(30)),
            panel("Worst three branches", "Uptime of this month in opening hours, of the three branches that had least.", Kind::Bars, SHARE)
                .ask("{{branch}}", format!("bottomk(3, {})", uptime(&open, " by (branch)", 0))),
            panel("Open risks", "What alerting has found and nobody has mended. Each name has a runbook: causeway runbook NAME.", Kind::Table, "short").wide(12)
                .ask("count", format!("count by (branch, alertname, severity) (ALERTS{{{CHOSEN},alertstate=\"firing\",severity!=\"none\"}})")),
        ],
    }
}

fn fleet() -> Dashboard {
    let by_branch = |expr: String| format!("max by (branch) ({expr})");
    let lost = r#"(time() - max by (branch) (causeway_office_branch_last_seen_timestamp_seconds{tenant=~"$tenant"} > 0)) > 120 + 2 * max by (branch) (causeway_office_branch_expected_interval_seconds{tenant=~"$tenant"})"#;
    Dashboard {
        uid: "causeway-fleet",
        title: "Causeway: the fleet",
        description: "Every branch on one page: who is on backup, who is missing, which provider fails.",
        variables: vec![tenant(), branches(true)],
        marks: Vec::new(),
        from: "now-6h",
        panels: vec![
            panel("Branches", "State and carrying line of each branch, since when the line changed last, whether it runs its standard, its release, and when its backup was proved last.", Kind::Table, "short")
                .columns(&[("internet", HIDDEN), ("carried by", HIDDEN), ("release", HIDDEN), ("line changed", "dateTimeAsIso"), ("backup proved", "dateTimeAsIso"), ("on standard", "bool_yes_no")])
                .ask("internet", format!("max by (branch, state) (causeway_internet_state{{{CHOSEN}}} == 1)"))
                .ask("carried by", format!("max by (branch, uplink) (causeway_path_uplink{{{CHOSEN},path=\"default\"}} == 1)"))
                .ask("line changed", by_branch(format!("causeway_uplink_last_change_timestamp_seconds{{{CHOSEN}}} > 0")) + " * 1000")
                .ask("on standard", by_branch(format!("causeway_office_branch_config_in_sync{{{CHOSEN}}}")))
                .ask("release", format!("max by (branch, version) (causeway_build_info{{{CHOSEN}}})"))
                .ask("backup proved", by_branch(format!("causeway_drill_last_success_timestamp_seconds{{{CHOSEN}}} > 0")) + " * 1000"),
            panel("Branches by state", "How many branches are on their first line, on backup, down, or cannot tell.", Kind::Series, "short")
                .ask("{{state}}", format!("sum by (state) (max by (branch, state) (causeway_internet_state{{{CHOSEN}}}))")),
            panel("Lines down by provider", "Two or more at once are the provider's outage: one call, with the list of circuits.", Kind::Series, "short")
                .ask("{{provider}}", r#"sum by (provider) (provider:causeway_uplinks_down:count{tenant=~"$tenant"})"#),
            panel("Who is missing", "Branches from which head office has heard nothing for longer than it should, and for how long.", Kind::Table, "s").wide(12)
                .ask("silent for", lost),
            panel("Lines that come and go", "Changes of state in a day, the ten worst lines. A line up here fails for good sooner or later.", Kind::Bars, "short")
                .ask("{{branch}} {{uplink}}", format!("topk(10, sum by (branch, uplink) (increase(causeway_uplink_state_changes_total{{{CHOSEN}}}[1d])) > 0)")),
            panel("False alarms", "Suspicions in a day that were nothing, the ten lines with most. Many of them: the profile does not fit the line.", Kind::Bars, "short")
                .ask("{{branch}} {{uplink}}", format!("topk(10, sum by (branch, uplink) (increase(causeway_uplink_suspicions_total{{{CHOSEN},end=\"up\"}}[1d])) > 0)")),
        ],
    }
}

/// Value, word, colour; as the query of the timeline numbers them.
const STATES: [(&str, &str, &str); 7] = [
    ("1", "up", "green"),
    ("2", "degraded", "yellow"),
    ("3", "suspect", "light-orange"),
    ("4", "probation", "blue"),
    ("5", "down", "red"),
    ("6", "unknown", "gray"),
    ("7", "disabled", "dark-gray"),
];

fn branch() -> Dashboard {
    let states: Vec<_> = STATES
        .iter()
        .map(|(number, state, _)| format!("(causeway_uplink_state{{{LINE},state=\"{state}\"}} == 1) * {number}"))
        .collect();
    let states = format!("max by (uplink, family) ({})", states.join(" or "));
    let rate = |series: &str| format!("sum by (uplink) (rate({series}{{{LINE}}}[$__rate_interval]))");
    let quantile = |series: &str| {
        format!("histogram_quantile(0.95, sum by (le) (increase({series}_bucket{{{CHOSEN}}}[$__range])))")
    };
    let plan = |series: &str| format!("max by (uplink) (causeway_uplink_plan_{series}{{{LINE}}})");
    Dashboard {
        uid: "causeway-branch",
        title: "Causeway: a branch",
        description: "What happened at one branch: its lines, its switches, and why nothing was done.",
        variables: vec![
            tenant(),
            branches(false),
            ("uplink", format!("causeway_uplink_info{{{CHOSEN}}}"), "uplink", true),
        ],
        marks: vec![
            ("Config changed", format!("changes(causeway_config_applied_timestamp_seconds{{{CHOSEN}}}[2m]) > 0")),
            ("Power was off", format!("increase(causeway_boots_total{{{CHOSEN},reason=\"power\"}}[2m]) > 0")),
        ],
        from: "now-6h",
        panels: vec![
            Panel { words: &STATES, ..panel("Lines", "State of each line and protocol over time.", Kind::Timeline, "short") }
                .ask("{{uplink}} {{family}}", states),
            Panel {
                words: &[("0", "–", "transparent"), ("1", "carries", "green")],
                ..panel("Who carries the traffic", "Which line took the new sessions of each path.", Kind::Timeline, "short")
            }
            .ask("{{path}} {{uplink}}", format!("max by (path, uplink) (causeway_path_uplink{{{LINE}}})")),
            panel("Response time", "Half of the probes were answered within the lower line, 95 of 100 within the upper. Above 150 ms calls suffer.", Kind::Series, "s")
                .ask("{{uplink}} p50", format!("branch_uplink:causeway_probe_rtt_seconds:p50_5m{{{LINE}}}"))
                .ask("{{uplink}} p95", format!("branch_uplink:causeway_probe_rtt_seconds:p95_5m{{{LINE}}}")),
            panel("Loss", "Part of the probes that nobody answered. Above 2 % calls break up.", Kind::Series, SHARE)
                .ask("{{uplink}}", format!("branch_uplink:causeway_probe_loss:ratio5m{{{LINE}}}")),
            panel("Jitter", "How much the response time varies from one probe to the next. Above 30 ms calls stutter.", Kind::Series, "s")
                .ask("{{uplink}}", format!("max by (uplink) (causeway_uplink_jitter_seconds{{{LINE}}})")),
            panel("Traffic", "What came in and went out on each line.", Kind::Series, "binBps")
                .ask("{{uplink}} in", rate("causeway_uplink_receive_bytes_total"))
                .ask("{{uplink}} out", rate("causeway_uplink_transmit_bytes_total")),
            panel("Switches", "Failovers and returns, by the line that took over and what triggered them.", Kind::Series, "short")
                .ask("to {{to}}, {{trigger}}", format!("sum by (to, trigger) (increase(causeway_failovers_total{{{CHOSEN}}}[$__rate_interval])) > 0")),
            panel("Noticing and moving", "95 of 100 switches were faster: from the last proof of life to the decision, and from the decision to the kernel.", Kind::Stat, "s").wide(6)
                .ask("noticed", quantile("causeway_failover_detection_seconds"))
                .ask("moved", quantile("causeway_failover_switch_seconds")),
            panel("Why nothing was done", "How often a switch was held back, by reason. See causeway why.", Kind::Bars, "short").wide(6)
                .ask("{{reason}}", format!("sum by (reason) (increase(causeway_failover_suppressed_total{{{CHOSEN}}}[$__range]))")),
            panel("Mobile plan", "Used of the plan, its size, and where it ends if it goes on like this.", Kind::Series, "decbytes")
                .ask("{{uplink}} used", plan("used_bytes"))
                .ask("{{uplink}} plan", plan("limit_bytes"))
                .ask("{{uplink}} at the end", format!("{} + max by (uplink) (deriv(causeway_uplink_plan_used_bytes{{{LINE}}}[1d])) * ({} - time())", plan("used_bytes"), plan("end_timestamp_seconds"))),
            panel("Time in state", "Seconds that each line spent in each state, power cuts apart.", Kind::Table, "s").wide(12)
                .ask("time", format!("sum by (uplink, state) (increase(causeway_uplink_state_seconds_total{{{LINE}}}[$__range])) > 0")),
            panel("Starts of the box", "Why it started, since it was installed. Power: look at the socket.", Kind::Bars, "short").wide(6)
                .ask("{{reason}}", format!("max by (reason) (causeway_boots_total{{{CHOSEN}}})")),
            panel("Storage", "Use of each area of the gateway.", Kind::Bars, SHARE).wide(6)
                .ask("{{area}}", format!("max by (area) (causeway_storage_used_bytes{{{CHOSEN}}} / causeway_storage_size_bytes{{{CHOSEN}}})")),
            panel("Box", "Processor time and memory of the gateway's own processes.", Kind::Series, "percentunit").wide(12)
                .ask("{{process}}", format!("sum by (process) (rate(causeway_process_cpu_seconds_total{{{CHOSEN}}}[$__rate_interval]))")),
        ],
    }
}

fn isp() -> Dashboard {
    let info = r#"max by (tenant, branch, uplink, provider, circuit) (causeway_uplink_info{tenant=~"$tenant",provider=~"$provider",circuit=~"$circuit",provider!=""})"#;
    let of = |expr: &str, by: &str| {
        format!(
            "sum by ({by}) (sum by (tenant, branch, uplink{}) ({expr}) * on (tenant, branch, uplink) group_left (provider, circuit) {info})",
            if by.contains("cause") { ", cause" } else { "" }
        )
    };
    let seconds = |states: &str| {
        month(&format!("causeway_uplink_state_seconds_total{{tenant=~\"$tenant\",state=~\"{states}\"}}"), 0)
    };
    let line = "provider, circuit, branch, uplink";
    let down = of(&seconds("down"), line);
    let measured = of(&seconds("up|degraded|down|probation|suspect"), line);
    Dashboard {
        uid: "causeway-isp",
        title: "Causeway: providers",
        description: "What a provider promised and what was measured, for the talk about it.",
        variables: vec![
            tenant(),
            ("provider", r#"causeway_uplink_info{tenant=~"$tenant",provider!=""}"#.to_owned(), "provider", true),
            ("circuit", r#"causeway_uplink_info{tenant=~"$tenant",provider=~"$provider"}"#.to_owned(), "circuit", true),
        ],
        marks: Vec::new(),
        from: "now-7d",
        panels: vec![
            panel("To hand over", "Each line of the provider over 30 days. Our own power cuts are not in it. The ledger decides in a dispute.", Kind::Table, "short")
                .columns(&[("promised", SHARE), ("measured", SHARE), ("down for", "s")])
                .ask("promised", of("branch_uplink:causeway_uplink_promised:ratio", line))
                .ask("measured", format!("1 - {down} / ({measured} > 0)"))
                .ask("down for", down.clone())
                .ask("outages", of("increase(causeway_uplink_outages_total{tenant=~\"$tenant\"}[30d])", line)),
            panel("Outages by cause", "Where the lines broke, over 30 days. Cable and modem are usually on our side.", Kind::Bars, "short")
                .ask("{{provider}} {{cause}}", format!("{} > 0", of("increase(causeway_uplink_outages_total{tenant=~\"$tenant\"}[30d])", "provider, cause"))),
            panel("Restoration time", "How long outages of 30 days lasted on average.", Kind::Bars, "s")
                .ask("{{provider}}", format!("{} / ({} > 0)",
                    of("increase(causeway_uplink_outage_duration_seconds_sum{tenant=~\"$tenant\"}[30d])", "provider"),
                    of("increase(causeway_uplink_outage_duration_seconds_count{tenant=~\"$tenant\"}[30d])", "provider"))),
            panel("Response time over the week", "95 of 100 probes were faster, hour by hour. Evenings that stand out: the provider's network is full.", Kind::Series, "s")
                .ask("{{provider}}", format!("histogram_quantile(0.95, sum by (le, provider) (sum by (tenant, branch, uplink, le) (rate(causeway_probe_rtt_seconds_bucket{{tenant=~\"$tenant\"}}[1h])) * on (tenant, branch, uplink) group_left (provider) {info}))")),
            panel("Unavailability", "Part of the measured time in which a line was down, over six hours each.", Kind::Series, SHARE)
                .ask("{{branch}} {{uplink}}", format!("branch_uplink:causeway_uplink_unavailable:ratio6h{{tenant=~\"$tenant\"}} * on (tenant, branch, uplink) group_left (provider) {info}")),
        ],
    }
}
