//! What the daemon gets of its errands, in which order, and when the courier asks again.

use std::time::Duration;

use causeway::backoff::{LEAST, MOST};
use causeway::control::errand::{Lane, Method, Office, PIECE};
use causeway::front::client::{NO_DAEMON, NOT_NOW, SETTLE};
use tokio::time::{Instant, sleep};

use crate::office::{How, page};
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn an_errand_is_done_to_the_letter_and_comes_back_in_pieces() {
    let mut world = World::new();
    let body: Vec<u8> = (0..=255).cycle().take(2 * PIECE + 7).collect();
    let headers = "causeway-freshness: abc\r\netag: \"x\"\r\nset-cookie: a=b\r\ncauseway-freshness: def\r\n";
    world.wire.serve(443, Some(world.identity.config()), How::Says(page(headers, &body)));
    let mut errand = world.errand();
    errand.target = "/v1/assignment?wait=300".to_owned();
    errand.headers = vec![("causeway-request".to_owned(), "signed".to_owned())];
    errand.wanted = vec!["causeway-freshness".to_owned(), "missing".to_owned()];
    let outcome = world.fetch(errand.clone()).await;
    assert_eq!((outcome.status, outcome.failed), (Some(200), None));
    assert!(outcome.body == body);
    let fresh = |value: &str| ("causeway-freshness".to_owned(), value.to_owned());
    assert_eq!(outcome.headers, [fresh("abc"), fresh("def")]);
    (errand.id, errand.method, errand.body) = (errand.id + 1, Method::Post, b"receipt".to_vec());
    assert_eq!(world.fetch(errand).await.failed, None);
    let seen = world.wire.seen.lock().expect("no panic");
    assert_eq!(
        seen.requests[0].to_lowercase(),
        "get /v1/assignment?wait=300 http/1.1\r\nhost: office.example\r\ncauseway-request: signed\r\n\r\n"
    );
    assert!(seen.requests[1].starts_with("POST /v1/assignment?wait=300 HTTP/1.1\r\n"), "{}", seen.requests[1]);
    assert!(seen.requests[1].ends_with("\r\n\r\nreceipt"), "{}", seen.requests[1]);
    assert_eq!(seen.dialled.len(), 1, "one connection for both");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_held_holds_up_nothing_else() {
    let mut world = World::new();
    world.wire.serve(443, Some(world.identity.config()), How::Late(Duration::from_secs(299), page("", b"news")));
    world.wire.serve(444, Some(world.identity.config()), How::Says(page("", b"work")));
    let mut news = world.errand();
    news.hold_ms = 300_000;
    let began = Instant::now();
    let id = news.id;
    world.give(Lane::News, news).await;
    let office = Office { address: "https://office.example:444".to_owned(), pins: vec![world.identity.pin] };
    for _ in 0..5 {
        let errand = world.errand_to(vec![office.clone()]);
        assert_eq!(world.fetch(errand).await.body, b"work");
        sleep(Duration::from_secs(20)).await;
    }
    assert_eq!(world.outcome(id).await.body, b"news");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(299) && took < Duration::from_secs(301), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_next_office_is_asked_when_one_does_not_answer() {
    let mut world = World::new();
    world.wire.serve(2, Some(world.identity.config()), How::Cut(Vec::new()));
    world.wire.serve(3, Some(world.identity.config()), How::Says(page("", b"well")));
    let offices = |ports: &[u16]| {
        let office =
            |port| Office { address: format!("https://office.example:{port}"), pins: vec![world.identity.pin] };
        ports.iter().map(office).collect::<Vec<_>>()
    };
    let (some, none) = (offices(&[1, 2, 3]), offices(&[1, 2]));
    let errand = world.errand_to(some);
    assert_eq!(world.fetch(errand).await.body, b"well");
    let errand = world.errand_to(none);
    let failed = world.fetch(errand).await.failed.expect("nobody answers");
    assert!(failed.contains("office.example:1") && failed.contains("office.example:2"), "{failed}");
    // Half an answer is not mixed with another one.
    world.wire.serve(2, Some(world.identity.config()), How::Cut(page("", b"whole")[..40].to_vec()));
    let begun = vec![world.errand_to(Vec::new())].remove(0);
    let ports = [2, 3].map(|port| Office {
        address: format!("https://office.example:{port}"),
        pins: vec![world.identity.pin, [0; 32]],
    });
    let outcome = world.fetch(causeway::control::errand::Errand { offices: ports.to_vec(), ..begun }).await;
    assert!(outcome.failed.is_some() && outcome.status == Some(200), "{outcome:?}");
}

/// A server may close what is idle; that is no failure.
#[tokio::test(start_paused = true)]
async fn a_connection_that_ended_meanwhile_is_made_anew_at_once() {
    let mut world = World::new();
    world.wire.serve(443, Some(world.identity.config()), How::Cut(page("", b"well")));
    for _ in 0..3 {
        let errand = world.errand();
        let outcome = world.fetch(errand).await;
        assert_eq!((outcome.failed, outcome.took < Duration::from_secs(1)), (None, true));
    }
}

#[tokio::test(start_paused = true)]
async fn f28_failures_are_tried_again_for_ever_at_growing_and_bounded_intervals() {
    let mut world = World::new();
    let mut waits = Vec::new();
    for _ in 0..40 {
        let errand = world.errand();
        let began = Instant::now();
        assert!(world.fetch(errand).await.failed.is_some());
        waits.push(began.elapsed());
    }
    let waits = &waits[1..];
    let slack = Duration::from_secs(2);
    assert!(waits.iter().all(|wait| *wait + slack >= LEAST && *wait <= MOST + slack), "{waits:?}");
    assert!(waits.iter().max().is_some_and(|most| *most > Duration::from_mins(1)), "{waits:?}");
    world.wire.serve(443, Some(world.identity.config()), How::Says(page("", b"back")));
    let errand = world.errand();
    assert_eq!(world.fetch(errand).await.body, b"back");
    world.wire.remove(443);
    let errand = world.errand();
    let took = world.fetch(errand).await.took;
    assert!(took < slack, "nothing is waited for after a success: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn work_that_gets_through_ends_the_wait_of_news() {
    let mut world = World::new();
    for _ in 0..12 {
        let errand = world.errand();
        let id = errand.id;
        world.give(Lane::News, errand).await;
        world.outcome(id).await;
    }
    world.wire.serve(443, Some(world.identity.config()), How::Says(page("", b"well")));
    let (news, work) = (world.errand(), world.errand());
    let (id, began) = (news.id, Instant::now());
    world.give(Lane::News, news).await;
    assert_eq!(world.fetch(work).await.body, b"well");
    assert_eq!(world.outcome(id).await.body, b"well");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_switch_of_uplinks_ends_waiting_and_what_is_held() {
    let mut world = World::new();
    // The first errand makes it listen to events.
    for _ in 0..8 {
        let errand = world.errand();
        world.fetch(errand).await;
    }
    let errand = world.errand();
    let (id, began) = (errand.id, Instant::now());
    world.wire.serve(443, Some(world.identity.config()), How::Says(page("", b"well")));
    world.give(Lane::Work, errand).await;
    sleep(Duration::from_secs(1)).await;
    world.switch();
    assert_eq!(world.outcome(id).await.body, b"well");
    assert!(began.elapsed() < Duration::from_secs(2) + SETTLE * 2, "{:?}", began.elapsed());

    world.wire.serve(444, Some(world.identity.config()), How::Hangs(Vec::new()));
    let office = Office { address: "https://office.example:444".to_owned(), pins: vec![world.identity.pin] };
    let mut held = world.errand_to(vec![office]);
    (held.hold_ms, held.deadline_ms) = (300_000, 10_000);
    let (id, began) = (held.id, Instant::now());
    world.give(Lane::News, held).await;
    sleep(Duration::from_secs(30)).await;
    world.switch();
    let failed = world.outcome(id).await.failed.expect("it is given up");
    assert!(failed.contains("the network changed"), "{failed}");
    let errand = world.errand();
    let id = errand.id;
    world.give(Lane::News, errand).await;
    assert_eq!(world.outcome(id).await.body, b"well");
    assert!(began.elapsed() < Duration::from_secs(32) + SETTLE * 2, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_head_office_it_asks_twice_a_minute_and_connects_nowhere() {
    let world = World::alone();
    sleep(NOT_NOW * 10 - Duration::from_secs(1)).await;
    assert_eq!((world.asked(), world.wire.dialled()), (20, 0));
}

#[tokio::test(start_paused = true)]
async fn an_idle_lane_asks_when_the_daemon_has_held_the_question() {
    let world = World::new();
    sleep(Duration::from_mins(10)).await;
    assert!(world.asked() <= 42, "{}", world.asked());
}

/// The daemon that comes after knows nothing of what was asked before; it must not wait for the old answer.
#[tokio::test(start_paused = true)]
async fn a_daemon_that_dies_ends_its_errands() {
    let mut world = World::new();
    world.wire.serve(443, Some(world.identity.config()), How::Late(Duration::from_secs(299), page("", b"news")));
    let mut held = world.errand();
    held.hold_ms = 300_000;
    world.give(Lane::News, held).await;
    sleep(Duration::from_secs(90)).await;
    assert_eq!(world.wire.seen.lock().expect("no panic").requests.len(), 1, "it was asked and is held");
    world.restart_daemon().await;
    world.wire.serve(443, Some(world.identity.config()), How::Says(page("", b"fresh")));
    let errand = world.errand();
    let (id, began) = (errand.id, Instant::now());
    world.give(Lane::News, errand).await;
    assert_eq!(world.outcome(id).await.body, b"fresh");
    assert!(began.elapsed() < NO_DAEMON * 3, "{:?}", began.elapsed());
}
