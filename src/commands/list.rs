//! `list`: what is enrolled, and what is sealed. It reads files only, no card.

use clap::Args;
use serde_json::json;

use crate::commands::standing::Served;
use crate::commands::{print, print_json, proofs_shown, sealed_tokens};
use crate::context::Context;
use crate::enrollment::{Card, Enrollments, Key, Pending, Purpose, Registry};
use crate::error::Error;
use crate::text::escape;
use crate::ui::Ui;

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs `yk-cargo list`.
///
/// # Errors
/// The enrollments cannot be read.
pub fn run(arguments: &List, context: &Context) -> Result<(), Error> {
    let enrollments = Enrollments::load(context.cargo.home())?;
    if arguments.json {
        return print_json(&json!({
            "version": 1,
            "registries": enrollments.registries.iter().map(registry_json).collect::<Vec<_>>(),
            "unfinished": enrollments.pending.iter().filter_map(pending_json).collect::<Vec<_>>(),
            "sealed": enrollments.sealed.iter().map(|token| {
                sealed_tokens::json(token, &enrollments, context.cargo.home())
            }).collect::<Vec<_>>(),
            "sealing-keys": enrollments.sealing_keys.iter().map(sealed_tokens::key_json).collect::<Vec<_>>(),
        }));
    }
    let ui = Ui::silent();
    if enrollments.registries.is_empty() && enrollments.sealed.is_empty() {
        ui.note("nothing is enrolled yet; to start: yk-cargo enroll REGISTRY");
    }
    for registry in &enrollments.registries {
        print(registry_text(registry))?;
        if registry.cards.len() == 1 {
            ui.note(format_args!(
                "`{}` has one card; {}: {} --backup",
                escape(registry.display_name()),
                registry.loss(),
                registry.enroll_command()
            ));
        }
    }
    for token in &enrollments.sealed {
        print(sealed_tokens::text(token, &enrollments, context.cargo.home()))?;
    }
    for key in &enrollments.sealing_keys {
        print(sealed_tokens::key_text(key))?;
    }
    if !enrollments.sealed.is_empty() && enrollments.sealing_keys.len() == 1 {
        ui.note("sealed tokens open with one card only; to add a second one: yk-cargo seal --add-card");
    }
    let cargo = context.cargo.read();
    for served in Served::all(&enrollments) {
        if let Some(obstacle) = served.obstacle(&enrollments, &cargo, false) {
            ui.warn(obstacle);
        }
    }
    for line in proofs_shown::pending(context.cargo.home(), &enrollments)? {
        ui.note(line);
    }
    for pending in &enrollments.pending {
        ui.warn(format_args!(
            "slot {} of YubiKey {} is unfinished: {}",
            pending.slot,
            pending.serial,
            pending.next_command()
        ));
    }
    Ok(())
}

fn registry_text(registry: &Registry) -> String {
    let mut lines =
        vec![format!("{}  {}", escape(registry.name.as_deref().unwrap_or("-")), escape(&registry.index))];
    if registry.proofs {
        lines.push("  signs proofs of what is published there".to_owned());
    }
    for card in &registry.cards {
        lines.push(format!("  YubiKey {}  {}  firmware {}", card.serial, escape(&card.label), card.firmware));
        for key in &card.keys {
            lines.push(format!(
                "    {:<7}  slot {}  PIN {}, touch {}",
                key.role, key.slot, key.pin, key.touch
            ));
            lines.push(format!("             {}", key.public.id()));
            lines.push(format!("             {}", key.public));
        }
    }
    lines.join("\n")
}

fn registry_json(registry: &Registry) -> serde_json::Value {
    json!({
        "index": registry.index,
        "name": registry.name,
        "subject": registry.subject,
        "reuse": registry.reuse,
        "proofs": registry.proofs,
        "cards": registry.cards.iter().map(card_json).collect::<Vec<_>>(),
    })
}

/// Only of keys that sign.
fn pending_json(pending: &Pending) -> Option<serde_json::Value> {
    let Purpose::Signing { role, index } = &pending.purpose else { return None };
    Some(json!({
        "serial": pending.serial.0,
        "slot": pending.slot.to_string(),
        "role": role.as_str(),
        "index": index,
    }))
}

fn card_json(card: &Card) -> serde_json::Value {
    json!({
        "serial": card.serial.0,
        "label": card.label,
        "firmware": card.firmware.to_string(),
        "keys": card.keys.iter().map(key_json).collect::<Vec<_>>(),
    })
}

fn key_json(key: &Key) -> serde_json::Value {
    json!({
        "role": key.role.as_str(),
        "slot": key.slot.to_string(),
        "public": key.public.to_string(),
        "key-id": key.public.id().to_string(),
        "pin": key.pin.as_str(),
        "touch": key.touch.as_str(),
    })
}
