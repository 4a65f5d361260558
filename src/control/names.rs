//! How the names of the engine's own types stand in JSON and in its schema.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::config::model::Family;
use crate::health::{Cause, State};
use crate::policy::Suppressed;

/// A family is called `ipv4` or `ipv6` wherever a person or a dashboard sees it.
pub(super) mod family_name {
    use serde::de::{Deserializer, Error};
    use serde::{Deserialize, Serializer};

    use super::Family;

    pub(crate) fn serialize<S: Serializer>(family: &Family, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(family.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Family, D::Error> {
        let name = String::deserialize(deserializer)?;
        Family::BOTH
            .into_iter()
            .find(|family| family.name() == name)
            .ok_or_else(|| D::Error::custom("a family is ipv4 or ipv6"))
    }
}

pub(super) fn family(_: &mut SchemaGenerator) -> Schema {
    names(Family::BOTH.iter().map(|family| family.name()))
}

pub(super) fn state(_: &mut SchemaGenerator) -> Schema {
    names(State::ALL.iter().map(|state| state.name()))
}

pub(super) fn cause_or_null(_: &mut SchemaGenerator) -> Schema {
    or_null(Cause::ALL.iter().map(|cause| cause.name()))
}

pub(super) fn verdict_or_null(_: &mut SchemaGenerator) -> Schema {
    or_null(["silent", "loss", "wrong", "local"].into_iter())
}

pub(super) fn suppressed_or_null(_: &mut SchemaGenerator) -> Schema {
    or_null(Suppressed::ALL.iter().map(|reason| reason.name()))
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> Schema {
    json_schema!({ "type": "string", "enum": all.collect::<Vec<_>>() })
}

fn or_null<'a>(all: impl Iterator<Item = &'a str>) -> Schema {
    let values: Vec<_> = all.map(Some).chain([None]).collect();
    json_schema!({ "type": ["string", "null"], "enum": values })
}
