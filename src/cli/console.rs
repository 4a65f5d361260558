//! `causeway console`: one page for the screen and the serial line, for whoever stands before the box: its ports, whether
//! it is enrolled, what to do. Drawn again only when something changed, so that a slow line can be read. It shows; it asks
//! nothing.

mod page;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;

use super::exit::{Exit, Failure, put};
use super::render::View;
use crate::control::io::Client;
use crate::control::keeping::ConfigState;
use crate::control::protocol::{Reply, Request};
use crate::control::status::Status;
use page::{Port, Seen};

/// A cable that is plugged in shows at once; nobody reads faster.
const EVERY: Duration = Duration::from_secs(1);
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";
const NETS: &str = "/sys/class/net";

pub(super) fn run(socket: &Path, once: bool, view: &View) -> Result<ExitCode, Failure> {
    let terminal = std::io::stdout().is_terminal();
    let mut shown = String::new();
    loop {
        let page = page::text(&look(socket), view);
        if page != shown {
            let text = if terminal && !once { format!("{CLEAR}{page}") } else { page.clone() };
            if !put(&text)? {
                return Ok(Exit::Done.into());
            }
            shown = page;
        }
        if once {
            return Ok(Exit::Done.into());
        }
        std::thread::sleep(EVERY);
    }
}

fn look(socket: &Path) -> Seen {
    let (status, config) = asked(socket);
    Seen { ports: ports(), status, config }
}

/// Either may be missing: a daemon that starts, or that has no head office to speak of.
fn asked(socket: &Path) -> (Option<Status>, Option<ConfigState>) {
    let Ok(mut client) = Client::connect(socket) else { return (None, None) };
    let status = match client.call(&Request::Status) {
        Ok(Reply::Status(status)) => Some(*status),
        Ok(_) | Err(_) => None,
    };
    let config = match client.call(&Request::ConfigState) {
        Ok(Reply::ConfigState(state)) => Some(*state),
        Ok(_) | Err(_) => None,
    };
    (status, config)
}

fn ports() -> Vec<Port> {
    let mut addresses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for found in getifaddrs().into_iter().flatten() {
        let Some(address) = found.address else { continue };
        let text = if let Some(v4) = address.as_sockaddr_in() {
            v4.ip().to_string()
        } else if let Some(v6) = address.as_sockaddr_in6().filter(|v6| !v6.ip().is_unicast_link_local()) {
            v6.ip().to_string()
        } else {
            continue;
        };
        addresses.entry(found.interface_name).or_default().push(text);
    }
    let entries = std::fs::read_dir(NETS).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names.retain(|name| name != "lo");
    let ports = names.into_iter().map(|name| {
        let folder = Path::new(NETS).join(&name);
        // Reading it fails while the port is switched off.
        let carrier = std::fs::read_to_string(folder.join("carrier")).ok().map(|text| text.trim() == "1");
        let addresses = addresses.remove(&name).unwrap_or_default();
        Port { plug: folder.join("device").exists(), carrier, addresses, name }
    });
    ports.collect()
}
