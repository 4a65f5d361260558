//! Names of a box's ports: from the file of its model, or, on a box nobody has described, in the order of the bus. Pure: what the
//! machine says comes in as values, files go out as text. `docs/boards.md` is the page for people.

use serde::Deserialize;

use crate::config::model::Name;

/// Where the firmware keeps what the machine calls itself: SMBIOS on x86-64, the device tree on ARM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub vendor: Option<String>,
    pub product: Option<String>,
    pub serial: Option<String>,
    /// Of the device tree, the most exact first.
    pub compatible: Vec<String>,
}

/// One supported box.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What head office is told.
    pub name: String,
    #[serde(rename = "match")]
    pub matches: Match,
    #[serde(rename = "port")]
    pub ports: Vec<Port>,
    /// The kernel's module of the hardware's watchdog, if it does not load by itself.
    pub watchdog: Option<String>,
    #[serde(default)]
    pub leds: Leds,
    /// The input device of the button that brings back the factory's config.
    pub button: Option<String>,
}

/// How the box is known; everything that is written must be so.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    pub vendor: Option<String>,
    pub product: Option<String>,
    /// One of the device tree's.
    pub compatible: Option<String>,
}

/// Lights below `/sys/class/leds`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leds {
    pub online: Option<String>,
    pub fault: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// `wan0`, `lan0`, …
    pub name: String,
    /// Where it is on the bus, as udev says in `ID_PATH`.
    pub path: Option<String>,
    /// What the kernel calls it: for the ports of a built-in switch, which all have the same path.
    pub kernel: Option<String>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    #[error("{0}")]
    Format(String),
    #[error("port `{0}` is not named as a port: wan or lan, then a number")]
    Name(String),
    #[error("port `{0}` must have either `path` or `kernel`")]
    Place(String),
    #[error("two ports are called `{0}`")]
    Twice(String),
    #[error("`match` names nothing")]
    NoMatch,
}

/// Longest name of an interface, without the kernel's closing zero.
const LONGEST_NAME: usize = 15;

impl Model {
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let model: Self = toml::from_str(text).map_err(|error| ModelError::Format(error.to_string()))?;
        let Match { vendor, product, compatible } = &model.matches;
        if vendor.is_none() && product.is_none() && compatible.is_none() {
            return Err(ModelError::NoMatch);
        }
        for (index, port) in model.ports.iter().enumerate() {
            if !is_port_name(&port.name) {
                return Err(ModelError::Name(port.name.clone()));
            }
            let places = [&port.path, &port.kernel];
            let good = |place: &String| !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_graphic());
            if places.iter().filter(|place| place.as_ref().is_some_and(good)).count() != 1 {
                return Err(ModelError::Place(port.name.clone()));
            }
            if model.ports[..index].iter().any(|other| other.name == port.name) {
                return Err(ModelError::Twice(port.name.clone()));
            }
        }
        Ok(model)
    }

    pub fn is(&self, machine: &Machine) -> bool {
        let Match { vendor, product, compatible } = &self.matches;
        let same = |wanted: &Option<String>, has: &Option<String>| wanted.is_none() || wanted == has;
        same(vendor, &machine.vendor)
            && same(product, &machine.product)
            && compatible.as_ref().is_none_or(|wanted| machine.compatible.contains(wanted))
    }
}

