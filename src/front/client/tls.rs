//! Who is head office: the holder of a key that the root document pins, or, without pins, who this system's authorities
//! vouch for. Privacy only: every byte that matters is signed, and the daemon checks that.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use crate::front::address::{Address, Host};

/// Trust in servers without pins.
pub(super) struct Authorities(OnceCell<Arc<RootCertStore>>);

impl Authorities {
    /// The system's, read when they are first needed: with pins they never are.
    pub(super) fn system() -> Self {
        Self(OnceCell::new())
    }

    pub(super) fn given(roots: Arc<RootCertStore>) -> Self {
        Self(OnceCell::new_with(Some(roots)))
    }

    async fn roots(&self) -> io::Result<Arc<RootCertStore>> {
        let roots = self.0.get_or_try_init(|| async {
            let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(loaded.certs);
            Ok::<_, io::Error>(Arc::new(roots))
        });
        roots.await.map(Arc::clone)
    }
}

pub(super) async fn connector(pins: &[[u8; 32]], authorities: &Authorities) -> io::Result<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = if pins.is_empty() {
        let roots = authorities.roots().await?;
        if roots.is_empty() {
            return Err(io::Error::other("this system knows no authorities, and head office named no pins"));
        }
        WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().map_err(io::Error::other)?
    } else {
        Arc::new(Pinned { pins: pins.to_vec(), algorithms: provider.signature_verification_algorithms })
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // Connections are few and long; tickets would only tell who comes back.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// An address is not sent as a name, as RFC 6066 wants it.
pub(super) fn server_name(address: &Address) -> io::Result<ServerName<'static>> {
    match &address.host {
        Host::Ip(ip) => Ok(ServerName::from(*ip)),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(io::Error::other),
    }
}

/// What went wrong with TLS, for people; `None`: it was not TLS.
pub(super) fn words(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let Error::InvalidCertificate(reason) = error else { return Some(format!("no TLS connection: {error}")) };
    let is = |known: &[CertificateError]| known.contains(reason);
    Some(if is(&[CertificateError::ApplicationVerificationFailure]) {
        "the server holds none of the keys that head office named; somebody may sit in between".to_owned()
    } else if is(&[CertificateError::UnknownIssuer]) {
        "nobody this system trusts vouches for the server; somebody may sit in between".to_owned()
    } else if matches!(reason, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
        "the server's certificate has expired; is the clock right?".to_owned()
    } else if matches!(reason, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) {
        "the server's certificate is not valid yet; is the clock right?".to_owned()
    } else if matches!(reason, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) {
        "the server's certificate is for another name; somebody may sit in between".to_owned()
    } else {
        format!("the server's certificate is bad: {reason}")
    })
}

/// A pinned key is head office's whatever the certificate's dates and names: neither a clock nor an authority can lock a
/// branch out.
#[derive(Debug)]
struct Pinned {
    pins: Vec<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        let digest: [u8; 32] = Sha256::digest(key.as_ref()).into();
        if self.pins.contains(&digest) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not offered".to_owned()))
    }

    /// The pin names a key; this shows that the server holds it.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
