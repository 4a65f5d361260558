//! Answers are built with `simple_dns`, so that writer and reader are not of one hand.

use proptest::prelude::*;
use simple_dns::rdata::{A, AAAA, CNAME, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};

use super::*;

const COOKIE: Cookie = Cookie([0x5a; 16]);

fn question(name: &str) -> Question {
    Question::new(name, Family::V4, COOKIE).expect("a good name")
}

/// What a server that knows `records` answers.
fn build_answer(question: &Question, code: RCODE, records: &[RData<'static>]) -> Vec<u8> {
    let asked = Packet::parse(question.bytes()).expect("a question others can read");
    let mut reply = Packet::new_reply(asked.id());
    *reply.rcode_mut() = code;
    let name = asked.questions[0].qname.clone();
    reply.questions = asked.questions;
    reply.answers =
        records.iter().map(|data| ResourceRecord::new(name.clone(), CLASS::IN, 300, data.clone())).collect();
    reply.build_bytes_vec_compressed().expect("a message")
}

fn v4(text: &str) -> RData<'static> {
    RData::A(A::from(text.parse::<Ipv4Addr>().expect("an address")))
}

fn v6(text: &str) -> RData<'static> {
    RData::AAAA(AAAA::from(text.parse::<Ipv6Addr>().expect("an address")))
}

#[test]
fn the_question_is_one_that_others_can_read() {
    let question = Question::new("www.Example.org.", Family::V6, COOKIE).expect("a good name");
    let packet = Packet::parse(question.bytes()).expect("a message");
    assert_eq!(packet.id(), 0x5a5a);
    assert!(packet.has_flags(PacketFlag::RECURSION_DESIRED));
    assert_eq!(packet.questions.len(), 1);
    let name = packet.questions[0].qname.to_string();
    assert_eq!(name.to_lowercase(), "www.example.org");
    assert_ne!(name, name.to_lowercase(), "no letter in upper case: {name}");
    assert_ne!(name, name.to_uppercase(), "no letter in lower case: {name}");
}

#[test]
fn names_that_cannot_be_asked_for() {
    let long = "a.".repeat(128);
    for name in ["", ".", "a..b", ".a", "a b", "ü.de", &"a".repeat(64), &long] {
        assert_eq!(Question::new(name, Family::V4, COOKIE), Err(NotAName { name: name.to_owned() }), "{name:?}");
    }
    assert!(Question::new(&"a".repeat(63), Family::V4, COOKIE).is_ok());
}

#[test]
fn addresses_behind_an_alias_are_found() {
    let question = question("www.example.org");
    let alias = RData::CNAME(CNAME(Name::new_unchecked("web.example.net")));
    let message = build_answer(&question, RCODE::NoError, &[alias, v4("192.0.2.7"), v6("2001:db8::7")]);
    let answer = question.answer(&message).expect("an answer to our question");
    assert_eq!(answer.code, Code::NoError);
    assert_eq!(answer.ttl, 300);
    assert_eq!(answer.addresses, ["192.0.2.7", "2001:db8::7"].map(|text| text.parse::<IpAddr>().expect("an address")));
}

#[test]
fn f26_an_answer_to_another_question_is_none() {
    let ours = question("www.example.org");
    let good = build_answer(&ours, RCODE::NoError, &[v4("192.0.2.7")]);
    assert!(ours.answer(&good).is_some());

    let other_name = question("www.example.com");
    assert_eq!(ours.answer(&build_answer(&other_name, RCODE::NoError, &[v4("192.0.2.7")])), None);

    let mut other_id = good.clone();
    other_id[1] ^= 1;
    assert_eq!(ours.answer(&other_id), None);

    let mut other_case = good.clone();
    other_case[13] ^= 0x20;
    assert_eq!(ours.answer(&other_case), None);

    assert_eq!(ours.answer(ours.bytes()), None, "our own question sent back");
}

