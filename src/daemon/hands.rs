//! The task that changes the kernel's routes and flows. Switches go before everything else; what is left alone for long
//! is looked at again. It says what it did and saw, and decides nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::World;
use super::gateways::Heard;
use crate::apply::desired::Selections;
use crate::apply::exec::{self, ApplyError, Kernel, KernelError};
use crate::apply::switch::{self, Ended, Rescan, SwitchError, SwitchKernel};
use crate::config::model::{Family, Gateway, PathId, Slot, UplinkId};
use crate::engine::action::Switch;
use crate::kernel::conntrack::{Conntrack, ConntrackError};
use crate::kernel::flow::{Flow, Snapshot};
use crate::kernel::marks::Selector;
use crate::kernel::nudge;
use crate::kernel::numbers::path_table;
use crate::kernel::state::{Route, State};
use crate::policy::Selection;
use crate::time::Instant;

/// Jobs that may wait: two per path and family, and some. The engine asks again for what was refused.
pub(super) const JOBS: usize = 128;

#[derive(Debug)]
pub(super) enum Job {
    Switch(Box<Switch>),
    EndFlows {
        uplink: UplinkId,
        family: Family,
        path: PathId,
    },
    Rescan(Rescan),
    /// Another config is in force from here on, with what its paths carry now.
    Configure {
        config: Arc<Gateway>,
        selections: Selections,
    },
}

/// Asked for apart from the jobs, so that a switch never waits behind a pile of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Dump, compare, repair.
    Reconcile,
    /// Does the kernel answer?
    Alive,
    /// Does the gateway of a silent line answer? With `ask` the kernel is made to find out.
    Gateway { uplink: UplinkId, family: Family, link: u32, address: IpAddr, ask: bool },
}

#[derive(Debug)]
pub(super) enum Done {
    Switched {
        switch: Box<Switch>,
        report: switch::Report,
    },
    SwitchFailed {
        switch: Box<Switch>,
        error: String,
    },
    /// Flows that were ended outside of a switch.
    Ended {
        ended: Vec<Ended>,
        rescan: Option<Rescan>,
    },
    /// What a second look found.
    Stragglers {
        flows: Vec<(UplinkId, u64)>,
    },
    FlowsFailed {
        error: String,
    },
    /// Answer to [`Job::Configure`]; an error says that the config from before is in force again.
    Configured(Result<Box<State>, String>),
    Looked {
        state: Box<State>,
        repaired: Vec<String>,
    },
    LookFailed {
        error: ApplyError,
        state: Option<Box<State>>,
    },
    Alive,
    Gateway {
        uplink: UplinkId,
        family: Family,
        heard: Heard,
    },
}

#[derive(Debug, thiserror::Error)]
pub(super) enum HandsError {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Conntrack(#[from] ConntrackError),
}

pub(super) struct Hands {
    world: World,
    conntrack: Conntrack,
    /// What the kernel had when last looked at.
    state: State,
    selections: Selections,
    /// Paths whose uplinks have no gateway yet: their table keeps what it has, which is as it should be.
    kept: BTreeMap<(PathId, Family), Selection>,
    seed: u64,
}

impl Hands {
    pub(super) fn new(world: World, conntrack: Conntrack, state: State, selections: Selections, seed: u64) -> Self {
        Self { world, conntrack, state, selections, kept: BTreeMap::new(), seed }
    }

    pub(super) async fn run(
        mut self,
        mut jobs: mpsc::Receiver<Job>,
        mut looks: mpsc::Receiver<Look>,
        done: mpsc::Sender<Done>,
    ) {
        loop {
            // Safe to cancel: what was not received stays in its channel.
            let answers = tokio::select! {
                biased;
                job = jobs.recv() => match job {
                    Some(Job::Switch(switch)) => self.switches(switch, &mut jobs).await,
                    Some(Job::EndFlows { uplink, family, path }) => vec![self.end_flows(uplink, family, path).await],
                    Some(Job::Rescan(again)) => vec![self.rescan(again).await],
                    Some(Job::Configure { config, selections }) => vec![self.configure(config, selections).await],
                    None => return,
                },
                Some(look) = looks.recv() => vec![self.look(look).await],
            };
            for answer in answers {
                if done.send(answer).await.is_err() {
                    return;
                }
            }
        }
    }

