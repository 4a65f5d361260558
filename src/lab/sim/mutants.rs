//! Planted bugs: each is a mistake that another product made or that we might make, put between the engine and the world
//! (never into production functions), and each must be found by an invariant within 1,000 simulated hours.

use std::time::Duration;

use super::check::Rule;
use super::kernel::Kernel;
use super::world::host;
use crate::config::model::{FailbackWhen, Family, Gateway, PathId, UplinkId};
use crate::engine::action::{Action, Fact, Switch};
use crate::engine::event::{Command, Event, Link};
use crate::health::{State, Verdict};
use crate::policy::{Reason, Selection, Suppressed};
use crate::probe::{Answer, Cookie, ProbeId};
use crate::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    DropsDownSwitch,
    WorksOnlyOnce,
    FlowsBeforeRoute,
    FlushesHealthyFlows,
    EndsFlowsWithNowhereToGo,
    ClearsLast,
    RebuildsInSteps,
    CountsForged,
    CountsAnyAnswerWhileDead,
    ProbesFollowRoute,
    NeverProbesWithdrawn,
    IgnoresAddress,
    IgnoresGateway,
    IgnoresCarrier,
    ForgetsLostMessages,
    RefusalTakenForSuccess,
    FirstReplyIsUp,
    IfupIsOnline,
    OnlyOneTarget,
    NoHold,
    ForgetsFailback,
    FailsBackAtOnce,
    TooEager,
    TooSlow,
    IgnoresLoss,
    PortalIsUp,
    RefusedIsUp,
    HijackedDnsIsUp,
    BlamesLineForStall,
    LivesByTheWallClock,
    WallClockSwitches,
    StartsAfresh,
    StopTearsDown,
    StandbyLossMoves,
    SixBlocksFour,
    SpendsOverBudget,
    LockIsIgnored,
    UseNeverEnds,
    DrillNeverEnds,
    NeverTakesWhatIsBack,
    KeepsFactsForEver,
    SeedsFromTheWorld,
}

/// Name, what is wrong (and the flaw's number in the list of other products' flaws), the rule that finds it.
pub struct Row {
    pub bug: Bug,
    pub what: &'static str,
    pub flaw: &'static str,
    pub found_by: &'static [Rule],
}

use Bug::*;

pub const TABLE: &[Row] = &[
    row(DropsDownSwitch, "a failover is decided but not carried out", "4", &[Rule::Kernel, Rule::Usable]),
    row(WorksOnlyOnce, "only the first failover works", "13", &[Rule::Kernel]),
    row(FlowsBeforeRoute, "flows are ended before the route is changed", "12", &[Rule::LastUplink]),
    row(FlushesHealthyFlows, "each switch ends the flows of healthy uplinks, too", "19", &[Rule::LastUplink]),
    row(EndsFlowsWithNowhereToGo, "flows are ended although all uplinks are down", "11", &[Rule::LastUplink]),
    row(ClearsLast, "all down: no route at all", "17, 22", &[Rule::LastUplink]),
    row(RebuildsInSteps, "a switch is made in steps, the first of which rejects", "6", &[Rule::LastUplink]),
    row(CountsForged, "a reply with a wrong cookie counts", "–", &[Rule::Authentic]),
    row(CountsAnyAnswerWhileDead, "online while every target fails", "2, 18", &[Rule::Usable]),
    row(ProbesFollowRoute, "probes follow the active route", "1", &[Rule::Usable, Rule::Blame, Rule::Heals]),
    row(NeverProbesWithdrawn, "an uplink that is not in use is not probed", "1", &[Rule::Usable, Rule::Heals]),
    row(IgnoresAddress, "a changed address is not taken over", "3", &[Rule::Usable, Rule::Blame, Rule::Heals]),
    row(IgnoresGateway, "a lost gateway is not noticed", "3", &[Rule::Usable]),
    row(IgnoresCarrier, "carrier is not watched", "–", &[Rule::Usable]),
    row(
        ForgetsLostMessages,
        "lost kernel messages are never asked for again",
        "20",
        &[Rule::Usable, Rule::Heals, Rule::Cause],
    ),
    row(RefusalTakenForSuccess, "a refused switch is taken for done", "13", &[Rule::Kernel]),
    row(FirstReplyIsUp, "up after one good answer", "21", &[Rule::Holds]),
    row(IfupIsOnline, "a link that comes up is used before any probe", "6", &[Rule::Kernel, Rule::Usable]),
    row(OnlyOneTarget, "one target by design", "8, 17", &[Rule::Blame]),
    row(NoHold, "no hold between switches", "–", &[Rule::Holds]),
    row(ForgetsFailback, "never returns to the first tier", "–", &[Rule::Heals]),
    row(FailsBackAtOnce, "returns without waiting", "21", &[Rule::Holds]),
    row(TooEager, "a fixed short timeout, whatever the RTT", "23", &[Rule::Blame]),
    row(TooSlow, "one long averaging window", "9", &[Rule::Usable]),
    row(IgnoresLoss, "a brown-out is not left", "–", &[Rule::Kernel, Rule::Usable]),
    row(PortalIsUp, "any page is a good page", "5", &[Rule::Usable]),
    row(RefusedIsUp, "a reset counts as an answer", "5", &[Rule::Usable]),
    row(HijackedDnsIsUp, "any DNS answer is proof of life", "5", &[Rule::Usable]),
    row(BlamesLineForStall, "own stalls are called loss", "–", &[Rule::Blame]),
    row(
        LivesByTheWallClock,
        "timers run on the wall clock",
        "24",
        &[Rule::Holds, Rule::Blame, Rule::Usable, Rule::Ledger],
    ),
    row(WallClockSwitches, "a clock jump brings a switch", "24", &[Rule::WallClock]),
    row(StartsAfresh, "a start does not adopt what the kernel has", "6", &[Rule::Adopted]),
    row(StopTearsDown, "a stop removes the routes", "6", &[Rule::Usable, Rule::Adopted, Rule::LastUplink]),
    row(StandbyLossMoves, "loss on the standby line disturbs users", "14", &[Rule::LastUplink]),
    row(SixBlocksFour, "a dead IPv6 takes IPv4 along", "16", &[Rule::Blame, Rule::Cause]),
    row(SpendsOverBudget, "the plan of a metered line is not watched", "–", &[Rule::Budget]),
    row(LockIsIgnored, "a lock is ignored", "–", &[Rule::Orders]),
    row(UseNeverEnds, "an order for a time never ends", "–", &[Rule::Orders]),
    row(DrillNeverEnds, "a drill does not return", "–", &[Rule::Kernel]),
    row(NeverTakesWhatIsBack, "all down, then one returns: not taken", "1", &[Rule::Kernel, Rule::Usable]),
    row(KeepsFactsForEver, "what is told is never taken away", "20", &[Rule::Bounded]),
    row(SeedsFromTheWorld, "chance that does not come from the seed", "–", &[Rule::Repeats]),
];

