//! A standard's sections, resolved and checked as a gateway does. Each is a number, a length of two bytes and its bytes.

#![no_main]

use causeway::config::sections::{self, SUPPORTED, Section};
use causeway::config::vars::Values;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let sections = split(bytes);
    let Ok(resolved) = sections::resolve(&sections, &Values::default()) else { return };
    // What was resolved stays as it is, so both ends compute one digest.
    let again = sections::resolve(&resolved, &Values::default()).expect("nothing is left to fill in");
    assert_eq!(sections::digest(&again), sections::digest(&resolved));
});

fn split(mut rest: &[u8]) -> Vec<Section> {
    let mut sections = Vec::new();
    while let [id, high, low, after @ ..] = rest {
        let (bytes, next) = after.split_at(after.len().min(usize::from(u16::from_be_bytes([*high, *low]))));
        let critical = id & 0x80 == 0;
        let id = u16::from(id & 0x7f);
        let version = SUPPORTED.iter().find(|(known, _)| *known == id).map_or(1, |(_, version)| *version);
        sections.push(Section { id, version, critical, bytes: bytes.to_vec() });
        rest = next;
    }
    sections
}
