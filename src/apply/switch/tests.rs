use std::net::Ipv4Addr;

use super::*;
use crate::kernel::flow::{self, Tuple};
use crate::policy::Reason;

const A: UplinkId = UplinkId(0);
const B: UplinkId = UplinkId(1);

/// Writes down what is asked of it, and can refuse any step.
#[derive(Default)]
struct Fake {
    calls: Vec<String>,
    refuse: Option<&'static str>,
    /// What is read back, if not what was written.
    lies: Option<Selection>,
    routes: Selection,
    flows: Vec<Flow>,
    now: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

impl Fake {
    fn call(&mut self, name: &'static str, detail: String) -> Result<(), Refused> {
        self.calls.push(format!("{name}{detail}"));
        self.now += 1_000_000;
        if self.refuse == Some(name) { Err(Refused) } else { Ok(()) }
    }
}

impl SwitchKernel for Fake {
    type Error = Refused;

    fn now(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    fn slot(&self, uplink: UplinkId) -> Slot {
        Slot(uplink.0)
    }

    async fn replace_routes(&mut self, path: PathId, _: Family, to: &Selection) -> Result<(), Refused> {
        self.call("replace", format!(" {} {:?}", path.0, to.0.iter().map(|(id, _)| id.0).collect::<Vec<_>>()))?;
        self.routes = to.clone();
        Ok(())
    }

    async fn read_routes(&mut self, _: PathId, _: Family) -> Result<Selection, Refused> {
        self.call("read", String::new())?;
        Ok(self.lies.clone().unwrap_or_else(|| self.routes.clone()))
    }

    async fn list_flows(&mut self, selector: Selector, _: Family) -> Result<Snapshot, Refused> {
        self.call("list", format!(" {:04x}/{:04x}", selector.value, selector.mask))?;
        let mut snapshot = Snapshot::default();
        self.flows.iter().filter(|flow| selector.matches(flow.mark)).for_each(|flow| snapshot.push(*flow));
        Ok(snapshot)
    }

    async fn delete_flows(&mut self, selector: Selector, _: Family) -> Result<(), Refused> {
        self.call("delete", format!(" {:04x}/{:04x}", selector.value, selector.mask))?;
        self.flows.retain(|flow| !selector.matches(flow.mark));
        Ok(())
    }

    async fn nudge(&mut self, lists: &[&[Flow]]) -> Result<Vec<u64>, Refused> {
        let counts: Vec<u64> = lists.iter().map(|flows| flows.len() as u64).collect();
        self.call("nudge", format!(" {}", counts.iter().sum::<u64>()))?;
        Ok(counts)
    }
}

fn flow(mark: u32) -> Flow {
    let tuple = Tuple {
        source: Ipv4Addr::LOCALHOST.into(),
        destination: Ipv4Addr::LOCALHOST.into(),
        source_port: 1,
        destination_port: 2,
    };
    Flow {
        family: Family::V4,
        protocol: flow::TCP,
        original: tuple,
        reply: tuple,
        mark,
        status: 0,
        tcp_state: Some(flow::TCP_ESTABLISHED),
    }
}

fn wanted(from: &[UplinkId], to: &[UplinkId], dead: &[UplinkId]) -> Switch {
    let selection = |ids: &[UplinkId]| Selection(ids.iter().map(|id| (*id, 1)).collect());
    Switch {
        serial: 1,
        path: PathId::DEFAULT,
        family: Family::V4,
        from: selection(from),
        to: selection(to),
        reason: Reason::Manual,
        dead: dead.to_vec(),
        last_life: None,
        decided: Instant::ORIGIN,
    }
}

fn with_flows() -> Fake {
    Fake { flows: vec![flow(0x100), flow(0x100), flow(0x101), flow(0x200)], ..Fake::default() }
}

#[tokio::test]
async fn f38_the_route_comes_first_then_the_flows_then_the_nudge() {
    let mut kernel = with_flows();
    let report = switch(&mut kernel, &wanted(&[A], &[B], &[A])).await.expect("nothing refuses");
    assert_eq!(kernel.calls, ["replace 0 [1]", "read", "list 0100/ffff", "delete 0100/ffff", "nudge 2"]);
    assert_eq!((report.flows_reset, report.nudged, report.failed), (2, 2, 0));
    assert_eq!(report.took, Duration::from_millis(4));
    let rescan = report.rescan.expect("flows were moved");
    assert_eq!((rescan.dead.as_slice(), rescan.path), (&[A][..], PathId::DEFAULT));
    // Another path's flows and a healthy uplink's are where they were.
    assert_eq!(kernel.flows.iter().map(|flow| flow.mark).collect::<Vec<_>>(), [0x101, 0x200]);
}

#[tokio::test]
async fn a_planned_switch_touches_no_flow() {
    let mut kernel = with_flows();
    let report = switch(&mut kernel, &wanted(&[A], &[B], &[])).await.expect("nothing refuses");
    assert_eq!(kernel.calls, ["replace 0 [1]", "read"]);
    assert_eq!(report.rescan, None);
}

#[tokio::test]
async fn f18_no_flow_goes_without_somewhere_better_to_go() {
    for (to, dead) in [(&[][..], &[A][..]), (&[A], &[A]), (&[A, B], &[A, B])] {
        let mut kernel = with_flows();
        switch(&mut kernel, &wanted(&[A], to, dead)).await.expect("nothing refuses");
        assert!(kernel.calls.iter().all(|call| call.starts_with("re")), "{:?}", kernel.calls);
        assert_eq!(kernel.flows.len(), 4);
    }
}

#[tokio::test]
async fn each_dead_uplink_has_its_own_figures() {
    let mut kernel = with_flows();
    let report = switch(&mut kernel, &wanted(&[A], &[UplinkId(2)], &[A, B])).await.expect("nothing refuses");
    assert_eq!((report.flows_reset, report.nudged), (3, 3));
    let of = |uplink, flows| Ended { uplink, reset: flows, nudged: flows };
    assert_eq!(report.ended, [of(A, 2), of(B, 1)]);
    assert_eq!(kernel.calls.iter().filter(|call| call.starts_with("nudge")).count(), 1, "at one pace for all");
}

#[tokio::test]
async fn a_dead_uplink_that_stays_in_use_keeps_its_flows() {
    let mut kernel = with_flows();
    switch(&mut kernel, &wanted(&[A], &[A, UplinkId(2)], &[A, B])).await.expect("nothing refuses");
    assert_eq!(kernel.flows.iter().map(|flow| flow.mark).collect::<Vec<_>>(), [0x100, 0x100, 0x101]);
}

#[tokio::test]
async fn f21_a_refused_or_wrong_route_leaves_every_flow() {
    for refuse in ["replace", "read"] {
        let mut kernel = Fake { refuse: Some(refuse), ..with_flows() };
        switch(&mut kernel, &wanted(&[A], &[B], &[A])).await.expect_err("the route is not there");
        assert_eq!(kernel.flows.len(), 4);
    }
    let mut kernel = Fake { lies: Some(Selection(vec![(A, 1)])), ..with_flows() };
    let error = switch(&mut kernel, &wanted(&[A], &[B], &[A])).await.expect_err("the route is another");
    assert!(matches!(error, SwitchError::NotSwitched { .. }));
    assert_eq!(kernel.flows.len(), 4);
}

#[tokio::test]
async fn f21_a_refused_list_or_nudge_is_only_counted() {
    let mut kernel = Fake { refuse: Some("list"), ..with_flows() };
    let report = switch(&mut kernel, &wanted(&[A], &[B], &[A])).await.expect("listing is of help only");
    assert_eq!((report.failed, kernel.flows.len()), (1, 2));
    let mut kernel = Fake { refuse: Some("nudge"), ..with_flows() };
    let report = switch(&mut kernel, &wanted(&[A], &[B], &[A])).await.expect("nudging is of help only");
    assert_eq!((report.failed, report.flows_reset, report.nudged), (1, 2, 0));
}

#[tokio::test]
async fn f21_a_refused_delete_is_an_error_but_the_next_uplink_is_cleared_all_the_same() {
    let mut kernel = Fake { refuse: Some("delete"), ..with_flows() };
    let error = switch(&mut kernel, &wanted(&[A], &[UplinkId(2)], &[A, B])).await.expect_err("flows are left");
    assert!(matches!(error, SwitchError::Flows { uplink: A, .. }));
    assert!(kernel.calls.iter().any(|call| call.starts_with("delete 0200")));
}

#[tokio::test]
async fn a_second_look_removes_and_counts_what_slipped_through() {
    let mut kernel = with_flows();
    let again = Rescan { family: Family::V4, path: PathId::DEFAULT, dead: vec![A] };
    assert_eq!(rescan(&mut kernel, &again).await.expect("nothing refuses"), [(A, 2)]);
    assert_eq!(rescan(&mut kernel, &again).await.expect("nothing refuses"), []);
    assert!(again.is_overtaken_by(&wanted(&[B], &[A], &[])));
    assert!(!again.is_overtaken_by(&wanted(&[A], &[B], &[])));
}

#[tokio::test]
async fn flows_on_a_dead_standby_end_without_a_word_to_the_routes() {
    let mut kernel = with_flows();
    let report = end_flows(&mut kernel, B, Family::V4, PathId::DEFAULT).await.expect("nothing refuses");
    assert_eq!(kernel.calls, ["list 0200/ffff", "delete 0200/ffff", "nudge 1"]);
    assert_eq!((report.flows_reset, report.rescan.map(|again| again.dead)), (1, Some(vec![B])));
}

#[test]
fn the_kernel_may_order_next_hops_as_it_likes() {
    let selection =
        |shares: &[(u8, u8)]| Selection(shares.iter().map(|(id, weight)| (UplinkId(*id), *weight)).collect());
    assert!(same(&selection(&[(1, 3), (0, 1)]), &selection(&[(0, 1), (1, 3)])));
    assert!(!same(&selection(&[(1, 1), (0, 1)]), &selection(&[(0, 1), (1, 3)])));
    assert!(same(&selection(&[(1, 1)]), &selection(&[(1, 7)])));
    assert!(!same(&selection(&[]), &selection(&[(1, 7)])));
}
