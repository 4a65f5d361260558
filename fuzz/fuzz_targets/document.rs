//! Signed documents, as an envelope and as the payload inside it. The first byte chooses the kind and which of the two the
//! rest is; signatures are not checked here, so that the fuzzer gets behind them.

#![no_main]

use causeway::trust::document::{
    self, Assignment, Document, EnrolReceipt, EnrolRequest, Freshness, Site, Standard, TransitionReceipt,
};
use causeway::trust::envelope::{self, Draft};
use causeway::trust::root::Root;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let read = match choice & 7 {
        0 => read::<Root>,
        1 => read::<Standard>,
        2 => read::<Site>,
        3 => read::<Assignment>,
        4 => read::<Freshness>,
        5 => read::<EnrolReceipt>,
        6 => read::<EnrolRequest>,
        _ => read::<TransitionReceipt>,
    };
    read(bytes, choice & 8 == 0);
});

fn read<D: Document>(bytes: &[u8], whole: bool) {
    if !whole {
        return payload::<D>(bytes);
    }
    let Ok(envelope) = envelope::decode(bytes, D::KIND, D::FORMAT) else { return };
    assert!(envelope.message().ends_with(envelope.payload));
    let again = Draft::resume(bytes, D::KIND, D::FORMAT).expect("it was just read").encode();
    assert_eq!(again.as_deref(), Ok(bytes), "one envelope has one form");
    payload::<D>(envelope.payload);
}

fn payload<D: Document>(bytes: &[u8]) {
    if let Ok(document) = document::decode::<D>(bytes) {
        // What is understood can be written, and is the same bytes.
        let again = document.draft().expect("it was read").encode();
        let Ok(again) = again else { return };
        let again = envelope::decode(&again, D::KIND, D::FORMAT).expect("it was written by us");
        assert_eq!(again.payload, bytes, "one document has one form");
    }
}
