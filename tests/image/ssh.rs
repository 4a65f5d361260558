//! An operator with a key, and what somebody without one gets.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use causeway::config::model::Family;
use causeway::lab::addresses as plan;

use super::SOON;
use super::bars::row;
use super::world::World;

/// A key pair in a folder of its own.
pub(crate) struct Key(PathBuf);

impl Key {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("causeway-image-key-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder); // of a process that had the same number
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.join("key"));
        assert!(make.status().expect("ssh-keygen is there").success());
        Self(folder)
    }

    fn private(&self) -> PathBuf {
        self.0.join("key")
    }

    pub(crate) fn public(&self) -> String {
        std::fs::read_to_string(self.0.join("key.pub")).expect("ssh-keygen made it")
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What `ssh USER@router WORDS` in the LAN comes to.
fn ssh(world: &World, key: &Path, user: &str, words: &[&str]) -> Output {
    let (key, target) = (key.display().to_string(), format!("{user}@{}", world.router()));
    let mut arguments = vec!["-F", "/dev/null", "-i", &key];
    for option in [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "ConnectTimeout=20",
    ] {
        arguments.extend(["-o", option]);
    }
    arguments.push(&target);
    arguments.extend(words);
    world.branch.lan1.run("ssh", &arguments, "").expect("ssh is there")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

pub(crate) fn operators_get_verbs_and_nothing_else(world: &World, key: &Key) {
    let does = |words: &[&str]| -> Result<String, String> {
        let output = ssh(world, &key.private(), "admin", words);
        if output.status.success() { Ok(said(&output)) } else { Err(said(&output)) }
    };
    let status = world.wait("an operator is let in", SOON, || does(&["status"]).ok());
    assert!(status.contains("wan0") && status.contains("wan1"), "{status}");
    let far = plan::far(Family::V4).to_string();
    let pinged = does(&["ping", &far]).unwrap_or_else(|said| panic!("ping: {said}"));
    assert!(pinged.contains(" 0% packet loss"), "{pinged}");
    let traced = does(&["trace", &far]).unwrap_or_else(|said| panic!("trace: {said}"));
    assert!(traced.contains("100.64.") || traced.contains(&far), "{traced}");
    let captured = does(&["capture", "lan0", "22"]).unwrap_or_else(|said| panic!("capture: {said}"));
    assert!(captured.contains(".22: ") || captured.contains(".22 >"), "{captured}");
    for refused in [
        &["/bin/sh"][..],
        &["sh", "-c", "id"],
        &["status;", "id"],
        &["status", "$(id)"],
        &["report", "--output", "/tmp/x"],
        &["run", "--config", "/etc/causeway/gateway.toml"],
    ] {
        let said = does(refused).expect_err("only our verbs");
        assert!(!said.contains("uid="), "{refused:?}: {said}");
    }
    let sftp = ssh(world, &key.private(), "admin", &["-s", "sftp"]);
    assert!(!sftp.status.success(), "{}", said(&sftp));
    let root = ssh(world, &key.private(), "root", &["status"]);
    assert_eq!(root.status.code(), Some(255), "{}", said(&root));
    let stranger = Key::new("stranger");
    let unknown = ssh(world, &stranger.private(), "admin", &["status"]);
    assert_eq!(unknown.status.code(), Some(255), "{}", said(&unknown));
    row("SSH: status, ping, trace and capture; a shell, sftp, root, a foreign key", "given; refused", "the same");
}

/// Megabytes in use when nobody does anything any more: the least of a while, because the kernel frees in its own time.
pub(crate) fn memory_is_left(world: &World) -> f64 {
    const LITTLE: u64 = 100_000_000;
    const CALM: Duration = Duration::from_secs(120);
    let used = || world.machine.memory().map(|(total, available)| total.saturating_sub(available));
    let first = world.wait("the box tells its memory", SOON, used);
    let least = causeway::lab::clock::wait_for(CALM, Duration::from_secs(2), || used().filter(|used| *used <= LITTLE));
    least.or_else(used).unwrap_or(first) as f64 / 1e6
}
