//! One connection: TLS, then requests one after the other, with an end to every wait. A panic in one ends that one only.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::answer::answer;
use super::desk::Desk;
use super::http::{Ended, Wire};
use super::room::{Room, Seat};

/// For TLS, whatever the line is like.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a first request that a device of ours signed: nobody else stays.
const UNPROVED: Duration = Duration::from_secs(60);
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

/// What is needed only now and then is in boxes of its own: this future is what a held request costs.
async fn connection(desk: Arc<Desk>, stream: TcpStream, tls: TlsAcceptor, seat: Seat) {
    let begun = Instant::now();
    let Some(stream) = Box::pin(shake(stream, tls)).await else {
        desk.counts.handshakes();
        return;
    };
    let mut wire = Wire::new(stream);
    let proved = AtomicBool::new(false);
    let known = || {
        if !proved.swap(true, Ordering::Relaxed) {
            seat.keep();
        }
    };
    let ended = loop {
        let asked = match proved.load(Ordering::Relaxed) {
            true => Box::pin(wire.request()).await,
            false => timeout_at(begun + UNPROVED, Box::pin(wire.request())).await.unwrap_or(Err(Ended::Slow)),
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(ended) => break ended,
        };
        // Both are safe to cancel: an answer for nobody is not needed, and what came is kept in the wire.
        let answer = tokio::select! {
            answer = answer(&desk, asked, known) => answer,
            () = wire.gone() => break Ended::Gone,
        };
        if let Err(ended) = Box::pin(wire.answer(answer, false)).await {
            break ended;
        }
    };
    match ended {
        Ended::Gone => {}
        Ended::Slow => desk.counts.slow(),
        Ended::Wrong(status) => {
            if status == 413 {
                desk.counts.large();
            }
            Box::pin(wire.refuse(status)).await;
        }
    }
}

async fn shake(stream: TcpStream, tls: TlsAcceptor) -> Option<Box<TlsStream<TcpStream>>> {
    let alive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&alive); // without it a dead line costs its place until the hold is over
    let _ = stream.set_nodelay(true); // only slower without
    timeout(HANDSHAKE, tls.accept(stream)).await.ok()?.ok().map(Box::new)
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
