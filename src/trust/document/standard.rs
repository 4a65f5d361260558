//! What all branches share. Signed by the release role.

use serde::{Deserialize, Serialize};

use super::{Document, Firmware, Invalid, Label, Seconds, Sections, Tenant, Turn, section};
use crate::trust::bounded::List;
use crate::trust::envelope::Kind;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standard {
    pub tenant: Tenant,
    pub name: Label,
    pub turn: Turn,
    /// The number that this one undoes: it has the content from before, under the next number.
    pub way_back_of: Option<u64>,
    pub created_at: Seconds,
    pub author: Label,
    pub approvers: List<Label, 8>,
    pub ticket: Label,
    /// Hardware it is for; empty is for none.
    pub models: List<Label, 16>,
    pub min_firmware: Firmware,
    pub sections: Sections,
}

impl Document for Standard {
    const KIND: Kind = Kind::Standard;
    const FORMAT: u16 = 1;

    fn check(&self) -> Result<(), Invalid> {
        self.turn.check()?;
        if self.way_back_of.is_some_and(|undone| undone.checked_add(1) != Some(self.turn.seq)) {
            return Err(Invalid::WayBack);
        }
        section::check(&self.sections)
    }
}
