//! Public keys as people write them. They are checked down to their bytes: what stands here becomes a line of a key file.

use super::text::{Parsed, format};
use super::values::Text;
use crate::config::fault::quoted;

/// A public key of SSH: type and base64, nothing else. An option in front or a comment behind could hold anything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SshPublicKey(pub(crate) String);

/// An Ed25519 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PublicKey(pub(crate) [u8; 32]);

/// Type and length of its bytes: RFC 4253 §6.6, RFC 8709, RFC 5656, and OpenSSH's PROTOCOL.u2f, whose keys end with an
/// application of any length.
const SSH_TYPES: [(&str, Option<usize>); 4] = [
    ("ssh-ed25519", Some(51)),
    ("sk-ssh-ed25519@openssh.com", None),
    ("ecdsa-sha2-nistp256", Some(104)),
    ("sk-ecdsa-sha2-nistp256@openssh.com", None),
];

impl Text for SshPublicKey {
    const WHAT: &'static str = "a public key of SSH";
    const EXAMPLE: &'static str = "\"ssh-ed25519 AAAA…\", as in a .pub file, without the comment";

    fn parse(text: &str) -> Parsed<Self> {
        const MOST: usize = 400;
        let Some((kind, encoded)) = text.split_once(' ') else {
            return format("it is not a type, a space and the key");
        };
        let Some((_, length)) = SSH_TYPES.iter().find(|(name, _)| *name == kind) else {
            return format(format!("{} is not a type of key that is taken here", quoted(kind)));
        };
        if text.len() > MOST || encoded.contains(' ') {
            return format("something follows the key; comments and options have no place here");
        }
        let Some(bytes) = from_base64(encoded) else { return format("the key is not base64") };
        let name_length = u32::try_from(kind.len()).unwrap_or(u32::MAX).to_be_bytes();
        let rest = bytes.strip_prefix(&name_length).and_then(|rest| rest.strip_prefix(kind.as_bytes()));
        let long_enough = rest.is_some_and(|rest| rest.len() >= 36);
        if !long_enough || length.is_some_and(|length| length != bytes.len()) {
            return format(format!("the bytes of the key are not those of {kind}"));
        }
        Ok(Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

impl Text for PublicKey {
    const WHAT: &'static str = "a public key";
    const EXAMPLE: &'static str = "\"ed25519:\" and 32 bytes in base64, as `causeway office keys` prints it";

    fn parse(text: &str) -> Parsed<Self> {
        let bytes = text.strip_prefix("ed25519:").and_then(from_base64).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or_else(|| format(format!("{} does not read as one", quoted(text))), |bytes| Ok(Self(bytes)))
    }

    fn text(&self) -> String {
        format!("ed25519:{}", to_base64(&self.0))
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648 §4 with padding, strictly: one text for the same bytes.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if text.is_empty() || !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let (mut pool, mut bits) = (0_u32, 0);
    for digit in digits.bytes() {
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        pool = pool << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(pool >> bits & 0xff).ok()?);
            pool &= (1 << bits) - 1;
        }
    }
    (to_base64(&bytes) == text).then_some(bytes)
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let pool = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = usize::try_from(pool >> (18 - 6 * digit) & 0x3f).unwrap_or_default();
            text.push(if digit > chunk.len() { '=' } else { char::from(ALPHABET[index]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in
            [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(to_base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        for text in ["", "Zg", "Zg=", "Zh==", "Z===", "Zm9v=", "Zm 9", "====", "Zm9vé"] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }

    #[test]
    fn keys_are_checked_down_to_their_bytes() {
        let good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIIu+J+rJ7OrLo2RYEjmb2d1gMzB8rzXwFVCsBq0vQJd";
        assert!(SshPublicKey::parse(good).is_ok(), "{:?}", SshPublicKey::parse(good));
        let bad = [
            "ssh-ed25519".to_owned(),
            format!("{good} anna@office"),
            format!("command=\"sh\" {good}"),
            good.replace("ssh-ed25519 ", "ssh-rsa "),
            good.replace("ssh-ed25519 ", "ecdsa-sha2-nistp256 "),
            good.replace("AAAAC3", "AAAAD3"),
            good[..good.len() - 4].to_owned(),
            format!("{good}\n{good}"),
        ];
        for text in bad {
            assert!(SshPublicKey::parse(&text).is_err(), "{text}");
        }
        let key = PublicKey([7; 32]);
        assert_eq!(PublicKey::parse(&key.text()), Ok(key));
        assert!(PublicKey::parse("ed25519:Zm9v").is_err());
    }
}
