//! `causeway front` as its unit starts it, inside its fence: what the fence must leave open for head office, and that the
//! process gives way when head office moves to another port.

#[path = "front_courier/office.rs"]
#[expect(dead_code, reason = "the courier's own tests use the rest")]
mod office;
mod support;

use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use causeway::control::errand::{Errand, Lane, Method, Office, Part};
use causeway::control::io::Answer;
use causeway::control::protocol::{Reply, Request};
use office::{Identity, page};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// A server on loopback that answers everybody; its port.
fn serve(config: Arc<rustls::ServerConfig>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            listener.set_nonblocking(true).expect("a socket that does not wait");
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                if let Ok(mut stream) = TlsAcceptor::from(Arc::clone(&config)).accept(stream).await {
                    let _ = stream.read(&mut [0; 4_096]).await;
                    let _ = stream.write_all(&page("connection: close\r\n", b"well")).await;
                    let _ = stream.shutdown().await;
                }
            }
        });
    });
    port
}

fn errand(id: u64, port: u16, pins: Vec<[u8; 32]>) -> Errand {
    Errand {
        id,
        // A name, so that it must be looked up.
        offices: vec![Office { address: format!("https://localhost:{port}"), pins }],
        method: Method::Get,
        target: "/v1/root/1".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        wanted: Vec::new(),
        most: 1_000,
        hold_ms: 0,
        deadline_ms: 5_000,
    }
}

struct Process(Child);

impl Process {
    fn end(&mut self, within: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        while began.elapsed() < within {
            if let Some(status) = self.0.try_wait().expect("our child") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_fenced_process_reaches_head_office_and_gives_way_when_its_port_changes() {
    let identity = Identity::new();
    let port = serve(identity.config());
    let closed = serve(identity.config());
    let told = Arc::new(AtomicU16::new(port));
    let errands = Mutex::new(vec![
        // The system's authorities are read, and do not know it.
        errand(3, port, Vec::new()),
        // The fence knows nothing of this port.
        errand(2, closed, vec![identity.pin]),
        errand(1, port, vec![identity.pin]),
    ]);
    let (parts, delivered) = mpsc::sync_channel(16);
    let office_port = Arc::clone(&told);
    let daemon = support::Daemon::with(move |incoming, live| {
        Some(Answer::One(match &incoming.request {
            Request::ConfigInfo => {
                let mut config = support::canned().config;
                config.metrics_on.clear();
                config.office_ports = vec![office_port.load(Ordering::Relaxed)];
                Reply::Config(config)
            }
            Request::Errand { lane: Lane::Work } => {
                let errand = errands.lock().expect("no panic").pop()?;
                Reply::Errand(Some(Box::new(errand)))
            }
            Request::Errand { lane: Lane::News } => return None,
            Request::Deliver { id, part } => {
                parts.send((*id, part.clone())).expect("the test waits");
                Reply::Done(String::new())
            }
            Request::Status
            | Request::Snapshot
            | Request::Events { .. }
            | Request::Version
            | Request::Use { .. }
            | Request::UseAutomatic
            | Request::Lock
            | Request::Unlock
            | Request::ConfigState
            | Request::ConfigShow
            | Request::ConfigConfirm
            | Request::ConfigRollBack
            | Request::ConfigApply { .. }
            | Request::ConfigRetry
            | Request::Ledger { .. }
            | Request::Drill { .. } => return support::answer(incoming, live),
        }))
    });
    let front = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(["front", "--socket"])
        .arg(&daemon.socket)
        .spawn()
        .expect("the program");
    let mut front = Process(front);
    let next = |within: u64| delivered.recv_timeout(Duration::from_secs(within)).expect("a part of an answer");
    assert!(matches!(next(20), (1, Part::Answer { status: 200, .. })));
    assert_eq!(next(5), (1, Part::Body(b"well".to_vec())));
    assert_eq!(next(5), (1, Part::End));
    let failed = |(id, part)| match part {
        Part::Failed(words) => (id, words),
        other @ (Part::Answer { .. } | Part::Body(_) | Part::End) => panic!("{id}: {other:?}"),
    };
    let (id, words) = failed(next(10));
    assert!(id == 2 && words.contains("Permission denied"), "{id}: {words}");
    // After a failure it waits, at most three times as long as at least.
    let (id, words) = failed(next(30));
    let untrusted = ["certificate", "authorities", "nobody this system trusts"];
    assert!(id == 3 && untrusted.iter().any(|known| words.contains(known)), "{id}: {words}");
    assert!(front.end(Duration::ZERO).is_none(), "it runs");

    told.store(closed, Ordering::Relaxed);
    let status = front.end(Duration::from_secs(25)).expect("it ends");
    assert!(status.success(), "{status}: not killed by its own fence");
}
