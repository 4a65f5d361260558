//! A dashboard's file as a list of questions: what [`super::grafana`] wrote is read again from its JSON, so that what is
//! tested and drawn is what Grafana gets.

use serde_json::Value;

use super::server::Prometheus;

/// More lines than this nobody can read, and no browser draws quickly.
pub(crate) const SERIES_MOST: usize = 200;
/// Points to a line.
const POINTS: u64 = 360;

pub(crate) struct Shown {
    pub(crate) json: Value,
    pub(crate) panels: Vec<Drawn>,
}

pub(crate) struct Drawn {
    pub(crate) json: Value,
    /// Legend, and what Prometheus says.
    pub(crate) answers: Vec<(String, Result<Vec<Value>, String>)>,
}

/// All dashboards as they lie in the repository.
pub(crate) fn files() -> Vec<(String, Value)> {
    let folder = super::server::root().join("configs/grafana/dashboards");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let text = std::fs::read_to_string(entry.path()).expect("a file");
            let name = entry.file_name().into_string().expect("a name");
            (name, serde_json::from_str(&text).expect("it is JSON"))
        })
        .collect();
    files.sort_by(|one: &(String, Value), other| one.0.cmp(&other.0));
    files
}

pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// As Grafana fills a question in, with everything chosen but the branch where only one can be.
fn filled(dashboard: &Value, expr: &str, span: u64) -> String {
    let single = list(dashboard, "/templating/list").iter().any(|it| it["name"] == "branch" && it["multi"] == false);
    expr.replace("$branch", if single { "lyon" } else { ".*" })
        .replace("$tenant", ".*")
        .replace("$uplink", ".*")
        .replace("$provider", ".*")
        .replace("$circuit", ".*")
        .replace("$__rate_interval", "5m")
        .replace("$__range", &format!("{span}s"))
}

/// Seconds that a dashboard shows when it is opened.
fn span(dashboard: &Value) -> u64 {
    let from = dashboard.pointer("/time/from").and_then(Value::as_str).expect("a time");
    let (number, unit) = from["now-".len()..].split_at(from.len() - "now-".len() - 1);
    number.parse::<u64>().expect("a number") * if unit == "d" { 86_400 } else { 3_600 }
}

/// Every panel's questions, answered.
pub(crate) fn shown(dashboard: &Value, server: &Prometheus, end: u64) -> Shown {
    let span = span(dashboard);
    let panels = list(dashboard, "/panels").iter().map(|panel| {
        let answers = list(panel, "/targets").iter().map(|target| {
            let expr = filled(dashboard, text(target, "expr"), span);
            let answer = if target["instant"] == true {
                server.query(&expr, end)
            } else {
                server.range(&expr, end - span, end, (span / POINTS).max(15))
            };
            (text(target, "legendFormat").to_owned(), answer)
        });
        Drawn { json: panel.clone(), answers: answers.collect() }
    });
    Shown { json: dashboard.clone(), panels: panels.collect() }
}

/// The values that a variable offers.
pub(crate) fn values(dashboard: &Value, variable: &Value, server: &Prometheus, end: u64) -> Result<Vec<Value>, String> {
    let query = filled(dashboard, text(variable, "definition"), span(dashboard));
    let (series, label) = query
        .strip_prefix("label_values(")
        .and_then(|rest| rest.strip_suffix(')'))
        .and_then(|rest| rest.rsplit_once(", "))
        .ok_or_else(|| format!("{query} is not understood"))?;
    let (from, until) = ((end - span(dashboard)).to_string(), end.to_string());
    let query = [("match[]", series), ("start", from.as_str()), ("end", until.as_str())];
    let data = server.api(&format!("label/{label}/values"), &query)?;
    data.as_array().cloned().ok_or_else(|| format!("no list: {data}"))
}

pub(crate) fn marks(dashboard: &Value, server: &Prometheus, end: u64) -> Vec<(String, Result<Vec<Value>, String>)> {
    let asked = list(dashboard, "/annotations/list").iter().map(|mark| {
        let expr = filled(dashboard, text(mark, "expr"), span(dashboard));
        (text(mark, "name").to_owned(), server.range(&expr, end - span(dashboard), end, 60))
    });
    asked.collect()
}

/// `{{uplink}} in` with the series' own labels.
pub(crate) fn legend(pattern: &str, labels: &Value) -> String {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once("{{") {
        let (label, after) = after.split_once("}}").unwrap_or((after, ""));
        text += before;
        text += labels[label].as_str().unwrap_or_default();
        rest = after;
    }
    text + rest
}
