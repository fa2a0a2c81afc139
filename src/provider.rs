//! Cargo's credential provider protocol: one request on stdin, one answer on stdout, exit 0.
//!
//! The line loop is our own: that of the `cargo-credential` crate borrows from the line and fails on any JSON escape (cargo
//! issue 13615), and it puts the terminal in place of stdin and stdout. Whatever happens, cargo gets one line: an error it
//! can show, even from a panic.

use std::io::{self, BufRead, Read as _, Write};
use std::path::{Path, PathBuf};

use asymmetric_token::Mutation;
use cargo_credential::{
    Action, CacheControl, CredentialHello, CredentialResponse, Error as CargoError, LoginOptions, Operation,
    PROTOCOL_VERSION_1, RegistryInfo, Secret,
};
use zeroize::Zeroizing;

use crate::card::access;
use crate::cargo_config::{CargoConfig, ConfiguredRegistry, Scope};
use crate::commands::forget;
use crate::enrollment::{ChallengeSource, Enrollments, Registry};
use crate::error::Error;
use crate::process::child;
use crate::process::leave;
use crate::registry::greeting;
use crate::registry::named::{self, Instead};
use crate::settings::Settings;
use crate::signer::Signer;
use crate::text::{causes, escape, foreign_word};
use crate::ui::{self, Ui};

mod prove;
mod request;
mod sealed;

/// A request longer than this is not from cargo, in bytes.
const LONGEST_REQUEST: u64 = 1 << 20;

/// Cargo drops a cached token when less than this is left of its life, in seconds.
const CARGO_RENEWS_EARLY: i64 = 60;

/// Serves one request of cargo's.
///
/// # Errors
/// Only when stdin or stdout fail; everything else is an answer.
pub fn serve(cargo_home: io::Result<PathBuf>, ui: Ui) -> io::Result<()> {
    answer_panics();
    write_line(&CredentialHello { v: vec![PROTOCOL_VERSION_1] })?;
    // A login's token is in it.
    let mut line = Zeroizing::new(Vec::new());
    io::stdin().lock().take(LONGEST_REQUEST + 1).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(());
    }
    exit_when_cargo_is_gone();
    let answer = cargo_home
        .map_err(Error::Stdio)
        .map_err(|error| to_cargo(&error))
        .and_then(|cargo_home| answer(&line, &cargo_home, ui));
    write_line(&answer)
}

fn answer(line: &[u8], cargo_home: &Path, ui: Ui) -> Result<CredentialResponse, CargoError> {
    let value = request::json(line)?;
    let request = request::read(&value)?;
    let provider = Provider { cargo_home, ui };
    match &request.action {
        Action::Get(operation) => provider.get(&request.registry, operation, &request.args),
        Action::Login(login) => provider.login(&request.registry, login, &request.args),
        Action::Logout => provider.logout(&request.registry, &request.args),
        _ => Err(CargoError::OperationNotSupported),
    }
}

/// Whether a registry has what a change names, as far as its index says so to everybody: a touch for a change that will be refused is
/// a touch in vain. A version that was published a moment ago may not be in every copy of the index yet.
fn is_there(registry: &Registry, mutation: &Mutation, settings: &Settings, ui: Ui) -> Result<(), Error> {
    if registry.challenge == ChallengeSource::Index {
        return Ok(());
    }
    let Some(instead) = named::instead(&registry.index, mutation, settings) else { return Ok(()) };
    let registry = escape(registry.display_name());
    let version = mutation.version().map(|version| format!(" {version}")).unwrap_or_default();
    let version = format!("{}{version}", mutation.name());
    match instead {
        Instead::Name(spelling) => Err(Error::NoSuchVersion { registry, version, spelling }),
        Instead::OtherVersions => {
            ui.warn(format_args!(
                "the index of `{registry}` does not have {version}; it may refuse the change"
            ));
            Ok(())
        }
    }
}

struct Provider<'a> {
    cargo_home: &'a Path,
    ui: Ui,
}

