//! `causeway office serve`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::super::exit::{Exit, Failure, talk};
use super::Place;
use super::args::ServeArgs;
use crate::office::folder::Folder;
use crate::office::serve::{Options, inherited, run};

/// Both families.
const EVERYWHERE: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 443);

pub(super) fn serve(place: &Place, args: ServeArgs) -> Result<(), Failure> {
    let inherited = inherited().map_err(|error| Failure::new(Exit::Failed, error))?;
    let folder: Folder = place.open()?;
    let ServeArgs { listen, responder } = args;
    // As systemd gave them, else as asked for, else where everybody looks.
    let listen = match (inherited.is_empty(), listen.is_empty()) {
        (true, true) => vec![EVERYWHERE],
        (_, _) => listen,
    };
    let options = Options { store: folder.store()?, state: place.state(), listen, inherited, responders: responder };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| Failure::new(Exit::Failed, error))?;
    run(options, |office| {
        for address in &office.listening {
            talk(&format!("causeway office: gateways are answered on {address}\n"));
        }
        for address in &office.responding {
            talk(&format!("causeway office: path proofs are answered on {address}/udp\n"));
        }
    })?;
    Ok(())
}
