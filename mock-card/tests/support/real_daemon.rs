//! A real pcscd with the mock card in the virtual reader of vsmartcard (Debian packages pcscd, vsmartcard-vpcd).
//!
//! It runs in namespaces of its own. It has its own /run, which no other pcscd uses, and its own loopback interface,
//! because the driver listens on a fixed port on all addresses.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
const DRIVER: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";

/// The reader's name without the two numbers that pcscd adds. It is the same as the mock's.
const NAME: &str = "Yubico YubiKey OTP+FIDO+CCID";

const SCRIPT: &str = r#"
ip link set lo up && mount -t tmpfs tmpfs /run || exit 1
pcscd --foreground --config "$1/reader.conf" >"$1/pcscd.log" 2>&1 &
daemon=$!
echo "pcscd $daemon"
timeout 300 "$2" serve --vpcd 127.0.0.1:35963
kill $daemon
wait $daemon
"#;

/// A running pcscd. It ends when this is dropped.
pub(crate) struct RealDaemon {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    socket: PathBuf,
    _folder: TempDir,
}

impl RealDaemon {
    /// Starts the daemon with the card in its first reader. The error says why that is not possible.
    pub(crate) fn start() -> Result<Self, String> {
        if !Path::new(DRIVER).exists() {
            return Err(format!("{DRIVER} is missing (Debian packages pcscd and vsmartcard-vpcd)"));
        }
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let config = format!(
            "FRIENDLYNAME \"{NAME}\"\nDEVICENAME /dev/null:0x8C7B\nLIBPATH {DRIVER}\nCHANNELID 0x8C7B\n"
        );
        fs::write(folder.path().join("reader.conf"), config).map_err(|error| error.to_string())?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--propagation", "private"]);
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        let mut child = command
            .args(["sh", "-c", SCRIPT, "sh"])
            .arg(folder.path())
            .arg(env!("CARGO_BIN_EXE_mock-card"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let stdin = child.stdin.take().expect("piped");
        let lines = lines_of(child.stdout.take().expect("piped"));
        let mut daemon = Self { child, stdin, lines, socket: PathBuf::new(), _folder: folder };
        let pid = daemon.line_after("pcscd ").ok_or("the namespaces of unshare(1) are not allowed here")?;
        daemon.socket = PathBuf::from(format!("/proc/{pid}/root/run/pcscd/pcscd.comm"));
        daemon.line_after("event vpcd attached").ok_or("pcscd does not start the virtual reader")?;
        Ok(daemon)
    }

    /// The value for `PCSCLITE_CSOCK_NAME`. The daemon may not listen there yet.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Sends the card a control line.
    pub(crate) fn control(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("the card takes control lines");
        assert!(self.line_after("ok").is_some(), "{line}");
    }

    /// The rest of the next line with this beginning.
    fn line_after(&mut self, start: &str) -> Option<String> {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).ok()?;
            if let Some(rest) = line.strip_prefix(start) {
                return Some(rest.to_owned());
            }
        }
    }
}

impl Drop for RealDaemon {
    fn drop(&mut self) {
        let _ = writeln!(self.stdin, "quit");
        let _ = self.child.wait();
    }
}

fn lines_of(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}
