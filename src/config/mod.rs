//! The gateway's config: TOML as written (`raw`) is checked as a whole (`check`) and becomes a [`model`] that cannot hold
//! a bad value. Pure: the text comes in as a string. Start reading at [`parse`] and [`model::Gateway`].

mod check;
mod diff;
mod fault;
pub mod model;
mod raw;
pub mod words;

pub use diff::{Change, Disturbance, diff};
pub use fault::{Fault, Faults, Kind};

use fault::{Collector, Place};
use raw::read::{Node, Value};
use toml::de::{DeTable, DeValue};

/// Reads and checks a whole file. `file_name` only stands in messages. All faults are given, in the order of the lines.
pub fn parse(file_name: &str, text: &str) -> Result<model::Gateway, Faults> {
    let mut faults = Collector::new(text);
    let gateway = read(text, &mut faults);
    match gateway {
        Some(gateway) if faults.count() == 0 => Ok(gateway),
        _ => Err(faults.into_faults(file_name)),
    }
}

/// The JSON Schema of the file, from the same declarations that read it.
pub fn schema() -> serde_json::Value {
    let mut schema = raw::Gateway::schema();
    if let serde_json::Value::Object(object) = &mut schema {
        object.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        object.insert("title".to_owned(), "Causeway gateway".into());
    }
    schema
}

fn read(text: &str, faults: &mut Collector<'_>) -> Option<model::Gateway> {
    if text.len() > model::limits::FILE_BYTES {
        let fault = Fault::new(Kind::FileTooLarge, "the file is too large")
            .because(format!("it has {} bytes, at most {} are read", text.len(), model::limits::FILE_BYTES))
            .hint("is it really the gateway's config?");
        faults.add(Place(0), fault);
        return None;
    }
    let (table, mut errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        // What a broken file means is a guess, so nothing else is said about it.
        for (index, error) in errors.into_iter().enumerate() {
            let place = Place(error.span().map_or(0, |span| span.start));
            let fault =
                Fault::new(Kind::Syntax, "this is not TOML").because(fault::shown(error.message())).hint(match index {
                    0 => "see https://toml.io; often a quote, a bracket or a comma is missing just before",
                    _ => "perhaps only because of the fault before; mend that first",
                });
            faults.add(place, fault);
        }
        return None;
    }
    let root = DeValue::Table(table.into_inner());
    let node = Node { key: String::new(), place: Place(0), value: &root };
    let raw = raw::Gateway::read(&node, faults)?;
    check::gateway(&raw, faults)
}
