//! A whole config is put in force: addresses and services, then the filter, then routes and decisions. The same call with
//! the config from before is the way back.

use std::sync::Arc;

use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use super::turns::Superseded;
use crate::apply::services::Services;
use crate::config::Branch;
use crate::daemon::driver::{Ask, Change};
use crate::daemon::filter::Replace;
use crate::daemon::hands::chain;
use crate::kernel::netlink::Netlink;
use crate::kernel::ruleset::{Learnt, Ruleset};
use crate::trust::machine::Applied;

/// Who changes what.
#[derive(Clone)]
pub(in crate::daemon) struct Parts {
    /// Two handles, because services are changed while lines are measured.
    pub(in crate::daemon) changes: Netlink,
    pub(in crate::daemon) looks: Netlink,
    pub(in crate::daemon) driver: mpsc::Sender<Ask>,
    pub(in crate::daemon) filter: mpsc::Sender<Replace>,
    /// A link or an address changed: time to look whether it is still as it should be.
    pub(in crate::daemon) stirred: Arc<Notify>,
    /// `None`: addresses and services of the LAN are somebody else's.
    pub(in crate::daemon) services: Option<Arc<Mutex<Services>>>,
}

impl Parts {
    /// What came of it, and in words why not; `None`: something newer came before it could be seen.
    pub(super) async fn apply(
        &self,
        branch: &Branch,
        digest: String,
        superseded: Superseded,
    ) -> Option<(Applied, Vec<String>)> {
        if let Err(why) = self.steps(branch, digest).await {
            return Some((Applied::StepFailed, vec![why]));
        }
        let differences = tokio::select! {
            biased;
            _ = superseded => return None,
            differences = self.differences(branch) => differences,
        };
        Some(match differences {
            Err(why) => (Applied::StepFailed, vec![why]),
            Ok(differences) if differences.is_empty() => (Applied::Equal, differences),
            Ok(differences) => (Applied::Differs, differences),
        })
    }

    async fn steps(&self, branch: &Branch, digest: String) -> Result<(), String> {
        if let Some(services) = &self.services {
            let report = services.lock().await.apply(&self.changes, branch).await.map_err(|error| chain(&error))?;
            for done in report.done {
                tracing::info!("{done}");
            }
        }
        let (reply, loaded) = oneshot::channel();
        let ruleset = Ruleset::new(&branch.gateway, &Learnt::default());
        self.filter.send(Replace { ruleset, reply }).await.map_err(gone)?;
        loaded.await.map_err(gone)?.map_err(|error| chain(&error))?;
        let (reply, changed) = oneshot::channel();
        let change = Change { config: Arc::new(branch.gateway.clone()), place: branch.place.clone(), digest, reply };
        self.driver.send(Ask::Change(change)).await.map_err(gone)?;
        changed.await.map_err(gone)?
    }

    /// What is not as `branch` says once everything had its time.
    async fn differences(&self, branch: &Branch) -> Result<Vec<String>, String> {
        match &self.services {
            Some(services) => Services::settled(services, &self.changes, branch).await.map_err(|error| chain(&error)),
            None => Ok(Vec::new()),
        }
    }
}

fn gone<E>(_: E) -> String {
    "the daemon is stopping".to_owned()
}
