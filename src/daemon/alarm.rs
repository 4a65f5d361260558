//! A timer on the kernel's boot-time clock (`timerfd_create(2)`). The runtime's own timers round up to a millisecond and wake
//! the process once or twice before a long wait is over; ten probes a second pay for that with processor time.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::time::Instant;

pub(super) struct Alarm {
    timer: AsyncFd<Timer>,
    set_for: Instant,
}

struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        #[expect(deprecated, reason = "its successor is unsafe for handles that change under it; a `Timer` cannot")]
        let timer = AsyncFd::with_interest(Timer(timer), Interest::READABLE)?;
        Ok(Self { timer, set_for: Instant::NEVER })
    }

    /// Returns at `at`, or up to once too early; ask again then. Safe to cancel: the timer is set anew by the next wait.
    pub(super) async fn until(&mut self, at: Instant) {
        if at <= super::clock::now() || (at != self.set_for && self.set(at).is_err()) {
            return;
        }
        if let Ok(mut ready) = self.timer.readable().await {
            ready.clear_ready();
        }
        self.set_for = Instant::NEVER;
    }

    fn set(&mut self, at: Instant) -> nix::Result<()> {
        let at_clock = TimeSpec::from_duration(at.since(Instant::ORIGIN));
        self.timer.get_ref().0.set(Expiration::OneShot(at_clock), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        self.set_for = at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    async fn wait(alarm: &mut Alarm, at: Instant) -> u32 {
        let mut turns = 0;
        while super::super::clock::now() < at {
            alarm.until(at).await;
            turns += 1;
        }
        turns
    }

    #[tokio::test]
    async fn it_rings_once_whatever_was_asked_before() {
        let mut alarm = Alarm::new().expect("a timer");
        let start = super::super::clock::now();
        assert!(wait(&mut alarm, start + MS * 5).await <= 2);
        // An earlier time replaces a later one, and a later one an earlier one.
        for times in [[500, 20], [30, 40]] {
            let later = tokio::time::timeout(MS, alarm.until(start + MS * times[0])).await;
            assert!(later.is_err());
            assert!(wait(&mut alarm, start + MS * times[1]).await <= 2);
            assert!(super::super::clock::now() < start + MS * 400);
        }
    }
}
