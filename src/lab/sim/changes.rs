//! The steps of a plan, as they strike the world.

use std::time::Duration;

use super::queue::Item;
use super::script::Change;
use super::wire::Condition;
use super::world::{World, host, scene};
use crate::config::model::{Family, UplinkId};
use crate::engine::action::Switch;
use crate::engine::event::{Command, Event};
use crate::probe::{Answer, Cookie};

/// A new address is bound to so soon.
const REBIND: Duration = Duration::from_millis(40);
/// A start knows its lines after this.
const SETTLED: Duration = Duration::from_secs(4);
/// Part of a stream from outside that still comes in when nothing of ours gets out.
const ONE_WAY_STREAM: f64 = 0.2;

impl World {
    pub(super) fn apply(&mut self, change: Change) {
        let now = self.now;
        match change {
            Change::Line { uplink, family, condition } => {
                for each in Family::BOTH.into_iter().filter(|each| family.is_none_or(|family| family == *each)) {
                    self.wires[uplink.index()][each.index()].change(condition, now);
                }
                self.tell_soon(uplink);
            }
            Change::Loss { uplink, loss } => {
                self.wires[uplink.index()].iter_mut().for_each(|wire| wire.set_loss(loss, now));
            }
            Change::Slow { uplink, times } => {
                self.wires[uplink.index()].iter_mut().for_each(|wire| wire.set_slow(times, now));
            }
            Change::Renumber { uplink, family } => {
                let near = &mut self.near[uplink.index()][family.index()];
                near.address = near.address.wrapping_add(1);
                near.rebinding = now + REBIND;
                self.tell_soon(uplink);
            }
            Change::NewGateway { uplink, family } => {
                let near = &mut self.near[uplink.index()][family.index()];
                near.gateway = near.gateway.wrapping_add(1);
                self.tell_soon(uplink);
            }
            Change::Target { host, answers } => {
                self.hosts[usize::from(host)] = answers;
                self.check.target_changed(now);
            }
            Change::Traffic { rate } => self.traffic = rate,
            Change::Noise { uplink, rate } => self.noise[uplink.index()] = rate,
            Change::Stop { lasts, lost, poll_first } => self.process.stop(lasts, lost, poll_first, now),
            Change::Starve { starved } => self.process.starve(starved, now),
            Change::Restart { after } => self.kill(after),
            Change::Deaf { lasts } => self.process.deafen(lasts, now),
            Change::Refuse { lasts } => self.kernel.refuses_until = now + lasts,
            Change::Late { by, lasts } => {
                self.kernel.late_by = by;
                self.kernel.late_until = now + lasts;
            }
            Change::Order(command) => self.order(command),
            Change::Clock { minute } => {
                self.clock = u64::from(minute);
                if let Some(planted) = self.planted.as_mut() {
                    planted.clock_jumped(minute);
                }
                self.tell_time(true);
            }
            Change::Usage { uplink, bytes } => {
                self.check.usage(uplink, bytes, &scene!(self));
                if self.process.is_alive() {
                    self.feed(Event::Usage { uplink, bytes });
                }
            }
            Change::Forge { uplink, family, count } => self.forge(uplink, family, count),
            Change::Heal => self.heal(),
        }
        self.update_rates();
        self.drain();
        self.recheck();
    }

    fn order(&mut self, command: Command) {
        if self.process.is_alive() && self.process.runs_at(self.now) <= self.now {
            self.check.order(command, self.now);
            self.feed(Event::Command { command, by: "sim".to_owned() });
        }
    }

    fn heal(&mut self) {
        let now = self.now;
        for wire in self.wires.iter_mut().flatten() {
            wire.change(Condition::Good, now);
            wire.set_loss(0.0, now);
            wire.set_slow(1.0, now);
        }
        self.hosts = [1.0; 32];
        self.noise.iter_mut().for_each(|rate| *rate = 0.0);
        self.check.target_changed(now);
        self.process.starve(false, now);
        for uplink in self.plan.config.uplink_ids() {
            self.tell_soon(uplink);
            if self.plan.config.uplink(uplink).metered.is_some() {
                self.apply(Change::Usage { uplink, bytes: 0 });
            }
        }
        self.order(Command::Unlock);
        self.order(Command::UseAutomatic);
    }

    // --- the process

    fn kill(&mut self, after: Duration) {
        if !self.process.is_alive() {
            return;
        }
        self.process.kill();
        // What the kernel was about to do is done or not done.
        let kept = usize::from(self.random.chance(0.5));
        self.kernel.asked.truncate(kept);
        for meter in &mut self.meters {
            meter.watch(None, self.now);
        }
        if let Some(planted) = &self.planted {
            planted.stop(&mut self.kernel);
        }
        self.queue.push(self.now + after, Item::Start);
    }

