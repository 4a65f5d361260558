//! The gateway's kernel as the switch sees it: routes by `ip`, flows and nudges by the code under test.

use std::process::Command;
use std::sync::mpsc;

use causeway::apply::switch::{self, Report, Rescan, SwitchKernel};
use causeway::config::model::{Family, PathId, Slot, UplinkId};
use causeway::engine::action::Switch;
use causeway::kernel::conntrack::{Conntrack, ConntrackError};
use causeway::kernel::flow::{Flow, Snapshot};
use causeway::kernel::marks::Selector;
use causeway::kernel::nudge::{self, Neighbour, Neighbours};
use causeway::policy::{Reason, Selection};
use causeway::time::Instant;

use crate::branch::link;
use crate::lab::Lab;

pub(crate) struct Kernel {
    conntrack: Conntrack,
    started: std::time::Instant,
}

fn flag(family: Family) -> &'static str {
    match family {
        Family::V4 => "-4",
        Family::V6 => "-6",
    }
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("ip is installed");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl SwitchKernel for Kernel {
    type Error = ConntrackError;

    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.started.elapsed().as_nanos()).expect("a short test"))
    }

    fn slot(&self, uplink: UplinkId) -> Slot {
        Slot(uplink.0)
    }

    async fn replace_routes(&mut self, path: PathId, family: Family, to: &Selection) -> Result<(), ConntrackError> {
        let uplink = to.uplinks().next().expect("one uplink").0 + 1;
        let via = match family {
            Family::V4 => format!("10.{uplink}.0.1"),
            Family::V6 => format!("2001:db8:{uplink}::1"),
        };
        let table = 4200 + u32::from(path.0);
        ip(&format!("{} route replace default via {via} dev wan{uplink} table {table}", flag(family)));
        Ok(())
    }

    async fn read_routes(&mut self, path: PathId, family: Family) -> Result<Selection, ConntrackError> {
        let listing = ip(&format!("{} route show table {}", flag(family), 4200 + u32::from(path.0)));
        let uplinks = listing.lines().filter_map(|line| {
            let device = line.split(' ').skip_while(|word| *word != "dev").nth(1)?;
            device.strip_prefix("wan")?.parse::<u8>().ok()
        });
        Ok(Selection(uplinks.map(|number| (UplinkId(number - 1), 1)).collect()))
    }

    async fn list_flows(&mut self, selector: Selector, family: Family) -> Result<Snapshot, ConntrackError> {
        self.conntrack.dump(selector, family).await
    }

    async fn delete_flows(&mut self, selector: Selector, family: Family) -> Result<(), ConntrackError> {
        self.conntrack.delete(selector, family).await
    }

    async fn nudge(&mut self, lists: &[&[Flow]]) -> Result<Vec<u64>, ConntrackError> {
        let mut counts = Vec::new();
        for flows in lists {
            let sent = nudge::io::send(&nudge::plan(flows, &neighbours(), 1)).await;
            assert!(sent.error.is_none(), "{:?}", sent.error);
            counts.push(u64::from(sent.sent));
        }
        Ok(counts)
    }
}

fn neighbours() -> Neighbours {
    let listing: serde_json::Value = serde_json::from_str(&ip("-j neigh show dev lan0")).expect("JSON");
    let index = ip("-j link show lan0");
    let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    let index = u32::try_from(index[0]["ifindex"].as_u64().expect("an index")).expect("a small index");
    let entries = listing.as_array().expect("a list").iter().filter_map(|entry| {
        let mut mac = [0; 6];
        for (byte, text) in mac.iter_mut().zip(entry["lladdr"].as_str()?.split(':')) {
            *byte = u8::from_str_radix(text, 16).ok()?;
        }
        Some((entry["dst"].as_str()?.parse().ok()?, Neighbour { index, device: link("lan0"), mac }))
    });
    entries.collect()
}

/// Runs async work in a host, on a runtime of its own.
pub(crate) fn on<T: Send + 'static, F: Future<Output = T>>(
    lab: &Lab,
    host: &str,
    work: impl FnOnce() -> F + Send + 'static,
) -> T {
    let (sender, receiver) = mpsc::channel();
    lab.on(host, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        sender.send(runtime.block_on(async { work().await })).ok();
    })
    .join()
    .expect("no panic in the host");
    receiver.recv().expect("the work was done")
}

pub(crate) fn kernel() -> Kernel {
    Kernel { conntrack: Conntrack::open().expect("root may ask"), started: std::time::Instant::now() }
}

pub(crate) fn wanted(family: Family, to: UplinkId, dead: &[UplinkId]) -> Switch {
    Switch {
        serial: 1,
        path: PathId::DEFAULT,
        family,
        from: Selection::default(),
        to: Selection(vec![(to, 1)]),
        reason: Reason::Manual,
        dead: dead.to_vec(),
        last_life: None,
        decided: Instant::ORIGIN,
    }
}

pub(crate) fn switch_to(lab: &Lab, family: Family, to: UplinkId, dead: &[UplinkId]) -> Report {
    let wanted = wanted(family, to, dead);
    on(lab, "gw", move || async move { switch::switch(&mut kernel(), &wanted).await })
        .expect("the kernel does as asked")
}

pub(crate) fn rescan(lab: &Lab, again: &Rescan) -> u64 {
    let again = again.clone();
    let found = on(lab, "gw", move || async move { switch::rescan(&mut kernel(), &again).await });
    found.expect("the kernel does as asked").iter().map(|(_, flows)| flows).sum()
}

pub(crate) fn flows(lab: &Lab, selector: Selector, family: Family) -> Vec<Flow> {
    on(lab, "gw", move || async move { kernel().conntrack.dump(selector, family).await }).expect("a dump").flows
}
