//! The passphrase: from the terminal, without showing it, or from a file for scripts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::super::exit::{Exit, Failure};
use crate::office::OfficeError;

/// Short ones fall to a list of words; Argon2 makes each guess dear, not impossible.
const LEAST: usize = 8;

/// A new one, typed twice.
pub(super) fn new(file: Option<&Path>, what: &str) -> Result<Zeroizing<String>, Failure> {
    let passphrase = match file {
        Some(file) => of_file(file)?,
        None => {
            let first = typed(&format!("passphrase for {what}: "))?;
            if *first != *typed("once more: ")? {
                return Err(Failure::new(Exit::Usage, "the two passphrases differ").hint("nothing was made; try again"));
            }
            first
        }
    };
    if passphrase.chars().count() < LEAST {
        let failure = Failure::new(Exit::Usage, format!("the passphrase has less than {LEAST} characters"));
        return Err(failure.hint("four words that nobody would put together are good and easy to keep"));
    }
    Ok(passphrase)
}

pub(super) fn known(file: Option<&Path>, name: &str) -> Result<Zeroizing<String>, Failure> {
    match file {
        Some(file) => of_file(file),
        None => typed(&format!("passphrase for {name}: ")),
    }
}

fn of_file(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = Zeroizing::new(fs::read_to_string(file).map_err(OfficeError::file("read", file))?);
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn typed(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let no_terminal =
        |error: io::Error| Failure::new(Exit::Usage, error).hint("no terminal to ask on; use --passphrase-file");
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    terminal.write_all(prompt.as_bytes()).map_err(no_terminal)?;
    let mut line = Zeroizing::new(String::new());
    {
        let _quiet = Quiet::start(&terminal).map_err(no_terminal)?;
        let reader = terminal.try_clone().map_err(no_terminal)?;
        BufReader::new(reader).read_line(&mut line).map_err(no_terminal)?;
    }
    terminal.write_all(b"\n").map_err(no_terminal)?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// No echo until it is dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: nix::sys::termios::Termios,
}

impl<'a> Quiet<'a> {
    fn start(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before); // nothing more can be done about it
    }
}
