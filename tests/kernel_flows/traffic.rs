//! Far servers that echo, and clients that note what happens to them.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::lab::Lab;

pub(crate) const ECHO: u16 = 7_000;
const TICK: Duration = Duration::from_millis(10);
/// A read that waits longer looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// TCP and UDP echo on all ports given, on all addresses of a host.
pub(crate) fn serve(lab: &Lab, host: &str, ports: &[u16]) {
    for port in ports.iter().copied() {
        let (tcp, udp) = lab
            .on(host, move || {
                let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
                (TcpListener::bind(any).expect("a free port"), UdpSocket::bind(any).expect("a free port"))
            })
            .join()
            .expect("the servers start");
        thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                thread::spawn(move || echo(stream));
            }
        });
        thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                udp.send_to(&buffer[..length], from).ok();
            }
        });
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 1_024];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

pub(crate) fn connect(lab: &Lab, host: &str, to: &str, port: u16) -> std::io::Result<TcpStream> {
    let to = SocketAddr::from((to.parse::<IpAddr>().expect("an address"), port));
    lab.on(host, move || TcpStream::connect_timeout(&to, Duration::from_secs(2))).join().expect("no panic")
}

/// One client and what became of it.
pub(crate) struct Client {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
    handle: Mutex<Option<TcpStream>>,
    error: Mutex<Option<(Instant, ErrorKind)>>,
}

impl Client {
    /// Sends a little every tick and reads what comes back.
    pub(crate) fn streaming(lab: &Lab, to: &str) -> Self {
        let stream = connect(lab, "lan", to, ECHO).expect("the far host answers");
        let client = Self::listening(stream.try_clone().expect("a second handle"));
        let state = Arc::clone(&client.state);
        thread::spawn(move || {
            let mut stream = stream;
            while !state.stop.load(Ordering::Relaxed) {
                if let Err(error) = stream.write_all(&[0; 8]) {
                    return state.fail(error.kind());
                }
                state.sent.fetch_add(8, Ordering::Relaxed);
                thread::sleep(TICK);
            }
        });
        client
    }

    /// Never says anything once it is connected.
    pub(crate) fn idle(lab: &Lab, to: &str) -> Self {
        let mut stream = connect(lab, "lan", to, ECHO).expect("the far host answers");
        stream.write_all(b"hello").expect("the connection is new");
        Self::listening(stream)
    }

    pub(crate) fn listening(mut stream: TcpStream) -> Self {
        let state = Arc::new(State::default());
        *state.handle.lock().expect("no panic") = Some(stream.try_clone().expect("a second handle"));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
            let mut buffer = [0; 1_024];
            while !shared.stop.load(Ordering::Relaxed) {
                match stream.read(&mut buffer) {
                    Ok(0) => return shared.fail(ErrorKind::UnexpectedEof),
                    Ok(length) => shared.got(length),
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Err(error) => return shared.fail(error.kind()),
                }
            }
        });
        Self { state }
    }

    /// One numbered packet a tick, on one socket.
    pub(crate) fn datagrams(lab: &Lab, to: &str) -> Self {
        let to = SocketAddr::from((to.parse::<IpAddr>().expect("an address"), ECHO));
        let socket = lab
            .on("lan", move || {
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).expect("a free port");
                socket.connect(to).expect("a route");
                socket
            })
            .join()
            .expect("no panic");
        let state = Arc::new(State::default());
        let (receiver, reading) = (socket.try_clone().expect("a second handle"), Arc::clone(&state));
        thread::spawn(move || {
            receiver.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
            while !reading.stop.load(Ordering::Relaxed) {
                if receiver.recv(&mut [0; 64]).is_ok() {
                    reading.got(1);
                }
            }
        });
        let writing = Arc::clone(&state);
        thread::spawn(move || {
            while !writing.stop.load(Ordering::Relaxed) {
                if socket.send(&[0; 8]).is_ok() {
                    writing.sent.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(TICK);
            }
        });
        Self { state }
    }

    pub(crate) fn say(&self, words: &[u8]) {
        let handle = self.state.handle.lock().expect("no panic");
        let mut stream = handle.as_ref().expect("a stream");
        stream.write_all(words).expect("the socket does not know yet");
    }

    pub(crate) fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn received(&self) -> u64 {
        self.state.received.load(Ordering::Relaxed)
    }

    pub(crate) fn error(&self) -> Option<ErrorKind> {
        self.state.error.lock().expect("no panic").map(|(_, kind)| kind)
    }

    /// When the application learnt of it, counted from `start`.
    pub(crate) fn failed_after(&self, start: Instant) -> Option<Duration> {
        self.state.error.lock().expect("no panic").map(|(at, _)| at.saturating_duration_since(start))
    }

    pub(crate) fn stop(&self) {
        self.state.stop.store(true, Ordering::Relaxed);
    }
}

impl State {
    fn fail(&self, kind: ErrorKind) {
        self.error.lock().expect("no panic").get_or_insert((Instant::now(), kind));
    }

    fn got(&self, length: usize) {
        self.received.fetch_add(length as u64, Ordering::Relaxed);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One echo request, from a raw socket. `true`: answered within a second.
pub(crate) fn ping(lab: &Lab, host: &str, device: Option<&'static str>, to: &str) -> bool {
    let to = SocketAddr::from((to.parse::<IpAddr>().expect("an address"), 0));
    lab.on(host, move || {
        // Type, code, checksum, identifier 1, sequence 1. Of ICMPv6 the kernel writes the checksum.
        let (domain, protocol, packet, reply) = if to.is_ipv4() {
            (Domain::IPV4, Protocol::ICMPV4, [8, 0, 0xf7, 0xfd, 0, 1, 0, 1], 0)
        } else {
            (Domain::IPV6, Protocol::ICMPV6, [128, 0, 0, 0, 0, 1, 0, 1], 129)
        };
        let socket = Socket::new(domain, Type::RAW, Some(protocol)).expect("root may");
        socket.bind_device(device.map(str::as_bytes)).expect("root may");
        socket.send_to(&packet, &to.into()).expect("sent");
        let until = Instant::now() + Duration::from_secs(1);
        let mut answer = [0_u8; 128];
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            socket.set_read_timeout(Some(left)).expect("a timeout above zero");
            let Ok(length) = (&socket).read(&mut answer) else { continue };
            // Raw sockets of IPv4 see the header, too.
            let start = if to.is_ipv4() { 20 } else { 0 };
            if answer[start..length].first() == Some(&reply) {
                return true;
            }
        }
        false
    })
    .join()
    .expect("no panic")
}
