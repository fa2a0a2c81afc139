//! Runs a credential provider as cargo does (cargo 1.95, `CredentialProcessCredential::run`): its input and output are pipes, its
//! errors go where ours go, and the console is the same. Prints the answer.
//!
//! ```text
//! like-cargo PROGRAM REQUEST
//! like-cargo --for-ever
//! ```
//!
//! The second form is a PIN command that never answers.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Command, ExitCode, Stdio};

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [program, rest @ ..] = &arguments[..] else { return Ok(ExitCode::from(2)) };
    if program == "--for-ever" {
        writeln!(io::stderr(), "asking for ever")?;
        loop {
            std::thread::park();
        }
    }
    let mut provider = Command::new(program);
    provider.arg("--cargo-plugin").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut provider = provider.spawn()?;
    let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut input = provider.stdin.take().ok_or_else(closed)?;
    let mut output = BufReader::new(provider.stdout.take().ok_or_else(closed)?);
    let mut line = String::new();
    output.read_line(&mut line)?;
    writeln!(input, "{}", rest.join(" "))?;
    line.clear();
    output.read_line(&mut line)?;
    drop(input);
    let status = provider.wait()?;
    write!(io::stdout(), "{line}")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