    pub(super) fn restart(&mut self) {
        self.process.start(self.now + SETTLED, self.now);
        let seed = self.plan.seed ^ u64::from(self.process.life);
        let mut config = self.plan.config.clone();
        let mut adopted = self.kernel.all();
        if let Some(planted) = &self.planted {
            planted.alter_config(&mut config);
            planted.adopt(&mut adopted);
        }
        self.check.restarted(&scene!(self));
        self.begin(config, seed, adopted);
        for uplink in self.plan.config.uplink_ids() {
            let bytes = self.check.used(uplink);
            if self.plan.config.uplink(uplink).metered.is_some() {
                self.feed(Event::Usage { uplink, bytes });
            }
        }
        self.drain();
        self.recheck();
    }

    // --- the kernel

    pub(super) fn ask_kernel(&mut self, switch: Switch) {
        let (life, path, family, serial) = (self.process.life, switch.path, switch.family, switch.serial);
        let at = (self.now + Duration::from_micros(500 + self.random.below(3_000))).max(self.kernel.free);
        let lies = self.planted.as_ref().is_some_and(|planted| planted.takes_refusal_for_success());
        if self.now < self.kernel.refuses_until {
            let item = if lies {
                Item::Applied { life, path, family, serial, asked: self.now }
            } else {
                Item::Refused { life, path, family, serial }
            };
            self.queue.push(at, item);
            return;
        }
        self.kernel.free = at;
        self.kernel.asked.push_back((switch, self.now));
        self.queue.push(at, Item::Apply);
    }

    pub(super) fn apply_switch(&mut self) {
        let Some((switch, asked)) = self.kernel.asked.pop_front() else { return };
        let (life, path, family, serial) = (self.process.life, switch.path, switch.family, switch.serial);
        self.kernel.install(path, family, switch.to);
        self.check.installed(path, family, self.now);
        let late = if self.now < self.kernel.late_until { self.kernel.late_by } else { Duration::ZERO };
        self.queue.push(self.now + late, Item::Applied { life, path, family, serial, asked });
        self.update_rates();
        self.recheck();
    }

    fn update_rates(&mut self) {
        let users = self.plan.config.uplink_ids().filter(|uplink| self.kernel.uses(*uplink)).count();
        #[expect(clippy::cast_precision_loss, reason = "a handful of uplinks")]
        let share = self.traffic / users.max(1) as f64;
        for uplink in self.plan.config.uplink_ids() {
            let family = if self.plan.config.uplink(uplink).has(Family::V4) { Family::V4 } else { Family::V6 };
            let wire = &self.wires[uplink.index()][family.index()];
            let outgoing = if self.kernel.uses(uplink) { share } else { 0.0 };
            let answered = if wire.condition == Condition::NoWayOut { ONE_WAY_STREAM } else { wire.answered_part() };
            let noise = if wire.has_carrier() { self.noise[uplink.index()] } else { 0.0 };
            self.meters[uplink.index()].set_rates(outgoing * answered + noise, outgoing, self.now);
        }
    }

    // --- enemies

    /// Replies by somebody who guesses, or who saw a probe but sits elsewhere. None may count.
    fn forge(&mut self, uplink: UplinkId, family: Family, count: u8) {
        let runs = self.process.is_alive() && self.process.runs_at(self.now) <= self.now;
        let Some((probe, cookie)) = self.last_probe[uplink.index()][family.index()].filter(|_| runs) else { return };
        let number = self.targets[uplink.index()].get(probe.target.index()).map_or(1, |asked| asked.host);
        let others: Vec<u8> =
            self.targets[uplink.index()].iter().map(|asked| asked.host).filter(|host| *host != number).collect();
        let before = self.check.lives(&self.engine);
        for n in 0..count {
            let (sequence, received) = (probe.wire_sequence(), self.now);
            let mut guess = cookie;
            guess.0[usize::from(n % 16)] ^= 1 + n;
            let (cookie, from, uplink) = match n % 5 {
                0 => (guess, number, uplink),
                1 => (cookie, 31, uplink),
                2 => (cookie, others.first().copied().unwrap_or(31), uplink),
                3 => (Cookie([n; 16]), number, uplink),
                _ => {
                    self.feed(Event::ProbeAnswered { probe, answer: Answer::Unreachable, received });
                    continue;
                }
            };
            let from = host(family, from);
            self.feed(Event::EchoReply { uplink, family, from, sequence, cookie, received });
        }
        self.check.forged(before, &scene!(self));
    }
}
