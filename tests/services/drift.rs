//! What the running daemon does when somebody changes what the config decides: by section, it puts it right, tells it, or
//! says nothing.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use causeway::lab::clock;
use serde_json::Value;

use crate::world::{World, allowed};

const TWO: &str = include_str!("two-networks.toml");
/// A look comes within seconds after something moved, and each minute.
const WITHIN: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);

struct Daemon<'a> {
    child: Child,
    world: &'a World,
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

impl<'a> Daemon<'a> {
    fn start(world: &'a World, text: &str) -> Self {
        let folder = &world.folder;
        fs::write(folder.join("gateway.toml"), text).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(["run", "--services", "direct", "--run-dir"]).arg(folder);
        command.arg("--config").arg(folder.join("gateway.toml")).arg("--state").arg(folder.join("state"));
        command.arg("--socket").arg(folder.join("control.sock"));
        command.stdin(Stdio::null()).stderr(File::create(folder.join("run.log")).expect("a log"));
        let daemon = Self { child: world.site.gateway.start(&mut command).expect("it starts"), world };
        let answers = clock::wait_for(WITHIN, LOOK, || daemon.why());
        assert!(answers.is_some(), "{}", daemon.said());
        daemon
    }

    fn why(&self) -> Option<Value> {
        let socket = self.world.folder.join("control.sock").display().to_string();
        let words = ["config", "why", "--json", "--socket", &socket];
        serde_json::from_str(&self.world.site.gateway.must(env!("CARGO_BIN_EXE_causeway"), &words, "").ok()?).ok()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.world.folder.join("run.log")).expect("its log")
    }
}

#[test]
fn what_somebody_changes_is_put_right_told_or_left_alone_as_the_config_says() {
    if !allowed() {
        return;
    }
    let key = "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let text = format!(
        "{TWO}\n[access]\nssh = [{{ name = \"anna\", key = \"ssh-ed25519 {key}\" }}]\n\
         [apply]\ndrift = {{ networks = \"ignore\", dns = \"report\" }}\n"
    );
    let world = World::start(&text);
    let (keys, servers) = (world.folder.join("access/authorized_keys"), world.paths().dnsmasq.join("servers"));
    let right = fs::read_to_string(&keys).expect("a list of keys");
    let daemon = Daemon::start(&world, &text);
    // Taken away again and again: the start of the daemon would put it back, too, and is over when a look does.
    let put_right = || {
        let done = daemon.said().contains("put right: write authorized_keys");
        let there = fs::read_to_string(&keys).is_ok_and(|text| text == right);
        if there && !done {
            fs::remove_file(&keys).expect("a fault");
        }
        (there && done).then_some(())
    };
    assert!(clock::wait_for(WITHIN, LOOK, put_right).is_some(), "access is put right: {}", daemon.said());
    fs::write(&servers, "junk\n").expect("a fault");
    // The kernel tells of this one, so that there is a look at both.
    world.site.gateway.ip("address del 10.16.20.1/24 dev br-lan.20\n").expect("a fault");
    let told = || daemon.said().contains("left as it is: replace servers").then_some(());
    assert!(clock::wait_for(WITHIN, LOOK, told).is_some(), "names are told: {}", daemon.said());
    let said = daemon.said();
    assert_eq!(fs::read_to_string(&servers).expect("it is there"), "junk\n", "names are left as they are");
    let addresses = world.site.gateway.must("ip", &["-4", "-o", "address"], "").expect("addresses");
    assert!(!addresses.contains("10.16.20.1/24"), "networks are left as they are: {addresses}");
    assert!(!said.contains("10.16.20.1/24"), "and nothing is said of them: {said}");
    let shown = daemon.why().expect("it answers");
    assert!(shown["drift"].to_string().contains("servers"), "a person who asks is told, too: {shown}");
}
