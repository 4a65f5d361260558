//! Edge: sends nudges out of the networks' devices, by packet socket: they are not to be tracked, routed or filtered.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use pnet::datalink::{self, Channel, Config, DataLinkSender, NetworkInterface};

use super::{Nudge, PER_SECOND};
use crate::config::model::LinkName;

/// Sent in one go before the next pause; with [`PAUSE`] this is [`PER_SECOND`].
const BATCH: usize = 20;
const PAUSE: Duration = Duration::from_millis(10);
const _: () = assert!(BATCH as u128 * 1_000 / PAUSE.as_millis() == PER_SECOND as u128);

#[derive(Debug, thiserror::Error)]
pub enum NudgeError {
    #[error("could not open a packet socket on {device}")]
    Open {
        device: LinkName,
        #[source]
        source: io::Error,
    },
    #[error("could not send on {device}")]
    Send {
        device: LinkName,
        #[source]
        source: io::Error,
    },
    #[error("{device} is not a device that carries Ethernet")]
    NoDevice { device: LinkName },
}

/// What became of a batch of nudges.
#[derive(Debug, Default)]
pub struct Sent {
    pub sent: u32,
    pub failed: u32,
    /// The first failure; the others are most likely the same.
    pub error: Option<NudgeError>,
}

/// Sends them all, paced. Safe to cancel: what was not sent yet is not sent.
pub async fn send(nudges: &[Nudge]) -> Sent {
    let interfaces = datalink::interfaces();
    let mut ports = BTreeMap::new();
    let mut result = Sent::default();
    let mut batches = nudges.chunks(BATCH).peekable();
    while let Some(batch) = batches.next() {
        for nudge in batch {
            let index = nudge.client.index;
            let port = ports.entry(index).or_insert_with(|| Port::open(&interfaces, nudge));
            match port.as_mut().map_err(|error| error.take()).and_then(|port| port.send(nudge).map_err(Some)) {
                Ok(()) => result.sent += 1,
                Err(error) => {
                    result.failed += 1;
                    result.error = result.error.take().or(error);
                }
            }
        }
        if batches.peek().is_some() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    result
}

struct Port {
    sender: Box<dyn DataLinkSender>,
    mac: [u8; 6],
}

impl Port {
    /// The error is told once, then taken.
    fn open(interfaces: &[NetworkInterface], nudge: &Nudge) -> Result<Self, Option<NudgeError>> {
        let device = || nudge.client.device.clone();
        let interface = interfaces.iter().find(|one| one.index == nudge.client.index);
        let (Some(interface), Some(mac)) = (interface, interface.and_then(|one| one.mac)) else {
            return Err(Some(NudgeError::NoDevice { device: device() }));
        };
        // Nothing is ever read from this socket; the smallest buffers will do.
        let config = Config { read_buffer_size: 0, promiscuous: false, ..Config::default() };
        match datalink::channel(interface, config) {
            Ok(Channel::Ethernet(sender, _)) => Ok(Self { sender, mac: mac.octets() }),
            Ok(_) => Err(Some(NudgeError::NoDevice { device: device() })),
            Err(source) => Err(Some(NudgeError::Open { device: device(), source })),
        }
    }

    fn send(&mut self, nudge: &Nudge) -> Result<(), NudgeError> {
        let failed = |source| NudgeError::Send { device: nudge.client.device.clone(), source };
        match self.sender.send_to(&nudge.frame(self.mac), None) {
            Some(result) => result.map_err(failed),
            None => Err(failed(io::Error::from(io::ErrorKind::WriteZero))),
        }
    }
}
