//! `verify --lock` against registries and projects that want it to say what is not so.

use std::fs;

use serde_json::{Value, json};
use yk_cargo::index_url::{CRATES_IO, folder_name};

use crate::lock_registry::{ALICE, FILE, Locked, MALLORY, entry};
use crate::loopback;
use crate::test_log::TestLog;

const SIGNER: &str = "[[signer]]\nindex = \"INDEX\"\ncrate = \"alpha\"\nsigners = [\"alice\"]\n";

#[test]
fn each_verdict_has_a_word_and_an_exit_code() {
    let locked = Locked::new();
    locked.trusts(&(ALICE.entry("alice") + SIGNER));
    locked.locks(&[("alpha", "0.1.0")]);
    locked.is(11, "unsigned", "every version of it must be signed");
    locked.published(ALICE, "alpha", "0.1.0");
    locked.is(0, "trusted", "signed by alice");
    locked.published(ALICE, "beta", "0.1.0");
    locked.locks(&[("beta", "0.1.0")]);
    locked.is(10, "new signer", "file and signature are good, but the signer alice is not in your list yet");
    locked.locks(&[("gamma", "0.1.0")]);
    locked.is(11, "unsigned", "the registry has no proof of it");
    locked.answers("gamma", "0.1.0", "500 Internal Server Error", "");
    locked.is(13, "withheld or unreachable", "answers with status 500");
    locked.writes_lock(&entry("alpha", "0.1.0", &locked.index, "<none>"));
    locked.is(14, "no checksum", "cargo would accept any file");
    locked.writes_lock(&entry(
        "x",
        "0.1.0",
        "registry+https://github.com/rust-lang/crates.io-index",
        &FILE.to_string(),
    ));
    locked.is(0, "not looked for", "crates.io gives no proofs");
    let crates_io = "[[signer]]\nindex = \"https://github.com/rust-lang/crates.io-index\"\ncrate = \"*\"\n";
    locked.trusts(crates_io);
    locked.is(
        13,
        "withheld or unreachable",
        "crates.io gives no proofs, but every version of it must be signed",
    );
    let given = locked.verdicts(&["--key", &ALICE.public().to_string()]);
    assert_eq!((given.0, given.1[0].0.as_str()), (13, "withheld or unreachable"));
    locked.trusts(&format!("{crates_io}require = false\n"));
    locked.is(0, "not looked for", "crates.io");

    // The worst of all is what it ends with, and stands last.
    locked.trusts(&(ALICE.entry("alice") + SIGNER));
    locked.locks(&[("gamma", "0.1.0"), ("alpha", "0.1.0"), ("beta", "0.1.0")]);
    let outcome = locked.verify(&[]).fails();
    let first: Vec<_> = outcome.stdout.lines().map(|line| line.split("  ").next().unwrap()).collect();
    let summary = "3 packages from registries: 1 trusted; 1 new signer; 1 withheld or unreachable";
    assert_eq!(first, ["trusted", "new signer", "withheld or unreachable", summary], "{outcome:#?}");
    outcome.says(&[
        "error: 2 packages are not trusted; the worst verdict is: withheld or unreachable",
        "hint: ",
    ]);
    assert_eq!(outcome.status.code(), Some(13));
}

