//! Whether the same cargo has asked for this card's PIN before.
//!
//! Each request of cargo's is a process of its own, so that takes a note on disk: whose child asked for which card. It
//! holds no secret, and what it is good for is one sentence.

use std::path::Path;

use crate::folder;
use crate::piv::Serial;

/// Whether our parent's last child to ask wanted this PIN too; notes that it now does. Where nothing can be noted, the
/// answer is no.
pub(super) fn was_asked(cargo_home: &Path, serial: Serial) -> bool {
    let Some(parent) = parent() else { return false };
    let file = folder::in_cargo_home(cargo_home).join("last-pin");
    let note = format!("{parent} {serial}\n");
    if folder::read(&file).is_ok_and(|earlier| earlier.as_ref() == Some(&note)) {
        return true;
    }
    let _ = folder::replace(&file, note);
    false
}

/// Its number and when it started: numbers are given out again.
#[cfg(target_os = "linux")]
fn parent() -> Option<String> {
    let parent = rustix::process::getppid()?.as_raw_nonzero();
    let stat = std::fs::read_to_string(format!("/proc/{parent}/stat")).ok()?;
    // proc(5): the name in parentheses may hold anything; behind it `starttime` is the 20th field.
    let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?;
    Some(format!("{parent} {started}"))
}

#[cfg(all(unix, not(target_os = "linux")))]
fn parent() -> Option<String> {
    rustix::process::getppid().map(|parent| parent.as_raw_nonzero().to_string())
}

#[cfg(windows)]
fn parent() -> Option<String> {
    None
}
