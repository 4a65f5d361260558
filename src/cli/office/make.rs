//! The commands that make something: keys, releases, claims, roll-outs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::exit::{Exit, Failure, talk};
use super::args::{AssignArgs, ClaimArgs, InitArgs, ReleaseArgs, SignArgs};
use super::{Place, ask, by, say, say_json};
use crate::office::assign::{self, Intent};
use crate::office::folder::{Folder, ROOT_DIGEST, read_digest};
use crate::office::init::{self, Plan};
use crate::office::keyfile::{Cost, write_new};
use crate::office::publish::now;
use crate::office::records::{Members, Release, Rollout};
use crate::office::release::{Pending, Words, left_out, prepare};
use crate::office::store::Store;
use crate::office::{OfficeError, claim as claims, text};
use crate::trust::keys::{Role, Signer};
use crate::trust::root::TrustedRoot;

pub(super) async fn init(place: &Place, args: InitArgs) -> Result<u8, Failure> {
    let InitArgs { tenant, urls, passphrase, certificate, certificate_key, json } = args;
    let (folder, state) = (place.fleet(), place.state());
    let tenant = short_name(&tenant);
    if folder.join("office.toml").exists() {
        return Err(OfficeError::Exists { path: folder.join("office.toml") }.into());
    }
    if let Some(url) = urls.iter().find(|url| !url.starts_with("https://") || init::host(url).is_empty()) {
        let failure = Failure::new(Exit::Usage, format!("{url:?} is no address of a server"));
        return Err(failure.hint("write it as https://office.example.com"));
    }
    let secret = ask::new(passphrase.passphrase_file.as_deref(), "the release and root keys")?;
    let plan = Plan {
        tenant,
        urls,
        folder: folder.clone(),
        state: state.clone(),
        certificate: certificate.zip(certificate_key),
        by: by(),
        at: now(),
    };
    let made = init::init(&plan, &secret, Cost::STANDARD).await?;
    let responder = text::of_key(&made.responder);
    if json {
        return say_json(&json!({
            "schema_version": 1,
            "tenant": plan.tenant,
            "fleet": folder,
            "state": state,
            "root": made.root.to_string(),
            "pin": made.pin.to_string(),
            "responder": responder,
            "spare": made.spare,
        }));
    }
    say(&format!(
        "made  {}/ (standard.toml to start from, inventory.toml)     root 1: 1 of 2, release: 1 of 1, online: in {}/\n\
         put   {} on a stick in the safe, then: causeway office keys forget root-2\n\
         note  path proofs are signed by {responder} (probes.responders of the standard)\n\
         next  write sites into inventory.toml and sites/, then: causeway office check\n",
        folder.display(),
        state.display(),
        made.spare.display(),
    ))
}

pub(super) fn check(place: &Place, json: bool) -> Result<u8, Failure> {
    super::super::config::check(&place.fleet(), json, &mut std::io::stdout(), &mut std::io::stderr())
        .map_err(|error| Failure::new(Exit::Failed, error))
}

pub(super) async fn release(place: &Place, args: ReleaseArgs) -> Result<u8, Failure> {
    let ReleaseArgs { ticket, author, leave_out, assign, key, passphrase, json } = args;
    let leave_out = leave_out.iter().map(|text| left_out(text)).collect::<Result<_, _>>()?;
    let (folder, store, root) = open_without(place, &leave_out).await?;
    let signer = signer(&folder, &root, key.as_deref(), passphrase.passphrase_file.as_deref())?;
    let words = Words { ticket, author: author.unwrap_or_else(by), leave_out, at: now() };
    let pending = prepare(&folder, &store, &root, &words, &signer).await?;
    let missing = pending.missing(&root)?;
    if missing > 0 {
        let file = folder.path.join(format!("release-{}.half", pending.release.seq));
        write_new(&file, pending.text().as_bytes(), 0o644)?;
        return half(&pending, &file, missing, json);
    }
    let release = pending.publish(&store, &root, &by()).await?;
    let rollout = match assign {
        Some(members) => Some(hand_out(&store, &root, assign::members(&members), false).await?),
        None => None,
    };
    signed(&release, rollout.as_ref(), json)
}

pub(super) async fn sign(place: &Place, args: SignArgs) -> Result<u8, Failure> {
    let SignArgs { file, key, passphrase, json } = args;
    let (folder, store, root) = open(place).await?;
    let text = std::fs::read(&file).map_err(OfficeError::file("read", &file))?;
    let pending = Pending::read(&text)?;
    pending.check(&store, &root).await?;
    let signer = signer(&folder, &root, key.as_deref(), passphrase.passphrase_file.as_deref())?;
    if pending.signers()?.contains(&signer.public().id()) {
        let failure = Failure::new(Exit::Failed, format!("key {} has signed it already", signer.public().id()));
        return Err(failure.hint("the second signature is another person's; name their key with --key"));
    }
    let pending = pending.sign(&signer)?;
    let missing = pending.missing(&root)?;
    if missing > 0 {
        std::fs::write(&file, pending.text()).map_err(OfficeError::file("write", &file))?;
        return half(&pending, &file, missing, json);
    }
    let release = pending.publish(&store, &root, &by()).await?;
    std::fs::remove_file(&file).map_err(OfficeError::file("remove", &file))?;
    signed(&release, None, json)
}

