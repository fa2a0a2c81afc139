//! How a registry stands with cargo: whether cargo, in this folder, asks this program for its tokens. In words, and with
//! what to do; `doctor`, `status`, `list` and whoever changes cargo's configuration say the same.

use std::path::Path;

use crate::cargo_config::{
    Configuration, ConfiguredRegistry, DecidedBy, Detour, Error, Located, Origin, Provider, Providers, Scope,
};
use crate::enrollment::{Enrollments, Registry, SealedToken};
use crate::text::{escape, escape_path, foreign_word};

use Standing::{Asked, Doubtful, NotAsked};

/// A registry whose tokens this program gives.
pub(super) struct Served {
    pub(super) registry: ConfiguredRegistry,
    /// Whether it opens a sealed token, or else signs.
    pub(super) is_sealed: bool,
}

/// Whether cargo uses yk-cargo.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It does.
    Asked { text: String },
    /// It does, but not always, or not first; or nobody needs it to.
    Doubtful { text: String, next: String },
    /// It does not, or refuses.
    NotAsked { text: String, next: String },
}

impl From<&Registry> for Served {
    fn from(registry: &Registry) -> Self {
        let Registry { index, name, .. } = registry.clone();
        Self { registry: ConfiguredRegistry { index, name }, is_sealed: false }
    }
}

impl From<&SealedToken> for Served {
    fn from(token: &SealedToken) -> Self {
        let SealedToken { index, name, .. } = token.clone();
        Self { registry: ConfiguredRegistry { index, name }, is_sealed: true }
    }
}

impl Served {
    /// All of them, one for each index URL.
    pub(super) fn all(enrollments: &Enrollments) -> Vec<Self> {
        let sealed = enrollments.sealed.iter().filter(|token| enrollments.signing(&token.index).is_none());
        let signing = enrollments.registries.iter().filter(|registry| !registry.proofs);
        signing.map(Self::from).chain(sealed.map(Self::from)).collect()
    }

    /// What keeps cargo from having this program's tokens in this folder, and what to do; with doubts, what only may.
    pub(super) fn obstacle(
        &self,
        enrollments: &Enrollments,
        cargo: &Result<Configuration, Error>,
        with_doubts: bool,
    ) -> Option<String> {
        let cargo = match cargo {
            Ok(cargo) => cargo,
            Err(error) => return Some(error.with_hint()),
        };
        match (self.standing(enrollments, cargo), cargo.detours(&self.registry)) {
            (Err(error), _) | (_, Err(error)) => Some(error.with_hint()),
            (Ok(NotAsked { text, next }), _) => Some(format!("{text}; next: {next}")),
            (Ok(Doubtful { text, next }), _) if with_doubts => Some(format!("{text}; next: {next}")),
            (_, Ok(detours)) => detours.first().filter(|_| self.is_sealed).map(|Detour { key, origin }| {
                let key = escape(key);
                format!(
                    "{origin} sets `{key}`, so its token will not be opened in this folder; next: {}",
                    edit(origin)
                )
            }),
        }
    }

    /// Whether cargo uses yk-cargo, in the folder of this configuration.
    ///
    /// # Errors
    /// Cargo refuses its configuration.
    pub(super) fn standing(
        &self,
        enrollments: &Enrollments,
        cargo: &Configuration,
    ) -> Result<Standing, Error> {
        let found = match cargo.name_by_url(Scope::Here, &self.registry) {
            Err(error @ Error::SeveralNames { .. }) => {
                return Ok(NotAsked { text: error.to_string(), next: edit_file(&cargo.home_file()) });
            }
            name => name?,
        };
        let Some(found) = found else { return self.without_a_name(enrollments, cargo) };
        let name = self.called(&found.value, cargo)?;
        if let Some(index) = cargo.index_of(Scope::Here, &name)?
            && index.value != self.registry.index
            && !self.registry.is_crates_io()
        {
            return Ok(leads_elsewhere(&name, &escape(&index.value), &index.origin));
        }
        let asked = self.asks(&shown(&name), cargo)?;
        Ok(match found.origin.variable().filter(|_| found.value != name) {
            Some(variable) => self.under_another_name(&name, &found.value, variable, asked, cargo),
            None => asked,
        })
    }

