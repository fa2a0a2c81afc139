//! The commands. Standard output is data.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory as _;
use registry_gateway::audit::watch::Watch;
use registry_gateway::config::Reads;
use registry_gateway::credential_provider::Provider;
use registry_gateway::credentials::{Recipient, Verdict};
use registry_gateway::store::{Record, Store, StoreError};
use registry_gateway::{Config, Gateway, Opened, escaped, record};
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Arguments, AuditCommand, Command, CredentialCommand, PlaceError, Serve};
use crate::{process, setup};

mod approver;
mod audit;
mod change;
pub(crate) mod completions;
mod doctor;
mod man;
mod people;
mod publisher;
mod store;
mod witness;

pub(crate) use audit::NotAsLogged;

type Outcome = Result<ExitCode, Box<dyn Error>>;

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Init { store, folder } => {
            let store = store.map(|store| store.place().map_err(PlaceError::from)).transpose()?;
            say(&setup::init(&folder, store.as_ref())?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Credential(command) => credential(command),
        Command::Doctor { place, crates } => doctor::examine(&place, &crates),
        Command::Serve(options) => serve(options),
        Command::User(command) => people::user(command),
        Command::Invite { place, user } => people::invite(&place, &user),
        Command::Key(command) => people::key(command),
        Command::Approver(command) => approver::approver(command),
        Command::Publisher(command) => publisher::publisher(command),
        Command::Change(command) => change::change(command),
        Command::Audit(AuditCommand::Verify { place, checkpoint }) => {
            audit::verify(&place.store()?, checkpoint.as_deref())
        }
        Command::Audit(AuditCommand::Watch { place, crates, keys, from, checkpoint }) => {
            audit::watch(&place.store()?, Watch::new(&crates, &keys), from, checkpoint.as_deref())
        }
        Command::Audit(AuditCommand::Export { place }) => audit::export(&place.store()?),
        Command::Store(command) => store::store(command),
        Command::Witness(command) => witness::witness(command),
        Command::Completions { shell } => {
            completions::print(shell)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { directory } => {
            man::write(&directory, Arguments::command())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Record { place, version } => show_records(&place.store()?, version.as_deref()),
    }
}

/// The two lines on standard output tell whoever started the server that it listens.
fn serve(options: Serve) -> Outcome {
    // A panic in a request is a line of the log like any other.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = runtime.block_on(async { Signals::catch() })?;
    let config = serve_config(options)?;
    process::room_for(config.connections)?;
    let new = config.store.folder().filter(|folder| !Store::is_in(folder)).map(ToOwned::to_owned);
    let Some(opened) = runtime.block_on(signals.unless_stopped(Opened::of(config))) else {
        // What it asked of a database that does not answer is not waited for.
        runtime.shutdown_background();
        return Ok(ExitCode::SUCCESS);
    };
    let running = Gateway::serve(opened?)?;
    if let Some(folder) = new {
        people::warn_of_new_store(&folder);
    }
    if let Some(address) = running.metrics_address() {
        tracing::info!("metrics are at http://{address}/metrics");
    }
    announce(format!("index {}\nready\n", running.index_url()));
    while runtime.block_on(signals.next()) == Asked::Reload {
        running.reload();
    }
    running.stop();
    Ok(ExitCode::SUCCESS)
}

/// On a thread of its own: if nobody reads standard output, that must not keep signals from being heard.
fn announce(text: String) {
    std::thread::spawn(move || {
        if let Err(error) = say(&text) {
            tracing::warn!(%error, "standard output cannot be written");
        }
    });
}

/// The configuration, with the options of the command line.
fn serve_config(options: Serve) -> Result<Config, PlaceError> {
    let mut config = options.place.config()?;
    if let Some(listen) = options.listen {
        config.listen = listen;
    }
    if options.url.is_some() {
        config.url = options.url;
    }
    if options.open {
        config.reads = Reads::Open;
    }
    if let Some(window) = options.window {
        config.window = Duration::from_secs(window);
    }
    if let Some(challenges) = options.challenges {
        config.challenges = challenges;
    }
    if let Some(skew) = options.skew {
        config.skew = Duration::from_secs(skew);
    }
    options.attestation.over(&mut config.attestation);
    Ok(config)
}

/// What a signal asks a server for.
#[derive(PartialEq, Eq)]
enum Asked {
    Reload,
    Stop,
}

/// The signals that a server acts on. They are caught from the moment at which it exists.
#[cfg(unix)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

#[cfg(unix)]
impl Signals {
    fn catch() -> io::Result<Self> {
        let [terminate, interrupt, hangup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Self { terminate: terminate?, interrupt: interrupt?, hangup: hangup? })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}

impl Signals {
    /// What comes of some work, unless a signal asks to stop before. There is nothing to reload yet.
    async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let stopped = async { while self.next().await == Asked::Reload {} };
        tokio::select! {
            done = work => Some(done),
            () = stopped => None,
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(not(unix))]
impl Signals {
    fn catch() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> Asked {
        self.0.recv().await;
        Asked::Stop
    }
}

fn credential(command: CredentialCommand) -> Outcome {
    match command {
        CredentialCommand::Set { place, as_is, user } => {
            let config = place.config()?;
            let recipient = Recipient::new(&config, &user)?;
            let verdict = recipient.keep(&setup::read_credential(&user)?, as_is)?;
            say(&format!("{user}\n"))?;
            people::hint(kept(verdict));
        }
        CredentialCommand::Provider { place, as_is, user, program } => {
            let config = place.config()?;
            let provider = Provider::new(program)?;
            let (verdict, end) = Recipient::new(&config, &user)?.keep_provider(&provider, as_is)?;
            say(&format!("{user}\t{}\n", provider.shown()))?;
            if let Some(end) = end {
                people::hint(&format!("the credential that it just gave is valid until {end:.0}\n"));
            }
            people::hint(kept(verdict));
        }
        CredentialCommand::Remove { place, user } => {
            let store = place.store()?;
            if !store.remove_credential(&user, store.now())? {
                return Err(format!("{user} had no credential").into());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn kept(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::AsGiven => "the registry behind accepts it as it is\n",
        Verdict::WithBearer => {
            "the registry behind accepts it with `Bearer` in front, so it is stored like that\n"
        }
        Verdict::WithoutBearer => {
            "the registry behind accepts it without `Bearer`, so it is stored like that\n"
        }
        Verdict::Open => {
            "the registry behind is read without a token, so it could not be tried; a registry that wants another form will say so at \
             the first publish\n"
        }
        Verdict::NotTried => "`registry-gateway doctor` says whether the registry behind accepts it\n",
    }
}

fn show_records(store: &Store, version: Option<&str>) -> Outcome {
    let wanted = match version {
        Some(text) => Some(
            text.split_once('@')
                .ok_or_else(|| format!("`{text}` is not a version: write NAME@VERSION, like serde@1.0.0"))?,
        ),
        None => None,
    };
    let mut discrepancies = store.discrepancies(store.now())?;
    let records = match store.published(wanted) {
        // A row that leads to something else than a publish is among the discrepancies.
        Err(StoreError::Damaged(_)) if !discrepancies.is_empty() => Vec::new(),
        records => records?,
    };
    if let Some((name, version)) = wanted {
        let key = records.last().map(|record| record.key);
        discrepancies.retain(|discrepancy| discrepancy.concerns(name, version, key));
    }
    if let (Some(text), true, true) = (version, records.is_empty(), discrepancies.is_empty()) {
        return Err(format!("{text} was not published here").into());
    }
    let mut all_hold = discrepancies.is_empty();
    for record in &records {
        let (text, holds) = described(store, record);
        say(&text)?;
        all_hold &= holds;
    }
    for discrepancy in discrepancies {
        say(&format!("NOT AS LOGGED  {discrepancy}\n"))?;
    }
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn described(store: &Store, record: &Record) -> (String, bool) {
    let mut text = format!(
        "{} {}\n  checksum   {}\n  published  {:.0} by {}\n  key        {}\n",
        record.name, record.version, record.checksum, record.time, record.user, record.key,
    );
    match record::check(store, record) {
        Ok(checked) => {
            let label =
                checked.key.label.map(|label| format!(" \"{}\"", escaped(&label))).unwrap_or_default();
            let revoked = checked.key.revoked.map(|at| format!(", revoked {at:.0}")).unwrap_or_default();
            text.push_str(&format!(
                "  public     {}\n  role       {}{label}{revoked}\n  signed     {:.0} for {}\n\
                 \x20 verified   {}\n",
                checked.key.public,
                checked.key.role,
                checked.claims.issued_at,
                checked.index_url,
                match checked.file {
                    Some(_) => {
                        "the key signed this checksum; the stored file has it, and the index says what the file says"
                    }
                    None => {
                        "the key signed this checksum; file and index are in the registry behind, where `yk-cargo verify` and \
                         `registry-gateway doctor` look"
                    }
                },
            ));
            (text, true)
        }
        Err(error) => {
            text.push_str(&format!("  NOT VERIFIED  {}\n", error.with_causes()));
            (text, false)
        }
    }
}

/// Writes to standard output. If the reader has gone (`| head`), that is no error.
fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
