//! Configs are put in force one after the other, the newest last: what is in force is what the newest said.

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Resolves once something newer is to be in force.
pub(super) type Superseded = oneshot::Receiver<()>;

#[derive(Default)]
pub(super) struct Turns {
    last: Option<(JoinHandle<()>, oneshot::Sender<()>)>,
}

impl Turns {
    /// Starts `work` when the one before has ended, which is told that it is superseded.
    pub(super) fn next<W>(&mut self, work: impl FnOnce(Superseded) -> W + Send + 'static)
    where
        W: Future<Output = ()> + Send,
    {
        let before = self.last.take().map(|(task, superseded)| {
            drop(superseded);
            task
        });
        let (newer, superseded) = oneshot::channel();
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                before.await.ok(); // however it ended
            }
            work(superseded).await;
        });
        self.last = Some((task, newer));
    }

    /// Something is on its way into force.
    pub(super) fn is_under_way(&self) -> bool {
        self.last.as_ref().is_some_and(|(task, _)| !task.is_finished())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_newest_has_the_last_word() {
        let mut turns = Turns::default();
        let (said, mut words) = mpsc::channel(8);
        let say = said.clone();
        turns.next(async move |superseded| {
            say.send("old: changes").await.expect("room");
            sleep(Duration::from_secs(1)).await;
            superseded.await.expect_err("nothing is sent");
            say.send("old: gives up").await.expect("room");
        });
        assert_eq!(words.recv().await, Some("old: changes"), "there was nothing to wait for");
        turns.next(async move |mut superseded| {
            said.send("new: changes").await.expect("room");
            superseded.try_recv().expect_err("nothing is newer");
            said.send("new: in force").await.expect("room");
        });
        assert!(turns.is_under_way());
        for expected in ["old: gives up", "new: changes", "new: in force"] {
            assert_eq!(words.recv().await, Some(expected));
        }
        assert_eq!(words.recv().await, None);
        assert!(!turns.is_under_way());
    }
}
