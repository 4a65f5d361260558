//! What our dependencies may be, as `deny.toml` says: licences, sources, banned crates, versions side by side, and how
//! many there are. `cargo deny` reads the same file; this needs nothing installed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

/// Crates that are built into or for the gateway's program, which comes without the lab. Growth is argued in the change that brings it.
const GATEWAY_CRATES_MOST: usize = 225;
const KNOWN_SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Deny {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Noted>,
    skip: Vec<Noted>,
}

#[derive(Deserialize)]
struct Noted {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
    /// Who may bring it all the same, but not into the gateway's program.
    #[serde(default)]
    wrappers: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[test]
fn every_crate_comes_from_the_one_known_source() {
    for package in packages(&[]) {
        let known = package.source.as_deref().is_none_or(|source| source == KNOWN_SOURCE);
        assert!(known, "{} comes from {:?}", package.name, package.source);
        assert!(package.source.is_some() || package.name == "causeway", "{} is a folder", package.name);
    }
}

#[test]
fn every_licence_is_on_the_list() {
    let allowed = deny().licenses.allow;
    for Package { name, version, license, .. } in packages(&[]) {
        let license = license.unwrap_or_else(|| panic!("{name} {version} names no licence"));
        assert!(is_allowed(&license, &allowed), "{name} {version} is {license}, which deny.toml does not allow");
    }
}

#[test]
fn no_banned_crate_came_in() {
    let banned: BTreeMap<String, Noted> = deny().bans.deny.into_iter().map(|ban| (ban.name.clone(), ban)).collect();
    for (name, users) in users() {
        let Some(Noted { reason, wrappers, .. }) = banned.get(&name) else { continue };
        let others: Vec<&String> = users.difference(wrappers).collect();
        assert!(others.is_empty(), "{name} is banned: {reason}; {others:?} brings it");
    }
    for package in packages(&["--no-default-features"]) {
        if let Some(Noted { reason, .. }) = banned.get(&package.name) {
            panic!("{} is banned: {reason}; `cargo tree -i {}` shows who brings it", package.name, package.name);
        }
    }
}

#[test]
fn versions_side_by_side_have_a_note_and_no_note_is_left_over() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages(&[]) {
        versions.entry(package.name).or_default().insert(package.version);
    }
    let mut notes: BTreeSet<String> = BTreeSet::new();
    for note in deny().bans.skip {
        assert!(note.reason.len() > 10, "{} needs a reason", note.name);
        notes.insert(note.name);
    }
    for (name, versions) in &versions {
        let noted = versions.iter().filter(|version| notes.remove(&format!("{name}@{version}"))).count();
        assert!(
            noted + 1 >= versions.len(),
            "{name} is there as {versions:?}: agree on one, or note all but one in deny.toml"
        );
        assert!(noted < versions.len(), "all versions of {name} are noted in deny.toml: take one note out");
    }
    assert!(notes.is_empty(), "deny.toml notes what is not there: {notes:?}");
}

#[test]
fn the_gateway_has_no_more_crates_than_argued() {
    let count = packages(&["--no-default-features"]).len();
    assert!(count <= GATEWAY_CRATES_MOST, "{count} crates, at most {GATEWAY_CRATES_MOST}: is the new one worth it?");
}

/// The fuzz targets are a workspace of their own, which nothing else builds: a crate that comes in or goes is missed there.
#[test]
fn the_fuzz_targets_lock_the_crates_that_we_use() {
    let read = |path: &str| -> toml::Table {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::read_to_string(path).expect("a file").parse().expect("TOML")
    };
    let (manifest, locked) = (read("Cargo.toml"), read("fuzz/Cargo.lock"));
    let wanted = manifest["dependencies"].as_table().expect("a table").iter();
    let is_optional = |it: &toml::Value| it.get("optional").and_then(toml::Value::as_bool).unwrap_or_default();
    let wanted: BTreeSet<&str> = wanted.filter(|(_, it)| !is_optional(it)).map(|(name, _)| name.as_str()).collect();
    let ours = locked["package"].as_array().expect("a list").iter().find(|it| it["name"].as_str() == Some("causeway"));
    let ours = ours.expect("the program itself")["dependencies"].as_array().expect("a list").iter();
    // A name that is there twice has its version behind it.
    let locked: BTreeSet<&str> = ours.filter_map(|it| it.as_str()?.split(' ').next()).collect();
    assert_eq!(locked, wanted, "run: cd fuzz && cargo update --workspace");
}

