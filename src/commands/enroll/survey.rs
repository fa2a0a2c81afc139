//! What a card says of itself before anything is done to it.

use asymmetric_token::PublicKey;

use crate::context::Context;
use crate::enrollment::{Enrollments, Role};
use crate::error::Error;
use crate::piv::certificate::{Description, KeyPurpose, SlotCertificate};
use crate::piv::{
    self, EUCLEAK_MENDED, METADATA_SINCE, Occupancy, Origin, P384, PinPolicy, Piv, SERIAL_SINCE, Serial,
    Slot, TouchPolicy, Version,
};
use crate::reader::{AfterReset, ReaderName, Readers, Terms};
use crate::ui::Ui;

/// One card, as surveyed in one transaction.
pub(in crate::commands) struct CardSurvey {
    pub(in crate::commands) reader: ReaderName,
    pub(in crate::commands) serial: Serial,
    pub(in crate::commands) firmware: Version,
    /// As far as metadata tell (5.3 and later); the PIN is never tried.
    pub(in crate::commands) has_default_pin: bool,
    pub(in crate::commands) management: ManagementKeyState,
    /// The retired slots, in order.
    pub(in crate::commands) slots: Vec<(Slot, Occupancy)>,
}

/// Why a slot can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Vacancy {
    /// There is nothing in it.
    Empty,
    /// Nothing that firmware before 5.3 would show, which hides imported keys; a person has to agree.
    LooksEmpty,
}

impl Vacancy {
    /// Whether the card says so still, in the transaction in which the key is made.
    pub(in crate::commands) fn is_still(self, piv: &mut Piv<'_>, slot: Slot) -> Result<bool, piv::Error> {
        Ok(match self {
            Self::Empty => piv.occupancy(slot)? == Occupancy::Empty,
            Self::LooksEmpty => piv.occupancy(slot)? != Occupancy::Used,
        })
    }
}

impl CardSurvey {
    /// Whether a key can be made in this slot; `None` if it is taken or promised. Only retired slots are ever used.
    pub(in crate::commands) fn vacancy(&self, slot: Slot, enrollments: &Enrollments) -> Option<Vacancy> {
        if enrollments.holds(self.serial, slot) {
            return None;
        }
        match self.slots.iter().find(|(known, _)| *known == slot)?.1 {
            Occupancy::Empty => Some(Vacancy::Empty),
            Occupancy::LooksEmpty => Some(Vacancy::LooksEmpty),
            Occupancy::Used => None,
        }
    }
}

/// How keys can be made on this card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum ManagementKeyState {
    Default,
    /// The card keeps it behind the PIN.
    PinProtected,
    Own,
    /// Firmware before 5.3 does not tell.
    Untold,
}

/// A key that is already on a card.
#[derive(Clone, Debug)]
pub(super) struct FoundKey {
    pub(super) slot: Slot,
    pub(super) public: PublicKey,
    pub(super) pin: PinPolicy,
    pub(super) touch: TouchPolicy,
    pub(super) origin: Origin,
    /// What our certificate beside it says; `None` if there is no certificate object at all.
    pub(super) described: Option<Described>,
}

/// What one of our certificates says.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) role: Role,
    pub(super) label: String,
    pub(super) index: String,
}

/// The card to use: the only one, the one asked for, or the one chosen; never the one that it is to replace.
pub(in crate::commands) fn choose_card(
    readers: &Readers,
    wanted: Option<Serial>,
    replaced: Option<Serial>,
    context: &Context,
    ui: Ui,
) -> Result<CardSurvey, Error> {
    let mut names = readers.yubikeys()?;
    if names.is_empty() && ui.is_interactive() {
        let _countdown = ui.count_down("plug in the YubiKey".into(), readers.deadlines().insertion);
        names = readers.wait_for_insertion(&[])?;
    }
    let mut cards = Vec::new();
    for name in names {
        cards.push((read(readers, &name, told_serial)?, name));
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
        let name = |serial: &Option<Serial>| match serial {
            Some(serial) => format!("YubiKey {serial}"),
            None => "a YubiKey that does not tell its number".to_owned(),
        };
        let choices: Vec<_> = cards.iter().map(|(serial, _)| name(serial)).collect();
        let choice = ui.choose("Which YubiKey?", &choices, context.settings.wait.pin_prompt())?;
        cards = vec![cards.swap_remove(choice)];
    }
    let (serial, reader) =
        cards.pop().ok_or_else(|| Error::NoCard { wanted: "the YubiKey to enroll".into() })?;
    let serial = match serial.or(wanted) {
        Some(serial) => serial,
        None => printed_serial(context, ui)?,
    };
    survey(readers, reader, serial)
}

