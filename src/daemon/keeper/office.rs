//! Talking to head office through `front`: what is asked, and what is made of the answers. `docs/protocol.md` has the
//! requests; no answer changes anything by its status alone.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::content::{Known, NoKey};
use super::errands::{Fetched, Outcome, Task};
use super::identity::{Admission, Enrolment};
use super::{Ask, Keeper, chain, clock};
use crate::config::sections::SUPPORTED;
use crate::control::errand::{Errand, Method, Office as Address};
use crate::time::Instant;
use crate::trust::bounded::{List, Text};
use crate::trust::digest::Digest;
use crate::trust::document::{self, Assignment, Document as _, EnrolRequest, Nonce, Reference, Tenant, TokenId, Turn};
use crate::trust::envelope::Kind;
use crate::trust::machine::{Candidate, Config, Event, Office, State, Target, Timers};
use crate::trust::refusal::Refusal;
use crate::trust::request::{self, Purpose, Request, SectionVersion, Status};
use crate::trust::root::TrustedRoot;
use crate::trust::verify::{Blobs, Identity, Verified, Verifier, check_size};

/// What head office wrongly answers is asked for again after that; `front` itself waits longer and longer while nobody
/// answers.
const AGAIN: Duration = Duration::from_secs(30);
/// A person has to approve.
const WAITING: Duration = Duration::from_mins(1);
/// Between two requests for news that were not held.
const BREATH: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(120);
/// An answer to a question that is not held.
const ANSWER: Duration = Duration::from_secs(10);

/// An assignment whose blobs are on their way.
#[derive(Debug)]
pub(super) struct Offered {
    bytes: Vec<u8>,
    verified: Verified<Assignment>,
    standard: Option<Vec<u8>>,
    site: Option<Vec<u8>>,
}

impl Keeper {
    /// What the next talk with head office is about.
    pub(super) fn plan_office(&mut self, now: Instant) {
        let Some(enrolment) = &self.enrolment else { return };
        match (&self.root, enrolment.admission) {
            (None, _) => self.errands.want(Task::Root(1), now),
            (Some(_), Admission::Asking | Admission::Waiting) => self.errands.want(Task::Enrol, now),
            (Some(_), Admission::Accepted) => self.errands.ask_news(now),
        }
    }

    pub(super) fn tenant(&self) -> Tenant {
        let tenant = self.enrolment.as_ref().map_or("", |enrolment| enrolment.tenant.as_str());
        Text::new(tenant).unwrap_or_default()
    }

    // --- questions

    pub(super) fn hand_out(&mut self, task: Task, now: Instant) {
        let wait = if self.is_metered() { request::WAIT_METERED } else { request::WAIT };
        let (target, hold) = match &task {
            Task::News => (format!("/v1/assignment?wait={wait}"), Duration::from_secs(wait.into())),
            Task::Fresh => ("/v1/assignment?wait=0".to_owned(), Duration::ZERO),
            Task::Root(version) => (format!("/v1/root/{version}"), Duration::ZERO),
            Task::Blob(reference) => (format!("/v1/blob/{}", reference.digest), Duration::ZERO),
            Task::Enrol => ("/v1/enrol".to_owned(), Duration::ZERO),
            Task::Receipt { .. } => ("/v1/receipt".to_owned(), Duration::ZERO),
        };
        let (method, body) = match &task {
            Task::News | Task::Fresh | Task::Root(_) | Task::Blob(_) => (Method::Get, Vec::new()),
            Task::Enrol => (Method::Post, self.enrol_request(now)),
            Task::Receipt { bytes, .. } => (Method::Post, bytes.clone()),
        };
        let most = match &task {
            Task::News | Task::Fresh => Kind::Assignment.cap(),
            Task::Root(_) => Kind::Root.cap(),
            Task::Blob(reference) => usize::try_from(reference.size).unwrap_or(0),
            Task::Enrol => Kind::EnrolReceipt.cap(),
            Task::Receipt { .. } => 0,
        };
        let mut headers = Vec::new();
        let (signed, status) = match &task {
            // What is asked before there is a key at head office, and what nobody needs to ask for.
            Task::Root(_) | Task::Enrol => (false, false),
            Task::Blob(_) => (true, false),
            Task::News | Task::Fresh | Task::Receipt { .. } => (true, true),
        };
        if signed {
            headers.push((request::HEADER.to_owned(), self.signed(method, &target, &body, status, now)));
        }
        if let (Task::News | Task::Fresh, Some(known)) = (&task, self.known_assignment()) {
            headers.push(("if-none-match".to_owned(), format!("\"{known}\"")));
        }
        let offices = self.offices();
        self.errands.hand_out(task, now, |id, _| Errand {
            id,
            offices,
            method,
            target,
            headers,
            body,
            wanted: vec![request::FRESHNESS.to_owned()],
            most: u32::try_from(most).unwrap_or(u32::MAX),
            hold_ms: milliseconds(hold + ANSWER),
            deadline_ms: milliseconds(DEADLINE),
        });
    }

