//! What the services answer: dnsmasq to a question on a network's address, the kernel about the socket for leases. Short
//! questions over UDP from this machine to itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::question::{Class, answers, question};

/// To ourselves: a millisecond, and a loaded machine's scheduling.
const ANSWER_WITHIN: Duration = Duration::from_millis(300);
/// Between two looks at what a service has done: what took long already is not late by an eighth more, and a slow box
/// has its processor for the service.
const LOOK_EVERY: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(250)];
const LOOK_AFTER: u32 = 8;
const MOST_BYTES: usize = 4_096;
const DNS: u16 = 53;
const DHCP_SERVER: u16 = 67;

/// The texts that the server on `address` has under `name`; `None`: it does not answer.
pub(super) async fn texts(address: IpAddr, name: &str, class: Class) -> Option<Vec<String>> {
    let ask = async {
        let any: SocketAddr = match address {
            IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await.ok()?;
        socket.connect((address, DNS)).await.ok()?;
        // The socket hears one server only, on our own machine: a number that is not secret is enough.
        let id = socket.local_addr().ok()?.port();
        socket.send(&question(id, name, class)).await.ok()?;
        let mut buffer = vec![0; MOST_BYTES];
        let length = socket.recv(&mut buffer).await.ok()?;
        answers(id, buffer.get(..length)?)
    };
    tokio::time::timeout(ANSWER_WITHIN, ask).await.ok().flatten()
}

/// Somebody listens for clients that want an address. Unconnected, so the table of sockets tells and no packet would.
pub(super) fn leases_are_given() -> bool {
    let table = std::fs::read_to_string("/proc/thread-self/net/udp").unwrap_or_default();
    let port = format!(":{DHCP_SERVER:04X}");
    table.lines().skip(1).any(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&port)))
}

/// What something may take.
pub(super) struct Patience {
    began: tokio::time::Instant,
    at_most: Duration,
}

impl Patience {
    pub(super) fn of(at_most: Duration) -> Self {
        Self { began: tokio::time::Instant::now(), at_most }
    }

    pub(super) fn is_over(&self) -> bool {
        self.began.elapsed() >= self.at_most
    }

    /// Until the next look.
    pub(super) async fn pause(&self) {
        let [least, most] = LOOK_EVERY;
        tokio::time::sleep((self.began.elapsed() / LOOK_AFTER).clamp(least, most)).await;
    }
}
