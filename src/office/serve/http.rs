//! HTTP/1.1 as the gateways speak it, and nothing more: GET and POST, a length for each body, one request at a time. A
//! library's server keeps 16 KiB of buffers for each connection; here a request that is held costs none.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::ready;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

/// A head of ours has less than 3 KiB: one long field, and a few short ones.
const HEAD_MOST: usize = 8 << 10;
const FIELDS_MOST: usize = 32;
/// Of any request; the longest that is read, too.
const BODY_MOST: usize = 4 << 10;
/// From the first byte to the last; also how long a connection may idle between two requests.
const HEAD: Duration = Duration::from_secs(15);
const BODY: Duration = Duration::from_secs(10);
/// Whoever takes nothing for so long has gone.
const STALL: Duration = Duration::from_secs(20);
/// Between two looks at whether something was taken.
const PART: usize = 16 << 10;
/// What still comes from somebody who was told why not, so that the answer is not lost with it.
const DREGS: Duration = Duration::from_secs(1);
const READ: usize = 2 << 10;

/// A request with all of its body.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) post: bool,
    /// Path and query.
    pub(super) target: String,
    pub(super) body: Vec<u8>,
    fields: Vec<(String, String)>,
}

impl Asked {
    /// `None` as well if it is there twice: nobody should choose which one counts.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(key, _)| key == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            (_, _) => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum Ended {
    /// The other end has closed, or nobody could read on.
    Gone,
    /// Too slow.
    Slow,
    /// To be told with this status, and then the end.
    Wrong(u16),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::Slow } else { Self::Gone }
    }
}

/// One connection.
pub(super) struct Wire<S> {
    stream: S,
    /// What came and belongs to no request yet; without memory while it is empty.
    came: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, came: Vec::new() }
    }

    pub(super) async fn request(&mut self) -> Result<Asked, Ended> {
        let Ok(head) = timeout(HEAD, self.head()).await else {
            return Err(if self.came.is_empty() { Ended::Gone } else { Ended::Slow });
        };
        let (mut asked, length) = head?;
        timeout(BODY, self.body(length)).await.map_err(|_| Ended::Slow)??;
        let rest = self.came.split_off(length);
        asked.body = std::mem::replace(&mut self.came, rest);
        if self.came.is_empty() {
            self.came = Vec::new();
        }
        Ok(asked)
    }

    /// Ends when the other end closes, or says more than a second request while the first is held.
    pub(super) async fn gone(&mut self) {
        while self.came.len() < HEAD_MOST && matches!(self.more().await, Ok(1..)) {}
    }

    pub(super) async fn answer(&mut self, answer: Answer, last: bool) -> Result<(), Ended> {
        let Answer { status, fields, body } = answer;
        let mut head = format!("HTTP/1.1 {status} {}\r\ncache-control: no-store\r\n", reason(status));
        for (name, value) in fields {
            let _ = write!(head, "{name}: {value}\r\n"); // a text takes everything
        }
        if last {
            head += "connection: close\r\n";
        }
        // These two have no body, and say no length.
        if status != 204 && status != 304 {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        head += "\r\n";
        self.put(head.as_bytes()).await?;
        self.put(&body).await?;
        timeout(STALL, self.stream.flush()).await.map_err(|_| Ended::Slow)??;
        Ok(())
    }

    /// The last answer, and then nothing more in either direction.
    pub(super) async fn refuse(mut self, status: u16) {
        let answer = Answer { status, fields: Vec::new(), body: Bytes::new() };
        if self.answer(answer, true).await.is_ok() {
            let dregs = async {
                let _ = self.stream.shutdown().await; // it is over either way
                while matches!(self.more().await, Ok(1..)) {
                    self.came.clear();
                }
            };
            let _ = timeout(DREGS, dregs).await; // long enough for an honest client
        }
    }

    /// Takes the head of the next request off what came.
    async fn head(&mut self) -> Result<(Asked, usize), Ended> {
        loop {
            if let Some((asked, length, body)) = parse(&self.came)? {
                self.came.drain(..body);
                return Ok((asked, length));
            }
            if self.came.len() >= HEAD_MOST {
                return Err(Ended::Wrong(431));
            }
            if self.more().await? == 0 {
                return Err(Ended::Gone);
            }
        }
    }

    async fn body(&mut self, length: usize) -> Result<(), Ended> {
        while self.came.len() < length {
            if self.more().await? == 0 {
                return Err(Ended::Gone);
            }
        }
        Ok(())
    }

    /// The buffer lives only while something is read: a future that waits does not hold it. Safe to cancel.
    async fn more(&mut self) -> io::Result<usize> {
        let Self { stream, came } = self;
        poll_fn(|context| {
            let mut bytes = [0; READ];
            let mut part = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut part))?;
            came.extend_from_slice(part.filled());
            Ok(part.filled().len()).into()
        })
        .await
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        for part in bytes.chunks(PART) {
            timeout(STALL, self.stream.write_all(part)).await.map_err(|_| Ended::Slow)??;
        }
        Ok(())
    }
}

