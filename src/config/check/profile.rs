//! Timings of one uplink: those of its medium or named profile, single values on top, and whether they fit together.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{duration, integer};
use crate::config::fault::{Collector, Fault, Kind, Place};
use crate::config::model::{Medium, Profile, Threshold, limits};
use crate::config::raw::read::At;
use crate::config::raw::text::Percent;
use crate::config::raw::uplinks::{Delay, Jitter, Loss, Probe, ProfileName, Uplink};
use crate::config::words;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

// Lower ends: what a small gateway with 64 uplinks can keep up with, and what the clock's resolution bears. Upper ends:
// beyond them the value no longer does what its name says, so it is a wrong unit.
const INTERVAL: RangeInclusive<Duration> = ms(20)..=ms(60_000);
const INTERVAL_STANDBY: RangeInclusive<Duration> = ms(100)..=ms(600_000);
const OVERDUE_FLOOR: RangeInclusive<Duration> = ms(1)..=ms(10_000);
const BURST_SPACING: RangeInclusive<Duration> = ms(5)..=ms(5_000);
const DEAD_AFTER: RangeInclusive<Duration> = ms(50)..=ms(300_000);
/// One lost probe is no evidence.
const MIN_PROBES: RangeInclusive<u8> = 2..=50;
const QUIET_AFTER: RangeInclusive<Duration> = ms(10)..=ms(60_000);
const COUNTERS_EVERY: RangeInclusive<Duration> = ms(10)..=ms(10_000);
const RECOVER_AFTER: RangeInclusive<Duration> = ms(1_000)..=ms(3_600_000);
const QUALITY_WINDOW: RangeInclusive<Duration> = ms(5_000)..=ms(600_000);
const DELAY: RangeInclusive<Duration> = ms(1)..=ms(60_000);

pub(super) fn profile(medium: Medium, uplink: &Uplink, faults: &mut Collector<'_>) -> Profile {
    let mut profile = match uplink.profile.as_ref().map(|at| at.value) {
        None => medium.profile(),
        Some(ProfileName::Fast) => Profile::fast(),
        Some(ProfileName::Standard) => Profile::standard(),
        Some(ProfileName::Radio) => Profile::radio(),
    };
    let Some(probe) = &uplink.probe else { return profile };
    let before = profile.clone();
    let raw = &probe.value;
    let mut set = |at: &Option<At<Duration>>, range, value: &mut Duration| {
        *value = duration(at.as_ref(), range, *value, faults);
    };
    set(&raw.interval, INTERVAL, &mut profile.interval);
    set(&raw.interval_standby, INTERVAL_STANDBY, &mut profile.interval_standby);
    set(&raw.overdue_floor, OVERDUE_FLOOR, &mut profile.overdue_floor);
    set(&raw.burst_spacing, BURST_SPACING, &mut profile.burst_spacing);
    set(&raw.dead_after, DEAD_AFTER, &mut profile.dead_after);
    set(&raw.quiet_after, QUIET_AFTER, &mut profile.quiet_after);
    set(&raw.counters_every, COUNTERS_EVERY, &mut profile.counters_every);
    set(&raw.recover_after, RECOVER_AFTER, &mut profile.recover_after);
    set(&raw.quality_window, QUALITY_WINDOW, &mut profile.quality_window);
    profile.min_probes = integer(raw.min_probes.as_ref(), MIN_PROBES, profile.min_probes, faults);
    // More than a family's targets is found out where they are known.
    let most = u8::try_from(limits::TARGETS).unwrap_or(u8::MAX);
    profile.quorum = raw.quorum.as_ref().map(|at| integer(Some(at), 1..=most, 1, faults));
    if let Some(loss) = &raw.loss {
        profile.loss = loss_threshold(loss, profile.loss, faults);
    }
    if let Some(rtt) = &raw.rtt {
        profile.rtt = delay_threshold(&rtt.value, &rtt.key, rtt.place, profile.rtt, faults);
    }
    profile.jitter = match raw.jitter.as_ref().map(|at| (at, &at.value)) {
        None => profile.jitter,
        Some((_, Jitter::Off)) => None,
        Some((at, Jitter::Judged(delay))) => {
            let default = profile.jitter.unwrap_or(profile.rtt);
            Some(delay_threshold(delay, &at.key, at.place, default, faults))
        }
    };
    fit(&profile, &before, probe, faults);
    profile
}