    /// What the person calls it, if cargo would come to the same URL by that.
    fn called(&self, found: &str, cargo: &Configuration) -> Result<String, Error> {
        if let Some(name) = &self.registry.name {
            let index = cargo.index_of(Scope::Here, name)?;
            if index.is_some_and(|index| index.value == self.registry.index) {
                return Ok(name.clone());
            }
        }
        Ok(found.to_owned())
    }

    /// No name leads to this URL, so only providers for every registry are asked for its tokens.
    fn without_a_name(&self, enrollments: &Enrollments, cargo: &Configuration) -> Result<Standing, Error> {
        let index = escape(&self.registry.index);
        if let Some(name) = &self.registry.name {
            let shown = escape(name);
            match cargo.index_of(Scope::Here, name)? {
                Some(Located { value, origin }) if value == self.registry.index => {
                    let text = format!(
                        "cargo cannot find the settings of `{shown}`, whose URL in {origin} starts with `file:` and no folder"
                    );
                    return Ok(NotAsked { text, next: edit(&origin) });
                }
                Some(Located { value, origin }) if origin.is_projects() || origin.variable().is_some() => {
                    return Ok(leads_elsewhere(&shown, &escape(&value), &origin));
                }
                Some(Located { value, .. }) if enrollments.know(&value) => {
                    let text = format!("{index} is still enrolled, but `{shown}` now has another URL");
                    return Ok(Doubtful { text, next: self.forget() });
                }
                Some(Located { value, .. }) => {
                    let word = foreign_word(name);
                    let text =
                        format!("`{shown}` is now {}, but the enrollment is for {index}", escape(&value));
                    let next = if self.is_sealed {
                        format!("yk-cargo seal {word}")
                    } else {
                        format!("yk-cargo enroll {word} --same-keys-as {word}")
                    };
                    return Ok(NotAsked { text, next });
                }
                None => {}
            }
        }
        let providers = cargo.providers(Scope::Here, &self.registry)?;
        if let Asked { .. } = self.judge(&providers, &index, cargo)? {
            return Ok(Asked { text: format!("cargo uses yk-cargo for {index}, as for every registry") });
        }
        Ok(match &self.registry.name {
            Some(name) => NotAsked {
                text: format!("`{}` is enrolled, but cargo's configuration does not know it", escape(name)),
                next: self.forget(),
            },
            None => NotAsked {
                text: format!(
                    "{index} has no name in cargo's configuration, and cargo does not use yk-cargo for it"
                ),
                next: edit_file(&cargo.home_file()),
            },
        })
    }

    /// A variable gives the URL a name of its own, by which cargo looks for everything else.
    fn under_another_name(
        &self,
        name: &str,
        found: &str,
        variable: &str,
        asked: Standing,
        cargo: &Configuration,
    ) -> Standing {
        let shown = escape(name);
        let is_asked = matches!(asked, Asked { .. });
        let text = format!(
            "while {variable} is set, cargo takes `{shown}` for another registry, `{}`, and {}",
            escape(found),
            if is_asked { "uses yk-cargo for that" } else { "does not use yk-cargo" }
        );
        let next = match is_asked {
            _ if cargo.is_in_own_files(name) => unset(variable),
            true => edit_file(&cargo.home_file()),
            false => self.configure(&shown),
        };
        if is_asked { Doubtful { text, next } } else { NotAsked { text, next } }
    }

    fn asks(&self, shown: &str, cargo: &Configuration) -> Result<Standing, Error> {
        let providers = match cargo.providers(Scope::Here, &self.registry) {
            Err(Error::CredentialsNameAProvider { file, .. }) => {
                let name = escape(&file.file_name().unwrap_or_default().to_string_lossy());
                let text = format!(
                    "both config.toml and {name} have a credential-provider for {shown}, which confuses cargo"
                );
                return Ok(NotAsked { text, next: format!("remove it from {}", escape_path(&file)) });
            }
            providers => providers?,
        };
        self.judge(&providers, shown, cargo)
    }

