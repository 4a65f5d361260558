//! The server's certificate: self-signed and pinned by the root unless the operator brings one. TLS 1.3 and HTTP/1.1 only.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, ServerConfig};

use super::error::OfficeError;
use super::keyfile::write_new;
use crate::trust::digest::Digest;

pub const CERTIFICATE: &str = "tls.crt";
pub const KEY: &str = "tls.key";

/// Makes a certificate for these names, in the server's state folder. Its dates do not matter: gateways know it by its key.
pub fn make(state: &Path, names: &[String]) -> Result<(), OfficeError> {
    let certificate = |source| OfficeError::Certificate { source };
    let pair = KeyPair::generate().map_err(certificate)?;
    let params = CertificateParams::new(names.to_vec()).map_err(certificate)?;
    let made = params.self_signed(&pair).map_err(certificate)?;
    write_new(&state.join(KEY), pair.serialize_pem().as_bytes(), 0o600)?;
    write_new(&state.join(CERTIFICATE), made.pem().as_bytes(), 0o644)
}

/// Copies the operator's own into the state folder.
pub fn adopt(state: &Path, certificate: &Path, key: &Path) -> Result<(), OfficeError> {
    let read = |path: &Path| fs::read(path).map_err(OfficeError::file("read", path));
    write_new(&state.join(KEY), &read(key)?, 0o600)?;
    write_new(&state.join(CERTIFICATE), &read(certificate)?, 0o644)
}

/// SHA-256 of the certificate's SubjectPublicKeyInfo (RFC 7469, §2.4).
pub fn pin(certificate: &CertificateDer<'_>) -> Result<Digest, OfficeError> {
    let parsed = ParsedCertificate::try_from(certificate).map_err(|source| OfficeError::Tls { source })?;
    Ok(Digest::of(&parsed.subject_public_key_info()))
}

/// The pin of the certificate in the state folder.
pub fn state_pin(state: &Path) -> Result<Digest, OfficeError> {
    let path = state.join(CERTIFICATE);
    let chain = chain(&path)?;
    let first = chain.first().ok_or_else(|| bad(&path))?;
    pin(first)
}

/// TLS 1.3 only: every gateway of ours can do it. Nothing is kept per client, not even for resumption.
pub fn server(state: &Path) -> Result<Arc<ServerConfig>, OfficeError> {
    let key = state.join(KEY);
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|_| bad(&key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = |source| OfficeError::Tls { source };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls)?
        .with_no_client_auth()
        .with_single_cert(chain(&state.join(CERTIFICATE))?, private)
        .map_err(tls)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // No early data: a replayed request must not be looked at before the handshake is done.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

fn chain(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, OfficeError> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|_| bad(path))?;
    certificates.collect::<Result<_, _>>().map_err(|_| bad(path))
}

fn bad(path: &Path) -> OfficeError {
    OfficeError::Refused {
        what: format!("{} cannot be read as PEM", path.display()),
        hint: "it is made by `causeway office init`, or copied by it from --certificate and --certificate-key"
            .to_owned(),
    }
}