impl Provider<'_> {
    fn get(
        &self,
        info: &RegistryInfo<'_>,
        operation: &Operation<'_>,
        args: &[&str],
    ) -> Result<CredentialResponse, CargoError> {
        let mutation = request::mutation(operation)?;
        let enrollments = self.enrollments(info)?;
        let registry = enrollments.signing(info.index_url);
        let sealed = enrollments.sealed(info.index_url);
        if registry.is_none() && sealed.is_none() {
            self.explain_unknown(&enrollments, info, mutation.is_some());
            return Err(CargoError::NotFound);
        }
        if !args.is_empty() {
            return Err(to_cargo(&Error::ProviderArguments { arguments: escape(&args.join(" ")) }));
        }
        match (registry, sealed) {
            (Some(registry), _) => self.get_signed(registry, info, mutation),
            (None, Some(token)) => self.get_sealed(&enrollments, token, info, mutation.as_ref()),
            (None, None) => Err(CargoError::NotFound),
        }
    }

    fn get_signed(
        &self,
        registry: &Registry,
        info: &RegistryInfo<'_>,
        mutation: Option<Mutation>,
    ) -> Result<CredentialResponse, CargoError> {
        if registry.challenge == ChallengeSource::None && greeting::in_cargos_headers(&info.headers) {
            let name = escape(registry.display_name());
            self.ui.warn(format_args!(
                "`{name}` now issues challenges, and may refuse to publish without one: yk-cargo enroll {} --refresh",
                foreign_word(registry.display_name())
            ));
        }
        self.warn_of_detours(registry);
        let settings = self.settings().map_err(|error| to_cargo(&error))?;
        let readers = access::readers(&settings.wait);
        let is_read = mutation.is_none();
        if let Some(mutation) = &mutation {
            is_there(registry, mutation, &settings, self.ui).map_err(|error| to_cargo(&error))?;
        }
        let signed = Signer::new(&readers, &settings, self.ui)
            .sign(registry, mutation)
            .map_err(|error| to_cargo(&error))?;
        let cache = if is_read {
            // Measured from `iat`: the registry counts from there too.
            let expiration = signed.issued_at.as_second() + CARGO_RENEWS_EARLY + i64::from(registry.reuse);
            let expiration = time::OffsetDateTime::from_unix_timestamp(expiration)
                .map_err(|_| CargoError::from("this computer's clock is out of range"))?;
            CacheControl::Expires { expiration }
        } else {
            CacheControl::Never
        };
        Ok(CredentialResponse::Get { token: Secret::from(signed.token), cache, operation_independent: false })
    }

    /// Where tokens are signed there is nothing to store, so only the card is looked for; anywhere else the token is
    /// sealed.
    fn login(
        &self,
        info: &RegistryInfo<'_>,
        login: &LoginOptions<'_>,
        args: &[&str],
    ) -> Result<CredentialResponse, CargoError> {
        self.ignore(args);
        let enrollments = self.enrollments(info)?;
        let done = match enrollments.signing(info.index_url) {
            Some(registry) => self.check_card(registry),
            None => self.login_sealed(info, login),
        };
        done.map_err(|error| to_cargo(&error))?;
        Ok(CredentialResponse::Login)
    }

    fn check_card(&self, registry: &Registry) -> Result<(), Error> {
        let settings = self.settings()?;
        let readers = access::readers(&settings.wait);
        let serial = Signer::new(&readers, &settings, self.ui).find_card(registry)?;
        let name = escape(registry.display_name());
        self.ui.say(format_args!("`{name}` is enrolled, and YubiKey {serial} is plugged in. Its keys:"));
        for key in registry.card(serial).into_iter().flat_map(|card| &card.keys) {
            self.ui.say(format_args!("    {:<7}  {}", key.role, key.public.id()));
        }
        Ok(())
    }

    fn logout(&self, info: &RegistryInfo<'_>, args: &[&str]) -> Result<CredentialResponse, CargoError> {
        self.ignore(args);
        let enrollments = self.enrollments(info)?;
        if let Some(token) = enrollments.sealed(info.index_url) {
            self.logout_sealed(&enrollments, token).map_err(|error| to_cargo(&error))?;
            return Ok(CredentialResponse::Logout);
        }
        let Some(registry) = enrollments.signing(info.index_url) else { return Err(CargoError::NotFound) };
        let settings = self.settings().map_err(|error| to_cargo(&error))?;
        forget::forget(self.cargo_home, &registry.index, &settings, self.ui)
            .map_err(|error| to_cargo(&error))?;
        Ok(CredentialResponse::Logout)
    }

    /// Where a name has got its URL.
    fn who_says(&self, name: &str, index_url: &str) -> String {
        let index = self.cargo_config().read().and_then(|cargo| cargo.index_of(Scope::Here, name));
        match index {
            Ok(Some(index)) if index.value == *index_url => format!("{} says so", index.origin),
            _ => "Does this project redefine it?".into(),
        }
    }

    /// A signed token is bound to its registry, and good for minutes and for what it names; anybody who sees it on the
    /// way can use it for that.
    fn warn_of_detours(&self, registry: &Registry) {
        let configured = ConfiguredRegistry { index: registry.index.clone(), name: registry.name.clone() };
        let detours = self.cargo_config().read().and_then(|cargo| cargo.detours(&configured));
        for detour in detours.unwrap_or_default() {
            self.ui.warn(format_args!(
                "{} sets `{}`: whoever wrote that may be able to see this token for `{}`",
                detour.origin,
                escape(&detour.key),
                escape(registry.display_name())
            ));
        }
    }

    /// Cargo starts the provider in its own working directory.
    fn cargo_config(&self) -> CargoConfig {
        CargoConfig::new(self.cargo_home.to_owned(), here())
    }

    fn settings(&self) -> Result<Settings, Error> {
        let settings = Settings::load(self.cargo_home)?;
        ui::color(settings.color);
        Ok(settings)
    }

    fn ignore(&self, args: &[&str]) {
        if !args.is_empty() {
            self.ui.note(
                "arguments to the credential provider are ignored, because a project could have set them",
            );
        }
    }

    fn enrollments(&self, info: &RegistryInfo<'_>) -> Result<Enrollments, CargoError> {
        Enrollments::load_for(self.cargo_home, info.index_url).map_err(|error| to_cargo(&error.into()))
    }

    /// Tells the person what may be wrong about a registry that is not ours. Cargo goes on to the next provider.
    fn explain_unknown(&self, enrollments: &Enrollments, info: &RegistryInfo<'_>, mutation: bool) {
        let known = info.name.and_then(|name| {
            let sealed = enrollments.sealed.iter().find(|token| token.name.as_deref() == Some(name));
            enrollments.named(name).map(|registry| &registry.index).or(sealed.map(|token| &token.index))
        });
        if let (Some(name), Some(known)) = (info.name, known) {
            self.ui.warn(format_args!(
                "registry `{}` is enrolled as\n    {}\nbut cargo now asks for\n    {}\nNothing was signed or opened. {}",
                escape(name),
                escape(known),
                escape(info.index_url),
                self.who_says(name, info.index_url)
            ));
        } else if mutation {
            let target = info.name.unwrap_or(info.index_url);
            self.ui.note(format_args!(
                "to sign with a YubiKey, enroll this registry: yk-cargo enroll {0}; or seal its token: yk-cargo seal {0}",
                foreign_word(target)
            ));
        }
    }
}

