//! What answers in the lab: echo (UDP, TCP), HTTP (204, a text, an endless download) and DNS, each on blocking threads
//! that look twice a second whether the branch is being taken down.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::addresses::{self as plan, port};
use super::error::{Doing as _, LabError};
use super::netns::Namespace;
use crate::config::model::Family;

/// The text a check may ask for, so that a portal's page cannot pass for it.
pub const TEXT: &str = "causeway-lab: the internet is here\n";
/// The only name the DNS servers know; they say of all others that there is no such name.
pub const NAME: &str = "www.example.com";

/// All servers of a branch: they end soon after this is dropped, and let go of the namespaces they are in.
#[derive(Debug, Default)]
pub struct Servers {
    stop: Stop,
}

type Stop = Arc<AtomicBool>;

/// How soon a server sees that it shall end.
const STOP_WITHIN: Duration = Duration::from_millis(500);

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Servers {
    pub fn start(far: &Namespace, office: &Namespace, internet: &Namespace) -> Result<Self, LabError> {
        let servers = Self::default();
        for host in [far, office, internet] {
            servers.udp(host, port::ECHO, |request| Some(request.to_vec()))?;
            servers.udp(host, port::DNS, |question| super::dns::answer(question, honest))?;
            servers.tcp(host, port::ECHO, echo)?;
            servers.tcp(host, port::HTTP, |stream, _| http(stream, &page))?;
            servers.tcp(host, port::STREAM, pour)?;
        }
        Ok(servers)
    }

    /// Binds in `host` and answers each datagram by `reply`, from the address it was sent to.
    pub fn udp(
        &self,
        host: &Namespace,
        port: u16,
        reply: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Clone + 'static,
    ) -> Result<(), LabError> {
        // One socket per address: a wildcard one would answer from whichever address routing picks.
        for address in addresses_of(host)? {
            let socket = host.enter(|| {
                let socket = UdpSocket::bind(SocketAddr::new(address, port))?;
                socket.set_read_timeout(Some(STOP_WITHIN))?;
                Ok::<_, std::io::Error>(socket)
            })?;
            let socket = socket.doing(|| format!("bind udp {address} port {port} in {}", host.name()))?;
            let (reply, stop) = (reply.clone(), Arc::clone(&self.stop));
            host.spawn("udp", move || {
                let mut buffer = [0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                    if let Some(answer) = reply(&buffer[..length]) {
                        let _ = socket.send_to(&answer, from); // a lost answer is what labs are for
                    }
                }
            })?;
        }
        Ok(())
    }

    /// Each connection gets a thread of its own, which ends when `serve` sees the flag.
    pub fn tcp(
        &self,
        host: &Namespace,
        port: u16,
        serve: impl Fn(TcpStream, &AtomicBool) + Send + Clone + 'static,
    ) -> Result<(), LabError> {
        let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        let listener = host.enter(|| {
            let listener = TcpListener::bind(any)?;
            socket2::SockRef::from(&listener).set_read_timeout(Some(STOP_WITHIN))?;
            Ok::<_, std::io::Error>(listener)
        })?;
        let listener = listener.doing(|| format!("bind tcp port {port} in {}", host.name()))?;
        let stop = Arc::clone(&self.stop);
        host.spawn("tcp", move || {
            while !stop.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else { continue };
                let (serve, stop) = (serve.clone(), Arc::clone(&stop));
                let timeouts = stream.set_read_timeout(Some(STOP_WITHIN));
                if timeouts.and_then(|()| stream.set_write_timeout(Some(STOP_WITHIN))).is_ok() {
                    // A refused thread only costs this client its answer.
                    let _ = std::thread::Builder::new().spawn(move || serve(stream, &stop));
                }
            }
        })?;
        Ok(())
    }
}

/// What an honest resolver says of `name`.
pub(super) fn honest(name: &str, family: Family) -> Option<IpAddr> {
    (name == NAME).then(|| plan::far(family))
}

/// Answers each request by what `page` says of its path; an idle connection is closed.
pub fn http(stream: TcpStream, page: &dyn Fn(&str) -> String) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
        let _headers = lines.by_ref().take_while(|line| !line.is_empty()).count();
        if writer.write_all(page(&path).as_bytes()).is_err() {
            return;
        }
    }
}

pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn page(path: &str) -> String {
    match path {
        "/generate_204" => "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => ok(TEXT),
    }
}

fn echo(mut stream: TcpStream, stop: &AtomicBool) {
    let _ = stream.set_nodelay(true);
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            // A client that does not read loses what does not fit: none of the lab's does that for long.
            Ok(length) if stream.write_all(&buffer[..length]).is_ok() => {}
            Err(error) if timed_out(&error) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// About 2 Mbit/s for ever: a download that shows gaps without filling the machine.
fn pour(mut stream: TcpStream, stop: &AtomicBool) {
    let chunk = [b'.'; 2500];
    while !stop.load(Ordering::Relaxed) {
        match stream.write(&chunk) {
            Ok(_) => std::thread::sleep(Duration::from_millis(10)),
            Err(error) if timed_out(&error) => {}
            Err(_) => return,
        }
    }
}

/// Time to look at the flag; the connection is as it was.
fn timed_out(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

fn addresses_of(host: &Namespace) -> Result<Vec<IpAddr>, LabError> {
    let listed = host.enter(|| {
        let interfaces = nix::ifaddrs::getifaddrs()?;
        Ok::<Vec<_>, nix::errno::Errno>(interfaces.filter_map(|interface| ip_address(&interface.address?)).collect())
    })?;
    let addresses = listed.doing(|| format!("list addresses of {}", host.name()))?;
    Ok(addresses.into_iter().filter(|it| !matches!(it, IpAddr::V6(v6) if v6.is_unicast_link_local())).collect())
}

fn ip_address(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}