#[test]
fn licence_expressions_are_read_right() {
    let allowed = ["MIT", "ISC"].map(str::to_owned).into();
    for (expression, right) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT/Apache-2.0", true),
        ("MIT OR GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("GPL-3.0 OR MIT AND ISC", true),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("(GPL-3.0 OR MIT) AND GPL-2.0", false),
        ("Apache-2.0 WITH LLVM-exception", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), right, "{expression}");
    }
}

fn deny() -> Deny {
    toml::from_str(include_str!("../deny.toml")).expect("deny.toml is as this test reads it")
}

/// All that is built for the systems we build for, ourselves included.
fn packages(features: &[&str]) -> BTreeSet<Package> {
    deny().graph.targets.iter().flat_map(|target| packages_for(target, features)).collect()
}

/// By crate, who asks for it in the whole build.
fn users() -> BTreeMap<String, BTreeSet<String>> {
    let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for target in deny().graph.targets {
        let metadata = metadata(&target, &[]);
        let reachable = reachable(&metadata, true);
        for node in metadata["resolve"]["nodes"].as_array().expect("a resolved graph") {
            let id = node["id"].as_str().expect("an id");
            if !reachable.contains(id) {
                continue;
            }
            for dependency in node["deps"].as_array().expect("a list") {
                let brought = dependency["pkg"].as_str().expect("an id");
                users.entry(name_of(&metadata, brought)).or_default().insert(name_of(&metadata, id));
            }
        }
    }
    users
}

fn name_of(metadata: &Value, id: &str) -> String {
    let packages = metadata["packages"].as_array().expect("a list");
    let package = packages.iter().find(|package| package["id"] == id).expect("each id has its package");
    package["name"].as_str().expect("a name").to_owned()
}

fn metadata(target: &str, features: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", target])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn packages_for(target: &str, features: &[&str]) -> Vec<Package> {
    let metadata = metadata(target, features);
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let wanted = reachable(&metadata, features.is_empty());
    let package = |value: Value| Package {
        name: text(&value["name"]).expect("a name"),
        version: text(&value["version"]).expect("a version"),
        license: text(&value["license"]),
        source: text(&value["source"]),
    };
    let wanted = |value: &Value| wanted.contains(value["id"].as_str().expect("an id"));
    list(&metadata["packages"]).into_iter().filter(wanted).map(package).collect()
}

/// Ids of what the root needs, with or without what only its tests need.
fn reachable(metadata: &Value, with_tests: bool) -> BTreeSet<String> {
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("a resolved graph")
        .iter()
        .map(|node| (node["id"].as_str().expect("an id"), node))
        .collect();
    let mut found = BTreeSet::new();
    let mut next = vec![metadata["resolve"]["root"].as_str().expect("a root")];
    while let Some(id) = next.pop() {
        if !found.insert(id.to_owned()) {
            continue;
        }
        for dependency in nodes[id]["deps"].as_array().expect("a list") {
            let kinds = dependency["dep_kinds"].as_array().expect("a list");
            if with_tests || kinds.iter().any(|kind| kind["kind"] != "dev") {
                next.push(dependency["pkg"].as_str().expect("an id"));
            }
        }
    }
    found
}

/// An SPDX expression, with the old `/` for `OR`. `AND` binds closer. An exception only adds rights, but is a licence of its own here.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let allows = any_of(&mut words, allowed);
    assert!(words.next().is_none(), "no licence expression: {expression}");
    allows
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut allows = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        allows |= all_of(words, allowed);
    }
    allows
}

fn all_of(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut allows = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        allows &= one(words, allowed);
    }
    allows
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let word = words.next().expect("a licence");
    if word == "(" {
        let allows = any_of(words, allowed);
        assert_eq!(words.next(), Some(")"), "a closing bracket");
        return allows;
    }
    let with = words.next_if_eq(&"WITH").map(|_| words.next().expect("an exception"));
    allowed.contains(&with.map_or_else(|| word.to_owned(), |exception| format!("{word} WITH {exception}")))
}