    /// Which providers cargo asks, and whether those that come before this program let it have its turn.
    fn judge(&self, providers: &Providers, shown: &str, cargo: &Configuration) -> Result<Standing, Error> {
        let not_asked = |text: String, next: String| Ok(NotAsked { text, next });
        let mut before = None;
        for provider in &providers.asked {
            let command = provider.shown();
            if provider.is_ours() {
                return Ok(match before {
                    _ if provider.command.len() > 1 => NotAsked {
                        text: format!(
                            "cargo passes arguments to yk-cargo for {shown}, which takes none: `{command}`"
                        ),
                        next: self.mend(provider, shown),
                    },
                    _ if provider.file().is_none() => NotAsked {
                        text: format!("cargo is set to run `{command}` for {shown}, which does not exist"),
                        next: self.mend(provider, shown),
                    },
                    Some(before) => Doubtful {
                        text: format!(
                            "cargo asks `{before}` for the tokens of {shown} before it asks yk-cargo"
                        ),
                        next: edit(provider.decided_at()),
                    },
                    None => Asked { text: asked(providers.by, provider, shown) },
                });
            }
            if provider.is_token_in_clear() && providers.by != DecidedBy::Registry {
                // It has nothing to say where there is no token.
                if let Some(token) = cargo.token_in_clear(Scope::Here, &self.registry)? {
                    return not_asked(
                        format!("cargo uses the token for {shown} in {token} before it asks yk-cargo"),
                        edit(&token),
                    );
                }
                continue;
            }
            let is_refused = provider.program() == "cargo:paseto";
            let is_missing = !provider.is_built_in() && provider.file().is_none();
            if providers.by == DecidedBy::Registry || is_refused || is_missing {
                return not_asked(self.asks_another(provider, shown), self.mend(provider, shown));
            }
            before = before.or(Some(command));
        }
        not_asked(format!("cargo does not use yk-cargo for {shown}"), self.configure(shown))
    }

    fn asks_another(&self, provider: &Provider, shown: &str) -> String {
        let command = provider.shown();
        match (&provider.alias, &provider.origin) {
            (Some(alias), _) => {
                format!(
                    "`[credential-alias]` in {alias} makes cargo ask `{command}` for the tokens of {shown}"
                )
            }
            (None, Origin::Variable(variable)) => {
                format!("{variable} makes cargo ask another program for {shown}")
            }
            (None, origin) if origin.is_projects() => {
                format!("{origin} makes cargo ask `{command}` for the tokens of {shown}")
            }
            (None, _) => format!("cargo asks `{command}` for the tokens of {shown}"),
        }
    }

    /// What gets another provider out of the way.
    fn mend(&self, provider: &Provider, shown: &str) -> String {
        match provider.decided_at() {
            Origin::Variable(variable) => unset(variable),
            origin if origin.is_projects() || provider.alias.is_some() => edit(origin),
            _ => self.configure(shown),
        }
    }

    /// The command that sets cargo up for it.
    fn configure(&self, shown: &str) -> String {
        let name = shown.strip_prefix('`').and_then(|name| name.strip_suffix('`')).unwrap_or(shown);
        let name = if self.registry.is_crates_io() { "crates-io".to_owned() } else { foreign_word(name) };
        if self.is_sealed {
            format!("yk-cargo seal {name} --rotate --configure")
        } else {
            format!("yk-cargo enroll {name} --configure")
        }
    }

    /// The command by which this computer forgets it.
    fn forget(&self) -> String {
        let index = foreign_word(&self.registry.index);
        if self.is_sealed {
            format!("yk-cargo unseal {index} --restore")
        } else {
            format!("yk-cargo forget {index}")
        }
    }
}

fn shown(name: &str) -> String {
    if name == crate::cargo_config::CRATES_IO_NAME {
        "crates.io".into()
    } else {
        format!("`{}`", escape(name))
    }
}

fn asked(by: DecidedBy, provider: &Provider, shown: &str) -> String {
    match (&provider.origin, by) {
        (Origin::Variable(variable), _) => format!("{variable} makes cargo use yk-cargo for {shown}"),
        (_, DecidedBy::Global) => format!("cargo uses yk-cargo for {shown}, as for every registry"),
        _ => format!("cargo uses yk-cargo for {shown}"),
    }
}

fn leads_elsewhere(name: &str, index: &str, origin: &Origin) -> Standing {
    let text = format!("{origin} gives `{}` the URL {index}, which is not enrolled", escape(name));
    let next = origin.variable().map_or_else(|| edit(origin), unset);
    NotAsked { text, next }
}

fn edit(place: &Origin) -> String {
    format!("edit {}", place.word())
}

fn edit_file(file: &Path) -> String {
    format!("edit {}", foreign_word(&file.display().to_string()))
}

fn unset(variable: &str) -> String {
    format!("unset {}", foreign_word(variable))
}
