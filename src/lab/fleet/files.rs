//! The fleet's folder of the lab, and its boxes.

use super::member::Hardware;

/// Short name and name.
pub const SITES: [(&str, &str); 3] = [("nantes", "Nantes"), ("brest", "Brest"), ("lille", "Lille")];
/// What the hardware of the lab calls itself.
const MODEL: &str = "cw-lab";

/// Lines by DHCP, and nothing else.
const SAFE: &str = r#"
site = { name = "new box" }
probes = { targets = [{ icmp = "198.19.1.1" }, { icmp = "198.19.2.1" }] }
uplinks.fibre = { device = "wan0", medium = "fibre" }
uplinks.cable = { device = "wan1", medium = "cable" }
networks.tills = { ports = ["lan0"], vlan = 10, net = "192.168.77.0/24", dhcp = { from = 100, to = 199, lease = "1h" } }
"#;

/// What all branches share, with what the story changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standard {
    /// Ports of the internet that the tills may reach.
    pub allow: Vec<&'static str>,
    /// How line B gets its address.
    pub backup: &'static str,
    /// Seconds of probation of line B.
    pub recover_after: u32,
}

impl Standard {
    pub const DHCP: &'static str = "\"dhcp\"";
    /// An address of a net that no provider has.
    pub const WRONG: &'static str = "{ address = \"192.0.2.2/30\", gateway = \"192.0.2.1\" }";

    pub fn first() -> Self {
        Self { allow: vec!["udp/7", "icmp"], backup: Self::DHCP, recover_after: 10 }
    }

    pub(super) fn text(&self, responders: &[String; 2], key: &str) -> String {
        let Self { allow, backup, recover_after } = self;
        let allow: Vec<String> = allow.iter().map(|port| format!("\"{port}\"")).collect();
        let [one, two] = responders;
        format!(
            r#"standard = {{ name = "retail", schema = 1, models = ["{MODEL}"] }}

dns = {{ forwarders = ["198.19.1.1"], domain = "branch.internal" }}
paths = [{{ name = "default", prefer = ["fibre", "cable"], failback = {{ after = "5s", flows = "drain" }} }}]

[probes]
targets = [{{ icmp = "198.19.1.1" }}, {{ icmp = "198.19.2.1" }}]
responders = [{{ address = "{one}", key = "{key}" }}, {{ address = "{two}", key = "{key}" }}]

[uplinks]
fibre = {{ device = "wan0", medium = "fibre", ipv4 = "dhcp" }}
cable = {{ device = "wan1", medium = "cable", ipv4 = {backup}, probe = {{ recover_after = "{recover_after}s" }} }}

[networks]
tills = {{ vlan = 10, ports = ["lan0"], net = {{ var = "site_net", len = 24, index = 0 }}, dhcp = {{ from = 100, to = 199, lease = "12h" }} }}

[firewall]
rules = [{{ from = ["tills"], to = ["wan"], allow = [{}] }}]

[apply]
timers = {{ soft = "30s", hard = "2m", soak = "10s" }}

[vars]
site_net = {{ type = "prefix4", within = "10.0.0.0/9", len = 20, unique = true }}
"#,
            allow.join(", ")
        )
    }
}

pub(super) fn inventory() -> String {
    let mut text = "[sites]\n".to_owned();
    for (site, name) in SITES {
        text.push_str(&format!("{site} = {{ name = \"{name}\", owner = \"Anna Petit\" }}\n"));
    }
    text.push_str("\n[gateways]\n");
    for (index, (site, _)) in SITES.iter().enumerate() {
        let serial = serial(index);
        text.push_str(&format!("{serial} = {{ site = \"{site}\", model = \"{MODEL}\", lifecycle = \"active\" }}\n"));
    }
    text
}

pub(super) fn values(index: usize) -> String {
    format!("vars = {{ site_net = \"10.{}.0.0/20\" }}\n", 16 + index)
}

pub(super) fn hardware(index: usize) -> Hardware {
    Hardware { model: MODEL, serial: serial(index), safe: SAFE }
}

fn serial(index: usize) -> String {
    format!("LAB-{:04}", index + 1)
}
