//! Proofs of registries that give none: where consumers look for them, and where they do not.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asymmetric_token::Checksum;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use yk_cargo::index_url::CRATES_IO;

use crate::certificates::for_names;
use crate::lock_registry::{ALICE, FILE, Locked, MALLORY, entry, verdicts};
use crate::loopback::{self, Reply};
use crate::world::Run;

const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

impl Locked {
    /// The lock file has this version of crates.io's.
    fn locks_crates_io(&self, version: &str, checksum: Checksum) {
        self.writes_lock(&entry("alpha", version, SOURCE, &checksum.to_string()));
    }

    /// `[[proofs]]` for crates.io at a path of the registry's server.
    fn place(&self, path: &str) -> String {
        format!("[[proofs]]\nindex = \"{CRATES_IO}\"\nurl = \"{}{path}\"\n", self.base())
    }

    /// The URL of the registry's server.
    fn base(&self) -> &str {
        self.index.strip_prefix("sparse+").unwrap().strip_suffix("/index/").unwrap()
    }

    /// A version of a crate whose manifest says where its proofs are, as cargo packages it and has it in its cache.
    fn caches(&self, url: &str) -> Checksum {
        let computer = &self.computer;
        let more = format!("[package.metadata.proofs]\nurl = \"{url}\"\n");
        let package = computer.package("alpha", "0.1.0", &more);
        let arguments = ["package", "--no-verify", "--allow-dirty", "--offline"];
        computer.cargo(&package, arguments).succeeds();
        fs::remove_dir_all(package).unwrap();
        let file = computer.path("target/package/alpha-0.1.0.crate");
        let cache = computer.path("home/registry/cache/index.crates.io-0123456789abcdef");
        fs::create_dir_all(&cache).unwrap();
        fs::copy(&file, cache.join("alpha-0.1.0.crate")).unwrap();
        let checksum = Checksum(Sha256::digest(fs::read(file).unwrap()).into());
        self.locks_crates_io("0.1.0", checksum);
        checksum
    }
}

#[test]
fn the_persons_own_places_come_first() {
    let locked = Locked::new();
    locked.locks_crates_io("1.0.0+b", FILE);
    locked.is(0, "not looked for", "crates.io gives no proofs");
    locked.trusts(&locked.place("/p/{crate}/{version}.json"));
    locked.is(0, "not looked for", "crates.io gives no proofs");
    assert_eq!(locked.asked(), ["/p/alpha/1.0.0%2Bb.json"]);
    let at = |proof: Value| locked.serves("/p/alpha/1.0.0%2Bb.json", "200 OK", proof.to_string());
    at(ALICE.proof(CRATES_IO, "alpha", "1.0.0+b"));
    locked.is(
        10,
        "new signer",
        "not in your list yet; there anybody can sign anybody's crate, so this says nothing about its author",
    );
    // A proof that names somebody is no registry's word.
    let mut named = ALICE.proof(CRATES_IO, "alpha", "1.0.0+b");
    named["log"] = Value::Null;
    at(named);
    let outcome = locked.verify(&["--remember"]).ends();
    let found = format!("for alpha of crates.io, by the proof at {}/p/alpha/1.0.0%2Bb.json\n", locked.base());
    outcome.says(&[
        &found,
        "no registry says whose key",
        "at crates.io not even the registry says whose key it is",
    ]);
    outcome.says(&["there is no terminal to ask on"]);
    assert!(!outcome.stderr.contains("the registry says whose keys"), "{outcome:#?}");
    let (code, found) = locked.verdicts(&["--remember", "--yes"]);
    assert_eq!((code, found[0].0.as_str()), (0, "trusted"), "{found:?}");
    // It is kept, and the person's list decides.
    locked.asked();
    let (code, found) = locked.verdicts(&["--offline"]);
    assert_eq!((code, found[0].0.as_str()), (0, "trusted"), "{found:?}");
    assert_eq!(locked.asked(), [""; 0]);
    fs::remove_dir_all(locked.computer.path("home/yk-cargo/proofs")).unwrap();
    at(MALLORY.proof(CRATES_IO, "alpha", "1.0.0+b"));
    locked.is(15, "changed signer", "trusted for this crate is");
    for (proof, text) in [
        (ALICE.proof(CRATES_IO, "alpha", "1.0.1"), "the proof is for alpha 1.0.1"),
        (ALICE.proof(&locked.index, "alpha", "1.0.0+b"), "the proof is for alpha 1.0.0+b of sparse+"),
        (ALICE.proof_of(CRATES_IO, "alpha", "1.0.0+b", Checksum([1; 32])), "a file with the checksum 0101"),
    ] {
        at(proof);
        locked.is(16, "bad", text);
    }
}

