//! Handing out: who is to run which release. Only the intent is written here; the servers, which hold the online key, make
//! the assignments from it.

use super::audit::Act;
use super::error::OfficeError;
use super::layout;
use super::publish::{head, publish};
use super::records::{Members, Release, Rollout};
use super::store::{Store, json};
use crate::trust::root::TrustedRoot;

#[derive(Clone, Debug)]
pub struct Intent {
    pub members: Members,
    /// The content before the newest release, instead of the newest release.
    pub way_back: bool,
    pub by: String,
    pub at: u64,
}

/// Written where no roll-out stands yet, then made known.
pub async fn assign(store: &Store, root: &TrustedRoot, intent: Intent) -> Result<Rollout, OfficeError> {
    let Intent { members, way_back, by, at } = intent;
    let head = head(store).await?;
    let release = store.record::<Release>(&layout::release(head.release)).await?.map(|(release, _)| release);
    let release = release.ok_or_else(|| OfficeError::Refused {
        what: "nothing is released yet".to_owned(),
        hint: "causeway office release".to_owned(),
    })?;
    check(&release, &members, way_back)?;
    let mut rollout = Rollout {
        number: head.rollout + 1,
        release: release.seq,
        way_back,
        members,
        epoch: root.root().epoch,
        root_version: root.root().version,
        created_at: at,
        by: by.clone(),
    };
    while !store.create(&layout::rollout(rollout.number), &json(&rollout)).await? {
        rollout.number += 1;
    }
    let act = Act::Assign {
        rollout: rollout.number,
        release: rollout.release,
        way_back,
        members: match &rollout.members {
            Members::All => "all".to_owned(),
            Members::Sites(sites) => sites.join(", "),
        },
    };
    publish(store, at, &by, &act, |head| head.rollout = head.rollout.max(rollout.number)).await?;
    Ok(rollout)
}

/// `all`, or names with commas between them.
pub fn members(text: &str) -> Members {
    match text {
        "all" => Members::All,
        names => Members::Sites(names.split(',').map(|name| name.trim().to_owned()).collect()),
    }
}

fn check(release: &Release, members: &Members, way_back: bool) -> Result<(), OfficeError> {
    let refused = |what: String, hint: &str| Err(OfficeError::Refused { what, hint: hint.to_owned() });
    if release.way_back.is_none() && way_back {
        return refused(
            format!("release {} has no way back: there was nothing before it", release.seq),
            "release a corrected standard instead",
        );
    }
    let Members::Sites(sites) = members else { return Ok(()) };
    for site in sites {
        if let Some(reason) = release.left_out.get(site) {
            return refused(
                format!("{site} was left out of release {}: {reason}", release.seq),
                "release again without leaving it out",
            );
        }
        if !release.sites.contains_key(site) {
            return refused(
                format!("release {} knows no site {site}", release.seq),
                "a site that is new in the inventory comes with the next release",
            );
        }
    }
    Ok(())
}