const fn row(bug: Bug, what: &'static str, flaw: &'static str, found_by: &'static [Rule]) -> Row {
    Row { bug, what, flaw, found_by }
}

/// What becomes of an event on its way to the engine.
pub enum Twist {
    Pass(Event),
    Drop,
    /// The second one goes first.
    Also(Event, Event),
}

#[derive(Clone, Debug)]
pub struct Planted {
    pub bug: Bug,
    failovers: u32,
    addressed: Vec<(UplinkId, Family)>,
    skew: Duration,
    jumped: bool,
}

impl Planted {
    pub fn new(bug: Bug) -> Self {
        Self { bug, failovers: 0, addressed: Vec::new(), skew: Duration::ZERO, jumped: false }
    }

    /// What the engine is given instead of the true config.
    pub fn alter_config(&self, config: &mut Gateway) {
        for uplink in &mut config.uplinks {
            let profile = &mut uplink.profile;
            #[expect(clippy::wildcard_enum_match_arm, reason = "one bug is planted at a time")]
            match self.bug {
                FirstReplyIsUp => profile.recover_after = Duration::ZERO,
                TooEager => {
                    profile.dead_after = Duration::from_millis(60);
                    profile.quiet_after = profile.quiet_after.min(profile.dead_after / 2);
                    profile.overdue_floor = profile.overdue_floor.min(profile.dead_after / 2);
                    profile.min_probes = 2;
                }
                TooSlow => profile.dead_after = Duration::from_secs(16),
                _ => {}
            }
        }
        for path in &mut config.paths {
            #[expect(clippy::wildcard_enum_match_arm, reason = "one bug is planted at a time")]
            match self.bug {
                NoHold => path.min_hold = Duration::ZERO,
                ForgetsFailback => path.failback.when = FailbackWhen::Never,
                FailsBackAtOnce => path.failback.when = FailbackWhen::After(Duration::ZERO),
                _ => {}
            }
        }
    }

