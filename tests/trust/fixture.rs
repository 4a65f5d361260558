//! A small fleet with fixed keys: nothing here is random, so every file made from it is the same everywhere.

use std::time::Duration;

use causeway::time::Instant;
use causeway::trust::bounded::{Bytes, List, Text};
use causeway::trust::digest::Digest;
use causeway::trust::document::{
    Admission, Assignment, Contract, Document, EnrolReceipt, Firmware, Flags, Freshness, Label, Reference, SealedKey,
    SealedSecret, Seconds, Section, SectionId, Site, Standard, Tenant, Turn, Value,
};
use causeway::trust::floors::{BootId, Floors};
use causeway::trust::freshness::Nonces;
use causeway::trust::keys::{DeviceId, PublicKey, Signer};
use causeway::trust::refusal::Refusal;
use causeway::trust::root::{Office, RoleKeys, Root, TrustedRoot};
use causeway::trust::verify::{Content, Identity, Opener, Verifier};

/// The nonce that is out in every test.
pub(super) const NONCE: [u8; 16] = [0x11; 16];
/// One that was asked too long ago.
pub(super) const OLD_NONCE: [u8; 16] = [0x22; 16];

/// Seeds are the name's SHA-256: anybody can make the same keys.
pub(super) fn signer(name: &str) -> Signer {
    Signer::from_seed(Digest::of(name.as_bytes()).bytes())
}

pub(super) fn device() -> DeviceId {
    signer("device").public().device()
}

pub(super) fn label(text: &str) -> Label {
    Text::new(text).expect("it is short")
}

pub(super) fn tenant() -> Tenant {
    label("petit")
}

pub(super) fn seconds(value: u64) -> Seconds {
    Seconds::new(value).expect("before the year 9999")
}

pub(super) fn role(threshold: u8, names: &[&str]) -> RoleKeys {
    let keys: Vec<PublicKey> = names.iter().map(|name| signer(name).public()).collect();
    RoleKeys { threshold, keys: List::new(keys).expect("at most eight") }
}

/// Two of three roots, two of two releases, one of two online keys.
pub(super) fn root(version: u32) -> Root {
    Root {
        tenant: tenant(),
        version,
        epoch: 1,
        root: role(2, &["root a", "root b", "root c"]),
        release: role(2, &["release a", "release b"]),
        online: role(1, &["online a", "online b"]),
        offices: List::new(vec![Office {
            address: Text::new("https://office.petit.example").expect("short"),
            pins: List::new(vec![Digest::of(b"the server's public key")]).expect("one"),
        }])
        .expect("one"),
        mirrors: List::new(vec![Text::new("https://mirror.example/petit").expect("short")]).expect("one"),
        created_at: seconds(1_790_000_000),
    }
}

pub(super) fn signed<D: Document>(document: &D, signers: &[&str]) -> Vec<u8> {
    let draft = document.draft().expect("a right document");
    let draft = signers.iter().fold(draft, |draft, name| draft.sign(&signer(name)));
    draft.encode().expect("it fits")
}

pub(super) fn section(id: SectionId, bytes: &[u8]) -> Section {
    Section { id, version: 1, critical: true, bytes: Bytes::new(bytes).expect("short") }
}

pub(super) fn standard() -> Standard {
    Standard {
        tenant: tenant(),
        name: label("retail"),
        turn: Turn::new(1, 42),
        way_back_of: None,
        created_at: seconds(1_800_000_000),
        author: label("Anna Petit"),
        approvers: List::new(vec![label("Ben Petit")]).expect("one"),
        ticket: label("NET-118"),
        models: List::new(vec![label("cw-a1"), label("cw-x1")]).expect("two"),
        min_firmware: Firmware::new(1, 4, 0),
        sections: List::new(vec![
            section(SectionId::VARS, &[1, 2, 7]),
            section(SectionId::UPLINKS, b"fibre lte"),
            section(SectionId::FIREWALL, b"closed"),
        ])
        .expect("three"),
    }
}

