//! What the box's kernel said of itself: the journal, read from the disk as it lies there.

use std::process::Command;

use super::SOON;
use super::bars::row;
use super::world::World;

/// Stands in the journal as soon as that is on the disk; what is looked for came with it or before.
const DAEMON_STARTED: &str = "watching wan0, wan1";
/// An audit record of a call that a process was refused, with what it names.
const REFUSED_CALL: &str = "type=1326 audit[^ ]* [ -~]*";

/// Each call that a program makes is on a list, for this processor's table of calls and these versions of libraries.
pub(crate) fn no_call_was_refused(world: &World) {
    world.wait("the journal is on the disk", SOON, || (!on_the_disk(world, DAEMON_STARTED).is_empty()).then_some(()));
    let refused = on_the_disk(world, REFUSED_CALL);
    assert!(refused.is_empty(), "refused calls in the kernel's log:\n{}", refused.join("\n"));
    row("system calls that a fence refused, in the kernel's log", "none", "none");
}

/// Text that matches, wherever it is; the journal keeps short fields as they are.
fn on_the_disk(world: &World, pattern: &str) -> Vec<String> {
    let mut grep = Command::new("grep");
    grep.env("LC_ALL", "C").args(["--text", "--only-matching", pattern]).arg(world.folder.join("disk.raw"));
    let found = grep.output().expect("grep is there");
    String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect()
}
