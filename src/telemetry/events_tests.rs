use std::collections::BTreeSet;

use super::*;

#[test]
fn ids_are_uuid_v5_of_the_names() {
    assert_eq!(Kind::UplinkState.message_id(), 0x02d8_cf99_77a1_5a7c_a04f_dcda_6539_483d);
    for kind in Kind::ALL {
        assert_eq!(format!("{:032x}", kind.message_id()), format!("{:032x}", uuid_v5(kind.name())), "{}", kind.name());
    }
}

#[test]
fn names_and_ids_are_unique() {
    let names: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let ids: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.message_id()).collect();
    assert_eq!((names.len(), ids.len()), (Kind::ALL.len(), Kind::ALL.len()));
}

#[test]
fn docs_table_and_kinds_are_the_same() {
    let docs = include_str!("../../docs/events.md");
    let written: Vec<_> = docs.lines().filter(|line| line.starts_with("| `")).collect();
    let row = |kind: &Kind| {
        format!("| `{}` | {} | `{:032x}` | {} |", kind.name(), kind.level().name(), kind.message_id(), kind.help())
    };
    let wanted: Vec<_> = Kind::ALL.iter().map(row).collect();
    assert_eq!(written, wanted, "docs/events.md should read:\n{}", wanted.join("\n"));
}

/// RFC 9562, section 5.5.
fn uuid_v5(name: &str) -> u128 {
    let hash = sha1(&[&NAMESPACE.to_be_bytes(), name.as_bytes()].concat());
    let mut uuid: [u8; 16] = hash[..16].try_into().expect("sixteen bytes");
    uuid[6] = uuid[6] & 0x0f | 0x50;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    u128::from_be_bytes(uuid)
}

/// FIPS 180-4; for this test only.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - message.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let end = padded.len();
    padded[end - 8..].copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());

    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.chunks_exact(64) {
        let mut words: Vec<u32> =
            block.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().expect("4"))).collect();
        for i in 16..80 {
            words.push((words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in words.iter().enumerate() {
            let (f, k) = match i {
                0..20 => (b & c | !b & d, 0x5a82_7999_u32),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        for (sum, value) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(value);
        }
    }
    let bytes: Vec<u8> = state.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.try_into().expect("five words")
}