/// A proof is of one file of one version of one registry, whoever hands it out.
#[test]
fn a_proof_of_something_else_is_bad() {
    let locked = Locked::new();
    locked.trusts(&(ALICE.entry("alice") + SIGNER));
    locked.locks(&[("alpha", "0.1.0")]);
    let good = ALICE.proof(&locked.index, "alpha", "0.1.0");
    let says = |proof: Value, text: &str| {
        locked.answers("alpha", "0.1.0", "200 OK", proof.to_string());
        locked.is(16, "bad", text);
    };
    let with = |field: &str, value: Value| {
        let mut proof = good.clone();
        proof[field] = value;
        proof
    };
    says(ALICE.proof(&locked.index, "alpha", "0.1.1"), "the proof is for alpha 0.1.1 of");
    says(ALICE.proof(&locked.index, "Alpha", "0.1.0"), "the proof is for Alpha 0.1.0 of");
    says(ALICE.proof("sparse+https://other.example/\u{1b}", "alpha", "0.1.0"), r"other.example/\u{1b}");
    says(with("cksum", "cd".repeat(32).into()), "a file with the checksum cdcd");
    let of_another = ALICE.proof(&locked.index, "alpha", "0.1.1")["token"].clone();
    says(with("token", of_another), "the token was signed for alpha 0.1.1");
    says(with("public", MALLORY.public().to_string().into()), "the token does not verify");
    says(
        with("log", json!({ "index": 1, "leaf": "{}", "outcome": null })),
        "the log's entry 1 is of another publish",
    );
    locked.answers("alpha", "0.1.0", "200 OK", "<html>");
    locked.is(16, "bad", "the proof cannot be read");
    assert!(!locked.computer.path("home/yk-cargo/proofs").exists(), "only what holds is kept");
    // The lock file names another file than the one that was signed.
    locked.published(ALICE, "alpha", "0.1.0");
    locked.writes_lock(&entry("alpha", "0.1.0", &locked.index, &"cd".repeat(32)));
    locked.is(16, "bad", "a file with the checksum abab");
}

#[test]
fn a_proof_without_end_is_not_read_to_it() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".to_vec();
    let gibibyte = std::iter::once(head).chain(std::iter::repeat_n(vec![b' '; 1 << 16], 1 << 14));
    let endless = loopback::answering(gibibyte);
    let locked = Locked::with_api(|_| Some(format!("http://{endless}")));
    locked.locks(&[("alpha", "0.1.0")]);
    locked.is(16, "bad", "sent a longer answer than a registry should");
}

/// A lock file and a project's configuration are a stranger's, and name no host that is asked.
#[test]
fn a_registry_that_is_not_the_persons_is_listed_and_never_asked() {
    let (locked, stranger) = (Locked::new(), Locked::new());
    stranger.published(MALLORY, "alpha", "0.1.0");
    locked.computer.write(
        "work/.cargo/config.toml",
        &format!(
            "[registries.evil]\nindex = \"{}\"\n[registries.r]\nindex = \"{}\"\n",
            stranger.index, stranger.index
        ),
    );
    locked.computer.write(
        "work/signers.toml",
        &format!(
            "version = 2\n{}[[signer]]\nindex = \"{}\"\ncrate = \"*\"\nsigners = [\"m\"]\nunsigned = [{{ version = \"0.2.0\", cksum = \"{FILE}\" }}]\n",
            MALLORY.entry("m"),
            stranger.index
        ),
    );
    let checksum = FILE.to_string();
    locked.writes_lock(
        &[
            entry("alpha", "0.1.0", &stranger.index, &checksum),
            entry("alpha", "0.2.0", &stranger.index, &checksum),
            entry("alpha", "0.1.0", "sparse+http://\\u001b[31m/", &checksum),
            entry("alpha", "0.1.0", &locked.index.replace("sparse+", "registry+"), &checksum),
        ]
        .concat(),
    );
    let (code, verdicts) = locked.verdicts(&[]);
    assert_eq!(code, 12);
    assert!(verdicts.iter().all(|(verdict, _)| verdict == "unknown registry"), "{verdicts:?}");
    assert_eq!((stranger.asked().len(), locked.asked().len()), (0, 0));
    let shown = locked.verify(&[]).fails().stdout;
    assert!(shown.contains(r"\u{1b}[31m") && !shown.contains('\u{1b}'), "{shown}");
    // By the environment, which is the person's, it becomes theirs.
    let outcome = locked.verify(&["--json"]).env("CARGO_REGISTRIES_EVIL_INDEX", &stranger.index).ends();
    let (_, verdicts) = crate::lock_registry::verdicts(&outcome);
    assert_eq!(verdicts[0].1, "signed by m, by this project's own list");
    assert_eq!(verdicts[1].1, "this file is listed as unsigned, by this project's own list");
    assert_eq!(stranger.asked().len(), 2);
}

