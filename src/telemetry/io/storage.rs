//! How full the disk is, as its file system counts.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::control::snapshot::Storage;

/// Of the file system that `place` is on. Nothing is read from the disk.
pub fn storage(place: &Path) -> Option<Storage> {
    let told = statvfs(place).ok()?;
    let bytes = |blocks: u64| blocks.checked_mul(told.fragment_size());
    let used = bytes(told.blocks().checked_sub(told.blocks_free())?)?;
    // Not all that is free is ours: the file system keeps some back for root.
    Some(Storage { size_bytes: used.checked_add(bytes(told.blocks_available())?)?, used_bytes: used })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_a_size_and_something_is_on_it() {
        let told = storage(Path::new("/")).expect("there is a disk");
        assert!(0 < told.used_bytes && told.used_bytes <= told.size_bytes, "{told:?}");
    }

    #[test]
    fn of_a_disk_that_is_not_there_nothing_is_said() {
        assert_eq!(storage(Path::new("/nonexistent")), None);
    }
}
