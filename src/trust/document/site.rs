//! What one branch fills into the standard: values, its own names and contracts, its sealed secrets. Signed online.

use serde::{Deserialize, Serialize};

use super::{Document, Invalid, Label, Tenant, is_sorted_once};
use crate::trust::bounded::{Bytes, List, Text};
use crate::trust::envelope::Kind;
use crate::trust::keys::DeviceId;

/// As many as a standard may declare.
pub const VALUES_MOST: usize = 128;
pub const SECRETS_MOST: usize = 32;
/// One line per uplink.
pub const CONTRACTS_MOST: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    pub tenant: Tenant,
    pub device: DeviceId,
    /// Rises with each change.
    pub seq: u64,
    /// By number of the variable, each once.
    pub values: List<Value, VALUES_MOST>,
    /// The site's short name, as in the inventory.
    pub site: Label,
    pub display_name: Text<128>,
    pub owner: Text<128>,
    pub phone: Label,
    pub address: Text<256>,
    /// By uplink, each once.
    pub contracts: List<Contract, CONTRACTS_MOST>,
    /// By name, each once.
    pub secrets: List<SealedSecret, SECRETS_MOST>,
}

/// A variable's value, in the encoding that section `vars` gives its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    pub variable: u16,
    pub bytes: Bytes<1024>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    pub uplink: Label,
    pub provider: Label,
    pub circuit: Label,
    pub support: Label,
}

/// Sealed to the device's key; opened only when the config that uses it is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    pub name: Label,
    pub sealed: Bytes<512>,
}

impl Document for Site {
    const KIND: Kind = Kind::Site;
    const FORMAT: u16 = 1;

    fn check(&self) -> Result<(), Invalid> {
        match self.seq {
            0 => return Err(Invalid::Zero),
            u64::MAX => return Err(Invalid::Exhausted),
            _ => {}
        }
        let sorted = is_sorted_once(self.values.iter().map(|value| value.variable))
            && is_sorted_once(self.contracts.iter().map(|contract| &contract.uplink))
            && is_sorted_once(self.secrets.iter().map(|secret| &secret.name));
        if sorted { Ok(()) } else { Err(Invalid::Order) }
    }
}
