//! What a start needs once: the fence, the switches of the kernel, the choice of the daemon that ran before.

use std::path::Path;

use crate::config::model::{Family, Gateway, PathId, Uplink};
use crate::daemon::hands::{chain, selection_of};
use crate::daemon::{Options, World, clock};
use crate::fence::{Fence, FenceError};
use crate::kernel::numbers::path_table;
use crate::kernel::state::State;
use crate::kernel::sysctl;
use crate::policy::Selection;

/// All handles are open and nothing from outside was read: from here on the process has only what it needs. Where the
/// kernel has no such fences forwarding goes on, and the status says so.
pub(super) fn fence(options: &Options) -> (bool, Vec<String>) {
    let sockets = options.socket.parent().unwrap_or(Path::new("/"));
    let paths = options.services.as_ref().map(|(_, paths)| paths);
    if let Some(paths) = paths {
        paths.make_folders();
    }
    let folders: Vec<&Path> = paths.iter().flat_map(|paths| paths.folders()).collect();
    let fenced = Fence::run(&options.config_file, &options.state, sockets).and_write(folders).enter();
    let errors = [fenced.landlock.as_ref().err(), fenced.seccomp.as_ref().err()];
    let told = |error: &FenceError| format!("the daemon is not fenced in: {}", chain(error));
    (fenced.is_whole(), errors.into_iter().flatten().map(told).collect())
}

pub(super) fn waits(uplink: &Uplink) -> String {
    format!("uplink {} waits for device {}", uplink.name, uplink.device)
}

/// What the path tables hold already: the choice of the daemon that ran before.
pub(in crate::daemon) fn adopted(world: &World, state: &State) -> Vec<(PathId, Family, Selection)> {
    let held = |path: PathId, family: Family| {
        let selection = selection_of(world, state, state.routes_in(family, path_table(path)).next());
        (!selection.is_empty()).then_some((path, family, selection))
    };
    world.config.path_ids().flat_map(|path| Family::BOTH.map(|family| held(path, family))).flatten().collect()
}

/// Switches of the kernel that the config needs. The unit sets them before we start; elsewhere we try, once, since the
/// fence forbids it later.
pub(super) fn set_switches(config: &Gateway, state: &State) {
    let store = sysctl::store::Store::open();
    for unmet in store.check(&sysctl::needs(config, |device| state.link(device).is_some())) {
        // What could not be set is found again afterwards.
        store.set(&unmet.need).ok();
    }
}

pub(super) fn unmet_switches(config: &Gateway, state: &State) -> Vec<String> {
    let needs = sysctl::needs(config, |device| state.link(device).is_some());
    sysctl::store::Store::open().check(&needs).iter().map(ToString::to_string).collect()
}

/// Only cookies and jitter come from it; the kernel's generator seeds both.
pub(super) fn random_seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| clock::now().nanos())
}
