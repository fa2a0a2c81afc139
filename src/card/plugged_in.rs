//! What the plugged-in cards say of themselves. No PIN is needed for that, and no try is spent.

use std::time::{Duration, Instant};

use super::choose;
use super::identity::told_serial;
use super::known::KnownCards;
use crate::enrollment::Enrollments;
use crate::error::Error;
use crate::piv::{self, METADATA_SINCE, PinState, Piv, Serial, Version};
use crate::reader::{self, ReaderName, Readers, SILENCE, Waiting};

/// Longer than a program keeps a card that nobody has to touch.
const PATIENCE: Duration = Duration::from_secs(4);

/// A reader, and the card in it if that could be read.
pub(crate) struct PluggedIn {
    pub(crate) reader: ReaderName,
    pub(crate) card: Result<CardState, Error>,
}

/// A card that answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CardState {
    /// Some do not tell it; then it is that of the enrolled card with the same keys.
    pub(crate) serial: Option<Serial>,
    /// Whether the card tells its number, so that other programs know it by that too.
    pub(crate) tells: bool,
    pub(crate) firmware: Version,
    pub(crate) pin: PinState,
    /// A YubiKey Bio has no PUK. It is asked for where the PIN is blocked only.
    has_puk: bool,
}

impl CardState {
    /// As a person knows it.
    pub(crate) fn name(&self) -> String {
        choose::name(self.serial)
    }

    fn read(piv: &mut Piv<'_>, known: &KnownCards) -> Result<Self, Error> {
        let tells = told_serial(piv)?.is_some();
        let serial = known.number(piv)?;
        let (firmware, pin) = (piv.version()?, piv.pin_state()?);
        let has_puk = pin != PinState::Blocked || firmware < METADATA_SINCE || has_puk(piv)?;
        Ok(Self { serial, tells, firmware, pin, has_puk })
    }

    /// What helps against a blocked PIN.
    pub(crate) fn unblock(&self) -> String {
        if self.has_puk { self.ykman("piv access unblock-pin") } else { self.ykman("config reset") }
    }

    /// `ykman`, made to mean this card where its number is known.
    pub(crate) fn ykman(&self, arguments: &str) -> String {
        match self.serial {
            Some(serial) if self.tells => format!("ykman --device {serial} {arguments}"),
            _ => format!("ykman {arguments}"),
        }
    }
}

