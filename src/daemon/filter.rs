//! The task that keeps the packet filter as the config says. Reading it back costs a process, so it is done when
//! netlink tells of a change, and seldom otherwise; never on the way of a switch.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::kernel::nft::{Ensured, Nft, NftError, NftWatch, TableState};
use crate::kernel::ruleset::Ruleset;

/// Changes come in a rush (a script, another firewall's reload): look when it is over.
const COALESCE: Duration = Duration::from_millis(50);
/// And once in a while without being told.
const EVERY: Duration = Duration::from_secs(60);
/// After a refusal.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) enum Filtered {
    /// Somebody changed the table; it is right again.
    Repaired(TableState),
    Failed(NftError),
}

/// Another config: what the filter is from now on.
#[derive(Debug)]
pub(super) struct Replace {
    pub ruleset: Ruleset,
    /// Whether the kernel has it now; if not, what was there before stays.
    pub reply: oneshot::Sender<Result<(), NftError>>,
}

pub(super) async fn keep(
    nft: Nft,
    mut ruleset: Ruleset,
    mut watch: Option<NftWatch>,
    mut orders: mpsc::Receiver<Replace>,
    told: mpsc::Sender<Filtered>,
) {
    let mut due = Instant::now() + EVERY;
    loop {
        let changed = async {
            match watch.as_mut() {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        // Safe to cancel: a message that was not read is still queued.
        tokio::select! {
            heard = changed => {
                if heard.is_err() {
                    watch = None;
                }
                due = due.min(Instant::now() + COALESCE);
                // A rush of changes postpones nothing.
                sleep_until(due).await;
                if let Some(watch) = watch.as_mut() {
                    watch.forget();
                }
            }
            Some(Replace { ruleset: new, reply }) = orders.recv() => {
                let loaded = nft.ensure(&new).await.map(|_| ());
                if loaded.is_ok() {
                    ruleset = new;
                }
                reply.send(loaded).ok();
                continue;
            }
            () = sleep_until(due) => {}
        }
        let answer = match nft.ensure(&ruleset).await {
            Ok(Ensured::AlreadyRight) => None,
            Ok(Ensured::Loaded(found)) => Some(Filtered::Repaired(found)),
            Err(error) => Some(Filtered::Failed(error)),
        };
        due = Instant::now() + if matches!(answer, Some(Filtered::Failed(_))) { RETRY } else { EVERY };
        if let Some(answer) = answer
            && told.send(answer).await.is_err()
        {
            return;
        }
    }
}
