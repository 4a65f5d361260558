//! Every number under which we own something in the routing policy of the kernel, in one place. Pure.
//! Sources: ip-rule(8), ip-route(8), `/etc/iproute2/rt_protos`.

use std::ops::RangeInclusive;

use crate::config::model::{PathId, Slot, limits};

/// `rtm_protocol` and `FRA_PROTOCOL` of all we add, so that we know later what is ours. Free in `rt_protos`; a shared
/// number (`static`) would make us remove other people's routes.
pub const PROTOCOL: u8 = 202;

/// `RT_TABLE_MAIN`: networkd's and everybody's routes. We read its defaults and never write it.
pub const MAIN_TABLE: u32 = 254;
/// Uplink i (the first is 1) has table 4100 + i. Above 255, where distributions put theirs, and below what networkd
/// and Kubernetes plug-ins pick.
const UPLINK_TABLES: u32 = 4_100;
/// Path p (`default` is 0) has table 4200 + p.
const PATH_TABLES: u32 = 4_200;

/// Metric of the route that carries traffic in our tables. Not 0: IPv6 would turn that into 1024.
pub const CARRIER_METRIC: u32 = 100;
/// Metric of the `unreachable` route below it: the number that the kernel's VRF document recommends for this, larger
/// than any a person would pick.
pub const BACKSTOP_METRIC: u32 = 4_278_198_272;

/// All rules in this range are ours; all others are not touched. Before `main` (32766), after `local` (0).
pub const RULES: RangeInclusive<u32> = 4_000..=4_499;
/// `main` without its defaults: LANs and specific routes (a VPN's) come before any uplink.
pub const MAIN_RULE: u32 = 4_000;
const MARK_RULES: u32 = 4_100;
const DEVICE_RULES: u32 = 4_200;
const PATH_RULES: u32 = 4_300;
/// What has neither mark nor device takes path `default`. Last of ours, so that `main` and its default stay below:
/// with our tables empty a box routes as it did before us.
pub const DEFAULT_PATH_RULE: u32 = 4_400;

/// Bits of the firewall mark that name the uplink of a flow (1…64; 0: none).
pub const UPLINK_MARK_MASK: u32 = 0xff00;
const UPLINK_MARK_SHIFT: u32 = 8;
/// Bits of the firewall mark that name the path of a new flow (1…15; 0: `default`).
pub const PATH_MARK_MASK: u32 = 0xff;

/// The uplink's number as used in tables, rules and marks: 1…64.
fn number(uplink: Slot) -> u32 {
    u32::from(uplink.0) + 1
}

pub fn uplink_table(uplink: Slot) -> u32 {
    UPLINK_TABLES + number(uplink)
}

pub fn path_table(path: PathId) -> u32 {
    PATH_TABLES + u32::from(path.0)
}

pub fn uplink_mark(uplink: Slot) -> u32 {
    number(uplink) << UPLINK_MARK_SHIFT
}

pub fn path_mark(path: PathId) -> u32 {
    u32::from(path.0)
}

/// Preference of the rule that sends marked packets to their uplink's table.
pub fn mark_rule(uplink: Slot) -> u32 {
    MARK_RULES + number(uplink)
}

/// Preference of the rule that sends packets of bound sockets to their uplink's table.
pub fn device_rule(uplink: Slot) -> u32 {
    DEVICE_RULES + number(uplink)
}

/// Preference of the rule of a path; `default` comes last.
pub fn path_rule(path: PathId) -> u32 {
    if path == PathId::DEFAULT { DEFAULT_PATH_RULE } else { PATH_RULES + u32::from(path.0) }
}

/// Is this table ours, whoever put something into it?
pub fn is_our_table(table: u32) -> bool {
    is_path_table(table) || (UPLINK_TABLES + 1..=UPLINK_TABLES + count(limits::UPLINKS)).contains(&table)
}

pub fn is_path_table(table: u32) -> bool {
    (PATH_TABLES..PATH_TABLES + count(limits::PATHS)).contains(&table)
}

fn count(limit: usize) -> u32 {
    u32::try_from(limit).expect("limits are small")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_design_and_never_collide() {
        let (first, last) = (Slot(0), Slot(63));
        assert_eq!((uplink_table(first), uplink_table(last)), (4_101, 4_164));
        assert_eq!((mark_rule(first), device_rule(last)), (4_101, 4_264));
        assert_eq!((uplink_mark(first), uplink_mark(last)), (0x0100, 0x4000));
        assert_eq!((path_table(PathId(0)), path_table(PathId(15))), (4_200, 4_215));
        assert_eq!((path_rule(PathId(0)), path_rule(PathId(1))), (4_400, 4_301));
        assert_eq!(UPLINK_MARK_MASK & PATH_MARK_MASK, 0);
        for path in 0..16 {
            assert!(is_our_table(path_table(PathId(path))) && RULES.contains(&path_rule(PathId(path))));
            assert_eq!(path_mark(PathId(path)) & !PATH_MARK_MASK, 0);
        }
        for uplink in 0..64 {
            assert!(is_our_table(uplink_table(Slot(uplink))) && !is_path_table(uplink_table(Slot(uplink))));
            assert_eq!(uplink_mark(Slot(uplink)) & !UPLINK_MARK_MASK, 0);
        }
        assert!(![0, MAIN_TABLE, 4_100, 4_165, 4_199, 4_216].into_iter().any(is_our_table));
    }
}
