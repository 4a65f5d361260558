//! What may sit at the far end: honest servers, portals, forgers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, RCODE, ResourceRecord};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

use crate::net::{FAR, Far};

/// How an HTTP server treats who asks.
#[derive(Clone)]
pub(crate) enum Http {
    Says(String),
    /// Speaks before it is spoken to.
    First(&'static str),
    /// This text, over and over.
    Endless(&'static str),
    /// One byte a second.
    Slow,
    /// Resets every connection.
    Resets,
}

pub(crate) fn http(far: &Far, port: u16, how: Http) {
    far.serve(
        move || listen(port),
        move |listener| async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                if matches!(how, Http::Resets) {
                    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger");
                    continue;
                }
                tokio::task::spawn_local(respond(stream, how.clone()));
            }
        },
    );
}

pub(crate) fn https(far: &Far, port: u16, config: Arc<rustls::ServerConfig>, how: Http) {
    far.serve(
        move || listen(port),
        move |listener| async move {
            let acceptor = TlsAcceptor::from(config);
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                if let Ok(stream) = acceptor.accept(stream).await {
                    tokio::task::spawn_local(respond(stream, how.clone()));
                }
            }
        },
    );
}

/// A page with its length.
pub(crate) fn page(status: &str, text: &str) -> Http {
    Http::Says(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{text}", text.len()))
}

/// Answers each DNS query with what `answers` makes of it.
pub(crate) fn dns(far: &Far, answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) {
    far.serve(
        || {
            let socket = std::net::UdpSocket::bind((FAR, 53)).expect("the DNS port");
            socket.set_nonblocking(true).expect("a socket that does not wait");
            UdpSocket::from_std(socket).expect("a socket")
        },
        |socket| async move {
            let mut query = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut query).await.expect("a query");
                for answer in answers(&query[..length]) {
                    socket.send_to(&answer, from).await.expect("an answer");
                }
            }
        },
    );
}

/// A well-formed answer.
pub(crate) fn answer(query: &[u8], code: RCODE, addresses: &[&str]) -> Vec<u8> {
    let query = Packet::parse(query).expect("a query");
    let mut reply = Packet::new_reply(query.id());
    *reply.rcode_mut() = code;
    let name = query.questions[0].qname.clone();
    reply.questions = query.questions;
    for address in addresses {
        let address: Ipv4Addr = address.parse().expect("an address");
        reply.answers.push(ResourceRecord::new(name.clone(), CLASS::IN, 300, RData::A(A::from(address))));
    }
    reply.build_bytes_vec_compressed().expect("a message")
}

/// An echo reply as a forger makes it.
#[derive(Clone, Copy)]
pub(crate) struct Forgery {
    pub(crate) from: &'static str,
    pub(crate) device: &'static str,
    /// Bytes of the ICMP message to change: position and what to add.
    pub(crate) change: Option<(usize, u8)>,
}

/// Answers echo requests in the kernel's place, with forgeries.
pub(crate) fn forger(far: &Far, forgeries: &'static [Forgery]) {
    far.set("ipv4/icmp_echo_ignore_all", "1");
    far.serve(
        || {
            let hears = raw(None, None);
            let sends: Vec<_> = forgeries.iter().map(|f| (raw(Some(f.from), Some(f.device)), *f)).collect();
            let hears: std::net::UdpSocket = std::os::fd::OwnedFd::from(hears).into();
            (UdpSocket::from_std(hears).expect("a socket"), sends)
        },
        |(hears, sends)| async move {
            let mut packet = [0; 256];
            loop {
                let (length, from) = hears.recv_from(&mut packet).await.expect("a packet");
                // IPv4 header without options, then the echo request.
                let Some([8, rest @ ..]) = packet.get(20..length) else { continue };
                for (socket, forgery) in &sends {
                    let mut reply = [&[0], rest].concat();
                    if let Some((at, add)) = forgery.change {
                        reply[at] = reply[at].wrapping_add(add);
                    }
                    reply[2..4].fill(0);
                    let sum = checksum(&reply);
                    reply[2..4].copy_from_slice(&sum.to_be_bytes());
                    socket.send_to(&reply, &SockAddr::from(from)).expect("a forgery");
                }
            }
        },
    );
}

fn raw(from: Option<&str>, device: Option<&str>) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::RAW.nonblocking(), Some(Protocol::ICMPV4)).expect("a raw socket");
    if let Some(from) = from {
        let from: IpAddr = from.parse().expect("an address");
        socket.bind(&SockAddr::from(SocketAddr::new(from, 0))).expect("an address of the far side");
    }
    socket.bind_device(device.map(str::as_bytes)).expect("a device of the far side");
    socket
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to 16 bits")
}

fn listen(port: u16) -> TcpListener {
    let listener = std::net::TcpListener::bind(("0.0.0.0", port)).expect("a port");
    listener.set_nonblocking(true).expect("a socket that does not wait");
    TcpListener::from_std(listener).expect("a socket")
}

async fn respond(mut stream: impl AsyncRead + AsyncWrite + Unpin, how: Http) {
    if let Http::First(text) = how {
        let _ = stream.write_all(text.as_bytes()).await;
    }
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    // Who asked may have left; that is his right.
    let _ = match how {
        Http::Says(text) => stream.write_all(text.as_bytes()).await,
        Http::Endless(text) => loop {
            if let Err(error) = stream.write_all(text.as_bytes()).await {
                break Err(error);
            }
        },
        Http::Slow => loop {
            if let Err(error) = stream.write_all(b"H").await {
                break Err(error);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        },
        Http::First(_) | Http::Resets => Ok(()),
    };
    let _ = stream.shutdown().await;
}
