//! A DNS server and client small enough to lie on request.

use std::net::IpAddr;

use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};

use crate::config::model::Family;

/// Answers `question` by what `lookup` says; no address of either family means that there is no such name.
pub fn answer(question: &[u8], lookup: impl Fn(&str, Family) -> Option<IpAddr>) -> Option<Vec<u8>> {
    let asked = Packet::parse(question).ok()?;
    let first = asked.questions.first()?.clone();
    let mut reply = Packet::new_reply(asked.id());
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE | PacketFlag::RECURSION_DESIRED);
    let name = first.qname.to_string().to_ascii_lowercase();
    let family = if first.qtype == QTYPE::TYPE(TYPE::AAAA) { Family::V6 } else { Family::V4 };
    match lookup(&name, family) {
        Some(address) => {
            let data = match address {
                IpAddr::V4(v4) => RData::A(A::from(v4)),
                IpAddr::V6(v6) => RData::AAAA(AAAA::from(v6)),
            };
            reply.answers.push(ResourceRecord::new(first.qname.clone(), CLASS::IN, 60, data));
        }
        None => *reply.rcode_mut() = RCODE::NameError,
    }
    reply.questions.push(first);
    reply.build_bytes_vec().ok()
}

/// The addresses in the answer of `server`, `None` when there was none in time.
pub fn ask(server: IpAddr, name: &str, family: Family, within: std::time::Duration) -> Option<Vec<IpAddr>> {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.set_read_timeout(Some(within)).ok()?;
    let mut query = Packet::new_query(0x4357);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    let kind = if family == Family::V4 { TYPE::A } else { TYPE::AAAA };
    let name = simple_dns::Name::new(name).ok()?;
    query.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
    socket.send_to(&query.build_bytes_vec().ok()?, (server, super::addresses::port::DNS)).ok()?;
    let mut buffer = [0; 1500];
    let (length, _) = socket.recv_from(&mut buffer).ok()?;
    let reply = Packet::parse(&buffer[..length]).ok()?;
    let addresses = reply.answers.iter().filter_map(|record| {
        if let RData::A(a) = &record.rdata {
            return Some(IpAddr::from(a.address.to_be_bytes()));
        }
        if let RData::AAAA(aaaa) = &record.rdata {
            return Some(IpAddr::from(aaaa.address.to_be_bytes()));
        }
        None
    });
    Some(addresses.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_one_name_and_denies_the_rest() {
        let ask = |name: &str| {
            let mut query = Packet::new_query(9);
            let name = simple_dns::Name::new(name).expect("a good name");
            query.questions.push(Question::new(name, QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN), false));
            let query = query.build_bytes_vec().expect("a small packet");
            let known = |name: &str, _| (name == "www.example.com").then(|| IpAddr::from([192, 0, 2, 1]));
            answer(&query, known).expect("an answer")
        };
        let yes = ask("WWW.example.com");
        let yes = Packet::parse(&yes).expect("a packet");
        assert_eq!((yes.id(), yes.answers.len()), (9, 1));
        let no = ask("other.example.com");
        assert_eq!(Packet::parse(&no).expect("a packet").rcode(), RCODE::NameError);
        assert_eq!(answer(b"junk", |_, _| None), None);
    }
}
