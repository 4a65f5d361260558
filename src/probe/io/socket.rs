//! Sockets that can only leave through one device.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::config::model::{Family, LinkName};
use crate::kernel::marks;

/// Why there is no socket for an uplink.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("there is no device {device}")]
    NoDevice { device: LinkName },
    #[error("the kernel allows this process no ping sockets: net.ipv4.ping_group_range does not cover its group")]
    PingGroupRange {
        #[source]
        source: io::Error,
    },
    #[error("cannot {operation} for device {device}")]
    System {
        operation: &'static str,
        device: LinkName,
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// The same trouble as before is told once, not at every probe.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::NoDevice { .. }, Self::NoDevice { .. })
            | (Self::PingGroupRange { .. }, Self::PingGroupRange { .. }) => true,
            (Self::System { operation, source, .. }, Self::System { operation: other, source: theirs, .. }) => {
                operation == other && source.raw_os_error() == theirs.raw_os_error()
            }
            (Self::NoDevice { .. } | Self::PingGroupRange { .. } | Self::System { .. }, _) => false,
        }
    }
}

/// The kernel's number of the device. It is another one after the device was removed and came back, and a socket bound
/// to the old number never works again.
pub(super) fn device_index(device: &LinkName) -> Option<u32> {
    if_nametoindex(device.as_str()).ok()
}

/// A ping socket: no privilege needed beyond the group range, and the kernel hands it only replies that came in on its
/// device with its identifier and a right checksum.
pub(super) fn ping(device: &LinkName, family: Family) -> Result<Socket, OpenError> {
    let protocol = match family {
        Family::V4 => Protocol::ICMPV4,
        Family::V6 => Protocol::ICMPV6,
    };
    let socket = Socket::new(domain(family), Type::DGRAM.nonblocking(), Some(protocol)).map_err(|source| {
        if source.kind() == io::ErrorKind::PermissionDenied {
            OpenError::PingGroupRange { source }
        } else {
            OpenError::System { operation: "open a ping socket", device: device.clone(), source }
        }
    })?;
    bind(&socket, device)?;
    let option = |operation, result: nix::Result<()>| {
        result.map_err(|errno| OpenError::System { operation, device: device.clone(), source: errno.into() })
    };
    option("ask for receive times", setsockopt(&socket, sockopt::ReceiveTimestampns, &true))?;
    option("ask for ICMP errors", want_icmp_errors(&socket, family))?;
    Ok(socket)
}

/// A UDP socket that hears only `server`, from a random port.
pub(super) fn udp(device: &LinkName, server: SocketAddr) -> Result<tokio::net::UdpSocket, OpenError> {
    let system = |operation| move |source| OpenError::System { operation, device: device.clone(), source };
    let family = Family::of(server.ip());
    let socket = Socket::new(domain(family), Type::DGRAM.nonblocking(), Some(Protocol::UDP))
        .map_err(system("open a UDP socket"))?;
    bind(&socket, device)?;
    want_icmp_errors(&socket, family).map_err(io::Error::from).map_err(system("ask for ICMP errors"))?;
    socket.connect(&SockAddr::from(server)).map_err(system("connect"))?;
    tokio::net::UdpSocket::from_std(OwnedFd::from(socket).into()).map_err(system("watch a UDP socket"))
}

/// A TCP socket whose first SYN is on its way when this returns.
pub(super) fn tcp(device: &LinkName, to: SocketAddr) -> Result<tokio::net::TcpStream, OpenError> {
    let system = |operation| move |source| OpenError::System { operation, device: device.clone(), source };
    let socket = Socket::new(domain(Family::of(to.ip())), Type::STREAM.nonblocking(), Some(Protocol::TCP))
        .map_err(system("open a TCP socket"))?;
    bind(&socket, device)?;
    socket.set_tcp_nodelay(true).map_err(system("set up a TCP socket"))?;
    match socket.connect(&SockAddr::from(to)) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {}
        Err(error) => return Err(system("connect")(error)),
    }
    tokio::net::TcpStream::from_std(OwnedFd::from(socket).into()).map_err(system("watch a TCP socket"))
}

/// Did an ICMP error, and not our own side, cause this?
pub(super) fn is_icmp_error(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    [
        Errno::ECONNREFUSED,
        Errno::EHOSTUNREACH,
        Errno::ENETUNREACH,
        Errno::EHOSTDOWN,
        Errno::ENONET,
        Errno::ENOPROTOOPT,
        Errno::EPROTO,
        Errno::EACCES,
        Errno::EOPNOTSUPP,
        Errno::EMSGSIZE,
    ]
    .iter()
    .any(|known| Some(*known) == errno)
}

pub(super) fn address(ip: IpAddr) -> SockAddr {
    SockAddr::from(SocketAddr::new(ip, 0))
}

pub(super) fn domain(family: Family) -> Domain {
    match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    }
}

/// Without it the kernel keeps all but "port unreachable" to itself.
fn want_icmp_errors(socket: &Socket, family: Family) -> nix::Result<()> {
    match family {
        Family::V4 => setsockopt(socket, sockopt::Ipv4RecvErr, &true),
        Family::V6 => setsockopt(socket, sockopt::Ipv6RecvErr, &true),
    }
}

fn bind(socket: &Socket, device: &LinkName) -> Result<(), OpenError> {
    socket.bind_device(Some(device.as_str().as_bytes())).map_err(|source| {
        if source.raw_os_error() == Some(Errno::ENODEV as i32) {
            OpenError::NoDevice { device: device.clone() }
        } else {
            OpenError::System { operation: "bind a socket", device: device.clone(), source }
        }
    })?;
    // Not permitted: the flow gets its uplink's mark as any other, and a late reply may be lost with them. No more.
    socket.set_mark(marks::BOUND_SOCKET).ok();
    Ok(())
}
