//! A cargo credential provider, asked as cargo would ask it. Registries whose credentials last for hours have one.
//!
//! The program is run with `--cargo-plugin` and says which versions of the protocol it knows. It gets one request, a line of JSON
//! with its arguments in it, and answers with another line. Sources: the Cargo book, "Credential Provider Protocol", and cargo
//! 1.95, `util/credential/process.rs`.
//!
//! `cargo:token-from-stdout` before it stands for what cargo has built in for programs that just print a token.
//!
//! It is a stranger: it has no terminal, and of the environment only `HOME` and a `PATH`. It has a deadline, and is ended with
//! its process group. Of what it writes only so much is read.

mod redaction;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use asymmetric_token::Mutation;
use axum::http::HeaderValue;
use cargo_credential::{
    Action, CacheControl, CredentialHello, CredentialRequest, CredentialResponse, Operation,
    PROTOCOL_VERSION_1, RegistryInfo,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::causes::{escaped, shortened, with_causes, without_secret};
use redaction::without_secrets;

/// The longest credential, in bytes.
pub const MAX_CREDENTIAL_BYTES: usize = 4096;
/// How long it may take to end after its answer, and to say its last words.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// What cargo calls programs that print a token.
const FROM_STDOUT: &str = "cargo:token-from-stdout";
/// How long a token that was printed is kept. Cargo keeps it as long as one command takes.
const PRINTED_KEPT: SignedDuration = SignedDuration::from_mins(5);
/// The longest line that is read, in bytes: more than the longest credential, escaped.
const MOST_LINE: u64 = 64 << 10;
/// How much of its words is read, in bytes.
const MOST_WORDS: usize = 8 << 10;
/// Where it finds programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What makes a process the first one of a session without a terminal.
#[cfg(target_os = "linux")]
const SETSID: &str = "setsid";

/// Which program, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    program: PathBuf,
    args: Vec<String>,
    /// It does not speak the protocol, and prints a token.
    prints_token: bool,
}

/// What a provider gave.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// The value of `Authorization`.
    pub(crate) credential: HeaderValue,
    pub(crate) lasts: Lasts,
    /// Whether it is good for other requests than the one that it was asked for.
    pub(crate) for_all: bool,
}

/// How long a credential may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// For the request that it was asked for.
    Once,
    Until(Timestamp),
    /// As long as this process lives.
    Session,
}

/// Why a program cannot be a provider.
#[derive(Debug, thiserror::Error)]
pub enum NotAProvider {
    /// Cargo has it built in.
    #[error("`{0}` is built into cargo, and is not a program")]
    BuiltIn(String),
    /// There is no such file, or it cannot be run.
    #[error("there is no program `{0}`")]
    NoProgram(String),
}

/// Why a provider gave no credential.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It cannot be started.
    #[error("it cannot be run")]
    Start(#[source] Arc<io::Error>),
    /// Whoever has run it does not want it any more.
    #[error("it was interrupted")]
    Interrupted,
    /// It did not answer in time.
    #[error("it did not answer within {} seconds", .0.as_secs())]
    TooLate(Duration),
    /// It ended without an answer, or with an error after it.
    #[error("it ended without a credential ({0})")]
    Ended(ExitStatus),
    /// It says that it has none.
    #[error("it refuses: {0}")]
    Refuses(String),
    /// It does not speak the protocol.
    #[error("it does not answer like a credential provider: {0}")]
    Nonsense(&'static str),
    /// What it gives cannot be sent.
    #[error(
        "it gives something that is not a credential, which has 1 to {} printable ASCII characters",
        MAX_CREDENTIAL_BYTES
    )]
    NotACredential,
    /// What it gives is not good any more.
    #[error("it gives a credential that has expired at {0:.0}")]
    Expired(Timestamp),
}

