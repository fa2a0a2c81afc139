//! What the commands do. Standard output is data.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use registry_gateway::store::{Record, Store};
use registry_gateway::{Config, Gateway, record};

use crate::cli::{Command, Serve};

mod people;

type Outcome = Result<ExitCode, Box<dyn Error>>;

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Serve(options) => serve(options),
        Command::User(command) => people::user(command),
        Command::Invite { store, user } => people::invite(&store, &user),
        Command::Key(command) => people::key(command),
        Command::Record { store, version } => {
            show_records(&Store::open_existing(&store.store)?, version.as_deref())
        }
    }
}

/// The two lines on standard output are for whoever started the server: they come once it listens.
fn serve(options: Serve) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let farewell = runtime.block_on(async { farewell() })?;
    let mut config = Config {
        listen: options.listen,
        url: options.url,
        open: options.open,
        window: Duration::from_secs(options.window),
        skew: Duration::from_secs(options.skew),
        ..Config::new(options.store.store)
    };
    options.attestation.over(&mut config.attestation);
    let running = Gateway::start(config)?;
    if !options.listen.ip().is_loopback() {
        tracing::warn!("this port speaks plain HTTP to the network; put a proxy that ends TLS in front");
    }
    say(&format!("index {}\nready\n", running.index_url()))?;
    runtime.block_on(farewell);
    running.stop();
    Ok(ExitCode::SUCCESS)
}

/// Resolves at the first SIGTERM or Ctrl-C; caught from the moment this returns.
#[cfg(unix)]
fn farewell() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn farewell() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}

fn show_records(store: &Store, version: Option<&str>) -> Outcome {
    let wanted = match version {
        Some(text) => Some(text.split_once('@').ok_or_else(|| format!("`{text}` is not NAME@VERS"))?),
        None => None,
    };
    let records = store.published(wanted)?;
    if let (Some(text), true) = (version, records.is_empty()) {
        return Err(format!("{text} was not published here").into());
    }
    let mut code = ExitCode::SUCCESS;
    for record in &records {
        let (text, holds) = described(store, record);
        say(&text)?;
        if !holds {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn described(store: &Store, record: &Record) -> (String, bool) {
    let checksum = record.checksum.map(|checksum| checksum.to_string()).unwrap_or_default();
    let mut text = format!(
        "{} {}\n  checksum   {checksum}\n  published  {:.0} by {}\n  key        {}\n",
        record.name,
        record.version.as_deref().unwrap_or_default(),
        record.time,
        record.user,
        record.key,
    );
    match record::check(store, record) {
        Ok(checked) => {
            let label = checked.key.label.map(|label| format!(" \"{label}\"")).unwrap_or_default();
            let revoked = checked.key.revoked.map(|at| format!(", revoked {at:.0}")).unwrap_or_default();
            text.push_str(&format!(
                "  public     {}\n  role       {}{label}{revoked}\n  signed     {:.0} for {}\n\
                 \x20 verified   the key signed this checksum, and the stored file has it\n",
                checked.key.public, checked.key.role, checked.claims.issued_at, checked.index_url,
            ));
            (text, true)
        }
        Err(error) => {
            text.push_str(&format!("  NOT VERIFIED  {error}\n"));
            (text, false)
        }
    }
}

/// A reader that has gone (`| head`) is not an error worth a message.
fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
