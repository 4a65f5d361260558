//! HTTP and HTTPS probe: one GET, and the answer must be the expected one to the letter. A portal answers everything, so
//! anything else, a redirect above all, is the portal's.

use std::io;
use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::tcp;
use super::tls::{self, Tls};
use crate::config::model::{Host, HttpUrl};
use crate::probe::{Answer, Wrong};

/// A page that proves a line is small; a portal's may be any size and is not read further.
pub const BODY_BYTES: usize = 64 * 1024;
/// Status line and headers. hyper takes no less; honest answers have under two thousand bytes.
pub const HEAD_BYTES: usize = 8 * 1024;
/// As many as any honest server sends; a hostile one may send 100,000 (spec/faults.md F29).
pub const HEADERS: usize = 64;

/// Handshake, a request of usual size, closing; what TLS sends comes on top.
pub(super) const WIRE_BYTES: u32 = tcp::WIRE_BYTES + 300;
/// Client hello, finished, records around the rest.
pub(super) const TLS_WIRE_BYTES: u32 = 900;

/// One GET with what must come back.
pub(super) struct Get {
    request: Request<Empty<Bytes>>,
    server: Option<ServerName<'static>>,
    status: u16,
    contains: Option<String>,
}

impl Get {
    /// `None`: the URL cannot be asked for.
    pub(super) fn new(url: &HttpUrl, status: u16, contains: Option<&str>) -> Option<Self> {
        let request = Request::get(url.path.as_str())
            .header(HOST, url.authority())
            .header(USER_AGENT, "causeway")
            .header(CONNECTION, "close")
            .body(Empty::new())
            .ok()?;
        let server = match (&url.host, url.tls) {
            (_, false) => None,
            (Host::Address(address), true) => Some(ServerName::from(*address)),
            (Host::Name(name), true) => Some(ServerName::try_from(name.clone()).ok()?),
        };
        Some(Self { request, server, status, contains: contains.map(str::to_owned) })
    }

    /// Asks over a connection that is being established. `None`: nothing can be said. May take for ever: put a limit
    /// around it.
    pub(super) async fn ask(self, stream: TcpStream, tls: &Arc<Tls>) -> Option<Answer> {
        if let Err(end) = tcp::established(&stream).await {
            return end;
        }
        let Some(server) = self.server.clone() else { return self.exchange(stream).await };
        let connector = tls.connector().await.ok()?;
        match connector.connect(server, stream).await {
            Ok(stream) => self.exchange(stream).await,
            Err(error) if tls::is_tls_failure(&error) => Some(Answer::Wrong(Wrong::Tls)),
            Err(error) => tcp::refusal(&error),
        }
    }

    async fn exchange(self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<Answer> {
        let Self { request, status, contains, .. } = self;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES).max_headers(HEADERS);
        let (mut sender, connection) = match builder.handshake(TokioIo::new(stream)).await {
            Ok(both) => both,
            Err(error) => return failure(&error),
        };
        let judged = async move {
            match sender.send_request(request).await {
                Ok(response) => judge(response, status, contains.as_deref()).await,
                Err(error) => failure(&error),
            }
        };
        let mut judged = std::pin::pin!(judged);
        // Both are polled here and die together; when the connection ends first, what was read is still judged.
        tokio::select! {
            answer = &mut judged => answer,
            _ = connection => judged.await,
        }
    }
}

async fn judge(response: Response<Incoming>, status: u16, contains: Option<&str>) -> Option<Answer> {
    if response.status().as_u16() != status {
        return Some(Answer::Wrong(Wrong::Portal));
    }
    let Some(text) = contains else { return Some(Answer::Reply) };
    let mut body = response.into_body();
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return failure(&error),
        };
        let Some(data) = frame.data_ref() else { continue };
        let room = BODY_BYTES - read.len();
        read.extend_from_slice(&data[..data.len().min(room)]);
        if read.len() == BODY_BYTES {
            break;
        }
    }
    let found = text.is_empty() || read.windows(text.len()).any(|window| window == text.as_bytes());
    Some(if found { Answer::Reply } else { Answer::Wrong(Wrong::Portal) })
}

/// Whoever accepts and then hangs up is not the service; whoever speaks something else than HTTP is somebody else.
fn failure(error: &hyper::Error) -> Option<Answer> {
    if error.is_parse() || error.is_parse_too_large() || error.is_parse_status() {
        return Some(Answer::Wrong(Wrong::Portal));
    }
    let below = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    match below {
        Some(error) if tls::is_tls_failure(error) => Some(Answer::Wrong(Wrong::Tls)),
        Some(error) => tcp::refusal(error),
        None => Some(Answer::Refused),
    }
}

/// For fuzz/: judges what an HTTP server sent; the first byte says whether the body matters.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    let Some((body, bytes)) = bytes.split_first() else { return };
    let request = Request::get("/").header(HOST, "example.org").body(Empty::new()).expect("a request");
    let contains = (body & 1 == 1).then(|| "success".to_owned());
    let get = Get { request, server: None, status: 200, contains };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(get.exchange(tokio::io::join(bytes, tokio::io::sink())));
}
