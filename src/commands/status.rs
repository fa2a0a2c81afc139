//! `status`: which cards are here, what they are enrolled for, and for each registry whether cargo can publish there now, what it
//! will ask for, or what keeps it from it.

use clap::Args;
use serde_json::{Value, json};

use crate::card::access;
use crate::card::asks::Asks;
use crate::card::plugged_in::{self, CardState, PluggedIn, Presence};
use crate::cargo_config::{self, Configuration};
use crate::commands::proofs_shown::{self, Signed};
use crate::commands::registered::{self, Asked, Refusal};
use crate::commands::standing::Served;
use crate::commands::{Mark, print, print_json, print_marked, sealed_tokens};
use crate::context::Context;
use crate::enrollment::{Enrollments, Registry, SealedToken, SealingKey};
use crate::error::Error;
use crate::piv::{PinState, Serial};
use crate::text::{escape, escape_path, foreign_word};
use crate::ui::Ui;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs `yk-cargo status`.
///
/// # Errors
/// The enrollments cannot be read. Cards that cannot be read are part of the answer.
pub fn run(arguments: &Status, context: &Context) -> Result<(), Error> {
    let enrollments = Enrollments::load(context.cargo.home())?;
    let readers = access::readers(&context.settings.wait);
    let found = plugged_in::cards(&readers, &enrollments);
    let cargo = context.cargo.read();
    let cards = found.as_deref().unwrap_or_default();
    let asked = registered::ask(&enrollments, cards, &readers, &context.settings);
    if arguments.json {
        return print_json(&as_json(&enrollments, &found, &cargo, &asked, context));
    }
    let ui = Ui::silent();
    match &found {
        Ok(found) if found.is_empty() => print("no YubiKey is plugged in")?,
        Ok(found) => found.iter().try_for_each(|found| print(card_text(found)))?,
        Err(error) => ui.error(error, error.hint().as_deref()),
    }
    for registry in &enrollments.registries {
        print(registry_text(registry, cards))?;
        if registry.proofs {
            let signed = cargo.as_ref().map(|cargo| Signed::of(registry, &enrollments, cargo));
            match signed {
                Ok(Ok(Signed::ByPublishing { text })) => print_marked(Mark::Good, text)?,
                Ok(Ok(Signed::ByHand { text, next })) => {
                    print_marked(Mark::Bad, format_args!("{text}; next: {next}"))?;
                }
                Ok(Err(error)) => print_marked(Mark::Bad, error.with_hint())?,
                Err(error) => print_marked(Mark::Bad, error.with_hint())?,
            }
            continue;
        }
        let outlook = Outlook::of(registry, &enrollments, cards, &cargo, &asked);
        print_marked(outlook.mark(), outlook.text(&registry.cards_for_display()))?;
        let waiting = registered::of(&asked, registry).find_map(Asked::waiting_in_words);
        let untold = registered::of(&asked, registry).find_map(Asked::untold);
        waiting.into_iter().chain(untold).try_for_each(|line| print(format_args!("    {line}")))?;
    }
    for token in &enrollments.sealed {
        let home = context.cargo.home();
        print(sealed_tokens::text(token, &enrollments, home))?;
        if let Ok(keys) = sealed_tokens::keys(token, &enrollments, home) {
            let outlook = Outlook::of_sealed(token, &keys, &enrollments, cards, &cargo);
            print_marked(outlook.mark(), outlook.text(&sealed_tokens::cards_for_display(&keys)))?;
        }
    }
    for line in proofs_shown::pending(context.cargo.home(), &enrollments)? {
        ui.note(line);
    }
    if enrollments.registries.is_empty() && enrollments.sealed.is_empty() {
        ui.note("nothing is enrolled yet; to start: yk-cargo enroll REGISTRY");
    }
    // What is wrong with cargo's files is told by `doctor`.
    for token in cargo.iter().flat_map(Configuration::clear_tokens) {
        let (name, file) = (escape(&token.registry), escape_path(&token.file));
        let word = foreign_word(&token.registry);
        ui.note(format_args!(
            "{file} has a plaintext token for `{name}`; to seal it: yk-cargo migrate --registry {word}"
        ));
    }
    Ok(())
}