    fn is_metered(&self) -> bool {
        // The path in use is not known here; a branch that has only metered lines is.
        self.branch.gateway.uplinks.iter().all(|uplink| uplink.metered.is_some())
    }

    pub(super) fn offices(&self) -> Vec<Address> {
        let claimed = || self.enrolment.as_ref().map(|enrolment| enrolment.offices.clone()).unwrap_or_default();
        let Some(root) = &self.root else { return claimed() };
        let named = root.root().offices.iter().map(|office| Address {
            address: office.address.to_string(),
            pins: office.pins.iter().map(|pin| *pin.bytes()).collect(),
        });
        named.collect()
    }

    pub(in crate::daemon) fn office_ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.offices().iter().filter_map(|office| port(&office.address)).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// The assignment that is accepted, whatever became of it.
    fn known_assignment(&self) -> Option<Digest> {
        let offered = self.offered.as_ref().map(|offered| offered.verified.digest);
        offered.or(self.machine.keep().floors.assignment_digest)
    }

    fn signed(&mut self, method: Method, target: &str, body: &[u8], with_status: bool, now: Instant) -> String {
        let nonce = self.nonce(now);
        let request = Request {
            device: self.device.id,
            purpose: Purpose::Config,
            counter: self.count(),
            nonce,
            method: match method {
                Method::Get => request::Method::Get,
                Method::Post => request::Method::Post,
            },
            target: Text::new(target).unwrap_or_default(),
            body: Digest::of(body),
            status: with_status.then(|| self.status_for_office()),
        };
        request.signed(&self.device.signer)
    }

    fn nonce(&mut self, now: Instant) -> Nonce {
        let mut nonce = [0; 16];
        // A nonce of zeros is never issued, so no answer to it counts.
        if getrandom::fill(&mut nonce).is_ok() {
            self.nonces.issue(nonce, now);
        }
        nonce
    }

    fn status_for_office(&self) -> Status {
        let keep = self.machine.keep();
        let candidate = self.machine.state().candidate().map(|candidate| candidate.config.resolved);
        let good = keep.good.map(|good| good.resolved);
        let running = match self.force {
            Target::Config(config) => Some(config.resolved),
            Target::Safe => None,
        };
        Status {
            wanted: candidate.or(good),
            fetched: candidate,
            applied: running,
            committed: good,
            previous: keep.previous.map(|previous| previous.resolved),
            state: self.machine.state().name(),
            reason: keep.last.map(|last| last.reason),
            verdict: keep.last.and_then(|last| last.verdict),
            unproved: List::truncated(keep.evidence.unproved().filter(|_| keep.last.is_some()).cloned()),
            root_version: keep.floors.root_version,
            standard: keep.floors.standard,
            assignment: keep.floors.assignment,
            time: keep.floors.time,
            firmware: self.device.firmware,
            sections: List::truncated(
                SUPPORTED.iter().map(|(id, version)| SectionVersion { id: *id, version: *version }),
            ),
            boot: self.device.boot,
            tunnels: List::EMPTY,
            order_nonce: keep.order_nonce,
        }
    }

    fn enrol_request(&mut self, now: Instant) -> Vec<u8> {
        let Some(claim) = self.claim.clone() else { return Vec::new() };
        let nonce = self.nonce(now);
        let request = EnrolRequest {
            tenant: self.tenant(),
            device: self.device.id,
            counter: self.count(),
            signing: self.device.public,
            sealing: self.device.sealing,
            serial: self.device.serial.clone(),
            model: self.device.model.clone(),
            firmware: self.device.firmware,
            nonce,
            order_nonce: self.machine.keep().order_nonce,
            token: TokenId(Digest::of(b"")),
            mac: [0; 32],
        };
        let request = request.proved(&claim.token);
        let signed = request.draft().ok().and_then(|draft| draft.sign(&self.device.signer).encode().ok());
        signed.unwrap_or_default()
    }

