//! A dashboard as a picture: each panel from its JSON and the answer, in plain SVG, photographed by headless Chromium. It is
//! no Grafana; it shows what a person would read off the panel.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::page::{Drawn, Shown, legend, list, text};
use super::server::succeed;

/// Of one of Grafana's 24 columns, and of one of its rows.
const COLUMN: f64 = 50.0;
const ROW: f64 = 30.0;
const HEAD: f64 = 64.0;
const COLORS: [&str; 8] = ["#3274d9", "#e0752d", "#56a64b", "#a352cc", "#e02f44", "#0f9d94", "#c4a000", "#777777"];
/// Series that fit under a drawing, and rows into a table.
const NAMED: usize = 8;

pub(crate) fn picture(shown: &Shown, folder: &Path, file: &Path) {
    let (mut body, mut height) = (String::new(), 0.0_f64);
    // One time for all: a line that is there for minutes must not be drawn as long as the others.
    let span = times(&shown.panels.iter().flat_map(drawn).collect::<Vec<_>>());
    for panel in &shown.panels {
        let at = |key: &str| panel.json["gridPos"][key].as_f64().expect("a place");
        let place = (at("x") * COLUMN, HEAD + at("y") * ROW, at("w") * COLUMN - 8.0, at("h") * ROW - 8.0);
        height = height.max(place.1 + place.3 + 8.0);
        let _ = write!(body, "<svg x='{}' y='{}' width='{}' height='{}'>", place.0, place.1, place.2, place.3);
        draw(panel, span, (place.2, place.3), &mut body);
        body += "</svg>";
    }
    let page = format!(
        "<!doctype html><meta charset='utf-8'><style>body{{margin:0}}text{{font-family:sans-serif}}</style>\
         <svg xmlns='http://www.w3.org/2000/svg' width='1200' height='{height}'>\
         <rect width='1200' height='{height}' fill='#f4f5f5'/>\
         <text x='8' y='26' font-size='20' font-weight='bold'>{}</text><text x='8' y='48' font-size='13'>{}</text>{body}</svg>",
        escaped(text(&shown.json, "title")),
        escaped(text(&shown.json, "description")),
    );
    fs::write(folder.join("page.html"), page).expect("a page");
    let (shot, size) = (format!("--screenshot={}", file.display()), format!("--window-size=1200,{height}"));
    let user = format!("--user-data-dir={}", folder.join("chromium").display());
    let quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"];
    let basic = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"];
    succeed("chromium", &[&basic[..], &quiet, &[&shot, &size, &user, "page.html"]].concat(), folder);
}

fn draw(panel: &Drawn, span: (f64, f64), (width, height): (f64, f64), out: &mut String) {
    let _ = write!(
        out,
        "<rect width='{width}' height='{height}' fill='white' stroke='#d0d3d6'/>\
         <text x='10' y='20' font-size='14' font-weight='bold'>{}</text>",
        escaped(text(&panel.json, "title"))
    );
    match text(&panel.json, "type") {
        "stat" => stat(panel, width, height, out),
        "bargauge" => bars(panel, width, out),
        "table" => table(panel, width, height, out),
        "state-timeline" => timeline(panel, span, (width, height), out),
        "timeseries" => lines(panel, span, (width, height), out),
        other => panic!("{other} is not drawn"),
    }
}

/// Name and series of all answers.
fn series(panel: &Drawn) -> Vec<(String, &Value)> {
    let answers = panel.answers.iter().filter_map(|(pattern, answer)| Some((pattern, answer.as_ref().ok()?)));
    answers.flat_map(|(pattern, answer)| answer.iter().map(|it| (legend(pattern, &it["metric"]), it))).collect()
}

