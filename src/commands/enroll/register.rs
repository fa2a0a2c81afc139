//! `--invite` and `--endorse-with`: the registry takes the keys itself.
//!
//! Each key signs the registry's nonce and the ids of all of them: the publish key asks for its PIN and a touch for
//! that. The right to it comes from the administrator, as a code, or from the person's other card, which signs the
//! same. Nothing is lost when this stops half-way: the keys are made and enrolled here, and the same command goes on.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use asymmetric_token::KeyId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::card::access::Access;
use crate::card::attested::{attestation, issuer};
use crate::card::label;
use crate::cargo_config::ConfiguredRegistry;
use crate::commands::enroll::{Enroll, Enrollment, plan};
use crate::context::Context;
use crate::enrollment::{Card, Enrollments, Registry};
use crate::error::Error;
use crate::piv::{self, Serial};
use crate::registry::enrollment::{self, Credential, ProvenKey, Registration};
use crate::signer::{self, Purpose, Signer};
use crate::ui::Ui;

/// Longer than any code.
const LONGEST_CODE: u64 = 256;

/// A registry that is to take the keys.
pub(super) struct Registering<'a> {
    registration: Registration<'a>,
    right: Right,
}

enum Right {
    Invite(Zeroizing<String>),
    /// Another card of the same person vouches for the keys.
    Endorsement(Serial),
}

impl<'a> Registering<'a> {
    /// Asks the registry whether it takes keys, and the person for the code, before anything is done to a card.
    pub(super) fn begin(
        arguments: &Enroll,
        registry: &ConfiguredRegistry,
        enrollments: &Enrollments,
        context: &'a Context,
    ) -> Result<Option<Self>, Error> {
        let endorser = arguments.endorse_with;
        if !arguments.invite && endorser.is_none() {
            return Ok(None);
        }
        if let Some(serial) = endorser {
            let enrolled = enrollments.registry(&registry.index);
            if enrolled.and_then(|registry| registry.card(serial)).is_none() {
                return Err(Error::not_one_of_its_cards(serial, &registry.index, enrolled));
            }
        }
        let registration = Registration::find(&registry.index, &context.settings)?;
        let terms = registration.terms()?;
        signer::can_enroll(&registry.index, &terms.nonce, plan::roles(arguments).len())?;
        let right = match endorser {
            Some(serial) => Right::Endorsement(serial),
            None => Right::Invite(invite(&registration, registry, enrollments, context)?),
        };
        Ok(Some(Self { registration, right }))
    }

    /// Asks the registry whether it will take keys by this code, before they are made.
    pub(super) fn is_invited(&self, label: &str) -> Result<(), Error> {
        if let Right::Invite(code) = &self.right {
            let terms = self.registration.terms()?;
            self.registration.is_invited(&terms.nonce, code, label)?;
        }
        Ok(())
    }

    /// Refuses a card that would vouch for itself.
    pub(super) fn may_enroll(&self, serial: Serial) -> Result<(), Error> {
        match self.right {
            Right::Endorsement(endorser) if endorser == serial => Err(Error::Usage(
                "the YubiKey that is plugged in is the one that vouches: plug in the new one first, and the other when you are asked for it",
            )),
            _ => Ok(()),
        }
    }
}

