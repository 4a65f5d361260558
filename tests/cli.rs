//! The real binary against a fake daemon: what it prints where, and how it ends.

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use causeway::control::protocol::{Refusal, RefusalKind, Reply};
use support::{Daemon, Folder, event};

fn causeway(socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
    command.args(args).arg("--socket").arg(socket).env("TZ", "UTC").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

fn run(socket: &Path, args: &[&str]) -> Output {
    causeway(socket, args).output().expect("the binary runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal")
}

fn out(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("text")
}

fn err(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("text")
}

#[test]
fn help_names_every_exit_code() {
    let output = run(Path::new("/nonexistent"), &["--help"]);
    assert_eq!(code(&output), 0);
    insta::assert_snapshot!(out(&output));
}

#[test]
fn wrong_usage_is_64_and_nothing_on_stdout() {
    let daemon = Daemon::start();
    for args in [
        &["nonsense"][..],
        &[],
        &["use"],
        &["use", "lte0", "1h"],
        &["use", "lte0", "for", "soon"],
        &["use", "lte0", "until", "1h"],
        &["use", "auto", "for", "1h"],
        &["events", "--since", "yesterday"],
        &["status", "--check", "--json"],
    ] {
        let output = run(&daemon.socket, args);
        assert_eq!((code(&output), out(&output)), (64, ""), "{args:?}: {}", err(&output));
        assert!(!err(&output).is_empty());
    }
}

#[test]
fn without_a_daemon_it_is_69_with_cause_and_hint() {
    let folder = Folder::new();
    for args in [&["status"][..], &["why"], &["events"], &["use", "lte0"], &["lock"], &["drill", "lte0"]] {
        let output = run(&folder.socket(), args);
        assert_eq!((code(&output), out(&output)), (69, ""), "{args:?}");
        let text = err(&output).replace(&folder.socket().display().to_string(), "SOCKET");
        assert_eq!(
            text,
            "error: the daemon is not running\n  caused by: No such file or directory (os error 2)\n  \
             hint: systemctl status causeway; its socket is expected at SOCKET\n"
        );
    }
}

#[test]
fn without_a_daemon_the_ledger_is_read_from_its_folder() {
    let folder = Folder::new();
    for args in [&["outages"][..], &["report"]] {
        let output = run(&folder.socket(), args);
        assert_eq!((code(&output), out(&output)), (69, ""), "{args:?}");
        let hint = "  hint: without the daemon: --state DIR, the folder with its ledger (/var/lib/causeway)\n";
        assert!(err(&output).ends_with(hint), "{}", err(&output));
    }
}

#[test]
fn check_has_its_own_codes() {
    let folder = Folder::new();
    let output = run(&folder.socket(), &["status", "--check"]);
    assert_eq!((code(&output), out(&output)), (3, "UNKNOWN: error: the daemon is not running\n"));
    let daemon = Daemon::start();
    let output = run(&daemon.socket, &["status", "--check"]);
    assert_eq!(code(&output), 1);
    assert_eq!(out(&output), "WARNING: Lyon-Bellecour internet backup on lte0; wan1 (ipv4) down\n");
}

#[test]
fn status_and_why_go_to_stdout() {
    let daemon = Daemon::start();
    let output = run(&daemon.socket, &["status"]);
    assert_eq!((code(&output), err(&output)), (0, ""));
    assert!(out(&output).starts_with("Lyon-Bellecour   ON BACKUP"), "{}", out(&output));
    assert!(!out(&output).contains('\x1b'), "colour only on a terminal");
    let output = run(&daemon.socket, &["status", "--color", "always"]);
    assert!(out(&output).contains('\x1b'));
    let output = run(&daemon.socket, &["why", "wan1"]);
    assert!(out(&output).starts_with("wan1 (ipv4) DOWN"), "{}", out(&output));
    let output = run(&daemon.socket, &["why", "wan9"]);
    assert_eq!((code(&output), err(&output)), (1, "error: there is no uplink \"wan9\"\n  hint: uplinks: wan1, lte0\n"));
}

#[test]
fn json_begins_with_its_version_and_fits_the_schema_file() {
    let daemon = Daemon::start();
    let output = run(&daemon.socket, &["status", "--json"]);
    assert!(out(&output).starts_with("{\n  \"schema_version\": 1,"), "{}", out(&output));
    let status: causeway::control::status::Status = serde_json::from_str(out(&output)).expect("JSON");
    assert_eq!(status, support::canned());
    fits(&schemars::schema_for!(causeway::control::status::Status), "status.schema.json");
}

#[test]
fn why_as_json_has_what_the_words_are_made_of() {
    let daemon = Daemon::start();
    let output = run(&daemon.socket, &["why", "--json"]);
    assert_eq!((code(&output), err(&output)), (0, ""));
    assert!(out(&output).starts_with("{\n  \"schema_version\": 1,"), "{}", out(&output));
    let why: serde_json::Value = serde_json::from_str(out(&output)).expect("JSON");
    assert_eq!(
        (&why["uplinks"][0]["name"], &why["uplinks"][0]["answered_through"][0]),
        (&"wan1".into(), &"lte0".into())
    );
    assert_eq!(why["uplinks"].as_array().map(Vec::len), Some(1), "lte0 is simply up");
    assert_eq!(why["uplinks"][0]["families"][0]["evidence"]["cause"], "path");
    assert_eq!(why["last_switch"]["reason"], "down");

    let one = run(&daemon.socket, &["why", "lte0", "--json"]);
    let one: serde_json::Value = serde_json::from_str(out(&one)).expect("JSON");
    assert_eq!((&one["uplinks"][0]["name"], one["uplinks"].as_array().map(Vec::len)), (&"lte0".into(), Some(1)));
    assert_eq!(code(&run(&daemon.socket, &["why", "wan9", "--json"])), 1);
    fits(&schemars::schema_for!(causeway::cli::render::why::Why<'_>), "why.schema.json");
}

/// What `causeway report --format json` prints is the type itself.
#[test]
fn a_report_as_json_is_described() {
    fits(&schemars::schema_for!(causeway::ledger::report::Report), "report.schema.json");
}

#[test]
fn version_as_json_begins_with_its_version() {
    let daemon = Daemon::start();
    let output = run(&daemon.socket, &["version", "--json"]);
    let version = env!("CARGO_PKG_VERSION");
    let said =
        format!("{{\n  \"schema_version\": 1,\n  \"version\": \"{version}\",\n  \"daemon\": \"{version}\"\n}}\n");
    assert_eq!((code(&output), out(&output)), (0, said.as_str()));
    let folder = Folder::new();
    let output = run(&folder.socket(), &["version", "--json"]);
    assert!(code(&output) == 0 && out(&output).contains("\"daemon\": null"), "{}", out(&output));
}

/// `docs/schema/` says what the types say.
fn fits(schema: &schemars::Schema, name: &str) {
    let schema = format!("{}\n", serde_json::to_string_pretty(schema).expect("plain data"));
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema").join(name);
    if std::fs::read_to_string(&kept).unwrap_or_default() != schema {
        let fresh = std::env::temp_dir().join(name);
        std::fs::write(&fresh, &schema).expect("a writable folder");
        panic!("docs/schema/{name} is not what the types say; see {}", fresh.display());
    }
}

/// A command as its words after `causeway`, and what its help says.
struct Verb {
    words: Vec<String>,
    help: String,
}

impl Verb {
    fn new(words: Vec<String>) -> Self {
        let asked: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let output = run(Path::new("/nonexistent"), &asked);
        assert_eq!(code(&output), 0, "{asked:?}: {}", err(&output));
        Self { words, help: out(&output).to_owned() }
    }

    fn commands(&self) -> Vec<&str> {
        let lines =
            self.help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        // What is further in goes on with the line before.
        lines
            .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.split(' ').next())
            .collect()
    }

    fn options(&self) -> Vec<&str> {
        let lines = self.help.lines().skip_while(|line| *line != "Options:").map(str::trim_start);
        let named = lines.filter(|line| line.starts_with('-')).flat_map(str::split_whitespace);
        named.filter(|word| word.starts_with("--")).collect()
    }
}

/// `causeway` itself and all that its help leads to.
fn verbs() -> Vec<Verb> {
    let mut verbs = vec![Verb::new(Vec::new())];
    let mut next = 0;
    while let Some(verb) = verbs.get(next) {
        let words = |name: &&str| verb.words.iter().map(String::as_str).chain([*name]).map(str::to_owned).collect();
        let nested: Vec<_> = verb.commands().iter().map(words).collect();
        verbs.extend(nested.into_iter().map(Verb::new));
        next += 1;
    }
    assert!(verbs.len() > 40 && verbs.iter().any(|verb| verb.words == ["office", "keys", "forget"]));
    verbs
}

/// As a reader sees it: without the marks of roff, of which only these may be there.
fn plain(page: &str) -> String {
    let marks = [("\\-", "-"), ("\\fB", ""), ("\\fI", ""), ("\\fR", ""), ("\\*(Aq", "'"), ("\\(bu", "*"), ("\\.", ".")];
    // The first two lines make a straight quote of the terminal.
    let text: String = page.lines().skip(2).flat_map(|line| [line, "\n"]).collect();
    marks.iter().fold(text, |text, (mark, seen)| text.replace(mark, seen))
}

#[test]
fn every_command_has_a_page_of_the_manual() {
    let nowhere = Path::new("/nonexistent");
    let state = Folder::new();
    let folder = state.socket().with_file_name("share").join("man1");
    let made = run(nowhere, &["man", &folder.display().to_string()]);
    assert_eq!((code(&made), out(&made)), (0, ""), "{}", err(&made));
    let mut wanted = std::collections::BTreeSet::new();
    for verb in verbs() {
        let words: Vec<&str> = ["causeway"].into_iter().chain(verb.words.iter().map(String::as_str)).collect();
        let (name, typed) = (words.join("-"), words.join(" "));
        let page = std::fs::read_to_string(folder.join(format!("{name}.1")));
        let page = plain(&page.unwrap_or_else(|error| panic!("{name}: {error}")));
        let section = |title: &str| {
            let part =
                page.split(&format!(".SH {title}\n")).nth(1).unwrap_or_else(|| panic!("{name}: no {title}\n{page}"));
            part.split("\n.SH ").next().unwrap_or_default()
        };
        assert!(page.starts_with(&format!(".TH {name} 1 ")), "{page}");
        // Help breaks its lines where they are full.
        let about = verb.help.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        assert_eq!(section("NAME").trim_end(), format!("{name} - {about}"));
        assert!(section("SYNOPSIS").starts_with(&typed), "{name}: {}", section("SYNOPSIS"));
        assert!(verb.options().contains(&"--help"), "{name}: {:?}", verb.options());
        for option in verb.options() {
            assert!(section("OPTIONS").contains(option), "{name} says nothing of {option}");
        }
        for command in verb.commands() {
            let named = format!("{name}-{command}(1)\n");
            assert!(section("SUBCOMMANDS").contains(&named), "{name} says nothing of {command}");
        }
        for leftover in ["\\", "{", "}", "TODO", "None"] {
            assert!(!page.contains(leftover), "{name}: {leftover} in\n{page}");
        }
        wanted.insert(format!("{name}.1"));
    }
    let there = std::fs::read_dir(&folder).expect("it was made");
    let there = there.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    assert_eq!(wanted, there);
    let page = run(nowhere, &["man"]);
    let whole = std::fs::read_to_string(folder.join("causeway.1")).expect("it was made");
    assert_eq!((code(&page), out(&page)), (0, whole.as_str()), "{}", err(&page));
}

/// In a real bash, as if somebody had pressed TAB after these words.
#[test]
fn bash_offers_every_command_at_its_place() {
    let verbs = verbs();
    let mut script = "source <(\"$CAUSEWAY\" completions bash)\n\
        offer() { COMP_WORDS=(causeway \"$@\"); COMP_CWORD=$#; COMPREPLY=()\n\
        _causeway causeway \"${COMP_WORDS[-1]}\" \"${COMP_WORDS[-2]}\"; echo \"${COMPREPLY[*]}\"; }\n\
        complete -p causeway\n"
        .to_owned();
    for verb in &verbs {
        script += &format!("offer {} ''\n", verb.words.join(" "));
    }
    script += "offer config ch\noffer report --format ''\noffer --socket /run/x office keys fo\n";
    let output = Command::new("bash")
        .args(["--norc", "-eu", "-c", &script])
        .env("CAUSEWAY", env!("CARGO_BIN_EXE_causeway"))
        .output()
        .expect("bash is there");
    assert_eq!((code(&output), err(&output)), (0, ""));
    let mut lines = out(&output).lines();
    assert!(lines.next().is_some_and(|line| line.contains("-F _causeway")), "{}", out(&output));
    for verb in &verbs {
        let offered = lines.next().unwrap_or_default().split(' ').filter(|word| !word.starts_with('-'));
        let offered: Vec<&str> = offered.collect();
        // Where there are none, it offers what the word may be: a shell's name after `completions`.
        if !verb.commands().is_empty() {
            assert_eq!(offered, verb.commands(), "after causeway {}", verb.words.join(" "));
        }
    }
    assert_eq!(lines.collect::<Vec<_>>(), ["check", "text html csv json", "forget"]);
}

#[test]
fn zsh_and_fish_know_every_command() {
    for shell in ["zsh", "fish"] {
        let script = run(Path::new("/nonexistent"), &["completions", shell]);
        assert_eq!(code(&script), 0, "{}", err(&script));
        let said = out(&script);
        assert!(verbs().iter().flat_map(|verb| verb.words.clone()).all(|word| said.contains(&word)), "{shell}");
        assert!(!said.contains("factory config"), "{shell} offers what only a unit starts");
    }
    assert_eq!(code(&run(Path::new("/nonexistent"), &["completions", "tcsh"])), 64);
}

#[test]
fn a_ledger_can_be_read_without_a_daemon() {
    let folder = Folder::new();
    let state = folder.socket().parent().expect("a folder").join("state");
    let missing = run(&folder.socket(), &["outages", "--state", &state.display().to_string()]);
    assert_eq!((code(&missing), out(&missing)), (1, ""));
    assert!(err(&missing).contains("cannot read the ledger in"), "{}", err(&missing));
    let wrong = run(&folder.socket(), &["report", "--month", "October"]);
    assert_eq!((code(&wrong), out(&wrong)), (64, ""));
    std::fs::create_dir_all(&state).expect("a folder");
    let file = state.join("no.tar");
    std::fs::write(&file, "not a tar").expect("a file");
    let doubted = run(&folder.socket(), &["report", "verify", &file.display().to_string()]);
    assert_eq!((code(&doubted), out(&doubted)), (65, ""));
    assert!(err(&doubted).starts_with("error: it is not a file of evidence"), "{}", err(&doubted));
}

#[test]
fn changes_print_the_answer_or_say_why_not() {
    let daemon = Daemon::start();
    let root = nix::unistd::geteuid().is_root();
    let output = run(&daemon.socket, &["use", "lte0", "for", "1h"]);
    if !root {
        assert_eq!(code(&output), 77);
        return;
    }
    assert_eq!((code(&output), out(&output)), (0, "lte0 is preferred.\n"));
    assert_eq!(code(&run(&daemon.socket, &["use", "auto"])), 0);
    assert_eq!(code(&run(&daemon.socket, &["lock"])), 0);
    assert_eq!(code(&run(&daemon.socket, &["unlock"])), 0);
    let output = run(&daemon.socket, &["use", "wan9"]);
    assert_eq!((code(&output), err(&output)), (1, "error: there is no such uplink\n"));
    let output = run(&daemon.socket, &["drill", "lte0"]);
    assert_eq!((code(&output), err(&output)), (75, "error: lte0 is not up\n"));
}

#[test]
fn a_refusal_of_permission_is_77() {
    let daemon = Daemon::with(|_, _| {
        let refusal = Refusal::new(RefusalKind::NotPermitted, "guest may not change this").hint("run it as root");
        Some(Reply::Refused(refusal).into())
    });
    let output = run(&daemon.socket, &["status"]);
    let said = "error: guest may not change this\n  hint: run it as root\n";
    assert_eq!((code(&output), err(&output)), (77, said));
}

#[test]
fn version_works_without_a_daemon() {
    let folder = Folder::new();
    let output = run(&folder.socket(), &["version"]);
    let said = format!("causeway {}\ndaemon   does not answer\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((code(&output), out(&output)), (0, said.as_str()));
}

#[test]
fn events_follow_until_the_reader_has_gone() {
    let daemon = Daemon::start();
    let mut child =
        causeway(&daemon.socket, &["events", "--follow"]).stdout(Stdio::piped()).spawn().expect("the binary runs");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    assert!(line.ends_with("uplink.state        wan1 (ipv4) up → down: 3 of 3 targets silent 0.38 s\n"), "{line}");
    daemon.live.send(event(2, "second")).expect("it follows");
    line.clear();
    lines.read_line(&mut line).expect("a line");
    assert!(line.ends_with("second\n"), "{line}");
    drop(lines);
    // It notices with the next line; a closed pipe is no error.
    let mut ended = None;
    for seq in 3..1_000 {
        let _ = daemon.live.send(event(seq, "more"));
        ended = child.try_wait().expect("it is our child");
        if ended.is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
}

#[test]
fn events_as_json_are_one_object_a_line() {
    let daemon = Daemon::start();
    let output = run(&daemon.socket, &["events", "--since", "1h", "--json"]);
    let lines: Vec<serde_json::Value> =
        out(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), &lines[0]["kind"]), (1, &"uplink.state".into()));
    assert!(out(&output).starts_with("{\"schema_version\":1,"));
}

#[test]
fn watch_without_a_terminal_prints_lines() {
    let daemon = Daemon::start();
    let mut child = causeway(&daemon.socket, &["watch"]).stdout(Stdio::piped()).spawn().expect("the binary runs");
    let mut first = [0; 14];
    child.stdout.as_mut().expect("it is piped").read_exact(&mut first).expect("a headline");
    assert_eq!(&first, b"Lyon-Bellecour");
    child.kill().expect("it is our child");
    child.wait().expect("it is our child");
}
