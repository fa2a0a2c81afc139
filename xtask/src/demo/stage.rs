//! Where the demo plays: a folder of its own, the programs that run in it, and an environment that knows nothing of
//! the person's. All of it goes when the value is dropped.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::say::{command as say_command, quote};
use crate::workspace::{cargo_program, programs};
use crate::{Failure, Outcome};

/// Far more than any step takes, so that the demo ends whatever happens.
const PATIENCE: Duration = Duration::from_secs(180);

/// How soon Ctrl-C is noticed.
const SLICE: Duration = Duration::from_millis(100);

/// Settings of the person's that would change what cargo and our programs do. `RUSTUP_…` stays: by it rustup finds
/// the compiler that belongs to this cargo.
const LEFT_OUT: [&str; 8] =
    ["CARGO", "GIT_", "MOCK_CARD", "PCSC", "REGISTRY_GATEWAY", "RUSTC", "RUSTFLAGS", "YK_CARGO"];

/// The stage.
pub(super) struct Stage {
    folder: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    servers: Vec<Server>,
    interrupted: Arc<AtomicBool>,
}

struct Server {
    name: &'static str,
    child: Child,
}

impl Stage {
    /// A new, empty folder that is nobody else's. From here on Ctrl-C ends the demo in an orderly way.
    pub(super) fn set() -> Outcome<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))
                .map_err(|error| Failure::new(format!("cannot watch for signals: {error}")))?;
        }
        let folder = std::env::temp_dir().join(format!("yk-cargo-demo-{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| Failure::new(format!("cannot make the folder {}: {error}", folder.display())))?;
        let mut stage = Self { folder, environment: Vec::new(), servers: Vec::new(), interrupted };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(programs()?).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(folders)
            .map_err(|error| Failure::new(format!("the workspace's folder cannot be in PATH: {error}")))?;
        stage.tell("PATH", path);
        // Whatever proxy is configured, and wherever: the registry is on this computer.
        stage.tell("NO_PROXY", "127.0.0.1");
        stage.tell("no_proxy", "127.0.0.1");
        Ok(stage)
    }

    /// A path on the stage.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Sets a variable for all programs that start from now on.
    pub(super) fn tell(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.environment.push((name, value.into()));
    }

    /// Writes a file, and the folders above it.
    pub(super) fn write(&self, name: &str, text: &str) -> Outcome {
        let path = self.path(name);
        let folders = path.parent().map_or(Ok(()), fs::create_dir_all);
        folders.and_then(|()| fs::write(&path, text)).map_err(|error| cannot("write", name, &error))
    }

    /// Writes a program that only its owner may read or run.
    pub(super) fn write_program(&self, name: &str, text: &str) -> Outcome {
        self.write(name, "")?;
        let private = fs::set_permissions(self.path(name), Permissions::from_mode(0o700));
        private.map_err(|error| cannot("protect", name, &error))?;
        self.write(name, text)
    }

    /// Reads a file.
    pub(super) fn read(&self, name: &str) -> Outcome<String> {
        fs::read_to_string(self.path(name)).map_err(|error| cannot("read", name, &error))
    }

    /// Starts a program that stays, and gives what it printed before it was `ready`.
    pub(super) fn start(&mut self, program: &'static str, arguments: &[&str]) -> Outcome<Vec<String>> {
        self.may_go_on()?;
        say_command(format_args!("{program} {} &", arguments.join(" ")));
        let log =
            File::create(self.log(program)).map_err(|error| cannot("write the log of", program, &error))?;
        let mut command = self.program(program, &self.folder);
        command.args(arguments).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(|error| cannot("start", program, &error))?;
        let stdout = child.stdout.take();
        self.servers.push(Server { name: program, child });
        let lines = stdout.map(lines_of).ok_or_else(|| Failure::new(format!("{program} has no output")))?;
        let mut before = Vec::new();
        let started = Instant::now();
        while let Some(line) = self.next_line(&lines, started)? {
            quote(&line);
            if line == "ready" {
                return Ok(before);
            }
            before.push(line);
        }
        Err(Failure::new(format!("{program} did not start")))
    }

    /// Runs a command to its good end, shows what it prints, and gives that back.
    pub(super) fn run(&self, folder: &str, program: &str, arguments: &[&str]) -> Outcome<String> {
        self.may_go_on()?;
        say_command(format_args!("{program} {}", arguments.join(" ")));
        let mut command = self.program(program, &self.path(folder));
        command.args(arguments);
        // One pipe for both, so that lines stay in order.
        let (output, writer) = std::io::pipe().map_err(|error| cannot("listen to", program, &error))?;
        let error_writer = writer.try_clone().map_err(|error| cannot("listen to", program, &error))?;
        command.stdout(writer).stderr(error_writer);
        let mut child = command.spawn().map_err(|error| cannot("start", program, &error))?;
        drop(command); // and with it our ends of the pipe
        let text = self.show(&lines_of(output));
        if text.is_err() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| cannot("wait for", program, &error))?;
        let text = text?;
        if status.success() {
            return Ok(text);
        }
        Err(Failure::new(format!("`{program} {}` failed ({status})", arguments.join(" "))))
    }

    /// What the programs that stay had to say beside their output.
    pub(super) fn logs(&self) -> Vec<(&'static str, String)> {
        let log =
            |server: &Server| (server.name, fs::read_to_string(self.log(server.name)).unwrap_or_default());
        self.servers.iter().map(log).filter(|(_, text)| !text.is_empty()).collect()
    }

    /// All lines until the end.
    fn show(&self, lines: &Receiver<String>) -> Outcome<String> {
        let started = Instant::now();
        let mut text = String::new();
        while let Some(line) = self.next_line(lines, started)? {
            quote(&line);
            text += &line;
            text.push('\n');
        }
        Ok(text)
    }

    /// The next line; none at the end.
    fn next_line(&self, lines: &Receiver<String>, started: Instant) -> Outcome<Option<String>> {
        while started.elapsed() < PATIENCE {
            self.may_go_on()?;
            match lines.recv_timeout(SLICE) {
                Ok(line) => return Ok(Some(line)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        Err(Failure::new(format!("the last command did not come to an end within {} s", PATIENCE.as_secs())))
    }

    fn program(&self, name: &str, folder: &Path) -> Command {
        let mut command = match name {
            "cargo" => Command::new(cargo_program()),
            _ => Command::new(name),
        };
        for (name, _) in std::env::vars_os() {
            if is_left_out(&name) {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // Away from the terminal's foreground, nothing can ask a question there; Ctrl-C reaches us alone.
        command.process_group(0).current_dir(folder).stdin(Stdio::null());
        command
    }

    fn log(&self, program: &str) -> PathBuf {
        self.path(&format!("{program}.log"))
    }

    fn may_go_on(&self) -> Outcome {
        if self.interrupted.load(Ordering::Relaxed) { Err(Failure::new("interrupted")) } else { Ok(()) }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.child.kill();
            let _ = server.child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn is_left_out(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    LEFT_OUT.iter().any(|left_out| name.starts_with(left_out))
}

/// The lines as they come. The thread reads on when nobody listens any more, so that the program is never stopped by
/// a full pipe.
fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

fn cannot(act: &str, what: &str, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {act} {what}: {error}"))
}
