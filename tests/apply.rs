//! Plans without a kernel: folders of cases (`tests/plan/<case>/{current,desired}.json` → `plan.txt`), properties on a
//! model kernel, and a kernel that refuses at each step.

#[path = "kernel_routes/config.rs"]
mod config;
#[path = "apply/model_kernel.rs"]
mod model_kernel;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use causeway::apply::desired::{Desired, Selections, desired};
use causeway::apply::exec::{ApplyError, reconcile, switch_route, teardown};
use causeway::apply::plan::{self, Step, plan};
use causeway::config::model::{Family, PathId, UplinkId};
use causeway::kernel::numbers::{PROTOCOL, RULES, is_our_table};
use causeway::kernel::state::{Address, Hop, Link, Route, RouteKind, Rule, Standing, State};
use causeway::policy::Selection;
use config::config;
use model_kernel::{ModelKernel, carry_out};
use proptest::prelude::*;

const ESRCH: i32 = 3;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const EPERM: i32 = 1;

#[test]
fn each_case_folder_gives_its_plan() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan");
    let mut cases: Vec<_> =
        fs::read_dir(&folder).expect("the folder").map(|entry| entry.expect("readable").path()).collect();
    cases.sort();
    assert!(cases.len() >= 8, "{cases:?}");
    for case in cases {
        let read = |name: &str| fs::read_to_string(case.join(name)).unwrap_or_else(|e| panic!("{case:?}/{name}: {e}"));
        let current: State = serde_json::from_str(&read("current.json")).unwrap_or_else(|e| panic!("{case:?}: {e}"));
        let wanted: Desired = serde_json::from_str(&read("desired.json")).unwrap_or_else(|e| panic!("{case:?}: {e}"));
        let steps: Vec<String> = plan(&current, &wanted).iter().map(|step| step.describe(&current) + "\n").collect();
        assert_eq!(steps.concat(), read("plan.txt"), "{case:?}");
    }
}

/// Two uplinks as learnt, nothing of ours yet.
fn fresh() -> State {
    let link = |name: &str| Link { name: name.to_owned(), up: true, carrier: true, mac: None };
    let mut state =
        State { links: BTreeMap::from([(1, link("lo")), (2, link("wan0")), (3, link("wan1"))]), ..State::default() };
    for (index, own, via) in [(2, "192.0.2.2/28", "192.0.2.1"), (3, "192.0.2.18/28", "192.0.2.17")] {
        let net = own.parse().expect("a net");
        state.addresses.push(Address { link: index, net, standing: Standing::Preferred });
        state.routes.push(learnt(index, via));
    }
    state
}

fn learnt(link: u32, via: &str) -> Route {
    let hop = Hop { link, via: Some(via.parse().expect("an address")), onlink: false, weight: 1 };
    Route {
        family: Family::V4,
        table: 254,
        destination: None,
        tos: 0,
        metric: 1_000 + link,
        protocol: 16,
        kind: RouteKind::Unicast,
        hops: vec![hop],
    }
}

fn through(uplink: u8) -> Selections {
    let paths = [PathId(0), PathId(1)].into_iter();
    paths.flat_map(|path| Family::BOTH.map(|family| ((path, family), only(uplink)))).collect()
}

fn only(uplink: u8) -> Selection {
    Selection(vec![(UplinkId(uplink), 1)])
}

fn settled(uplink: u8) -> State {
    let mut state = fresh();
    for step in plan(&state, &desired(&config(), &state, &through(uplink))) {
        carry_out(&mut state, &step).expect("the model does it");
    }
    state
}

/// F21: whatever step is refused for whatever reason, the next dump decides, and the end is the wanted state.
#[tokio::test]
async fn f21_a_refusal_at_any_step_leads_to_a_new_plan() {
    let mut before = fresh();
    add_stale(&mut before);
    let want = |state: &State| plan(state, &desired(&config(), state, &through(1)));
    let steps = want(&before).len();
    for number in 0..steps {
        for errno in [EEXIST, ESRCH, EINVAL, ENODEV, EBUSY] {
            let kernel = ModelKernel::new(before.clone()).refuse(number, errno);
            let report = reconcile(&kernel, &config(), &through(1)).await.expect("settled");
            assert_eq!(want(&kernel.state()), Vec::new(), "step {number}, error {errno}");
            assert_eq!(report.state, kernel.state());
            assert!(report.done.len() >= steps, "{:?}", report.done);
        }
    }
}

/// One rule and one route too many.
fn add_stale(state: &mut State) {
    let mut other = settled(0);
    other.rules.push(Rule { preference: 4_450, ..other.rules[0].clone() });
    other.routes.push(Route { protocol: 4, table: 4_101, metric: 7, ..learnt(3, "192.0.2.17") });
    state.rules.extend(other.rules.pop());
    state.routes.extend(other.routes.pop());
}

