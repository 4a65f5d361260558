//! The pages in a real browser, headless Chromium, in a network of its own without a line and without DNS: each face in
//! each language, on a phone and on a desk, light, dark and on paper. Text is found by its words, nothing sticks out, every
//! text has a contrast of 4.5 or more, and without styles it can still be read. `PICTURES=webp` (or png) draws
//! `docs/pictures/`.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use base64::Engine as _;
use causeway::control::io::Answer;
use causeway::control::protocol::{Reply, Request};
use causeway::control::status::{ConfigStatus, FamilyStatus, InternetState, Share, Status};
use causeway::front::Options;
use causeway::front::http::Front;
use causeway::front::page::facts::{Face, Facts};
use causeway::front::page::messages::{Language, Messages};
use causeway::front::page::staff;
use causeway::telemetry::events::{EventLine, Level};
use serde_json::{Value, json};
use support::{Daemon, Folder, canned};

const CHROMIUM: &str = "/usr/bin/chromium";
/// As Debian's Chromium needs them as root and without a network.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
];
/// A browser that starts on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const CONTRAST: f64 = 4.5;

/// A phone, a desk, and a sheet of A4 at 96 dots to the inch.
const PHONE: u32 = 360;
const DESK: u32 = 1_280;
const PAPER: u32 = 794;

/// Speaks the debugging protocol over two pipes; no port is opened.
struct Browser {
    child: Child,
    to: ChildStdin,
    from: mpsc::Receiver<Value>,
    last: u64,
    session: Option<String>,
    _profile: Folder,
}

impl Browser {
    fn start() -> Self {
        assert!(Path::new(CHROMIUM).exists(), "{CHROMIUM} is missing: make deps installs it");
        let profile = Folder::new();
        let home = profile.socket().parent().expect("a folder").to_owned();
        // It reads from 3 and writes to 4.
        let wiring = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null";
        let mut child = Command::new("/bin/sh")
            .args(["-c", wiring, CHROMIUM])
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", home.display()))
            .arg("about:blank")
            .env("HOME", &home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let to = child.stdin.take().expect("a pipe");
        let mut from = BufReader::new(child.stdout.take().expect("a pipe"));
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            while from.read_until(0, &mut bytes).is_ok_and(|read| read > 0) {
                bytes.pop();
                let Ok(message) = serde_json::from_slice(&bytes) else { return };
                bytes.clear();
                if tell.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self { child, to, from: told, last: 0, session: None, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let session = browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        browser.call("Page.enable", json!({}));
        browser
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("the browser reads");
        loop {
            let message = self.from.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{method}: {error}"));
            if message["id"] == json!(self.last) {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    fn event(&mut self, name: &str) {
        while self.from.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{name}: {error}"))["method"]
            != json!(name)
        {}
    }

    fn open(&mut self, address: &str) {
        let opened = self.call("Page.navigate", json!({ "url": address }));
        assert!(opened["errorText"].is_null(), "{address}: {opened}");
        self.event("Page.loadEventFired");
    }

    fn eval(&mut self, script: &str) -> Value {
        let params = json!({ "expression": script, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].clone()
    }

    fn view(&mut self, width: u32, look: Look) {
        let metrics = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width == PHONE });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let (media, scheme) = match look {
            Look::Light => ("screen", "light"),
            Look::Dark => ("screen", "dark"),
            Look::Print => ("print", "light"),
        };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "media": media, "features": features }));
    }

    /// If pictures were asked for, in that format.
    fn picture(&mut self, name: &str) {
        let Ok(format) = std::env::var("PICTURES") else { return };
        let height = self.eval("document.documentElement.scrollHeight");
        let width = self.eval("innerWidth");
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let params = json!({ "format": format, "captureBeyondViewport": true, "clip": clip });
        let picture = self.call("Page.captureScreenshot", params);
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().expect("a picture"));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.{format}")), bytes.expect("base64")).expect("a picture");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Light,
    Dark,
    Print,
}

const VIEWS: [(u32, Look); 5] =
    [(PHONE, Look::Light), (PHONE, Look::Dark), (DESK, Look::Light), (DESK, Look::Dark), (PAPER, Look::Print)];

/// What is kept as pictures.
const DRAWN: [(&str, Language, u32, Look); 7] = [
    ("works", Language::En, PHONE, Look::Light),
    ("backup", Language::Fr, DESK, Look::Light),
    ("down", Language::En, PHONE, Look::Light),
    ("down", Language::De, DESK, Look::Dark),
    ("down", Language::En, PAPER, Look::Print),
    ("service", Language::Es, PHONE, Look::Dark),
    ("unknown", Language::Pl, DESK, Look::Light),
];

/// What sticks out, and each text with too little contrast (WCAG 2.2, 1.4.3), from what the browser computed.
const LOOK_AT: &str = r#"(() => {
  const faults = [];
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) faults.push(`the page is ${wide} px too wide`);
  const numbers = (color) => (color.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = numbers(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
      if (color[3] > 0) faults.push(`a ground that shines through: ${at.tagName}`);
    }
    return matchMedia('print').matches || !matchMedia('(prefers-color-scheme: dark)').matches ? [255, 255, 255] : [18, 18, 18];
  };
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const box = element.getBoundingClientRect();
    if (!node.data.trim() || element.closest('svg') || box.width === 0) continue;
    texts += 1;
    const [a, b] = [light(numbers(getComputedStyle(element).color)), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < LEAST) faults.push(`${contrast.toFixed(2)}: ${node.data.trim().slice(0, 40)}`);
    if (!element.closest('.scroll') && box.right > innerWidth + 0.5) faults.push(`sticks out: ${node.data.trim().slice(0, 40)}`);
  }
  if (texts < 5) faults.push(`only ${texts} texts`);
  return { faults, text: document.body.innerText };
})()"#;

