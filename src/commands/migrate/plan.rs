//! What `migrate` will do, before it asks: which tokens go where, and which it leaves alone.
//!
//! Of each registry the token that cargo uses is sealed, and removed wherever else the same one lies. A project's files
//! come with the project: they are changed only where the registry is named.

use super::shown_file;
use crate::cargo_config::credentials::ClearToken;
use crate::cargo_config::{
    self, Configuration, ConfiguredRegistry, DecidedBy, Owner, Provider, Scope, our_command,
    registry_variable,
};
use crate::commands::configure;
use crate::context::Context;
use crate::enrollment::Enrollments;
use crate::error::Error;
use crate::sealed::BearerToken;
use crate::text::{escape, foreign_word};
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
        let cargo = context.cargo.read()?;
        let named = name.map(|name| name_of(name, &enrollments, &cargo, context)).transpose()?;
        let mut plan = Self { moves: Vec::new(), left: Vec::new() };
        for token in cargo.clear_tokens().into_iter().filter(ClearToken::is_token) {
            if named.as_ref().is_none_or(|name| *name == token.registry) {
                plan.add(token, named.is_some(), &enrollments, &cargo)?;
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
        cargo: &Configuration,
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
        match Move::begin(&token, is_named, enrollments, cargo) {
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
            ui.say("there is no plaintext token to seal");
        }
        let enrollments = Enrollments::load(context.cargo.home())?;
        let cargo = context.cargo.read()?;
        for moving in &self.moves {
            moving.show(&enrollments, &cargo, ui)?;
        }
        for Left { token, why } in &self.left {
            let (file, name) = (shown_file(token), escape(&token.registry));
            match why {
                Why::InProject => ui.note(format_args!(
                    "{file}, a project's file, has a token for `{name}`; it is left alone without --registry {}",
                    foreign_word(&token.registry)
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
        cargo: &Configuration,
    ) -> Result<(ConfiguredRegistry, BearerToken), Error> {
        let registry = cargo.resolve_any(&token.registry)?;
        if enrollments.signing(&registry.index).is_some() {
            return Err(Error::Signs { registry: token.registry.clone() });
        }
        if registry.index.is_unprotected() {
            return Err(Error::Unprotected { index: registry.index });
        }
        if !is_named && let Some(provider) = another(&registry, cargo)? {
            let name = token.registry.clone();
            return Err(
                cargo_config::Error::AsksAnother { name, provider: provider.command.join(" ") }.into()
            );
        }
        cargo.provider_change(&registry, &our_command())?;
        Ok((registry, token.bearer()?))
    }

    /// The registry's name, escaped.
    pub(super) fn name(&self) -> String {
        self.registry.shown()
    }

    pub(super) fn files(&self) -> String {
        let files: Vec<_> = self.copies.iter().map(shown_file).collect();
        files.join(" and ")
    }

    fn show(&self, enrollments: &Enrollments, cargo: &Configuration, ui: Ui) -> Result<(), Error> {
        let name = self.name();
        let length = self.copies[0].length();
        ui.say(format_args!(
            "the token of `{name}`, {length} characters, in plain text in {}:",
            self.files()
        ));
        if enrollments.sealed(&self.registry.index).is_some() {
            ui.say("    check that it is the same as the sealed one");
        } else {
            ui.say("    seal it to your YubiKey, and check that it opens (PIN and touch)");
        }
        if !configure::is_set(cargo, &self.registry)? {
            let change = cargo.provider_change(&self.registry, &our_command())?;
            let before = another(&self.registry, cargo)?.map(|other| format!(", now {}", other.shown()));
            ui.say(format_args!(
                "    set credential-provider in {} of {}{}",
                escape(&change.section),
                configure::file_of(&change, cargo),
                before.unwrap_or_default()
            ));
        }
        ui.say(format_args!("    remove it from {}", self.files()));
        Ok(())
    }

    /// The environment is left alone, and counts more than the files.
    pub(super) fn tell_what_shadows_it(&self, ui: Ui) {
        let Some(name) = &self.registry.name else { return };
        let token = registry_variable(name, "token");
        if std::env::var_os(&token).is_some() {
            ui.warn(format_args!(
                "{} is set: every program that you start can read it, and cargo does not need it: unset {}",
                escape(&token),
                foreign_word(&token)
            ));
        }
    }
}

/// Another provider that the person has set for a registry. Cargo's own, which reads the files that are migrated, is none.
fn another(
    registry: &ConfiguredRegistry,
    cargo: &Configuration,
) -> Result<Option<Provider>, cargo_config::Error> {
    let providers = cargo.providers(Scope::Own, registry)?;
    let is_another = |provider: &Provider| {
        providers.by == DecidedBy::Registry && !provider.is_ours() && !provider.is_token_in_clear()
    };
    Ok(providers.asked.clone().into_iter().find(is_another))
}

/// The name under which cargo's files would have the token.
fn name_of(
    name_or_url: &str,
    enrollments: &Enrollments,
    cargo: &Configuration,
    context: &Context,
) -> Result<String, Error> {
    let registry = context.registry(name_or_url, enrollments)?;
    let name = cargo.settings_name(Scope::Here, &registry)?;
    Ok(name.ok_or(cargo_config::Error::NoName)?)
}
