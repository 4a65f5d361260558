//! A kernel made of a [`State`], for tests: does what the real one does with each step, refuses when told to.

use std::io;
use std::sync::Mutex;

use causeway::apply::exec::{Kernel, KernelError};
use causeway::apply::plan::Step;
use causeway::config::model::Family;
use causeway::kernel::state::{Route, State};

pub(crate) struct ModelKernel {
    inner: Mutex<Inner>,
}

type Interference = fn(&mut State);

struct Inner {
    state: State,
    steps: usize,
    refusals: Vec<(usize, i32)>,
    /// Somebody else's doing after that many steps.
    interference: Option<(usize, Interference)>,
    dumps: usize,
}

impl ModelKernel {
    pub(crate) fn new(state: State) -> Self {
        let inner = Inner { state, steps: 0, refusals: Vec::new(), interference: None, dumps: 0 };
        Self { inner: Mutex::new(inner) }
    }

    /// The step of that number (from 0, over the kernel's life) fails with this `errno`.
    pub(crate) fn refuse(self, step: usize, errno: i32) -> Self {
        self.locked().refusals.push((step, errno));
        self
    }

    pub(crate) fn interfere(self, after: usize, how: Interference) -> Self {
        self.locked().interference = Some((after, how));
        self
    }

    pub(crate) fn state(&self) -> State {
        self.locked().state.clone()
    }

    pub(crate) fn steps(&self) -> usize {
        self.locked().steps
    }

    pub(crate) fn dumps(&self) -> usize {
        self.locked().dumps
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics while it holds the lock")
    }
}

impl Kernel for ModelKernel {
    async fn dump(&self) -> Result<State, KernelError> {
        let mut inner = self.locked();
        inner.dumps += 1;
        Ok(inner.state.clone())
    }

    async fn table(&self, family: Family, table: u32) -> Result<Vec<Route>, KernelError> {
        Ok(self.locked().state.routes_in(family, table).cloned().collect())
    }

    async fn run(&self, step: &Step) -> Result<(), KernelError> {
        let mut inner = self.locked();
        let number = inner.steps;
        inner.steps += 1;
        if let Some((_, errno)) = inner.refusals.iter().find(|(refused, _)| *refused == number) {
            return Err(refused(*errno, step));
        }
        let result = carry_out(&mut inner.state, step);
        if let Some((after, how)) = inner.interference
            && after == number
        {
            how(&mut inner.state);
        }
        result.map_err(|errno| refused(errno, step))
    }
}

/// rtnetlink(7): a replacement takes the first of its slot, a new one comes last; rules stand by preference.
pub(crate) fn carry_out(state: &mut State, step: &Step) -> Result<(), i32> {
    const ESRCH: i32 = 3;
    const EEXIST: i32 = 17;
    match step {
        Step::ReplaceRoute(route) => {
            let mut same = state.routes.iter().enumerate().filter(|(_, other)| other.slot() == route.slot());
            match same.next() {
                Some((first, _)) => {
                    if same.any(|(_, other)| other == route) {
                        return Err(EEXIST);
                    }
                    state.routes[first] = route.clone();
                }
                None => state.routes.push(route.clone()),
            }
        }
        Step::DeleteRoute(route) => {
            let position = state.routes.iter().position(|other| other == route).ok_or(ESRCH)?;
            state.routes.remove(position);
        }
        Step::AddRule(rule) => {
            if state.rules.contains(rule) {
                return Err(EEXIST);
            }
            let position = state.rules.partition_point(|other| other.preference <= rule.preference);
            state.rules.insert(position, rule.clone());
        }
        Step::DeleteRule(rule) => {
            let position = state.rules.iter().position(|other| other == rule).ok_or(ESRCH)?;
            state.rules.remove(position);
        }
    }
    Ok(())
}

fn refused(errno: i32, step: &Step) -> KernelError {
    KernelError::Refused {
        operation: format!("{step:?}"),
        said: String::new(),
        source: io::Error::from_raw_os_error(errno),
    }
}
