//! A box with a claim in its ESP finds head office and runs what that signed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use causeway::config::model::{Family, LinkName, Name};
use causeway::lab::addresses as plan;
use causeway::lab::clock;
use causeway::lab::image::{MODEL, SERIAL};
use causeway::lab::netns::Namespace;
use causeway::lab::site::Host;
use causeway::lab::topology::Branch;
use causeway::lab::vlan::AccessPort;

use super::SOON;
use super::bars::row;
use super::world::{self, BOOT_WITHIN, Place, World};

/// The VLAN of the standard's guests.
const GUESTS: u16 = 20;
const RESPONDER: u16 = 7711;
/// Responders have addresses in two networks, as two data centres would.
const SECOND: &str = "198.51.100.77";
/// What a box is called whose firmware tells nothing of QEMU's own words: U-Boot.
const BARE: &str = "linux-dummy-virt";
/// A lease, TLS, the trial.
const APPLIED_WITHIN: Duration = Duration::from_secs(240);

/// Head office in the lab's namespace for it: `causeway office` as people use it.
struct Office {
    folder: PathBuf,
    /// Signs path proofs; stands in the standard.
    responder: String,
    serves: Option<Child>,
}

impl Office {
    fn run(&self, host: &Namespace, words: &[&str]) -> String {
        let fleet = self.folder.join("fleet").display().to_string();
        let arguments = [&["office"], words, &["--fleet", &fleet]].concat();
        host.must(env!("CARGO_BIN_EXE_causeway"), &arguments, "").unwrap_or_else(|error| panic!("{error}: {error:?}"))
    }

    fn passphrase(&self) -> String {
        self.folder.join("passphrase").display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
        std::fs::write(path, text).expect("it can be written");
    }

    /// Keys, one site, a signed standard, the server, and a claim.
    fn open(branch: &Branch, folder: &Path) -> (Self, String) {
        let host = &branch.office;
        host.ip(&format!("address add {SECOND}/32 dev lo\n")).expect("an address");
        let route = format!("route add {SECOND}/32 via {}\n", plan::office(Family::V4));
        branch.internet.ip(&route).expect("a route");
        let mut office = Self { folder: folder.to_owned(), responder: String::new(), serves: None };
        office.write("passphrase", "correct horse battery staple\n");
        let url = format!("https://{}", plan::office(Family::V4));
        let passphrase = office.passphrase();
        let init = ["init", "--tenant", "Petit Shops", "--url", &url, "--passphrase-file", &passphrase, "--json"];
        let made: serde_json::Value = serde_json::from_str(&office.run(host, &init)).expect("JSON");
        office.write(
            "fleet/inventory.toml",
            &format!(
                "[sites]\nnantes = {{ name = \"Nantes\", owner = \"Anna Petit\" }}\n\n[gateways]\n\
             {SERIAL} = {{ site = \"nantes\", model = \"{MODEL}\", lifecycle = \"active\" }}\n"
            ),
        );
        office.write("fleet/sites/nantes.toml", "vars = { site_net = \"10.16.0.0/20\" }\n");
        made["responder"].as_str().expect("a key").clone_into(&mut office.responder);
        office.write("fleet/standard.toml", &standard(&office.responder, "\"dhcp\""));
        office.run(host, &["release", "--ticket", "NET-1", "--assign", "all", "--passphrase-file", &passphrase]);
        office.serve(host);
        let claim = office.run(host, &["claim", "nantes"]);
        (office, claim)
    }