fn value(series: &Value) -> f64 {
    series["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

fn unit(panel: &Drawn) -> &str {
    panel.json.pointer("/fieldConfig/defaults/unit").and_then(Value::as_str).unwrap_or("short")
}

fn stat(panel: &Drawn, width: f64, height: f64, out: &mut String) {
    let all = series(panel);
    let part = width / all.len().max(1) as f64;
    for (number, (name, series)) in all.iter().enumerate() {
        let x = part * (number as f64 + 0.5);
        let (size, color) = if number == 0 { (34, "#1f60c4") } else { (22, "#6e7681") };
        let _ = write!(
            out,
            "<text x='{x}' y='{}' font-size='{size}' text-anchor='middle' fill='{color}'>{}</text>\
             <text x='{x}' y='{}' font-size='12' text-anchor='middle' fill='#555'>{}</text>",
            height * 0.62,
            said(value(series), unit(panel)),
            height * 0.85,
            escaped(name)
        );
    }
}

fn bars(panel: &Drawn, width: f64, out: &mut String) {
    let mut all: Vec<_> = series(panel).into_iter().map(|(name, series)| (name, value(series))).collect();
    all.sort_by(|one, other| other.1.total_cmp(&one.1));
    let most = all.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    for (number, (name, value)) in all.iter().take(NAMED).enumerate() {
        let y = 34.0 + number as f64 * 24.0;
        let long = (width - 260.0).max(40.0) * (value / most).clamp(0.0, 1.0);
        let _ = write!(
            out,
            "<text x='10' y='{}' font-size='12'>{}</text><rect x='150' y='{y}' width='{long}' height='16' fill='{}'/>\
             <text x='{}' y='{}' font-size='12'>{}</text>",
            y + 13.0,
            escaped(name),
            COLORS[0],
            156.0 + long,
            y + 13.0,
            said(*value, unit(panel))
        );
    }
}

/// Answers side by side, as `merge` does: rows that have the same labels in common are one.
fn table(panel: &Drawn, width: f64, height: f64, out: &mut String) {
    let mut columns: Vec<String> = Vec::new();
    let mut rows: Vec<BTreeMap<String, String>> = Vec::new();
    for (name, answer) in &panel.answers {
        for series in answer.iter().flatten() {
            let labels = series["metric"].as_object().cloned().unwrap_or_default();
            let labels = labels.into_iter().map(|(key, value)| (key, value.as_str().unwrap_or_default().to_owned()));
            let mut row: BTreeMap<String, String> = labels.collect();
            for key in row.keys().filter(|key| !columns.contains(key)).cloned().collect::<Vec<_>>() {
                columns.push(key);
            }
            let overrides = list(&panel.json, "/fieldConfig/overrides").iter();
            let mut special = overrides.filter(|it| it["matcher"]["options"] == name.as_str());
            let unit =
                special.next().map_or(unit(panel), |it| it["properties"][0]["value"].as_str().unwrap_or("short"));
            row.insert(name.clone(), said(value(series), unit));
            let agrees = |known: &BTreeMap<String, String>| {
                known.iter().any(|(key, text)| row.get(key) == Some(text))
                    && known.iter().all(|(key, text)| row.get(key).is_none_or(|other| other == text))
            };
            match rows.iter_mut().find(|known| agrees(known)) {
                Some(known) => known.append(&mut row),
                None => rows.push(row),
            }
        }
        columns.retain(|column| column != name);
        let hidden = is_hidden(panel, name);
        columns.extend((!hidden).then(|| name.clone()));
    }
    let step = (width - 20.0) / columns.len().max(1) as f64;
    let mut cell = |x: usize, y: usize, text: &str, bold: &str| {
        let _ = write!(
            out,
            "<text x='{}' y='{}' font-size='12' {bold}>{}</text>",
            10.0 + x as f64 * step,
            44.0 + y as f64 * 20.0,
            escaped(text)
        );
    };
    columns.iter().enumerate().for_each(|(x, column)| cell(x, 0, column, "font-weight='bold'"));
    for (y, row) in rows.iter().enumerate().take_while(|(y, _)| 80.0 + *y as f64 * 20.0 <= height) {
        for (x, column) in columns.iter().enumerate() {
            cell(x, y + 1, row.get(column).map_or("", String::as_str), "");
        }
    }
}

fn is_hidden(panel: &Drawn, name: &str) -> bool {
    let organize = panel.json.pointer("/transformations/1/options").unwrap_or(&Value::Null);
    let renamed = organize["renameByName"].as_object().into_iter().flatten();
    let mut columns = renamed.filter(|(_, to)| *to == name).map(|(from, _)| from);
    columns.any(|from| organize["excludeByName"][from] == true)
}

fn points(series: &Value) -> Vec<(f64, f64)> {
    let point = |point: &Value| Some((point[0].as_f64()?, point[1].as_str()?.parse::<f64>().ok()?));
    list(series, "/values").iter().filter_map(point).filter(|(_, value)| value.is_finite()).collect()
}

/// From the first to the last point of all.
fn times(all: &[(String, Vec<(f64, f64)>)]) -> (f64, f64) {
    let times = || all.iter().flat_map(|(_, points)| points.iter().map(|(time, _)| *time));
    (times().fold(f64::MAX, f64::min), times().fold(f64::MIN, f64::max))
}

fn drawn(panel: &Drawn) -> Vec<(String, Vec<(f64, f64)>)> {
    series(panel).into_iter().map(|(name, series)| (name, points(series))).collect()
}

fn lines(panel: &Drawn, (from, until): (f64, f64), (width, height): (f64, f64), out: &mut String) {
    let all = drawn(panel);
    let most = all.iter().flat_map(|(_, points)| points.iter().map(|point| point.1)).fold(f64::MIN_POSITIVE, f64::max);
    let (left, top, right, bottom) = (74.0, 32.0, width - 12.0, height - 44.0);
    for part in [0.0, 0.5, 1.0] {
        let y = bottom - (bottom - top) * part;
        let _ = write!(
            out,
            "<line x1='{left}' x2='{right}' y1='{y}' y2='{y}' stroke='#e3e5e8'/>\
             <text x='{}' y='{}' font-size='11' text-anchor='end' fill='#555'>{}</text>",
            left - 6.0,
            y + 4.0,
            said(most * part, unit(panel))
        );
    }
    for (number, (name, points)) in all.iter().enumerate().take(NAMED * 3) {
        let color = COLORS[number % COLORS.len()];
        let mut path = String::new();
        let mut last = f64::MIN;
        // A hole stays a hole.
        let steps = points.windows(2).map(|two| two[1].0 - two[0].0);
        let gap = steps.fold(f64::MAX, f64::min) * 1.5;
        for (time, value) in points {
            let x = left + (right - left) * (time - from) / (until - from).max(1.0);
            let y = bottom - (bottom - top) * value / most;
            let _ = write!(path, "{}{x:.1} {y:.1}", if time - last > gap { "M" } else { "L" });
            last = *time;
        }
        let _ =
            write!(out, "<path d='{path}' fill='none' stroke='{color}' stroke-width='1.5' stroke-linecap='round'/>");
        if number < NAMED {
            let (x, y) =
                (left + (number % 4) as f64 * (right - left) / 4.0, height - 24.0 + (number / 4) as f64 * 15.0);
            let _ = write!(out, "<text x='{x}' y='{y}' font-size='11' fill='{color}'>{}</text>", escaped(name));
        }
    }
}

fn timeline(panel: &Drawn, (from, until): (f64, f64), (width, height): (f64, f64), out: &mut String) {
    let all = drawn(panel);
    let words = |value: f64| {
        let key = format!("/fieldConfig/defaults/mappings/0/options/{value}");
        let word = panel.json.pointer(&key);
        word.map(|word| (text(word, "text").to_owned(), shade(text(word, "color")))).unwrap_or_default()
    };
    let (left, right) = (130.0, width - 12.0);
    let tall = ((height - 50.0) / all.len().max(1) as f64).min(44.0);
    for (number, (name, points)) in all.iter().enumerate() {
        let y = 34.0 + number as f64 * tall;
        let _ = write!(out, "<text x='10' y='{}' font-size='12'>{}</text>", y + tall / 2.0, escaped(name));
        let place = |time: f64| left + (right - left) * (time - from) / (until - from).max(1.0);
        let mut runs: Vec<(f64, f64, f64)> = Vec::new();
        for (time, value) in points {
            match runs.last_mut() {
                Some(run) if run.2 == *value => run.1 = *time,
                Some(run) => {
                    run.1 = *time;
                    runs.push((*time, *time, *value));
                }
                None => runs.push((*time, *time, *value)),
            }
        }
        for (begin, end, value) in runs {
            let (word, color) = words(value);
            let (x, long) = (place(begin), place(end) - place(begin));
            let _ = write!(out, "<rect x='{x}' y='{y}' width='{long}' height='{}' fill='{color}'/>", tall - 6.0);
            if long > 50.0 {
                let _ = write!(out, "<text x='{}' y='{}' font-size='11'>{word}</text>", x + 6.0, y + tall / 2.0);
            }
        }
    }
}

/// Grafana's names of colours, as light as their words need to be read on them.
fn shade(name: &str) -> &'static str {
    match name {
        "green" => "#96d98d",
        "yellow" => "#ffe766",
        "light-orange" => "#ffc46b",
        "blue" => "#8ab8ff",
        "red" => "#ff7383",
        "transparent" => "#ffffff",
        _ => "#c8ccd0",
    }
}

/// A value as its unit is read.
fn said(value: f64, unit: &str) -> String {
    let scaled = |steps: &[(f64, &str)]| {
        let (by, name) = steps.iter().rev().find(|(by, _)| value.abs() >= *by).unwrap_or(&steps[0]);
        format!("{} {name}", short(value / by))
    };
    match unit {
        _ if value.is_nan() => "–".to_owned(),
        "percentunit" if value > 0.9 && value < 1.0 => format!("{:.3} %", value * 100.0),
        "percentunit" => format!("{} %", short(value * 100.0)),
        "s" if value == 0.0 => "0 s".to_owned(),
        "s" => scaled(&[(1e-3, "ms"), (1.0, "s"), (60.0, "min"), (3_600.0, "h"), (86_400.0, "days")]),
        "decbytes" => scaled(&[(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB")]),
        "binBps" => scaled(&[(1.0, "B/s"), (1024.0, "KiB/s"), (1_048_576.0, "MiB/s")]),
        "bool_yes_no" => if value == 0.0 { "No" } else { "Yes" }.to_owned(),
        "dateTimeAsIso" => jiff::SignedDuration::try_from_secs_f64(value / 1_000.0)
            .and_then(jiff::Timestamp::from_duration)
            .map_or_else(|_| "–".to_owned(), |at| at.strftime("%d %b %H:%M").to_string()),
        _ => short(value),
    }
}

fn short(value: f64) -> String {
    let text = if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