impl Enrollment<'_> {
    /// Sends all keys that this card has for the registry.
    pub(super) fn register(&self, with: &Registering<'_>, registry: &Registry) -> Result<(), Error> {
        let card = registry
            .card(self.card.serial)
            .ok_or_else(|| Error::NotEnrolled { registry: self.registry.index.to_string() })?;
        let terms = with.registration.terms()?;
        let chains = if terms.wants_attestation() { self.chains(card)? } else { vec![None; card.keys.len()] };
        let ids: Vec<KeyId> = card.keys.iter().map(|key| key.public.id()).collect();
        // A PIN may be asked for even with `--yes`.
        let mut signer = Signer::with(Access { ui: Ui::asking(), ..self.card.access });
        let mut proven = Vec::new();
        for (key, attestation) in card.keys.iter().zip(chains) {
            let purpose =
                Purpose::Enrollment { nonce: terms.nonce.clone(), role: key.role, keys: ids.clone() };
            let alone = Card { keys: vec![*key], ..card.clone() };
            let proof = signer.sign_for(&with_card_alone(registry, alone), purpose)?.token;
            proven.push(ProvenKey { key: *key, proof, attestation });
        }
        let endorsement;
        let credential = match &with.right {
            Right::Invite(code) => Credential::Invite(code),
            Right::Endorsement(serial) => {
                endorsement = self.endorsement(&mut signer, registry, *serial, &terms.nonce, &ids)?;
                Credential::Endorsement(&endorsement)
            }
        };
        let accepted = with.registration.submit(&terms.nonce, &credential, &card.label, &proven)?;
        self.ui.say(format_args!("the registry has accepted the keys and says\n{}", accepted.words()));
        Ok(())
    }

    /// The token that the other card signs. If only one card can be plugged in at a time, the person is asked to
    /// exchange them.
    fn endorsement(
        &self,
        signer: &mut Signer<'_>,
        registry: &Registry,
        serial: Serial,
        nonce: &str,
        ids: &[KeyId],
    ) -> Result<String, Error> {
        let not_enrolled = || Error::not_one_of_its_cards(serial, &registry.index, Some(registry));
        let endorser = registry.card(serial).ok_or_else(not_enrolled)?;
        let role = endorser.key(true).ok_or_else(|| Error::no_key(registry, true))?.role;
        let alone = with_card_alone(registry, endorser.clone());
        loop {
            let purpose = Purpose::Enrollment { nonce: nonce.to_owned(), role, keys: ids.to_vec() };
            match signer.sign_for(&alone, purpose) {
                Ok(signed) => return Ok(signed.token),
                Err(Error::WrongCard { .. } | Error::NoCard { .. }) if self.ui.is_interactive() => {
                    self.confirm(&format!(
                        "{} must vouch for the new keys. Is it plugged in now?",
                        endorser.display_name()
                    ))?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The attestation chain of each key, in the order of the keys; `None` for a key that the card does not attest.
    fn chains(&self, card: &Card) -> Result<Vec<Option<Vec<String>>>, Error> {
        let of = card.clone();
        let chains = self.card.look(move |piv| {
            let chains = of.keys.iter().map(|key| {
                match attestation(piv, &of, key).and_then(|key| Ok([key, issuer(piv)?])) {
                    Ok(chain) => Ok(Some(chain.map(|der| STANDARD.encode(der)).to_vec())),
                    Err(Error::Piv(
                        piv::Error::NotAttestable { .. }
                        | piv::Error::Unsupported { .. }
                        | piv::Error::Malformed { .. },
                    )) => Ok(None),
                    Err(error) => Err(error),
                }
            });
            chains.collect::<Result<Vec<_>, _>>()
        })?;
        for (key, _) in card.keys.iter().zip(&chains).filter(|(_, chain)| chain.is_none()) {
            self.ui.note(format_args!(
                "the {} key has no attestation, because YubiKey {} cannot attest that it made it",
                key.role, card.serial
            ));
        }
        Ok(chains)
    }
}

/// The registry with this card only, so that no other card or key signs.
fn with_card_alone(registry: &Registry, card: Card) -> Registry {
    Registry { cards: vec![card], ..registry.clone() }
}

/// The administrator's code. What is mistyped is asked for again, before a card is looked for. Where keys are enrolled here the code
/// may be spent, and they be registered by it.
fn invite(
    registration: &Registration<'_>,
    registry: &ConfiguredRegistry,
    enrollments: &Enrollments,
    context: &Context,
) -> Result<Zeroizing<String>, Error> {
    let has_keys = enrollments.registry(&registry.index).is_some_and(|registry| !registry.cards.is_empty());
    loop {
        let Code { text, is_typed } = code(context)?;
        match check(registration, &text) {
            Ok(()) => return Ok(text),
            Err(enrollment::Error::NotInvited { is_spent: true, .. }) if has_keys => return Ok(text),
            Err(enrollment::Error::NotInvited { detail, .. }) if is_typed => {
                Ui::asking().warn(format_args!("the registry refuses this code: {detail}"));
            }
            Err(error @ enrollment::Error::NotACode) if is_typed => Ui::asking().warn(error),
            Err(error) => return Err(error.into()),
        }
    }
}

fn check(registration: &Registration<'_>, code: &str) -> Result<(), enrollment::Error> {
    enrollment::is_code(code)?;
    let terms = registration.terms()?;
    registration.is_invited(&terms.nonce, code, &label::usual())
}

/// A code, and whether somebody is there to type another one.
struct Code {
    text: Zeroizing<String>,
    is_typed: bool,
}

/// The first line of standard input, or typed without echo. Never an argument: those can be seen by others.
fn code(context: &Context) -> Result<Code, Error> {
    // Asked for even with `--yes`: it has no default.
    let ui = Ui::asking();
    let mut code = Zeroizing::new(String::new());
    if !std::io::stdin().is_terminal() {
        std::io::stdin().lock().take(LONGEST_CODE).read_line(&mut code).map_err(Error::Stdio)?;
    }
    let is_typed = code.trim().is_empty();
    if is_typed && ui.is_interactive() {
        code = ui.ask_hidden("Invite code: ", context.settings.wait.pin_prompt())?;
    }
    let code = Zeroizing::new(code.trim().to_owned());
    if code.is_empty() {
        return Err(Error::Usage(
            "--invite: give the code as the first line of standard input, or type it in a terminal",
        ));
    }
    Ok(Code { text: code, is_typed })
}
