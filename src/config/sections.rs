//! A config as it travels: sections of bytes, each with its number and version. Head office encodes and resolves them,
//! the gateway resolves them again, compares the digest and checks what came out as if a person had written it. Start
//! reading at [`resolve`].

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::branch::{Branch, Identity};
use super::check;
use super::fault::{Author, Collector, Faults, Place};
use super::model::limits;
use super::raw::Parts;
use super::raw::fleet::Var;
use super::raw::read::{At, Value};
use super::raw::settable::Fill;
use super::raw::text::{Line, Phone};
use super::raw::values::{Named, Text};
use super::raw::wire::Input;
use super::vars::{Values, ValuesError, VarName, Variable};

/// One section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    pub id: u16,
    /// Of the struct that the bytes hold; a changed struct, grammar or default is a new version.
    pub version: u16,
    /// Whoever does not know it must refuse the whole.
    pub critical: bool,
    pub bytes: Vec<u8>,
}

/// The numbers of all sections; they stand in signed documents and never change their meaning.
pub mod id {
    pub const VARS: u16 = 1;
    pub const SITE: u16 = 2;
    pub const UPLINKS: u16 = 3;
    pub const NETWORKS: u16 = 4;
    pub const DNS: u16 = 5;
    pub const FIREWALL: u16 = 6;
    pub const PATHS: u16 = 7;
    pub const PROBES: u16 = 8;
    pub const QOS: u16 = 9;
    pub const TUNNELS: u16 = 10;
    pub const TIME: u16 = 11;
    pub const ACCESS: u16 = 12;
    pub const UPDATE: u16 = 13;
    pub const TELEMETRY: u16 = 14;
    pub const APPLY: u16 = 15;
    pub const SERVICES: u16 = 16;
}

/// What this firmware knows, by number: the version of each section.
pub const SUPPORTED: [(u16, u16); 12] = [
    (id::VARS, 1),
    (id::SITE, 1),
    (id::UPLINKS, 1),
    (id::NETWORKS, 1),
    (id::DNS, 1),
    (id::FIREWALL, 1),
    (id::PATHS, 1),
    (id::PROBES, 1),
    (id::ACCESS, 1),
    (id::TELEMETRY, 1),
    (id::APPLY, 1),
    (id::SERVICES, 1),
];

/// Without these a branch is not what the author meant, whatever their writer says.
fn is_always_critical(number: u16) -> bool {
    number <= id::PROBES || number == id::TUNNELS
}

/// Why sections are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SectionError {
    #[error("sections are not sorted, or one stands twice")]
    Order,
    #[error("the sections have {bytes} bytes, at most {} are read", limits::FILE_BYTES)]
    TooLarge { bytes: usize },
    #[error("section {id} version {version} is not supported")]
    Unsupported { id: u16, version: u16 },
    #[error("section {id} must be critical")]
    NotCritical { id: u16 },
    #[error("section {id} is not there")]
    Missing { id: u16 },
    #[error("section {id} does not read as one: {cause}")]
    Malformed { id: u16, cause: String },
    #[error("section {id} is not in the one form that this version has")]
    NotCanonical { id: u16 },
    #[error("a variable is left in what should be resolved: {name}")]
    Unresolved { name: VarName },
    #[error("a value does not fit its place: {cause}")]
    Misfit { cause: String },
    #[error("{what} of the branch is not allowed: {cause}")]
    Identity { what: &'static str, cause: String },
    #[error("the values are refused")]
    Values(#[from] ValuesError),
    #[error("the config is not valid\n{0}")]
    Invalid(Faults),
}

impl SectionError {
    /// A fixed word for status and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Order | Self::TooLarge { .. } | Self::Malformed { .. } | Self::NotCanonical { .. } => {
                "malformed_section"
            }
            Self::Unsupported { .. } | Self::NotCritical { .. } => "unsupported_section",
            Self::Missing { .. } => "missing_section",
            Self::Unresolved { .. } | Self::Misfit { .. } | Self::Values(_) => "unresolved_values",
            Self::Identity { .. } | Self::Invalid(_) => "invalid_config",
        }
    }
}

