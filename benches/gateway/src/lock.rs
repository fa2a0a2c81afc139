//! `yk-cargo verify --lock`: 400 packages, of which 200 are of a registry that has signed proofs of them, in its log. Beside it a plain
//! download of the same proofs over as many connections, without a look at them.
//!
//! Cold, nothing is kept: configuration, proofs, checkpoint and tiles are asked for. Warm, all that is asked for is configuration and
//! checkpoint, and what is kept is verified.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use asymmetric_token::Claims;
use jiff::Timestamp;

use crate::front::{Front, folder, remove, verdict};
use crate::package::Package;
use crate::publish::put;

const SIGNED: usize = 200;
const UNPACKED: usize = 1 << 10;
const ROUNDS: usize = 11;
/// As many as `yk-cargo` has.
const CONNECTIONS: usize = 8;
/// Seconds that it may take.
const AIMS: [(&str, f64); 2] = [("cold", 3.0), ("warm", 0.3)];

/// Prints the table.
pub(crate) fn measure(program: &Path) {
    let registry = Front::with_an_open_store();
    let packages: Vec<_> =
        (0..SIGNED).map(|n| Package::new(&format!("lock{n}"), "1.0.0", UNPACKED)).collect();
    for package in &packages {
        let token = registry.token(&Claims::mutate(Timestamp::now(), package.mutation()));
        put(registry.address(), &token, &package.body(), None);
    }
    let proofs: Vec<_> =
        packages.iter().map(|package| format!("/api/v1/crates/{}/1.0.0/proof", package.name)).collect();
    let person = Person::new(program, &registry, &packages);
    // The log has a second to sign its newest entries.
    person.verifies();
    let (mut cold, mut warm, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        plain.push(download(registry.address(), &proofs));
        person.forgets();
        cold.push(person.verifies());
        warm.push(person.verifies());
    }
    println!(
        "`yk-cargo verify --lock`: 400 packages, {SIGNED} signed, in a log ({ROUNDS} rounds in turns, medians)"
    );
    println!("   {:>7.0} ms  a plain download of the {SIGNED} proofs", median(plain) * 1e3);
    for ((name, aim), times) in AIMS.into_iter().zip([cold, warm]) {
        let time = median(times);
        println!(
            "   {:>7.0} ms  {name} (aim: {:.0} ms at most){}",
            time * 1e3,
            aim * 1e3,
            verdict(time <= aim)
        );
    }
    println!();
}

/// Somebody who depends on all of it, trusts Alice and knows the log's key.
struct Person {
    program: PathBuf,
    folder: PathBuf,
}

impl Person {
    fn new(program: &Path, registry: &Front, packages: &[Package]) -> Self {
        let folder = folder("lock");
        let index = registry.index_url();
        let (_, key) = get(&mut connection(registry.address()), "/log/key");
        let key = String::from_utf8(key).expect("a key");
        let list = format!(
            "version = 2\n[[key]]\nname = \"alice\"\npublic = \"{}\"\n\
             [[signer]]\nindex = \"{index}\"\ncrate = \"*\"\nsigners = [\"alice\"]\n\
             [[log]]\nindex = \"{index}\"\nvkey = \"{}\"\n",
            registry.public(),
            key.trim_end()
        );
        let crates_io = "registry+https://github.com/rust-lang/crates.io-index";
        let entry = |package: &Package, source: &str| {
            let (name, checksum) = (&package.name, package.checksum());
            format!(
                "[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"{source}\"\nchecksum = \"{checksum}\"\n\n"
            )
        };
        let lock: String =
            packages.iter().flat_map(|package| [entry(package, index), entry(package, crates_io)]).collect();
        fs::create_dir_all(folder.join("yk-cargo")).expect("a folder");
        for (file, text) in [
            ("config.toml", format!("[registries.bench]\nindex = \"{index}\"\n")),
            ("yk-cargo/signers.toml", list),
            ("Cargo.lock", format!("version = 4\n\n{lock}")),
        ] {
            fs::write(folder.join(file), text).expect("a file");
        }
        Self { program: program.to_owned(), folder }
    }

    /// From the start of the program to its end.
    fn verifies(&self) -> f64 {
        let started = Instant::now();
        let verify = Command::new(&self.program)
            .args(["verify", "--lock"])
            .env("CARGO_HOME", &self.folder)
            .current_dir(&self.folder)
            .stdout(Stdio::piped())
            .output()
            .expect("the program");
        let took = started.elapsed();
        let said = String::from_utf8_lossy(&verify.stdout);
        assert!(verify.status.success() && said.contains(": 200 trusted; 200 not looked for"), "{verify:#?}");
        took.as_secs_f64()
    }

    fn forgets(&self) {
        for kept in ["proofs", "log"] {
            fs::remove_dir_all(self.folder.join("yk-cargo").join(kept)).expect("it was there");
        }
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// Fetches all of these.
fn download(address: SocketAddr, paths: &[String]) -> f64 {
    let started = Instant::now();
    thread::scope(|scope| {
        for some in paths.chunks(paths.len().div_ceil(CONNECTIONS)) {
            scope.spawn(move || {
                let mut connection = connection(address);
                for path in some {
                    let (status, body) = get(&mut connection, path);
                    assert!(status == "200" && !body.is_empty(), "{path}");
                }
            });
        }
    });
    started.elapsed().as_secs_f64()
}

fn connection(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    BufReader::new(stream)
}

/// Status and body.
fn get(connection: &mut BufReader<TcpStream>, path: &str) -> (String, Vec<u8>) {
    write!(connection.get_mut(), "GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").expect("sent");
    let (mut status, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).expect("an answer");
        if line == "\r\n" {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(bytes) = lower.strip_prefix("content-length:") {
            length = bytes.trim().parse().expect("a length");
        } else if status.is_empty() {
            status = line.split(' ').nth(1).unwrap_or_default().to_owned();
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).expect("a body");
    (status, body)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
