//! A registry that is asked for its staged versions, by a person with an enrolled card.

use std::time::{Duration, Instant};

use asymmetric_token::{CrateName, KeyId, Mutation};
use semver::Version;

use super::candidate::Candidate;
use super::{At, Which};
use crate::card::access;
use crate::commands::verify::fetch::Remote;
use crate::context::Context;
use crate::enrollment::{Enrollments, Registry};
use crate::error::Error;
use crate::reader::Readers;
use crate::registry::staged::{Listed, Stage, Staging};
use crate::signer::Signer;
use crate::text::escape;
use crate::ui::Ui;

/// One registry, for as long as a command runs.
pub(super) struct Session<'a> {
    pub(super) registry: &'a Registry,
    pub(super) staging: Staging,
    context: &'a Context,
    signer: Signer<'a>,
    token: String,
    signed: Instant,
}

impl Session<'_> {
    /// Does something with the registry that is meant.
    pub(super) fn with<T>(
        at: &At,
        context: &Context,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let enrollments = Enrollments::load(context.cargo.home())?;
        let registry = registry(at, &enrollments, context)?;
        let readers = access::readers(&context.settings.wait);
        work(&mut Session::open(registry, &readers, context)?)
    }
}

impl<'a> Session<'a> {
    /// Signs a read token, and finds where staged versions are asked for.
    fn open(registry: &'a Registry, readers: &'a Readers, context: &'a Context) -> Result<Self, Error> {
        let mut signer = Signer::new(readers, &context.settings, Ui::asking()).keeping_power();
        let (token, signed) = (signer.sign(registry, None)?.token, Instant::now());
        let staging = Staging::open(&registry.index, &token, &context.settings)?;
        Ok(Self { registry, staging, context, signer, token, signed })
    }

    /// A read token, used again for as long as the registry takes it.
    fn token(&mut self) -> Result<String, Error> {
        if self.signed.elapsed() > Duration::from_secs(self.registry.reuse.into()) {
            (self.token, self.signed) = (self.fresh_token()?, Instant::now());
        }
        Ok(self.token.clone())
    }

    /// A read token that was used for nothing.
    pub(super) fn fresh_token(&mut self) -> Result<String, Error> {
        Ok(self.signer.sign(self.registry, None)?.token)
    }

    /// The publish token that approves a version.
    pub(super) fn sign(&mut self, publish: Mutation) -> Result<String, Error> {
        Ok(self.signer.sign(self.registry, Some(publish))?.token)
    }

    pub(super) fn list(&mut self) -> Result<Listed, Error> {
        let token = self.token()?;
        Ok(self.staging.list(&token)?)
    }

    /// One version as it stands now.
    pub(super) fn now(&mut self, id: u64) -> Result<Stage, Error> {
        let token = self.token()?;
        Ok(self.staging.stage(id, &token)?)
    }

    /// The version that a person names.
    pub(super) fn find(&mut self, which: &Which) -> Result<Stage, Error> {
        match which {
            Which::Id(id) => self.now(*id),
            Which::Version(name, version) => {
                let listed = self.list()?;
                let found = one_of(&listed, name, version)?;
                found.ok_or_else(|| self.not_staged(name, version, &listed))
            }
        }
    }

    pub(super) fn not_staged(&self, name: &CrateName, version: &Version, listed: &Listed) -> Error {
        let registry = escape(self.registry.display_name());
        let version = format!("{name} {version}");
        match listed.cut() {
            Some(cut) => Error::NotAmongTheFirst { version, registry, cut },
            None => Error::NotStaged { version, registry },
        }
    }

    /// A version with its file, which is what the registry says that it is.
    pub(super) fn candidate(&mut self, stage: Stage) -> Result<Candidate, Error> {
        let token = self.token()?;
        let file = self.staging.download(stage.id, &token)?;
        Candidate::read(stage, file, &self.registry.index)
    }

    /// The registry's index and what it has published.
    pub(super) fn published(&mut self) -> Result<Remote<'a>, Error> {
        let token = self.token()?;
        Remote::with_token(&self.registry.index, token, self.context)
    }

    /// The ids of the keys with which this person approves here.
    pub(super) fn keys(&self) -> impl Iterator<Item = KeyId> + use<'a> {
        let registry = self.registry;
        registry.cards.iter().filter_map(|card| Some(card.key(true)?.public.id()))
    }

    /// Asks a question whose answer is no unless the person says yes.
    pub(super) fn agreed(&self, question: &str) -> Result<(), Error> {
        let yes = Ui::asking().confirm(question, self.context.settings.wait.pin_prompt())?;
        if yes { Ok(()) } else { Err(Error::Declined) }
    }
}

/// The registry that is meant.
fn registry<'a>(at: &At, enrollments: &'a Enrollments, context: &Context) -> Result<&'a Registry, Error> {
    if let Some(named) = &at.registry {
        return signing(context.enrolled(enrollments, named)?);
    }
    let mut enrolled = enrollments.registries.iter().filter(|registry| !registry.proofs);
    match (enrolled.next(), enrolled.next()) {
        (Some(only), None) => Ok(only),
        _ => {
            let default = context.cargo.read_own()?.default_registry()?;
            let default = default
                .ok_or(Error::Usage("name the registry with --registry; `yk-cargo list` shows yours"))?;
            signing(context.enrolled(enrollments, &default.value)?)
        }
    }
}

fn signing(registry: &Registry) -> Result<&Registry, Error> {
    if registry.proofs { Err(Error::ForSomethingElse { proofs: true }) } else { Ok(registry) }
}

/// The one that is staged as this version.
pub(super) fn one_of(listed: &Listed, name: &CrateName, version: &Version) -> Result<Option<Stage>, Error> {
    let is_it = |stage: &&Stage| (&stage.name, &stage.version) == (name, version);
    let mut found: Vec<_> = listed.stages.iter().filter(is_it).collect();
    if found.len() > 1 {
        let ids: Vec<_> = found.iter().map(|stage| stage.id.to_string()).collect();
        return Err(Error::StagedTwice { version: format!("{name} {version}"), ids: ids.join(", ") });
    }
    Ok(found.pop().cloned())
}
