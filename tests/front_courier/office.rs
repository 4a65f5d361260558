//! Servers as head office may be, and as whoever sits in its place may be.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use causeway::front::address::Address;
use causeway::front::client::{Dial, Stream};
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// What a server does with each request.
#[derive(Clone, Debug)]
pub(crate) enum How {
    /// Answers, and goes on.
    Says(Vec<u8>),
    /// Answers after a while.
    Late(Duration, Vec<u8>),
    /// Answers this and hangs up.
    Cut(Vec<u8>),
    /// Answers this, and no more for ever.
    Hangs(Vec<u8>),
    /// Answers this, and then this over and over.
    Endless(Vec<u8>, Vec<u8>),
    /// Answers this, and then one byte a second.
    Drips(Vec<u8>),
    /// Each byte in a TLS record of its own.
    Bytewise(Vec<u8>),
}

/// One server: what it speaks below HTTP, and how it answers.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) how: How,
}

/// All servers there are, by port; in memory, so that a paused clock never runs ahead of a socket.
#[derive(Clone, Default)]
pub(crate) struct Wire {
    servers: Arc<Mutex<BTreeMap<u16, Server>>>,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Times and ports of connections.
    pub(crate) dialled: Vec<(tokio::time::Instant, u16)>,
    /// Heads and bodies of requests.
    pub(crate) requests: Vec<String>,
}

impl Wire {
    pub(crate) fn serve(&self, port: u16, tls: Option<Arc<ServerConfig>>, how: How) {
        self.servers.lock().expect("no panic").insert(port, Server { tls, how });
    }

    pub(crate) fn remove(&self, port: u16) {
        self.servers.lock().expect("no panic").remove(&port);
    }

    pub(crate) fn dialled(&self) -> usize {
        self.seen.lock().expect("no panic").dialled.len()
    }
}

impl Dial for Wire {
    async fn dial(&self, address: &Address) -> io::Result<Box<dyn Stream>> {
        let server = self.servers.lock().expect("no panic").get(&address.port).cloned();
        self.seen.lock().expect("no panic").dialled.push((tokio::time::Instant::now(), address.port));
        let Some(server) = server else { return Err(io::ErrorKind::ConnectionRefused.into()) };
        let (near, far) = tokio::io::duplex(16 << 10);
        let seen = Arc::clone(&self.seen);
        tokio::spawn(async move {
            match server.tls {
                Some(config) => {
                    if let Ok(stream) = TlsAcceptor::from(config).accept(far).await {
                        let _ = answer(stream, server.how, seen).await;
                    }
                }
                None => drop(answer(far, server.how, seen).await),
            }
        });
        Ok(Box::new(near))
    }
}

/// Answers until the other side leaves or its own part ends.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, how: How, seen: Arc<Mutex<Seen>>) -> io::Result<()> {
    loop {
        let request = request(&mut stream).await?;
        seen.lock().expect("no panic").requests.push(request);
        match &how {
            How::Says(bytes) => stream.write_all(bytes).await?,
            How::Late(after, bytes) => {
                sleep(*after).await;
                stream.write_all(bytes).await?;
            }
            How::Cut(bytes) => {
                stream.write_all(bytes).await?;
                // Without a farewell, as a cut line ends.
                return stream.flush().await;
            }
            How::Hangs(bytes) => {
                stream.write_all(bytes).await?;
                stream.flush().await?;
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await?;
                return Ok(());
            }
            How::Endless(first, again) => {
                stream.write_all(first).await?;
                loop {
                    stream.write_all(again).await?;
                    // Fast, but not in one turn of the clock.
                    sleep(Duration::from_millis(1)).await;
                }
            }
            How::Drips(first) => {
                stream.write_all(first).await?;
                loop {
                    stream.write_all(b"x").await?;
                    stream.flush().await?;
                    sleep(Duration::from_secs(1)).await;
                }
            }
            How::Bytewise(bytes) => {
                for byte in bytes {
                    stream.write_all(&[*byte]).await?;
                    stream.flush().await?;
                }
            }
        }
        stream.flush().await?;
    }
}

