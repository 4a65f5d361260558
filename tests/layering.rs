//! Logic decides, edges touch the world, roles join them. Read here what may stand where; a new file counts as logic
//! until it carries the name of an edge or is listed below.

mod source;

use source::{Source, sources};

/// Names in a path that make a file an edge: it may touch sockets, files and clocks.
const EDGES: [&str; 7] = ["io", "netlink", "nft", "conntrack", "programs", "store", "spool"];

/// What joins edges and logic: may use all of both.
const JOINS: [&str; 12] = [
    "src/main.rs",
    "src/cli/",
    "src/daemon/",
    "src/fence",
    "src/inherited.rs",
    "src/tls.rs",
    "src/front/http",
    "src/front/client",
    "src/lab/",
    "src/office/",
    "src/apply/exec.rs",
    "src/apply/services/mod.rs",
];

/// What logic must not name, and why.
const FORBIDDEN: [(&str, &str); 18] = [
    ("tokio", "logic is stepped by its caller; waiting and tasks are the daemon's"),
    ("std::fs", "files are read and written by edges, so that logic runs in the simulator"),
    ("std::env", "what it says is an argument, checked by cli"),
    ("std::io", "bytes come in as slices"),
    ("std::process", "processes are started in one reviewed place"),
    ("std::thread", "logic has no threads: the same events give the same decisions"),
    ("std::net::TcpStream", "sockets belong to edges"),
    ("std::net::TcpListener", "sockets belong to edges"),
    ("std::net::UdpSocket", "sockets belong to edges"),
    ("std::os::unix::net", "sockets belong to edges"),
    ("std::time::Instant", "use crate::time::Instant: it can be written down, and comes in as an argument"),
    ("std::time::SystemTime", "nothing that decides looks at the wall clock"),
    ("socket2", "sockets belong to edges"),
    ("nix", "system calls belong to edges"),
    ("tracing", "logic says what happened with facts; the daemon writes the log"),
    ("std::collections::HashMap", "its order differs from run to run, so no replay is the same: use BTreeMap"),
    ("std::collections::HashSet", "its order differs from run to run, so no replay is the same: use BTreeSet"),
    ("rand::rng", "randomness is a seed, so that a run can be repeated"),
];

/// What we know of: file and path.
const KNOWN: [(&str, &str); 1] = [
    // A type that the nftables crate asks for; it holds one flag.
    ("src/kernel/ruleset/expression.rs", "std::collections::HashSet"),
];

