//! `docs/first-branches.md`, followed to the letter: every command of its sections with a number is typed at a terminal of
//! head office's machine, in its order, and shows what stands there. The boxes that it claims are real: daemon, `front`,
//! dnsmasq. Only what differs each time is masked, keys, digests, times, and what a person does by hand is done here: the
//! stick is a folder, the editor a script, a claim is copied onto its box.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway::lab::clock;
use causeway::lab::fleet::{Fleet, Hardware};
use causeway::lab::sandbox;

use super::terminal::Session;

const DOCUMENT: &str = include_str!("../../docs/first-branches.md");
const SITES: [&str; 3] = ["nantes", "brest", "lyon"];
const PASSPHRASE: &str = "four words of ours";

/// Lines and ports as the standard has them that head office begins with.
const SAFE: &str = r#"
site = { name = "new box" }
uplinks.fibre = { device = "wan0", medium = "fibre" }
uplinks.lte = { device = "lte0", medium = "lte", metered = { plan = "10GB" } }
networks.office = { ports = ["lan0", "lan1"], vlan = 10, net = "192.168.77.0/24", dhcp = { from = 100, to = 199 } }
"#;

/// What is probed where nobody says what, which the lab's internet lacks; and the name of head office.
const TARGETS: [&str; 6] =
    ["1.1.1.1", "8.8.8.8", "9.9.9.9", "2606:4700:4700::1111", "2001:4860:4860::8888", "2620:fe::fe"];
const HOSTS: &str = "127.0.0.1 localhost\n203.0.113.10 office.petit.example\n";

/// Three branches try a change and watch it, and reports are written down every half minute.
const SHOWN_WITHIN: Duration = Duration::from_secs(180);
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What `$EDITOR` does, as its comment says.
const EDITOR: &str = r#"#!/bin/bash
sed -i 's|to = \["wan"\], allow = \["any"\]|to = ["wan"], allow = ["tcp/80", "tcp/443", "udp/443", "icmp"]|' "$1"
"#;

/// A command as it stands there, and what it prints.
#[derive(Debug)]
struct Step {
    command: String,
    printed: Vec<String>,
}

/// Of the sections with a number; what comes after them says itself that it is not there yet, or takes a second person.
fn steps() -> Vec<Step> {
    let (numbered, rest) = DOCUMENT.split_once("\n## Two people\n").expect("the section after the last number");
    assert!(!rest.contains("\n## 8"), "a section that is not followed");
    let mut steps: Vec<Step> = Vec::new();
    let mut here = false;
    for line in numbered.lines() {
        let Some(code) = line.strip_prefix("    ") else { continue };
        match (code.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => {
                here = command.ends_with("<<END");
                steps.push(Step { command: command.to_owned(), printed: Vec::new() });
            }
            (None, Some(step)) if here => {
                step.command += "\n";
                step.command += code;
                here = code != "END";
            }
            (None, Some(step)) => step.printed.push(code.to_owned()),
            (None, None) => panic!("output without a command: {code}"),
        }
    }
    steps
}

/// What is another one each time.
fn masked(line: &str) -> String {
    let mut words = Vec::new();
    let mut rest = line.trim_end().split(' ').peekable();
    while let Some(word) = rest.next() {
        let bare = word.trim_matches(['(', ')', ';', ',', ':', '.']);
        let is_hex = bare.len() >= 12 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_time = bare.len() == 20 && bare.ends_with('Z') && bare.contains('T');
        let is_number = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
        if is_hex {
            words.push(word.replace(bare, "HEX"));
        } else if is_time {
            words.push("TIME".to_owned());
        } else if bare.starts_with("ed25519:") {
            words.push("KEY".to_owned());
        } else if is_number && matches!(rest.peek(), Some(&("s" | "min"))) {
            rest.next();
            words.push("AGE".to_owned());
        } else if word == "firmware" && rest.next().is_some() {
            words.push("firmware OURS".to_owned());
        } else {
            words.push(word.to_owned());
        }
    }
    words.join(" ")
}

/// A line `…` stands for any lines.
fn matches(wanted: &[String], got: &[String]) -> bool {
    let Some(at) = wanted.iter().position(|line| line.trim() == "…") else { return wanted == got };
    let (before, after) = (&wanted[..at], &wanted[at + 1..]);
    got.len() >= before.len() + after.len() && got.starts_with(before) && got.ends_with(after)
}

struct Office {
    fleet: Fleet,
    folder: PathBuf,
}

