//! Places where a variable of the standard may stand: `{ var = "x" }` for a whole value, with `len` and `index` a slice of
//! a prefix, and `when` for an entry that a boolean switches. Filled in by [`Fill`]; there are no other derivations.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::calendar::{Timezone, Week};
use super::read::{At, Node, Value, table};
use super::text::{Bytes, Percent, Rate};
use super::values::List;
use super::wire::{Bad, Input, put_leaf};
use crate::config::branch::Mac;
use crate::config::fault::{Author, Collector, Fault, Kind, Place, listed, quoted};
use crate::config::model::{Medium, Name};
use crate::config::vars::{VarName, VarType, VarValue};

/// A value, or the variable that holds it.
#[derive(Clone, Debug)]
pub(crate) enum Settable<T> {
    Value(T),
    Var(VarRef),
}

#[derive(Clone, Debug)]
pub(crate) struct VarRef {
    pub(crate) name: At<VarName>,
    pub(crate) slice: Option<Slice>,
}

/// The `index`-th part of length `len` of a prefix, counted in parts of that length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) len: u8,
    pub(crate) index: u32,
}

/// What a variable can be the value of.
pub(crate) trait Fillable: Value + Clone {
    const TYPES: &'static [VarType];

    fn from_var(value: &VarValue, slice: Option<Slice>) -> Result<Self, String> {
        match (value, slice) {
            (VarValue::One(text), None) => Self::of_text(text),
            (VarValue::Many(_), _) => Err("it is a list".to_owned()),
            (VarValue::One(_), Some(_)) => Err("only a prefix has slices".to_owned()),
        }
    }
}

impl Fillable for bool {
    const TYPES: &'static [VarType] = &[VarType::Bool];
}

impl Fillable for i64 {
    const TYPES: &'static [VarType] = &[VarType::Int, VarType::Vlan];
}

impl Fillable for Rate {
    const TYPES: &'static [VarType] = &[VarType::Rate];
}

impl Fillable for Bytes {
    const TYPES: &'static [VarType] = &[VarType::Bytes];
}

impl Fillable for Duration {
    const TYPES: &'static [VarType] = &[VarType::Duration];
}

impl Fillable for Percent {
    const TYPES: &'static [VarType] = &[VarType::Percent];
}

impl Fillable for Mac {
    const TYPES: &'static [VarType] = &[VarType::Mac];
}

impl Fillable for Timezone {
    const TYPES: &'static [VarType] = &[VarType::Timezone];
}

impl Fillable for Week {
    const TYPES: &'static [VarType] = &[VarType::Week];
}

impl Fillable for Medium {
    const TYPES: &'static [VarType] = &[VarType::OneOf];
}

impl Fillable for List<Name> {
    const TYPES: &'static [VarType] = &[VarType::List];

    fn from_var(value: &VarValue, _: Option<Slice>) -> Result<Self, String> {
        let VarValue::Many(texts) = value else { return Err("it is no list".to_owned()) };
        let entry =
            |text: &String| Name::of_text(text).map(|value| At { value, key: String::new(), place: Place::default() });
        Ok(Self { entries: texts.iter().map(entry).collect::<Result<_, _>>()?, whole: true })
    }
}

impl Fillable for Ipv4Net {
    const TYPES: &'static [VarType] = &[VarType::Prefix4];

    fn from_var(value: &VarValue, slice: Option<Slice>) -> Result<Self, String> {
        match sliced(value, slice)? {
            IpNet::V4(net) => Ok(net),
            IpNet::V6(net) => Err(format!("{net} is no IPv4 prefix")),
        }
    }
}

impl Fillable for Ipv6Net {
    const TYPES: &'static [VarType] = &[VarType::Prefix6];

    fn from_var(value: &VarValue, slice: Option<Slice>) -> Result<Self, String> {
        match sliced(value, slice)? {
            IpNet::V6(net) => Ok(net),
            IpNet::V4(net) => Err(format!("{net} is no IPv6 prefix")),
        }
    }
}

