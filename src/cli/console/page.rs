//! The page itself. Pure: 80 columns, 24 lines for what most boxes have.

use crate::cli::render::{View, printable, status::headline};
use crate::control::keeping::ConfigState;
use crate::control::status::{InternetState, Status};

/// A box of more ports than fit a screen.
const PORTS: usize = 12;
/// Of one port; an IPv6 network has many.
const ADDRESSES: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub name: String,
    /// A socket on the box, not something that the kernel made up.
    pub plug: bool,
    /// `None`: switched off.
    pub carrier: Option<bool>,
    pub addresses: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub ports: Vec<Port>,
    pub status: Option<Status>,
    pub config: Option<ConfigState>,
}

pub(super) fn text(seen: &Seen, view: &View) -> String {
    let mut text = match &seen.status {
        Some(status) => headline(status, view),
        None => format!("Causeway {}   the daemon does not answer yet\n", crate::VERSION),
    };
    text.push('\n');
    text.push_str(&ports(seen));
    text.push_str(&format!("\nHEAD OFFICE  {}\n\nWHAT TO DO\n", office(seen)));
    for line in to_do(seen) {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

fn ports(seen: &Seen) -> String {
    let mut text = String::from("PORT             CABLE     ADDRESS                                   USED AS\n");
    // What has neither a plug nor a use is the kernel's own affair.
    let shown = |port: &&Port| port.plug || !used_as(&port.name, seen).is_empty() || !port.addresses.is_empty();
    let all: Vec<&Port> = seen.ports.iter().filter(shown).collect();
    for port in all.iter().take(PORTS) {
        let cable = match port.carrier {
            Some(true) => "in",
            Some(false) => "out",
            None => "off",
        };
        let mut addresses = port.addresses.iter().take(ADDRESSES).map(|address| printable(address)).collect::<Vec<_>>();
        if port.addresses.len() > ADDRESSES {
            addresses.push("…".to_owned());
        }
        let addresses = if addresses.is_empty() { "–".to_owned() } else { addresses.join(" ") };
        let line = format!("{:<15}  {cable:<8}  {addresses:<40}  {}", printable(&port.name), used_as(&port.name, seen));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if all.len() > PORTS {
        text.push_str(&format!("and {} more\n", all.len() - PORTS));
    }
    if all.is_empty() {
        text.push_str("none found\n");
    }
    text
}

/// `line wan1 (FibreCo): down`.
fn used_as(port: &str, seen: &Seen) -> String {
    let uplinks = seen.status.iter().flat_map(|status| &status.uplinks);
    let Some(uplink) = uplinks.into_iter().find(|uplink| uplink.device == port) else { return String::new() };
    let provider = uplink.provider.as_ref().map(|name| format!(" ({})", printable(name))).unwrap_or_default();
    let state = uplink.line().map(|line| format!(": {}", line.state.name())).unwrap_or_default();
    format!("line {}{provider}{state}", printable(&uplink.name))
}

fn office(seen: &Seen) -> String {
    match seen.config.as_ref().map(|config| &config.office) {
        None => "not known".to_owned(),
        Some(None) => "none: this box is not enrolled, it runs the config on its disk".to_owned(),
        Some(Some(office)) => {
            let (tenant, site) = (printable(&office.tenant), printable(&office.site));
            match office.admission.as_str() {
                "accepted" if office.stale => format!("{tenant}, site {site}: enrolled, but silent for a day"),
                "accepted" => format!("{tenant}, site {site}: enrolled"),
                "waiting" => format!("{tenant}: asked, somebody there has to approve this box"),
                _ => format!("{tenant}: not enrolled yet, asking"),
            }
        }
    }
}

fn to_do(seen: &Seen) -> Vec<&'static str> {
    let Some(status) = &seen.status else {
        return vec![
            "Wait two minutes: the box is starting, and forwards meanwhile what it can.",
            "If this stays, log in by SSH and type: version. Then start the box again.",
        ];
    };
    let mut lines = Vec::new();
    match status.internet.state {
        InternetState::Primary => {}
        InternetState::Backup => {
            lines.push("The first line is down; the branch works on the other one. Nothing here is broken.")
        }
        InternetState::Down => {
            lines.push("No line works. Look at CABLE above, and at the lights of the providers' boxes.")
        }
        InternetState::Unknown => lines.push("Wait a minute: the lines are being tried."),
    }
    match seen.config.as_ref().map(|config| config.office.as_ref().map(|office| office.admission.as_str())) {
        Some(None) => lines.extend([
            "To enrol: copy claim.toml from head office to the folder causeway/ of the boot partition",
            "or of a USB stick, and start the box again. Without a head office nothing is missing.",
        ]),
        Some(Some("waiting")) => lines.push("Call head office: they have to approve this box."),
        Some(Some("accepted")) | None => {}
        Some(Some(_)) => lines.push("Nothing: it asks head office by itself, as soon as a line works."),
    }
    if lines.is_empty() {
        lines.push("Nothing. Log in by SSH for more: status, why, events.");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::tests::{backup, view};
    use crate::control::keeping::OfficeState;

    fn port(name: &str, carrier: Option<bool>, addresses: &[&str]) -> Port {
        let addresses = addresses.iter().map(|it| (*it).to_owned()).collect();
        Port { name: name.to_owned(), plug: true, carrier, addresses }
    }

    fn seen(admission: Option<&str>) -> Seen {
        let office = admission.map(|admission| OfficeState {
            tenant: "petit".to_owned(),
            site: "nantes".to_owned(),
            admission: admission.to_owned(),
            ..OfficeState::default()
        });
        let mut kernels = port("ip6tnl0", Some(false), &[]);
        kernels.plug = false;
        Seen {
            ports: vec![
                kernels,
                port("lan0", Some(true), &["10.20.0.1", "fd00::1", "2001:db8::1"]),
                port("lan1", None, &[]),
                port("wan0", Some(true), &["203.0.113.20"]),
                port("wwan0", Some(true), &["100.64.3.9"]),
            ],
            status: Some(backup()),
            config: Some(ConfigState { office, ..ConfigState::default() }),
        }
    }

    #[test]
    fn the_page_of_each_stage() {
        let mut starting = seen(None);
        (starting.status, starting.config) = (None, None);
        let mut stages = vec![text(&starting, &view())];
        stages.extend([None, Some("asking"), Some("waiting"), Some("accepted")].map(|it| text(&seen(it), &view())));
        insta::assert_snapshot!(stages.join("\n————\n"));
    }

    #[test]
    fn it_fits_a_serial_line() {
        let mut many = seen(Some("waiting"));
        many.ports = (0..40).map(|index| port(&format!("lan{index}"), Some(false), &[])).collect();
        let page = text(&many, &view());
        assert!(page.lines().count() <= 24, "{page}");
        assert!(text(&seen(None), &view()).lines().all(|line| line.chars().count() <= 100));
    }

    #[test]
    fn what_the_box_was_told_is_shown_never_obeyed() {
        let mut evil = seen(Some("accepted"));
        evil.status.as_mut().expect("a status").site = "\x1b[2J\x07".to_owned();
        evil.ports[1].name = "\x1b]0;x\x07".to_owned();
        assert!(!text(&evil, &view()).contains(['\x1b', '\x07']));
    }
}
