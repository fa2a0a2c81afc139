//! Requests about a registry whose bearer token is sealed.
//!
//! Cargo asks for a read token first, also where reads need none, and then never sends it; there it gets a placeholder,
//! and no card is touched. The token itself is opened for the change that cargo names, and cargo may not keep it. Only
//! where reads need the token is it given out for reading, for this cargo's whole run.

use asymmetric_token::Mutation;
use cargo_credential::{
    CacheControl, CredentialResponse, Error as CargoError, LoginOptions, RegistryInfo, Secret,
};
use zeroize::Zeroizing;

use super::{Provider, to_cargo};
use crate::cargo_config::{ConfiguredRegistry, index_url};
use crate::commands::seal::ask_at_the_terminal;
use crate::context::Context;
use crate::enrollment::Reads;
use crate::enrollment::{Edit, Enrollments, SealedToken};
use crate::error::Error;
use crate::reader::Readers;
use crate::sealed::BearerToken;
use crate::sealed_files;
use crate::sealer::{Making, Sealer};
use crate::settings::Settings;
use crate::text::escape;
use crate::unsealer::{Occasion, Unsealer};

/// What stands for a read token where reads need none. Cargo does not send it; a registry would refuse it.
const PLACEHOLDER: &str = "yk-cargo-opens-the-token-for-changes-only";

impl Provider<'_> {
    pub(super) fn get_sealed(
        &self,
        enrollments: &Enrollments,
        token: &SealedToken,
        info: &RegistryInfo<'_>,
        mutation: Option<&Mutation>,
    ) -> Result<CredentialResponse, CargoError> {
        let reads = self.reads(token, info).map_err(|error| to_cargo(&error))?;
        if mutation.is_none() && reads == Reads::Open {
            return Ok(CredentialResponse::Get {
                token: Secret::from(PLACEHOLDER.to_owned()),
                cache: CacheControl::Session,
                operation_independent: false,
            });
        }
        let occasion = mutation.map_or(Occasion::Read, Occasion::Mutation);
        let opened = self.unseal(enrollments, token, occasion).map_err(|error| to_cargo(&error))?;
        // A read that needs the token would have it asked for again for each change, to no avail: it is the same.
        let for_everything = mutation.is_none();
        Ok(CredentialResponse::Get {
            token: Secret::from(opened.expose().to_owned()),
            cache: if for_everything { CacheControl::Session } else { CacheControl::Never },
            operation_independent: for_everything,
        })
    }

    fn unseal(
        &self,
        enrollments: &Enrollments,
        token: &SealedToken,
        occasion: Occasion<'_>,
    ) -> Result<BearerToken, Error> {
        let settings = Settings::load(self.cargo_home)?;
        let readers = Readers::start(settings.wait.deadlines());
        Unsealer::new(&readers, &settings, self.ui).unseal(enrollments, token, occasion)
    }

    /// Cargo passes headers on only if the index has just refused a read without a token; so it needs one now, whatever
    /// it did when the token was sealed.
    fn reads(&self, token: &SealedToken, info: &RegistryInfo<'_>) -> Result<Reads, Error> {
        let refused = !info.headers.is_empty() && !token.index.is_crates_io();
        if token.reads == Reads::AuthRequired || !refused {
            return Ok(token.reads);
        }
        let name = escape(token.display_name());
        self.ui.note(format_args!("`{name}` needs the token for reads now"));
        let token = SealedToken { reads: Reads::AuthRequired, ..token.clone() };
        Edit::begin(self.cargo_home)?.set_sealed(&token)?;
        Ok(Reads::AuthRequired)
    }

    /// `cargo login`: the token that cargo was given, or that the person types now, is sealed.
    pub(super) fn login_sealed(
        &self,
        info: &RegistryInfo<'_>,
        login: &LoginOptions<'_>,
    ) -> Result<(), Error> {
        let here = std::env::current_dir().unwrap_or_default();
        let context = Context::at(self.cargo_home.to_owned(), here)?;
        // A project can give a known name another URL, and a person would type the token of the one that they know.
        let registry =
            ConfiguredRegistry { index: index_url(info.index_url)?, name: info.name.map(str::to_owned) };
        if registry.index.is_unprotected() {
            return Err(Error::Unprotected { index: registry.index });
        }
        if let Some(name) = &registry.name {
            let known = context.cargo.resolve_any(name)?;
            if known.index != registry.index {
                return Err(Error::OtherIndex {
                    name: name.clone(),
                    asked: registry.index,
                    known: known.index,
                });
            }
        }
        let interactive = self.ui.is_interactive();
        let token = match &login.token {
            Some(token) => BearerToken::new(Zeroizing::new(token.as_ref().expose().trim().to_owned()))?,
            None if !interactive => return Err(Error::NoToken { nobody: self.ui.nobody() }),
            None => {
                if let Some(url) = login.login_url {
                    self.ui.say(format_args!("get a token at {}", escape(url)));
                }
                ask_at_the_terminal(info.name.unwrap_or(info.index_url), &context, self.ui)?
            }
        };
        let readers = Readers::start(context.settings.wait.deadlines());
        let making = Making { without_asking: !interactive, ..Making::default() };
        let sealer = Sealer { context: &context, readers: &readers, ui: self.ui, making };
        let sealed = sealer.seal(&registry, &token)?;
        sealer.check(&sealed, &token)
    }

    /// `cargo logout`: the token goes, and whoever has a copy of it can still use it.
    pub(super) fn logout_sealed(&self, enrollments: &Enrollments, token: &SealedToken) -> Result<(), Error> {
        sealed_files::remove(self.cargo_home, &token.index)?;
        self.ui.say(format_args!("removed the sealed token of `{}`", escape(token.display_name())));
        self.ui.note("it is still good at the registry: revoke it there if you need it no more");
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
