//! Edge: the only file that starts a process. Each program has one path and one fixed list of arguments; what it shall
//! look at goes in on standard input, so nothing of a config is ever an argument, and there is no shell.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a person reads of an error.
const MESSAGE_BYTES: usize = 2_048;

/// The unit and the fence allow nothing else to be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Nft,
    /// Reads a config from standard input, says whether it would take it, and ends.
    DnsmasqTest,
}

#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("{program} is not installed")]
    Missing { program: PathBuf },
    #[error("could not run {program}")]
    Run {
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{program} did not answer within {after:?}")]
    Deadline { program: PathBuf, after: Duration },
}

#[derive(Debug)]
pub struct Output {
    pub success: bool,
    /// One byte longer than the cap if there was more.
    pub stdout: Vec<u8>,
    errors: Vec<u8>,
}

impl Output {
    /// What it said, in one line.
    pub fn message(&self) -> String {
        let text = String::from_utf8_lossy(&self.errors[..self.errors.len().min(MESSAGE_BYTES)]).into_owned();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join(" ")
    }
}

impl Program {
    /// Where Debian puts it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Nft => "/usr/sbin/nft",
            Self::DnsmasqTest => "/usr/sbin/dnsmasq",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Nft => &["-j", "-f", "-"],
            Self::DnsmasqTest => &["--test", "--conf-file=-"],
        }
    }

    /// Runs it to its end. `program` is [`Self::path`], or what a test puts in its place.
    pub async fn run(
        self,
        program: &Path,
        input: Vec<u8>,
        most: u64,
        deadline: Duration,
    ) -> Result<Output, ProgramError> {
        tokio::time::timeout(deadline, self.converse(program, input, most))
            .await
            .unwrap_or_else(|_| Err(ProgramError::Deadline { program: program.to_owned(), after: deadline }))
    }

    async fn converse(self, program: &Path, input: Vec<u8>, most: u64) -> Result<Output, ProgramError> {
        let failed = |source: std::io::Error| ProgramError::Run { program: program.to_owned(), source };
        // With an empty environment its messages are in English, which is how a missing table is told.
        let mut child = tokio::process::Command::new(program)
            .args(self.arguments())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| {
                if source.kind() == std::io::ErrorKind::NotFound {
                    ProgramError::Missing { program: program.to_owned() }
                } else {
                    failed(source)
                }
            })?;
        let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(stdin) = &mut stdin {
                // It may leave before it has read all; its message says why.
                stdin.write_all(&input).await.ok();
                stdin.shutdown().await.ok();
            }
            drop(stdin.take());
        };
        let ((), output, errors) = tokio::join!(write, capped(stdout, most), capped(stderr, most));
        let (stdout, errors) = (output.map_err(failed)?, errors.map_err(failed)?);
        let status = child.wait().await.map_err(failed)?;
        Ok(Output { success: status.success(), stdout, errors })
    }
}

/// Reads to the end or one byte beyond the cap.
async fn capped(stream: Option<impl tokio::io::AsyncRead + Unpin>, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(most + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}