    pub fn event(&mut self, event: Event, last: &[[Option<(ProbeId, Cookie)>; 2]]) -> Twist {
        match (self.bug, event) {
            (CountsForged, Event::EchoReply { uplink, family, from, sequence, cookie, received }) => {
                let newest = last[uplink.index()][family.index()];
                let (from, cookie) = match newest.filter(|(probe, _)| probe.wire_sequence() == sequence) {
                    Some((_, known)) if known != cookie => (from, known),
                    Some(_) | None => (from, cookie),
                };
                Twist::Pass(Event::EchoReply { uplink, family, from, sequence, cookie, received })
            }
            (OnlyOneTarget, Event::EchoReply { from, .. })
                if from != host(Family::V4, 1) && from != host(Family::V6, 1) =>
            {
                Twist::Drop
            }
            (IgnoresAddress, Event::Address { uplink, family, address: Some(address) }) => {
                if self.addressed.contains(&(uplink, family)) {
                    return Twist::Drop;
                }
                self.addressed.push((uplink, family));
                Twist::Pass(Event::Address { uplink, family, address: Some(address) })
            }
            (IgnoresGateway, Event::Gateway { gateway: None, .. }) => Twist::Drop,
            (IgnoresCarrier, Event::Link { link: Link::NoCarrier | Link::Missing, .. }) => Twist::Drop,
            (PortalIsUp | RefusedIsUp | HijackedDnsIsUp, Event::ProbeAnswered { probe, answer, received }) => {
                let answer = match (self.bug, answer) {
                    (PortalIsUp, Answer::Wrong(crate::probe::Wrong::Portal)) => Answer::Reply,
                    (HijackedDnsIsUp, Answer::Wrong(crate::probe::Wrong::Dns)) => Answer::Reply,
                    (RefusedIsUp, Answer::Refused) => Answer::Reply,
                    (_, answer) => answer,
                };
                Twist::Pass(Event::ProbeAnswered { probe, answer, received })
            }
            (SpendsOverBudget, Event::Usage { .. }) => Twist::Drop,
            (LockIsIgnored, Event::Command { command: Command::Lock, .. }) => Twist::Drop,
            (UseNeverEnds, Event::Command { command: Command::Use { uplink, .. }, by }) => {
                Twist::Pass(Event::Command { command: Command::Use { uplink, for_time: None }, by })
            }
            (WallClockSwitches, Event::LocalTime { minute }) if std::mem::take(&mut self.jumped) => {
                let uplink = UplinkId(u8::from(minute % 120 < 60));
                let command = Command::Use { uplink, for_time: None };
                Twist::Also(Event::LocalTime { minute }, Event::Command { command, by: "clock".to_owned() })
            }
            (SixBlocksFour, Event::Address { uplink, family: Family::V6, address: None }) => Twist::Also(
                Event::Address { uplink, family: Family::V6, address: None },
                Event::Address { uplink, family: Family::V4, address: None },
            ),
            (_, event) => Twist::Pass(event),
        }
    }

    pub fn action(&mut self, action: Action, kernel: &Kernel) -> Vec<Action> {
        let Action::Switch(switch) = action else {
            return match (self.bug, action) {
                (NeverProbesWithdrawn, Action::Probe(request)) if !kernel.all().is_empty() => {
                    let used = kernel.uses(request.probe.uplink);
                    if used { vec![Action::Probe(request)] } else { Vec::new() }
                }
                (_, action) => vec![action],
            };
        };
        let down = matches!(switch.reason, Reason::Down(_));
        #[expect(clippy::wildcard_enum_match_arm, reason = "one bug is planted at a time")]
        match self.bug {
            DropsDownSwitch if down => Vec::new(),
            IgnoresLoss if switch.reason == Reason::Down(Verdict::Loss) => Vec::new(),
            DrillNeverEnds if switch.reason == Reason::DrillEnd => Vec::new(),
            NeverTakesWhatIsBack if switch.reason != Reason::Start && self.failovers > 2 => Vec::new(),
            WorksOnlyOnce if down => {
                self.failovers += 1;
                if self.failovers > 1 { Vec::new() } else { vec![Action::Switch(switch)] }
            }
            NeverTakesWhatIsBack => {
                self.failovers += u32::from(down);
                vec![Action::Switch(switch)]
            }
            FlowsBeforeRoute => {
                let (family, path) = (switch.family, switch.path);
                let ends = switch.dead.iter().map(|uplink| Action::EndFlows { uplink: *uplink, family, path });
                ends.collect::<Vec<_>>().into_iter().chain([Action::Switch(switch)]).collect()
            }
            FlushesHealthyFlows => {
                let dead = switch.from.uplinks().filter(|uplink| !switch.to.contains(*uplink)).collect();
                vec![Action::Switch(Box::new(Switch { dead, ..*switch }))]
            }
            RebuildsInSteps => {
                let first = Switch { to: Selection::default(), dead: Vec::new(), ..(*switch).clone() };
                vec![Action::Switch(Box::new(first)), Action::Switch(switch)]
            }
            _ => vec![Action::Switch(switch)],
        }
    }

