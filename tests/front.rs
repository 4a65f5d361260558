//! `/metrics` over real sockets: what it answers, and what slow, many and hostile clients can do.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway::control::io::Answer;
use causeway::control::protocol::{Reply, Request};
use causeway::control::status::{ConfigStatus, Status};
use causeway::front::Options;
use causeway::front::http::{CONNECTIONS, CONNECTIONS_PER_ADDRESS, Front};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::{Daemon, Folder, canned};

/// `front` on a thread of its own, on a free port of loopback.
fn front(socket: PathBuf) -> SocketAddr {
    let (listening, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listen = vec!["127.0.0.1:0".parse().expect("an address")];
        let front = Arc::new(Front::new(Options { socket, listen, why: causeway::cli::why }));
        runtime.block_on(front.serve(|address| listening.send(address).expect("the test waits")));
    });
    told.recv_timeout(Duration::from_secs(10)).expect("it listens")
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, then the end");
    answer
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
    stream
}

/// From another address of loopback, as if it were another client.
fn connect_from(host: u8, address: SocketAddr) -> TcpStream {
    connect_with(host, address, None)
}

/// `window`: how much the client takes before it reads, as little as the kernel allows.
fn connect_with(host: u8, address: SocketAddr, window: Option<usize>) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    if let Some(bytes) = window {
        socket.set_recv_buffer_size(bytes).expect("an option");
    }
    socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into()).expect("all of 127/8 is ours");
    socket.connect(&address.into()).expect("it listens");
    socket.into()
}

/// A branch whose staff is shown its page on loopback.
fn staffed(status: Status) -> Daemon {
    Daemon::with(move |incoming, live| {
        if incoming.request == Request::Status {
            return Some(Answer::One(Reply::Status(Box::new(status.clone()))));
        }
        if incoming.request == Request::ConfigInfo {
            return Some(Answer::One(Reply::Config(on_loopback(status.config.clone()))));
        }
        support::answer(incoming, live)
    })
}

fn on_loopback(config: ConfigStatus) -> ConfigStatus {
    let on = vec!["127.0.0.1:80".to_owned()];
    ConfigStatus { status_page_on: on.clone(), metrics_on: on, ..config }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gateway.home.arpa\r\n\r\n")
}

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: gateway.home.arpa\r\n\r\n";

#[test]
fn metrics_are_open_metrics_and_the_connection_ends() {
    let daemon = Daemon::start();
    let address = front(daemon.socket.clone());
    let answer = ask(address, GET);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for header in [
        "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n",
        "x-content-type-options: nosniff\r\n",
        "cache-control: no-store\r\n",
        "connection: close\r\n",
    ] {
        assert!(answer.contains(header), "{header} in {answer}");
    }
    assert!(answer.contains("\ncauseway_internet_state{state=\"backup\"} 1"), "{answer}");
    assert!(answer.ends_with("# EOF\n"));
}

