//! `registry-gateway`: serve a registry, and administer its keys.

mod cli;
mod commands;
mod process;
mod setup;

use std::alloc::System;
use std::error::Error;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use cli::{Command, LogFormat, PlaceError};
use commands::NotAsLogged;
use jiff::Timestamp;
use process::TooFewFiles;
use registry_gateway::StartError;
use registry_gateway::config::ConfigError;
use registry_gateway::copying::CopyError;
use registry_gateway::credentials::CredentialError;
use registry_gateway::doctor::ExamineError;
use registry_gateway::log::Log;
use registry_gateway::store::{DecisionError, StoreError};
use registry_gateway::vault::VaultError;
use registry_gateway::witness::WitnessError;
use serde_json::json;
use setup::NotMade;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use zeroizing_alloc::ZeroAlloc;

/// What is freed is overwritten. A credential has been in buffers of HTTP and TLS, which do not do that themselves.
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    if commands::completions::answered(cli::Arguments::command) {
        return ExitCode::SUCCESS;
    }
    let arguments = cli::Arguments::parse();
    // `doctor` prints its findings itself.
    let level = if matches!(arguments.command, Command::Doctor { .. }) { "off" } else { "warn" };
    let log = start_log(arguments.log_format, level);
    process::keep_memory_to_ourselves();
    let outcome = process::outlive_signals().map_err(Into::into);
    let outcome = outcome.and_then(|()| commands::run(arguments.command));
    log.end();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            report(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn start_log(format: LogFormat, level: &str) -> Log {
    let log = Log::to(io::stderr(), move |lost| of_lost_lines(format, lost));
    let filter = EnvFilter::try_from_env("REGISTRY_GATEWAY_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // What we call writes requests and statements whole, with what is secret in them.
    let ours = filter_fn(|metadata| metadata.target().starts_with("registry_gateway"));
    let lines = fmt::layer().with_writer(log.clone());
    // It would tell of its own failures on standard error, and fail there.
    let lines = lines.with_ansi(io::stderr().is_terminal()).log_internal_errors(false);
    match format {
        LogFormat::Text => tracing_subscriber::registry().with(lines.with_filter(filter.and(ours))).init(),
        LogFormat::Json => {
            tracing_subscriber::registry().with(lines.json().with_filter(filter.and(ours))).init()
        }
    }
    log
}

/// The line of the log that stands where others are missing, in the form that the others have.
fn of_lost_lines(format: LogFormat, lost: u64) -> String {
    const MESSAGE: &str = "lines of the log that could not be written are missing here";
    let (now, target) = (Timestamp::now(), "registry_gateway::log");
    match format {
        LogFormat::Text => format!("{now:.6}  WARN {target}: {MESSAGE} lost={lost}\n"),
        LogFormat::Json => {
            let fields = json!({ "message": MESSAGE, "lost": lost });
            let line = json!({ "timestamp": format!("{now:.6}"), "level": "WARN", "fields": fields, "target": target });
            format!("{line}\n")
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
    if let Some(error) = error.downcast_ref::<CredentialError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<VaultError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<TooFewFiles>() {
        return Some(error.hint());
    }
    if let Some(error) = error.downcast_ref::<DecisionError>() {
        return error.hint();
    }
    if error.is::<NotAsLogged>() {
        return Some(NotAsLogged::HINT.to_owned());
    }
    if let Some(error) = error.downcast_ref::<PlaceError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<NotMade>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<ConfigError>() {
        return Some(error.hint().to_owned());
    }
    if let Some(error) = error.downcast_ref::<WitnessError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<CopyError>() {
        return error.hint();
    }
    if let Some(ExamineError::Store(error)) = error.downcast_ref::<ExamineError>() {
        return error.hint();
    }
    error.downcast_ref::<StartError>()?.hint()
}
