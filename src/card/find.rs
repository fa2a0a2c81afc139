//! Finding one of some known cards among those that are plugged in.

use std::time::Instant;

use super::access::Access;
use super::known::{Identity, KnownCards};
use crate::error::Error;
use crate::piv::Serial;
use crate::reader::{self, ReaderName, SILENCE, Waiting};
use crate::text::escape;

/// The reader with the first of these cards that is plugged in. If there is one reader only, its card is not looked at
/// here: the transaction that uses the card identifies it.
///
/// # Errors
/// [`Error::NoCard`], [`Error::WrongCard`], [`Error::Reader`].
pub(super) fn reader_with(access: Access<'_>, cards: &KnownCards) -> Result<ReaderName, Error> {
    let Access { readers, ui, .. } = access;
    let mut names = readers.yubikeys()?;
    if names.is_empty() && ui.is_interactive() {
        let text = format!("plug in {}", cards.for_display());
        let _countdown = ui.aloud().count_down(text, readers.deadlines().insertion);
        names = readers.wait_for_insertion(&[])?;
    }
    if names.len() > 1 {
        return first_in_order(access, names, cards).map(|(_, reader)| reader);
    }
    names.pop().ok_or_else(|| Error::NoCard { wanted: cards.for_display() })
}

/// Returns once one of these cards is plugged in, in the place of another one if need be.
///
/// # Errors
/// [`Error::NoCard`] or [`Error::WrongCard`] if nobody is there to plug it in, or does not; [`Error::Reader`].
pub(crate) fn wait_for(access: Access<'_>, cards: &KnownCards) -> Result<(), Error> {
    let Access { readers, ui, .. } = access;
    loop {
        let names = readers.yubikeys()?;
        let missing = if names.is_empty() {
            Error::NoCard { wanted: cards.for_display() }
        } else {
            match first_in_order(access, names.clone(), cards) {
                Ok(_) => return Ok(()),
                Err(missing @ Error::WrongCard { .. }) => missing,
                Err(error) => return Err(error),
            }
        };
        if !ui.is_interactive() {
            return Err(missing);
        }
        let text = format!("plug in {}", cards.for_display());
        let _countdown = ui.aloud().count_down(text, readers.deadlines().insertion);
        if readers.wait_for_insertion(&names).is_err() {
            return Err(missing);
        }
    }
}

/// The number of the card that would be used.
///
/// # Errors
/// As [`reader_with`].
pub(crate) fn card(access: Access<'_>, cards: &KnownCards) -> Result<Serial, Error> {
    match identity(access, &reader_with(access, cards)?, cards)? {
        Identity::Known(serial) => Ok(serial),
        Identity::Other(found) => Err(cards.wrong_card(&Vec::from_iter(found))),
    }
}

/// One of the cards that is plugged in already, if there is one.
pub(super) fn present(access: Access<'_>, cards: &KnownCards) -> Option<(Serial, ReaderName)> {
    let names = access.readers.yubikeys().ok()?;
    first_in_order(access, names, cards).ok()
}

/// All are looked at at once. One that does not answer, because another program holds it, is waited for only until a card is
/// found that will do.
fn first_in_order(
    access: Access<'_>,
    readers: Vec<ReaderName>,
    cards: &KnownCards,
) -> Result<(Serial, ReaderName), Error> {
    let wanted = cards.clone();
    let mut looks = access.readers.look_at_all(&readers, move |piv| Ok(wanted.identify(piv)?))?;
    let mut known: Vec<(usize, Serial, ReaderName)> = Vec::new();
    let mut others: Vec<(Option<usize>, Serial)> = Vec::new();
    let place = |reader: &ReaderName| readers.iter().position(|name| name == reader);
    let mut failure = None;
    let end = Instant::now() + access.readers.deadlines().connect;
    let mut until = Instant::now() + SILENCE;
    let mut told = false;
    loop {
        match looks.next_until(until) {
            Some((reader, Ok(Identity::Known(serial)))) => {
                let position = cards.position(serial).unwrap_or(usize::MAX);
                if known.is_empty() {
                    until = Instant::now() + SILENCE;
                }
                known.push((position, serial, reader));
                if position == 0 {
                    break;
                }
            }
            Some((reader, Ok(Identity::Other(found)))) => {
                others.extend(found.map(|serial| (place(&reader), serial)));
            }
            Some((_, Err(error))) => failure = Some(error),
            None if looks.unanswered().next().is_none() => break,
            None if !known.is_empty() => {
                for busy in looks.unanswered() {
                    access.ui.note(format_args!(
                        "another program is using one of the YubiKeys ({}); continuing without it",
                        escape(&busy.to_string())
                    ));
                }
                break;
            }
            None if told => {
                failure = Some(reader::Error::Timeout { waiting: Waiting::ForCard }.into());
                break;
            }
            None => {
                looks.tell();
                told = true;
                until = end;
            }
        }
    }
    match (known.into_iter().min_by_key(|(position, ..)| *position), failure) {
        (Some((_, serial, reader)), _) => Ok((serial, reader)),
        (None, Some(error)) => Err(error),
        (None, None) => {
            others.sort_unstable();
            Err(cards.wrong_card(&others.into_iter().map(|(_, serial)| serial).collect::<Vec<_>>()))
        }
    }
}

fn identity(access: Access<'_>, reader: &ReaderName, cards: &KnownCards) -> Result<Identity, Error> {
    let cards = cards.clone();
    access.readers.look(reader, move |piv| Ok(cards.identify(piv)?))
}
