//! HTTPS probes: only who can prove the name is the server.

use std::sync::Arc;

use causeway::probe::{Answer, Wrong};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair, SigningKey, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};

use crate::net::{FAR, between};
use crate::peers::{self, Http, http, page};
use crate::probing::{Probing, https};

const IMPOSTOR: Option<Answer> = Some(Answer::Wrong(Wrong::Tls));

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        roots
    }

    fn server(&self, params: CertificateParams) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let issuer: &Issuer<'_, KeyPair> = &self.0;
        let certificate = params.signed_by(&key, issuer).expect("a certificate");
        config(certificate.der().clone(), &key)
    }
}

fn named(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).expect("a name")
}

fn config(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let _: &dyn SigningKey = key;
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.expect("a server's config"))
}

#[test]
fn f27_only_a_certificate_for_the_name_will_do() {
    between(|far| async move {
        let authority = Authority::new();
        let stranger = Authority::new();
        let well = page("200 OK", "all is well");
        peers::https(&far, 1, authority.server(named(FAR)), well.clone());
        peers::https(&far, 2, authority.server(named("other.example")), well.clone());
        peers::https(&far, 3, stranger.server(named(FAR)), well.clone());
        let key = KeyPair::generate().expect("a key");
        let own = named(FAR).self_signed(&key).expect("a certificate");
        peers::https(&far, 4, config(own.der().clone(), &key), well);
        http(&far, 5, Http::First("HTTP/1.1 400 Bad Request\r\n\r\n"));
        http(&far, 6, Http::Resets);
        peers::https(&far, 7, authority.server(named(FAR)), page("200 OK", "please log in"));
        let targets = (1..=7).map(|port| https(FAR, port)).collect();
        let mut probing = Probing::with_roots(targets, authority.roots());
        let wanted = [
            ("a good chain", Some(Answer::Reply)),
            ("a wrong name", IMPOSTOR),
            ("an unknown authority", IMPOSTOR),
            ("a certificate signed by itself", IMPOSTOR),
            ("no TLS", IMPOSTOR),
            ("resets", Some(Answer::Refused)),
            ("the right server with the wrong page", Some(Answer::Wrong(Wrong::Portal))),
        ];
        for (target, (case, wanted)) in (0..).zip(wanted) {
            assert_eq!(probing.probe(target).await, wanted, "{case}");
        }
    });
}

/// A gateway without a clock must not take its lines for portals; one with a clock looks at dates.
#[test]
fn f11_dates_count_only_while_the_clock_is_trusted() {
    between(|far| async move {
        let authority = Authority::new();
        let dated = |name, from, to| {
            let mut params = named(name);
            (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
            authority.server(params)
        };
        let well = page("200 OK", "all is well");
        peers::https(&far, 1, dated(FAR, 2001, 2002), well.clone());
        peers::https(&far, 2, dated(FAR, 2200, 2201), well.clone());
        peers::https(&far, 3, dated("other.example", 2001, 2002), well);
        let targets = (1..=3).map(|port| https(FAR, port)).collect();
        let mut probing = Probing::with_roots(targets, authority.roots());
        assert_eq!(probing.probe(0).await, Some(Answer::Reply));
        assert_eq!(probing.probe(1).await, Some(Answer::Reply));
        assert_eq!(probing.probe(2).await, IMPOSTOR, "the name counts all the same");
        probing.prober.judge_certificate_dates(true);
        for target in 0..3 {
            assert_eq!(probing.probe(target).await, IMPOSTOR, "target {target}");
        }
    });
}
