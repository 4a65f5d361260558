//! The commands as people and scripts type them: what they print, and the code they end with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Place {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.arg("office").args(arguments).current_dir(&self.0).env("USER", "anna").env_remove("SUDO_USER");
        command.output().expect("it runs")
    }

    /// Standard output of a command that must end with 0.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// What is said on standard error by a command that must end with this code.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).expect("written");
    }
}

/// One long test: keys cost seconds and memory, as they should.
#[test]
fn from_nothing_to_a_change_and_back() {
    let place = Place(std::env::temp_dir().join(format!("causeway-office-{}-commands", std::process::id())));
    fs::create_dir_all(&place.0).expect("a folder");
    place.write("pw", "correct horse battery\n");
    place.write("wrong", "battery horse correct\n");
    place.write("short", "short\n");
    assert!(place.fails(64, &["status"]).contains("causeway office init"));
    let init = ["init", "--tenant", "Petit Shops", "--url", "https://office.petit.example", "--passphrase-file"];
    let init = |file| [&init[..], &[file]].concat();
    assert!(place.fails(64, &init("short")).contains("less than 8 characters"));
    let made = place.ok(&init("pw"));
    assert!(made.starts_with("made  fleet/ (standard.toml to start from, inventory.toml)"), "{made}");
    assert!(place.fails(1, &init("pw")).contains("is there already"));
    let key = fs::metadata(place.0.join("fleet/keys/release-1.key")).expect("a key");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    assert_eq!(place.ok(&["keys", "forget", "root-2"]), "removed fleet/keys/root-2.key\n");
    assert!(!Path::new(&place.0).join("fleet/keys/root-2.key").exists());

    place.write("fleet/inventory.toml", "[sites]\nnantes = { name = \"Nantes\", owner = \"Yann\" }\n");
    place.write("fleet/sites/nantes.toml", "vars = { site_net = \"10.16.1.0/20\" }\n");
    assert!(place.fails(64, &["check"]).contains("site_net"));
    assert!(place.fails(64, &["release", "--passphrase-file", "pw"]).contains("site_net"));
    place.write("fleet/sites/nantes.toml", "vars = { site_net = \"10.16.1.0/24\" }\n");
    assert!(place.ok(&["check"]).contains("fleet: 1 site"));
    assert!(place.fails(1, &["assign", "all"]).contains("nothing is released yet"));
    assert!(place.fails(77, &["release", "--passphrase-file", "wrong"]).contains("does not open release-1"));
    assert!(place.ok(&["preview"]).starts_with("standard 1, the first, 1 branch\n"));
    assert!(place.fails(64, &["claim", "brest"]).contains("there is no site brest"));
    assert!(place.fails(64, &["preview", "--leave-out", "nantes"]).contains("--leave-out"));
    let released = place.ok(&["release", "--ticket", "NET-1", "--passphrase-file", "pw", "--assign", "all"]);
    assert!(
        released.starts_with("signed 1 (") && released.ends_with("roll-out 1: 1 goes to all branches\n"),
        "{released}"
    );
    assert!(place.fails(1, &["assign", "all", "--way-back"]).contains("has no way back"));
    let claim: toml::Table = place.ok(&["claim", "nantes"]).parse().expect("TOML");
    assert_eq!(claim["tenant"].as_str(), Some("petit-shops"));
    let status = place.ok(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!((status["newest"].as_u64(), status["branches"][0]["wanted"].as_u64()), (Some(1), Some(1)));
    assert_eq!(status["branches"][0]["words"], "no gateway yet: causeway office claim nantes > claim.toml");
    assert!(place.ok(&["audit"]).ends_with("the chain is whole: 4 records\n"));

    // A branch with wrong values keeps nobody else waiting.
    place.write(
        "fleet/inventory.toml",
        "[sites]\nnantes = { name = \"Nantes\", owner = \"Yann\" }\nbrest = { name = \"Brest\", owner = \"Luc\" }\n",
    );
    place.write("fleet/sites/brest.toml", "vars = { site_net = \"everywhere\" }\n");
    assert!(place.fails(64, &["release", "--passphrase-file", "pw"]).contains("site_net"));
    let released = place.ok(&["release", "--passphrase-file", "pw", "--leave-out", "brest: no address yet"]);
    assert!(released.starts_with("signed 3 ("), "{released}");
    assert_eq!(place.ok(&["assign", "all"]), "roll-out 2: 3 goes to all branches\n");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    assert!(place.fails(69, &["serve", "--listen", &address]).contains(&format!("cannot listen on {address}")));
}
