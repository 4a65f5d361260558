//! What `front` is asked to fetch, in which order, and what has come back of it so far. Bounded: a `front` that invents
//! errands, answers twice or never stops sending gets nothing for it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::control::errand::{Errand, HOLD_MS, Lane, PIECE, Part};
use crate::control::io::Answer;
use crate::control::protocol::{Refusal, RefusalKind, Reply};
use crate::time::Instant;
use crate::trust::document::Reference;

/// Receipts that wait for a line to head office; the status of the next request repairs what is lost beyond.
const RECEIPTS_MOST: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Is there anything new? Held by head office.
    News,
    /// Are we current? Answered at once.
    Fresh,
    Root(u32),
    Blob(Reference),
    Enrol,
    Receipt {
        bytes: Vec<u8>,
        announces: bool,
    },
}

impl Task {
    pub(super) fn lane(&self) -> Lane {
        match self {
            Self::News => Lane::News,
            Self::Fresh | Self::Root(_) | Self::Blob(_) | Self::Enrol | Self::Receipt { .. } => Lane::Work,
        }
    }
}

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) task: Task,
    pub(super) began: Instant,
    pub(super) answer: Result<Fetched, String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Fetched {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
struct Active {
    id: u64,
    task: Task,
    began: Instant,
    most: usize,
    fetched: Option<Fetched>,
}

/// One lane: what is under way, and who waits for the next errand.
#[derive(Debug, Default)]
struct Track {
    active: Option<Active>,
    asking: Option<(oneshot::Sender<Answer>, Instant)>,
}

#[derive(Debug, Default)]
pub(super) struct Errands {
    last: u64,
    news: Track,
    work: Track,
    queue: VecDeque<(Instant, Task)>,
    /// Not before that; `None`: not enrolled.
    news_at: Option<Instant>,
}

impl Errands {
    /// Queued once, however often it is wanted.
    pub(super) fn want(&mut self, task: Task, not_before: Instant) {
        let under_way = self.work.active.as_ref().is_some_and(|active| active.task == task);
        if under_way || self.queue.iter().any(|(_, queued)| *queued == task) {
            return;
        }
        let receipts = self.queue.iter().filter(|(_, task)| matches!(task, Task::Receipt { .. })).count();
        if matches!(task, Task::Receipt { .. })
            && receipts >= RECEIPTS_MOST
            && let Some(oldest) = self.queue.iter().position(|(_, task)| matches!(task, Task::Receipt { .. }))
        {
            self.queue.remove(oldest);
        }
        self.queue.push_back((not_before, task));
    }

    pub(super) fn forget(&mut self, drop: impl Fn(&Task) -> bool) {
        self.queue.retain(|(_, task)| !drop(task));
    }

    /// The next request for news is made then.
    pub(super) fn ask_news(&mut self, at: Instant) {
        self.news_at = Some(at);
    }

    /// `front` asks for something to do. Whoever asked before in this lane is `front`'s former self.
    pub(super) fn asked(&mut self, lane: Lane, reply: oneshot::Sender<Answer>, now: Instant) {
        let track = self.track(lane);
        if let Some((before, _)) = track.asking.replace((reply, now + Duration::from_millis(HOLD_MS.into()))) {
            before.send(Reply::Errand(None).into()).ok();
        }
        // It would not ask if it still had one.
        if let Some(Active { task, .. }) = self.track(lane).active.take() {
            match task.lane() {
                Lane::News => self.news_at = Some(now),
                Lane::Work => self.queue.push_front((now, task)),
            }
        }
    }

    /// Something to do in this lane, if somebody asks for it.
    pub(super) fn next(&mut self, lane: Lane, now: Instant) -> Option<Task> {
        self.track(lane).asking.as_ref()?;
        match lane {
            Lane::News => self.news_at.take_if(|at| *at <= now).map(|_| Task::News),
            Lane::Work => {
                let due = self.queue.iter().position(|(at, _)| *at <= now)?;
                self.queue.remove(due).map(|(_, task)| task)
            }
        }
    }

    /// Hands it out. `fill` makes the errand under its number.
    pub(super) fn hand_out(&mut self, task: Task, now: Instant, fill: impl FnOnce(u64, &Task) -> Errand) {
        self.last += 1;
        let errand = fill(self.last, &task);
        let most = usize::try_from(errand.most).unwrap_or(usize::MAX);
        let active = Active { id: self.last, task, began: now, most, fetched: None };
        let track = self.track(active.task.lane());
        let Some((asking, _)) = track.asking.take() else { return };
        track.active = Some(active);
        // If it has gone, it asks again and gets the same task.
        asking.send(Reply::Errand(Some(Box::new(errand))).into()).ok();
    }

    /// Whoever has waited long enough is told that there is nothing.
    pub(super) fn release(&mut self, now: Instant) {
        for track in [&mut self.news, &mut self.work] {
            if let Some((asking, _)) = track.asking.take_if(|(_, until)| *until <= now) {
                asking.send(Reply::Errand(None).into()).ok();
            }
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        let asking = |track: &Track| track.asking.as_ref().map_or(Instant::NEVER, |(_, until)| *until);
        let news = self.news.asking.as_ref().and(self.news_at).unwrap_or(Instant::NEVER);
        let queued = self.queue.iter().map(|(at, _)| *at).min().filter(|_| self.work.asking.is_some());
        asking(&self.news).min(asking(&self.work)).min(news).min(queued.unwrap_or(Instant::NEVER))
    }

    /// A part of an answer. What belongs to no errand, or is more than was asked for, is refused and counts for nothing.
    pub(super) fn deliver(&mut self, id: u64, part: Part) -> (Reply, Option<Outcome>) {
        let refused = |what: &str| (Reply::Refused(Refusal::new(RefusalKind::Failed, what)), None);
        let lane = [Lane::News, Lane::Work]
            .into_iter()
            .find(|lane| self.track(*lane).active.as_ref().is_some_and(|active| active.id == id));
        let Some(lane) = lane else { return refused("no such errand") };
        let track = self.track(lane);
        let Some(active) = track.active.as_mut() else { return refused("no such errand") };
        let ended = match (part, active.fetched.as_mut()) {
            (Part::Failed(why), _) => Err(why.chars().take(200).collect()),
            (Part::Answer { status, headers }, None) => {
                active.fetched = Some(Fetched { status, headers, body: Vec::new() });
                return (Reply::Done(String::new()), None);
            }
            (Part::Body(bytes), Some(fetched)) if bytes.len() <= PIECE => {
                if fetched.body.len() + bytes.len() > active.most {
                    Err("more than was asked for".to_owned())
                } else {
                    fetched.body.extend_from_slice(&bytes);
                    return (Reply::Done(String::new()), None);
                }
            }
            (Part::End, Some(_)) => active.fetched.take().ok_or_else(String::new),
            (Part::Answer { .. } | Part::Body(_) | Part::End, _) => return refused("out of order"),
        };
        let outcome = track.active.take().map(|Active { task, began, .. }| Outcome { task, began, answer: ended });
        (Reply::Done(String::new()), outcome)
    }

    fn track(&mut self, lane: Lane) -> &mut Track {
        match lane {
            Lane::News => &mut self.news,
            Lane::Work => &mut self.work,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::errand::Method;

    const S: fn(u64) -> Instant = |seconds| Instant::ORIGIN + Duration::from_secs(seconds);

    fn errand(id: u64, most: u32) -> Errand {
        Errand {
            id,
            offices: Vec::new(),
            method: Method::Get,
            target: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            wanted: Vec::new(),
            most,
            hold_ms: 0,
            deadline_ms: 0,
        }
    }

    fn ask(errands: &mut Errands, lane: Lane, now: Instant) -> oneshot::Receiver<Answer> {
        let (reply, answer) = oneshot::channel();
        errands.asked(lane, reply, now);
        answer
    }

    fn given(answer: &mut oneshot::Receiver<Answer>) -> Option<u64> {
        match answer.try_recv() {
            Ok(Answer::One(Reply::Errand(Some(errand)))) => Some(errand.id),
            Ok(_) | Err(_) => None,
        }
    }

    #[test]
    fn an_answer_comes_whole_or_not_at_all() {
        let mut errands = Errands::default();
        errands.want(Task::Root(1), S(0));
        errands.want(Task::Root(1), S(0));
        let mut answer = ask(&mut errands, Lane::Work, S(0));
        let task = errands.next(Lane::Work, S(0)).expect("due");
        errands.hand_out(task, S(0), |id, _| errand(id, 5));
        let id = given(&mut answer).expect("an errand");
        let head = Part::Answer { status: 200, headers: vec![("a".to_owned(), "b".to_owned())] };
        assert!(matches!(errands.deliver(id, Part::End), (Reply::Refused(_), None)));
        assert!(matches!(errands.deliver(id + 1, head.clone()), (Reply::Refused(_), None)));
        assert!(matches!(errands.deliver(id, head.clone()), (Reply::Done(_), None)));
        assert!(matches!(errands.deliver(id, head), (Reply::Refused(_), None)), "a second head");
        assert!(matches!(errands.deliver(id, Part::Body(b"abc".to_vec())), (Reply::Done(_), None)));
        assert!(matches!(errands.deliver(id, Part::Body(b"de".to_vec())), (Reply::Done(_), None)));
        let (_, outcome) = errands.deliver(id, Part::End);
        let outcome = outcome.expect("whole");
        assert_eq!((outcome.task, outcome.answer.map(|it| it.body)), (Task::Root(1), Ok(b"abcde".to_vec())));
        assert!(matches!(errands.deliver(id, Part::End), (Reply::Refused(_), None)), "over");
        assert_eq!(errands.queue.len(), 0, "wanted twice, queued once");
    }

    #[test]
    fn more_than_was_asked_for_is_given_up() {
        let mut errands = Errands::default();
        errands.want(Task::Enrol, S(0));
        let mut answer = ask(&mut errands, Lane::Work, S(0));
        let task = errands.next(Lane::Work, S(0)).expect("due");
        errands.hand_out(task, S(0), |id, _| errand(id, 4));
        let id = given(&mut answer).expect("an errand");
        errands.deliver(id, Part::Answer { status: 200, headers: Vec::new() });
        let (_, outcome) = errands.deliver(id, Part::Body(vec![0; 5]));
        assert!(outcome.expect("ended").answer.is_err());
    }

    #[test]
    fn a_front_that_comes_back_gets_its_task_again() {
        let mut errands = Errands::default();
        errands.want(Task::Enrol, S(0));
        errands.ask_news(S(5));
        let _gone = ask(&mut errands, Lane::Work, S(0));
        let task = errands.next(Lane::Work, S(0)).expect("due");
        errands.hand_out(task, S(0), |id, _| errand(id, 4));
        let _again = ask(&mut errands, Lane::Work, S(1));
        assert_eq!(errands.next(Lane::Work, S(1)), Some(Task::Enrol));
        let _news = ask(&mut errands, Lane::News, S(1));
        assert_eq!((errands.next(Lane::News, S(1)), errands.deadline()), (None, S(5)));
        assert_eq!(errands.next(Lane::News, S(5)), Some(Task::News));
    }

    #[test]
    fn receipts_beyond_the_bound_push_out_the_oldest() {
        let mut errands = Errands::default();
        for number in 0..100 {
            errands.want(Task::Receipt { bytes: vec![number], announces: false }, S(0));
        }
        assert_eq!(errands.queue.len(), RECEIPTS_MOST);
        assert_eq!(errands.queue[0].1, Task::Receipt { bytes: vec![68], announces: false });
    }
}
