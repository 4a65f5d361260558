//! The task that owns the engine. It reads the clock once a turn, feeds what came in, and hands out what follows. A turn
//! takes microseconds; whatever waits (kernel, filter, disk, clients) waits in a task of its own.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::alarm::Alarm;
use super::chronicle::{Chronicle, Place};
use super::filter::{self, Filtered};
use super::gateways::{Gateways, Heard};
use super::hands::{Done, Hands, JOBS, Job, Look, chain, selection_of};
use super::meter::{self, Order, Reading};
use super::recorder::{Recorder, Recording};
use super::report::{self, Around};
use super::usage::Usage;
use super::{Options, RunError, World, clock};
use crate::apply::desired::Selections;
use crate::apply::switch::{Ended, Rescan};
use crate::config::model::{Family, Gateway, PathId, Uplink, UplinkId};
use crate::control::io::{AdmitError, Answer, Incoming, Server};
use crate::control::protocol::{Refusal, RefusalKind, Reply, Request};
use crate::control::snapshot::{Process, Snapshot};
use crate::control::status::{ConfigStatus, InternetState, Status};
use crate::engine::Engine;
use crate::engine::action::{Action, DrillRefusal, Fact, Switch};
use crate::engine::event::{Command, Event, Link};
use crate::fence::{Fence, FenceError};
use crate::health::line::Line;
use crate::health::local::Gateway as Hop;
use crate::health::{Cause, State as Health, Verdict};
use crate::kernel::conntrack::Conntrack;
use crate::kernel::netlink::Netlink;
use crate::kernel::netlink::monitor::{Hint, Monitor, RECEIVE_BUFFER};
use crate::kernel::nft::{Nft, NftWatch};
use crate::kernel::numbers::path_table;
use crate::kernel::observe::observe;
use crate::kernel::ruleset::{Learnt, Ruleset};
use crate::kernel::state::State;
use crate::kernel::sysctl;
use crate::policy::Selection;
use crate::probe::io::{Prober, Roots};
use crate::telemetry::counts::{Flows, Queue, Repair};
use crate::telemetry::events::{self, Kind};
use crate::telemetry::io::process;
use crate::time::Instant;

/// Kernel messages come in groups: one look for all of them.
const COALESCE: Duration = Duration::from_millis(20);
/// And one without any message.
const RECONCILE_EVERY: Duration = Duration::from_secs(30);
/// A flood of lost messages must not become a flood of dumps.
const OVERRUN_EVERY: Duration = Duration::from_secs(1);
/// Housekeeping: local time, usage, journal.
const TICK: Duration = Duration::from_secs(1);
/// Answers and readings that may wait for the engine's task. It turns in microseconds; more means that it is stuck.
const INBOX: usize = 256;
/// Each uplink and family may be asked about at once.
const LOOKS: usize = 128;

struct Driver {
    world: World,
    core: Recorder,
    prober: Prober,
    chronicle: Chronicle,
    usage: Usage,
    jobs: mpsc::Sender<Job>,
    looks: mpsc::Sender<Look>,
    orders: mpsc::Sender<Order>,
    /// What each line was last said to be, so that only changes are told.
    seen: BTreeMap<(UplinkId, u8, Option<Family>), Event>,
    indices: Vec<Option<u32>>,
    look_at: Vec<Instant>,
    gateways: Gateways,
    overrun: Instant,
    rescans: Vec<(Instant, Rescan)>,
    /// Something of ours changed since the last look, so that what it repairs is no interference.
    moved: bool,
    config: ConfigStatus,
    /// Of the start.
    warnings: Vec<String>,
    /// Switches of the kernel that are not as needed.
    switches: Vec<String>,
    started: Instant,
    ticked: Instant,
    minute: Option<u16>,
    control_dropped: (Arc<AtomicU64>, u64),
    probes_dropped: u64,
    watchdog: bool,
    sandboxed: bool,
    ready: bool,
}