/// What a host does not serve is missing, and nothing else.
#[test]
fn a_dead_host_breaks_only_what_it_served() {
    let locked = Locked::new();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = dead.local_addr().unwrap().port();
    drop(dead);
    let place = |index: &str| {
        format!("[[proofs]]\nindex = \"{index}\"\nurl = \"http://127.0.0.1:{port}/{{crate}}/{{version}}\"\n")
    };
    locked.trusts(&place(CRATES_IO));
    locked.published(ALICE, "beta", "0.1.0");
    let beta = entry("beta", "0.1.0", &locked.index, &FILE.to_string());
    let crates: String =
        (0..6).map(|number| entry(&format!("p{number}"), "0.1.0", SOURCE, &FILE.to_string())).collect();
    locked.writes_lock(&(beta + &crates));
    let (code, found) = locked.verdicts(&[]);
    assert_eq!(code, 13);
    assert_eq!(found[0].0, "new signer", "{found:?}");
    let unreachable = format!("cannot reach http://127.0.0.1:{port}/");
    for (verdict, text) in &found[1..] {
        assert_eq!(verdict, "withheld or unreachable");
        assert!(text.contains(&unreachable) || text.contains("127.0.0.1 did not answer"), "{text}");
    }
    // Another place of the same host is another place.
    locked.writes_lock(&crates);
    locked.trusts(&(place(CRATES_IO) + &locked.place("/")));
    for number in 0..6 {
        let name = format!("p{number}");
        let proof = ALICE.proof(CRATES_IO, &name, "0.1.0").to_string();
        locked.serves(&format!("/{name}-0.1.0.json"), "200 OK", proof);
    }
    let (code, found) = locked.verdicts(&[]);
    assert_eq!((code, found.len()), (10, 6), "{found:?}");
    // A second place has it.
    locked.locks_crates_io("0.1.0", FILE);
    locked.trusts(&(place(CRATES_IO) + &locked.place("/")));
    locked.serves("/alpha-0.1.0.json", "200 OK", ALICE.proof(CRATES_IO, "alpha", "0.1.0").to_string());
    locked.is(10, "new signer", "");
    // A registry that has an API and gives no proofs.
    locked.locks(&[("gamma", "0.1.0")]);
    locked.is(11, "unsigned", "");
    locked.trusts(&locked.place("/").replace(CRATES_IO, &locked.index));
    locked.serves("/gamma-0.1.0.json", "200 OK", ALICE.proof(&locked.index, "gamma", "0.1.0").to_string());
    locked.is(10, "new signer", "anybody can sign anybody's crate");
}

/// Manifests and projects' lists are strangers': they have nobody ask this computer, or the network around it.
#[test]
fn a_stranger_has_nothing_asked_that_is_not_public() {
    let locked = Locked::new();
    let base = locked.base().to_owned();
    let port = base.rsplit(':').next().unwrap().to_owned();
    for (url, text) in [
        (format!("{base}/"), "is not asked, because it is not simply https"),
        (format!("https://127.0.0.1:{port}/"), "leads to an address that is not public"),
        (format!("https://localhost:{port}/"), "leads to an address that is not public"),
        (format!("https://[::1]:{port}/"), "leads to an address that is not public"),
        ("https://169.254.169.254/latest/".to_owned(), "leads to an address that is not public"),
        ("https://10.0.0.1/".to_owned(), "leads to an address that is not public"),
        ("file:///etc/passwd/{version}".to_owned(), "is not simply https"),
        ("https://me:secret@example.org/".to_owned(), "is not simply https"),
        (
            "https://p.example/always-the-same".to_owned(),
            "the place for proofs in its manifest has no `{version}`",
        ),
    ] {
        locked.caches(&url);
        locked.is(13, "withheld or unreachable", text);
        // The same in a project's list.
        if !url.ends_with("same") {
            locked.locks_crates_io("0.2.0", FILE);
            locked.project_trusts(&format!("[[proofs]]\nindex = \"{CRATES_IO}\"\nurl = \"{url}\"\n"));
            locked.is(13, "withheld or unreachable", text);
            fs::remove_file(locked.computer.path("work/signers.toml")).unwrap();
        }
    }
    assert_eq!(locked.asked(), [""; 0]);
    locked.caches("https://p.example/");
    let outcome = locked.verify(&["--json"]).env("HTTPS_PROXY", &base).ends();
    let (code, found) = verdicts(&outcome);
    assert_eq!(code, 13);
    assert!(found[0].1.contains("because a proxy is set"), "{found:?}");
    assert_eq!(locked.asked(), [""; 0]);
    // Nobody is asked about a file that is another one than the lock file's, nor offline.
    let (code, found) = locked.verdicts(&["--offline"]);
    assert_eq!((code, found[0].0.as_str()), (0, "not looked for"));
    locked.locks_crates_io("0.1.0", FILE);
    locked.is(0, "not looked for", "crates.io gives no proofs");
    // A list cannot have another host asked for each crate, which would be silent each by itself.
    locked.caches("https://{crate}.p.example/");
    locked.is(13, "withheld or unreachable", "manifest has `{crate}` or `{version}` in the name of its host");
    locked.project_trusts(&locked.place("/").replace(locked.base(), "https://{version}.p.example"));
    locked.verify(&[]).fails().says(&["has `{crate}` or `{version}` in the name of its host"]);
    // Nor everything everywhere.
    locked.project_trusts(&locked.place("/").repeat(17));
    locked.verify(&[]).fails().says(&["`[[proofs]]` stands there more than 16 times"]);
}

