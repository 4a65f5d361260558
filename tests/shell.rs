//! `causeway shell` and `causeway console` as people get them: by sshd's `-c`, through a pipe, on a terminal, under the name
//! of a login shell.

mod support;

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use support::{Daemon, Folder};

const PROGRAM: &str = env!("CARGO_BIN_EXE_causeway");
const PATIENCE: Duration = Duration::from_secs(30);

fn run(program: &Path, socket: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .args(if program.ends_with("causeway") {
            vec!["--socket".into(), socket.as_os_str().to_owned()]
        } else {
            Vec::new()
        })
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("our program");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn shell(socket: &Path, command: &str) -> Output {
    run(Path::new(PROGRAM), socket, &["shell", "-c", command], "")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_command_of_sshd_gives_the_verbs_answer_and_its_code() {
    let daemon = Daemon::start();
    let status = shell(&daemon.socket, "status");
    assert!(out(&status).starts_with("Lyon-Bellecour   ON BACKUP"), "{status:?}");
    assert_eq!(status.status.code(), Some(0));
    assert_eq!(out(&shell(&daemon.socket, "causeway status")), out(&status), "as the manual writes it");
    assert_eq!(shell(&daemon.socket, "status --check").status.code(), Some(1), "a warning");
    assert_eq!(shell(&daemon.socket, "drill lte0").status.code(), Some(75));
    assert!(out(&shell(&daemon.socket, "lock")).contains("Locked."));
    let nobody = Folder::new();
    assert_eq!(shell(&nobody.socket(), "status").status.code(), Some(69));
    assert!(out(&shell(&nobody.socket(), "help")).contains("There is no other shell on this box."));
    assert!(out(&shell(&nobody.socket(), "status --help")).contains("--json"));
    assert_eq!(shell(&nobody.socket(), "").status.code(), Some(0));
}

#[test]
fn nothing_else_can_be_started() {
    let folder = Folder::new();
    let witness = folder.socket().with_file_name("witness");
    for command in [
        "bash".to_owned(),
        "/bin/sh".to_owned(),
        "sftp-server".to_owned(),
        "scp -t /tmp".to_owned(),
        format!("status; touch {}", witness.display()),
        format!("status\ntouch {}", witness.display()),
        format!("$(touch {})", witness.display()),
        format!("config show {}", witness.display()),
        "run --config x".to_owned(),
        "shell".to_owned(),
        "ping -c1 -f localhost".to_owned(),
        "ping --help".to_owned(),
        "capture lo -w x".to_owned(),
        "--socket /tmp/x status".to_owned(),
    ] {
        let output = shell(&folder.socket(), &command);
        assert_eq!(output.status.code(), Some(64), "{command}: {output:?}");
        assert!(talk(&output).starts_with("error: ") && talk(&output).contains("hint: help"), "{command}: {output:?}");
        assert!(out(&output).is_empty() && !witness.exists(), "{command}: {output:?}");
    }
}

#[test]
fn a_session_goes_on_after_a_mistake_and_ends_with_the_last_code() {
    let daemon = Daemon::start();
    let through = |input: &str| run(Path::new(PROGRAM), &daemon.socket, &["shell"], input);
    let session = through("nonsense\n\n  why wan1 \nversion\n");
    assert!(talk(&session).contains("there is no command \"nonsense\""), "{session:?}");
    assert!(out(&session).contains("wan1") && out(&session).contains("daemon   0.1.0"), "{session:?}");
    assert_eq!(session.status.code(), Some(0));
    assert!(!out(&session).contains("causeway> "), "no prompt where nobody sees it");
    assert_eq!(through("drill lte0\nexit\nversion\n").status.code(), Some(75));
    let long = through(&format!("{}\nversion\n", "status ".repeat(2_000)));
    assert!(talk(&long).contains("longer than") && out(&long).contains("daemon   0.1.0"), "{long:?}");
    let rubbish: String = (0..255_u8).map(char::from).filter(|c| *c != '\n').collect();
    assert_eq!(through(&format!("{rubbish}\n")).status.code(), Some(64));
}

#[test]
fn under_the_name_of_a_login_shell_it_is_one() {
    let folder = Folder::new();
    let link = folder.socket().with_file_name("causeway-shell");
    symlink(PROGRAM, &link).expect("a link");
    let version = run(&link, &folder.socket(), &["-c", "version"], "");
    assert!(out(&version).starts_with("causeway "), "{version:?}");
    let login = Command::new("/bin/sh")
        .args(["-c", "exec -a -causeway-shell \"$0\" </dev/null"])
        .arg(&link)
        .output()
        .expect("a shell");
    // Not every sh knows `exec -a`; where it does, sshd's "-" is no option.
    if !talk(&login).contains("exec") {
        assert_eq!(login.status.code(), Some(0), "{login:?}");
    }
    assert_eq!(run(&link, &folder.socket(), &["-c", "bash"], "").status.code(), Some(64));
}

/// A terminal of its own, as a login has it.
struct Terminal {
    to: std::fs::File,
    seen: mpsc::Receiver<u8>,
    text: String,
    child: std::process::Child,
}

impl Terminal {
    fn open(arguments: &[&str], socket: &Path) -> Self {
        let pty = nix::pty::openpty(None, None).expect("a terminal");
        let side = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a handle"));
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", PROGRAM])
            .args(arguments)
            .arg("--socket")
            .arg(socket)
            .env("TERM", "vt100")
            .stdin(side(&pty.slave))
            .stdout(side(&pty.slave))
            .stderr(side(&pty.slave))
            .spawn()
            .expect("setsid is installed");
        let mut from = std::fs::File::from(pty.master.try_clone().expect("a handle"));
        let (tell, seen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut byte = [0];
            while from.read_exact(&mut byte).is_ok() && tell.send(byte[0]).is_ok() {}
        });
        Self { to: pty.master.into(), seen, text: String::new(), child }
    }

    fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.text.contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            match self.seen.recv_timeout(left) {
                Ok(byte) => self.text.push(char::from(byte)),
                Err(_) => panic!("no {text:?} in {:?}", self.text),
            }
        }
        self.text.clear();
    }

    fn write(&mut self, text: &str) {
        self.to.write_all(text.as_bytes()).expect("it reads");
    }

    fn end(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

#[test]
fn on_a_terminal_an_interrupt_ends_the_command_and_not_the_session() {
    let daemon = Daemon::start();
    let mut terminal = Terminal::open(&["shell"], &daemon.socket);
    terminal.wait_for("causeway> ");
    terminal.write("events --follow\n");
    terminal.wait_for("up \u{e2}\u{86}\u{92} down");
    terminal.write("\x03");
    terminal.wait_for("causeway> ");
    terminal.write("status\n");
    terminal.wait_for("ON BACKUP");
    terminal.wait_for("causeway> ");
    terminal.write("exit\n");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn the_console_shows_the_box_and_ends_never_by_itself() {
    let daemon = Daemon::start();
    let once = |socket: &Path| run(Path::new(PROGRAM), socket, &["console", "--once"], "");
    let page = once(&daemon.socket);
    assert!(
        out(&page).starts_with("Lyon-Bellecour   ON BACKUP") && out(&page).contains("HEAD OFFICE  not known"),
        "{page:?}"
    );
    let nobody = Folder::new();
    let page = once(&nobody.socket());
    assert!(out(&page).contains("the daemon does not answer yet") && page.status.code() == Some(0), "{page:?}");
    let mut terminal = Terminal::open(&["console"], &daemon.socket);
    terminal.wait_for("\x1b[H\x1b[2J");
    terminal.wait_for("WHAT TO DO");
    assert!(terminal.child.try_wait().expect("our child").is_none());
    terminal.write("\x03");
    terminal.end();
}
