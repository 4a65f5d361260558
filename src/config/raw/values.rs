//! What can stand as a value whatever the key: numbers, lists, named tables, and strings with a grammar ([`Text`]). The
//! grammars are in [`super::text`].

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::read::{At, Node, Value, join};
use super::settable::Fill;
use super::wire::{Bad, Input, put_count, put_leaf};
use crate::config::fault::{Collector, Fault, Kind, Place, quoted};
use crate::config::model::Name;

/// A string with a grammar.
pub(crate) trait Text: Sized {
    const WHAT: &'static str;
    const EXAMPLE: &'static str;

    /// The error is the cause, in words.
    fn parse(text: &str) -> Result<Self, (Kind, String)>;

    /// The one text that stands for the value wherever bytes are compared.
    fn text(&self) -> String;
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

    fn put(&self, out: &mut Vec<u8>) {
        put_leaf(&self.text(), out);
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        T::parse(input.leaf(key)?).map_err(|(_, cause)| Bad::new(key, cause))
    }

    fn of_text(text: &str) -> Result<Self, String> {
        T::parse(text).map_err(|(_, cause)| cause)
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

    fn put(&self, out: &mut Vec<u8>) {
        put_leaf(self, out);
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        input.leaf(key)
    }

    fn of_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{} is no whole number", quoted(text)))
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

    fn put(&self, out: &mut Vec<u8>) {
        put_leaf(self, out);
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        input.leaf(key)
    }

    fn of_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{} is neither true nor false", quoted(text)))
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

    fn put(&self, out: &mut Vec<u8>) {
        put_count(self.entries.len(), out);
        self.entries.iter().for_each(|at| at.value.put(out));
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        let mut entries = Vec::new();
        for index in 0..input.count(key)? {
            let key = format!("{key}[{}]", index + 1);
            entries.push(At { value: T::take(input, &key)?, key, place: Place::default() });
        }
        Ok(Self { entries, whole: true })
    }

    fn fill(&mut self, fill: &mut Fill<'_>) {
        self.entries.retain_mut(|entry| {
            let kept = fill.keeps(entry);
            if kept {
                entry.value.fill(fill);
            }
            kept
        });
    }
}

/// A key that a person chooses.
pub(crate) trait Key: Clone + Ord + std::fmt::Display {
    const WHAT: &'static str;
    const HINT: &'static str;
    const PATTERN: &'static str;

    fn of(text: &str) -> Result<Self, String>;
}

impl Key for Name {
    const WHAT: &'static str = "a name";
    const HINT: &'static str = "a name has 1 to 32 characters of a-z, 0-9 and \"-\"";
    const PATTERN: &'static str = "^[a-z0-9-]{1,32}$";

    fn of(text: &str) -> Result<Self, String> {
        Self::new(text).map_err(|error| error.to_string())
    }
}

/// Tables with names that a person gave, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Named<T, K = Name> {
    pub(crate) entries: Vec<Entry<T, K>>,
    /// As in [`List`]: every name is one.
    pub(crate) whole: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry<T, K = Name> {
    pub(crate) name: At<K>,
    /// `None`: not readable; the name is known all the same, so that what refers to it is no second fault.
    pub(crate) value: Option<T>,
}

impl<T: Value, K: Key> Value for Named<T, K> {
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
            match K::of(key.get_ref()) {
                Ok(name) => {
                    let name = At { value: name, key: child.key.clone(), place };
                    named.push(Entry { name, value: T::read(&child, faults) });
                }
                Err(cause) => {
                    let what = format!("{} in `{}` is not {}", quoted(key.get_ref()), node.key, K::WHAT);
                    faults.add(place, Fault::new(Kind::Alphabet, what).because(cause).hint(K::HINT));
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
            "propertyNames": { "pattern": K::PATTERN },
            "additionalProperties": T::schema(),
        })
    }

    fn put(&self, out: &mut Vec<u8>) {
        let sound: Vec<_> =
            self.entries.iter().filter_map(|entry| Some((&entry.name, entry.value.as_ref()?))).collect();
        put_count(sound.len(), out);
        for (name, value) in sound {
            put_leaf(&name.value.to_string(), out);
            value.put(out);
        }
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        let mut entries: Vec<Entry<T, K>> = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..input.count(key)? {
            let text: &str = input.leaf(key)?;
            let name = K::of(text).map_err(|cause| Bad::new(key, cause))?;
            let key = join(key, text);
            if !seen.insert(name.clone()) {
                return Err(Bad::new(&key, "it stands twice"));
            }
            let value = Some(T::take(input, &key)?);
            entries.push(Entry { name: At { value: name, key, place: Place::default() }, value });
        }
        Ok(Self { entries, whole: true })
    }

    fn fill(&mut self, fill: &mut Fill<'_>) {
        self.entries.iter_mut().filter_map(|entry| entry.value.as_mut()).for_each(|value| value.fill(fill));
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

    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        List::take(input, key).map(Self)
    }

    fn fill(&mut self, fill: &mut Fill<'_>) {
        self.0.fill(fill);
    }
}
