//! Who this gateway is: its keys, made here and never sent, the head office that a claim named, and what that answered.
//! Small files in the state folder, each replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use curve25519_dalek::MontgomeryPoint;
use serde::{Deserialize, Serialize};

use crate::control::errand::Office;
use crate::trust::bounded::Text;
use crate::trust::digest::Digest;
use crate::trust::document::{Firmware, Label, Tenant, Token};
use crate::trust::keys::{DeviceId, PublicKey, Signer};

/// Two secrets of 32 bytes: Ed25519 (RFC 8032) and X25519 (RFC 7748).
const KEY: &str = "device.key";
const ENROLMENT: &str = "enrolment.json";
const BOOTS: &str = "boots";
/// Larger than any of the files.
const FILE_MOST: u64 = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot {what} {}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is damaged", path.display())]
    Damaged { path: PathBuf },
    #[error("{} is not a claim", path.display())]
    Claim {
        path: PathBuf,
        #[source]
        source: Box<ClaimError>,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("it does not read as one: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("{key} is not {wanted}")]
    Value { key: &'static str, wanted: &'static str },
}

/// This box.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) signer: Signer,
    pub(super) id: DeviceId,
    pub(super) public: PublicKey,
    /// X25519: what is sealed to this device is sealed to it.
    pub(super) sealing: [u8; 32],
    pub(super) serial: Label,
    pub(super) model: Label,
    pub(super) firmware: Firmware,
    /// Starts of the daemon so far: the upper half of every counter.
    pub(super) boot: u32,
}

/// What the hardware says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    pub model: Option<String>,
    pub serial: Option<String>,
}

/// The file that brings a new box to its head office.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub tenant: Tenant,
    pub offices: Vec<Office>,
    /// Digest of root document 1.
    pub root: Digest,
    pub token: Token,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClaim {
    tenant: String,
    office: Vec<RawOffice>,
    root: String,
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOffice {
    address: String,
    pins: Vec<String>,
}

/// Where the enrolment stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Enrolment {
    pub(super) tenant: String,
    pub(super) offices: Vec<Office>,
    /// Digest of root document 1, from the claim.
    pub(super) first_root: String,
    /// Which token, by its id.
    pub(super) token: String,
    pub(super) admission: Admission,
    pub(super) site: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Admission {
    Asking,
    Waiting,
    Accepted,
}

impl Claim {
    pub(super) fn parse(text: &str) -> Result<Self, ClaimError> {
        let wrong = |key, wanted| ClaimError::Value { key, wanted };
        let RawClaim { tenant, office, root, token } = toml::from_str(text)?;
        if office.is_empty() || office.len() > 8 {
            return Err(wrong("office", "a list of 1 to 8 addresses"));
        }
        let digest = |text: &str| Digest::from_hex(text);
        let one = |office: RawOffice| {
            if !office.address.starts_with("https://") && !office.address.starts_with("http://") {
                return Err(wrong("address", "like \"https://office.example\""));
            }
            let pins = office.pins.iter().map(|pin| digest(pin).map(|digest| *digest.bytes())).collect::<Option<_>>();
            Ok(Office { address: office.address, pins: pins.ok_or(wrong("pins", "64 hex digits each"))? })
        };
        let mut bytes = [0; 16];
        let pairs = token.as_bytes().chunks_exact(2).filter(|_| token.is_ascii());
        let parsed: Option<Vec<u8>> =
            pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
        match parsed {
            Some(parsed) if parsed.len() == bytes.len() && token.len() == 32 => bytes.copy_from_slice(&parsed),
            Some(_) | None => return Err(wrong("token", "32 hex digits")),
        }
        Ok(Self {
            tenant: Text::new(&tenant).map_err(|_| wrong("tenant", "a name of at most 64 characters"))?,
            offices: office.into_iter().map(one).collect::<Result<_, _>>()?,
            root: digest(&root).ok_or(wrong("root", "64 hex digits"))?,
            token: Token(bytes),
        })
    }

    /// `None`: there is no such file, so nobody claims this box.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, IdentityError> {
        let Some(bytes) = read(path)? else { return Ok(None) };
        let claim = |source| IdentityError::Claim { path: path.to_owned(), source: Box::new(source) };
        let text = String::from_utf8(bytes).map_err(|_| IdentityError::Damaged { path: path.to_owned() })?;
        Self::parse(&text).map(Some).map_err(claim)
    }
}

impl Enrolment {
    pub(super) fn of(claim: &Claim) -> Self {
        Self {
            tenant: claim.tenant.to_string(),
            offices: claim.offices.clone(),
            first_root: claim.root.to_string(),
            token: claim.token.id().0.to_string(),
            admission: Admission::Asking,
            site: String::new(),
        }
    }

    pub(super) fn read(folder: &Path) -> Result<Option<Self>, IdentityError> {
        let path = folder.join(ENROLMENT);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| IdentityError::Damaged { path })
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), IdentityError> {
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        replace(&folder.join(ENROLMENT), &bytes)
    }
}

