//! A connection that does not hold up its thread: for `front`, which asks over and over and must notice at once that the
//! daemon has gone.

use std::io;
use std::os::unix::net::UnixStream as Blocking;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::client::{ClientError, connect_error, decode, encode, io_error};
use super::connect;
use crate::control::frame::{self, PREFIX, REPLY_BYTES};
use crate::control::protocol::{Reply, Request};

#[derive(Debug)]
pub struct Session {
    stream: UnixStream,
    id: u32,
}

impl Session {
    /// Must be called inside a tokio runtime. Never waits.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let socket = connect(path).map_err(|error| connect_error(path, error))?;
        let stream = Blocking::from(std::os::fd::OwnedFd::from(socket));
        Ok(Self { stream: UnixStream::from_std(stream).map_err(ClientError::Io)?, id: 0 })
    }

    /// Sends a request and waits for its answer. A refusal is an error. After any other error, or when the call was
    /// cancelled, the session is of no more use: an answer to the old question may be under way.
    pub async fn call(&mut self, request: &Request, patience: Duration) -> Result<Reply, ClientError> {
        self.id = self.id.wrapping_add(1).max(1);
        let bytes = encode(self.id, request)?;
        let exchange = async {
            // The daemon may have answered and closed before it read: its words say why, `EPIPE` does not.
            let written = self.stream.write_all(&bytes).await;
            match (written, self.read().await) {
                (_, Ok(reply)) => Ok(reply),
                (Err(error), Err(ClientError::Closed | ClientError::Io(_))) => Err(io_error(error)),
                (_, Err(error)) => Err(error),
            }
        };
        timeout(patience, exchange).await.unwrap_or(Err(ClientError::Silent))
    }

    /// After [`Request::Events`] with `follow`: the next ones, however long that takes.
    pub async fn next_events(&mut self) -> Result<Reply, ClientError> {
        self.read().await
    }

    /// While nothing is asked: returns when the daemon hangs up, or says what nobody asked for. Safe to cancel.
    pub async fn closed(&mut self) {
        let mut byte = [0];
        let _: io::Result<usize> = self.stream.read(&mut byte).await;
    }

    async fn read(&mut self) -> Result<Reply, ClientError> {
        let mut prefix = [0; PREFIX];
        self.stream.read_exact(&mut prefix).await.map_err(io_error)?;
        let length = frame::length(prefix, REPLY_BYTES).map_err(ClientError::Frame)?;
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).await.map_err(io_error)?;
        decode(self.id, &bytes)
    }
}
