//! Answers path proofs: one datagram for one datagram of the same length, signed with a key of its own.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::desk::Desk;
use crate::office::error::OfficeError;
use crate::office::init::RESPONDER_KEY;
use crate::office::keyfile::KeyFile;
use crate::trust::proof;

/// One more than a request has, so that a longer one is seen to be none.
const BUFFER: usize = proof::BYTES + 1;
/// Answers in one go before connections have their turn.
const AT_ONCE: usize = 64;

pub(super) async fn start(
    desk: Arc<Desk>,
    address: SocketAddr,
    state: &Path,
) -> Result<(SocketAddr, impl Future<Output = ()> + use<>), OfficeError> {
    let network = |source| OfficeError::Network { what: format!("listen on {address}/udp"), source };
    let key = KeyFile::read(&state.join(RESPONDER_KEY))?.open("")?;
    let socket = UdpSocket::bind(address).await.map_err(network)?;
    let bound = socket.local_addr().map_err(network)?;
    let respond = async move {
        let mut buffer = [0; BUFFER];
        loop {
            for _ in 0..AT_ONCE {
                let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                    // An ICMP error of an earlier answer is told here; anything else passes, too.
                    sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let Some(answer) = proof::answer(&buffer[..length], &key) else { continue };
                // A full queue is a lost datagram, which the gateway sends again.
                if socket.try_send_to(&answer, from).is_ok() {
                    desk.counts.proofs();
                }
            }
            tokio::task::yield_now().await;
        }
    };
    Ok((bound, respond))
}
