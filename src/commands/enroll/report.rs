//! What the person has to do next, to copy and paste. It goes to stdout, because it is the result of the command.

use crate::commands::print as to_stdout;
use crate::enrollment::{Card, Registry, Role};
use crate::error::Error;
use crate::piv::Serial;
use crate::text::foreign_word;

pub(super) fn print(
    registry: &Registry,
    serial: Serial,
    replaced: Option<&Card>,
    is_registered: bool,
) -> Result<(), Error> {
    let Some(card) = registry.card(serial) else { return Ok(()) };
    let mut lines = if is_registered { Vec::new() } else { keys_to_add(registry, card) };
    if let Some(replaced) = replaced {
        lines.push(format!(
            "{} still holds its keys. To be revoked, once the new ones are there:",
            replaced.display_name()
        ));
        lines.extend(replaced.keys.iter().map(|key| {
            format!("  registry-gateway key revoke {}  # {}, slot {}", key.public.id(), key.role, key.slot)
        }));
    }
    if !is_registered {
        lines.extend(bare_keys(registry, card));
    }
    if registry.cards.len() == 1 {
        lines.push(format!(
            "A key that cannot be copied can be lost, and is lost too once PIN and PUK are blocked: plug in a second YubiKey and run yk-cargo enroll {} --backup{}",
            foreign_word(registry.display_name()),
            if is_registered { format!(" --endorse-with {serial}") } else { String::new() }
        ));
    }
    to_stdout(lines.join("\n"))
}

/// The commands for the administrator of a gateway.
fn keys_to_add(registry: &Registry, card: &Card) -> Vec<String> {
    let mut lines =
        vec!["For the registry's administrator (registry-gateway), with your user name there:".to_owned()];
    for key in &card.keys {
        let subject =
            registry.subject.as_ref().map(|subject| format!(" --subject {}", foreign_word(subject)));
        lines.push(format!(
            "  registry-gateway key add --user <NAME> --role {} --label {}{} {}",
            key.role,
            foreign_word(&card.label),
            subject.unwrap_or_default(),
            key.public
        ));
    }
    lines
}

/// The public keys, for registries that are no gateway.
fn bare_keys(registry: &Registry, card: &Card) -> Vec<String> {
    let mut lines = vec!["For any other registry that verifies asymmetric tokens:".to_owned()];
    lines.extend(card.keys.iter().map(|key| format!("  {}", key.public)));
    if card.keys.iter().all(|key| key.role != Role::Both) {
        let name = foreign_word(registry.display_name());
        lines.push(format!(
            "If it takes one key only: yk-cargo forget {name}, then yk-cargo enroll {name} --single-key"
        ));
    }
    lines
}
