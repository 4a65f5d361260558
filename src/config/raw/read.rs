//! How TOML becomes raw types: a spanned tree is walked, every fault is collected and reading goes on. (serde would stop
//! at the first fault, and a person with five mistakes would need five attempts.) The macro `table!` makes a table's
//! reader, its list of known keys and its JSON Schema from one declaration, so that they cannot disagree.

use serde_json::{Map, Value as Json, json};
use toml::de::{DeTable, DeValue};

use crate::config::fault::{Collector, Fault, Kind, Place, listed, nearest, quoted, shown};

/// A value with its key (for the message) and its place (for line and column).
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) key: String,
    pub(crate) place: Place,
}

impl<T> At<T> {
    pub(crate) fn map<U>(&self, f: impl FnOnce(&T) -> U) -> At<U> {
        At { value: f(&self.value), key: self.key.clone(), place: self.place }
    }
}

/// What stands at one place in the file, not yet read.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a, 'i> {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: &'a DeValue<'i>,
}

/// Something that can stand at a key.
pub(crate) trait Value: Sized {
    /// With its article, for "`key` is not …".
    const WHAT: &'static str;
    /// For the hint "write it as …".
    const EXAMPLE: &'static str;

    /// `None`: it is not one, and `faults` says why.
    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self>;
    fn schema() -> Json;
}

impl Node<'_, '_> {
    /// The value is of another type than `T`.
    pub(crate) fn not_a<T: Value>(&self, faults: &mut Collector<'_>) {
        if let DeValue::Table(table) = self.value {
            for stranger in ["var", "secret"] {
                if table.contains_key(stranger) {
                    faults.add(self.place, office_only(&self.key, stranger));
                    return;
                }
            }
        }
        let found = match self.value {
            DeValue::String(text) => format!("the string {}", quoted(text)),
            DeValue::Integer(number) => format!("the number {}", shown(&number.to_string())),
            DeValue::Float(number) => format!("the number {}", shown(&number.to_string())),
            DeValue::Boolean(value) => format!("the boolean {value}"),
            DeValue::Datetime(date) => format!("the date {date}"),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        self.wrong::<T>(Kind::Type, format!("it is {found}"), faults);
    }

    /// The value is of the type of `T`, but does not read as one.
    pub(crate) fn wrong<T: Value>(&self, kind: Kind, cause: String, faults: &mut Collector<'_>) {
        let fault = Fault::new(kind, format!("`{}` is not {}", self.key, T::WHAT))
            .because(cause)
            .hint(format!("write it as {}", T::EXAMPLE));
        faults.add(self.place, fault);
    }
}

/// A table that is being read.
pub(crate) struct Table<'n, 'a, 'i> {
    node: &'n Node<'a, 'i>,
    entries: &'a DeTable<'i>,
    /// A key of a later release stands in for one that is required now; its hint says what to write.
    later: bool,
}

/// What a table knows about keys.
pub(crate) struct Keys {
    pub(crate) known: &'static [&'static str],
    /// Keys of the full standard, each with what to do instead.
    pub(crate) not_yet: &'static [(&'static str, &'static str)],
    pub(crate) office: &'static [&'static str],
}

impl<'n, 'a, 'i> Table<'n, 'a, 'i> {
    /// Reports every key that is not known.
    pub(crate) fn open<T: Value>(node: &'n Node<'a, 'i>, keys: &Keys, faults: &mut Collector<'_>) -> Option<Self> {
        let DeValue::Table(entries) = node.value else {
            node.not_a::<T>(faults);
            return None;
        };
        let mut later = false;
        for name in entries.keys() {
            let (text, place) = (name.get_ref().as_ref(), Place(name.span().start));
            if keys.known.contains(&text) {
                continue;
            }
            let key = join(&node.key, text);
            let fault = if let Some((_, instead)) = keys.not_yet.iter().find(|(known, _)| *known == text) {
                later = true;
                Fault::new(Kind::NotYet, format!("`{key}` is not in this release"))
                    .because("it belongs to the full standard; to ignore it would promise what the gateway does not do")
                    .hint(*instead)
            } else if keys.office.contains(&text) || matches!(text, "var" | "when" | "secret") {
                office_only(&key, text)
            } else {
                unknown(&key, &node.key, text, keys)
            };
            faults.add(place, fault);
        }
        Some(Self { node, entries, later })
    }

