//! Lines to the journal in its native protocol, with our fields; to stderr as text where the journal did not start us.
//! Never blocks: what the other end does not take at once is dropped and counted.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::telemetry::events::Line;
use crate::telemetry::limit::Limiter;
use crate::time::Instant;

const SOCKET: &str = "/run/systemd/journal/socket";
/// Lines that wait for a slow stderr.
const WAITING: usize = 256;

/// Where sentences go. Cheap to keep; one per process.
#[derive(Debug)]
pub struct Journal {
    sink: Arc<Sink>,
    limiter: Limiter,
}

#[derive(Debug)]
struct Sink {
    way: Way,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Way {
    Native(UnixDatagram),
    /// To a thread that may block on stderr as long as it likes.
    Text(SyncSender<String>),
}

impl Journal {
    /// The journal if it started us (`JOURNAL_STREAM` is set), else stderr.
    pub fn open() -> Self {
        let native = std::env::var_os("JOURNAL_STREAM").and_then(|_| native(Path::new(SOCKET)).ok());
        let way = native.map_or_else(|| Way::Text(text(io::stderr())), Way::Native);
        Self::over(way)
    }

    pub fn write(&mut self, line: &Line, now: Instant) {
        self.tick(now);
        if self.limiter.admit(line.kind, now) {
            self.sink.line(line);
        }
    }

    /// Says what was held back. Call it about once a second.
    pub fn tick(&mut self, now: Instant) {
        for line in self.limiter.settle(now) {
            self.sink.line(&line);
        }
    }

    /// Lines lost since the last call, for `causeway_queue_dropped_total{queue="log"}`.
    pub fn take_dropped(&self) -> u64 {
        self.sink.dropped.swap(0, Ordering::Relaxed)
    }

    fn over(way: Way) -> Self {
        Self { sink: Arc::new(Sink { way, dropped: AtomicU64::new(0) }), limiter: Limiter::default() }
    }
}

/// Sends what `tracing` macros say the same way. `filter` as in `RUST_LOG`, which overrides it.
pub fn init_tracing(journal: &Journal, filter: &str) {
    let wanted = std::env::var("RUST_LOG").ok().and_then(|wanted| wanted.parse::<Targets>().ok());
    let filter = wanted.or_else(|| filter.parse().ok()).unwrap_or_default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(Tracing(Arc::clone(&journal.sink)))
        .without_time()
        .with_level(false)
        .with_ansi(false)
        .finish()
        .with(filter);
    // Only a test that starts two daemons in one process has one already; the first is as good.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

impl Sink {
    fn line(&self, line: &Line) {
        let fields = [("MESSAGE_ID".to_owned(), format!("{:032x}", line.kind.message_id()))]
            .into_iter()
            .chain([("CAUSEWAY_EVENT".to_owned(), line.kind.name().to_owned())])
            .chain(line.fields.iter().map(|(name, value)| (format!("CAUSEWAY_{name}"), value.clone())));
        self.send(line.kind.level().priority(), &line.message, fields);
    }

    fn send(&self, priority: u8, message: &str, fields: impl Iterator<Item = (String, String)>) {
        let taken = match &self.way {
            Way::Native(socket) => {
                let own = [("SYSLOG_IDENTIFIER", "causeway"), ("MESSAGE", message)];
                let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
                let all = own.into_iter().chain([("PRIORITY".to_owned(), priority.to_string())]).chain(fields);
                socket.send(&datagram(all)).is_ok()
            }
            // systemd and syslog readers know the number in front, people do not mind it.
            Way::Text(waiting) => waiting.try_send(format!("<{priority}>{message}\n")).is_ok(),
        };
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// `NAME=value` lines; a value with a line break is sent with its length instead.
fn datagram(fields: impl Iterator<Item = (String, String)>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    for (name, value) in fields {
        bytes.extend(name.as_bytes());
        if value.contains('\n') {
            bytes.push(b'\n');
            bytes.extend(u64::try_from(value.len()).unwrap_or(0).to_le_bytes());
        } else {
            bytes.push(b'=');
        }
        bytes.extend(value.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

fn native(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

fn text(mut to: impl Write + Send + 'static) -> SyncSender<String> {
    let (waiting, lines) = sync_channel::<String>(WAITING);
    let writer = move || {
        for line in lines {
            let _ = to.write_all(line.as_bytes());
        }
    };
    // Without the thread every line counts as dropped, which is the truth.
    let _ = std::thread::Builder::new().name("log".to_owned()).stack_size(64 << 10).spawn(writer);
    waiting
}

struct Tracing(Arc<Sink>);

/// Collects one formatted event and sends it when it is dropped.
struct Event {
    sink: Arc<Sink>,
    priority: u8,
    text: String,
}

impl<'a> MakeWriter<'a> for Tracing {
    type Writer = Event;

    fn make_writer(&'a self) -> Event {
        Event { sink: Arc::clone(&self.0), priority: 6, text: String::new() }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Event {
        let priority = match *metadata.level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        Event { sink: Arc::clone(&self.0), priority, text: String::new() }
    }
}

impl Write for Event {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = write!(self.text, "{}", String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        self.sink.send(self.priority, self.text.trim_end(), std::iter::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::events::Kind;

    #[test]
    fn the_journal_gets_the_sentence_its_id_and_the_fields() {
        let (ours, theirs) = UnixDatagram::pair().expect("a pair of sockets");
        let mut journal = Journal::over(Way::Native(ours));
        let line = Line::new(Kind::UplinkState, "wan1 up → down").with("UPLINK", "wan1");
        journal.write(&line, Instant::ORIGIN);
        let mut bytes = [0; 1024];
        let length = theirs.recv(&mut bytes).expect("a datagram");
        let text = str::from_utf8(&bytes[..length]).expect("text");
        assert_eq!(
            text,
            "SYSLOG_IDENTIFIER=causeway\nMESSAGE=wan1 up → down\nPRIORITY=5\n\
             MESSAGE_ID=02d8cf9977a15a7ca04fdcda6539483d\nCAUSEWAY_EVENT=uplink.state\nCAUSEWAY_UPLINK=wan1\n"
        );
    }

    #[test]
    fn a_value_cannot_add_a_field() {
        let bytes = datagram([("CAUSEWAY_BY".to_owned(), "a\nPRIORITY=0".to_owned())].into_iter());
        assert_eq!(bytes, b"CAUSEWAY_BY\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n");
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_not_time() {
        let (ours, _theirs) = UnixDatagram::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("an option");
        let journal = Journal::over(Way::Native(ours));
        for _ in 0..10_000 {
            journal.sink.line(&Line::new(Kind::UplinkState, "x".repeat(200)));
        }
        assert!(journal.take_dropped() > 0);
        assert_eq!(journal.take_dropped(), 0);
    }

    /// A terminal that was stopped with Ctrl-S.
    struct Stuck;

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            loop {
                std::thread::park();
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_stderr_costs_lines_not_time() {
        let journal = Journal::over(Way::Text(text(Stuck)));
        for _ in 0..WAITING * 2 {
            journal.sink.line(&Line::new(Kind::UplinkState, "x"));
        }
        assert!(journal.take_dropped() > 0);
    }
}
