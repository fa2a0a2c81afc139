//! `verify --lock --deep`: what the index says beside what the signed files say.

use std::fs;

use asymmetric_token::Checksum;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::lock_registry::{ALICE, Locked, entry};

const OF_ALICE: &str = "[[signer]]\nindex = \"INDEX\"\ncrate = \"alpha\"\nsigners = [\"alice\"]\n";

const FILE: &str = "/dl/alpha/0.1.0/download";

const IN_INDEX: &str = "/index/al/ph/alpha";

/// A registry with a file that alice has signed, as cargo has packaged it, which a lock file names.
struct Signed {
    locked: Locked,
    file: Vec<u8>,
}

impl Signed {
    fn new() -> Self {
        let locked = Locked::new();
        let package = locked.computer.package("alpha", "0.1.0", "[features]\nf = []\n");
        locked.computer.cargo(&package, ["package", "--no-verify", "--allow-dirty"]).succeeds();
        let file = fs::read(locked.computer.path("target/package/alpha-0.1.0.crate")).unwrap();
        let signed = Self { locked, file };
        let checksum = signed.checksum();
        let proof = ALICE.proof_of(&signed.locked.index, "alpha", "0.1.0", checksum);
        signed.locked.answers("alpha", "0.1.0", "200 OK", proof.to_string());
        let index = &signed.locked.index;
        signed.locked.writes_lock(&entry("alpha", "0.1.0", index, &checksum.to_string()));
        signed.locked.trusts(&(ALICE.entry("alice") + OF_ALICE));
        signed.serves(&signed.file);
        signed.has_in_index(|_| {});
        signed
    }

    fn checksum(&self) -> Checksum {
        Checksum(Sha256::digest(&self.file).into())
    }

    fn serves(&self, file: &[u8]) {
        self.locked.serves(FILE, "200 OK", file);
    }

    /// The index's line, with a change.
    fn has_in_index(&self, change: impl FnOnce(&mut Value)) {
        let mut line = json!({
            "name": "alpha", "vers": "0.1.0", "deps": [], "cksum": self.checksum().to_string(),
            "features": { "f": [] }, "yanked": false,
        });
        change(&mut line);
        self.locked.serves(IN_INDEX, "200 OK", line.to_string() + "\n");
    }

    /// The exit code, the verdict and the sentence.
    #[track_caller]
    fn is(&self, more: &[&str], code: i32, verdict: &str, says: &str) {
        let (found, verdicts) = self.locked.verdicts(more);
        let [(word, text)] = &verdicts[..] else { panic!("{verdicts:?}") };
        assert_eq!((found, word.as_str()), (code, verdict), "{text}");
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn a_dependency_that_only_the_index_has_is_found_with_deep_alone() {
    let signed = Signed::new();
    signed.is(&["--deep"], 0, "trusted", "signed by alice; the index says what the file says");
    let asked = signed.locked.asked();
    assert!(asked.iter().any(|path| path == FILE) && asked.iter().any(|path| path == IN_INDEX), "{asked:?}");
    signed.has_in_index(|line| line["yanked"] = true.into());
    signed.is(&["--deep"], 0, "trusted", "and that it is yanked");
    signed.has_in_index(|line| {
        line["deps"] = json!([{
            "name": "evil", "req": "^1", "features": [], "optional": false, "default_features": true,
            "target": null, "kind": "normal", "registry": null, "package": null,
        }]);
    });
    signed.locked.asked();
    signed.is(&[], 0, "trusted", "signed by alice");
    let asked = signed.locked.asked();
    assert!(!asked.iter().any(|path| path == FILE || path == IN_INDEX), "nothing is downloaded: {asked:?}");
    signed.is(&["--deep"], 16, "bad", "evil");
    // And nothing of it is recorded.
    fs::remove_file(signed.locked.list()).unwrap();
    signed.is(&["--deep", "--remember", "--yes"], 16, "bad", "evil");
    assert!(!signed.locked.list().exists());
    signed.has_in_index(|_| {});
    signed.is(&["--deep", "--remember", "--yes"], 0, "trusted", "now recorded");
}

#[test]
fn what_cannot_be_compared_is_not_trusted() {
    let signed = Signed::new();
    signed.serves(&[signed.file.as_slice(), b" "].concat());
    signed.is(&["--deep"], 16, "bad", "the registry serves a file with another checksum, ");
    signed.is(&[], 0, "trusted", "");
    signed.locked.serves(FILE, "500 Internal Server Error", "");
    signed.is(&["--deep"], 13, "withheld or unreachable", "answers with status 500");
    signed.serves(&signed.file);
    signed.locked.serves(IN_INDEX, "404 Not Found", "");
    signed.is(&["--deep"], 16, "bad", "the index does not have it");
    let usage = signed.locked.verify(&["--deep", "--offline"]).fails();
    assert_eq!(usage.status.code(), Some(2), "{usage:#?}");
}

/// Another signer than the trusted ones stays one, however well the index has what they signed.
#[test]
fn an_index_that_is_right_makes_nobody_trusted() {
    let signed = Signed::new();
    signed.locked.trusts(OF_ALICE.replace("\"alice\"", "").as_str());
    signed.is(&["--deep"], 10, "new signer", "the index says what the file says");
    signed.locked.serves(FILE, "500 Internal Server Error", "");
    signed.is(&["--deep"], 13, "withheld or unreachable", "answers with status 500");
}
