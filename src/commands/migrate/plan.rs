//! What `migrate` will do, before it asks: which tokens go where, and which it leaves alone.
//!
//! Of each registry the token that cargo uses is sealed, and removed wherever else the same one lies. A project's files
//! come with the project: they are changed only where the registry is named.

use super::shown_file;
use crate::cargo_config::credentials::{ClearToken, Owner};
use crate::cargo_config::view::{from_variable, variable};
use crate::cargo_config::{self, CRATES_IO_NAME, CargoConfig, ConfiguredRegistry};
use crate::context::Context;
use crate::enrollment::Enrollments;
use crate::error::Error;
use crate::sealed::BearerToken;
use crate::text::escape;
use crate::ui::Ui;

/// Everything that was found in clear.
pub(super) struct Plan {
    pub(super) moves: Vec<Move>,
    left: Vec<Left>,
}

/// One registry's token, to be sealed.
pub(super) struct Move {
    pub(super) registry: ConfiguredRegistry,
    pub(super) token: BearerToken,
    /// Wherever it lies; never empty.
    pub(super) copies: Vec<ClearToken>,
}

/// A token that stays.
struct Left {
    token: ClearToken,
    why: Why,
}

enum Why {
    Error(Error),
    InProject,
    /// Cargo uses another one.
    Another,
    /// The registry gets signed tokens.
    Signs,
}

impl Plan {
    /// For one registry, which then must be possible, or for all.
    ///
    /// # Errors
    /// Unreadable configuration or enrollments, a file that cannot be changed; with a name, whatever forbids to seal it.
    pub(super) fn make(name: Option<&str>, context: &Context) -> Result<Self, Error> {
        let enrollments = Enrollments::load(context.cargo.home())?;
        let named = name.map(|name| name_of(name, context)).transpose()?;
        let mut plan = Self { moves: Vec::new(), left: Vec::new() };
        for token in context.cargo.clear_tokens()? {
            if named.as_ref().is_none_or(|name| *name == token.registry) {
                plan.add(token, named.is_some(), &enrollments, context)?;
            }
        }
        for copy in plan.moves.iter().flat_map(|moving| &moving.copies) {
            copy.can_be_removed()?;
        }
        Ok(plan)
    }

    fn add(
        &mut self,
        token: ClearToken,
        is_named: bool,
        enrollments: &Enrollments,
        context: &Context,
    ) -> Result<(), Error> {
        if token.owner == Owner::Project && !is_named {
            self.left.push(Left { token, why: Why::InProject });
            return Ok(());
        }
        let name = token.registry.as_str();
        if let Some(moving) =
            self.moves.iter_mut().find(|moving| moving.registry.name.as_deref() == Some(name))
        {
            if token.is(&moving.token) {
                moving.copies.push(token);
            } else {
                self.left.push(Left { token, why: Why::Another });
            }
            return Ok(());
        }
        match Move::begin(&token, is_named, enrollments, context) {
            Err(Error::Signs { .. }) => self.left.push(Left { token, why: Why::Signs }),
            Ok((registry, bearer)) => self.moves.push(Move { registry, token: bearer, copies: vec![token] }),
            Err(error) if is_named => return Err(error),
            Err(error) => self.left.push(Left { token, why: Why::Error(error) }),
        }
        Ok(())
    }

    /// Says it all, but never a token.
    pub(super) fn show(&self, context: &Context, ui: Ui) -> Result<(), Error> {
        if self.moves.is_empty() {
            ui.say("there is no token in clear that could be sealed");
        }
        let enrollments = Enrollments::load(context.cargo.home())?;
        for moving in &self.moves {
            moving.show(&enrollments, context, ui)?;
        }
        for Left { token, why } in &self.left {
            let (file, name) = (shown_file(token), escape(&token.registry));
            match why {
                Why::InProject => ui.note(format_args!(
                    "{file}, a file of a project, has a token for `{name}`; it is left alone without --registry {name}"
                )),
                Why::Another => ui.warn(format_args!(
                    "{file} has another token for `{name}`, which cargo does not use; it is left alone: revoke it, and remove it"
                )),
                Why::Signs => ui.warn(format_args!(
                    "{file} has a token for `{name}`, whose tokens are signed; it is left alone: revoke it, and remove it"
                )),
                Why::Error(error) => ui.note(format_args!(
                    "{file} has a token for `{name}`; it is left alone: {error}{}",
                    error.hint().map(|hint| format!("; {hint}")).unwrap_or_default()
                )),
            }
        }
        Ok(())
    }
}

