//! What all work with cards needs: the readers, the person's settings, and the person.

use crate::error::Error;
use crate::reader::Readers;
use crate::settings::Settings;
use crate::ui::Ui;

/// The way to the cards and to the person.
#[derive(Clone, Copy)]
pub(crate) struct Access<'a> {
    pub(crate) readers: &'a Readers,
    pub(crate) settings: &'a Settings,
    pub(crate) ui: Ui,
}

impl Access<'_> {
    /// Asks a question whose answer is no unless the person says yes.
    ///
    /// # Errors
    /// [`Error::Declined`], [`Error::Ask`].
    pub(crate) fn confirm(&self, question: &str) -> Result<(), Error> {
        let agreed = self.ui.confirm(question, self.settings.wait.pin_prompt())?;
        if agreed { Ok(()) } else { Err(Error::Declined) }
    }
}
