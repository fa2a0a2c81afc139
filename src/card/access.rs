//! What all work with cards needs: the readers, the person's settings, and the person who is asked.

use crate::error::Error;
use crate::reader::{ReaderName, Readers};
use crate::settings::{Settings, Wait};
use crate::text::escape;
use crate::ui::Ui;

/// The readers of this computer, whose waits are told to the person.
pub(crate) fn readers(wait: &Wait) -> Readers {
    Readers::start(wait.deadlines()).telling(waiting)
}

fn waiting(reader: &ReaderName) {
    Ui::silent().note(format_args!(
        "waiting for another program to let go of the YubiKey ({}); touch it if it blinks",
        escape(&reader.to_string())
    ));
}

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
