//! `--replace`: this card takes the place of another one, whose keys the registry then has to revoke.

use crate::commands::enroll::Enrollment;
use crate::enrollment::{Card, Edit, Enrollments};
use crate::error::Error;
use crate::index_url::IndexUrl;
use crate::piv::Serial;
use crate::text::escape;

/// The card to be replaced, if there is to be one.
pub(super) fn card(
    serial: Option<Serial>,
    index: &IndexUrl,
    enrollments: &Enrollments,
) -> Result<Option<Card>, Error> {
    let Some(serial) = serial else { return Ok(None) };
    let registry = enrollments.registry(index);
    match registry.and_then(|registry| registry.card(serial)) {
        Some(card) => Ok(Some(card.clone())),
        None => Err(Error::not_one_of_its_cards(serial, index, registry)),
    }
}

impl Enrollment<'_> {
    pub(super) fn show_replaced(&self) {
        let Some(card) = &self.replaced else { return };
        self.ui.say(format_args!("replacing {}, which keeps its keys", card.display_name()));
        for key in &card.keys {
            self.ui.say(format_args!("    {:<7}  slot {}  {}", key.role, key.slot, key.public.id()));
        }
    }

    /// The question whether to do this, and whether to take the replaced card out.
    pub(super) fn and_take_out(&self, this: &str) -> String {
        match &self.replaced {
            Some(card) => format!("{this}, and remove YubiKey {} from the enrollment?", card.serial),
            None => format!("{this}?"),
        }
    }

    /// Takes the replaced card out when the new one has its keys already, as a backup or from an interrupted run.
    pub(super) fn only_take_out(&self) -> Result<(), Error> {
        let Some(replaced) = &self.replaced else { return Ok(()) };
        let index = &self.registry.index;
        self.ui.say(format_args!("YubiKey {} is enrolled for {}", self.card.serial, escape(index)));
        self.show_replaced();
        if !self.arguments.yes {
            self.confirm(&format!("Remove YubiKey {} from the enrollment?", replaced.serial))?;
        }
        Ok(Edit::begin(self.context.cargo.home())?.remove_card(index, replaced.serial)?)
    }
}