impl Provider {
    /// A program that is there and can be run, with its arguments. A name without a slash is looked up in `PATH`, now and for good.
    ///
    /// # Errors
    /// [`NotAProvider`].
    pub fn new(words: impl IntoIterator<Item = String>) -> Result<Self, NotAProvider> {
        let mut args = words.into_iter();
        let mut name = args.next().unwrap_or_default();
        let prints_token = name == FROM_STDOUT;
        if prints_token {
            name = args.next().unwrap_or_default();
        }
        let program = Path::new(&name);
        if name.starts_with("cargo:") {
            return Err(NotAProvider::BuiltIn(name));
        }
        let none = || NotAProvider::NoProgram(name.clone());
        let found = match name.contains('/') || cfg!(windows) {
            true => std::path::absolute(program).ok().filter(|path| can_be_run(path)),
            false => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&path)
                    .filter(|folder| folder.is_absolute())
                    .map(|folder| folder.join(program))
                    .find(|path| can_be_run(path))
            }
        };
        Ok(Self { program: found.ok_or_else(none)?, args: args.collect(), prints_token })
    }

    /// The program and its arguments, as they may be shown.
    #[must_use]
    pub fn shown(&self) -> String {
        let adaptor = self.prints_token.then(|| FROM_STDOUT.to_owned());
        let program = self.program.to_string_lossy().into_owned();
        let words = adaptor.into_iter().chain([program]).chain(self.args.iter().cloned());
        escaped(&words.collect::<Vec<_>>().join(" "))
    }

    /// Asks for a credential: for reads of the registry with this index URL, or for one change.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub(crate) async fn ask(
        &self,
        index: &str,
        change: Option<&Mutation>,
        deadline: Duration,
    ) -> Result<Given, ProviderError> {
        let plugin = ["--cargo-plugin".to_owned()];
        let args = if self.prints_token { &self.args[..] } else { &plugin };
        let child = Running::start(&self.program, args, index);
        let mut child = child.map_err(|error| ProviderError::Start(error.into()))?;
        let words = child.words();
        let given = timeout(deadline, async {
            match self.prints_token {
                true => {
                    Given::new(child.printed().await?, Lasts::Until(Timestamp::now() + PRINTED_KEPT), true)
                }
                false => Given::of(child.answer(index, change, &self.args).await?, Timestamp::now()),
            }
        });
        // Whoever gives up waits for nothing, and leaves nothing behind.
        let given = tokio::select! {
            given = given => given.unwrap_or(Err(ProviderError::TooLate(deadline))),
            _ = tokio::signal::ctrl_c() => Err(ProviderError::Interrupted),
        };
        drop(child);
        let secret = given.as_ref().ok().map(|given| &given.credential);
        if let Some(words) = words.spoken(secret).await {
            tracing::warn!(program = self.shown(), "a credential provider says: {words}");
        }
        given
    }
}

#[cfg(unix)]
fn can_be_run(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn can_be_run(path: &Path) -> bool {
    path.is_file()
}

impl Given {
    /// What an answer is worth at this time.
    fn of(answer: CredentialResponse, now: Timestamp) -> Result<Self, ProviderError> {
        let CredentialResponse::Get { token, cache, operation_independent } = answer else {
            return Err(ProviderError::Nonsense("its answer is for another request"));
        };
        let lasts = match cache {
            CacheControl::Session => Lasts::Session,
            CacheControl::Expires { expiration } => {
                let end = Timestamp::from_second(expiration.unix_timestamp());
                let end =
                    end.map_err(|_| ProviderError::Nonsense("its credential's expiry time is out of range"))?;
                if end <= now {
                    return Err(ProviderError::Expired(end));
                }
                Lasts::Until(end)
            }
            _ => Lasts::Once,
        };
        Self::new(Zeroizing::new(token.expose()), lasts, operation_independent)
    }

    fn new(token: Zeroizing<String>, lasts: Lasts, for_all: bool) -> Result<Self, ProviderError> {
        // Blanks around a field's value are no part of it (RFC 9110, 5.5).
        let token = token.trim_matches(' ');
        let fits = !token.is_empty() && token.len() <= MAX_CREDENTIAL_BYTES;
        if !fits || !token.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(ProviderError::NotACredential);
        }
        let mut credential = HeaderValue::from_str(token).map_err(|_| ProviderError::NotACredential)?;
        credential.set_sensitive(true);
        Ok(Self { credential, lasts, for_all })
    }
}

