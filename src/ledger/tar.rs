//! Plain files in one, as POSIX.1-1988 `ustar`: the same bytes each time, so names and contents and nothing else. Owners
//! are nobody, dates are 0.

const BLOCK: usize = 512;
/// Of one member: a whole ledger is 4 MiB.
const MEMBER_MOST: usize = 16 << 20;
const MEMBERS: usize = 16;

pub(super) fn pack(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in members {
        out.extend(header(name, bytes.len()));
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

/// Names and contents; in words what is wrong. Only what [`pack`] makes is read: anything else is a doubt.
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<(String, &[u8])>, &'static str> {
    let mut members = Vec::new();
    let mut rest = bytes;
    loop {
        let (head, behind) = rest.split_at_checked(BLOCK).ok_or("it ends within a member")?;
        if head.iter().all(|byte| *byte == 0) {
            let end = behind.len() == BLOCK && behind.iter().all(|byte| *byte == 0);
            return if end { Ok(members) } else { Err("something follows its end") };
        }
        let name = head[..100].split(|byte| *byte == 0).next().and_then(|name| std::str::from_utf8(name).ok());
        let name = name.ok_or("a member has no name")?;
        let size = std::str::from_utf8(&head[124..135]).ok().and_then(|digits| usize::from_str_radix(digits, 8).ok());
        let size = size.filter(|size| *size <= MEMBER_MOST).ok_or("a member has no size")?;
        if head != header(name, size) {
            return Err("a member's head is not as it was written");
        }
        let (content, behind) = behind.split_at_checked(size).ok_or("it ends within a member")?;
        let padding = size.next_multiple_of(BLOCK) - size;
        let (padding, behind) = behind.split_at_checked(padding).ok_or("it ends within a member")?;
        if padding.iter().any(|byte| *byte != 0) || members.len() == MEMBERS {
            return Err("there is more in it than files");
        }
        members.push((name.to_owned(), content));
        rest = behind;
    }
}

fn header(name: &str, size: usize) -> [u8; BLOCK] {
    let mut head = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| head[at..at + text.len()].copy_from_slice(text);
    put(0, &name.as_bytes()[..name.len().min(99)]);
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_unpacks_and_every_flip_of_a_head_is_found() {
        let members: [(&str, &[u8]); 2] = [("a.txt", b"hello"), ("b", &[7; 512])];
        let packed = pack(&members);
        let read = unpack(&packed).expect("it was just packed");
        assert_eq!(read, [("a.txt".to_owned(), &b"hello"[..]), ("b".to_owned(), &[7; 512][..])]);
        for at in (0..packed.len()).filter(|at| !(512..517).contains(at) && !(1_536..2_048).contains(at)) {
            let mut flipped = packed.clone();
            flipped[at] ^= 1;
            assert!(unpack(&flipped).is_err(), "byte {at}");
        }
        assert!(unpack(&packed[..packed.len() - 1]).is_err() && unpack(&[]).is_err());
    }
}
