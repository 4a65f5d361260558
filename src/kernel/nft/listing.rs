//! What nft says our table is, reduced to what can be compared. Pure.

use std::fmt;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use super::TableState;
use crate::kernel::ruleset::{GENERATION_CHAIN, Generation};

/// The empty chain whose name ends in the digest of the listing without it.
pub(super) const SEAL_CHAIN: &str = "seal_";

/// Our table as nft shows it, without what changes by itself.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) generation: Option<Generation>,
    pub(super) seal: Option<Generation>,
    pub(super) digest: Generation,
    pub(super) rules: usize,
}

impl Listing {
    pub(super) fn parse(output: &[u8]) -> Result<Self, serde_json::Error> {
        let Output { nftables } = serde_json::from_slice(output)?;
        Ok(nftables)
    }

    fn take(&mut self, mut object: Value) {
        if object.get("metainfo").is_some() {
            return;
        }
        if let Some(name) = object.pointer("/chain/name").and_then(Value::as_str) {
            if let Some(hex) = name.strip_prefix(SEAL_CHAIN) {
                self.seal = parse_generation(hex);
                return;
            }
            self.generation = self.generation.or(name.strip_prefix(GENERATION_CHAIN).and_then(parse_generation));
        }
        self.rules += usize::from(object.get("rule").is_some());
        normalise(&mut object);
        self.digest = self.digest.and(object.to_string().as_bytes());
    }

    pub(super) fn compare(&self, wanted: Generation) -> TableState {
        match self.generation {
            None => TableState::Changed,
            Some(found) if found != wanted => TableState::Other(found),
            Some(_) if self.seal == Some(self.digest) => TableState::Right,
            Some(_) => TableState::Changed,
        }
    }
}

#[derive(serde::Deserialize)]
struct Output {
    nftables: Listing,
}

/// One object at a time: the listing of a large table must not be in memory twice.
impl<'de> Deserialize<'de> for Listing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Objects;

        impl<'de> Visitor<'de> for Objects {
            type Value = Listing;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of nftables objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<Listing, A::Error> {
                let mut listing = Listing { generation: None, seal: None, digest: Generation::EMPTY, rules: 0 };
                while let Some(object) = objects.next_element()? {
                    listing.take(object);
                }
                Ok(listing)
            }
        }

        deserializer.deserialize_seq(Objects)
    }
}

fn parse_generation(hex: &str) -> Option<Generation> {
    (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok().map(Generation)).flatten()
}

/// Handles are the kernel's, counters count, members of a set have no order.
fn normalise(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("handle");
            if let Some(counter) = fields.get_mut("counter") {
                *counter = Value::Null;
            }
            fields.values_mut().for_each(normalise);
            for name in ["elem", "set"] {
                let Some(members) = fields.get_mut(name).and_then(Value::as_array_mut) else { continue };
                members.sort_by_cached_key(Value::to_string);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
        {"table": {"family": "inet", "name": "causeway", "handle": 7}},
        {"chain": {"family": "inet", "table": "causeway", "name": "generation_00000000000000ff", "handle": 1}},
        {"rule": {"chain": "input", "handle": 3, "expr": [{"counter": {"packets": 5, "bytes": 400}}, {"drop": null}]}}]}"#;

    fn parse(text: &str) -> Listing {
        Listing::parse(text.as_bytes()).expect("a listing")
    }

    #[test]
    fn handles_and_counters_do_not_break_the_seal() {
        let later = LISTING.replace("\"handle\": 3", "\"handle\": 12").replace("\"packets\": 5", "\"packets\": 6");
        assert_eq!(parse(LISTING).digest, parse(&later).digest);
        let changed = LISTING.replace("\"drop\"", "\"accept\"");
        assert_ne!(parse(LISTING).digest, parse(&changed).digest);
    }

    #[test]
    fn a_table_is_right_only_with_its_generation_and_its_seal() {
        let wanted = Generation(0xff);
        assert_eq!(parse(LISTING).compare(wanted), TableState::Changed, "not sealed yet");
        assert_eq!(parse(LISTING).compare(Generation(1)), TableState::Other(wanted));
        let seal = format!("{{\"chain\": {{\"name\": \"seal_{}\"}}}}, {{\"rule\"", parse(LISTING).digest);
        let sealed = LISTING.replace("{\"rule\"", &seal);
        assert_eq!(parse(&sealed).compare(wanted), TableState::Right);
        assert_eq!(parse(&sealed.replace("drop", "accept")).compare(wanted), TableState::Changed);
    }
}
