//! What the kernel says of its connection table.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| causeway::kernel::conntrack::fuzz(bytes));
