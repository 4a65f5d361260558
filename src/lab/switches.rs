//! When the kernel was told to use another uplink: the routes of path `default`, heard as they change, by somebody
//! else than the daemon.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use super::clock;
use super::error::LabError;
use super::netns::Namespace;
use crate::config::model::PathId;
use crate::kernel::netlink::monitor::{Hint, Monitor, RECEIVE_BUFFER};
use crate::kernel::numbers::path_table;
use crate::time::Instant;

/// More changes than any trial makes; what does not fit is dropped.
const KEPT: usize = 256;

/// Hears until it is dropped; its thread ends with the next change, or with the namespace.
pub struct Switches {
    heard: Receiver<Instant>,
}

impl Switches {
    pub fn watch(gateway: &Namespace) -> Result<Self, LabError> {
        let (tell, heard) = sync_channel(KEPT);
        let (opened, open) = sync_channel(1);
        gateway.spawn("switches", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut monitor = Monitor::open(RECEIVE_BUFFER).map_err(std::io::Error::other)?;
                opened.send(()).ok();
                loop {
                    let hint = monitor.next().await.map_err(std::io::Error::other)?;
                    let ours = matches!(hint, Hint::Routes { table } if table == path_table(PathId::DEFAULT));
                    if ours && tell.try_send(clock::now()).is_err() {
                        return Ok::<(), std::io::Error>(());
                    }
                }
            })
        })?;
        let opened = open.recv_timeout(Duration::from_secs(5));
        opened.map_err(|_| LabError::Other("cannot hear what the gateway's routes do".to_owned()))?;
        Ok(Self { heard })
    }

    /// The first change after the fault.
    pub fn first_after(&self, fault: Instant) -> Option<Duration> {
        self.heard.try_iter().find(|at| *at >= fault).map(|at| at.since(fault))
    }
}