/// Cargo takes some spellings of a URL for one registry; lists do not, so another one is a registry for which nobody has said anything.
#[test]
fn a_registry_is_known_by_the_text_of_its_url_alone() {
    let locked = Locked::new();
    let git = "https://g.example/index";
    locked.computer.write(
        "home/config.toml",
        &format!("[registries.r]\nindex = \"{}\"\n[registries.g]\nindex = \"{git}\"\n", locked.index),
    );
    locked.trusts(&format!("[[signer]]\nindex = \"{git}\"\ncrate = \"*\"\n"));
    let lock = |index: &str| locked.writes_lock(&entry("alpha", "0.1.0", index, &FILE.to_string()));
    lock(&format!("registry+{git}"));
    locked.is(13, "withheld or unreachable", "but every version of it must be signed");
    for index in [
        &format!("registry+{git}.git"),
        &locked.index.replace("/index/", "/index.git/"),
        "registry+https://github.com/Rust-Lang/crates.io-index",
        "registry+https://github.com/rust-lang/crates.io-index.git",
        "registry+https://evil.crates.io/index",
        "sparse+https://index.crates.io/",
        "registry+mailto:x",
    ] {
        lock(index);
        locked.is(12, "unknown registry", "not in your configuration");
    }
    assert_eq!(locked.asked(), [""; 0]);
}

/// Cargo compares no checksum with what is in a folder.
#[test]
fn what_a_project_puts_in_the_place_of_a_package_is_no_signers() {
    let locked = Locked::new();
    locked.trusts(&(ALICE.entry("alice") + SIGNER));
    locked.locks(&[("alpha", "0.1.0")]);
    locked.published(ALICE, "alpha", "0.1.0");
    let own = format!("[registries.r]\nindex = \"{}\"\n", locked.index);
    let folder = "[source.folder]\ndirectory = \"vendor\"\n";
    let registry = format!("[source.x]\nregistry = \"{}\"\n", locked.index);
    let replaced = format!("{registry}replace-with = \"folder\"\n");
    let with = |home: &str, file: &str, project: &str| {
        locked.computer.write("home/config.toml", &format!("{own}{home}"));
        locked.computer.write(file, project);
        let outcome = locked.verify(&[]).ends();
        locked.computer.write(file, "");
        outcome
    };
    let beside = "work/.cargo/config.toml";
    for (home, file, project, key) in [
        ("", beside, "paths = [\"vendor/alpha\"]\n", "paths"),
        ("", ".cargo/config.toml", "paths = [\"vendor/alpha\"]\n", "paths"),
        ("", beside, &format!("{folder}{replaced}"), "source.folder.directory"),
        (
            "",
            beside,
            &format!("[source.\"a\"]\nlocal-registry = \"v\"\n{registry}replace-with = \"a\"\n"),
            "source.a.local-registry",
        ),
        (&format!("{registry}replace-with = \"folder\"\n"), beside, folder, "source.folder.directory"),
        (folder, beside, &replaced, "source.x.registry"),
        (
            "",
            beside,
            &format!(
                "{registry}replace-with = \"other\"\n[registries.other]\nindex = \"sparse+https://o.example/\"\n"
            ),
            "source.x.registry",
        ),
    ] {
        let outcome = with(home, file, project);
        let file = file.replace("work/", "");
        outcome.says(&[&file, &format!("sets `{key}`, so cargo builds something other"), "cargo --locked"]);
        assert_eq!(outcome.status.code(), Some(1), "{outcome:#?}");
        assert!(locked.asked().is_empty());
    }
    // The person's own is theirs, and what else a project replaces is none of these packages.
    for (home, project) in [
        (format!("{folder}{replaced}paths = [\"mine\"]\n"), String::new()),
        (String::new(), format!("{folder}[source.crates-io]\nreplace-with = \"folder\"\n")),
        (String::new(), format!("{folder}{registry}")),
    ] {
        assert_eq!(with(&home, beside, &project).status.code(), Some(0), "{home}{project}");
    }
    locked.writes_lock(&entry("x", "0.1.0", &format!("registry+{CRATES_IO}"), &FILE.to_string()));
    let vendored = format!("{folder}[source.crates-io]\nreplace-with = \"folder\"\n");
    with("", beside, &vendored).says(&["sets `source.crates-io.replace-with`"]);
}