pub(super) async fn run(options: Options) -> Result<(), RunError> {
    let started = clock::now();
    let config = Arc::new(options.config.clone());
    let netlink = Netlink::open().map_err(|source| RunError::Kernel { source })?;
    let mut monitor = Monitor::open(RECEIVE_BUFFER).map_err(|source| RunError::Kernel { source })?;
    let world = World { config: Arc::clone(&config), netlink };
    // What may be refused comes before anything is changed.
    let server = Server::bind(&options.socket, config.control.group.as_deref())
        .map_err(|source| RunError::Control { source })?;
    let recording = options.record.as_deref().map(Recording::create).transpose()?;
    set_switches(&config, &world.dump().await?);

    // The filter first: no packet is forwarded or let in by a config whose rules are not there.
    let nft = Nft::new();
    let watch = NftWatch::open().ok();
    let ruleset = Ruleset::new(&config, &Learnt::default());
    nft.ensure(&ruleset).await.map_err(|source| RunError::Filter { source })?;
    let conntrack = Conntrack::open().map_err(|error| RunError::State {
        path: "/proc/sys/net/netfilter".into(),
        source: std::io::Error::other(chain(&error)),
    })?;

    let state = world.dump().await?;
    let adopted = adopted(&world, &state);
    let selections: Selections = adopted.iter().map(|(path, family, s)| ((*path, *family), s.clone())).collect();
    let seed = random_seed();
    let core = Recorder::new(&config, seed, adopted, clock::now(), recording);

    let (fenced, mut warnings) = fence(&options);
    // Has a thread of its own, which must be inside the fence.
    let mut chronicle = Chronicle::new(&config, started);
    let switches = unmet_switches(&config, &state);
    for warning in warnings.iter().chain(&switches) {
        tracing::warn!("{warning}");
    }
    match server.trouble() {
        Some(error @ AdmitError::Acl { .. }) => {
            warnings.push(chain(error));
            tracing::warn!("{}", chain(error));
        }
        // A box without operators is no fault.
        Some(error @ AdmitError::NoGroup { .. }) => tracing::info!("{error}"),
        None => {}
    }

    let (jobs, jobs_in) = mpsc::channel(JOBS);
    let (looks, looks_in) = mpsc::channel(LOOKS);
    let (done, mut done_in) = mpsc::channel(INBOX);
    let (orders, orders_in) = mpsc::channel(INBOX);
    let (readings, mut readings_in) = mpsc::channel(INBOX);
    let (filtered, mut filtered_in) = mpsc::channel(4);
    let (incoming, mut incoming_in) = mpsc::channel(INBOX);
    let control_dropped = server.dropped();
    let hands = Hands::new(world.clone(), conntrack, state.clone(), selections, seed);
    tokio::spawn(hands.run(jobs_in, looks_in, done));
    let counting = Alarm::new().map_err(|source| RunError::Runtime { source })?;
    tokio::spawn(meter::read(world.netlink.clone(), counting, config.uplinks.len(), orders_in, readings));
    tokio::spawn(filter::keep(nft, ruleset, watch, filtered));
    let serving = tokio::spawn(server.run(incoming));

    for uplink in config.uplinks.iter().filter(|uplink| state.link(&uplink.device).is_none()) {
        tracing::warn!("{}, which is not there", waits(uplink));
    }
    let names: Vec<&str> = config.uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
    let told =
        format!("watching {} of {}, as {} says", names.join(", "), config.site.name, options.config_file.display());
    chronicle.write(&events::Line::new(Kind::DaemonStarted, told), started);
    let mut driver = Driver {
        prober: Prober::new(Arc::clone(&config), clock::now, Roots::System),
        usage: Usage::load(&options.state, config.uplinks.len(), started),
        seen: BTreeMap::new(),
        indices: vec![None; config.uplinks.len()],
        look_at: vec![started],
        gateways: Gateways::default(),
        overrun: Instant::ORIGIN,
        rescans: Vec::new(),
        moved: true,
        config: ConfigStatus {
            file: options.config_file.display().to_string(),
            digest: options.config_digest.clone(),
            applied: crate::control::status::Moment::default(),
            metrics_on: crate::front::addresses(&config).iter().map(ToString::to_string).collect(),
        },
        warnings,
        switches,
        started,
        ticked: started,
        minute: None,
        control_dropped: (control_dropped, 0),
        probes_dropped: 0,
        watchdog: sd_notify::watchdog_enabled().is_some(),
        sandboxed: fenced,
        ready: false,
        world,
        core,
        chronicle,
        jobs,
        looks,
        orders,
    };
    for (id, uplink) in config.uplink_ids().zip(&config.uplinks) {
        driver.prober.set_resolvers(id, uplink.resolvers());
    }
    driver.observed(&state, clock::now());
    let mut terminate = signal(SignalKind::terminate()).map_err(|source| RunError::Runtime { source })?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|source| RunError::Runtime { source })?;

    let mut alarm = Alarm::new().map_err(|source| RunError::Runtime { source })?;
    let mut batch = Vec::new();
    loop {
        let deadline = driver.deadline();
        // Each branch is safe to cancel: what was not received stays in its channel or socket, and a timer is made anew.
        let woken = tokio::select! {
            biased;
            Some(done) = done_in.recv() => Woken::Done(done),
            hint = monitor.next() => Woken::Hint(hint.unwrap_or(Hint::Overrun)),
            () = driver.prober.next(&mut batch) => Woken::Probes,
            Some(reading) = readings_in.recv() => Woken::Reading(reading),
            Some(filtered) = filtered_in.recv() => Woken::Filtered(filtered),
            Some(incoming) = incoming_in.recv() => Woken::Asked(incoming),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = alarm.until(deadline) => Woken::Time,
        };
        let now = clock::now();
        driver.turn(woken, &mut batch, now).await;
        driver.chronicle.counts.turn_took(clock::now().since(now));
    }
    driver.usage.save(clock::now());
    sd_notify::notify(&[sd_notify::NotifyState::Stopping]).ok();
    let told = "stopping; routes, flows and filter stay as they are";
    driver.chronicle.write(&events::Line::new(Kind::DaemonStopped, told), clock::now());
    serving.abort();
    Ok(())
}

