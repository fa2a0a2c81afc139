//! `cargo xtask bench provider`: how long cargo waits for one answer.
//!
//! From the spawn to the answer's last byte, on a mock card that takes no time of its own, taken in turns with a
//! provider that does nothing and with one that signs through the `yubikey` crate.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::say::{command, headline, say};
use crate::workspace::{cargo, programs, root};
use crate::{Failure, Outcome, prerequisites};

const SERIAL: &str = "12345678";
const INDEX: &str = "sparse+http://localhost:9/index/";
/// What is built of `benches/peer`.
const PEERS: &str = "target/peers";
const ROUNDS: usize = 200;
/// The first ones bring the programs into the page cache.
const UNCOUNTED: usize = 20;

/// Builds what is measured, and measures it within `mock-card exec`.
///
/// # Errors
/// What could not be built or run.
pub(crate) fn provider() -> Outcome {
    prerequisites::provide(&[prerequisites::BUILD])?;
    headline("Building");
    built(&["build", "--release", "--package", "yk-cargo", "--package", "mock-card", "--bins"])?;
    built(&["build", "--release", "--manifest-path", "benches/peer/Cargo.toml", "--target-dir", PEERS])?;
    let this =
        std::env::current_exe().map_err(|error| Failure::new(format!("cannot find xtask: {error}")))?;
    let mut exec = Command::new(workspace_release()?.join("mock-card"));
    exec.args(["exec", "--serial", SERIAL, "--pin", "654321", "--"]).arg(this).args([
        "bench",
        "provider",
        "--on-card",
    ]);
    match exec.current_dir(root()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("the measurement failed ({status})"))),
        Err(error) => Err(Failure::new(format!("cannot start the mock card: {error}"))),
    }
}

/// `cargo xtask bench gateway`: builds `benches/gateway`, which says what it measures.
///
/// # Errors
/// What could not be built or run.
pub(crate) fn gateway() -> Outcome {
    prerequisites::provide(&[prerequisites::BUILD])?;
    headline("Building");
    measured(&mut gateway_bench("gateway-bench")?)
}

/// `cargo xtask bench growth`: what the gateway's own registry costs as there is more in it. It takes some minutes, and two
/// gigabytes in the folder for temporary files. Tables are chosen by a word.
///
/// # Errors
/// What could not be built or run.
pub(crate) fn growth(tables: &[&str]) -> Outcome {
    prerequisites::provide(&[prerequisites::BUILD])?;
    headline("Building");
    built(&["build", "--release", "--package", "registry-gateway", "--bins"])?;
    let mut growth = gateway_bench("growth")?;
    measured(growth.arg(workspace_release()?.join("registry-gateway")).args(tables))
}

/// `cargo xtask bench lock`: how long a whole lock file takes, beside a plain download of its proofs.
///
/// # Errors
/// What could not be built or run.
pub(crate) fn lock() -> Outcome {
    prerequisites::provide(&[prerequisites::BUILD])?;
    headline("Building");
    built(&["build", "--release", "--package", "yk-cargo", "--bins"])?;
    measured(gateway_bench("gateway-bench")?.arg("lock").arg(workspace_release()?.join("yk-cargo")))
}

/// Builds `benches/gateway`.
fn gateway_bench(program: &str) -> Outcome<Command> {
    built(&["build", "--release", "--manifest-path", "benches/gateway/Cargo.toml", "--target-dir", PEERS])?;
    Ok(Command::new(root().join(PEERS).join("release").join(program)))
}

fn measured(measurement: &mut Command) -> Outcome {
    match measurement.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("the measurement failed ({status})"))),
        Err(error) => Err(Failure::new(format!("cannot start the measurement: {error}"))),
    }
}

fn built(arguments: &[&str]) -> Outcome {
    command(format_args!("cargo {}", arguments.join(" ")));
    match cargo().args(arguments).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::new("this step failed")),
    }
}

/// The workspace's release programs, beside the folder we were started from.
fn workspace_release() -> Outcome<PathBuf> {
    Ok(programs()?.parent().map_or_else(PathBuf::new, |target| target.join("release")))
}

/// A provider and what it must know.
struct Contender {
    name: &'static str,
    program: PathBuf,
    times: Vec<Duration>,
}