/// `None`: it goes on. Else the request, the length of its body, and where that begins.
fn parse(bytes: &[u8]) -> Result<Option<(Asked, usize, usize)>, Ended> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MOST];
    let mut request = httparse::Request::new(&mut fields);
    let at = match request.parse(bytes) {
        Ok(httparse::Status::Complete(at)) => at,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Ended::Wrong(431)),
        Err(_) => return Err(Ended::Wrong(400)),
    };
    let post = match request.method {
        Some("GET") => false,
        Some("POST") => true,
        Some(_) | None => return Err(Ended::Wrong(405)),
    };
    if request.version != Some(1) {
        return Err(Ended::Wrong(505));
    }
    let text =
        |value: &[u8]| std::str::from_utf8(value).map(|text| text.trim().to_owned()).map_err(|_| Ended::Wrong(400));
    let fields = request.headers.iter().map(|field| Ok((field.name.to_ascii_lowercase(), text(field.value)?)));
    let fields = fields.collect::<Result<Vec<_>, Ended>>()?;
    let asked = Asked { post, target: request.path.unwrap_or("/").to_owned(), body: Vec::new(), fields };
    let has = |name: &str| asked.fields.iter().any(|(key, _)| key == name);
    if has("transfer-encoding") {
        return Err(Ended::Wrong(411));
    }
    let length = match asked.field("content-length") {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits.parse().unwrap_or(usize::MAX),
        Some(_) => return Err(Ended::Wrong(400)),
        None if has("content-length") => return Err(Ended::Wrong(400)),
        None => 0,
    };
    if length > if post { BODY_MOST } else { 0 } {
        return Err(Ended::Wrong(413));
    }
    Ok(Some((asked, length, at)))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_whole_or_wrong() {
        let status = |text: &str| match parse(text.as_bytes()) {
            Ok(None) => 0,
            Ok(Some(_)) => 200,
            Err(Ended::Wrong(status)) => status,
            Err(Ended::Gone | Ended::Slow) => 1,
        };
        for (text, wanted) in [
            ("GET / HTTP/1.1\r\n\r\n", 200),
            ("GET / HTTP/1.1\r\nhost", 0),
            ("GET / HTTP/1.0\r\n\r\n", 505),
            ("PUT / HTTP/1.1\r\n\r\n", 405),
            ("GET / HTTP/1.1\r\ncontent-length: 1\r\n\r\n", 413),
            ("POST / HTTP/1.1\r\ncontent-length: 4096\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\ncontent-length: 4097\r\n\r\n", 413),
            ("POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n", 413),
            ("POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", 411),
            ("\u{1}\r\n\r\n", 400),
        ] {
            assert_eq!(status(text), wanted, "{text:?}");
        }
    }

    #[tokio::test]
    async fn requests_that_come_together_are_answered_one_after_the_other() {
        let (mut client, server) = tokio::io::duplex(1 << 10);
        let mut wire = Wire::new(server);
        client
            .write_all(b"POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\nhiGET /b HTTP/1.1\r\nx: y\r\n\r\n")
            .await
            .expect("sent");
        let first = wire.request().await.expect("a request");
        assert_eq!((first.post, &*first.target, &*first.body), (true, "/a", b"hi".as_slice()));
        let second = wire.request().await.expect("a request");
        assert_eq!((second.post, &*second.target, second.field("x")), (false, "/b", Some("y")));
        assert_eq!(wire.came.capacity(), 0);
        drop(client);
        assert!(matches!(wire.request().await, Err(Ended::Gone)));
    }
}
