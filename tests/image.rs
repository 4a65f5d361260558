//! The image as a branch meets it: booted under QEMU between the lab's providers and LAN. Run by `make image-test`, which builds the
//! image first; far too slow for `cargo test`.

#![cfg(feature = "lab")]

#[path = "image/bars.rs"]
mod bars;
#[path = "image/closed.rs"]
mod closed;
#[path = "image/log.rs"]
mod log;
#[path = "image/office.rs"]
mod office;
#[path = "image/ssh.rs"]
mod ssh;
#[path = "image/world.rs"]
mod world;

use std::net::IpAddr;
use std::time::Duration;

use causeway::config::model::Family;
use causeway::lab::addresses::{self as plan, port};
use causeway::lab::clients::udp::Flow;
use causeway::lab::line::Direction;
use causeway::lab::servers::NAME;
use causeway::lab::{clock, dns};
use causeway::ports::{Model, factory_config};

use bars::{bars, held, row};
use world::{Place, World, built, open_ports};

const SOON: Duration = Duration::from_secs(60);
/// A line that comes second, at the start too, is proved and held before traffic goes back to it.
const RETURNED_WITHIN: Duration = Duration::from_secs(240);

#[test]
#[ignore = "needs a built image: make image-test"]
fn a_box_as_it_is_flashed_serves_its_lan() {
    let key = ssh::Key::new("operator");
    let mut world = World::boot(Place::new("factory"), vec![("authorized_keys".to_owned(), key.public())]);
    let forwards = world.forwards();
    let lease = world.lease();
    row("power on → a lease for a machine that never had one", &world.since_power_on(), "");
    world.wait("it reaches the internet", SOON, || world.reaches_the_internet());

    assert_eq!(lease.address.octets()[..3], [192, 168, 77], "the factory's network");
    let resolver = lease.dns.expect("a resolver comes with the lease");
    world.wait("names resolve", SOON, || resolves(&world, resolver.into()));
    world.wait("figures are served", SOON, || world.metrics());
    for process in ["run", "front"] {
        let fenced = world.wait("the fence", SOON, || {
            world.metric("causeway_process_sandboxed{", &[&format!("process=\"{process}\"")])
        });
        assert!(fenced > 0.0, "{process} is not fenced in:\n{}", world.last_words());
    }
    let outage = an_outage_moves_the_lan(&world);
    // After the outage: ten thousand questions at once are more than an emulated line carries beside its probes.
    nothing_listens_outside(&world);
    ssh::operators_get_verbs_and_nothing_else(&world, &key);
    let memory = ssh::memory_is_left(&world);
    nothing_failed(&world);
    log::no_call_was_refused(&world);
    // Last, so that a bar that is missed hides nothing else.
    held(&[
        ("power on → forwarding, s", forwards.as_secs_f64(), bars().forwards),
        ("silent outage, standard → steady on the backup, s", outage.as_secs_f64(), bars().outage),
        ("memory in use, idle, MB", memory, bars().memory),
    ]);
}

/// The scanner sees what is open in the LAN, and nothing from a provider's side. The factory's config has no IPv6 on its lines; an
/// address that answers all the same would be asked, too.
fn nothing_listens_outside(world: &World) {
    let inside = open_ports(&world.branch.lan1, world.router().into(), "eth0", 1..=10_000);
    assert!(inside.contains(&53) && inside.contains(&9620), "the scanner is blind: {inside:?}");
    for index in 0..2 {
        let addresses = world.wait("the provider knows the box", SOON, || {
            let addresses = world.on_the_line(index);
            addresses.iter().any(IpAddr::is_ipv4).then_some(addresses)
        });
        for address in addresses {
            let open = open_ports(&world.branch.providers[index], address, "line", 1..=10_000);
            assert!(open.is_empty(), "open on {address}: {open:?}");
        }
    }
    row("ports open on the uplinks", "none", "none");
}

/// systemd tells the console of each unit that fails, in the words of `unit_log_failure` (systemd 257) or of its own status.
fn nothing_failed(world: &World) {
    let serial = world.machine.serial();
    let failed: Vec<&str> =
        serial.lines().filter(|line| line.contains("Failed with result") || line.contains("FAILED")).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    row("units that failed", "none", "none");
}

/// A provider falls silent, the LAN goes on through the other, and returns. How long the LAN's traffic was not steady; if that is more
/// than it may be, the median of three outages.
fn an_outage_moves_the_lan(world: &World) -> Duration {
    let mut took = vec![one_outage(world)];
    if !bars().outage.is_met(took[0].as_secs_f64()) {
        took.extend((0..2).map(|_| one_outage(world)));
        took.sort();
    }
    took[took.len() / 2]
}

fn one_outage(world: &World) -> Duration {
    world.wait("the first line carries", RETURNED_WITHIN, || world.carries("wan0"));
    let line = &world.branch.lines[0];
    let flow = Flow::start(&world.branch.lan1, plan::far_port(Family::V4, port::ECHO), 200).expect("a flow starts");
    world.wait("the flow is alive", SOON, || flow.alive().then_some(()));
    let fault = clock::now();
    for direction in Direction::BOTH {
        line.set(direction, |impairment| impairment.cut = true);
    }
    world.wait("the second line carries", SOON, || world.carries("wan1"));
    world.wait("the LAN reaches the internet by the second line", SOON, || world.reaches_the_internet());
    let until = clock::now();
    // Packets of the last moments are still under way in the emulator: they are no loss.
    world.wait("the flow goes on", SOON, || flow.record().settled(until).then_some(()));
    let took = flow.record().steady_after(fault, until);
    drop(flow);
    for direction in Direction::BOTH {
        line.set(direction, |impairment| impairment.cut = false);
    }
    world.wait("the first line carries again", RETURNED_WITHIN, || world.carries("wan0"));
    world.wait("the LAN reaches the internet again", SOON, || world.reaches_the_internet());
    took.unwrap_or_else(|| panic!("the second line carries, and traffic on it is not steady:\n{}", world.last_words()))
}

