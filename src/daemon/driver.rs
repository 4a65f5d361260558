//! The task that owns the engine. It reads the clock once a turn, feeds what came in, and hands out what follows. A turn
//! takes microseconds; whatever waits (kernel, filter, disk, clients) waits in a task of its own.

mod answers;
mod configure;
mod gateway;
mod inputs;
mod names;
mod start;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, Notify, mpsc};

use super::alarm::Alarm;
use super::book::{Book, Boot};
use super::chronicle::{Chronicle, Place};
use super::filter::{self, Filtered};
use super::gateways::Gateways;
use super::hands::{Done, Hands, JOBS, Job, Look, chain};
use super::keeper::{Opened, Parts, REQUESTS};
use super::meter::Meter;
use super::recorder::{Recorder, Recording};
use super::usage::Usage;
use super::{Options, RunError, World, clock, report};
use crate::apply::desired::Selections;
use crate::apply::services::Services;
use crate::apply::switch::Rescan;
use crate::config::model::{Family, PathId, UplinkId};
use crate::control::io::{AdmitError, Incoming, Server};
use crate::control::snapshot::ConfigFigures;
use crate::control::status::{ConfigStatus, InternetState};
use crate::engine::Engine;
use crate::engine::action::{Action, Fact, Switch};
use crate::engine::event::Event;
use crate::health::State as Health;
use crate::kernel::conntrack::Conntrack;
use crate::kernel::netlink::Netlink;
use crate::kernel::netlink::counters::Counting;
use crate::kernel::netlink::monitor::{Hint, Monitor, RECEIVE_BUFFER};
use crate::kernel::nft::{Nft, NftWatch};
use crate::kernel::ruleset::{Learnt, Ruleset};
use crate::probe::io::{Prober, Roots};
use crate::telemetry::counts::Queue;
use crate::telemetry::events::{self, Kind};
use crate::telemetry::io::{Journal, init_tracing};
use crate::time::Instant;
pub(super) use configure::{Ask, Change};
pub(super) use start::adopted;
use start::{fence, random_seed, set_switches, unmet_switches, waits};

