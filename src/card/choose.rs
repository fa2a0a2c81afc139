//! Choosing the card on which keys are made, among those that are plugged in.

use std::time::Instant;

use super::access::Access;
use super::known::KnownCards;
use super::survey::SurveyedCard;
use crate::error::Error;
use crate::piv::Serial;
use crate::reader::{self, ReaderName, SILENCE, Waiting};

/// The card to use: the only one, the one asked for, or the one chosen; never the one that it is to replace, and one that
/// is `passed_over` only if it is asked for or no other is there. One that does not tell its number is recognised if it is
/// one of the `known`.
///
/// # Errors
/// [`Error::NoCard`], [`Error::SeveralCards`], [`Error::NotTheChosenCard`], [`Error::ReplacesItself`],
/// [`Error::SerialNeeded`], [`Error::Reader`].
pub(crate) fn card<'a>(
    access: Access<'a>,
    known: &KnownCards,
    wanted: Option<Serial>,
    replaced: Option<Serial>,
    passed_over: &[Serial],
) -> Result<SurveyedCard<'a>, Error> {
    let Access { readers, ui, settings } = access;
    let mut names = readers.yubikeys()?;
    if names.is_empty() && ui.is_interactive() {
        let _countdown = ui.aloud().count_down("plug in the YubiKey".into(), readers.deadlines().insertion);
        names = readers.wait_for_insertion(&[])?;
    }
    let mut cards = numbers(access, &names, known, wanted)?;
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
    let is_passed_over = |serial: Option<Serial>| serial.is_some_and(|serial| passed_over.contains(&serial));
    if wanted.is_none() && !cards.iter().all(|(serial, _)| is_passed_over(*serial)) {
        cards.retain(|(serial, _)| !is_passed_over(*serial));
    }
    if cards.len() > 1 {
        if !ui.is_interactive() {
            return Err(Error::SeveralCards { found });
        }
        let choices: Vec<_> = cards.iter().map(|(serial, _)| choice(*serial, known)).collect();
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

/// The number of each card. If the wanted one is among them, no others are waited for.
fn numbers(
    access: Access<'_>,
    names: &[ReaderName],
    known: &KnownCards,
    wanted: Option<Serial>,
) -> Result<Vec<(Option<Serial>, ReaderName)>, Error> {
    let known = known.clone();
    let mut looks = access.readers.look_at_all(names, move |piv| Ok::<_, Error>(known.number(piv)?))?;
    let mut cards = Vec::new();
    let mut failure = None;
    let end = Instant::now() + access.readers.deadlines().connect;
    let mut until = Instant::now() + SILENCE;
    while looks.unanswered().next().is_some() {
        match looks.next_until(until) {
            Some((name, Ok(serial))) => cards.push((serial, name)),
            Some((_, Err(error))) => failure = Some(error),
            None if until == end => {
                failure = Some(reader::Error::Timeout { waiting: Waiting::ForCard }.into());
                break;
            }
            None => {
                looks.tell();
                until = end;
            }
        }
        if wanted.is_some() && cards.iter().any(|(serial, _)| *serial == wanted) {
            failure = None;
            break;
        }
    }
    let position = |name: &ReaderName| names.iter().position(|other| other == name);
    cards.sort_by_key(|(_, name)| position(name));
    // Which of them it is, is not known then.
    failure.map_or(Ok(cards), Err)
}

/// A card in a choice. One that has keys of the person's is to be told from one that has none.
fn choice(serial: Option<Serial>, known: &KnownCards) -> String {
    match serial.and_then(|serial| known.name(serial)) {
        Some(name) => format!("{name}: enrolled already"),
        None => name(serial),
    }
}

/// A card as a person knows it.
pub(super) fn name(serial: Option<Serial>) -> String {
    match serial {
        Some(serial) => format!("YubiKey {serial}"),
        None => "a YubiKey that does not report its serial number".to_owned(),
    }
}

/// The number is printed on the key. From then on its keys identify the card.
fn printed_serial(access: Access<'_>) -> Result<Serial, Error> {
    if !access.ui.is_interactive() {
        return Err(Error::SerialNeeded);
    }
    let question = "This YubiKey does not report its serial number. Which number is printed on it? ";
    let answer = access.ui.ask(question, access.settings.wait.pin_prompt())?;
    answer.trim().parse().map(Serial).map_err(|_| Error::SerialNeeded)
}