enum Woken {
    Done(Done),
    Hint(Hint),
    Probes,
    Reading(Reading),
    Filtered(Filtered),
    Asked(Incoming),
    Time,
}

impl Driver {
    fn engine(&self) -> &Engine {
        self.core.engine()
    }

    fn deadline(&self) -> Instant {
        let rescan = self.rescans.iter().map(|(at, _)| *at).min().unwrap_or(Instant::NEVER);
        let look = self.look_at.iter().copied().min().unwrap_or(Instant::NEVER);
        self.engine().deadline().min(rescan).min(look).min(self.gateways.deadline()).min(self.ticked + TICK)
    }

    async fn turn(&mut self, woken: Woken, batch: &mut Vec<Event>, now: Instant) {
        match woken {
            Woken::Done(done) => self.done(done, now),
            Woken::Hint(hint) => self.hint(hint, now),
            Woken::Reading(reading) => self.reading(reading, now),
            Woken::Filtered(filtered) => self.filtered(filtered, now),
            Woken::Asked(incoming) => self.asked(incoming, now),
            Woken::Probes | Woken::Time => {}
        }
        self.feed(batch, now);
        if self.engine().deadline() <= now {
            // `now` was read first; whatever has arrived by then is taken before anything is called overdue.
            tokio::task::yield_now().await;
            self.take_probes(batch).await;
            self.feed(batch, now);
            self.core.poll(now);
        }
        self.due(now);
        self.drain(now);
    }