#[test]
fn only_get_and_head_of_metrics() {
    let daemon = Daemon::start();
    let address = front(daemon.socket.clone());
    let head = ask(address, "HEAD /metrics HTTP/1.1\r\nHost: gateway.home.arpa\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    let post = ask(address, "POST /metrics HTTP/1.1\r\nHost: gateway.home.arpa\r\nContent-Length: 0\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405") && post.contains("allow: GET, HEAD\r\n"), "{post}");
    for path in ["/", "/metrics/", "/../etc/passwd", "//metrics"] {
        let answer = ask(address, &format!("GET {path} HTTP/1.1\r\nHost: gateway.home.arpa\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    let huge = ask(address, &format!("GET /{} HTTP/1.1\r\nHost: gateway.home.arpa\r\n\r\n", "a".repeat(7_000)));
    assert!(huge.starts_with("HTTP/1.1 4"), "{huge}");
}

/// DNS rebinding: a page from the internet asks under its own name.
#[test]
fn who_asks_for_another_host_is_told_so_and_gets_nothing() {
    let daemon = Daemon::start();
    let address = front(daemon.socket.clone());
    for request in [
        "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: 192.0.2.7:9620\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
        "GET http://evil.example/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET /metrics HTTP/1.1\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ] {
        let answer = ask(address, request);
        assert!(answer.starts_with("HTTP/1.1 421") && !answer.contains("causeway_"), "{request}{answer}");
    }
    for host in [&*address.to_string(), "127.0.0.1", "localhost:1", "GATEWAY.home.arpa"] {
        let answer = ask(address, &format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
    }
    assert!(ask(address, "GET /metrics HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200"));
    let proxied = ask(address, "GET http://127.0.0.1/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert!(proxied.starts_with("HTTP/1.1 200"), "{proxied}");
    // The page is a second old at most.
    let counted = || ask(address, GET).contains("causeway_web_refused_total{reason=\"host\"} 6\n");
    let began = Instant::now();
    while !counted() {
        assert!(began.elapsed() < Duration::from_secs(10), "{}", ask(address, GET));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn pipelined_requests_get_one_answer() {
    let daemon = Daemon::start();
    let address = front(daemon.socket.clone());
    let answer = ask(address, &GET.repeat(5));
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1);
}

#[test]
fn without_a_daemon_the_page_says_so_in_time() {
    let folder = Folder::new();
    let address = front(folder.socket());
    let began = Instant::now();
    let answer = ask(address, GET);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(answer.contains("\ncauseway_daemon_up 0") && !answer.contains("causeway_internet_state"), "{answer}");
}

#[test]
fn a_daemon_that_hangs_costs_200_ms() {
    let daemon = Daemon::with(|_, _| None);
    let address = front(daemon.socket.clone());
    let began = Instant::now();
    let answer = ask(address, GET);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(answer.contains("\ncauseway_daemon_up 0"), "{answer}");
}

#[test]
fn a_head_that_does_not_end_is_cut_after_five_seconds() {
    let daemon = Daemon::start();
    let address = front(daemon.socket.clone());
    let mut slow = connect(address);
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost:").expect("it is read");
    let began = Instant::now();
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    let took = began.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(9), "{took:?}");
    assert!(ask(address, GET).contains("causeway_web_refused_total{reason=\"slow\"} 1\n"));
}

#[test]
fn one_address_has_eight_places_and_another_is_served_at_once() {
    let daemon = Daemon::start();
    let address = front(daemon.socket.clone());
    let held: Vec<_> = (0..CONNECTIONS_PER_ADDRESS).map(|_| connect(address)).collect();
    let mut ninth = connect(address);
    let mut nothing = Vec::new();
    let _ = ninth.write_all(GET.as_bytes());
    let _ = ninth.read_to_end(&mut nothing);
    assert!(nothing.is_empty());
    let began = Instant::now();
    let mut other = connect_from(9, address);
    other.write_all(GET.as_bytes()).expect("it is read");
    let mut answer = String::new();
    other.read_to_string(&mut answer).expect("an answer, then the end");
    assert!(answer.contains("causeway_web_connections 9"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(1));
    drop(held);
}

#[test]
fn when_all_places_are_taken_the_oldest_goes() {
    let daemon = Daemon::start();
    let address = front(daemon.socket.clone());
    let mut held: Vec<_> = (0..64).map(|place| connect_from(10 + place / 8, address)).collect();
    let mut new = connect_from(99, address);
    new.write_all(GET.as_bytes()).expect("it is read");
    let mut answer = String::new();
    new.read_to_string(&mut answer).expect("an answer, then the end");
    assert!(answer.contains("causeway_web_connections 64"), "{answer}");
    held[0].set_read_timeout(Some(Duration::from_secs(1))).expect("an option");
    assert!(matches!(held[0].read(&mut [0]), Ok(0) | Err(_)), "the oldest was closed");
}

#[test]
fn readers_that_do_not_read_hinder_nobody() {
    let daemon = Daemon::start();
    let address = front(daemon.socket.clone());
    let lazy: Vec<_> = (0..50_u8)
        .map(|client| {
            let mut stream = connect_from(20 + client / 8, address);
            stream.write_all(GET.as_bytes()).expect("it is read");
            stream
        })
        .collect();
    let began = Instant::now();
    let mut other = connect_from(200, address);
    other.write_all(GET.as_bytes()).expect("it is read");
    let mut answer = String::new();
    other.read_to_string(&mut answer).expect("an answer, then the end");
    assert!(answer.ends_with("# EOF\n") && began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    drop(lazy);
}

/// A figure of `/metrics`.
fn figure(page: &str, name: &str) -> u64 {
    let found = page.lines().find_map(|line| line.strip_prefix(name)?.trim().trim_end_matches(".0").parse().ok());
    found.unwrap_or_else(|| panic!("{name} in {page}"))
}

/// 1,000 clients that stay: half of them never end their request, half never read the answer.
fn slow_clients(address: SocketAddr, addresses: u8) -> Vec<TcpStream> {
    let hosts = (100..100 + addresses).cycle().take(1_000);
    let clients = hosts.enumerate().map(|(number, host)| {
        let mut stream = connect_with(host, address, Some(1));
        // Who is one too many may be cut before it says anything.
        let _ = stream.write_all(if number % 2 == 0 { &GET.as_bytes()[..30] } else { GET.as_bytes() });
        stream
    });
    clients.collect()
}

#[test]
fn of_a_thousand_slow_clients_64_are_held_at_most_and_a_scrape_is_answered() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(4_096), hard).expect("below the hard one");
    let daemon = Daemon::start();
    for (addresses, most) in [(4, 4 * CONNECTIONS_PER_ADDRESS + 1), (150, CONNECTIONS)] {
        let address = front(daemon.socket.clone());
        let clients = slow_clients(address, addresses);
        let began = Instant::now();
        let page = ask(address, GET);
        let took = began.elapsed();
        assert!(page.ends_with("# EOF\n") && took < Duration::from_secs(1), "{took:?}: {page}");
        // The page may be of a second ago, when it had only begun. Nobody has to give up for its end: who is slow is cut.
        let (mut held, began) = (0, Instant::now());
        loop {
            let page = ask(address, GET);
            let now = figure(&page, "causeway_web_connections ");
            held = now.max(held);
            assert!(held <= u64::try_from(most).expect("small"), "{page}");
            if now == 1 && figure(&page, "causeway_web_refused_total{reason=\"slow\"}") > 0 {
                assert!(figure(&page, "causeway_web_refused_total{reason=\"full\"}") >= 400, "{page}");
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{page}");
            // Between two looks at the condition: a page is made anew once a second.
            std::thread::sleep(Duration::from_millis(200));
        }
        println!("{addresses} addresses: {held} held at most, scraped in {took:?}");
        drop(clients);
    }
}

#[test]
fn the_status_page_is_whole_and_closed() {
    let daemon = staffed(canned());
    let address = front(daemon.socket.clone());
    let page = ask(address, &get("/"));
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("<h1>The internet works, on the backup line.</h1>"), "{page}");
    assert!(page.contains("content-type: text/html; charset=utf-8\r\n"));
    for header in [
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "x-content-type-options: nosniff\r\n",
        "x-frame-options: DENY\r\n",
        "referrer-policy: no-referrer\r\n",
        "cache-control: no-store\r\n",
    ] {
        assert!(page.contains(header), "{header} in {page}");
    }
    assert!(!page.to_lowercase().contains("set-cookie") && page.len() < 20_000, "{}", page.len());
    let head = ask(address, "HEAD / HTTP/1.1\r\nHost: gateway.home.arpa\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        for path in ["/", "/it", "/nothing"] {
            let refused = format!("{method} {path} HTTP/1.1\r\nHost: gateway.home.arpa\r\nContent-Length: 0\r\n\r\n");
            let refused = ask(address, &refused);
            assert!(refused.starts_with("HTTP/1.1 405") && refused.contains("allow: GET, HEAD\r\n"), "{refused}");
        }
    }
    let stranger = ask(address, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(stranger.starts_with("HTTP/1.1 421") && !stranger.contains("Lyon"), "{stranger}");
    assert!(ask(address, &get("/it")).contains("wan1 (ipv4)") || ask(address, &get("/it")).contains("wan1 <small>"));
}

#[test]
fn the_language_is_the_configs_or_the_chosen_one() {
    let mut status = canned();
    status.config.language = Some("de".to_owned());
    let daemon = staffed(status);
    let address = front(daemon.socket.clone());
    for (path, lang) in
        [("/", "de"), ("/?lang=fr", "fr"), ("/?lang=xx", "de"), ("/?lang=%3Cscript%3E", "de"), ("/?x=fr", "de")]
    {
        let page = ask(address, &get(path));
        assert!(page.contains(&format!("<html lang=\"{lang}\">")), "{path}: {page}");
    }
}

#[test]
fn pages_are_where_the_config_has_them_and_nowhere_else() {
    let daemon = Daemon::start();
    let address = front(daemon.socket.clone());
    assert!(ask(address, &get("/")).starts_with("HTTP/1.1 404"), "the canned config has no status page");
}

/// As systemd does it: a socket on every address. Only those of the config are answered.
#[test]
fn a_socket_that_was_handed_over_answers_on_the_configs_addresses_only() {
    let daemon = staffed(canned());
    let listener = std::net::TcpListener::bind("[::]:0").or_else(|_| std::net::TcpListener::bind("0.0.0.0:0"));
    let listener = listener.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    listener.set_nonblocking(true).expect("an option");
    let socket = daemon.socket.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let options = Options { socket, listen: Vec::new(), why: causeway::cli::why };
        runtime.block_on(async {
            let front = Front::with(options, vec![listener]).expect("a socket");
            Arc::new(front).serve(|_| ()).await;
        });
    });
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let began = Instant::now();
    while !ask(address, &get("/")).contains("Lyon-Bellecour") {
        assert!(began.elapsed() < Duration::from_secs(10), "{}", ask(address, &get("/")));
    }
    let mut other = connect(SocketAddr::from(([127, 0, 0, 2], port)));
    let _ = other.write_all(get("/").as_bytes());
    let mut answer = Vec::new();
    let _ = other.read_to_end(&mut answer);
    assert!(answer.is_empty(), "closed without an answer: {}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_daemon_that_falls_silent_leaves_what_was_known_last() {
    let silent = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = Arc::clone(&silent);
    let mut status = canned();
    status.config.timezone = Some("UTC".to_owned());
    let daemon = Daemon::with(move |incoming, live| {
        if incoming.request == Request::ConfigInfo {
            return Some(Answer::One(Reply::Config(on_loopback(canned().config))));
        }
        if told.load(std::sync::atomic::Ordering::Relaxed) {
            return None;
        }
        if incoming.request == Request::Status {
            return Some(Answer::One(Reply::Status(Box::new(status.clone()))));
        }
        support::answer(incoming, live)
    });
    let address = front(daemon.socket.clone());
    assert!(ask(address, &get("/")).contains("The internet works, on the backup line."));
    silent.store(true, std::sync::atomic::Ordering::Relaxed);
    let began = Instant::now();
    loop {
        let page = ask(address, &get("/"));
        if page.contains("This box cannot tell at the moment.") {
            assert!(page.contains("At 11:15 the internet worked, on the backup line."), "{page}");
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{page}");
    }
}

/// From the connection to the last byte, when nobody asked before; the best of five, for machines that do other things.
#[test]
fn the_page_is_there_in_50_ms_from_cold() {
    let daemon = staffed(canned());
    let took = (0..5).map(|_| {
        let address = front(daemon.socket.clone());
        let began = Instant::now();
        let page = ask(address, &get("/"));
        assert!(page.contains("backup line"), "{page}");
        began.elapsed()
    });
    let best = took.min().expect("five");
    println!("status page, cold: {best:?}");
    assert!(best <= Duration::from_millis(50), "{best:?}");
}
