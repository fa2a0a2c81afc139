//! Runs a credential provider as cargo does (cargo 1.95, `CredentialProcessCredential::run`): its input and output are pipes, its
//! errors go where ours go, and the console is the same. Prints the answer.
//!
//! ```text
//! like-cargo PROGRAM REQUEST
//! like-cargo --code-page NUMBER PROGRAM REQUEST
//! like-cargo --for-ever
//! like-cargo --hold FILE
//! ```
//!
//! The second form gives the console that code page before. The third one is a PIN command that never answers, and the fourth one
//! another program that has locked a file.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Command, ExitCode, Stdio};

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--for-ever"] => {
            writeln!(io::stderr(), "asking for ever")?;
            for_ever()
        }
        ["--hold", file] => {
            let file = File::options().write(true).open(file)?;
            file.lock()?;
            writeln!(io::stderr(), "it is locked")?;
            for_ever()
        }
        ["--code-page", number, program, request] => {
            let status = Command::new("chcp.com").arg(number).stdout(Stdio::null()).status()?;
            if status.success() { run(program, request) } else { Ok(ExitCode::FAILURE) }
        }
        [program, request] => run(program, request),
        _ => Ok(ExitCode::from(2)),
    }
}

fn for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

fn run(program: &str, request: &str) -> io::Result<ExitCode> {
    let mut provider = Command::new(program);
    provider.arg("--cargo-plugin").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut provider = provider.spawn()?;
    let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut input = provider.stdin.take().ok_or_else(closed)?;
    let mut output = BufReader::new(provider.stdout.take().ok_or_else(closed)?);
    let mut line = String::new();
    output.read_line(&mut line)?;
    writeln!(input, "{request}")?;
    line.clear();
    output.read_line(&mut line)?;
    drop(input);
    let status = provider.wait()?;
    write!(io::stdout(), "{line}")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
