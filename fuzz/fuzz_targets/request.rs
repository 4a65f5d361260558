//! The header by which a device signs its requests: as text, and as the bytes inside it.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use causeway::trust::keys::Signer;
use causeway::trust::request::{Method, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        judge(text);
    }
    judge(&URL_SAFE_NO_PAD.encode(bytes));
});

fn judge(header: &str) {
    let Ok(claimed) = Request::claimed(header) else { return };
    let key = Signer::from_seed(&[7; 32]);
    claimed.device();
    // The fuzzer has no key.
    assert!(claimed.verify(&key.public(), Method::Get, "/", b"").is_err());
}
