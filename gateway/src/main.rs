//! `registry-gateway`: serve a registry, and administer its keys.

mod cli;
mod commands;
mod setup;

use std::error::Error;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use cli::{Command, LogFormat, PlaceError};
use commands::NotAsLogged;
use registry_gateway::StartError;
use registry_gateway::config::ConfigError;
use registry_gateway::doctor::ExamineError;
use registry_gateway::store::{DecisionError, StoreError};
use registry_gateway::vault::VaultError;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    // `doctor` prints its findings itself.
    let level = if matches!(arguments.command, Command::Doctor { .. }) { "off" } else { "warn" };
    let filter = EnvFilter::try_from_env("REGISTRY_GATEWAY_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let log = log.with_ansi(io::stderr().is_terminal());
    match arguments.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    match commands::run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            report(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

/// Prints `error:`, its causes on a line each, and the next step if it is known.
fn report(error: &(dyn Error + 'static)) {
    let mut text = format!("error: {error}\n");
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Errors of the toml crate end with a line break.
        text.push_str(&format!("  because: {}\n", inner.to_string().trim_end()));
        cause = inner.source();
    }
    if let Some(hint) = hint(error) {
        text.push_str(&format!("hint: {hint}\n"));
    }
    // If this fails, there is no other way to tell it.
    let _ = io::stderr().write_all(text.as_bytes());
}

fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<VaultError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<DecisionError>() {
        return error.hint();
    }
    if error.is::<NotAsLogged>() {
        return Some(NotAsLogged::HINT.to_owned());
    }
    match error.downcast_ref::<PlaceError>() {
        Some(PlaceError::Store(error)) => return error.hint(),
        Some(PlaceError::Config(error)) => return hint(error),
        None => {}
    }
    if let Some(error) = error.downcast_ref::<ConfigError>() {
        return Some(error.hint().to_owned());
    }
    if let Some(ExamineError::Store(error)) = error.downcast_ref::<ExamineError>() {
        return error.hint();
    }
    error.downcast_ref::<StartError>()?.hint()
}
