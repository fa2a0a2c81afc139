//! What a card is called where nobody has said it: by whom it is used, and where, as ssh does for its keys.

use crate_file::characters::is_hidden;

/// The most characters of a common name (RFC 5280, ub-common-name).
const LONGEST: usize = 64;

/// `alice@laptop`, or what is known of that.
pub(crate) fn usual() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let computer = computer();
    let computer = computer.split('.').next().unwrap_or_default();
    let parts = [user.as_deref().unwrap_or_default(), computer];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.trim().is_empty()).collect();
    let label: String = parts.join("@").chars().filter(|sign| !is_hidden(*sign)).take(LONGEST).collect();
    if label.is_empty() { "yk-cargo".to_owned() } else { label }
}

#[cfg(unix)]
fn computer() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn computer() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
