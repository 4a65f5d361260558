//! Asking one server one question, from a socket of its own: a random port, and only that server is heard.

use std::io;

use tokio::net::UdpSocket;

use super::sink::Sink;
use super::socket;
use crate::probe::packet::dns::{ANSWER_BYTES, Answer, Question};

/// IPv6 and UDP header; the message comes on top.
pub(super) const HEADER_BYTES: usize = 48;

/// What one wait for the server brought.
pub(super) enum Heard {
    Answer(Answer),
    /// An ICMP error. Anybody can send one, so it is worth telling but the answer may yet come.
    Unreachable,
}

/// Waits until the server answers this question. What does not answer it is counted and passed over: a forger must not
/// be able to end a probe, neither well nor badly. Never returns when the server is silent: put a limit around it.
pub(super) async fn heard(socket: &UdpSocket, question: &Question, sink: &Sink) -> io::Result<Heard> {
    let mut message = [0; ANSWER_BYTES];
    loop {
        match socket.recv(&mut message).await {
            Ok(length) => match question.answer(&message[..length]) {
                Some(answer) => return Ok(Heard::Answer(answer)),
                None => sink.count_foreign(),
            },
            Err(error) if socket::is_icmp_error(&error) => return Ok(Heard::Unreachable),
            Err(error) => return Err(error),
        }
    }
}
