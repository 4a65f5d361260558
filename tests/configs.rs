//! Everything under `configs/`: examples load, bad files give their exact message, schema and reference agree with the
//! code, and no input makes the parser panic. `UPDATE_MESSAGES=1 cargo test --test configs` rewrites what is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use causeway::cli::config as command;
use causeway::config::fleet::Fleet;
use causeway::config::{self, Faults, Kind};
use proptest::prelude::*;
use serde_json::Value as Json;

#[test]
fn every_example_loads() {
    let examples = files("configs/examples", "toml");
    assert!(examples.len() >= 3);
    for file in examples {
        if let Err(faults) = config::parse(&shown(&file), &read(&file)) {
            panic!("{faults}");
        }
    }
    let fleets = folders("configs/examples");
    assert!(fleets.len() >= 2);
    for folder in fleets {
        let fleet = fleet(&folder).unwrap_or_else(|faults| panic!("{faults}"));
        for site in &fleet.sites {
            let branch = fleet.branch(site).unwrap_or_else(|error| panic!("{}: {error}", site.name));
            assert_eq!(branch.gateway.site.name, site.identity.name);
        }
    }
}

#[test]
fn every_bad_file_gives_its_message() {
    let bad = files("configs/invalid", "toml");
    assert!(bad.len() >= 60, "{} files", bad.len());
    for file in &bad {
        let name = shown(file);
        let Err(faults) = config::parse(&name, &read(file)) else { panic!("{name} has no fault") };
        let kind = name.trim_end_matches(".toml").split("--").next().expect("a part");
        assert!(faults.faults.iter().any(|fault| fault.kind.name() == kind), "{name} is not about {kind}:\n{faults}");
        compare(&file.with_extension("msg"), &faults.to_string());
    }
    for message in files("configs/invalid", "msg") {
        assert!(message.with_extension("toml").exists(), "{} has no file", message.display());
    }
}

/// A standard alone is a file, what takes a whole fleet is a folder; both have their message beside them.
#[test]
fn every_bad_fleet_gives_its_message() {
    let bad = "configs/invalid/fleet";
    for case in files(bad, "toml").into_iter().chain(folders(bad)) {
        let name = shown(&case);
        let faults = if case.is_dir() {
            fleet(&case).err()
        } else {
            config::fleet::check_standard_file(&name, &read(&case)).err()
        };
        let Some(faults) = faults else { panic!("{name} has no fault") };
        let kind = name.trim_end_matches(".toml").split("--").next().expect("a part");
        assert!(faults.faults.iter().any(|fault| fault.kind.name() == kind), "{name} is not about {kind}:\n{faults}");
        compare(&case.with_extension("msg"), &faults.to_string());
    }
    for message in files(bad, "msg") {
        let case = message.with_extension("");
        assert!(case.is_dir() || case.with_extension("toml").exists(), "{} has no case", message.display());
    }
}

#[test]
fn every_rule_has_a_bad_file() {
    let mut bad = files("configs/invalid", "toml");
    bad.extend(files("configs/invalid/fleet", "toml"));
    bad.extend(folders("configs/invalid/fleet"));
    let bad: Vec<String> = bad.iter().map(|file| shown(file).trim_end_matches(".toml").to_owned()).collect();
    // The file of the rule about size is made by the next test.
    for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::FileTooLarge) {
        let (alone, one_of) = (kind.name(), format!("{}--", kind.name()));
        assert!(bad.iter().any(|file| file == alone || file.starts_with(&one_of)), "no configs/invalid/{alone}.toml");
    }
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_read() {
    let text = "#".repeat(config::model::limits::FILE_BYTES + 1);
    let faults = config::parse("big.toml", &text).expect_err("too large");
    assert_eq!(faults.faults[0].kind, Kind::FileTooLarge);
    assert_eq!(faults.faults.len(), 1);
}

