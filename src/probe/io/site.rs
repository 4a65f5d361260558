//! What a branch needs to work, asked once, as any program on the gateway would: by the routes in force, bound to no line.
//! A trial compares what worked before with what works in it.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Protocol, Socket, Type};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::http::Get;
use super::sink::Sink;
use super::tls::{Roots, Tls};
use super::{clock, dns, resolve};
use crate::config::model::{Check, Family, Host, LinkName, Uplink};
use crate::probe::packet::dns::{Question, question_family};
use crate::probe::packet::echo;
use crate::probe::{Answer, Cookie};

/// Echo requests of one question: one lost packet is no lost service.
const ECHOES: u16 = 3;
/// A satellite answers in time, and all of them end before the proofs of the lines do.
const ONE_ECHO: Duration = Duration::from_millis(900);

/// Where a name can be looked up: through a line, at its provider's resolvers.
#[derive(Clone, Debug)]
pub struct Line {
    device: LinkName,
    resolvers: Vec<IpAddr>,
}

impl Line {
    pub fn of(uplink: &Uplink) -> Self {
        Self { device: uplink.device.clone(), resolvers: uplink.resolvers() }
    }
}

/// Whether it answers as it should within `patience`. Must be called inside a tokio runtime.
pub async fn works(check: &Check, lines: &[Line], patience: Duration) -> bool {
    timeout(patience, ask(check, lines)).await.ok().flatten().is_some()
}

async fn ask(check: &Check, lines: &[Line]) -> Option<()> {
    match check {
        Check::Icmp { host } => echoes(address(host, lines).await?).await,
        Check::Tcp { host, port } => {
            TcpStream::connect(SocketAddr::new(address(host, lines).await?, *port)).await.ok().map(drop)
        }
        Check::Dns { server, name, expect } => {
            let family = Family::of(server.ip());
            let question = Question::new(name, question_family(expect, family), cookie()?).ok()?;
            let own: SocketAddr = match family {
                Family::V4 => ([0; 4], 0).into(),
                Family::V6 => ([0_u16; 8], 0).into(),
            };
            let socket = UdpSocket::bind(own).await.ok()?;
            socket.connect(*server).await.ok()?;
            socket.send(question.bytes()).await.ok()?;
            let (sink, _events) = Sink::new(clock::now);
            match dns::heard(&socket, &question, &sink).await.ok()? {
                dns::Heard::Answer(answer) => answer.is_as_expected(expect, family).then_some(()),
                dns::Heard::Unreachable => None,
            }
        }
        Check::Http { url, status, contains } => {
            let get = Get::new(url, *status, contains.as_deref())?;
            let to = SocketAddr::new(address(&url.host, lines).await?, url.port);
            let stream = TcpStream::connect(to).await.ok()?;
            let answer = get.ask(stream, &Arc::new(Tls::new(Roots::System))).await?;
            (answer == Answer::Reply).then_some(())
        }
    }
}

async fn address(host: &Host, lines: &[Line]) -> Option<IpAddr> {
    let name = match host {
        Host::Address(address) => return Some(*address),
        Host::Name(name) => name,
    };
    let (sink, _events) = Sink::new(clock::now);
    for Line { device, resolvers } in lines {
        let asked = if resolvers.is_empty() { &resolve::WELL_KNOWN[..] } else { &resolvers[..] };
        for family in Family::BOTH {
            let found = resolve::resolve(device, name, family, asked, &sink).await;
            if let Some(address) = found.and_then(|found| found.first()) {
                return Some(address);
            }
        }
    }
    None
}

async fn echoes(to: IpAddr) -> Option<()> {
    let family = Family::of(to);
    let protocol = match family {
        Family::V4 => Protocol::ICMPV4,
        Family::V6 => Protocol::ICMPV6,
    };
    let socket = Socket::new(super::socket::domain(family), Type::DGRAM.nonblocking(), Some(protocol)).ok()?;
    socket.connect(&SocketAddr::new(to, 0).into()).ok()?;
    // A ping socket is a datagram socket: tokio watches it as it watches UDP.
    let socket = UdpSocket::from_std(OwnedFd::from(socket).into()).ok()?;
    for sequence in 0..ECHOES {
        let cookie = cookie()?;
        let request = echo::request(family, sequence, cookie);
        socket.send(&request).await.ok()?;
        if timeout(ONE_ECHO, heard(&socket, family, cookie)).await.ok().flatten().is_some() {
            return Some(());
        }
    }
    None
}

async fn heard(socket: &UdpSocket, family: Family, cookie: Cookie) -> Option<()> {
    // One byte more than a reply has, so that a longer one is not taken for one.
    let mut bytes = [0; echo::BYTES + 1];
    loop {
        // An ICMP error says nothing: anybody can send one.
        let Ok(length) = socket.recv(&mut bytes).await else { continue };
        if echo::reply(family, &bytes[..length]).is_some_and(|reply| reply.cookie == cookie) {
            return Some(());
        }
    }
}

fn cookie() -> Option<Cookie> {
    let mut cookie = Cookie([0; 16]);
    getrandom::fill(&mut cookie.0).ok()?;
    Some(cookie)
}
