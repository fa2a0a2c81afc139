//! Which programs cargo asks for a registry's tokens, in its order (cargo 1.95, `util/auth/mod.rs`).

use std::path::{Path, PathBuf};

use super::configuration::{Configuration, Scope};
use super::environment::variable;
use super::origin::{Located, Origin};
use super::value::{Kind, Value, names_a_program};
use super::{ConfiguredRegistry, Error, this_program};

/// This program's name.
pub(super) const OUR_NAME: &str = "yk-cargo";

const TOKEN_PROVIDER: &str = "cargo:token";

/// What cargo has built in.
const BUILT_IN: [&str; 6] = [
    TOKEN_PROVIDER,
    "cargo:paseto",
    "cargo:token-from-stdout",
    "cargo:wincred",
    "cargo:macos-keychain",
    "cargo:libsecret",
];

/// Whom cargo asks for a registry's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Providers {
    /// Which setting decides.
    pub by: DecidedBy,
    /// In the order in which cargo asks.
    pub asked: Vec<Provider>,
}

/// Which setting decides whom cargo asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecidedBy {
    /// The registry's own `credential-provider`.
    Registry,
    /// `registry.global-credential-providers`.
    Global,
    /// None: cargo has its own way.
    Default,
}

/// A credential provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The program as cargo starts it, and its arguments.
    pub command: Vec<String>,
    /// Where it is named.
    pub origin: Origin,
    /// Where `[credential-alias]` puts it in place of what is named there.
    pub alias: Option<Origin>,
    /// Cargo's own list has it as an array.
    pub is_list: bool,
}

impl Provider {
    /// The program.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.command[0]
    }

    /// Program and arguments as one text.
    #[must_use]
    pub fn shown(&self) -> String {
        crate::text::escape(&self.command.join(" "))
    }

    /// Where the program that is started is named in the end.
    #[must_use]
    pub fn decided_at(&self) -> &Origin {
        self.alias.as_ref().unwrap_or(&self.origin)
    }

    /// Whether cargo reads tokens in clear.
    #[must_use]
    pub fn is_token_in_clear(&self) -> bool {
        self.program() == TOKEN_PROVIDER
    }

    /// Whether it is a part of cargo.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        BUILT_IN.contains(&self.program())
    }

    /// The file that is started, if it is there.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        find(self.program())
    }

    /// Whether the file that is started is the one that is running.
    #[must_use]
    pub fn is_this_program(&self) -> bool {
        self.file().is_some_and(|file| is_this_program(&file))
    }

    /// Whether it is this program. The person's own word is taken for a file of our name; a project's is not, unless the
    /// person's PATH finds it.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        let program = Path::new(self.program());
        let has_our_name = program.file_stem().is_some_and(|stem| stem == OUR_NAME);
        let is_bare = !self.program().contains(['/', '\\']);
        has_our_name && (is_bare || !self.decided_at().is_projects()) || self.is_this_program()
    }
}

/// A program as the operating system finds it: on PATH, unless its name is a path.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    if program.contains(['/', '\\']) {
        return Some(PathBuf::from(program)).filter(|file| file.is_file());
    }
    let file = if Path::new(program).extension().is_some() {
        program.to_owned()
    } else {
        format!("{program}{}", std::env::consts::EXE_SUFFIX)
    };
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(&file)).find(|file| file.is_file())
}

pub(super) fn is_this_program(file: &Path) -> bool {
    match (file.canonicalize(), this_program().canonicalize()) {
        (Ok(file), Ok(ours)) => file == ours,
        _ => false,
    }
}

impl Configuration {
    /// The providers that cargo asks for the tokens of a registry.
    ///
    /// # Errors
    /// Whatever makes cargo refuse: [`Error::SeveralNames`], [`Error::NoProgram`], [`Error::RegistryIndex`],
    /// [`Error::Merge`], [`Error::Shape`], [`Error::IndexUrl`].
    pub fn providers(&self, scope: Scope, registry: &ConfiguredRegistry) -> Result<Providers, Error> {
        if registry.is_crates_io()
            && let Some(Located { origin, .. }) = self.text(self.config(scope), &["registry", "index"])?
        {
            return Err(Error::RegistryIndex { origin });
        }
        if let Some(Located { value: name, .. }) = self.name_by_url(scope, registry)? {
            self.credentials_agree(scope, &name)?;
            let values = self.with_credentials(scope)?;
            // Cargo reads the whole table, and gives up on any part of it.
            self.text(values, &Self::keys(&name, "token"))?;
            self.text(values, &Self::keys(&name, "secret-key"))?;
            if let Some(words) = self.words(values, &Self::keys(&name, "credential-provider"))? {
                return Ok(Providers { by: DecidedBy::Registry, asked: vec![self.provider(values, words)] });
            }
        }
        let global = self.global_providers(self.with_credentials(scope)?)?;
        let by = if global.is_empty() { DecidedBy::Default } else { DecidedBy::Global };
        Ok(Providers { by, asked: global })
    }