    pub(crate) fn optional<T: Value>(&self, name: &str, faults: &mut Collector<'_>) -> Option<At<T>> {
        let value = self.entries.get(name)?;
        let node = Node { key: join(&self.node.key, name), place: Place(value.span().start), value: value.get_ref() };
        T::read(&node, faults).map(|value| At { value, key: node.key, place: node.place })
    }

    pub(crate) fn required<T: Value>(&self, name: &str, faults: &mut Collector<'_>) -> Option<At<T>> {
        if !self.entries.contains_key(name) && !self.later {
            let whole = if self.node.key.is_empty() { "the file".to_owned() } else { format!("`{}`", self.node.key) };
            let fault = Fault::new(Kind::Missing, format!("{whole} has no `{name}`"))
                .because(format!("`{name}` is required: {}", T::WHAT))
                .hint(format!("add {name} = {}", T::EXAMPLE));
            faults.add(self.node.place, fault);
        }
        self.optional(name, faults)
    }
}

/// `table! { Name: "a what", "{ an = example }" { field: optional Type, r#match = "match": required Type } }` with
/// `not_yet { "key": "what to do instead" }` and `office { "key" }`.
macro_rules! table {
    (
        $(#[doc = $doc:literal])*
        $name:ident: $what:literal, $example:literal {
            $( $(#[doc = $field_doc:literal])* $field:ident $(= $key:literal)?: $need:ident $type:ty, )*
        }
        $( not_yet { $($later:literal: $instead:literal,)* } )?
        $( office { $($office:literal,)* } )?
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            /// No fault was found while reading it: what is missing was not written.
            pub(crate) sound: bool,
            $( $(#[doc = $field_doc])* pub(crate) $field: Option<$crate::config::raw::read::At<$type>>, )*
        }

        impl $crate::config::raw::read::Value for $name {
            const WHAT: &'static str = $what;
            const EXAMPLE: &'static str = $example;

            fn read(
                node: &$crate::config::raw::read::Node<'_, '_>,
                faults: &mut $crate::config::fault::Collector<'_>,
            ) -> Option<Self> {
                let keys = $crate::config::raw::read::Keys {
                    known: &[$($crate::config::raw::read::key_name!($field $($key)?),)*],
                    not_yet: &[$($(($later, $instead),)*)?],
                    office: &[$($($office,)*)?],
                };
                let before = faults.count();
                let table = $crate::config::raw::read::Table::open::<Self>(node, &keys, faults)?;
                let mut read = Self {
                    sound: true,
                    $( $field: table.$need($crate::config::raw::read::key_name!($field $($key)?), faults), )*
                };
                read.sound = faults.count() == before;
                Some(read)
            }

            fn schema() -> serde_json::Value {
                $crate::config::raw::read::object_schema(
                    &[$($doc),*],
                    vec![$((
                        $crate::config::raw::read::key_name!($field $($key)?),
                        stringify!($need) == "required",
                        <$type as $crate::config::raw::read::Value>::schema(),
                        &[$($field_doc),*][..],
                    ),)*],
                )
            }
        }
    };
}

macro_rules! key_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

/// A closed set of words: reader, schema and hint from one list.
macro_rules! words {
    ($type:ty: $what:literal, $example:literal { $($word:literal => $value:expr,)+ }) => {
        impl $crate::config::raw::read::Value for $type {
            const WHAT: &'static str = $what;
            const EXAMPLE: &'static str = $example;

            fn read(
                node: &$crate::config::raw::read::Node<'_, '_>,
                faults: &mut $crate::config::fault::Collector<'_>,
            ) -> Option<Self> {
                match $crate::config::raw::read::choice::<Self>(node, &[$($word,)+], faults)? {
                    $($word => Some($value),)+
                    _ => None,
                }
            }

            fn schema() -> serde_json::Value {
                serde_json::json!({ "type": "string", "enum": [$($word,)+] })
            }
        }
    };
}

pub(crate) use {key_name, table, words};

/// A closed word at this place, or the fault that there is none.
pub(crate) fn choice<'w, T: Value>(
    node: &Node<'_, '_>,
    known: &[&'w str],
    faults: &mut Collector<'_>,
) -> Option<&'w str> {
    let DeValue::String(text) = node.value else {
        node.not_a::<T>(faults);
        return None;
    };
    let found = known.iter().find(|word| **word == text.as_ref());
    if found.is_none() {
        faults.add(node.place, not_a_choice::<T>(&node.key, text, known));
    }
    found.copied()
}

pub(crate) fn not_a_choice<T: Value>(key: &str, written: &str, known: &[&str]) -> Fault {
    let hint = match nearest(written, known.iter().copied()) {
        Some(word) => format!("did you mean \"{word}\"?"),
        None => format!("write it as {}", T::EXAMPLE),
    };
    Fault::new(Kind::Choice, format!("`{key}` is not {}", T::WHAT))
        .because(format!("{} is not one of the words known there", quoted(written)))
        .hint(hint)
}

pub(crate) fn object_schema(doc: &[&str], fields: Vec<(&str, bool, Json, &[&str])>) -> Json {
    let required: Vec<&str> = fields.iter().filter(|(_, required, ..)| *required).map(|(name, ..)| *name).collect();
    let describe = |(name, _, mut schema, doc): (&str, bool, Json, &[&str])| {
        if let Json::Object(object) = &mut schema
            && !doc.is_empty()
        {
            object.insert("description".to_owned(), prose(doc));
        }
        (name.to_owned(), schema)
    };
    let properties: Map<String, Json> = fields.into_iter().map(describe).collect();
    let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if let Json::Object(object) = &mut schema {
        if !required.is_empty() {
            object.insert("required".to_owned(), json!(required));
        }
        if !doc.is_empty() {
            object.insert("description".to_owned(), prose(doc));
        }
    }
    schema
}

/// `uplinks` and `fibre` make `uplinks.fibre`.
pub(crate) fn join(parent: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let name = if bare { shown(name) } else { quoted(name) };
    if parent.is_empty() { name } else { format!("{parent}.{name}") }
}

fn prose(doc: &[&str]) -> Json {
    Json::String(doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "))
}

fn office_only(key: &str, word: &str) -> Fault {
    let cause = match word {
        "var" => "variables are filled in by head office's standard; a gateway that stands alone has none",
        "when" => "`when` asks a variable of head office's standard; a gateway that stands alone has none",
        "secret" => "no key of this release takes a sealed secret",
        _ => "a gateway that stands alone has no standard and no variables",
    };
    let hint = match word {
        "var" | "secret" => "write the value itself",
        _ => "take it out",
    };
    let what = match word {
        "var" => "is a variable",
        "secret" => "is a secret",
        _ => "is only known to head office",
    };
    Fault::new(Kind::OfficeOnly, format!("`{key}` {what}")).because(cause).hint(hint)
}

fn unknown(key: &str, table: &str, written: &str, keys: &Keys) -> Fault {
    let whole = if table.is_empty() { "the file".to_owned() } else { format!("`{table}`") };
    let hint = match nearest(written, keys.known.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => "take it out, or look it up in docs/config.md".to_owned(),
    };
    let known = listed(keys.known.iter().map(|word| format!("`{word}`")), "and");
    Fault::new(Kind::UnknownKey, format!("unknown key `{key}`")).because(format!("{whole} knows {known}")).hint(hint)
}