    fn serve(&mut self, host: &Namespace) {
        let here = plan::office(Family::V4);
        let log = std::fs::File::create(self.folder.join("office.log")).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(["office", "serve", "--fleet"]).arg(self.folder.join("fleet"));
        command.args(["--listen", &format!("{here}:443"), "--responder", &format!("{here}:{RESPONDER}")]);
        command.args(["--responder", &format!("{SECOND}:{RESPONDER}")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.serves = Some(host.start(&mut command).expect("it starts"));
    }

    fn says(&self, host: &Namespace, what: &str) -> Option<()> {
        self.run(host, &["status"]).contains(what).then_some(())
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        if let Some(mut serves) = self.serves.take() {
            let _ = serves.kill(); // it may have ended
            let _ = serves.wait();
        }
    }
}

/// Tills untagged on the LAN port, guests with a tag on the same.
fn standard(responder: &str, backup: &str) -> String {
    let [one, two] = [1, 2].map(|number| plan::target(Family::V4, number));
    let (office, names) = (plan::office(Family::V4), plan::far(Family::V4));
    format!(
        r#"standard = {{ name = "retail", schema = 1, models = ["{MODEL}", "{BARE}"] }}
telemetry = {{ metrics_on = ["tills"] }}
dns = {{ forwarders = ["{names}"], domain = "branch.internal" }}
paths = [{{ name = "default", prefer = ["fibre", "cable"] }}]

[probes]
targets = [{{ icmp = "{one}" }}, {{ icmp = "{two}" }}]
responders = [
  {{ address = "{office}:{RESPONDER}", key = "{responder}" }},
  {{ address = "{SECOND}:{RESPONDER}", key = "{responder}" }},
]

[uplinks]
fibre = {{ device = "wan0", medium = "fibre", ipv4 = "dhcp" }}
cable = {{ device = "wan1", medium = "cable", ipv4 = {backup} }}

[networks]
tills = {{ vlan = 10, trunks = ["lan0"], net = {{ var = "site_net", len = 24, index = 0 }}, dhcp = {{ from = 100, to = 199 }} }}
guests = {{ vlan = {GUESTS}, net = {{ var = "site_net", len = 24, index = 1 }}, dhcp = {{ from = 100, to = 199 }}, isolate = true }}

[firewall]
rules = [
  {{ from = ["tills", "guests"], to = ["wan"], allow = ["any"] }},
  {{ from = ["tills"], to = ["self"], allow = ["icmp", "udp/53", "tcp/53", "udp/67", "tcp/9620"] }},
]

[apply]
timers = {{ soft = "30s", hard = "2m", soak = "10s" }}

[vars]
site_net = {{ type = "prefix4", within = "10.0.0.0/9", len = 20, unique = true }}
"#
    )
}

#[test]
#[ignore = "needs a built image: make image-test"]
fn a_box_with_a_claim_runs_what_head_office_signed() {
    let place = Place::new("claim");
    let (office, claim) = Office::open(&place.branch, &place.folder.join("office"));
    let mut world = World::boot(place, vec![("claim.toml".to_owned(), claim)]);
    let host = world.branch.office.clone();
    world.wait("head office sees its standard run", BOOT_WITHIN + APPLIED_WITHIN, || {
        office.says(&host, "1 of 1 on what they should run")
    });
    row("power on → claimed, config of head office in force", &world.since_power_on(), "");
    // The network of before is gone; its host asks again.
    let till = world.lease();
    assert_eq!(till.address.octets()[..3], [10, 16, 0], "the standard's network");
    world.wait("the tills reach the internet", SOON, || world.reaches_the_internet());
    world.wait("the box counts by it", SOON, || (standard_in_force(&world)? == "1").then_some(()));

    let guest = Namespace::new("guest").expect("a namespace");
    let _plugged = AccessPort::open(&guest, GUESTS, &world.branch.gateway, "wire-lan0", "guest").expect("a port");
    let (network, device) = (Name::new("guests").expect("a name"), LinkName::new("eth0").expect("a name"));
    let guest = Host::of(&guest, network, device, &world.folder.join("guest")).expect("a folder");
    let lease = world.wait("a guest's lease", SOON, || guest.lease(None).ok().flatten());
    assert_eq!(lease.address.octets()[..3], [10, 16, 1], "the guests' network");
    world.wait("guests reach the internet", SOON, || world::reaches_the_internet(&guest.host));
    assert_eq!(world::open_ports(&guest.host, till.address.into(), "eth0", 1..=1_000), [0; 0], "guests see no till");
    row("VLAN 20 tagged beside an untagged network: lease, internet, kept apart", "yes", "yes");

    // A change that cuts the second line off is undone by the box itself.
    office.write(
        "fleet/standard.toml",
        &standard(&office.responder, "{ address = \"192.0.2.2/30\", gateway = \"192.0.2.1\" }"),
    );
    let passphrase = office.passphrase();
    office.run(&host, &["release", "--ticket", "NET-2", "--assign", "all", "--passphrase-file", &passphrase]);
    let released = clock::now();
    world.wait("head office hears that it was undone", APPLIED_WITHIN, || office.says(&host, "quarantined"));
    row(
        "a bad change is undone, and head office knows",
        &format!("{:.0} s", clock::now().since(released).as_secs_f64()),
        "",
    );
    world.wait("the tills reach the internet as before", SOON, || world.reaches_the_internet());

    power_fails_in_a_trial(&mut world, &office, &host);
}

/// Such a change under another number: power goes while it is on trial.
fn power_fails_in_a_trial(world: &mut World, office: &Office, host: &Namespace) {
    let in_trial = |world: &World| Some(world.metric("causeway_config_in_trial", &[])? > 0.0);
    let good = world.wait("no trial is on", SOON, || if in_trial(world)? { None } else { standard_in_force(world) });
    office.write(
        "fleet/standard.toml",
        &standard(&office.responder, "{ address = \"192.0.2.6/30\", gateway = \"192.0.2.5\" }"),
    );
    let passphrase = office.passphrase();
    office.run(host, &["release", "--ticket", "NET-3", "--assign", "all", "--passphrase-file", &passphrase]);
    world.wait("the change is on trial", APPLIED_WITHIN, || in_trial(world).filter(|on| *on));
    world.machine.power_cut();
    world.machine.power_on().unwrap_or_else(|error| panic!("{error}: {error:?}"));
    let till = world.lease();
    assert_eq!(till.address.octets()[..3], [10, 16, 0], "the standard's network");
    world.wait("the tills reach the internet after a power cut", SOON, || world.reaches_the_internet());
    let undone = |world: &World, reason: &str| {
        let times = world.metric("causeway_config_rollbacks_total{", &[&format!("reason=\"{reason}\"")])?;
        (times > 0.0).then_some(())
    };
    world.wait("the power cut is told", SOON, || undone(world, "reboot"));
    // The first reboot may have been the power company's: it is tried again, once the second line is up to be missed.
    world.wait("the second try is undone", APPLIED_WITHIN, || undone(world, "no_confirm"));
    world.wait("the config of before is in force", SOON, || (standard_in_force(world)? == good).then_some(()));
    row("power cut in a trial: undone by the boot, and again after a second try", "yes", "yes");
}

/// The number of head office's standard, as `/metrics` tells it.
fn standard_in_force(world: &World) -> Option<String> {
    let page = world.metrics()?;
    let line = page.lines().find(|line| line.starts_with("causeway_config_info{"))?;
    Some(line.split_once("standard=\"")?.1.split_once('"')?.0.to_owned())
}
