//! Configs that would cut the branch off, made by the hundred: each is refused when it is read, or undone by the hard limit,
//! and head office is reached again. What a config does to the branch is told by a small world with two providers; whether it
//! is a config at all, by the product.

use std::time::Duration;

use causeway::config::model::{Gateway, Ipv4Mode, Otherwise};
use causeway::config::{Kind, parse_branch};
use causeway::time::Instant;
use causeway::trust::bounded::Text;
use causeway::trust::machine::{Event, Measurement, Office, Signs, StateName, Surroundings, Target, Verdict};

use super::world::{Chance, World, candidate};

const CASES: usize = 200;
const HARD: Duration = Duration::from_mins(15);

/// As the branch runs: line A has a fixed address, line B gets its own by DHCP.
struct Draft {
    fibre: String,
    lte: String,
    prefer: &'static str,
    otherwise: &'static str,
    port: String,
    rules: String,
}

impl Draft {
    fn right() -> Self {
        Self {
            fibre: fixed("wan0", "203.0.113.2/30", "203.0.113.1"),
            lte: r#"device = "lte0", medium = "lte", ipv4 = "dhcp""#.to_owned(),
            prefer: r#""fibre", "lte""#,
            otherwise: "keep",
            port: "lan0".to_owned(),
            rules: r#"{ from = ["office"], to = ["wan"], allow = ["any"] }"#.to_owned(),
        }
    }

    fn text(&self) -> String {
        let Self { fibre, lte, prefer, otherwise, port, rules } = self;
        let line =
            |name: &str, body: &str| if body.is_empty() { String::new() } else { format!("{name} = {{ {body} }}\n") };
        format!(
            "site = {{ name = \"Nantes\" }}\n\
             paths = [{{ name = \"default\", prefer = [{prefer}], otherwise = \"{otherwise}\" }}]\n\
             probes = {{ targets = [{{ icmp = \"9.9.9.9\" }}, {{ icmp = \"1.1.1.1\" }}] }}\n\
             [uplinks]\n{}{}\
             [networks]\noffice = {{ ports = [\"{port}\"], net = \"10.16.0.0/24\" }}\n\
             [firewall]\nrules = [{rules}]\n",
            line("fibre", fibre),
            line("lte", lte),
        )
    }

