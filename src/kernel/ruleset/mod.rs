//! The whole of `table inet causeway`, from the config. Pure: the same config gives the same rules, byte for byte.
//!
//! ```text
//! prerouting   mark_in      a known flow: its mark back onto the packet; from an uplink: that uplink's mark;
//!                           new from a network: the mark of its path
//! output       mark_out     our own flows stay on the uplink on which they left (a route hook: the packet is routed again)
//! postrouting  mark_flow    a new flow gets the mark of the device it leaves by, that is *after* routing chose it
//! forward      forward      known flows; TCP without state is reset; zones; the rest is logged and dropped
//! input        input        closed to uplinks; networks as the config says
//! output       output       our own TCP without state is reset
//! prerouting   dstnat       forwards
//! postrouting  srcnat       masquerade
//! ```
//!
//! The table is only ever replaced as a whole. An empty chain `generation_…` names the rules it was made from.

mod expression;
mod filter;
mod marking;
mod nat;
mod selector;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::Ipv6Net;
use nftables::schema::{Chain, NfCmd, NfListObject, NfObject, Nftables, Rule, Set, SetType, SetTypeValue, Table};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};

use crate::config::model::{Gateway, LinkName, UplinkId};
use expression::{Expr, Stmt, device, one_of, set_reference};

/// Name of our table, in family `inet`. Nothing else in the packet filter is ours.
pub const TABLE: &str = "causeway";
/// The empty chain whose name ends in the generation.
pub const GENERATION_CHAIN: &str = "generation_";

/// What the rules depend on beside the config: facts of the lines, learnt while running.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    /// IPv6 prefixes that providers delegated. An uplink in mode `native` translates sources out of another uplink's
    /// prefix (its own provider would drop them).
    pub prefixes: BTreeMap<UplinkId, Vec<Ipv6Net>>,
}

/// Which rules are loaded: a digest of them. It tells rules apart, it does not protect them: who can load a table as root
/// can also name it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(pub(crate) u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Generation({self})")
    }
}

impl Generation {
    /// FNV-1a, 64 bits: the same on every machine and in every release. This is its value for no bytes.
    pub(crate) const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    pub(crate) fn and(self, bytes: &[u8]) -> Self {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().fold(self.0, step))
    }
}

/// All chains and rules of our table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    objects: Vec<NfListObject<'static>>,
    generation: Generation,
}

impl Ruleset {
    pub fn new(gateway: &Gateway, learnt: &Learnt) -> Self {
        let mut table = TableBuilder::default();
        device_sets(&mut table, gateway);
        marking::build(&mut table, gateway);
        filter::build(&mut table, gateway);
        nat::build(&mut table, gateway, learnt);
        let bytes = serde_json::to_vec(&table.objects).expect("rules are plain data with string keys");
        Self { objects: table.objects, generation: Generation::EMPTY.and(&bytes) }
    }

    pub fn generation(&self) -> Generation {
        self.generation
    }

    pub fn rules(&self) -> usize {
        self.objects.iter().filter(|object| matches!(object, NfListObject::Rule(_))).count()
    }

    /// One transaction that replaces whatever the table holds now, with no instant without it. (`add` first, because
    /// `delete` of a table that is not there fails the whole batch.)
    pub fn replacement(&self) -> Nftables<'static> {
        let table = || NfListObject::Table(our_table());
        let add = |object| NfObject::CmdObject(NfCmd::Add(object));
        let mut objects = vec![add(table()), NfObject::CmdObject(NfCmd::Delete(table())), add(table())];
        objects.push(add(NfListObject::Chain(plain_chain(format!("{GENERATION_CHAIN}{}", self.generation)))));
        objects.extend(self.objects.iter().cloned().map(add));
        Nftables { objects: Cow::Owned(objects) }
    }

    /// Removes our table, if it is there.
    pub fn removal() -> Nftables<'static> {
        let table = || NfListObject::Table(our_table());
        Nftables {
            objects: Cow::Owned(vec![
                NfObject::CmdObject(NfCmd::Add(table())),
                NfObject::CmdObject(NfCmd::Delete(table())),
            ]),
        }
    }
}

