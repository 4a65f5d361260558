//! Lines of a ledger, files of evidence, slots of its sums. What is read as a ledger is checked again after it was written
//! anew; nothing panics, whatever the bytes.

#![no_main]

use causeway::ledger::chain::{Lines, Segment, verify};
use causeway::ledger::record::{GENESIS, HASH, LINE_MOST, Record};
use causeway::ledger::{checkpoint, evidence, outages};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = evidence::check(bytes);
    let _ = checkpoint::newest(bytes);
    if let Ok(lines) = Lines::open(bytes, 1) {
        lines.take_while(Result::is_ok).for_each(drop);
    }
    // Behind the hash: the fuzzer cannot make one.
    let records: Vec<Record> = bytes.split(|byte| *byte == b'\n').filter_map(|json| serde_json::from_slice(json).ok()).collect();
    let mut file = [&GENESIS[..], b"\n"].concat();
    let mut hash = GENESIS;
    for (seq, record) in (1..).zip(&records) {
        let mut record = record.clone();
        (record.ledger, record.seq) = (records[0].ledger, seq);
        let (line, next) = record.line(&hash);
        if line.len() > LINE_MOST {
            // Only names can be so long, and ours are short.
            return;
        }
        assert!(line.len() > HASH);
        file.extend(line);
        hash = next;
    }
    let checked = verify(&[Segment { first: 1, bytes: file }]).expect("it was just written");
    assert_eq!(checked.records.len(), records.len());
    let _ = outages::read(&checked.records, None);
});