    /// One to three mistakes that a person makes.
    fn spoil(&mut self, chance: &mut Chance) {
        for _ in 0..=chance.below(3) {
            let number = 2 + chance.below(7);
            match chance.below(12) {
                0 => self.fibre = fixed("wan0", &format!("203.0.{number}.2/30"), &format!("203.0.{number}.1")),
                1 => self.fibre = fixed(&format!("wan{number}"), "203.0.113.2/30", "203.0.113.1"),
                2 => self.fibre = r#"device = "wan0", medium = "fibre", ipv4 = "dhcp""#.to_owned(),
                3 => self.fibre.push_str(", enabled = false"),
                4 => self.lte = format!(r#"device = "lte{number}", medium = "lte", ipv4 = "dhcp""#),
                5 => {
                    self.lte =
                        fixed("lte0", &format!("192.0.2.{}/30", 4 * number + 2), &format!("192.0.2.{}", 4 * number + 1))
                }
                6 => self.lte.push_str(", enabled = false"),
                7 => self.lte.clear(),
                8 => self.prefer = r#""lte""#,
                9 => self.port = format!("lan{number}"),
                10 => self.rules.push_str(r#", { from = ["wan"], to = ["self"], allow = ["tcp/22"] }"#),
                _ => (self.prefer, self.otherwise) = (r#""lte""#, "reject"),
            }
        }
    }
}

fn fixed(device: &str, address: &str, gateway: &str) -> String {
    format!(r#"device = "{device}", medium = "fibre", ipv4 = {{ address = "{address}", gateway = "{gateway}" }}"#)
}

/// What the branch would measure with this config in force.
fn effect(config: &Gateway) -> Measurement {
    let works = |name: &str| {
        config.uplinks.iter().find(|uplink| uplink.name.as_str() == name).is_some_and(|uplink| {
            let right = match (name, &uplink.ipv4) {
                ("fibre", Ipv4Mode::Static { address, gateway, .. }) => {
                    address.to_string() == "203.0.113.2/30" && gateway.to_string() == "203.0.113.1"
                }
                ("lte", mode) => *mode == Ipv4Mode::Dhcp,
                (_, _) => false,
            };
            let device = if name == "fibre" { "wan0" } else { "lte0" };
            right && uplink.enabled && uplink.device.as_str() == device
        })
    };
    let signs = |name: &str| {
        if works(name) { Signs::PRESENT.with(Signs::PROOF).with(Signs::TARGETS) } else { Signs::PRESENT }
    };
    let uplinks = config.uplinks.iter().map(|uplink| uplink.name.as_str());
    let path = &config.paths[0];
    // An uplink that no path lists may still be used by sockets bound to it, not by head office's client.
    let carried = path.uplinks().any(|id| works(config.uplink(id).name.as_str()));
    let lan = config.networks.iter().flat_map(|network| &network.ports).any(|port| port.as_str() == "lan0");
    assert!(matches!(path.otherwise, Otherwise::Keep | Otherwise::Reject));
    Measurement {
        uplinks: uplinks.map(|name| (Text::new(name).expect("short"), signs(name))).collect(),
        around: Surroundings { checks: 0, lan, office: if carried { Office::Answers } else { Office::Silent } },
    }
}

/// Something is lost that a person did not take out on purpose.
fn cuts_off(before: &Measurement, after: &Measurement) -> bool {
    let lost = after.uplinks.iter().any(|(name, signs)| {
        let had = before.uplinks.iter().find(|(other, _)| other == name);
        had.is_some_and(|(_, had)| had.has(Signs::PROOF)) && !signs.has(Signs::PROOF)
    });
    lost || !after.around.lan || after.around.office == Office::Silent
}

#[test]
fn f31_g19_what_cuts_a_branch_off_is_refused_or_undone() {
    let right = parse_branch("right.toml", &Draft::right().text()).unwrap_or_else(|faults| panic!("{faults}"));
    let before = effect(&right.gateway);
    assert!(!cuts_off(&before, &before));
    let mut chance = Chance(19);
    let (mut refused, mut undone) = (0, 0);
    while refused + undone < CASES {
        let mut draft = Draft::right();
        draft.spoil(&mut chance);
        let text = draft.text();
        let Ok(branch) = parse_branch("spoilt.toml", &text) else {
            refused += 1;
            continue;
        };
        let after = effect(&branch.gateway);
        if !cuts_off(&before, &after) {
            continue;
        }
        undone += 1;
        let mut world = World::settled();
        world.measures.insert(candidate(1, 1).config.resolved, before.clone());
        world.measures.insert(candidate(2, 2).config.resolved, after);
        world.event(Event::Fetched(candidate(2, 2)));
        world.until(StateName::Trial);
        let begun: Instant = world.now;
        world.until(StateName::RollingBack);
        assert!(world.now.since(begun) <= HARD + Duration::from_secs(5), "{text}");
        assert!(world.settle(400) && world.state() == StateName::Quarantine, "{:?}\n{text}", world.state());
        assert_eq!(world.force, Target::Config(candidate(1, 1).config), "{text}");
        assert_eq!(world.machine.keep().last.and_then(|last| last.verdict), Some(Verdict::Config), "{text}");
        assert_eq!(world.measure().around.office, Office::Answers, "head office is reached again");
    }
    assert!(refused >= 10 && undone >= 100, "{refused} refused, {undone} undone");
}

#[test]
fn f31_a_million_rules_overlaps_and_loops_are_refused_by_the_model() {
    const RULE: &str = r#"{ from = ["office"], to = ["wan"], allow = ["any"] },"#;
    let kinds = |text: &str| -> Vec<Kind> {
        let faults = parse_branch("spoilt.toml", text).expect_err("no gateway should run it").faults;
        faults.iter().map(|fault| fault.kind).collect()
    };
    let rules = |count: usize| Draft { rules: RULE.repeat(count), ..Draft::right() }.text();
    assert_eq!(kinds(&rules(1_000_000)), [Kind::FileTooLarge]);
    assert!(kinds(&rules(4_097)).contains(&Kind::TooMany));
    let with = |network: &str| kinds(&format!("{}\n[networks.more]\n{network}\n", Draft::right().text()));
    assert_eq!(with("ports = [\"lan1\"]\nnet = \"10.16.0.128/25\""), [Kind::NetOverlap]);
    // Two bridges with one port, and a port that is an uplink's device: frames would go round.
    for port in ["lan0", "wan0"] {
        assert_eq!(with(&format!("ports = [\"{port}\"]\nnet = \"10.17.0.0/24\"")), [Kind::DeviceTwice]);
    }
}
