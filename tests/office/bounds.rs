//! What strangers, replays, slow and greedy clients get.

use std::time::{Duration, Instant};

use causeway::lab::branch::{Branch, Line, calm, pinned};
use causeway::office::board::Facts;
use causeway::office::records::Members;
use causeway::office::serve::{Office, STRANGERS_PER_ADDRESS};
use causeway::trust::digest::Digest;
use causeway::trust::document::Turn;
use causeway::trust::request::{HEADER, Method};

use super::world::{NONCE, World, branch, enrol, eventually, tenant};

async fn raw(world: &World, office: &Office, bytes: &[u8]) -> u16 {
    let mut line = world.line(office).await;
    line.send(bytes).await.expect("sent");
    line.answer().await.map_or(0, |answer| answer.status)
}

#[tokio::test]
async fn only_a_device_of_ours_is_answered() {
    let world = World::new("strangers").await;
    let office = world.serve().await;
    let mut ours = world.enrolled(&office, "nantes", 1).await;
    let mut stranger = branch(2);
    let get = |header: &str| format!("GET /v1/assignment?wait=0 HTTP/1.1\r\nhost: o\r\n{header}\r\n");
    let target = "/v1/assignment?wait=0";
    let signed = |branch: &mut Branch, target: &str, method| {
        format!("{HEADER}: {}\r\n", branch.signed(method, target, b"", NONCE, None))
    };
    let right = signed(&mut ours, target, Method::Get);
    let mut bent = right.clone().into_bytes();
    bent[60] = if bent[60] == b'A' { b'B' } else { b'A' };
    for (what, header, status) in [
        ("nothing is signed", String::new(), 401),
        ("a stranger", signed(&mut stranger, target, Method::Get), 401),
        ("another target", signed(&mut ours, "/v1/assignment?wait=9", Method::Get), 401),
        ("another method", signed(&mut ours, target, Method::Post), 401),
        ("two signatures", format!("{right}{right}"), 401),
        ("a bent signature", String::from_utf8(bent).expect("text"), 401),
        ("no base64", format!("{HEADER}: ???\r\n"), 401),
        ("ours", right, 204),
    ] {
        assert_eq!(raw(&world, &office, get(&header).as_bytes()).await, status, "{what}");
    }
    for (request, status) in [
        ("GET / HTTP/1.1", 404),
        ("GET /v1/root/2 HTTP/1.1", 404),
        ("GET /v1/root/x HTTP/1.1", 404),
        ("PUT /v1/enrol HTTP/1.1", 405),
        ("GET /v1/root/1 HTTP/1.0", 505),
        ("no HTTP", 400),
    ] {
        assert_eq!(raw(&world, &office, format!("{request}\r\nhost: o\r\n\r\n").as_bytes()).await, status, "{request}");
    }
}

#[tokio::test]
async fn an_old_report_sent_again_changes_nothing() {
    let world = World::new("replay").await;
    let office = world.serve().await;
    let mut ours = world.enrolled(&office, "nantes", 1).await;
    let early = ours.ask(0, None, NONCE, Some(calm(Some(Digest::of(b"early")), Turn::new(1, 1))));
    let late = ours.ask(0, None, NONCE, Some(calm(Some(Digest::of(b"late")), Turn::new(1, 1))));
    let mut line = world.line(&office).await;
    for request in [&early, &late, &early] {
        line.send(request.as_bytes()).await.expect("sent");
        assert_eq!(line.answer().await.expect("an answer").status, 204);
    }
    assert_eq!(office.counted().stale, 1);
    office.flush().await;
    let facts = Facts::read(&world.store).await.expect("read");
    let seen = facts.seen.values().next().expect("a report");
    assert_eq!(seen.status.as_ref().and_then(|status| status.applied), Some(Digest::of(b"late")));
}

#[tokio::test]
async fn a_token_is_used_once_and_by_whom_it_was_made_for() {
    let world = World::new("tokens").await;
    let office = world.serve().await;
    let mut line = world.line(&office).await;
    let token = world.claim("nantes", Some("CWX1-0001"), false).await;
    let other = causeway::trust::document::Token([1; 16]);
    let first = branch(1);
    assert_eq!(enrol(&mut line, &branch(2), &token).await.status, 403, "another box");
    assert_eq!(enrol(&mut line, &first, &other).await.status, 403, "no token of ours");
    let foreign = Branch::new(&[1; 32], &causeway::trust::document::Tenant::new("other").expect("short"), "x", "y");
    assert_eq!(enrol(&mut line, &foreign, &token).await.status, 403, "another tenant");
    let mut bent = first.enrolment(&token, NONCE);
    let last = bent.len() - 1;
    bent[last] ^= 1;
    assert_eq!(line.post(None, "/v1/enrol", &bent).await.expect("an answer").status, 403, "a wrong proof");
    assert_eq!(enrol(&mut line, &first, &token).await.status, 200);
    assert_eq!(enrol(&mut line, &first, &token).await.status, 200, "an answer can be lost");
    let twin = Branch::new(&[9; 32], &tenant(), "CWX1-0001", "cw-x1");
    assert_eq!(enrol(&mut line, &twin, &token).await.status, 403, "it is used up");
}

