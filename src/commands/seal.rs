//! `seal`: a registry's bearer token, sealed to a key on a card; also what `cargo login` does.

use std::io::{BufRead as _, IsTerminal as _};

use clap::Args;
use zeroize::Zeroizing;

use crate::card::access;
use crate::cargo_config::ConfiguredRegistry;
use crate::commands::arguments::{Setup, label, serial};
use crate::commands::candidates;
use crate::commands::configure::{self, Choice};
use crate::context::Context;
use crate::enrollment::{Enrollments, Reads};
use crate::error::Error;
use crate::piv::{Serial, Slot};
use crate::registry::visit::Greetings;
use crate::sealed::{BearerToken, TokenError};
use crate::sealer::{Making, Sealer};
use crate::text::{escape, escape_path};
use crate::ui::Ui;

mod add_card;

/// What is read of standard input at most, in bytes; a token is shorter.
const LONGEST_INPUT: u64 = 16 * 1024;

/// Arguments of `seal`.
#[derive(Debug, Args)]
pub struct Seal {
    /// crates-io, another registry's name in cargo's configuration, or an index URL.
    ///
    /// The token is asked for at the terminal, without echo; if standard input is not a terminal, the token is its first line.
    #[arg(required_unless_present = "add_card", add = candidates::registries())]
    pub registry: Option<String>,
    /// Put a new token in place of the sealed one.
    #[arg(long)]
    pub rotate: bool,
    /// What the token is opened for besides changes: `auth-required` for every read too, `open` for none. For a token that is already sealed, nothing else changes. [default: what the registry requires when the token is first sealed]
    #[arg(long, value_name = "READS", value_parser = reads, add = candidates::reads())]
    pub reads: Option<Reads>,
    /// Make every sealed token open with one more card, which gets a key for that.
    #[arg(long, conflicts_with_all = ["registry", "rotate", "reads", "configure", "no_configure", "insecure_http"])]
    pub add_card: bool,
    /// Do not open the token as a check, which needs PIN and touch.
    #[arg(long)]
    pub no_check: bool,
    /// Never ask: take the defaults, and fail where a default would be unsafe.
    #[arg(long)]
    pub yes: bool,
    /// The YubiKey to make the key on, by the number printed on it.
    #[arg(long, value_name = "NUMBER", value_parser = serial, add = candidates::cards())]
    pub serial: Option<Serial>,
    /// What to call that YubiKey, 1 to 64 characters. (default: USER@COMPUTER)
    #[arg(long, value_parser = label)]
    pub label: Option<String>,
    /// The slot for the key. [default: the last empty one, from 95 downward]
    #[arg(long, value_name = "SLOT", add = candidates::slots())]
    pub slot: Option<Slot>,
    /// Make a key even if the card still has its default PIN.
    #[arg(long)]
    pub allow_default_pin: bool,
    /// Card, registry and cargo.
    #[command(flatten)]
    pub setup: Setup,
}

/// Runs `yk-cargo seal`.
///
/// # Errors
/// Whatever stopped it. A token that was sealed stays sealed, even if it could not be opened as a check.
pub fn run(arguments: &Seal, context: &Context) -> Result<(), Error> {
    let readers = access::readers(&context.settings.wait);
    let ui = if arguments.yes { Ui::silent() } else { Ui::asking() };
    let (making, greetings) = (Making::from(arguments), Greetings::new());
    let sealer = Sealer { context, readers: &readers, ui, making, greetings };
    let Some(registry) = &arguments.registry else {
        return add_card::run(&sealer, arguments.no_check);
    };
    let registry = configure::registry(registry, &Enrollments::load(context.cargo.home())?, context, ui)?;
    if let (Some(reads), false) = (arguments.reads, arguments.rotate)
        && sealer.set_reads(&registry, reads)?
    {
        return Ok(());
    }
    if registry.index.is_unprotected() && !arguments.setup.insecure_http {
        return Err(Error::Unprotected { index: registry.index });
    }
    sealer.may_seal(&registry, arguments.rotate)?;
    sealer.key()?;
    let token = ask_for_token(&registry, context, ui)?;
    let sealed = sealer.seal(&registry, &token)?;
    if !arguments.no_check {
        sealer.check(&sealed, &token)?;
    }
    configure::provider(&registry, Choice::of(&arguments.setup), context, ui)?;
    advise(&registry, context, ui)
}