#[test]
fn all_faults_are_shown_in_the_order_of_the_lines() {
    let text = read(Path::new("configs/invalid/unknown-key--many.toml"));
    let faults = config::parse("many.toml", &text).expect_err("bad");
    let lines: Vec<usize> = faults.faults.iter().map(|fault| fault.line).collect();
    assert!(lines.len() >= 5, "{faults}");
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn the_schema_is_written_down() {
    for (name, schema) in config::schemas() {
        compare(Path::new(&format!("docs/schema/{name}.schema.json")), &format!("{schema:#}\n"));
    }
}

#[test]
fn every_key_of_the_examples_is_in_the_schema_and_the_full_example_has_all_keys() {
    let schema = config::schema();
    for file in files("configs/examples", "toml") {
        let text = read(&file);
        let table: toml::Table = toml::from_str(&text).expect("TOML");
        let mut used = BTreeSet::new();
        walk(&serde_json::to_value(&table).expect("JSON"), &schema, "", &mut used);
        assert!(used.contains("uplinks.NAME.device"), "{used:?}");
        if file.ends_with("full.toml") {
            // `tier` excludes `paths`, so it stands in a comment.
            assert!(text.contains("# tier = "));
            used.insert("uplinks.NAME.tier".to_owned());
            let known = keys(&schema);
            let missing: Vec<_> = known.keys().filter(|key| !used.contains(*key)).collect();
            assert!(missing.is_empty(), "full.toml does not show {missing:?}");
        }
    }
}

#[test]
fn the_reference_has_every_key_as_the_schema_describes_it_and_every_rule() {
    let reference = read(Path::new("docs/config.md"));
    let first = |line: &'_ str| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned());
    let described: BTreeMap<String, &str> = reference.lines().filter_map(|line| Some((first(line)?, line))).collect();
    let known = every_key();
    for (key, description) in &known {
        let Some(row) = described.get(key) else { panic!("docs/config.md does not describe {key}") };
        for part in description.split(" Default: ") {
            let part = part.trim_end_matches('.');
            assert!(row.contains(part), "docs/config.md describes {key} in other words than the schema: {part}");
        }
    }
    for rule in Kind::ALL.iter().map(|kind| kind.name()) {
        assert!(described.contains_key(rule), "docs/config.md does not describe the rule {rule}");
    }
    let mut rest =
        described.keys().filter(|it| !known.contains_key(*it) && !Kind::ALL.iter().any(|kind| kind.name() == *it));
    assert_eq!(rest.next(), None);
}

#[test]
fn configs_in_the_reference_load() {
    let reference = read(Path::new("docs/config.md"));
    let blocks: Vec<&str> = reference.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        if let Err(faults) = config::parse("docs/config.md", block) {
            panic!("{block}\n{faults}");
        }
    }
}

#[test]
fn the_command_says_what_it_understood() {
    let (code, out, talk) = check("configs/examples/two-lines.toml", false);
    assert_eq!((code, talk.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "Lyon Bellecour: 2 uplinks, 1 path, 1 network, 2 rules, 0 forwards");
    assert_eq!(lines[1], "  uplink fibre: fibre on wan0; ipv4 dhcp, 3 targets; down after 80ms of silence");
    assert_eq!(lines[3], "  path default: all else takes fibre, lte; failback after 1m, flows cut after 1m");
}

#[test]
fn the_command_has_the_documented_exit_codes() {
    let (code, out, talk) = check("configs/invalid/unknown-key.toml", false);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(talk.ends_with("unknown-key.toml: 1 fault\n"), "{talk}");
    let (code, _, talk) = check("configs/no-such-file.toml", false);
    assert_eq!(code, 1);
    assert!(talk.contains("hint: "), "{talk}");
    let (code, out, _) = check("configs/invalid/unknown-key.toml", true);
    let answer: Json = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &answer["schema_version"], &answer["faults"][0]["kind"]), (64, &1.into(), &"unknown-key".into()));
    assert_eq!(answer["faults"][0]["line"], 6);
    let (code, out, _) = check("configs/examples/full.toml", true);
    let answer: Json = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &answer["ok"]), (0, &true.into()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in random_text()) {
        faults_have_places(&text);
    }

    #[test]
    fn no_change_of_a_good_file_makes_the_parser_panic(edits in edits()) {
        let mut text: Vec<char> = read(Path::new("configs/examples/full.toml")).chars().collect();
        for (at, gone, come) in &edits {
            let start = at.index(text.len());
            let end = (start + gone).min(text.len());
            text.splice(start..end, come.chars());
        }
        faults_have_places(&text.into_iter().collect::<String>());
    }

    /// Values of one key put at another: valid TOML, wrong meaning.
    #[test]
    fn no_swapped_value_makes_the_parser_panic(swaps in prop::collection::vec(any::<[prop::sample::Index; 2]>(), 1..4)) {
        let text = without_comments(&read(Path::new("configs/examples/full.toml")));
        let parts = text.split(['=', ',', '[', ']', '{', '}', '\n']).map(str::trim);
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        let mut changed = text.clone();
        for [from, to] in swaps {
            changed = changed.replacen(parts[from.index(parts.len())], parts[to.index(parts.len())], 1);
        }
        faults_have_places(&changed);
    }
}

fn random_text() -> impl Strategy<Value = String> {
    "\\PC{0,200}|([a-z]{1,8}( = |\\.|\\[|\\]|\\{|\\}|\"|\n|,|[0-9]{1,20}){0,8}){0,20}"
}

/// Where, how many characters go, what comes instead.
type Edit = (prop::sample::Index, usize, String);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let inserted = "[\\[\\]{}\"=,.#\n a-z0-9-]{0,4}|\\PC{0,3}";
    prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, inserted), 1..6)
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split('#').next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