fn settle(mut status: Status) -> Status {
    status.internet.state = InternetState::of(&status.uplinks, &status.paths[0]);
    status.config.status_page_on = vec!["127.0.0.1:80".to_owned()];
    status.config.metrics_on = vec!["127.0.0.1:9620".to_owned()];
    status.config.timezone = Some("UTC".to_owned());
    status
}

fn primary() -> Status {
    let mut status = canned();
    status.uplinks[0].families = vec![status.uplinks[1].families[0].clone()];
    status.uplinks[1].families[0].carries.clear();
    status.paths[0].families[0].uplinks = vec![Share { uplink: "wan1".to_owned(), weight: 1 }];
    settle(status)
}

fn down() -> Status {
    let mut status = canned();
    let line = status.uplinks[0].families[0].clone();
    status.uplinks[1].families[0] = FamilyStatus { carries: vec!["default".to_owned()], ..line };
    settle(status)
}

fn unknown() -> Status {
    let mut status = settle(canned());
    status.uplinks[1].families[0].last_life_ago_ms = Some(300_000);
    status
}

/// Two failures this morning, the second still on.
fn events(status: &Status) -> Vec<EventLine> {
    let now = status.wall_ms.expect("a trusted clock");
    let event = |seconds: u64, kind: &str, fields: &[(&str, &str)], message: &str| EventLine {
        seq: 1,
        wall_ms: Some(now - seconds * 1_000),
        boot_ms: 0,
        kind: kind.to_owned(),
        level: Level::Notice,
        message: message.to_owned(),
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    let line = |seconds, from, to, message| {
        event(seconds, "uplink.state", &[("UPLINK", "wan1"), ("FAMILY", "ipv4"), ("FROM", from), ("TO", to)], message)
    };
    let path = |seconds, from, to, message| {
        event(seconds, "path.switch", &[("PATH", "default"), ("FAMILY", "ipv4"), ("FROM", from), ("TO", to)], message)
    };
    let mut events = vec![
        line(12_000, "up", "down", "wan1 (ipv4) up → down: 3 of 3 targets silent 0.38 s; cable in; gateway silent"),
        path(
            11_700,
            "wan1",
            "lte0",
            "default (ipv4) wan1 → lte0 in 9 ms: the old line is down; 37 sessions reset, 12 nudged",
        ),
        line(
            8_400,
            "down",
            "probation",
            "wan1 (ipv4) down → probation: answers again; counts as up after 30 s without a gap",
        ),
        line(8_370, "probation", "up", "wan1 (ipv4) probation → up"),
        path(8_280, "lte0", "wan1", "default (ipv4) lte0 → wan1 in 8 ms: the better line is stable again"),
    ];
    if status.internet.state != InternetState::Primary {
        events.push(line(
            1_980,
            "up",
            "down",
            "wan1 (ipv4) up → down: 3 of 3 targets silent 0.38 s; cable in; gateway answers",
        ));
    }
    if status.internet.state == InternetState::Backup {
        events.push(path(1_974, "wan1", "lte0", "default (ipv4) wan1 → lte0 in 9 ms: the old line is down"));
    }
    if status.internet.state == InternetState::Down {
        events.push(path(1_974, "wan1", "lte0", "default (ipv4) wan1 → lte0 in 9 ms: the old line is down"));
        let fields = [("UPLINK", "lte0"), ("FAMILY", "ipv4"), ("FROM", "up"), ("TO", "down")];
        events.push(event(
            1_200,
            "uplink.state",
            &fields,
            "lte0 (ipv4) up → down: 3 of 3 targets silent 1.2 s; cable in",
        ));
    }
    events
}

/// `front` and its daemon, in the network of the thread that asks.
fn front(status: Status) -> (SocketAddr, Daemon) {
    let daemon = Daemon::with(move |incoming, live| {
        if incoming.request == Request::Status {
            return Some(Answer::One(Reply::Status(Box::new(status.clone()))));
        }
        if incoming.request == Request::ConfigInfo {
            return Some(Answer::One(Reply::Config(ConfigStatus::clone(&status.config))));
        }
        if matches!(incoming.request, Request::Events { .. }) {
            return Some(Answer::One(Reply::Events(events(&status))));
        }
        support::answer(incoming, live)
    });
    let (listening, told) = mpsc::channel();
    let socket = daemon.socket.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listen = vec!["127.0.0.1:0".parse().expect("an address")];
        let front = Arc::new(Front::new(Options { socket, listen, why: causeway::cli::why }));
        runtime.block_on(front.serve(|address| listening.send(address).expect("the test waits")));
    });
    (told.recv_timeout(PATIENCE).expect("it listens"), daemon)
}