#[test]
fn logic_does_not_touch_the_world() {
    let mut faults = Vec::new();
    for source in logic() {
        for (line, path) in source.paths() {
            for (name, why) in FORBIDDEN {
                if is_within(&path, name) && !KNOWN.contains(&(source.file.as_str(), name)) {
                    faults.push(format!("{}:{line}: {name}: {why}", source.file));
                }
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn logic_does_not_know_who_uses_it() {
    let mut faults = Vec::new();
    for source in logic().chain(sources().filter(|source| is_edge(&source.file) && !joins(&source.file))) {
        for (line, path) in source.paths() {
            for user in ["crate::daemon", "crate::cli", "crate::lab", "crate::office", "crate::front"] {
                let own = source.file.starts_with(&format!("src/{}", &user["crate::".len()..]));
                if is_within(&path, user) && !own && !KNOWN.contains(&(source.file.as_str(), path.as_str())) {
                    faults
                        .push(format!("{}:{line}: {path}: it would need the whole program to be tested", source.file));
                }
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn edges_do_not_know_each_other() {
    // Whoever needs a process asks the one reviewed file for it.
    let edges: Vec<String> =
        sources().filter_map(|source| edge_of(&source.file)).filter(|edge| edge != "crate::kernel::programs").collect();
    let mut faults = Vec::new();
    for source in sources().filter(|source| !joins(&source.file)) {
        let Some(own) = edge_of(&source.file) else { continue };
        for (line, path) in source.paths() {
            if let Some(other) = edges.iter().find(|edge| is_within(&path, edge) && **edge != own) {
                faults.push(format!("{}:{line}: uses {other}: join them in apply, daemon or front", source.file));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn the_lab_is_used_by_the_command_line_only() {
    let mut faults = Vec::new();
    for source in
        sources().filter(|source| !source.file.starts_with("src/lab/") && !source.file.starts_with("src/cli/"))
    {
        for (line, path) in source.paths().filter(|(_, path)| is_within(path, "crate::lab")) {
            faults.push(format!("{}:{line}: {path}: the lab is not in the gateway's program", source.file));
        }
    }
    assert_none(&faults);
}

#[test]
fn processes_are_started_in_two_reviewed_files() {
    let mut faults = Vec::new();
    // The daemon's, and a person's session.
    let reviewed = ["src/kernel/programs.rs", "src/cli/shell/programs.rs"];
    let may = |file: &str| reviewed.contains(&file) || file.starts_with("src/lab/");
    for source in sources().filter(|source| !may(&source.file)) {
        for (line, path) in source.paths() {
            let starts = ["std::process::Command", "tokio::process", "nix::unistd::fork", "nix::unistd::execve"];
            if starts.iter().any(|start| is_within(&path, start)) {
                faults.push(format!(
                    "{}:{line}: {path}: only {} start processes, without a shell",
                    source.file,
                    reviewed.join(" and ")
                ));
            }
        }
    }
    assert_none(&faults);
}

/// The lab may have more: it is not in the gateway's program.
const UNSAFE_MOST: usize = 5;

#[test]
fn unsafe_code_is_rare_noted_and_in_edges() {
    let mut places = Vec::new();
    let mut faults = Vec::new();
    for source in sources().filter(|source| !source.file.starts_with("src/lab/")) {
        for (line, text) in source.lines().filter(|(_, text)| text.contains("unsafe_code")) {
            places.push(format!("{}:{line}", source.file));
            if !text.contains("expect(unsafe_code, reason") {
                faults.push(format!("{}:{line}: say why: #[expect(unsafe_code, reason = …)]", source.file));
            }
            if !is_edge(&source.file) && !joins(&source.file) {
                faults.push(format!("{}:{line}: unsafe code belongs to edges", source.file));
            }
        }
    }
    if places.len() > UNSAFE_MOST {
        faults.push(format!("{} places with unsafe code, at most {UNSAFE_MOST}: {places:?}", places.len()));
    }
    assert_none(&faults);
}

#[test]
fn this_test_finds_what_it_looks_for() {
    let source = Source::new(
        "src/policy/mod.rs",
        "// tokio in a comment\nuse std::{fs, net::{IpAddr, UdpSocket}};\nlet a = \"tokio::spawn\";\n\
         fn f<'a>(c: char) -> bool { c == '\"' && tokio::spawn(super::x::y) }\n\
         #[cfg(test)]\nmod tests { use tokio::test; }\n",
    );
    let found: Vec<(usize, String)> = source.paths().collect();
    for (line, path) in
        [(2, "std::fs"), (2, "std::net::IpAddr"), (2, "std::net::UdpSocket"), (4, "tokio::spawn"), (4, "crate::x::y")]
    {
        assert!(found.contains(&(line, path.to_owned())), "{path} in {found:?}");
    }
    assert!(!found.iter().any(|(line, path)| path.contains("tokio") && *line != 4), "{found:?}");
    assert_eq!(edge_of("src/probe/io/tcp.rs").as_deref(), Some("crate::probe::io"));
    assert_eq!(edge_of("src/kernel/nft.rs").as_deref(), Some("crate::kernel::nft"));
    assert_eq!(edge_of("src/kernel/ruleset/nat.rs"), None);
    assert!(sources().count() > 30 && logic().any(|source| source.file == "src/engine/mod.rs"));
}

fn logic() -> impl Iterator<Item = Source> {
    sources().filter(|source| !is_edge(&source.file) && !joins(&source.file))
}

fn joins(file: &str) -> bool {
    JOINS.iter().any(|join| file.starts_with(join))
}

fn is_edge(file: &str) -> bool {
    edge_of(file).is_some()
}

/// The path of the module that is the edge to which this file belongs.
fn edge_of(file: &str) -> Option<String> {
    let parts: Vec<&str> = file.strip_prefix("src/")?.split('/').collect();
    let at = parts.iter().position(|part| EDGES.contains(&part.strip_suffix(".rs").unwrap_or(part)))?;
    let module: Vec<&str> = parts[..=at].iter().map(|part| part.strip_suffix(".rs").unwrap_or(part)).collect();
    Some(format!("crate::{}", module.join("::")))
}

fn is_within(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