fn here() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

impl From<request::Error> for CargoError {
    fn from(error: request::Error) -> Self {
        match error {
            request::Error::NoCrate(problem) => to_cargo(&Error::CargoRequest(problem)),
            request::Error::UnknownOperation => Self::OperationNotSupported,
            other => other.to_string().into(),
        }
    }
}

/// Cargo shows the message and each cause; the hint goes where a person reads last.
fn to_cargo(error: &Error) -> CargoError {
    let mut message = error.to_string();
    for cause in causes(error) {
        message = format!("{message}\ncaused by: {cause}");
    }
    if let Some(hint) = error.hint() {
        message = format!("{message}\nhint: {hint}");
    }
    crate::text::tame(message).into()
}

fn write_line(message: &impl serde::Serialize) -> io::Result<()> {
    let mut line = Zeroizing::new(serde_json::to_vec(message)?);
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

/// Cargo closes our stdin when it has the answer, or when it is gone. Either way nobody waits for us any more.
fn exit_when_cargo_is_gone() {
    std::thread::spawn(|| {
        let mut rest = [0; 64];
        let mut stdin = io::stdin().lock();
        while matches!(stdin.read(&mut rest), Ok(1..)) {}
        ui::restore_terminal();
        child::end();
        leave(0);
    });
}

/// A panic's own text may hold anything, so cargo is told only where it happened.
fn answer_panics() {
    std::panic::set_hook(Box::new(|panic| {
        ui::restore_terminal();
        let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
        let message = format!("yk-cargo has a bug{}; please report it", place.unwrap_or_default());
        let answer: Result<CredentialResponse, CargoError> = Err(message.into());
        let _ = write_line(&answer);
        leave(0);
    }));
}