/// Enrolls the card that `mock-card exec` has put there, and measures.
///
/// # Errors
/// A provider that gives no token.
pub(crate) fn on_card() -> Outcome {
    let home = std::env::temp_dir().join(format!("yk-cargo-bench-{}", std::process::id()));
    let outcome = measure(&home);
    let _ = fs::remove_dir_all(&home);
    outcome
}

fn measure(home: &Path) -> Outcome {
    let ours = workspace_release()?.join("yk-cargo");
    let public = enroll(&ours, home)?;
    let peers = root().join(PEERS).join("release");
    let contender = |name, program| Contender { name, program, times: Vec::new() };
    let mut contenders = [
        contender("a provider that does nothing", peers.join("null-provider")),
        contender("yk-cargo", ours),
        contender("through the yubikey crate", peers.join("yubikey-crate-provider")),
    ];
    headline(format_args!("One read token, from spawn to answer, {ROUNDS} times in turns"));
    say(
        "   yk-cargo: reads its enrollments, finds the reader; in one transaction SELECT, GET SERIAL, GENERAL AUTHENTICATE",
    );
    say(
        "   the peer: told card, slot and key; lists the readers, asks the card for version and number, signs",
    );
    say(
        "   both verify the signature before they answer: yk-cargo with AWS-LC, the peer with the p384 crate",
    );
    for round in 0..UNCOUNTED + ROUNDS {
        for contender in &mut contenders {
            let time = answer_time(&contender.program, home, &public)?;
            if round >= UNCOUNTED {
                contender.times.push(time);
            }
        }
    }
    let medians = contenders.map(report);
    let [null, ours, peer] = medians.map(|median| median.as_secs_f64() * 1e3);
    say(format_args!(
        "yk-cargo takes {:.1} ms more than nothing; the peer takes {:.1} times as long",
        ours - null,
        peer / ours
    ));
    Ok(())
}

fn report(mut contender: Contender) -> Duration {
    contender.times.sort();
    let at = |part: usize| contender.times[(contender.times.len() - 1) * part / 100];
    let [best, median, slow] = [0, 50, 90].map(|part| at(part).as_secs_f64() * 1e3);
    say(format_args!(
        "   {median:>7.2} ms  (best {best:.2}, nine of ten within {slow:.2})  {}",
        contender.name
    ));
    at(50)
}

/// The public key of the read key, which is the first in the file.
fn enroll(ours: &Path, home: &Path) -> Outcome<String> {
    let mut enroll = Command::new(ours);
    enroll
        .args(["enroll", INDEX, "--yes"])
        .env("CARGO_HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let output = enroll.output().map_err(|error| Failure::new(format!("cannot start yk-cargo: {error}")))?;
    let file = fs::read_to_string(home.join("yk-cargo/enrollments.toml")).unwrap_or_default();
    let key = file.lines().find_map(|line| line.trim().strip_prefix("public = \"")?.strip_suffix('"'));
    key.map(str::to_owned).ok_or_else(|| {
        Failure::new(format!("yk-cargo did not enroll: {}", String::from_utf8_lossy(&output.stderr)))
    })
}

fn answer_time(program: &Path, home: &Path, public: &str) -> Outcome<Duration> {
    let failed = |error| Failure::new(format!("{}: {error}", program.display()));
    let request =
        format!(r#"{{"v":1,"registry":{{"index-url":"{INDEX}"}},"kind":"get","operation":"read"}}"#);
    let started = Instant::now();
    let mut child = Command::new(program)
        .arg("--cargo-plugin")
        .env("CARGO_HOME", home)
        .env("PEER_SERIAL", SERIAL)
        .env("PEER_INDEX", INDEX)
        .env("PEER_PUBLIC", public)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Failure::new("a pipe is missing"));
    };
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    stdout.read_line(&mut line).map_err(failed)?;
    writeln!(stdin, "{request}").map_err(failed)?;
    line.clear();
    stdout.read_line(&mut line).map_err(failed)?;
    let time = started.elapsed();
    drop(stdin);
    child.wait().map_err(failed)?;
    if line.contains("\"Ok\"") {
        Ok(time)
    } else {
        Err(Failure::new(format!("{}: {line}", program.display())))
    }
}
