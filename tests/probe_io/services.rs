//! TCP, DNS and HTTP probes against honest peers, and against all that only look like them.

use causeway::config::model::{DnsAnswer, UplinkId};
use causeway::engine::event::{Event, Unsent};
use causeway::probe::io::IN_FLIGHT;
use causeway::probe::{Answer, Wrong};
use simple_dns::RCODE;

use crate::echo::resolved;
use crate::net::{BLACK_HOLE, FAR, NEAR, NO_WAY, between};
use crate::peers::{self, Http, answer, page};
use crate::probing::{Probing, address, dns, http, icmp, tcp};

const PORTAL: Option<Answer> = Some(Answer::Wrong(Wrong::Portal));
const HIJACKED: Option<Answer> = Some(Answer::Wrong(Wrong::Dns));

#[test]
fn tcp_tells_a_handshake_from_a_reset_and_from_nothing() {
    between(|far| async move {
        peers::http(&far, 80, page("200 OK", "well"));
        let targets = vec![tcp(FAR, 80), tcp(FAR, 81), tcp(NO_WAY, 80), tcp(BLACK_HOLE, 80)];
        let mut probing = Probing::new(targets);
        assert_eq!(probing.probe(0).await, Some(Answer::Reply));
        assert_eq!(probing.probe(1).await, Some(Answer::Refused));
        assert_eq!(probing.probe(2).await, Some(Answer::Unreachable));
        assert_eq!(probing.probe(3).await, None);
    });
}

#[test]
fn no_kind_succeeds_on_a_one_way_line() {
    between(|far| async move {
        peers::http(&far, 80, page("200 OK", "well"));
        peers::dns(&far, |query| vec![answer(query, RCODE::NoError, &["192.0.2.7"])]);
        let targets = vec![icmp(FAR), tcp(FAR, 80), dns(FAR, DnsAnswer::Address), http(FAR, 80, 200, Some("well"))];
        let mut probing = Probing::new(targets);
        for target in 0..4 {
            assert_eq!(probing.probe(target).await, Some(Answer::Reply), "target {target}");
        }
        far.ip(&format!("route add blackhole {NEAR}/32"));
        for target in 0..4 {
            assert_eq!(probing.probe(target).await, None, "target {target}");
        }
    });
}

#[test]
fn f26_dns_answers_are_judged() {
    between(|far| async move {
        let exactly = DnsAnswer::Exactly(address("192.0.2.7"));
        let targets = || {
            vec![
                dns(FAR, DnsAnswer::Address),
                dns(FAR, exactly.clone()),
                dns(FAR, DnsAnswer::NoSuchName),
                dns(BLACK_HOLE, DnsAnswer::Address),
                dns(NO_WAY, DnsAnswer::Address),
            ]
        };
        peers::dns(&far, |query| vec![answer(query, RCODE::NoError, &["192.0.2.7"])]);
        let mut probing = Probing::new(targets());
        assert_eq!(probing.probe(0).await, Some(Answer::Reply));
        assert_eq!(probing.probe(1).await, Some(Answer::Reply));
        assert_eq!(probing.probe(2).await, HIJACKED, "a resolver that answers for a name that does not exist");
        assert_eq!(probing.probe(3).await, None);
        assert_eq!(probing.probe(4).await, Some(Answer::Unreachable));
    });
    for (code, wanted) in [
        (RCODE::NameError, [HIJACKED, HIJACKED, Some(Answer::Reply)]),
        (RCODE::Refused, [HIJACKED; 3]),
        (RCODE::ServerFailure, [HIJACKED; 3]),
    ] {
        between(move |far| async move {
            peers::dns(&far, move |query| vec![answer(query, code, &[])]);
            let exactly = DnsAnswer::Exactly(address("192.0.2.7"));
            let expected = [DnsAnswer::Address, exactly, DnsAnswer::NoSuchName];
            let mut probing = Probing::new(expected.into_iter().map(|expected| dns(FAR, expected)).collect());
            for (target, wanted) in (0..).zip(wanted) {
                assert_eq!(probing.probe(target).await, wanted, "{code:?}, target {target}");
            }
        });
    }
}

