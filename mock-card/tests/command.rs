//! The command line: `serve`, `exec`, control lines and files.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use p384::pkcs8::{EncodePrivateKey as _, LineEnding};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

fn mock_card() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mock-card"))
}

/// A running `mock-card serve` and its control lines.
struct Serving {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    socket: PathBuf,
}

impl Serving {
    fn start(arguments: &[&str]) -> Self {
        let mut child =
            mock_card().args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let lines = lines_of(child.stdout.take().unwrap());
        let name = lines.recv_timeout(PATIENCE).unwrap();
        let socket = PathBuf::from(name.strip_prefix("PCSCLITE_CSOCK_NAME=").unwrap());
        assert_eq!(lines.recv_timeout(PATIENCE).as_deref(), Ok("ready"));
        assert!(socket.exists());
        Self { child, stdin, lines, socket }
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
        answer(&self.lines)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    /// Asserts that it ends by itself, and leaves nothing behind.
    fn assert_ends(mut self) {
        assert!(self.child.wait().unwrap().success());
        assert!(!self.socket.exists());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
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

/// The next line that does not begin with `event `.
fn answer(lines: &Receiver<String>) -> String {
    loop {
        let line = lines.recv_timeout(PATIENCE).expect("an answer in time");
        if !line.starts_with("event ") {
            return line;
        }
    }
}

/// Runs `mock-card exec OPTIONS -- sh -c SCRIPT`.
fn exec(options: &[&str], script: &str) -> Output {
    mock_card().arg("exec").args(options).args(["--", "sh", "-c", script]).output().unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn control_lines_are_answered() {
    let mut mock = Serving::start(&["serve", "--serial", "7", "--touch", "manual"]);
    for (line, wanted) in [
        ("touch", "ok"),
        ("touch 7", "ok"),
        ("touch 8", "error there is no card 8"),
        ("unplug", "ok"),
        ("unplug", "error the reader is unplugged"),
        ("plug", "ok"),
        ("plug 7", "error the reader is already plugged in"),
        ("remove", "ok"),
        ("reset", "error the card is not in the reader"),
        ("insert", "ok"),
        ("insert", "error the card is already in the reader"),
        ("reset", "ok"),
        ("power-off", "ok"),
        ("hold exclusive", "ok"),
        ("hold transaction", "error the card is in use"),
        ("release", "ok"),
        ("release", "error the card is not held"),
        ("hold transaction 7", "ok"),
        ("release 7", "ok"),
        ("wait idle", "ok"),
        ("wait apdu 0", "ok"),
        ("wait blocked 0", "ok"),
        ("pin-tries", "ok 3"),
        ("pin-tries 1", "ok"),
        ("pin-tries", "ok 1"),
        ("pin-tries 256", "error write pin-tries [N [SERIAL]], N from 0 to 255"),
        ("fault transmit 2 rv 80100017", "ok"),
        ("fault transmit 1 after unplug 7", "ok"),
        ("fault transmit 1 after unplug 8", "error there is no card 8"),
        ("fault touch never", "ok"),
        ("fault touch late 0.5 7", "ok"),
        ("fault transmit 1 before hold transaction 7", "ok"),
        ("fault mute", "ok"),
        ("remove", "ok"),
        ("insert 7", "ok"),
        ("fault full", "ok"),
        ("fault refuse", "ok"),
        ("fault transmit 0 sw 6F00", "error write fault transmit N or connect N, where N is 1 for the next"),
        (
            "fault transmit 1 sw 69",
            "error write fault transmit N rv CODE, lose CODE, sw XXXX, truncate BYTES, pad BYTES, corrupt OFFSET, delay SECONDS, before EVENT or after EVENT",
        ),
        ("clear faults", "ok"),
        ("clear trace", "ok"),
        ("clear everything", "error write clear, clear faults or clear trace"),
        ("clear", "ok"),
    ] {
        assert_eq!(mock.ask(line), wanted, "{line}");
    }
    let state = mock.ask("state");
    assert!(state.starts_with("ok {") && state.contains("\"pin-tries\":1"), "{state}");
    assert!(mock.ask("dance").starts_with("error no such command; there are touch, "));
    assert_eq!(mock.ask("quit"), "ok");
    mock.assert_ends();
}

#[test]
fn the_daemon_can_be_told_to_die() {
    let mut mock = Serving::start(&["serve"]);
    let client = UnixStream::connect(&mock.socket).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(mock.ask("fault gone"), "ok");
    assert_eq!((&client).read(&mut [0]).unwrap(), 0);
    assert!(!mock.socket.exists());
    assert_eq!(mock.ask("quit"), "ok");
    mock.assert_ends();
}

#[test]
fn a_fault_by_control_line_reaches_the_client() {
    let folder = folder();
    let control = folder.path().join("c");
    let mut mock = Serving::start(&["--control", path(&control)]);
    let opensc = |mock: &Serving| {
        let mut command = Command::new("opensc-tool");
        command.args(["-n", "-s", "00:A4:04:00:05:A0:00:00:03:08"]);
        String::from_utf8(command.env("PCSCLITE_CSOCK_NAME", &mock.socket).output().unwrap().stdout).unwrap()
    };
    assert!(opensc(&mock).contains("SW1=0x90"), "opensc-tool (Debian package opensc) is needed");
    assert_eq!(mock.ask("clear"), "ok");
    assert_eq!(mock.ask("fault refuse"), "ok");
    assert!(!opensc(&mock).contains("SW1=0x90"));
    assert_eq!(mock.ask("clear faults"), "ok");
    assert!(opensc(&mock).contains("SW1=0x90"));
}

#[test]
fn without_a_subcommand_it_serves() {
    let mut mock = Serving::start(&["--firmware", "5.4.3"]);
    assert_eq!(mock.ask("quit"), "ok");
    mock.assert_ends();
}

#[test]
fn signals_stop_it_and_the_end_of_input_does_not() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = folder();
        let (socket, control) = (folder.path().join("s"), folder.path().join("c"));
        let mut mock = Serving::start(&["--socket", path(&socket), "--control", path(&control)]);
        drop(mock.stdin.take());
        let mut stream = UnixStream::connect(&control).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"pin-tries\n").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ok 3\n");
        mock.signal(signal);
        mock.assert_ends();
        assert!(!control.exists());
    }
}

#[test]
fn sockets_are_for_this_user_only_and_replace_no_file() {
    let folder = folder();
    let (socket, control) = (folder.path().join("s"), folder.path().join("c"));
    let script = "umask 0; exec \"$0\" serve --socket s --control c";
    let mut mock = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_mock-card")])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = lines_of(mock.stdout.take().unwrap());
    assert_eq!(lines.recv_timeout(PATIENCE).as_deref(), Ok("PCSCLITE_CSOCK_NAME=s"));
    assert_eq!(lines.recv_timeout(PATIENCE).as_deref(), Ok("ready"));
    for path in [&socket, &control] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    writeln!(mock.stdin.as_mut().unwrap(), "quit").unwrap();
    assert!(mock.wait().unwrap().success());

    for option in ["--socket", "--control"] {
        let file = folder.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        let output = mock_card().args(["serve", option, path(&file)]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("this is not a socket"), "{output:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only that file is left");
}

#[test]
fn events_come_unasked() {
    let mut mock = Serving::start(&[]);
    let client = UnixStream::connect(&mock.socket).unwrap();
    assert_eq!(mock.lines.recv_timeout(PATIENCE).as_deref(), Ok("event client 1"));
    drop(client);
    assert_eq!(mock.lines.recv_timeout(PATIENCE).as_deref(), Ok("event client 0"));
    assert_eq!(mock.ask("quit"), "ok");
    mock.assert_ends();
}

#[test]
fn exec_ends_as_its_command_does() {
    assert_eq!(exec(&[], "exit 0").status.code(), Some(0));
    assert_eq!(exec(&[], "exit 7").status.code(), Some(7));
    assert_eq!(exec(&[], "kill -TERM $$").status.code(), Some(128 + 15));
    let missing = mock_card().args(["exec", "--", "/nowhere/to/be/found"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&missing.stderr).starts_with("mock-card: /nowhere/to/be/found: "));
}

#[test]
fn the_documented_commands_work() {
    let guide = std::fs::read_to_string("../docs/mock-card.md").unwrap();
    let readme = std::fs::read_to_string("README.md").unwrap();
    let lines = guide.lines().chain(readme.lines().filter_map(|line| line.strip_prefix("$ ")));
    let commands: Vec<&str> = lines.filter(|line| line.starts_with("mock-card exec ")).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    let folder = Path::new(env!("CARGO_BIN_EXE_mock-card")).parent().unwrap();
    let search = format!("{}:{}", path(folder), std::env::var("PATH").unwrap());
    for command in commands {
        let output = Command::new("sh").args(["-c", command]).env("PATH", &search).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
}

#[test]
fn the_card_is_the_one_that_readme_and_help_describe() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let after = |words: &str| {
        let rest =
            readme.split(words).nth(1).unwrap_or_else(|| panic!("the README does not say \"{words}\""));
        rest.split([' ', ',', '\n']).next().unwrap().trim_end_matches('.').to_owned()
    };
    let (firmware, serial) = (after("with firmware "), after("serial number "));
    let (pin, puk, oldest) = (after("PIN "), after("PUK "), after("back to "));

    let piv_tool = |options: &[&str], act: &str| {
        let output = exec(options, &format!("yubico-piv-tool {act}"));
        assert!(output.status.success(), "yubico-piv-tool {act}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let status = piv_tool(&[], "-a status");
    assert!(status.contains(&format!("Version:\t{firmware}\n")), "{status}");
    assert!(status.contains(&format!("Serial Number:\t{serial}\n")), "{status}");
    piv_tool(&[], &format!("-a verify-pin -P {pin}"));
    piv_tool(&[], &format!("-a change-puk -P {puk} -N 87654321"));
    // Debian's tool knows no AES, with which newer cards are made.
    piv_tool(&["--firmware", "5.6.0"], "-k010203040506070801020304050607080102030405060708 -a set-ccc");
    for edition in ["", "-fips", "-bio"] {
        piv_tool(&["--firmware", &format!("{firmware}{edition}")], "-a status");
    }
    assert!(piv_tool(&["--firmware", &format!("{oldest}.0")], "-a status").contains(&oldest));

    let help = mock_card().args(["exec", "--help"]).output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        format!("firmware version, from {oldest}.0;"),
        format!("YubiKey Bio [default: {firmware}]"),
        format!("serial number [default: {serial}]"),
        format!("The card's PIN [default: {pin}]"),
        format!("puk ({puk})"),
        "management-key (hexadecimal; 0102030405060708 three times)".to_owned(),
    ] {
        assert!(help.contains(&said), "--help does not say \"{said}\": {help}");
    }
}

#[test]
fn exec_leaves_the_streams_to_its_command_and_cleans_up() {
    let script = r#"test -S "$PCSCLITE_CSOCK_NAME" && test -S "$MOCK_CARD_CONTROL" && echo "$PCSCLITE_CSOCK_NAME" "$MOCK_CARD_CONTROL""#;
    let output = exec(&[], script);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&Path> = text.split_whitespace().map(Path::new).collect();
    assert_eq!(names.len(), 2, "{text}");
    for name in names {
        assert!(!name.exists() && !name.parent().unwrap().exists(), "{} is left", name.display());
    }
}

#[test]
fn exec_passes_sigterm_on() {
    let mut child = mock_card()
        .args([
            "exec",
            "--",
            "sh",
            "-c",
            "trap 'exit 9' TERM; echo here; for n in $(seq 3000); do sleep 0.01; done",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = lines_of(child.stdout.take().unwrap());
    assert_eq!(lines.recv_timeout(PATIENCE).as_deref(), Ok("here"));
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

/// Opened as a file is, it would be waited for, and SIGTERM with it.
#[test]
fn a_trace_into_a_pipe_wants_a_reader() {
    let folder = folder();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let refused = exec(&["--trace", path(&pipe)], "true");
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(&format!("{}: nobody reads what is written there", pipe.display())), "{said}");
    // Open for both, it is opened at once.
    let reader = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let called = exec(&["--trace", path(&pipe)], "opensc-tool -s 00:A4:04:00:05:A0:00:00:03:08");
    assert!(called.status.success(), "{called:?}");
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    assert!(line.starts_with('{'), "{line}");
}

#[test]
fn the_trace_is_private_and_tells_no_secrets() {
    let folder = folder();
    let trace = folder.path().join("trace.jsonl");
    let verify = "opensc-tool -s 00:A4:04:00:05:A0:00:00:03:08 -s 00:20:00:80:08:31:32:33:34:35:36:FF:FF";
    let output = exec(&["--trace", path(&trace)], verify);
    assert!(output.status.success(), "opensc-tool (Debian package opensc) is needed: {output:?}");
    assert_eq!(std::fs::metadata(&trace).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&trace).unwrap();
    assert!(!text.contains("313233343536"), "{text}");
    let line = text.lines().find(|line| line.contains("0020008008")).unwrap();
    let entry: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(entry["call"], "transmit");
    assert_eq!(entry["ins"], "VERIFY");
    assert_eq!(entry["redacted"], 8);
    assert_eq!(entry["answer"], "9000");
    assert_eq!(entry["serial"], 12_345_678);
    assert_eq!(entry["rv"], 0);
    assert!(entry["n"].is_u64() && entry["us"].is_u64() && entry["conn"].is_u64());

    let told = folder.path().join("told.jsonl");
    exec(&["--trace", path(&told), "--trace-secrets"], verify);
    assert!(std::fs::read_to_string(&told).unwrap().contains("0020008008313233343536FFFF"));
}

#[test]
fn the_state_outlives_the_mock() {
    let folder = folder();
    let state = folder.path().join("state.json");
    let options = ["--state", path(&state), "--pin", "654321"];
    let mut mock = Serving::start(&options);
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(mock.ask("pin-tries 2"), "ok");
    assert_eq!(mock.ask("quit"), "ok");
    mock.assert_ends();
    let mut mock = Serving::start(&["--state", path(&state)]);
    assert_eq!(mock.ask("pin-tries"), "ok 2");
    assert_eq!(mock.ask("quit"), "ok");
    mock.assert_ends();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "unfinished files are left");
}

#[test]
fn keys_are_imported_from_files() {
    let folder = folder();
    let secret = p384::SecretKey::from_slice(&[0x42; 48]).unwrap();
    let (pem, der, junk) =
        (folder.path().join("key.pem"), folder.path().join("key:1"), folder.path().join("junk"));
    std::fs::write(&pem, secret.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes()).unwrap();
    std::fs::write(&der, secret.to_pkcs8_der().unwrap().as_bytes()).unwrap();
    std::fs::write(&junk, "junk").unwrap();
    let import = |text: String| exec(&["--import", &text], "opensc-tool -n -s 00:F7:00:82");
    let shown = |text: String| String::from_utf8(import(text).stdout).unwrap();
    assert!(shown(format!("82:p384:{}", pem.display())).contains("01 01 14 02 02 02 01 03 01 02"));
    assert!(
        shown(format!("82:p384:{}:never:always", der.display())).contains("01 01 14 02 02 01 02 03 01 02")
    );
    for wrong in [format!("82:p256:{}", pem.display()), format!("82:p384:{}", junk.display())] {
        let output = import(wrong);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("not a PKCS#8 private key for p"),
            "{output:?}"
        );
    }
    assert_eq!(import(format!("9B:p384:{}", pem.display())).status.code(), Some(1));
}

#[test]
fn the_attestation_authorities_are_printed() {
    let output = mock_card().arg("ca").output().unwrap();
    assert!(output.status.success());
    let shown = String::from_utf8(output.stdout).unwrap();
    for authority in mock_card::authorities() {
        let (_, after) = shown.split_once(&format!("# {}\n", authority.name)).unwrap();
        let end = "-----END CERTIFICATE-----\n";
        let pem = &after[..after.find(end).unwrap() + end.len()];
        let (label, der) = p384::pkcs8::der::Document::from_pem(pem).unwrap();
        assert_eq!((label, der.as_bytes()), ("CERTIFICATE", &authority.certificate[..]));
    }
    assert_eq!(shown.matches("BEGIN").count(), 4);
}

#[test]
fn a_card_of_the_4_series_is_called_so() {
    let output = exec(&["--firmware", "4.3.7"], "opensc-tool -l");
    assert!(String::from_utf8_lossy(&output.stdout).contains("Yubico Yubikey 4 OTP+U2F+CCID 00 00"));
}

#[test]
fn several_cards_have_a_reader_each() {
    let cards = ["--card", "serial=1,pin=654321", "--card", "serial=2,firmware=5.4.3"];
    let output = exec(&cards, "opensc-tool -l");
    let shown = String::from_utf8(output.stdout).unwrap();
    for reader in ["Yubico YubiKey OTP+FIDO+CCID 00 00", "Yubico YubiKey OTP+FIDO+CCID 01 00"] {
        assert!(shown.contains(reader), "{shown}");
    }
    let mut mock = Serving::start(&cards);
    assert_eq!(mock.ask("unplug 2"), "ok");
    assert_eq!(mock.ask("unplug 2"), "error the reader is unplugged");
    assert_eq!(mock.ask("unplug 1"), "ok");
    assert_eq!(mock.ask("quit"), "ok");
    mock.assert_ends();
}

#[test]
fn what_cannot_be_started_says_why() {
    let folder = folder();
    let long = folder.path().join("x".repeat(100));
    let longest = {
        let missing = 107 - folder.path().as_os_str().len() - 1;
        folder.path().join("y".repeat(missing))
    };
    for (options, status, reason) in [
        (vec!["--socket", path(&long)], 1, "libpcsclite takes at most 107"),
        (vec!["--firmware", "4.2.9"], 1, "firmware 4.2.9 is not modelled"),
        (vec!["--pin", "123"], 1, "6 to 8 characters"),
        (vec!["--card", "serial=1", "--card", "serial=1"], 1, "same serial number"),
        (vec!["--card", "colour=red"], 2, "no such key `colour`"),
        (vec!["--card", "serial=1", "--serial", "2"], 2, "cannot be used with"),
        (vec!["--touch", "maybe"], 2, "auto, never or manual"),
        (vec!["--state", "/"], 1, "/"),
    ] {
        let output = exec(&options, "exit 0");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{options:?}: {told}");
        assert!(told.contains(reason), "{options:?}: {told}");
    }
    assert_eq!(
        exec(&["--socket", path(&longest)], "opensc-tool -l | grep -q YubiKey").status.code(),
        Some(0)
    );
}

#[test]
fn options_before_the_subcommand_are_told_their_place() {
    let output = mock_card().args(["--serial", "7", "exec", "--", "true"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("mock-card exec OPTIONS -- COMMAND"), "{told}");
}

#[test]
fn a_socket_in_use_is_not_taken_and_a_stale_one_is() {
    let folder = folder();
    let socket = folder.path().join("s");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let mock = Serving::start(&["--socket", path(&socket)]);
    let second = exec(&["--socket", path(&socket)], "exit 0");
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(mock.socket.exists());
}

/// What a real bash offers for a command line of these words, each after a blank; `=` and `:` break them for bash.
fn offered(words: &[&str]) -> String {
    let script = "source <(mock-card completions bash); COMP_LINE=$1; COMP_WORDS=(\"${@:2}\"); COMP_CWORD=$(($# - 2)); COMP_TYPE=9
        function=$(complete -p mock-card); function=${function##*-F }; last=${COMP_WORDS[COMP_CWORD]}
        ${function% *} mock-card \"${last#[=:]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let folder = Path::new(env!("CARGO_BIN_EXE_mock-card")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let line = format!("mock-card {}", words.join(" "));
    let broken = line.replace('=', "\n=\n").replace(':', "\n:\n").replace(' ', "\n");
    let pieces: Vec<_> =
        broken.split('\n').filter(|piece| !piece.is_empty() || line.ends_with(' ')).collect();
    let mut bash = Command::new("bash");
    let output = bash.args(["-c", script, "bash", &line]).args(pieces).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_options_and_what_they_take() {
    assert_eq!(offered(&["exec", "--tou"]), "--touch\n");
    assert_eq!(offered(&["serve", "--touch", ""]), "auto\nnever\nmanual\n");
    assert_eq!(offered(&["ser"]), "serve\n");
    assert_eq!(offered(&["exec", "--touch=m"]), "manual\n");
    assert_eq!(offered(&["serve", "--touch="]), "auto\nnever\nmanual\n");
    assert_eq!(offered(&["serve", "--socket", "a:b", "--tou"]), "--touch\n");
}

#[test]
fn the_man_page_has_environment_files_and_examples() {
    let folder = TempDir::new().unwrap();
    assert!(mock_card().arg("man").arg(folder.path()).status().unwrap().success());
    assert!(folder.path().join("mock-card-exec.1").exists());
    let page = folder.path().join("mock-card.1");
    let shown = Command::new("man")
        .args(["--warnings", "-E", "utf8", "-l"])
        .arg(page)
        .env("MANWIDTH", "400")
        .output();
    let shown = shown.unwrap();
    assert!(shown.status.success() && shown.stderr.is_empty(), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    for title in ["ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES"] {
        assert!(text.lines().any(|line| line == title), "no {title} in {text}");
    }
    let examples = text.split("\nEXAMPLES\n").nth(1).unwrap().lines();
    let examples = examples.take_while(|line| line.is_empty() || line.starts_with(' ')).map(str::trim);
    let examples: Vec<_> = examples.filter(|line| line.starts_with("mock-card ")).collect();
    assert!(examples.len() > 3, "{text}");
    for example in examples {
        // With --help an option that does not exist is refused, and nothing is done.
        let options = example.split(" -- ").next().unwrap().split(' ').skip(1);
        assert!(mock_card().args(options).arg("--help").output().unwrap().status.success(), "{example}");
    }
}
