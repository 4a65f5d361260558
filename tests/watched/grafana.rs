//! A panel and a dashboard, and the JSON that Grafana provisions. What is the same for all stands here once; what is shown
//! stands in [`super::dashboards`].

use serde_json::{Value, json};

/// Grafana's model of a dashboard that this is written for.
const SCHEMA_VERSION: u32 = 38;

/// In place of a unit: the labels of the answer say it all, its value is always 1.
pub(crate) const HIDDEN: &str = "hidden";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Stat,
    Series,
    Bars,
    Table,
    Timeline,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Series => "timeseries",
            Self::Bars => "bargauge",
            Self::Table => "table",
            Self::Timeline => "state-timeline",
        }
    }

    /// One value to a series, of the end of the time that is shown.
    pub(crate) fn is_instant(self) -> bool {
        match self {
            Self::Stat | Self::Bars | Self::Table => true,
            Self::Series | Self::Timeline => false,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    /// A sentence that a manager understands.
    pub(crate) description: &'static str,
    pub(crate) kind: Kind,
    /// Grafana's name of it.
    pub(crate) unit: &'static str,
    /// Of 24.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Name in the legend, or of the column; and PromQL.
    pub(crate) queries: Vec<(&'static str, String)>,
    /// Columns of a table that have another unit than the panel, or are [`HIDDEN`].
    pub(crate) columns: &'static [(&'static str, &'static str)],
    /// Words for values.
    pub(crate) words: &'static [(&'static str, &'static str, &'static str)],
}

#[derive(Clone, Debug)]
pub(crate) struct Dashboard {
    pub(crate) uid: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    /// Name, the metric and the label of which it has the values, whether all of them can be chosen.
    pub(crate) variables: Vec<(&'static str, String, &'static str, bool)>,
    pub(crate) marks: Vec<(&'static str, String)>,
    pub(crate) from: &'static str,
    pub(crate) panels: Vec<Panel>,
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

impl Dashboard {
    pub(crate) fn json(&self) -> Value {
        let mut variables = vec![json!({
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
            "current": {}, "hide": 0, "includeAll": false, "multi": false, "options": [], "refresh": 1, "regex": ""
        })];
        variables.extend(self.variables.iter().map(|(name, series, label, all)| {
            let query = format!("label_values({series}, {label})");
            let current = if *all { json!({ "text": "All", "value": "$__all" }) } else { json!({}) };
            json!({
                "name": name, "label": capital(name), "type": "query", "datasource": source(),
                "query": { "query": query, "refId": "StandardVariableQuery" }, "definition": query,
                "includeAll": all, "multi": all, "allValue": ".*", "current": current,
                "hide": 0, "options": [], "refresh": 2, "regex": "", "sort": 1
            })
        }));
        let marks = self.marks.iter().map(|(name, expr)| {
            json!({
                "name": name, "datasource": source(), "enable": true, "hide": false, "iconColor": "purple",
                "expr": expr, "step": "60s", "titleFormat": name, "useValueForTime": false
            })
        });
        let marks: Vec<_> = marks.collect();
        json!({
            "uid": self.uid, "title": self.title, "description": self.description, "tags": ["causeway"],
            "schemaVersion": SCHEMA_VERSION, "version": 1, "editable": false, "graphTooltip": 1, "refresh": "1m",
            "timezone": "browser", "time": { "from": self.from, "to": "now" },
            "templating": { "list": variables }, "annotations": { "list": marks },
            "links": [{
                "type": "dashboards", "tags": ["causeway"], "asDropdown": true, "title": "Causeway",
                "includeVars": true, "keepTime": true
            }],
            "panels": self.placed()
        })
    }

    /// From left to right, then below what is there.
    fn placed(&self) -> Vec<Value> {
        let (mut x, mut y, mut row) = (0, 0, 0);
        let placed = self.panels.iter().zip(1..).map(|(panel, id)| {
            if x + panel.width > 24 {
                (x, y, row) = (0, y + row, 0);
            }
            let place = json!({ "x": x, "y": y, "w": panel.width, "h": panel.height });
            (x, row) = (x + panel.width, row.max(panel.height));
            panel.json(id, &place)
        });
        placed.collect()
    }
}

impl Panel {
    fn json(&self, id: u32, place: &Value) -> Value {
        let targets = self.queries.iter().zip('A'..).map(|((legend, expr), id)| {
            let instant = self.kind.is_instant();
            let format = if self.kind == Kind::Table { "table" } else { "time_series" };
            json!({
                "refId": id.to_string(), "datasource": source(), "expr": expr, "legendFormat": legend,
                "instant": instant, "range": !instant, "format": format
            })
        });
        let targets: Vec<_> = targets.collect();
        let mut defaults = json!({ "unit": self.unit, "color": { "mode": "palette-classic" } });
        if !self.words.is_empty() {
            let words = self
                .words
                .iter()
                .map(|(value, text, color)| ((*value).to_owned(), json!({ "text": text, "color": color, "index": 0 })));
            defaults["mappings"] = json!([{ "type": "value", "options": words.collect::<serde_json::Map<_, _>>() }]);
        }
        let overrides = self.columns.iter().filter(|(_, unit)| *unit != HIDDEN).map(|(column, unit)| {
            json!({
                "matcher": { "id": "byName", "options": column }, "properties": [{ "id": "unit", "value": unit }]
            })
        });
        let overrides: Vec<_> = overrides.collect();
        json!({
            "id": id, "type": self.kind.name(), "title": self.title, "description": self.description,
            "datasource": source(), "gridPos": place, "targets": targets,
            "fieldConfig": { "defaults": defaults, "overrides": overrides },
            "options": self.options(), "transformations": self.transformations()
        })
    }

    fn options(&self) -> Value {
        let last = json!({ "calcs": ["lastNotNull"], "fields": "", "values": false });
        match self.kind {
            Kind::Stat => json!({ "reduceOptions": last, "textMode": "value_and_name", "graphMode": "none" }),
            Kind::Bars => json!({ "reduceOptions": last, "orientation": "horizontal", "displayMode": "basic" }),
            Kind::Series => json!({
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
                "tooltip": { "mode": "multi", "sort": "desc" }
            }),
            Kind::Timeline => json!({ "mergeValues": true, "showValue": "auto" }),
            Kind::Table => json!({ "showHeader": true }),
        }
    }

    /// The answers of a table side by side, a column each.
    fn transformations(&self) -> Value {
        if self.kind != Kind::Table {
            return json!([]);
        }
        let names = self.queries.iter().zip('A'..);
        let mut renamed: serde_json::Map<_, _> =
            names.map(|((name, _), id)| (format!("Value #{id}"), json!(name))).collect();
        if let [(name, _)] = &self.queries[..] {
            renamed.insert("Value".to_owned(), json!(name));
        }
        let mut left_out = serde_json::Map::from_iter([("Time".to_owned(), json!(true))]);
        for ((name, _), id) in self.queries.iter().zip('A'..) {
            if self.columns.contains(&(*name, HIDDEN)) {
                left_out.insert(format!("Value #{id}"), json!(true));
            }
        }
        json!([
            { "id": "merge", "options": {} },
            { "id": "organize", "options": { "excludeByName": left_out, "renameByName": renamed } }
        ])
    }
}

fn capital(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}
