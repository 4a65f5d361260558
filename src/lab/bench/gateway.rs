//! What a new standard costs the gateway before its trial: verified, resolved, checked, compared with what runs, and turned
//! into rules and files. The same code as the daemon's, on documents that are really signed.

use std::time::Duration;

use super::{Row, Unit};
use crate::apply::services::{Backend, Paths, Services};
use crate::config::Branch;
use crate::config::fleet::{self, Fleet};
use crate::daemon::weigh;
use crate::kernel::ruleset::{Learnt, Ruleset};
use crate::lab::LabError;
use crate::lab::clock;
use crate::office::compile::{self, Imprint};
use crate::office::records::Blob;
use crate::trust::bounded::{List, Text};
use crate::trust::digest::Digest;
use crate::trust::document::{Assignment, Document, Firmware, Flags, SealedKey, Seconds, Turn};
use crate::trust::floors::Floors;
use crate::trust::keys::Signer;
use crate::trust::root::{RoleKeys, Root, TrustedRoot};
use crate::trust::verify::{Blobs, Identity, Verifier};

/// More than any branch that we know of has.
const RULES: usize = 256;
const VARIABLES: usize = 128;
const TIMES: u32 = 30;
const BAR: Duration = Duration::from_millis(50);
const SITE: &str = "lyon";
const TENANT: &str = "bench";
const MODEL: &str = "cw-x1";

pub(super) fn rows() -> Result<Vec<Row>, LabError> {
    let (release, online, device) = (signer(1), signer(2), signer(3));
    let root = root(&release, &online)?;
    let (old, new) = (fleet(0)?, fleet(1)?);
    let running = branch(&old)?;
    let documents = documents(&new, &release, &online, &device)?;
    let identity = Identity {
        tenant: text(TENANT)?,
        device: device.public().device(),
        model: text(MODEL)?,
        firmware: Firmware::new(1, 4, 2),
    };
    let mut floors = Floors::new(Seconds::default());
    floors.accept_root(root.root(), Seconds::default());
    let services = Services::new(Backend::Networkd, Paths::system());
    let mut samples = Vec::new();
    for _ in 0..TIMES {
        let began = clock::now();
        let verifier = Verifier { root: &root, identity: &identity, floors: &floors };
        let blobs = Blobs { standard: &documents.standard, site: &documents.site };
        let weighed = weigh(&verifier, &documents.assignment, blobs, &running);
        let (branch, checked) = weighed.map_err(|refusal| LabError::Other(format!("it is refused: {refusal}")))?;
        let ruleset = Ruleset::new(&branch.gateway, &Learnt::default());
        let files = services.files(&branch).map_err(|error| LabError::Other(error.to_string()))?;
        samples.push(clock::now().since(began).as_secs_f64());
        if checked.empty || ruleset.rules() < RULES || files.is_empty() {
            return Err(LabError::Other("the change that was measured is none".to_owned()));
        }
    }
    let what = format!("verify, resolve, plan: {RULES} rules");
    Ok(vec![Row::new(&what, "–", BAR.as_secs_f64(), Unit::Seconds, samples)])
}

struct Documents {
    assignment: Vec<u8>,
    standard: Vec<u8>,
    site: Vec<u8>,
}

fn documents(fleet: &Fleet, release: &Signer, online: &Signer, device: &Signer) -> Result<Documents, LabError> {
    let other = |error: &dyn std::fmt::Display| LabError::Other(error.to_string());
    let turn = Turn::new(1, 2);
    let imprint = Imprint { tenant: TENANT, turn, created_at: 1_800_000_000, author: "bench", ticket: "B-1" };
    let standard = compile::standard(&fleet.standard, &imprint).map_err(|error| other(&error))?;
    let standard = signed(&standard, release)?;
    let site = fleet.site(SITE).ok_or_else(|| other(&"no site"))?;
    let record = compile::site_record(fleet, site).map_err(|error| other(&error))?;
    let device = device.public().device();
    let document = compile::site(&text(TENANT)?, device, 1, SITE, &record).map_err(|error| other(&error))?;
    let site = signed(&document, online)?;
    let assignment = Assignment {
        tenant: text(TENANT)?,
        device,
        turn: Turn::new(1, 1),
        root_version: 1,
        standard: Blob::of(&standard, turn.seq).reference(),
        site: Blob::of(&site, 1).reference(),
        resolved: record.resolved,
        standard_key: SealedKey::default(),
        site_key: SealedKey::default(),
        rollout: 1,
        wave: 0,
        flags: Flags::default(),
        issued_at: Seconds::default(),
    };
    Ok(Documents { assignment: signed(&assignment, online)?, standard, site })
}

