//! `seal --add-card`: every sealed token opens with one more card.
//!
//! The tokens are opened first, with a card that opens them already. They are kept in memory while the new card gets
//! its key, so the cards may be plugged in one after the other.

use crate::card::plugged_in;
use crate::enrollment::{Enrollments, SealedToken};
use crate::error::Error;
use crate::piv::Serial;
use crate::reader;
use crate::sealed::BearerToken;
use crate::sealer::Sealer;
use crate::text::escape;
use crate::unsealer::Occasion;

pub(super) fn run(sealer: &Sealer<'_>, no_check: bool) -> Result<(), Error> {
    let enrollments = Enrollments::load(sealer.context.cargo.home())?;
    if enrollments.sealing_keys.is_empty() {
        return sealer.key_on(sealer.making.serial);
    }
    sealer.drop_gone_key(&enrollments)?;
    let tokens = open_all(sealer, &enrollments)?;
    let new = match sealer.making.serial {
        Some(serial) => serial,
        None => new_card(sealer, &enrollments)?,
    };
    sealer.key_on(Some(new))?;
    for (sealed, token) in &tokens {
        sealer.reseal(sealed, token)?;
        sealer.ui.say(format_args!(
            "the token of `{}` now opens with YubiKey {new} too",
            escape(sealed.display_name())
        ));
    }
    match tokens.first() {
        Some((sealed, token)) if !no_check => sealer.check(sealed, token),
        _ => Ok(()),
    }
}

fn open_all(
    sealer: &Sealer<'_>,
    enrollments: &Enrollments,
) -> Result<Vec<(SealedToken, BearerToken)>, Error> {
    let open = |sealed: &SealedToken| {
        let token = sealer.unseal(sealed, Occasion::Other("to seal it for another card too"))?;
        Ok((sealed.clone(), token))
    };
    enrollments.sealed.iter().map(open).collect()
}

/// The number of the card that has no such key yet. If it is not there, the person is asked to plug it in.
fn new_card(sealer: &Sealer<'_>, enrollments: &Enrollments) -> Result<Serial, Error> {
    let known = |serial: &Serial| enrollments.sealing_keys.iter().any(|key| key.serial == *serial);
    let readers = sealer.readers;
    let (mut found, mut one_does_not_tell) = serials(sealer, enrollments)?;
    if found.iter().all(known) && !one_does_not_tell && sealer.ui.is_interactive() {
        let _countdown =
            sealer.ui.count_down("plug in the other YubiKey".into(), readers.deadlines().insertion);
        match readers.wait_for_insertion(&readers.yubikeys()?) {
            Err(reader::Error::NoReader) => {}
            inserted => drop(inserted?),
        }
        (found, one_does_not_tell) = serials(sealer, enrollments)?;
    }
    match found.iter().filter(|serial| !known(serial)).collect::<Vec<_>>()[..] {
        [] if one_does_not_tell => Err(Error::SerialNeeded),
        [] => Err(Error::NoOtherCard),
        [one] => Ok(*one),
        ref several => Err(Error::SeveralCards { found: several.iter().map(|serial| **serial).collect() }),
    }
}

/// Those that tell it or are known, and whether there is another one.
fn serials(sealer: &Sealer<'_>, enrollments: &Enrollments) -> Result<(Vec<Serial>, bool), Error> {
    let found = plugged_in::cards(sealer.readers, enrollments)?;
    let found: Vec<_> = found.into_iter().filter_map(|found| Some(found.card.ok()?.serial)).collect();
    Ok((found.iter().filter_map(|serial| *serial).collect(), found.contains(&None)))
}
