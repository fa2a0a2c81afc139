//! What a sealed token is opened for besides changes. The person decides; a registry is asked once, when nobody has said
//! anything yet, and nothing that is answered later opens the token for more.

use super::Sealer;
use crate::cargo_config::ConfiguredRegistry;
use crate::enrollment::{Edit, Reads, SealedToken};
use crate::error::Error;
use crate::registry::greeting;
use crate::text::{foreign_word, sentence};

impl Sealer<'_> {
    /// `--reads` for a token that is sealed already. False if none is.
    ///
    /// # Errors
    /// [`Error::Usage`] where it makes no sense, and [`Error::Enrollments`].
    pub(crate) fn set_reads(&self, registry: &ConfiguredRegistry, reads: Reads) -> Result<bool, Error> {
        let enrollments = self.enrollments()?;
        let Some(sealed) = enrollments.sealed(&registry.index) else { return Ok(false) };
        let reads = wanted(registry, reads)?;
        Edit::begin(self.context.cargo.home())?.set_sealed(&SealedToken { reads, ..sealed.clone() })?;
        let name = registry.shown();
        self.ui.say(match reads {
            Reads::AuthRequired => format!("the token of `{name}` is opened for every read too"),
            Reads::Open => format!("the token of `{name}` is opened for changes only"),
        });
        Ok(true)
    }

    /// What the person says now or has said before, or else what the registry wants. If that cannot be found out, the token is
    /// opened for less.
    pub(super) fn reads(&self, registry: &ConfiguredRegistry) -> Result<Reads, Error> {
        if let Some(reads) = self.making.reads {
            return wanted(registry, reads);
        }
        if registry.is_crates_io() {
            return Ok(Reads::Open);
        }
        if let Some(sealed) = self.enrollments()?.sealed(&registry.index) {
            return Ok(sealed.reads);
        }
        let name = registry.shown();
        let word = foreign_word(&name);
        let asked;
        let greeting = match self.greetings.get(&registry.index) {
            Some(greeting) => greeting,
            None => {
                asked = greeting::greet(&registry.index, greeting::ANY_CRATE, &self.context.settings);
                &asked
            }
        };
        match greeting {
            Ok(greeting) => {
                if greeting.reads == Reads::AuthRequired {
                    self.ui.note(format_args!(
                        "`{name}` requires the token for every read, so it is opened for reads too; to open it for changes only: yk-cargo seal {word} --reads open"
                    ));
                }
                Ok(greeting.reads)
            }
            Err(error) => {
                self.ui.warn(format_args!(
                    "cannot ask the registry whether reads need the token ({}); assuming that they do not; if they do: yk-cargo seal {word} --reads auth-required",
                    sentence(error)
                ));
                Ok(Reads::Open)
            }
        }
    }
}

fn wanted(registry: &ConfiguredRegistry, reads: Reads) -> Result<Reads, Error> {
    if registry.is_crates_io() && reads == Reads::AuthRequired {
        return Err(Error::Usage(
            "crates.io needs no token for reads, so --reads auth-required does not apply",
        ));
    }
    Ok(reads)
}
