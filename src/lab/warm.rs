//! Waits until every line carries packets both ways. A new link takes the kernel up to a second to call usable, and the
//! first packet waits for its neighbour; neither is a fault that anybody wants to measure.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::addresses as plan;
use super::clock;
use super::error::{Doing as _, LabError};
use super::netns::Namespace;
use super::topology::uplink_name;
use crate::config::model::Family;

/// Links come up within a second, a lost first question is repeated after another.
const WITHIN: Duration = Duration::from_secs(10);
/// Nobody listens there: the provider's router says so, which is the answer that is waited for.
const DISCARD: u16 = 9;

/// `lines` are the families of each uplink.
pub(super) fn up(gateway: &Namespace, lines: &[Vec<Family>]) -> Result<(), LabError> {
    let all =
        lines.iter().enumerate().flat_map(|(index, families)| families.iter().map(move |family| (index, *family)));
    let opened: std::io::Result<Vec<_>> =
        gateway.enter(|| all.map(|(index, family)| Ok((index, family, open(index, family)?))).collect())?;
    let mut waiting = opened.doing(|| "ask the providers' routers".to_owned())?;
    clock::wait_for(WITHIN, Duration::from_millis(10), || {
        waiting.retain(|(_, _, socket)| !answered(socket));
        waiting.is_empty().then_some(())
    });
    match waiting.first() {
        None => Ok(()),
        Some((index, family, _)) => Err(LabError::Timeout {
            what: format!("the first {family} packet over line {}", uplink_name(*index)),
            at_most: WITHIN,
            why: String::new(),
        }),
    }
}

fn open(index: usize, family: Family) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(plan::wan(family, index, plan::WAN), 0))?;
    socket.connect(SocketAddr::new(plan::wan(family, index, plan::PROVIDER), DISCARD))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Asks again, unless the answer to an earlier question is there.
fn answered(socket: &UdpSocket) -> bool {
    let refused =
        |result: std::io::Result<usize>| result.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    refused(socket.recv(&mut [0; 1])) || refused(socket.send(&[0]))
}
