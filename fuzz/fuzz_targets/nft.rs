//! What nft prints when it is asked for our table, which others may have changed.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| causeway::kernel::nft::fuzz(bytes));