    // --- answers

    pub(super) async fn fetched(&mut self, Outcome { task, began, answer }: Outcome) {
        let now = clock::now();
        let fetched = match answer {
            Ok(fetched) => fetched,
            Err(why) => {
                tracing::info!("head office: {why}");
                self.again(task, now);
                return;
            }
        };
        match task {
            Task::News => {
                let soon = matches!(fetched.status, 200 | 204 | 304);
                let held = now.since(began) >= BREATH;
                let pause = if !soon {
                    AGAIN
                } else if held {
                    Duration::ZERO
                } else {
                    BREATH
                };
                self.errands.ask_news(now + pause);
                self.heard(fetched, now).await;
            }
            Task::Fresh => self.heard(fetched, now).await,
            Task::Root(version) => self.root_fetched(version, &fetched, now).await,
            Task::Blob(reference) => self.blob_fetched(reference, fetched, now).await,
            Task::Enrol => self.enrolled(&fetched, now).await,
            Task::Receipt { bytes, announces } => {
                // A server's fault may pass; what it does not want it will not want later.
                if fetched.status >= 500 {
                    self.errands.want(Task::Receipt { bytes, announces }, now + AGAIN);
                } else if announces && matches!(self.machine.state(), State::Ready(_)) {
                    self.step(Event::Announced).await;
                }
            }
        }
    }

    /// No answer: `front` waits before it asks for the next errand.
    fn again(&mut self, task: Task, now: Instant) {
        match task {
            Task::News => self.errands.ask_news(now),
            Task::Fresh => self.office_says(Office::Silent),
            Task::Root(_) | Task::Blob(_) | Task::Enrol | Task::Receipt { .. } => self.errands.want(task, now),
        }
    }

    /// An answer to "is there anything new?".
    async fn heard(&mut self, fetched: Fetched, now: Instant) {
        if !matches!(fetched.status, 200 | 204 | 304) {
            tracing::info!("head office answers with status {}", fetched.status);
            self.office_says(Office::Silent);
            return;
        }
        if let Some(freshness) = fetched.header(request::FRESHNESS) {
            self.proved(&URL_SAFE_NO_PAD.decode(freshness).unwrap_or_default(), now).await;
        }
        if fetched.status == 200 {
            self.offered(fetched.body, now).await;
        }
    }

    async fn proved(&mut self, bytes: &[u8], now: Instant) {
        let Some(root) = self.root.clone() else { return };
        let identity = self.identity();
        let verifier = Verifier { root: &root, identity: &identity, floors: &self.machine.keep().floors };
        match verifier.freshness(bytes, &mut self.nonces, now) {
            Ok(freshness) => {
                self.office_says(if freshness.hold { Office::Hold } else { Office::Answers });
                if freshness.root_version > root.root().version {
                    self.errands.want(Task::Root(root.root().version + 1), now);
                }
                let advance = self.machine.clone().accept_time(freshness.time, now);
                self.follow(advance).await;
            }
            Err(Refusal::RootAhead) => {
                self.errands.want(Task::Root(root.root().version + 1), now);
                self.office_says(Office::Answers);
            }
            Err(refusal) => {
                self.refuse("the proof that this config is current", refusal);
                self.office_says(Office::Silent);
            }
        }
    }

    /// A new assignment: its blobs are next.
    async fn offered(&mut self, bytes: Vec<u8>, now: Instant) {
        let Some(root) = self.root.clone() else { return };
        let identity = self.identity();
        let verifier = Verifier { root: &root, identity: &identity, floors: &self.machine.keep().floors };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let verified = check_size(Kind::Assignment, length, None).and_then(|()| verifier.assignment(&bytes));
        let verified = match verified {
            Ok(verified) => verified,
            Err(Refusal::RootAhead) => {
                self.errands.want(Task::Root(root.root().version + 1), now);
                return;
            }
            Err(refusal) => return self.refuse("the assignment", refusal),
        };
        if self.is_known(&verified.digest)
            || self.offered.as_ref().is_some_and(|it| it.verified.digest == verified.digest)
        {
            return;
        }
        self.errands.forget(|task| matches!(task, Task::Blob(_)));
        let Assignment { standard, site, .. } = verified.document;
        let mut offered = Offered { bytes, verified, standard: None, site: None };
        let stored = self
            .on_disk(move |store| Ok([standard.digest, site.digest].map(|digest| store.get(&digest).ok().flatten())));
        let [known_standard, known_site] = stored.await.unwrap_or_default();
        (offered.standard, offered.site) = (known_standard, known_site);
        for (reference, there) in [(standard, offered.standard.is_some()), (site, offered.site.is_some())] {
            if !there {
                self.errands.want(Task::Blob(reference), now);
            }
        }
        self.offered = Some(offered);
        self.complete(now).await;
    }

