//! Asking one responder of head office through one uplink. Each proof has a socket of its own, bound to the uplink's
//! device and connected to the responder, and a nonce of its own: what answers another question, comes in elsewhere or
//! from elsewhere does not count.

use std::io;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::socket::{self, OpenError};
use crate::config::branch::Responder;
use crate::config::model::LinkName;
use crate::trust::document::Nonce;
use crate::trust::keys::PublicKey;
use crate::trust::proof::{self, ProofRefusal};

/// When copies of the question leave. Four get through a line that loses every second packet nine times in ten (both ways
/// count), and the last still has time to be answered over a satellite within [`PATIENCE`].
const COPIES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(150), Duration::from_millis(400), Duration::from_secs(1)];
/// For a whole proof, unless the caller is in a hurry.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// Signatures looked at for one proof. Who sees the question can forge answers as fast as the line carries them; more than
/// a responder's own copies are worth no time of a small processor.
const CHECKS: u32 = 16;

/// Why there is no proof. [`Self::Open`] and [`Self::System`] say that nothing could be asked: no device, no route.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    #[error("there is no socket for the proof")]
    Open(#[source] OpenError),
    #[error("cannot {operation} for a proof")]
    System {
        operation: &'static str,
        #[source]
        source: io::Error,
    },
    /// `refused`: what came last and did not count.
    #[error("{}", silent(*.unreachable, .refused.as_ref()))]
    Silent { unreachable: bool, refused: Option<ProofRefusal> },
    #[error("{CHECKS} answers were forged")]
    Forged,
}

/// Proves that packets get through this device to the holder of the responder's key and back. The result is the time from
/// the first copy to the answer. Must be called inside a tokio runtime; takes at most `patience`.
pub async fn prove(device: &LinkName, responder: &Responder, patience: Duration) -> Result<Duration, ProofError> {
    let began = Instant::now();
    let mut nonce: Nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| ProofError::System {
        operation: "draw a nonce",
        source: io::Error::other(error.to_string()),
    })?;
    let question = Question { nonce, key: PublicKey::new(responder.key) };
    let socket = socket::udp(device, responder.address).map_err(ProofError::Open)?;
    let mut heard = Heard::default();
    // Safe to cancel: the socket, the nonce and what was heard are of this proof only.
    tokio::select! {
        error = ask(&socket, &question, began) => Err(error),
        ended = timeout_at(began + patience, listen(&socket, &question, &mut heard)) => match ended {
            Ok(Ok(())) => Ok(began.elapsed()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ProofError::Silent { unreachable: heard.unreachable, refused: heard.refused }),
        },
    }
}

struct Question {
    nonce: Nonce,
    key: PublicKey,
}

#[derive(Default)]
struct Heard {
    /// Anybody can send an ICMP error, so it is worth telling and ends nothing.
    unreachable: bool,
    refused: Option<ProofRefusal>,
}

/// Sends the copies; returns only if none can ever be sent.
async fn ask(socket: &UdpSocket, question: &Question, began: Instant) -> ProofError {
    let datagram = proof::request(&question.nonce);
    for after in COPIES {
        sleep_until(began + after).await;
        match socket.send(&datagram).await {
            Ok(_) => {}
            // The line may come back before the next copy; the error may also be an earlier copy's.
            Err(error) if is_of_the_line(&error) => {}
            Err(source) => return ProofError::System { operation: "send", source },
        }
    }
    std::future::pending().await
}

/// Ends with a proof, or when nothing that comes is worth a look any more.
async fn listen(socket: &UdpSocket, question: &Question, heard: &mut Heard) -> Result<(), ProofError> {
    // One byte more than an answer has, so that a longer datagram is not taken for one.
    let mut bytes = [0; proof::BYTES + 1];
    let mut checks = 0;
    while checks < CHECKS {
        match socket.recv(&mut bytes).await {
            Ok(length) => match proof::verify(&bytes[..length], &question.nonce, &question.key) {
                Ok(()) => return Ok(()),
                Err(refusal) => {
                    checks += u32::from(refusal == ProofRefusal::Signature);
                    heard.refused = Some(refusal);
                }
            },
            Err(error) if is_of_the_line(&error) => heard.unreachable = true,
            Err(source) => return Err(ProofError::System { operation: "receive", source }),
        }
    }
    Err(ProofError::Forged)
}

fn is_of_the_line(error: &io::Error) -> bool {
    socket::is_icmp_error(error) || error.kind() == io::ErrorKind::NetworkDown
}

