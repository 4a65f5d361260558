//! What can stand as a value whatever the key: numbers, lists, named tables, and strings with a grammar ([`Text`]). The
//! grammars are in [`super::text`].

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::read::{At, Node, Value, join};
use crate::config::fault::{Collector, Fault, Kind, Place, quoted};
use crate::config::model::Name;

/// A string with a grammar.
pub(crate) trait Text: Sized {
    const WHAT: &'static str;
    const EXAMPLE: &'static str;

    /// The error is the cause, in words.
    fn parse(text: &str) -> Result<Self, (Kind, String)>;
}

impl<T: Text> Value for T {
    const WHAT: &'static str = T::WHAT;
    const EXAMPLE: &'static str = T::EXAMPLE;

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        let DeValue::String(text) = node.value else {
            node.not_a::<Self>(faults);
            return None;
        };
        match T::parse(text) {
            Ok(value) => Some(value),
            Err((kind, cause)) => {
                node.wrong::<Self>(kind, cause, faults);
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": "string" })
    }
}

impl Value for i64 {
    const WHAT: &'static str = "a whole number";
    const EXAMPLE: &'static str = "digits, without quotes";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        let DeValue::Integer(number) = node.value else {
            node.not_a::<Self>(faults);
            return None;
        };
        let value = Self::from_str_radix(number.as_str(), number.radix());
        if value.is_err() {
            node.wrong::<Self>(Kind::Range, "it has too many digits".to_owned(), faults);
        }
        value.ok()
    }

    fn schema() -> Json {
        json!({ "type": "integer" })
    }
}

impl Value for bool {
    const WHAT: &'static str = "a boolean";
    const EXAMPLE: &'static str = "true or false, without quotes";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        let DeValue::Boolean(value) = node.value else {
            node.not_a::<Self>(faults);
            return None;
        };
        Some(*value)
    }

    fn schema() -> Json {
        json!({ "type": "boolean" })
    }
}

/// A list in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct List<T> {
    pub(crate) entries: Vec<At<T>>,
    /// No entry was left out because it could not be read (its fault is known then).
    pub(crate) whole: bool,
}

impl<T> List<T> {
    /// Written as `[]`.
    pub(crate) fn is_empty(&self) -> bool {
        self.whole && self.entries.is_empty()
    }
}

impl<T: Value> Value for List<T> {
    const WHAT: &'static str = "a list";
    const EXAMPLE: &'static str = "[…], also for a single entry";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        let DeValue::Array(array) = node.value else {
            node.not_a::<Self>(faults);
            return None;
        };
        let mut entries = Vec::with_capacity(array.len());
        for (index, entry) in array.iter().enumerate() {
            let key = format!("{}[{}]", node.key, index + 1);
            let node = Node { key, place: Place(entry.span().start), value: entry.get_ref() };
            let value = T::read(&node, faults);
            entries.extend(value.map(|value| At { value, key: node.key, place: node.place }));
        }
        let whole = entries.len() == array.len();
        Some(Self { entries, whole })
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema() })
    }
}

/// Tables with names that a person gave, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Named<T> {
    pub(crate) entries: Vec<Entry<T>>,
    /// As in [`List`]: every name is one.
    pub(crate) whole: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry<T> {
    pub(crate) name: At<Name>,
    /// `None`: not readable; the name is known all the same, so that what refers to it is no second fault.
    pub(crate) value: Option<T>,
}

impl<T: Value> Value for Named<T> {
    const WHAT: &'static str = "a table of named tables";
    const EXAMPLE: &'static str = "{ name = { … } }";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        let DeValue::Table(table) = node.value else {
            node.not_a::<Self>(faults);
            return None;
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut named = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let place = Place(key.span().start);
            let child = Node { key: join(&node.key, key.get_ref()), place, value: value.get_ref() };
            match Name::new(key.get_ref()) {
                Ok(name) => {
                    let name = At { value: name, key: child.key.clone(), place };
                    named.push(Entry { name, value: T::read(&child, faults) });
                }
                Err(error) => {
                    let what = format!("{} in `{}` is not a name", quoted(key.get_ref()), node.key);
                    let fault = Fault::new(Kind::Alphabet, what).because(error.to_string());
                    faults.add(place, fault.hint("a name has 1 to 32 characters of a-z, 0-9 and \"-\""));
                    T::read(&child, faults);
                }
            }
        }
        let whole = named.len() == table.len();
        Some(Self { entries: named, whole })
    }

    fn schema() -> Json {
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z0-9-]{1,32}$" },
            "additionalProperties": T::schema(),
        })
    }
}

/// One of them, or a list of them.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMore<T>(pub(crate) List<T>);

impl<T: Value> Value for OneOrMore<T> {
    const WHAT: &'static str = T::WHAT;
    const EXAMPLE: &'static str = T::EXAMPLE;

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        if matches!(node.value, DeValue::Array(_)) {
            return List::read(node, faults).map(Self);
        }
        let value = T::read(node, faults)?;
        let entries = vec![At { value, key: node.key.clone(), place: node.place }];
        Some(Self(List { entries, whole: true }))
    }

    fn schema() -> Json {
        json!({ "anyOf": [T::schema(), { "type": "array", "items": T::schema() }] })
    }
}
