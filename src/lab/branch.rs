//! A branch as head office sees it: enrols, asks, verifies nothing that its caller does not. Thousands of them fit into one
//! process, so the HTTP here is as small as head office's answers allow.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::trust::bounded::{List, Text};
use crate::trust::digest::Digest;
use crate::trust::document::{Document as _, EnrolRequest, Firmware, Seconds, Tenant, Token, Turn};
use crate::trust::keys::{DeviceId, Signer};
use crate::trust::machine::StateName;
use crate::trust::request::{FRESHNESS, HEADER, Method, Purpose, Request, SectionVersion, Status};

/// A standard has at most 1 MiB; its head some hundred bytes.
const ANSWER_MOST: usize = (1 << 20) + (16 << 10);

/// Keys and counters of one box.
#[derive(Debug)]
pub struct Branch {
    pub key: Signer,
    pub tenant: Tenant,
    pub serial: String,
    pub model: String,
    counter: u64,
}

/// What head office answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The document that proves that the answer is new.
    pub fn freshness(&self) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(self.header(FRESHNESS)?).ok()
    }
}

impl Branch {
    pub fn new(seed: &[u8; 32], tenant: &Tenant, serial: &str, model: &str) -> Self {
        let (serial, model) = (serial.to_owned(), model.to_owned());
        Self { key: Signer::from_seed(seed), tenant: tenant.clone(), serial, model, counter: 1 << 32 }
    }

    pub fn device(&self) -> DeviceId {
        self.key.public().device()
    }

    /// The body of `POST /v1/enrol`.
    pub fn enrolment(&self, token: &Token, nonce: [u8; 16]) -> Vec<u8> {
        let short = |text: &str| Text::new(text).expect("serials and models are short");
        let request = EnrolRequest {
            tenant: self.tenant.clone(),
            device: self.device(),
            counter: 1,
            signing: self.key.public(),
            sealing: [7; 32],
            serial: short(&self.serial),
            model: short(&self.model),
            firmware: Firmware::new(1, 4, 2),
            nonce,
            order_nonce: [9; 16],
            token: token.id(),
            mac: [0; 32],
        };
        let draft = request.proved(token).draft().expect("a right request");
        draft.sign(&self.key).encode().expect("it is small")
    }

    /// The header's value for this request, with a counter that rises.
    pub fn signed(
        &mut self,
        method: Method,
        target: &str,
        body: &[u8],
        nonce: [u8; 16],
        status: Option<Status>,
    ) -> String {
        self.counter += 1;
        let request = Request {
            device: self.device(),
            purpose: Purpose::Config,
            counter: self.counter,
            nonce,
            method,
            target: Text::new(target).expect("our targets are short"),
            body: Digest::of(body),
            status,
        };
        request.signed(&self.key)
    }

    /// The bytes of a request for the assignment.
    pub fn ask(&mut self, wait: u32, known: Option<Digest>, nonce: [u8; 16], status: Option<Status>) -> String {
        let target = format!("/v1/assignment?wait={wait}");
        let header = self.signed(Method::Get, &target, b"", nonce, status);
        let known = known.map(|known| format!("if-none-match: \"{known}\"\r\n")).unwrap_or_default();
        format!("GET {target} HTTP/1.1\r\nhost: office\r\n{HEADER}: {header}\r\n{known}\r\n")
    }
}

/// A box that runs what `applied` says, and is content.
pub fn calm(applied: Option<Digest>, standard: Turn) -> Status {
    Status {
        wanted: applied,
        fetched: applied,
        applied,
        committed: applied,
        previous: None,
        state: StateName::Idle,
        reason: None,
        verdict: None,
        unproved: List::EMPTY,
        root_version: 1,
        standard,
        assignment: standard,
        time: Seconds::default(),
        firmware: Firmware::new(1, 4, 2),
        sections: List::truncated((1..=16).map(|id| SectionVersion { id, version: 1 })),
        boot: 1,
        tunnels: List::EMPTY,
        order_nonce: [9; 16],
    }
}

/// A connection to head office.
#[derive(Debug)]
pub struct Line {
    stream: TlsStream<TcpStream>,
}

impl Line {
    /// `from` is an address of loopback, as if it were another client's.
    pub async fn connect(to: SocketAddr, from: Option<IpAddr>, tls: &Arc<ClientConfig>) -> io::Result<Self> {
        let stream = match from {
            Some(from) => {
                let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
                socket.set_nonblocking(true)?;
                socket.bind(&SocketAddr::new(from, 0).into())?;
                tokio::net::TcpSocket::from_std_stream(socket.into()).connect(to).await?
            }
            None => TcpStream::connect(to).await?,
        };
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(to.ip().into());
        Ok(Self { stream: TlsConnector::from(Arc::clone(tls)).connect(name, stream).await? })
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    pub async fn get(&mut self, branch: &mut Branch, target: &str, more: &str) -> io::Result<Answer> {
        let header = branch.signed(Method::Get, target, b"", [1; 16], None);
        self.send(format!("GET {target} HTTP/1.1\r\nhost: office\r\n{HEADER}: {header}\r\n{more}\r\n").as_bytes())
            .await?;
        self.answer().await
    }

    /// Signed, if somebody is there to sign.
    pub async fn post(&mut self, branch: Option<&mut Branch>, target: &str, body: &[u8]) -> io::Result<Answer> {
        let signed = branch.map(|branch| branch.signed(Method::Post, target, body, [1; 16], None));
        let signed = signed.map(|header| format!("{HEADER}: {header}\r\n")).unwrap_or_default();
        let length = body.len();
        let head = format!("POST {target} HTTP/1.1\r\nhost: office\r\n{signed}content-length: {length}\r\n\r\n");
        self.send(&[head.as_bytes(), body].concat()).await?;
        self.answer().await
    }

    /// The next answer, whenever it comes.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        let at = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more(&mut bytes).await?;
        };
        let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
        let odd = || io::Error::new(io::ErrorKind::InvalidData, "no answer of HTTP/1.1");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(odd)?;
        let mut answer = Answer { status, head, body: bytes.split_off(at) };
        let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0_usize);
        if length > ANSWER_MOST {
            return Err(odd());
        }
        while answer.body.len() < length {
            self.more(&mut answer.body).await?;
        }
        Ok(answer)
    }

    async fn more(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut part = [0; 2_048];
        match self.stream.read(&mut part).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length if bytes.len() + length <= ANSWER_MOST => {
                bytes.extend_from_slice(&part[..length]);
                Ok(())
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "an answer without end")),
        }
    }
}

/// Trusts a server by the pin of its key, as the root gives it, whatever its certificate's names and dates.
pub fn pinned(pin: Digest) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Pinned { pin, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.expect("ring has TLS 1.3").dangerous().with_custom_certificate_verifier(verifier);
    let mut config = builder.with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

#[derive(Debug)]
struct Pinned {
    pin: Digest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        if Digest::of(&key) == self.pin {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("another key than the root names".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
