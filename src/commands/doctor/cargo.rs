//! Cargo's side: is it new enough, does it ask this program for each enrolled registry, and do tokens lie about.

use std::process::{Command, Stdio};

use semver::Version;

use super::Findings;
use super::surroundings::Surroundings;
use crate::cargo_config::view::{ConfiguredProvider, PlaintextToken, from_variable, variable};
use crate::cargo_config::{self, CRATES_IO_NAME, CargoConfig, ConfiguredRegistry};
use crate::context::Context;
use crate::enrollment::Enrollments;
use crate::index_url::IndexUrl;
use crate::text::escape;

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
    let served = served(enrollments);
    for registry in &served {
        if let Err(error) = provider(registry, enrollments, &context.cargo, surroundings, findings) {
            findings.failed_with(PROVIDER, &error.into());
        }
    }
    for name in served.iter().filter_map(|registry| registry.name) {
        let token = variable(name, "token");
        if surroundings.variable(&token).is_some() {
            let text = format!(
                "{token} is set: every program that you start can read it, and cargo does not need it"
            );
            findings.warn(TOKEN, text, format!("unset {token}"));
        }
    }
    match context.cargo.plaintext_tokens() {
        Ok(tokens) => leftover_tokens(&tokens, &served, findings),
        Err(error) => findings.failed_with(TOKEN, &error.into()),
    }
}

/// A registry whose tokens this program gives: signs them, or opens the sealed one.
struct Served<'a> {
    index: &'a IndexUrl,
    name: Option<&'a str>,
    /// The command that sets cargo up for it.
    command: &'static str,
}

impl Served<'_> {
    fn is_crates_io(&self) -> bool {
        self.index.is_crates_io()
    }

    fn is_sealed(&self) -> bool {
        self.command == "seal"
    }

    fn configured(&self) -> ConfiguredRegistry {
        ConfiguredRegistry { index: self.index.clone(), name: self.name.map(str::to_owned) }
    }
}

fn served(enrollments: &Enrollments) -> Vec<Served<'_>> {
    let enrolled = enrollments.registries.iter().map(|registry| Served {
        index: &registry.index,
        name: registry.name.as_deref(),
        command: "enroll",
    });
    let sealed = enrollments
        .sealed
        .iter()
        .filter(|token| enrollments.registry(&token.index).is_none())
        .map(|token| Served { index: &token.index, name: token.name.as_deref(), command: "seal" });
    enrolled.chain(sealed).collect()
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
    registry: &Served<'_>,
    enrollments: &Enrollments,
    config: &CargoConfig,
    surroundings: &Surroundings,
    findings: &mut Findings,
) -> Result<(), cargo_config::Error> {
    if registry.is_crates_io() {
        return asks_us_for_crates_io(registry, config, surroundings, findings);
    }
    let names = config.names_of(registry.index)?;
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
    let Some(name) = names.first().map(String::as_str).or(registry.name) else {
        let text = format!("{} has no name in cargo's configuration", escape(registry.index));
        findings.note(PROVIDER, text);
        return Ok(());
    };
    let shown = escape(name);
    let index = variable(name, "index");
    if let Some(url) = surroundings.variable(&index) {
        if *registry.index != *url {
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
    asks_us(registry, name, config, surroundings, findings)
}

fn asks_us_for_crates_io(
    registry: &Served<'_>,
    config: &CargoConfig,
    surroundings: &Surroundings,
    findings: &mut Findings,
) -> Result<(), cargo_config::Error> {
    let by_variable = "CARGO_REGISTRY_CREDENTIAL_PROVIDER";
    if let Some(value) = surroundings.variable(by_variable) {
        if from_variable(value).is_ours() {
            findings.ok(PROVIDER, format!("{by_variable} has cargo ask this program for crates.io"));
        } else {
            let text = format!("{by_variable} has cargo ask another program for crates.io");
            findings.fail(PROVIDER, text, format!("unset {by_variable}"));
        }
        return Ok(());
    }
    let ours = match config.provider_of(&registry.configured())? {
        Some(provider) => CargoConfig::is_ours(&provider),
        None => config.global_providers()?.iter().any(ConfiguredProvider::is_ours),
    };
    if ours {
        findings.ok(PROVIDER, "cargo asks this program for crates.io");
    } else {
        let next = "yk-cargo seal crates-io --rotate --configure";
        findings.fail(PROVIDER, "cargo does not ask this program for crates.io", next);
    }
    Ok(())
}

/// The name is known under another URL, perhaps enrolled by now, or not at all.
fn moved(
    registry: &Served<'_>,
    name: &str,
    index: Option<String>,
    is_enrolled: bool,
    findings: &mut Findings,
) {
    let shown = escape(name);
    match index {
        Some(_) if is_enrolled => findings.warn(
            PROVIDER,
            format!("{} is still enrolled, and `{shown}` has another URL now", escape(registry.index)),
            format!("yk-cargo forget {}", escape(registry.index)),
        ),
        Some(index) => {
            let text =
                format!("`{shown}` now is {}, but enrolled is {}", escape(&index), escape(registry.index));
            let next = match registry.command {
                "enroll" => format!("yk-cargo enroll {shown} --same-keys-as {shown}"),
                command => format!("yk-cargo {command} {shown}"),
            };
            findings.fail(PROVIDER, text, next);
        }
        None => findings.warn(
            PROVIDER,
            format!("`{shown}` is enrolled, but cargo's configuration does not know it"),
            forget(registry),
        ),
    }
}

/// The command by which this computer forgets a registry.
fn forget(registry: &Served<'_>) -> String {
    match registry.command {
        "seal" => format!("yk-cargo unseal {} --restore", escape(registry.index)),
        _ => format!("yk-cargo forget {}", escape(registry.index)),
    }
}

fn asks_us(
    registry: &Served<'_>,
    name: &str,
    config: &CargoConfig,
    surroundings: &Surroundings,
    findings: &mut Findings,
) -> Result<(), cargo_config::Error> {
    let shown = escape(name);
    let rotate = if registry.command == "seal" { " --rotate" } else { "" };
    let configure = format!("yk-cargo {} {shown}{rotate} --configure", registry.command);
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

/// A token for one of our registries is what cards are there to replace. Those of others are not our business, but
/// worth a word.
fn leftover_tokens(tokens: &[PlaintextToken], served: &[Served<'_>], findings: &mut Findings) {
    if tokens.is_empty() {
        findings.ok(TOKEN, "none in cargo's home");
    }
    for token in tokens {
        let file = escape(&token.file.display().to_string());
        let name = token.registry.as_deref().unwrap_or(CRATES_IO_NAME);
        let shown =
            token.registry.as_deref().map_or("crates.io".into(), |name| format!("`{}`", escape(name)));
        match served.iter().find(|registry| registry.name == Some(name)) {
            Some(registry) => {
                let text =
                    format!("{file} still has a token for {shown}: revoke it at the registry, and remove it");
                let migrate = format!("yk-cargo migrate --registry {}", escape(name));
                findings.fail(TOKEN, text, if registry.is_sealed() { migrate } else { logout(name) });
            }
            None => {
                findings.note(TOKEN, format!("{file} has a token for {shown}; `yk-cargo migrate` seals it"))
            }
        }
    }
}

/// Has cargo's own provider remove what it stored; plain `cargo logout` would ask this program.
fn logout(name: &str) -> String {
    let provider = variable(name, "credential-provider");
    format!("{provider}=cargo:token cargo logout --registry {}", escape(name))
}
