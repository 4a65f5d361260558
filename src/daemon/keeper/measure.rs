//! What is measured before, in and after a trial, each time in the same way.

use std::time::Duration;

use futures_util::future::{join, join_all};

use crate::apply::exec::Kernel as _;
use crate::config::branch::{Branch, Week};
use crate::config::model::{Check, LinkName};
use crate::control::status::{InternetState, Status, UplinkStatus};
use crate::health::State;
use crate::kernel::netlink::Netlink;
use crate::probe::io::proof::prove;
use crate::probe::io::site::{Line, works};
use crate::trust::bounded::Text;
use crate::trust::machine::{Conditions, Measurement, Office, Signs, Surroundings};

/// Several round trips of a satellite line, with what is lost on the way.
const PROVE_WITHIN: Duration = Duration::from_secs(3);
/// As many as the evidence has bits for, and `must_work` has entries.
const SITE_CHECKS: usize = 16;
/// A modem that lost its power with the gateway, and starts more slowly, has its line up by then; what is down after that is
/// down.
const COMES_UP_WITHIN: Duration = Duration::from_mins(2);
/// Local hour in which the fewest work.
const QUIETEST: u16 = 3;

/// All uplinks at once, each through new sockets bound to its device; `front` is not asked which line it used.
/// `checks`: what the candidate says must work.
pub(super) async fn measure(
    branch: &Branch,
    checks: &[Check],
    status: &Status,
    netlink: &Netlink,
    office: Office,
) -> Measurement {
    let uplinks = branch.gateway.uplinks.iter().map(|uplink| async {
        let proofs = branch.responders.iter().map(|responder| prove(&uplink.device, responder, PROVE_WITHIN));
        let proved = join_all(proofs).await.iter().any(Result::is_ok);
        let name = Text::new(uplink.name.as_str()).unwrap_or_default();
        let line = status.uplinks.iter().find(|line| line.name == uplink.name.as_str());
        (name, line.map_or(Signs::PRESENT, |line| signs(line, proved)))
    });
    let lines: Vec<Line> = branch.gateway.uplinks.iter().map(Line::of).collect();
    let site = checks.iter().take(SITE_CHECKS).map(|check| works(check, &lines, PROVE_WITHIN));
    let (uplinks, site) = join(join_all(uplinks), join_all(site)).await;
    let checks = site.iter().zip(0..).fold(0, |bits, (works, bit)| bits | u16::from(*works) << bit);
    let lan = lan_has_carrier(branch, netlink).await;
    Measurement { uplinks, around: Surroundings { checks, lan, office } }
}

fn signs(line: &UplinkStatus, proved: bool) -> Signs {
    let answers = is_working(line);
    let neighbour = line.families.iter().any(|family| family.evidence.gateway_answers == Some(true));
    [(proved, Signs::PROOF), (answers, Signs::TARGETS), (neighbour, Signs::NEIGHBOUR)]
        .into_iter()
        .filter(|(seen, _)| *seen)
        .fold(Signs::PRESENT, |signs, (_, sign)| signs.with(sign))
}

/// A branch without networks of ours has nothing that could be cut off.
async fn lan_has_carrier(branch: &Branch, netlink: &Netlink) -> bool {
    let ports: Vec<&LinkName> = branch.gateway.networks.iter().flat_map(|network| &network.ports).collect();
    if ports.is_empty() {
        return true;
    }
    let Ok(state) = netlink.dump().await else { return false };
    ports.iter().any(|port| state.link(port).is_some_and(|(_, link)| link.carrier))
}

/// Whether this is a good moment for a change.
pub(super) fn conditions(branch: &Branch, status: &Status) -> Conditions {
    let low = |line: &UplinkStatus| {
        let uplink = branch.gateway.uplinks.iter().find(|uplink| uplink.name.as_str() == line.name);
        let reserve = uplink.and_then(|uplink| uplink.metered.as_ref()).map_or(0, |metered| metered.reserve);
        line.plan.as_ref().is_some_and(|plan| plan.used_bytes.saturating_add(reserve) >= plan.limit_bytes)
    };
    let minute = crate::daemon::clock::local_minute();
    Conditions {
        on_backup: status.internet.state == InternetState::Backup,
        one_uplink: status.uplinks.iter().filter(|line| is_working(line)).count() < 2,
        // A clock that was never set says nothing about opening hours.
        open_hours: branch.place.hours.as_ref().is_some_and(is_open),
        data_low: status.uplinks.iter().any(low),
        quietest_hour: minute.is_some_and(|minute| minute / 60 == QUIETEST),
        coming_up: are_coming_up(status),
    }
}

fn is_working(line: &UplinkStatus) -> bool {
    line.families.iter().any(|family| matches!(family.state, State::Up | State::Degraded | State::Suspect))
}

fn are_coming_up(status: &Status) -> bool {
    let wanted = |line: &UplinkStatus| line.families.iter().any(|family| family.state != State::Disabled);
    Duration::from_millis(status.uptime_ms) < COMES_UP_WITHIN
        && status.uplinks.iter().any(|line| wanted(line) && !is_working(line))
}

fn is_open(week: &Week) -> bool {
    if crate::daemon::clock::wall_ms().is_none() {
        return false;
    }
    let now = jiff::Zoned::now();
    let (month, day) = (now.month().unsigned_abs(), now.day().unsigned_abs());
    if week.closed.contains(&(month, day)) {
        return false;
    }
    let weekday = now.weekday().to_monday_zero_offset().unsigned_abs();
    let minute = u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs());
    week.open.iter().any(|open| open.day == weekday && (open.from..open.to).contains(&minute))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two lines of one family each, so long after the start.
    fn after(uptime: Duration, states: [State; 2]) -> Status {
        let mut status: Status =
            serde_json::from_str(include_str!("../../../tests/canned/backup.json")).expect("it fits the types");
        status.uptime_ms = u64::try_from(uptime.as_millis()).expect("short");
        for (uplink, state) in status.uplinks.iter_mut().zip(states) {
            uplink.families.truncate(1);
            uplink.families[0].state = state;
        }
        status
    }

    #[test]
    fn after_a_start_every_line_gets_two_minutes_to_come_up() {
        let early = Duration::from_secs(5);
        for late in [State::Unknown, State::Down, State::Probation] {
            assert!(are_coming_up(&after(early, [State::Up, late])), "{late:?}");
            assert!(are_coming_up(&after(COMES_UP_WITHIN - early, [late, State::Up])), "{late:?}");
            assert!(!are_coming_up(&after(COMES_UP_WITHIN, [State::Up, late])), "{late:?}: it is down");
        }
        for there in [State::Up, State::Degraded, State::Suspect, State::Disabled] {
            assert!(!are_coming_up(&after(early, [State::Up, there])), "{there:?}: nothing to wait for");
        }
    }
}
