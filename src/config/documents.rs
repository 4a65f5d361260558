//! A standard and a branch's values as they stand in signed documents: head office writes them, the gateway reads them
//! back. What is optional here is empty there.

use super::branch::{Contract, Identity, Version};
use super::model::Name;
use super::sections::Section;
use super::vars::{Values, VarValue};
use crate::trust::bounded::{Bytes, List, OutOfBounds, Text};
use crate::trust::document;

/// A standard's sections, with variables in their places.
pub fn sections(standard: &document::Standard) -> Vec<Section> {
    standard.sections.iter().map(section).collect()
}

pub fn section(section: &document::Section) -> Section {
    Section { id: section.id.0, version: section.version, critical: section.critical, bytes: section.bytes.to_vec() }
}

/// The same the other way; too much for a document is an error.
pub fn signed_sections(sections: &[Section]) -> Result<document::Sections, OutOfBounds> {
    let write = |section: &Section| {
        Ok(document::Section {
            id: document::SectionId(section.id),
            version: section.version,
            critical: section.critical,
            bytes: Bytes::new(&section.bytes)?,
        })
    };
    List::new(sections.iter().map(write).collect::<Result<_, _>>()?)
}

/// What the branch sets. `None`: a value is not written as [`signed_values`] writes it.
pub fn values(site: &document::Site) -> Option<Values> {
    let read = |value: &document::Value| {
        let (read, rest) = postcard::take_from_bytes::<VarValue>(&value.bytes).ok()?;
        let canonical = postcard::to_allocvec(&read).is_ok_and(|bytes| bytes == *value.bytes);
        (rest.is_empty() && canonical).then_some((value.variable, read))
    };
    site.values.iter().map(read).collect::<Option<_>>().map(Values)
}

/// Each value is postcard of a choice: 0 and a text, or 1 and a list of texts.
pub fn signed_values(values: &Values) -> Result<List<document::Value, { document::VALUES_MOST }>, OutOfBounds> {
    let write = |(variable, value): &(u16, VarValue)| {
        let bytes = postcard::to_allocvec(value).expect("texts and lists of them are always written");
        Ok(document::Value { variable: *variable, bytes: Bytes::new(&bytes)? })
    };
    List::new(values.0.iter().map(write).collect::<Result<_, _>>()?)
}

/// The branch's names and contracts. `None`: an uplink's name is none.
pub fn identity(site: &document::Site) -> Option<Identity> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let contract = |contract: &document::Contract| {
        Some(Contract {
            uplink: Name::new(&contract.uplink).ok()?,
            provider: some(&contract.provider),
            circuit: some(&contract.circuit),
        })
    };
    Some(Identity {
        name: site.display_name.to_string(),
        owner: some(&site.owner),
        phone: some(&site.phone),
        contracts: site.contracts.iter().map(contract).collect::<Option<_>>()?,
    })
}

/// In the document's order: by uplink.
pub fn signed_contracts(
    contracts: &[Contract],
) -> Result<List<document::Contract, { document::CONTRACTS_MOST }>, OutOfBounds> {
    let text = |text: &Option<String>| Text::new(text.as_deref().unwrap_or_default());
    let write = |contract: &Contract| {
        Ok(document::Contract {
            uplink: Text::new(contract.uplink.as_str())?,
            provider: text(&contract.provider)?,
            circuit: text(&contract.circuit)?,
            support: Text::default(),
        })
    };
    let mut written: Vec<document::Contract> = contracts.iter().map(write).collect::<Result<_, _>>()?;
    written.sort_by(|one, other| one.uplink.cmp(&other.uplink));
    List::new(written)
}

impl From<Version> for document::Firmware {
    fn from(Version { major, minor, patch }: Version) -> Self {
        Self { major, minor, patch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::digest::Digest;
    use crate::trust::keys::DeviceId;

    fn site(values: &Values, identity: &Identity) -> document::Site {
        document::Site {
            tenant: Text::new("petit-shops").expect("short"),
            device: DeviceId(Digest::of(b"a device")),
            seq: 1,
            values: signed_values(values).expect("few"),
            site: Text::new("nantes").expect("short"),
            display_name: Text::new(&identity.name).expect("short"),
            owner: Text::new(identity.owner.as_deref().unwrap_or_default()).expect("short"),
            phone: Text::new(identity.phone.as_deref().unwrap_or_default()).expect("short"),
            address: Text::default(),
            contracts: signed_contracts(&identity.contracts).expect("few"),
            secrets: List::EMPTY,
        }
    }

    #[test]
    fn what_head_office_writes_is_what_the_gateway_reads() {
        let one = VarValue::One("40GB".to_owned());
        let many = VarValue::Many(vec!["a".to_owned(), "b".to_owned()]);
        let written = Values(vec![(0, one), (7, many)]);
        let contract = |uplink: &str, provider: Option<&str>| Contract {
            uplink: Name::new(uplink).expect("a name"),
            provider: provider.map(str::to_owned),
            circuit: None,
        };
        let named = Identity {
            name: "Nantes".to_owned(),
            owner: Some("Yann Le Goff".to_owned()),
            phone: None,
            contracts: vec![contract("fibre", Some("FibreCo")), contract("lte", None)],
        };
        let document = site(&written, &named);
        assert_eq!(values(&document), Some(written));
        assert_eq!(identity(&document), Some(named));
        assert_eq!(*document.values[0].bytes, *b"\0\x0440GB");
    }

    #[test]
    fn a_value_has_one_form() {
        let mut document = site(&Values(vec![(0, VarValue::One("a".to_owned()))]), &Identity::default());
        for bytes in [&b""[..], b"\0\x01", b"\0\x01ab", b"\0\x81\0a", b"\x02\x01a"] {
            let value = document::Value { variable: 0, bytes: Bytes::new(bytes).expect("short") };
            document.values = List::new(vec![value]).expect("one");
            assert_eq!(values(&document), None, "{bytes:?}");
        }
    }
}
