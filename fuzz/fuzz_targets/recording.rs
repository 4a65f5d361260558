//! Lines of a recording, as `causeway replay` reads them.

#![no_main]

use causeway::engine::record::Entry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = serde_json::from_slice::<Entry>(bytes) {
        let line = serde_json::to_string(&entry).expect("plain data");
        assert!(!line.contains('\n'), "one line");
        serde_json::from_str::<Entry>(&line).expect("it was written by us");
    }
});
