//! F29: whatever is sent in head office's place is given up at a bound or a deadline, and the next good fetch works.

use std::time::Duration;

use causeway::front::client::{CONNECT, GRACE, SILENCE};

use crate::office::{How, hostile, page};
use crate::world::World;

/// G18. Nothing is held here, so each answer is refused within this time.
const REFUSED: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn f29_hostile_answers_are_given_up_in_time_and_the_next_good_one_is_taken() {
    let mut world = World::new();
    for (name, how, words) in hostile() {
        world.wire.serve(443, Some(world.identity.config()), how);
        let mut errand = world.errand();
        errand.deadline_ms = 25_000;
        let outcome = world.fetch(errand).await;
        let failed = outcome.failed.unwrap_or_else(|| panic!("{name} was taken"));
        assert!(failed.contains(words) && failed.len() < 700, "{name}: {failed}");
        // What was waited after the failure before is not this one's.
        assert!(outcome.body.len() <= 1 << 20, "{name}: {} bytes", outcome.body.len());
        world.wire.serve(443, Some(world.identity.config()), How::Cut(page("connection: close\r\n", b"well")));
        let errand = world.errand();
        assert_eq!(world.fetch(errand).await.body, b"well", "after {name}");
        // Nothing is waited for after a good one, so the time of the next is its own.
        let mut errand = world.errand();
        errand.deadline_ms = 25_000;
        world.wire.serve(443, Some(world.identity.config()), hostile_again(name));
        let took = world.fetch(errand).await.took;
        assert!(took <= REFUSED, "{name}: {took:?}");
        world.wire.serve(443, Some(world.identity.config()), How::Cut(page("connection: close\r\n", b"well")));
        let errand = world.errand();
        assert_eq!(world.fetch(errand).await.failed, None);
    }
}

fn hostile_again(wanted: &str) -> How {
    hostile().into_iter().find(|(name, ..)| *name == wanted).expect("it is one of them").1
}

#[tokio::test(start_paused = true)]
async fn f29_each_limit_is_what_it_says() {
    let mut world = World::new();
    let mut errand = world.errand();
    errand.hold_ms = 300_000;
    world.wire.serve(443, Some(world.identity.config()), How::Hangs(Vec::new()));
    let took = world.fetch(errand).await.took;
    let silent = Duration::from_mins(5) + SILENCE;
    assert!(took >= silent && took < silent + Duration::from_secs(2), "silent: {took:?}");

    let mut world = World::new();
    world.wire.serve(443, Some(world.identity.config()), How::Drips(page("", &[0; 100])[..40].to_vec()));
    let errand = world.errand();
    let took = world.fetch(errand).await.took;
    assert!(took > GRACE && took < GRACE + Duration::from_secs(3), "slow: {took:?}");

    // Fast enough, but for too long.
    let mut world = World::new();
    let slow = How::Endless(page("", &[])[..17].to_vec(), Vec::new());
    world.wire.serve(443, Some(world.identity.config()), slow);
    let mut errand = world.errand();
    errand.deadline_ms = 8_000;
    let outcome = world.fetch(errand).await;
    assert!(outcome.took >= Duration::from_secs(8) && outcome.took < Duration::from_secs(9), "late: {outcome:?}");
    assert!(outcome.failed.expect("it is late").contains("8 s after"));

    // Accepts, and never says hello.
    let mut world = World::new();
    world.wire.serve(443, None, How::Hangs(Vec::new()));
    let errand = world.errand();
    let took = world.fetch(errand).await.took;
    assert!(took >= CONNECT && took < CONNECT + Duration::from_secs(1), "no TLS: {took:?}");
}

/// A status is the daemon's to judge, and nobody is sent elsewhere.
#[tokio::test(start_paused = true)]
async fn f29_redirects_and_other_statuses_are_told_not_followed() {
    let mut world = World::new();
    for (status, line) in [
        (301, "301 Moved Permanently"),
        (302, "302 Found"),
        (307, "307 Temporary Redirect"),
        (401, "401 Unauthorized"),
        (410, "410 Gone"),
        (503, "503 Service Unavailable"),
        (999, "999 Nonsense"),
    ] {
        let answer = format!("HTTP/1.1 {line}\r\nlocation: https://evil.example/\r\ncontent-length: 0\r\n\r\n");
        world.wire.serve(443, Some(world.identity.config()), How::Says(answer.into_bytes()));
        world.wire.serve(444, Some(world.identity.config()), How::Says(page("", b"evil")));
        let before = world.wire.dialled();
        let mut errand = world.errand();
        // Not over the connection of the case before.
        errand.offices[0].pins.push([u8::try_from(status % 251).expect("small"); 32]);
        let outcome = world.fetch(errand).await;
        assert_eq!((outcome.status, outcome.failed, outcome.headers.len()), (Some(status), None, 0), "{line}");
        assert_eq!(world.wire.dialled(), before + 1, "{line}");
    }
}

/// R4, F27: a portal answers everything, on every port, without the key.
#[tokio::test(start_paused = true)]
async fn f27_a_portal_is_not_head_office() {
    let mut world = World::new();
    world.wire.serve(443, None, How::Cut(page("", b"<html>please log in</html>")));
    let errand = world.errand();
    let outcome = world.fetch(errand).await;
    assert_eq!((outcome.status, outcome.body.len()), (None, 0));
    assert!(outcome.failed.expect("it is no office").contains("no connection"));
}

/// 1:1000 is as long as it is on the wire: nobody here can unpack anything.
#[tokio::test(start_paused = true)]
async fn f29_what_is_compressed_stays_so() {
    let mut world = World::new();
    world.wire.serve(
        443,
        Some(world.identity.config()),
        How::Says(page("content-encoding: gzip\r\n", b"\x1f\x8b\x08 bomb")),
    );
    let errand = world.errand();
    let outcome = world.fetch(errand).await;
    assert_eq!(outcome.body, b"\x1f\x8b\x08 bomb");
    let request = world.wire.seen.lock().expect("no panic").requests[0].to_lowercase();
    assert!(!request.contains("accept-encoding"), "{request}");
}

#[tokio::test(start_paused = true)]
async fn f29_records_of_one_byte_are_slow_and_right() {
    let mut world = World::new();
    world.wire.serve(443, Some(world.identity.config()), How::Bytewise(page("", &[b'x'; 5_000])));
    let errand = world.errand();
    assert_eq!(world.fetch(errand).await.body, [b'x'; 5_000]);
}

/// Every place in a good answer, without and with a length.
#[tokio::test(start_paused = true)]
async fn f29_an_answer_cut_anywhere_is_never_whole() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n".to_vec();
    for whole in [page("", b"whole"), chunked] {
        let mut world = World::new();
        for cut in 0..whole.len() {
            world.wire.serve(443, Some(world.identity.config()), How::Cut(whole[..cut].to_vec()));
            let errand = world.errand();
            let outcome = world.fetch(errand).await;
            assert!(outcome.failed.is_some(), "cut at {cut}: {outcome:?}");
        }
    }
}