    /// Something more that is done when this is told.
    pub fn fact(&mut self, fact: &Fact) -> Option<Action> {
        let switch = |path, family, to: Selection, dead, now| {
            let from = to.clone();
            Action::Switch(Box::new(Switch {
                serial: 0,
                path,
                family,
                from,
                to,
                reason: Reason::Better,
                dead,
                last_life: None,
                decided: now,
            }))
        };
        match (self.bug, fact) {
            (ClearsLast, Fact::NotSwitched { path, family, reason: Suppressed::NoTarget }) => {
                Some(switch(*path, *family, Selection::default(), Vec::new(), Instant::ORIGIN))
            }
            (EndsFlowsWithNowhereToGo, Fact::Transition { uplink, family, to: State::Down, .. })
            | (StandbyLossMoves, Fact::Transition { uplink, family, to: State::Down, .. }) => {
                let (mut uplink, path) = (*uplink, PathId::DEFAULT);
                if self.bug == StandbyLossMoves {
                    uplink = UplinkId(1 - uplink.0.min(1));
                }
                Some(Action::EndFlows { uplink, family: *family, path })
            }
            (IfupIsOnline, Fact::Transition { uplink, family, to: State::Unknown | State::Probation, .. }) => {
                let to = Selection(vec![(*uplink, 1)]);
                Some(switch(PathId::DEFAULT, *family, to, Vec::new(), Instant::ORIGIN))
            }
            (_, _) => None,
        }
    }

    /// The line through which a probe of this uplink really leaves.
    pub fn way(&self, uplink: usize, family: Family, kernel: &Kernel) -> usize {
        let active = kernel.installed(PathId::DEFAULT, family).uplinks().next();
        match (self.bug, active) {
            (ProbesFollowRoute, Some(active)) => active.index(),
            (_, _) => uplink,
        }
    }

    /// Does a probe fail for a reason of ours?
    pub fn loses(&self, uplink: UplinkId, family: Family, renumbered: bool) -> bool {
        self.bug == IgnoresAddress && renumbered && self.addressed.contains(&(uplink, family))
    }

    pub fn answers_for_the_dead(&self) -> bool {
        self.bug == CountsAnyAnswerWhileDead
    }

    pub fn forgets_messages(&self) -> bool {
        self.bug == ForgetsLostMessages
    }

    pub fn takes_refusal_for_success(&self) -> bool {
        self.bug == RefusalTakenForSuccess
    }

    pub fn keeps_facts(&self) -> bool {
        self.bug == KeepsFactsForEver
    }

    pub fn seed(&self, seed: u64) -> u64 {
        static STARTS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        if self.bug != SeedsFromTheWorld {
            return seed;
        }
        seed ^ STARTS.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    pub fn time(&self, now: Instant) -> Instant {
        if self.bug == LivesByTheWallClock { now + self.skew } else { now }
    }

    pub fn clock_jumped(&mut self, minute: u16) {
        self.jumped = true;
        self.skew += Duration::from_secs(u64::from(minute) * 60);
    }

    /// After a stall timers are run one by one as if nothing had happened.
    pub fn catches_up(&self) -> bool {
        self.bug == BlamesLineForStall
    }

    pub fn stop(&self, kernel: &mut Kernel) {
        if self.bug == StopTearsDown {
            for (path, family, _) in kernel.all() {
                kernel.install(path, family, Selection::default());
            }
        }
    }

    pub fn adopt(&self, adopted: &mut Vec<(PathId, Family, Selection)>) {
        if self.bug == StartsAfresh {
            adopted.clear();
        }
    }
}

/// How a planted bug was found.
#[derive(Debug)]
pub struct Found {
    pub violation: super::Violation,
    /// Simulated time until then.
    pub after: Duration,
    pub seed: u64,
}

/// Plays seed after seed until the bug shows, at most for so long.
pub fn find(bug: Bug, most: Duration) -> Option<Found> {
    let mut after = Duration::ZERO;
    for seed in 1.. {
        if after >= most {
            return None;
        }
        let played = super::play(super::plan(seed), Some(bug), false);
        after += played.simulated;
        if let Some(violation) = played.violation {
            return Some(Found { violation, after, seed });
        }
        if bug == SeedsFromTheWorld {
            let again = super::play(super::plan(seed), Some(bug), false);
            after += again.simulated;
            if again.hash != played.hash {
                let text = format!("{:016x} and {:016x}", played.hash, again.hash);
                let violation = super::Violation { rule: Rule::Repeats, at: Instant::ORIGIN, text };
                return Some(Found { violation, after, seed });
            }
        }
    }
    None
}
