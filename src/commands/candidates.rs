//! What the TAB key offers for an argument. No card and no registry is asked, and what cannot be read is left out.
//!
//! The shell puts a candidate into the command line as it is. So nothing of a project's is offered, and no name with signs that
//! mean something to a shell.

use std::collections::BTreeMap;

use clap::builder::StyledStr;
use clap_complete::{ArgValueCandidates, CompletionCandidate};

use crate::cargo_config::CRATES_IO_NAME;
use crate::context::Context;
use crate::enrollment::{Enrollments, Reads};
use crate::piv::{PinPolicy, Slot, TouchPolicy};
use crate::text::escape;

/// Registries' names: crates.io, those of cargo's configuration, and those that something is enrolled or sealed for.
pub(super) fn registries() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let mut names = BTreeMap::from([(CRATES_IO_NAME.to_owned(), "crates.io".to_owned())]);
        if let Some((context, enrollments)) = surroundings() {
            let enrolled = enrollments.registries.iter().map(|registry| (&registry.name, &registry.index));
            let sealed = enrollments.sealed.iter().map(|token| (&token.name, &token.index));
            names.extend(
                enrolled.chain(sealed).filter_map(|(name, index)| Some((name.clone()?, index.to_string()))),
            );
            names.extend(context.cargo.read_own().map(|own| own.own_registries()).unwrap_or_default());
        }
        names.retain(|name, _| name.chars().all(|sign| sign.is_alphanumeric() || "-_".contains(sign)));
        names.into_iter().map(|(name, index)| candidate(name, &index)).collect()
    })
}

/// Numbers of the cards that are enrolled, with their labels.
pub(super) fn cards() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let Some((_, enrollments)) = surroundings() else { return Vec::new() };
        let enrolled = enrollments.registries.iter().flat_map(|registry| &registry.cards);
        let enrolled = enrolled.map(|card| (card.serial, &card.label));
        let sealing = enrollments.sealing_keys.iter().map(|key| (key.serial, &key.label));
        let cards: BTreeMap<_, _> =
            enrolled.chain(sealing).map(|(serial, label)| (serial.to_string(), label)).collect();
        cards.into_iter().map(|(serial, label)| candidate(serial, label)).collect()
    })
}

/// The slots in which keys are made.
pub(super) fn slots() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        Slot::retired().map(|slot| CompletionCandidate::new(slot.to_string())).collect()
    })
}

/// When a key asks for the PIN.
pub(super) fn pin_policies() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let policies = [PinPolicy::Never, PinPolicy::Once, PinPolicy::Always];
        policies.map(|policy| CompletionCandidate::new(policy.to_string())).into()
    })
}

/// When a key asks for a touch.
pub(super) fn touch_policies() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let policies = [TouchPolicy::Never, TouchPolicy::Cached, TouchPolicy::Always];
        policies.map(|policy| CompletionCandidate::new(policy.to_string())).into()
    })
}

/// What a sealed token is opened for besides changes.
pub(super) fn reads() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        [Reads::AuthRequired, Reads::Open].map(|reads| CompletionCandidate::new(reads.as_str())).into()
    })
}

fn surroundings() -> Option<(Context, Enrollments)> {
    let context = Context::load().ok()?;
    let enrollments = Enrollments::load(context.cargo.home()).ok()?;
    Some((context, enrollments))
}

fn candidate(value: String, help: &str) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(StyledStr::from(escape(help))))
}