#[test]
fn ten_thousand_packages_that_depend_on_each_other() {
    let locked = Locked::new();
    let package = |number: usize| {
        let next = (number + 1) % 10_000;
        let package =
            entry(&format!("p{number}"), "1.0.0", "sparse+https://unknown.example/", &FILE.to_string());
        format!("{}dependencies = [\"p{next}\", \"p{number}\"]\n\n", package.trim_end().to_owned() + "\n")
    };
    locked.writes_lock(&(0..10_000).map(package).collect::<String>());
    let (code, verdicts) = locked.verdicts(&[]);
    assert_eq!((code, verdicts.len()), (12, 10_000));
}

/// Who does not answer is not asked ten thousand times.
#[test]
fn a_registry_that_does_not_answer_is_given_up() {
    let locked = Locked::new();
    let names: Vec<_> = (0..100).map(|number| format!("p{number}")).collect();
    for name in &names {
        locked.answers(name, "1.0.0", "no status", "");
    }
    locked.locks(&names.iter().map(|name| (name.as_str(), "1.0.0")).collect::<Vec<_>>());
    let (code, verdicts) = locked.verdicts(&[]);
    assert_eq!((code, verdicts.len()), (13, 100));
    assert!(verdicts[0].1.contains("does not answer in HTTP"), "{verdicts:?}");
    assert_eq!(verdicts[99].1, "r did not answer, and was not asked again");
    assert!(locked.asked().len() < 20);
}

/// A cache can be poisoned, and a committed proof can be anybody's; neither is believed.
#[test]
fn proofs_are_kept_and_verified_every_time() {
    let locked = Locked::new();
    locked.trusts(&(ALICE.entry("alice") + SIGNER));
    locked.locks(&[("alpha", "0.1.0")]);
    locked.is(11, "unsigned", "");
    locked.published(ALICE, "alpha", "0.1.0");
    assert_eq!(locked.verdicts(&["--save-proofs", "proofs"]).0, 0);
    locked.asked();
    locked.is(0, "trusted", "signed by alice");
    assert_eq!(locked.asked(), [""; 0], "it is kept");
    assert_eq!(locked.verdicts(&["--offline"]).0, 0);

    let folder = fs::read_dir(locked.computer.path("home/yk-cargo/proofs")).unwrap().next().unwrap().unwrap();
    let cached = folder.path().join("alpha-0.1.0.json");
    let mallorys = MALLORY.proof(&locked.index, "alpha", "0.1.0");
    for poison in [
        mallorys.to_string(),
        mallorys.to_string().replace(&MALLORY.public().to_string(), &ALICE.public().to_string()),
        "{}".to_owned(),
    ] {
        fs::write(&cached, &poison).unwrap();
        let (code, verdicts) = locked.verdicts(&["--offline"]);
        assert!([15, 16].contains(&code), "{verdicts:?}");
    }
    // What does not hold is asked for again, and put right.
    locked.is(0, "trusted", "");
    assert_eq!(locked.asked().len(), 2);
    fs::remove_file(&cached).unwrap();
    let (code, verdicts) = locked.verdicts(&["--offline"]);
    assert_eq!((code, verdicts[0].0.as_str()), (13, "withheld or unreachable"));
    // What was committed is enough, and goes into the cache.
    assert_eq!(locked.verdicts(&["--offline", "--proofs", "proofs"]).0, 0);
    assert!(cached.exists());
    assert_eq!(locked.asked(), [""; 0]);
}

