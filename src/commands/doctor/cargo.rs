//! Cargo's side: is it new enough, does it ask this program for each enrolled registry, and do tokens lie about.

use std::process::{Command, Stdio};

use semver::Version;

use super::surroundings::Surroundings;
use super::{Findings, name};
use crate::cargo_config::view::{ConfiguredProvider, PlaintextToken, from_variable, variable};
use crate::cargo_config::{self, CargoConfig};
use crate::commands::Context;
use crate::enrollment::{Enrollments, Registry};
use crate::ui::escape;

const CARGO: &str = "cargo";
const PROVIDER: &str = "credential provider";
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
    for registry in &enrollments.registries {
        if let Err(error) = provider(registry, enrollments, &context.cargo, surroundings, findings) {
            findings.failed_with(PROVIDER, &error.into());
        }
    }
    for name in enrollments.registries.iter().filter_map(|registry| registry.name.as_ref()) {
        let token = variable(name, "token");
        if surroundings.variable(&token).is_some() {
            let text = format!(
                "{token} is set: every program that you start can read it, and cargo does not need it"
            );
            findings.warn(TOKEN, text, format!("unset {token}"));
        }
    }
    match context.cargo.plaintext_tokens() {
        Ok(tokens) => leftover_tokens(&tokens, enrollments, findings),
        Err(error) => findings.failed_with(TOKEN, &error.into()),
    }
}

fn cargo(surroundings: &Surroundings, findings: &mut Findings) {
    let program = surroundings.variable("CARGO").unwrap_or("cargo");
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    match text.split_whitespace().nth(1).and_then(|version| version.parse::<Version>().ok()) {
        None => findings.warn(CARGO, "there is no cargo on PATH", "rustup show"),
        Some(version) if version < OLDEST => {
            let text = format!("cargo {version} does not run credential providers; 1.74 does");
            findings.fail(CARGO, text, "rustup update stable");
        }
        Some(version) => findings.ok(CARGO, format!("cargo {version}")),
    }
}

/// Whether cargo asks this program for the tokens of an enrolled registry.
fn provider(
    registry: &Registry,
    enrollments: &Enrollments,
    config: &CargoConfig,
    surroundings: &Surroundings,
    findings: &mut Findings,
) -> Result<(), cargo_config::Error> {
    let names = config.names_of(&registry.index)?;
    if let [first, second, ..] = &names[..] {
        let text = format!(
            "`{}` and `{}` have one index URL, and cargo refuses to use either",
            escape(first),
            escape(second)
        );
        findings.fail(
            PROVIDER,
            text,
            format!("edit {}/config.toml", escape(&config.home().display().to_string())),
        );
        return Ok(());
    }
    let Some(name) = names.first().or(registry.name.as_ref()) else {
        let text = format!("{} has no name in cargo's configuration", escape(&registry.index));
        findings.note(PROVIDER, text);
        return Ok(());
    };
    let shown = escape(name);
    let index = variable(name, "index");
    if let Some(url) = surroundings.variable(&index) {
        if url != registry.index {
            let text = format!("{index} gives `{shown}` the URL {}, which is not enrolled", escape(url));
            findings.fail(PROVIDER, text, format!("unset {index}"));
            return Ok(());
        }
        if name.contains('-') && surroundings.variable(&variable(name, "credential-provider")).is_none() {
            let text = format!(
                "while {index} is set, cargo takes `{shown}` for another registry and does not ask this program"
            );
            findings.fail(PROVIDER, text, format!("unset {index}"));
            return Ok(());
        }
    } else if names.is_empty() {
        let index = config.home_index(name)?;
        let is_enrolled = index.as_ref().is_some_and(|index| enrollments.registry(index).is_some());
        moved(registry, name, index, is_enrolled, findings);
        return Ok(());
    }
    asks_us(name, config, surroundings, findings)
}

