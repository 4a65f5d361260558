//! One connection: TLS, then HTTP/1.1, with an end to every wait. A panic in one ends that one only.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::answer::answer;
use super::desk::Desk;
use super::room::{Room, Seat};

/// For TLS, whatever the line is like.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For the head of a request, and between two requests.
const HEAD: Duration = Duration::from_secs(15);
/// For a first request that a device of ours signed: nobody else stays.
const UNPROVED: Duration = Duration::from_secs(60);
/// Whoever takes nothing for so long has gone.
const STALL: Duration = Duration::from_secs(20);
/// hyper needs 8 KiB at least; a head of ours has 3.
const HEAD_BYTES: usize = 8 << 10;
const FIELDS_MOST: usize = 32;
/// A line that is dead without saying so is found by the kernel, at no cost to a metered one that lives.
const KEEPALIVE: Duration = Duration::from_secs(120);

pub(super) async fn accept(desk: Arc<Desk>, listener: TcpListener, tls: TlsAcceptor, room: Arc<Room>) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // Out of descriptors, most likely.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Some(seat) = room.seat(from.ip()) else {
            desk.counts.full();
            continue;
        };
        desk.counts.connections();
        tokio::spawn(connection(Arc::clone(&desk), stream, tls.clone(), seat));
    }
}

async fn connection(desk: Arc<Desk>, stream: TcpStream, tls: TlsAcceptor, seat: Seat) {
    let alive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&alive); // without it a dead line costs its place until the hold is over
    let _ = stream.set_nodelay(true); // only slower without
    let shaken = timeout(HANDSHAKE, Box::pin(tls.accept(stream))).await;
    let Ok(Ok(stream)) = shaken else {
        desk.counts.handshakes();
        return;
    };
    let proved = AtomicBool::new(false);
    let service = service_fn(|request| {
        let (desk, proved, seat) = (&desk, &proved, &seat);
        let known = move || {
            if !proved.swap(true, Ordering::Relaxed) {
                seat.keep();
            }
        };
        async move { Ok::<_, Infallible>(answer(desk, request, known).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(FIELDS_MOST)
        .serve_connection(TokioIo::new(Guarded::new(stream)), service);
    let strangers_leave = async {
        sleep(UNPROVED).await;
        if proved.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    };
    // Both are safe to cancel: this is the end of the connection.
    let slow = tokio::select! {
        served = served => served.is_err_and(|error| error.is_timeout() || is_stalled(&error)),
        () = strangers_leave => true,
    };
    if slow {
        desk.counts.slow();
    }
}

fn is_stalled(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// Gives a reader up that takes nothing; hyper itself would wait for ever.
struct Guarded<S> {
    stream: S,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    fn new(stream: S) -> Self {
        Self { stream, stalled: None }
    }

    fn judge<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, shut)
    }
}

/// One client may use any address of its IPv6 network.
pub(super) fn block(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(four) => four.into(),
            None => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        },
    }
}
