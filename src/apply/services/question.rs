//! One question for texts as DNS has it (RFC 1035), and the texts of the answer. Pure.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Internet,
    /// What servers say of themselves.
    Chaos,
}

impl Class {
    fn number(self) -> u16 {
        match self {
            Self::Internet => 1,
            Self::Chaos => 3,
        }
    }
}

const TXT: u16 = 16;
const HEADER: usize = 12;
const IS_ANSWER: u8 = 0x80;

pub(super) fn question(id: u16, name: &str, class: Class) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    // No recursion: what we ask for is the server's own.
    message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(0));
        message.extend(label.bytes().take(usize::from(u8::MAX)));
    }
    message.push(0);
    message.extend(TXT.to_be_bytes());
    message.extend(class.number().to_be_bytes());
    message
}

/// `None`: this is no answer to the question of this number. An answer without texts is an empty list.
pub(super) fn answers(id: u16, message: &[u8]) -> Option<Vec<String>> {
    let header = message.get(..HEADER)?;
    if header.get(..2)? != id.to_be_bytes() || header.get(2)? & IS_ANSWER == 0 {
        return None;
    }
    let (questions, records) = (number(message, 4)?, number(message, 6)?);
    let mut at = HEADER;
    for _ in 0..questions {
        at = after_name(message, at)?.checked_add(4)?;
    }
    let mut texts = Vec::new();
    for _ in 0..records {
        at = after_name(message, at)?;
        let (kind, length) = (number(message, at)?, usize::from(number(message, at.checked_add(8)?)?));
        let begin = at.checked_add(10)?;
        at = begin.checked_add(length)?;
        let mut data = message.get(begin..at)?;
        while let (TXT, Some((length, rest))) = (kind, data.split_first()) {
            let (text, rest) = rest.split_at_checked(usize::from(*length))?;
            texts.push(String::from_utf8_lossy(text).into_owned());
            data = rest;
        }
    }
    Some(texts)
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// Names are not followed, only passed over.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*message.get(at)?);
        match length {
            0 => return at.checked_add(1),
            1..=63 => at = at.checked_add(1 + length)?,
            // A pointer ends the name.
            192.. => return at.checked_add(2),
            64..=191 => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: u16, texts: &[&str]) -> Vec<u8> {
        let mut message = question(id, "a.example", Class::Internet);
        message[2] |= IS_ANSWER;
        message[7] = 1;
        message.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0]);
        let data: Vec<u8> = texts
            .iter()
            .flat_map(|text| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat())
            .collect();
        message.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        message.extend(data);
        message
    }

    #[test]
    fn texts_of_an_answer_are_read() {
        assert_eq!(answers(7, &answer(7, &["one", "two"])), Some(vec!["one".to_owned(), "two".to_owned()]));
        assert_eq!(answers(8, &answer(7, &["one"])), None, "another's");
        assert_eq!(answers(7, &question(7, "a.example", Class::Chaos)), None, "a question");
    }

    #[test]
    fn no_piece_of_an_answer_is_read_beyond_its_end() {
        let whole = answer(7, &["one", "two"]);
        for end in 0..whole.len() {
            assert_eq!(answers(7, &whole[..end]), None, "{end}");
        }
        for at in 0..whole.len() {
            for byte in [0, 63, 64, 192, 255] {
                let mut hurt = whole.clone();
                hurt[at] = byte;
                answers(7, &hurt);
            }
        }
    }
}
