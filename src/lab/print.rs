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
