//! `attest`: the card's own statement that it made the enrolled keys, as certificates.
//!
//! Each key's attestation is followed by the certificate of slot F9 that signed it, in PEM (RFC 7468), as one reads
//! a chain. It proves something only if the chain is checked against Yubico's root.

use clap::Args;
use der::pem::{LineEnding, encode_string};

use crate::card::access;
use crate::card::attested::{attestation, issuer};
use crate::card::known::KnownCards;
use crate::card::plugged_in;
use crate::commands::candidates;
use crate::commands::print;
use crate::context::Context;
use crate::enrollment::{Card, Enrollments};
use crate::error::Error;
use crate::piv::Piv;
use crate::ui::Ui;

/// Arguments of `attest`.
#[derive(Debug, Args)]
pub struct Attest {
    /// The registry's name in cargo's configuration, or its index URL.
    #[arg(add = candidates::registries())]
    pub registry: String,
}

/// Runs `yk-cargo attest`.
///
/// # Errors
/// [`Error::NotEnrolled`], no enrolled card plugged in, a key that is gone or was imported.
pub fn run(arguments: &Attest, context: &Context) -> Result<(), Error> {
    let enrollments = Enrollments::load(context.cargo.home())?;
    let registry = context.enrolled(&enrollments, &arguments.registry)?;
    let readers = access::readers(&context.settings.wait);
    let found = plugged_in::cards(&readers, &enrollments)?;
    let mut serials = Vec::new();
    let mut attested = false;
    let mut failure = None;
    for found in found {
        let serial = match found.card {
            Ok(state) => state.serial,
            Err(error) => {
                failure = Some(error);
                continue;
            }
        };
        serials.extend(serial);
        let Some(card) = serial.and_then(|serial| registry.card(serial)).cloned() else { continue };
        let ui = Ui::silent();
        for key in &card.keys {
            ui.say(format_args!(
                "{} key in slot {} of {}: {}",
                key.role,
                key.slot,
                card.display_name(),
                key.public.id()
            ));
        }
        print(readers.look(&found.reader, move |piv| chains(piv, &card))?.trim_end())?;
        attested = true;
    }
    match failure {
        _ if attested => Ok(()),
        Some(failure) => Err(failure),
        None if serials.is_empty() => Err(Error::NoCard { wanted: registry.cards_for_display() }),
        None => Err(KnownCards::enrolled(&registry.cards).wrong_card(&serials)),
    }
}

fn chains(piv: &mut Piv<'_>, card: &Card) -> Result<String, Error> {
    let found = KnownCards::enrolled([card]).number(piv)?;
    if found != Some(card.serial) {
        let found = found.into_iter().collect();
        return Err(Error::WrongCard { found, wanted: format!("YubiKey {}", card.serial) });
    }
    let issuer = issuer(piv)?;
    let mut chains = String::new();
    for key in &card.keys {
        chains.push_str(&pem(&attestation(piv, card, key)?));
        chains.push_str(&pem(&issuer));
    }
    Ok(chains)
}

fn pem(der: &[u8]) -> String {
    encode_string("CERTIFICATE", LineEnding::LF, der)
        .expect("a certificate fits into memory, and so does its text")
}

#[cfg(test)]
mod tests {
    use p384::elliptic_curve::sec1::ToSec1Point as _;

    use asymmetric_token::PublicKey;

    use super::*;
    use crate::enrollment::{Key, Role};
    use crate::piv;
    use crate::piv::attestation::tests::statement_about;
    use crate::piv::script::Script;
    use crate::piv::{PinPolicy, Serial, TouchPolicy, Version};

    const SELECTED: &str = "61114F0600001000010079074F05A000000308 9000";
    const NUMBER: &str = "00BC614E 9000";
    /// `70` certificate, `71` uncompressed.
    const ISSUER: &str = "53 08 70 03 300101 71 01 00 9000";

    fn key(secret: u8) -> p384::PublicKey {
        p384::SecretKey::from_slice(&[secret; 48]).unwrap().public_key()
    }

    fn card(secret: u8) -> Card {
        let point = key(secret).to_sec1_point(false);
        let public = PublicKey::from_uncompressed(point.as_bytes().try_into().unwrap()).unwrap();
        let slot = "83".parse().unwrap();
        let publish =
            Key { role: Role::Publish, slot, public, pin: PinPolicy::Once, touch: TouchPolicy::Cached };
        Card {
            serial: Serial(12_345_678),
            firmware: Version::new(5, 7, 4),
            label: "laptop key".into(),
            keys: vec![publish],
        }
    }

    fn chains_of(card: &Card, answers: &[&str]) -> Result<String, Error> {
        let mut script = Script::answers(&[&[SELECTED], answers].concat());
        let mut piv = Piv::select(&mut script).unwrap();
        let chains = chains(&mut piv, card);
        script.assert_finished();
        chains
    }

    fn statement(secret: u8) -> String {
        let der = statement_about(&key(secret));
        der.iter().map(|byte| format!("{byte:02X}")).collect::<String>() + "9000"
    }

    #[test]
    fn the_statement_comes_before_who_signed_it() {
        let chain = chains_of(&card(5), &[NUMBER, ISSUER, &statement(5)]).unwrap();
        let issuer = pem(&[0x30, 1, 1]);
        assert_eq!(chain, pem(&statement_about(&key(5))) + &issuer);
        assert_eq!(issuer, "-----BEGIN CERTIFICATE-----\nMAEB\n-----END CERTIFICATE-----\n");
    }

    #[test]
    fn a_statement_about_another_key_is_not_shown() {
        let chain = chains_of(&card(5), &[NUMBER, ISSUER, &statement(6)]);
        assert!(matches!(chain, Err(Error::KeyGone { .. })), "{chain:?}");
        let exchanged = chains_of(&card(5), &["00000001 9000"]);
        assert!(matches!(exchanged, Err(Error::WrongCard { .. })), "{exchanged:?}");
        let without_issuer = chains_of(&card(5), &[NUMBER, "6A82"]);
        assert!(
            matches!(without_issuer, Err(Error::Piv(piv::Error::Malformed { .. }))),
            "{without_issuer:?}"
        );
    }
}