    /// Already what runs, what is tried, or what was given up.
    fn is_known(&self, assignment: &Digest) -> bool {
        let keep = self.machine.keep();
        let known = self.machine.state().candidate().map(|candidate| candidate.config.assignment);
        known == Some(*assignment)
            || keep.good.is_some_and(|good| good.assignment == *assignment)
            || keep.next.as_ref().is_some_and(|next| next.config.assignment == *assignment)
    }

    async fn blob_fetched(&mut self, reference: Reference, fetched: Fetched, now: Instant) {
        let Some(offered) = self.offered.as_mut() else { return };
        if !matches!(fetched.status, 200 | 206) {
            tracing::info!("head office has no blob {}: status {}", reference.digest.short(), fetched.status);
            self.errands.want(Task::Blob(reference), now + AGAIN);
            return;
        }
        let Assignment { standard, site, .. } = &offered.verified.document;
        if Digest::of(&fetched.body) != reference.digest {
            self.refuse("a blob", Refusal::DigestDiffers);
            self.errands.want(Task::Blob(reference), now + AGAIN);
            return;
        }
        if standard.digest == reference.digest {
            offered.standard = Some(fetched.body);
        } else if site.digest == reference.digest {
            offered.site = Some(fetched.body);
        }
        self.complete(now).await;
    }

    /// Steps 1 to 8 of all, once all is there; then it is stored, and the machine's to try.
    async fn complete(&mut self, _now: Instant) {
        let whole = self.offered.as_ref().is_some_and(|it| it.standard.is_some() && it.site.is_some());
        let Some(Offered { bytes, verified, standard: Some(standard), site: Some(site) }) =
            (if whole { self.offered.take() } else { None })
        else {
            return;
        };
        let Some(root) = self.root.clone() else { return };
        let identity = self.identity();
        let verifier = Verifier { root: &root, identity: &identity, floors: &self.machine.keep().floors };
        let unread = unread(&verified);
        let blobs = Blobs { standard: &standard, site: &site };
        match verifier.complete(verified, blobs, &NoKey, &Known) {
            Err(refusal) => {
                self.refuse("the standard", refusal);
                self.step(Event::Refused(unread, refusal)).await;
            }
            Ok(complete) => {
                self.refused = None;
                let candidate = Candidate::from(&complete);
                let stored = self.on_disk(move |store| store.put(&[&bytes, &standard, &site])).await;
                match stored {
                    Ok(()) => {
                        self.step(Event::Fetched(candidate)).await;
                        self.sweep().await;
                    }
                    Err(error) => tracing::error!("the new config is not kept: {}", chain(&error)),
                }
            }
        }
    }

    /// What no state needs any more goes.
    async fn sweep(&mut self) {
        if self.offered.is_none() {
            self.on_disk(|store| Ok(store.sweep())).await.ok();
        }
    }