#[tokio::test]
async fn f21_without_permission_it_says_so_at_once_and_takes_nothing_away() {
    let mut before = fresh();
    add_stale(&mut before);
    let kernel = ModelKernel::new(before.clone()).refuse(0, EPERM);
    let error = reconcile(&kernel, &config(), &through(1)).await.expect_err("refused");
    assert!(!error.is_retryable());
    assert!(
        error.to_string().starts_with("cannot set route ipv4 table 4101: default via 192.0.2.1 dev wan0"),
        "{error}"
    );
    assert_eq!(kernel.dumps(), 1);
    let state = kernel.state();
    assert!(before.rules.iter().all(|rule| state.rules.contains(rule)), "stale rules wait for the next round");
    assert!(before.routes.iter().all(|route| state.routes.contains(route)));
}

#[tokio::test]
async fn one_uplink_that_the_kernel_refuses_does_not_stop_the_others() {
    let mut kernel = ModelKernel::new(fresh());
    // The first uplink's default is the first step of each round; a round that leaves it out has one step.
    let steps = plan(&fresh(), &desired(&config(), &fresh(), &through(1))).len();
    for step in [0, steps, steps + 1, steps + 2] {
        kernel = kernel.refuse(step, EINVAL);
    }
    let error = reconcile(&kernel, &config(), &through(1)).await.expect_err("never settles");
    assert!(error.is_retryable() && matches!(error, ApplyError::Step { .. }), "{error:?}");
    let left = plan(&kernel.state(), &desired(&config(), &kernel.state(), &through(1)));
    assert!(matches!(left.as_slice(), [Step::ReplaceRoute(route)] if route.table == 4_101), "{left:?}");
}

/// F20, in the middle of our own work.
#[tokio::test]
async fn f20_a_change_between_two_steps_is_seen() {
    for after in 0..8 {
        let kernel = ModelKernel::new(fresh()).interfere(after, |state| {
            state.rules.clear();
            state.routes.retain(|route| !is_our_table(route.table));
        });
        reconcile(&kernel, &config(), &through(0)).await.expect("settled");
        let (mut state, mut right) = (kernel.state(), settled(0));
        state.routes.sort_unstable();
        right.routes.sort_unstable();
        assert_eq!(state, right, "after step {after}");
    }
}

#[tokio::test]
async fn a_switch_is_one_message_and_no_dump() {
    let kernel = ModelKernel::new(settled(0));
    let route = switch_route(&kernel, &config(), &settled(0), PathId::DEFAULT, Family::V4, &only(1)).await;
    assert_eq!(route.expect("switched").expect("a route").hops[0].link, 3);
    assert_eq!((kernel.steps(), kernel.dumps()), (1, 0));
    let again = ModelKernel::new(kernel.state());
    let mut selections = through(0);
    selections.insert((PathId::DEFAULT, Family::V4), only(1));
    assert_eq!(reconcile(&again, &config(), &selections).await.expect("right").done, Vec::<String>::new());
}

/// The gateway changed and we have not yet heard of it: the kernel refuses, a dump tells, the switch succeeds.
#[tokio::test]
async fn f19_a_switch_with_an_old_view_looks_again() {
    let old = settled(0);
    let mut now = settled(0);
    let moved: IpAddr = "192.0.2.30".parse().expect("an address");
    for route in now.routes.iter_mut().filter(|route| route.table == 254 && route.hops[0].link == 3) {
        route.hops[0].via = Some(moved);
    }
    let kernel = ModelKernel::new(now).refuse(0, EINVAL);
    let route = switch_route(&kernel, &config(), &old, PathId::DEFAULT, Family::V4, &only(1)).await;
    assert_eq!(route.expect("switched").expect("a route").hops[0].via, Some(moved));
    assert_eq!((kernel.steps(), kernel.dumps()), (2, 1));
}

/// F18: nothing to switch to is no reason to take away what is there.
#[tokio::test]
async fn f18_a_switch_to_an_uplink_without_gateway_changes_nothing() {
    let mut state = settled(0);
    state.routes.retain(|route| route.table != 254);
    let kernel = ModelKernel::new(state.clone());
    let route = switch_route(&kernel, &config(), &state, PathId::DEFAULT, Family::V4, &only(1)).await;
    assert_eq!(route.expect("no error"), None);
    assert_eq!(kernel.state(), state);
}

#[tokio::test]
async fn teardown_works_in_spite_of_refusals() {
    for number in 0..5 {
        let kernel = ModelKernel::new(settled(0)).refuse(number, EBUSY);
        teardown(&kernel).await.expect("torn down");
        assert_eq!(kernel.state(), fresh());
    }
}

