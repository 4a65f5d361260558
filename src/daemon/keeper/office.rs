//! What is made of head office's answers. Everything is verified here, whoever brought it; no answer changes anything by its
//! status alone. The questions are in `asking`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::content::{Known, NoKey};
use super::errands::{Fetched, Outcome, Task};
use super::figures::Fetch;
use super::identity::{Admission, Enrolment};
use super::{Ask, Keeper, chain, clock};
use crate::time::Instant;
use crate::trust::digest::Digest;
use crate::trust::document::{self, Assignment, Reference, Turn};
use crate::trust::envelope::Kind;
use crate::trust::machine::{Candidate, Config, Event, Office, State, Timers};
use crate::trust::refusal::Refusal;
use crate::trust::request;
use crate::trust::root::TrustedRoot;
use crate::trust::verify::{Blobs, Identity, Verified, Verifier, check_size};

/// What does not verify is asked for again after that. For what is refused see [`super::pacing`]; `front` itself waits
/// longer and longer while nobody answers.
const AGAIN: Duration = Duration::from_secs(30);
/// A person has to approve.
const WAITING: Duration = Duration::from_mins(1);
/// Between two requests for news that were not held.
const BREATH: Duration = Duration::from_secs(1);

/// RFC 6585.
const TOO_MANY: u16 = 429;

/// An assignment whose blobs are on their way.
#[derive(Debug)]
pub(super) struct Offered {
    bytes: Vec<u8>,
    pub(super) verified: Verified<Assignment>,
    standard: Option<Vec<u8>>,
    site: Option<Vec<u8>>,
}

impl Keeper {
    pub(super) async fn fetched(&mut self, Outcome { task, began, answer }: Outcome) {
        let now = clock::now();
        let fetched = match answer {
            Ok(fetched) => fetched,
            Err(why) => {
                tracing::info!("head office: {why}");
                self.count_fetch(Fetch::Failed);
                self.again(task, now);
                return;
            }
        };
        match task {
            Task::News => {
                let soon = matches!(fetched.status, 200 | 204 | 304);
                let held = now.since(began) >= BREATH;
                let pause = if !soon {
                    self.news_pacing.after(&fetched, random())
                } else {
                    self.news_pacing.good();
                    if held { Duration::ZERO } else { BREATH }
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
                if fetched.status >= 500 || fetched.status == TOO_MANY {
                    let pause = self.work_pacing.after(&fetched, random());
                    self.errands.want(Task::Receipt { bytes, announces }, now + pause);
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
            self.count_fetch(Fetch::Failed);
            self.office_says(Office::Silent);
            return;
        }
        if let Some(freshness) = fetched.header(request::FRESHNESS) {
            self.proved(&URL_SAFE_NO_PAD.decode(freshness).unwrap_or_default(), now).await;
        }
        if fetched.status == 200 {
            self.offered(fetched.body, now).await;
        } else {
            self.count_fetch(Fetch::Unchanged);
        }
    }

    async fn proved(&mut self, bytes: &[u8], now: Instant) {
        let Some(root) = self.root.clone() else { return };
        let identity = self.identity();
        let verifier = Verifier { root: &root, identity: &identity, floors: &self.machine.keep().floors };
        match verifier.freshness(bytes, &mut self.nonces, now) {
            Ok(freshness) => {
                self.figures.last_fetch = clock::wall_ms().map_or(0, |ms| ms / 1_000);
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
            Err(refusal) => {
                self.refuse("the assignment", refusal);
                // It would come again at once.
                self.errands.ask_news(now + AGAIN);
                return;
            }
        };
        if self.is_known(&verified.digest)
            || self.offered.as_ref().is_some_and(|it| it.verified.digest == verified.digest)
        {
            self.count_fetch(Fetch::Unchanged);
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
            let pause = self.work_pacing.after(&fetched, random());
            self.errands.want(Task::Blob(reference), now + pause);
            return;
        }
        self.work_pacing.good();
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
                        self.count_fetch(Fetch::Ok);
                        self.step(Event::Fetched(candidate)).await;
                        self.sweep().await;
                    }
                    Err(error) => {
                        self.count_fetch(Fetch::Failed);
                        tracing::error!("the new config is not kept: {}", chain(&error));
                    }
                }
            }
        }
    }

    /// What no state needs any more goes.
    pub(super) async fn sweep(&mut self) {
        if self.offered.is_none() {
            self.on_disk(|store| Ok(store.sweep())).await.ok();
        }
    }

    async fn root_fetched(&mut self, version: u32, fetched: &Fetched, now: Instant) {
        if fetched.status != 200 {
            // There is none newer.
            if self.root.is_none() {
                let pause = self.work_pacing.after(fetched, random());
                self.errands.want(Task::Root(version), now + pause);
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
                let pause = self.work_pacing.after(fetched, random());
                self.errands.want(Task::Enrol, now + pause);
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
        self.count_fetch(Fetch::Refused);
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

/// Without chance all branches wait alike, which is no reason not to wait.
fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}
