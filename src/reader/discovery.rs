//! Which readers hold a YubiKey, and waiting for one to come.

use std::{
    ffi::{CStr, CString},
    time::{Duration, Instant},
};

use pcsc::{Context, PNP_NOTIFICATION, ReaderState, State};

use super::{
    Error, ReaderName,
    failure::{Failure, asked},
};

/// A reader that comes between listing and waiting is seen at the latest after this time: not every
/// implementation counts such events (pcsc-lite does from protocol 4:5 on).
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Bytes that the names of 16 readers take, which is as many as pcsc-lite has (pcsclite.h:
/// PCSCLITE_MAX_READERS_CONTEXTS, MAX_READERNAME).
const ALL_NAMES: usize = 16 * 128 + 1;

/// A single reader that is a YubiKey by its name is not asked whether a card is in it: the two cannot be parted.
pub(super) fn yubikeys(context: &Context) -> Result<Vec<ReaderName>, Error> {
    if let [name] = names(context)?.as_slice()
        && is_yubikey_name(name)
    {
        return Ok(vec![ReaderName { name: name.clone(), contactless: false }]);
    }
    Ok(states(context)?.iter().filter(|state| is_yubikey(state)).map(name).collect())
}

pub(super) fn wait(
    context: &Context,
    mut known: Vec<ReaderName>,
    until: Instant,
) -> Result<Vec<ReaderName>, Error> {
    let mut plugging = ReaderState::new(PNP_NOTIFICATION(), State::UNAWARE);
    loop {
        let mut states = states(context)?;
        let present: Vec<_> = states.iter().filter(|state| is_yubikey(state)).map(name).collect();
        known.retain(|name| present.contains(name));
        if present.iter().any(|name| !known.contains(name)) {
            return Ok(present);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::NoReader);
        }
        states.push(plugging);
        match asked(|| context.get_status_change(left.min(LOOK_AGAIN), &mut states)) {
            Ok(()) | Err(Failure::Pcsc(pcsc::Error::Timeout | pcsc::Error::UnknownReader)) => {}
            Err(error) => return Err(error.into()),
        }
        plugging = states.pop().expect("it was pushed above");
        plugging.sync_current_state();
    }
}

/// All readers as they are now. Readers are listed first, always: libpcsclite 2.5.0 and 2.5.1 lose their way in
/// the protocol if a process begins with a status query.
fn states(context: &Context) -> Result<Vec<ReaderState>, Error> {
    loop {
        let mut states: Vec<_> =
            names(context)?.into_iter().map(|name| ReaderState::new(name, State::UNAWARE)).collect();
        if states.is_empty() {
            return Ok(states);
        }
        match asked(|| context.get_status_change(Duration::ZERO, &mut states)) {
            Ok(()) | Err(Failure::Pcsc(pcsc::Error::Timeout)) => {}
            // Unplugged since it was listed.
            Err(Failure::Pcsc(pcsc::Error::UnknownReader)) => continue,
            Err(error) => return Err(error.into()),
        }
        states.iter_mut().for_each(ReaderState::sync_current_state);
        return Ok(states);
    }
}

/// The library would ask the daemon once more to tell how much room they need.
fn names(context: &Context) -> Result<Vec<CString>, Error> {
    let mut buffer = [0; ALL_NAMES];
    let names = match asked(|| context.list_readers(&mut buffer)) {
        Ok(names) => return Ok(names.map(CStr::to_owned).collect()),
        Err(Failure::Pcsc(pcsc::Error::InsufficientBuffer)) => asked(|| context.list_readers_owned()),
        Err(error) => Err(error),
    };
    match names {
        Err(Failure::Pcsc(pcsc::Error::NoReadersAvailable)) => Ok(Vec::new()),
        names => Ok(names?),
    }
}

fn name(state: &ReaderState) -> ReaderName {
    ReaderName { name: state.name().to_owned(), contactless: is_contactless(state.atr()) }
}

fn is_yubikey(state: &ReaderState) -> bool {
    state.event_state().contains(State::PRESENT)
        && (is_yubikey_name(state.name()) || is_yubikey_atr(state.atr()))
}

/// All models have both words, with different capitals.
fn is_yubikey_name(name: &CStr) -> bool {
    contains_ignoring_case(name.to_bytes(), b"yubico yubikey")
}

/// The historical bytes of the answer to reset spell the name. Some NFC readers put another byte in place of its last
/// letter.
fn is_yubikey_atr(atr: &[u8]) -> bool {
    contains_ignoring_case(atr, b"yubike")
}

/// A reader of contactless cards makes up the answer to reset, which begins with 3B 8n (PC/SC part 3, 3.1.3.2.3.1). That of
/// a YubiKey in a USB port has interface characters, so that its second byte is Fn.
fn is_contactless(atr: &[u8]) -> bool {
    matches!(atr, [0x3B, 0x80..=0x8F, ..])
}

fn contains_ignoring_case(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piv::script::hex;

    #[test]
    fn knows_the_names_of_yubikeys() {
        for name in [
            c"Yubico YubiKey OTP+FIDO+CCID 00 00",
            c"Yubico Yubikey 4 OTP+U2F+CCID",
            c"Yubico YubiKey CCID 0",
        ] {
            assert!(is_yubikey_name(name), "{name:?}");
        }
        for name in [c"", c"Virtual PCD 00 00", c"Yubico Security Key", c"ACS ACR122U PICC Interface"] {
            assert!(!is_yubikey_name(name), "{name:?}");
        }
    }

    #[test]
    fn knows_the_answers_to_reset_of_yubikeys() {
        for atr in [
            "3BFD1300008131FE158073C021C057597562694B657940",
            "3B8D80018073C021C057597562694B6579F9",
            "3BF81300008131FE15597562696B657934D4",
            // On an ACR122U: a YubiKey 5 NFC and a YubiKey NEO.
            "3B8D80018073C021C057597562694B65FF7F",
            "3B8C8001597562696B65794E454F72FF94",
        ] {
            assert!(is_yubikey_atr(&hex(atr)), "{atr}");
            assert_eq!(is_contactless(&hex(atr)), atr.starts_with("3B8"), "{atr}");
        }
        assert!(!is_yubikey_atr(&hex("3BFF1300008131FE4D8025A00000005657444B3430300600DE")));
        assert!(!is_yubikey_atr(&[]));
    }
}
