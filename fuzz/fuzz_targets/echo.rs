//! ICMP and ICMPv6 as it comes from the wire: replies, and what errors quote.

#![no_main]

use causeway::config::model::Family;
use causeway::probe::packet::echo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for family in Family::BOTH {
        echo::quoted_sequence(family, bytes);
        if let Some(reply) = echo::reply(family, bytes) {
            // Only what a request of ours could draw is a reply.
            let request = echo::request(family, reply.sequence, reply.cookie);
            assert_eq!(request.len(), bytes.len());
            // Mark and cookie; the four bytes after them say nothing.
            assert_eq!(request[8..28], bytes[8..28], "the data comes back as it was sent, {reply:?}");
        }
    }
});