#[tokio::test]
async fn bodies_and_heads_have_an_end() {
    let world = World::new("bodies").await;
    let office = world.serve().await;
    let head = "POST /v1/enrol HTTP/1.1\r\nhost: o\r\n";
    let announced = format!("{head}content-length: 4097\r\n\r\n{}", "x".repeat(4_097));
    assert_eq!(raw(&world, &office, announced.as_bytes()).await, 413);
    let chunk = format!("800\r\n{}\r\n", "x".repeat(0x800));
    let endless = format!("{head}transfer-encoding: chunked\r\n\r\n{}", chunk.repeat(4));
    assert_eq!(raw(&world, &office, endless.as_bytes()).await, 411);
    assert_eq!(office.counted().large, 1);
    let long = format!("GET /v1/root/1 HTTP/1.1\r\nhost: o\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(raw(&world, &office, long.as_bytes()).await, 431);
    let many = format!("GET /v1/root/1 HTTP/1.1\r\nhost: o\r\n{}\r\n", "x: y\r\n".repeat(200));
    assert_eq!(raw(&world, &office, many.as_bytes()).await, 431);
    assert_eq!(raw(&world, &office, b"GET /v1/root/1 HTTP/1.1\r\nhost: o\r\n\r\n").await, 200, "others go on");
}

/// Each of them is given up; meanwhile others are answered.
#[tokio::test]
async fn slow_clients_are_given_up() {
    let world = World::new("slow").await;
    let office = world.serve().await;
    let begun = Instant::now();
    let mut silent = tokio::net::TcpStream::connect(office.listening[0]).await.expect("a connection");
    let mut dripping = world.line(&office).await;
    dripping.send(b"GET /v1/root/1 HT").await.expect("sent");
    assert_eq!(raw(&world, &office, b"GET /v1/root/1 HTTP/1.1\r\nhost: o\r\n\r\n").await, 200);
    let mut one = [0; 1];
    let ended = tokio::io::AsyncReadExt::read(&mut silent, &mut one);
    assert!(!matches!(ended.await, Ok(1..)), "no handshake, no connection");
    let _ = dripping.answer().await; // 408 or the end
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    eventually(async || office.counted().handshakes == 1 && office.counted().slow == 1).await;
}

#[tokio::test]
async fn an_address_of_strangers_has_its_share() {
    let world = World::new("share").await;
    let office = world.serve().await;
    let mut strangers = Vec::new();
    for _ in 0..=STRANGERS_PER_ADDRESS {
        strangers.push(tokio::net::TcpStream::connect(office.listening[0]).await.expect("the kernel takes it"));
    }
    eventually(async || office.counted().full == 1).await;
    let from = "127.0.0.9".parse().expect("an address");
    let tls = pinned(world.made.pin);
    Line::connect(office.listening[0], Some(from), &tls).await.expect("others are served");
}

#[tokio::test]
async fn values_of_a_branch_are_for_that_branch() {
    let world = World::new("private").await;
    let office = world.serve().await;
    let mut nantes = world.enrolled(&office, "nantes", 1).await;
    let mut brest = world.enrolled(&office, "brest", 2).await;
    world.release().await;
    world.assign(Members::All, false).await;
    let mut line = world.line(&office).await;
    line.send(nantes.ask(30, None, NONCE, None).as_bytes()).await.expect("sent");
    let answer = line.answer().await.expect("an assignment");
    let payload = causeway::trust::envelope::decode(&answer.body, causeway::trust::envelope::Kind::Assignment, 1);
    let assignment: causeway::trust::document::Assignment =
        causeway::trust::document::decode(payload.expect("right").payload).expect("right");
    let target = format!("/v1/blob/{}", assignment.site.digest);
    assert_eq!(line.get(&mut nantes, &target, "").await.expect("an answer").status, 200);
    // Also once it lies in the store for mirrors.
    let key = causeway::office::layout::blob(&assignment.site.digest);
    eventually(async || world.store.get(&key).await.expect("read").is_some()).await;
    assert_eq!(line.get(&mut brest, &target, "").await.expect("an answer").status, 404);
    let standard = format!("/v1/blob/{}", assignment.standard.digest);
    assert_eq!(line.get(&mut brest, &standard, "").await.expect("an answer").status, 200);
    assert_eq!(line.get(&mut brest, &standard, "range: bytes=9999999-\r\n").await.expect("an answer").status, 416);
}
