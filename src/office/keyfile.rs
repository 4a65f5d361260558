//! Key files: an Ed25519 seed under a passphrase (Argon2id, then ChaCha20-Poly1305), or bare where a server has to start by
//! itself. The cost stands in the file, so that a later release can raise it and old files still open.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::OfficeError;
use super::text;
use crate::trust::keys::{PublicKey, Signer};

const VERSION: u32 = 1;
/// A key file has a few hundred bytes.
const FILE_MOST: u64 = 4 << 10;
const SALT: usize = 16;
const NONCE: usize = 12;

/// What guessing one passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    pub memory_kib: u32,
    pub passes: u32,
}

impl Cost {
    /// About a second of one core, and more memory than graphics cards have for each of their cores.
    pub const STANDARD: Self = Self { memory_kib: 256 << 10, passes: 3 };
    /// A file that asks for more was not made by us: opening it must not exhaust the machine.
    const MOST: Self = Self { memory_kib: 1 << 20, passes: 16 };
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    causeway_key: u32,
    /// `root-1`, `release-1`, `online`, …
    pub name: String,
    #[serde(with = "text::key")]
    pub public: PublicKey,
    protection: Protection,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Protection {
    /// Only for the server's own keys: it starts without a person.
    None {
        seed: String,
    },
    Passphrase {
        kdf: Kdf,
        cost: Cost,
        salt: String,
        nonce: String,
        sealed: String,
    },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kdf {
    Argon2id,
}

impl KeyFile {
    /// A new key under a passphrase.
    pub fn sealed(name: &str, passphrase: &str, cost: Cost) -> Result<(Self, Signer), OfficeError> {
        let seed = Zeroizing::new(random::<32>()?);
        let signer = Signer::from_seed(&seed);
        let (salt, nonce) = (random::<SALT>()?, random::<NONCE>()?);
        let public = signer.public();
        let key = derive(passphrase, &salt, cost).ok_or(OfficeError::Random)?;
        let payload = Payload { msg: &seed[..], aad: &bound(name, &public) };
        let sealed = cipher(&key).encrypt(&Nonce::from(nonce), payload).map_err(|_| OfficeError::Random)?;
        let protection = Protection::Passphrase {
            kdf: Kdf::Argon2id,
            cost,
            salt: BASE64.encode(salt),
            nonce: BASE64.encode(nonce),
            sealed: BASE64.encode(sealed),
        };
        Ok((Self { causeway_key: VERSION, name: name.to_owned(), public, protection }, signer))
    }

    /// A new key that lies bare: nothing but the file's mode protects it.
    pub fn bare(name: &str) -> Result<(Self, Signer), OfficeError> {
        let seed = Zeroizing::new(random::<32>()?);
        let signer = Signer::from_seed(&seed);
        let protection = Protection::None { seed: BASE64.encode(&seed[..]) };
        Ok((Self { causeway_key: VERSION, name: name.to_owned(), public: signer.public(), protection }, signer))
    }

    pub fn read(path: &Path) -> Result<Self, OfficeError> {
        let mut text = Zeroizing::new(String::new());
        let file = File::open(path).map_err(OfficeError::file("read", path))?;
        file.take(FILE_MOST).read_to_string(&mut text).map_err(OfficeError::file("read", path))?;
        let file: Option<Self> = serde_json::from_str(&text).ok();
        file.filter(|file| file.causeway_key == VERSION).ok_or_else(|| OfficeError::KeyFile { path: path.to_owned() })
    }

    /// Never over another file.
    pub fn write(&self, path: &Path) -> Result<(), OfficeError> {
        let text = serde_json::to_string_pretty(self).expect("texts and numbers are always written");
        write_new(path, format!("{text}\n").as_bytes(), 0o600)
    }

    /// Whether it opens without anybody's passphrase.
    pub fn is_bare(&self) -> bool {
        matches!(self.protection, Protection::None { .. })
    }

    pub fn open(&self, passphrase: &str) -> Result<Signer, OfficeError> {
        let wrong = || OfficeError::Passphrase { name: self.name.clone() };
        let seed: Zeroizing<Vec<u8>> = match &self.protection {
            Protection::None { seed } => Zeroizing::new(BASE64.decode(seed).map_err(|_| wrong())?),
            Protection::Passphrase { kdf: Kdf::Argon2id, cost, salt, nonce, sealed } => {
                let salt = BASE64.decode(salt).map_err(|_| wrong())?;
                let nonce: [u8; NONCE] =
                    BASE64.decode(nonce).ok().and_then(|it| it.try_into().ok()).ok_or_else(wrong)?;
                let sealed = BASE64.decode(sealed).map_err(|_| wrong())?;
                let key = derive(passphrase, &salt, *cost).ok_or_else(wrong)?;
                let payload = Payload { msg: &sealed, aad: &bound(&self.name, &self.public) };
                Zeroizing::new(cipher(&key).decrypt(&Nonce::from(nonce), payload).map_err(|_| wrong())?)
            }
        };
        let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| wrong())?;
        let signer = Signer::from_seed(seed);
        if signer.public() == self.public { Ok(signer) } else { Err(wrong()) }
    }
}

/// Of the kernel.
pub fn random<const N: usize>() -> Result<[u8; N], OfficeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| OfficeError::Random)?;
    Ok(bytes)
}

