//! `causeway shell`: what somebody gets who logs in by SSH. The command line's reading and operating verbs, and ping, trace
//! and capture; there is no way to another program, a file or an interpreter. sshd starts it as the login shell
//! `causeway-shell`, alone or with `-c COMMAND`.

mod line;
mod programs;

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Exit, Failure, put, talk};
use line::{LINE_BYTES, Tool, Typed};

/// A link of this name to the program is a login shell, for `/etc/passwd` has no place for arguments.
pub(super) const NAME: &str = "causeway-shell";
const PROMPT: &str = "causeway> ";

/// `command`: of `-c`; the session ends with it.
pub(super) fn run(command: Option<&str>, socket: &Path) -> Result<ExitCode, Failure> {
    match command {
        Some(command) => once(command, socket),
        None => session(socket),
    }
}

fn once(command: &str, socket: &Path) -> Result<ExitCode, Failure> {
    match line::read(command) {
        Ok(Typed::Nothing | Typed::Exit) => Ok(Exit::Done.into()),
        Ok(Typed::Help) => put(line::HELP).map(|_| Exit::Done.into()),
        Ok(Typed::Own(_, mut args)) => {
            socket.clone_into(&mut args.socket);
            super::dispatch(*args)
        }
        Ok(Typed::Tool(tool)) => started(&tool).map(ExitCode::from),
        Err(failure) if failure.exit == Exit::Done => asked_for_help(&failure),
        Err(failure) => Err(failure),
    }
}

/// Lines until the end of input or `exit`; a command that fails ends itself, not the session.
fn session(socket: &Path) -> Result<ExitCode, Failure> {
    let _unharmed = deaf_to_interrupts()?;
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if terminal && !put("help lists what there is, exit ends the session.\n")? {
        return Ok(Exit::Done.into());
    }
    let mut last = 0;
    loop {
        if terminal && !put(PROMPT)? {
            return Ok(ExitCode::from(last));
        }
        let Some(typed) = next_line()? else { return Ok(ExitCode::from(last)) };
        let done = match line::read(&typed) {
            Ok(Typed::Nothing) => continue,
            Ok(Typed::Exit) => return Ok(ExitCode::from(last)),
            Ok(Typed::Help) => put(line::HELP).map(|_| 0),
            // In a process of its own, which an interrupt ends without ending the session.
            Ok(Typed::Own(words, _)) => programs::own(&words, socket)
                .map(code)
                .map_err(|error| Failure::new(Exit::Failed, error).hint("the program could not be started again")),
            Ok(Typed::Tool(tool)) => started(&tool),
            Err(failure) if failure.exit == Exit::Done => asked_for_help(&failure).map(|_| 0),
            Err(failure) => Err(failure),
        };
        last = done.unwrap_or_else(|failure| {
            talk(&failure.text());
            failure.exit as u8
        });
    }
}

fn started(tool: &Tool) -> Result<u8, Failure> {
    programs::tool(tool).map(code).map_err(|error| {
        let what = programs::name(tool);
        Failure::new(Exit::Failed, format!("could not start {what}: {error}"))
            .hint("the image has it; other systems may not")
    })
}

/// As a shell says it: 128 and the signal.
fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

/// `None` at the end of input. A line that is too long is read to its end and refused as a whole.
fn next_line() -> Result<Option<String>, Failure> {
    let mut bytes = Vec::new();
    let mut input = std::io::stdin().lock();
    let most = LINE_BYTES as u64 + 2;
    let read =
        input.by_ref().take(most).read_until(b'\n', &mut bytes).map_err(|error| Failure::new(Exit::Failed, error))?;
    if read == 0 {
        return Ok(None);
    }
    let mut ended = bytes.ends_with(b"\n");
    while !ended {
        let mut rest = Vec::new();
        let more = input
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut rest)
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        ended = more == 0 || rest.ends_with(b"\n");
    }
    Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned()))
}

/// An interrupt is meant for the command that runs. A handler, not `SIG_IGN`: that the command would inherit.
fn deaf_to_interrupts() -> Result<(tokio::runtime::Runtime, [Signal; 2]), Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
    let _inside = runtime.enter();
    let signals = [signal(SignalKind::interrupt()).map_err(failed)?, signal(SignalKind::quit()).map_err(failed)?];
    drop(_inside);
    Ok((runtime, signals))
}

fn asked_for_help(failure: &Failure) -> Result<ExitCode, Failure> {
    let text = failure.text();
    put(text.strip_prefix("error: ").unwrap_or(&text)).map(|_| Exit::Done.into())
}
