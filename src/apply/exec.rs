//! Carries out plans and reads back. `EEXIST` is no success and an error is no end: after each round the kernel is
//! dumped and compared, and only an empty plan counts. The world is behind [`Kernel`], so that tests can refuse at any
//! step. Two ways in: [`reconcile`] (everything) and [`switch_route`] (one message, for a switch of uplinks).

use std::future::Future;
use std::io;

use super::desired::{Selections, desired, path_route};
use super::plan::{Step, plan, teardown as teardown_plan};
use crate::config::model::{Family, Gateway, PathId};
use crate::kernel::state::{Route, State};
use crate::policy::Selection;

/// New plans from a dump before giving up until the next event: the kernel's state was changed under us each time.
const ROUNDS: usize = 4;

/// The routing part of the kernel.
pub trait Kernel {
    fn dump(&self) -> impl Future<Output = Result<State, KernelError>> + Send;
    /// The routes of one of our tables.
    fn table(&self, family: Family, table: u32) -> impl Future<Output = Result<Vec<Route>, KernelError>> + Send;
    fn run(&self, step: &Step) -> impl Future<Output = Result<(), KernelError>> + Send;
}

/// The kernel did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("cannot open a netlink socket for routes")]
    Open {
        #[source]
        source: io::Error,
    },
    /// `said` is the kernel's own explanation with a space before it, or empty (`NLMSGERR_ATTR_MSG`).
    #[error("the kernel refused to {operation}{said}")]
    Refused {
        operation: String,
        said: String,
        #[source]
        source: io::Error,
    },
    #[error("the kernel did not answer in time when asked to {operation}")]
    Late { operation: String },
    #[error("the netlink connection ended while asked to {operation}")]
    Closed { operation: String },
}

impl KernelError {
    /// Is it worth another try with a fresh view of the kernel? Not when we may not do it at all.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
            Self::Late { .. } => true,
            Self::Open { .. } | Self::Closed { .. } => false,
        }
    }
}

/// The kernel's state is not what it should be, and we could not make it so.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("cannot read the kernel's routes")]
    Read {
        #[source]
        source: KernelError,
    },
    /// All other steps were tried as well; this is the first that failed.
    #[error("cannot {step}")]
    Step {
        step: String,
        #[source]
        source: KernelError,
    },
    #[error("the kernel's routes are still not right after {rounds} rounds: {left} steps left, first: {step}")]
    Unsettled { rounds: usize, left: usize, step: String },
}

impl ApplyError {
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read { source } | Self::Step { source, .. } => source.is_retryable(),
            Self::Unsettled { .. } => true,
        }
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In words, in order, all rounds. Empty: everything was right.
    pub done: Vec<String>,
    /// The kernel as last read; right in all we own.
    pub state: State,
}

/// Dump, compare, repair, until a dump shows that nothing is left to do.
pub async fn reconcile(kernel: &impl Kernel, config: &Gateway, selections: &Selections) -> Result<Report, ApplyError> {
    settle(kernel, |state| plan(state, &desired(config, state, selections))).await
}

/// Removes everything of ours: routes with our protocol from our tables, our rules. Forwarding goes on with `main`.
pub async fn teardown(kernel: &impl Kernel) -> Result<Report, ApplyError> {
    settle(kernel, teardown_plan).await
}

/// Makes one path use one selection: one replacement, one look at that table. `state` may be old; if the kernel then
/// refuses or the table is not as wanted, a fresh dump decides. Returns the route that is installed now; `None` when
/// the path keeps what it has.
pub async fn switch_route(
    kernel: &impl Kernel,
    config: &Gateway,
    state: &State,
    path: PathId,
    family: Family,
    selection: &Selection,
) -> Result<Option<Route>, ApplyError> {
    let wanted = path_route(config, state, path, family, selection);
    let mut failed = match &wanted {
        None => None,
        Some(route) => match replace(kernel, route, state).await {
            Ok(()) => return Ok(wanted),
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) => Some(error),
        },
    };
    for _ in 1..ROUNDS {
        let state = kernel.dump().await.map_err(|source| ApplyError::Read { source })?;
        let Some(route) = path_route(config, &state, path, family, selection) else { break };
        match replace(kernel, &route, &state).await {
            Ok(()) => return Ok(Some(route)),
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(None), Err)
}

/// One replacement, believed only when read back.
async fn replace(kernel: &impl Kernel, route: &Route, state: &State) -> Result<(), ApplyError> {
    let step = Step::ReplaceRoute(route.clone());
    kernel.run(&step).await.map_err(|source| ApplyError::Step { step: step.describe(state), source })?;
    let table = kernel.table(route.family, route.table).await.map_err(|source| ApplyError::Read { source })?;
    // The first one in the slot is the one that the kernel uses.
    if table.iter().find(|other| other.slot() == route.slot()) == Some(route) {
        Ok(())
    } else {
        Err(ApplyError::Unsettled { rounds: 1, left: 1, step: step.describe(state) })
    }
}

/// One refused step does not keep the others from being done (a broken uplink must not stop the repair of another),
/// but nothing is taken away in a round in which something could not be put in.
async fn settle(kernel: &impl Kernel, plan: impl Fn(&State) -> Vec<Step>) -> Result<Report, ApplyError> {
    let mut report = Report::default();
    let mut failed = None;
    for _ in 0..ROUNDS {
        report.state = kernel.dump().await.map_err(|source| ApplyError::Read { source })?;
        let steps = plan(&report.state);
        if steps.is_empty() {
            return Ok(report);
        }
        failed = None;
        for step in steps.iter().filter(|step| !step.is_removal()) {
            run(kernel, step, &mut report, &mut failed).await;
        }
        if failed.is_none() {
            for step in steps.iter().filter(|step| step.is_removal()) {
                run(kernel, step, &mut report, &mut failed).await;
            }
        }
        if failed.as_ref().is_some_and(|error| !error.is_retryable()) {
            break;
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    report.state = kernel.dump().await.map_err(|source| ApplyError::Read { source })?;
    let left = plan(&report.state);
    match left.first() {
        None => Ok(report),
        Some(step) => {
            Err(ApplyError::Unsettled { rounds: ROUNDS, left: left.len(), step: step.describe(&report.state) })
        }
    }
}

/// Remembers the first failure.
async fn run(kernel: &impl Kernel, step: &Step, report: &mut Report, failed: &mut Option<ApplyError>) {
    let step_words = step.describe(&report.state);
    match kernel.run(step).await {
        Ok(()) => report.done.push(step_words),
        Err(source) => {
            failed.get_or_insert(ApplyError::Step { step: step_words, source });
        }
    }
}