    /// What the probes' edge has ready, without waiting.
    async fn take_probes(&mut self, batch: &mut Vec<Event>) {
        let mut next = pin!(self.prober.next(batch));
        poll_fn(|context| {
            let _ = next.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }

    fn feed(&mut self, batch: &mut Vec<Event>, now: Instant) {
        for event in batch.drain(..) {
            self.core.handle(event, now);
        }
    }

    fn due(&mut self, now: Instant) {
        if self.look_at.iter().any(|at| *at <= now) {
            self.look_at.retain(|at| *at > now);
            self.looks.try_send(Look::Reconcile).ok();
            if self.look_at.is_empty() {
                self.look_at.push(now + RECONCILE_EVERY);
            }
        }
        while let Some(index) = self.rescans.iter().position(|(at, _)| *at <= now) {
            let (_, rescan) = self.rescans.swap_remove(index);
            self.jobs.try_send(Job::Rescan(rescan)).ok();
        }
        for (uplink, family, ask) in self.gateways.due(now) {
            self.look_at_gateway(uplink, family, ask, now);
        }
        if now.since(self.ticked) >= TICK {
            self.ticked = now;
            self.tick(now);
        }
    }

    fn tick(&mut self, now: Instant) {
        let minute = clock::local_minute();
        if let Some(minute) = minute.filter(|_| minute != self.minute) {
            self.minute = Some(minute);
            self.core.handle(Event::LocalTime { minute }, now);
        }
        self.prober.judge_certificate_dates(clock::wall_ms().is_some());
        self.usage.save_if_due(now);
        self.chronicle.tick(now);
        let dropped = self.control_dropped.0.load(Ordering::Relaxed);
        let known = std::mem::replace(&mut self.control_dropped.1, dropped);
        self.chronicle.counts.dropped(Queue::Control, dropped - known);
        let dropped = self.prober.counts().dropped;
        let known = std::mem::replace(&mut self.probes_dropped, dropped);
        self.chronicle.counts.dropped(Queue::Events, dropped - known);
        if self.watchdog {
            self.looks.try_send(Look::Alive).ok();
        }
    }

    /// Everything the engine wants done and told.
    fn drain(&mut self, now: Instant) {
        loop {
            while let Some(action) = self.core.engine_mut().next_action() {
                self.act(action, now);
            }
            let Some((at, fact)) = self.core.engine_mut().next_fact() else { break };
            self.fact(fact, at);
        }
    }

    fn act(&mut self, action: Action, now: Instant) {
        match action {
            Action::Probe(request) => {
                let sent = self.prober.send(request);
                self.chronicle.counts.fold_event(&sent);
                self.core.handle(sent, now);
            }
            Action::Switch(switch) => {
                self.rescans.retain(|(_, rescan)| !rescan.is_overtaken_by(&switch));
                self.moved = true;
                let Switch { path, family, serial, .. } = switch;
                if self.jobs.try_send(Job::Switch(Box::new(switch))).is_err() {
                    self.core.handle(Event::SwitchFailed { path, family, serial }, now);
                }
            }
            Action::EndFlows { uplink, family, path } => {
                self.jobs.try_send(Job::EndFlows { uplink, family, path }).ok();
            }
            Action::WatchCounters { uplink, every } => {
                self.orders.try_send(Order::Every { uplink, every }).ok();
            }
        }
    }

    fn fact(&mut self, mut fact: Fact, now: Instant) {
        self.follow_gateway(&fact, now);
        let mut place = Place::Known;
        if let Fact::Transition { uplink, family, evidence, .. } = &mut fact {
            if self.is_place_open(*uplink, *family) {
                evidence.cause = None;
            }
        } else if let Fact::OutageOpened { uplink, family, .. } = &fact
            && self.is_place_open(*uplink, *family)
        {
            place = Place::Open;
        }
        let config = Arc::clone(&self.world.config);
        self.chronicle.tell(&fact, place, &config, now);
        if matches!(fact, Fact::Transition { .. } | Fact::Switched { .. }) {
            let state = self.internet();
            self.chronicle.internet(state, now);
        }
    }

    /// Asks the gateways of lines that may have fallen silent, and forgets those of the others.
    fn follow_gateway(&mut self, fact: &Fact, now: Instant) {
        let (uplink, family) = match fact {
            Fact::Transition { uplink, family, .. } | Fact::OutageOpened { uplink, family, .. } => (*uplink, *family),
            Fact::ProbeSettled { .. }
            | Fact::Suspicion { .. }
            | Fact::Switch(_)
            | Fact::Switched { .. }
            | Fact::SwitchFailed { .. }
            | Fact::NotSwitched { .. }
            | Fact::OutageClosed { .. }
            | Fact::TargetSuspect { .. }
            | Fact::Locked { .. }
            | Fact::Preferred { .. }
            | Fact::Drill { .. }
            | Fact::Stalled { .. }
            | Fact::Budget { .. } => return,
        };
        let Some(line) = self.engine().line(uplink, family) else { return };
        if line.state() == Health::Suspect || line.verdict() == Some(Verdict::Silent) {
            self.gateways.ask(uplink, family, now);
        } else if self.gateways.forget(uplink, family) {
            self.observe_one(Event::Neighbour { uplink, family, reachable: None }, now);
            // It works again before anybody could tell.
            self.placed(uplink, family, now);
        }
    }

    /// A silence whose place nobody can tell yet.
    fn is_place_open(&self, uplink: UplinkId, family: Family) -> bool {
        let silent = |line: &Line| line.verdict() == Some(Verdict::Silent);
        self.gateways.is_open(uplink, family) && self.engine().line(uplink, family).is_some_and(silent)
    }

    fn look_at_gateway(&mut self, uplink: UplinkId, family: Family, ask: bool, now: Instant) {
        let gateway = self.engine().line(uplink, family).and_then(Line::gateway);
        if let (Some(Hop::Via(address)), Some(link)) = (gateway, self.indices[uplink.index()]) {
            self.looks.try_send(Look::Gateway { uplink, family, link, address, ask }).ok();
        } else {
            self.heard(uplink, family, Heard::Never, now);
        }
    }

    fn heard(&mut self, uplink: UplinkId, family: Family, heard: Heard, now: Instant) {
        if let Some(answers) = self.gateways.handle(uplink, family, heard, now) {
            self.observe_one(Event::Neighbour { uplink, family, reachable: Some(answers) }, now);
        }
        if !self.gateways.is_open(uplink, family) {
            self.placed(uplink, family, now);
        }
    }

    fn placed(&mut self, uplink: UplinkId, family: Family, now: Instant) {
        let cause = self.engine().line(uplink, family).and_then(Line::cause);
        let config = Arc::clone(&self.world.config);
        self.chronicle.placed(uplink, family, cause.unwrap_or(Cause::Path), &config, now);
    }

    fn internet(&self) -> InternetState {
        let carried = Family::BOTH.into_iter().flat_map(|family| {
            self.engine().path(PathId::DEFAULT, family).selection.uplinks().map(move |uplink| (family, uplink))
        });
        let first = self.world.config.paths[PathId::DEFAULT.index()].tiers.first();
        let mut state = InternetState::Unknown;
        for (family, uplink) in carried {
            let Some(line) = self.engine().line(uplink, family) else { continue };
            let primary = first.is_some_and(|tier| tier.contains(&uplink));
            match (line.state(), state) {
                (Health::Up | Health::Degraded | Health::Suspect | Health::Probation, _) if primary => {
                    return InternetState::Primary;
                }
                (Health::Up | Health::Degraded | Health::Suspect | Health::Probation, _) => {
                    state = InternetState::Backup;
                }
                (Health::Down, InternetState::Unknown) => state = InternetState::Down,
                (Health::Down | Health::Unknown | Health::Disabled, _) => {}
            }
        }
        state
    }

    // --- what came in

    fn done(&mut self, done: Done, now: Instant) {
        match done {
            Done::Switched { switch, report } => {
                let Switch { serial, path, family, decided, .. } = *switch;
                let flows = Flows { reset: report.flows_reset, nudged: report.nudged, stragglers: 0 };
                self.chronicle.flows(serial, flows);
                self.ended(&report.ended);
                if let Some(rescan) = report.rescan {
                    self.rescans.extend(Rescan::AFTER.map(|after| (now + after, rescan.clone())));
                }
                // Counted from the decision, so that waiting for the task is part of it.
                let took = now.since(decided);
                self.core.handle(Event::Switched { path, family, serial, took }, now);
            }
            Done::SwitchFailed { switch, error } => {
                tracing::error!("switch refused: {error}");
                self.chronicle.counts.apply_failed(Repair::Route);
                let Switch { serial, path, family, .. } = *switch;
                self.core.handle(Event::SwitchFailed { path, family, serial }, now);
                self.look_at.push(now);
            }
            Done::Ended { ended, rescan } => {
                if let Some(rescan) = rescan {
                    self.rescans.extend(Rescan::AFTER.map(|after| (now + after, rescan.clone())));
                }
                self.ended(&ended);
            }
            Done::Stragglers { flows } => {
                for (uplink, stragglers) in flows {
                    self.chronicle.counts.flows(uplink, Flows { stragglers, ..Flows::default() });
                }
            }
            Done::FlowsFailed { error } => {
                tracing::error!("flows not ended: {error}");
                self.chronicle.counts.apply_failed(Repair::Conntrack);
            }
            Done::Looked { state, repaired } => {
                let changed = self.observed(&state, now);
                if !changed && !self.moved && !repaired.is_empty() {
                    self.repaired(&repaired, now);
                }
                self.moved = changed;
                self.become_ready();
            }
            Done::LookFailed { error, state } => {
                tracing::error!("{}", chain(&error));
                self.chronicle.counts.apply_failed(Repair::Route);
                if let Some(state) = state {
                    self.observed(&state, now);
                }
                self.look_at.push(now + OVERRUN_EVERY);
                self.become_ready();
            }
            Done::Alive => {
                sd_notify::notify(&[sd_notify::NotifyState::Watchdog]).ok();
            }
            Done::Gateway { uplink, family, heard } => self.heard(uplink, family, heard, now),
        }
    }

    /// Each uplink is charged with its own.
    fn ended(&mut self, ended: &[Ended]) {
        for Ended { uplink, reset, nudged } in ended {
            self.chronicle.counts.flows(*uplink, Flows { reset: *reset, nudged: *nudged, stragglers: 0 });
        }
    }

    /// The first look is over: what the engine wants is what the kernel has.
    fn become_ready(&mut self) {
        if !std::mem::replace(&mut self.ready, true) {
            sd_notify::notify(&[sd_notify::NotifyState::Ready]).ok();
        }
    }

    fn repaired(&mut self, steps: &[String], now: Instant) {
        for step in steps {
            let kind = if step.contains(" rule") { Repair::Rule } else { Repair::Route };
            self.chronicle.counts.repaired(kind, 1);
            let line =
                events::Line::new(Kind::KernelRepaired, format!("somebody changed what is ours; put right: {step}"));
            self.chronicle.write(&line, now);
        }
    }

    /// Tells the engine what changed since it was last told. Returns whether anything did.
    fn observed(&mut self, state: &State, now: Instant) -> bool {
        let config = Arc::clone(&self.world.config);
        let mut come = false;
        for (id, uplink) in config.uplink_ids().zip(&config.uplinks) {
            let index = state.link(&uplink.device).map(|(index, _)| index);
            let before = std::mem::replace(&mut self.indices[id.index()], index);
            if before != index {
                if index.is_none() {
                    tracing::warn!("{}, which is gone", waits(uplink));
                } else if before.is_none() && self.ready {
                    tracing::info!("uplink {}: device {} is there", uplink.name, uplink.device);
                }
                come |= index.is_some() && self.ready;
                self.orders.try_send(Order::Link { uplink: id, index }).ok();
                self.prober.link_changed(id);
            }
        }
        let mut changed = false;
        for mut event in observe(&config, state) {
            if let Event::Neighbour { uplink, family, reachable } = &mut event
                && !self.gateways.is_asked(*uplink, *family)
            {
                *reachable = None;
            }
            changed |= self.observe_one(event, now);
        }
        if come {
            // A device comes with switches of its own.
            self.switches = unmet_switches(&config, state);
            for unmet in &self.switches {
                tracing::warn!("{unmet}");
            }
        }
        changed
    }

    fn observe_one(&mut self, event: Event, now: Instant) -> bool {
        let key = match &event {
            Event::Link { uplink, .. } => (*uplink, 0, None),
            Event::Address { uplink, family, .. } => (*uplink, 1, Some(*family)),
            Event::Gateway { uplink, family, .. } => (*uplink, 2, Some(*family)),
            Event::Neighbour { uplink, family, .. } => (*uplink, 3, Some(*family)),
            Event::Counters { .. }
            | Event::ProbeSent { .. }
            | Event::ProbeUnsent { .. }
            | Event::EchoReply { .. }
            | Event::ProbeAnswered { .. }
            | Event::Switched { .. }
            | Event::SwitchFailed { .. }
            | Event::Usage { .. }
            | Event::LocalTime { .. }
            | Event::Command { .. } => return false,
        };
        if self.seen.get(&key) == Some(&event) {
            return false;
        }
        if let Event::Link { uplink, .. } = &event {
            self.prober.link_changed(*uplink);
        } else if let Event::Address { uplink, family, .. } = &event {
            self.prober.source_changed(*uplink, *family);
        }
        self.seen.insert(key, event.clone());
        self.chronicle.counts.fold_event(&event);
        self.core.handle(event, now);
        // Whether a neighbour answers is nothing that a plan follows from.
        key.1 != 3
    }

    fn hint(&mut self, hint: Hint, now: Instant) {
        let mut look = now + COALESCE;
        match hint {
            Hint::Link { name, link, .. } => {
                let uplinks = self.world.config.uplinks.iter();
                let found = (0u8..).zip(uplinks).find(|(_, uplink)| uplink.device.as_str() == name);
                if let Some((index, _)) = found {
                    // A cable that was plugged in is believed after a look: addresses and routes come with it.
                    if link != Link::Up {
                        self.observe_one(Event::Link { uplink: UplinkId(index), link }, now);
                    }
                } else if !self.is_ours(&name) {
                    return;
                }
            }
            Hint::Overrun => {
                self.chronicle.counts.netlink_overrun();
                look = now.max(self.overrun + OVERRUN_EVERY);
                self.overrun = look;
            }
            Hint::Addresses { .. } | Hint::Routes { .. } | Hint::Rules => {}
        }
        if !self.look_at.iter().any(|at| *at <= look) {
            self.look_at.push(look);
        }
    }

    fn is_ours(&self, device: &str) -> bool {
        self.world.config.networks.iter().flat_map(|network| &network.ports).any(|port| port.as_str() == device)
    }

    fn reading(&mut self, Reading { uplink, counters, watched }: Reading, now: Instant) {
        let event = Event::Counters {
            uplink,
            received: counters.received,
            sent: counters.sent,
            received_bytes: counters.received_bytes,
            sent_bytes: counters.sent_bytes,
        };
        self.chronicle.counts.fold_event(&event);
        if watched {
            self.core.handle(event, now);
        }
        if self.world.config.uplink(uplink).metered.is_some() {
            let today = clock::wall_ms().map(|_| jiff::Zoned::now().date());
            let bytes = self.usage.handle_counters(&self.world.config, uplink, counters, today);
            if let Some(bytes) = bytes.filter(|bytes| *bytes != self.engine().usage(uplink)) {
                self.core.handle(Event::Usage { uplink, bytes }, now);
            }
        }
    }

    fn filtered(&mut self, filtered: Filtered, now: Instant) {
        match filtered {
            Filtered::Repaired(found) => {
                self.chronicle.counts.repaired(Repair::Nft, 1);
                let line =
                    events::Line::new(Kind::KernelRepaired, format!("the packet filter was {found:?}; loaded again"));
                self.chronicle.write(&line, now);
            }
            Filtered::Failed(error) => {
                self.chronicle.counts.apply_failed(Repair::Nft);
                let line = events::Line::new(
                    Kind::ApplyFailed,
                    format!("the packet filter cannot be kept: {}", chain(&error)),
                );
                self.chronicle.write(&line, now);
            }
        }
    }

    // --- what is asked

    fn asked(&mut self, Incoming { request, peer, reply }: Incoming, now: Instant) {
        let answer: Answer = match request {
            Request::Status => Reply::Status(Box::new(self.status(now))).into(),
            Request::Snapshot => {
                let snapshot = Snapshot {
                    status: self.status(now),
                    counts: self.chronicle.counts.clone(),
                    process: Process { sandboxed: self.sandboxed, ..process(clock::wall_ms().is_some()) },
                };
                Reply::Snapshot(Box::new(snapshot)).into()
            }
            Request::Events { since_ms, follow: false } => Reply::Events(self.chronicle.kept(since_ms, now)).into(),
            Request::Events { since_ms, follow: true } => {
                Answer::Follow { kept: self.chronicle.kept(since_ms, now), live: self.chronicle.follow() }
            }
            Request::ConfigInfo => Reply::Config(self.config_status(now)).into(),
            Request::Version => Reply::Version(crate::VERSION.to_owned()).into(),
            Request::Use { uplink, for_ms } => self.prefer(&uplink, for_ms, peer.by(), now).into(),
            Request::UseAutomatic => {
                self.command(Command::UseAutomatic, peer.by(), now);
                Reply::Done("the choice is automatic again".to_owned()).into()
            }
            Request::Lock => {
                self.command(Command::Lock, peer.by(), now);
                Reply::Done("locked: no switch but away from a dead line, until `causeway unlock`".to_owned()).into()
            }
            Request::Unlock => {
                self.command(Command::Unlock, peer.by(), now);
                Reply::Done("unlocked: the choice is automatic again".to_owned()).into()
            }
            Request::Drill { uplink } => self.drill(&uplink, peer.by(), now).into(),
        };
        // The client has gone: nobody is told.
        reply.send(answer).ok();
    }

    fn command(&mut self, command: Command, by: String, now: Instant) {
        self.core.handle(Event::Command { command, by }, now);
    }

    fn find(&self, name: &str) -> Result<UplinkId, Reply> {
        let config = &self.world.config;
        let found = config.uplink_ids().find(|id| config.uplink(*id).name.as_str() == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = config.uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
            let refusal = Refusal::new(RefusalKind::NotFound, format!("there is no uplink `{name}`"));
            Reply::Refused(refusal.hint(format!("the config has {}", names.join(", "))))
        })
    }

    fn prefer(&mut self, name: &str, for_ms: Option<u64>, by: String, now: Instant) -> Reply {
        let uplink = match self.find(name) {
            Ok(uplink) => uplink,
            Err(refused) => return refused,
        };
        if !self.world.config.paths.iter().any(|path| path.uplinks().any(|id| id == uplink)) {
            return Reply::Refused(
                Refusal::new(RefusalKind::Failed, format!("no path lists uplink {name}"))
                    .hint("add it to `prefer` of a path in the config"),
            );
        }
        self.command(Command::Use { uplink, for_time: for_ms.map(Duration::from_millis) }, by, now);
        let until = for_ms.map_or_else(
            || "until told otherwise".to_owned(),
            |ms| format!("for {} min, then automatic again", ms.div_ceil(60_000)),
        );
        Reply::Done(format!(
            "{name} is preferred {until}; if it fails before that, another line takes over all the same"
        ))
    }

    fn drill(&mut self, name: &str, by: String, now: Instant) -> Reply {
        let uplink = match self.find(name) {
            Ok(uplink) => uplink,
            Err(refused) => return refused,
        };
        let refusal = self.engine().refuse_drill(uplink);
        self.command(Command::Drill { uplink }, by, now);
        let why = match refusal {
            None => {
                let lasts = crate::engine::drill::LASTS.as_secs();
                return Reply::Done(format!(
                    "{name} carries new sessions for {lasts} s, running ones stay; `causeway events` tells how it went"
                ));
            }
            Some(DrillRefusal::NotUp) => format!("{name} is not up"),
            Some(DrillRefusal::AlreadyRunning) => "a drill is running".to_owned(),
            Some(DrillRefusal::Locked) => "the choice is locked".to_owned(),
            Some(DrillRefusal::InUse) => format!("{name} carries the traffic already"),
            Some(DrillRefusal::NoPath) => format!("no path lists uplink {name}"),
        };
        Reply::Refused(Refusal::new(RefusalKind::NotNow, format!("no drill now: {why}")))
    }

    fn config_status(&self, now: Instant) -> ConfigStatus {
        ConfigStatus { applied: report::moment(self.started, now), ..self.config.clone() }
    }

    fn status(&mut self, now: Instant) -> Status {
        let state = self.internet();
        let internet_since = self.chronicle.internet(state, now);
        let config = self.config_status(now);
        let mut warnings = self.warnings.clone();
        warnings.extend_from_slice(&self.switches);
        for (id, uplink) in self.world.config.uplink_ids().zip(&self.world.config.uplinks) {
            if self.indices[id.index()].is_none() {
                warnings.push(waits(uplink));
            }
            for family in Family::BOTH.into_iter().filter(|family| uplink.has(*family)) {
                if let Some(error) = self.prober.trouble(id, family) {
                    warnings.push(format!("uplink {} cannot be probed over {family}: {}", uplink.name, chain(error)));
                }
            }
        }
        let around = Around {
            chronicle: &self.chronicle,
            usage: &self.usage,
            config: &config,
            warnings: &warnings,
            gateways: &self.gateways,
            started: self.started,
            internet_since,
        };
        report::status(self.core.engine(), &around, now)
    }
}

/// All handles are open and nothing from outside was read: from here on the process has only what it needs. Where the
/// kernel has no such fences forwarding goes on, and the status says so.
fn fence(options: &Options) -> (bool, Vec<String>) {
    let sockets = options.socket.parent().unwrap_or(Path::new("/"));
    let fenced = Fence::run(&options.config_file, &options.state, sockets).enter();
    let errors = [fenced.landlock.as_ref().err(), fenced.seccomp.as_ref().err()];
    let told = |error: &FenceError| format!("the daemon is not fenced in: {}", chain(error));
    (fenced.is_whole(), errors.into_iter().flatten().map(told).collect())
}

fn waits(uplink: &Uplink) -> String {
    format!("uplink {} waits for device {}", uplink.name, uplink.device)
}

/// What the path tables hold already: the choice of the daemon that ran before.
pub(super) fn adopted(world: &World, state: &State) -> Vec<(PathId, Family, Selection)> {
    let held = |path: PathId, family: Family| {
        let selection = selection_of(world, state, state.routes_in(family, path_table(path)).next());
        (!selection.is_empty()).then_some((path, family, selection))
    };
    world.config.path_ids().flat_map(|path| Family::BOTH.map(|family| held(path, family))).flatten().collect()
}

/// Switches of the kernel that the config needs. The unit sets them before we start; elsewhere we try, once, since the
/// fence forbids it later.
fn set_switches(config: &Gateway, state: &State) {
    let store = sysctl::store::Store::open();
    for unmet in store.check(&sysctl::needs(config, |device| state.link(device).is_some())) {
        // What could not be set is found again afterwards.
        store.set(&unmet.need).ok();
    }
}

fn unmet_switches(config: &Gateway, state: &State) -> Vec<String> {
    let needs = sysctl::needs(config, |device| state.link(device).is_some());
    sysctl::store::Store::open().check(&needs).iter().map(ToString::to_string).collect()
}

/// Only cookies and jitter come from it; the kernel's generator seeds both.
fn random_seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| clock::now().nanos())
}
