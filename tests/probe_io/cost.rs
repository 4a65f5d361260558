//! What one echo probe costs this process. Not a test of every run: other load on the machine changes the figure.

use std::io::Write;
use std::time::Duration;

use causeway::engine::event::Event;
use nix::time::{ClockId, clock_gettime};

use crate::net::{FAR, between};
use crate::probing::{Probing, icmp};

/// 64 uplinks × 8 targets × 10 probes a second within a tenth of a core.
const MOST: Duration = Duration::from_nanos(100_000_000 / (64 * 8 * 10));

#[test]
#[ignore = "a measurement: run it alone and with --release"]
fn an_echo_probe_is_cheap() {
    const ROUNDS: u32 = 5_000;
    for together in [1, 8] {
        between(move |_far| async move {
            let mut probing = Probing::new(vec![icmp(FAR)]);
            let mut events = Vec::new();
            let mut cost = Duration::ZERO;
            for round in 0..ROUNDS + 100 {
                let start = cpu();
                for _ in 0..together {
                    let request = probing.request(0, 0);
                    assert!(matches!(probing.prober.send(request), Event::ProbeSent { .. }));
                }
                events.clear();
                while events.len() < together {
                    probing.prober.next(&mut events).await;
                }
                // The first rounds pay for the socket and the neighbour.
                if round >= 100 {
                    cost += cpu() - start;
                }
            }
            let each = cost / ROUNDS / u32::try_from(together).expect("a few");
            writeln!(std::io::stderr(), "{together} at a time: {each:?} each").expect("stderr");
            assert!(each <= MOST, "{each:?}, where {MOST:?} can be afforded");
        });
    }
}

/// Of this thread, system calls included. On a veth they include the far side's answer, so the figure is an upper bound.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock of this thread").into()
}