/// Anybody can sign a version themselves and put the proof into a folder.
#[test]
fn a_kept_proof_vouches_for_no_key() {
    let locked = Locked::new();
    locked.locks(&[("alpha", "0.1.0")]);
    locked.published(MALLORY, "alpha", "0.1.0");
    assert_eq!(locked.verdicts(&["--save-proofs", "proofs"]).0, 10);
    locked.published(ALICE, "alpha", "0.1.0");
    locked.asked();
    let offline = locked.verify(&["--proofs", "proofs", "--offline", "--remember", "--yes"]).fails();
    assert_eq!(offline.says(&["that only a kept proof names is not recorded"]).status.code(), Some(10));
    assert!(!locked.list().exists() && locked.asked().is_empty());
    // The registry is asked, and has another key for it.
    assert_eq!(locked.verdicts(&["--proofs", "proofs", "--remember", "--yes"]).0, 0);
    assert_eq!(locked.asked().len(), 3, "its configuration, a proof, and whether it has a log");
    let list = fs::read_to_string(locked.list()).unwrap();
    assert!(list.contains(&ALICE.public().to_string()) && !list.contains(&MALLORY.public().to_string()));
    // Or has none.
    fs::remove_file(locked.list()).unwrap();
    locked.answers("alpha", "0.1.0", "404 Not Found", "");
    let (code, verdicts) = locked.verdicts(&["--proofs", "proofs"]);
    assert_eq!((code, verdicts[0].0.as_str()), (11, "unsigned"));
}

#[test]
fn a_registry_without_an_api_is_nowhere_to_look() {
    let locked = Locked::with_api(|_| None);
    locked.locks(&[("alpha", "0.1.0")]);
    locked.is(0, "not looked for", "names no API");
    locked.trusts(&(ALICE.entry("alice") + SIGNER));
    locked.is(
        13,
        "withheld or unreachable",
        "names no API gives no proofs, but every version of it must be signed",
    );
}

/// A registry that is known to give proofs does not get by without by leaving out where to ask.
#[test]
fn a_registry_that_gives_proofs_cannot_leave_out_its_api() {
    let locked = Locked::with_api(|_| None);
    locked.locks(&[("alpha", "0.1.0")]);
    locked.is(0, "not looked for", "names no API");
    let unsigned = "its index names no API to ask, although this registry gives proofs";
    // Its log is known,
    let log = TestLog::new(&locked.index);
    locked.trusts(&log.entry(&[]));
    locked.is(13, "unsigned", unsigned);
    locked.trusts("");
    // or its tokens are signed here,
    let enrollments = locked.computer.path("home/yk-cargo/enrollments.toml");
    fs::write(&enrollments, format!("version = 1\n[[registry]]\nindex = \"{}\"\n", locked.index)).unwrap();
    locked.is(11, "unsigned", unsigned);
    fs::remove_file(enrollments).unwrap();
    locked.is(0, "not looked for", "names no API");
    // or a proof of it is kept, be it of another version.
    let committed = Locked::new();
    committed.published(ALICE, "beta", "0.2.0");
    committed.locks(&[("beta", "0.2.0")]);
    assert_eq!(committed.verdicts(&["--save-proofs", "proofs"]).0, 10);
    let from = fs::read_dir(committed.computer.path("work/proofs")).unwrap().next().unwrap().unwrap().path();
    let to = locked.computer.path("work/proofs").join(folder_name(&locked.index));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(from, to).unwrap();
    let (code, found) = locked.verdicts(&["--proofs", "proofs"]);
    assert_eq!((code, found), (11, vec![("unsigned".to_owned(), unsigned.to_owned())]));
    // A list can say that this is well.
    locked.trusts("[[signer]]\nindex = \"INDEX\"\ncrate = \"*\"\nrequire = false\n");
    let (code, found) = locked.verdicts(&["--proofs", "proofs"]);
    assert_eq!((code, found[0].0.as_str()), (0, "unsigned, allowed"));
}

#[test]
fn a_lock_file_that_is_none() {
    let locked = Locked::new();
    let refused = |text: &str| {
        locked.writes_lock(text);
        locked.verify(&[]).fails()
    };
    let twice = entry("a", "1.0.0", &locked.index, "x").repeat(2);
    assert_eq!(refused(&twice).says(&["has `a 1.0.0` twice"]).status.code(), Some(1));
    refused("\u{1b}").says(&["is not a lock file"]);
    refused(&"[".repeat(100_000)).says(&["nested deeper"]);
    fs::remove_file(locked.computer.path("work/Cargo.lock")).unwrap();
    locked.verify(&[]).fails().says(&["cannot read Cargo.lock", "run it beside Cargo.lock"]);
    let usage = locked.verify(&["Cargo.lock", "--registry", "r"]).fails();
    assert_eq!(usage.status.code(), Some(2));
    assert!(locked.asked().is_empty());
}