/// Kernel messages come in groups: one look for all of them.
const COALESCE: Duration = Duration::from_millis(20);
/// And one without any message.
const RECONCILE_EVERY: Duration = Duration::from_secs(30);
/// A flood of lost messages must not become a flood of dumps.
const OVERRUN_EVERY: Duration = Duration::from_secs(1);
/// Housekeeping: local time, usage, journal.
const TICK: Duration = Duration::from_secs(1);
/// It waits so long for a turn that comes anyhow: a box of lines that are probed has one.
const TICK_PATIENCE: Duration = Duration::from_millis(250);
/// Answers and readings that may wait for the engine's task. It turns in microseconds; more means that it is stuck.
const INBOX: usize = 256;
/// One change of config at a time, and a few questions.
const ASKS: usize = 8;
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
    meter: Meter,
    keeper: mpsc::Sender<Incoming>,
    /// What the keeper said last of its work.
    kept: ConfigFigures,
    services: Option<Arc<Mutex<Services>>>,
    /// Whom the LAN's DNS asks, and when that was last looked at.
    forwarders: (Vec<IpAddr>, Instant),
    /// A config whose routes are on their way into the kernel.
    changing: Option<Change>,
    /// Tells the keeper of the config that a link or an address changed.
    stirred: Arc<Notify>,
    /// A probe left in this turn, so the processor is awake for a while.
    probed: bool,
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
    let runtime = options.socket.parent().unwrap_or(std::path::Path::new("/")).to_owned();
    let safe = (options.config.clone(), options.config_text.clone());
    let opened = Opened::open(&options.state, &runtime, options.claim.as_deref(), &options.hardware, safe)
        .map_err(|source| RunError::Keeper { source })?;
    let (branch, kept) = opened.branch();
    let (config, place) = (Arc::new(branch.gateway.clone()), branch.place.clone());
    let from_store = kept.map(str::to_owned);
    let config_digest = from_store.clone().unwrap_or_else(|| options.config_digest.clone());
    let boot = Boot::read();
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
    warnings.extend_from_slice(opened.warnings());
    // Has a thread of its own, which must be inside the fence.
    let journal = Journal::open();
    init_tracing(&journal, "info");
    let mut book = Book::open(&options.state, &boot, started);
    book.configure(&config, &place, &config_digest, &[], started);
    warnings.extend_from_slice(&book.remarks);
    let mut chronicle = Chronicle::new(&config, journal, book, started);
    chronicle.tell_past(started);
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
    let (filtered, filtered_in) = mpsc::channel(4);
    let (incoming, incoming_in) = mpsc::channel(INBOX);
    let (asks, asks_in) = mpsc::channel(ASKS);
    let (replace, replace_in) = mpsc::channel(1);
    let (keeper, keeper_in) = mpsc::channel(REQUESTS);
    let control_dropped = server.dropped();
    let hands = Hands::new(world.clone(), conntrack, state.clone(), selections, seed);
    tokio::spawn(hands.run(jobs_in, looks_in, done));
    let counting = Counting::open().map_err(|source| RunError::Kernel { source })?;
    tokio::spawn(filter::keep(nft, ruleset, watch, replace_in, filtered));
    let services = options.services.clone().map(|(backend, paths)| Arc::new(Mutex::new(Services::new(backend, paths))));
    // The kernel does one listing at a time for each handle; those of others are refused.
    let open = || Netlink::open().map_err(|source| RunError::Kernel { source });
    let stirred = Arc::new(Notify::new());
    let parts = Parts {
        changes: open()?,
        looks: open()?,
        driver: asks,
        filter: replace,
        stirred: Arc::clone(&stirred),
        services: services.clone(),
    };
    let (keeping, commands, deeds) = opened.keeper(parts);
    let office_ports = keeping.office_ports();
    tokio::spawn(keeping.run(commands, keeper_in, deeds));
    let serving = tokio::spawn(server.run(incoming));

    for uplink in config.uplinks.iter().filter(|uplink| state.link(&uplink.device).is_none()) {
        tracing::warn!("{}, which is not there", waits(uplink));
    }
    let names: Vec<&str> = config.uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
    let file = options.config_file.display();
    let source = match &from_store {
        Some(digest) => format!("config {digest} says, which was kept; {file} is not used"),
        None => format!("{file} says"),
    };
    let told = format!("watching {} of {}, as {source}", names.join(", "), config.site.name);
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
            digest: config_digest,
            office_ports,
            ..report::shown(&config, &place)
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
        meter: Meter::new(counting, config.uplinks.len(), started),
        keeper,
        kept: ConfigFigures::default(),
        services,
        forwarders: (Vec::new(), Instant::ORIGIN),
        changing: None,
        stirred,
        probed: false,
    };
    for (id, uplink) in config.uplink_ids().zip(&config.uplinks) {
        driver.prober.set_resolvers(id, uplink.resolvers());
    }
    driver.observed(&state, clock::now());
    let (seldom, mut seldom_in) = mpsc::channel(1);
    let sources = Seldom { filtered: filtered_in, incoming: incoming_in, asks: asks_in };
    let terminate = signal(SignalKind::terminate()).map_err(|source| RunError::Runtime { source })?;
    let interrupt = signal(SignalKind::interrupt()).map_err(|source| RunError::Runtime { source })?;
    tokio::spawn(sources.gather([terminate, interrupt], seldom));

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
            Some(seldom) = seldom_in.recv() => seldom,
            () = alarm.until(deadline) => Woken::Time,
        };
        if matches!(woken, Woken::Stop) {
            break;
        }
        let now = clock::now();
        driver.turn(woken, &mut batch, now).await;
        driver.chronicle.counts.turn_took(clock::now().since(now));
    }
    driver.usage.save(clock::now());
    sd_notify::notify(&[sd_notify::NotifyState::Stopping]).ok();
    let told = "stopping; routes, flows and filter stay as they are";
    driver.chronicle.write(&events::Line::new(Kind::DaemonStopped, told), clock::now());
    driver.chronicle.book.stop(clock::now());
    serving.abort();
    Ok(())
}

