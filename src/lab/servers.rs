//! What answers in the lab: echo (UDP, TCP), HTTP (204, a text, an endless download) and DNS, each on blocking threads.
//! They live as long as the process; a thread blocked in `accept` costs nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use super::addresses::{self as plan, port};
use super::error::{Doing as _, LabError};
use super::netns::Namespace;
use crate::config::model::Family;

/// The text a check may ask for, so that a portal's page cannot pass for it.
pub const TEXT: &str = "causeway-lab: the internet is here\n";
/// The only name the DNS servers know; they say of all others that there is no such name.
pub const NAME: &str = "www.example.com";

#[derive(Debug)]
pub struct Servers {
    _private: (),
}

impl Servers {
    pub fn start(far: &Namespace, office: &Namespace, internet: &Namespace) -> Result<Self, LabError> {
        for host in [far, office, internet] {
            serve_udp(host, port::ECHO, |request| Some(request.to_vec()))?;
            serve_udp(host, port::DNS, |question| super::dns::answer(question, honest))?;
            serve_tcp(host, port::ECHO, echo)?;
            serve_tcp(host, port::HTTP, |stream| http(stream, &page))?;
            serve_tcp(host, port::STREAM, pour)?;
        }
        Ok(Self { _private: () })
    }
}

/// What an honest resolver says of `name`.
fn honest(name: &str, family: Family) -> Option<IpAddr> {
    (name == NAME).then(|| plan::far(family))
}

/// Binds in `host` and answers each datagram by `reply`, from the address it was sent to.
pub fn serve_udp(
    host: &Namespace,
    port: u16,
    reply: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + Clone + 'static,
) -> Result<(), LabError> {
    // One socket per address: a wildcard one would answer from whichever address routing picks.
    for address in addresses_of(host)? {
        let socket = host
            .enter(|| UdpSocket::bind(SocketAddr::new(address, port)))?
            .doing(|| format!("bind udp {address} port {port} in {}", host.name()))?;
        let reply = reply.clone();
        host.spawn("udp", move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if let Some(answer) = reply(&buffer[..length]) {
                    let _ = socket.send_to(&answer, from); // a lost answer is what labs are for
                }
            }
        })?;
    }
    Ok(())
}

pub fn serve_tcp(
    host: &Namespace,
    port: u16,
    serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static,
) -> Result<(), LabError> {
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let listener =
        host.enter(|| TcpListener::bind(any))?.doing(|| format!("bind tcp port {port} in {}", host.name()))?;
    host.spawn("tcp", move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            // A refused thread only costs this client its answer.
            let _ = std::thread::Builder::new().name("client".to_owned()).spawn(move || serve(stream));
        }
    })?;
    Ok(())
}

/// Answers each request by what `page` says of its path.
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

fn echo(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut buffer = [0; 4096];
    while let Ok(length) = stream.read(&mut buffer) {
        if length == 0 || stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// About 2 Mbit/s for ever: a download that shows gaps without filling the machine.
fn pour(mut stream: TcpStream) {
    let chunk = [b'.'; 2500];
    while stream.write_all(&chunk).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
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
