//! Reads lines back and checks the chain: every byte of a ledger stands under some hash. The first doubt ends the reading
//! and is named.

use super::record::{GENESIS, HASH, Hash, Id, Kind, LINE_MOST, Record};

/// A file of the ledger. Its first line repeats the hash before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// `seq` of its first record: its file's name.
    pub first: u64,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("a file of the ledger does not begin with the hash before it")]
    Header,
    #[error("the line has no end: it was not written to the end, or cut off")]
    Torn,
    #[error("the line is longer than {LINE_MOST} bytes")]
    Long,
    #[error("the line is not a hash, a space and a JSON object")]
    Form,
    #[error("the hash does not fit: this line, or the one before it, is not what was written")]
    Hash,
    #[error("the line is not a record")]
    Json,
    #[error("it does not follow the record before it: one was taken out, put in or moved")]
    Sequence,
    #[error("a file of the ledger does not continue the one before it")]
    Gap,
}

/// The first thing that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} (line {line}) cannot be believed")]
pub struct Bad {
    /// Which it is, or would be.
    pub seq: u64,
    /// Of its file, the first is 1.
    pub line: usize,
    /// Of its file: bytes before it that are right.
    pub offset: usize,
    #[source]
    pub fault: Fault,
}

/// Where a chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub ledger: Option<Id>,
    pub seq: u64,
    pub hash: Hash,
}

/// The records of one file, checked one after the other.
#[derive(Debug)]
pub struct Lines<'a> {
    bytes: &'a [u8],
    offset: usize,
    line: usize,
    head: Head,
    failed: bool,
}

impl<'a> Lines<'a> {
    /// `first`: the seq that its first record must have.
    pub fn open(bytes: &'a [u8], first: u64) -> Result<Self, Bad> {
        let header = bytes.get(..=HASH).filter(|line| line[HASH] == b'\n').and_then(|line| is_hash(&line[..HASH]));
        let Some(hash) = header else {
            return Err(Bad { seq: first, line: 1, offset: 0, fault: Fault::Header });
        };
        let head = Head { ledger: None, seq: first.wrapping_sub(1), hash };
        Ok(Self { bytes, offset: HASH + 1, line: 1, head, failed: false })
    }

    /// Of what was read so far.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Bytes that are right.
    pub fn offset(&self) -> usize {
        self.offset
    }

    fn read(&mut self) -> Result<Record, Fault> {
        let rest = &self.bytes[self.offset..];
        let most = rest.len().min(LINE_MOST);
        let Some(end) = rest[..most].iter().position(|byte| *byte == b'\n') else {
            return Err(if rest.len() >= LINE_MOST { Fault::Long } else { Fault::Torn });
        };
        let line = &rest[..end];
        let (Some(written), Some(b' '), Some(json)) =
            (line.get(..HASH).and_then(is_hash), line.get(HASH), line.get(HASH + 1..))
        else {
            return Err(Fault::Form);
        };
        if super::record::hash(&self.head.hash, json) != written {
            return Err(Fault::Hash);
        }
        let record: Record = serde_json::from_slice(json).map_err(|_| Fault::Json)?;
        if record.seq != self.head.seq.wrapping_add(1) || self.head.ledger.is_some_and(|id| id != record.ledger) {
            return Err(Fault::Sequence);
        }
        self.offset += end + 1;
        self.head = Head { ledger: Some(record.ledger), seq: record.seq, hash: written };
        Ok(record)
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<Record, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.offset == self.bytes.len() {
            return None;
        }
        self.line += 1;
        let (seq, line, offset) = (self.head.seq.wrapping_add(1), self.line, self.offset);
        let read = self.read().map_err(|fault| Bad { seq, line, offset, fault });
        self.failed = read.is_err();
        Some(read)
    }
}

/// A whole ledger, oldest file first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    pub records: Vec<Record>,
    /// What a reader should know: chains that began anew.
    pub remarks: Vec<String>,
}

/// All records, or the first that cannot be believed. A chain that began anew must say so in its first record.
pub fn verify(segments: &[Segment]) -> Result<Checked, Bad> {
    let mut checked = Checked::default();
    let mut head: Option<Head> = None;
    for segment in segments {
        let mut lines = Lines::open(&segment.bytes, segment.first)?;
        let own = lines.head();
        let at_start = |fault| Bad { seq: segment.first, line: 1, offset: 0, fault };
        let anew = own.hash == GENESIS;
        if let Some(head) = head
            && !anew
            && (head.hash != own.hash || head.seq != own.seq)
        {
            return Err(at_start(Fault::Gap));
        }
        let mut first = true;
        for record in lines.by_ref() {
            let record = record?;
            if std::mem::take(&mut first)
                && anew
                && let Some(before) = head
            {
                let told = record.kind == Kind::Start && record.evidence.contains_key("broken");
                if !told || record.seq <= before.seq || before.ledger != Some(record.ledger) {
                    return Err(at_start(Fault::Gap));
                }
                checked
                    .remarks
                    .push(format!("a new chain begins with record {}: the one before was broken", record.seq));
            }
            checked.records.push(record);
        }
        if !first {
            head = Some(lines.head());
        }
    }
    Ok(checked)
}

fn is_hash(text: &[u8]) -> Option<Hash> {
    let hash: Hash = text.try_into().ok()?;
    hash.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::fixture::{month_of_records, segment_of};

    #[test]
    fn every_flipped_byte_is_found() {
        let records = month_of_records(12);
        let segment = segment_of(&records);
        assert_eq!(verify(std::slice::from_ref(&segment)).expect("it is right").records.len(), 12);
        for at in 0..segment.bytes.len() {
            for bit in [0x01, 0x20, 0x80] {
                let mut flipped = segment.clone();
                flipped.bytes[at] ^= bit;
                assert!(verify(&[flipped]).is_err(), "byte {at} ^ {bit:#x}");
            }
        }
    }

    #[test]
    fn a_line_that_is_taken_out_doubled_or_moved_is_named() {
        let segment = segment_of(&month_of_records(6));
        let lines: Vec<&[u8]> = segment.bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let with = |order: &[usize]| {
            let bytes = order.iter().flat_map(|index| lines[*index].to_vec()).collect();
            verify(&[Segment { first: 1, bytes }]).map(|checked| checked.records.len()).map_err(|bad| bad.seq)
        };
        assert_eq!(with(&[0, 1, 2, 3, 4, 5, 6]), Ok(6));
        assert_eq!(with(&[0, 1, 2, 4, 5, 6]), Err(3));
        assert_eq!(with(&[0, 1, 2, 2, 3]), Err(3));
        assert_eq!(with(&[0, 2, 1]), Err(1));
        let torn = Segment { first: 1, bytes: segment.bytes[..segment.bytes.len() - 1].to_vec() };
        let bad = verify(&[torn]).expect_err("its end is missing");
        assert_eq!((bad.seq, bad.line, bad.fault), (6, 7, Fault::Torn));
    }

    /// `metrics.md` §10: 10,000 records verified in 200 ms. Here only that it is not far off; `make bench` measures.
    #[test]
    fn ten_thousand_records_are_read() {
        let segment = segment_of(&month_of_records(10_000));
        assert_eq!(verify(&[segment]).expect("it is right").records.len(), 10_000);
    }
}
