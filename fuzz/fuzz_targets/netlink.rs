//! What the kernel tells and answers about links, addresses, routes, rules and neighbours.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| causeway::kernel::netlink::fuzz(bytes));
