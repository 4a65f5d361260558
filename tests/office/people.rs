//! What people do: releases with one and two signatures, ways back, replacements, batches; two servers on one store.

use std::fs;

use causeway::lab::branch::{Branch, Line};
use causeway::office::approve::approve;
use causeway::office::assign::{Intent, assign};
use causeway::office::audit;
use causeway::office::board::Facts;
use causeway::office::init::sign_root;
use causeway::office::keyfile::KeyFile;
use causeway::office::layout;
use causeway::office::preview::preview;
use causeway::office::publish::{now, raise};
use causeway::office::records::Members;
use causeway::office::release::{Pending, left_out};
use causeway::trust::bounded::List;
use causeway::trust::document::{self, Admission, Assignment, EnrolReceipt};
use causeway::trust::envelope::{self, Kind};
use causeway::trust::keys::Signer;
use causeway::trust::root::RoleKeys;

use super::world::{NONCE, World, branch, enrol, tenant};

async fn assignment(
    line: &mut Line,
    branch: &mut Branch,
    known: Option<causeway::trust::digest::Digest>,
) -> Assignment {
    line.send(branch.ask(30, known, NONCE, None).as_bytes()).await.expect("sent");
    let answer = line.answer().await.expect("an answer");
    assert_eq!(answer.status, 200);
    let decoded = envelope::decode(&answer.body, Kind::Assignment, 1).expect("an assignment");
    document::decode(decoded.payload).expect("an assignment")
}

fn admission(answer: &causeway::lab::branch::Answer) -> Admission {
    let decoded = envelope::decode(&answer.body, Kind::EnrolReceipt, 1).expect("a receipt");
    document::decode::<EnrolReceipt>(decoded.payload).expect("a receipt").admission
}

#[tokio::test]
async fn each_release_has_its_way_back() {
    let world = World::new("wayback").await;
    let first = world.release().await;
    assert_eq!((first.seq, first.way_back), (1, None));
    world.edit("tcp/9620", "tcp/9621");
    let view = preview(&world.folder(), &world.store, Default::default()).await.expect("a preview");
    assert_eq!((view.from, view.to, view.groups.len(), view.groups[0].sites.len()), (Some(1), 3, 1, 3));
    let second = world.release().await;
    let way_back = second.way_back.expect("a way back");
    assert_eq!((second.seq, way_back.standard.seq, way_back.to), (3, 4, 1));

    let office = world.serve().await;
    let mut nantes = world.enrolled(&office, "nantes", 1).await;
    let mut line = world.line(&office).await;
    world.assign(Members::Sites(vec!["nantes".to_owned()]), false).await;
    let forward = assignment(&mut line, &mut nantes, None).await;
    assert_eq!((forward.standard.seq, forward.resolved), (3, second.sites["nantes"].resolved));
    world.assign(Members::All, true).await;
    let mut line = world.line(&office).await;
    let back = loop {
        // The news may take a moment.
        let back = assignment(&mut line, &mut nantes, None).await;
        if back.turn.seq == 2 {
            break back;
        }
    };
    assert_eq!((back.standard.seq, back.resolved), (4, first.sites["nantes"].resolved));
    let facts = Facts::read(&world.store).await.expect("read");
    assert_eq!(facts.wanted("nantes"), Some(4));
    // What follows goes back to what branches have now, not to what was withdrawn.
    world.edit("tcp/9621", "tcp/9622");
    let third = world.release().await;
    assert_eq!((third.seq, third.way_back.expect("a way back").to), (5, 1));
    let (records, chain) = audit::read(&world.store).await.expect("read");
    assert_eq!((chain.broken_at, records.len()), (None, 8));
}

