//! Declarations of variables: types, bounds, defaults.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{at_most, bounded, integer};
use crate::config::fault::{Collector, Fault, Kind, Place, nearest, quoted};
use crate::config::model::limits;
use crate::config::raw::fleet::{Scalar, Var};
use crate::config::raw::read::At;
use crate::config::raw::values::Named;
use crate::config::vars::{VarName, VarType, Variable};

/// In the order of the file, which gives them their numbers; with the places of their declarations.
pub(in crate::config) fn declare(
    raw: Option<&At<Named<Var, VarName>>>,
    faults: &mut Collector<'_>,
) -> Vec<(Variable, Place)> {
    let entries = raw.map_or(&[][..], |at| bounded(&at.value, limits::VARIABLES, "vars", faults));
    let mut variables: Vec<(Variable, Place)> = Vec::new();
    for entry in entries {
        let Some(raw) = &entry.value else { continue };
        if let Some(variable) = variable(&entry.name, raw, faults) {
            variables.push((variable, entry.name.place));
        }
    }
    let kinds: BTreeMap<&VarName, VarType> = variables.iter().map(|(it, _)| (&it.name, it.kind)).collect();
    for entry in entries {
        let Some(needed_if) = entry.value.as_ref().and_then(|raw| raw.needed_if.as_ref()) else { continue };
        let fault = match kinds.get(&needed_if.value) {
            Some(VarType::Bool) => continue,
            Some(other) => {
                Fault::new(Kind::VariableType, format!("`{}` cannot be variable `{}`", needed_if.key, needed_if.value))
                    .because(format!("the variable is of type \"{}\", a condition is a \"bool\"", other.name()))
                    .hint("name a variable that is true or false")
            }
            None => unknown(needed_if, kinds.keys().map(|name| name.to_string())),
        };
        faults.add(needed_if.place, fault);
    }
    variables
}

/// A name that no variable has.
pub(super) fn unknown(at: &At<VarName>, known: impl Iterator<Item = String>) -> Fault {
    let known: Vec<String> = known.collect();
    let hint = match nearest(&at.value.to_string(), known.iter().map(String::as_str)) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("declare it: vars.{} = {{ type = … }}", at.value),
    };
    Fault::new(Kind::UnknownName, format!("`{}` names the unknown variable `{}`", at.key, at.value))
        .because("`vars` of the standard does not declare it")
        .hint(hint)
}

fn variable(name: &At<VarName>, raw: &Var, faults: &mut Collector<'_>) -> Option<Variable> {
    let before = faults.count();
    let kind = raw.r#type.as_ref()?.value;
    let of = raw.of.as_ref().map(|at| at.value);
    placed(name, raw, kind, faults);
    // Bounds of a list are those of its entries.
    let inner = if kind == VarType::List { of.unwrap_or(VarType::Word) } else { kind };
    let number = |at: Option<&At<Scalar>>, faults: &mut Collector<'_>| {
        let at = at.filter(|_| inner.is_number())?;
        let found = inner.canonical(&at.value.0).map(|text| inner.number(&text));
        match found {
            Ok(Some(number)) => return Some(number),
            Ok(None) => faults.add(at.place, contradiction(name, &format!("{} is too much", quoted(&at.value.0)))),
            Err(cause) => faults.add(at.place, contradiction(name, &cause)),
        }
        None
    };
    let usual = inner.usual_bounds();
    let min = number(raw.min.as_ref(), faults).or(usual.map(|(min, _)| min));
    let max = number(raw.max.as_ref(), faults).or(usual.map(|(_, max)| max));
    let within = raw.within.as_ref().map(|at| (at.value, at.place));
    if let Some((net, place)) = within
        && net != net.trunc()
    {
        faults
            .add(place, contradiction(name, &format!("bits behind the prefix length are set; write {}", net.trunc())));
    }
    let most = if kind == VarType::List {
        Variable::ENTRIES
    } else if kind == VarType::Text {
        Variable::TEXT
    } else {
        Variable::WORD
    };
    let most = u8::try_from(most).unwrap_or(u8::MAX);
    let mut variable = Variable {
        name: name.value.clone(),
        kind,
        of,
        min,
        max,
        within: within.map(|(net, _)| net),
        len: raw.len.as_ref().map(|at| integer(Some(at), 1..=128, 24, faults)),
        max_len: usize::from(integer(raw.max_len.as_ref(), 1..=most, most, faults)),
        one_of: Vec::new(),
        unique: raw.unique.as_ref().is_some_and(|at| at.value),
        default: None,
        needed_if: raw.needed_if.as_ref().map(|at| at.value.clone()),
    };
    let single = if inner == VarType::OneOf { VarType::Text } else { inner };
    let mut one_of = Vec::new();
    for at in raw.one_of.as_ref().map_or(&[][..], |list| at_most(list, Variable::ENTRIES, faults)) {
        match single.canonical(&at.value.0) {
            Ok(text) if one_of.contains(&text) => {
                faults.add(at.place, contradiction(name, &format!("{} stands twice in one_of", quoted(&text))));
            }
            Ok(text) => one_of.push(text),
            Err(cause) => faults.add(at.place, contradiction(name, &cause)),
        }
    }
    variable.one_of = one_of;
    open_bounds(name, raw, &variable, faults);
    if let Some(default) = &raw.default
        && faults.count() == before
    {
        match variable.take(&default.value.0) {
            Ok(value) => variable.default = Some(value),
            Err(refused) => {
                let kind = if refused.bounds { Kind::OutOfBounds } else { Kind::VariableType };
                let fault = Fault::new(kind, format!("the default of variable `{}` is not allowed", name.value));
                faults.add(default.place, fault.because(refused.cause).hint("change the default, or the bounds"));
            }
        }
    }
    (faults.count() == before).then_some(variable)
}

