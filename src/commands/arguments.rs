//! Arguments that several commands have, and how single values are read.

use asymmetric_token::CrateName;
use clap::Args;
use crate_file::characters::is_hidden;
use semver::Version;

use crate::piv::{Serial, Slot};

/// What `enroll` and `seal` may be told about card, registry and cargo.
#[derive(Debug, Args)]
pub struct Setup {
    /// A program that prints the management key in hexadecimal; split at spaces outside double quotes, and run without a shell.
    #[arg(long, value_name = "COMMAND")]
    pub management_key_command: Option<String>,
    /// Allow a registry without TLS that is not on this computer.
    #[arg(long)]
    pub insecure_http: bool,
    /// Set `credential-provider` for this registry in $CARGO_HOME/config.toml, without asking.
    #[arg(long, overrides_with = "no_configure")]
    pub configure: bool,
    /// Leave $CARGO_HOME/config.toml alone, without asking.
    #[arg(long, overrides_with = "configure")]
    pub no_configure: bool,
}

pub(super) fn serial(text: &str) -> Result<Serial, String> {
    text.parse().map(Serial).map_err(|_| "a serial number is the number printed on the YubiKey".into())
}

/// Keys are made and adopted there only; the other slots are for logging in, signing mail and the like.
pub(super) fn retired_slot(text: &str) -> Result<Slot, String> {
    match text.parse() {
        Ok(slot @ Slot::Retired(_)) => Ok(slot),
        _ => Err("yk-cargo uses only the retired slots, 82 to 95".into()),
    }
}

/// As a certificate's common name holds it (RFC 5280, ub-common-name), as it can be shown, and as the gateway takes it.
pub(super) fn label(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.chars().count())
        && !text.chars().any(is_hidden)
        && !text.chars().all(char::is_whitespace);
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a label has 1 to 64 characters, none of them invisible or changing the direction of text".into())
    }
}

/// RFC 3231, "Setting and storing login information".
pub(super) fn subject(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(text.to_owned()) } else { Err("a key subject is printable ASCII without spaces".into()) }
}

pub(super) fn name_and_version(text: &str) -> Result<(CrateName, Version), String> {
    let (name, version) = text.split_once('@').ok_or("write NAME@VERSION, like serde@1.0.0")?;
    let name = name.parse().map_err(|error: asymmetric_token::Error| error.to_string())?;
    let version = version
        .parse()
        .map_err(|error: semver::Error| format!("{error}; write all of the version, like serde@1.0.0"))?;
    Ok((name, version))
}
