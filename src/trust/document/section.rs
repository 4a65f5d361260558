//! A standard's sections: opaque here, read by the config of the version they name.

use serde::{Deserialize, Serialize};

use super::{Invalid, is_sorted_once};
use crate::trust::bounded::{Bytes, List};

/// Sixteen are known; as many again for what newer firmware knows, and more.
pub const SECTIONS_MOST: usize = 64;
/// One section of 4,096 rules is below it; the document's own cap bounds the sum.
pub const SECTION_BYTES: usize = 1 << 20;

pub type Sections = List<Section, SECTIONS_MOST>;

/// The number of a section. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SectionId(pub u16);

impl SectionId {
    pub const VARS: Self = Self(1);
    pub const SITE: Self = Self(2);
    pub const UPLINKS: Self = Self(3);
    pub const NETWORKS: Self = Self(4);
    pub const DNS: Self = Self(5);
    pub const FIREWALL: Self = Self(6);
    pub const PATHS: Self = Self(7);
    pub const PROBES: Self = Self(8);
    pub const QOS: Self = Self(9);
    pub const TUNNELS: Self = Self(10);
    pub const TIME: Self = Self(11);
    pub const ACCESS: Self = Self(12);
    pub const UPDATE: Self = Self(13);
    pub const TELEMETRY: Self = Self(14);
    pub const APPLY: Self = Self(15);
    pub const SERVICES: Self = Self(16);

    /// A branch without one of these would not be the branch that was meant.
    pub const fn is_always_critical(self) -> bool {
        matches!(self.0, 1..=8 | 10)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    pub id: SectionId,
    /// Rises with each change of the section's struct; from 1.
    pub version: u16,
    /// Firmware that does not know this section refuses the whole standard.
    pub critical: bool,
    pub bytes: Bytes<SECTION_BYTES>,
}

pub(super) fn check(sections: &Sections) -> Result<(), Invalid> {
    if !is_sorted_once(sections.iter().map(|section| section.id)) {
        return Err(Invalid::Order);
    }
    for section in &**sections {
        if section.id.0 == 0 || section.version == 0 {
            return Err(Invalid::Zero);
        }
        if section.id.is_always_critical() && !section.critical {
            return Err(Invalid::NotCritical);
        }
    }
    Ok(())
}
