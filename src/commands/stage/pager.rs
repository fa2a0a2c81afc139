//! A long text on a terminal, in the person's pager; elsewhere on stdout as it is.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use crate::commands::print;
use crate::error::Error;
use crate::process::words;
use crate::text::{fitted, tame};

/// What `less` does unless the person has told it otherwise: it ends by itself where all fits, and leaves the text there.
const LESS: &str = "FX";

/// How many columns the terminal has that stdout leads to; `None` if it leads to none.
pub(super) fn columns() -> Option<usize> {
    let is_terminal = io::stdout().is_terminal();
    fitted::columns(io::stdout()).or(is_terminal.then_some(80))
}

/// Shows a text. The pager is `PAGER`, split into words and run without a shell, or else `less`.
pub(super) fn show(text: &str, may_page: bool) -> Result<(), Error> {
    let named = std::env::var("PAGER").ok();
    let words = words(named.as_deref().unwrap_or("less")).unwrap_or_default();
    let Some((program, arguments)) = words.split_first().filter(|_| may_page && columns().is_some()) else {
        return print(text.trim_end());
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", LESS);
    }
    let Ok(mut pager) = command.spawn() else { return print(text.trim_end()) };
    if let Some(mut stdin) = pager.stdin.take() {
        match stdin.write_all(tame(text).as_bytes()) {
            // The person has seen enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(Error::Stdio(error)),
            _ => {}
        }
    }
    pager.wait().map(drop).map_err(Error::Stdio)
}
