//! TCP connect probe: a completed handshake is the reply.
//!
//! The connection is closed in the ordinary way, with a FIN. A reset would save two packets and our `TIME_WAIT`, but
//! servers log it as an error and intrusion detection counts it as a scan, and we want to be welcome for years.

use std::io;

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::socket;
use crate::probe::Answer;

/// SYN, ACK, FIN, ACK, each with its options and the IPv6 header: never less than what the line carried.
pub(super) const WIRE_BYTES: u32 = 80 + 3 * 72;

/// Waits for the end of a handshake that [`socket::tcp`] began. `Err(None)`: nothing can be said.
pub(super) async fn established(stream: &TcpStream) -> Result<(), Option<Answer>> {
    loop {
        stream.writable().await.map_err(|_| None)?;
        let connected = stream.try_io(Interest::WRITABLE, || match stream.take_error()? {
            Some(error) => Err(error),
            // No error and no peer: woken early. This kind of error makes `try_io` wait for the next time.
            None => stream.peer_addr().map_err(|_| io::ErrorKind::WouldBlock.into()),
        });
        match connected {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(refusal(&error)),
        }
    }
}

/// What an error of an established or beginning connection says about the other side; silence says nothing here, the
/// engine settles it.
pub(super) fn refusal(error: &io::Error) -> Option<Answer> {
    let hung_up = [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::UnexpectedEof,
    ];
    if hung_up.contains(&error.kind()) {
        return Some(Answer::Refused);
    }
    socket::is_icmp_error(error).then_some(Answer::Unreachable)
}
