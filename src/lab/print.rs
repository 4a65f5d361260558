//! What the lab writes for people: plain text, at most 80 columns, colour only where the caller found a terminal.

use std::io::Write;

use super::error::{Doing as _, LabError};
use super::scenario::run::Findings;

/// Prints one scenario's findings; `true` if all were kept.
pub fn scenario(title: &str, findings: &Findings, out: &mut dyn Write) -> Result<bool, LabError> {
    let kept = findings.iter().flat_map(|(_, findings)| findings).all(|finding| finding.kept);
    let mut text = format!("{} {title}\n", if kept { "ok  " } else { "FAIL" });
    for (step, findings) in findings {
        text.push_str(&format!("     {step}\n"));
        for finding in findings {
            let mark = if finding.kept { "ok  " } else { "FAIL" };
            text.push_str(&format!("       {mark} {}: {}\n", finding.what, finding.measured));
        }
    }
    write(out, &text)?;
    Ok(kept)
}

pub fn write(out: &mut dyn Write, text: &str) -> Result<(), LabError> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).doing(|| "write to the terminal".to_owned())
}

/// Colour, or none.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colored: bool,
}

impl Style {
    pub fn plain() -> Self {
        Self { colored: false }
    }

    /// Colour only on a terminal whose user did not refuse it.
    pub fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colored: !refused && std::io::IsTerminal::is_terminal(&std::io::stdout()) }
    }

    pub fn head(self, text: &str) -> String {
        format!("\n{}\n", self.paint("1", text))
    }

    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.paint("36", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colored { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