/// Within a network of the test's own, in which names and public addresses lead where it says.
#[test]
fn a_manifest_leads_into_public_and_nowhere_else() {
    const PUBLIC: &str = "93.184.216.34";
    const HOSTS: &str = "93.184.216.34 proofs.example release.example\n127.0.0.1 localhost inside.example\n";
    if !is_inside("elsewhere::a_manifest_leads_into_public_and_nowhere_else", HOSTS) {
        return;
    }
    let names = ["proofs.example", "release.example", "inside.example", "127.0.0.1"];
    let (certificates, tls) = for_names(&names);
    let trap = TcpListener::bind("127.0.0.1:443").unwrap();
    trap.set_nonblocking(true).unwrap();
    let proof = Arc::new(Mutex::new(String::new()));
    let served = Arc::clone(&proof);
    loopback::serve(TcpListener::bind((PUBLIC, 443)).unwrap(), Some(tls), move |request| {
        let to = |to: &str| Reply::new("302 Found", "").with("Location", to.to_owned());
        match request.path.split('/').nth(1).unwrap() {
            "good" => to("https://release.example/file"),
            "file" => Reply::new("200 OK", served.lock().unwrap().clone()),
            "loopback" => to("https://127.0.0.1/file"),
            "name" => to("https://inside.example/file"),
            "plain" => to("http://release.example/file"),
            "folder" => to("file:///etc/passwd"),
            "round" => to(&request.path),
            "long" => Reply::new("200 OK", vec![b' '; 1 << 20]),
            "slow" => {
                std::thread::sleep(Duration::from_secs(60));
                Reply::new("200 OK", "")
            }
            _ => Reply::new("404 Not Found", ""),
        }
    });
    let locked = Locked::new();
    let file = locked.computer.write("ca.pem", &certificates);
    let with = |run: Run| run.env("CARGO_HTTP_CAINFO", &file);
    let is = |path: &str, code: i32, verdict: &str, says: &str| {
        let checksum = locked.caches(&format!("https://{path}/{{version}}.json"));
        *proof.lock().unwrap() = ALICE.proof_of(CRATES_IO, "alpha", "0.1.0", checksum).to_string();
        let (found, verdicts) = verdicts(&with(locked.verify(&["--json"])).ends());
        assert_eq!((found, verdicts[0].0.as_str()), (code, verdict), "{path}: {}", verdicts[0].1);
        assert!(verdicts[0].1.contains(says), "{path}: {}", verdicts[0].1);
    };
    is("proofs.example/good", 10, "new signer", "this says nothing about its author");
    fs::remove_dir_all(locked.computer.path("home/yk-cargo/proofs")).unwrap();
    let withheld = "withheld or unreachable";
    is(
        "proofs.example/none",
        13,
        withheld,
        "says that its proof is at https://proofs.example/none/0.1.0.json, but there is none",
    );
    is("proofs.example/loopback", 13, withheld, "https://127.0.0.1/file is not asked");
    is(
        "proofs.example/name",
        13,
        withheld,
        "https://inside.example/file is not asked, because it leads to an address that is not public",
    );
    is("inside.example/file", 13, withheld, "leads to an address that is not public");
    is(
        "proofs.example/plain",
        13,
        withheld,
        "http://release.example/file is not asked, because it is not simply https",
    );
    is("proofs.example/folder", 13, withheld, "file:///etc/passwd is not asked");
    is("proofs.example/round", 13, withheld, "too many redirects");
    is("proofs.example/long", 13, withheld, "sent a longer answer than");
    is("proofs.example/slow", 13, withheld, "gave no answer within 10 seconds");
    is("nobody.example/file", 13, withheld, "cannot reach https://nobody.example/file/0.1.0.json");
    assert!(trap.accept().is_err(), "nobody came to this computer");
    assert_eq!(locked.asked(), [""; 0]);
}