#[test]
fn f27_a_portal_that_answers_everything_with_itself_is_seen() {
    between(|far| async move {
        peers::dns(&far, |query| vec![answer(query, RCODE::NoError, &[FAR])]);
        let exactly = DnsAnswer::Exactly(address("192.0.2.7"));
        let mut probing = Probing::new(vec![dns(FAR, exactly), dns(FAR, DnsAnswer::NoSuchName)]);
        assert_eq!(probing.probe(0).await, HIJACKED);
        assert_eq!(probing.probe(1).await, HIJACKED);
    });
}

#[test]
fn f26_forged_dns_answers_neither_end_nor_spoil_a_probe() {
    between(|far| async move {
        peers::dns(&far, |query| {
            let good = answer(query, RCODE::NoError, &["192.0.2.7"]);
            let mut wrong_id = answer(query, RCODE::NameError, &[]);
            wrong_id[0] ^= 1;
            let mut wrong_case = answer(query, RCODE::NameError, &[]);
            wrong_case[13] ^= 0x20;
            vec![wrong_id, wrong_case, b"nonsense".to_vec(), vec![0; 1_400], good]
        });
        let mut probing = Probing::new(vec![dns(FAR, DnsAnswer::Address)]);
        assert_eq!(probing.probe(0).await, Some(Answer::Reply));
        assert_eq!(probing.prober.counts().foreign, 4);
    });
}

#[test]
fn f27_http_takes_only_the_expected_answer() {
    let moved = "HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Length: 0\r\n\r\n";
    let no_content = "HTTP/1.1 204 No Content\r\n\r\n";
    let many_headers = format!("HTTP/1.1 200 OK\r\n{}\r\nwell", "X: y\r\n".repeat(1_000));
    let long_header = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\nwell", "y".repeat(100_000));
    let says = |text: &str| Http::Says(text.to_owned());
    let late_text = format!("{}well", " ".repeat(causeway::probe::io::BODY_BYTES));
    let table = [
        ("the expected page", page("200 OK", "all is well"), 200, Some("well"), Some(Answer::Reply)),
        ("the expected status", says(no_content), 204, None, Some(Answer::Reply)),
        ("an expected redirect", says(moved), 302, None, Some(Answer::Reply)),
        ("a redirect", says(moved), 200, None, PORTAL),
        ("a portal's own page", page("200 OK", "please log in"), 200, Some("well"), PORTAL),
        ("a faked 204 for a page with text", says(no_content), 200, Some("well"), PORTAL),
        ("a faked 204 without the text", says(no_content), 204, Some("well"), PORTAL),
        ("a page where none is expected", page("200 OK", "please log in"), 204, None, PORTAL),
        ("an error", page("511 Network Authentication Required", "well"), 200, Some("well"), PORTAL),
        ("no HTTP", says("220 mail.example ESMTP\r\n"), 200, Some("well"), PORTAL),
        ("too many headers", Http::Says(many_headers), 200, Some("well"), PORTAL),
        ("a header too long", Http::Says(long_header), 200, Some("well"), PORTAL),
        ("the text beyond the cap", page("200 OK", &late_text), 200, Some("well"), PORTAL),
        ("hanging up", says(""), 200, Some("well"), Some(Answer::Refused)),
        ("resets", Http::Resets, 200, Some("well"), Some(Answer::Refused)),
        ("a byte a second", Http::Slow, 200, Some("well"), None),
        ("endless headers", Http::Endless("HTTP/1.1 200 OK\r\n"), 200, Some("well"), PORTAL),
    ];
    between(move |far| async move {
        let mut targets = Vec::new();
        let mut wanted = Vec::new();
        for (port, (case, how, status, contains, answer)) in (8_000..).zip(table) {
            peers::http(&far, port, how);
            targets.push(http(FAR, port, status, contains));
            wanted.push((case, answer));
        }
        targets.push(http(BLACK_HOLE, 80, 200, None));
        wanted.push(("a black hole", None));
        targets.push(http(FAR, 7_999, 200, None));
        wanted.push(("a closed port", Some(Answer::Refused)));
        let mut probing = Probing::new(targets);
        for (target, (case, answer)) in (0..).zip(wanted) {
            assert_eq!(probing.probe(target).await, answer, "{case}");
        }
    });
}

