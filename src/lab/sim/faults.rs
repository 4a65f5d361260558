//! Seed → what goes wrong: each line has troubles of its own, so have the targets, our process, the kernel and people.

use std::time::Duration;

use super::random::Random;
use super::script::{Change, Step};
use super::wire::{Condition, FAIR_LOSS, FAIR_SLOW};
use crate::config::model::{Check, Family, Gateway, Uplink, UplinkId};
use crate::engine::event::Command;
use crate::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn script(config: &Gateway, start: Instant, end: Instant, random: &mut Random) -> Vec<Step> {
    let mut script = Script { config, end, random, steps: Vec::new() };
    for uplink in config.uplink_ids() {
        script.line(uplink, start);
    }
    script.targets(start);
    script.process(start);
    script.kernel(start);
    script.traffic(start);
    script.people(start);
    script.steps
}

struct Script<'a> {
    config: &'a Gateway,
    end: Instant,
    random: &'a mut Random,
    steps: Vec<Step>,
}

impl Script<'_> {
    fn push(&mut self, at: Instant, change: Change) {
        if at < self.end {
            self.steps.push(Step { at, change });
        }
    }

    /// Outages last seconds, minutes or half an hour.
    fn length(&mut self) -> Duration {
        let most = *self.random.pick(&[8, 30, 120, 600, 1_800]);
        self.random.time(SECOND / 5, SECOND * most)
    }

    // --- lines

    fn line(&mut self, uplink: UplinkId, start: Instant) {
        let mut at = start + self.random.wait(MINUTE * 12);
        while at < self.end {
            at = self.trouble(uplink, at);
            let pause = if self.random.chance(0.2) { SECOND * 20 } else { MINUTE * 20 };
            at = at + self.random.wait(pause);
        }
    }

    /// One fault; says when it is over.
    fn trouble(&mut self, uplink: UplinkId, at: Instant) -> Instant {
        let config = self.config.uplink(uplink);
        let both = config.has(Family::V4) && config.has(Family::V6);
        let one = if self.random.chance(0.5) { Family::V4 } else { Family::V6 };
        let family = (both && self.random.chance(0.4)).then_some(one);
        let until = at + self.length();
        let has = |page: fn(&Check) -> bool| config.targets.iter().any(|target| page(&target.check));
        let page = has(|check| matches!(check, Check::Http { .. }));
        let (dns, tcp) =
            (has(|check| matches!(check, Check::Dns { .. })), has(|check| matches!(check, Check::Tcp { .. })));
        let condition = match self.random.below(100) {
            // A service can fail alone only where somebody asks it.
            0..6 if page => Condition::Portal,
            6..9 if dns => Condition::NoDns { hijacked: self.random.chance(0.5) },
            9..13 if tcp => Condition::NoTcp,
            0..20 => Condition::Silent,
            20..27 => Condition::NoWayOut,
            27..34 => Condition::NoWayIn,
            34..44 => return self.short(uplink, None, Condition::NoCarrier, at, until),
            44..49 => Condition::NoAddress,
            49..54 => Condition::NoGateway,
            54..61 => Condition::BrownOut(self.random.range(0.6, 0.8)),
            61..64 => Condition::BrownOut(self.random.range(0.2, 0.5)),
            64..68 => {
                let bad = self.random.time(MS * 20, SECOND * 2);
                Condition::Bursts { good: bad * 12, bad }
            }
            68..73 => Condition::Portal,
            73..77 => Condition::NoDns { hijacked: self.random.chance(0.5) },
            77..80 => Condition::NoTcp,
            80..86 => return self.flap(uplink, family, at),
            86..90 => {
                self.push(at, Change::Loss { uplink, loss: FAIR_LOSS });
                self.push(until, Change::Loss { uplink, loss: 0.0 });
                return until;
            }
            90..95 => {
                let until = at + SECOND * 30;
                self.push(at, Change::Slow { uplink, times: FAIR_SLOW });
                self.push(until, Change::Slow { uplink, times: 1.0 });
                return until;
            }
            95..98 => {
                self.push(at, Change::Renumber { uplink, family: first_family(config) });
                return at;
            }
            _ => {
                self.push(at, Change::NewGateway { uplink, family: first_family(config) });
                return at;
            }
        };
        self.short(uplink, family, condition, at, until)
    }

    fn short(
        &mut self,
        uplink: UplinkId,
        family: Option<Family>,
        condition: Condition,
        at: Instant,
        until: Instant,
    ) -> Instant {
        self.push(at, Change::Line { uplink, family, condition });
        self.push(until, Change::Line { uplink, family, condition: Condition::Good });
        let forged = self.config.uplink(uplink);
        if matches!(condition, Condition::Silent | Condition::NoWayIn) && self.random.chance(0.3) {
            let family = family.unwrap_or(first_family(forged));
            for n in 0..20 {
                self.push(at + MS * 150 * n, Change::Forge { uplink, family, count: 10 });
            }
        }
        if self.random.chance(0.3) {
            // The branch is at work when it happens.
            let (from, rate) = (at - SECOND * 20, self.random.range(5.0, 1_000.0));
            self.push(from, Change::Traffic { rate });
            self.push(at + SECOND * 30, Change::Traffic { rate: 0.0 });
        }
        if self.random.chance(0.06) {
            let from = if self.random.chance(0.5) { at } else { until };
            let lasts = self.random.time(MS * 100, SECOND * 30);
            self.push(from - MS * 20, Change::Deaf { lasts });
        }
        if self.random.chance(0.1) {
            let lasts = self.random.time(MS * 50, SECOND * 3);
            self.push(at - MS * 20, Change::Refuse { lasts });
        }
        if self.random.chance(0.05) {
            // Killed in the middle of the failover.
            let delay = self.random.time(Duration::ZERO, SECOND * 2);
            self.push(at + delay, Change::Restart { after: MS * 200 });
        }
        until
    }

    fn flap(&mut self, uplink: UplinkId, family: Option<Family>, start: Instant) -> Instant {
        let period = self.random.time(MS * 100, SECOND * 10);
        let end = start + self.random.time(SECOND * 10, MINUTE * 4);
        let condition = if self.random.chance(0.5) { Condition::Silent } else { Condition::NoCarrier };
        let family = if condition == Condition::NoCarrier { None } else { family };
        let mut at = start;
        while at < end {
            self.push(at, Change::Line { uplink, family, condition });
            self.push(at + period / 2, Change::Line { uplink, family, condition: Condition::Good });
            at = at + period;
        }
        at
    }

    // --- what is not the lines' fault

    fn targets(&mut self, start: Instant) {
        let mut at = start + self.random.wait(MINUTE * 40);
        while at < self.end {
            // Echo hosts more often than the services.
            let host = *self.random.pick(&[1, 2, 1, 2, 3, 4, 5, 6]);
            // Routers limit how many echoes they answer; a service answers or is gone.
            let limited = host <= 3 && self.random.chance(0.3);
            let answers = if limited { self.random.range(0.1, 0.6) } else { 0.0 };
            self.push(at, Change::Target { host, answers });
            at = at + self.length();
            self.push(at, Change::Target { host, answers: 1.0 });
            at = at + self.random.wait(MINUTE * 50);
        }
    }

    fn process(&mut self, start: Instant) {
        let mut at = start + self.random.wait(MINUTE * 25);
        while at < self.end {
            let most = *self.random.pick(&[200, 2_000, 10_000, 60_000]);
            let lasts = self.random.time(MS * 30, MS * most);
            let kind = self.random.below(10);
            match kind {
                0..4 => {
                    let (lost, poll_first) = (self.random.chance(0.4), self.random.chance(0.5));
                    if at + lasts < self.end {
                        self.push(at, Change::Stop { lasts, lost, poll_first });
                    }
                }
                4..6 => {
                    self.push(at, Change::Starve { starved: true });
                    self.push(at + lasts, Change::Starve { starved: false });
                }
                6..8 => self.push(at, Change::Restart { after: MS * 300 }),
                _ => {
                    let lasts = lasts.min(SECOND * 30);
                    if at + lasts < self.end {
                        self.push(at, Change::Deaf { lasts });
                    }
                }
            }
            at = at + lasts + self.random.wait(MINUTE * 25);
        }
    }

    fn kernel(&mut self, start: Instant) {
        let mut at = start + self.random.wait(MINUTE * 60);
        while at < self.end {
            let lasts = self.random.time(MS * 200, SECOND * 60);
            if at + lasts < self.end {
                let by = self.random.time(MS * 20, MS * 900);
                self.push(at, Change::Late { by, lasts });
            }
            at = at + lasts + self.random.wait(MINUTE * 60);
        }
    }

    fn traffic(&mut self, start: Instant) {
        let mut at = start;
        while at < self.end {
            at = at + self.random.wait(MINUTE * 30);
            let rate = self.random.range(5.0, 1_000.0);
            self.push(at, Change::Traffic { rate });
            at = at + self.random.wait(MINUTE);
            self.push(at, Change::Traffic { rate: 0.0 });
            if self.random.chance(0.1) {
                let uplink = *self.random.pick(&self.config.uplink_ids().collect::<Vec<_>>());
                let rate = self.random.range(0.2, 20.0);
                self.push(at, Change::Noise { uplink, rate });
                self.push(at + MINUTE * 5, Change::Noise { uplink, rate: 0.0 });
            }
        }
    }

    fn people(&mut self, start: Instant) {
        let uplinks: Vec<UplinkId> = self.config.uplink_ids().collect();
        let mut at = start + self.random.wait(MINUTE * 30);
        while at < self.end {
            let uplink = *self.random.pick(&uplinks);
            match self.random.below(8) {
                0 => {
                    let for_time = self.random.chance(0.7).then(|| self.random.time(SECOND * 10, MINUTE * 20));
                    self.push(at, Change::Order(Command::Use { uplink, for_time }));
                    if for_time.is_none() {
                        self.push(at + MINUTE * 10, Change::Order(Command::UseAutomatic));
                    }
                }
                1 => {
                    self.push(at, Change::Order(Command::Lock));
                    let until = at + self.random.time(MINUTE, MINUTE * 20);
                    self.push(until, Change::Order(Command::Unlock));
                }
                2..4 => self.push(at, Change::Order(Command::Drill { uplink })),
                4..6 => {
                    let minute = u16::try_from(self.random.below(1_440)).unwrap_or(0);
                    self.push(at, Change::Clock { minute });
                }
                _ => self.usage(uplink, at),
            }
            at = at + self.random.wait(MINUTE * 25);
        }
    }

    fn usage(&mut self, uplink: UplinkId, at: Instant) {
        let Some(metered) = self.config.uplink(uplink).metered else { return };
        let bytes = self.random.below(metered.plan * 11 / 10);
        self.push(at, Change::Usage { uplink, bytes });
        let later = at + self.random.wait(MINUTE * 15);
        self.push(later, Change::Usage { uplink, bytes: 0 });
    }
}

fn first_family(uplink: &Uplink) -> Family {
    if uplink.has(Family::V4) { Family::V4 } else { Family::V6 }
}
