//! Choosing the card on which keys are made, among those that are plugged in.

use super::access::Access;
use super::identity::told_serial;
use super::survey::SurveyedCard;
use crate::error::Error;
use crate::piv::Serial;

/// The card to use: the only one, the one asked for, or the one chosen; never the one that it is to replace.
///
/// # Errors
/// [`Error::NoCard`], [`Error::SeveralCards`], [`Error::NotTheChosenCard`], [`Error::ReplacesItself`],
/// [`Error::SerialNeeded`], [`Error::Reader`].
pub(crate) fn card<'a>(
    access: Access<'a>,
    wanted: Option<Serial>,
    replaced: Option<Serial>,
) -> Result<SurveyedCard<'a>, Error> {
    let Access { readers, ui, settings } = access;
    let mut names = readers.yubikeys()?;
    if names.is_empty() && ui.is_interactive() {
        let _countdown = ui.aloud().count_down("plug in the YubiKey".into(), readers.deadlines().insertion);
        names = readers.wait_for_insertion(&[])?;
    }
    let mut cards = Vec::new();
    for name in names {
        cards.push((readers.look(&name, |piv| Ok::<_, Error>(told_serial(piv)?))?, name));
    }
    if let Some(serial) = replaced {
        let others = cards.iter().filter(|(found, _)| *found != Some(serial)).count();
        if (others == 0 && !cards.is_empty()) || wanted == replaced {
            return Err(Error::ReplacesItself { serial });
        }
        cards.retain(|(found, _)| *found != Some(serial));
    }
    let found: Vec<_> = cards.iter().filter_map(|(serial, _)| *serial).collect();
    if let Some(wanted) = wanted {
        let is_there = found.contains(&wanted);
        cards.retain(|(serial, _)| if is_there { *serial == Some(wanted) } else { serial.is_none() });
        if cards.is_empty() {
            return Err(if found.is_empty() {
                Error::NoCard { wanted: format!("YubiKey {wanted}") }
            } else {
                Error::NotTheChosenCard { found, wanted }
            });
        }
    }
    if cards.len() > 1 {
        if !ui.is_interactive() {
            return Err(Error::SeveralCards { found });
        }
        let choices: Vec<_> = cards.iter().map(|(serial, _)| name(*serial)).collect();
        let choice = ui.choose("Which YubiKey?", &choices, settings.wait.pin_prompt())?;
        cards = vec![cards.swap_remove(choice)];
    }
    let (serial, reader) =
        cards.pop().ok_or_else(|| Error::NoCard { wanted: "the YubiKey to enroll".into() })?;
    let serial = match serial.or(wanted) {
        Some(serial) => serial,
        None => printed_serial(access)?,
    };
    SurveyedCard::survey(access, reader, serial)
}

/// A card as a person knows it.
pub(super) fn name(serial: Option<Serial>) -> String {
    match serial {
        Some(serial) => format!("YubiKey {serial}"),
        None => "a YubiKey that does not tell its number".to_owned(),
    }
}

/// Old firmware does not tell its number, but it is printed on the key; from then on its keys identify the card.
fn printed_serial(access: Access<'_>) -> Result<Serial, Error> {
    if !access.ui.is_interactive() {
        return Err(Error::SerialNeeded);
    }
    let question = "This YubiKey does not tell its number. What is printed on it? ";
    let answer = access.ui.ask(question, access.settings.wait.pin_prompt())?;
    answer.trim().parse().map(Serial).map_err(|_| Error::SerialNeeded)
}