enum Woken {
    Done(Done),
    Hint(Hint),
    Probes,
    Filtered(Filtered),
    Asked(Incoming),
    Ask(Ask),
    Stop,
    Time,
}

/// What comes seldom. A task of its own waits for it, so that the engine's looks at few sources each time it wakes.
struct Seldom {
    filtered: mpsc::Receiver<Filtered>,
    incoming: mpsc::Receiver<Incoming>,
    asks: mpsc::Receiver<Ask>,
}

impl Seldom {
    /// Holds one at the most; the others wait where they are.
    async fn gather(mut self, [mut terminate, mut interrupt]: [Signal; 2], engine: mpsc::Sender<Woken>) {
        loop {
            // Safe to cancel: what was not received stays in its channel.
            let woken = tokio::select! {
                biased;
                Some(filtered) = self.filtered.recv() => Woken::Filtered(filtered),
                Some(incoming) = self.incoming.recv() => Woken::Asked(incoming),
                Some(ask) = self.asks.recv() => Woken::Ask(ask),
                _ = terminate.recv() => Woken::Stop,
                _ = interrupt.recv() => Woken::Stop,
            };
            if engine.send(woken).await.is_err() {
                return;
            }
        }
    }
}

impl Driver {
    fn engine(&self) -> &Engine {
        self.core.engine()
    }

    fn deadline(&self) -> Instant {
        let rescan = self.rescans.iter().map(|(at, _)| *at).min().unwrap_or(Instant::NEVER);
        let look = self.look_at.iter().copied().min().unwrap_or(Instant::NEVER);
        self.engine()
            .deadline()
            .min(rescan)
            .min(look)
            .min(self.gateways.deadline())
            .min(self.meter.due())
            .min(self.ticked + TICK + TICK_PATIENCE)
    }

    async fn turn(&mut self, woken: Woken, batch: &mut Vec<Event>, now: Instant) {
        match woken {
            Woken::Done(done) => self.done(done, now),
            Woken::Hint(hint) => self.hint(hint, now),
            Woken::Filtered(filtered) => self.filtered(filtered, now),
            Woken::Asked(incoming) => self.asked(incoming, now),
            Woken::Ask(ask) => self.ask(ask, now),
            Woken::Probes | Woken::Time | Woken::Stop => {}
        }
        self.feed(batch, now);
        if self.engine().deadline() <= now {
            // `now` was read first; whatever has arrived by then is taken before anything is called overdue, and before it
            // is counted as traffic of the branch.
            if self.engine().judges_silence(now) || self.meter.is_nearly_due(now) {
                tokio::task::yield_now().await;
                self.take_probes(batch).await;
                self.feed(batch, now);
            }
            self.core.poll(now);
        }
        self.due(now);
        self.drain(now);
        self.read_counters(now);
    }

    fn read_counters(&mut self, now: Instant) {
        if std::mem::take(&mut self.probed) || self.meter.due() <= now {
            let readings = self.meter.read(now);
            if !readings.is_empty() {
                readings.into_iter().for_each(|reading| self.reading(reading, now));
                self.drain(now);
            }
        }
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
        self.forward_names(now, false);
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
        if self.changing.is_some() {
            return;
        }
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
                self.probed = true;
                self.chronicle.counts.fold_event(&sent);
                self.core.handle(sent, now);
            }
            Action::Switch(switch) => {
                self.rescans.retain(|(_, rescan)| !rescan.is_overtaken_by(&switch));
                self.moved = true;
                let Switch { path, family, serial, .. } = *switch;
                if self.jobs.try_send(Job::Switch(switch)).is_err() {
                    self.core.handle(Event::SwitchFailed { path, family, serial }, now);
                }
            }
            Action::EndFlows { uplink, family, path } => {
                self.jobs.try_send(Job::EndFlows { uplink, family, path }).ok();
            }
            Action::WatchCounters { uplink, every } => {
                self.meter.set_every(uplink, every, now);
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
        if matches!(fact, Fact::Switched { .. }) {
            self.forward_names(now, true);
        }
        if matches!(fact, Fact::Transition { .. } | Fact::Switched { .. }) {
            let state = self.internet();
            self.chronicle.internet(state, now);
        }
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
}
