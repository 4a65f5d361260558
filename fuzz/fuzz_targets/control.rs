//! Frames of the control socket, as the daemon and its clients read them. The first byte chooses who reads.

#![no_main]

use causeway::control::frame::{self, PREFIX, REPLY_BYTES, REQUEST_BYTES};
use causeway::control::protocol::{Reply, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((reader, bytes)) = bytes.split_first() else { return };
    if let Some((prefix, _)) = bytes.split_first_chunk::<PREFIX>()
        && let Ok(length) = frame::length(*prefix, REQUEST_BYTES)
    {
        assert!(length <= REQUEST_BYTES);
    }
    // What is understood can be said again, and is understood the same.
    if reader & 1 == 0 {
        if let Ok(request) = frame::decode::<Request>(bytes) {
            let again = frame::encode(&request, REPLY_BYTES).expect("it was no longer than this");
            assert_eq!(frame::decode(&again[PREFIX..]), Ok(request));
        }
    } else if let Ok(reply) = frame::decode::<Reply>(bytes) {
        // A figure may be no number, which equals nothing.
        let again = frame::encode(&reply, REPLY_BYTES).expect("it was no longer than this");
        frame::decode::<Reply>(&again[PREFIX..]).expect("it was said by us");
    }
});