/// Sections of this firmware's versions, by number; only what is written is there.
pub(super) fn encode(parts: &Parts, vars: Option<&At<Named<Var, VarName>>>) -> Vec<Section> {
    fn section<T: Value>(number: u16, value: Option<&At<T>>) -> Option<Section> {
        let mut bytes = Vec::new();
        value?.value.put(&mut bytes);
        Some(Section { id: number, version: 1, critical: is_always_critical(number), bytes })
    }
    let Parts { site, uplinks, probes, paths, networks, dns, firewall, telemetry, access, apply, services } = parts;
    let sections = [
        section(id::VARS, vars),
        section(id::SITE, site.as_ref()),
        section(id::UPLINKS, uplinks.as_ref()),
        section(id::NETWORKS, networks.as_ref()),
        section(id::DNS, dns.as_ref()),
        section(id::FIREWALL, firewall.as_ref()),
        section(id::PATHS, paths.as_ref()),
        section(id::PROBES, probes.as_ref()),
        section(id::ACCESS, access.as_ref()),
        section(id::TELEMETRY, telemetry.as_ref()),
        section(id::APPLY, apply.as_ref()),
        section(id::SERVICES, services.as_ref()),
    ];
    sections.into_iter().flatten().collect()
}

#[derive(Default)]
struct Decoded {
    vars: Option<At<Named<Var, VarName>>>,
    parts: Parts,
}

/// Strict: sorted, known or allowed to be passed over, nothing behind the end, and in the one form that encoding gives,
/// so that no two texts of bytes mean the same.
fn decode(sections: &[Section]) -> Result<Decoded, SectionError> {
    fn take<T: Value>(section: &Section, name: &str) -> Result<Option<At<T>>, SectionError> {
        let number = section.id;
        let mut input = Input::new(&section.bytes);
        let value =
            T::take(&mut input, name).map_err(|bad| SectionError::Malformed { id: number, cause: bad.to_string() })?;
        let mut again = Vec::with_capacity(section.bytes.len());
        value.put(&mut again);
        if !input.is_empty() || again != section.bytes {
            return Err(SectionError::NotCanonical { id: number });
        }
        Ok(Some(At { value, key: name.to_owned(), place: Place(0) }))
    }
    if !sections.is_sorted_by(|one, next| one.id < next.id) {
        return Err(SectionError::Order);
    }
    let bytes = sections.iter().map(|section| section.bytes.len()).sum();
    if bytes > limits::FILE_BYTES {
        return Err(SectionError::TooLarge { bytes });
    }
    let mut decoded = Decoded::default();
    for section in sections {
        let Section { id: number, version, critical, .. } = *section;
        if is_always_critical(number) && !critical {
            return Err(SectionError::NotCritical { id: number });
        }
        if !SUPPORTED.contains(&(number, version)) {
            if critical {
                return Err(SectionError::Unsupported { id: number, version });
            }
            continue;
        }
        let parts = &mut decoded.parts;
        match number {
            id::VARS => decoded.vars = take(section, "vars")?,
            id::SITE => parts.site = take(section, "site")?,
            id::UPLINKS => parts.uplinks = take(section, "uplinks")?,
            id::NETWORKS => parts.networks = take(section, "networks")?,
            id::DNS => parts.dns = take(section, "dns")?,
            id::FIREWALL => parts.firewall = take(section, "firewall")?,
            id::PATHS => parts.paths = take(section, "paths")?,
            id::PROBES => parts.probes = take(section, "probes")?,
            id::ACCESS => parts.access = take(section, "access")?,
            id::TELEMETRY => parts.telemetry = take(section, "telemetry")?,
            id::APPLY => parts.apply = take(section, "apply")?,
            id::SERVICES => parts.services = take(section, "services")?,
            _ => return Err(SectionError::Unsupported { id: number, version }),
        }
    }
    if decoded.parts.uplinks.is_none() {
        return Err(SectionError::Missing { id: id::UPLINKS });
    }
    Ok(decoded)
}

/// Whether a gateway would read them at all; what was just encoded can only be too large.
pub(super) fn readable(sections: &[Section]) -> Result<(), SectionError> {
    decode(sections).map(|_| ())
}

