//! Requests about a registry whose bearer token is sealed.
//!
//! Cargo asks for a read token first, also where reads need none, and then never sends it; there it gets a placeholder,
//! and no card is touched. The token itself is opened for the change that cargo names, and cargo may not keep it. Only
//! where the person has chosen so is it given out for reading, for this cargo's whole run: a 401 to a read does not
//! change that. It is not opened either where a project makes cargo take another way to the registry.

use asymmetric_token::Mutation;
use cargo_credential::{
    CacheControl, CredentialResponse, Error as CargoError, LoginOptions, RegistryInfo, Secret,
};
use zeroize::Zeroizing;

use super::{Provider, here, to_cargo};
use crate::card::access;
use crate::cargo_config::{ConfiguredRegistry, index_url};
use crate::commands::seal::ask_at_the_terminal;
use crate::context::Context;
use crate::enrollment::{Enrollments, Reads, SealedToken};
use crate::error::Error;
use crate::registry::visit::Greetings;
use crate::sealed::BearerToken;
use crate::sealed_files;
use crate::sealer::{Making, Sealer};
use crate::settings::Settings;
use crate::text::escape;
use crate::unsealer::{Occasion, Unsealer};

/// The placeholder for a read token where reads need none. Cargo does not send it; a registry would refuse it.
const PLACEHOLDER: &str = "yk-cargo-opens-the-token-for-changes-only";

impl Provider<'_> {
    pub(super) fn get_sealed(
        &self,
        enrollments: &Enrollments,
        token: &SealedToken,
        info: &RegistryInfo<'_>,
        mutation: Option<&Mutation>,
    ) -> Result<CredentialResponse, CargoError> {
        // Before a publish cargo asks for a read token, so that this is said before anything is built.
        self.takes_the_persons_way(token).map_err(|error| to_cargo(&error))?;
        // Cargo passes headers on only if the index has just refused a read without a token.
        let is_refused = !info.headers.is_empty();
        let is_for_changes_only = mutation.is_none() && token.reads == Reads::Open;
        if is_for_changes_only && !is_refused {
            return Ok(CredentialResponse::Get {
                token: Secret::from(PLACEHOLDER.to_owned()),
                cache: CacheControl::Session,
                operation_independent: false,
            });
        }
        if is_for_changes_only {
            let (registry, is_crates_io) = (escape(token.display_name()), token.index.is_crates_io());
            return Err(to_cargo(&Error::SealedForChanges { registry, is_crates_io }));
        }
        let proving = enrollments.proving(&token.index);
        if let (Some(registry), Some(mutation @ Mutation::Publish { .. })) = (proving, mutation) {
            self.prove(registry, enrollments, mutation).map_err(|error| to_cargo(&error))?;
        }
        let occasion = mutation.map_or(Occasion::Read, Occasion::Mutation);
        let opened = self.unseal(enrollments, token, occasion).map_err(|error| to_cargo(&error))?;
        let is_read = mutation.is_none();
        Ok(CredentialResponse::Get {
            token: Secret::from(opened.expose().to_owned()),
            cache: if is_read { CacheControl::Session } else { CacheControl::Never },
            // Once a read has needed the token, asking again for each change would only give the same one, unless there is a proof
            // to be signed.
            operation_independent: is_read && proving.is_none(),
        })
    }

    fn unseal(
        &self,
        enrollments: &Enrollments,
        token: &SealedToken,
        occasion: Occasion<'_>,
    ) -> Result<BearerToken, Error> {
        let settings = Settings::load(self.cargo_home)?;
        let readers = access::readers(&settings.wait);
        Unsealer::new(&readers, &settings, self.ui).unseal(enrollments, token, occasion)
    }

    /// Refuses where a project changes where cargo sends the token.
    fn takes_the_persons_way(&self, token: &SealedToken) -> Result<(), Error> {
        let registry = ConfiguredRegistry { index: token.index.clone(), name: token.name.clone() };
        let detours = self.cargo_config().read()?.detours(&registry)?;
        if detours.is_empty() {
            return Ok(());
        }
        Err(Error::Detour { registry: escape(token.display_name()), detours })
    }

    /// `cargo login`: the token that cargo was given, or that the person types now, is sealed.
    pub(super) fn login_sealed(
        &self,
        info: &RegistryInfo<'_>,
        login: &LoginOptions<'_>,
    ) -> Result<(), Error> {
        let context = Context::at(self.cargo_home.to_owned(), here())?;
        // A project can give a known name another URL, and a person would type the token of the one that they know.
        let registry =
            ConfiguredRegistry { index: index_url(info.index_url)?, name: info.name.map(str::to_owned) };
        if registry.index.is_unprotected() {
            return Err(Error::Unprotected { index: registry.index });
        }
        if let Some(name) = &registry.name {
            let known = context.registry(name, &Enrollments::load(self.cargo_home)?)?;
            if known.index != registry.index {
                return Err(Error::OtherIndex {
                    name: name.clone(),
                    asked: registry.index,
                    known: known.index,
                });
            }
        }
        let interactive = self.ui.is_interactive();
        let readers = access::readers(&context.settings.wait);
        let making = Making { without_asking: !interactive, ..Making::default() };
        let sealer =
            Sealer { context: &context, readers: &readers, ui: self.ui, making, greetings: Greetings::new() };
        let given = login.token.as_ref().map(|token| token.as_ref().expose().trim().to_owned());
        let given = given.map(|token| BearerToken::new(Zeroizing::new(token))).transpose()?;
        if given.is_none() && !interactive {
            return Err(Error::NoToken { nobody: self.ui.nobody() });
        }
        sealer.key()?;
        let token = match given {
            Some(token) => token,
            None => {
                if let Some(url) = login.login_url {
                    self.ui.say(format_args!("get a token at {}", escape(url)));
                }
                ask_at_the_terminal(info.name.unwrap_or(info.index_url), &context, self.ui)?
            }
        };
        let sealed = sealer.seal(&registry, &token)?;
        sealer.check(&sealed, &token)
    }

    /// `cargo logout`: the token goes, and whoever has a copy of it can still use it.
    pub(super) fn logout_sealed(&self, enrollments: &Enrollments, token: &SealedToken) -> Result<(), Error> {
        sealed_files::remove(self.cargo_home, &token.index)?;
        self.ui.say(format_args!("removed the sealed token of `{}`", escape(token.display_name())));
        self.ui.note("it is still valid at the registry: revoke it there if you no longer need it");
        for key in &enrollments.sealing_keys {
            self.ui.note(format_args!(
                "the key that it was sealed to stays in slot {} of YubiKey {} ({}), for other tokens",
                key.slot,
                key.serial,
                escape(&key.label)
            ));
        }
        Ok(())
    }
}