pub(super) fn our_table() -> Table<'static> {
    Table { family: NfFamily::INet, name: Cow::Borrowed(TABLE), handle: None }
}

/// A chain without a hook.
pub(super) fn plain_chain(name: impl Into<Cow<'static, str>>) -> Chain<'static> {
    Chain { family: NfFamily::INet, table: Cow::Borrowed(TABLE), name: name.into(), ..Chain::default() }
}

/// Collects chains and rules in order.
#[derive(Default)]
struct TableBuilder {
    objects: Vec<NfListObject<'static>>,
}

/// Priorities by the names that `nft` gives them.
mod priority {
    pub(super) const MANGLE: i32 = -150;
    pub(super) const DSTNAT: i32 = -100;
    pub(super) const FILTER: i32 = 0;
    pub(super) const SRCNAT: i32 = 100;
}

impl TableBuilder {
    fn base_chain(
        &mut self,
        name: &'static str,
        kind: NfChainType,
        hook: NfHook,
        priority: i32,
        policy: NfChainPolicy,
    ) {
        self.objects.push(NfListObject::Chain(Chain {
            _type: Some(kind),
            hook: Some(hook),
            prio: Some(priority),
            policy: Some(policy),
            ..plain_chain(name)
        }));
    }

    fn chain(&mut self, name: &'static str) {
        self.objects.push(NfListObject::Chain(plain_chain(name)));
    }

    fn rule(&mut self, chain: &'static str, comment: impl Into<Cow<'static, str>>, statements: Vec<Stmt>) {
        self.objects.push(NfListObject::Rule(Rule {
            family: NfFamily::INet,
            table: Cow::Borrowed(TABLE),
            chain: Cow::Borrowed(chain),
            expr: Cow::Owned(statements),
            handle: None,
            index: None,
            comment: Some(comment.into()),
        }));
    }
}

fn uplink_devices(gateway: &Gateway) -> impl Iterator<Item = &LinkName> {
    gateway.uplinks.iter().map(|uplink| &uplink.device)
}

fn network_devices(gateway: &Gateway) -> impl Iterator<Item = &LinkName> {
    gateway.networks.iter().flat_map(|network| &network.ports)
}

/// Named sets of devices. nft 1.0.6 takes time in the square of the number of sets, and a config with thousands of rules
/// names these two in most of them.
const UPLINKS: &str = "uplinks";
const NETWORKS: &str = "networks";

fn all_uplinks(gateway: &Gateway) -> BTreeSet<&LinkName> {
    uplink_devices(gateway).collect()
}

fn all_networks(gateway: &Gateway) -> BTreeSet<&LinkName> {
    network_devices(gateway).collect()
}

fn device_sets(table: &mut TableBuilder, gateway: &Gateway) {
    for (name, members) in [(UPLINKS, all_uplinks(gateway)), (NETWORKS, all_networks(gateway))] {
        table.objects.push(NfListObject::Set(Box::new(Set {
            family: NfFamily::INet,
            table: Cow::Borrowed(TABLE),
            name: Cow::Borrowed(name),
            set_type: SetTypeValue::Single(SetType::Ifname),
            elem: (!members.is_empty()).then(|| members.into_iter().map(device).collect()),
            ..Set::default()
        })));
    }
}

/// Traffic of these devices; `None` for none.
fn devices<'a>(gateway: &'a Gateway, names: impl IntoIterator<Item = &'a LinkName>) -> Option<Expr> {
    let names: BTreeSet<&LinkName> = names.into_iter().collect();
    if names.len() > 1 && names == all_uplinks(gateway) {
        Some(set_reference(UPLINKS))
    } else if names.len() > 1 && names == all_networks(gateway) {
        Some(set_reference(NETWORKS))
    } else {
        one_of(names.into_iter().map(device).collect())
    }
}
