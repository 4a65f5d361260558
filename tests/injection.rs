//! G30: no string of a config becomes syntax in a file or a rule. Each field that reaches networkd, dnsmasq or nft gets
//! hostile strings. Each is refused, or reading our output again shows that nothing but what the field itself makes has
//! changed: the same lines with the same keys, and other values only where two harmless values differ, too.

use std::collections::{BTreeMap, BTreeSet};

use causeway::apply::services::text::parse;
use causeway::apply::services::{Backend, Paths, Services};
use causeway::config::branch::Branch;
use causeway::config::parse_branch;
use causeway::kernel::ruleset::{Learnt, Ruleset};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;

/// Cases in each run, a minute of them; `CASES=100000` in the environment asks for what G30 does.
const CASES: usize = 10_000;
/// Printed with the case that fails.
const SEED: u64 = 30;

fn cases() -> usize {
    std::env::var("CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES)
}

/// Its 51 bytes: the type, then 32 of anybody's.
macro_rules! key {
    () => {
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIIu+J+rJ7OrLo2RYEjmb2d1gMzB8rzXwFVCsBq0vQJd"
    };
}
const KEY: &str = key!();

/// A field, a harmless string for it, its place with `@` where the string goes, and that place in the base. What only names
/// something else of the config (zones, a path's uplinks) is not here: a string that names nothing is refused.
const FIELDS: [(&str, &str, &str, &str); 34] = [
    ("uplink's name", "fibre", "@ = { device = \"wan0\"", "fibre = { device = \"wan0\""),
    ("uplink's device", "wan0", "device = \"@\", medium = \"fibre\"", "device = \"wan0\", medium = \"fibre\""),
    ("uplink's address", "203.0.113.2/29", "address = \"@\", gateway", "address = \"203.0.113.2/29\", gateway"),
    ("uplink's gateway", "203.0.113.1", "gateway = \"@\", dns", "gateway = \"203.0.113.1\", dns"),
    ("uplink's resolver", "203.0.113.5", "dns = [\"@\"] }, ipv6", "dns = [\"203.0.113.5\"] }, ipv6"),
    ("network's name", "guest", "[networks.@]\nvlan = 20", "[networks.guest]\nvlan = 20"),
    ("network's port", "lan2", "ports = [\"@\"]\nnet = \"10.16.20", "ports = [\"lan2\"]\nnet = \"10.16.20"),
    ("network's trunk", "lan3", "trunks = [\"@\"]", "trunks = [\"lan3\"]"),
    ("network's net", "10.16.20.0/24", "net = \"@\"\nisolate", "net = \"10.16.20.0/24\"\nisolate"),
    ("network's net6", "fd00:16:10::/64", "net6 = \"@\"", "net6 = \"fd00:16:10::/64\""),
    ("lease", "12h", "lease = \"@\"", "lease = \"12h\""),
    ("fixed host's name", "camera", "{ name = \"@\", mac", "{ name = \"camera\", mac"),
    ("fixed host's mac", "52:54:00:10:00:40", "mac = \"@\"", "mac = \"52:54:00:10:00:40\""),
    ("domain", "branch.internal", "domain = \"@\"", "domain = \"branch.internal\""),
    ("zone", "corp.example", "zone = \"@\"", "zone = \"corp.example\""),
    ("zone's server", "10.254.0.53", "servers = [\"@\"]", "servers = [\"10.254.0.53\"]"),
    ("forwarder", "9.9.9.9", "forwarders = [\"@\"]", "forwarders = [\"9.9.9.9\"]"),
    ("path's name", "voice", "{ name = \"@\", match", "{ name = \"voice\", match"),
    ("path's source", "10.16.10.128/25", "source = [\"@\"], ports", "source = [\"10.16.10.128/25\"], ports"),
    ("path's port", "udp/5060", "ports = [\"@\"] }, prefer", "ports = [\"udp/5060\"] }, prefer"),
    ("rule's service", "tcp/8080", "allow = [\"@\"]", "allow = [\"tcp/8080\"]"),
    ("rule's destination", "198.51.100.0/24", "dest = [\"@\"]", "dest = [\"198.51.100.0/24\"]"),
    ("forward's name", "nvr", "forwards = [{ name = \"@\"", "forwards = [{ name = \"nvr\""),
    ("forward's source", "192.0.2.7/32", "source = [\"@\"], port = ", "source = [\"192.0.2.7/32\"], port = "),
    ("forward's port", "tcp/8443", "port = \"@\", to = ", "port = \"tcp/8443\", to = "),
    ("forward's host", "10.16.10.41", "to = \"@\", to_port", "to = \"10.16.10.41\", to_port"),
    ("path's destination", "192.0.2.0/24", "dest = [\"@\"], source", "dest = [\"192.0.2.0/24\"], source"),
    ("path's class", "ef", "dscp = [\"@\"]", "dscp = [\"ef\"]"),
    ("limit", "20mbit", "limit_down = \"@\"", "limit_down = \"20mbit\""),
    (
        "uplink's IPv6 address",
        "2001:db8:1::2/64",
        "address = \"@\", gateway = \"2001",
        "address = \"2001:db8:1::2/64\", gateway = \"2001",
    ),
    (
        "uplink's IPv6 gateway",
        "2001:db8:1::1",
        "gateway = \"@\", dns = [\"2001",
        "gateway = \"2001:db8:1::1\", dns = [\"2001",
    ),
    ("uplink's IPv6 resolver", "2001:db8::53", "dns = [\"@\"] } }", "dns = [\"2001:db8::53\"] } }"),
    ("key's name", "anna", "ssh = [{ name = \"@\"", "ssh = [{ name = \"anna\""),
    ("key", KEY, "key = \"@\"", concat!("key = \"", key!(), "\"")),
];

/// A second harmless value for each field, in the same order.
const OTHERS: [&str; 34] = [
    "glass",
    "eth7",
    "203.0.113.3/29",
    "203.0.113.6",
    "203.0.113.4",
    "visitors",
    "eth2",
    "eth3",
    "10.17.0.0/16",
    "fd00:17::/64",
    "3601s",
    "printer",
    "02:00:00:00:00:01",
    "shop.internal",
    "other.example",
    "10.254.9.9",
    "1.1.1.1",
    "talk",
    "10.16.10.0/26",
    "tcp/6000-6003",
    "udp/9000-9100",
    "203.0.112.0/23",
    "cam",
    "192.0.2.8/31",
    "udp/9443",
    "10.16.20.41",
    "192.0.3.0/25",
    "af41",
    "1mbit",
    "2001:db8:1::3/60",
    "2001:db8:1::9",
    "2001:db8::54",
    "partner",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
];

const BASE: &str = r#"
site = { name = "Injection" }
probes = { targets = [{ icmp = "198.19.1.1" }, { icmp = "198.19.2.1" }] }
paths = [
  { name = "voice", match = { dscp = ["ef"], dest = ["192.0.2.0/24"], source = ["10.16.10.128/25"], ports = ["udp/5060"] }, prefer = ["lte"] },
  { name = "default", prefer = ["lte"] },
]
[uplinks]
lte = { device = "lte0", medium = "lte", ipv6 = { address = "2001:db8:1::2/64", gateway = "2001:db8:1::1", dns = ["2001:db8::53"] } }
fibre = { device = "wan0", medium = "fibre", ipv4 = { address = "203.0.113.2/29", gateway = "203.0.113.1", dns = ["203.0.113.5"] }, ipv6 = "nat66" }
[networks.office]
vlan = 10
ports = ["lan0", "lan1"]
trunks = ["lan3"]
net = "10.16.10.0/24"
net6 = "fd00:16:10::/64"
dhcp = { from = 100, to = 199, lease = "12h" }
fixed = [{ name = "camera", mac = "52:54:00:10:00:40", host = 40 }]
[networks.guest]
vlan = 20
ports = ["lan2"]
net = "10.16.20.0/24"
isolate = true
limit_down = "20mbit"
dhcp = { from = 20, to = 50 }
[firewall]
rules = [
  { from = ["office"], to = ["wan"], dest = ["198.51.100.0/24"], allow = ["tcp/8080"] },
]
forwards = [{ name = "nvr", source = ["192.0.2.7/32"], port = "tcp/8443", to = "10.16.10.41", to_port = 44301 }]
[dns]
forwarders = ["9.9.9.9"]
domain = "branch.internal"
routes = [{ zone = "corp.example", servers = ["10.254.0.53"] }]
[access]
ssh = [{ name = "anna", key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIIu+J+rJ7OrLo2RYEjmb2d1gMzB8rzXwFVCsBq0vQJd" }]
"#;

#[test]
fn g30_hostile_strings_change_nothing_but_their_own_field() {
    let services = Services::new(Backend::Networkd, Paths::system());
    let base = output(&services, &branch(BASE).expect("the base is valid"));
    let own: Vec<BTreeSet<String>> = FIELDS
        .iter()
        .zip(OTHERS)
        .map(|(field, other)| {
            let other = branch(&with(field, other)).unwrap_or_else(|| panic!("{}: {other} is harmless", field.0));
            changed(&base, &output(&services, &other))
        })
        .collect();
    // Nobody makes an address of his own out of anything but 64 bits, so nothing is advertised to him.
    let net6 = FIELDS.iter().find(|field| field.0 == "network's net6").expect("it is there");
    let wide = output(&services, &branch(&with(net6, "fd00:18::/48")).expect("it is valid"));
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let (mut refused, mut accepted) = (0_usize, BTreeMap::<&str, usize>::new());
    for number in 0..cases() {
        let at = number % FIELDS.len();
        let field = &FIELDS[at];
        let hostile = hostile(&mut random, [field.1, OTHERS[at]]);
        let Some(branch) = branch(&with(field, &hostile)) else {
            refused += 1;
            continue;
        };
        *accepted.entry(field.0).or_default() += 1;
        let now = output(&services, &branch);
        let case = format!("case {number} of seed {SEED}: {} = {hostile:?}", field.0);
        let nets = || branch.gateway.networks.iter().filter_map(|network| network.net6);
        let like = if nets().any(|net| net.prefix_len() != 64) { &wide } else { &base };
        if keys(like) != keys(&now) {
            let lines = changed(like, &now);
            panic!("{case}: lines came or went, among {lines:?}");
        }
        let beyond: Vec<_> = changed(like, &now).difference(&own[at]).cloned().collect();
        assert!(beyond.is_empty(), "{case}: also changes {beyond:?}");
    }
    println!("{} strings, {refused} refused, accepted by field: {accepted:?}", cases());
    assert!(accepted.len() > FIELDS.len() / 2, "strings near the alphabet get in: {accepted:?}");
}

/// Strings that the model holds as plain text have a door of their own at the writer.
#[test]
fn g30_the_writer_does_not_trust_the_model() {
    let services = Services::new(Backend::Networkd, Paths::system());
    let good = branch(BASE).expect("the base is valid");
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let base = output(&services, &good);
    let mut refused = 0;
    for number in 0..cases() / 10 {
        let hostile = hostile(&mut random, ["branch.internal", "corp.example"]);
        let mut branch = good.clone();
        if number % 2 == 0 {
            branch.dns.domain = Some(hostile.clone());
        } else {
            branch.dns.routes[0].zone.clone_from(&hostile);
        }
        match services.files(&branch) {
            Err(_) => refused += 1,
            Ok(_) => assert_eq!(keys(&output(&services, &branch)), keys(&base), "{hostile:?}"),
        }
    }
    assert!(refused > cases() / 20, "{refused}");
}

fn with((name, harmless, place, here): &(&str, &str, &str, &str), value: &str) -> String {
    // As TOML writes it, so that what is meant gets through to the field whatever it holds.
    let mut quoted = String::new();
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    let is_key = name.ends_with("'s name") && !place.contains("name = ");
    let quoted = if is_key { format!("\"{quoted}\"") } else { quoted };
    assert!(BASE.contains(here), "{name}: {here} is in the base, with {harmless}");
    BASE.replacen(here, &place.replacen('@', &quoted, 1), 1)
}

fn branch(text: &str) -> Option<Branch> {
    parse_branch("injection", text).ok()
}

/// A line or a leaf of what is put out, and its value.
type Output = Vec<(String, String)>;

/// All files and rules, read again. Files are named by what they are about, not by device, which is a field of its own.
fn output(services: &Services, branch: &Branch) -> Output {
    let mut output = Output::new();
    for (place, text) in services.files(branch).expect("an accepted config can be written") {
        let name = place.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)), "{name}");
        let kind = if name.starts_with("50-causeway-") { name.rsplit('.').next().unwrap_or(name) } else { name };
        for entry in parse(&text) {
            // Lines of the lists are all key.
            let (key, value) = match entry.value.as_str() {
                "" if kind == "hosts" => ("line".to_owned(), entry.key),
                _ if ["names", "authorized_keys"].contains(&kind) => {
                    ("line".to_owned(), format!("{} {}", entry.key, entry.value))
                }
                _ => (entry.key, entry.value),
            };
            output.push((format!("{kind} [{}] {key}", entry.section), value));
        }
    }
    let rules = Ruleset::new(&branch.gateway, &Learnt::default()).replacement();
    let json = serde_json::to_string(&rules).expect("JSON");
    leaves("nft", &serde_json::from_str(&json).expect("JSON"), &mut output);
    output.sort();
    output
}