fn sliced(value: &VarValue, slice: Option<Slice>) -> Result<IpNet, String> {
    let VarValue::One(text) = value else { return Err("it is a list".to_owned()) };
    let net = IpNet::of_text(text)?;
    let Some(Slice { len, index }) = slice else { return Ok(net) };
    cut(net, len, index).ok_or_else(|| {
        let parts = len.checked_sub(net.prefix_len()).map_or(0, |bits| 1_u128.checked_shl(bits.into()).unwrap_or(0));
        match parts {
            0 => format!("a /{len} is larger than {net}"),
            1 => format!("{net} has one /{len} only, with index 0"),
            parts => format!("{net} has {parts} of /{len}, with index 0 to {}", parts - 1),
        }
    })
}

/// `None`: there is no such part.
pub(crate) fn cut(net: IpNet, len: u8, index: u32) -> Option<IpNet> {
    let width = net.max_prefix_len();
    let bits = len.checked_sub(net.prefix_len()).filter(|_| len <= width)?;
    if bits < 32 && u64::from(index) >= 1_u64 << bits {
        return None;
    }
    let offset = u128::from(index) << (width - len);
    match net {
        IpNet::V4(net) => {
            let base = u32::from(net.network()) | u32::try_from(offset).ok()?;
            Ipv4Net::new(base.into(), len).ok().map(IpNet::from)
        }
        IpNet::V6(net) => {
            let base = u128::from(net.network()) | offset;
            Ipv6Net::new(base.into(), len).ok().map(IpNet::from)
        }
    }
}

impl<T: Fillable> Settable<T> {
    /// `None`: the variable has no value, and its fault is known.
    pub(crate) fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Var(_) => None,
        }
    }
}

/// The value that stands there, if one does.
pub(crate) fn set<T: Fillable>(at: Option<&At<Settable<T>>>) -> Option<At<T>> {
    let at = at?;
    let value = at.value.value()?.clone();
    Some(At { value, key: at.key.clone(), place: at.place })
}

table! {
    /// A variable of the standard.
    VarTable: "a variable", "{ var = \"site_net\" }" {
        /// Its name in `vars`.
        var: required VarName,
        /// Length of the slices, in bits.
        len: optional i64,
        /// Which slice, from 0.
        index: optional i64,
    }
}

impl<T: Fillable> Value for Settable<T> {
    const WHAT: &'static str = T::WHAT;
    const EXAMPLE: &'static str = T::EXAMPLE;

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        let variable = matches!(node.value, DeValue::Table(table) if table.contains_key("var"));
        if !variable || faults.author == Author::Gateway {
            return T::read(node, faults).map(Self::Value);
        }
        let VarTable { sound, var, len, index } = VarTable::read(node, faults)?;
        let prefix = T::TYPES.iter().any(|it| matches!(it, VarType::Prefix4 | VarType::Prefix6));
        let number = |at: &At<i64>, faults: &mut Collector<'_>| {
            let found = u32::try_from(at.value).ok();
            if found.is_none() || !prefix {
                let cause = if prefix { "it is out of range" } else { "only a prefix has slices" };
                faults.add(at.place, slice_fault(&node.key, cause));
            }
            found
        };
        let slice = match (&len, &index) {
            (None, None) => None,
            (Some(len), Some(index)) => {
                let (len_bits, index) = (number(len, faults)?, number(index, faults)?);
                let longest = if T::TYPES.contains(&VarType::Prefix6) { 128 } else { 32 };
                match u8::try_from(len_bits).ok().filter(|bits| *bits <= longest) {
                    Some(len) => Some(Slice { len, index }),
                    None => {
                        faults.add(len.place, slice_fault(&node.key, &format!("no prefix has a length of {len_bits}")));
                        return None;
                    }
                }
            }
            (Some(_), None) | (None, Some(_)) => {
                faults
                    .add(node.place, slice_fault(&node.key, "one of `len` and `index` says nothing without the other"));
                return None;
            }
        };
        let name = At { value: var?.value, key: node.key.clone(), place: node.place };
        sound.then_some(Self::Var(VarRef { name, slice }))
    }

    fn schema() -> Json {
        let mut schema = T::schema();
        if let Json::Object(object) = &mut schema {
            object.insert("variable".to_owned(), json!(T::TYPES.iter().map(|it| it.name()).collect::<Vec<_>>()));
        }
        schema
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Value(value) => {
                put_leaf(&0_u8, out);
                value.put(out);
            }
            Self::Var(VarRef { name, slice }) => {
                put_leaf(&1_u8, out);
                name.value.put(out);
                put_leaf(&slice.map(|slice| (slice.len, slice.index)), out);
            }
        }
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        match input.leaf::<u8>(key)? {
            0 => T::take(input, key).map(Self::Value),
            1 => {
                let name = At { value: VarName::take(input, key)?, key: key.to_owned(), place: Place::default() };
                let slice = input.leaf::<Option<(u8, u32)>>(key)?.map(|(len, index)| Slice { len, index });
                Ok(Self::Var(VarRef { name, slice }))
            }
            _ => Err(Bad::new(key, "it is neither a value nor a variable")),
        }
    }

    fn fill(&mut self, fill: &mut Fill<'_>) {
        let Self::Var(reference) = self else { return };
        if let Some(value) = fill.value(&reference.name, T::TYPES) {
            match T::from_var(value, reference.slice) {
                Ok(value) => *self = Self::Value(value),
                Err(cause) => fill.faults.push((reference.name.place, slice_or_value(&reference.name, &cause))),
            }
        }
    }
}