#[test]
fn every_file_of_a_model_can_be_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/image/models");
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder).expect("the folder is there").flatten() {
        let text = std::fs::read_to_string(file.path()).expect("it can be read");
        let model = Model::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.path().display()));
        let config = factory_config(&model.ports);
        causeway::config::parse_branch("gateway.toml", &config).unwrap_or_else(|faults| panic!("{faults}\n{config}"));
        let name = causeway::ports::name_of(&model.name);
        causeway::config::model::Name::new(&name).unwrap_or_else(|error| panic!("{name}: {error}"));
        names.extend([model.name, format!("`{name}`")]);
    }
    names.sort();
    let boards = include_str!("../docs/boards.md");
    assert!(!names.is_empty());
    for name in names {
        assert!(boards.contains(&name), "docs/boards.md does not name {name}");
    }
}

#[test]
#[ignore = "needs a built image: make image-test"]
fn the_image_is_as_small_as_promised() {
    let sizes = std::fs::read_to_string(built().join("sizes")).expect("make image writes it");
    let size = |name: &str| -> u64 {
        let line = sizes.lines().find(|line| line.starts_with(name)).expect("each part is there");
        line.split_whitespace().nth(1).and_then(|bytes| bytes.parse().ok()).expect("bytes")
    };
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    held(&[
        ("root, MB", megabytes(size("root")), bars().root),
        ("kernel file, MB", megabytes(size("uki")), bars().uki),
        ("download of an update, MB", megabytes(size("download")), bars().download),
    ]);
}

/// Whoever takes over a process finds nothing to go on with.
#[test]
#[ignore = "needs a built image: make image-test"]
fn nothing_on_it_runs_a_script() {
    const INTERPRETERS: [&str; 14] =
        ["sh", "bash", "dash", "busybox", "perl", "python", "lua", "awk", "mawk", "gawk", "sed", "env", "xargs", "vi"];
    let programs = std::fs::read_to_string(built().join("programs")).expect("make image writes it");
    let list = include_str!("../image/packages/programs");
    let allowed: Vec<&str> = list.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).collect();
    let mut count = 0;
    for line in programs.lines() {
        let (kind, path) = line.split_once(' ').expect("kind and path");
        let name = path.rsplit('/').next().unwrap_or(path);
        assert_eq!(kind, "elf", "{path}");
        assert!(
            !INTERPRETERS.iter().any(|it| name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') == *it),
            "{path}"
        );
        if let Some(program) = path.strip_prefix("usr/bin/").or_else(|| path.strip_prefix("usr/sbin/")) {
            assert!(allowed.contains(&program), "{path}");
        }
        count += 1;
    }
    assert!(programs.contains("elf usr/bin/causeway\n"), "{programs}");
    row("programs on it, of these shells and interpreters", &format!("{count}, 0"), "0");
}

#[test]
#[ignore = "needs a built image: make image-test"]
fn it_has_the_manual_of_its_own_commands() {
    let files = std::fs::read_to_string(built().join("files")).expect("make image writes it");
    let files: Vec<&str> = files.lines().collect();
    for there in [
        "man/man1/causeway.1",
        "man/man1/causeway-status.1",
        "man/man1/causeway-config-apply.1",
        "bash-completion/completions/causeway",
        "zsh/vendor-completions/_causeway",
        "fish/vendor_completions.d/causeway.fish",
    ] {
        assert!(files.contains(&format!("usr/share/{there}").as_str()), "{there} in {files:?}");
    }
    for elsewhere in ["lab", "office", "man", "completions"] {
        let page = format!("causeway-{elsewhere}");
        assert!(!files.iter().any(|file| file.contains(&page)), "{page} is no command of a box");
    }
}

#[test]
#[ignore = "needs a built image: make image-test"]
fn every_unit_is_fenced_in() {
    let security = std::fs::read_to_string(built().join("security")).expect("make image writes it");
    let scores: Vec<(&str, f64)> = security
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(unit, score)| Some((unit, score.parse().ok()?)))
        .collect();
    assert!(scores.iter().any(|(unit, _)| *unit == "causeway.service"), "{security}");
    let mut open = Vec::new();
    for (unit, score) in scores {
        let most = match unit {
            "causeway.service" => 2.0,
            "causeway-front.service" => 1.2,
            _ => 3.0,
        };
        row(unit, &score.to_string(), &most.to_string());
        if score > most {
            open.push(format!("{unit}: {score}, at most {most}"));
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn resolves(world: &World, resolver: IpAddr) -> Option<()> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let answer = world.branch.lan1.enter(|| dns::ask(resolver, NAME, Family::V4, PATIENCE)).ok()??;
    (!answer.is_empty()).then_some(())
}
