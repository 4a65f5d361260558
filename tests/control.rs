//! What hostile and hanging clients of the control socket can do: nothing to the others.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use causeway::control::errand::Lane;
use causeway::control::frame::{self, Frame, REQUEST_BYTES};
use causeway::control::io::{BindError, Client, ClientError, Incoming, Server, Session};
use causeway::control::protocol::{RefusalKind, Reply, Request};
use proptest::prelude::*;
use support::{Daemon, Folder, event, exists};
use tokio::sync::mpsc;

fn works(socket: &Path) -> bool {
    Client::connect(socket).and_then(|mut client| client.call(&Request::Version)).is_ok()
}

fn raw(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
    stream
}

/// The other end closed: nothing to read any more.
fn closed(stream: &mut UnixStream) -> bool {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn many_requests_on_one_connection() {
    let daemon = Daemon::start();
    let mut client = Client::connect(&daemon.socket).expect("it listens");
    for _ in 0..20 {
        assert!(matches!(client.call(&Request::Status), Ok(Reply::Status(_))));
    }
}

#[test]
fn an_oversize_length_closes_the_connection_at_once() {
    let daemon = Daemon::start();
    let mut stream = raw(&daemon.socket);
    let length = u32::try_from(REQUEST_BYTES).expect("it is small") + 1;
    stream.write_all(&length.to_be_bytes()).expect("it is read");
    let began = Instant::now();
    assert!(closed(&mut stream));
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(works(&daemon.socket));
}

#[test]
fn half_a_frame_is_waited_for_five_seconds_and_hinders_nobody() {
    let daemon = Daemon::start();
    let mut stream = raw(&daemon.socket);
    stream.write_all(&[0, 0, 0, 9, 1]).expect("it is read");
    assert!(works(&daemon.socket));
    let began = Instant::now();
    assert!(closed(&mut stream));
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[test]
fn another_version_is_told_so() {
    let daemon = Daemon::start();
    let mut stream = raw(&daemon.socket);
    stream.write_all(&[0, 0, 0, 3, 200, 5, 0]).expect("it is read");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer, then the end");
    let frame: Frame<Reply> = frame::decode(&bytes[4..]).expect("a frame");
    assert_eq!(frame.id, 5);
    assert!(matches!(frame.body, Reply::Refused(refusal) if refusal.kind == RefusalKind::Version));
}

#[test]
fn one_user_cannot_take_every_place_and_is_told() {
    let daemon = Daemon::start();
    let held: Vec<_> = (0..16).map(|_| raw(&daemon.socket)).collect();
    let mut refused = None;
    for _ in 0..200 {
        let answer = Client::connect(&daemon.socket).and_then(|mut client| client.call(&Request::Version));
        if let Err(ClientError::Refused(refusal)) = answer {
            refused = Some(refusal.kind);
            break;
        }
    }
    assert_eq!(refused, Some(RefusalKind::NotNow));
    drop(held);
    let free = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        works(&daemon.socket)
    });
    assert!(free);
}

#[test]
fn a_flood_is_slowed_down_to_the_rate() {
    let daemon = Daemon::start();
    let mut client = Client::connect(&daemon.socket).expect("it listens");
    let began = Instant::now();
    for _ in 0..60 {
        client.call(&Request::Version).expect("an answer");
    }
    // Forty at once, twenty a second from then on.
    assert!(began.elapsed() > Duration::from_millis(800), "{:?}", began.elapsed());
}

