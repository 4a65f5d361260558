//! Typed model of what we own in the kernel: routes, rules, the nft table, connection marks. Edges: `netlink`, `nft`,
//! `conntrack`. Start reading at [`numbers`], then [`state`].

pub mod netlink;
pub mod numbers;
pub mod observe;
pub mod state;
pub mod sysctl;

pub mod conntrack;
pub mod flow;
pub mod marks;
pub mod nft;
pub mod nudge;
pub mod programs;
pub mod ruleset;