/// Cargo's configuration, or why cargo refuses it.
type Cargo = Result<Configuration, cargo_config::Error>;

/// What the next publish to a registry comes to.
enum Outlook {
    Asks {
        serial: Serial,
        asks: Asks,
        verified: bool,
    },
    Blocked {
        serial: Serial,
        next: String,
    },
    NoKey {
        serial: Serial,
    },
    /// One that cannot be read now may be the right one.
    Unread,
    NoCard,
    /// Cargo does not come to ask.
    NotAsked {
        why: String,
    },
    /// The registry does not answer now.
    Silent {
        why: String,
    },
    /// The registry does not know the card's keys, or not any more.
    NotRegistered {
        serial: Serial,
        refusal: Refusal,
    },
}

impl Outlook {
    fn of(
        registry: &Registry,
        enrollments: &Enrollments,
        found: &[PluggedIn],
        cargo: &Cargo,
        asked: &[Asked<'_>],
    ) -> Self {
        if let Some(why) = Served::from(registry).obstacle(enrollments, cargo, false) {
            return Self::NotAsked { why };
        }
        let asked = registered::of(asked, registry);
        let silence = asked.clone().find_map(Asked::silence);
        let cards = registry.cards.iter().filter_map(|card| {
            let state = plugged_in::state_of(card.serial, found)?;
            let refusal =
                asked.clone().find(|asked| asked.serial == Some(card.serial)).and_then(Asked::refusal);
            let outlook = Self::with(card.serial, state, Asks::next_publish(card, state.pin));
            Some(match (outlook, refusal) {
                (Self::Asks { serial, .. }, Some(refusal)) => Self::NotRegistered { serial, refusal },
                (outlook, _) => outlook,
            })
        });
        match (Self::first(cards, found), silence) {
            (Self::Asks { .. }, Some(why)) => Self::Silent { why },
            (outlook, _) => outlook,
        }
    }

    /// With the first of a sealed token's keys whose card is here.
    fn of_sealed(
        token: &SealedToken,
        keys: &[&SealingKey],
        enrollments: &Enrollments,
        found: &[PluggedIn],
        cargo: &Cargo,
    ) -> Self {
        if let Some(why) = Served::from(token).obstacle(enrollments, cargo, false) {
            return Self::NotAsked { why };
        }
        let cards = keys.iter().filter_map(|key| {
            let state = plugged_in::state_of(key.serial, found)?;
            let proving = enrollments.proving(&token.index).and_then(|registry| registry.card(key.serial));
            let asks = match proving.and_then(|card| card.key(true)) {
                Some(proof) => Asks::proving(proof, key, state.pin),
                None => Asks::opening(key, state.pin),
            };
            Some(Self::with(key.serial, state, Some(asks)))
        });
        Self::first(cards, found)
    }

    /// Of the cards that are here, the first that can be used: so it is when a token is wanted.
    fn first(cards: impl Iterator<Item = Self>, found: &[PluggedIn]) -> Self {
        let mut cards: Vec<_> = cards.collect();
        let best = cards.iter().position(|outlook| !matches!(outlook, Self::Blocked { .. }));
        match best {
            Some(best) => cards.swap_remove(best),
            None if !cards.is_empty() => cards.swap_remove(0),
            None if found.iter().any(|found| found.card.is_err()) => Self::Unread,
            None => Self::NoCard,
        }
    }

    fn with(serial: Serial, state: CardState, asks: Option<Asks>) -> Self {
        match asks {
            None => Self::NoKey { serial },
            Some(Asks { pins: 1.., .. }) if state.pin == PinState::Blocked => {
                Self::Blocked { serial, next: state.unblock() }
            }
            Some(asks) => Self::Asks { serial, asks, verified: state.pin == PinState::Verified },
        }
    }

    fn text(&self, cards: &str) -> String {
        match self {
            Self::Asks { serial, asks, verified } => format!(
                "the next `cargo publish` asks for {asks} (YubiKey {serial}{})",
                if *verified {
                    "; the card remembers its PIN until it is idle for a few seconds"
                } else {
                    ""
                }
            ),
            Self::Blocked { serial, next } => {
                format!("cannot publish: the PIN of YubiKey {serial} is blocked; run `{next}`")
            }
            Self::Unread => {
                format!("to publish, {cards} must be free: a YubiKey that is plugged in cannot be read now")
            }
            Self::NoKey { serial } => {
                format!("cannot publish: no publish key is enrolled on YubiKey {serial}")
            }
            Self::NoCard => format!("to publish, plug in {cards}"),
            Self::NotAsked { why } => format!("cannot publish: {why}"),
            Self::Silent { why } => format!("cannot publish now: {why}"),
            Self::NotRegistered { refusal: Refusal { text, words, next }, .. } => {
                format!("cannot publish: {text}; next: {next}{words}")
            }
        }
    }

    fn mark(&self) -> Mark {
        if matches!(self, Self::Asks { .. }) { Mark::Good } else { Mark::Bad }
    }

    fn json(&self) -> Value {
        match self {
            Self::Asks { serial, asks, .. } => {
                json!({ "possible": true, "serial": serial.0, "pins": asks.pins, "touches": asks.touches })
            }
            Self::Blocked { serial, .. } => {
                json!({ "possible": false, "serial": serial.0, "reason": "pin-blocked" })
            }
            Self::NoKey { serial } => json!({ "possible": false, "serial": serial.0, "reason": "no-key" }),
            Self::Unread => json!({ "possible": false, "serial": null, "reason": "unreadable-card" }),
            Self::NoCard => json!({ "possible": false, "serial": null, "reason": "no-card" }),
            Self::NotAsked { why } => {
                json!({ "possible": false, "serial": null, "reason": "not-asked", "text": why })
            }
            Self::Silent { why } => {
                json!({ "possible": false, "serial": null, "reason": "no-answer", "text": why })
            }
            Self::NotRegistered { serial, refusal: Refusal { text, words, .. } } => {
                let text = format!("{text}{words}");
                json!({ "possible": false, "serial": serial.0, "reason": "not-registered", "text": text })
            }
        }
    }
}

fn card_text(found: &PluggedIn) -> String {
    match &found.card {
        Err(error) => format!("{}: {error}{}", escape(&found.reader.to_string()), hint(error)),
        Ok(card) => format!("{}  firmware {}  {}", card.name(), card.firmware, pin_text(card.pin)),
    }
}

fn hint(error: &Error) -> String {
    error.hint().map(|hint| format!("; {hint}")).unwrap_or_default()
}

fn pin_text(pin: PinState) -> String {
    match pin {
        PinState::Verified => "PIN verified".into(),
        PinState::Tries(1) => "PIN not verified, 1 try left".into(),
        PinState::Tries(tries) => format!("PIN not verified, {tries} tries left"),
        PinState::Blocked => "PIN blocked".into(),
    }
}

fn registry_text(registry: &Registry, found: &[PluggedIn]) -> String {
    let mut lines =
        vec![format!("{}  {}", escape(registry.name.as_deref().unwrap_or("-")), escape(&registry.index))];
    for card in &registry.cards {
        let here = match Presence::of(card.serial, found) {
            Presence::Here => "plugged in",
            Presence::Perhaps => "possibly the one that cannot be read",
            Presence::Away => "not plugged in",
        };
        lines.push(format!("  YubiKey {} ({})  {here}", card.serial, escape(&card.label)));
    }
    lines.join("\n")
}

fn as_json(
    enrollments: &Enrollments,
    found: &Result<Vec<PluggedIn>, Error>,
    cargo: &Cargo,
    asked: &[Asked<'_>],
    context: &Context,
) -> Value {
    let home = context.cargo.home();
    let sealed = |token| {
        let mut value = sealed_tokens::json(token, enrollments, home);
        let keys = sealed_tokens::keys(token, enrollments, home).unwrap_or_default();
        let found = found.as_deref().unwrap_or_default();
        value["next-publish"] = Outlook::of_sealed(token, &keys, enrollments, found, cargo).json();
        value
    };
    let cards = found.as_deref().unwrap_or_default();
    json!({
        "version": 1,
        "error": found.as_ref().err().map(ToString::to_string),
        "cards": cards.iter().map(card_json).collect::<Vec<_>>(),
        "registries": enrollments.registries.iter().map(|registry| json!({
            "index": registry.index,
            "name": registry.name,
            "cards": registry.cards.iter().map(|card| json!({
                "serial": card.serial.0,
                "label": card.label,
                "plugged-in": match Presence::of(card.serial, cards) {
                    Presence::Here => Some(true),
                    Presence::Perhaps => None,
                    Presence::Away => Some(false),
                },
            })).collect::<Vec<_>>(),
            "proofs": registry.proofs,
            "staged-waiting": registered::of(asked, registry).find_map(Asked::waiting),
            "staged-unknown": registered::of(asked, registry).find_map(Asked::untold),
            "next-publish": (!registry.proofs).then(|| Outlook::of(registry, enrollments, cards, cargo, asked).json()),
        })).collect::<Vec<_>>(),
        "sealed": enrollments.sealed.iter().map(sealed).collect::<Vec<_>>(),
        "in-clear": cargo.iter().flat_map(Configuration::clear_tokens).map(|token| json!({
            "registry": token.registry,
            "file": token.file,
        })).collect::<Vec<_>>(),
    })
}

fn card_json(found: &PluggedIn) -> Value {
    let reader = found.reader.to_string();
    match &found.card {
        Err(error) => json!({ "reader": reader, "error": error.to_string() }),
        Ok(card) => json!({
            "reader": reader,
            "serial": card.serial.map(|serial| serial.0),
            "firmware": card.firmware.to_string(),
            "pin": match card.pin {
                PinState::Verified => json!({ "state": "verified" }),
                PinState::Tries(tries) => json!({ "state": "not-verified", "tries": tries }),
                PinState::Blocked => json!({ "state": "blocked", "tries": 0 }),
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use asymmetric_token::PublicKey;

    use super::*;
    use crate::enrollment::{Card, Key, Role};
    use crate::piv::{PinPolicy, TouchPolicy, Version};

    /// The generator of P-384, compressed as in PASERK: a point that is on the curve for certain.
    fn public() -> PublicKey {
        let generator =
            p384::elliptic_curve::sec1::ToSec1Point::to_sec1_point(&p384::AffinePoint::GENERATOR, false);
        PublicKey::from_uncompressed(generator.as_bytes().try_into().unwrap()).unwrap()
    }

    fn card(keys: &[(Role, &str, PinPolicy, TouchPolicy)]) -> Card {
        let keys = keys.iter().map(|&(role, slot, pin, touch)| Key {
            role,
            slot: slot.parse().unwrap(),
            public: public(),
            pin,
            touch,
        });
        Card { serial: Serial(1), firmware: Version::new(5, 7, 4), label: "key".into(), keys: keys.collect() }
    }

    fn asks(keys: &[(Role, &str, PinPolicy, TouchPolicy)], pin: PinState) -> String {
        Asks::next_publish(&card(keys), pin).map_or_else(|| "no key".into(), |asks| asks.to_string())
    }

    #[test]
    fn the_default_keys_cost_one_pin_and_one_touch() {
        let keys = [
            (Role::Read, "82", PinPolicy::Never, TouchPolicy::Never),
            (Role::Publish, "83", PinPolicy::Once, TouchPolicy::Always),
        ];
        assert_eq!(asks(&keys, PinState::Tries(3)), "the PIN and a touch");
        assert_eq!(asks(&keys, PinState::Verified), "a touch");
        assert_eq!(asks(&keys[..1], PinState::Verified), "no key");
    }

    #[test]
    fn policies_add_up() {
        let one = |pin, touch| asks(&[(Role::Both, "82", pin, touch)], PinState::Tries(3));
        assert_eq!(one(PinPolicy::Once, TouchPolicy::Cached), "the PIN and a touch");
        assert_eq!(one(PinPolicy::Always, TouchPolicy::Always), "the PIN 2 times and 2 touches");
        assert_eq!(one(PinPolicy::Never, TouchPolicy::Never), "nothing");
        let two = [
            (Role::Read, "82", PinPolicy::Once, TouchPolicy::Cached),
            (Role::Publish, "83", PinPolicy::Once, TouchPolicy::Cached),
        ];
        assert_eq!(asks(&two, PinState::Tries(3)), "the PIN and 2 touches");
    }
}