fn silent(unreachable: bool, refused: Option<&ProofRefusal>) -> String {
    match (refused, unreachable) {
        (Some(refusal), _) => format!("the responder did not answer; what came instead does not count: {refusal}"),
        (None, true) => "the responder did not answer; the line says that it cannot be reached".to_owned(),
        (None, false) => "the responder did not answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::trust::keys::Signer;

    const HURRY: Duration = Duration::from_millis(700);

    fn key() -> Signer {
        Signer::from_seed(&[1; 32])
    }

    /// A socket of loopback that treats each datagram as `treat` says, and counts them.
    async fn responder(
        treat: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> (Responder, tokio::task::JoinHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let task = tokio::spawn(async move {
            let mut bytes = [0; 128];
            for number in 0.. {
                let (length, from) = socket.recv_from(&mut bytes).await.expect("a datagram");
                for answer in treat(number, &bytes[..length]) {
                    socket.send_to(&answer, from).await.expect("it is taken");
                }
            }
        });
        (Responder { address, key: *key().public().bytes() }, task)
    }

    async fn asked(responder: &Responder) -> Result<Duration, ProofError> {
        prove(&LinkName::new("lo").expect("a name"), responder, HURRY).await
    }

    fn answers(bytes: &[u8], key: &Signer) -> Vec<Vec<u8>> {
        proof::answer(bytes, key).map(|answer| answer.to_vec()).into_iter().collect()
    }

    #[tokio::test]
    async fn the_first_answer_proves_and_a_lost_copy_is_sent_again() {
        let (honest, _task) = responder(|_, bytes| answers(bytes, &key())).await;
        assert!(asked(&honest).await.expect("a proof") < COPIES[1]);
        let (lossy, _task) = responder(|n, bytes| if n < 2 { Vec::new() } else { answers(bytes, &key()) }).await;
        assert!(asked(&lossy).await.expect("a proof") >= COPIES[2]);
    }

    #[tokio::test]
    async fn forged_answers_never_count_and_do_not_hinder_the_right_one() {
        type Forge = fn(&[u8]) -> Vec<u8>;
        let forgeries: [(Forge, ProofRefusal); 4] = [
            (|bytes| answers(bytes, &Signer::from_seed(&[2; 32])).concat(), ProofRefusal::Signature),
            (<[u8]>::to_vec, ProofRefusal::Signature),
            (|_| answers(&proof::request(&[0; 16]), &key()).concat(), ProofRefusal::Nonce),
            (|bytes| answers(bytes, &key()).concat()[..proof::BYTES - 1].to_vec(), ProofRefusal::Length),
        ];
        for (forge, reason) in forgeries {
            let (forger, _task) = responder(move |_, bytes| vec![forge(bytes)]).await;
            match asked(&forger).await {
                Err(ProofError::Silent { refused, .. }) => assert_eq!(refused, Some(reason)),
                other => panic!("{reason}: {other:?}"),
            }
            let (both, _task) = responder(move |_, bytes| [vec![forge(bytes)], answers(bytes, &key())].concat()).await;
            asked(&both).await.expect("the right one follows");
        }
        let (long, _task) = responder(|_, bytes| vec![[answers(bytes, &key()).concat(), vec![0]].concat()]).await;
        assert!(asked(&long).await.is_err(), "a longer datagram is none");
    }

    #[tokio::test]
    async fn a_flood_of_forged_signatures_ends_early() {
        let (flood, _task) = responder(|_, bytes| vec![bytes.to_vec(); 100]).await;
        assert!(matches!(asked(&flood).await, Err(ProofError::Forged)));
    }

    #[tokio::test]
    async fn an_answer_from_another_address_does_not_count() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let other = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        tokio::spawn(async move {
            let mut bytes = [0; 128];
            loop {
                let (length, from) = socket.recv_from(&mut bytes).await.expect("a datagram");
                let answer = proof::answer(&bytes[..length], &key()).expect("a request");
                other.send_to(&answer, from).await.expect("it is taken");
            }
        });
        let asked = asked(&Responder { address, key: *key().public().bytes() }).await;
        assert!(matches!(asked, Err(ProofError::Silent { refused: None, .. })), "{asked:?}");
    }

    #[tokio::test]
    async fn nobody_there_is_silence_and_no_device_is_our_side() {
        let gone = UdpSocket::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("it is bound");
        let nobody = Responder { address: gone, key: *key().public().bytes() };
        assert!(matches!(asked(&nobody).await, Err(ProofError::Silent { unreachable: true, refused: None })));
        let address: SocketAddr = "127.0.0.1:9".parse().expect("an address");
        let device = LinkName::new("no-such").expect("a name");
        let none = prove(&device, &Responder { address, ..nobody }, HURRY).await;
        assert!(matches!(none, Err(ProofError::Open(OpenError::NoDevice { .. }))), "{none:?}");
    }
}