fn routes() -> impl Strategy<Value = Route> {
    let tables = prop::sample::select(vec![100, 254, 4_101, 4_102, 4_200, 4_201, 4_300]);
    let metrics = prop::sample::select(vec![0, 100, 4_278_198_272]);
    let protocols = prop::sample::select(vec![4, 16, PROTOCOL]);
    let hops = prop::collection::vec((2_u32..4, any::<bool>(), 1_u16..3), 0..3);
    let destinations = prop::sample::select(vec![None, Some("203.0.113.0/24".parse().expect("a net"))]);
    (tables, metrics, protocols, hops, destinations).prop_map(|(table, metric, protocol, hops, destination)| {
        let via = "192.0.2.1".parse().ok();
        let hop = |(link, gateway, weight)| Hop { link, via: if gateway { via } else { None }, onlink: false, weight };
        let mut hops: Vec<Hop> = hops.into_iter().map(hop).collect();
        hops.sort_unstable();
        let kind = if hops.is_empty() { RouteKind::Unreachable } else { RouteKind::Unicast };
        Route { family: Family::V4, table, destination, tos: 0, metric, protocol, kind, hops }
    })
}

fn rules() -> impl Strategy<Value = Rule> {
    let preferences = prop::sample::select(vec![0, 3_999, 4_000, 4_101, 4_400, 4_499, 4_500, 32_766]);
    let marks = prop::sample::select(vec![None, Some((0x100, 0xff00))]);
    let protocols = prop::sample::select(vec![0, 3, PROTOCOL]);
    (preferences, marks, protocols, any::<bool>()).prop_map(|(preference, mark, protocol, foreign)| Rule {
        family: Family::V4,
        preference,
        table: 4_101,
        mark,
        device: None,
        suppress: None,
        protocol,
        foreign,
    })
}

fn states() -> impl Strategy<Value = State> {
    (prop::collection::vec(routes(), 0..12), prop::collection::vec(rules(), 0..8)).prop_map(|(routes, rules)| {
        let routes = routes.into_iter().filter(Route::concerns_us).collect();
        State { routes, rules, ..State::default() }
    })
}

/// What could be wanted: one route a slot, in our tables, ours; one rule of each kind, in our range, ours.
fn wishes() -> impl Strategy<Value = Desired> {
    states().prop_map(|state| {
        let mut slots = BTreeSet::new();
        let mut routes: Vec<Route> = state.routes;
        routes.iter_mut().for_each(|route| route.protocol = PROTOCOL);
        routes.retain(|route| is_our_table(route.table) && slots.insert(route.slot()));
        let kept = if routes.iter().any(|route| route.table == 4_201) { None } else { Some((Family::V4, 4_201)) };
        let ours = state.rules.into_iter().filter(|rule| RULES.contains(&rule.preference));
        let rules: BTreeSet<Rule> = ours.map(|rule| Rule { protocol: PROTOCOL, foreign: false, ..rule }).collect();
        Desired { routes, rules: rules.into_iter().collect(), kept: kept.into_iter().collect() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_carried_out_gives_what_is_wanted_and_touches_nothing_else(before in states(), wanted in wishes()) {
        let mut state = before.clone();
        for step in plan(&before, &wanted) {
            prop_assert!(carry_out(&mut state, &step).is_ok(), "{step:?}");
        }
        prop_assert_eq!(plan(&state, &wanted), Vec::new());
        let is_kept = |route: &Route| wanted.kept.contains(&(route.family, route.table)) && route.protocol == PROTOCOL;
        let sorted = |routes: Vec<Route>| { let mut routes = routes; routes.sort_unstable(); routes };
        let ours = |state: &State| sorted(state.routes.iter().filter(|r| is_our_table(r.table) && !is_kept(r)).cloned().collect());
        let others = |state: &State| -> Vec<Route> {
            state.routes.iter().filter(|r| !is_our_table(r.table) || is_kept(r)).cloned().collect()
        };
        prop_assert_eq!(ours(&state), sorted(wanted.routes.clone()));
        prop_assert_eq!(others(&state), others(&before));
        let in_range = |state: &State, yes: bool| -> Vec<Rule> {
            state.rules.iter().filter(|rule| RULES.contains(&rule.preference) == yes).cloned().collect()
        };
        let mut rules = in_range(&state, true);
        rules.sort_unstable();
        prop_assert_eq!(rules, wanted.rules.clone());
        prop_assert_eq!(in_range(&state, false), in_range(&before, false));
    }

    #[test]
    fn a_teardown_takes_what_is_ours_by_number_and_protocol(before in states()) {
        let mut state = before.clone();
        for step in plan::teardown(&before) {
            prop_assert!(carry_out(&mut state, &step).is_ok(), "{step:?}");
        }
        let mut expected = before;
        expected.routes.retain(|route| !(is_our_table(route.table) && route.protocol == PROTOCOL));
        expected.rules.retain(|rule| !(RULES.contains(&rule.preference) && rule.protocol == PROTOCOL));
        prop_assert_eq!(state, expected);
    }
}