impl Move {
    fn begin(
        token: &ClearToken,
        is_named: bool,
        enrollments: &Enrollments,
        context: &Context,
    ) -> Result<(ConfiguredRegistry, BearerToken), Error> {
        let registry = context.cargo.resolve_any(&token.registry)?;
        if enrollments.registry(&registry.index).is_some() {
            return Err(Error::Signs { registry: token.registry.clone() });
        }
        if registry.index.is_unprotected() {
            return Err(Error::Unprotected { index: registry.index });
        }
        if let Some(file) = context.cargo.credentials_with_a_provider(&registry)? {
            let name = token.registry.clone();
            return Err(cargo_config::Error::CredentialsNameAProvider { file, name }.into());
        }
        match context.cargo.provider_of(&registry)? {
            Some(provider) if !is_named && is_another(&provider) => {
                return Err(
                    cargo_config::Error::AsksAnother { name: token.registry.clone(), provider }.into()
                );
            }
            _ => {}
        }
        Ok((registry, token.bearer()?))
    }

    /// The registry's name, escaped.
    pub(super) fn name(&self) -> String {
        escape(self.registry.name.as_deref().unwrap_or(&self.registry.index))
    }

    pub(super) fn files(&self) -> String {
        let files: Vec<_> = self.copies.iter().map(shown_file).collect();
        files.join(" and ")
    }

    fn show(&self, enrollments: &Enrollments, context: &Context, ui: Ui) -> Result<(), Error> {
        let name = self.name();
        let length = self.copies[0].length();
        ui.say(format_args!("the token of `{name}`, {length} characters in clear in {}:", self.files()));
        if enrollments.sealed(&self.registry.index).is_some() {
            ui.say("    see that it is the one that is sealed");
        } else {
            ui.say("    seal it to your YubiKey, and see that it opens again (PIN and touch)");
        }
        match context.cargo.provider_of(&self.registry)? {
            Some(provider) if CargoConfig::is_ours(&provider) => {}
            provider => {
                let before = provider.map(|provider| format!(", which is {}", escape(&provider)));
                let section = escape(&self.registry.section().unwrap_or_default());
                ui.say(format_args!(
                    "    set credential-provider in {section} of $CARGO_HOME/config.toml{}",
                    before.unwrap_or_default()
                ));
            }
        }
        ui.say(format_args!("    remove it from {}", self.files()));
        Ok(())
    }

    /// The environment is left alone, and counts more than the files.
    pub(super) fn tell_what_shadows_it(&self, ui: Ui) {
        let Some(name) = &self.registry.name else { return };
        let provider = variable(name, "credential-provider");
        if std::env::var(&provider).is_ok_and(|value| !from_variable(&value).is_ours()) {
            ui.warn(format_args!("{provider} has cargo ask another program all the same: unset {provider}"));
        }
        let token = variable(name, "token");
        if std::env::var_os(&token).is_some() {
            ui.warn(format_args!(
                "{token} is set: every program that you start can read it, and cargo does not need it: unset {token}"
            ));
        }
    }
}

/// Cargo's own provider reads the files that are migrated.
fn is_another(provider: &str) -> bool {
    !CargoConfig::is_ours(provider) && !provider.contains("cargo:token")
}

/// The name under which cargo's files would have the token.
fn name_of(name_or_url: &str, context: &Context) -> Result<String, Error> {
    let registry = context.cargo.resolve_any(name_or_url)?;
    if registry.is_crates_io() {
        return Ok(CRATES_IO_NAME.to_owned());
    }
    registry.name.ok_or_else(|| cargo_config::Error::NoName.into())
}