/// What the card says; `None` if its firmware cannot.
fn told_serial(piv: &mut Piv<'_>) -> Result<Option<Serial>, Error> {
    match piv.serial() {
        Ok(serial) => Ok(Some(serial)),
        Err(piv::Error::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Old firmware does not tell its number, but it is printed on the key; from then on its keys identify the card.
fn printed_serial(context: &Context, ui: Ui) -> Result<Serial, Error> {
    if !ui.is_interactive() {
        return Err(Error::SerialNeeded);
    }
    let question = "This YubiKey does not tell its number. What is printed on it? ";
    let answer = ui.ask(question, context.settings.wait.pin_prompt())?;
    answer.trim().parse().map(Serial).map_err(|_| Error::SerialNeeded)
}

fn survey(readers: &Readers, reader: ReaderName, serial: Serial) -> Result<CardSurvey, Error> {
    let (firmware, has_default_pin, management, slots) = read(readers, &reader, move |piv| {
        if told_serial(piv)?.is_some_and(|found| found != serial) {
            return Err(exchanged(serial));
        }
        let firmware = piv.version()?;
        let has_default_pin = match piv.pin_metadata() {
            Ok(pin) => pin.default,
            Err(piv::Error::Unsupported { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        let management = management_key(piv)?;
        let slots = Slot::retired().map(|slot| Ok((slot, piv.occupancy(slot)?)));
        Ok((firmware, has_default_pin, management, slots.collect::<Result<Vec<_>, Error>>()?))
    })?;
    Ok(CardSurvey { reader, serial, firmware, has_default_pin, management, slots })
}

fn management_key(piv: &mut Piv<'_>) -> Result<ManagementKeyState, Error> {
    match piv.management_key_metadata() {
        Ok(key) if key.default => return Ok(ManagementKeyState::Default),
        Ok(_) | Err(piv::Error::Unsupported { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    match piv.protected_management_key() {
        Ok(None) if piv.version()? < METADATA_SINCE => Ok(ManagementKeyState::Untold),
        Ok(None) => Ok(ManagementKeyState::Own),
        Ok(Some(_)) | Err(piv::Error::NotAuthenticated) => Ok(ManagementKeyState::PinProtected),
        Err(error) => Err(error.into()),
    }
}

/// P-384 keys that could be adopted for a registry: described by our certificate, or not described at all.
pub(super) fn adoptable(readers: &Readers, card: &CardSurvey) -> Result<Vec<FoundKey>, Error> {
    let id = card.id();
    let used: Vec<_> = card
        .slots
        .iter()
        .filter(|(_, occupancy)| *occupancy == Occupancy::Used)
        .map(|(slot, _)| *slot)
        .collect();
    read(readers, &card.reader, move |piv| {
        is_still(piv, id)?;
        let mut keys = Vec::new();
        for slot in &used {
            keys.extend(found_key(piv, *slot)?);
        }
        Ok(keys)
    })
}

fn found_key(piv: &mut Piv<'_>, slot: Slot) -> Result<Option<FoundKey>, Error> {
    let certificate = piv.certificate(slot)?;
    let Some(key) = piv.key(&P384, slot, certificate.as_ref())? else { return Ok(None) };
    let described = match certificate {
        None => None,
        Some(object) if object.point(&P384) != Some(key.point) => return Ok(None),
        Some(object) => match object.read() {
            SlotCertificate::Ours(Description { purpose: KeyPurpose::Signing { role, index }, label }) => {
                Some(Described { role, label, index })
            }
            _ => return Ok(None),
        },
    };
    let public = PublicKey::from_uncompressed(&key.point)?;
    Ok(Some(FoundKey { slot, public, pin: key.pin, touch: key.touch, origin: key.origin, described }))
}

/// What tells one card from another.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct CardId {
    serial: Serial,
    firmware: Version,
}

impl CardSurvey {
    /// Refuses a card that anybody could use, and says what its keys are worth.
    pub(in crate::commands) fn is_fit(&self, allow_default_pin: bool, ui: Ui) -> Result<(), Error> {
        if self.has_default_pin && !allow_default_pin {
            return Err(Error::DefaultPin { serial: self.serial });
        }
        if self.firmware < EUCLEAK_MENDED {
            ui.warn(format_args!(
                "YubiKey {} has firmware {}: who holds it in a laboratory can extract its keys (YSA-2024-03); keep it in sight, or use firmware 5.7",
                self.serial, self.firmware
            ));
        }
        Ok(())
    }

    pub(in crate::commands) fn id(&self) -> CardId {
        CardId { serial: self.serial, firmware: self.firmware }
    }
}

/// The card may have been exchanged while a person was thinking. One that does not tell its number is known by its
/// firmware at least.
pub(in crate::commands) fn is_still(piv: &mut Piv<'_>, card: CardId) -> Result<(), Error> {
    let same = match told_serial(piv)? {
        Some(found) => found == card.serial,
        None => card.firmware < SERIAL_SINCE && piv.version()? == card.firmware,
    };
    if same { Ok(()) } else { Err(exchanged(card.serial)) }
}

fn exchanged(serial: Serial) -> Error {
    Error::NotTheChosenCard { found: Vec::new(), wanted: serial }
}

/// A transaction that changes nothing.
pub(in crate::commands) fn read<T: Send + 'static>(
    readers: &Readers,
    reader: &ReaderName,
    work: impl FnMut(&mut Piv<'_>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let terms = Terms { limit: readers.deadlines().touch, after_reset: AfterReset::Repeat };
    readers.with_card(reader, terms, work)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::piv::P384Point;
    use crate::piv::script::Script;

    const SELECT: (&str, &str) =
        ("00A4040009A0000003080000100000", "61114F0600000001000079074F05A000000308 9000");
    const OLD: (&str, &str) = ("00FD000000", "050207 9000");

    fn on<T>(transcript: &[(&str, &str)], work: impl FnOnce(&mut Piv<'_>) -> T) -> T {
        let mut card = Script::new(&[&[SELECT], transcript].concat());
        let result = work(&mut Piv::select(&mut card).unwrap());
        card.assert_finished();
        result
    }

    #[test]
    fn old_firmware_does_not_tell_whose_management_key_it_has() {
        let administrative_data = "00CB3FFF055C035FFF0000";
        let state = |data| {
            on(&[("00F7009B00", "6D00"), (administrative_data, data), OLD], |piv| {
                management_key(piv).unwrap()
            })
        };
        assert_eq!(state("6A82"), ManagementKeyState::Untold);
        let protected = [
            ("00F7009B00", "6D00"),
            (administrative_data, "5305 8003 810102 9000"),
            ("00CB3FFF055C035FC10900", "6982"),
        ];
        assert_eq!(on(&protected, |piv| management_key(piv).unwrap()), ManagementKeyState::PinProtected);
    }

    /// An imported key, which is not attested: what our certificate says is taken, and the signature will show.
    #[test]
    fn before_metadata_a_certificate_tells_of_a_key() {
        let point: P384Point = {
            let secret = p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap();
            secret.verifying_key().to_sec1_point(false).as_bytes().try_into().unwrap()
        };
        let purpose = KeyPurpose::Signing { role: Role::Publish, index: "sparse+https://r/".into() };
        let description = Description { purpose, label: "old".into() };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let der = description.certificate(&P384, &point, PinPolicy::Once, TouchPolicy::Cached, now).unwrap();
        let hex: String = der.iter().map(|byte| format!("{byte:02X}")).collect();
        let object = format!("5382{:04X} 7082{:04X} {hex} 710100 FE00 9000", der.len() + 9, der.len());
        let slot: Slot = "82".parse().unwrap();
        let get = ("00CB3FFF055C035FC10D00", object.as_str());
        let transcript = [get, ("00F7008200", "6D00"), ("00F9820000", "6A80")];
        let found = on(&transcript, |piv| found_key(piv, slot).unwrap()).unwrap();
        assert_eq!((found.pin, found.touch), (PinPolicy::Once, TouchPolicy::Cached));
        assert_eq!(found.public, PublicKey::from_uncompressed(&point).unwrap());
        assert_eq!(found.described.unwrap().label, "old");
        let nothing = [("00CB3FFF055C035FC10D00", "6A82"), ("00F7008200", "6D00"), ("00F9820000", "6A80")];
        assert!(on(&nothing, |piv| found_key(piv, slot).unwrap()).is_none());
    }

    #[test]
    fn a_card_without_a_number_is_known_by_its_firmware() {
        let still = |firmware, version| {
            let card = CardId { serial: Serial(1), firmware };
            on(&[("00F8000000", "6D00"), ("00FD000000", version)], |piv| is_still(piv, card))
        };
        assert!(still(Version::new(4, 3, 7), "040307 9000").is_ok());
        assert!(matches!(still(Version::new(4, 3, 7), "040305 9000"), Err(Error::NotTheChosenCard { .. })));
        let numbered = CardId { serial: Serial(1), firmware: Version::new(5, 4, 3) };
        let exchanged = on(&[("00F8000000", "6D00")], |piv| is_still(piv, numbered));
        assert!(matches!(exchanged, Err(Error::NotTheChosenCard { .. })));
    }
}