/// Whether there is a PUK. The metadata of a YubiKey Bio say that it has no tries at all.
///
/// # Errors
/// What the card answers instead.
pub(crate) fn has_puk(piv: &mut Piv<'_>) -> Result<bool, piv::Error> {
    match piv.puk_metadata() {
        Ok(puk) => Ok(puk.tries_total > 0),
        Err(piv::Error::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// All YubiKeys that are plugged in. One that cannot be read does not hide the others, and one that is busy is not waited for
/// as long as for a signature.
///
/// # Errors
/// [`Error::Reader`] if there is no smart card service to ask.
pub(crate) fn cards(readers: &Readers, enrollments: &Enrollments) -> Result<Vec<PluggedIn>, Error> {
    let known = KnownCards::all(enrollments);
    let names = readers.yubikeys()?;
    let mut looks = readers.look_at_all(&names, move |piv| CardState::read(piv, &known))?;
    let mut answers: Vec<(ReaderName, Result<CardState, Error>)> = Vec::new();
    let end = Instant::now() + readers.deadlines().connect.min(PATIENCE);
    let mut until = end.min(Instant::now() + SILENCE);
    while looks.unanswered().next().is_some() {
        match looks.next_until(until) {
            Some(answer) => answers.push(answer),
            None if until == end => break,
            None => {
                looks.tell();
                until = end;
            }
        }
    }
    let mut card_in = |reader: &ReaderName| match answers.iter().position(|(name, _)| name == reader) {
        Some(position) => answers.swap_remove(position).1,
        None => Err(reader::Error::Timeout { waiting: Waiting::ForCard }.into()),
    };
    Ok(names.into_iter().map(|reader| PluggedIn { card: card_in(&reader), reader }).collect())
}

/// What is known of a card that is enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is plugged in.
    Here,
    /// One that cannot be read is plugged in; it may be this one.
    Perhaps,
    /// It is not.
    Away,
}

impl Presence {
    pub(crate) fn of(serial: Serial, found: &[PluggedIn]) -> Self {
        let is_it = |found: &PluggedIn| found.card.as_ref().is_ok_and(|card| card.serial == Some(serial));
        match found {
            _ if found.iter().any(is_it) => Self::Here,
            _ if found.iter().any(|found| found.card.is_err()) => Self::Perhaps,
            _ => Self::Away,
        }
    }
}

/// The state of the card with this number, if it is here and can be read.
pub(crate) fn state_of(serial: Serial, found: &[PluggedIn]) -> Option<CardState> {
    let states = found.iter().filter_map(|found| found.card.as_ref().ok());
    states.copied().find(|state| state.serial == Some(serial))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piv::script::hex;
    use crate::piv::{Slot, Transmit, TransportError};

    /// Answers as a recorded card did: by the four bytes of the header, for the client asks with other lengths.
    struct Recorded(Vec<(Vec<u8>, Vec<u8>)>);

    impl Recorded {
        fn read(name: &str) -> Self {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("mock-card/tests/recordings");
            let text = std::fs::read_to_string(folder.join(name)).unwrap();
            let lines = |mark| text.lines().filter_map(move |line: &str| line.strip_prefix(mark));
            Self(lines("> ").map(hex).zip(lines("< ").map(hex)).collect())
        }
    }

    impl Transmit for Recorded {
        fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
            let answer = self.0.iter().find(|(recorded, _)| recorded[..4] == command[..4]);
            Ok(answer.unwrap_or_else(|| panic!("not recorded: {command:02X?}")).1.clone())
        }
    }

    /// Its reader is not named as a YubiKey's, so nobody looks at it unasked. If it is looked at, it is refused by its first answer
    /// that a YubiKey does not give, and its PIN tries stay what they were.
    #[test]
    fn a_card_of_another_maker_is_survived() {
        let mut card = Recorded::read("blinky-foreign-crescendo.txt");
        let mut piv = Piv::select(&mut card).unwrap();
        assert!(matches!(told_serial(&mut piv), Ok(None)));
        let unsupported = |error| matches!(error, piv::Error::Unsupported { .. });
        assert!(unsupported(piv.version().unwrap_err()));
        let error = CardState::read(&mut piv, &KnownCards::enrolled([])).unwrap_err();
        assert!(
            matches!(error, Error::Piv(piv::Error::Unsupported { operation: "GET VERSION" })),
            "{error:?}"
        );
        piv.assume_version(METADATA_SINCE);
        assert_eq!(piv.pin_state().unwrap(), PinState::Tries(6));
        assert!(unsupported(piv.pin_metadata().unwrap_err()));
        assert!(unsupported(piv.management_key_metadata().unwrap_err()));
        assert!(unsupported(piv.attest(Slot::Authentication).unwrap_err()));
    }

    #[test]
    fn ykman_is_told_the_number_where_the_card_tells_it() {
        let state = |serial, tells, firmware| {
            let pin = PinState::Blocked;
            CardState { serial, tells, firmware, pin, has_puk: true }
        };
        let old = state(Some(Serial(5_000_000)), false, Version::new(4, 3, 7));
        assert_eq!(old.ykman("piv info"), "ykman piv info");
        let new = state(Some(Serial(12_345_678)), true, Version::new(5, 7, 4));
        assert_eq!(new.ykman("piv info"), "ykman --device 12345678 piv info");
        assert_eq!(
            state(None, false, old.firmware).name(),
            "a YubiKey that does not report its serial number"
        );
    }
}
