//! A head office in a folder of its own, with a fleet of a few sites, and branches that talk to it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use causeway::config::documents;
use causeway::config::sections;
use causeway::lab::branch::{Answer, Branch, Line, pinned};
use causeway::office::assign::{Intent, assign};
use causeway::office::claim::{Wanted, claim};
use causeway::office::folder::{Folder, ROOT_DIGEST, read_digest};
use causeway::office::init::{Made, Plan, init};
use causeway::office::keyfile::Cost;
use causeway::office::publish::now;
use causeway::office::records::{Members, Release, Rollout};
use causeway::office::release::{Pending, Words, prepare};
use causeway::office::serve::{Office, Options};
use causeway::office::store::Store;
use causeway::trust::digest::Digest;
use causeway::trust::document::{Firmware, Section, SectionId, Site, Standard, Tenant, Token};
use causeway::trust::document::{SealedKey, Seconds};
use causeway::trust::floors::Floors;
use causeway::trust::freshness::Nonces;
use causeway::trust::keys::{Role, Signer};
use causeway::trust::refusal::Refusal;
use causeway::trust::root::TrustedRoot;
use causeway::trust::verify::{Content, Identity, Opener};

pub(super) const PASSPHRASE: &str = "correct horse battery";
/// The real one takes a second and 256 MiB.
const CHEAP: Cost = Cost { memory_kib: 64, passes: 1 };
pub(super) const SITES: [&str; 3] = ["nantes", "brest", "lyon"];
pub(super) const NONCE: [u8; 16] = [4; 16];

pub(super) struct World {
    pub(super) path: PathBuf,
    pub(super) made: Made,
    pub(super) store: Store,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl World {
    pub(super) async fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("causeway-office-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let plan = Plan {
            tenant: "petit-shops".to_owned(),
            urls: vec!["https://127.0.0.1:8443".to_owned()],
            folder: path.join("fleet"),
            state: path.join("state"),
            certificate: None,
            by: "anna".to_owned(),
            at: now(),
        };
        let made = init(&plan, PASSPHRASE, CHEAP).await.expect("a head office");
        let mut inventory = "[sites]\n".to_owned();
        for (site, number) in SITES.iter().zip(1..) {
            inventory += &format!("{site} = {{ name = \"{site}\", owner = \"Anna Petit\" }}\n");
            let values = format!("vars = {{ site_net = \"10.1.{number}.0/24\" }}\n");
            fs::write(path.join(format!("fleet/sites/{site}.toml")), values).expect("written");
        }
        fs::write(path.join("fleet/inventory.toml"), inventory).expect("written");
        let store = Store::folder(&path.join("fleet/store")).expect("a store");
        Self { path, made, store }
    }

    pub(super) fn folder(&self) -> Folder {
        let path = self.path.join("fleet");
        let files = causeway::cli::config::folder(&path).expect("read");
        Folder::open(&path, files).expect("a right fleet")
    }

    /// Replaces text in the standard, as its author does.
    pub(super) fn edit(&self, from: &str, to: &str) {
        let file = self.path.join("fleet/standard.toml");
        let text = fs::read_to_string(&file).expect("read");
        assert!(text.contains(from), "{from}");
        fs::write(&file, text.replace(from, to)).expect("written");
    }

    pub(super) async fn root(&self) -> TrustedRoot {
        self.folder().root(&self.store).await.expect("a root")
    }

    pub(super) async fn release_key(&self) -> Signer {
        let folder = self.folder();
        let root = folder.root(&self.store).await.expect("a root");
        folder.signer(&root, Role::Release, None, &mut |_| Ok(PASSPHRASE.to_owned())).expect("it opens")
    }

    pub(super) async fn prepare(&self) -> Pending {
        let words =
            Words { ticket: "NET-118".to_owned(), author: "anna".to_owned(), leave_out: BTreeMap::new(), at: now() };
        let root = self.root().await;
        prepare(&self.folder(), &self.store, &root, &words, &self.release_key().await).await.expect("it compiles")
    }

    pub(super) async fn release(&self) -> Release {
        self.prepare().await.publish(&self.store, &self.root().await, "anna").await.expect("published")
    }

    pub(super) async fn assign(&self, members: Members, way_back: bool) -> Rollout {
        let intent = Intent { members, way_back, by: "anna".to_owned(), at: now() };
        assign(&self.store, &self.root().await, intent).await.expect("handed out")
    }