/// Whoever has written the project can sign any crate, and have their proof found.
#[test]
fn a_strangers_place_puts_no_key_into_the_list() {
    const HOSTS: &str = "93.184.216.34 proofs.example\n127.0.0.1 localhost\n";
    if !is_inside("elsewhere::a_strangers_place_puts_no_key_into_the_list", HOSTS) {
        return;
    }
    let (certificates, tls) = for_names(&["proofs.example"]);
    let proof = Arc::new(Mutex::new(MALLORY.proof(CRATES_IO, "alpha", "1.0.0").to_string()));
    let served = Arc::clone(&proof);
    loopback::serve(TcpListener::bind("93.184.216.34:443").unwrap(), Some(tls), move |_| {
        Reply::new("200 OK", served.lock().unwrap().clone())
    });
    let locked = Locked::new();
    let file = locked.computer.write("ca.pem", &certificates);
    let remembers = |answers: &[&str]| {
        let run = locked.verify(&[&["--remember"], answers].concat());
        run.env("CARGO_HTTP_CAINFO", &file).ends()
    };
    let place = locked.place("/").replace(locked.base(), "https://proofs.example");
    let not_recorded = "a key is not recorded if only the project or the crate says where its proof is";
    locked.locks_crates_io("1.0.0", FILE);
    locked.project_trusts(&place);
    let outcome = remembers(&["--yes"]);
    assert_eq!(outcome.says(&[not_recorded]).status.code(), Some(10), "{outcome:#?}");
    assert!(!locked.list().exists());
    // Nor where the same file is kept beside the project's.
    locked.project_trusts("");
    assert_eq!(remembers(&["--yes", "--proofs", "../home/yk-cargo/proofs"]).status.code(), Some(10));
    // Nor where the crate itself says it.
    let checksum = locked.caches("https://proofs.example/{version}");
    *proof.lock().unwrap() = MALLORY.proof_of(CRATES_IO, "alpha", "0.1.0", checksum).to_string();
    let outcome = remembers(&["--yes"]);
    assert_eq!(outcome.says(&[not_recorded]).status.code(), Some(10), "{outcome:#?}");
    assert!(!locked.list().exists());
    // The person can name the place themselves.
    locked.trusts(&place);
    let outcome = remembers(&["--yes"]);
    let found = "for alpha of crates.io, by the proof at https://proofs.example/alpha-0.1.0.json";
    assert_eq!(outcome.says(&[found]).status.code(), Some(0), "{outcome:#?}");
    assert!(fs::read_to_string(locked.list()).unwrap().contains(&MALLORY.public().to_string()));
}

/// Runs a test again in a network namespace of its own, as its root; whether this is that run. Where the system lets nobody have one,
/// the unit tests of `registry::small_file` have to do.
fn is_inside(test: &str, hosts: &str) -> bool {
    if std::env::var_os("YKC_INSIDE").is_some() {
        return true;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "--mount"]);
        command
    };
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        return false;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), hosts).unwrap();
    let script = "mount --bind \"$2\" /etc/hosts && ip link set lo up && ip address add 93.184.216.34/32 dev lo && exec \"$0\" --exact \"$1\" --nocapture";
    let program = std::env::current_exe().unwrap();
    let status = unshare()
        .args(["sh", "-c", script])
        .arg(program)
        .arg(test)
        .arg(file.path())
        .env("YKC_INSIDE", "1")
        .status()
        .unwrap();
    assert!(status.success());
    false
}
