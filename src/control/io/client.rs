//! The clients' end: [`Client`] waits, for commands; [`ask`] does not hold up its thread, for one question of `front`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connect;
use super::session::Session;
use crate::control::frame::{self, Frame, FrameError, PREFIX, REPLY_BYTES, REQUEST_BYTES};
use crate::control::protocol::{Refusal, Reply, Request};

/// A little longer than the daemon gives itself.
const PATIENCE: Duration = Duration::from_secs(8);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the daemon is not running")]
    NotRunning { path: PathBuf, source: io::Error },
    #[error("the control socket {} may not be opened", path.display())]
    NotPermitted { path: PathBuf, source: io::Error },
    #[error("the daemon does not answer")]
    Silent,
    #[error("the daemon closed the connection")]
    Closed,
    #[error("the connection to the daemon failed")]
    Io(#[source] io::Error),
    #[error("the daemon's answer makes no sense")]
    Frame(#[source] FrameError),
    #[error("the daemon's answer belongs to another question")]
    Unexpected,
    #[error(transparent)]
    Refused(Refusal),
}

#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    id: u32,
}

impl Client {
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let socket = connect(path).map_err(|error| connect_error(path, error))?;
        socket.set_nonblocking(false).map_err(ClientError::Io)?;
        let stream = UnixStream::from(std::os::fd::OwnedFd::from(socket));
        stream.set_read_timeout(Some(PATIENCE)).map_err(ClientError::Io)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(ClientError::Io)?;
        Ok(Self { stream, id: 0 })
    }

    /// Sends a request and waits for its answer. A refusal is an error.
    pub fn call(&mut self, request: &Request) -> Result<Reply, ClientError> {
        self.id += 1;
        let bytes = encode(self.id, request)?;
        // The daemon may have answered and closed before it read: its words say why, `EPIPE` does not.
        match (self.stream.write_all(&bytes), self.read()) {
            (_, Ok(reply)) => Ok(reply),
            (Err(error), Err(ClientError::Closed | ClientError::Io(_))) => Err(io_error(error)),
            (_, Err(error)) => Err(error),
        }
    }

    /// After [`Request::Events`] with `follow`: the next ones, however long that takes. `None`: the daemon ended.
    pub fn next_events(&mut self) -> Result<Option<Reply>, ClientError> {
        self.stream.set_read_timeout(None).map_err(ClientError::Io)?;
        match self.read() {
            Ok(reply) => Ok(Some(reply)),
            Err(ClientError::Closed) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self) -> Result<Reply, ClientError> {
        let mut prefix = [0; PREFIX];
        self.stream.read_exact(&mut prefix).map_err(io_error)?;
        let length = frame::length(prefix, REPLY_BYTES).map_err(ClientError::Frame)?;
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).map_err(io_error)?;
        decode(self.id, &bytes)
    }
}

/// One request over a connection of its own, within `patience` in all.
pub async fn ask(path: &Path, request: &Request, patience: Duration) -> Result<Reply, ClientError> {
    Session::connect(path)?.call(request, patience).await
}

pub(super) fn encode(id: u32, request: &Request) -> Result<Vec<u8>, ClientError> {
    frame::encode(&Frame { id, body: request }, REQUEST_BYTES).map_err(ClientError::Frame)
}

/// Id 0 is for the daemon that turns a client away before it read anything.
pub(super) fn decode(id: u32, bytes: &[u8]) -> Result<Reply, ClientError> {
    let Frame { id: answers, body } = frame::decode::<Reply>(bytes).map_err(ClientError::Frame)?;
    if answers != id && answers != 0 {
        return Err(ClientError::Unexpected);
    }
    if let Reply::Refused(refusal) = body { Err(ClientError::Refused(refusal)) } else { Ok(body) }
}

pub(super) fn connect_error(path: &Path, source: io::Error) -> ClientError {
    let kind = source.kind();
    if kind == io::ErrorKind::PermissionDenied {
        ClientError::NotPermitted { path: path.to_owned(), source }
    } else if kind == io::ErrorKind::WouldBlock {
        ClientError::Silent
    } else {
        ClientError::NotRunning { path: path.to_owned(), source }
    }
}

pub(super) fn io_error(error: io::Error) -> ClientError {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
    if [UnexpectedEof, ConnectionReset, BrokenPipe].contains(&error.kind()) {
        ClientError::Closed
    } else if [WouldBlock, TimedOut].contains(&error.kind()) {
        ClientError::Silent
    } else {
        ClientError::Io(error)
    }
}
