//! The prober under test, with the shortest possible config around it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway::config::model::{
    Check, Control, DnsAnswer, Family, Firewall, Gateway, Host, HttpUrl, Ipv4Mode, Ipv6Mode, LinkName, Medium, Name,
    Site, Slots, Target, TargetId, Telemetry, Uplink, UplinkId,
};
use causeway::engine::event::Event;
use causeway::probe::io::{Prober, Roots, clock};
use causeway::probe::{Answer, Cookie, ProbeId, ProbeRequest};
use rustls::RootCertStore;

/// Long enough for an answer within one machine, short enough to wait for none.
pub(crate) const PATIENCE: Duration = Duration::from_millis(400);

pub(crate) struct Probing {
    pub(crate) prober: Prober,
    config: Arc<Gateway>,
    sequence: u32,
    /// What came last, if it belonged to another probe.
    pub(crate) others: Vec<Event>,
}

impl Probing {
    pub(crate) fn new(targets: Vec<Target>) -> Self {
        Self::with_roots(targets, RootCertStore::empty())
    }

    pub(crate) fn with_roots(targets: Vec<Target>, roots: RootCertStore) -> Self {
        let config = gateway(targets);
        let prober = Prober::new(Arc::clone(&config), clock::now, Roots::Given(Arc::new(roots)));
        Self { prober, config, sequence: 0, others: Vec::new() }
    }

    pub(crate) fn request(&mut self, uplink: u8, target: u8) -> ProbeRequest {
        self.sequence += 1;
        let family = self.config.uplinks[0].targets[usize::from(target)].family;
        let probe = ProbeId { uplink: UplinkId(uplink), family, target: TargetId(target), sequence: self.sequence };
        let mut cookie = [0x5a; 16];
        cookie[..4].copy_from_slice(&self.sequence.to_be_bytes());
        ProbeRequest { probe, cookie: Cookie(cookie), patience: PATIENCE }
    }

    /// The end of one probe of uplink 0 as the engine would see it; `None`: silence.
    pub(crate) async fn probe(&mut self, target: u8) -> Option<Answer> {
        self.probe_through(0, target).await
    }

    pub(crate) async fn probe_through(&mut self, uplink: u8, target: u8) -> Option<Answer> {
        let request = self.request(uplink, target);
        let Event::ProbeSent { at, .. } = self.prober.send(request) else { panic!("{request:?} was not sent") };
        self.others.clear();
        let answered = async {
            loop {
                for event in self.turn().await {
                    if let Some((answer, received)) = self.end(request, &event) {
                        assert!(received >= at, "answered before it was sent");
                        return answer;
                    }
                    self.others.push(event);
                }
            }
        };
        let answered = tokio::time::timeout(PATIENCE + PATIENCE / 4, answered);
        answered.await.ok()
    }

    /// As the engine will: an echo reply counts from the asked address with the right sequence and cookie.
    fn end(&self, request: ProbeRequest, event: &Event) -> Option<(Answer, causeway::time::Instant)> {
        let ProbeRequest { probe, cookie, .. } = request;
        let check = &self.config.uplinks[0].targets[probe.target.index()].check;
        if let Event::EchoReply { uplink, family, from, sequence, cookie: theirs, received } = event {
            let asked = if let Check::Icmp { host: Host::Address(asked) } = check { Some(asked) } else { None };
            let right_host = asked.is_none_or(|asked| asked == from);
            let right = (*uplink, *family, *sequence) == (probe.uplink, probe.family, probe.wire_sequence());
            return (right && right_host && *theirs == cookie).then_some((Answer::Reply, *received));
        }
        let Event::ProbeAnswered { probe: theirs, answer, received } = event else {
            panic!("{event:?} is none of the prober's")
        };
        (*theirs == probe).then_some((*answer, *received))
    }

    async fn turn(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.prober.next(&mut events).await;
        events
    }
}

pub(crate) fn icmp(host: &str) -> Target {
    let host = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Address);
    Target { family: family(&host), check: Check::Icmp { host } }
}

pub(crate) fn tcp(host: &str, port: u16) -> Target {
    let host = Host::Address(address(host));
    Target { family: family(&host), check: Check::Tcp { host, port } }
}

pub(crate) fn dns(server: &str, expect: DnsAnswer) -> Target {
    let server = (address(server), 53).into();
    Target { family: Family::V4, check: Check::Dns { server, name: "probe.example".to_owned(), expect } }
}

pub(crate) fn http(host: &str, port: u16, status: u16, contains: Option<&str>) -> Target {
    web(false, host, port, status, contains)
}

pub(crate) fn https(host: &str, port: u16) -> Target {
    web(true, host, port, 200, Some("well"))
}

fn web(tls: bool, host: &str, port: u16, status: u16, contains: Option<&str>) -> Target {
    let host = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Address);
    let family = family(&host);
    let url = HttpUrl { tls, host, port, path: "/check?now".to_owned() };
    Target { family, check: Check::Http { url, status, contains: contains.map(str::to_owned) } }
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn family(host: &Host) -> Family {
    match host {
        Host::Address(address) => Family::of(*address),
        Host::Name(_) => Family::V4,
    }
}

/// Two uplinks, `wan0` and `wan1`, with the same targets.
pub(crate) fn gateway(targets: Vec<Target>) -> Arc<Gateway> {
    let uplink = |device: &str| Uplink {
        name: Name::new(device).expect("a name"),
        device: LinkName::new(device).expect("a name"),
        medium: Medium::Fibre,
        provider: None,
        circuit: None,
        metered: None,
        weight: 1,
        ipv4: Ipv4Mode::Dhcp,
        ipv6: Ipv6Mode::Native,
        profile: Medium::Fibre.profile(),
        targets: targets.clone(),
        enabled: true,
    };
    Arc::new(Gateway {
        site: Site { name: "test".to_owned(), owner: None },
        slots: Slots::default(),
        uplinks: vec![uplink("wan0"), uplink("wan1")],
        paths: Vec::new(),
        networks: Vec::new(),
        firewall: Firewall::default(),
        control: Control { group: None },
        telemetry: Telemetry {
            metrics_on: Vec::new(),
            metrics_port: Telemetry::METRICS_PORT,
            status_page_on: Vec::new(),
        },
    })
}
