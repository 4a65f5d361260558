//! The answer to an HTTP probe, from whoever is at the other end.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| causeway::probe::io::fuzz_http(bytes));
