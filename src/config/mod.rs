//! The config, for whoever writes it and for the gateway: TOML as written (`raw`) is checked as a whole (`check`) and
//! becomes a [`branch`] around a [`model`] that cannot hold a bad value. A gateway that stands alone has one file
//! ([`parse`]); a fleet is a folder ([`fleet`]) whose standard travels as [`sections`] with variables ([`vars`]) that each
//! site fills in. Pure: texts and bytes come in.

pub mod branch;
mod check;
mod diff;
pub mod documents;
mod fault;
pub mod fleet;
pub mod model;
mod raw;
pub mod sections;
mod slots;
pub mod vars;
pub mod words;

pub use branch::Branch;
pub use diff::{Change, Disturbance, diff};
pub use fault::{Fault, Faults, Kind};

use fault::{Collector, Place, Source};
use raw::read::{Node, Value};
use toml::de::{DeTable, DeValue};

/// Reads and checks the whole file of a gateway that stands alone. `file_name` only stands in messages. All faults are
/// given, in the order of the lines.
pub fn parse_branch(file_name: &str, text: &str) -> Result<Branch, Faults> {
    let mut faults = Collector::new(file_name, text);
    let branch = read(&mut faults);
    match branch {
        Some(branch) if faults.count() == 0 => Ok(branch),
        Some(_) | None => Err(faults.into_faults(file_name)),
    }
}

/// The part of it that decides and forwards.
pub fn parse(file_name: &str, text: &str) -> Result<model::Gateway, Faults> {
    parse_branch(file_name, text).map(|branch| branch.gateway)
}

/// Whether a file is a fleet's standard rather than one gateway's config.
pub fn is_standard(text: &str) -> bool {
    let (table, _) = DeTable::parse_recoverable(text);
    table.get_ref().contains_key("standard")
}

fn read(faults: &mut Collector<'_>) -> Option<Branch> {
    let source = *faults.sources().first()?;
    let table = toml_table(&source, faults)?;
    let root = DeValue::Table(table);
    let node = Node { key: String::new(), place: Place(0), value: &root };
    let raw = raw::Gateway::read(&node, faults)?;
    check::gateway(raw, faults)
}

/// `None`: it is not TOML, and the faults say where.
fn toml_table<'t>(source: &Source<'t>, faults: &mut Collector<'_>) -> Option<DeTable<'t>> {
    let text = source.text;
    if text.len() > model::limits::FILE_BYTES {
        let fault = Fault::new(Kind::FileTooLarge, "the file is too large")
            .because(format!("it has {} bytes, at most {} are read", text.len(), model::limits::FILE_BYTES))
            .hint("is it really the gateway's config?");
        faults.add(Place(source.base), fault);
        return None;
    }
    let (table, mut errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Some(table.into_inner());
    }
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    // What a broken file means is a guess, so nothing else is said about it.
    for (index, error) in errors.into_iter().enumerate() {
        let place = Place(source.base + error.span().map_or(0, |span| span.start));
        let fault =
            Fault::new(Kind::Syntax, "this is not TOML").because(fault::shown(error.message())).hint(match index {
                0 => "see https://toml.io; often a quote, a bracket or a comma is missing just before",
                _ => "perhaps only because of the fault before; mend that first",
            });
        faults.add(place, fault);
    }
    None
}

/// The JSON Schemas of all files, from the same declarations that read them: name and schema.
pub fn schemas() -> Vec<(&'static str, serde_json::Value)> {
    let titled = |title: &str, mut schema: serde_json::Value, office: bool| {
        variables_in(&mut schema, office);
        if let serde_json::Value::Object(object) = &mut schema {
            object.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
            object.insert("title".to_owned(), title.into());
        }
        schema
    };
    vec![
        ("gateway", titled("Causeway gateway", raw::Gateway::schema(), false)),
        ("standard", titled("Causeway standard", raw::Standard::schema(), true)),
        ("site", titled("Causeway site", raw::fleet::SiteFile::schema(), true)),
        ("inventory", titled("Causeway inventory", raw::fleet::Inventory::schema(), true)),
        ("office", titled("Causeway office", raw::fleet::Office::schema(), true)),
    ]
}

/// The JSON Schema of the file of a gateway that stands alone.
pub fn schema() -> serde_json::Value {
    schemas().swap_remove(0).1
}

/// Where a variable may stand the declarations say so; a gateway's own file has none of that.
fn variables_in(schema: &mut serde_json::Value, office: bool) {
    match schema {
        serde_json::Value::Object(object) => {
            let types = object.remove("variable");
            object.retain(|_, inner| office || inner.get("office").is_none());
            object.remove("office");
            object.values_mut().for_each(|inner| variables_in(inner, office));
            if let (Some(types), true) = (types, office) {
                let description = object.remove("description");
                let literal = serde_json::Value::Object(std::mem::take(object));
                let variable = serde_json::json!({
                    "type": "object",
                    "required": ["var"],
                    "additionalProperties": false,
                    "properties": {
                        "var": { "type": "string", "description": "A variable of one of the types below.", "x-types": types },
                        "len": { "type": "integer", "description": "Length of the slices of a prefix." },
                        "index": { "type": "integer", "description": "Which slice, from 0." },
                    },
                });
                object.insert("anyOf".to_owned(), serde_json::json!([literal, variable]));
                object.extend(description.map(|text| ("description".to_owned(), text)));
            }
        }
        serde_json::Value::Array(array) => array.iter_mut().for_each(|inner| variables_in(inner, office)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}