pub(super) fn site() -> Site {
    let value = |variable, bytes: &[u8]| Value { variable, bytes: Bytes::new(bytes).expect("short") };
    Site {
        tenant: tenant(),
        device: device(),
        seq: 7,
        values: List::new(vec![value(1, &[10, 16, 32]), value(7, &[1])]).expect("two"),
        site: label("lyon-bellecour"),
        display_name: Text::new("Lyon Bellecour").expect("short"),
        owner: Text::new("Anna Petit").expect("short"),
        phone: label("+33 4 00 00 00 00"),
        address: Text::new("12 place Bellecour, Lyon").expect("short"),
        contracts: List::new(vec![Contract {
            uplink: label("fibre"),
            provider: label("FibreCo"),
            circuit: label("FC-883-112"),
            support: label("+33 8 00 00 00 00"),
        }])
        .expect("one"),
        secrets: List::new(vec![SealedSecret { name: label("pppoe"), sealed: Bytes::new(&[7; 60]).expect("short") }])
            .expect("one"),
    }
}

pub(super) fn reference(bytes: &[u8], seq: u64) -> Reference {
    Reference { digest: Digest::of(bytes), size: u32::try_from(bytes.len()).expect("small"), seq }
}

/// One set of documents that belong together.
#[derive(Clone)]
pub(super) struct Set {
    pub(super) standard: Standard,
    pub(super) site: Site,
    pub(super) turn: Turn,
    pub(super) root_version: u32,
}

impl Set {
    pub(super) fn new() -> Self {
        Self { standard: standard(), site: site(), turn: Turn::new(1, 101), root_version: 2 }
    }

    pub(super) fn standard_bytes(&self) -> Vec<u8> {
        signed(&self.standard, &["release a", "release b"])
    }

    pub(super) fn site_bytes(&self) -> Vec<u8> {
        signed(&self.site, &["online a"])
    }

    pub(super) fn assignment(&self) -> Assignment {
        self.naming(&self.standard_bytes(), &self.site_bytes())
    }

    /// An assignment that names these very bytes.
    pub(super) fn naming(&self, standard: &[u8], site: &[u8]) -> Assignment {
        Assignment {
            tenant: tenant(),
            device: device(),
            turn: self.turn,
            root_version: self.root_version,
            standard: reference(standard, self.standard.turn.seq),
            site: reference(site, self.site.seq),
            resolved: FakeContent.resolved(&self.standard, &self.site),
            standard_key: SealedKey::default(),
            site_key: SealedKey::default(),
            rollout: 118,
            wave: 1,
            flags: Flags::default(),
            issued_at: seconds(1_800_100_000),
        }
    }
}

pub(super) fn freshness() -> Freshness {
    let assignment = Set::new().assignment();
    Freshness {
        tenant: tenant(),
        device: device(),
        nonce: NONCE,
        assignment: Digest::of(&signed(&assignment, &["online a"])),
        turn: assignment.turn,
        root_version: 2,
        hold: false,
        time: seconds(1_800_200_000),
    }
}

pub(super) fn receipt() -> EnrolReceipt {
    EnrolReceipt {
        tenant: tenant(),
        device: device(),
        nonce: NONCE,
        site: label("lyon-bellecour"),
        admission: Admission::Accepted,
        time: seconds(1_800_200_000),
    }
}

/// Root 1, then root 2, in force.
pub(super) fn trusted() -> TrustedRoot {
    let first = signed(&root(1), &["root a", "root b"]);
    let pinned = TrustedRoot::pinned(&first, &Digest::of(&first)).expect("root 1 is right");
    pinned.next(&signed(&root(2), &["root a", "root c"])).expect("root 2 is right")
}