fn is_port_name(name: &str) -> bool {
    let number = name.strip_prefix("wan").or_else(|| name.strip_prefix("lan"));
    name.len() <= LONGEST_NAME
        && number.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// The ports of a box without a file: `buses` are the PCI addresses of its network devices. The first is an uplink, the second the
/// LAN, so that two ports are a gateway; with three and more the second is a second uplink.
pub fn in_bus_order(buses: &[String]) -> Vec<Port> {
    let mut buses = buses.to_vec();
    buses.sort();
    let uplinks = match buses.len() {
        0..=2 => 1,
        _ => 2,
    };
    let name = |index: usize| match index.checked_sub(uplinks) {
        None => format!("wan{index}"),
        Some(lan) => format!("lan{lan}"),
    };
    let port =
        |(index, bus): (usize, String)| Port { name: name(index), path: Some(format!("pci-{bus}")), kernel: None };
    buses.into_iter().enumerate().map(port).collect()
}

/// A `.link` file of systemd-udevd for one port.
pub fn link_file(port: &Port) -> String {
    let place = match (&port.path, &port.kernel) {
        // Where the device tree describes the machine, and not ACPI, the bus itself is a platform's device.
        (Some(path), _) if path.starts_with("pci-") => format!("Path={path} platform-*-{path}"),
        (Some(path), _) => format!("Path={path}"),
        (None, Some(kernel)) => format!("OriginalName={kernel}"),
        (None, None) => "OriginalName=!*".to_owned(),
    };
    // Type: whatever is put onto the port later has the same path.
    format!("[Match]\n{place}\nType=ether\n\n[Link]\nName={}\nMACAddressPolicy=none\n", port.name)
}

/// What a box runs until head office sends its config: every uplink by DHCP, one LAN that gets leases, names and the internet,
/// figures for the LAN; nothing from outside. No SSH: nobody's key is known yet.
pub fn factory_config(ports: &[Port]) -> String {
    use std::fmt::Write as _;
    let named = |kind: &str| -> Vec<&str> {
        ports.iter().map(|port| port.name.as_str()).filter(|name| name.starts_with(kind)).collect()
    };
    let mut text = "# Written at each boot by `causeway ports`; in force until head office sends a config.\n\
                    site = { name = \"Not yet claimed\", owner = \"whoever claims it\" }\n"
        .to_owned();
    for uplink in named("wan") {
        write!(text, "\n[uplinks.{uplink}]\ndevice = \"{uplink}\"\nmedium = \"cable\"\n").expect("a String takes all");
    }
    let lan = named("lan");
    if !lan.is_empty() {
        let list: Vec<_> = lan.iter().map(|port| format!("\"{port}\"")).collect();
        write!(
            text,
            "\n[networks.lan]\nports = [{}]\nvlan = 1\nnet = \"{FACTORY_NET}\"\ndhcp = {{ from = 100, to = 249 }}\n\
             \n[firewall]\nrules = [\n  {{ from = [\"lan\"], to = [\"wan\"], allow = [\"any\"] }},\n  \
             {{ from = [\"lan\"], to = [\"self\"], allow = [\"icmp\", \"tcp/22\", \"udp/53\", \"tcp/53\", \"udp/67\", \"tcp/80\", \"tcp/9620\"] }},\n]\n\
             \n[telemetry]\nmetrics_on = [\"lan\"]\nstatus_page_on = [\"lan\"]\n",
            list.join(", ")
        )
        .expect("a String takes all");
    }
    text
}

/// Seldom what a provider's box gives to its own LAN, so that a gateway behind one works.
const FACTORY_NET: &str = "192.168.77.0/24";

/// The file for `causeway run --device`: what head office is told of the hardware.
pub fn device_file(model: Option<&Model>, machine: &Machine) -> String {
    let known = model.map(|model| model.name.clone()).or_else(|| machine.product.clone());
    let line = |key: &str, value: String| if value.is_empty() { value } else { format!("{key} = \"{value}\"\n") };
    let model = line("model", known.map(|it| name_of(&it)).unwrap_or_default());
    model + &line("serial", machine.serial.as_deref().map(plain).unwrap_or_default())
}

/// A model as `standard.models` and an inventory name it: `PC Engines APU2` is `pc-engines-apu2`.
pub fn name_of(model: &str) -> String {
    let word = |word: &str| word.to_ascii_lowercase();
    let words: Vec<String> =
        model.split(|c: char| !c.is_ascii_alphanumeric()).filter(|it| !it.is_empty()).map(word).collect();
    let mut name = words.join("-");
    name.truncate(Name::MOST);
    name.trim_end_matches('-').to_owned()
}

/// Firmware says all kinds of things; of those only what needs no quoting is passed on, and 64 characters of it.
fn plain(value: &str) -> String {
    const LONGEST: usize = 64;
    let good = |c: &char| c.is_ascii_alphanumeric() || " -_.+()/".contains(*c);
    value.trim().chars().filter(good).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        let buses: Vec<_> = (0..count).rev().map(|index| format!("0000:0{index}:00.0")).collect();
        in_bus_order(&buses).into_iter().map(|port| port.name).collect()
    }

    #[test]
    fn a_port_on_pci_is_found_with_acpi_and_with_a_device_tree() {
        let port = Port { name: "wan0".to_owned(), path: Some("pci-0000:00:10.0".to_owned()), kernel: None };
        let file = link_file(&port);
        assert!(file.contains("\nPath=pci-0000:00:10.0 platform-*-pci-0000:00:10.0\n"), "{file}");
    }

    #[test]
    fn an_unknown_box_has_names_in_bus_order() {
        assert_eq!(names(1), ["wan0"]);
        assert_eq!(names(2), ["wan0", "lan0"]);
        assert_eq!(names(5), ["wan0", "wan1", "lan0", "lan1", "lan2"]);
        let ports = in_bus_order(&["0000:0a:00.0".to_owned(), "0000:02:00.1".to_owned()]);
        assert_eq!(ports[0].path.as_deref(), Some("pci-0000:02:00.1"));
    }

    #[test]
    fn the_factory_config_is_valid_however_many_ports_there_are() {
        for count in 1..=16 {
            let buses: Vec<_> = (0..count).map(|index| format!("0000:{index:02x}:00.0")).collect();
            let text = factory_config(&in_bus_order(&buses));
            let branch =
                crate::config::parse_branch("gateway.toml", &text).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
            assert_eq!(branch.gateway.uplinks.len(), if count < 3 { 1 } else { 2 });
        }
    }

    #[test]
    fn a_model_is_known_by_all_it_names() {
        let model = Model::parse(
            "name = \"APU2\"\nmatch = { vendor = \"PC Engines\", product = \"apu2\" }\n[[port]]\nname = \"wan0\"\npath = \"pci-0000:01:00.0\"\n",
        )
        .expect("a model");
        let mut machine = Machine { vendor: Some("PC Engines".to_owned()), ..Machine::default() };
        assert!(!model.is(&machine));
        machine.product = Some("apu2".to_owned());
        assert!(model.is(&machine));
        assert_eq!(device_file(Some(&model), &machine), "model = \"apu2\"\n");
    }

    #[test]
    fn a_wrong_model_says_what_is_wrong() {
        let parse = |ports: &str| Model::parse(&format!("name = \"x\"\nmatch = {{ product = \"x\" }}\n{ports}"));
        let port = |name: &str, rest: &str| format!("[[port]]\nname = \"{name}\"\n{rest}\n");
        assert_eq!(parse(&port("eth0", "kernel = \"a\"")), Err(ModelError::Name("eth0".to_owned())));
        assert_eq!(parse(&port("wan0", "")), Err(ModelError::Place("wan0".to_owned())));
        assert_eq!(parse(&port("wan0", "kernel = \"a\\nb\"")), Err(ModelError::Place("wan0".to_owned())));
        let twice = port("wan0", "kernel = \"a\"") + &port("wan0", "kernel = \"b\"");
        assert_eq!(parse(&twice), Err(ModelError::Twice("wan0".to_owned())));
        assert_eq!(Model::parse("name = \"x\"\nmatch = {}\nport = []"), Err(ModelError::NoMatch));
    }

    #[test]
    fn what_firmware_says_needs_no_quoting() {
        let machine = Machine { serial: Some("AB\"\n12\\ ".to_owned()), ..Machine::default() };
        assert_eq!(device_file(None, &machine), "serial = \"AB12\"\n");
    }

    #[test]
    fn whatever_a_box_is_called_a_standard_can_name_it() {
        for (says, name) in [
            ("PC Engines APU2", "pc-engines-apu2"),
            ("linux,dummy-virt", "linux-dummy-virt"),
            ("Standard PC (Q35 + ICH9, 2009)", "standard-pc-q35-ich9-2009"),
            ("A Very Long Name of a Board, 1, 2nd Revision", "a-very-long-name-of-a-board-1-2n"),
            ("Thirty-one characters and then x - y", "thirty-one-characters-and-then-x"),
        ] {
            assert_eq!(name_of(says), name);
            Name::new(name).expect("a name");
            let machine = Machine { product: Some(says.to_owned()), ..Machine::default() };
            assert_eq!(device_file(None, &machine), format!("model = \"{name}\"\n"));
        }
        let nameless = Machine { product: Some("…".to_owned()), ..Machine::default() };
        assert_eq!(device_file(None, &nameless), "");
    }
}