/// Sections that this firmware passes over, because it does not know them and they are not critical.
pub fn skipped(sections: &[Section]) -> Vec<(u16, u16)> {
    let known = |section: &&Section| !SUPPORTED.contains(&(section.id, section.version)) && !section.critical;
    sections.iter().filter(known).map(|section| (section.id, section.version)).collect()
}

/// The declared variables, by number.
pub fn variables(sections: &[Section]) -> Result<Vec<Variable>, SectionError> {
    declared(&decode(sections)?)
}

fn declared(decoded: &Decoded) -> Result<Vec<Variable>, SectionError> {
    let mut faults = Collector::of(Author::Office, [("standard", "")]);
    let variables = check::vars::declare(decoded.vars.as_ref(), &mut faults);
    if faults.count() > 0 {
        return Err(SectionError::Invalid(faults.into_faults("standard")));
    }
    Ok(variables.into_iter().map(|(variable, _)| variable).collect())
}

/// Fills the values in and drops what their conditions drop. What comes out has no variables, no section 1, and the
/// same versions, so that every firmware that knows them makes the same bytes. Sections that are passed over are left
/// out: head office leaves them out before it computes the digest for a gateway that does not know them.
pub fn resolve(sections: &[Section], values: &Values) -> Result<Vec<Section>, SectionError> {
    let mut decoded = decode(sections)?;
    let values = values.complete(&declared(&decoded)?)?;
    let mut fill = Fill::with(&values);
    decoded.parts.fill(&mut fill);
    if let Some(at) = fill.missing.into_iter().next() {
        return Err(SectionError::Unresolved { name: at.value });
    }
    if let Some((_, fault)) = fill.faults.into_iter().next() {
        return Err(SectionError::Misfit { cause: fault.caused_by.unwrap_or(fault.error) });
    }
    Ok(encode(&decoded.parts, None))
}

/// SHA-256 over a domain string, then number, version, length and bytes of each section, little-endian.
pub fn digest(sections: &[Section]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"causeway resolved v1\0");
    for section in sections {
        hash.update(section.id.to_le_bytes());
        hash.update(section.version.to_le_bytes());
        hash.update(u64::try_from(section.bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(&section.bytes);
    }
    hash.finalize().into()
}

/// Resolved sections as the gateway's config, checked as if a person had written it, with the floor.
pub fn branch(sections: &[Section], identity: &Identity) -> Result<Branch, SectionError> {
    let decoded = decode(sections)?;
    check_identity(identity)?;
    let mut fill = Fill::default();
    decoded.parts.clone().fill(&mut fill);
    if let Some(used) = fill.uses.into_iter().next() {
        return Err(SectionError::Unresolved { name: used.name.value });
    }
    let mut faults = Collector::of(Author::Office, [("config", "")]);
    let found = check::branch(&decoded.parts, identity, &mut faults);
    match found {
        Some(branch) if faults.count() == 0 => Ok(branch),
        Some(_) | None => Err(SectionError::Invalid(faults.into_faults("config"))),
    }
}

/// Lines for people come from the online key: they hold what a file could hold, nothing else.
fn check_identity(identity: &Identity) -> Result<(), SectionError> {
    let line = |what: &'static str, text: Option<&String>| match text.map(|text| Line::parse(text)) {
        Some(Err((_, cause))) => Err(SectionError::Identity { what, cause }),
        Some(Ok(_)) | None => Ok(()),
    };
    line("the name", Some(&identity.name))?;
    line("the owner", identity.owner.as_ref())?;
    if let Some(Err((_, cause))) = identity.phone.as_ref().map(|text| Phone::parse(text)) {
        return Err(SectionError::Identity { what: "the telephone", cause });
    }
    if identity.contracts.len() > limits::UPLINKS {
        let cause = format!("there are {}", identity.contracts.len());
        return Err(SectionError::Identity { what: "the number of contracts", cause });
    }
    for contract in &identity.contracts {
        line("a provider", contract.provider.as_ref())?;
        line("a circuit", contract.circuit.as_ref())?;
    }
    Ok(())
}
