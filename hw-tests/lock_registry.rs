//! A registry on loopback that says of each version what a test has it say, a person who has it in their configuration, and a
//! project with a lock file. Keys are in software, and nothing is ever downloaded.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use asymmetric_token::{Checksum, Claims, Footer, Mutation, Prepared, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use yk_cargo::trust::statement;

use crate::loopback::{self, Reply};
use crate::test_log::{TestLog, TestWitness};
use crate::world::{Computer, Outcome, Reads, Run};

/// The checksum that every lock file here names.
pub(crate) const FILE: Checksum = Checksum([0xab; 32]);

/// Somebody who signs.
#[derive(Clone, Copy)]
pub(crate) struct Somebody(pub(crate) u8);

pub(crate) const ALICE: Somebody = Somebody(1);
pub(crate) const MALLORY: Somebody = Somebody(2);

impl Somebody {
    fn key(self) -> SigningKey {
        SigningKey::from_slice(&[self.0; 48]).unwrap()
    }

    pub(crate) fn public(self) -> PublicKey {
        PublicKey::from_sec1(self.key().verifying_key().to_sec1_point(true).as_bytes()).unwrap()
    }

    /// A proof of a version with the file that every lock file names.
    pub(crate) fn proof(self, index: &str, name: &str, version: &str) -> Value {
        self.proof_of(index, name, version, FILE)
    }

    /// The same, with another file.
    pub(crate) fn proof_of(self, index: &str, name: &str, version: &str, checksum: Checksum) -> Value {
        let mutation =
            Mutation::Publish { name: name.parse().unwrap(), version: version.parse().unwrap(), checksum };
        let claims = Claims::mutate(Timestamp::UNIX_EPOCH, mutation);
        let footer = Footer::new(index, self.public().id());
        let prepared = Prepared::new(&self.public(), &claims, &footer).unwrap();
        let signature: Signature = self.key().sign_prehash(prepared.digest()).unwrap();
        json!({
            "version": 2, "index": index, "name": name, "vers": version, "cksum": checksum.to_string(),
            "token": prepared.finish(&signature.to_bytes().into()).unwrap(), "public": self.public().to_string(),
            "role": "publish", "attestation": null, "log": null,
        })
    }

    /// `[[key]]`.
    pub(crate) fn entry(self, name: &str) -> String {
        format!("[[key]]\nname = \"{name}\"\npublic = \"{}\"\n", self.public())
    }

    /// `[[rotation]]` to somebody else's key, signed by these two.
    pub(crate) fn gives_way(self, to: Somebody, signers: [Somebody; 2], index: &str, name: &str) -> String {
        let (from, to) = (self.public(), to.public());
        let signed = statement(index, name, &from, &to);
        let signature = |somebody: Somebody| {
            let signature: Signature = somebody.key().sign(&signed);
            URL_SAFE_NO_PAD.encode(signature.to_bytes())
        };
        let statement = signers.map(signature).join(".");
        format!(
            "[[rotation]]\nindex = \"{index}\"\ncrate = \"{name}\"\nfrom = \"{from}\"\nto = \"{to}\"\n\
             statement = \"{statement}\"\n"
        )
    }
}

/// The registry `r` of a person's own configuration, and a project.
pub(crate) struct Locked {
    pub(crate) computer: Computer,
    pub(crate) index: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    replies: BTreeMap<String, (&'static str, Vec<u8>)>,
    log: Option<(TestLog, Vec<TestWitness>)>,
    asked: Vec<String>,
    /// What happens when it is asked for a path, once.
    then: BTreeMap<String, Box<dyn FnOnce() + Send>>,
}

impl Locked {
    pub(crate) fn new() -> Self {
        Self::with_api(|base| Some(base.to_owned()))
    }

    /// The registry, which is at a URL, says that its API is there.
    pub(crate) fn with_api(api: impl FnOnce(&str) -> Option<String>) -> Self {
        let (listener, base) = loopback::bind(false);
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let config = json!({ "dl": format!("{base}/dl"), "api": api(&base) });
        loopback::serve(listener, None, move |request| {
            let mut state = shared.lock().unwrap();
            state.asked.push(request.path.clone());
            if let Some(deed) = state.then.remove(&request.path) {
                deed();
            }
            let reply = state.replies.get(&request.path);
            let of_log = || {
                let (log, witnesses) = state.log.as_ref()?;
                log.answer(&request.path, &witnesses.iter().collect::<Vec<_>>())
            };
            match reply {
                Some((status, body)) => Reply::new(status, body.clone()),
                None if request.path.starts_with("/log/") => match of_log() {
                    Some(body) => Reply::new("200 OK", body),
                    None => Reply::new("404 Not Found", ""),
                },
                None if request.path == "/index/config.json" => Reply::new("200 OK", config.to_string()),
                None => Reply::new("404 Not Found", ""),
            }
        });
        let computer = Computer::new(Reads::Open, Vec::new());
        let index = format!("sparse+{base}/index/");
        computer.write("home/config.toml", &format!("[registries.r]\nindex = \"{index}\"\n"));
        Self { computer, index, state }
    }

