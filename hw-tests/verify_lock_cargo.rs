//! Lock files that cargo itself has written, with the gateway's own store as the registry, and what a person is asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use transparency_log::{Algorithm, Origin, Verifier};

use crate::git_index::GitIndex;
use crate::lock_registry::verdicts;
use crate::terminal::expect;
use crate::verify::OTHER_KEY;
use crate::world::{NAME, Outcome, World};

/// Alice has published `alpha` and `beta` at a registry whose reads need a token, and somebody depends on them, on a crate in a git
/// repository and on one in a folder.
fn project(world: &World) -> PathBuf {
    for (name, dependency) in
        [("alpha", ""), ("beta", "[dependencies]\nalpha = { version = \"0.1\", registry = \"my-reg\" }\n")]
    {
        let package = world.package(name, "0.1.0", dependency);
        let publish = ["publish", "--registry", NAME, "--no-verify", "--allow-dirty"];
        world.cargo(&package, publish).succeeds();
    }
    let manifest =
        |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.2.0\"\nedition = \"2024\"\n");
    let git = GitIndex::create();
    git.commit(&BTreeMap::from([
        ("Cargo.toml".to_owned(), manifest("of_git")),
        ("src/lib.rs".to_owned(), String::new()),
    ]));
    world.write("work/of_folder/Cargo.toml", &manifest("of_folder"));
    world.write("work/of_folder/src/lib.rs", "");
    let dependencies = format!(
        "[dependencies]\nbeta = {{ version = \"0.1\", registry = \"{NAME}\" }}\nof_git = {{ git = \"{}\" }}\n\
         of_folder = {{ path = \"../of_folder\" }}\n",
        git.url()
    );
    world.write("work/user/Cargo.toml", &(manifest("user") + &dependencies));
    world.write("work/user/src/lib.rs", "");
    let user = world.path("work/user");
    world.cargo(&user, ["generate-lockfile"]).succeeds();
    user
}

/// The entry for the list of the registry's log, once that is signed up to its end.
fn log_entry(world: &World) -> String {
    let (url, store) = (world.gateway.index_url(), world.gateway.store());
    let name = Origin::of_index(url).unwrap().key_name().unwrap();
    loop {
        let log = store.verify_audit(&[]).unwrap();
        if log.newest.is_some_and(|(size, _)| size == log.end.seq) {
            let key = store.log_keys().unwrap().pop().unwrap().key;
            let key = Verifier::new(name, Algorithm::Ed25519, key);
            return format!("[[log]]\nindex = \"{url}\"\nvkey = \"{key}\"\n");
        }
    }
}

fn verify(world: &World, folder: &PathBuf, more: &[&str]) -> Outcome {
    world.yk_cargo([&["verify", "--lock"], more].concat()).directory(folder).ends()
}

#[test]
fn what_cargo_writes_is_verified_as_a_whole() {
    let world = World::enrolled();
    let user = project(&world);
    let lock = fs::read_to_string(user.join("Cargo.lock")).unwrap();
    let (code, found) = verdicts(&verify(&world, &user, &["--json"]));
    assert_eq!((code, found.len()), (10, 2), "{found:?}");
    let new = "file and signature are good, but the signer alice (according to the registry) is not in your list yet";
    assert!(found.iter().all(|found| found.0 == "new signer" && found.1.starts_with(new)), "{found:?}");
    // One line for the key, one question for all of its crates.
    let remembered = verify(&world, &user, &["--remember", "--yes"]);
    let key = world.registry().cards[0].keys[1].public.to_string();
    remembered.says(&[&format!("alice  {key}  for alpha, beta of my-reg")]);
    assert!(remembered.status.success(), "{remembered:#?}");
    let outcome = verify(&world, &user, &[]);
    assert!(outcome.status.success(), "{outcome:#?}");
    for line in [
        "trusted                  alpha 0.1.0  signed by alice; entry 2 of the log (done)\n",
        "trusted                  beta 0.1.0   signed by alice; entry 4 of the log (done)\n",
        "log                      of my-reg: 6 entries, the same as before; no witness is required\n",
        "no registry              of_folder 0.2.0  from this workspace\n",
        "no registry              of_git 0.2.0  from file:///",
        "2 packages from registries: 2 trusted. 3 more from no registry\n",
    ] {
        assert!(outcome.stdout.contains(line), "no {line:?} in {outcome:#?}");
    }
    // Older cargo writes the same in other forms.
    let older = lock.replace("version = 4\n", "version = 3\n");
    fs::write(user.join("Cargo.lock"), &older).unwrap();
    world.cargo(&user, ["metadata", "--locked", "--format-version", "1"]).succeeds();
    assert!(verify(&world, &user, &["--offline"]).status.success());
    let (oldest, metadata) = in_version_one(&lock);
    let old = format!("{oldest}\n{metadata}");
    fs::write(user.join("Cargo.lock"), &old).unwrap();
    // It reads that and writes the newest, with the same checksums.
    world.cargo(&user, ["metadata", "--offline", "--format-version", "1"]).succeeds();
    assert_eq!(fs::read_to_string(user.join("Cargo.lock")).unwrap(), lock);
    fs::write(user.join("Cargo.lock"), &old).unwrap();
    assert!(verify(&world, &user, &["--offline"]).status.success());
    fs::write(user.join("Cargo.lock"), format!("{oldest}\n{}", metadata.replace("\" = \"", "\" = \"0")))
        .unwrap();
    assert_eq!(verify(&world, &user, &["--offline"]).status.code(), Some(14));
}