/// Head and body; whatever is not a request is one that never ends.
async fn request<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0").to_owned();
            if bytes.len() >= end + 4 + length.parse::<usize>().expect("a length") {
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// 200 with its length and these headers.
pub(crate) fn page(headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{headers}\r\n", body.len()).as_bytes(), body].concat()
}

/// A server's key and the pin for it.
pub(crate) struct Identity {
    key: KeyPair,
    pub(crate) pin: [u8; 32],
}

impl Identity {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let pin = Sha256::digest(key.subject_public_key_info()).into();
        Self { key, pin }
    }

    /// For any name, signed by itself.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config_of(named("office.example"))
    }

    pub(crate) fn config_of(&self, params: CertificateParams) -> Arc<ServerConfig> {
        let certificate = params.self_signed(&self.key).expect("a certificate");
        self.config_with(certificate.der().clone(), self.key())
    }

    pub(crate) fn config_with(
        &self,
        certificate: rustls::pki_types::CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Arc<ServerConfig> {
        let config = builder(&rustls::version::TLS13).with_no_client_auth().with_single_cert(vec![certificate], key);
        Arc::new(config.expect("a server's config"))
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key")
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.key
    }
}

pub(crate) fn builder(
    version: &'static rustls::SupportedProtocolVersion,
) -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version")
}

pub(crate) fn named(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).expect("a name")
}

/// Answers that must be given up, each within the time that is stated for it; a bare connection is without TLS.
pub(crate) fn hostile() -> Vec<(&'static str, How, &'static str)> {
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}\r\n").into_bytes();
    let chunked = head("transfer-encoding: chunked\r\n");
    let bomb = "x: y\r\n".repeat(100_000);
    let long = format!("x: {}\r\n", "y".repeat(64 << 10));
    vec![
        (
            "an endless body",
            How::Endless(chunked.clone(), [b"4000\r\n", &[b'x'; 0x4000][..], b"\r\n"].concat()),
            "longer",
        ),
        ("an endless body without a length", How::Endless(head(""), vec![b'x'; 0x4000]), "longer"),
        ("10 GB announced", How::Hangs(head("content-length: 10000000000\r\n")), "longer"),
        ("2^64 announced", How::Hangs(head("content-length: 18446744073709551615\r\n")), "HTTP"),
        ("two lengths", How::Hangs(head("content-length: 1\r\ncontent-length: 2\r\n")), "HTTP"),
        ("a byte a second", How::Drips(head("content-length: 1000\r\n")), "less than"),
        ("a head of a byte a second", How::Drips(b"HTTP/1.1 200 OK\r\nx: ".to_vec()), "less than"),
        ("a chunk size without end", How::Endless(chunked.clone(), b"0".repeat(1_000)), "first byte"),
        ("a chunk beyond all bounds", How::Hangs([&chunked[..], b"fffffffffffffffff\r\n"].concat()), "HTTP"),
        (
            "endless words behind a chunk's size",
            How::Endless([&chunked[..], b"1;"].concat(), b"x".repeat(1_000)),
            "HTTP",
        ),
        ("100,000 headers", How::Cut(head(&bomb)), "HTTP"),
        ("a header of 64 KiB", How::Cut(head(&long)), "HTTP"),
        ("100,000 trailers", How::Cut([&chunked[..], b"0\r\n", bomb.as_bytes(), b"\r\n"].concat()), "HTTP"),
        ("headers without end", How::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".repeat(100)), "HTTP"),
        ("\"wait\" without end", How::Endless(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()), "first byte"),
        ("nothing", How::Hangs(Vec::new()), "silent"),
        ("half a body, then nothing", How::Hangs(page("", b"whole")[..40].to_vec()), "less than"),
        ("half a head, then the end", How::Cut(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()), "HTTP"),
        ("half a body, then the end", How::Cut(page("", b"whole")[..40].to_vec()), "HTTP"),
        ("half a chunk, then the end", How::Cut([&chunked[..], b"5\r\nwh"].concat()), "HTTP"),
        ("the end", How::Cut(Vec::new()), "HTTP"),
        ("no HTTP", How::Cut(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()), "HTTP"),
        ("HTTP/0.9", How::Cut(b"<html>please log in</html>".to_vec()), "HTTP"),
        ("another protocol", How::Hangs(b"HTTP/2.0 200 OK\r\n\r\n".to_vec()), "HTTP"),
    ]
}
