//! A fleet's config on its way: what head office compiles is what a gateway resolves, byte for byte; whatever a site may
//! set compiles; hostile bytes and strings reach nothing but their own field. More cases: CAUSEWAY_CASES=100000,
//! CAUSEWAY_HOSTILE=100000.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use causeway::cli::config as command;
use causeway::config::branch::{Branch, Identity};
use causeway::config::fleet::{self, Fleet};
use causeway::config::model::{Check, Name};
use causeway::config::sections::{self, Section};
use causeway::config::vars::{Values, VarValue, Variable};
use causeway::config::{self, Disturbance, diff};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn cases(variable: &str, usual: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn retailer() -> Fleet {
    let folder = root("configs/examples/retailer");
    fleet::check("retailer", &command::folder(&folder).expect("a folder")).unwrap_or_else(|faults| panic!("{faults}"))
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn one(text: impl Into<String>) -> VarValue {
    VarValue::One(text.into())
}

/// Any value that a site of the retailer may set.
fn allowed(variable: &Variable) -> BoxedStrategy<VarValue> {
    let value = |strategy: BoxedStrategy<String>| strategy.prop_map(VarValue::One).boxed();
    match variable.name.to_string().as_str() {
        "site_net" => value(
            (0..2_048_u32)
                .prop_map(|index| {
                    let address = std::net::Ipv4Addr::from(0x0a00_0000 | index << 12);
                    format!("{address}/20")
                })
                .boxed(),
        ),
        "first_line" => value(prop::sample::select(variable.one_of.clone()).boxed()),
        "fibre_down" => value((10_000_u64..=1_000_000).prop_map(|kbit| format!("{kbit}kbit")).boxed()),
        "fibre_up" => value((2..=1_000_u64).prop_map(|mbit| format!("{mbit}mbit")).boxed()),
        "lte_plan" => value((1_000..=200_000_u64).prop_map(|mb| format!("{mb}MB")).boxed()),
        "has_camera" => value(any::<bool>().prop_map(|value| value.to_string()).boxed()),
        "camera_mac" => value(
            any::<[u8; 5]>()
                .prop_map(|b| format!("52:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4]))
                .boxed(),
        ),
        "timezone" => value(
            prop::sample::select(vec!["UTC", "Europe/Paris", "America/Martinique"]).prop_map(str::to_owned).boxed(),
        ),
        "hours" => value(
            (0..23_u16, 1..60_u16)
                .prop_map(|(hour, minute)| format!("mon-sat {hour:02}:{minute:02}-24:00, closed 12-25"))
                .boxed(),
        ),
        other => panic!("{other} is new: say here what it may be"),
    }
}

fn any_values(fleet: &Fleet) -> BoxedStrategy<Values> {
    let each: Vec<_> = fleet.standard.variables.iter().map(allowed).collect();
    each.prop_map(|values| Values((0_u16..).zip(values).collect())).boxed()
}

fn identity() -> Identity {
    Identity { name: "Lyon Bellecour".to_owned(), ..Identity::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases("CAUSEWAY_CASES", 128), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_ends_resolve_to_the_same_bytes_and_every_allowed_value_is_valid(
        (values, others) in any_values(&retailer()).prop_flat_map(|values| (Just(values), any_values(&retailer())))
    ) {
        thread_local! { static FLEET: Fleet = retailer(); }
        FLEET.with(|fleet| {
            let sent = postcard::to_stdvec(&(&fleet.standard.sections, &values)).expect("bytes");
            let (sections, received): (Vec<Section>, Values) = postcard::from_bytes(&sent).expect("the same");
            let here = sections::resolve(&fleet.standard.sections, &values).expect("resolved");
            let there = sections::resolve(&sections, &received).expect("resolved");
            assert_eq!(sections::digest(&here), sections::digest(&there));
            assert_eq!(here, there);
            let branch = sections::branch(&there, &identity()).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(diff(&branch, &branch), []);
            // What is resolved has nothing left to resolve.
            assert_eq!(sections::resolve(&here, &Values::default()), Ok(here.clone()));
            let other = sections::resolve(&fleet.standard.sections, &others).expect("resolved");
            let changed = sections::branch(&other, &identity()).expect("valid");
            assert_eq!(sections::digest(&here) == sections::digest(&other), diff(&branch, &changed).is_empty());
        });
    }

    /// Whatever arrives: no panic, and what is taken is exactly what this version would have written.
    #[test]
    fn changed_bytes_are_refused_or_mean_what_they_say(
        at in any::<prop::sample::Index>(), offset in any::<prop::sample::Index>(), put in any::<u8>(), how in 0..4_u8
    ) {
        thread_local! { static FLEET: Fleet = retailer(); }
        FLEET.with(|fleet| {
            let mut sections = fleet.resolved(&fleet.sites[0]).expect("resolved");
            let index = at.index(sections.len());
            let section = &mut sections[index];
            let place = offset.index(section.bytes.len());
            match how {
                0 => section.bytes[place] = put,
                1 => section.bytes.truncate(place),
                2 => section.bytes.insert(place, put),
                _ => section.bytes.push(put),
            }
            let _ = sections::branch(&sections, &identity());
            if let Ok(resolved) = sections::resolve(&sections, &Values::default()) {
                assert_eq!(resolved, sections, "two forms of one content");
            }
        });
    }
}

#[test]
fn what_a_site_sets_reaches_its_places() {
    let fleet = retailer();
    let branch = |name: &str| fleet.branch(fleet.site(name).expect("a site")).expect("a branch");
    let (brest, lyon) = (branch("brest"), branch("lyon-bellecour"));
    assert_eq!(brest.gateway.networks[1].net.expect("a net").to_string(), "10.16.50.0/23");
    assert_eq!(brest.gateway.uplinks[0].medium.name(), "dsl");
    assert_eq!(brest.rates[0].up, Some(10_000_000));
    assert!(brest.gateway.firewall.forwards.is_empty() && brest.gateway.networks[0].fixed.is_empty());
    assert_eq!(lyon.gateway.firewall.forwards[0].to.to_string(), "10.16.0.40");
    assert_eq!(lyon.gateway.site.owner.as_deref(), Some("Anna Petit"));
    assert_eq!(lyon.gateway.uplinks[0].provider.as_deref(), Some("KabelNet"));
    let guest = &lyon.gateway.networks[1];
    assert_eq!(guest.ports[0].as_str(), "br-lan.20");
    assert_eq!(guest.bridged.as_ref().expect("on the bridge").tagged[0].as_str(), "lan3");
}

#[test]
fn differences_are_told_for_branches_that_read_alike() {
    let old = retailer();
    let mut files = command::folder(&root("configs/examples/retailer")).expect("a folder");
    for (name, text) in &mut files {
        match name.as_str() {
            "standard/lan.toml" => *text = text.replace("\"tcp/22\", \"tcp/9620\"", "\"tcp/9620\""),
            "sites/brest.toml" => *text = text.replace("10.16.48.0/20", "10.20.0.0/20"),
            _ => {}
        }
    }
    let new = fleet::check("retailer", &files).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(fleet::compare(&old, &old), Ok(Vec::new()));
    let groups = fleet::compare(&old, &new).expect("both compile");
    assert_eq!(groups.iter().map(|group| group.sites.len()).collect::<Vec<_>>(), [19, 1]);
    let words: Vec<&str> = groups[0].changes.iter().map(|change| change.words.as_str()).collect();
    assert_eq!(
        words,
        ["firewall: now allows office → self tcp/9620", "firewall: no longer allows office → self tcp/22, tcp/9620"]
    );
    assert_eq!(groups[1].sites[0].as_str(), "brest");
    assert!(groups[1].changes.iter().any(|change| change.disturbance == Disturbance::Cut), "{:?}", groups[1]);
}

/// Whoever changes what a section's bytes are makes a new version of it and keeps the old one readable.
#[test]
fn the_bytes_of_version_1_stay_what_they_are() {
    let found: String = retailer()
        .standard
        .sections
        .iter()
        .map(|section| {
            let hash: String = Sha256::digest(&section.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{} v{} {} bytes {hash}\n", section.id, section.version, section.bytes.len())
        })
        .collect();
    let file = root("tests/canned/sections.txt");
    if std::env::var_os("UPDATE_SECTIONS").is_some() {
        fs::write(&file, &found).expect("a file to write to");
    }
    assert_eq!(
        found,
        fs::read_to_string(file).unwrap_or_default(),
        "a new version? or another example: UPDATE_SECTIONS=1"
    );
}

#[test]
fn what_is_not_known_is_refused_if_it_is_critical() {
    let fleet = retailer();
    let resolved = fleet.resolved(&fleet.sites[0]).expect("resolved");
    let with = |section: Section| {
        let mut sections = resolved.clone();
        sections.retain(|known| known.id != section.id);
        sections.push(section);
        sections.sort_by_key(|section| section.id);
        sections
    };
    let strange = |id, version, critical| Section { id, version, critical, bytes: vec![1, 2, 3] };
    let reason = |sections: &[Section]| sections::branch(sections, &identity()).expect_err("refused").reason();
    assert_eq!(reason(&with(strange(77, 1, true))), "unsupported_section");
    assert_eq!(reason(&with(strange(10, 1, false))), "unsupported_section");
    assert_eq!(reason(&with(strange(3, 2, true))), "unsupported_section");
    assert_eq!(reason(&with(strange(3, 1, true))), "malformed_section");
    assert_eq!(reason(&resolved[1..].iter().filter(|it| it.id != 3).cloned().collect::<Vec<_>>()), "missing_section");
    let passed = with(strange(77, 1, false));
    assert!(sections::branch(&passed, &identity()).is_ok());
    assert_eq!(sections::skipped(&passed), [(77, 1)]);
    let mut twice = resolved.clone();
    twice.push(resolved.last().expect("one").clone());
    assert_eq!(reason(&twice), "malformed_section");
    // Variables must not slip through to the gateway's config.
    assert_eq!(reason(&fleet.standard.sections), "unresolved_values");
    let mut huge = resolved.clone();
    huge[0].bytes = vec![0; config::model::limits::FILE_BYTES + 1];
    assert_eq!(reason(&huge), "malformed_section");
}

#[test]
fn values_are_checked_again_where_they_arrive() {
    let fleet = retailer();
    let standard = &fleet.standard.sections;
    let number = |name: &str| {
        let index = fleet.standard.variables.iter().position(|variable| variable.name.to_string() == name);
        u16::try_from(index.expect("a variable")).expect("small")
    };
    let net = (number("site_net"), one("10.16.0.0/20"));
    assert!(sections::resolve(standard, &Values(vec![net.clone()])).is_ok());
    for bad in ["192.168.0.0/20", "10.16.0.0/21", "10.16.0.1/20", "2001:db8::/20", "", "10.16.0.0/20\n"] {
        assert!(sections::resolve(standard, &Values(vec![(net.0, one(bad))])).is_err(), "{bad}");
    }
    assert!(sections::resolve(standard, &Values::default()).is_err(), "a required value is missing");
    let mut camera = vec![net, (number("has_camera"), one("true"))];
    camera.sort();
    assert!(sections::resolve(standard, &Values(camera)).is_err(), "a camera without its address");
}

/// 256 rules and 128 variables in at most 10 ms, in a release build on an idle core.
#[test]
fn a_large_standard_resolves_quickly() {
    let mut text = String::from(
        "standard = { name = \"large\", schema = 1, models = [\"cw-x1\"] }\nuplinks.fibre = { device = \"wan0\", medium = \"fibre\" }\n",
    );
    for index in 0..64 {
        text += &format!(
            "networks.n{index} = {{ ports = [\"lan{index}\"], net = \"10.{index}.0.0/24\", limit_down = {{ var = \"d{index}\" }}, dhcp = {{ from = {{ var = \"f{index}\" }}, to = 250 }} }}\n\
             vars.d{index} = {{ type = \"rate\", min = \"1mbit\", max = \"1gbit\" }}\nvars.f{index} = {{ type = \"int\", min = 2, max = 200 }}\n"
        );
    }
    let rules: Vec<String> = (0..256)
        .map(|index| {
            format!(
                "{{ from = [\"n{}\"], to = [\"wan\"], dest = [\"192.0.2.{}/32\"], allow = [\"tcp/443\"] }}",
                index % 64,
                index % 256
            )
        })
        .collect();
    text += &format!("firewall = {{ rules = [{}] }}\n", rules.join(", "));
    let standard = fleet::check_standard_file("large.toml", &text).unwrap_or_else(|faults| panic!("{faults}"));
    let values = (0_u16..).zip(&standard.variables).map(|(number, variable)| {
        (number, one(if variable.name.to_string().starts_with('d') { "20mbit" } else { "100" }))
    });
    let values = Values(values.collect());
    let took = (0..5)
        .map(|_| {
            let start = Instant::now();
            let resolved = sections::resolve(&standard.sections, &values).expect("resolved");
            assert_eq!(sections::digest(&resolved).len(), 32);
            start.elapsed()
        })
        .min();
    let bar = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 10 });
    assert!(took.is_some_and(|took| took <= bar), "{took:?}");
}

const SMALL: &str = r#"
[site]
name = NAME
owner = OWNER
phone = PHONE
language = LANGUAGE
timezone = TIMEZONE
hours = HOURS
[uplinks.fibre]
device = "wan0"
medium = "fibre"
provider = PROVIDER
circuit = CIRCUIT
targets = [
  { http = "http://192.0.2.80/", contains = CONTAINS },
  { dns = "198.51.100.53", name = QUESTION },
]
[networks.office]
ports = ["lan0"]
net = "10.16.32.0/24"
[dns]
domain = DOMAIN
[access]
ssh = [{ name = "anna", key = SSHKEY }]
[control]
group = GROUP
"#;

const SSH_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIIu+J+rJ7OrLo2RYEjmb2d1gMzB8rzXwFVCsBq0vQJd";

/// Placeholder, a good value, and where it arrives.
type Field = (&'static str, &'static str, fn(&mut Branch, String));

/// One grammar, so they take the same strings.
const LINES: [Field; 5] = [
    ("NAME", "Lyon", |branch, text| branch.gateway.site.name = text),
    ("OWNER", "Anna", |branch, text| branch.gateway.site.owner = Some(text)),
    ("PROVIDER", "FibreCo", |branch, text| branch.gateway.uplinks[0].provider = Some(text)),
    ("CIRCUIT", "FC-1", |branch, text| branch.gateway.uplinks[0].circuit = Some(text)),
    ("CONTAINS", "welcome", |branch, text| {
        if let Check::Http { contains, .. } = &mut branch.gateway.uplinks[0].targets[0].check {
            *contains = Some(text);
        }
    }),
];

const OTHERS: [Field; 8] = [
    ("PHONE", "+33 4", |branch, text| branch.place.phone = Some(text)),
    ("LANGUAGE", "fr", |branch, text| branch.place.language = Some(text)),
    ("TIMEZONE", "UTC", |branch, text| branch.place.timezone = Some(text)),
    ("HOURS", "mon 08:00-09:00", |_, text| panic!("no hostile text is opening hours: {text:?}")),
    ("QUESTION", "example.com", |branch, text| {
        if let Check::Dns { name, .. } = &mut branch.gateway.uplinks[0].targets[1].check {
            *name = text.trim_end_matches('.').to_ascii_lowercase();
        }
    }),
    ("DOMAIN", "branch.internal", |branch, text| {
        branch.dns.domain = Some(text.trim_end_matches('.').to_ascii_lowercase());
    }),
    ("SSHKEY", SSH_KEY, |_, text| panic!("no hostile text is a key: {text:?}")),
    ("GROUP", "causeway-admin", |branch, text| branch.gateway.control.group = Some(text)),
];

/// The file with some of its texts replaced.
fn file(with: &[(&str, &str)]) -> String {
    let mut text = SMALL.to_owned();
    for (place, usual, _) in LINES.iter().chain(&OTHERS) {
        let value = with.iter().find(|(name, _)| name == place).map_or(*usual, |(_, value)| value);
        text = text.replacen(&format!("= {place}"), &format!("= {}", toml::Value::String(value.to_owned())), 1);
    }
    text
}

#[test]
fn hostile_strings_change_only_their_own_field() {
    let base = config::parse_branch("base.toml", &file(&[])).unwrap_or_else(|faults| panic!("{faults}"));
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..cases("CAUSEWAY_HOSTILE", 10_000) {
        let text = hostile(&mut random);
        let lines: Vec<(&str, &str)> = LINES.iter().map(|(place, ..)| (*place, text.as_str())).collect();
        match config::parse_branch("hostile.toml", &file(&lines)) {
            Ok(branch) => {
                let mut expected = base.clone();
                LINES.iter().for_each(|(_, _, set)| set(&mut expected, text.clone()));
                assert_eq!(branch, expected, "{text:?}");
                taken += 1;
            }
            Err(faults) => {
                assert_eq!(faults.faults.len(), LINES.len(), "{text:?}\n{faults}");
                refused += 1;
            }
        }
        let others: Vec<(&str, &str)> = OTHERS.iter().map(|(place, ..)| (*place, text.as_str())).collect();
        let Err(faults) = config::parse_branch("hostile.toml", &file(&others)) else { panic!("{text:?} is all of it") };
        if faults.faults.len() == OTHERS.len() {
            continue;
        }
        for (place, _, set) in &OTHERS {
            if let Ok(branch) = config::parse_branch("hostile.toml", &file(&[(*place, &text)])) {
                let mut expected = base.clone();
                set(&mut expected, text.clone());
                assert_eq!(branch, expected, "{place} {text:?}");
            }
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused: the strings prove nothing");
}

/// What has been syntax somewhere, mixed with what is not.
fn hostile(random: &mut u64) -> String {
    const PARTS: [&str; 34] = [
        "\n",
        "\r",
        "\0",
        "\t",
        "\"",
        "'",
        "`",
        "$(reboot)",
        "; nft flush ruleset",
        "#",
        "}",
        "]",
        "{",
        "[",
        " = true",
        "\u{202e}",
        "é",
        "\\",
        "%s%n",
        "../..",
        "{{x}}",
        "<script>",
        "\u{1b}[2J",
        "dhcp-script=/bin/sh",
        "&&",
        "|",
        "a",
        "Z",
        "0",
        "-",
        ".",
        "_",
        "shop",
        "\u{1f4a5}",
    ];
    let mut next = |most: usize| {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*random >> 33).unwrap_or_default() % most
    };
    let length = next(8);
    // Half of them without control characters, so that some are taken.
    let first = if next(2) == 0 { 4 } else { 0 };
    (0..=length).map(|_| PARTS[first + next(PARTS.len() - first)]).collect()
}

#[test]
fn names_from_the_inventory_change_only_their_own_field() {
    let fleet = retailer();
    let resolved = fleet.resolved(&fleet.sites[0]).expect("resolved");
    let base = sections::branch(&resolved, &identity()).expect("valid");
    let mut random = 1;
    for _ in 0..cases("CAUSEWAY_HOSTILE", 10_000) / 50 {
        let text = hostile(&mut random);
        let contract = config::branch::Contract {
            uplink: Name::new("lte").expect("a name"),
            provider: Some(text.clone()),
            circuit: None,
        };
        let identity =
            Identity { name: text.clone(), owner: Some(text.clone()), phone: None, contracts: vec![contract] };
        if let Ok(branch) = sections::branch(&resolved, &identity) {
            let mut expected = base.clone();
            expected.gateway.site.name = text.clone();
            expected.gateway.site.owner = Some(text.clone());
            expected.gateway.uplinks[1].provider = Some(text);
            assert_eq!(branch, expected);
        }
    }
}

#[test]
fn the_commands_take_folders_and_files() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_causeway"))
            .current_dir(root(""))
            .args(["config"])
            .args(arguments)
            .output()
            .expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, talk) = run(&["check", "configs/examples/retailer"]);
    assert_eq!((code, talk.as_str()), (Some(0), ""));
    assert!(out.ends_with("fleet: 20 sites, 20 active gateways\n"), "{out}");
    let (code, _, talk) = run(&["check", "configs/invalid/fleet/out-of-bounds"]);
    assert_eq!(code, Some(64));
    assert!(talk.contains("(sites/nantes.toml:1:") && talk.ends_with("out-of-bounds: 1 fault\n"), "{talk}");
    // Three lines with fifteen targets each: more figures than head office keeps of a branch.
    let many = std::env::temp_dir().join(format!("causeway-many-targets-{}", std::process::id()));
    let place = many.to_str().expect("a name");
    let copied = Command::new("cp").args(["-r", "configs/examples/retailer", place]).current_dir(root("")).status();
    assert!(copied.is_ok_and(|status| status.success()));
    let lines = many.join("standard/lines.toml");
    let pair = |n: u8| format!("{{ icmp = \"198.18.{n}.1\" }}, {{ icmp = \"2001:db8:{n}::1\" }}, ");
    let text = fs::read_to_string(&lines)
        .expect("it is there")
        .replace("targets = [", &format!("targets = [{}", (1..=6).map(pair).collect::<String>()))
        .replace("\n[probes]", "cable = { device = \"wan1\", medium = \"cable\", ipv6 = \"native\" }\n\n[probes]")
        .replace("prefer = [\"fibre\", \"lte\"]", "prefer = [\"fibre\", \"cable\", \"lte\"]");
    fs::write(&lines, text).expect("it can be written");
    let (code, _, talk) = run(&["check", place]);
    fs::remove_dir_all(&many).expect("it goes");
    assert_eq!(code, Some(64));
    assert!(talk.starts_with("error: lyon-bellecour would have ") && talk.contains("at most 1000 are kept"), "{talk}");
    let (code, out, _) = run(&["show", "configs/examples/retailer", "--resolved"]);
    assert_eq!(code, Some(0));
    assert!(out.lines().last().is_some_and(|line| line.starts_with("  fort-de-france: ") && line.len() == 30), "{out}");
    let (code, out, _) = run(&["show", "configs/examples/retailer", "--site", "brest"]);
    assert_eq!(code, Some(0));
    assert!(out.starts_with("Brest: 2 uplinks, 3 paths, 3 networks, 6 rules, 0 forwards\n"), "{out}");
    assert_eq!(run(&["show", "configs/examples/retailer", "--site", "nowhere"]).0, Some(1));
    let (code, out, _) = run(&["diff", "configs/examples/two-lines.toml", "configs/examples/two-lines.toml"]);
    assert_eq!((code, out.as_str()), (Some(0), "nothing changes\n"));
    let (code, out, _) = run(&["diff", "configs/examples/office", "configs/examples/retailer"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("  none  the site is new\n"), "{out}");
    assert_eq!(run(&["diff", "configs/examples/office", "configs/examples/two-lines.toml"]).0, Some(64));
}