#[test]
fn a_daemon_that_does_not_answer_is_said_after_five_seconds() {
    let daemon = Daemon::with(|_, _| None);
    let began = Instant::now();
    let mut client = Client::connect(&daemon.socket).expect("it listens");
    assert!(matches!(client.call(&Request::Status), Err(ClientError::Refused(r)) if r.kind == RefusalKind::NotNow));
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[test]
fn who_follows_and_does_not_read_is_let_go_and_the_others_hear_everything_new() {
    let daemon = Daemon::start();
    let mut lazy = raw(&daemon.socket);
    let request = Frame { id: 1, body: Request::Events { since_ms: None, follow: true } };
    lazy.write_all(&frame::encode(&request, REQUEST_BYTES).expect("it is short")).expect("it is read");
    let mut client = Client::connect(&daemon.socket).expect("it listens");
    client.call(&request.body).expect("what is kept");
    let long = "x".repeat(4_000);
    let sender = daemon.live.clone();
    let told = std::thread::spawn(move || {
        for seq in 2..2_000 {
            let _ = sender.send(event(seq, &long));
            std::thread::sleep(Duration::from_micros(500));
        }
    });
    let mut last = 0;
    while last < 1_999 {
        match client.next_events() {
            Ok(Some(Reply::Events(lines))) => last = lines.last().map_or(last, |line| line.seq),
            other => panic!("{other:?}"),
        }
    }
    told.join().expect("it only sends");
    assert!(works(&daemon.socket));
}

#[tokio::test]
async fn the_socket_is_0660_replaces_a_dead_one_and_never_a_live_one() {
    let folder = Folder::new();
    let path = folder.socket();
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a free path"));
    assert!(exists(&path), "a crash leaves it behind");
    let server = Server::bind(&path, None).expect("nobody listens");
    let file = std::fs::symlink_metadata(&path).expect("it is there");
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o660);
    assert!(matches!(Server::bind(&path, None), Err(BindError::Live { .. })));
    drop(server);
    assert!(!exists(&path));
}

#[tokio::test]
async fn a_socket_that_took_our_place_is_left_alone() {
    let folder = Folder::new();
    let path = folder.socket();
    let server = Server::bind(&path, None).expect("a free path");
    std::fs::remove_file(&path).expect("it is there");
    let _other = std::os::unix::net::UnixListener::bind(&path).expect("a free path");
    drop(server);
    assert!(exists(&path));
}

/// The daemon may keep a question for an errand; nobody is kept waiting for who has left.
#[tokio::test(start_paused = true)]
async fn f37_an_errand_is_waited_for_and_who_leaves_meanwhile_is_let_go() {
    let folder = Folder::new();
    let (engine, mut requests) = mpsc::channel(8);
    tokio::spawn(Server::bind(&folder.socket(), None).expect("a free path").run(engine));
    let question = Request::Errand { lane: Lane::News };
    let hold = question.held_for();
    let connect = || Session::connect(&folder.socket()).expect("it listens");

    let (mut asks, began) = (connect(), tokio::time::Instant::now());
    let (answered, ()) = tokio::join!(asks.call(&question, hold * 2), async {
        let Incoming { reply, .. } = requests.recv().await.expect("a question");
        tokio::time::sleep(hold).await;
        reply.send(Reply::Errand(None).into()).expect("it is waited for");
    });
    assert_eq!(answered.expect("an answer"), Reply::Errand(None));
    assert!(began.elapsed() >= hold);

    // A daemon that says nothing is said a little later.
    let refused = asks.call(&question, hold * 2).await;
    assert!(matches!(refused, Err(ClientError::Refused(r)) if r.kind == RefusalKind::NotNow));
    drop(requests.recv().await);

    // Many more than one user may hold at a time: a place is free as soon as its holder has gone.
    for _ in 0..100 {
        let (mut leaves, began) = (connect(), tokio::time::Instant::now());
        let gone = leaves.call(&question, Duration::from_millis(100)).await;
        assert!(matches!(gone, Err(ClientError::Silent)), "{gone:?}");
        drop(leaves);
        let Incoming { mut reply, .. } = requests.recv().await.expect("a question");
        reply.closed().await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_close_the_connection_and_nothing_else(bytes in proptest::collection::vec(any::<u8>(), 5..200)) {
        static DAEMON: std::sync::OnceLock<Daemon> = std::sync::OnceLock::new();
        let daemon = DAEMON.get_or_init(Daemon::start);
        let mut stream = raw(&daemon.socket);
        // A first byte of 0xff makes the length too large; the others are tried as a whole frame.
        let mut frame = u32::try_from(bytes.len() - 1).expect("it is short").to_be_bytes().to_vec();
        frame.extend(&bytes[1..]);
        frame[0] = bytes[0] & 0x80;
        let _ = stream.write_all(&frame);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        prop_assert!(closed(&mut stream));
        prop_assert!(works(&daemon.socket));
    }
}