#[tokio::test]
async fn what_was_left_out_stays_where_it_is() {
    let world = World::new("leftout").await;
    let (site, reason) = left_out("brest: old firmware").expect("right");
    // Nobody else waits for it, even if its values are wrong.
    fs::write(world.path.join("fleet/sites/brest.toml"), "vars = { site_net = \"10.1.2.0/20\" }\n").expect("written");
    let files = causeway::cli::config::folder(&world.path.join("fleet")).expect("read");
    let open = |left_out: &[&str]| {
        let left_out = left_out.iter().map(|site| (*site).to_owned()).collect();
        causeway::office::folder::Folder::open_without(&world.path.join("fleet"), files.clone(), &left_out)
    };
    assert!(open(&[]).is_err());
    assert_eq!(open(&["brest", "brst"]).expect_err("a slip").to_string(), "there is no site brst to leave out");
    let folder = open(&["brest"]).expect("the others are right");
    let words = causeway::office::release::Words {
        leave_out: [(site, reason)].into(),
        author: "anna".to_owned(),
        at: now(),
        ..Default::default()
    };
    let root = folder.root(&world.store).await.expect("a root");
    let role = causeway::trust::keys::Role::Release;
    let key = folder.signer(&root, role, None, &mut |_| Ok(super::world::PASSPHRASE.to_owned())).expect("it opens");
    let pending = causeway::office::release::prepare(&folder, &world.store, &root, &words, &key).await;
    let release = pending.expect("it compiles").publish(&world.store, &root, "anna").await.expect("published");
    assert_eq!(release.left_out["brest"], "old firmware");
    let members = Members::Sites(vec!["brest".to_owned()]);
    let intent = |members| Intent { members, way_back: false, by: "anna".to_owned(), at: now() };
    let refused = assign(&world.store, &root, intent(members)).await.expect_err("it was left out");
    assert_eq!(refused.to_string(), "brest was left out of release 1: old firmware");
    assign(&world.store, &root, intent(Members::All)).await.expect("handed out");
    let facts = Facts::read(&world.store).await.expect("read");
    assert_eq!((facts.wanted("brest"), facts.wanted("nantes")), (None, Some(1)));
    assert!(left_out("brest").is_err() && left_out("brest: ").is_err());
}

/// The next root names a second release key, and wants both.
async fn two_people(world: &World) -> Signer {
    let folder = world.path.join("fleet/keys");
    let (file, second) = KeyFile::bare("release-2").expect("made");
    file.write(&world.path.join("release-2.key")).expect("written");
    let root_key =
        KeyFile::read(&folder.join("root-1.key")).expect("read").open(super::world::PASSPHRASE).expect("opens");
    let mut root = world.root().await.root().clone();
    root.version = 2;
    let keys = root.release.keys.iter().copied().chain([second.public()]);
    root.release = RoleKeys { threshold: 2, keys: List::truncated(keys) };
    let bytes = sign_root(&root, &[&root_key]).expect("signed");
    assert!(world.store.create(&layout::root(2), &bytes).await.expect("written"));
    raise(&world.store, |head| head.root = 2).await.expect("known");
    second
}

#[tokio::test]
async fn with_a_threshold_of_two_one_person_releases_nothing() {
    let world = World::new("threshold").await;
    world.release().await;
    let second = two_people(&world).await;
    let root = world.root().await;
    assert_eq!(root.root().version, 2);
    let mut pending = world.prepare().await;
    assert_eq!(pending.missing(&root).expect("read"), 1);
    let refused = pending.clone().publish(&world.store, &root, "anna").await.expect_err("one signature is missing");
    assert_eq!(refused.to_string(), "the release does not verify");
    pending = Pending::read(pending.text().as_bytes()).expect("it travels as a file");
    let standard = pending.check(&world.store, &root).await.expect("it holds together");
    assert_eq!(standard.turn.seq, 3);
    let signed = pending.clone().sign(&second).expect("signed");
    assert_eq!(signed.missing(&root).expect("read"), 0);
    let release = signed.publish(&world.store, &root, "ben").await.expect("published");
    // Both documents are whole in the store.
    for blob in [release.standard, release.way_back.expect("a way back").standard] {
        causeway::office::release::read_standard(&world.store, &root, &blob).await.expect("two signatures");
    }
    // The first release was signed by one: it is handed out no more, but what goes back to it was signed by two.
    world.assign(Members::All, true).await;
    let office = world.serve().await;
    let mut nantes = world.enrolled(&office, "nantes", 1).await;
    let back = assignment(&mut world.line(&office).await, &mut nantes, None).await;
    assert_eq!(back.standard.seq, 4);
    let twice = pending.sign(&second).expect("signed").publish(&world.store, &root, "ben").await;
    assert_eq!(twice.expect_err("once is enough").to_string(), "somebody released 3 in the meantime");
}

