//! `attest`: the card's own statement that it made the enrolled keys, as certificates.
//!
//! Each key's attestation is followed by the certificate of slot F9 that signed it, in PEM (RFC 7468), as one reads
//! a chain. Who wants to believe it checks the chain against Yubico's root.

use asymmetric_token::PublicKey;
use der::pem::{LineEnding, encode_string};

use crate::cli::Attest;
use crate::commands::{Context, cards, print};
use crate::enrollment::{Card, Enrollments, Key};
use crate::error::Error;
use crate::piv::attestation::Attestation;
use crate::piv::{self, Piv, Slot};
use crate::reader::Readers;
use crate::ui::{Ui, escape};

/// Runs `yk-cargo attest`.
///
/// # Errors
/// [`Error::NotEnrolled`], no enrolled card plugged in, a key that is gone or was imported.
pub fn run(arguments: &Attest, context: &Context) -> Result<(), Error> {
    let enrollments = Enrollments::load(context.cargo.home())?;
    let registry = context.enrolled(&enrollments, &arguments.registry)?;
    let readers = Readers::start(context.settings.wait.deadlines());
    let found = cards::plugged_in(&readers)?;
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
        serials.push(serial);
        let Some(card) = registry.card(serial).cloned() else { continue };
        let ui = Ui::new(true);
        for key in &card.keys {
            ui.say(format_args!(
                "{} key in slot {} of YubiKey {serial} ({}): {}",
                key.role,
                key.slot,
                escape(&card.label),
                key.public.id()
            ));
        }
        print(cards::look(&readers, &found.reader, move |piv| chains(piv, &card))?.trim_end())?;
        attested = true;
    }
    match failure {
        _ if attested => Ok(()),
        Some(failure) => Err(failure),
        None if serials.is_empty() => Err(Error::NoCard { wanted: registry.cards_for_display() }),
        None => Err(Error::wrong_card(registry, &serials)),
    }
}

fn chains(piv: &mut Piv<'_>, card: &Card) -> Result<String, Error> {
    let serial = piv.serial()?;
    if serial != card.serial {
        return Err(Error::WrongCard { found: vec![serial], wanted: format!("YubiKey {}", card.serial) });
    }
    let malformed = piv::Error::Malformed { what: "attestation certificate in slot f9" };
    let issuer = piv.certificate(Slot::Attestation)?;
    let issuer = pem(issuer.as_ref().and_then(|object| object.der()).ok_or(malformed)?);
    let mut chains = String::new();
    for key in &card.keys {
        chains.push_str(&pem(&attest(piv, card, key)?));
        chains.push_str(&issuer);
    }
    Ok(chains)
}

/// The attestation of a key; of that key and no other.
fn attest(piv: &mut Piv<'_>, card: &Card, key: &Key) -> Result<Vec<u8>, Error> {
    let attestation = piv.attest(key.slot)?;
    let point = Attestation::read(&attestation)?.p384_point;
    match point.map(|point| PublicKey::from_uncompressed(&point)).transpose()? {
        Some(public) if public == key.public => Ok(attestation),
        _ => Err(Error::KeyGone { serial: card.serial, slot: key.slot }),
    }
}

fn pem(der: &[u8]) -> String {
    encode_string("CERTIFICATE", LineEnding::LF, der)
        .expect("a certificate fits into memory, and so does its text")
}
