//! How TOML becomes raw types: a spanned tree is walked, every fault is collected and reading goes on. (serde would stop
//! at the first fault, and a person with five mistakes would need five attempts.) The macro `table!` makes a table's
//! reader, its list of known keys and its JSON Schema from one declaration, so that they cannot disagree.

use serde_json::{Map, Value as Json, json};
use toml::de::{DeTable, DeValue};

use super::settable::{Fill, When};
use super::wire::{Bad, Input};
use crate::config::fault::{Author, Collector, Fault, Kind, Place, listed, nearest, quoted, shown};

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

    /// As bytes, in postcard's format.
    fn put(&self, out: &mut Vec<u8>);
    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad>;

    /// From the text of a variable's value.
    fn of_text(_: &str) -> Result<Self, String> {
        Err("no variable can stand there".to_owned())
    }

    /// Fills variables in.
    fn fill(&mut self, _: &mut Fill<'_>) {}

    /// Where an entry says on which variable it depends.
    fn condition(&mut self) -> Option<&mut Option<At<When>>> {
        None
    }
}

impl Node<'_, '_> {
    /// The value is of another type than `T`.
    pub(crate) fn not_a<T: Value>(&self, faults: &mut Collector<'_>) {
        if let DeValue::Table(table) = self.value {
            for stranger in ["var", "secret"] {
                if table.contains_key(stranger) {
                    faults.add(self.place, foreign(&self.key, stranger, faults.author));
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
    /// Keys that only a gateway that stands alone has.
    pub(crate) standalone: &'static [&'static str],
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
            let misplaced = faults.author == Author::Office && keys.standalone.contains(&text);
            if keys.known.contains(&text) && !misplaced {
                continue;
            }
            let key = join(&node.key, text);
            let fault = if let Some((_, instead)) = keys.not_yet.iter().find(|(known, _)| *known == text) {
                later = true;
                Fault::new(Kind::NotYet, format!("`{key}` is not in this release"))
                    .because("it belongs to the full standard; to ignore it would promise what the gateway does not do")
                    .hint(*instead)
            } else if matches!(text, "var" | "when" | "secret") {
                foreign(&key, text, faults.author)
            } else if keys.office.contains(&text) {
                foreign(&key, text, Author::Gateway)
            } else if keys.standalone.contains(&text) {
                foreign(&key, text, Author::Office)
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
/// `not_yet { "key": "what to do instead" }`, `office { "key" }`, `standalone { "key" }`, and `conditional when` for an entry that
/// a variable switches.
macro_rules! table {
    (
        $(#[doc = $doc:literal])*
        $name:ident: $what:literal, $example:literal {
            $( $(#[doc = $field_doc:literal])* $field:ident $(= $key:literal)?: $need:ident $type:ty, )*
        }
        $( not_yet { $($later:literal: $instead:literal,)* } )?
        $( office { $($office:literal,)* } )?
        $( standalone { $($standalone:literal,)* } )?
        $( conditional $when:ident )?
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
                    standalone: &[$($($standalone,)*)?],
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

            fn put(&self, out: &mut Vec<u8>) {
                $( $crate::config::raw::wire::put_option(self.$field.as_ref(), out); )*
            }

            fn take(
                input: &mut $crate::config::raw::wire::Input<'_>,
                key: &str,
            ) -> Result<Self, $crate::config::raw::wire::Bad> {
                Ok(Self {
                    sound: true,
                    $( $field: input.$need(key, $crate::config::raw::read::key_name!($field $($key)?))?, )*
                })
            }

            fn fill(&mut self, fill: &mut $crate::config::raw::settable::Fill<'_>) {
                $( if let Some(at) = &mut self.$field {
                    at.value.fill(fill);
                } )*
            }

            fn condition(
                &mut self,
            ) -> Option<&mut Option<$crate::config::raw::read::At<$crate::config::raw::settable::When>>> {
                $crate::config::raw::read::condition!(self $($when)?)
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

macro_rules! condition {
    ($table:ident) => {
        None
    };
    ($table:ident $when:ident) => {
        Some(&mut $table.$when)
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

            fn put(&self, out: &mut Vec<u8>) {
                let index = [$($value,)+].iter().position(|value| value == self);
                $crate::config::raw::wire::put_leaf(&u8::try_from(index.unwrap_or_default()).unwrap_or(u8::MAX), out);
            }

            fn take(
                input: &mut $crate::config::raw::wire::Input<'_>,
                key: &str,
            ) -> Result<Self, $crate::config::raw::wire::Bad> {
                let index = usize::from(input.leaf::<u8>(key)?);
                let word = [$($value,)+].into_iter().nth(index);
                word.ok_or_else(|| $crate::config::raw::wire::Bad::new(key, "it is none of the words known there"))
            }

            fn of_text(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($value),)+
                    _ => Err(format!("{} is none of the words known there", $crate::config::fault::quoted(text))),
                }
            }
        }
    };
}

pub(crate) use {condition, key_name, table, words};

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

/// A key that belongs to another author's files, or a variable where none may stand.
pub(crate) fn foreign(key: &str, word: &str, author: Author) -> Fault {
    let (kind, what, cause, hint) = match (author, word) {
        (Author::Gateway, "var") => (
            Kind::OfficeOnly,
            "is a variable",
            "variables are filled in by head office's standard; a gateway that stands alone has none",
            "write the value itself",
        ),
        (Author::Gateway, "when") => (
            Kind::OfficeOnly,
            "is only known to head office",
            "`when` asks a variable of head office's standard; a gateway that stands alone has none",
            "take it out",
        ),
        (_, "secret") => {
            (Kind::OfficeOnly, "is a secret", "no key of this release takes a sealed secret", "write the value itself")
        }
        (Author::Gateway, _) => (
            Kind::OfficeOnly,
            "is only known to head office",
            "a gateway that stands alone has no standard and no variables",
            "take it out",
        ),
        (Author::Office, "var") => (
            Kind::NotSettable,
            "cannot be a variable",
            "a site may set values, never whom the branch talks to nor what may pass",
            "write the value itself",
        ),
        (Author::Office, "when") => (
            Kind::NotSettable,
            "cannot depend on a variable",
            "`when` belongs to rules, forwards, fixed hosts, services and zones of the DNS",
            "take it out",
        ),
        (Author::Office, _) => (
            Kind::StandaloneOnly,
            "does not belong into a standard",
            "it differs from branch to branch, so the inventory has it",
            "take it out, and write it into inventory.toml",
        ),
    };
    Fault::new(kind, format!("`{key}` {what}")).because(cause).hint(hint)
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