/// The name is known under another URL, perhaps enrolled by now, or not at all.
fn moved(registry: &Registry, name: &str, index: Option<String>, is_enrolled: bool, findings: &mut Findings) {
    let shown = escape(name);
    match index {
        Some(_) if is_enrolled => findings.warn(
            PROVIDER,
            format!("{} is still enrolled, and `{shown}` has another URL now", escape(&registry.index)),
            format!("yk-cargo forget {}", escape(&registry.index)),
        ),
        Some(index) => {
            let text =
                format!("`{shown}` now is {}, but enrolled is {}", escape(&index), escape(&registry.index));
            findings.fail(PROVIDER, text, format!("yk-cargo enroll {shown} --same-keys-as {shown}"));
        }
        None => findings.warn(
            PROVIDER,
            format!("`{shown}` is enrolled, but cargo's configuration does not know it"),
            format!("yk-cargo forget {}", escape(&registry.index)),
        ),
    }
}

fn asks_us(
    name: &str,
    config: &CargoConfig,
    surroundings: &Surroundings,
    findings: &mut Findings,
) -> Result<(), cargo_config::Error> {
    let shown = escape(name);
    let configure = format!("yk-cargo enroll {shown} --configure");
    let by_variable = variable(name, "credential-provider");
    if let Some(value) = surroundings.variable(&by_variable) {
        if from_variable(value).is_ours() {
            findings.ok(PROVIDER, format!("{by_variable} has cargo ask this program for `{shown}`"));
        } else {
            let text = format!("{by_variable} has cargo ask another program for `{shown}`");
            findings.fail(PROVIDER, text, format!("unset {by_variable}"));
        }
        return Ok(());
    }
    let own = config.home_provider(name)?;
    if own.is_some() && config.credentials_name_a_provider(name)? {
        let text = format!(
            "both config.toml and credentials.toml have a credential-provider for `{shown}`, and cargo mixes them up"
        );
        findings.fail(PROVIDER, text, "remove it from credentials.toml".to_owned());
        return Ok(());
    }
    match own {
        Some(provider) => judge(&provider, &shown, config, configure, findings),
        None if config.global_providers()?.iter().any(ConfiguredProvider::is_ours) => {
            findings.ok(PROVIDER, format!("cargo asks this program for `{shown}`, as for every registry"));
        }
        None => findings.fail(PROVIDER, format!("cargo does not ask this program for `{shown}`"), configure),
    }
    Ok(())
}

fn judge(
    provider: &ConfiguredProvider,
    shown: &str,
    config: &CargoConfig,
    configure: String,
    findings: &mut Findings,
) {
    let command = escape(&provider.command.join(" "));
    if !provider.is_ours() {
        findings.fail(PROVIDER, format!("cargo asks `{command}` for the tokens of `{shown}`"), configure);
    } else if provider.command.len() > 1 {
        let text =
            format!("cargo gives this program arguments for `{shown}`, and it takes none: `{command}`");
        findings.fail(PROVIDER, text, configure);
    } else if !provider.is_there(config.home()) {
        findings.fail(
            PROVIDER,
            format!("cargo is to run `{command}` for `{shown}`, which is not there"),
            configure,
        );
    } else {
        findings.ok(PROVIDER, format!("cargo asks this program for `{shown}`"));
    }
}

/// A token for an enrolled registry is what the keys are there to replace. Those of others are not our business, but
/// worth a word.
fn leftover_tokens(tokens: &[PlaintextToken], enrollments: &Enrollments, findings: &mut Findings) {
    let enrolled = |token: &PlaintextToken| {
        enrollments
            .registries
            .iter()
            .find(|registry| registry.name.is_some() && registry.name == token.registry)
    };
    if tokens.is_empty() {
        findings.ok(TOKEN, "none in cargo's home");
    }
    for token in tokens {
        let file = escape(&token.file.display().to_string());
        match (enrolled(token), &token.registry) {
            (Some(registry), Some(configured)) => {
                let text = format!(
                    "{file} still has a token for `{}`: revoke it at the registry, and remove it",
                    name(registry)
                );
                findings.fail(TOKEN, text, logout(configured));
            }
            (_, Some(other)) => findings.note(TOKEN, format!("{file} has a token for `{}`", escape(other))),
            (_, None) => findings.note(TOKEN, format!("{file} has a token for crates.io")),
        }
    }
}

/// Has cargo's own provider remove what it stored; plain `cargo logout` would ask this program.
fn logout(name: &str) -> String {
    format!("{}=cargo:token cargo logout --registry {}", variable(name, "credential-provider"), escape(name))
}
