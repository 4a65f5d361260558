//! Datagrams of the path proof, as both ends read them: the first byte chooses what is made right before.

#![no_main]

use causeway::trust::keys::Signer;
use causeway::trust::proof;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((right, bytes)) = bytes.split_first() else { return };
    let key = Signer::from_seed(&[7; 32]);
    let nonce = [9; 16];
    let mut bytes = bytes.to_vec();
    // So that the fuzzer reaches the signature.
    if right & 1 == 1 && bytes.len() >= 20 {
        bytes[..20].copy_from_slice(&proof::request(&nonce)[..20]);
    }
    if let Some(answer) = proof::answer(&bytes, &key) {
        assert_eq!(answer.len(), bytes.len(), "nobody is amplified");
        assert_eq!(proof::answer(&answer, &key), None, "no answer is a request");
    }
    // The fuzzer has no key.
    if proof::verify(&bytes, &nonce, &key.public()).is_ok() {
        assert_eq!(Some(&bytes[..]), proof::answer(&proof::request(&nonce), &key).as_ref().map(|it| &it[..]));
    }
});
