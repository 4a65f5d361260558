//! `causeway office serve`.

use super::super::exit::{Exit, Failure, talk};
use super::Place;
use super::args::ServeArgs;
use crate::office::folder::Folder;
use crate::office::serve::{Options, run};

pub(super) fn serve(place: &Place, args: ServeArgs) -> Result<(), Failure> {
    let folder: Folder = place.open()?;
    let options =
        Options { store: folder.store()?, state: place.state(), listen: args.listen, responders: args.responder };
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
