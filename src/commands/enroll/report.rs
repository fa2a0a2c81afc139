//! What the person has to do next, to copy and paste. It goes to stdout, because it is the result of the command.

use crate::commands::print as to_stdout;
use crate::enrollment::{Card, Registry};
use crate::error::Error;
use crate::piv::Serial;
use crate::text::foreign_word;

/// What is missing before the keys can be used.
pub(super) struct Lacks {
    /// The registry does not know the keys.
    pub(super) keys: bool,
    /// Cargo does not ask this program.
    pub(super) provider: bool,
}

pub(super) fn print(
    registry: &Registry,
    serial: Serial,
    replaced: Option<&Card>,
    lacks: Lacks,
) -> Result<(), Error> {
    let Some(card) = registry.card(serial) else { return Ok(()) };
    let name = foreign_word(registry.display_name());
    let mut steps = Vec::new();
    if lacks.provider {
        let configure = format!("{} --configure", registry.enroll_command());
        steps.push(vec![configure, "with which cargo asks yk-cargo for this registry's tokens".to_owned()]);
    }
    match (registry.proofs, lacks.keys) {
        (true, _) => steps.push(key_to_trust(card)),
        (false, false) => steps.push(vec![format!("cargo publish --registry {name}")]),
        (false, true) => {
            steps.push(keys_to_add(registry, card));
            steps.push(vec![format!("cargo publish --registry {name}")]);
        }
    }
    if let Some(replaced) = replaced.filter(|_| !registry.proofs) {
        let mut step =
            vec![format!("ask the administrator to revoke the keys of {}:", replaced.display_name())];
        step.extend(replaced.keys.iter().map(|key| {
            format!("registry-gateway key revoke {}  # {}, slot {}", key.public.id(), key.role, key.slot)
        }));
        steps.push(step);
    }
    if registry.cards.len() == 1 {
        let endorsed = if lacks.keys { String::new() } else { format!(" --endorse-with {serial}") };
        steps.push(vec![
            format!("{} --backup{endorsed}", registry.enroll_command()),
            "with a second YubiKey, because a lost key cannot be restored".to_owned(),
        ]);
    }
    let lines = (0..).zip(&steps).flat_map(|(number, step)| {
        let first = if number == 0 { "Next: " } else { "Then: " };
        (0..).zip(step).map(move |(line, text)| format!("{}{text}", if line == 0 { first } else { "      " }))
    });
    to_stdout(lines.collect::<Vec<_>>().join("\n"))
}

/// For those who build on what is published.
fn key_to_trust(card: &Card) -> Vec<String> {
    let mut lines = vec!["publish your public key where the users of your crates will find it:".to_owned()];
    lines.extend(card.keys.iter().map(|key| key.public.to_string()));
    lines
}

/// The commands for the administrator of a gateway.
fn keys_to_add(registry: &Registry, card: &Card) -> Vec<String> {
    let mut lines = vec![
        "send these lines to the registry's administrator, who puts your user name for <NAME>:".to_owned(),
    ];
    for key in &card.keys {
        let subject =
            registry.subject.as_ref().map(|subject| format!(" --subject {}", foreign_word(subject)));
        lines.push(format!(
            "registry-gateway key add --user <NAME> --role {} --label {}{} {}",
            key.role,
            foreign_word(&card.label),
            subject.unwrap_or_default(),
            key.public
        ));
    }
    lines
}