#[tokio::test]
async fn a_file_that_says_something_else_is_not_signed() {
    let world = World::new("forged").await;
    world.release().await;
    two_people(&world).await;
    let root = world.root().await;
    let mut pending = world.prepare().await;
    pending.release.seq = 5;
    assert!(pending.check(&world.store, &root).await.is_err());
    let text = world.prepare().await.text();
    assert!(Pending::read(text.replace("causeway_release\": 1", "causeway_release\": 2").as_bytes()).is_err());
}

#[tokio::test]
async fn boxes_of_a_batch_and_replacements_wait_for_a_person() {
    let world = World::new("waiting").await;
    let office = world.serve().await;
    let mut line = world.line(&office).await;
    let batch = world.claim("nantes", None, true).await;
    let one = branch(1);
    assert_eq!(admission(&enrol(&mut line, &one, &batch).await), Admission::Waiting);
    assert_eq!(approve(&world.store, "CWX1-0001", "anna", now()).await.expect("approved").instead_of, None);
    assert_eq!(admission(&enrol(&mut line, &one, &batch).await), Admission::Accepted);
    assert_eq!(enrol(&mut line, &branch(2), &batch).await.status, 200, "a batch is for many");

    let token = world.claim("nantes", None, false).await;
    let twin = Branch::new(&[3; 32], &tenant(), "CWX1-0001", "cw-x1");
    assert_eq!(admission(&enrol(&mut line, &twin, &token).await), Admission::WaitingReplacement);
    let approved = approve(&world.store, "CWX1-0001", "anna", now()).await.expect("approved");
    assert_eq!(approved.instead_of.as_deref(), Some("CWX1-0001"));
    assert_eq!(admission(&enrol(&mut line, &twin, &token).await), Admission::Accepted);
    assert!(approve(&world.store, "CWX1-0001", "anna", now()).await.is_err(), "nobody waits");
}

#[tokio::test]
async fn two_servers_on_one_store_say_the_same() {
    let world = World::new("replicas").await;
    let (one, other) = (world.serve().await, world.serve().await);
    let mut nantes = world.enrolled(&one, "nantes", 1).await;
    world.release().await;
    let rollout = world.assign(Members::All, false).await;
    let mut answers = Vec::new();
    for office in [&one, &other] {
        let mut line = world.line(office).await;
        // The other server hears of the device and of the roll-out from the store.
        let answer = loop {
            line.send(nantes.ask(1, None, NONCE, None).as_bytes()).await.expect("sent");
            let answer = line.answer().await.expect("an answer");
            if answer.status == 200 {
                break answer;
            }
        };
        answers.push(answer.body);
    }
    assert_eq!(answers[0], answers[1]);
    // A server that starts later, too.
    let third = world.serve().await;
    let mut line = world.line(&third).await;
    let later = assignment(&mut line, &mut nantes, None).await;
    assert_eq!(later.turn.seq, rollout.number);
    for server in [&one, &other, &third] {
        server.flush().await;
    }
    assert_eq!(Facts::read(&world.store).await.expect("read").seen.len(), 1);
}

#[tokio::test]
async fn a_changed_record_breaks_the_chain() {
    let world = World::new("chain").await;
    world.release().await;
    world.assign(Members::All, false).await;
    let file = world.path.join("fleet/store").join(layout::audit(2));
    let text = fs::read_to_string(&file).expect("read");
    fs::write(&file, text.replace("NET-118", "NET-119")).expect("written");
    let (_, chain) = audit::read(&world.store).await.expect("read");
    assert_eq!((chain.records, chain.broken_at), (3, Some(3)));
}

#[tokio::test]
async fn nothing_is_written_over_a_fleet() {
    let world = World::new("twice").await;
    let plan = causeway::office::init::Plan {
        tenant: "other".to_owned(),
        urls: vec!["https://127.0.0.1".to_owned()],
        folder: world.path.join("fleet"),
        state: world.path.join("state"),
        certificate: None,
        by: "ben".to_owned(),
        at: now(),
    };
    let cost = causeway::office::keyfile::Cost { memory_kib: 64, passes: 1 };
    let refused = causeway::office::init::init(&plan, "whatever it is", cost).await.expect_err("it is there");
    assert!(refused.to_string().ends_with("office.toml is there already"), "{refused}");
}
