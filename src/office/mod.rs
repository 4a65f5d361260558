//! Head office: makes the standard, signs it, hands it out, and knows what each branch runs. A person's commands
//! ([`init`], [`claim`], [`release`], [`assign`], [`board`]) and the server ([`serve`]) meet in the [`store`] only.
//!
//! Everything that the server hands out is a function of what stands in the store and of its online key, so replicas
//! give the same bytes without talking to each other. Start reading at [`records`], then [`serve`].

pub mod approve;
pub mod assign;
pub mod audit;
pub mod board;
pub mod claim;
pub mod compile;
pub mod error;
pub mod folder;
pub mod init;
pub mod keyfile;
pub mod layout;
pub mod preview;
pub mod publish;
pub mod records;
pub mod release;
pub mod serve;
pub mod store;
pub mod text;
pub mod tls;

pub use error::{Class, OfficeError};