pub(super) async fn claim(place: &Place, args: ClaimArgs) -> Result<u8, Failure> {
    let ClaimArgs { site, serial, batch, json } = args;
    let (folder, store, root) = open(place).await?;
    let first = read_digest(&folder.path.join(ROOT_DIGEST))?;
    let wanted = claims::Wanted { site: site.clone(), serial, batch, by: by(), at: now() };
    let ends_at = wanted.at + claims::DAYS * 24 * 3_600;
    let claim = claims::claim(&folder, &store, &root, &first, wanted).await?;
    if json {
        return say_json(
            &json!({ "schema_version": 1, "site": site, "batch": batch, "ends_at": ends_at, "claim": claim }),
        );
    }
    say(&claim)
}

pub(super) async fn assign(place: &Place, args: AssignArgs) -> Result<u8, Failure> {
    let AssignArgs { sites, way_back, json } = args;
    let (_, store, root) = open(place).await?;
    let members = match sites.as_slice() {
        [one] => assign::members(one),
        many => Members::Sites(many.to_vec()),
    };
    let rollout = hand_out(&store, &root, members, way_back).await?;
    if json {
        return say_json(&rollout);
    }
    say(&format!("{}\n", handed_out(&rollout)))
}

pub(super) async fn approve(place: &Place, device: &str, json: bool) -> Result<u8, Failure> {
    let (_, store, _) = open(place).await?;
    let approved = crate::office::approve::approve(&store, device, &by(), now()).await?;
    if json {
        return say_json(&approved);
    }
    let instead = approved.instead_of.as_ref().map(|serial| format!(" in the place of {serial}")).unwrap_or_default();
    say(&format!("{} is the gateway of {} now{instead}\n", approved.serial, approved.site))
}

async fn hand_out(store: &Store, root: &TrustedRoot, members: Members, way_back: bool) -> Result<Rollout, OfficeError> {
    assign::assign(store, root, Intent { members, way_back, by: by(), at: now() }).await
}

/// The folder, its store and the newest root.
pub(super) async fn open(place: &Place) -> Result<(Folder, Store, TrustedRoot), Failure> {
    join(place.open()?).await
}

/// The same for what compiles every branch but these.
pub(super) async fn open_without(
    place: &Place,
    left_out: &BTreeMap<String, String>,
) -> Result<(Folder, Store, TrustedRoot), Failure> {
    join(place.open_without(left_out)?).await
}

async fn join(folder: Folder) -> Result<(Folder, Store, TrustedRoot), Failure> {
    let store = folder.store()?;
    let root = folder.root(&store).await?;
    Ok((folder, store, root))
}

fn signer(folder: &Folder, root: &TrustedRoot, key: Option<&Path>, file: Option<&Path>) -> Result<Signer, Failure> {
    let mut wrong = None;
    let signer = folder.signer(root, Role::Release, key, &mut |name| match ask::known(file, name) {
        Ok(passphrase) => Ok(passphrase.to_string()),
        Err(failure) => {
            wrong = Some(failure);
            Err(OfficeError::Passphrase { name: name.to_owned() })
        }
    });
    match wrong {
        Some(failure) => Err(failure),
        None => Ok(signer?),
    }
}

fn half(pending: &Pending, file: &PathBuf, missing: usize, json: bool) -> Result<u8, Failure> {
    let release = &pending.release;
    if json {
        return say_json(&json!({
            "schema_version": 1, "seq": release.seq, "published": false, "file": file, "missing": missing,
        }));
    }
    let people = if missing == 1 { "one more signature".to_owned() } else { format!("{missing} more signatures") };
    talk(&format!("nothing is published yet: standard {} needs {people}\n", release.seq));
    say(&format!("wrote {}\nnext  causeway office sign {}\n", file.display(), file.display()))
}

fn signed(release: &Release, rollout: Option<&Rollout>, json: bool) -> Result<u8, Failure> {
    if json {
        return say_json(&json!({
            "schema_version": 1,
            "seq": release.seq,
            "published": true,
            "digest": release.standard.digest.to_string(),
            "way_back": release.way_back.map(|way_back| way_back.standard.seq),
            "branches": release.sites.len(),
            "left_out": release.left_out,
            "rollout": rollout,
        }));
    }
    let digest = release.standard.digest.short();
    let mut text = match &release.way_back {
        Some(way_back) => format!("signed {} ({digest}) and its way back {}", release.seq, way_back.standard.seq),
        None => format!("signed {} ({digest}); there was nothing before it to go back to", release.seq),
    };
    match rollout {
        Some(rollout) => text += &format!(" · {}\n", handed_out(rollout)),
        None => text += "\nnext  causeway office assign all, or some sites\n",
    }
    say(&text)
}

fn handed_out(rollout: &Rollout) -> String {
    let what = if rollout.way_back { "the way back of " } else { "" };
    let whom = match &rollout.members {
        Members::All => "all branches".to_owned(),
        Members::Sites(sites) => sites.join(", "),
    };
    format!("roll-out {}: {what}{} goes to {whom}", rollout.number, rollout.release)
}

/// "Petit Shops" is written petit-shops in documents.
fn short_name(tenant: &str) -> String {
    let kept: String = tenant.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    kept.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