/// Why such a file is refused: cargo takes it for a bad merge, and forgets every checksum in it (cargo 1.95, `encode.rs`).
#[test]
fn cargo_drops_the_checksums_of_a_file_of_two_versions() {
    let world = World::enrolled();
    let user = project(&world);
    let file = user.join("Cargo.lock");
    let lock = fs::read_to_string(&file).unwrap();
    let (_, metadata) = in_version_one(&lock);
    let (_, checksum) = lock.split_once("checksum = \"").unwrap();
    let wrong = lock.replacen(checksum.split('"').next().unwrap(), &"ab".repeat(32), 1);
    fs::write(&file, &wrong).unwrap();
    world.cargo(&user, ["fetch"]).fails().says(&["checksum for `alpha v0.1.0", "changed between lock files"]);
    let both = format!("{wrong}\n{metadata}");
    fs::write(&file, &both).unwrap();
    world.cargo(&user, ["fetch"]).succeeds();
    assert_eq!(fs::read_to_string(&file).unwrap(), lock, "the wrong one was not missed");
    fs::write(&file, &both).unwrap();
    let outcome = verify(&world, &user, &[]);
    assert_eq!(outcome.says(&["[metadata]"]).status.code(), Some(1));
}

/// The packages, and `[metadata]` with the checksums, as cargo before 1.41 wrote both.
fn in_version_one(lock: &str) -> (String, String) {
    let text = |block: &str, key: &str| {
        let value =
            block.lines().find_map(|line| line.strip_prefix(&format!("{key} = \""))?.strip_suffix('"'));
        value.map(str::to_owned)
    };
    let (mut packages, mut metadata) = (lock.replace("version = 4\n", ""), "[metadata]\n".to_owned());
    for block in lock.split("[[package]]").skip(1) {
        let (name, version) = (text(block, "name").unwrap(), text(block, "version").unwrap());
        let source = text(block, "source").map(|source| format!(" ({source})")).unwrap_or_default();
        packages = packages.replace(&format!(" \"{name}\",\n"), &format!(" \"{name} {version}{source}\",\n"));
        if let Some(checksum) = text(block, "checksum") {
            packages = packages.replace(&format!("checksum = \"{checksum}\"\n"), "");
            metadata += &format!("\"checksum {name} {version}{source}\" = \"{checksum}\"\n");
        }
    }
    (packages, metadata)
}

/// Reads need a token there, and a registry that is configured but not enrolled gives none.
#[test]
fn who_may_not_read_gets_no_proof() {
    let world = World::enrolled();
    let user = project(&world);
    fs::remove_file(world.enrollments_file()).unwrap();
    let outcome = verify(&world, &user, &["--json"]);
    let (code, found) = verdicts(&outcome);
    assert_eq!((code, found[0].0.as_str()), (13, "withheld or unreachable"), "{outcome:#?}");
    assert!(found[0].1.contains("is not enrolled"), "{found:?}");
}

#[test]
fn nothing_is_recorded_unless_the_person_says_yes() {
    let world = World::enrolled();
    let user = project(&world);
    let list = world.path("home/yk-cargo/signers.toml");
    // A registry can call any key alice's.
    let log = format!("version = 2\n{}", log_entry(&world));
    fs::write(&list, format!("{log}[[key]]\nname = \"alice\"\npublic = \"{OTHER_KEY}\"\n")).unwrap();
    let outcome = verify(&world, &user, &["--remember"]);
    outcome.says(&["it is not the key that your list calls alice"]);
    let shown = verify(&world, &user, &[]).stdout;
    assert!(
        shown.contains("signer alice (according to the registry, and not the alice of your list) is not in your list yet"),
        "{shown}"
    );
    let shown = verify(&world, &user, &["--offline"]).stdout;
    assert!(
        shown.contains("signer alice (according to a kept proof, and not the alice of your list) is not in your list yet"),
        "{shown}"
    );
    fs::write(&list, &log).unwrap();
    let outcome = verify(&world, &user, &["--remember"]);
    outcome.says(&["there is no terminal to ask on"]);
    assert_eq!(fs::read_to_string(&list).unwrap(), log);
    for (answer, code) in [("n", "1"), ("y", "0")] {
        let mut session = world.at_a_terminal("cd user; yk-cargo verify --lock --remember; echo STATUS $?");
        expect(&mut session, &["for alpha, beta of my-reg", "only the crates' publishers", "[y/N] "]);
        session.send_line(answer).unwrap();
        expect(&mut session, &[&format!("STATUS {code}")]);
        session.exp_eof().unwrap();
        assert_eq!(fs::read_to_string(&list).unwrap() == log, answer == "n");
    }
}
