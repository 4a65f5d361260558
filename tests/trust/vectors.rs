//! The published vectors that `docs/protocol.md` tells implementers to start from. Made from fixed keys;
//! `UPDATE_CORPUS=1` writes them anew, which must never be needed once a release is out.

use std::fs;
use std::path::Path;

use causeway::trust::digest::Digest;
use causeway::trust::document::{self, Document, Token};
use causeway::trust::envelope::{self, Kind};
use causeway::trust::root::{Root, TrustedRoot};
use serde_json::{Value, json};

use super::corpus::{request, transition};
use super::fixture::{Set, freshness, receipt, root, signed, signer};

fn documents() -> Vec<(&'static str, Vec<u8>)> {
    let set = Set::new();
    vec![
        ("root-1.cwy", signed(&root(1), &["root a", "root b"])),
        ("root-2.cwy", signed(&root(2), &["root a", "root c"])),
        ("standard.cwy", set.standard_bytes()),
        ("site.cwy", set.site_bytes()),
        ("assignment.cwy", signed(&set.assignment(), &["online a"])),
        ("freshness.cwy", signed(&freshness(), &["online a"])),
        ("enrol-receipt.cwy", signed(&receipt(), &["online a"])),
        ("enrol-request.cwy", signed(&request(), &["device"])),
        ("transition-receipt.cwy", signed(&transition(), &["device"])),
    ]
}

/// What an implementer compares with while writing: keys, ids, digests, the first signed message.
fn index() -> Value {
    let names = ["root a", "root b", "root c", "release a", "release b", "online a", "online b", "device"];
    let keys: Vec<Value> = names
        .iter()
        .map(|name| {
            let seed = Digest::of(name.as_bytes());
            let public = signer(name).public();
            let hex = Digest::new(*public.bytes()).to_string();
            json!({ "name": name, "seed": seed.to_string(), "public": hex, "id": public.id().to_string() })
        })
        .collect();
    let files: Vec<Value> = documents()
        .iter()
        .map(|(name, bytes)| json!({ "file": name, "bytes": bytes.len(), "sha256": Digest::of(bytes).to_string() }))
        .collect();
    let body = postcard::to_allocvec(&freshness()).expect("it is written");
    let message = envelope::message(Kind::Freshness, 1, &body);
    let token = Token([0x55; 16]);
    json!({
        "keys": keys,
        "files": files,
        "device": signer("device").public().device().0.to_string(),
        "freshness_message_sha256": Digest::of(&message).to_string(),
        "token": { "bytes": "55".repeat(16), "id": token.id().0.to_string(), "secret": token.secret().to_string() },
    })
}

#[test]
fn the_published_vectors_are_what_we_write_and_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trust/vectors");
    let text = format!("{}\n", serde_json::to_string_pretty(&index()).expect("it is written"));
    let mut files = documents();
    files.push(("index.json", text.into_bytes()));
    for (name, bytes) in &files {
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            fs::create_dir_all(&folder).expect("it is made");
            fs::write(folder.join(name), bytes).expect("it is written");
        }
        assert_eq!(&fs::read(folder.join(name)).expect("it is there"), bytes, "{name}");
    }
    let read = |name: &str| fs::read(folder.join(name)).expect("it is there");
    let first = read("root-1.cwy");
    let trusted = TrustedRoot::pinned(&first, &Digest::of(&first)).expect("root 1 is right");
    let trusted = trusted.next(&read("root-2.cwy")).expect("root 2 is right");
    let bytes = read("freshness.cwy");
    let envelope = envelope::decode(&bytes, Kind::Freshness, 1).expect("a right frame");
    trusted.root().online.check(&envelope).expect("signed online");
    assert_eq!(document::decode(envelope.payload), Ok(freshness()));
}

/// The page for implementers names each kind and each field in its order.
#[test]
fn the_protocol_page_names_every_kind() {
    let page = include_str!("../../docs/protocol.md");
    for kind in Kind::ALL {
        assert!(page.contains(&format!("| {} |", kind.number())), "kind {}", kind.number());
    }
    for (name, _) in documents() {
        assert!(page.contains(name), "{name}");
    }
    assert_eq!((Root::FORMAT, Root::KIND), (1, Kind::Root));
}
