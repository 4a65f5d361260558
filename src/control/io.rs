//! Both ends of the control socket. The daemon binds a [`Server`] and answers what comes as [`Incoming`]; commands use
//! the blocking [`Client`], `front` the asynchronous [`ask`] and [`Session`].

mod client;
mod server;
mod session;

use std::io;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};

pub use client::{Client, ClientError, ask};
pub use server::{AdmitError, Answer, BindError, Incoming, Peer, Server};
pub use session::Session;

/// Connects without ever waiting: a daemon that hangs with a full backlog is `WouldBlock`, not a hanging client.
fn connect(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}