impl<'a> From<&'a Seal> for Making<'a> {
    fn from(arguments: &'a Seal) -> Self {
        Self {
            serial: arguments.serial,
            slot: arguments.slot,
            label: arguments.label.as_deref(),
            allow_default_pin: arguments.allow_default_pin,
            management_key_command: arguments.setup.management_key_command.as_deref(),
            without_asking: arguments.yes,
            reads: arguments.reads,
        }
    }
}

/// Says what the person should do about the risks that are left.
fn advise(registry: &ConfiguredRegistry, context: &Context, ui: Ui) -> Result<(), Error> {
    warn_of_one_card(context, ui)?;
    let cargo = context.cargo.read()?;
    for left in cargo.clear_tokens() {
        if cargo.is_token_of(&left, registry)? {
            ui.warn(format_args!(
                "{} still has a plaintext token for `{}`: remove it, and if it is another one, revoke it at the registry",
                escape_path(&left.file),
                escape(&left.registry)
            ));
        }
    }
    Ok(())
}

/// Says that a token which opens with one card only is lost with that card.
pub(super) fn warn_of_one_card(context: &Context, ui: Ui) -> Result<(), Error> {
    if Enrollments::load(context.cargo.home())?.sealing_keys.len() == 1 {
        ui.note("if this card is lost, so is the token; to add a second card: yk-cargo seal --add-card");
    }
    Ok(())
}

fn reads(text: &str) -> Result<Reads, String> {
    Reads::from_name(text).ok_or_else(|| "write auth-required or open".into())
}

/// From a hidden prompt; where standard input is no terminal, its first line.
fn ask_for_token(registry: &ConfiguredRegistry, context: &Context, ui: Ui) -> Result<BearerToken, Error> {
    if !std::io::stdin().is_terminal() {
        return first_line(std::io::stdin().lock());
    }
    ask_at_the_terminal(registry.name.as_deref().unwrap_or(&registry.index), context, ui)
}

/// The token from a hidden prompt.
///
/// # Errors
/// [`Error::Ask`], [`Error::BearerToken`].
pub(crate) fn ask_at_the_terminal(name: &str, context: &Context, ui: Ui) -> Result<BearerToken, Error> {
    let prompt = format!("Token of `{}`: ", escape(name));
    let line = ui.ask_hidden(&prompt, context.settings.wait.pin_prompt())?;
    Ok(BearerToken::new(line)?)
}

fn first_line(input: impl std::io::BufRead) -> Result<BearerToken, Error> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST_INPUT as usize));
    input.take(LONGEST_INPUT).read_until(b'\n', &mut line).map_err(Error::Stdio)?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| TokenError::NotPrintable)?;
    Ok(BearerToken::new(Zeroizing::new(text.to_owned()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_token() {
        let line = |text: &[u8]| first_line(text).map(|token| token.expose().to_owned());
        for text in [&b"abc"[..], b"abc\n", b"abc\r\n", b"abc\nmore\n"] {
            assert_eq!(line(text).unwrap(), "abc");
        }
        assert!(matches!(line(b"\nabc"), Err(Error::BearerToken(TokenError::Empty))));
        assert!(matches!(line(b"\xFFabc"), Err(Error::BearerToken(TokenError::NotPrintable))));
        assert!(matches!(line(&[b'x'; 20_000]), Err(Error::BearerToken(TokenError::TooLong))));
    }
}
