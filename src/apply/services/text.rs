//! Writes lines of `key=value` that other programs read. What may stand in a value is closed twice: only types with an
//! alphabet of their own can be written ([`Word`]), and the finished value is looked at once more, so that a type that
//! grows a wider alphabet one day is refused here and not understood as syntax there.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::branch::Mac;
use crate::config::model::{LinkName, Name};

/// A value that would be syntax where it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` cannot be {value:?}")]
pub struct Refused {
    pub key: &'static str,
    pub value: String,
}

/// What may be part of a value.
pub(super) trait Word: fmt::Display {}

impl Word for Name {}
impl Word for LinkName {}
impl Word for Mac {}
impl Word for IpAddr {}
impl Word for Ipv4Addr {}
impl Word for Ipv6Addr {}
impl Word for IpNet {}
impl Word for Ipv4Net {}
impl Word for Ipv6Net {}
impl Word for u16 {}
impl Word for u32 {}
impl Word for u64 {}
/// Words of ours, not of a config.
impl Word for &'static str {}
impl Word for DnsName {}
impl Word for Hex {}

/// A domain in lower case: labels of `[a-z0-9_-]`, 1…63 each, 253 in all, none that begins or ends with `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DnsName(String);

impl DnsName {
    pub(super) fn new(key: &'static str, text: &str) -> Result<Self, Refused> {
        let lower = text.to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if lower.len() <= 253 && lower.split('.').all(is_label) {
            Ok(Self(lower))
        } else {
            Err(Refused { key, value: text.to_owned() })
        }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number as networkd wants subnets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hexadecimal(pub(super) u16);

impl fmt::Display for Hexadecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Word for Hexadecimal {}

/// A digest in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hex(pub(super) [u8; 8]);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One value of several words, such as `set:office,10.16.0.100,10.16.0.199`.
#[derive(Debug, Default)]
pub(super) struct Value(String);

impl Value {
    pub(super) fn of(word: impl Word) -> Self {
        Self(word.to_string())
    }

    /// With a sign of ours before it.
    pub(super) fn and(mut self, sign: &'static str, word: impl Word) -> Self {
        self.0 += sign;
        self.0 += &word.to_string();
        self
    }
}

/// A text that grows line by line.
#[derive(Debug, Default)]
pub(super) struct Text {
    lines: String,
    section: String,
    entries: Vec<Entry>,
    refused: Option<Refused>,
}

/// What a line says to the program that reads it. Lines without a sign are all key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub section: String,
    pub key: String,
    pub value: String,
}

/// Reads a text of ours as networkd and dnsmasq do: a line is a comment, a section, or a key with its value.
pub fn parse(text: &str) -> Vec<Entry> {
    let mut section = String::new();
    let mut entries = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let (key, value) = line.split_once(['=', ' ']).unwrap_or((line, ""));
        entries.push(Entry { section: section.clone(), key: key.to_owned(), value: value.to_owned() });
    }
    entries
}

impl Text {
    pub(super) fn comment(&mut self, words: &'static str) {
        self.lines += "# ";
        self.lines += words;
        self.lines += "\n";
    }

    /// `[name]`, as networkd has it.
    pub(super) fn section(&mut self, name: &'static str) {
        if !self.lines.is_empty() {
            self.lines += "\n";
        }
        self.lines += &format!("[{name}]\n");
        name.clone_into(&mut self.section);
    }

    /// A key without a value.
    pub(super) fn switch(&mut self, key: &'static str) {
        self.put(key, "", "");
    }

    pub(super) fn set(&mut self, key: &'static str, word: impl Word) {
        self.set_all(key, Value::of(word));
    }

    pub(super) fn set_all(&mut self, key: &'static str, value: Value) {
        self.check(key, &value.0);
        self.put(key, "=", &value.0);
    }

    /// Two words and a space: a line of a hosts file.
    pub(super) fn pair(&mut self, address: impl Word, name: impl Word) {
        let (address, name) = (address.to_string(), name.to_string());
        self.check("host", &address);
        self.check("host", &name);
        self.put(&address, " ", &name);
    }

    /// A line that is all value, as in the files that dnsmasq reads for one option only.
    pub(super) fn bare(&mut self, key: &'static str, value: Value) {
        self.check(key, &value.0);
        self.put(&value.0, "", "");
    }

    /// Read again as its reader will, it must say what was meant, no more and no less.
    pub(super) fn finish(self) -> Result<String, Refused> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let read = parse(&self.lines);
        let differs = read.iter().zip(&self.entries).find(|(read, meant)| read != meant).map(|(read, _)| read);
        match differs.or(read.get(self.entries.len())) {
            None if read.len() == self.entries.len() => Ok(self.lines),
            differs => {
                let value = differs.map(|entry| format!("{}={}", entry.key, entry.value)).unwrap_or_default();
                Err(Refused { key: "line", value })
            }
        }
    }

    fn put(&mut self, key: &str, sign: &'static str, value: &str) {
        self.lines += &format!("{key}{sign}{value}\n");
        self.entries.push(Entry { section: self.section.clone(), key: key.to_owned(), value: value.to_owned() });
    }

    fn check(&mut self, key: &'static str, value: &str) {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".:/_,-".contains(&byte);
        if value.is_empty() || !value.bytes().all(allowed) {
            self.refused.get_or_insert(Refused { key, value: value.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_syntax_anywhere_is_refused() {
        for hostile in ["a\nb", "a b", "a#b", "a=b", "a;b", "a\"b", "a\\b", "a*b", "a%b", "a$b", "é", ""] {
            let mut text = Text::default();
            text.set("before", 1_u16);
            text.set_all("key", Value(hostile.to_owned()));
            assert_eq!(text.finish().expect_err(hostile).value, hostile);
        }
    }

    #[test]
    fn a_domain_is_labels_and_nothing_else() {
        assert_eq!(DnsName::new("zone", "Corp.Example").map(|name| name.to_string()), Ok("corp.example".to_owned()));
        for hostile in
            ["", ".", "a..b", "-a", "a-", "a/b", "a#", "a,b", "a b", "*.a", &"a".repeat(64), &"a.".repeat(127)]
        {
            assert!(DnsName::new("zone", hostile).is_err(), "{hostile}");
        }
    }
}
