//! The path proof through real devices: only the holder of the key counts, and only through the device that was asked.

use std::time::Duration;

use causeway::config::branch::Responder;
use causeway::config::model::LinkName;
use causeway::probe::io::proof::{ProofError, prove};
use causeway::trust::keys::Signer;
use causeway::trust::proof;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::UdpSocket;

use crate::net::{BLACK_HOLE, FAR, FAR_OTHER, Far, NEAR, NO_WAY, between, ip};

const PATIENCE: Duration = Duration::from_millis(600);
const PORT: u16 = 7711;

fn key() -> Signer {
    Signer::from_seed(&[1; 32])
}

fn at(address: &str) -> Responder {
    let address = format!("{address}:{PORT}").parse().expect("an address");
    Responder { address, key: *key().public().bytes() }
}

/// A UDP socket of the far side.
fn open(from: &str, device: Option<&str>, port: u16) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP)).expect("a socket");
    socket.set_reuse_port(true).expect("an option");
    socket.bind_device(device.map(str::as_bytes)).expect("a device of the far side");
    let address: std::net::SocketAddr = format!("{from}:{port}").parse().expect("an address");
    socket.bind(&SockAddr::from(address)).expect("a free port");
    UdpSocket::from_std(std::os::fd::OwnedFd::from(socket).into()).expect("a socket")
}

/// Hears questions on `far0` at [`FAR`] and answers them from `from`, through `device`.
fn responder(far: &Far, from: &'static str, device: &'static str) {
    far.serve(
        move || {
            // Two sockets of one place would share what comes in.
            let same = (from, device) == (FAR, "far0");
            (open(FAR, Some("far0"), PORT), (!same).then(|| open(from, Some(device), PORT)))
        },
        |(hears, says)| async move {
            let mut bytes = [0; 128];
            loop {
                let (length, to) = hears.recv_from(&mut bytes).await.expect("a datagram");
                let Some(answer) = proof::answer(&bytes[..length], &key()) else { continue };
                says.as_ref().unwrap_or(&hears).send_to(&answer, to).await.expect("it is sent");
            }
        },
    );
}

async fn asked(device: &str, responder: &Responder) -> Result<Duration, ProofError> {
    prove(&LinkName::new(device).expect("a name"), responder, PATIENCE).await
}

#[test]
fn a_line_is_proved_by_the_responder_and_by_nobody_else() {
    between(|far| async move {
        responder(&far, FAR, "far0");
        asked("wan0", &at(FAR)).await.expect("a proof");
        let other = Responder { key: *Signer::from_seed(&[2; 32]).public().bytes(), ..at(FAR) };
        let forged = asked("wan0", &other).await;
        assert!(matches!(forged, Err(ProofError::Silent { refused: Some(_), .. })), "{forged:?}");
        for nobody in [BLACK_HOLE, NO_WAY, FAR_OTHER] {
            assert!(
                matches!(asked("wan0", &at(nobody)).await, Err(ProofError::Silent { refused: None, .. })),
                "{nobody}"
            );
        }
        // One way only: the question is heard, the answer is lost.
        far.ip(&format!("neigh replace {NEAR} lladdr 02:00:00:00:00:99 dev far0 nud permanent"));
        assert!(asked("wan0", &at(FAR)).await.is_err());
    });
}

#[test]
fn an_answer_from_another_address_proves_nothing() {
    between(|far| async move {
        responder(&far, FAR_OTHER, "far0");
        let asked = asked("wan0", &at(FAR)).await;
        assert!(matches!(asked, Err(ProofError::Silent { refused: None, .. })), "{asked:?}");
    });
}

/// The answer reaches the gateway, right in every byte, by the other cable.
#[test]
fn an_answer_on_another_device_proves_nothing() {
    between(|far| async move {
        far.plug("wan1", "far1");
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "0").expect("a switch");
        std::fs::write("/proc/sys/net/ipv4/conf/wan1/rp_filter", "0").expect("a switch");
        far.ip("addr add 10.9.1.1/24 dev far1");
        ip("addr add 10.9.1.2/24 dev wan1");
        far.ip(&format!("route add {NEAR}/32 via 10.9.1.2 dev far1 metric 5"));
        responder(&far, FAR, "far1");
        // It would be heard there by a socket that takes what comes.
        let open = UdpSocket::bind((NEAR, 0)).await.expect("a free port");
        open.send_to(&proof::request(&[3; 16]), at(FAR).address).await.expect("it is sent");
        let mut bytes = [0; 128];
        let heard = tokio::time::timeout(PATIENCE, open.recv_from(&mut bytes)).await.expect("an answer comes");
        assert_eq!(proof::verify(&bytes[..heard.expect("an answer").0], &[3; 16], &key().public()), Ok(()));
        let asked = asked("wan0", &at(FAR)).await;
        assert!(matches!(asked, Err(ProofError::Silent { refused: None, .. })), "{asked:?}");
    });
}