/// Neither a line nor DNS: only loopback.
fn alone() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("needs root: run it through tools/inside");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip is installed");
    assert!(up.success());
}

/// Without blanks and case: styles change both.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

fn check(browser: &mut Browser, what: &str, words: &[&str]) {
    let seen = browser.eval(&LOOK_AT.replace("LEAST", &CONTRAST.to_string()));
    assert_eq!(seen["faults"], json!([]), "{what}");
    let text = plain(seen["text"].as_str().expect("a text"));
    for word in words {
        assert!(text.contains(&plain(word)), "{what}: {word:?} is not in {text}");
    }
}

#[test]
fn every_face_in_every_language_on_every_screen_and_on_paper() {
    alone();
    let mut service = Facts::of(Some(primary()), events(&primary()), None, jiff::tz::TimeZone::UTC);
    service.face = Face::Service { name: "CardPay".to_owned() };
    type Says = fn(&Messages) -> Vec<&'static str>;
    let faces: [(&str, Option<Status>, Says); 5] = [
        ("works", Some(primary()), |it| vec![it.word_works, it.works, it.works_more, it.today]),
        ("backup", Some(settle(canned())), |it| {
            vec![it.word_backup, it.backup, it.backup_nothing_to_do, it.backup_downloads]
        }),
        ("down", Some(down()), |it| {
            vec![it.word_down, it.down, it.down_not_you, it.to_do, it.do_note, it.do_serve, it.do_not]
        }),
        ("service", None, |it| vec![it.word_service, it.service_not_us]),
        ("unknown", Some(unknown()), |it| vec![it.word_unknown, it.unknown, it.unknown_try]),
    ];
    let mut browser = Browser::start();
    let mut daemons = Vec::new();
    for (face, status, says) in faces {
        let address = status.map(|status| {
            let (address, daemon) = front(status);
            daemons.push(daemon);
            address
        });
        for language in Language::ALL {
            for (width, look) in VIEWS {
                browser.view(width, look);
                match address {
                    Some(address) => browser.open(&format!("http://{address}/?lang={}", language.code())),
                    // No daemon makes this face yet.
                    None => {
                        browser.open("about:blank");
                        let tree = browser.call("Page.getFrameTree", json!({}));
                        let html = staff::page(&service, language, true);
                        let frame = &tree["frameTree"]["frame"]["id"];
                        browser.call("Page.setDocumentContent", json!({ "frameId": frame, "html": html }));
                    }
                }
                let what = format!("{face} {} {width} {look:?}", language.code());
                check(&mut browser, &what, &says(language.messages()));
                if DRAWN.contains(&(face, language, width, look)) {
                    browser.picture(&format!("page-{face}-{}-{width}-{look:?}", language.code()).to_lowercase());
                }
                if look == Look::Light {
                    // Without styles everything is still there, in the same order.
                    browser.eval("document.styleSheets[0].disabled = true");
                    check(&mut browser, &format!("{what} without styles"), &says(language.messages()));
                    browser.eval("document.styleSheets[0].disabled = false");
                }
            }
        }
    }
}

#[test]
fn the_technicians_page_on_every_screen_and_on_paper() {
    alone();
    let mut browser = Browser::start();
    let (address, _daemon) = front(settle(canned()));
    for (width, look) in VIEWS {
        browser.view(width, look);
        browser.open(&format!("http://{address}/it"));
        check(
            &mut browser,
            &format!("it {width} {look:?}"),
            &["On backup", "FC-20881", "path default (ipv4) on lte0", "Runbook: BranchOnBackup", "Events"],
        );
        if [(DESK, Look::Light), (PHONE, Look::Dark)].contains(&(width, look)) {
            browser.picture(&format!("page-it-{width}-{look:?}").to_lowercase());
        }
    }
}

/// The browser itself says what it refused: our own headers must not break our own page.
#[test]
fn the_policy_lets_our_style_through_and_nothing_else() {
    alone();
    let mut browser = Browser::start();
    let (address, _daemon) = front(settle(canned()));
    browser.view(DESK, Look::Light);
    browser.open(&format!("http://{address}/"));
    assert_ne!(
        browser.eval("getComputedStyle(document.querySelector('.hero')).backgroundColor"),
        json!("rgba(0, 0, 0, 0)")
    );
    // What somebody could smuggle in would not run, nor load, nor change how it looks.
    let tried = browser.eval(
        "(() => { const script = document.createElement('script'); script.textContent = 'window.ran = 1'; document.body.append(script); \
         const style = document.createElement('style'); style.textContent = 'h1 { color: rgb(1, 2, 3) }'; document.head.append(style); \
         return [String(window.ran), getComputedStyle(document.querySelector('h1')).color]; })()",
    );
    assert_eq!(tried[0], json!("undefined"));
    assert_ne!(tried[1], json!("rgb(1, 2, 3)"));
    assert_eq!(browser.eval("document.cookie"), json!(""));
}
