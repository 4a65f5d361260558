//! The units: how well they are fenced, that each line of theirs says why, and that they agree with what the program needs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Unit, and the score it must not exceed, in tenths. 1.8, 1.1, 1.6; the others 1.8 and 1.1 when they were written.
const SCORES: [(&str, u32); 8] = [
    ("causeway.service", 20),
    ("causeway-front.service", 12),
    ("causeway-early.service", 30),
    ("causeway-office.service", 12),
    ("causeway-dnsmasq.service", 30),
    ("causeway-dnsmasq-reload.service", 30),
    ("causeway-dnsmasq-restart.service", 30),
    ("causeway-networkd-reload.service", 30),
];
/// Each waits for a flag and starts the service of its name.
const PATHS: [&str; 3] =
    ["causeway-dnsmasq-reload.path", "causeway-dnsmasq-restart.path", "causeway-networkd-reload.path"];

#[test]
fn g13_units_are_fenced_well_enough() {
    for (unit, most) in SCORES {
        let threshold = format!("--threshold={most}");
        let output = analyze(&["security", "--offline=true", "--no-pager", &threshold], &folder().join(unit));
        let text = String::from_utf8_lossy(&output.stdout);
        let score = text.lines().last().unwrap_or_default();
        assert!(output.status.success(), "{unit}, at most {}.{}: {score}\n{text}", most / 10, most % 10);
    }
}

#[test]
fn units_are_read_by_systemd_without_complaint() {
    // With the program in the place of ours and of nft, which this machine may have elsewhere.
    let place = std::env::temp_dir().join(format!("causeway-units-{}", std::process::id()));
    fs::create_dir_all(&place).expect("a folder");
    let units = || SCORES.iter().map(|(unit, _)| *unit).chain(PATHS);
    for unit in units() {
        let text = read(unit).replace("=/usr/bin/causeway ", "=/bin/true ").replace("=/usr/sbin/nft ", "=/bin/true ");
        fs::write(place.join(unit), text).expect("a copy");
    }
    for unit in units() {
        let output = analyze(&["verify", "--man=no", "--recursive-errors=no"], &place.join(unit));
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaints.is_empty(), "{unit}: {complaints}");
    }
    fs::remove_dir_all(&place).expect("the copies go");
}

#[test]
fn every_line_of_a_service_says_why() {
    for (unit, _) in SCORES {
        let text = read(unit);
        let service = &text[text.find("[Service]").expect("a service")..];
        let mut said = false;
        for line in service.lines().skip(1).take_while(|line| !line.starts_with('[')) {
            // A reason holds for the lines right below it.
            said = if line.is_empty() { false } else { said || line.starts_with('#') };
            assert!(said || line.is_empty(), "{unit}: {line} has no reason above it");
        }
    }
}

#[test]
fn each_process_has_no_more_rights_than_the_design_says() {
    let run = read("causeway.service");
    let front = read("causeway-front.service");
    let office = read("causeway-office.service");
    for (text, key, value) in [
        (&run, "CapabilityBoundingSet", "CAP_NET_ADMIN CAP_NET_RAW"),
        (&run, "AmbientCapabilities", "CAP_NET_ADMIN CAP_NET_RAW"),
        (&run, "RestrictAddressFamilies", "AF_UNIX AF_NETLINK AF_INET AF_INET6 AF_PACKET"),
        (&run, "User", "causeway"),
        (&front, "CapabilityBoundingSet", ""),
        (&front, "AmbientCapabilities", ""),
        (&front, "RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
        (&front, "User", "causeway-front"),
        (&front, "ProcSubset", "pid"),
        (&office, "CapabilityBoundingSet", ""),
        (&office, "AmbientCapabilities", ""),
        (&office, "RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
        (&office, "User", "causeway-office"),
        (&office, "ProcSubset", "pid"),
        (&office, "MemoryMax", "1G"),
        (&office, "LimitNOFILE", "65536"),
    ] {
        assert_eq!(values(text, key), [value], "{key}");
    }
    for text in [&run, &front, &office] {
        assert!(!text.contains("/bin/sh"), "no shell");
    }
    assert_eq!(values(&run, "ReadWritePaths"), ["-/run/systemd/network"], "no other folder beside the state");
    for text in [&front, &office] {
        assert!(!text.contains("ReadWritePaths"), "no folder beside the state");
    }
}

#[test]
fn the_status_page_gets_its_port_from_systemd() {
    let port = causeway::config::model::Telemetry::PAGE_PORT.to_string();
    let socket = read("causeway-front.socket");
    assert_eq!(values(&socket, "ListenStream"), [port]);
    assert!(values(&read("causeway-front.service"), "Wants")[0].contains("causeway-front.socket"));
}

#[test]
fn a_flag_starts_one_fixed_command_after_it_is_taken_down() {
    for path in PATHS {
        let flag = path.strip_prefix("causeway-").and_then(|rest| rest.strip_suffix(".path")).expect("a name");
        let service = read(&path.replace(".path", ".service"));
        let place = causeway::apply::services::Paths::system().flags.join(flag);
        assert_eq!(values(&read(path), "PathExists"), [place.to_str().expect("text")]);
        assert_eq!(values(&service, "ExecStartPre"), [format!("/usr/bin/rm -f {}", place.display())]);
        let commands = values(&service, "ExecStart");
        assert!(commands.len() == 1 && !commands[0].contains(['%', '$']), "{commands:?}");
    }
}

#[test]
fn switches_are_those_that_the_daemon_reads_back() {
    let set: BTreeSet<(String, String)> = read("causeway.sysctl")
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, value)| (key.replace('.', "/"), value.to_owned()))
        .collect();
    for (key, value) in [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/all/rp_filter", "2"),
        ("net/ipv4/conf/default/rp_filter", "2"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv6/conf/default/forwarding", "1"),
        ("net/ipv4/ping_group_range", "0 2147483647"),
        ("net/netfilter/nf_conntrack_tcp_loose", "0"),
    ] {
        assert!(set.contains(&(key.to_owned(), value.to_owned())), "{key} = {value}");
    }
}

#[test]
fn the_early_filter_is_closed_and_gives_way_to_the_daemons() {
    let rules = read("early.nft");
    let table = causeway::kernel::ruleset::Ruleset::removal();
    let table = serde_json::to_string(&table).expect("rules are plain data");
    assert!(
        table.contains(r#""name":"causeway""#) && rules.contains("create table inet causeway"),
        "one name: {table}"
    );
    assert_eq!(rules.matches("policy drop").count(), 2, "input and forward are closed");
    let check =
        Command::new("nft").args(["-c", "-f"]).arg(folder().join("early.nft")).output().expect("nft is installed");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

fn read(file: &str) -> String {
    fs::read_to_string(folder().join(file)).expect("the file is there")
}

fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

fn analyze(arguments: &[&str], unit: &Path) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg(unit).env("SYSTEMD_COLORS", "0").env("LC_ALL", "C.UTF-8");
    command.output().expect("systemd-analyze is installed (package systemd)")
}
