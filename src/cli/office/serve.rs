//! `causeway office serve`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::super::exit::{Exit, Failure, talk};
use super::Place;
use super::args::ServeArgs;
use crate::fence::Fence;
use crate::office::folder::store;
use crate::office::serve::{Options, inherited, run};

/// Both families.
const EVERYWHERE: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 443);

pub(super) fn serve(place: &Place, args: ServeArgs) -> Result<(), Failure> {
    let inherited = inherited().map_err(|error| Failure::new(Exit::Failed, error))?;
    let office = place.settings()?;
    let store = store(&place.fleet(), &office)?;
    let ServeArgs { listen, responder, metrics } = args;
    let or = |asked: Vec<SocketAddr>, written: &[SocketAddr]| if asked.is_empty() { written.to_vec() } else { asked };
    // What systemd opened is what office.toml would ask for.
    let mut listen = if inherited.is_empty() { or(listen, &office.listen) } else { listen };
    if inherited.is_empty() && listen.is_empty() {
        listen.push(EVERYWHERE);
    }
    let responders = or(responder, &office.responders);
    let options = Options { store, state: place.state(), listen, inherited, responders, metrics };
    fence(place, &options);
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| Failure::new(Exit::Failed, error))?;
    run(options, |office| {
        for address in &office.listening {
            talk(&format!("causeway office: gateways are answered on {address}\n"));
        }
        if let Some(address) = office.measuring {
            talk(&format!("causeway office: figures are on http://{address}/metrics\n"));
        }
        for address in &office.responding {
            talk(&format!("causeway office: path proofs are answered on {address}/udp\n"));
        }
    })?;
    Ok(())
}

/// Before any thread starts, and before the first byte from outside. A machine without Landlock has the unit's fence.
fn fence(place: &Place, options: &Options) {
    let Some(store) = options.store.local() else { return };
    let ports: Vec<u16> = options.listen.iter().chain(&options.metrics).map(SocketAddr::port).collect();
    let (fleet, state) = (place.fleet(), place.state());
    if let Err(error) = Fence::office(&[&fleet, &state], store, &ports).enter_files() {
        talk(&format!("causeway office: no fence around files and ports: {error}\n"));
    }
}