/// Keys that mean nothing for this type.
fn placed(name: &At<VarName>, raw: &Var, kind: VarType, faults: &mut Collector<'_>) {
    let inner = raw.of.as_ref().map_or(kind, |at| at.value);
    let prefix = matches!(inner, VarType::Prefix4 | VarType::Prefix6);
    let list = kind == VarType::List;
    let written = [
        ("of", raw.of.as_ref().map(|at| at.place), list),
        ("min", raw.min.as_ref().map(|at| at.place), inner.is_number()),
        ("max", raw.max.as_ref().map(|at| at.place), inner.is_number()),
        ("within", raw.within.as_ref().map(|at| at.place), prefix || inner == VarType::Addr4),
        ("len", raw.len.as_ref().map(|at| at.place), prefix),
        ("max_len", raw.max_len.as_ref().map(|at| at.place), list || matches!(kind, VarType::Word | VarType::Text)),
        ("one_of", raw.one_of.as_ref().map(|at| at.place), list || kind == VarType::OneOf),
    ];
    for (key, place, has) in written {
        if let (Some(place), false) = (place, has) {
            let fault = Fault::new(Kind::Conflict, format!("`{}.{key}` has no meaning here", name.key))
                .because(format!("a variable of type \"{}\" has no `{key}`", kind.name()))
                .hint("take it out, or change the type");
            faults.add(place, fault);
        }
    }
    if let Some(of) = raw.of.as_ref().filter(|of| of.value == VarType::List) {
        faults.add(of.place, contradiction(name, "a list of lists has no place to stand"));
    }
}

/// Whatever is not bounded cannot be tested at both ends.
fn open_bounds(name: &At<VarName>, raw: &Var, variable: &Variable, faults: &mut Collector<'_>) {
    let Variable { kind, of, min, max, within, len, one_of, .. } = variable;
    let inner = if *kind == VarType::List { of.unwrap_or(VarType::Word) } else { *kind };
    let prefix = matches!(inner, VarType::Prefix4 | VarType::Prefix6);
    let needed = [
        ("min", inner.is_number() && min.is_none() && raw.min.is_none()),
        ("max", inner.is_number() && max.is_none() && raw.max.is_none()),
        ("within", (prefix || inner == VarType::Addr4) && within.is_none()),
        ("len", prefix && len.is_none()),
        (
            "one_of",
            (inner == VarType::OneOf || *kind == VarType::List)
                && one_of.is_empty()
                && raw.one_of.as_ref().is_none_or(|at| at.value.whole),
        ),
        ("of", *kind == VarType::List && of.is_none()),
    ];
    for (key, _) in needed.iter().filter(|(_, missing)| *missing) {
        let fault = Fault::new(Kind::Bounds, format!("variable `{}` has no `{key}`", name.value))
            .because("what has no bounds cannot be tested, and some site would set what no gateway takes")
            .hint(format!("add {key} = …"));
        faults.add(name.place, fault);
    }
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        let cause = format!("its minimum {} is above its maximum {}", variable.show(*min), variable.show(*max));
        faults.add(name.place, contradiction(name, &cause));
    }
    if let Some(within) = within {
        let fits = (inner == VarType::Prefix6) == within.addr().is_ipv6();
        if !fits {
            faults.add(name.place, contradiction(name, &format!("{within} is of the other family")));
        }
    }
    if let (Some(within), Some(len)) = (within, len) {
        let bits = len.checked_sub(within.prefix_len());
        // Slices of it are counted in 31 bits, which is more than there are branches.
        if bits.is_none_or(|bits| bits > 31) || *len > IpNet::max_prefix_len(within) {
            faults.add(name.place, contradiction(name, &format!("no /{len} can be chosen within {within}")));
        }
    }
}

fn contradiction(name: &At<VarName>, cause: &str) -> Fault {
    Fault::new(Kind::Bounds, format!("the bounds of variable `{}` make no sense", name.value))
        .because(cause)
        .hint("docs/config.md has the bounds of each type")
}