    pub(super) async fn claim(&self, site: &str, serial: Option<&str>, batch: bool) -> Token {
        let folder = self.folder();
        let first = read_digest(&folder.path.join(ROOT_DIGEST)).expect("a digest");
        let serial = serial.map(str::to_owned);
        let wanted = Wanted { site: site.to_owned(), serial, batch, by: "anna".to_owned(), at: now() };
        let text = claim(&folder, &self.store, &self.root().await, &first, wanted).await.expect("a claim");
        let table: toml::Table = text.parse().expect("a claim is TOML");
        assert_eq!(table["root"].as_str(), Some(self.made.root.to_string().as_str()));
        assert_eq!(table["office"][0]["pins"][0].as_str(), Some(self.made.pin.to_string().as_str()));
        let digits = table["token"].as_str().expect("a token");
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits");
        Token(std::array::from_fn(|index| byte(index * 2)))
    }

    pub(super) async fn serve(&self) -> Office {
        let local: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let options = Options {
            store: self.store.clone(),
            state: self.path.join("state"),
            listen: vec![local],
            inherited: Vec::new(),
            responders: vec![local],
            metrics: Some(local),
        };
        Office::start(options).await.expect("it serves")
    }

    pub(super) async fn line(&self, office: &Office) -> Line {
        Line::connect(office.listening[0], None, &pinned(self.made.pin)).await.expect("it listens")
    }

    /// A box that is enrolled for a site.
    pub(super) async fn enrolled(&self, office: &Office, site: &str, seed: u8) -> Branch {
        let token = self.claim(site, None, false).await;
        let branch = branch(seed);
        let answer = enrol(&mut self.line(office).await, &branch, &token).await;
        assert_eq!(answer.status, 200);
        branch
    }
}

pub(super) fn tenant() -> Tenant {
    Tenant::new("petit-shops").expect("short")
}

pub(super) fn branch(seed: u8) -> Branch {
    Branch::new(&[seed; 32], &tenant(), &format!("CWX1-{seed:04}"), "cw-x1")
}

pub(super) async fn enrol(line: &mut Line, branch: &Branch, token: &Token) -> Answer {
    line.post(None, "/v1/enrol", &branch.enrolment(token, NONCE)).await.expect("an answer")
}

/// What a gateway keeps to judge head office's answers.
pub(super) struct Judge {
    pub(super) root: TrustedRoot,
    pub(super) identity: Identity,
    pub(super) floors: Floors,
    pub(super) nonces: Nonces,
}

impl Judge {
    /// As a fresh box: it knows the root's digest from its claim.
    pub(super) async fn new(world: &World, line: &mut Line, branch: &Branch) -> Self {
        line.send(b"GET /v1/root/1 HTTP/1.1\r\nhost: office\r\n\r\n").await.expect("sent");
        let answer = line.answer().await.expect("root 1");
        let root = TrustedRoot::pinned(&answer.body, &world.made.root).expect("the claim's root");
        let start = Seconds::new(1_700_000_000).expect("a time");
        let mut floors = Floors::new(start);
        floors.accept_root(root.root(), start);
        let identity = Identity {
            tenant: tenant(),
            device: branch.device(),
            model: causeway::trust::document::Label::new("cw-x1").expect("short"),
            firmware: Firmware::new(1, 4, 2),
        };
        let mut nonces = Nonces::new(causeway::time::Instant::ORIGIN);
        nonces.issue(NONCE, causeway::time::Instant::ORIGIN);
        Self { root, identity, floors, nonces }
    }

    pub(super) fn verifier(&self) -> causeway::trust::verify::Verifier<'_> {
        causeway::trust::verify::Verifier { root: &self.root, identity: &self.identity, floors: &self.floors }
    }
}

/// The gateway's end of a standard, without a plan.
pub(super) struct RealContent;

impl Content for RealContent {
    type Resolved = causeway::config::Branch;
    type Plan = ();

    fn supports(&self, section: SectionId, version: u16) -> bool {
        sections::SUPPORTED.contains(&(section.0, version))
    }

    fn resolve(&self, standard: &Standard, _: &[&Section], site: &Site) -> Option<(Self::Resolved, Digest)> {
        let values = documents::values(site)?;
        let resolved = sections::resolve(&documents::sections(standard), &values).ok()?;
        let branch = sections::branch(&resolved, &documents::identity(site)?).ok()?;
        Some((branch, Digest::new(sections::digest(&resolved))))
    }

    fn validate(&self, _: &Self::Resolved) -> Result<(), Refusal> {
        Ok(())
    }

    fn plan(&self, _: &Self::Resolved) -> Option<()> {
        Some(())
    }
}

/// Blobs are not encrypted yet.
pub(super) struct Plain;

impl Opener for Plain {
    fn open(&self, _: &SealedKey, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// Until it holds, within ten seconds.
pub(super) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to hold");
}
