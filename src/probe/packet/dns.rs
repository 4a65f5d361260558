//! One DNS question and its answer (RFC 1035), no more than a probe needs: addresses, their lifetime and the response
//! code.
//!
//! The reader is our own because it must judge a truncated message by what is there, where a general parser refuses the
//! whole. It never follows a compression pointer, so it cannot loop, and it allocates for [`ADDRESSES`] at most.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::model::{DnsAnswer, Family};
use crate::probe::Cookie;

/// Without EDNS a server must not send more (RFC 1035 §2.3.4); some room for those that do.
pub const ANSWER_BYTES: usize = 1_232;
/// More addresses of one name than anybody needs to reach it.
pub const ADDRESSES: usize = 16;
/// RFC 1035 §2.3.4.
pub const NAME_BYTES: usize = 255;
/// RFC 1035 §2.3.4.
pub const LABEL_BYTES: usize = 63;

/// A question with an identifier and a mix of upper and lower case that only we know: who did not see it cannot answer
/// it (spec/faults.md R3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    bytes: Vec<u8>,
}

/// Why a name cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a domain name")]
pub struct NotAName {
    pub name: String,
}

/// An answer to exactly our question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: Code,
    pub truncated: bool,
    /// In the order of the message, both families, at most [`ADDRESSES`].
    pub addresses: Vec<IpAddr>,
    /// The shortest lifetime of these addresses in seconds; 0 without addresses.
    pub ttl: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    NoError,
    NoSuchName,
    /// SERVFAIL, REFUSED and the like: the server lives and is of no use.
    Other(u8),
}

impl Question {
    /// Asks for the addresses of one family; identifier and case come from the cookie.
    pub fn new(name: &str, family: Family, cookie: Cookie) -> Result<Self, NotAName> {
        let not_a_name = || NotAName { name: name.to_owned() };
        let [id_high, id_low, case @ ..] = cookie.0;
        let mut bytes = vec![id_high, id_low, FLAG_RECURSE, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let mut letters = 0;
        for label in name.strip_suffix('.').unwrap_or(name).split('.') {
            let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
            bytes.push(length.ok_or_else(not_a_name)?);
            for byte in label.bytes() {
                if !byte.is_ascii_graphic() {
                    return Err(not_a_name());
                }
                let upper = case[letters / 8 % case.len()] >> (letters % 8) & 1 == 1;
                bytes.push(if upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() });
                letters += 1;
            }
        }
        bytes.push(0);
        if bytes.len() > HEADER + NAME_BYTES {
            return Err(not_a_name());
        }
        bytes.extend_from_slice(&record_type(family).to_be_bytes());
        bytes.extend_from_slice(&CLASS_INTERNET.to_be_bytes());
        Ok(Self { bytes })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a message as the answer to this question; `None` if it is not: another identifier, no response, another
    /// question, or the same in another case.
    pub fn answer(&self, message: &[u8]) -> Option<Answer> {
        let header = message.first_chunk::<HEADER>()?;
        let asked = &self.bytes[HEADER..];
        let response = header[2] & FLAG_RESPONSE != 0 && header[2] & OPCODE == 0;
        if header[..2] != self.bytes[..2] || !response || header[4..6] != [0, 1] {
            return None;
        }
        let records = message[HEADER..].strip_prefix(asked)?;
        let mut answer = Answer {
            code: Code::from_wire(header[3] & 0x0f),
            truncated: header[2] & FLAG_TRUNCATED != 0,
            addresses: Vec::new(),
            ttl: u32::MAX,
        };
        // A count is only a claim: the loop ends with the bytes, and each record takes at least eleven of them.
        let mut rest = records;
        for _ in 0..u16::from_be_bytes([header[6], header[7]]) {
            let Some((record, after)) = Record::read(rest) else {
                answer.truncated = true;
                break;
            };
            if let Some(address) = record.address()
                && answer.addresses.len() < ADDRESSES
            {
                answer.addresses.push(address);
                answer.ttl = answer.ttl.min(record.ttl);
            }
            rest = after;
        }
        if answer.addresses.is_empty() {
            answer.ttl = 0;
        }
        Some(answer)
    }
}

impl Answer {
    /// Is this what the target is expected to answer?
    ///
    /// A resolver that says SERVFAIL or REFUSED is alive, but the branch cannot work with it: not as expected. An
    /// address at which nobody can be (unspecified, loopback) is how some filters say no, so it is not one.
    pub fn is_as_expected(&self, expected: &DnsAnswer, family: Family) -> bool {
        match expected {
            DnsAnswer::Address => self.code == Code::NoError && self.usable(family).next().is_some(),
            DnsAnswer::Exactly(address) => self.code == Code::NoError && self.addresses.contains(address),
            DnsAnswer::NoSuchName => self.code == Code::NoSuchName,
        }
    }

    /// Addresses of one family at which somebody can be.
    pub fn usable(&self, family: Family) -> impl Iterator<Item = IpAddr> + '_ {
        let of_family = self.addresses.iter().copied().filter(move |address| Family::of(*address) == family);
        of_family.filter(|address| !address.is_unspecified() && !address.is_loopback() && !address.is_multicast())
    }
}

impl Code {
    fn from_wire(code: u8) -> Self {
        match code {
            0 => Self::NoError,
            3 => Self::NoSuchName,
            other => Self::Other(other),
        }
    }
}

/// The family whose addresses settle a question.
pub fn question_family(expected: &DnsAnswer, family: Family) -> Family {
    match expected {
        DnsAnswer::Exactly(address) => Family::of(*address),
        DnsAnswer::Address | DnsAnswer::NoSuchName => family,
    }
}

/// Identifier, flags, four counts.
const HEADER: usize = 12;
const FLAG_RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const FLAG_TRUNCATED: u8 = 0x02;
const FLAG_RECURSE: u8 = 0x01;
const CLASS_INTERNET: u16 = 1;

fn record_type(family: Family) -> u16 {
    match family {
        Family::V4 => 1,
        Family::V6 => 28,
    }
}

struct Record<'a> {
    kind: u16,
    class: u16,
    ttl: u32,
    data: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (fixed, rest) = skip_name(bytes)?.split_first_chunk::<10>()?;
        let [k0, k1, c0, c1, t0, t1, t2, t3, l0, l1] = *fixed;
        let (data, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
        let ttl = u32::from_be_bytes([t0, t1, t2, t3]);
        Some((Self { kind: u16::from_be_bytes([k0, k1]), class: u16::from_be_bytes([c0, c1]), ttl, data }, rest))
    }

    fn address(&self) -> Option<IpAddr> {
        if self.class != CLASS_INTERNET {
            return None;
        }
        if self.kind == record_type(Family::V4) {
            return <[u8; 4]>::try_from(self.data).ok().map(|octets| Ipv4Addr::from(octets).into());
        }
        if self.kind == record_type(Family::V6) {
            return <[u8; 16]>::try_from(self.data).ok().map(|octets| Ipv6Addr::from(octets).into());
        }
        None
    }
}

/// Whose record it is does not matter: the message as a whole answers our question, aliases and all. A name ends with
/// an empty label or with a pointer; nothing of ours is where the pointer leads.
fn skip_name(mut bytes: &[u8]) -> Option<&[u8]> {
    let mut length = 0;
    loop {
        let (&first, rest) = bytes.split_first()?;
        match first {
            0 => return Some(rest),
            0xc0.. => return rest.get(1..),
            1..=63 => bytes = rest.get(usize::from(first)..)?,
            64..0xc0 => return None,
        }
        length += 1 + usize::from(first);
        if length > NAME_BYTES {
            return None;
        }
    }
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
