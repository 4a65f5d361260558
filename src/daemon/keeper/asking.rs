//! What head office is asked, through `front`: each errand as a whole request, signed. `docs/protocol.md` has them.

use std::time::Duration;

use super::Keeper;
use super::errands::Task;
use super::identity::Admission;
use super::pacing::RETRY_AFTER;
use crate::config::sections::SUPPORTED;
use crate::control::errand::{Errand, Method, Office as Address};
use crate::time::Instant;
use crate::trust::bounded::{List, Text};
use crate::trust::digest::Digest;
use crate::trust::document::{Document as _, EnrolRequest, Nonce, Tenant, TokenId};
use crate::trust::envelope::Kind;
use crate::trust::machine::Target;
use crate::trust::request::{self, Purpose, Request, SectionVersion, Status};

/// An answer is given up that long after its first byte.
const DEADLINE: Duration = Duration::from_secs(120);
/// An answer to a question that is not held.
const ANSWER: Duration = Duration::from_secs(10);

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
            wanted: vec![request::FRESHNESS.to_owned(), RETRY_AFTER.to_owned()],
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

    /// The newest assignment that we have, whatever became of it. Not the one that the floors name: its blobs may have been
    /// dropped with an old root, and then head office has to hand it out again.
    fn known_assignment(&self) -> Option<Digest> {
        let keep = self.machine.keep();
        let offered = self.offered.as_ref().map(|offered| offered.verified.digest);
        let waiting = keep.next.as_ref().or(self.machine.state().candidate());
        let waiting = waiting.map(|candidate| candidate.config.assignment);
        offered.or(waiting).or(keep.good.map(|good| good.assignment))
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