impl Drop for Office {
    fn drop(&mut self) {
        self.fleet.members.clear();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Office {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("causeway-letter-{}", std::process::id()));
        fs::create_dir_all(folder.join("stick")).expect("a folder");
        fs::write(folder.join("hosts"), HOSTS).expect("written");
        let program = env!("CARGO_BIN_EXE_causeway");
        // The lab has no resolver that knows head office: its name stands in the box's list of hosts.
        let hosts = folder.join("hosts").display().to_string();
        let boxed = format!(
            "#!/bin/sh\nexec unshare --mount sh -c 'mount --bind {hosts} /etc/hosts && exec {program} \"$@\"' box \"$@\"\n"
        );
        for (name, text) in [("box", boxed.as_str()), ("editor", EDITOR)] {
            fs::write(folder.join(name), text).expect("written");
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        let fleet = Fleet::nothing(&folder, &folder.join("box")).expect("a lab");
        let addresses = TARGETS.map(|target| format!("address add {target} dev lo\n")).concat();
        fleet.internet.ip(&addresses).expect("addresses");
        Self { fleet, folder }
    }

    fn type_in(&self, step: &Step) -> Session {
        let program = Path::new(env!("CARGO_BIN_EXE_causeway")).parent().expect("a folder").display().to_string();
        let path = format!("{program}:{}", std::env::var("PATH").unwrap_or_default());
        let stick = self.folder.join("stick").display().to_string();
        let line = step.command.replace("/media/stick", &stick);
        Session::start(&self.fleet, &line, PASSPHRASE, |command| {
            command.current_dir(&self.folder).env("PATH", &path).env("USER", "anna").env_remove("SUDO_USER");
            command.env("EDITOR", self.folder.join("editor"));
        })
    }

    /// Types it, and compares; an error says what differs.
    fn follow(&self, step: &Step) -> Result<(), String> {
        let (status, shown) = self.type_in(step).finish();
        assert!(status.success(), "$ {}\n{shown}", step.command);
        let lines = |text: &mut dyn Iterator<Item = &str>| text.map(masked).collect::<Vec<_>>();
        let wanted = lines(&mut step.printed.iter().map(String::as_str));
        if matches(&wanted, &lines(&mut shown.lines())) {
            return Ok(());
        }
        Err(format!("$ {}\n--- stands there\n{}\n--- is shown\n{shown}", step.command, step.printed.join("\n")))
    }

    /// The claim goes onto a box, and the box is switched on.
    fn unbox(&mut self, index: usize) {
        let site = SITES[index];
        let claim = fs::read_to_string(self.folder.join(format!("{site}.toml"))).expect("a claim");
        let hardware = Hardware { model: "cw-x1", serial: format!("CWX1-{:04}", 42 + index), safe: SAFE };
        self.fleet.unbox(site, &hardware, &claim).expect("a box");
    }

    fn tend(&mut self) {
        self.fleet.members.iter_mut().for_each(|member| member.tend().expect("front starts"));
    }

    fn last_words(&self) -> String {
        let words = self.fleet.members.iter().map(|member| {
            let why = member.operate(&["config", "why"]).unwrap_or_else(|error| error.to_string());
            format!("{}:\n{why}{}{}", member.name, member.last_words("run.log"), member.last_words("front.log"))
        });
        words.collect()
    }
}

#[test]
fn the_first_branches_are_as_the_document_says() {
    if !sandbox::allowed() {
        eprintln!("skipped: this machine refuses network namespaces");
        return;
    }
    let mut office = Office::new();
    let mut server = None;
    for step in steps() {
        let command = step.command.as_str();
        if command.starts_with("causeway office serve") {
            let session = office.type_in(&step);
            let wanted: Vec<String> = step.printed.iter().map(|line| masked(line)).collect();
            let shown = || session.shown().lines().map(masked).collect::<Vec<_>>() == wanted;
            let served = clock::wait_for(SHOWN_WITHIN, ASK_AGAIN, || shown().then_some(()));
            assert!(served.is_some(), "$ {command}\n{}", session.shown());
            server = Some(session);
        } else if command.starts_with("causeway office status") {
            // What was handed out is fetched, tried, and reported meanwhile.
            let mut differs = String::new();
            let as_it_stands_there = clock::wait_for(SHOWN_WITHIN, ASK_AGAIN, || {
                office.tend();
                differs = office.follow(&step).err().unwrap_or_default();
                differs.is_empty().then_some(())
            });
            assert!(as_it_stands_there.is_some(), "{differs}\n{}", office.last_words());
        } else {
            office.follow(&step).unwrap_or_else(|differs| panic!("{differs}"));
        }
        for (index, site) in SITES.iter().enumerate() {
            if command.ends_with(&format!("> {site}.toml")) && command.contains("claim") {
                office.unbox(index);
            }
        }
    }
    assert!(server.is_some() && office.fleet.members.len() == SITES.len(), "the document has lost a step");
}