    /// This switch and those that wait behind it: the routes of all first, then the flows of each.
    async fn switches(&mut self, first: Box<Switch>, jobs: &mut mpsc::Receiver<Job>) -> Vec<Done> {
        let mut after = None;
        let mut routed = vec![(self.route(&first).await, first)];
        while after.is_none()
            && let Ok(job) = jobs.try_recv()
        {
            match job {
                Job::Switch(next) => routed.push((self.route(&next).await, next)),
                Job::EndFlows { .. } | Job::Rescan(_) | Job::Configure { .. } => after = Some(job),
            }
        }
        let mut answers = Vec::new();
        for (route, wanted) in routed {
            let switched = match route {
                Ok(started) => switch::flows(self, &wanted, started).await,
                Err(error) => Err(error),
            };
            answers.push(match switched {
                Ok(report) => Done::Switched { switch: wanted, report },
                Err(error) => Done::SwitchFailed { switch: wanted, error: chain(&error) },
            });
        }
        match after {
            Some(Job::EndFlows { uplink, family, path }) => answers.push(self.end_flows(uplink, family, path).await),
            Some(Job::Rescan(again)) => answers.push(self.rescan(again).await),
            Some(Job::Configure { config, selections }) => answers.push(self.configure(config, selections).await),
            Some(Job::Switch(_)) | None => {}
        }
        answers
    }

    /// Routes and rules of the new config are added before those of the old one go. Flows stay where they are, but those of
    /// an uplink that is gone.
    async fn configure(&mut self, config: Arc<Gateway>, selections: Selections) -> Done {
        let old = std::mem::replace(&mut self.world.config, config);
        let before = std::mem::replace(&mut self.selections, selections);
        self.kept.clear();
        match exec::reconcile(&self.world.netlink, &self.world.config, &self.selections).await {
            Ok(report) => {
                for (id, uplink) in old.uplink_ids().zip(&old.uplinks) {
                    if self.world.config.uplinks.iter().any(|kept| kept.name == uplink.name) {
                        continue;
                    }
                    for family in Family::BOTH {
                        if let Err(error) = self.conntrack.delete(Selector::uplink(old.slot(id)), family).await {
                            tracing::warn!("flows of uplink {} not ended: {}", uplink.name, chain(&error));
                        }
                    }
                }
                self.state = report.state.clone();
                Done::Configured(Ok(Box::new(report.state)))
            }
            Err(error) => {
                self.world.config = old;
                self.selections = before;
                // The look that follows goes on with it if this does not help.
                exec::reconcile(&self.world.netlink, &self.world.config, &self.selections).await.ok();
                Done::Configured(Err(chain(&error)))
            }
        }
    }

    async fn route(&mut self, wanted: &Switch) -> Result<Instant, SwitchError<HandsError>> {
        self.selections.insert((wanted.path, wanted.family), wanted.to.clone());
        switch::route(self, wanted).await
    }

    async fn end_flows(&mut self, uplink: UplinkId, family: Family, path: PathId) -> Done {
        match switch::end_flows(self, uplink, family, path).await {
            Ok(report) => Done::Ended { ended: report.ended, rescan: report.rescan },
            Err(error) => Done::FlowsFailed { error: chain(&error) },
        }
    }

    async fn rescan(&mut self, again: Rescan) -> Done {
        match switch::rescan(self, &again).await {
            Ok(flows) => Done::Stragglers { flows },
            Err(error) => Done::FlowsFailed { error: chain(&error) },
        }
    }

    async fn look(&mut self, look: Look) -> Done {
        match look {
            Look::Reconcile => {
                match exec::reconcile(&self.world.netlink, &self.world.config, &self.selections).await {
                    Ok(report) => {
                        self.state = report.state.clone();
                        Done::Looked { state: Box::new(report.state), repaired: report.done }
                    }
                    Err(error) => {
                        // What can be seen is seen all the same: a refused repair must not hide a lost address.
                        let state = self.world.netlink.dump().await.ok();
                        if let Some(state) = &state {
                            self.state = state.clone();
                        }
                        Done::LookFailed { error, state: state.map(Box::new) }
                    }
                }
            }
            Look::Alive => match self.world.netlink.table(Family::V4, path_table(PathId::DEFAULT)).await {
                Ok(_) => Done::Alive,
                Err(source) => Done::LookFailed { error: ApplyError::Read { source }, state: None },
            },
            Look::Gateway { uplink, family, link, address, ask } => {
                let heard = self.gateway(link, address, ask).await.unwrap_or_else(|error| {
                    tracing::debug!("{}", chain(&error));
                    Heard::Nothing
                });
                Done::Gateway { uplink, family, heard }
            }
        }
    }
}

impl SwitchKernel for Hands {
    type Error = HandsError;

