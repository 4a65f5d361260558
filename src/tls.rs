//! TLS towards servers, for probes and for head office's courier: the authorities of this system, and what all our
//! connections have in common. Who is trusted beyond that is said where the connection is made.

use std::io;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

/// Where trust in servers comes from.
#[derive(Clone)]
pub enum Roots {
    /// The system's store, read when it is first needed and then kept: who needs none does not pay for it.
    System,
    Given(Arc<RootCertStore>),
}

/// [`Roots`], and what was read of them.
pub(crate) struct Authorities {
    roots: Roots,
    read: OnceCell<Arc<RootCertStore>>,
}

impl Authorities {
    pub(crate) fn new(roots: Roots) -> Self {
        Self { roots, read: OnceCell::new() }
    }

    /// Chain, name and dates of a server, as these authorities vouch for them.
    pub(crate) async fn verifier(&self) -> io::Result<Arc<WebPkiServerVerifier>> {
        let roots = self.read.get_or_try_init(|| async {
            match &self.roots {
                Roots::Given(roots) => Ok(Arc::clone(roots)),
                // 140 files and as many parses: not in the thread that fails lines over.
                Roots::System => tokio::task::spawn_blocking(system).await.map(Arc::new).map_err(io::Error::from),
            }
        });
        let roots = Arc::clone(roots.await?);
        if roots.is_empty() {
            return Err(io::Error::other("this system knows no authorities: nobody can vouch for a server"));
        }
        WebPkiServerVerifier::builder_with_provider(roots, provider()).build().map_err(io::Error::other)
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// To servers that `verifier` believes, by HTTP/1.1. Nothing is kept between two connections: a resumed session would prove
/// who was there yesterday, and a ticket tell who comes back.
pub(crate) fn connector(
    verifier: Arc<dyn ServerCertVerifier>,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<TlsConnector> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn system() -> RootCertStore {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(loaded.certs);
    if added == 0 {
        tracing::warn!(
            ignored,
            errors = loaded.errors.len(),
            "no trusted root certificates: nobody can vouch for a server"
        );
    }
    roots
}
