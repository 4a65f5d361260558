//! A connection to one office: names, TCP, TLS, HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::meter::{Meter, Metered};
use super::tls;
use crate::control::errand::Office;
use crate::front::address::{Address, Host};
use crate::tls::Authorities;

/// For the head of an answer. Honest ones have under two thousand bytes.
pub const HEAD_BYTES: usize = 16 << 10;
/// As many as any honest server sends.
const HEADERS: usize = 64;
/// For name, TCP and TLS of one office: longer than three lost packets in a row.
pub const CONNECT: Duration = Duration::from_secs(15);
/// For TCP to one address, so that a dead IPv6 does not cost a live IPv4 its turn.
const CONNECT_ADDRESS: Duration = Duration::from_secs(4);
/// Of one name.
const ADDRESSES: usize = 4;
/// NAT on the way forgets silent connections after some minutes.
const KEEPALIVE: Duration = Duration::from_mins(2);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
/// What is not acknowledged in this time never will be: the line or the server is gone.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// What TLS or HTTP runs over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How an office is reached.
pub trait Dial: Send + Sync {
    fn dial(&self, address: &Address) -> impl Future<Output = io::Result<Box<dyn Stream>>> + Send;
}

/// By the network of this machine, which routes it over the uplink in use.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

impl Dial for Tcp {
    async fn dial(&self, address: &Address) -> io::Result<Box<dyn Stream>> {
        let addresses = match &address.host {
            Host::Ip(ip) => vec![SocketAddr::new(*ip, address.port)],
            Host::Name(name) => alternate(tokio::net::lookup_host((name.as_str(), address.port)).await?),
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for to in addresses.into_iter().take(ADDRESSES) {
            match timeout(CONNECT_ADDRESS, TcpStream::connect(to)).await {
                Ok(Ok(stream)) => {
                    prepare(&stream)?;
                    return Ok(Box::new(stream));
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }
}

/// One family after the other, each in the order of the system.
fn alternate(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let all: Vec<SocketAddr> = addresses.collect();
    let (first, second): (Vec<_>, Vec<_>) =
        all.iter().partition(|address| Some(address.is_ipv6()) == all.first().map(SocketAddr::is_ipv6));
    let longest = first.len().max(second.len());
    (0..longest).flat_map(|n| [first.get(n).copied(), second.get(n).copied()]).flatten().collect()
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_EVERY).with_retries(2);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

/// One HTTP connection, for one request after the other.
pub(super) struct Connection {
    pub(super) office: Office,
    pub(super) address: Address,
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) meter: Arc<Meter>,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes at most [`CONNECT`].
pub(super) async fn connect(
    dial: &impl Dial,
    office: &Office,
    address: Address,
    authorities: &Authorities,
) -> io::Result<Connection> {
    let connected = timeout(CONNECT, async {
        let stream = dial.dial(&address).await?;
        if !address.tls {
            return Ok(stream);
        }
        let name = tls::server_name(&address)?;
        let connector = tls::connector(&office.pins, authorities).await?;
        Ok::<Box<dyn Stream>, io::Error>(Box::new(connector.connect(name, stream).await?))
    });
    let stream = connected.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let meter = Arc::new(Meter::default());
    let stream = TokioIo::new(Metered::new(stream, Arc::clone(&meter)));
    let mut builder = Builder::new();
    builder.max_buf_size(HEAD_BYTES).max_header_size(HEAD_BYTES).max_headers(HEADERS);
    let (sender, connection) = builder.handshake(stream).await.map_err(io::Error::other)?;
    // It ends with the server's end of the connection, or when ours is dropped; its error reaches the request.
    let task = tokio::spawn(async move { drop(connection.await) }).abort_handle();
    Ok(Connection { office: office.clone(), address, sender, meter, task })
}