    fn now(&self) -> Instant {
        super::clock::now()
    }

    fn slot(&self, uplink: UplinkId) -> Slot {
        self.world.config.slot(uplink)
    }

    async fn replace_routes(&mut self, path: PathId, family: Family, to: &Selection) -> Result<(), HandsError> {
        let World { config, netlink } = &self.world;
        match exec::switch_route(netlink, config, &self.state, path, family, to).await? {
            Some(_) => drop(self.kept.remove(&(path, family))),
            None => drop(self.kept.insert((path, family), to.clone())),
        }
        Ok(())
    }

    async fn read_routes(&mut self, path: PathId, family: Family) -> Result<Selection, HandsError> {
        if let Some(kept) = self.kept.get(&(path, family)) {
            return Ok(kept.clone());
        }
        let table = self.world.netlink.table(family, path_table(path)).await;
        let routes = table.map_err(|source| ApplyError::Read { source })?;
        Ok(selection_of(&self.world, &self.state, routes.first()))
    }

    async fn list_flows(&mut self, selector: Selector, family: Family) -> Result<Snapshot, HandsError> {
        Ok(self.conntrack.dump(selector, family).await?)
    }

    async fn delete_flows(&mut self, selector: Selector, family: Family) -> Result<(), HandsError> {
        Ok(self.conntrack.delete(selector, family).await?)
    }

    async fn nudge(&mut self, lists: &[&[Flow]]) -> Result<Vec<u64>, HandsError> {
        if !lists.iter().copied().flatten().any(Flow::is_established_tcp) {
            return Ok(vec![0; lists.len()]);
        }
        let neighbours = self.neighbours().await?;
        let (mut nudges, mut counts) = (Vec::new(), Vec::new());
        for flows in lists {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let planned = nudge::plan(flows, &neighbours, self.seed);
            counts.push(u64::try_from(planned.len()).unwrap_or(u64::MAX));
            nudges.extend(planned);
        }
        // All in one task: it keeps the pace.
        tokio::spawn(async move {
            let sent = nudge::io::send(&nudges).await;
            if let Some(error) = sent.error {
                tracing::debug!(failed = sent.failed, %error, "nudges not sent");
            }
        });
        Ok(counts)
    }
}

impl Hands {
    async fn gateway(&self, link: u32, address: IpAddr, ask: bool) -> Result<Heard, KernelError> {
        let netlink = &self.world.netlink;
        if ask {
            let asks = netlink.ask_neighbour(link, address).await?;
            return Ok(if asks { Heard::Asked } else { Heard::Never });
        }
        let entry = netlink.neighbour(link, address).await?;
        Ok(entry.and_then(|entry| entry.reachable).map_or(Heard::Nothing, Heard::Answers))
    }

    /// Clients on the devices of networks, never those on uplinks.
    async fn neighbours(&self) -> Result<nudge::Neighbours, HandsError> {
        let World { config, netlink } = &self.world;
        let ports = config.networks.iter().flat_map(|network| &network.ports);
        let links: BTreeMap<u32, &crate::config::model::LinkName> =
            ports.filter_map(|port| Some((self.state.link(port)?.0, port))).collect();
        let known = netlink.link_addresses().await.map_err(|source| ApplyError::Read { source })?;
        let neighbours = known.into_iter().filter_map(|(index, address, mac): (u32, IpAddr, [u8; 6])| {
            let device = (*links.get(&index)?).clone();
            Some((address, nudge::Neighbour { index, device, mac }))
        });
        Ok(neighbours.collect())
    }
}

/// The uplinks that a path's route uses.
pub(super) fn selection_of(world: &World, state: &State, route: Option<&Route>) -> Selection {
    let hops = route.map(|route| route.hops.as_slice()).unwrap_or_default();
    let single = hops.len() == 1;
    let share = |hop: &crate::kernel::state::Hop| {
        let name = state.link_name(hop.link);
        let id = world.config.uplink_ids().find(|id| world.config.uplink(*id).device.as_str() == name)?;
        // The kernel does not keep the weight of a lone hop.
        let weight = if single { world.config.uplink(id).weight } else { u8::try_from(hop.weight).unwrap_or(u8::MAX) };
        Some((id, weight))
    };
    let mut shares: Vec<(UplinkId, u8)> = hops.iter().filter_map(share).collect();
    shares.sort_unstable();
    Selection(shares)
}

/// An error with its causes, for the journal.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