#[test]
fn f29_an_endless_body_is_read_to_the_cap_only() {
    between(|far| async move {
        peers::http(&far, 80, Http::Says(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1 << 20))));
        let mut probing = Probing::new(vec![http(FAR, 80, 200, Some("well"))]);
        assert_eq!(probing.probe(0).await, PORTAL);
    });
}

#[test]
fn names_are_resolved_through_the_uplink_and_kept() {
    between(|far| async move {
        peers::dns(&far, |query| vec![answer(query, RCODE::NoError, &[FAR])]);
        peers::http(&far, 80, page("200 OK", "well"));
        let mut probing = Probing::new(vec![http("probe.example", 80, 200, Some("well"))]);
        let request = probing.request(0, 0);
        let unsent = Event::ProbeUnsent { probe: request.probe, reason: Unsent::Unresolved };
        assert_eq!(probing.prober.send(request), unsent, "nothing waits for a name");
        probing.prober.set_resolvers(UplinkId(0), vec![address(BLACK_HOLE), address(FAR)]);
        // The first question went to the well-known resolvers and dies in silence; then the given ones are asked.
        let patient = tokio::time::timeout(std::time::Duration::from_secs(30), async {
            loop {
                let request = probing.request(0, 0);
                if let Event::ProbeSent { .. } = probing.prober.send(request) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
        patient.await.expect("the name is resolved");
        assert_eq!(probing.probe(0).await, Some(Answer::Reply));
    });
}

#[test]
fn an_address_is_kept_while_the_resolver_is_broken() {
    between(|far| async move {
        let mut answers = 0;
        let answers = move |query: &[u8]| {
            answers += 1;
            vec![answer(query, if answers == 1 { RCODE::NoError } else { RCODE::ServerFailure }, &[FAR])]
        };
        let answers = std::sync::Mutex::new(answers);
        peers::dns(&far, move |query| (answers.lock().expect("not poisoned"))(query));
        let mut probing = Probing::new(vec![icmp("probe.example")]);
        probing.prober.set_resolvers(UplinkId(0), vec![address(FAR)]);
        resolved(&mut probing).await;
        probing.prober.source_changed(UplinkId(0), causeway::config::model::Family::V4);
        for _ in 0..5 {
            assert_eq!(probing.probe(0).await, Some(Answer::Reply));
        }
    });
}

#[test]
fn probes_under_way_are_bounded_and_the_bound_is_told() {
    between(|_far| async {
        let mut probing = Probing::new(vec![tcp(BLACK_HOLE, 80)]);
        for probe in 0..IN_FLIGHT {
            let request = probing.request(0, 0);
            let sent = probing.prober.send(request);
            assert!(matches!(sent, Event::ProbeSent { .. }), "probe {probe}: {sent:?}");
        }
        let request = probing.request(0, 0);
        let unsent = Event::ProbeUnsent { probe: request.probe, reason: Unsent::Socket };
        assert_eq!(probing.prober.send(request), unsent);
        assert_eq!(probing.prober.counts().crowded, 1);
        tokio::time::sleep(crate::probing::PATIENCE * 2).await;
        let request = probing.request(0, 0);
        assert!(matches!(probing.prober.send(request), Event::ProbeSent { .. }), "the room was not given back");
    });
}
