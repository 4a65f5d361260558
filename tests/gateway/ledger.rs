//! The ledger of the real daemon: an outage is in it, whatever happens to the daemon meanwhile.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::place::{Daemon, Place, Provider, in_namespace, wait_until};

const CONFIG: &str = r#"
site = { name = "Shop 7", timezone = "Europe/Paris", hours = "mon-sun 00:00-24:00" }
uplinks.wan = { device = "wan0", medium = "fibre", ipv6 = "off", provider = "FibreCo" }
networks.shop = { ports = ["lan0"], net = "192.168.10.0/24" }
probes.targets = [{ icmp = "1.1.1.1" }, { icmp = "8.8.8.8" }, { icmp = "9.9.9.9" }]
"#;

const HOSTS: [&str; 3] = ["1.1.1.1", "8.8.8.8", "9.9.9.9"];

fn state(place: &Place) -> Value {
    place.status().map_or(Value::Null, |status| status["uplinks"][0]["families"][0]["state"].clone())
}

/// What `outages --json` says.
fn report(place: &Place) -> Value {
    let answer = place.ask(&["outages", "--json"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    serde_json::from_str(&answer.out).expect("JSON")
}

fn outages(place: &Place) -> Vec<Value> {
    report(place)["outages"].as_array().expect("a list").clone()
}

fn lines(place: &Place) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(place.path("state/ledger")).expect("it is there").flatten().collect();
    files.sort_by_key(|entry| entry.file_name());
    let logs = files.iter().filter(|entry| entry.path().extension().is_some_and(|end| end == "log"));
    logs.flat_map(|entry| {
        fs::read_to_string(entry.path()).expect("text").lines().map(str::to_owned).collect::<Vec<_>>()
    })
    .collect()
}

fn wait_for_line(place: &Place, what: &str) {
    wait_until(what, || lines(place).iter().any(|line| line.contains(what)));
}

fn silence(provider: &Provider, place: &Place) {
    HOSTS.iter().for_each(|host| provider.unplug_host(host));
    wait_until("the line is down", || state(place) == "down");
    wait_for_line(place, "\"outage_open\"");
}

fn restore(provider: &Provider, place: &Place) {
    HOSTS.iter().for_each(|host| provider.host(host));
    wait_until("the line is up", || state(place) == "up");
}

fn start(place: &Place) -> Daemon {
    let daemon = place.start();
    wait_until("the line was asked", || ["up", "down"].contains(&state(place).as_str().unwrap_or_default()));
    daemon
}

#[test]
fn an_outage_is_kept_when_the_daemon_is_killed_in_the_middle_of_it() {
    in_namespace(|| {
        let provider = Provider::connect(0);
        HOSTS.iter().for_each(|host| provider.host(host));
        let place = Place::with(CONFIG);
        let daemon = start(&place);
        silence(&provider, &place);
        let before = outages(&place);
        assert_eq!((before.len(), &before[0]["ended"]), (1, &Value::Null), "{before:?}");
        daemon.kill();

        let daemon = start(&place);
        let open = outages(&place);
        assert_eq!((open.len(), &open[0]["ended"]), (1, &Value::Null), "it goes on: {open:?}");
        assert_eq!(open[0]["began"], before[0]["began"]);
        restore(&provider, &place);
        wait_until("it is closed", || !outages(&place)[0]["ended"].is_null());
        let closed = outages(&place);
        assert_eq!((closed.len(), &closed[0]["uplink"]), (1, &Value::from("wan")), "{closed:?}");
        assert!(closed[0]["lasted_ms"].as_u64() > before[0]["lasted_ms"].as_u64().map(|_| 0));
        let said = place.ask(&["outages"]).out;
        assert!(said.starts_with("UPLINK") && said.contains("\nwan "), "{said}");

        // What happened before this daemon began is among the events.
        let events = place.ask(&["events", "--since", "1h"]).out;
        assert!(events.contains("wan has an outage") && events.contains("began to watch after a boot"), "{events}");

        // Every record stands in one chain, over both runs.
        daemon.stop();
        let kept = place.ask(&["report", "--state", &place.path("state").display().to_string()]);
        assert!(kept.code == 0 && kept.out.contains("intact"), "{}{}", kept.out, kept.err);
        assert!(lines(&place).last().is_some_and(|line| line.contains("\"stop\"")), "{:?}", lines(&place));
    });
}

#[test]
fn evidence_is_signed_and_a_changed_byte_is_found() {
    in_namespace(|| {
        let provider = Provider::connect(0);
        HOSTS.iter().for_each(|host| provider.host(host));
        let place = Place::with(CONFIG);
        let _daemon = start(&place);
        silence(&provider, &place);
        restore(&provider, &place);
        wait_for_line(&place, "\"outage_close\"");

        let (file, state) = (place.path("evidence.tar"), place.path("state").display().to_string());
        let name = file.display().to_string();
        let words = ["report", "--uplink", "wan", "--evidence", &name, "--state", &state];
        let wrote = place.ask(&words);
        assert!(wrote.code == 0 && wrote.err.contains("signed by device"), "{}{}", wrote.out, wrote.err);
        let verified = place.ask(&["report", "verify", &name]);
        assert!(verified.code == 0 && verified.out.contains("intact") && verified.out.contains("Signed by device"));
        assert_eq!(by_hand(&place, &file), "every record is as it was written", "the script of VERIFY.md agrees");

        let mut bytes = fs::read(&file).expect("it was written");
        let at = bytes.windows(8).position(|window| window == b"outage_o").expect("a record of it");
        bytes[at] ^= 1;
        fs::write(&file, bytes).expect("it is ours");
        let doubted = place.ask(&["report", "verify", &name]);
        assert_eq!(doubted.code, 65, "{}{}", doubted.out, doubted.err);

        // A flipped byte in the ledger itself is named by its record.
        let log = fs::read_dir(place.path("state/ledger")).expect("it is there").flatten().map(|entry| entry.path());
        let log = log.filter(|path| path.extension().is_some_and(|end| end == "log")).min().expect("a file");
        let mut bytes = fs::read(&log).expect("it is there");
        let at = bytes.windows(8).position(|window| window == b"outage_o").expect("a record of it");
        bytes[at] ^= 1;
        fs::write(&log, bytes).expect("it is ours");
        let doubted = place.ask(&["outages", "--state", &state]);
        assert_eq!(doubted.code, 65);
        assert!(
            doubted.err.starts_with("error: record ") && doubted.err.contains("cannot be believed"),
            "{}",
            doubted.err
        );
    });
}

/// The script that the evidence brings, where there is a Python.
fn by_hand(place: &Place, file: &Path) -> String {
    let folder = place.path("by-hand");
    fs::create_dir_all(&folder).expect("a folder");
    let unpacked = Command::new("tar").arg("xf").arg(file).arg("-C").arg(&folder).status().expect("tar is installed");
    assert!(unpacked.success(), "it is a plain tar");
    let text = fs::read_to_string(folder.join("VERIFY.md")).expect("it is in it");
    let script = text.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a script");
    let script = script.replace("\"ledger.txt\"", &format!("{:?}", folder.join("ledger.txt").display().to_string()));
    match Command::new("python3").arg("-c").arg(script).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split(';').next().unwrap_or_default().to_owned()
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(_) => "every record is as it was written".to_owned(),
    }
}