#[test]
fn expectations() {
    let question = question("www.example.org");
    let judged = |code, records: &[RData<'static>], expected: &DnsAnswer| {
        let message = build_answer(&question, code, records);
        question.answer(&message).expect("an answer").is_as_expected(expected, Family::V4)
    };
    let exactly = DnsAnswer::Exactly("192.0.2.7".parse().expect("an address"));
    let good = [v4("192.0.2.6"), v4("192.0.2.7")];
    let table = [
        ("an address", RCODE::NoError, &good[..], &DnsAnswer::Address, true),
        ("the very one", RCODE::NoError, &good[..], &exactly, true),
        ("another one", RCODE::NoError, &good[..1], &exactly, false),
        ("a hijacked missing name", RCODE::NoError, &good[..], &DnsAnswer::NoSuchName, false),
        ("a missing name", RCODE::NameError, &[], &DnsAnswer::NoSuchName, true),
        ("nothing", RCODE::NoError, &[], &DnsAnswer::Address, false),
        ("only the other family", RCODE::NoError, &[v6("2001:db8::1")], &DnsAnswer::Address, false),
        ("a filter's no", RCODE::NoError, &[v4("0.0.0.0")], &DnsAnswer::Address, false),
        ("refused", RCODE::Refused, &[], &DnsAnswer::Address, false),
        ("refused with an address", RCODE::Refused, &good[..], &DnsAnswer::Address, false),
        ("server failure for a missing name", RCODE::ServerFailure, &[], &DnsAnswer::NoSuchName, false),
    ];
    for (case, code, records, expected, right) in table {
        assert_eq!(judged(code, records, expected), right, "{case}");
    }
}

#[test]
fn f26_a_cut_answer_is_judged_by_what_is_there() {
    let question = question("www.example.org");
    let message = build_answer(&question, RCODE::NoError, &[v4("192.0.2.6"), v4("192.0.2.7")]);
    let cut = question.answer(&message[..message.len() - 1]).expect("an answer");
    assert!(cut.truncated);
    assert_eq!(cut.addresses, [IpAddr::from([192, 0, 2, 6])]);
    assert!(cut.is_as_expected(&DnsAnswer::Address, Family::V4));
}

#[test]
fn f26_pointers_and_counts_cost_nothing() {
    let question = question("www.example.org");
    let mut loops = build_answer(&question, RCODE::NoError, &[]);
    loops[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
    let here = u16::try_from(loops.len()).expect("a short message") | 0xc000;
    loops.extend_from_slice(&here.to_be_bytes());
    let answer = question.answer(&loops).expect("an answer");
    assert!(answer.truncated && answer.addresses.is_empty());

    let many = vec![v4("192.0.2.7"); 70];
    let message = build_answer(&question, RCODE::NoError, &many);
    assert_eq!(question.answer(&message).expect("an answer").addresses.len(), ADDRESSES);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let question = question("www.example.org");
        prop_assert_eq!(question.answer(&bytes), None);
    }

    /// The right header and question, then anything.
    #[test]
    fn no_records_make_it_panic(count: u16, bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let question = question("www.example.org");
        let mut message = build_answer(&question, RCODE::NoError, &[]);
        message[6..8].copy_from_slice(&count.to_be_bytes());
        message.extend_from_slice(&bytes);
        let answer = question.answer(&message);
        prop_assert!(answer.is_some_and(|answer| answer.addresses.len() <= ADDRESSES));
    }

    #[test]
    fn any_mix_of_case_is_its_own_question(cookie: [u8; 16], other: [u8; 16]) {
        let name = "a-rather-long-name.for-a-question.example.org";
        let ours = Question::new(name, Family::V4, Cookie(cookie)).expect("a good name");
        let theirs = Question::new(name, Family::V4, Cookie(other)).expect("a good name");
        let message = build_answer(&theirs, RCODE::NoError, &[v4("192.0.2.7")]);
        prop_assert_eq!(ours.answer(&message).is_some(), ours == theirs);
    }

    #[test]
    fn odd_names_are_refused_not_sent(name in "\\PC{0,300}") {
        if let Ok(question) = Question::new(&name, Family::V4, COOKIE) {
            prop_assert!(question.bytes().len() <= HEADER + NAME_BYTES + 4);
        }
    }
}
