//! Who is believed, what is accepted, and how a change is tried and kept or undone. Pure, but for [`store`].
//!
//! A document comes in as bytes ([`envelope`]), is verified in one fixed order ([`verify`]) against the current [`root`]
//! and the [`floors`], and becomes a candidate of the commit-confirm [`machine`], whose state stands in the [`journal`].
//! Start reading at [`machine::Machine::step`]; the formats are in `docs/protocol.md`.

pub mod bounded;
pub mod digest;
pub mod document;
pub mod envelope;
pub mod floors;
pub mod freshness;
pub mod journal;
pub mod keys;
pub mod machine;
pub mod proof;
pub mod refusal;
pub mod request;
pub mod root;
pub mod store;
pub mod verify;
