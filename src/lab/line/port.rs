//! One end of a line, as a device in a host's namespace: a tap, or, where /dev/net/tun is closed to this user, a
//! packet socket on the far end of a veth pair.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::lab::error::{Doing as _, LabError};
use crate::lab::netns::Namespace;

#[derive(Debug)]
pub struct Port {
    /// The host that has the device.
    host: Namespace,
    device: String,
    end: End,
}

enum End {
    Tap(SyncDevice),
    Socket {
        handle: OwnedFd,
        /// Where the socket is, and the device it is bound to.
        place: Namespace,
        peer: String,
    },
}

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tap(_) => "tap",
            Self::Socket { .. } => "socket",
        })
    }
}

/// Longest frame a port carries: an Ethernet frame, and its offload header where there is one.
pub const FRAME: usize = 2048;

impl Port {
    /// Makes `device` in `host`. `wires` is where the packet sockets live when there are no taps.
    pub fn open(host: &Namespace, device: &str, wires: &Namespace, taps: bool) -> Result<Self, LabError> {
        let end = if taps { open_tap(host, device)? } else { open_socket(host, device, wires)? };
        Ok(Self { host: host.clone(), device: device.to_owned(), end })
    }

    /// Whether this user may make taps.
    pub fn taps_allowed() -> bool {
        std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_ok()
    }

    /// `None`: nothing there now.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let received = match &self.end {
            End::Tap(tap) => tap.recv(buffer),
            End::Socket { handle, .. } => {
                recv(handle.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT).map_err(io::Error::from)
            }
        };
        match received {
            Ok(length) => Ok(Some(length)),
            Err(error) if transient(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A frame the device has no room for, or while it is down, is lost as on a real wire.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        let sent = match &self.end {
            End::Tap(tap) => tap.send(frame),
            End::Socket { handle, .. } => {
                send(handle.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT).map_err(io::Error::from)
            }
        };
        match sent {
            Ok(_) => Ok(()),
            Err(error) if transient(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Plugs the cable in or pulls it: the host sees `NO-CARRIER`.
    pub fn set_carrier(&self, on: bool) -> Result<(), LabError> {
        match &self.end {
            End::Tap(tap) => set_tap_carrier(tap, on).doing(|| format!("set the carrier of {}", self.device)),
            End::Socket { place, peer, .. } => place.ip(&format!("link set {peer} {}", if on { "up" } else { "down" })),
        }
    }

    pub fn host(&self) -> &Namespace {
        &self.host
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.end {
            End::Tap(tap) => tap.as_fd(),
            End::Socket { handle, .. } => handle.as_fd(),
        }
    }
}

/// Nothing to read, no room, or the device is down for now: none of these ends a line.
fn transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EAGAIN | Errno::EIO | Errno::ENETDOWN | Errno::ENOBUFS | Errno::ENXIO | Errno::EINTR)
    )
}

fn open_tap(host: &Namespace, device: &str) -> Result<End, LabError> {
    let tap = host
        .enter(|| {
            let tap = DeviceBuilder::new().name(device).layer(Layer::L2).inherit_enable_state().build_sync()?;
            tap.set_nonblocking(true)?;
            Ok::<_, io::Error>(tap)
        })?
        .doing(|| format!("make tap {device} in {}", host.name()))?;
    Ok(End::Tap(tap))
}

mod request {
    // `TUNSETCARRIER`, linux/if_tun.h.
    nix::ioctl_write_ptr!(tun_set_carrier, b'T', 226, std::ffi::c_int);
}

#[expect(unsafe_code, reason = "no crate wraps TUNSETCARRIER; a command would blur the instant of the fault")]
fn set_tap_carrier(tap: &SyncDevice, on: bool) -> nix::Result<()> {
    let value = libc::c_int::from(on);
    // SAFETY: the descriptor is an open tap, and the kernel only reads one int during the call.
    unsafe { request::tun_set_carrier(tap.as_raw_fd(), &value) }.map(drop)
}

// `PACKET_VNET_HDR`: frames come with their offload state, so an unfinished checksum is finished at the other end.
const PACKET_VNET_HDR: libc::c_int = 15;
#[derive(Clone, Copy, Debug)]
struct VnetHeader;
nix::setsockopt_impl!(VnetHeader, libc::SOL_PACKET, PACKET_VNET_HDR, bool, nix::sys::socket::sockopt::SetBool);

fn open_socket(host: &Namespace, device: &str, wires: &Namespace) -> Result<End, LabError> {
    let peer = format!("{}.{device}", host.name());
    // One segment at a time, as on a wire: the emulator loses frames, not bundles of forty.
    host.ip(&format!(
        "link add {device} gso_max_segs 1 type veth peer name {peer} netns {}\nlink set {device} gso_max_size 1514\n",
        wires.path()
    ))?;
    wires.ip(&format!("link set {peer} up\n"))?;
    let handle = wires
        .enter(|| {
            let handle = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
                SockProtocol::EthAll,
            )?;
            setsockopt(&handle, VnetHeader, &true)?;
            bind(handle.as_raw_fd(), &link_address(&peer)?)?;
            Ok::<_, Errno>(handle)
        })?
        .doing(|| format!("open a packet socket on {peer}"))?;
    Ok(End::Socket { handle, place: wires.clone(), peer })
}

/// The address comes with protocol 0, which leaves the socket's own.
fn link_address(device: &str) -> nix::Result<LinkAddr> {
    nix::ifaddrs::getifaddrs()?
        .filter(|interface| interface.interface_name == device)
        .find_map(|interface| interface.address?.as_link_addr().copied())
        .ok_or(Errno::ENODEV)
}
