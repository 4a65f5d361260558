//! What the server counts: each bound that turned somebody away has a number here.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// By what happened; read for the journal and by tests.
#[derive(Debug, Default)]
pub(super) struct Counts {
    connections: AtomicU64,
    full: AtomicU64,
    handshakes: AtomicU64,
    slow: AtomicU64,
    unsigned: AtomicU64,
    stale: AtomicU64,
    large: AtomicU64,
    unmade: AtomicU64,
    proofs: AtomicU64,
    failed: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    pub connections: u64,
    /// Turned away: all places were taken, or all of one address.
    pub full: u64,
    /// Gave up, or were given up, before TLS was set up.
    pub handshakes: u64,
    /// Given up because they read or wrote too slowly.
    pub slow: u64,
    /// Requests that no device of ours had signed.
    pub unsigned: u64,
    /// Reports with a counter that had been used.
    pub stale: u64,
    /// Bodies above their bound.
    pub large: u64,
    /// Assignments that could not be made.
    pub unmade: u64,
    /// Path proofs answered.
    pub proofs: u64,
    /// Times that the store did not answer.
    pub failed: u64,
}

macro_rules! counters {
    ($($name:ident)*) => {
        impl Counts {
            $(pub(super) fn $name(&self) {
                self.$name.fetch_add(1, Ordering::Relaxed);
            })*

            pub(super) fn read(&self) -> Counted {
                Counted { $($name: self.$name.load(Ordering::Relaxed)),* }
            }
        }
    };
}

counters! { connections full handshakes slow unsigned stale large unmade proofs failed }
