//! `causeway office init`: everything that head office needs to begin with. Keys first, then the root that names them.

use std::path::{Path, PathBuf};

use super::audit::Act;
use super::error::OfficeError;
use super::folder::{self, ROOT_DIGEST};
use super::keyfile::{Cost, KeyFile, write_new};
use super::layout;
use super::publish::publish;
use super::store::Store;
use super::{compile, text, tls};
use crate::trust::bounded::{List, Text};
use crate::trust::digest::Digest;
use crate::trust::document::Document as _;
use crate::trust::keys::{PublicKey, Signer};
use crate::trust::root::{Office, RoleKeys, Root};

/// In the server's state folder.
pub const ONLINE_KEY: &str = "online.key";
pub const RESPONDER_KEY: &str = "responder.key";
/// As in the fleet's folder: what the server believes.
pub const STATE_ROOT_DIGEST: &str = "root.sha256";

#[derive(Clone, Debug)]
pub struct Plan {
    pub tenant: String,
    pub urls: Vec<String>,
    pub folder: PathBuf,
    pub state: PathBuf,
    /// Certificate and key, in PEM, if the operator has one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    pub by: String,
    pub at: u64,
}

#[derive(Clone, Debug)]
pub struct Made {
    pub root: Digest,
    pub pin: Digest,
    pub responder: PublicKey,
    /// The key that belongs into the safe.
    pub spare: PathBuf,
}

pub async fn init(plan: &Plan, passphrase: &str, cost: Cost) -> Result<Made, OfficeError> {
    let Plan { tenant, urls, folder, state, certificate, by, at } = plan;
    let office = folder.join("office.toml");
    if office.exists() {
        return Err(OfficeError::Exists { path: office });
    }
    for (name, content) in [
        ("office.toml", office_toml(tenant, urls)),
        ("standard.toml", STANDARD.to_owned()),
        ("inventory.toml", INVENTORY.to_owned()),
        ("sites/README", SITES.to_owned()),
        (".gitignore", IGNORED.to_owned()),
    ] {
        write_new(&folder.join(name), content.as_bytes(), 0o644)?;
    }
    let keys = folder.join("keys");
    let sealed = |name: &str| -> Result<Signer, OfficeError> {
        let (file, signer) = KeyFile::sealed(name, passphrase, cost)?;
        keep(&keys, &file)?;
        Ok(signer)
    };
    let (root_1, root_2, release) = (sealed("root-1")?, sealed("root-2")?, sealed("release-1")?);
    let bare = |name: &str, place: &str| -> Result<Signer, OfficeError> {
        let (file, signer) = KeyFile::bare(name)?;
        file.write(&state.join(place))?;
        publish_half(&keys, &file)?;
        Ok(signer)
    };
    let (online, responder) = (bare("online", ONLINE_KEY)?, bare("responder", RESPONDER_KEY)?);
    match certificate {
        Some((certificate, key)) => tls::adopt(state, certificate, key)?,
        None => tls::make(state, &urls.iter().map(|url| host(url).to_owned()).collect::<Vec<_>>())?,
    }
    let pin = tls::state_pin(state)?;
    let one =
        |keys: &[&Signer]| RoleKeys { threshold: 1, keys: List::truncated(keys.iter().map(|signer| signer.public())) };
    let office = |url: &String| Ok(Office { address: compile::text("an address", url)?, pins: List::truncated([pin]) });
    let document = Root {
        tenant: compile::text("the tenant", tenant)?,
        version: 1,
        epoch: 1,
        root: one(&[&root_1, &root_2]),
        release: one(&[&release]),
        online: one(&[&online]),
        offices: List::truncated(urls.iter().map(office).collect::<Result<Vec<_>, OfficeError>>()?),
        mirrors: List::<Text<256>, 8>::EMPTY,
        created_at: compile::seconds(*at),
    };
    let bytes = sign_root(&document, &[&root_1])?;
    let digest = Digest::of(&bytes);
    folder::write_digest(&folder.join(ROOT_DIGEST), &digest)?;
    folder::write_digest(&state.join(STATE_ROOT_DIGEST), &digest)?;
    let store = Store::folder(&folder.join("store"))?;
    store.check().await?;
    if !store.create(&layout::root(1), &bytes).await? {
        return Err(OfficeError::Exists { path: folder.join("store") });
    }
    let act = Act::Init { tenant: tenant.clone(), root: digest.to_string() };
    publish(&store, *at, by, &act, |head| head.root = head.root.max(1)).await?;
    Ok(Made { root: digest, pin, responder: responder.public(), spare: keys.join("root-2.key") })
}

pub fn sign_root(root: &Root, signers: &[&Signer]) -> Result<Vec<u8>, OfficeError> {
    let draft = root.draft().map_err(|source| OfficeError::Unfit { what: "the root", source })?;
    let draft = signers.iter().fold(draft, |draft, signer| draft.sign(signer));
    draft.encode().map_err(|source| OfficeError::Unfit { what: "the root", source: source.into() })
}

/// Both halves of a key that people hold.
fn keep(keys: &Path, file: &KeyFile) -> Result<(), OfficeError> {
    file.write(&keys.join(format!("{}.key", file.name)))?;
    publish_half(keys, file)
}

fn publish_half(keys: &Path, file: &KeyFile) -> Result<(), OfficeError> {
    write_new(&keys.join(format!("{}.pub", file.name)), format!("{}\n", text::of_key(&file.public)).as_bytes(), 0o644)
}

/// Of `https://host:port/…`.
pub fn host(url: &str) -> &str {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.strip_prefix('[').and_then(|six| six.split_once(']')) {
        Some((six, _)) => six,
        None => authority.split(':').next().unwrap_or(authority),
    }
}

fn office_toml(tenant: &str, urls: &[String]) -> String {
    let urls: Vec<String> = urls.iter().map(|url| format!("{url:?}")).collect();
    format!(
        "# Head office's own settings; docs/config.md has all keys.\n\n\
         tenant = {tenant:?}\naddresses = [{}]\nstore = \"store\"\n\
         # listen = [\"0.0.0.0:443\"]         # without it: ports that systemd opens, else 443 everywhere\n\
         # responders = [\"0.0.0.0:7711\"]    # where path proofs are answered (UDP)\n",
        urls.join(", ")
    )
}

/// Small and complete: a fibre line, a backup, one network, and what staff must not notice.
const STANDARD: &str = include_str!("first-standard.toml");

const INVENTORY: &str = "\
# Nothing secret: who owns each branch, which gateway stands there, what its providers promise. A site needs a line here
# and a file sites/NAME.toml with its values.

[sites]
# lyon-bellecour = { name = \"Lyon Bellecour\", owner = \"Anna Petit\", phone = \"+33 4 00 00 00 00\" }
";

const SITES: &str = "\
One file for each site of the inventory, with its values, for example lyon-bellecour.toml:

    vars = { site_net = \"10.16.32.0/24\" }
";

/// The folder is best kept in Git; private keys and the server's state are not.
const IGNORED: &str = "*.key\nstore/\n";
