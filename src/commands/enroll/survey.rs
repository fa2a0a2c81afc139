//! What a card says of itself before anything is done to it.

use asymmetric_token::PublicKey;

use crate::commands::Context;
use crate::enrollment::Role;
use crate::error::Error;
use crate::piv::certificate::{Description, SlotCertificate};
use crate::piv::{self, Occupancy, PinPolicy, Piv, Serial, Slot, TouchPolicy, Version};
use crate::reader::{AfterReset, ReaderName, Readers, Terms};
use crate::ui::Ui;

/// One card, as surveyed in one transaction.
pub(super) struct CardSurvey {
    pub(super) reader: ReaderName,
    pub(super) serial: Serial,
    pub(super) firmware: Version,
    /// As far as metadata tell (5.3 and later); the PIN is never tried.
    pub(super) has_default_pin: bool,
    pub(super) management: ManagementKeyState,
    /// The retired slots, in order.
    pub(super) slots: Vec<(Slot, Occupancy)>,
}

/// How keys can be made on this card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ManagementKeyState {
    Default,
    /// The card keeps it behind the PIN.
    PinProtected,
    Own,
}

/// A key that is already on a card.
#[derive(Clone, Debug)]
pub(super) struct FoundKey {
    pub(super) slot: Slot,
    pub(super) public: PublicKey,
    pub(super) pin: PinPolicy,
    pub(super) touch: TouchPolicy,
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

/// The card to use: the only one, the one asked for, or the one chosen.
pub(super) fn choose_card(
    readers: &Readers,
    wanted: Option<Serial>,
    context: &Context,
    ui: Ui,
) -> Result<CardSurvey, Error> {
    let mut names = readers.yubikeys()?;
    if names.is_empty() && ui.is_interactive() {
        ui.say("plug in the YubiKey");
        names = readers.wait_for_insertion(&[])?;
    }
    let mut cards = Vec::new();
    for name in names {
        cards.push((read(readers, &name, |piv| Ok(piv.serial()?))?, name));
    }
    let found: Vec<_> = cards.iter().map(|(serial, _)| *serial).collect();
    if let Some(wanted) = wanted {
        cards.retain(|(serial, _)| *serial == wanted);
        if cards.is_empty() {
            let wanted = format!("YubiKey {wanted}");
            return Err(if found.is_empty() {
                Error::NoCard { wanted }
            } else {
                Error::WrongCard { found, wanted }
            });
        }
    }
    if cards.len() > 1 {
        if !ui.is_interactive() {
            return Err(Error::SeveralCards { found });
        }
        let choices: Vec<_> = found.iter().map(|serial| format!("YubiKey {serial}")).collect();
        let choice = ui.choose("Which YubiKey?", &choices, context.settings.wait.pin_prompt())?;
        cards = vec![cards.swap_remove(choice)];
    }
    let (serial, reader) =
        cards.pop().ok_or_else(|| Error::NoCard { wanted: "the YubiKey to enrol".into() })?;
    survey(readers, reader, serial)
}

fn survey(readers: &Readers, reader: ReaderName, serial: Serial) -> Result<CardSurvey, Error> {
    let (firmware, has_default_pin, management, slots) = read(readers, &reader, move |piv| {
        is_still(piv, serial)?;
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
        // Before 5.3 nothing tells; the default is tried, which costs nothing.
        Err(piv::Error::Unsupported { .. }) => return Ok(ManagementKeyState::Default),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    match piv.protected_management_key() {
        Ok(None) => Ok(ManagementKeyState::Own),
        Ok(Some(_)) | Err(piv::Error::NotAuthenticated) => Ok(ManagementKeyState::PinProtected),
        Err(error) => Err(error.into()),
    }
}

/// P-384 keys that could be adopted for a registry: described by our certificate, or not described at all.
pub(super) fn adoptable(readers: &Readers, card: &CardSurvey) -> Result<Vec<FoundKey>, Error> {
    let serial = card.serial;
    let used: Vec<_> = card
        .slots
        .iter()
        .filter(|(_, occupancy)| *occupancy == Occupancy::Used)
        .map(|(slot, _)| *slot)
        .collect();
    read(readers, &card.reader, move |piv| {
        is_still(piv, serial)?;
        let mut keys = Vec::new();
        for slot in &used {
            keys.extend(found_key(piv, *slot)?);
        }
        Ok(keys)
    })
}

fn found_key(piv: &mut Piv<'_>, slot: Slot) -> Result<Option<FoundKey>, Error> {
    let Some(metadata) = piv.metadata(slot)? else { return Ok(None) };
    let Some(point) = metadata.p384_point()? else { return Ok(None) };
    let described = match piv.certificate(slot)?.map(|object| object.read()) {
        None => None,
        Some(SlotCertificate::Ours(Description { role, label, index: Some(index) })) => {
            let Some(role) = Role::from_name(&role) else { return Ok(None) };
            Some(Described { role, label, index })
        }
        Some(_) => return Ok(None),
    };
    let public = PublicKey::from_uncompressed(&point)?;
    Ok(Some(FoundKey { slot, public, pin: metadata.pin, touch: metadata.touch, described }))
}

/// The card may have been exchanged while a person was thinking.
pub(super) fn is_still(piv: &mut Piv<'_>, serial: Serial) -> Result<(), Error> {
    let found = piv.serial()?;
    if found == serial {
        Ok(())
    } else {
        Err(Error::WrongCard { found: vec![found], wanted: format!("YubiKey {serial}") })
    }
}

/// A transaction that changes nothing.
fn read<T: Send + 'static>(
    readers: &Readers,
    reader: &ReaderName,
    work: impl FnMut(&mut Piv<'_>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let terms = Terms { limit: readers.deadlines().touch, after_reset: AfterReset::Repeat };
    readers.with_card(reader, terms, work)
}
