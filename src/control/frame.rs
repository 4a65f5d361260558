//! One frame: four bytes of length (big-endian), then postcard: version, request id, body. The length is checked before
//! a byte of the body is read, and nothing may follow the body.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first byte of every frame, so that any version can tell that it does not understand another.
pub const VERSION: u8 = 1;
/// Every request is a few short strings; this leaves room for a config that is sent whole one day.
pub const REQUEST_BYTES: usize = 64 << 10;
/// A snapshot of 64 uplinks with 16 targets each stays below it (a test counts); two uplinks need about 4 KiB.
pub const REPLY_BYTES: usize = 1 << 20;
/// The length in front of a frame.
pub const PREFIX: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<B> {
    /// Chosen by the client; every answer to a request carries it.
    pub id: u32,
    pub body: B,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {length} bytes is longer than {most} bytes")]
    TooLong { length: usize, most: usize },
    #[error("a frame of {length} bytes is too short for its header")]
    TooShort { length: usize },
    #[error("the other end speaks version {version} of the control protocol, this end speaks version {VERSION}")]
    Version { version: u8, id: u32 },
    #[error("the frame does not parse")]
    Parse(#[source] postcard::Error),
    #[error("{length} bytes follow the body of the frame")]
    Trailing { length: usize },
}

/// The whole frame with its length in front.
pub fn encode<B: Serialize>(frame: &Frame<B>, most: usize) -> Result<Vec<u8>, FrameError> {
    let bytes = postcard::to_extend(&(VERSION, frame.id, &frame.body), vec![0; PREFIX]).map_err(FrameError::Parse)?;
    seal(bytes, most)
}

/// Reads the length; what is longer than `most` is refused before it is read.
pub fn length(prefix: [u8; PREFIX], most: usize) -> Result<usize, FrameError> {
    let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if length > most { Err(FrameError::TooLong { length, most }) } else { Ok(length) }
}

/// Reads what follows the length.
pub fn decode<B: DeserializeOwned>(bytes: &[u8]) -> Result<Frame<B>, FrameError> {
    let ((version, id), rest) =
        postcard::take_from_bytes::<(u8, u32)>(bytes).map_err(|_| FrameError::TooShort { length: bytes.len() })?;
    if version != VERSION {
        return Err(FrameError::Version { version, id });
    }
    let (body, rest) = postcard::take_from_bytes::<B>(rest).map_err(FrameError::Parse)?;
    if rest.is_empty() { Ok(Frame { id, body }) } else { Err(FrameError::Trailing { length: rest.len() }) }
}

fn seal(mut bytes: Vec<u8>, most: usize) -> Result<Vec<u8>, FrameError> {
    let length = bytes.len() - PREFIX;
    let too_long = FrameError::TooLong { length, most };
    if length > most {
        return Err(too_long);
    }
    let prefix = u32::try_from(length).map_err(|_| too_long)?;
    bytes[..PREFIX].copy_from_slice(&prefix.to_be_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::control::protocol::{Reply, Request};

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let frame = Frame { id: 7, body: Request::Use { uplink: "lte0".to_owned(), for_ms: Some(3_600_000) } };
        let bytes = encode(&frame, REQUEST_BYTES).expect("it is short");
        let length = length(bytes[..PREFIX].try_into().expect("four bytes"), REQUEST_BYTES).expect("it is short");
        assert_eq!(length, bytes.len() - PREFIX);
        assert_eq!(decode(&bytes[PREFIX..]), Ok(frame));
    }

    #[test]
    fn a_length_above_the_cap_is_refused_before_the_body() {
        assert_eq!(
            length(u32::MAX.to_be_bytes(), REQUEST_BYTES),
            Err(FrameError::TooLong { length: 0xffff_ffff, most: REQUEST_BYTES })
        );
    }

    #[test]
    fn another_version_is_told_with_the_id_of_the_request() {
        assert_eq!(decode::<Request>(&[9, 4, 255, 255]), Err(FrameError::Version { version: 9, id: 4 }));
    }

    #[test]
    fn bytes_after_the_body_are_refused() {
        let mut bytes = encode(&Frame { id: 1, body: Request::Status }, REQUEST_BYTES).expect("it is short");
        bytes.push(0);
        assert_eq!(decode::<Request>(&bytes[PREFIX..]), Err(FrameError::Trailing { length: 1 }));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode::<Request>(&bytes);
            let _ = decode::<Reply>(&bytes);
            let mut versioned = vec![VERSION];
            versioned.extend(bytes);
            let _ = decode::<Request>(&versioned);
            let _ = decode::<Reply>(&versioned);
        }
    }
}
