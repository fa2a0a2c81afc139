//! Cargo's side: is it new enough, does it ask this program for each enrolled registry, does a project have tokens take
//! another way, and do tokens lie about.

use std::process::{Command, Stdio};

use semver::Version;

use super::Findings;
use super::surroundings::Surroundings;
use crate::cargo_config::{CRATES_IO_NAME, Configuration, Error, Located, Scope, registry_variable};
use crate::commands::standing::{Served, Standing};
use crate::context::Context;
use crate::enrollment::Enrollments;
use crate::text::{escape, escape_path, foreign_word};

const CARGO: &str = "cargo";
const PROVIDER: &str = "credential provider";
const TRANSPORT: &str = "transport";
const TOKEN: &str = "token in clear";

/// The first cargo with credential providers on stable.
const OLDEST: Version = Version::new(1, 74, 0);

pub(super) fn check(
    context: &Context,
    enrollments: &Enrollments,
    surroundings: &Surroundings,
    findings: &mut Findings,
) {
    cargo(surroundings, findings);
    let configuration = match context.cargo.read() {
        Ok(configuration) => configuration,
        Err(error) => return findings.failed_with(PROVIDER, &error.into()),
    };
    let served = Served::all(enrollments);
    for served in &served {
        for check in [provider, transport] {
            if let Err(error) = check(served, enrollments, &configuration, findings) {
                findings.failed_with(PROVIDER, &error.into());
            }
        }
        for name in served.registry.name.iter() {
            let token = registry_variable(name, "token");
            if configuration.environment().get(&token).is_some_and(|token| !token.is_empty()) {
                let text = format!(
                    "{} is set: every program that you start can read it, and cargo does not need it",
                    escape(&token)
                );
                findings.warn(TOKEN, text, format!("unset {}", foreign_word(&token)));
            }
        }
    }
    if let Err(error) = default_registry(&configuration, findings) {
        findings.failed_with(PROVIDER, &error.into());
    }
    if let Err(error) = leftover_tokens(&configuration, &served, findings) {
        findings.failed_with(TOKEN, &error.into());
    }
}

fn cargo(surroundings: &Surroundings, findings: &mut Findings) {
    let program = surroundings.variable("CARGO").unwrap_or("cargo");
    // A question installs nothing: rustup would do so for what a project's rust-toolchain.toml names.
    let output =
        Command::new(program).arg("--version").env("RUSTUP_AUTO_INSTALL", "0").stdin(Stdio::null()).output();
    let Ok(output) = output else {
        return findings.warn(CARGO, "there is no cargo on PATH", "rustup show");
    };
    let [text, complaint] =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    match text.split_whitespace().nth(1).and_then(|version| version.parse::<Version>().ok()) {
        None => {
            let complaint = escape(complaint.lines().next().unwrap_or_default());
            findings.warn(CARGO, format!("cargo does not report its version: {complaint}"), "rustup show");
        }
        Some(version) if version < OLDEST => {
            let text = format!("cargo {version} does not support credential providers; 1.74 and later do");
            findings.fail(CARGO, text, "rustup update stable");
        }
        Some(version) => findings.ok(CARGO, format!("cargo {version}")),
    }
}

fn provider(
    served: &Served,
    enrollments: &Enrollments,
    configuration: &Configuration,
    findings: &mut Findings,
) -> Result<(), Error> {
    match served.standing(enrollments, configuration)? {
        Standing::Asked { text } => findings.ok(PROVIDER, text),
        Standing::Doubtful { text, next } => findings.warn(PROVIDER, text, next),
        Standing::NotAsked { text, next } => findings.fail(PROVIDER, text, next),
    }
    Ok(())
}

/// A sealed token is not opened then; a signed one is good for what it names only, and for minutes.
fn transport(
    served: &Served,
    _: &Enrollments,
    configuration: &Configuration,
    findings: &mut Findings,
) -> Result<(), Error> {
    let name = served.registry.shown();
    for detour in configuration.detours(&served.registry)? {
        let (file, key) = (&detour.origin, escape(&detour.key));
        let next = format!("edit {}", file.word());
        if served.is_sealed {
            let text =
                format!("{file} sets `{key}`, so the token of `{name}` will not be opened in this folder");
            findings.fail(TRANSPORT, text, next);
        } else {
            let text =
                format!("{file} sets `{key}`: whoever wrote that may be able to see the tokens of `{name}`");
            findings.warn(TRANSPORT, text, next);
        }
    }
    Ok(())
}

/// Where `cargo publish` goes by itself is worth a word.
fn default_registry(configuration: &Configuration, findings: &mut Findings) -> Result<(), Error> {
    let Some(Located { value: name, origin }) = configuration.default_registry()? else { return Ok(()) };
    let shown = escape(&name);
    if name == CRATES_IO_NAME || configuration.index_of(Scope::Here, &name)?.is_some() {
        findings.note(PROVIDER, format!("without --registry cargo uses `{shown}`, according to {origin}"));
    } else {
        let text = format!(
            "without --registry cargo uses `{shown}`, according to {origin}, but does not know that registry"
        );
        findings.fail(PROVIDER, text, format!("edit {}", origin.word()));
    }
    Ok(())
}

/// A token for one of our registries is what cards are there to replace. Those of others are not our business, but
/// worth a word.
fn leftover_tokens(
    configuration: &Configuration,
    served: &[Served],
    findings: &mut Findings,
) -> Result<(), Error> {
    let mut tokens = configuration.clear_tokens();
    tokens.retain(|token| token.length() > 0);
    if tokens.is_empty() {
        findings.ok(TOKEN, "none in cargo's home folder");
    }
    for token in tokens {
        let (file, name) = (escape_path(&token.file), &token.registry);
        let shown = if name == CRATES_IO_NAME { "crates.io".into() } else { format!("`{}`", escape(name)) };
        let mut served = served.iter();
        let owner = loop {
            match served.next() {
                Some(served) if configuration.is_token_of(&token, &served.registry)? => break Some(served),
                Some(_) => {}
                None => break None,
            }
        };
        match owner {
            Some(served) => {
                let text =
                    format!("{file} still has a token for {shown}: revoke it at the registry, and remove it");
                let migrate = format!("yk-cargo migrate --registry {}", foreign_word(name));
                findings.fail(TOKEN, text, if served.is_sealed { migrate } else { logout(name) });
            }
            None if is_known(configuration, name) => {
                findings.note(TOKEN, format!("{file} has a token for {shown}; `yk-cargo migrate` seals it"));
            }
            None => findings.note(
                TOKEN,
                format!("{file} has a token for {shown}, which your configuration does not name: revoke it at the registry, and delete its lines from {file}"),
            ),
        }
    }
    Ok(())
}

/// Whether `migrate` can find a registry by this name.
fn is_known(configuration: &Configuration, name: &str) -> bool {
    name == CRATES_IO_NAME || configuration.own_registries().iter().any(|(known, _)| known == name)
}

/// Has cargo's own provider remove what it stored; plain `cargo logout` would ask this program.
fn logout(name: &str) -> String {
    let provider = registry_variable(name, "credential-provider");
    format!("env {}=cargo:token cargo logout --registry {}", foreign_word(&provider), foreign_word(name))
}