/// A provider that runs. Dropped, it is ended, with what it has started and left behind.
struct Running {
    child: Child,
    /// Its group of processes, which has its number.
    #[cfg(unix)]
    group: Option<rustix::process::Pid>,
}

impl Running {
    fn start(program: &Path, args: &[String], index: &str) -> io::Result<Self> {
        let mut command = alone(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", PATH)
            .env("CARGO_REGISTRY_INDEX_URL", index)
            .current_dir("/");
        if let Some(home) = std::env::var_os("HOME") {
            command.env("HOME", home);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn()?;
        #[cfg(unix)]
        let group = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        Ok(Self {
            child,
            #[cfg(unix)]
            group,
        })
    }

    /// Hears what it says on standard error, from now on.
    fn words(&mut self) -> Words {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let end = tokio::spawn(hear(self.child.stderr.take(), heard.clone()));
        Words { heard, end }
    }

    async fn answer(
        &mut self,
        index: &str,
        change: Option<&Mutation>,
        args: &[String],
    ) -> Result<CredentialResponse, ProviderError> {
        let (Some(mut input), Some(output)) = (self.child.stdin.take(), self.child.stdout.take()) else {
            return Err(ProviderError::Nonsense("it has no standard input or output"));
        };
        let mut output = BufReader::new(output);
        let Some(hello) = line(&mut output).await? else { return Err(self.ended().await) };
        let hello: CredentialHello = serde_json::from_slice(&hello)
            .map_err(|_| ProviderError::Nonsense("its first line is not a greeting"))?;
        if !hello.v.contains(&PROTOCOL_VERSION_1) {
            return Err(ProviderError::Nonsense("it does not speak version 1 of the protocol"));
        }
        let mut request = request(index, change, args);
        request.push('\n');
        // If it does not listen, its answer or its end tells.
        let _ = input.write_all(request.as_bytes()).await;
        let answer = line(&mut output).await?;
        drop(input);
        let Some(answer) = answer else { return Err(self.ended().await) };
        let answer: Result<CredentialResponse, cargo_credential::Error> = serde_json::from_slice(&answer)
            .map_err(|_| ProviderError::Nonsense("its second line is not an answer"))?;
        let answer = answer.map_err(|error| {
            ProviderError::Refuses(escaped(&shortened(without_secrets(&with_causes(&error)))))
        })?;
        // Cargo believes none that fails in the end. One that does not end has answered all the same.
        match timeout(AFTERWARDS, self.child.wait()).await {
            Ok(Ok(status)) if !status.success() => Err(ProviderError::Ended(status)),
            _ => Ok(answer),
        }
    }

    /// The token that it prints, alone.
    async fn printed(&mut self) -> Result<Zeroizing<String>, ProviderError> {
        drop(self.child.stdin.take());
        let Some(output) = self.child.stdout.take() else { return Err(ProviderError::NotACredential) };
        let mut output = BufReader::new(output);
        let token = line(&mut output).await?;
        // A line and an end are enough: what it leaves behind may keep its output open.
        let more = tokio::select! {
            biased;
            more = line(&mut output) => more?,
            _ = self.child.wait() => None,
        };
        match (token, more) {
            (Some(token), None) => {
                if let Ok(Ok(status)) = timeout(AFTERWARDS, self.child.wait()).await
                    && !status.success()
                {
                    return Err(ProviderError::Ended(status));
                }
                let token = std::str::from_utf8(&token).map_err(|_| ProviderError::NotACredential)?;
                Ok(Zeroizing::new(token.trim_end().to_owned()))
            }
            (Some(_), Some(_)) => Err(ProviderError::Nonsense("it prints more than one line")),
            (None, _) => Err(self.ended().await),
        }
    }

    /// How it ended, whose output has.
    async fn ended(&mut self) -> ProviderError {
        match timeout(AFTERWARDS, self.child.wait()).await {
            Ok(Ok(status)) => ProviderError::Ended(status),
            _ => ProviderError::Nonsense("it closed its output without an answer"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Also where it has ended by itself, a moment ago: as long as one of the group lives, the number is nobody else's.
        #[cfg(unix)]
        if let Some(group) = self.group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// A program without a terminal, first of a group of processes that can be ended together.
fn alone(program: &Path) -> Command {
    #[cfg(target_os = "linux")]
    {
        let mut command = Command::new(SETSID);
        command.arg(program);
        command
    }
    #[cfg(not(target_os = "linux"))]
    {
        let mut command = Command::new(program);
        #[cfg(unix)]
        command.process_group(0);
        command
    }
}

/// One line without its end, or nothing if there are no more.
async fn line(
    output: &mut (impl tokio::io::AsyncBufRead + Unpin),
) -> Result<Option<Zeroizing<Vec<u8>>>, ProviderError> {
    let mut line = Zeroizing::new(Vec::new());
    // A program whose output breaks has ended.
    let _ = output.take(MOST_LINE).read_until(b'\n', &mut line).await;
    match line.last() {
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() as u64 == MOST_LINE => Err(ProviderError::Nonsense("its line is too long")),
        Some(_) => Ok(Some(line)),
        None => Ok(None),
    }
}

/// The request, as cargo writes it.
fn request(index: &str, change: Option<&Mutation>, args: &[String]) -> String {
    let name = change.map(|change| change.name().to_string()).unwrap_or_default();
    let vers = change.and_then(Mutation::version).map(ToString::to_string).unwrap_or_default();
    let cksum = match change {
        Some(Mutation::Publish { checksum, .. }) => checksum.to_string(),
        _ => String::new(),
    };
    let (name, vers, cksum) = (&*name, &*vers, &*cksum);
    let operation = match change {
        None => Operation::Read,
        Some(Mutation::Publish { .. }) => Operation::Publish { name, vers, cksum },
        Some(Mutation::Yank { .. }) => Operation::Yank { name, vers },
        Some(Mutation::Unyank { .. }) => Operation::Unyank { name, vers },
        Some(Mutation::Owners { .. }) => Operation::Owners { name },
    };
    let request = CredentialRequest {
        v: PROTOCOL_VERSION_1,
        registry: RegistryInfo { index_url: index, name: None, headers: Vec::new() },
        action: Action::Get(operation),
        args: args.iter().map(String::as_str).collect(),
    };
    serde_json::to_string(&request).expect("all of it is text")
}

/// What a provider says on standard error, while it is listened to.
struct Words {
    heard: Arc<Mutex<Vec<u8>>>,
    end: JoinHandle<()>,
}

impl Words {
    /// What it has said, in one line that a terminal does not obey, without the secret that it gave.
    ///
    /// Where it failed, it may have said a secret that nobody knows: whatever looks like one is left out.
    async fn spoken(mut self, secret: Option<&HeaderValue>) -> Option<String> {
        // It may have left something behind that goes on talking.
        if timeout(AFTERWARDS, &mut self.end).await.is_err() {
            self.end.abort();
        }
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let mut words = String::from_utf8_lossy(&heard).trim().to_owned();
        // The last word may be the beginning of one.
        if heard.len() == MOST_WORDS {
            words.truncate(words.rfind(char::is_whitespace).unwrap_or(0));
        }
        if let Some(secret) = secret.and_then(|secret| secret.to_str().ok()) {
            words = without_secret(&words, secret);
        }
        (!words.is_empty()).then(|| shortened(escaped(&without_secrets(&words))))
    }
}

/// Hears the beginning, and reads on, so that the program is not held up.
async fn hear(output: Option<ChildStderr>, heard: Arc<Mutex<Vec<u8>>>) {
    let Some(mut output) = output else { return };
    let mut piece = [0; 1 << 10];
    while let Ok(length @ 1..) = output.read(&mut piece).await {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_WORDS.saturating_sub(heard.len());
        heard.extend_from_slice(&piece[..length.min(room)]);
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