    /// Where cargo finds a token in clear for a registry.
    ///
    /// # Errors
    /// As [`providers`](Self::providers).
    pub fn token_in_clear(
        &self,
        scope: Scope,
        registry: &ConfiguredRegistry,
    ) -> Result<Option<Origin>, Error> {
        let Some(name) = self.name_by_url(scope, registry)? else { return Ok(None) };
        let token = self.text(self.with_credentials(scope)?, &Self::keys(&name.value, "token"))?;
        Ok(token.map(|token| token.origin))
    }

    /// Refuses what cargo cannot use: it joins a list in the credentials with one in the configuration, and then runs
    /// neither; and it gives up if one is a list and the other a text.
    fn credentials_agree(&self, scope: Scope, name: &str) -> Result<(), Error> {
        let is_list = |values: &Value| {
            let value = values.at(&Self::keys(name, "credential-provider"))?;
            Ok::<_, Error>(value.map(|value| value.list().is_some()))
        };
        let Some(credentials) = self.credentials() else { return Ok(()) };
        match (is_list(self.config(scope))?, is_list(&credentials.values)?) {
            (Some(one), Some(other)) if one || other => {
                Err(Error::CredentialsNameAProvider { file: credentials.file.clone(), name: name.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// The last of the list is asked first.
    fn global_providers(&self, values: &Value) -> Result<Vec<Provider>, Error> {
        let keys = ["registry", "global-credential-providers"];
        let mut providers = Vec::new();
        if let Some(list) = values.at(&keys)? {
            for value in list.list().ok_or_else(|| list.shape(&keys, "a list"))? {
                let text = value.text().ok_or_else(|| value.shape(&keys, "a list of texts"))?;
                providers.push((text, value.origin.clone()));
            }
        }
        let variable = variable(&keys);
        if let Some(list) = self.environment.get(&variable) {
            let origin = Origin::Variable(variable);
            providers.extend(list.split_whitespace().map(|word| (word, origin.clone())));
        }
        let provider = |(text, origin): (&str, Origin)| {
            // An empty text is a program without a name; cargo cannot start it.
            let mut words: Vec<_> = text.split_ascii_whitespace().map(str::to_owned).collect();
            words.resize(words.len().max(1), String::new());
            self.provider(values, Words { words, root: origin.clone(), origin, is_list: false })
        };
        Ok(providers.into_iter().rev().map(provider).collect())
    }

    /// A single word may be an alias. Cargo ignores an alias that is wrong.
    fn provider(&self, values: &Value, named: Words) -> Provider {
        let alias = match named.words.as_slice() {
            [word] if !BUILT_IN.contains(&word.as_str()) => {
                let keys: Vec<_> = std::iter::once("credential-alias").chain(word.split('.')).collect();
                self.words(values, &keys).ok().flatten()
            }
            _ => None,
        };
        let alias_origin = alias.as_ref().map(|alias| alias.origin.clone());
        let Words { words: mut command, root, origin, is_list } =
            alias.map_or_else(|| named.clone(), |alias| Words { origin: named.origin.clone(), ..alias });
        if command[0].contains('/') || cfg!(windows) && command[0].contains('\\') {
            let program = root.root(&self.here).join(&command[0]);
            command[0] = program.to_string_lossy().into_owned();
        }
        Provider { command, origin, alias: alias_origin, is_list }
    }

    /// A program and its arguments: a text is split at blanks, a list is not.
    fn words(&self, values: &Value, keys: &[&str]) -> Result<Option<Words>, Error> {
        let found = values.at(keys)?;
        let wanted = "a text or a list of texts";
        let (mut words, mut origin, mut is_list) = (Vec::new(), None, false);
        if let Some(value) = found {
            match &value.kind {
                Kind::Text(text) => words.extend(text.split_whitespace().map(str::to_owned)),
                Kind::List(list) => {
                    for value in list {
                        words.push(value.text().ok_or_else(|| value.shape(keys, wanted))?.to_owned());
                    }
                }
                _ => return Err(value.shape(keys, wanted)),
            }
            is_list = value.list().is_some();
            let first = value.list().and_then(|list| list.first()).unwrap_or(value);
            origin = Some((value.origin.clone(), first.origin.clone()));
        }
        let variable = variable(keys);
        if let Some(value) = self.environment.get(&variable) {
            if names_a_program(keys) {
                words.clear();
            }
            words.extend(value.split_whitespace().map(str::to_owned));
            origin = Some((Origin::Variable(variable.clone()), Origin::Variable(variable)));
        }
        let Some((root, origin)) = origin else { return Ok(None) };
        if words.is_empty() {
            return Err(Error::NoProgram { key: keys.join("."), origin });
        }
        Ok(Some(Words { words, root, origin, is_list }))
    }
}

/// A program and its arguments, as written.
#[derive(Clone)]
struct Words {
    words: Vec<String>,
    /// Decides where a relative path starts.
    root: Origin,
    /// Where the first word is written.
    origin: Origin,
    is_list: bool,
}
