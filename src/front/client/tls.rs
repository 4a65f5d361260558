//! Who is head office: the holder of a key that the root document pins, or, without pins, who this system's authorities
//! vouch for. Privacy only: every byte that matters is signed, and the daemon checks that.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsConnector;

use crate::front::address::{Address, Host};
use crate::tls::{self, Authorities, provider};

pub(super) async fn connector(pins: &[[u8; 32]], authorities: &Authorities) -> io::Result<TlsConnector> {
    let verifier: Arc<dyn ServerCertVerifier> = if pins.is_empty() {
        authorities.verifier().await?
    } else {
        Arc::new(Pinned { pins: pins.to_vec(), algorithms: provider().signature_verification_algorithms })
    };
    tls::connector(verifier, &[&rustls::version::TLS13])
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
