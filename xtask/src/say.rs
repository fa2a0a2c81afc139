//! The only place that writes to the terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

/// A line on standard output. A reader that has gone is not worth a word.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// A line on standard error.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A line that begins a part.
pub(crate) fn headline(text: impl Display) {
    say("");
    in_style("1", text);
}

/// A line of a program's own output, or of a file.
pub(crate) fn quote(text: impl Display) {
    say(format_args!("   | {text}"));
}

/// A command as one would type it.
pub(crate) fn command(text: impl Display) {
    in_style("36", format_args!("   $ {text}"));
}

fn in_style(style: &str, text: impl Display) {
    if may_colour() {
        say(format_args!("\x1b[{style}m{text}\x1b[0m"));
    } else {
        say(text);
    }
}

fn may_colour() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal()
        && !set("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