    /// What the registry answers when it is asked for the proof of a version.
    pub(crate) fn answers(&self, name: &str, version: &str, status: &'static str, body: impl Into<Vec<u8>>) {
        self.serves(&format!("/api/v1/crates/{name}/{version}/proof"), status, body);
    }

    /// What it answers when it is asked for a path.
    pub(crate) fn serves(&self, path: &str, status: &'static str, body: impl Into<Vec<u8>>) {
        self.state.lock().unwrap().replies.insert(path.to_owned(), (status, body.into()));
    }

    /// Has something happen when it is asked for a path the next time, before it answers.
    pub(crate) fn when_asked(&self, path: &str, deed: impl FnOnce() + Send + 'static) {
        self.state.lock().unwrap().then.insert(path.to_owned(), Box::new(deed));
    }

    /// The registry says what is so at a path again.
    pub(crate) fn is_honest_about(&self, path: &str) {
        self.state.lock().unwrap().replies.remove(path);
    }

    /// The registry shows this log from now on, as these witnesses have seen it.
    pub(crate) fn shows(&self, log: TestLog, witnesses: Vec<TestWitness>) {
        self.state.lock().unwrap().log = Some((log, witnesses));
    }

    /// Has something done with the log.
    pub(crate) fn log<T>(&self, deed: impl FnOnce(&mut TestLog) -> T) -> T {
        deed(&mut self.state.lock().unwrap().log.as_mut().unwrap().0)
    }

    /// Somebody has published a version, and the log has it.
    pub(crate) fn logged(&self, by: Somebody, name: &str, version: &str) -> Value {
        let mut proof = by.proof(&self.index, name, version);
        self.log(|log| log.publishes(&mut proof));
        self.answers(name, version, "200 OK", proof.to_string());
        proof
    }

    /// Somebody has published a version.
    pub(crate) fn published(&self, by: Somebody, name: &str, version: &str) {
        self.answers(name, version, "200 OK", by.proof(&self.index, name, version).to_string());
    }

    /// What it was asked since this was asked last.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }

    /// Of the versions that the lock file has, all from this registry.
    pub(crate) fn locks(&self, packages: &[(&str, &str)]) {
        let entries =
            packages.iter().map(|(name, version)| entry(name, version, &self.index, &FILE.to_string()));
        self.writes_lock(&entries.collect::<String>());
    }

    pub(crate) fn writes_lock(&self, entries: &str) {
        self.computer.write("work/Cargo.lock", &format!("version = 4\n\n{entries}"));
    }

    /// The person's own list: keys, entries and rotations, in which `INDEX` is this registry's.
    pub(crate) fn trusts(&self, list: &str) {
        let list = format!("version = 2\n{}", list.replace("INDEX", &self.index));
        let folder = self.computer.path("home/yk-cargo");
        fs::create_dir_all(folder).unwrap();
        fs::write(self.list(), list).unwrap();
    }

    /// The same for the project's.
    pub(crate) fn project_trusts(&self, list: &str) {
        let list = format!("version = 2\n{}", list.replace("INDEX", &self.index));
        self.computer.write("work/signers.toml", &list);
    }

    pub(crate) fn list(&self) -> PathBuf {
        self.computer.path("home/yk-cargo/signers.toml")
    }

    pub(crate) fn verify(&self, more: &[&str]) -> Run {
        self.computer.yk_cargo([&["verify", "--lock"], more].concat())
    }

    /// The exit code, and of each package the verdict and the sentence.
    #[track_caller]
    pub(crate) fn verdicts(&self, more: &[&str]) -> (i32, Vec<(String, String)>) {
        let outcome = self.verify(&[&["--json"], more].concat()).ends();
        verdicts(&outcome)
    }

    /// The exit code and the verdict of the only package, which says this.
    #[track_caller]
    pub(crate) fn is(&self, code: i32, verdict: &str, says: &str) {
        let (found, verdicts) = self.verdicts(&[]);
        let [(word, text)] = &verdicts[..] else { panic!("{verdicts:?}") };
        assert_eq!((found, word.as_str()), (code, verdict), "{text}");
        assert!(text.contains(says), "{text}");
    }
}

#[track_caller]
pub(crate) fn verdicts(outcome: &Outcome) -> (i32, Vec<(String, String)>) {
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:#?}"));
    let code = outcome.status.code().unwrap();
    assert_eq!(
        (report["exit-code"].clone(), report["ok"].clone()),
        (json!(code), json!(code == 0)),
        "{report}"
    );
    let text = |package: &Value, field: &str| package[field].as_str().unwrap().to_owned();
    let packages = report["packages"].as_array().unwrap().iter();
    (code, packages.map(|package| (text(package, "verdict"), text(package, "text"))).collect())
}

/// A package of a lock file, as cargo writes it.
pub(crate) fn entry(name: &str, version: &str, index: &str, checksum: &str) -> String {
    format!(
        "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{index}\"\nchecksum = \"{checksum}\"\n\n"
    )
}
