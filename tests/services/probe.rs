//! One packet's fate, as the sender sees it. Whatever comes back from the far end, a refusal too, shows that it got
//! there; a filter that drops says nothing.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use causeway::config::model::{PortRange, Service};
use causeway::lab::netns::Namespace;
use socket2::{Domain, Protocol, Socket, Type};

/// A way through the site takes a millisecond; a busy machine a hundred.
const WITHIN: Duration = Duration::from_millis(700);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Tcp(u16),
    Udp(u16),
    Ping,
}

impl Kind {
    pub(crate) fn is_of(self, service: &Service) -> bool {
        let has = |range: &PortRange, port: u16| (range.first..=range.last).contains(&port);
        match (self, service) {
            (_, Service::Any) | (Self::Ping, Service::Icmp) => true,
            (Self::Tcp(port), Service::Tcp(range)) | (Self::Udp(port), Service::Udp(range)) => has(range, port),
            (Self::Tcp(_) | Self::Udp(_), Service::Icmp)
            | (Self::Tcp(_) | Self::Ping, Service::Udp(_))
            | (Self::Udp(_) | Self::Ping, Service::Tcp(_)) => false,
        }
    }
}

pub(crate) fn reaches(from: &Namespace, to: IpAddr, kind: Kind) -> bool {
    from.enter(|| match kind {
        Kind::Tcp(port) => tcp((to, port).into()),
        Kind::Udp(port) => udp((to, port).into(), None),
        Kind::Ping => ping(to),
    })
    .expect("inside")
}

fn tcp(to: SocketAddr) -> bool {
    match TcpStream::connect_timeout(&to, WITHIN) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    }
}

/// A question that a server of names answers, and anybody else may.
const QUESTION: &[u8] = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";

/// An answer, or word that nobody listens there.
pub(crate) fn udp(to: SocketAddr, from_port: Option<u16>) -> bool {
    let any: SocketAddr = if to.is_ipv4() {
        ([0, 0, 0, 0], from_port.unwrap_or(0)).into()
    } else {
        ([0_u16; 8], from_port.unwrap_or(0)).into()
    };
    let socket = UdpSocket::bind(any).expect("a socket");
    socket.set_read_timeout(Some(WITHIN)).expect("a time");
    if socket.connect(to).is_err() || socket.send(QUESTION).is_err() {
        return false;
    }
    match socket.recv(&mut [0; 64]) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    }
}

fn ping(to: IpAddr) -> bool {
    let (domain, protocol, echo) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol)).expect("a socket");
    socket.set_read_timeout(Some(WITHIN)).expect("a time");
    if socket.connect(&SocketAddr::new(to, 0).into()).is_err() || socket.send(&[echo, 0, 0, 0, 0, 1, 0, 1]).is_err() {
        return false;
    }
    let mut buffer = [std::mem::MaybeUninit::uninit(); 64];
    socket.recv(&mut buffer).is_ok()
}