fn root(release: &Signer, online: &Signer) -> Result<TrustedRoot, LabError> {
    let own = signer(4);
    let only = |signer: &Signer| RoleKeys { threshold: 1, keys: List::truncated([signer.public()]) };
    let root = Root {
        tenant: text(TENANT)?,
        version: 1,
        epoch: 1,
        root: only(&own),
        release: only(release),
        online: only(online),
        offices: List::EMPTY,
        mirrors: List::EMPTY,
        created_at: Seconds::default(),
    };
    let bytes = signed(&root, &own)?;
    TrustedRoot::pinned(&bytes, &Digest::of(&bytes)).map_err(|refusal| LabError::Other(refusal.to_string()))
}

/// Rules to a net each, and a fixed host for each variable that says whether it is there.
fn fleet(changed: u8) -> Result<Fleet, LabError> {
    let rules: Vec<String> = (0..RULES)
        .map(|n| {
            let (port, net) = (443 + u16::from(changed), n % 256);
            format!(
                "{{ from = [\"office\"], to = [\"wan\"], dest = [\"198.18.{net}.0/24\"], allow = [\"tcp/{port}\"] }}"
            )
        })
        .collect();
    let hosts: Vec<String> = (1..VARIABLES)
        .map(|n| format!("{{ name = \"host-{n}\", mac = \"02:00:00:00:00:{n:02x}\", host = {n}, when = \"has_{n}\" }}"))
        .map(|host| host.replacen("host = 1,", "host = 200,", 1))
        .collect();
    let bools: String = (1..VARIABLES).map(|n| format!("has_{n} = {{ type = \"bool\", default = true }}\n")).collect();
    let standard = format!(
        r#"standard = {{ name = "bench", schema = 1, models = ["{MODEL}"] }}
[probes]
targets = [{{ icmp = "9.9.9.9" }}, {{ icmp = "1.1.1.1" }}]
[uplinks]
fibre = {{ device = "wan0", medium = "fibre", ipv4 = "dhcp" }}
[networks]
office = {{ vlan = 10, ports = ["lan0"], net = {{ var = "site_net", len = 24, index = 0 }}, dhcp = {{ from = 210, to = 240, lease = "12h" }}, fixed = [{}] }}
[firewall]
rules = [{}]
[vars]
site_net = {{ type = "prefix4", within = "10.0.0.0/9", len = 24, unique = true }}
{bools}"#,
        hosts.join(", "),
        rules.join(", ")
    );
    let files = [
        ("standard.toml", standard),
        ("inventory.toml", format!("[sites]\n{SITE} = {{ name = \"Lyon\", owner = \"Anna Petit\" }}\n")),
        ("sites/lyon.toml", "vars = { site_net = \"10.16.1.0/24\" }\n".to_owned()),
        ("office.toml", format!("tenant = \"{TENANT}\"\naddresses = [\"https://office.example\"]\n")),
    ];
    let files: Vec<(String, String)> = files.map(|(name, text)| (name.to_owned(), text)).to_vec();
    fleet::check("bench", &files).map_err(|faults| LabError::Other(faults.to_string()))
}

fn branch(fleet: &Fleet) -> Result<Branch, LabError> {
    let site = fleet.site(SITE).ok_or_else(|| LabError::Other("no site".to_owned()))?;
    fleet.branch(site).map_err(|error| LabError::Other(error.to_string()))
}

fn signed<D: Document>(document: &D, signer: &Signer) -> Result<Vec<u8>, LabError> {
    let draft = document.draft().map_err(|error| LabError::Other(error.to_string()))?;
    draft.sign(signer).encode().map_err(|error| LabError::Other(error.to_string()))
}

fn signer(number: u8) -> Signer {
    Signer::from_seed(&[number; 32])
}

fn text<const MOST: usize>(text: &str) -> Result<Text<MOST>, LabError> {
    Text::new(text).map_err(|_| LabError::Other(format!("{text} is too long")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standard_of_many_rules_is_really_weighed() {
        let rows = rows().expect("documents that are accepted");
        assert_eq!(rows.len(), 1);
    }
}
