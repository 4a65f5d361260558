//! The loop that joins everything: tasks, channels, the clock, the watchdog. No rules of its own.
//!
//! One task owns the engine ([`driver`]) and reads counters ([`meter`]); one changes the kernel ([`hands`]), switches
//! first; what is worth keeping goes to the [`chronicle`]. The process starts by adopting what the kernel has and
//! stops by leaving it alone.

mod alarm;
mod book;
mod chronicle;
mod clock;
mod driver;
mod filter;
mod gateways;
mod hands;
mod keeper;
mod lock;
mod marks;
mod meter;
mod plan;
mod recorder;
mod report;
mod usage;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::apply::exec::{ApplyError, Kernel, KernelError};
use crate::apply::services::{Backend, Paths};
use crate::config::Branch;
use crate::config::model::Gateway;
use crate::control::io::BindError;
use crate::kernel::netlink::Netlink;
use crate::kernel::nft::Nft;
use crate::kernel::nft::NftError;
use crate::kernel::programs::ProgramError;

pub use keeper::OpenError;
pub use keeper::identity::{Hardware, IdentityError};
#[cfg(feature = "lab")]
pub use keeper::weigh;
pub use plan::{Planned, plan};

#[derive(Clone, Debug)]
pub struct Options {
    /// Runs while head office has signed nothing for this gateway, and nobody has applied another file.
    pub config: Branch,
    /// What it was read from: the way back of the first file that is applied.
    pub config_text: String,
    /// As given, for messages.
    pub config_file: PathBuf,
    /// First 16 hex digits over its text.
    pub config_digest: String,
    pub state: PathBuf,
    pub socket: PathBuf,
    /// Everything that comes into the engine, for `causeway replay`.
    pub record: Option<PathBuf>,
    /// The file that brings a new gateway to its head office.
    pub claim: Option<PathBuf>,
    pub hardware: Hardware,
    /// Who makes addresses and serves the LAN, and where its files are. `None`: not we.
    pub services: Option<(Backend, Paths)>,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("may not change the network")]
    NotPermitted {
        #[source]
        source: lock::Lacking,
    },
    #[error("another daemon holds {}", path.display())]
    SecondInstance { path: PathBuf },
    #[error("cannot use the state folder {}", path.display())]
    State {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot tell which config to run")]
    Keeper {
        #[source]
        source: OpenError,
    },
    #[error("cannot start the runtime")]
    Runtime {
        #[source]
        source: io::Error,
    },
    #[error("cannot talk to the kernel")]
    Kernel {
        #[source]
        source: KernelError,
    },
    #[error("cannot put the routes and rules in place")]
    Apply {
        #[source]
        source: ApplyError,
    },
    #[error("cannot load the packet filter")]
    Filter {
        #[source]
        source: NftError,
    },
    #[error("cannot open the control socket")]
    Control {
        #[source]
        source: BindError,
    },
    #[error("cannot write the recording {}", path.display())]
    Record {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl RunError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotPermitted { .. } => Some("run it as root, or through causeway.service".to_owned()),
            Self::SecondInstance { .. } | Self::Control { source: BindError::Live { .. } } => {
                Some("one daemon is enough; `causeway status` asks the one that runs".to_owned())
            }
            Self::Keeper { source: OpenError::Identity(IdentityError::Claim { .. }) } => {
                Some("have head office make a new one: causeway office claim SITE".to_owned())
            }
            Self::Keeper { .. } | Self::State { .. } => {
                Some("--state names a folder that the daemon may write".to_owned())
            }
            Self::Filter { source } => source.hint().map(str::to_owned),
            Self::Control { source: BindError::Io { .. } } => {
                Some("--socket names a path in a folder that the daemon may write".to_owned())
            }
            Self::Record { .. } => Some("--record names a file that the daemon may write".to_owned()),
            Self::Runtime { .. } | Self::Kernel { .. } | Self::Apply { .. } => None,
        }
    }
}

/// Runs until SIGTERM or SIGINT. Forwarding, NAT and filter stay as they are.
pub fn run(options: Options) -> Result<(), RunError> {
    lock::permitted()?;
    let _lock = lock::take(&options.state)?;
    // A task of its own: the runtime's first future is woken through a pipe, at two system calls a turn.
    let runtime = runtime()?;
    let running = runtime.spawn(driver::run(options));
    runtime.block_on(running).unwrap_or_else(|ended| match ended.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(cancelled) => Err(RunError::Runtime { source: io::Error::other(cancelled) }),
    })
}

/// Removes everything of ours from the kernel.
pub fn teardown() -> Result<Vec<String>, RunError> {
    lock::permitted()?;
    runtime()?.block_on(async {
        let netlink = Netlink::open().map_err(|source| RunError::Kernel { source })?;
        let report = crate::apply::exec::teardown(&netlink).await.map_err(|source| RunError::Apply { source })?;
        let mut done = report.done;
        match Nft::new().teardown().await {
            Ok(()) => done.push("remove table inet causeway".to_owned()),
            // Without nft there is nothing of ours to remove.
            Err(NftError::Program(ProgramError::Missing { .. })) => {}
            Err(source) => return Err(RunError::Filter { source }),
        }
        Ok(done)
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, RunError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|source| RunError::Runtime { source })
}

/// What every task shares.
#[derive(Clone)]
struct World {
    config: Arc<Gateway>,
    netlink: Netlink,
}

impl World {
    async fn dump(&self) -> Result<crate::kernel::state::State, RunError> {
        self.netlink.dump().await.map_err(|source| RunError::Kernel { source })
    }
}