/// A device that runs standard 41 by assignment 100.
pub(super) fn floors() -> Floors {
    let mut floors = Floors::new(seconds(1_780_000_000));
    floors.accept_root(trusted().root(), seconds(1_780_000_000));
    floors.raise_standard(Turn::new(1, 41), seconds(1_795_000_000));
    floors.raise_assignment(Turn::new(1, 100), Digest::of(b"assignment 100"));
    floors.raise_time_online(seconds(1_796_000_000), BootId([9; 16]), now());
    floors
}

pub(super) fn identity() -> Identity {
    Identity { tenant: tenant(), device: device(), model: label("cw-x1"), firmware: Firmware::new(1, 4, 2) }
}

pub(super) fn now() -> Instant {
    Instant::from_nanos(7_200_000_000_000)
}

/// Both questions are out; the old one for 21 minutes.
pub(super) fn asked() -> Nonces {
    let mut nonces = Nonces::new(Instant::ORIGIN);
    nonces.issue(OLD_NONCE, now() - Duration::from_mins(21));
    nonces.issue(NONCE, now() - Duration::from_mins(10));
    nonces
}

pub(super) struct Judge {
    pub(super) root: TrustedRoot,
    pub(super) identity: Identity,
    pub(super) floors: Floors,
}

impl Judge {
    pub(super) fn new() -> Self {
        Self { root: trusted(), identity: identity(), floors: floors() }
    }

    pub(super) fn verifier(&self) -> Verifier<'_> {
        self.verifier_under(&self.root, &self.floors)
    }

    pub(super) fn verifier_under<'a>(&'a self, root: &'a TrustedRoot, floors: &'a Floors) -> Verifier<'a> {
        Verifier { root, identity: &self.identity, floors }
    }
}

/// Knows three sections of one version; a value's variable must be declared; the firewall says what is wrong with it.
pub(super) struct FakeContent;

impl FakeContent {
    pub(super) fn resolved(&self, standard: &Standard, site: &Site) -> Digest {
        let sections: Vec<&Section> = standard.sections.iter().collect();
        self.resolve(standard, &sections, site).map_or(Digest::of(b"nothing"), |(_, digest)| digest)
    }
}

impl Content for FakeContent {
    type Resolved = Vec<u8>;
    type Plan = ();

    fn supports(&self, section: SectionId, version: u16) -> bool {
        let known = [SectionId::VARS, SectionId::UPLINKS, SectionId::FIREWALL];
        known.contains(&section) && version == 1
    }

    fn resolve(&self, _: &Standard, sections: &[&Section], site: &Site) -> Option<(Vec<u8>, Digest)> {
        let declared = sections.iter().find(|section| section.id == SectionId::VARS)?;
        let mut resolved = Vec::new();
        for value in site.values.iter() {
            let number = u8::try_from(value.variable).ok()?;
            if !declared.bytes.contains(&number) || value.bytes.len() > 8 {
                return None;
            }
            resolved.extend(value.bytes.iter());
        }
        for section in sections {
            resolved.extend(section.bytes.iter());
        }
        let digest = Digest::of_parts(&[b"fake\0", &resolved]);
        Some((resolved, digest))
    }

    fn validate(&self, resolved: &Vec<u8>) -> Result<(), Refusal> {
        let says = |word: &[u8]| resolved.windows(word.len()).any(|window| window == word);
        if says(b"contradiction") {
            Err(Refusal::InvalidConfig)
        } else if says(b"open to wan") {
            Err(Refusal::FloorRule)
        } else {
            Ok(())
        }
    }

    fn plan(&self, resolved: &Vec<u8>) -> Option<()> {
        (!resolved.windows(6).any(|window| window == b"no way")).then_some(())
    }
}

/// A cipher for tests: XOR with the key's first byte, if the key ends with 1.
pub(super) struct FakeOpener;

impl Opener for FakeOpener {
    fn open(&self, sealed: &SealedKey, blob: &[u8]) -> Option<Vec<u8>> {
        let (first, last) = (sealed.first()?, sealed.last()?);
        (*last == 1).then(|| blob.iter().map(|byte| byte ^ first).collect())
    }
}
