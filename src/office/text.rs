//! How keys, digests and device ids stand in the store's records: texts that a person can compare.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::trust::digest::Digest;
use crate::trust::keys::PublicKey;

/// As `probes.responders` of a standard wants it.
pub fn of_key(key: &PublicKey) -> String {
    format!("ed25519:{}", BASE64.encode(key.bytes()))
}

pub fn to_key(text: &str) -> Option<PublicKey> {
    let bytes = BASE64.decode(text.strip_prefix("ed25519:")?).ok()?;
    Some(PublicKey::new(bytes.try_into().ok()?)).filter(PublicKey::is_sound)
}

/// Lower case, two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// For `#[serde(with = …)]`.
pub mod key {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::PublicKey;

    pub fn serialize<S: Serializer>(key: &PublicKey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::of_key(key))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PublicKey, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::to_key(&text).ok_or_else(|| D::Error::custom("no Ed25519 key"))
    }
}

/// For `#[serde(with = …)]`.
pub mod digest {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Digest;

    pub fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(digest)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        Digest::from_hex(&text).ok_or_else(|| D::Error::custom("no digest"))
    }
}
