//! Which slot each uplink's name has, for the life of a boot: the kernel's flows carry it. The file goes with `/run`, as
//! the flows do.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::config::model::{Gateway, Name, Slot, Slots};

/// Gives the uplinks of `gateway` the slots that their names have, and writes down those of new names.
pub(super) fn keep(gateway: &mut Gateway, file: &Path) -> io::Result<()> {
    let mut known: BTreeMap<Name, Slot> = match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(_) => BTreeMap::new(),
    };
    let before = known.clone();
    gateway.slots = Slots::keep(gateway.uplinks.iter().map(|uplink| &uplink.name), &mut known);
    if known == before {
        return Ok(());
    }
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, serde_json::to_vec(&known)?)?;
    std::fs::rename(&fresh, file)
}