/// The boolean variable on which an entry depends.
#[derive(Clone, Debug)]
pub(crate) struct When(pub(crate) VarName);

impl Value for When {
    const WHAT: &'static str = "the name of a variable";
    const EXAMPLE: &'static str = "when = \"has_camera\"";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        if faults.author == Author::Gateway {
            faults.add(node.place, super::read::foreign(&node.key, "when", faults.author));
            return None;
        }
        VarName::read(node, faults).map(Self)
    }

    fn schema() -> Json {
        json!({ "type": "string", "office": true })
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        VarName::take(input, key).map(Self)
    }
}

/// Where a variable is used, and as what.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) name: At<VarName>,
    pub(crate) types: &'static [VarType],
}

/// Fills values into places; without values it only finds the places.
#[derive(Default)]
pub(crate) struct Fill<'v> {
    values: Option<&'v BTreeMap<VarName, VarValue>>,
    pub(crate) uses: Vec<Use>,
    /// Places whose variable has no value.
    pub(crate) missing: Vec<At<VarName>>,
    pub(crate) faults: Vec<(Place, Fault)>,
}

impl<'v> Fill<'v> {
    pub(crate) fn with(values: &'v BTreeMap<VarName, VarValue>) -> Self {
        Self { values: Some(values), ..Self::default() }
    }

    fn value(&mut self, name: &At<VarName>, types: &'static [VarType]) -> Option<&'v VarValue> {
        self.uses.push(Use { name: name.clone(), types });
        let value = self.values?.get(&name.value);
        if value.is_none() {
            self.missing.push(name.clone());
        }
        value
    }

    /// Whether an entry stays; the condition is taken off it.
    pub(crate) fn keeps<T: Value>(&mut self, entry: &mut At<T>) -> bool {
        let Some(condition) = entry.value.condition() else { return true };
        let Some(when) = condition else { return true };
        let name = when.map(|when| when.0.clone());
        match self.value(&name, &[VarType::Bool]) {
            Some(value) => {
                *condition = None;
                *value == VarValue::One("true".to_owned())
            }
            None => true,
        }
    }
}

fn slice_fault(key: &str, cause: &str) -> Fault {
    Fault::new(Kind::Slice, format!("`{key}` cuts no slice"))
        .because(cause)
        .hint("a /20 has sixteen slices with len = 24, index = 0 to 15")
}

fn slice_or_value(name: &At<VarName>, cause: &str) -> Fault {
    Fault::new(Kind::Slice, format!("`{}` cannot be taken from variable `{}`", name.key, name.value))
        .because(cause)
        .hint("slices are counted in their own length, from 0")
}

/// A place that takes no variable of this type.
pub(crate) fn wrong_type(used: &Use, found: VarType) -> Fault {
    let wanted = listed(used.types.iter().map(|it| quoted(it.name())), "or");
    Fault::new(Kind::VariableType, format!("`{}` cannot be variable `{}`", used.name.key, used.name.value))
        .because(format!("the variable is of type {}, the place takes {wanted}", quoted(found.name())))
        .hint("change the type of the variable, or write the value itself")
}
