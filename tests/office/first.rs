//! From nothing to a branch that has its standard, with every signature checked as its gateway checks it.

use std::time::{Duration, Instant};

use causeway::lab::branch::calm;
use causeway::office::board::Facts;
use causeway::office::records::Members;
use causeway::time;
use causeway::trust::document::{Admission, Document as _, TransitionKind, TransitionReceipt, Turn};
use causeway::trust::machine::StateName;
use causeway::trust::verify::{Blobs, prepare};
use causeway::trust::{keys::PublicKey, proof};

use super::world::{Judge, NONCE, Plain, RealContent, World, enrol, eventually, tenant};

#[tokio::test]
async fn a_first_branch_gets_its_standard() {
    let world = World::new("first").await;
    let office = world.serve().await;
    let token = world.claim("nantes", None, false).await;
    let mut branch = super::world::branch(1);
    let mut line = world.line(&office).await;
    let mut judge = Judge::new(&world, &mut line, &branch).await;
    let now = time::Instant::ORIGIN;

    let answer = enrol(&mut line, &branch, &token).await;
    let verifier =
        causeway::trust::verify::Verifier { root: &judge.root, identity: &judge.identity, floors: &judge.floors };
    let receipt = verifier.enrol_receipt(&answer.body, &mut judge.nonces, now).expect("a right receipt");
    assert_eq!((&*receipt.site, receipt.admission), ("nantes", Admission::Accepted));

    // Nothing is released: the request is held, and answered the moment there is something.
    let request = branch.ask(30, None, NONCE, Some(calm(None, Turn::new(1, 0))));
    line.send(request.as_bytes()).await.expect("sent");
    let release = world.release().await;
    let rollout = world.assign(Members::All, false).await;
    let published = Instant::now();
    let answer = line.answer().await.expect("an assignment");
    assert!(published.elapsed() < Duration::from_millis(700), "{:?}", published.elapsed());
    assert_eq!(answer.status, 200);

    judge.nonces.issue(NONCE, now);
    let verifier =
        causeway::trust::verify::Verifier { root: &judge.root, identity: &judge.identity, floors: &judge.floors };
    let assignment = verifier.assignment(&answer.body).expect("a right assignment");
    let freshness = answer.freshness().expect("a proof that it is new");
    let freshness = verifier.freshness(&freshness, &mut judge.nonces, now).expect("a right proof");
    assert_eq!(freshness.assignment, assignment.digest);
    assert_eq!(assignment.document.turn, Turn::new(1, rollout.number));
    let references = [assignment.document.standard, assignment.document.site];
    let mut blobs = Vec::new();
    for reference in references {
        let target = format!("/v1/blob/{}", reference.digest);
        let whole = line.get(&mut branch, &target, "").await.expect("a blob");
        assert_eq!(whole.status, 200);
        let part = line.get(&mut branch, &target, "range: bytes=10-\r\n").await.expect("a part");
        assert_eq!((part.status, &*part.body), (206, &whole.body[10..]));
        blobs.push(whole.body);
    }
    let blobs = Blobs { standard: &blobs[0], site: &blobs[1] };
    let digest = assignment.digest;
    let resolved = assignment.document.resolved;
    let verifier = judge.verifier();
    let complete = verifier.complete(assignment, blobs, &Plain, &RealContent).expect("right blobs");
    assert_eq!(complete.standard.turn.seq, release.seq);
    let prepared = prepare(&complete, &RealContent).expect("it resolves to what head office says");
    assert_eq!(prepared.resolved.gateway.site.name, "nantes");

    // What is known is held, and proved to be current when the time is over.
    let request = branch.ask(1, Some(digest), NONCE, Some(calm(Some(resolved), Turn::new(1, release.seq))));
    line.send(request.as_bytes()).await.expect("sent");
    let answer = line.answer().await.expect("an answer");
    assert_eq!(answer.status, 304);
    assert!(answer.freshness().is_some());

    let receipt = TransitionReceipt {
        tenant: tenant(),
        device: branch.device(),
        counter: 1,
        assignment: Turn::new(1, rollout.number),
        resolved,
        from: StateName::Soak,
        to: StateName::Idle,
        kind: TransitionKind::Forward,
        attempt: 1,
    };
    let bytes = receipt.draft().expect("right").sign(&branch.key).encode().expect("small");
    assert_eq!(line.post(Some(&mut branch), "/v1/receipt", &bytes).await.expect("an answer").status, 204);

    eventually(async || {
        let facts = Facts::read(&world.store).await.expect("read");
        let row = &facts.board(&["nantes".to_owned()]).branches[0];
        row.running == Some(release.seq) && row.words == "on the standard" && row.seen_at.is_some()
    })
    .await;
}

#[tokio::test]
async fn the_responder_proves_a_path() {
    let world = World::new("responder").await;
    let office = world.serve().await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    socket.send_to(b"CWP1 but too short", office.responding[0]).await.expect("sent");
    socket.send_to(&proof::request(&NONCE), office.responding[0]).await.expect("sent");
    let mut buffer = [0; 200];
    let (length, _) = socket.recv_from(&mut buffer).await.expect("an answer");
    let key: PublicKey = world.made.responder;
    assert_eq!(proof::verify(&buffer[..length], &NONCE, &key), Ok(()));
    assert_eq!(office.counted().proofs, 1);
}

#[tokio::test]
async fn head_offices_own_prometheus_is_told_how_each_branch_is() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let world = World::new("figures").await;
    world.release().await;
    world.assign(Members::All, false).await;
    let office = world.serve().await;
    let mut branch = world.enrolled(&office, "nantes", 1).await;
    let mut line = world.line(&office).await;
    let request = branch.ask(240, None, NONCE, Some(calm(None, Turn::new(1, 0))));
    line.send(request.as_bytes()).await.expect("sent");
    assert_eq!(line.answer().await.expect("an assignment").status, 200);
    office.flush().await;

    let get = async |path: &str| {
        let mut stream =
            tokio::net::TcpStream::connect(office.measuring.expect("it serves figures")).await.expect("there");
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
            .await
            .expect("it is read");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer, then the end");
        answer
    };
    let page = get("/metrics").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let labels = format!("{{tenant=\"{}\",branch=\"nantes\"", &*tenant());
    for (name, value) in [
        ("branch_expected_interval_seconds", "} 240"),
        ("branch_lifecycle", ",state=\"active\"} 1"),
        ("branch_config_in_sync", "} 0"),
    ] {
        let line = format!("causeway_office_{name}{labels}{value}");
        assert!(page.lines().any(|it| it == line), "{line} in {page}");
    }
    assert!(!page.contains(&format!("last_seen_timestamp_seconds{labels}}} 0\n")), "it was heard of: {page}");
    assert!(
        page.contains("branch=\"lyon\"") || page.contains(",state=\"planned\"} 1"),
        "a branch without a gateway: {page}"
    );
    assert!(get("/v1/assignment").await.starts_with("HTTP/1.1 404"));
}
