//! A real Prometheus of its own on loopback, and promtool. Debian's packages; `tools/deps` installs them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// A server starts in half a second; a laden machine needs ten times that.
const STARTS: Duration = Duration::from_secs(60);

/// An address at which nothing listens.
const NOBODY: &str = "127.0.0.1:9";

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn tool(program: &str, args: &[&str], folder: &Path) -> Output {
    let output = Command::new(program).args(args).current_dir(folder).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}; `make deps` installs it"))
}

/// Fails with what the program said.
pub(crate) fn succeed(program: &str, args: &[&str], folder: &Path) -> String {
    let Output { status, stdout, stderr } = tool(program, args, folder);
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{program} {args:?}: {status}\n{text}");
    text
}

pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("causeway-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Stopped and forgotten when it is dropped.
pub(crate) struct Prometheus {
    process: Child,
    pub(crate) url: String,
    port: u16,
}

impl Prometheus {
    /// Over the data in `folder/data` and the gateways in `folder/gateways`, with the shipped config and rules. `office` is where
    /// head office's own figures are; nobody without one.
    pub(crate) fn start(folder: &Path, office: Option<SocketAddr>) -> Self {
        let shipped = fs::read_to_string(root().join("configs/prometheus/alerts.yml")).expect("the alerts");
        Self::with_alerts(folder, office, &shipped)
    }

    pub(crate) fn with_alerts(folder: &Path, office: Option<SocketAddr>, alerts: &str) -> Self {
        let configs = root().join("configs/prometheus");
        fs::write(folder.join("alerts.yml"), alerts).expect("its alerts");
        fs::copy(configs.join("rules.yml"), folder.join("rules.yml")).expect("a copy");
        fs::create_dir_all(folder.join("gateways")).expect("a folder");
        // The port is free again for a moment; nobody else takes ports from this range in that time.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let own = format!("127.0.0.1:{port}");
        let config = fs::read_to_string(configs.join("prometheus.yml")).expect("its config");
        let config = changed(
            &config,
            &[
                // A test cannot wait as long as head office can.
                ("scrape_interval: 15s", "scrape_interval: 2s"),
                ("evaluation_interval: 15s", "evaluation_interval: 1s"),
                ("scrape_timeout: 10s", "scrape_timeout: 2s"),
                ("127.0.0.1:9093", NOBODY),
                ("127.0.0.1:9621", &office.map_or(NOBODY.to_owned(), |office| office.to_string())),
                ("127.0.0.1:9090", &own),
            ],
        );
        fs::write(folder.join("prometheus.yml"), config).expect("its config");
        let process = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"])
            .args(["--storage.tsdb.retention.time=10y", &format!("--web.listen-address={own}")])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log")).expect("its log"))
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus: {error}; `make deps` installs it"));
        let server = Self { process, url: format!("http://{own}"), port };
        let log = folder.join("log");
        wait(STARTS, || server.get("/-/ready").is_some(), || fs::read_to_string(&log).unwrap_or_default());
        server
    }

    /// The answer's body, if it is 200.
    fn get(&self, path: &str) -> Option<String> {
        let (status, body) = self.ask(path)?;
        (status == 200).then_some(body)
    }

    fn ask(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(STARTS)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// `data` of an API answer, or the error that it names.
    pub(crate) fn api(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let query: Vec<_> = query.iter().map(|(key, value)| format!("{}={}", escaped(key), escaped(value))).collect();
        let (_, body) = self.ask(&format!("/api/v1/{path}?{}", query.join("&"))).ok_or("no answer")?;
        let answer: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].clone()),
            Some(_) | None => Err(answer["error"].to_string()),
        }
    }

    pub(crate) fn query(&self, expr: &str, at: u64) -> Result<Vec<Value>, String> {
        result(&self.api("query", &[("query", expr), ("time", &at.to_string())])?)
    }

    pub(crate) fn range(&self, expr: &str, from: u64, until: u64, step: u64) -> Result<Vec<Value>, String> {
        let [from, until, step] = [from, until, step].map(|number| number.to_string());
        result(&self.api("query_range", &[("query", expr), ("start", &from), ("end", &until), ("step", &step)])?)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Each replaced; a shipped file that says something else now is noticed.
pub(crate) fn changed(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not there");
        text.replace(from, to)
    })
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn result(data: &Value) -> Result<Vec<Value>, String> {
    data["result"].as_array().cloned().ok_or_else(|| format!("no result in {data}"))
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

pub(crate) fn wait(limit: Duration, mut done: impl FnMut() -> bool, say: impl Fn() -> String) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {}", say());
        std::thread::sleep(Duration::from_millis(50));
    }
}