fn leaves(path: &str, value: &Value, output: &mut Output) {
    match value {
        Value::Object(fields) => {
            // Named chains carry the digest of all rules.
            fields.iter().for_each(|(key, value)| leaves(&format!("{path}.{key}"), value, output));
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(path, item, output)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            output.push((shape(path), value.to_string()));
        }
    }
}

/// A range, a prefix and a single value are three forms of one thing.
fn shape(path: &str) -> String {
    let end = ["right.range", "right.prefix.addr", "right.prefix.len", "right"].iter().find(|end| path.ends_with(*end));
    end.map_or_else(|| path.to_owned(), |end| format!("{}right", path.strip_suffix(end).unwrap_or(path)))
}

/// Which lines there are; how many leaves a value of nft has depends on its form.
fn keys(output: &Output) -> Vec<&str> {
    let mut keys: Vec<&str> = output.iter().map(|(key, _)| key.as_str()).collect();
    let in_files = keys.iter().filter(|key| !key.starts_with("nft")).count();
    keys.retain(|key| !key.starts_with("nft") || key.contains("comment"));
    assert!(in_files > 50 && keys.len() > in_files, "something was read");
    keys
}

fn changed(before: &Output, after: &Output) -> BTreeSet<String> {
    let count = |output: &Output| {
        let mut counts = BTreeMap::<(String, String), i64>::new();
        output.iter().for_each(|entry| *counts.entry(entry.clone()).or_default() += 1);
        counts
    };
    let (before, after) = (count(before), count(after));
    let entries = before.keys().chain(after.keys());
    entries.filter(|entry| before.get(*entry) != after.get(*entry)).map(|(key, _)| key.clone()).collect()
}

