//! A person at a terminal of head office's machine: types a command, and the passphrase whenever he is asked for it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use causeway::lab::clock;
use causeway::lab::fleet::Fleet;
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};

/// Nobody types before the terminal stops showing it.
const QUIET_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

pub(crate) struct Session {
    child: Child,
    shown: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Session {
    /// `command` in a session of its own, whose terminal we read; `prepare` sets its folder and environment.
    pub(crate) fn start(fleet: &Fleet, line: &str, passphrase: &'static str, prepare: impl Fn(&mut Command)) -> Self {
        let pair = openpty(None, None).expect("a terminal");
        let mut command = Command::new("setsid");
        command.args(["--ctty", "bash", "-c", line]);
        let end = || -> OwnedFd { pair.slave.try_clone().expect("another handle") };
        command.stdin(end()).stdout(end()).stderr(end());
        prepare(&mut command);
        let child = fleet.at_office(&mut command).expect("bash runs");
        // The last handle of that side is the command's, so that its end is the end.
        drop((command, pair.slave));
        let shown = Arc::new(Mutex::new(String::new()));
        let (master, seen) = (File::from(pair.master), Arc::clone(&shown));
        let reader = std::thread::spawn(move || attend(master, &seen, passphrase));
        Self { child, shown, reader: Some(reader) }
    }

    /// What stands on the screen, without the ends of lines that only a terminal has.
    pub(crate) fn shown(&self) -> String {
        self.shown.lock().expect("no panic").replace('\r', "")
    }

    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("it ends");
        self.reader.take().expect("it is there once").join().expect("no panic");
        (status, self.shown())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

fn attend(mut master: File, shown: &Mutex<String>, passphrase: &str) {
    let mut buffer = [0; 4_096];
    // An error: nobody holds the other side any more.
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        let asked = {
            let mut shown = shown.lock().expect("no panic");
            shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
            let last = shown.rsplit('\n').next().unwrap_or_default();
            last.ends_with(": ") && (last.starts_with("passphrase for ") || last == "once more: ")
        };
        if asked {
            let quiet = || {
                let terminal = tcgetattr(&master).expect("a terminal");
                (!terminal.local_flags.contains(LocalFlags::ECHO)).then_some(())
            };
            clock::wait_for(QUIET_WITHIN, LOOK_AGAIN, quiet).expect("what is typed is not shown");
            master.write_all(format!("{passphrase}\n").as_bytes()).expect("typed");
        }
    }
}
