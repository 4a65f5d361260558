//! Who is taken for head office.

use std::sync::Arc;

use causeway::control::errand::Office;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;

use crate::office::{How, Identity, builder, named, page};
use crate::world::World;

fn well() -> How {
    How::Says(page("", b"well"))
}

#[tokio::test(start_paused = true)]
async fn a_pinned_key_is_head_office_whatever_the_certificate_says() {
    let mut world = World::new();
    for (name, from, to) in [
        ("office.example", 1990, 2100),
        ("office.example", 2001, 2002),
        ("office.example", 2200, 2201),
        ("other.example", 1990, 2100),
    ] {
        let mut params = named(name);
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        world.wire.serve(443, Some(world.identity.config_of(params)), How::Cut(page("connection: close\r\n", b"well")));
        let errand = world.errand();
        let outcome = world.fetch(errand).await;
        assert_eq!((outcome.failed, &outcome.body[..]), (None, &b"well"[..]), "{name}, {from} to {to}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_key_is_not_and_hears_no_request() {
    let mut world = World::new();
    world.wire.serve(443, Some(Identity::new().config()), well());
    let errand = world.errand();
    let failed = world.fetch(errand).await.failed.expect("a stranger");
    assert!(failed.contains("none of the keys that head office named"), "{failed}");
    assert!(world.wire.seen.lock().expect("no panic").requests.is_empty());
}

/// Certificates are public; the signature shows who holds the key.
#[tokio::test(start_paused = true)]
async fn the_right_certificate_without_its_key_is_not() {
    #[derive(Debug)]
    struct Thief(Arc<CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Thief {
        fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }
    let mut world = World::new();
    let certificate = named("office.example").self_signed(world.identity.pair()).expect("a certificate");
    let other = rustls::crypto::ring::sign::any_supported_type(&Identity::new().key()).expect("a key");
    let stolen = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], other));
    let config = builder(&rustls::version::TLS13).with_no_client_auth().with_cert_resolver(Arc::new(Thief(stolen)));
    world.wire.serve(443, Some(Arc::new(config)), well());
    let errand = world.errand();
    let failed = world.fetch(errand).await.failed.expect("a thief");
    assert!(failed.contains("certificate is bad"), "{failed}");
    assert!(world.wire.seen.lock().expect("no panic").requests.is_empty());
}

#[tokio::test(start_paused = true)]
async fn tls_1_2_is_not_spoken() {
    let mut world = World::new();
    let certificate = named("office.example").self_signed(world.identity.pair()).expect("a certificate");
    let config = builder(&rustls::version::TLS12)
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], world.identity.key())
        .expect("a server's config");
    world.wire.serve(443, Some(Arc::new(config)), well());
    let errand = world.errand();
    assert!(world.fetch(errand).await.failed.expect("too old").contains("TLS"));
}

/// Without pins: dates, names and the authority count.
#[tokio::test(start_paused = true)]
async fn f13_without_pins_the_certificate_must_be_good_and_the_words_say_what_is_wrong() {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("a root");
    let mut world = World::trusting(roots);
    let vouched = |world: &World, name: &str, from, to| {
        let mut params = named(name);
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let issuer: &Issuer<'_, KeyPair> = &authority;
        let certificate = params.signed_by(world.identity.pair(), issuer).expect("a certificate");
        world.identity.config_with(certificate.der().clone(), world.identity.key())
    };
    let mut stranger = named("office.example");
    stranger.distinguished_name.push(DnType::CommonName, "a stranger");
    let cases = [
        (vouched(&world, "office.example", 1990, 2200), None),
        (vouched(&world, "other.example", 1990, 2200), Some("another name")),
        (vouched(&world, "office.example", 2001, 2002), Some("has expired")),
        (vouched(&world, "office.example", 2200, 2201), Some("not valid yet")),
        (world.identity.config_of(stranger), Some("nobody this system trusts")),
    ];
    for (config, wanted) in cases {
        world.wire.serve(443, Some(config), How::Cut(page("connection: close\r\n", b"well")));
        let office = Office { address: "https://office.example".to_owned(), pins: Vec::new() };
        let errand = world.errand_to(vec![office]);
        let failed = world.fetch(errand).await.failed;
        match wanted {
            None => assert_eq!(failed, None),
            Some(words) => {
                assert!(failed.as_deref().is_some_and(|failed| failed.contains(words)), "{words}: {failed:?}")
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_tls_only_this_machine_is_asked() {
    let mut world = World::new();
    world.wire.serve(80, None, well());
    let plain = |address: &str| vec![Office { address: address.to_owned(), pins: Vec::new() }];
    let errand = world.errand_to(plain("http://127.0.0.1"));
    assert_eq!(world.fetch(errand).await.body, b"well");
    for address in ["http://office.example", "http://192.0.2.1", "http://localhost", "office.example", ""] {
        let errand = world.errand_to(plain(address));
        assert!(world.fetch(errand).await.failed.is_some(), "{address}");
    }
    assert_eq!(world.wire.dialled(), 1);
}