/// Relations between the values. Each is reported at the value that was written, with where the other one comes from.
fn fit(profile: &Profile, before: &Profile, probe: &At<Probe>, faults: &mut Collector<'_>) {
    let raw = &probe.value;
    let mut wrong = |places: [Option<Place>; 2], error: &str, cause: String, hint: String| {
        let place = places.into_iter().flatten().max().unwrap_or(probe.place);
        let fault = Fault::new(Kind::ProfileOrder, format!("`{}`: {error}", probe.key));
        faults.add(place, fault.because(cause).hint(hint));
    };
    let place = |at: &Option<At<Duration>>| at.as_ref().map(|at| at.place);
    let show = words::duration;
    let Profile { interval, interval_standby, overdue_floor, burst_spacing, dead_after, min_probes, .. } = *profile;
    let Profile { quiet_after, counters_every, quality_window, .. } = *profile;

    if interval_standby < interval {
        wrong(
            [place(&raw.interval_standby), place(&raw.interval)],
            "interval_standby is below interval",
            format!("{} on standby, {} while the line is in use", show(interval_standby), show(interval)),
            format!("raise interval_standby to {} at least", show(interval)),
        );
    }
    if dead_after <= quiet_after {
        wrong(
            [place(&raw.dead_after), place(&raw.quiet_after)],
            "dead_after is not above quiet_after",
            format!("down after {}, but a burst only starts after {}", show(dead_after), show(quiet_after)),
            format!("raise dead_after, or lower quiet_after (the profile has {})", show(before.quiet_after)),
        );
    }
    if quiet_after < counters_every {
        wrong(
            [place(&raw.quiet_after), place(&raw.counters_every)],
            "counters_every is above quiet_after",
            format!(
                "{} of quiet cannot be seen when counters are read every {}",
                show(quiet_after),
                show(counters_every)
            ),
            format!("lower counters_every to {} at most", show(quiet_after)),
        );
    }
    if overdue_floor * 2 > dead_after {
        wrong(
            [place(&raw.overdue_floor), place(&raw.dead_after)],
            "overdue_floor is above half of dead_after",
            format!("a reply is overdue after {}, the line is down after {}", show(overdue_floor), show(dead_after)),
            format!("raise dead_after to {} at least, or lower overdue_floor", show(overdue_floor * 2)),
        );
    }
    if burst_spacing * u32::from(min_probes) > dead_after {
        let needed = burst_spacing * u32::from(min_probes);
        wrong(
            [place(&raw.burst_spacing).max(raw.min_probes.as_ref().map(|at| at.place)), place(&raw.dead_after)],
            "min_probes do not fit into dead_after",
            format!(
                "{min_probes} probes at {} take {}, dead_after is {}",
                show(burst_spacing),
                show(needed),
                show(dead_after)
            ),
            format!("raise dead_after to {} at least, or lower min_probes or burst_spacing", show(needed)),
        );
    }
    /// Outcomes that are kept: memory is bounded by config.
    const WINDOW: u128 = 1_024;
    if quality_window.as_nanos() > interval.as_nanos() * WINDOW {
        wrong(
            [place(&raw.quality_window), place(&raw.interval)],
            "quality_window holds too many probes",
            format!("{} at one probe every {} are more than {WINDOW}", show(quality_window), show(interval)),
            "lower quality_window or raise interval".to_owned(),
        );
    }
}

fn loss_threshold(at: &At<Loss>, default: Threshold<f32>, faults: &mut Collector<'_>) -> Threshold<f32> {
    let (Some(enter), Some(leave)) = (&at.value.enter, &at.value.leave) else { return default };
    let (Percent(enter), Percent(leave)) = (enter.value, leave.value);
    if leave >= enter {
        leave_above_enter(&at.key, at.place, &words::percent(leave), &words::percent(enter), faults);
    }
    Threshold { enter, leave }
}

fn delay_threshold(
    raw: &Delay,
    key: &str,
    place: Place,
    default: Threshold<Duration>,
    faults: &mut Collector<'_>,
) -> Threshold<Duration> {
    let enter = duration(raw.enter.as_ref(), DELAY, default.enter, faults);
    let leave = duration(raw.leave.as_ref(), DELAY, default.leave, faults);
    let both = raw.enter.is_some() && raw.leave.is_some();
    if both && leave >= enter {
        leave_above_enter(key, place, &words::duration(leave), &words::duration(enter), faults);
    }
    Threshold { enter, leave }
}

fn leave_above_enter(key: &str, place: Place, leave: &str, enter: &str, faults: &mut Collector<'_>) {
    let fault = Fault::new(Kind::ProfileOrder, format!("`{key}`: leave is not below enter"))
        .because(format!("degraded above {enter}, good again below {leave}: the state would flutter"))
        .hint(format!("lower leave below {enter}"));
    faults.add(place, fault);
}
