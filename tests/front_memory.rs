//! G18: what a hostile head office costs. In a program of its own, since memory is counted for the whole process: the
//! servers, the daemon's end and what they send stand in the figure as well.

#[path = "front_courier/office.rs"]
#[expect(dead_code, reason = "the courier's own tests use the rest")]
mod office;
mod support;
#[path = "front_courier/world.rs"]
#[expect(dead_code, reason = "the courier's own tests use the rest")]
mod world;

use std::fs;

use office::{How, hostile, page};
use world::World;

/// Beyond what it takes to be attacked once.
const MOST_KIB: u64 = 2 << 10;

#[tokio::test(start_paused = true)]
async fn g18_all_attacks_three_times_take_two_mib_at_most_and_the_next_good_fetch_works() {
    let mut world = World::new();
    let corpus = hostile();
    attack(&mut world, &corpus).await;
    // From here on the kernel keeps the highest figure anew.
    fs::write("/proc/self/clear_refs", "5").expect("our own process");
    let before = figure("VmRSS:");
    for _ in 0..3 {
        attack(&mut world, &corpus).await;
    }
    let more = figure("VmHWM:").saturating_sub(before);
    assert!(more <= MOST_KIB, "{more} KiB more than before");
}

async fn attack(world: &mut World, corpus: &[(&'static str, How, &'static str)]) {
    for (name, how, _) in corpus {
        world.wire.serve(443, Some(world.identity.config()), how.clone());
        let mut errand = world.errand();
        (errand.most, errand.deadline_ms) = (256 << 10, 25_000);
        assert!(world.fetch(errand).await.failed.is_some(), "{name}");
        world.wire.serve(443, Some(world.identity.config()), How::Cut(page("connection: close\r\n", b"well")));
        let errand = world.errand();
        assert_eq!(world.fetch(errand).await.body, b"well", "after {name}");
        world.wire.seen.lock().expect("no panic").requests.clear();
    }
}

fn figure(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("our own process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux has it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
