//! Edge: loads our table through `nft -j -f -` and reads it back. What is wanted goes in as JSON, so no string of the
//! config is ever parsed as nft syntax.
//!
//! Our table carries two empty chains. `generation_…` names the rules it was made from. `seal_…`, added after the table was
//! read back, is the digest of that listing: whoever changes a rule breaks the seal, also across a restart of ours.

mod listing;

use std::path::{Path, PathBuf};
use std::time::Duration;

use nftables::schema::{NfCmd, NfListObject, NfObject, Nftables};
use nix::libc;
use rtnetlink::packet_core::{NetlinkBuffer, NetlinkHeader, Parseable};
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use listing::{Listing, SEAL_CHAIN};

use super::programs::{Program, ProgramError};
use super::ruleset::{Generation, Ruleset, our_table, plain_chain};

/// A branch's rules take a tenth of a second, the most that a config may have up to ten. Never in the way of a switch;
/// a hung process does not hold us for ever.
const DEADLINE: Duration = Duration::from_secs(60);
/// The listing of 4,096 rules with several services each is about 20 MiB.
const LISTING_BYTES: u64 = 32 << 20;

#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// Missing, not to be run, or silent.
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("nft refused to {what}: {message}")]
    Refused { what: &'static str, message: String },
    #[error("nft printed what is no listing of our table")]
    Listing {
        #[source]
        source: serde_json::Error,
    },
    #[error("nft printed more than {most} bytes")]
    TooLong { most: u64 },
    #[error("the table read back right after loading is not the one loaded ({found:?})")]
    NotWhatWasLoaded { found: TableState },
}

impl NftError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Program(ProgramError::Missing { .. }) => Some("install nftables"),
            Self::Refused { message, .. } if message.contains("Operation not permitted") => {
                Some("needs root, or the capability CAP_NET_ADMIN")
            }
            Self::Program(ProgramError::Run { .. } | ProgramError::Deadline { .. })
            | Self::Refused { .. }
            | Self::Listing { .. }
            | Self::TooLong { .. }
            | Self::NotWhatWasLoaded { .. } => None,
        }
    }
}

/// What the kernel's table is, compared with the wanted rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableState {
    Right,
    Missing,
    /// Made by us from other rules (an older config or release).
    Other(Generation),
    /// Changed by somebody since we loaded it, or the loading was not finished.
    Changed,
}

/// What [`Nft::ensure`] found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    AlreadyRight,
    /// Loaded, because the table was in this state.
    Loaded(TableState),
}

#[derive(Clone, Debug)]
pub struct Nft {
    program: PathBuf,
}

impl Default for Nft {
    fn default() -> Self {
        Self::new()
    }
}

impl Nft {
    pub fn new() -> Self {
        Self { program: PathBuf::from(Program::Nft.path()) }
    }

    /// Another program in its place: tests of what happens without nft.
    pub fn with_program(program: &Path) -> Self {
        Self { program: program.to_owned() }
    }

    /// Adopts a table that is right already, else replaces it. Changes nothing that is right.
    pub async fn ensure(&self, ruleset: &Ruleset) -> Result<Ensured, NftError> {
        match self.check(ruleset).await? {
            TableState::Right => Ok(Ensured::AlreadyRight),
            found @ (TableState::Missing | TableState::Other(_) | TableState::Changed) => {
                self.load(ruleset).await?;
                Ok(Ensured::Loaded(found))
            }
        }
    }

    pub async fn check(&self, ruleset: &Ruleset) -> Result<TableState, NftError> {
        Ok(match self.listing().await? {
            None => TableState::Missing,
            Some(listing) => listing.compare(ruleset.generation()),
        })
    }

