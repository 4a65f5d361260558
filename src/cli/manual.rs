//! Completions and manual pages, made from the command line's own description. The image has the files, not this.

use std::path::Path;

use clap::{Command, CommandFactory as _, ValueEnum};

use super::args::Args;
use super::exit::{Exit, Failure, print};

/// Those that our people have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut offered(), "causeway", &mut script);
    print(&String::from_utf8_lossy(&script))
}

pub(super) fn man(folder: Option<&Path>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, error).hint("DIR must be writable");
    match folder {
        Some(folder) => std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(Args::command(), folder))
            .map_err(failed),
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Args::command()).render(&mut page).map_err(failed)?;
            print(&String::from_utf8_lossy(&page))
        }
    }
}

/// Without the commands that only units start: the generators do not leave hidden ones out.
fn offered() -> Command {
    let whole = Args::command();
    let shown = whole.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    Command::new("causeway")
        .version(crate::VERSION)
        .args(whole.get_arguments().cloned())
        .subcommands(shown)
        .disable_help_subcommand(true)
}