/// Pieces of what the fields look like, and what is syntax in one of the three places.
fn hostile(random: &mut ChaCha8Rng, harmless: [&str; 2]) -> String {
    const PIECES: [&str; 48] = [
        "\n",
        "\r\n",
        "[Match]",
        "\nName=*",
        "=",
        " ",
        "#",
        ";",
        "\"",
        "\\",
        "\0",
        "\u{2028}",
        "%",
        "$(reboot)",
        "`id`",
        "*",
        "?",
        "!",
        "@uplinks",
        "{ accept }",
        "accept",
        "/",
        "//",
        "../",
        ",",
        "ignore",
        "infinite",
        "tag:known",
        "set:x",
        "option:router",
        "10.0.0.1",
        "::1",
        "fe80::1%eth0",
        "12h",
        "0",
        "4294967296",
        "-1",
        "é",
        "lo",
        "self",
        "wan",
        "-",
        ".",
        "_",
        ":",
        "server=/#/6.6.6.6",
        "conf-dir=/tmp",
        "a",
    ];
    let below = |random: &mut ChaCha8Rng, most: usize| random.next_u32() as usize % most;
    let start = harmless[below(random, 2)];
    match below(random, 4) {
        // Near the alphabet: one character of the harmless one is another.
        0 => {
            let mut text: Vec<char> = start.chars().collect();
            let at = below(random, text.len());
            let alphabet: Vec<char> = "abcdefghijklmnopqrstuvwxyz0123456789-./:".chars().collect();
            text[at] = alphabet[below(random, alphabet.len())];
            text.into_iter().collect()
        }
        1 => (0..=below(random, 4)).map(|_| PIECES[below(random, PIECES.len())]).collect(),
        2 => {
            let piece = PIECES[below(random, PIECES.len())];
            let at = below(random, start.len() + 1);
            format!("{}{piece}{}", &start[..at], &start[at..])
        }
        // Anything at all.
        _ => (0..below(random, 20)).filter_map(|_| char::from_u32(random.next_u32() % 0x0250)).collect(),
    }
}
