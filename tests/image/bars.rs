//! What the design promises of the image, and what became of it.

use causeway::lab::image::Arch;

use super::world::arch;

/// A promise, and what must hold on any machine: the same, or more for what an emulated processor takes, whose speed is its host's.
#[derive(Clone, Copy)]
pub(crate) struct Bar {
    promised: f64,
    at_most: f64,
}

impl Bar {
    const fn of(promised: f64) -> Self {
        Self { promised, at_most: promised }
    }

    /// Promised of two idle cores; what a machine of half the speed under load must hold.
    const fn emulated(promised: f64, at_most: f64) -> Self {
        Self { promised, at_most }
    }

    pub(crate) fn is_met(self, measured: f64) -> bool {
        measured <= self.promised
    }
}

/// Seconds, or megabytes.
pub(crate) struct Bars {
    /// From power on, emulated, until a machine in the LAN reaches the internet.
    pub(crate) forwards: Bar,
    /// A silent outage: twice what the lab's own gateway takes with the same profile (README).
    pub(crate) outage: Bar,
    /// In use of 512 MB.
    pub(crate) memory: Bar,
    pub(crate) root: Bar,
    /// The kernel with its initial file system, as the loader starts it.
    pub(crate) uki: Bar,
    pub(crate) download: Bar,
}

pub(crate) fn bars() -> Bars {
    let (forwards, uki) = match arch() {
        // Measured: 24 s on two idle cores, 37 s on the same machine when it was slower, 43 and 56 s on another.
        Arch::Amd64 => (Bar::emulated(25.0, 86.0), Bar::of(28.0)),
        // Measured: 32, 37 and once 78 s under EDK2 (cause unknown, right after both images were written), 21 s under U-Boot.
        Arch::Arm64 => (Bar::emulated(40.0, 100.0), Bar::of(46.0)),
    };
    Bars {
        forwards,
        outage: Bar::of(2.0 * 0.38),
        memory: Bar::of(100.0),
        root: Bar::of(110.0),
        uki,
        download: Bar::of(100.0),
    }
}

/// Prints what was measured beside its bar, and fails if one is missed.
pub(crate) fn held(rows: &[(&str, f64, Bar)]) {
    let mut missed = Vec::new();
    for &(what, measured, bar) in rows {
        let Bar { promised, at_most } = bar;
        let verdict = if bar.is_met(measured) { "met" } else { "missed" };
        row(what, &format!("{measured:.2}"), &format!("{promised:.2} | {verdict}"));
        if measured > at_most {
            missed.push(format!("{what}: measured {measured:.2}, bar {promised:.2}, at most {at_most:.2}"));
        }
    }
    assert!(missed.is_empty(), "bars missed:\n{}", missed.join("\n"));
}

#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
pub(crate) fn row(what: &str, measured: &str, bar: &str) {
    println!("| {what} | {measured} | {bar} |");
}
