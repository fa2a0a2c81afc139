//! Whether the registries know the enrolled keys, seen with one read token each. For `doctor` and `status`, which ask a person for
//! nothing: it is tried with keys that want neither PIN nor touch.

use crate::card::plugged_in::{self, PluggedIn};
use crate::enrollment::{Card, Enrollments, Registry};
use crate::piv::{PinPolicy, Serial, TouchPolicy};
use crate::reader::Readers;
use crate::registry::greeting;
use crate::registry::visit::{self, Credential, Visit, Welcome};
use crate::settings::Settings;
use crate::signer::Signer;
use crate::text::{escape, foreign_word, quoted, sentence};
use crate::ui::Ui;

/// One registry, and the card with whose read key it was asked.
pub(super) struct Asked<'a> {
    pub(super) registry: &'a Registry,
    pub(super) serial: Option<Serial>,
    pub(super) visit: Result<Visit, greeting::Error>,
}

/// Asks all registries at once. A card that does not sign is no matter of the registry's: then it is asked without a token.
pub(super) fn ask<'a>(
    enrollments: &'a Enrollments,
    found: &[PluggedIn],
    readers: &Readers,
    settings: &Settings,
) -> Vec<Asked<'a>> {
    let mut questions = Vec::new();
    for registry in enrollments.registries.iter().filter(|registry| !registry.proofs) {
        let before = questions.len();
        for card in registry.cards.iter().filter(|card| can_sign_unasked(card, found)) {
            let alone = Registry { cards: vec![card.clone()], ..registry.clone() };
            if let Ok(signed) = Signer::new(readers, settings, Ui::silent()).sign(&alone, None) {
                let changes = card.key(true).map(|key| key.public.id());
                let credential = Credential { token: signed.token, changes };
                questions.push((registry, Some(card.serial), Some(credential)));
            }
        }
        if questions.len() == before {
            questions.push((registry, None, None));
        }
    }
    let asked: Vec<_> =
        questions.iter().map(|(registry, _, credential)| (&registry.index, credential.clone())).collect();
    let visits = visit::all(&asked, settings);
    let answers = questions.into_iter().zip(visits);
    answers.map(|((registry, serial, _), visit)| Asked { registry, serial, visit }).collect()
}

/// The answers of one registry.
pub(super) fn of<'a, 'b>(
    asked: &'b [Asked<'a>],
    registry: &'b Registry,
) -> impl Iterator<Item = &'b Asked<'a>> + Clone {
    asked.iter().filter(|asked| asked.registry.index == registry.index)
}

/// That a registry does not take a card's key; all of it is safe to show.
pub(super) struct Refusal {
    /// A sentence.
    pub(super) text: String,
    /// The registry's words in rows of their own, with the line break before them; empty if it has none.
    pub(super) words: String,
    /// The command that prints what the administrator needs to register the key.
    pub(super) next: String,
}

fn can_sign_unasked(card: &Card, found: &[PluggedIn]) -> bool {
    let asks_nobody =
        |key: &crate::enrollment::Key| key.pin == PinPolicy::Never && key.touch == TouchPolicy::Never;
    plugged_in::state_of(card.serial, found).is_some() && card.key(false).is_some_and(asks_nobody)
}

impl Asked<'_> {
    /// If the registry does not take the card's key.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let (key, words) = match &self.visit {
            Ok(Visit { welcome: Welcome::Refused(words), .. }) => ("read", words),
            Ok(Visit { changes: Welcome::Refused(words), .. }) => ("publish", words),
            _ => return None,
        };
        let serial = self.serial?;
        let name = self.registry.display_name();
        let words = words.as_ref().map(|words| format!("\n    it says\n{}", quoted(words)));
        Some(Refusal {
            text: format!("`{}` does not accept the {key} key of YubiKey {serial}", escape(name)),
            words: words.unwrap_or_default(),
            next: format!("yk-cargo enroll {} --serial {serial}", foreign_word(name)),
        })
    }

    /// How many staged versions wait for this person, if the registry tells.
    pub(super) fn waiting(&self) -> Option<usize> {
        self.counted().filter(|_| self.untold().is_none())
    }

    /// The same, of those that were read.
    fn counted(&self) -> Option<usize> {
        let listed = self.visit.as_ref().ok()?.staged.as_ref()?.as_ref().ok()?;
        let keys = || self.registry.cards.iter().filter_map(|card| Some(card.key(true)?.public.id()));
        Some(listed.stages.iter().filter(|stage| stage.waits_for(keys())).count())
    }

    /// Why it is not known how many wait, though the registry keeps staged versions. Safe to show.
    pub(super) fn untold(&self) -> Option<String> {
        let why = match self.visit.as_ref().ok()?.staged.as_ref()? {
            Ok(listed) => listed.cut()?,
            Err(error) => sentence(error),
        };
        let name = escape(self.registry.display_name());
        Some(format!("how many staged versions wait for your approval at `{name}` is not known: {why}"))
    }

    /// The command that lists what is staged.
    pub(super) fn list_command(&self) -> String {
        format!("yk-cargo stage list --registry {}", foreign_word(self.registry.display_name()))
    }

    /// That some wait, and what to do; `None` if none does. Safe to show.
    pub(super) fn waiting_in_words(&self) -> Option<String> {
        let name = self.registry.display_name();
        let what = match self.counted()? {
            0 => return None,
            1 => "1 staged version waits".to_owned(),
            count => format!("{count} staged versions wait"),
        };
        Some(format!("{what} for your approval at `{}`: {}", escape(name), self.list_command()))
    }

    /// Why the registry gave no answer, safe to show; a git index cannot be asked.
    pub(super) fn silence(&self) -> Option<String> {
        let error = self.visit.as_ref().err()?;
        (!matches!(error, greeting::Error::GitIndex)).then(|| sentence(error))
    }
}
