//! What comes back to a DNS probe. The question is always the same, so that the fuzzer can learn to answer it.

#![no_main]

use causeway::config::model::Family;
use causeway::probe::Cookie;
use causeway::probe::packet::dns::Question;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((family, bytes)) = bytes.split_first() else { return };
    let family = if family & 1 == 0 { Family::V4 } else { Family::V6 };
    let question = Question::new("example.org", family, Cookie([0; 16])).expect("a name");
    // As received, and behind the header and question that make an answer of it.
    let mut answer = question.bytes().to_vec();
    answer[2] |= 0x80;
    answer[6..8].copy_from_slice(&[0xff, 0xff]);
    answer.extend_from_slice(bytes);
    for message in [bytes, &answer] {
        if let Some(answer) = question.answer(message) {
            assert!(answer.addresses.len() * 11 <= message.len(), "each record takes at least eleven bytes");
            answer.usable(family).count();
        }
    }
});