fn faults_have_places(text: &str) {
    let Err(faults) = config::parse("random.toml", text) else { return };
    assert!(!faults.faults.is_empty());
    let lines = text.matches('\n').count() + 1;
    for fault in &faults.faults {
        assert!((1..=lines).contains(&fault.line) && fault.column >= 1, "{fault:?} in {text:?}");
        let words = [Some(&fault.error), fault.caused_by.as_ref(), fault.hint.as_ref()];
        assert!(!words.into_iter().flatten().any(|words| words.chars().any(char::is_control)), "{fault:?}");
    }
}

/// Finds each key of `value` in `schema` and collects them.
fn walk(value: &Json, schema: &Json, key: &str, used: &mut BTreeSet<String>) {
    match value {
        Json::Object(object) => {
            for (name, value) in object {
                let (key, inner) = alternatives(schema)
                    .into_iter()
                    .find_map(|schema| member(schema, key, name))
                    .unwrap_or_else(|| panic!("{key}.{name} is not in the schema"));
                used.insert(key.clone());
                walk(value, inner, &key, used);
            }
        }
        Json::Array(array) => {
            let list = alternatives(schema).into_iter().find(|schema| schema["items"].is_object());
            let list = list.unwrap_or_else(|| panic!("{key} is no list"));
            array.iter().for_each(|value| walk(value, &list["items"], key, used));
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn member<'s>(schema: &'s Json, key: &str, name: &str) -> Option<(String, &'s Json)> {
    let fixed = schema["properties"].get(name).map(|inner| (join(key, name), inner));
    let named = || (join(key, "NAME"), &schema["additionalProperties"]);
    fixed.or_else(|| schema["additionalProperties"].is_object().then(named))
}

/// All keys that a schema knows, such as `uplinks.NAME.device`, with their descriptions.
fn keys(schema: &Json) -> BTreeMap<String, String> {
    fn collect(schema: &Json, key: &str, found: &mut BTreeMap<String, String>) {
        for schema in alternatives(schema) {
            for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                let description = inner["description"].as_str().unwrap_or_default();
                assert!(!description.is_empty(), "{key}.{name} has no description");
                found.insert(join(key, name), description.to_owned());
                collect(inner, &join(key, name), found);
            }
            if schema["additionalProperties"].is_object() {
                found.insert(join(key, "NAME"), String::new());
                collect(&schema["additionalProperties"], &join(key, "NAME"), found);
            }
            if schema["items"].is_object() {
                collect(&schema["items"], key, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(schema, "", &mut found);
    found
}

fn alternatives(schema: &Json) -> Vec<&Json> {
    schema["anyOf"].as_array().map_or_else(|| vec![schema], |list| list.iter().collect())
}

/// The keys of all files. Those of one gateway's file stand alone, as do those that only a standard has; the others carry
/// the name of their file.
fn every_key() -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for (file, schema) in config::schemas() {
        for (key, description) in keys(&schema) {
            let fill_in = ["var", "len", "index"].iter().any(|end| key.ends_with(&format!(".{end}")));
            if file == "standard" && fill_in && !key.starts_with("vars.") {
                continue;
            }
            let key = if ["gateway", "standard"].contains(&file) { key } else { format!("{file}: {key}") };
            known.entry(key).or_insert(description);
        }
    }
    known
}

/// Targets are written alike wherever they stand, and described once.
fn join(key: &str, name: &str) -> String {
    let alike = ["uplinks.NAME.targets", "apply.must_work", "services.check"];
    let key = if alike.contains(&key) { "probes.targets" } else { key };
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

fn check(file: &str, as_json: bool) -> (u8, String, String) {
    let (mut out, mut talk) = (Vec::new(), Vec::new());
    let code = command::check(&root(Path::new(file)), as_json, &mut out, &mut talk).expect("written to memory");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (code, text(out), text(talk))
}

fn compare(file: &Path, found: &str) {
    let file = root(file);
    if std::env::var_os("UPDATE_MESSAGES").is_some() {
        fs::write(&file, found).expect("a file to write to");
    }
    let wanted = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, wanted, "{} differs; if that is meant: UPDATE_MESSAGES=1", file.display());
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root(Path::new(folder))).expect(folder);
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == extension));
    files.sort();
    files
}

fn folders(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root(Path::new(folder))).expect(folder);
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.retain(|folder| folder.is_dir() && folder.file_name().is_none_or(|name| name != "fleet"));
    folders.sort();
    folders
}

fn fleet(folder: &Path) -> Result<Fleet, Faults> {
    let files = command::folder(&root(folder)).expect("a readable folder");
    config::fleet::check(&shown(folder), &files)
}

fn read(file: &Path) -> String {
    fs::read_to_string(root(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn shown(file: &Path) -> String {
    file.file_name().expect("a file").to_string_lossy().into_owned()
}

fn root(file: &Path) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}