    /// Replaces the table as a whole in one transaction, reads it back and seals what was read.
    pub async fn load(&self, ruleset: &Ruleset) -> Result<(), NftError> {
        self.run("load the table", &ruleset.replacement()).await?;
        let read = self.listing().await?.ok_or(NftError::NotWhatWasLoaded { found: TableState::Missing })?;
        if read.generation != Some(ruleset.generation()) || read.rules != ruleset.rules() {
            return Err(NftError::NotWhatWasLoaded { found: read.compare(ruleset.generation()) });
        }
        let seal = plain_chain(format!("{SEAL_CHAIN}{}", read.digest));
        self.run("seal the table", &one(NfCmd::Add(NfListObject::Chain(seal)))).await.map(drop)
    }

    /// Removes our table; no error if there is none.
    pub async fn teardown(&self) -> Result<(), NftError> {
        self.run("remove the table", &Ruleset::removal()).await.map(drop)
    }

    async fn listing(&self) -> Result<Option<Listing>, NftError> {
        match self.run("list the table", &one(NfCmd::List(NfListObject::Table(our_table())))).await {
            Ok(output) => Listing::parse(&output).map(Some).map_err(|source| NftError::Listing { source }),
            Err(NftError::Refused { message, .. }) if message.contains("No such file or directory") => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn run(&self, what: &'static str, batch: &Nftables<'_>) -> Result<Vec<u8>, NftError> {
        let input = serde_json::to_vec(batch).expect("rules are plain data with string keys");
        let output = Program::Nft.run(&self.program, input, LISTING_BYTES, DEADLINE).await?;
        if !output.success {
            return Err(NftError::Refused { what, message: output.message() });
        }
        if output.stdout.len() as u64 > LISTING_BYTES {
            return Err(NftError::TooLong { most: LISTING_BYTES });
        }
        Ok(output.stdout)
    }
}

fn one(command: NfCmd<'static>) -> Nftables<'static> {
    Nftables { objects: vec![NfObject::CmdObject(command)].into() }
}

/// For fuzz/: reads a listing back.
#[cfg(fuzzing)]
pub fn fuzz(output: &[u8]) {
    if let Ok(listing) = Listing::parse(output) {
        listing.compare(Generation::EMPTY);
    }
    is_change(output);
}

/// Tells that somebody (perhaps we) changed the packet filter: a hint to read the table back, nothing more.
pub struct NftWatch {
    socket: TokioSocket,
}

/// `NFNLGRP_NFTABLES` of `linux/netfilter/nfnetlink.h`, and the subsystem in the upper byte of a message's type.
const NFTABLES_GROUP: u32 = 7;
const NFTABLES_SUBSYSTEM: u16 = 10;
/// One page holds any header; the rest of a message is not looked at.
const WATCH_BYTES: usize = 8_192;

impl NftWatch {
    pub fn open() -> std::io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
        socket.socket_mut().add_membership(NFTABLES_GROUP)?;
        Ok(Self { socket })
    }

    /// What is queued is about the past: whoever reads the table next sees what came of it. One load alone is a dozen messages.
    pub fn forget(&mut self) {
        let mut buffer = Vec::with_capacity(WATCH_BYTES);
        while self.socket.socket_mut().recv(&mut buffer, libc::MSG_DONTWAIT).is_ok() {
            buffer.clear();
        }
    }

    /// Returns when something was changed. Safe to cancel: a message is either read or still queued. Overrun counts as a
    /// change, because one may be among what was lost.
    pub async fn changed(&mut self) -> std::io::Result<()> {
        loop {
            let mut buffer = Vec::with_capacity(WATCH_BYTES);
            match self.socket.recv_from(&mut buffer).await {
                Ok(_) if is_change(&buffer) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_change(message: &[u8]) -> bool {
    let header = NetlinkBuffer::new_checked(message).and_then(|buffer| NetlinkHeader::parse(&buffer));
    header.is_ok_and(|header| header.message_type >> 8 == NFTABLES_SUBSYSTEM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_program_says_what_to_install() {
        let error = Nft::with_program(Path::new("/nonexistent/nft")).teardown().await.expect_err("no such program");
        assert_eq!(error.hint(), Some("install nftables"));
    }
}
