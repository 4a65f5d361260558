//! What connection and packet marks say. Both have the same layout ([`numbers`] has the routing rules' share of it), so
//! that restoring one into the other is a plain copy.
//!
//! ```text
//! bit 16         a socket of ours that is bound to its uplink (probes): never given a connection mark
//! bits 15…8      uplink, counted from 1; 0: not decided yet, the path's route will
//! bits  7…0      path; 0 is path `default`
//! ```
//!
//! The path stands in the connection mark too: when an uplink dies, exactly the flows of a path that has somewhere better
//! to go are removed, and the flows of a path that has not are left alone.

use super::numbers;
use crate::config::model::{PathId, Slot};

/// Bits of the uplink. Six would do for 64 uplinks; a whole byte keeps a mark readable (`0x0300`: the third uplink).
pub const UPLINK_MASK: u32 = numbers::UPLINK_MARK_MASK;
/// Bits of the path.
pub const PATH_MASK: u32 = numbers::PATH_MARK_MASK;
/// Set with `SO_MARK` on sockets bound to an uplink. Their flows get no uplink mark: they are not to be removed with a dead
/// uplink's flows (a late reply is life), nor counted as left behind. Outside both masks, so no routing rule sees it.
pub const BOUND_SOCKET: u32 = 0x0001_0000;

/// Mark of an uplink, in its place. Never 0, which means "no uplink yet".
pub fn uplink(id: Slot) -> u32 {
    numbers::uplink_mark(id)
}

/// Mark of a path, in its place.
pub fn path(id: PathId) -> u32 {
    numbers::path_mark(id)
}

/// The path a mark names.
pub fn path_of(mark: u32) -> PathId {
    PathId(u8::try_from(mark & PATH_MASK).unwrap_or(0))
}

/// Which connections are meant: those whose mark under `mask` equals `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    pub value: u32,
    pub mask: u32,
}

impl Selector {
    /// All flows of an uplink.
    pub fn uplink(id: Slot) -> Self {
        Self { value: uplink(id), mask: UPLINK_MASK }
    }

    /// The flows of one path on an uplink.
    pub fn uplink_on_path(id: Slot, path_id: PathId) -> Self {
        Self { value: uplink(id) | path(path_id), mask: UPLINK_MASK | PATH_MASK }
    }

    pub const fn matches(self, mark: u32) -> bool {
        mark & self.mask == self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_fields_do_not_overlap() {
        assert_eq!(UPLINK_MASK & PATH_MASK, 0);
        assert_eq!(BOUND_SOCKET & (UPLINK_MASK | PATH_MASK), 0);
    }

    #[test]
    fn marks_name_their_uplink_and_path() {
        for id in 0..64 {
            let mark = uplink(Slot(id)) | path(PathId(15)) | BOUND_SOCKET;
            assert_eq!(path_of(mark), PathId(15));
            assert_eq!(uplink(Slot(id)) & !UPLINK_MASK, 0);
        }
    }

    #[test]
    fn a_selector_is_as_narrow_as_it_says() {
        let mark = uplink(Slot(1)) | path(PathId(2));
        assert!(Selector::uplink(Slot(1)).matches(mark));
        assert!(!Selector::uplink(Slot(0)).matches(mark));
        assert!(Selector::uplink_on_path(Slot(1), PathId(2)).matches(mark));
        assert!(!Selector::uplink_on_path(Slot(1), PathId::DEFAULT).matches(mark));
    }
}