    async fn root_fetched(&mut self, version: u32, fetched: &Fetched, now: Instant) {
        if fetched.status != 200 {
            // There is none newer.
            if self.root.is_none() {
                self.errands.want(Task::Root(version), now + AGAIN);
            } else {
                self.plan_office(now);
            }
            return;
        }
        let trusted = match (&self.root, &self.enrolment) {
            (Some(root), _) => root.next(&fetched.body),
            (None, Some(Enrolment { first_root, tenant, .. })) => match Digest::from_hex(first_root) {
                Some(digest) => TrustedRoot::pinned(&fetched.body, &digest).and_then(|root| {
                    if *root.root().tenant == **tenant { Ok(root) } else { Err(Refusal::OtherTenant) }
                }),
                None => Err(Refusal::DigestDiffers),
            },
            (None, None) => return,
        };
        match trusted {
            Ok(root) => {
                let bytes = fetched.body.clone();
                if let Err(error) = self.on_disk(move |store| store.put(&[&bytes])).await {
                    tracing::error!("the root is not kept: {}", chain(&error));
                    self.errands.want(Task::Root(version), now + AGAIN);
                    return;
                }
                let advance = self.machine.clone().accept_root(&root);
                if self.follow(advance).await {
                    self.errands.want(Task::Root(root.root().version + 1), now);
                    self.root = Some(root);
                    self.parts.driver.send(Ask::OfficePorts(self.office_ports())).await.ok();
                }
            }
            Err(refusal) => {
                self.refuse("the root", refusal);
                self.errands.want(Task::Root(version), now + AGAIN);
            }
        }
    }

    async fn enrolled(&mut self, fetched: &Fetched, now: Instant) {
        let Some(root) = self.root.clone() else { return };
        let identity = self.identity();
        let verifier = Verifier { root: &root, identity: &identity, floors: &self.machine.keep().floors };
        let receipt = match fetched.status {
            200 => verifier.enrol_receipt(&fetched.body, &mut self.nonces, now),
            status => {
                tracing::warn!("head office does not enrol this gateway: status {status}");
                self.errands.want(Task::Enrol, now + AGAIN);
                return;
            }
        };
        let receipt = match receipt {
            Ok(receipt) => receipt,
            Err(refusal) => {
                self.refuse("the receipt of enrolment", refusal);
                self.errands.want(Task::Enrol, now + AGAIN);
                return;
            }
        };
        let Some(enrolment) = self.enrolment.as_mut() else { return };
        enrolment.admission = match receipt.admission {
            document::Admission::Accepted => Admission::Accepted,
            document::Admission::Waiting | document::Admission::WaitingReplacement => Admission::Waiting,
        };
        enrolment.site = receipt.site.to_string();
        tracing::info!("head office of {}: site {}, {:?}", enrolment.tenant, enrolment.site, receipt.admission);
        if let Err(error) = enrolment.write(&self.folder) {
            tracing::error!("the enrolment is not kept: {}", chain(&error));
        }
        let at = if enrolment.admission == Admission::Accepted { now } else { now + WAITING };
        let advance = self.machine.clone().accept_time(receipt.time, now);
        self.follow(advance).await;
        self.plan_office(at);
    }

    fn identity(&self) -> Identity {
        Identity {
            tenant: self.tenant(),
            device: self.device.id,
            model: self.device.model.clone(),
            firmware: self.device.firmware,
        }
    }

    fn refuse(&mut self, what: &str, refusal: Refusal) {
        let said = format!("{what} is refused: {refusal} ({})", refusal.code());
        tracing::warn!("{said}");
        self.refused = Some(said);
    }
}

/// A candidate whose standard was not read: for the quarantine, by what the assignment says of it.
fn unread(verified: &Verified<Assignment>) -> Candidate {
    let assignment = &verified.document;
    Candidate {
        config: Config {
            assignment: verified.digest,
            standard: assignment.standard.digest,
            site: assignment.site.digest,
            resolved: assignment.resolved,
            assigned: assignment.turn,
            released: Turn::new(assignment.turn.epoch, assignment.standard.seq),
            created_at: assignment.issued_at,
        },
        expedite: false,
        operator: false,
        timers: Timers::default(),
    }
}

/// Of `https://host[:port]` and `http://host[:port]`.
fn port(address: &str) -> Option<u16> {
    let (rest, default) = match address.strip_prefix("https://") {
        Some(rest) => (rest, 443),
        None => (address.strip_prefix("http://")?, 80),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let after_host = authority.rsplit(']').next().unwrap_or_default();
    match after_host.rsplit_once(':') {
        Some((_, port)) => port.parse().ok(),
        None => Some(default),
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_addresses() {
        for (address, wanted) in [
            ("https://office.example", Some(443)),
            ("https://office.example:8443/", Some(8443)),
            ("https://[2001:db8::1]", Some(443)),
            ("https://[2001:db8::1]:8443", Some(8443)),
            ("http://127.0.0.1:80", Some(80)),
            ("ftp://office.example", None),
            ("https://office.example:x", None),
        ] {
            assert_eq!(port(address), wanted, "{address}");
        }
    }
}
