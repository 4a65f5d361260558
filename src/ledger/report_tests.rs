use super::*;
use crate::ledger::fixture::{utc_ms, zones};
use crate::ledger::month_tests::{Branch, Play};

/// The sample of the handbook.
fn october() -> (Vec<Record>, Report) {
    let month = Month::parse("2026-10").expect("a month");
    let (begin, end) = month.bounds(&zones(Some("Europe/Paris")));
    let second = |text: &str| (utc_ms(text) - begin) / 1_000;
    let mut branch = Branch::new(begin, (end - begin) / 1_000);
    branch.start(0, true, "unknown", Map::new());
    branch.play(Play::Outage(second("2026-10-12T08:42:09Z"), second("2026-10-12T09:15:40Z")));
    branch.play(Play::PowerCut(second("2026-10-19T01:10:12Z"), second("2026-10-19T01:52:40Z")));
    let last = branch.stamp(end);
    let scope = Scope { month, uplink: None, promised: Some(0.9995), now: Some((last.boot, last.mono)) };
    let checked = Checked { records: branch.records.clone(), remarks: Vec::new() };
    let report = Report::of(&checked, &scope, &zones);
    (branch.records, report)
}

#[test]
fn outages_and_report_read_as_in_the_handbook() {
    let (_, report) = october();
    insta::assert_snapshot!("outages", text::outages(&report));
    insta::assert_snapshot!("report", text::report(&report));
    insta::assert_snapshot!("csv", csv::outages(&report));
}

#[test]
fn the_page_escapes_what_the_config_says() {
    let (_, report) = october();
    let page = html::page(&report);
    assert!(page.contains("FibreCo &lt;script&gt;") && !page.contains("<script"), "{page}");
    assert!(!page.contains("http") && page.len() < 20_000, "nothing from elsewhere");
    insta::assert_snapshot!("html", page);
}

#[test]
fn every_format_says_the_same() {
    let (_, report) = october();
    let json: Value = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["schema_version"], 1);
    assert_eq!((&json["outages"][0]["lasted_ms"], &json["own"][0]["ms"]), (&2_011_000.into(), &2_548_000.into()));
    for text in [text::outages(&report), text::report(&report), html::page(&report)] {
        assert!(text.contains("33m 31s") && text.contains("99.925 %"), "{text}");
    }
    assert!(csv::outages(&report).contains(",2011000,"));
}

#[test]
fn months_are_written_in_one_way() {
    for bad in ["", "2026", "2026-13", "2026-00", "2026-1", "26-10", "2026-10-01", "+026-10"] {
        assert_eq!(Month::parse(bad), None, "{bad}");
    }
    assert_eq!(Month::parse("2026-12").map(|month| month.to_string()).as_deref(), Some("2026-12"));
}

mod evidence {
    use super::*;
    use crate::ledger::chain::verify;
    use crate::ledger::evidence::{check, pack};
    use crate::ledger::fixture::segment_of;
    use crate::trust::keys::Signer;

    #[test]
    fn the_same_ledger_gives_the_same_bytes_and_every_flip_is_found() {
        let (records, report) = october();
        let segments = [segment_of(&records)];
        verify(&segments).expect("one chain");
        let key = Signer::from_seed(&[7; 32]);
        let file = pack(&report, &segments, Some(&key));
        assert_eq!(pack(&october().1, &segments, Some(&key)), file);
        let proved = check(&file).expect("it is right");
        assert_eq!(proved.device, Some(key.public().device().0.to_string()));
        assert_eq!((proved.month.as_str(), proved.first_seq), ("2026-10", 1));
        for at in (0..file.len()).step_by(7) {
            let mut flipped = file.clone();
            flipped[at] ^= 0x04;
            assert!(check(&flipped).is_err(), "byte {at}");
        }
    }

    #[test]
    fn an_unsigned_file_says_so_and_a_foreign_signature_is_none() {
        let (records, report) = october();
        let segments = [segment_of(&records)];
        let file = pack(&report, &segments, None);
        assert_eq!(check(&file).expect("it is right").device, None);
        let text = String::from_utf8_lossy(&file);
        assert!(text.contains("device: unsigned\n") && !text.contains("\nsignature: "));
        // A device's name over the signature of another key.
        let (one, two) = (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]));
        let signed = pack(&report, &segments, Some(&one));
        let name = |key: &Signer| key.public().device().0.to_string().into_bytes();
        let at = signed.windows(64).position(|part| part == name(&one)).expect("it is named");
        let mut forged = signed;
        forged[at..at + 64].copy_from_slice(&name(&two));
        assert!(check(&forged).is_err());
    }

    #[test]
    fn a_record_that_was_changed_before_signing_is_named() {
        let (records, report) = october();
        let mut segment = segment_of(&records);
        let at = segment.bytes.windows(9).position(|part| part == b"\"path\",\"s").expect("a cause");
        segment.bytes[at + 1..at + 5].copy_from_slice(b"tcp_");
        let seq = segment.bytes[..at].iter().filter(|byte| **byte == b'\n').count();
        let file = pack(&report, &[segment], Some(&Signer::from_seed(&[7; 32])));
        let doubt = check(&file).expect_err("it was changed");
        let source = std::error::Error::source(&doubt).expect("which record").to_string();
        assert!(source.contains(&format!("record {seq} ")), "{source}");
    }
}