/// A file that is complete or not there, and never replaces one.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), OfficeError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(OfficeError::file("make", folder))?;
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.map_err(|source| {
        let path = path.to_owned();
        if source.kind() == std::io::ErrorKind::AlreadyExists {
            OfficeError::Exists { path }
        } else {
            OfficeError::File { what: "write", path, source }
        }
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(OfficeError::file("write", path))
}

fn derive(passphrase: &str, salt: &[u8], cost: Cost) -> Option<Zeroizing<[u8; 32]>> {
    if cost.memory_kib > Cost::MOST.memory_kib || cost.passes > Cost::MOST.passes {
        return None;
    }
    let params = Params::new(cost.memory_kib, cost.passes, 1, Some(32)).ok()?;
    let mut key = Zeroizing::new([0; 32]);
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(passphrase.as_bytes(), salt, &mut key[..]).ok()?;
    Some(key)
}

fn cipher(key: &Zeroizing<[u8; 32]>) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&Key::from(**key))
}

/// The seal also covers what the file says it is: a root key cannot be passed off as a release key.
fn bound(name: &str, public: &PublicKey) -> Vec<u8> {
    [b"causeway key file v1\0", name.as_bytes(), b"\0", public.bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1 };

    #[test]
    fn a_key_opens_with_its_passphrase_only() {
        let (file, signer) = KeyFile::sealed("release-1", "correct horse", CHEAP).expect("made");
        assert_eq!(file.open("correct horse").expect("opens").public(), signer.public());
        assert!(matches!(file.open("battery staple"), Err(OfficeError::Passphrase { .. })));
        let renamed = KeyFile { name: "root-1".to_owned(), ..file.clone() };
        assert!(renamed.open("correct horse").is_err());
        let text = serde_json::to_string(&file).expect("written");
        let read: KeyFile = serde_json::from_str(&text).expect("read");
        assert_eq!(read.open("correct horse").expect("opens").public(), signer.public());
        assert!(text.contains(r#""memory_kib":64"#) && !read.is_bare());
    }

    #[test]
    fn a_file_cannot_ask_for_the_whole_machine() {
        let (mut file, _) = KeyFile::sealed("release-1", "x", CHEAP).expect("made");
        let Protection::Passphrase { cost, .. } = &mut file.protection else { panic!("it is sealed") };
        *cost = Cost { memory_kib: u32::MAX, passes: 1 };
        assert!(file.open("x").is_err());
    }

    #[test]
    fn what_people_make_costs_a_quarter_of_a_gibibyte() {
        assert_eq!(Cost::STANDARD, Cost { memory_kib: 262_144, passes: 3 });
    }
}
