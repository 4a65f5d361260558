//! TLS of HTTPS probes: who is trusted, and what a certificate's dates are worth.
//!
//! A probe must tell the server from a portal in the middle; it needs no secrecy. So the chain and the name are always
//! checked, but the dates only while the wall clock is trusted: a gateway that boots in 1970 must not take its lines for
//! portals (spec/faults.md R15, F11).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DEFAULT_VERSIONS, DigitallySignedStruct, Error, SignatureScheme};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

pub use crate::tls::Roots;
use crate::tls::{self, Authorities};

pub(super) struct Tls {
    authorities: Authorities,
    dates: Arc<AtomicBool>,
    connector: OnceCell<TlsConnector>,
}

impl Tls {
    pub(super) fn new(roots: Roots) -> Self {
        Self { authorities: Authorities::new(roots), dates: Arc::default(), connector: OnceCell::new() }
    }

    pub(super) fn judge_dates(&self, judge: bool) {
        self.dates.store(judge, Ordering::Relaxed);
    }

    pub(super) async fn connector(&self) -> io::Result<&TlsConnector> {
        self.connector.get_or_try_init(|| self.build()).await
    }

    async fn build(&self) -> io::Result<TlsConnector> {
        let inner = self.authorities.verifier().await?;
        tls::connector(Arc::new(Verifier { inner, dates: Arc::clone(&self.dates) }), DEFAULT_VERSIONS)
    }
}

/// Did TLS itself fail, and not the connection below it?
pub(super) fn is_tls_failure(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Error>())
}

/// A chain has fewer certificates than this, so the dates of no more can be wrong.
const CHAIN: usize = 8;

#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    dates: Arc<AtomicBool>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified_at = |at| self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, at);
        let mut verified = verified_at(now);
        if self.dates.load(Ordering::Relaxed) {
            return verified;
        }
        for _ in 0..CHAIN {
            // Checked again at the nearest time that satisfies the date complained about.
            let Some(at) = verified.as_ref().err().and_then(nearest) else { break };
            verified = verified_at(at);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn nearest(error: &Error) -> Option<UnixTime> {
    let Error::InvalidCertificate(error) = error else { return None };
    if let CertificateError::ExpiredContext { not_after, .. } = error {
        return Some(*not_after);
    }
    if let CertificateError::NotValidYetContext { not_before, .. } = error {
        return Some(*not_before);
    }
    None
}