impl Device {
    /// Makes the keys if there are none. Nothing is derived from a serial number or an address that others can read.
    pub(super) fn open(folder: &Path, hardware: &Hardware) -> Result<Self, IdentityError> {
        let path = folder.join(KEY);
        let secrets = match read(&path)? {
            Some(secrets) => secrets,
            None => {
                let mut secrets = vec![0; 64];
                getrandom::fill(&mut secrets).map_err(|error| IdentityError::File {
                    what: "draw",
                    path: path.clone(),
                    source: io::Error::other(error.to_string()),
                })?;
                replace(&path, &secrets)?;
                secrets
            }
        };
        let secrets: [u8; 64] = secrets.try_into().map_err(|_| IdentityError::Damaged { path })?;
        let (mut signing, mut sealing) = ([0; 32], [0; 32]);
        signing.copy_from_slice(&secrets[..32]);
        sealing.copy_from_slice(&secrets[32..]);
        let signer = Signer::from_seed(&signing);
        let public = signer.public();
        let label = |text: &Option<String>, or: &str| {
            let text = text.as_deref().map(str::trim).filter(|text| !text.is_empty()).unwrap_or(or);
            Text::new(text).unwrap_or_default()
        };
        let id = public.device();
        Ok(Self {
            id,
            public,
            signer,
            sealing: MontgomeryPoint::mul_base_clamped(sealing).to_bytes(),
            // Without a serial number of the maker's the key's own name tells two boxes apart.
            serial: label(&hardware.serial, &id.0.short()),
            model: label(&hardware.model, "generic"),
            firmware: firmware(crate::VERSION),
            boot: count_boot(folder)?,
        })
    }
}

impl Hardware {
    /// The image's file, or what the firmware of a PC says.
    pub fn read(file: &Path) -> Result<Self, IdentityError> {
        match read(file)? {
            Some(bytes) => String::from_utf8(bytes)
                .ok()
                .and_then(|text| toml::from_str(&text).ok())
                .ok_or_else(|| IdentityError::Damaged { path: file.to_owned() }),
            None => {
                let serial = fs::read_to_string("/sys/class/dmi/id/product_serial").ok();
                Ok(Self { model: None, serial })
            }
        }
    }
}

fn firmware(version: &str) -> Firmware {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    Firmware::new(next(), next(), next())
}

fn count_boot(folder: &Path) -> Result<u32, IdentityError> {
    let path = folder.join(BOOTS);
    let known = read(&path)?.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse::<u32>().ok()).unwrap_or(0);
    let boot = known.saturating_add(1);
    replace(&path, format!("{boot}\n").as_bytes())?;
    Ok(boot)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, IdentityError> {
    let fault = |source| IdentityError::File { what: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_MOST).read_to_end(&mut bytes).map_err(fault)?;
    Ok(Some(bytes))
}

/// Temp, fsync, rename, fsync of the folder; for us alone.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    let fault = |source| IdentityError::File { what: "write", path: path.to_owned(), source };
    let fresh = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh);
    file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(fault)?;
    fs::rename(&fresh, path).map_err(fault)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder).and_then(|folder| folder.sync_all())).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: &str = r#"
        tenant = "petit-shops"
        office = [{ address = "https://office.petit.example", pins = ["aa00000000000000000000000000000000000000000000000000000000000000"] }]
        root = "bb00000000000000000000000000000000000000000000000000000000000000"
        token = "000102030405060708090a0b0c0d0e0f"
    "#;

    #[test]
    fn a_claim_names_office_root_and_token() {
        let claim = Claim::parse(CLAIM).expect("a claim");
        assert_eq!(claim.offices[0].address, "https://office.petit.example");
        assert_eq!(claim.offices[0].pins[0][0], 0xaa);
        assert_eq!(claim.root.bytes()[0], 0xbb);
        assert_eq!(claim.token.0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    }

    #[test]
    fn a_wrong_claim_says_what_is_wrong() {
        for (from, to, said) in [
            ("0e0f\"", "0e\"", "token"),
            ("0e0f\"", "0e0g\"", "token"),
            ("bb00", "xx00", "root"),
            ("aa00", "aa0", "pins"),
            ("https:", "ftp:", "address"),
            ("tenant", "tennant", "tennant"),
        ] {
            let error = Claim::parse(&CLAIM.replacen(from, to, 1)).err().expect("refused");
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn a_device_keeps_its_keys_and_counts_its_starts() {
        let folder = std::env::temp_dir().join(format!("causeway-identity-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let hardware = Hardware { model: Some("cw-x1".to_owned()), serial: None };
        let first = Device::open(&folder, &hardware).expect("made");
        let again = Device::open(&folder, &hardware).expect("found");
        assert_eq!((first.id, first.sealing, first.boot), (again.id, again.sealing, again.boot - 1));
        assert_eq!(&*first.model, "cw-x1");
        fs::remove_dir_all(&folder).expect("removed");
    }
}
